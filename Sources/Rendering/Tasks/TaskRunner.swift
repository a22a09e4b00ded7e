public import ContentHash
package import DiffusionModels
import Sentences
public import TensorCore
public import Weights

/// The worker's side: runs tasks on the networks of its models. A pure function of task and context, for one compute thread.
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
    /// Those that were opened and not closed, by hash.
    private var contexts: [SHA256Digest: OpenedContext] = [:]
    /// How many contexts are open.
    var contextCount: Int { contexts.count }

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

    /// Takes a job's context, which stays until `close`, and builds the networks that its tasks will need, the decoder among
    /// them: that it cannot be built should not come out when the picture is nearly done.
    ///
    /// - Throws: `.badModel` for a model that it does not have or that cannot be built, `.notFound` for a LoRA file that it
    ///   does not have, `.malformed` for prompts that do not fit the model.
    public func open(_ job: JobContext) throws(RenderError) {
        guard contexts[job.hash] == nil else { return }
        let variant = ModelVariants.Key(model: job.modelIdentity, loras: job.loras)
        let model = try models.networks(variant)
        _ = try model.decoder()
        if let conditioning = job.conditioning {
            try model.check(conditioning)
            _ = try model.unet()
        } else {
            for index in model.parts.texts.indices { _ = try model.textEncoder(index) }
        }
        contexts[job.hash] = OpenedContext(variant: variant, text: job.conditioning)
    }

    /// Frees a context, and memory that its tasks may have left. It is opened again before other tasks of it are run.
    public func close(_ hash: SHA256Digest) {
        if contexts.removeValue(forKey: hash) != nil { context.trimMemory() }
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
            if type(of: task.work).isLarge { context.trimMemory() }
        }
        return try compute(task)
    }

    private func compute(_ task: RenderTask) throws(RenderError) -> TaskOutput {
        guard let opened = contexts[task.contextHash] else {
            throw RenderError(
                .missingContext, "\(task.title): this worker does not hold the job's context \(task.contextHash.hex).")
        }
        do {
            return try task.work.run(on: models.networks(opened.variant), in: opened)
        } catch let error as RenderError {
            throw error
        } catch let error as ModelError {
            throw RenderError(RenderError.Code(error.code), naming: "\(task.title): \(error.sentence)")
        } catch {
            throw RenderError(.compute, "\(task.title): \(error)")
        }
    }
}

extension TaskRunner {
    /// The networks of its first model, without LoRA files.
    package func networks() throws(RenderError) -> ModelNetworks {
        try models.networks(ModelVariants.Key(model: models.identities[0], loras: []))
    }
}

/// A context that tasks can run in.
package struct OpenedContext {
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
    let context: ComputeContext
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
