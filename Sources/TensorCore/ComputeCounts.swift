/// The cost of a context's computing so far, in counts that no machine changes. The difference of two is the cost between them.
public struct ComputeCounts: Sendable, Equatable {
    /// Multiplications and additions, as `ComputeContext.operations`.
    public var operations: UInt64 = 0
    /// Times that the system was asked for memory for activations or for the threads' working memory. A network that was
    /// called before asks for none when it is called with the same shapes again.
    public var allocations = 0
    /// Times that weights were brought into another order for the compute library.
    public var reorders = 0
    /// Operations that the compute library prepared, one for each new shape.
    public var preparations = 0

    public init() {}

    /// The costs since `earlier`.
    public static func - (later: ComputeCounts, earlier: ComputeCounts) -> ComputeCounts {
        var difference = ComputeCounts()
        difference.operations = later.operations - earlier.operations
        difference.allocations = later.allocations - earlier.allocations
        difference.reorders = later.reorders - earlier.reorders
        difference.preparations = later.preparations - earlier.preparations
        return difference
    }
}

extension ComputeContext {
    /// Counts a product whose result was kept from an earlier call as if it were computed again: the count of a call must not
    /// depend on the calls before it.
    public func countKept(rows: Int, _ parameters: LinearParameters) {
        count(products: rows * parameters.inFeatures * parameters.outFeatures)
    }

    /// The costs since the context was made.
    public var counts: ComputeCounts {
        var counts = ComputeCounts()
        counts.operations = operations
        counts.allocations = memory.allocations + scratch.allocations
        (counts.reorders, counts.preparations) = (backend.reorders, backend.preparations)
        return counts
    }
}
