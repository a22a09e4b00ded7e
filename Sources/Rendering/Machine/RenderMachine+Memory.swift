import ImageConditioning
import PatchGeometry
import Samplers
import ScratchFiles

extension RenderMachine {
    /// About the most bytes that the coordinator holds for this render, beside the program itself.
    ///
    /// A step holds some arrays of the canvas's size: the canvas and its next state, the network's output, parts on their way
    /// to workers and back, the sampler's memory, noise, and what a source picture adds. `patchloom-bench canvas` compares it
    /// with the growth of a process: by 45 pairs of method and sampler, 8192×8192 px took 0.73 to 1.19 times as much.
    public var coordinatorBytes: Int {
        let passes = plan.passes.indices.map { index in
            max(stepBytes(plan.passes[index], resolved.samplers[index]), pictureBytes(plan.passes[index]))
        }
        // A decoded picture is in memory up to this size, with a band of rows on its way through the encoder of PNG. The pixels
        // of blended tiles are a second file.
        let last = plan.passes[plan.passes.count - 1]
        let waiting = plan.decoding.layout(height: last.latentHeight, width: last.latentWidth).waitingPixels(
            scale: plan.latentScale)
        let decoding =
            latentBytes(last) * 2
            + [plan.width * plan.height * 3, waiting * 3].reduce(0) { $0 + min($1, ScratchFile.memoryLimit) }
        return (2 << 20) + sourceBytes + max(passes.max() ?? 0, decoding)
    }

    /// The part of `coordinatorBytes` that was there before: the source picture and its mask.
    public var sourceBytes: Int { request.source.map { $0.rgb.count + ($0.mask?.count ?? 0) } ?? 0 }

    private func latentBytes(_ pass: RenderPass) -> Int {
        pass.latentWidth * pass.latentHeight * plan.latentChannels * MemoryLayout<Float>.size
    }

    private func stepBytes(_ pass: RenderPass, _ sampler: Sampler) -> Int {
        var arrays = 5
        var views = 0
        if let cut = pass.cut {
            // The patches, shuffled, dealt out and back, are more copies of the canvas than the sums of views.
            if pass.structureCalls > 0 { arrays = 8 }
            views = cut.views.count
        }
        arrays += sampler.heldArrays + guideArrays
        return latentBytes(pass) * arrays + views * Self.viewBytes
    }

    /// About the bytes of a view's task, result and place.
    private static let viewBytes = 1 << 10

    /// The source picture's arrays: latent, noise and mask of the part to keep, or mask and masked picture for the network.
    private var guideArrays: Int {
        switch plan.source?.mode {
        case .inpaintKnown: 4
        case .inpaintNine: 3
        case .imageToImage, .textToImage, nil: 0
        }
    }

    /// A stage that is enlarged as a picture is whole, and once more on its way to the encoder.
    private func pictureBytes(_ pass: RenderPass) -> Int {
        guard pass.start.enlargesPixels else { return 0 }
        let scale = model.scaleFactor
        return 2 * 3 * pass.latentWidth * scale * pass.latentHeight * scale
    }
}
