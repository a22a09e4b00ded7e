/// A sampler's memory between calls of one run: earlier outputs and samples of the whole canvas, and the number of calls.
///
/// A run may begin with an empty history at any call that starts a step, as with diffusers' `set_begin_index`. Methods of
/// higher order then warm up from there. All arrays have the size of the sample. If something changes the sample between two
/// calls (CutDiffusion's relocation), `mapArrays` must change them in the same way.
public struct SamplerHistory: Sendable, Equatable {
    /// Outputs of earlier calls, as the method keeps them, oldest first.
    var outputs: [[Float]] = []
    /// The sample at an earlier point, if the method goes back to it.
    var sample: [Float]?
    /// A sum of outputs that grows over a step.
    var sum: [Float]?
    /// Calls made in this run.
    var calls = 0

    /// The history of a run that has not begun.
    public init() {}

    /// All remembered arrays.
    var arrays: [[Float]] { outputs + [sample, sum].compactMap { $0 } }

    /// Replaces every remembered array by `transform` of it. `transform` must only move values, or be linear.
    public mutating func mapArrays(_ transform: ([Float]) -> [Float]) {
        // One after the other, so that no two of them are there twice.
        for index in outputs.indices { outputs[index] = transform(outputs[index]) }
        sample = sample.map(transform)
        sum = sum.map(transform)
    }

    /// Adds `output` as the newest, and keeps the newest `limit`. Returns them, newest first.
    @discardableResult
    mutating func remember(_ output: [Float], limit: Int) -> [[Float]] {
        outputs.append(output)
        if outputs.count > limit { outputs.removeFirst(outputs.count - limit) }
        return outputs.reversed()
    }
}
