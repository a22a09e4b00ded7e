public import ContentHash
import DiffusionModels
import Sentences
public import TensorCore
public import Weights

/// The worker's side: runs tasks on the networks of its models. A pure function of task and context, for one compute thread.
///
/// It builds a network when a context or a task first needs it, and keeps it. Networks that are mapped from files go when a
/// task needs another one, or the worker rests; the U-Net also when a job goes on to decode and no other job needs it.
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
    /// The most bytes of the tiles of all latents that stay between two sections of their decoding.
    public var keptTileBytes = 1 << 30
    /// The bytes of all tiles that it keeps.
    public var keptBytes: Int { contexts.values.reduce(0) { $0 + ($1.base == nil ? $1.image?.keptBytes ?? 0 : 0) } }
    /// The reason why a scratch file could not be used, which costs time; nil if all could be used.
    public var scratchProblem: String? { contexts.values.lazy.compactMap { $0.image?.problem }.first }
    /// The open contexts by hash.
    private var contexts: [SHA256Digest: OpenedContext] = [:]
    var contextCount: Int { contexts.count }

    /// Computes the models' identities, which reads all their files once.
    ///
    /// - Parameters:
    ///   - loras: has the LoRA files that jobs name by their content.
    ///   - packed: the files of packed weights that this host's workers share; nil keeps all weights in memory.
    /// - Throws: `.notFound`, `.badModel` for models that cannot be used, `.compute` for a backend that does not start
    ///   or does not have the precision here.
    public convenience init(
        models: [ModelSource], loras: LoRALibrary = .empty, backend: BackendChoice, threads: Int,
        precision: PrecisionChoice = .f32, packed: PackedWeights? = nil
    ) throws(RenderError) {
        let context: ComputeContext
        do { context = try ComputeContext(backend: backend, threads: threads, precision: precision) } catch {
            throw RenderError(.compute, error.message)
        }
        try self.init(models: models, loras: loras, context: context, packed: packed)
    }

    /// A runner on a context that others use too, one after the other.
    ///
    /// - Parameter rehearsesFiles: whether a context that rehearses takes large networks for mapped from files.
    package init(
        models: [ModelSource], loras: LoRALibrary = .empty, context: ComputeContext, packed: PackedWeights? = nil,
        rehearsesFiles: Bool = false
    ) throws(RenderError) {
        self.context = context
        self.models = try ModelVariants(
            models, library: loras, context: context, packed: packed, rehearsesFiles: rehearsesFiles)
    }

    /// Takes a job's context, which stays until `close`, and builds the networks for its first tasks. All networks are checked:
    /// if one cannot be built, the user should know before the picture is nearly done.
    ///
    /// - Throws: `.badModel` for a missing or unusable model, `.notFound` for a missing LoRA file, `.malformed` for prompts
    ///   that do not fit the model.
    public func open(_ job: JobContext) throws(RenderError) {
        guard contexts[job.hash] == nil else { return }
        let variant = ModelVariants.Key(model: job.modelIdentity, loras: job.loras)
        let model = try models.networks(variant)
        try model.check()
        contexts[job.hash] = try opened(job, variant, model)
    }

    private func opened(
        _ job: JobContext, _ variant: ModelVariants.Key, _ model: ModelNetworks
    ) throws(RenderError) -> OpenedContext {
        switch job.tiles {
        case .latent(let latent, let tileHeight, let tileWidth):
            let image = try model.tiledLatent(latent, tileHeight: tileHeight, tileWidth: tileWidth)
            // A worker without a tile gets no task that would give the U-Net back, while the decoder's activations grow on
            // others.
            if !contexts.values.contains(where: { $0.variant.model == variant.model && $0.hasText }) { model.giveBackUNet() }
            return OpenedContext(variant: variant, image: image)
        case .moments(let moments, let latent):
            try model.check(moments)
            return OpenedContext(variant: variant, moments: moments, base: latent)
        case nil: break
        }
        if let conditioning = job.conditioning {
            try model.check(conditioning)
            _ = try model.unet()
        } else {
            for index in model.parts.texts.indices { _ = try model.textEncoder(index) }
        }
        return OpenedContext(variant: variant, text: job.conditioning)
    }

    /// Frees a context and the memory that its tasks left. Later tasks need it opened again.
    public func close(_ hash: SHA256Digest) {
        // The next section of a latent needs the memory of the last one.
        if let closed = contexts.removeValue(forKey: hash), closed.base == nil { context.trimMemory() }
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

    /// Gives back memory that the next task can have again at little cost: mapped networks with the text's keys and values, and
    /// memory that is kept for speed. It is called when a worker has nothing to do. Another worker of the host may need this
    /// memory, to decode the picture.
    public func rest() {
        models.giveBackMapped()
        context.trimMemory()
    }

    /// Computes one task.
    ///
    /// - Parameters:
    ///   - advanced: called again and again while the computation moves on.
    ///   - isWanted: asked again and again while the network computes. After a false answer the computation ends.
    /// - Throws: `.missingContext` if its context is not open, `.malformed` for a task that does not fit the model,
    ///   `.nonFinite` for NaN or infinity in the result, `.compute` from the backend, `.stopped` for work that is not wanted
    ///   any more. Each names phase, call and task.
    public func run(
        _ task: RenderTask, advanced: @escaping () -> Void = {}, isWanted: @escaping () -> Bool = { true }
    ) throws(RenderError) -> TaskOutput {
        try run(together: [task], advanced: advanced, isWanted: isWanted)[0]
    }

    /// Computes tasks that share a call, all at once. Each gets the bits that it gets alone.
    ///
    /// - Parameter tasks: at least one, each of which `sharesCall` with the first.
    /// - Throws: as for a single task. The error names the first task, whichever is at fault: only tasks that are computed
    ///   alone tell that.
    public func run(
        together tasks: [RenderTask], advanced: @escaping () -> Void = {}, isWanted: @escaping () -> Bool = { true }
    ) throws(RenderError) -> [TaskOutput] {
        let task = tasks[0]
        (context.whenAdvancing, context.isWanted) = (advanced, isWanted)
        defer {
            (context.whenAdvancing, context.isWanted) = (nil, nil)
            if type(of: task.work).isLarge { context.trimMemory() }
        }
        let opened = try context(of: task)
        do {
            let networks = try models.networks(opened.variant)
            let outputs = try task.work.run(with: tasks.dropFirst().map(\.work), on: networks, in: opened)
            guard !context.isStopped else { throw ModelError(.stopped, "the work was stopped at its end") }
            return outputs
        } catch  where context.isStopped {
            // Whatever else went wrong followed from work that was left out.
            throw RenderError(.stopped, "\(task.title): nobody wants its result any more")
        } catch let error as RenderError {
            throw error
        } catch let error as ModelError {
            let code: RenderError.Code =
                switch error.code {
                case .configuration, .weights: .badModel
                case .input: .malformed
                case .compute: .compute
                case .stopped: .stopped
                case .nonFinite: .nonFinite
                }
            throw RenderError(code, naming: "\(task.title): \(error.sentence)")
        } catch {
            throw RenderError(.compute, "\(task.title): \(error)")
        }
    }
}

extension TaskRunner {
    /// A task's context, with the latent of the context that it builds on.
    private func context(of task: RenderTask) throws(RenderError) -> OpenedContext {
        func held(_ hash: SHA256Digest) throws(RenderError) -> OpenedContext {
            guard let opened = contexts[hash] else {
                throw RenderError(.missingContext, "\(task.title): this worker does not hold the job's context \(hash.hex).")
            }
            return opened
        }
        var opened = try held(task.contextHash)
        if let base = opened.base {
            let below = try held(base)
            guard below.variant == opened.variant, let image = below.image else {
                throw .malformed("\(task.title): the context below its own has no latent of this model.")
            }
            opened.image = image
        }
        let free = max(0, keptTileBytes - keptBytes)
        opened.imageBytes = free
        if let image = opened.image { image.keptLimit = free + image.keptBytes }
        return opened
    }

    /// The networks of its first model, without LoRA files.
    package func networks() throws(RenderError) -> ModelNetworks {
        try models.networks(ModelVariants.Key(model: models.identities[0], loras: []))
    }
}

/// A context that is ready for tasks.
package struct OpenedContext {
    /// The embedded prompts of one U-Net call.
    struct Rows {
        /// (rows, tokens, width), with the keys and values that `TextKeyShelf` lets it keep.
        let text: UNetText
        /// SDXL: (rows, width)
        let pooled: Tensor?

        init(_ text: JobContext.Conditioning, _ range: Range<Int>) {
            func slice(_ values: [Float]) -> [Float] {
                let size = values.count / text.rows
                return Array(values[(range.lowerBound * size)..<(range.upperBound * size)])
            }
            self.text = UNetText(Tensor(slice(text.values), shape: [range.count, text.tokens, text.width]))
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
    /// Whether its tasks use the U-Net.
    var hasText: Bool { alone != nil }
    /// A latent that is decoded in tiles.
    fileprivate(set) var image: TiledImage?
    /// The bytes of an image that may stay in memory between two sections.
    fileprivate(set) var imageBytes = 0
    /// The moments of its norms so far.
    let moments: [GroupMoments]
    /// The context that this one builds on.
    fileprivate let base: SHA256Digest?

    init(
        variant: ModelVariants.Key, text: JobContext.Conditioning? = nil, image: TiledImage? = nil,
        moments: [GroupMoments] = [], base: SHA256Digest? = nil
    ) {
        (self.variant, self.image, self.moments, self.base) = (variant, image, moments, base)
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
