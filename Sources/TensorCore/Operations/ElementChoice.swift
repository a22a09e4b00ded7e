/// The implementation of an operation for tensors of these types of elements: the one place where it is chosen.
///
/// An operation names what it has: f32 today. To compute it with another type, write that implementation beside the first and
/// name it in the operation's choice. Nothing is ever converted to a type that an operation does have.
///
/// - Parameters:
///   - operation: as messages call it.
///   - types: of the tensors that are computed with, all alike.
/// - Throws: for types that differ, or that the operation has no implementation for.
func select<Implementation>(
    _ operation: StaticString, of types: [ElementType], f32: Implementation? = nil, f16: Implementation? = nil,
    bf16: Implementation? = nil
) throws(ComputeError) -> Implementation {
    let type = types[0]
    guard types.allSatisfy({ $0 == type }) else {
        let names = types.map { "\($0)" }.joined(separator: ", ")
        throw ComputeError("\(operation) needs tensors of one type of elements, not of \(names)")
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
    /// The same for operations that cannot fail: other types are a fault of the program.
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
