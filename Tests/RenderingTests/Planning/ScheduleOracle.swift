import Acceleration
import PatchGeometry
import Places
import Samplers
import Testing

@testable import Rendering

/// One call of the network as the plan has it, or as its tasks show it.
struct CallSeen: Equatable {
    var place: Place<RenderPhase>
    /// The number of the call in the whole render.
    var number: Int
    var timestep: Float
    var inputs: Int
    var height: Int
    var width: Int
    var guidance: Float
    var rad: Bool
    var pool: Bool
    var windowBlocks: Int?
    /// The token switches without the origin of an input.
    var tokens: TokenSwitches
    /// SDXL's original and target size, heights first.
    var sizes: [Float]?
}

/// A canvas of a render, as a reader of the README expects it. Sides in latents.
struct ExpectedPass {
    /// The cut of a canvas: sides of patches and views, and their distance.
    struct Cut {
        var patch: Int
        var view: Int
        var stride: Int
        var jitter: Int?
        /// Whether half of the calls are structure; else all are views.
        var hasStructure = true
    }

    var height: Int
    var width: Int
    var cut: Cut?
    /// Whether HiDiffusion is on before the views, and in them.
    var hiDiffusion = (first: false, views: false)
    /// The guidance in views, if it differs.
    var viewGuidance: Float?
    var steps = 6
    /// The strength at which it changes the picture or pass that it begins with; nil if it begins with noise.
    var strength: Double?
    /// Whether it begins with the pixels of the pass before.
    var isEnlargedAsPicture = false

    static func whole(_ height: Int, _ width: Int, hiDiffusion: Bool = false, strength: Double? = nil) -> ExpectedPass {
        ExpectedPass(height: height, width: width, hiDiffusion: (hiDiffusion, hiDiffusion), strength: strength)
    }

    /// Patches and views of 16, each half a side from the next.
    static func cut(_ height: Int, _ width: Int, jitter: Int? = nil, strength: Double? = nil) -> ExpectedPass {
        ExpectedPass(
            height: height, width: width, cut: Cut(patch: 16, view: 16, stride: 8, jitter: jitter), strength: strength)
    }

    /// Views of 16 alone.
    static func views(_ height: Int, _ width: Int, jitter: Int? = nil, strength: Double? = nil) -> ExpectedPass {
        var pass = cut(height, width, jitter: jitter, strength: strength)
        pass.cut?.hasStructure = false
        return pass
    }

    func with(_ change: (inout ExpectedPass) -> Void) -> ExpectedPass {
        var pass = self
        change(&pass)
        return pass
    }
}

/// The calls of a render, worked out from the canvases that are expected and the sampler alone: nothing here asks the plan.
struct ScheduleOracle {
    let passes: [ExpectedPass]
    let request: RenderRequest
    let model: ModelDescription
    /// The token reduction at each level, in the call at `position` among the `count` calls of a pass.
    let tokens: (_ pass: Int, _ position: Int, _ count: Int) -> [Int: TokenReduction]

    /// The parts of one call.
    struct Call {
        var seen: CallSeen
        /// The corners of its views.
        var views: [CanvasView]
        var shifts: [UInt8]?
    }

    func sampler(_ pass: ExpectedPass) throws -> Sampler {
        try Sampler(model.scheduler, method: request.samplingMethod, steps: pass.steps)
    }

    func calls() throws -> [Call] {
        var (calls, drawn): ([Call], Int) = ([], 0)
        for (index, pass) in passes.enumerated() {
            let sampler = try sampler(pass)
            let first = pass.strength.map { sampler.firstCall(strength: $0) } ?? 0
            let boundary = Self.boundary(sampler, pass)
            for call in first..<sampler.calls {
                calls.append(
                    try self.call(
                        call, sampler, pass, index, first: first, boundary: max(first, boundary), number: calls.count,
                        draw: drawn + call))
            }
            drawn += sampler.calls
        }
        return calls
    }

    /// The call at which the detail phase begins: half of the calls, rounded up to the next beginning of a step.
    private static func boundary(_ sampler: Sampler, _ pass: ExpectedPass) -> Int {
        guard let cut = pass.cut else { return sampler.calls }
        guard cut.hasStructure else { return 0 }
        return ((sampler.calls + 1) / 2..<sampler.calls).first(where: sampler.isStepStart(call:)) ?? sampler.calls
    }

    private func call(
        _ call: Int, _ sampler: Sampler, _ pass: ExpectedPass, _ index: Int, first: Int, boundary: Int, number: Int, draw: Int
    ) throws -> Call {
        let (position, count) = (call - first, sampler.calls - first)
        let isView = pass.cut != nil && call >= boundary
        let (sides, views, inputs) = try inputs(pass, isView, draw)
        let usesHiDiffusion = isView ? pass.hiDiffusion.views : pass.hiDiffusion.first
        let profile = try #require(usesHiDiffusion ? model.hiDiffusionProfile : .sd15)
        let switches =
            usesHiDiffusion
            ? RAUNetSwitches(
                profile: profile, height: sides.height, width: sides.width, steps: count, step: position,
                settings: request.hiDiffusionSettings, native: model.sampleSize) : .plain
        let blocks = usesHiDiffusion && request.hiDiffusionSettings.windows ? profile.layout.windowBlockCount : nil
        let reductions = tokens(index, position, count)
        let canvas = [Float(8 * pass.height), Float(8 * pass.width)]
        return Call(
            seen: CallSeen(
                place: Place(
                    stage: index, stageCount: passes.count,
                    phase: pass.cut == nil ? .denoise : isView ? .detail : .structure,
                    step: isView ? call - boundary : position, stepCount: isView ? sampler.calls - boundary : boundary - first),
                number: number, timestep: Float(sampler.timesteps[call]), inputs: inputs, height: sides.height,
                width: sides.width, guidance: isView ? pass.viewGuidance ?? 6 : 6, rad: switches.rad, pool: switches.pool,
                windowBlocks: blocks,
                tokens: reductions.isEmpty
                    ? .none
                    : TokenSwitches(
                        reductions: reductions, minimumTokens: switches == .plain ? 0 : 1024, seed: request.seed, call: draw),
                sizes: model.pooledWidth == nil ? nil : canvas + canvas),
            views: views, shifts: blocks.map { WindowShifts.ids(seed: request.seed, call: draw, blocks: $0) })
    }

    private func inputs(
        _ pass: ExpectedPass, _ isView: Bool, _ draw: Int
    ) throws -> (sides: (height: Int, width: Int), views: [CanvasView], count: Int) {
        guard let cut = pass.cut else { return ((pass.height, pass.width), [], 1) }
        guard isView else {
            let grid = try PatchGrid(height: pass.height, width: pass.width, patch: cut.patch)
            return ((grid.patchHeight, grid.patchWidth), [], grid.count)
        }
        let views = try ViewGrid(
            height: pass.height, width: pass.width, view: cut.view, stride: cut.stride, jitter: cut.jitter)
        return (
            (min(cut.view, pass.height), min(cut.view, pass.width)), views.jitteredViews(seed: request.seed, call: draw),
            views.count
        )
    }
}
