import Acceleration
package import PatchGeometry
import RandomStreams
import Sentences

/// All random draws of a render. Only `RenderMachine` uses it.
///
/// It draws from the seed, or repeats the recorded draws of another program. It is a value: a copy goes on from the same draw.
package struct RenderRandomness: Sendable {
    private let seed: UInt64
    /// PyTorch's stream for noise, in diffusers' order. All other draws are hashes of seed and call.
    private var generator: TorchCPUGenerator
    /// The rest of the recording; nil without a recording.
    private var recorded: RecordedDraws?

    /// - Parameter recorded: replaces all draws.
    package init(seed: UInt64, recorded: RecordedDraws? = nil) {
        (self.seed, self.recorded, generator) = (seed, recorded, TorchCPUGenerator(seed: seed))
    }

    /// The next `count` numbers of unit noise. Throws `.malformed` if the recording has fewer.
    mutating func noise(count: Int) throws(RenderError) -> [Float] {
        guard let left = recorded?.noise else { return generator.normals(count: count) }
        guard left.count >= count else { throw missing("\(count) more numbers of noise") }
        recorded?.noise.removeFirst(count)
        return Array(left.prefix(count))
    }

    /// The exchange of pixels between the patches in a call of the structure phase.
    mutating func interaction(patches: Int, positions: Int, call: Int) throws(RenderError) -> PixelInteraction {
        guard recorded != nil else {
            return PixelInteraction(patchCount: patches, positionCount: positions, seed: seed, call: call)
        }
        return try take(\.interactions, of: call, "permutations")
    }

    /// The places of the views in a call of the detail phase.
    mutating func views(_ grid: ViewGrid, call: Int) throws(RenderError) -> [CanvasView] {
        guard recorded != nil else { return grid.jitteredViews(seed: seed, call: call) }
        return try take(\.views, of: call, "views")
    }

    /// The shift ids of window attention in a call.
    mutating func windowShifts(blocks: Int, call: Int) throws(RenderError) -> [UInt8] {
        guard recorded != nil else { return WindowShifts.ids(seed: seed, call: call, blocks: blocks) }
        return try take(\.windowShifts, of: call, "window shifts")
    }

    /// The switches of a call with recorded destinations for merged tokens. Without a recording workers hash the destinations
    /// from the seed.
    mutating func chosen(_ tokens: TokenSwitches, call: Int) throws(RenderError) -> TokenSwitches {
        guard recorded != nil, tokens.isMerging else { return tokens }
        var tokens = tokens
        tokens.chosen = try take(\.destinations, of: call, "merge destinations")
        return tokens
    }

    /// To be called after the last call. Throws `.malformed` if a part of the recording is left: then it belongs to another
    /// run.
    func requireNothingLeft() throws(RenderError) {
        guard let recorded else { return }
        let parts = [
            ("numbers of noise", recorded.noise.count), ("calls' permutations", recorded.interactions.count),
            ("calls' views", recorded.views.count), ("calls' window shifts", recorded.windowShifts.count),
            ("calls' merge destinations", recorded.destinations.count),
        ]
        guard let (what, count) = parts.first(where: { $0.1 > 0 }) else { return }
        throw .malformed("The recording holds \(count) \(what) more than the render asks for.")
    }

    private mutating func take<Draw>(
        _ kind: WritableKeyPath<RecordedDraws, [Int: Draw]>, of call: Int, _ what: String
    ) throws(RenderError) -> Draw {
        guard let draw = recorded?[keyPath: kind].removeValue(forKey: call) else { throw missing("\(what) of call \(call)") }
        return draw
    }

    private func missing(_ what: String) -> RenderError { .malformed("The recording holds no \(what).") }
}

/// The draws of one run of another program. Calls are counted over the whole render, from the first of the schedule. The
/// recording's reader makes sure that permutations and views fit the plan.
package struct RecordedDraws: Sendable {
    /// Unit noise in the order of the draws: the maps before the first call, then the sampler's own.
    package var noise: [Float] = []
    package var interactions: [Int: PixelInteraction] = [:]
    package var views: [Int: [CanvasView]] = [:]
    package var windowShifts: [Int: [UInt8]] = [:]
    /// Destinations of merged tokens: for each call and each transformer block, the destination's place in each cell.
    package var destinations: [Int: [Int: [Int]]] = [:]

    package init() {}
}
