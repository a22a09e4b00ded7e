/// Divides the calls of a run into CutDiffusion's two phases. A step here is one call of the network.
///
/// Steps before `structureSteps` are structure steps. The patches are relocated once, at the start of step `structureSteps`.
/// That step and all later ones are detail steps. The reference compares `i` with `N · p`, and breaks if that is no whole
/// number. Rounding up is our extension; for whole numbers it agrees with the reference.
public struct PhaseSchedule: Sendable, Equatable {
    /// All steps of the run, N.
    public let steps: Int
    /// Structure steps, Ts.
    public let structureSteps: Int

    /// Divides `steps` steps. Throws unless both phases get a step.
    ///
    /// - Parameter mayRelocate: whether the phase may change before this step. Samplers with several calls a step forbid it
    ///   inside a step; then the structure phase goes on to the next possible place.
    public init(
        steps: Int, fraction: StructureFraction, mayRelocate: (_ step: Int) -> Bool = { _ in true }
    ) throws(GeometryError) {
        guard (2...1_000_000).contains(steps) else {
            throw GeometryError("\(steps) steps cannot be split into a structure and a detail phase: take 2 or more.")
        }
        var structure = fraction.structureSteps(of: steps)
        while structure < steps, !mayRelocate(structure) { structure += 1 }
        guard structure >= 1, structure <= steps - 1 else {
            throw GeometryError(
                "A structure fraction of \(fraction) leaves no detail step of \(steps): take more steps or a smaller fraction.")
        }
        self.steps = steps
        structureSteps = structure
    }

    /// Detail steps.
    public var detailSteps: Int { steps - structureSteps }
}
