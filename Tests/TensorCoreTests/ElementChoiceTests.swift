import Testing

@testable import TensorCore

/// Operations take tensors of one element type and convert nothing.
@Suite struct ElementChoiceTests {
    @Test func oneTypeIsFound() throws {
        for type in ElementType.allCases {
            for count in 1...3 {
                let types = [ElementType](repeating: type, count: count)
                #expect(try commonType("add", of: types, supported: ElementType.allCases) == type)
            }
        }
    }

    @Test func otherTypesAreRefused() {
        for (type, name) in [(ElementType.f16, "f16"), (.bf16, "bf16")] {
            let error = #expect(throws: ComputeError.self) { _ = try commonType("silu", of: [type], supported: [.f32]) }
            #expect(error?.message == "silu has no implementation for tensors of \(name)")
        }
    }

    @Test func typesAreNotMixed() {
        for types: [ElementType] in [[.f32, .bf16], [.bf16, .f32], [.f16, .f16, .bf16]] {
            let error = #expect(throws: ComputeError.self) {
                _ = try commonType("add", of: types, supported: ElementType.allCases)
            }
            #expect(error?.message.hasPrefix("add needs tensors of one element type, not of \(types[0]), ") == true)
        }
    }

    /// Products are refused by an error: on either side, and as weights.
    @Test(arguments: BackendChoice.libraries) func productsAreChosenToo(_ backend: BackendChoice) throws {
        let context = try ComputeContext(backend: backend, threads: 1)
        let (weight, x) = (Tensor(repeating: 0.5, shape: [3, 2]), Tensor(repeating: 2, shape: [1, 2]))
        let parameters = try context.packLinear(weight: weight, bias: nil)
        #expect(try context.linear(x, parameters).array == [2, 2, 2])
        let half = context.empty([1, 2], of: .bf16)
        #expect(half.elementType == .bf16 && half.storage.byteCapacity >= 4)
        let mixed = #expect(throws: ComputeError.self) { _ = try context.linear(half, parameters) }
        #expect(mixed?.message.contains("of f32, bf16") == true)
        let residual = #expect(throws: ComputeError.self) {
            _ = try context.linear(x, parameters, residual: context.empty([1, 3], of: .f16))
        }
        #expect(residual?.message.contains("of f32, f32, f16") == true)
        let weights = #expect(throws: ComputeError.self) {
            _ = try context.packConvolution(weight: context.empty([3, 2, 3, 3], of: .f16), bias: nil)
        }
        #expect(weights?.message.contains("has no implementation for tensors of f16") == true)
    }

    /// The same for all other operations, which end the process: another type is a fault of the program.
    @Test func anOperationWithoutTheTypeStops() async {
        await #expect(processExitsWith: .failure) {
            let context = try ComputeContext(backend: .openblas, threads: 1)
            _ = context.silu(context.empty([4], of: .f16))
        }
        await #expect(processExitsWith: .failure) {
            let context = try ComputeContext(backend: .openblas, threads: 1)
            _ = context.add(context.empty([4]), context.empty([4], of: .bf16))
        }
        await #expect(processExitsWith: .failure) {
            let context = try ComputeContext(backend: .openblas, threads: 1)
            _ = context.empty([4], of: .bf16).array
        }
        await #expect(processExitsWith: .success) {
            let context = try ComputeContext(backend: .openblas, threads: 1)
            _ = context.silu(Tensor([0, 1], shape: [2]))
        }
    }
}
