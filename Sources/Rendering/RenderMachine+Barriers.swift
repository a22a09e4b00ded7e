import Acceleration
import DiffusionModels
import ImageConditioning
import PatchGeometry
import Samplers

// What the next tasks are.

extension RenderMachine {
    mutating func barrier(_ phase: RenderPhase, step: Int, of count: Int, _ works: [RenderTask.Work]) -> Barrier {
        let before = resolved.passes[..<passIndex].reduce(0) { $0 + $1.pass.executedCalls }
        let overall = before + (phase == .detail ? step + pass.pass.structureCalls : step)
        expectedTasks = works.count
        return Barrier(
            phase: phase, stage: passIndex, stageCount: resolved.passes.count, step: step, stepCount: count,
            tasks: works.enumerated().map { index, work in
                RenderTask(phase: phase, step: overall, index: index, contextHash: context.hash, work: work)
            }, context: context)
    }

    mutating func firstDenoisingBarrier() -> Barrier {
        let first = pass.pass.firstCall
        if pass.cut == nil { return denoisingBarrier(first) }
        return pass.pass.structureCalls > 0 ? structureBarrier(first) : detailBarrier(first)
    }

    mutating func picturingBarrier(_ plan: SourcePlan) -> Barrier {
        guard let source = request.source else { preconditionFailure("a plan for a picture that is not there") }
        stage = .picturing
        let works = plan.encodes.map { draw in
            RenderTask.Work.encodePicture(
                PictureWork(
                    width: source.width, height: source.height, rgb: source.rgb,
                    mask: draw == .maskedImage ? source.mask : nil))
        }
        return barrier(.picture, step: 0, of: 1, works)
    }

    /// An enlarged result, for the encoder.
    mutating func picturingBarrier(_ work: PictureWork) -> Barrier {
        stage = .picturing
        return barrier(.picture, step: 0, of: 1, [.encodePicture(work)])
    }

    mutating func denoisingBarrier(_ step: Int) -> Barrier {
        stage = .denoising(step: step)
        let shown = ShownLatent(
            values: canvas, extra: guide.extraChannels, height: pass.pass.latentHeight, width: pass.pass.latentWidth)
        let work = denoise(shown, .denoise, step)
        return barrier(.denoise, step: step - pass.pass.firstCall, of: pass.pass.executedCalls, [work])
    }

    mutating func structureBarrier(_ step: Int) -> Barrier {
        guard let cut = pass.cut else { preconditionFailure("the structure phase belongs to the method cut") }
        let patches = slices(of: canvas, cut.grid)
        let interaction = PixelInteraction(
            patchCount: cut.grid.count, positionCount: patches[0].count, seed: plan.seed, step: pass.drawOffset + step)
        stage = .structure(step: step, interaction)
        // The extra channels stay where they belong: the permutations are those of the latent's channels.
        let extra = guide.extraChannels.map { cut.grid.deal($0, channels: extraChannelCount) }
        let works = interaction.shuffle(patches).enumerated().map { index, patch in
            let shown = ShownLatent(
                values: patch, extra: extra?[index], height: cut.grid.patchHeight, width: cut.grid.patchWidth)
            return denoise(shown, .structure, step)
        }
        return barrier(.structure, step: step - pass.pass.firstCall, of: pass.pass.structureCalls, works)
    }

    mutating func detailBarrier(_ step: Int) -> Barrier {
        guard let cut = pass.cut else { preconditionFailure("the detail phase belongs to the method cut") }
        let views = cut.views.jitteredViews(seed: plan.seed, step: pass.drawOffset + step)
        let crops = cut.views.crops(of: canvas, channels: plan.latentChannels, views: views)
        stage = .detail(step: step, views: views)
        let extra = guide.extraChannels.map { cut.views.crops(of: $0, channels: extraChannelCount, views: views) }
        let works = crops.enumerated().map { index, crop in
            let view = views[index]
            let shown = ShownLatent(values: crop, extra: extra?[index], height: view.height, width: view.width, view: view)
            return denoise(shown, .detail, step)
        }
        let start = pass.pass.firstCall + pass.pass.structureCalls
        return barrier(.detail, step: step - start, of: pass.pass.calls - start, works)
    }

    /// - Parameter next: what the pixels are for: `decoding` or `enlarging`.
    mutating func decodingBarrier(_ next: Stage) -> Barrier {
        stage = next
        let latent = Latent(
            channels: plan.latentChannels, height: pass.pass.latentHeight, width: pass.pass.latentWidth, values: canvas)
        return barrier(.decode, step: 0, of: 1, [.decode(latent)])
    }

    /// Channels that a network for inpainting takes beside the latent's.
    private var extraChannelCount: Int { plan.latentChannels + 1 }

    /// What the network is shown in one task.
    private struct ShownLatent {
        /// Not scaled yet.
        var values: [Float]
        /// The mask's and the masked picture's channels, where the network takes them.
        var extra: [Float]?
        var height: Int
        var width: Int
        /// Where it lies on the padded canvas; nil for a whole canvas and for patches, which stand for the whole.
        var view: PatchView?
    }

    /// One U-Net evaluation. SDXL is told of a view's corner.
    private func denoise(_ shown: ShownLatent, _ phase: RenderPhase, _ step: Int) -> RenderTask.Work {
        var unetPlan = UNetPlan.plain
        if phase == .detail ? pass.pass.hiDiffusionInDetail : pass.pass.hiDiffusionInStructure {
            unetPlan = hiDiffusionPlan(shown, step)
        }
        unetPlan.tokens =
            plan.tokenReduction?.tokens(
                (step - pass.pass.firstCall, pass.pass.executedCalls, isLater: passIndex > 0),
                key: (plan.seed, pass.drawOffset + step),
                corner: shown.view.map { ($0.top, $0.left) } ?? (0, 0), isShrunk: unetPlan.rad || unetPlan.pool) ?? .none
        let corner = shown.view.map {
            SizeConditioning.Corner(top: $0.top * model.scaleFactor, left: $0.left * model.scaleFactor)
        }
        return .denoise(
            DenoiseWork(
                latent: Latent(
                    channels: plan.latentChannels + (shown.extra == nil ? 0 : extraChannelCount), height: shown.height,
                    width: shown.width,
                    values: pass.sampler.scaleInput(shown.values, call: step) + (shown.extra ?? [])),
                timestep: Float(pass.sampler.timesteps[step]), guidance: pass.pass.guidance(phase),
                rescale: plan.guidanceRescale, timeIDs: sizes?.timeIDs(corner: corner), plan: unetPlan))
    }

    /// What SDXL is told of sizes: those of the pass's canvas, which is the picture as far as this pass knows, unless the user
    /// gave others.
    private var sizes: SizeConditioning? {
        guard var sizes = plan.sizes else { return nil }
        let canvas = SizeConditioning.Size(
            width: pass.pass.latentWidth * model.scaleFactor, height: pass.pass.latentHeight * model.scaleFactor)
        if request.originalSize == nil { sizes.originalSize = canvas }
        if request.targetSize == nil { sizes.targetSize = canvas }
        return sizes
    }

    /// HiDiffusion's decisions for one call; its stage follows the calls of this pass.
    private func hiDiffusionPlan(_ shown: ShownLatent, _ step: Int) -> UNetPlan {
        guard let blocks = resolved.windowBlocks, let family = plan.hiDiffusionFamily else { return .plain }
        let settings = plan.hiDiffusionSettings
        let stage = HiDiffusionStage(
            family: family, height: shown.height, width: shown.width, steps: pass.pass.executedCalls,
            step: step - pass.pass.firstCall, settings: settings, native: model.sampleSize)
        return UNetPlan(
            rad: stage.rad, pool: stage.pool,
            windowShifts: settings.windows
                ? WindowShifts.ids(seed: plan.seed, step: pass.drawOffset + step, blocks: blocks) : nil)
    }
}
