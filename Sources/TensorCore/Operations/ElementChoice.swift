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
            let type = try commonType(operation, of: tensors.map(\.elementType), supported: [.f32, .bf16])
            return (type == .f32 ? kernels.pointee.f32 : kernels.pointee.bf16).pointee
        } catch {
            preconditionFailure(error.message)
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
