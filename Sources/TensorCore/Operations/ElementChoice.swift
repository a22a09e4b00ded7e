import CKernels

/// The element type that tensors share.
///
/// - Parameter operation: its name in messages.
/// - Throws: if the types differ, or if the operation does not take the type. Tensors are never converted in silence.
func commonType(
    _ operation: String, of types: [ElementType], supported: [ElementType]
) throws(ComputeError) -> ElementType {
    let type = types[0]
    guard types.allSatisfy({ $0 == type }) else {
        let names = types.map { "\($0)" }.joined(separator: ", ")
        throw ComputeError("\(operation) needs tensors of one element type, not of \(names)")
    }
    guard supported.contains(type) else { throw ComputeError("\(operation) has no implementation for tensors of \(type)") }
    return type
}

extension ComputeContext {
    /// Our own kernels for the element type of the tensors. Another type is a fault of the program.
    func kernels(_ operation: String, _ tensors: Tensor...) -> ck_typed_kernels {
        do {
            return kernels.pointee.typed(
                try commonType(operation, of: tensors.map(\.elementType), supported: [.f32, .bf16]))
        } catch {
            preconditionFailure(error.message)
        }
    }
}

extension ck_kernels {
    /// The kernels of f32 or bf16. Another type is a fault of the program.
    func typed(_ type: ElementType) -> ck_typed_kernels {
        switch type {
        case .f32: f32.pointee
        case .bf16: bf16.pointee
        case .f16: preconditionFailure("there are no kernels for tensors of \(type)")
        }
    }

    /// Converts between f32 and bf16.
    func convert(_ x: Tensor, into y: Tensor, on pool: ParallelPool) {
        precondition(x.elementType == .f32 || y.elementType == .f32, "\(x.elementType) is not converted to \(y.elementType)")
        let table = typed(y.elementType == .f32 ? x.elementType : y.elementType)
        let (input, output, widens) = (x.raw, y.raw, y.elementType == .f32)
        pool.run(total: x.count, chunk: 65536) { first, count, _ in
            if widens {
                table.widen(input + first, count, (output + first).assumingMemoryBound(to: Float.self))
            } else {
                table.narrow((input + first).assumingMemoryBound(to: Float.self), count, output + first)
            }
        }
    }
}

/// The memory of a tensor for kernels of any element type: `elements + n` is the place of element n.
struct RawElements {
    let base: UnsafeMutableRawPointer
    let byteCount: Int

    static func + (elements: RawElements, index: Int) -> UnsafeMutableRawPointer {
        elements.base + index * elements.byteCount
    }
}

extension Tensor {
    var raw: RawElements { RawElements(base: storage.base, byteCount: elementType.byteCount) }
}
