/// Divides the calls of a run into CutDiffusion's two phases.
///
/// The calls before `structureCalls` are the structure phase. The patches are relocated once, at the start of call
/// `structureCalls`. This call and all later ones are the detail phase. The reference compares `i` with `N · p`, and breaks if
/// that is no whole number. Rounding up is our extension; for whole numbers it agrees with the reference.
public struct PhaseSplit: Sendable, Equatable {
    /// All calls of the run, N.
    public let calls: Int
    /// Calls of the structure phase, Ts.
    public let structureCalls: Int

    /// Divides `calls` calls. Throws unless both phases get a call.
    ///
    /// - Parameter mayRelocate: whether the phase may change before this call. Samplers with several calls a step forbid it
    ///   inside a step; then the structure phase goes on to the next possible place.
    public init(
        calls: Int, fraction: StructureFraction, mayRelocate: (_ call: Int) -> Bool = { _ in true }
    ) throws(GeometryError) {
        guard (2...1_000_000).contains(calls) else {
            throw GeometryError("\(calls) calls cannot be split into a structure and a detail phase: take 2 or more steps.")
        }
        var structure = fraction.structureCalls(of: calls)
        while structure < calls, !mayRelocate(structure) { structure += 1 }
        guard structure >= 1, structure <= calls - 1 else {
            throw GeometryError(
                "A structure fraction of \(fraction) leaves no detail call of \(calls): take more steps or a smaller fraction.")
        }
        self.calls = calls
        structureCalls = structure
    }

    /// Calls of the detail phase.
    public var detailCalls: Int { calls - structureCalls }
}
