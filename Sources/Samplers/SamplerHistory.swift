/// What a sampler remembers between calls of one run: earlier outputs and samples of the whole canvas, and how far the run is.
///
/// A run may begin at any call that starts a step, with an empty history, as diffusers' `set_begin_index` has it: methods of
/// higher order then warm up from there. All arrays have the size of the sample, so whatever is done to the sample between two
/// calls (CutDiffusion's relocation) is done to them by `mapArrays`.
public struct SamplerHistory: Sendable, Equatable {
    /// What the method keeps of earlier calls, oldest first.
    var outputs: [[Float]] = []
    /// The sample at an earlier point, where the method goes back to it.
    var sample: [Float]?
    /// A sum of outputs that grows over a step.
    var sum: [Float]?
    /// Calls made in this run.
    var calls = 0

    /// The history of a run that has not begun.
    public init() {}

    /// Replaces every remembered array by what `transform` makes of it. `transform` must move values only, or be linear.
    public mutating func mapArrays(_ transform: ([Float]) -> [Float]) {
        outputs = outputs.map(transform)
        sample = sample.map(transform)
        sum = sum.map(transform)
    }

    /// Takes `output` in as the newest and keeps the newest `limit` of them.
    mutating func remember(_ output: [Float], limit: Int) {
        outputs.append(output)
        if outputs.count > limit { outputs.removeFirst(outputs.count - limit) }
    }
}
