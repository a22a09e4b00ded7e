public import ContentHash
package import DiffusionModels
import Sentences
public import TensorCore
public import Weights

/// The worker's side: runs tasks on the networks of its models. A pure function of task and context, for one compute thread.
///
/// It builds a network when a context or a task first needs it, and keeps it.
public final class TaskRunner {
    /// The identities of its models, in the order given.
    public var modelIdentities: [SHA256Digest] { models.identities }
    /// Runners of one class give the same bits.
    public var numericsClass: String { context.numericsClass }
    /// The element type of the networks' weights and activations.
    public var precision: ElementType { context.precision }
    /// Multiplications and additions of all tasks so far, counted by `ComputeContext`.
    public var operations: UInt64 { context.operations }
    /// The most bytes of activations in use at once since the last `settle`.
    public var peakActivationBytes: Int { context.peakActivationBytes }
    /// Bytes kept for the activations of later tasks.
    public var idleActivationBytes: Int { context.idleActivationBytes }

    private let context: ComputeContext
    let models: ModelVariants
    /// The open contexts by hash.
    private var contexts: [SHA256Digest: OpenedContext] = [:]
    var contextCount: Int { contexts.count }

    /// Computes the models' identities, which reads all their files once.
    ///
    /// - Parameter loras: has the LoRA files that jobs name by their content.
    /// - Throws: `.notFound`, `.badModel` for models that cannot be used, `.compute` for a backend that does not start
    ///   or does not have the precision here.
    public convenience init(
        models: [ModelSource], loras: LoRALibrary = .empty, backend: BackendChoice, threads: Int,
        precision: PrecisionChoice = .f32
    ) throws(RenderError) {
        let context: ComputeContext
        do { context = try ComputeContext(backend: backend, threads: threads, precision: precision) } catch {
            throw RenderError(.compute, error.message)
        }
        try self.init(models: models, loras: loras, context: context)
    }

    /// A runner on a context that others use too, one after the other.
    package init(models: [ModelSource], loras: LoRALibrary = .empty, context: ComputeContext) throws(RenderError) {
        self.context = context
        self.models = try ModelVariants(models, library: loras, context: context)
    }

    /// Takes a job's context, which stays until `close`, and builds the networks for its tasks. The decoder is built too: if
    /// that is impossible, the user should know before the picture is nearly done.
    ///
    /// - Throws: `.badModel` for a missing or unusable model, `.notFound` for a missing LoRA file, `.malformed` for prompts
    ///   that do not fit the model.
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

    /// Frees a context and the memory that its tasks left. Later tasks need it opened again.
    public func close(_ hash: SHA256Digest) {
        if contexts.removeValue(forKey: hash) != nil { context.trimMemory() }
    }

    /// Runs `body` and measures the most bytes of activations in use at once meanwhile.
    public func measuringPeak<Result>(_ body: () -> Result) -> (result: Result, peakBytes: Int) {
        context.measuringPeak(body)
    }

    /// Begins to measure activations anew. To be called between two jobs.
    ///
    /// - Parameter trimming: whether to give back the memory that is kept only for speed.
    public func settle(trimming: Bool) {
        if trimming { context.trimMemory() }
        context.forgetPeak()
    }

    /// Computes one task. It calls `advanced` again and again while the computation moves on.
    ///
    /// - Throws: `.missingContext` if its context is not open, `.malformed` for a task that does not fit the model,
    ///   `.nonFinite` for NaN or infinity in the result, `.compute` from the backend. Each names phase, step and task.
    public func run(_ task: RenderTask, advanced: @escaping () -> Void = {}) throws(RenderError) -> TaskOutput {
        try run(sharing: [task], advanced: advanced)[0]
    }

    /// Computes tasks that share a call, all at once. Each gets the bits that it gets alone. If they fail together, each is
    /// tried alone, so that only the task at fault fails.
    ///
    /// - Parameter tasks: at least one, each of which `sharesCall` with the first.
    public func run(
        together tasks: [RenderTask], advanced: @escaping () -> Void = {}
    ) -> [Result<TaskOutput, RenderError>] {
        do throws(RenderError) {
            return try run(sharing: tasks, advanced: advanced).map { .success($0) }
        } catch {
            guard tasks.count > 1 else { return [.failure(error)] }
            return tasks.map { task in
                Result { () throws(RenderError) in try run(task, advanced: advanced) }
            }
        }
    }

    private func run(sharing tasks: [RenderTask], advanced: @escaping () -> Void) throws(RenderError) -> [TaskOutput] {
        let task = tasks[0]
        context.whenAdvancing = advanced
        defer {
            context.whenAdvancing = nil
            if type(of: task.work).isLarge { context.trimMemory() }
        }
        guard let opened = contexts[task.contextHash] else {
            throw RenderError(
                .missingContext, "\(task.title): this worker does not hold the job's context \(task.contextHash.hex).")
        }
        do {
            let networks = try models.networks(opened.variant)
            return try task.work.run(with: tasks.dropFirst().map(\.work), on: networks, in: opened)
        } catch let error as RenderError {
            throw error
        } catch let error as ModelError {
            let code: RenderError.Code =
                switch error.code {
                case .configuration, .weights: .badModel
                case .input: .malformed
                case .compute: .compute
                case .nonFinite: .nonFinite
                }
            throw RenderError(code, naming: "\(task.title): \(error.sentence)")
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

/// A context that is ready for tasks.
package struct OpenedContext {
    /// The embedded prompts of one U-Net call.
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
    /// The rows of both prompts; nil if the context has one row or none.
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

/// The networks of one model. Each is built when it is first needed.
package final class ModelNetworks {
    let source: ModelSource
    let context: ComputeContext
    package let parts: ModelParts
    /// The same model without LoRA files. Its networks serve where these files change nothing.
    private let base: ModelNetworks?
    private var builtUNet: UNet?
    private var builtDecoder: VAEDecoder?
    private var builtEncoder: VAEEncoder?
    /// By index among the model's text encoders.
    private var builtTextEncoders: [Int: CLIPTextModel] = [:]

    init(_ source: ModelSource, _ context: ComputeContext) throws(RenderError) {
        (self.source, self.context, base) = (source, context, nil)
        parts = try ModelParts(source)
    }

    /// - Parameter source: the base's source with LoRA files merged into it.
    init(_ source: ModelSource, over base: ModelNetworks) {
        (self.source, self.base, context, parts) = (source, base, base.context, base.parts)
    }

    /// Frees the networks that LoRA files can change, except the named components. They are built again when needed.
    func forgetMergeable(except kept: Set<String>) {
        if !kept.contains("unet") { builtUNet = nil }
        builtTextEncoders = builtTextEncoders.filter { kept.contains(ModelFamily.textEncoders[$0.key]) }
    }

    /// Whether it holds a U-Net of its own. For tests.
    var hasBuiltUNet: Bool { builtUNet != nil }

    package func unet() throws(RenderError) -> UNet {
        try network("unet", in: \.builtUNet) { try UNet($0, configuration: parts.unet, context: context) }
    }

    package func decoder() throws(RenderError) -> VAEDecoder {
        try network("vae", in: \.builtDecoder) { try VAEDecoder($0, configuration: parts.vae, context: context) }
    }

    package func encoder() throws(RenderError) -> VAEEncoder {
        try network("vae", in: \.builtEncoder) { try VAEEncoder($0, configuration: parts.vae, context: context) }
    }

    /// - Parameter index: among the model's text encoders.
    package func textEncoder(_ index: Int) throws(RenderError) -> CLIPTextModel {
        try network(ModelFamily.textEncoders[index], in: \.builtTextEncoders[index]) {
            try CLIPTextModel($0, configuration: parts.texts[index], context: context)
        }
    }

    /// The base's network if the LoRA files do not change the component, else its own.
    private func network<Network>(
        _ component: String, in place: ReferenceWritableKeyPath<ModelNetworks, Network?>,
        build: (WeightScope) throws -> Network
    ) throws(RenderError) -> Network {
        if let base, !source.changedComponents.contains(component) {
            return try base.network(component, in: place, build: build)
        }
        if let built = self[keyPath: place] { return built }
        let network = try RenderError.model(source) { try build(source.weights(component: component)) }
        self[keyPath: place] = network
        return network
    }

    /// Refuses conditioning that the U-Net cannot take.
    func check(_ conditioning: JobContext.Conditioning) throws(RenderError) {
        guard conditioning.width == parts.unet.textWidth else {
            throw .malformed(
                "A job's conditioning has the width \(conditioning.width), but the U-Net of \(source.name) takes "
                    + "\(parts.unet.textWidth).")
        }
        let pooledWidth = parts.unet.added?.textWidth ?? 0
        guard conditioning.pooled.count == conditioning.rows * pooledWidth else {
            throw .malformed(
                "A job's conditioning has \(conditioning.pooled.count) pooled numbers, but the U-Net of \(source.name) takes "
                    + "\(pooledWidth) a row.")
        }
    }
}
