import Acceleration
public import ContentHash
import DiffusionModels
import ImageConditioning
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
            guard conditioning.width == model.parts.unet.textWidth else {
                throw RenderError(
                    .malformed,
                    "A job's conditioning has the width \(conditioning.width), but the U-Net of \(model.name) takes "
                        + "\(model.parts.unet.textWidth).")
            }
            _ = try model.unet()
            contexts.append((job.hash, OpenedContext(model: model, text: conditioning)))
        } else {
            _ = try model.textEncoder()
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
            case .encode(let ids): return try encode(ids, entry.opened)
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

    private func encode(_ ids: [[Int32]], _ opened: OpenedContext) throws -> TaskOutput {
        let state = try opened.model.textEncoder().encode(ids: ids).lastHiddenState
        return .embeddings(rows: state.shape[0], tokens: state.shape[1], width: state.shape[2], values: state.array)
    }

    private func denoise(_ work: DenoiseWork, _ opened: OpenedContext) throws -> Latent {
        let guided = work.guidance > 1
        let text = try opened.text(guided: guided)
        let latent = work.latent
        let rows = text.shape[0]
        let sample = Tensor(
            planar: (0..<rows).flatMap { _ in latent.values }, n: rows, c: latent.channels, h: latent.height, w: latent.width)
        let output = try opened.model.unet().forward(
            UNetInput(sample: sample, timesteps: [work.timestep], text: text), plan: work.plan)
        var values = output.planarArray
        if guided {
            // Rows are the negative prompt's and the prompt's.
            let half = values.count / 2
            for index in 0..<half { values[index] += work.guidance * (values[half + index] - values[index]) }
            values.removeLast(half)
        }
        guard values.allSatisfy(\.isFinite) else { throw ModelError(.nonFinite, "guidance left the range of numbers.") }
        return Latent(channels: latent.channels, height: latent.height, width: latent.width, values: values)
    }

    /// The distribution of a picture's latent. What is masked is grey to the encoder, as diffusers' inpainting has it.
    private func encode(_ work: PictureWork, _ opened: OpenedContext) throws -> Latent {
        let encoder = try opened.model.encoder()
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
    let model: ModelNetworks
    private let rows: Tensor?

    init(model: ModelNetworks, text: JobContext.Conditioning?) {
        self.model = model
        rows = text.map { Tensor($0.values, shape: [$0.rows, $0.tokens, $0.width]) }
    }

    /// The embedded prompts: two rows with guidance, one without.
    func text(guided: Bool) throws(ModelError) -> Tensor {
        guard let rows, rows.shape[0] == (guided ? 2 : 1) else {
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
    private var builtEncoder: VAEEncoder?
    private var builtTextEncoder: CLIPTextModel?

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

    func encoder() throws(RenderError) -> VAEEncoder {
        if let builtEncoder { return builtEncoder }
        let encoder = try RenderError.model(source) {
            try VAEEncoder(source.weights(component: "vae"), configuration: parts.vae, context: context)
        }
        builtEncoder = encoder
        return encoder
    }

    func textEncoder() throws(RenderError) -> CLIPTextModel {
        if let builtTextEncoder { return builtTextEncoder }
        let encoder = try RenderError.model(source) {
            try CLIPTextModel(source.weights(component: "text_encoder"), configuration: parts.text, context: context)
        }
        builtTextEncoder = encoder
        return encoder
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
