import Acceleration
import DiffusionModels
import ImageConditioning
import PatchGeometry
import Samplers
import Sentences
import StrictJSON
import Weights

/// A plan with its samplers and prompts.
struct PreparedRender: Sendable {
    let plan: RenderPlan
    /// The sampler of each pass.
    let samplers: [Sampler]
    let prompts: PromptConditioning
}

/// Makes the decisions that a request leaves open. Every refusal is one sentence with the remedy.
struct PlanResolution {
    let request: RenderRequest
    let model: ModelDescription

    var native: Int { model.sampleSize }
    var latentWidth: Int { request.width / model.scaleFactor }
    var latentHeight: Int { request.height / model.scaleFactor }

    func resolve() throws(RenderError) -> PreparedRender {
        try request.validated()
        try checkHiDiffusionProfile()
        let steps = request.steps ?? model.usualSteps(request.samplingMethod, noiseSchedule: request.noiseSchedule)
        let sampler = try sampler(steps: steps)
        let source = try sourceUse()
        let method = resolvedMethod
        try request.checkSettingsBelong(to: method)
        var (passes, samplers) = try PassResolution(
            resolution: self, method: method, sampler: sampler, source: source
        ).passes()
        try checkEncoder(passes)
        let decoding = try decodePlan(passes)
        try checkMessages(passes, decoding)
        let calls = passes.flatMap(\.schedule)
        let usesHiDiffusion = calls.contains(where: \.usesHiDiffusion)
        try checkHiDiffusionIsUsed(calls)
        try checkHiDiffusionSettingsAreUsed(calls.filter(\.usesHiDiffusion))
        let tokens = try request.tokenReduction.flatMap { wanted throws(RenderError) in
            try ResolvedTokenReduction(wanted, model: model, passes: passes)
        }
        tokens?.apply(to: &passes, seed: request.seed)
        let text = try resolvedText(isGuided: calls.contains(where: \.isGuided))
        try checkSizesBelong()
        let plan = RenderPlan(
            width: request.width, height: request.height, latentWidth: latentWidth, latentHeight: latentHeight,
            latentChannels: model.latentChannels, steps: steps, passes: passes, source: source,
            guidanceScale: guidance, guidanceRescale: request.guidanceRescale, clipSkip: text.clipSkip,
            promptChunks: text.prompts.chunkCount, seed: request.seed, eta: Float(sampler.eta), method: method,
            samplingMethod: sampler.method, noiseSchedule: request.noiseSchedule,
            hiDiffusionProfile: usesHiDiffusion ? hiDiffusionProfile : nil, hiDiffusionSettings: request.hiDiffusionSettings,
            notes: notes(passes, steps: steps) + text.notes, loras: model.loras, tokenReduction: tokens,
            precision: request.precision,
            decoding: decoding)
        return PreparedRender(plan: plan, samplers: samplers, prompts: text.prompts)
    }

    func sampler(steps: Int, of setting: Setting = .steps) throws(RenderError) -> Sampler {
        try model.sampler(
            request.samplingMethod, noiseSchedule: request.noiseSchedule, steps: steps,
            eta: request.eta.map { Double($0.description) ?? Double($0) }, stepsSetting: setting)
    }

    /// Two starts need the autoencoder's encoder: a source picture, and a stage that is enlarged as a picture.
    private func checkEncoder(_ passes: [RenderPass]) throws(RenderError) {
        guard !model.hasEncoder else { return }
        let need: (what: String, cure: String)? = passes.lazy.compactMap { pass in
            if pass.start == .source { return ("a picture to start from", "leave the picture out") }
            return pass.start.enlargesPixels ? ("a stage that is enlarged as a picture", "choose the upscaler latent") : nil
        }.first
        guard let need else { return }
        throw .badModel(
            "The autoencoder of \(model.name) has no encoder, but \(need.what) needs one: choose another autoencoder "
                + "(\(.vae)), or \(need.cure).")
    }

    private func sourceUse() throws(RenderError) -> SourceUse? {
        guard !model.isInpainting || request.source?.mask != nil else {
            throw .invalidRequest(
                "\(model.name) is a model for inpainting: give it a picture (\(.initImg)) and a mask (\(.mask)), or choose "
                    + "another model.", aboutAll: request.source == nil ? [.initImg, .mask] : [.mask])
        }
        guard let source = request.source else { return nil }
        if let mask = try source.latentMask(scale: model.scaleFactor), !mask.contains(1) {
            throw .invalidRequest(
                "The marked part of the mask is thinner than \(model.scaleFactor) px everywhere, the width of a latent point, "
                    + "so nothing would be made anew: mark a larger part.", about: .mask)
        }
        do {
            let mode: ImageMode =
                source.mask != nil
                ? try ImageMode(inpaintingWithInputChannels: model.inputChannels, latentChannels: model.latentChannels)
                : .imageToImage
            // The decimal number as written: 0.7 of 10 steps are 7.
            let strength = Double((request.strength ?? RenderRequest.defaultStrength).description) ?? 1
            return SourceUse(mode: mode, strength: strength)
        } catch {
            throw .invalidRequest(Sentence(error.message), about: .mask)
        }
    }

    /// A latent, a tile's pixels and a picture to encode each travel in one message. This refuses a plan with one that does not
    /// fit now, not after hours of denoising.
    private func checkMessages(_ passes: [RenderPass], _ decoding: DecodePlan) throws(RenderError) {
        let limit = TaskLimits.messageBytes
        for pass in passes {
            let (width, height) = (pass.latentWidth * model.scaleFactor, pass.latentHeight * model.scaleFactor)
            let latentBytes = pass.latentWidth * pass.latentHeight * model.latentChannels * 4
            guard latentBytes <= limit else {
                throw .invalidRequest(
                    "The latent of \(width)×\(height) px has \(latentBytes >> 20) MiB, and at most \(limit >> 20) MiB can be "
                        + "sent: choose a smaller picture.", about: .width, .height)
            }
            let tile = decoding.layout(height: pass.latentHeight, width: pass.latentWidth).box(0).scaled(by: model.scaleFactor)
            guard tile.pointCount * 3 <= limit else {
                throw .invalidRequest(
                    "A tile of \(tile.width)×\(tile.height) px has \((tile.pointCount * 3) >> 20) MiB, and at most "
                        + "\(limit >> 20) MiB can be sent: choose a smaller \(.vaeTileSize).", about: .vaeTileSize)
            }
            guard pass.start.enlargesPixels else { continue }
            guard TaskLimits.canEncode(width * height) else {
                throw .invalidRequest(
                    "A stage of \(width)×\(height) px that is enlarged as a picture has \((width * height * 3) >> 20) MiB, and "
                        + "at most \(limit >> 20) MiB can be sent to the encoder: choose \(.hiresUpscaler) latent.",
                    about: .hiresUpscaler)
            }
        }
    }

    /// Refuses blended tiles that are too small, and a picture in which nothing would be blended.
    private func decodePlan(_ passes: [RenderPass]) throws(RenderError) -> DecodePlan {
        let tileSide = request.vaeTileSize.map { $0 / model.scaleFactor }
        let side = tileSide ?? native
        let isBlended = request.vaeTiling == .blend
        let plan = DecodePlan(
            model.vae, scale: model.scaleFactor, tileSide: tileSide,
            blendedSide: isBlended ? max(side, BlendedTiles.leastSide) : nil)
        guard isBlended else { return plan }
        guard side >= BlendedTiles.leastSide else {
            throw .invalidRequest(
                "Blended tiles of the native size of \(model.name) would have \(side * model.scaleFactor) px, too few to "
                    + "overlap: choose a larger \(.vaeTileSize), or \(.vaeTiling) exact.", about: .vaeTiling)
        }
        guard passes.contains(where: { plan.layout(height: $0.latentHeight, width: $0.latentWidth).blended != nil }) else {
            throw .invalidRequest(
                "The picture is one tile of at most \(side * model.scaleFactor) px, so \(.vaeTiling) blend would change "
                    + "nothing: leave it out, or choose a smaller \(.vaeTileSize).", about: .vaeTiling)
        }
        return plan
    }

    private var resolvedMethod: RenderMethod {
        guard request.method == .auto else { return request.method }
        let isDirect = RenderMethod.autoIsDirect(width: latentWidth, height: latentHeight, native: native)
        return isDirect ? .direct : model.recommended.method
    }

    private func notes(_ passes: [RenderPass], steps: Int) -> [String] {
        var notes = model.notes
        if request.steps == nil, steps < model.recommended.steps {
            notes.append("the model's noise schedule allows \(steps) steps, not the usual \(model.recommended.steps)")
        }
        if model.architecture.family.failsBelowNativeSize, max(request.width, request.height) < model.nativeSize {
            notes.append(
                "the model was trained at \(model.nativeSize) px and makes bad pictures of smaller sizes: "
                    + "choose at least \(model.nativeSize)×\(model.nativeSize)"
            )
        }
        if passes.contains(where: { $0.structureCalls > 0 && !($0.cut?.grid.isExact ?? true) }) {
            notes.append(
                "the size is no multiple of the patch: patches are made to fit and the canvas is cropped, which extends CutDiffusion"
            )
        }
        for pass in passes where request.refinement.upscaler == nil {
            guard case .enlarged(.latentBicubic, _) = pass.start, model.recommended.upscaler.kernel == nil else { continue }
            notes.append(
                "\(pass.latentWidth * model.scaleFactor)×\(pass.latentHeight * model.scaleFactor) px are too many for the "
                    + "encoder: this stage enlarges the latent")
        }
        return notes + (oddMapsNote(passes.flatMap(\.schedule)).map { [$0] } ?? [])
    }
}

// MARK: - Model and text

extension PlanResolution {
    var guidance: Float { request.guidanceScale ?? model.recommended.guidanceScale }

    var hiDiffusionProfile: HiDiffusionProfile? { request.hiDiffusionProfile ?? model.hiDiffusionProfile }

    /// - Parameter isGuided: whether any call has guidance.
    private func resolvedText(
        isGuided: Bool
    ) throws(RenderError) -> (prompts: PromptConditioning, clipSkip: Int, notes: [String]) {
        let layers = model.encoders.map(\.layers).min() ?? 1
        let clipSkip = max(request.clipSkip ?? model.clipSkip, model.clipSkip)
        guard clipSkip <= layers + 1 else {
            throw .invalidRequest(
                "A clip skip of \(clipSkip) is not possible: the text encoder of \(model.name) has \(layers) layers, so choose "
                    + "1 to \(layers + 1).",
                SettingFault(
                    .clipSkip, value: .integer(Int64(clipSkip)), possible: .numbers(1...Double(layers + 1))))
        }
        let prompts = try PromptConditioning(request, model, guided: isGuided, clipSkip: clipSkip)
        var notes = prompts.notes
        if clipSkip != request.clipSkip ?? clipSkip {
            notes.append("\(model.kind.title) reads the second-to-last layer of its text encoders: clip skip 1 means 2 here")
        }
        if request.guidanceRescale > 0, !isGuided {
            notes.append("the guidance rescale has no effect without guidance above 1")
        }
        return (prompts, clipSkip, notes)
    }

    private func checkSizesBelong() throws(RenderError) {
        guard !model.architecture.family.hasSizeConditioning else { return }
        guard request.originalSize == nil, request.cropTopLeft == nil, request.targetSize == nil else {
            throw .invalidRequest(
                "Original size, crop and target size belong to SDXL models, and \(model.name) is a model of the kind "
                    + "\(model.kind.title): leave them out.",
                aboutAll: request.set(among: [.originalSize, .cropCoordsTopLeft, .targetSize]))
        }
    }

    /// SDXL's sizes for a pass: the user's, or else the size of its canvas (in latents); nil for other families.
    func sizes(of canvas: (height: Int, width: Int)) -> SizeConditioning? {
        guard model.architecture.family.hasSizeConditioning else { return nil }
        let picture = SizeConditioning.Size(
            width: canvas.width * model.scaleFactor, height: canvas.height * model.scaleFactor)
        return SizeConditioning(
            originalSize: request.originalSize ?? picture,
            cropTopLeft: request.cropTopLeft ?? SizeConditioning.Corner(top: 0, left: 0),
            targetSize: request.targetSize ?? picture)
    }
}
