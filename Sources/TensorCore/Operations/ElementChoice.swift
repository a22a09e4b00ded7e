/// Chooses the implementation of an operation for an element type.
///
/// An operation lists its implementations: f32 today. For another type, write another implementation and add it to the list.
/// Tensors are never converted.
///
/// - Parameters:
///   - operation: its name in messages.
///   - types: the element types of its tensors, all equal.
/// - Throws: if the types differ or have no implementation.
func select<Implementation>(
    _ operation: StaticString, of types: [ElementType], f32: Implementation? = nil, f16: Implementation? = nil,
    bf16: Implementation? = nil
) throws(ComputeError) -> Implementation {
    let type = types[0]
    guard types.allSatisfy({ $0 == type }) else {
        let names = types.map { "\($0)" }.joined(separator: ", ")
        throw ComputeError("\(operation) needs tensors of one element type, not of \(names)")
    }
    let implementation =
        switch type {
        case .f32: f32
        case .f16: f16
        case .bf16: bf16
        }
    guard let implementation else { throw ComputeError("\(operation) has no implementation for tensors of \(type)") }
    return implementation
}

extension ComputeContext {
    /// The same for operations that cannot throw: a wrong type is a fault of the program.
    func choose<Implementation>(
        _ operation: StaticString, _ tensors: Tensor..., f32: Implementation? = nil, f16: Implementation? = nil,
        bf16: Implementation? = nil
    ) -> Implementation {
        do {
            return try select(operation, of: tensors.map(\.elementType), f32: f32, f16: f16, bf16: bf16)
        } catch {
            preconditionFailure(error.message)
        }
    }
}
