import Acceleration
public import ContentHash
package import DiffusionModels
import ImageConditioning
public import TensorCore
public import Weights

/// The worker's side: runs tasks on the networks of its models. A pure function with a cache, for one compute thread.
///
/// Networks are built when a context or a task first needs them and kept.
public final class TaskRunner {
    /// The identities of the models it can run, in the order in which they were given.
    public var modelIdentities: [SHA256Digest] { models.identities }
    /// What decides the last bits of its results.
    public var numericsClass: String { context.numericsClass }
    /// Multiplications and additions of all tasks so far, as `ComputeContext` counts them.
    public var operations: UInt64 { context.operations }
    /// The most bytes of activations in use at once so far, or since the last `settle`.
    public var peakActivationBytes: Int { context.peakActivationBytes }

    /// Bytes kept for the activations of later tasks.
    var idleActivationBytes: Int { context.idleActivationBytes }

    private let context: ComputeContext
    let models: ModelVariants
    /// Contexts by hash, the one used last at the end.
    private var contexts: [(hash: SHA256Digest, opened: OpenedContext)] = []

    /// How many contexts are kept; the one unused for longest goes first.
    public static let contextLimit = 64

    /// Computes the models' identities, which reads all their files once.
    ///
    /// - Parameter loras: where the LoRA files are that jobs name by their content.
    /// - Throws: `.notFound`, `.badModel` for models that cannot be used, `.compute` for a backend that does not start.
    public convenience init(
        models: [ModelSource], loras: LoRALibrary = .empty, backend: BackendChoice, threads: Int
    ) throws(RenderError) {
        let context: ComputeContext
        do { context = try ComputeContext(backend: backend, threads: threads) } catch {
            throw RenderError(.compute, error.message)
        }
        try self.init(models: models, loras: loras, context: context)
    }

    /// A runner on a context that others use too, one after the other.
    package init(
        models: [ModelSource], loras: LoRALibrary = .empty, context: ComputeContext
    ) throws(RenderError) {
        self.context = context
        self.models = try ModelVariants(models, library: loras, context: context)
    }

    /// Takes a job's context and builds the networks that its tasks will need, the decoder among them: that it cannot be built
    /// should not come out when the picture is nearly done.
    ///
    /// - Throws: `.badModel` for a model that it does not have or that cannot be built, `.notFound` for a LoRA file that it
    ///   does not have, `.malformed` for prompts that do not fit the model.
    public func open(_ job: JobContext) throws(RenderError) {
        if let place = contexts.firstIndex(where: { $0.hash == job.hash }) {
            contexts.append(contexts.remove(at: place))
            return
        }
        let variant = ModelVariants.Key(model: job.modelIdentity, loras: job.loras)
        let model = try models.networks(variant)
        _ = try model.decoder()
        if let conditioning = job.conditioning {
            try model.check(conditioning)
            _ = try model.unet()
            contexts.append((job.hash, OpenedContext(variant: variant, text: conditioning)))
        } else {
            for index in model.parts.texts.indices { _ = try model.textEncoder(index) }
            contexts.append((job.hash, OpenedContext(variant: variant, text: nil)))
        }
        if contexts.count > Self.contextLimit {
            contexts.removeFirst()
            context.trimMemory()
        }
    }

    /// Begins to measure activations anew: for the time between two jobs.
    ///
    /// - Parameter trimming: whether memory that is only kept to be fast is given back.
    public func settle(trimming: Bool) {
        if trimming { context.trimMemory() }
        context.forgetPeak()
    }

    /// Computes one task. `advanced` is called again and again while the computation moves on, also within the task.
    ///
    /// - Throws: `.missingContext` when its context was not opened, `.malformed` for a task that does not fit the model,
    ///   `.nonFinite` for NaN or infinity in the result, naming phase, step and patch, `.compute` from the backend.
    public func run(_ task: RenderTask, advanced: @escaping () -> Void = {}) throws(RenderError) -> TaskOutput {
        context.whenAdvancing = advanced
        defer {
            context.whenAdvancing = nil
            // A large picture at once takes far more memory than all else, and only once in a job.
            switch task.work {
            case .decode, .encodePicture: context.trimMemory()
            case .encode, .denoise: break
            }
        }
        return try compute(task)
    }

    private func compute(_ task: RenderTask) throws(RenderError) -> TaskOutput {
        guard let place = contexts.firstIndex(where: { $0.hash == task.contextHash }) else {
            throw RenderError(
                .missingContext, "\(task.title): this worker does not hold the job's context \(task.contextHash.hex).")
        }
        let entry = contexts.remove(at: place)
        contexts.append(entry)
        do {
            switch task.work {
            case .encode(let work): return try encode(work, entry.opened)
            case .encodePicture(let work): return .moments(try encode(work, entry.opened))
            case .denoise(let work): return .prediction(try denoise(work, entry.opened))
            case .decode(let latent): return try decode(latent, entry.opened)
            }
        } catch let error as RenderError {
            throw error
        } catch let error as ModelError {
            throw RenderError(RenderError.Code(error.code), "\(task.title): \(error.message)")
        } catch {
            throw RenderError(.compute, "\(task.title): \(error)")
        }
    }

    /// The last hidden states of the encoders, side by side, with or without the norm, as the family has it; and the last
    /// encoder's pooled vector where the U-Net takes one.
    private func encode(_ work: EncodeWork, _ opened: OpenedContext) throws -> TaskOutput {
        let model = try models.networks(opened.variant)
        guard work.ids.count == model.parts.texts.count else {
            throw ModelError(
                .input, "ids for \(work.ids.count) text encoders do not fit a model with \(model.parts.texts.count).")
        }
        let family = model.parts.architecture.family
        var states: [Tensor] = []
        var pooled: [Float] = []
        for (index, ids) in work.ids.enumerated() {
            let encoder = try model.textEncoder(index)
            let output = try encoder.encode(ids: ids)
            if family.hasPooledConditioning { pooled = output.pooled.array }
            if !family.normsText {
                states.append(try encoder.state(output, clipSkip: work.skippedLayers))
            } else {
                states.append(
                    work.skippedLayers == 0
                        ? output.lastHiddenState : try encoder.normedState(output, clipSkip: work.skippedLayers))
            }
        }
        let state = states.dropFirst().reduce(states[0]) { context.concatenateChannels($0, $1) }
        return .embeddings(
            rows: state.shape[0], tokens: state.shape[1], width: state.shape[2], values: state.array, pooled: pooled)
    }

    private func denoise(_ work: DenoiseWork, _ opened: OpenedContext) throws -> Latent {
        let guided = work.guidance > 1
        let text = try opened.rows(guided: guided)
        let latent = work.latent
        let rows = text.vectors.shape[0]
        let sample = Tensor(
            planar: (0..<rows).flatMap { _ in latent.values }, n: rows, c: latent.channels, h: latent.height, w: latent.width)
        let timeIDs = try work.timeIDs.map { numbers in
            let width = DenoiseWork.timeIDCount
            guard numbers.count == width || numbers.count == rows * width else {
                throw ModelError(.input, "size conditioning of two rows needs guidance.")
            }
            return Tensor(numbers.count == width ? (0..<rows).flatMap { _ in numbers } : numbers, shape: [rows, width])
        }
        let output = try models.networks(opened.variant).unet().forward(
            UNetInput(
                sample: sample, timesteps: [work.timestep], text: text.vectors, textEmbeds: text.pooled, timeIDs: timeIDs),
            plan: work.plan)
        var values = output.planarArray
        if guided { values = Guidance(scale: work.guidance, rescale: work.rescale).combined(values) }
        guard values.allSatisfy(\.isFinite) else { throw ModelError(.nonFinite, "guidance left the range of numbers.") }
        // A network for inpainting takes more channels than it gives.
        return Latent(channels: output.shape[3], height: output.shape[1], width: output.shape[2], values: values)
    }

    /// The distribution of a picture's latent. What is masked is grey to the encoder, as diffusers' inpainting has it.
    private func encode(_ work: PictureWork, _ opened: OpenedContext) throws -> Latent {
        let encoder = try models.networks(opened.variant).encoder()
        var planes = PicturePixels.planes(rgb: work.rgb)
        if let mask = work.mask {
            planes = try InpaintMask(mask.map { Float($0) }, height: work.height, width: work.width).maskedImage(planes)
        }
        let moments = try encoder.encode(Tensor(planar: planes, n: 1, c: 3, h: work.height, w: work.width))
        let (mean, variance) = (moments.mean, moments.logVariance)
        return Latent(
            channels: mean.shape[3] * 2, height: mean.shape[1], width: mean.shape[2],
            values: mean.planarArray + variance.planarArray)
    }

    private func decode(_ latent: Latent, _ opened: OpenedContext) throws -> TaskOutput {
        let decoder = try models.networks(opened.variant).decoder()
        guard latent.channels == decoder.configuration.latentChannels else {
            throw ModelError(
                .input,
                "the autoencoder takes latents of \(decoder.configuration.latentChannels) channels, not \(latent.channels).")
        }
        let input = decoder.configuration.decoderInput(latent.values, height: latent.height, width: latent.width)
        let image = try decoder.decode(
            Tensor(planar: input, n: 1, c: latent.channels, h: latent.height, w: latent.width))
        return .pixels(width: image.shape[2], height: image.shape[1], rgb: image.array.map(Self.byte))
    }

    /// −1…1 to 0…255 as diffusers does: halved and shifted, clamped, scaled, rounded half to even.
    private static func byte(_ value: Float) -> UInt8 {
        UInt8((min(1, max(0, value / 2 + 0.5)) * 255).rounded(.toNearestOrEven))
    }
}

extension TaskRunner {
    /// The networks of its first model, without LoRA files.
    package func networks() throws(RenderError) -> ModelNetworks {
        try models.networks(ModelVariants.Key(model: models.identities[0], loras: []))
    }
}

/// A context that tasks can run in.
private struct OpenedContext {
    /// The embedded prompts that a U-Net call takes.
    struct Rows {
        /// (rows, tokens, width)
        let vectors: Tensor
        /// SDXL: (rows, width)
        let pooled: Tensor?

        init(_ text: JobContext.Conditioning, _ range: Range<Int>) {
            func slice(_ values: [Float]) -> [Float] {
                let size = values.count / text.rows
                return Array(values[(range.lowerBound * size)..<(range.upperBound * size)])
            }
            vectors = Tensor(slice(text.values), shape: [range.count, text.tokens, text.width])
            pooled =
                text.pooled.isEmpty
                ? nil : Tensor(slice(text.pooled), shape: [range.count, text.pooled.count / text.rows])
        }
    }

    let variant: ModelVariants.Key
    /// The negative prompt's and the prompt's row; nil when the context has none.
    private let guided: Rows?
    /// The prompt's row.
    private let alone: Rows?

    init(variant: ModelVariants.Key, text: JobContext.Conditioning?) {
        self.variant = variant
        guided = text.flatMap { $0.rows == 2 ? Rows($0, 0..<2) : nil }
        alone = text.map { Rows($0, ($0.rows - 1)..<$0.rows) }
    }

    /// The embedded prompts: two rows with guidance, one without.
    func rows(guided isGuided: Bool) throws(ModelError) -> Rows {
        guard let rows = isGuided ? guided : alone else {
            throw ModelError(.input, "its guidance does not fit the number of prompts in its context.")
        }
        return rows
    }
}

/// The networks of one model, each built when it is first needed.
package final class ModelNetworks {
    let source: ModelSource
    private let context: ComputeContext
    package let parts: ModelParts
    /// The same model without LoRA files, whose networks are used where these files change nothing.
    private let base: ModelNetworks?
    private var builtUNet: UNet?
    private var builtDecoder: VAEDecoder?
    private var builtEncoder: VAEEncoder?
    /// By place among the model's text encoders.
    private var builtTextEncoders: [Int: CLIPTextModel] = [:]

    init(_ source: ModelSource, _ context: ComputeContext) throws(RenderError) {
        (self.source, self.context, base) = (source, context, nil)
        parts = try ModelParts(source)
    }

    /// - Parameter source: the base's own with LoRA files merged into it.
    init(_ source: ModelSource, over base: ModelNetworks) {
        (self.source, self.base, context, parts) = (source, base, base.context, base.parts)
    }

    /// Gives up what LoRA files can change, but for the components named; it is built again when it is needed.
    func forgetMergeable(except kept: Set<String>) {
        if !kept.contains("unet") { builtUNet = nil }
        builtTextEncoders = builtTextEncoders.filter { kept.contains(ModelFamily.textEncoders[$0.key]) }
    }

    /// Whether it holds a U-Net of its own. For tests.
    var hasBuiltUNet: Bool { builtUNet != nil }

    /// The base, where the component is the base's own.
    private func owner(of component: String) -> ModelNetworks? {
        base.flatMap { source.changedComponents.contains(component) ? nil : $0 }
    }

    var name: String { source.name }

    package func unet() throws(RenderError) -> UNet {
        if let owner = owner(of: "unet") { return try owner.unet() }
        if let builtUNet { return builtUNet }
        let unet = try RenderError.model(source) {
            try UNet(source.weights(component: "unet"), configuration: parts.unet, context: context)
        }
        builtUNet = unet
        return unet
    }

    package func decoder() throws(RenderError) -> VAEDecoder {
        if let owner = owner(of: "vae") { return try owner.decoder() }
        if let builtDecoder { return builtDecoder }
        let decoder = try RenderError.model(source) {
            try VAEDecoder(source.weights(component: "vae"), configuration: parts.vae, context: context)
        }
        builtDecoder = decoder
        return decoder
    }

    package func encoder() throws(RenderError) -> VAEEncoder {
        if let owner = owner(of: "vae") { return try owner.encoder() }
        if let builtEncoder { return builtEncoder }
        let encoder = try RenderError.model(source) {
            try VAEEncoder(source.weights(component: "vae"), configuration: parts.vae, context: context)
        }
        builtEncoder = encoder
        return encoder
    }

    /// - Parameter index: among the model's text encoders.
    package func textEncoder(_ index: Int) throws(RenderError) -> CLIPTextModel {
        if let owner = owner(of: ModelFamily.textEncoders[index]) { return try owner.textEncoder(index) }
        if let built = builtTextEncoders[index] { return built }
        let encoder = try RenderError.model(source) {
            try CLIPTextModel(
                source.weights(component: ModelFamily.textEncoders[index]), configuration: parts.texts[index], context: context)
        }
        builtTextEncoders[index] = encoder
        return encoder
    }

    /// Refuses conditioning that the U-Net cannot take.
    func check(_ conditioning: JobContext.Conditioning) throws(RenderError) {
        guard conditioning.width == parts.unet.textWidth else {
            throw RenderError(
                .malformed,
                "A job's conditioning has the width \(conditioning.width), but the U-Net of \(name) takes \(parts.unet.textWidth)."
            )
        }
        let pooledWidth = parts.unet.added?.textWidth ?? 0
        guard conditioning.pooled.count == conditioning.rows * pooledWidth else {
            throw RenderError(
                .malformed,
                "A job's conditioning has \(conditioning.pooled.count) pooled numbers, but the U-Net of \(name) takes \(pooledWidth) a row."
            )
        }
    }
}

extension RenderError.Code {
    /// What a network's refusal means for the task that ran on it.
    fileprivate init(_ code: ModelError.Code) {
        self =
            switch code {
            case .configuration, .weights: .badModel
            case .input: .malformed
            case .compute: .compute
            case .nonFinite: .nonFinite
            }
    }
}
