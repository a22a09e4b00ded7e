import Acceleration
import ImageConditioning
import PatchGeometry
import Samplers
import Weights

/// A plan with what is needed to carry it out.
struct ResolvedPlan: Sendable {
    let plan: RenderPlan
    let sampler: Sampler
    /// nil for `direct`.
    let cut: CutGeometry?
    /// How many shift ids window attention takes; nil when HiDiffusion is off throughout.
    let windowBlocks: Int?
    let prompts: PromptConditioning
}

/// CutDiffusion's two ways to cut the canvas.
struct CutGeometry: Sendable {
    let grid: PatchGrid
    let views: ViewGrid
    let phases: PhaseSchedule
}

/// Makes the decisions that a request leaves open. Every refusal is one sentence with the remedy.
struct PlanResolution {
    let request: RenderRequest
    let model: ModelDescription

    private var native: Int { model.sampleSize }
    private var latentWidth: Int { request.width / model.scaleFactor }
    private var latentHeight: Int { request.height / model.scaleFactor }

    func resolve() throws(RenderError) -> ResolvedPlan {
        try request.validated()
        try checkRecipe()
        try checkPictureFitsAMessage()
        let steps = request.steps ?? model.recommended.steps
        let sampler: Sampler
        do {
            sampler = try Sampler(
                model.scheduler, method: request.samplingMethod, schedule: request.noiseSchedule, steps: steps,
                eta: request.eta.map { Double($0.description) ?? Double($0) })
        } catch {
            throw RenderError(error.code == .badConfiguration ? .badModel : .invalidRequest, error.message)
        }
        let source = try sourcePlan(sampler)
        let method = resolvedMethod
        let cut = method == .cut ? try cutGeometry(sampler) : nil
        if method == .direct,
            request.patch != nil || request.stride != nil || request.structureFraction != nil
                || request.detailGuidanceScale != nil
        {
            throw RenderError(
                .invalidRequest,
                "Patch, stride, structure fraction and detail guidance belong to the method cut, but this picture is rendered directly: "
                    + "leave them out or choose the method cut.")
        }
        let structure = usesHiDiffusion(
            height: cut?.grid.patchHeight ?? latentHeight, width: cut?.grid.patchWidth ?? latentWidth)
        let detail =
            cut.map { usesHiDiffusion(height: $0.views.windowHeight, width: $0.views.windowWidth) } ?? structure
        try checkHiDiffusionIsUsed(structure || detail, cut)
        let text = try resolvedText(cut)
        let plan = RenderPlan(
            width: request.width, height: request.height, latentWidth: latentWidth, latentHeight: latentHeight,
            latentChannels: model.latentChannels, steps: steps, calls: sampler.calls,
            firstCall: source?.firstCall ?? 0, source: source,
            guidanceScale: guidance, detailGuidanceScale: detailGuidance, guidanceRescale: request.guidanceRescale,
            clipSkip: text.clipSkip, promptChunks: text.prompts.chunkCount, sizes: try resolvedSizes(), seed: request.seed,
            eta: Float(sampler.eta), method: method, samplingMethod: sampler.method,
            noiseSchedule: request.noiseSchedule, cut: cut.map(Self.planCut),
            hiDiffusionInStructure: structure, hiDiffusionInDetail: detail,
            hiDiffusionFamily: structure || detail ? hiDiffusionFamily : nil, notes: notes(cut) + text.notes,
            loras: model.loras, tokenReduction: try tokenReduction(cut, calls: sampler.calls - (source?.firstCall ?? 0)))
        return ResolvedPlan(
            plan: plan, sampler: sampler, cut: cut, windowBlocks: structure || detail ? model.windowBlockCount : nil,
            prompts: text.prompts)
    }

    private func tokenReduction(_ cut: CutGeometry?, calls: Int) throws(RenderError) -> TokenReductionPlan? {
        guard let wanted = request.tokenReduction else { return nil }
        let inputs =
            cut.map {
                [($0.grid.patchHeight, $0.grid.patchWidth), ($0.views.windowHeight, $0.views.windowWidth)]
            } ?? [(latentHeight, latentWidth)]
        return try TokenReductionPlan(wanted, model: model, calls: calls, inputs: inputs)
    }

    /// What is done with the source picture.
    private func sourcePlan(_ sampler: Sampler) throws(RenderError) -> SourcePlan? {
        guard !model.isInpainting || request.source?.mask != nil else {
            throw RenderError(
                .invalidRequest,
                "\(model.name) is a model for inpainting: give it a picture (-i) and a mask (--mask), or choose another model.")
        }
        guard let source = request.source else { return nil }
        if let mask = try source.latentMask(scale: model.scaleFactor), !mask.contains(1) {
            throw RenderError(
                .invalidRequest,
                "What is white in the mask is thinner than \(model.scaleFactor) px everywhere, the width of a latent point, so nothing "
                    + "would be made anew: paint it larger.")
        }
        do {
            let mode: ImageMode =
                source.mask != nil
                ? try ImageMode(inpaintingWithInputChannels: model.inputChannels, latentChannels: model.latentChannels)
                : .imageToImage
            // The decimal number that the user wrote: 0.7 of 10 steps are 7.
            let strength = Double((request.strength ?? RenderRequest.defaultStrength).description) ?? 1
            return SourcePlan(mode: mode, strength: strength, firstCall: try mode.firstCall(sampler, strength: strength))
        } catch {
            throw RenderError(.invalidRequest, error.message)
        }
    }

    /// The decoded picture comes back from a worker as one message. Said now, not after hours of denoising.
    private func checkPictureFitsAMessage() throws(RenderError) {
        let bytes = request.width * request.height * 3
        guard bytes <= TaskLimits.pictureBytes else {
            throw RenderError(
                .invalidRequest,
                "A picture of \(request.width)×\(request.height) px has \(bytes >> 20) MiB of pixels, and at most "
                    + "\(TaskLimits.pictureBytes >> 20) MiB can be decoded: choose a smaller picture.")
        }
    }

    /// Up to the native size the model is used as it was trained.
    private var resolvedMethod: RenderMethod {
        guard request.method == .auto else { return request.method }
        return max(latentWidth, latentHeight) <= native ? .direct : .cut
    }

    private func cutGeometry(_ sampler: Sampler) throws(RenderError) -> CutGeometry {
        let patch = (request.patch ?? native * model.scaleFactor) / model.scaleFactor
        let stride = request.stride.map { $0 / model.scaleFactor } ?? max(1, patch / 2)
        guard patch <= max(latentWidth, latentHeight) else {
            throw RenderError(
                .invalidRequest,
                "A patch of \(patch * model.scaleFactor) px is larger than the picture of \(request.width)×\(request.height): choose a "
                    + "smaller patch, a larger picture or the method direct.")
        }
        guard stride <= patch else {
            throw RenderError(
                .invalidRequest,
                "A stride of \(stride * model.scaleFactor) px would leave gaps between patches of \(patch * model.scaleFactor) px: choose "
                    + "a stride of at most \(patch * model.scaleFactor).")
        }
        let fraction = request.structureFraction ?? model.recommended.structureFraction
        do {
            let grid = try PatchGrid(height: latentHeight, width: latentWidth, patch: patch)
            let views = try ViewGrid(height: latentHeight, width: latentWidth, window: patch, stride: stride)
            try checkCounts(grid, views)
            let phases = try PhaseSchedule(
                steps: sampler.calls, fraction: fraction, mayRelocate: sampler.isStepStart(call:))
            return CutGeometry(grid: grid, views: views, phases: phases)
        } catch let error as GeometryError {
            throw RenderError(.invalidRequest, error.message)
        } catch let error as RenderError {
            throw error
        } catch {
            throw RenderError(.invalidRequest, "\(error)")
        }
    }

    /// The most patches or views of one step.
    private static let patchLimit = 16384

    /// The most bytes of all views of one step, which the coordinator holds at once.
    private static let viewBytesLimit = 512 << 20

    private func checkCounts(_ grid: PatchGrid, _ views: ViewGrid) throws(RenderError) {
        let count = max(grid.count, views.count)
        guard count <= Self.patchLimit else {
            throw RenderError(
                .invalidRequest,
                "The picture would be cut into \(count) patches: choose a larger patch or stride for at most \(Self.patchLimit)."
            )
        }
        let bytes = views.count * views.windowHeight * views.windowWidth * model.latentChannels * 4
        guard bytes <= Self.viewBytesLimit else {
            throw RenderError(
                .invalidRequest,
                "The \(views.count) views of one step would take \(bytes >> 20) MiB, more than \(Self.viewBytesLimit >> 20): choose a "
                    + "larger stride.")
        }
    }

    /// Whether HiDiffusion is on for a U-Net input of this size.
    private func usesHiDiffusion(height: Int, width: Int) -> Bool {
        guard request.hiDiffusion != .off, hiDiffusionFamily != nil else { return false }
        return HiDiffusionGuard.allows(height: height, width: width, native: native)
    }

    /// `on` must not be ignored in silence.
    private func checkHiDiffusionIsUsed(_ used: Bool, _ cut: CutGeometry?) throws(RenderError) {
        guard request.hiDiffusion == .on, !used else { return }
        guard hiDiffusionFamily != nil else {
            throw RenderError(
                .invalidRequest, "HiDiffusion has no place in the U-Net of \(model.name): choose --hidiffusion off or auto.")
        }
        let needed = (3 * native + 1) / 2 * model.scaleFactor
        let side =
            model.scaleFactor * (cut.map { min($0.views.windowHeight, $0.views.windowWidth) } ?? min(latentHeight, latentWidth))
        throw RenderError(
            .invalidRequest,
            "HiDiffusion would harm a U-Net input of \(side) px, which must be at least \(needed) px for a model of \(model.nativeSize) px: "
                + (cut == nil ? "choose a larger picture" : "choose a larger patch or the method direct")
                + ", or --hidiffusion off.")
    }

    private func notes(_ cut: CutGeometry?) -> [String] {
        var notes = model.source.assumptions
        if model.family.isXL, max(request.width, request.height) < model.nativeSize {
            notes.append(
                "the model was trained at \(model.nativeSize) px and does badly below: -W \(model.nativeSize) -H \(model.nativeSize)"
            )
        }
        if let cut, !cut.grid.isExact {
            notes.append(
                "the size is no multiple of the patch: patches are fitted to it and cropped, an extension of CutDiffusion")
        }
        return notes
    }

    private static func planCut(_ geometry: CutGeometry) -> RenderPlan.Cut {
        RenderPlan.Cut(
            gridRows: geometry.grid.rows, gridColumns: geometry.grid.columns, patchHeight: geometry.grid.patchHeight,
            patchWidth: geometry.grid.patchWidth, viewHeight: geometry.views.windowHeight,
            viewWidth: geometry.views.windowWidth,
            stride: geometry.views.stride, viewsPerStep: geometry.views.count, structureSteps: geometry.phases.structureSteps)
    }
}

// MARK: - Model and text

extension PlanResolution {
    private var guidance: Float { request.guidanceScale ?? model.recommended.guidanceScale }
    private var detailGuidance: Float { request.detailGuidanceScale ?? guidance }
    private var hiDiffusionFamily: HiDiffusionFamily? { request.hiDiffusionFamily ?? model.hiDiffusionFamily }

    /// A recipe of HiDiffusion that is not the model's.
    private func checkRecipe() throws(RenderError) {
        if let family = request.hiDiffusionFamily, family.windowBlockCount != model.windowBlockCount {
            throw RenderError(
                .invalidRequest,
                "HiDiffusion's recipe \(family.rawValue) does not fit \(model.name), a model of the kind \(model.family.title): choose "
                    + "--hidiffusion-family auto.")
        }
    }

    /// The prompts' rows; each phase's own scale decides whether it is guided.
    private func resolvedText(
        _ cut: CutGeometry?
    ) throws(RenderError) -> (prompts: PromptConditioning, clipSkip: Int, notes: [String]) {
        let layers = model.encoders.map(\.layers).min() ?? 1
        let clipSkip = max(request.clipSkip ?? model.clipSkip, model.clipSkip)
        guard clipSkip <= layers + 1 else {
            throw RenderError(
                .invalidRequest,
                "A clip skip of \(clipSkip) is not possible: the text encoder of \(model.name) has \(layers) layers, so choose 1 to "
                    + "\(layers + 1).")
        }
        let isGuided = guidance > 1 || (cut != nil && detailGuidance > 1)
        let prompts = try PromptConditioning(request, model, guided: isGuided, clipSkip: clipSkip)
        var notes = prompts.notes
        if clipSkip != request.clipSkip ?? clipSkip {
            notes.append("\(model.family.title) reads the second-to-last layer of its text encoders: clip skip 1 means 2 here")
        }
        if request.guidanceRescale > 0, !isGuided {
            notes.append("the guidance rescale has no effect without guidance above 1")
        }
        return (prompts, clipSkip, notes)
    }

    /// What SDXL is told of sizes.
    private func resolvedSizes() throws(RenderError) -> SizeConditioning? {
        guard model.pooledWidth != nil else {
            guard request.originalSize == nil, request.cropTopLeft == nil, request.targetSize == nil else {
                throw RenderError(
                    .invalidRequest,
                    "Original size, crop and target size belong to SDXL models, and \(model.name) is a model of the kind "
                        + "\(model.family.title): leave them out.")
            }
            return nil
        }
        let picture = SizeConditioning.Size(width: request.width, height: request.height)
        return SizeConditioning(
            originalSize: request.originalSize ?? picture,
            cropTopLeft: request.cropTopLeft ?? SizeConditioning.Corner(top: 0, left: 0),
            targetSize: request.targetSize ?? picture)
    }
}
