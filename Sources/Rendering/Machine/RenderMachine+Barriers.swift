import Acceleration
import DiffusionModels
import ImageConditioning
import PatchGeometry
import Places
import Samplers

// The next tasks.

extension RenderMachine {
    /// - Parameters:
    ///   - call: the call of these tasks; nil for phases without calls, which have one step.
    ///   - content: the context that the tasks work on, if it is not the job's usual one.
    mutating func barrier(
        _ phase: RenderPhase, _ works: [any TaskWork], of call: PlannedCall? = nil, on content: TiledDecoding? = nil
    ) -> Barrier {
        expectedOutputs = works.map { $0.output(of: model) }
        let context = content?.context ?? context
        var place = call?.place ?? Place(stage: passIndex, stageCount: plan.passes.count, phase: phase)
        if let step = content?.step { (place.step, place.stepCount) = step }
        let tasks = works.enumerated().map { index, work in
            RenderTask(
                phase: phase, call: content?.step.index ?? (call ?? pass.first).number, index: index,
                contextHash: context.hash, work: work)
        }
        return Barrier(place: place, tasks: tasks, context: context, base: content?.base, takesEach: takesEach)
    }

    /// The source picture, for the encoder.
    mutating func sourceBarrier(_ use: SourceUse, _ source: SourcePicture) -> Barrier {
        state = .picturing
        let works = use.encodes.map { draw in
            PictureWork(
                width: source.width, height: source.height, rgb: source.rgb, mask: draw == .maskedImage ? source.mask : nil)
        }
        return barrier(.picture, works)
    }

    /// The tasks of the call at a position of the pass's schedule.
    mutating func callBarrier(_ position: Int) throws(RenderError) -> Barrier {
        let call = pass.schedule[position]
        let (layout, shown): (Layout, [ShownLatent]) =
            switch call.phase {
            case .structure: try patches(call)
            case .detail: try views(call)
            default: (.whole, [ShownLatent(latent(call, canvas, extra: guide.extraChannels))])
            }
        state = .calling(position: position, layout)
        let switches = try switches(call)
        return barrier(call.phase, shown.map { denoise($0, call, switches) }, of: call)
    }

    private mutating func patches(_ call: PlannedCall) throws(RenderError) -> (Layout, [ShownLatent]) {
        let grid = cut.grid
        let patches = slices(of: canvas, grid)
        let interaction = try randomness.interaction(
            patches: grid.count, positions: patches[0].count, call: call.draw)
        // The permutations are for the latent's channels. The extra channels stay in place.
        let extra = guide.extraChannels.map { grid.deal($0, channels: extraChannelCount) }
        let shown = interaction.shuffle(patches).enumerated().map { index, patch in
            ShownLatent(latent(call, patch, extra: extra?[index]))
        }
        return (.patches(interaction), shown)
    }

    /// - Parameter extra: the input channels of an inpainting network beside the latent's.
    private func latent(_ call: PlannedCall, _ values: [Float], extra: [Float]?) -> Latent {
        Latent(
            channels: plan.latentChannels + (extra == nil ? 0 : extraChannelCount), height: call.height, width: call.width,
            values: sampler.scaleInput(values, call: call.call) + (extra ?? []))
    }

    /// Views are cut from the canvas when they are sent: all at once they would be several canvases.
    private mutating func views(_ call: PlannedCall) throws(RenderError) -> (Layout, [ShownLatent]) {
        let grid = cut.views
        let views = try randomness.views(grid, call: call.draw)
        let (scaled, extra) = (sampler.scaleInput(canvas, call: call.call), guide.extraChannels)
        let (channels, extraCount) = (plan.latentChannels, extra == nil ? 0 : extraChannelCount)
        let shown = views.map { view in
            let latent = Latent(channels: channels + extraCount, height: call.height, width: call.width) {
                let crop = grid.crop(of: scaled, channels: channels, view)
                guard let extra else { return crop }
                return crop + grid.crop(of: extra, channels: extraCount, view)
            }
            return ShownLatent(latent, view: view)
        }
        merging = ViewMerging(views, of: grid, channels: channels, blending: pass.blending)
        return (.views, shown)
    }

    /// A task of a call without its numbers. It needs no canvas.
    mutating func sampleWork(of call: PlannedCall) throws(RenderError) -> DenoiseWork {
        let channels = plan.latentChannels + (plan.source?.mode == .inpaintNine ? extraChannelCount : 0)
        let count = channels * call.height * call.width
        let latent = Latent(channels: channels, height: call.height, width: call.width) {
            [Float](repeating: 0, count: count)
        }
        var view: CanvasView?
        if call.phase == .detail {
            let views = try randomness.views(cut.views, call: call.draw)
            view = views[views.count / 2]
        }
        return denoise(ShownLatent(latent, view: view), call, try switches(call))
    }

    /// The first section of decoding the canvas.
    mutating func decodingBarrier(_ purpose: TiledDecoding.Purpose) -> Barrier {
        let latent = Latent(
            channels: plan.latentChannels, height: pass.latentHeight, width: pass.latentWidth, values: canvas)
        return barrier(TiledDecoding(latent, plan.decoding, context: context, for: purpose))
    }

    /// The next section.
    mutating func barrier(_ decoding: TiledDecoding) -> Barrier {
        state = .decoding(decoding)
        return barrier(.decode, decoding.works, on: decoding)
    }

    /// The input channels of an inpainting network beside the latent's.
    private var extraChannelCount: Int { plan.latentChannels + 1 }

    /// The network's input in one task.
    private struct ShownLatent {
        var latent: Latent
        /// Its place on the padded canvas; nil for a whole canvas, and for patches, which stand for the whole.
        var view: CanvasView?

        init(_ latent: Latent, view: CanvasView? = nil) { (self.latent, self.view) = (latent, view) }
    }

    /// One task. SDXL gets the view's corner.
    private func denoise(_ shown: ShownLatent, _ call: PlannedCall, _ switches: UNetSwitches) -> DenoiseWork {
        var switches = switches
        if let view = shown.view, call.tokens != .none {
            (switches.tokens.originRow, switches.tokens.originColumn) = (view.top, view.left)
        }
        let corner = shown.view.map {
            SizeConditioning.Corner(top: $0.top * model.scaleFactor, left: $0.left * model.scaleFactor)
        }
        return DenoiseWork(
            latent: shown.latent,
            timestep: Float(sampler.timesteps[call.call]), guidance: call.guidanceScale,
            rescale: plan.guidanceRescale, timeIDs: timeIDs(corner, call), switches: switches)
    }

    /// The network's switches in all tasks of the call, and its random draws.
    private mutating func switches(_ call: PlannedCall) throws(RenderError) -> UNetSwitches {
        var switches = call.switches
        switches.tokens = try randomness.chosen(call.tokens, call: call.draw)
        if let blocks = call.windowBlocks {
            switches.windowShifts = try randomness.windowShifts(blocks: blocks, call: call.draw)
        }
        return switches
    }

    private func timeIDs(_ corner: SizeConditioning.Corner?, _ call: PlannedCall) -> [Float]? {
        guard let sizes = call.sizes else { return nil }
        let negative = call.isGuided ? request.negativeSizes : nil
        return (negative?.timeIDs() ?? []) + sizes.timeIDs(corner: corner)
    }
}
