import Acceleration
public import ContentHash
import DiffusionModels
public import TensorCore
public import Weights

/// The worker's side: runs tasks on the networks of its models. A pure function with a cache, for one compute thread.
///
/// Networks are built when a context or a task first needs them and kept.
public final class TaskRunner {
    /// The identities of the models it can run, in the order in which they were given.
    public let modelIdentities: [SHA256Digest]
    /// What decides the last bits of its results.
    public var numericsClass: String { context.numericsClass }
    /// The most bytes of activations in use at once so far.
    public var peakActivationBytes: Int { context.peakActivationBytes }

    /// Bytes kept for the activations of later tasks.
    var idleActivationBytes: Int { context.idleActivationBytes }

    private let context: ComputeContext
    private var networks: [SHA256Digest: ModelNetworks] = [:]
    /// Contexts by hash, the one used last at the end.
    private var contexts: [(hash: SHA256Digest, opened: OpenedContext)] = []

    /// How many contexts are kept; the one unused for longest goes first.
    public static let contextLimit = 64

    /// Computes the models' identities, which reads all their files once.
    ///
    /// - Throws: `.notFound`, `.badModel` for models that cannot be used, `.compute` for a backend that does not start.
    public init(models: [ModelSource], backend: BackendChoice, threads: Int) throws(RenderError) {
        do { context = try ComputeContext(backend: backend, threads: threads) } catch {
            throw RenderError(.compute, error.message)
        }
        var identities: [SHA256Digest] = []
        for source in models {
            let identity = try RenderError.model(source) { try source.identity() }
            if networks[identity] == nil {
                identities.append(identity)
                networks[identity] = try ModelNetworks(source, context)
            }
        }
        modelIdentities = identities
    }

    /// Takes a job's context and builds the networks that its tasks will need, the decoder among them: that it cannot be built
    /// should not come out when the picture is nearly done.
    ///
    /// - Throws: `.badModel` for a model that it does not have or that cannot be built, `.malformed` for prompts that do not
    ///   fit it.
    public func open(_ job: JobContext) throws(RenderError) {
        if let place = contexts.firstIndex(where: { $0.hash == job.hash }) {
            contexts.append(contexts.remove(at: place))
            return
        }
        guard let model = networks[job.modelIdentity] else {
            throw RenderError(
                .badModel, "This worker has no model \(job.modelIdentity.hex): start it with the folder of that model (-m).")
        }
        _ = try model.decoder()
        if let conditioning = job.conditioning {
            try model.check(conditioning)
            _ = try model.unet()
            contexts.append((job.hash, OpenedContext(model: model, text: conditioning)))
        } else {
            for index in model.parts.texts.indices { _ = try model.textEncoder(index) }
            contexts.append((job.hash, OpenedContext(model: model, text: nil)))
        }
        if contexts.count > Self.contextLimit {
            contexts.removeFirst()
            context.trimMemory()
        }
    }

    /// Computes one task. `advanced` is called again and again while the computation moves on, also within the task.
    ///
    /// - Throws: `.missingContext` when its context was not opened, `.malformed` for a task that does not fit the model,
    ///   `.nonFinite` for NaN or infinity in the result, naming phase, step and patch, `.compute` from the backend.
    public func run(_ task: RenderTask, advanced: @escaping () -> Void = {}) throws(RenderError) -> TaskOutput {
        context.whenAdvancing = advanced
        defer {
            context.whenAdvancing = nil
            // Decoding a large picture takes far more memory than all else, and is the last task of its job.
            if case .decode = task.work { context.trimMemory() }
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

    /// The last hidden state, normed, of Stable Diffusion's one encoder; of SDXL's two the hidden states without the norm, side
    /// by side, and the second's pooled vector.
    private func encode(_ work: EncodeWork, _ opened: OpenedContext) throws -> TaskOutput {
        let model = opened.model
        guard work.ids.count == model.parts.texts.count else {
            throw ModelError(
                .input, "ids for \(work.ids.count) text encoders do not fit a model with \(model.parts.texts.count).")
        }
        var states: [Tensor] = []
        var pooled: [Float] = []
        for (index, ids) in work.ids.enumerated() {
            let encoder = try model.textEncoder(index)
            let output = try encoder.encode(ids: ids)
            if model.parts.isXL {
                states.append(try encoder.state(output, clipSkip: work.skippedLayers))
                pooled = output.pooled.array
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
        let timeIDs = work.timeIDs.map { numbers in
            Tensor((0..<rows).flatMap { _ in numbers }, shape: [rows, numbers.count])
        }
        let output = try opened.model.unet().forward(
            UNetInput(
                sample: sample, timesteps: [work.timestep], text: text.vectors, textEmbeds: text.pooled, timeIDs: timeIDs),
            plan: work.plan)
        var values = output.planarArray
        if guided { values = Guidance(scale: work.guidance, rescale: work.rescale).combined(values) }
        guard values.allSatisfy(\.isFinite) else { throw ModelError(.nonFinite, "guidance left the range of numbers.") }
        return Latent(channels: latent.channels, height: latent.height, width: latent.width, values: values)
    }

    private func decode(_ latent: Latent, _ opened: OpenedContext) throws -> TaskOutput {
        let decoder = try opened.model.decoder()
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

    let model: ModelNetworks
    /// The negative prompt's and the prompt's row; nil when the context has none.
    private let guided: Rows?
    /// The prompt's row.
    private let alone: Rows?

    init(model: ModelNetworks, text: JobContext.Conditioning?) {
        self.model = model
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
private final class ModelNetworks {
    private let source: ModelSource
    private let context: ComputeContext
    let parts: ModelParts
    private var builtUNet: UNet?
    private var builtDecoder: VAEDecoder?
    /// By place among the model's text encoders.
    private var builtTextEncoders: [Int: CLIPTextModel] = [:]

    init(_ source: ModelSource, _ context: ComputeContext) throws(RenderError) {
        (self.source, self.context) = (source, context)
        parts = try ModelParts(source)
    }

    var name: String { source.name }

    func unet() throws(RenderError) -> UNet {
        if let builtUNet { return builtUNet }
        let unet = try RenderError.model(source) {
            try UNet(source.weights(component: "unet"), configuration: parts.unet, context: context)
        }
        builtUNet = unet
        return unet
    }

    func decoder() throws(RenderError) -> VAEDecoder {
        if let builtDecoder { return builtDecoder }
        let decoder = try RenderError.model(source) {
            try VAEDecoder(source.weights(component: "vae"), configuration: parts.vae, context: context)
        }
        builtDecoder = decoder
        return decoder
    }

    func textEncoder(_ index: Int) throws(RenderError) -> CLIPTextModel {
        if let built = builtTextEncoders[index] { return built }
        let encoder = try RenderError.model(source) {
            try CLIPTextModel(
                source.weights(component: ModelParts.textEncoders[index]), configuration: parts.texts[index], context: context)
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
