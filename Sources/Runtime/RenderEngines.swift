internal import ContentHash
internal import Messages
internal import Places
internal import Rendering
internal import StrictJSON
internal import TensorCore
internal import Weights

// Rendering behind the seam that the cluster carries.

/// Makes jobs from requests, for the models a coordinator knows.
struct RenderEngineFactory: JobEngineFactory {
    private let models: [ModelDescription]
    private let loras: LoRALibrary
    /// Whose names for the models count too.
    private let store: ModelStore?

    /// Reads the models' configurations; no weights.
    init(_ options: CoordinatorOptions) throws(RuntimeError) {
        (loras, store) = (options.loras, options.store)
        var descriptions: [ModelDescription] = []
        for source in options.models {
            do throws(RenderError) { descriptions.append(try ModelDescription(source: source)) } catch {
                throw RuntimeError(error)
            }
        }
        models = descriptions
    }

    func makeEngine(request: EncodedPart, model: String?) throws(RuntimeError) -> any JobEngine {
        do throws(RenderError) {
            return try makeEngine(try RenderRequest(metadata: request.metadata, payload: request.payload), model: model)
        } catch {
            throw RuntimeError(error)
        }
    }

    func makeEngine(_ request: RenderRequest, model reference: String?) throws(RenderError) -> RenderEngine {
        let model = try model(reference)
        return RenderEngine(machine: try RenderMachine(request: request, model: model, loras: loras), model: model.identity.hex)
    }

    /// The model that a client names: as the coordinator was given it, by its path's last part, by at least eight digits of its
    /// identity, or by its name in the coordinator's store.
    private func model(_ reference: String?) throws(RenderError) -> ModelDescription {
        guard let reference else {
            guard let first = models.first else {
                throw RenderError(.notFound, "The coordinator has no model; start it with -m.")
            }
            return first
        }
        if let named = models.first(where: { $0.name == reference }) { return named }
        let digits = reference.hasPrefix("sha256:") ? String(reference.dropFirst(7)) : reference
        let found = models.filter { model in
            let last = model.name.split(separator: "/").last ?? ""
            return last == reference || last == reference + ".safetensors"
                || digits.utf8.count >= 8 && model.identity.hex.hasPrefix(digits)
        }
        guard Set(found.map(\.identity)).count <= 1 else {
            throw RenderError(
                .invalidRequest,
                "\(reference.debugDescription) stands for \(found.count) models of the coordinator; name one by its identity.")
        }
        if let model = found.first { return model }
        if let model = try storedModel(reference) { return model }
        let known = models.map { "\($0.name) (\($0.identity.hex.prefix(12)))" }.joined(separator: ", ")
        throw RenderError(
            .notFound,
            "The coordinator does not have the model \(String(reference.prefix(80)).debugDescription); it has \(known); name one of "
                + "these, or start coordinator and workers with that model (-m).")
    }
}

extension RenderEngineFactory {
    /// The model by its name in the store; nil where the store has none, or cannot be read: the models are known without it.
    private func storedModel(_ reference: String) throws(RenderError) -> ModelDescription? {
        do throws(WeightsError) {
            guard let identity = try store?.find(reference)?.identity else { return nil }
            return models.first { $0.identity == identity }
        } catch {
            guard error.code == .badOption else { return nil }
            throw RenderError(.invalidRequest, error.message)
        }
    }
}

/// One picture being made.
struct RenderEngine: JobEngine {
    private var machine: RenderMachine
    let model: String
    /// What the outputs of the current barrier must look like.
    private var expected: [ExpectedOutput] = []

    init(machine: RenderMachine, model: String) {
        self.machine = machine
        self.model = model
    }

    var plan: JobPlan { JobPlan(summaryLines: machine.plan.summaryLines, taskCount: machine.plan.totalTasks) }

    mutating func start() throws(EngineError) -> EngineBarrier { encode(machine.start()) }

    mutating func complete(_ outputs: [EncodedPart]) throws(EngineError) -> EngineOutcome {
        var decoded: [TaskOutput] = []
        decoded.reserveCapacity(outputs.count)
        for (index, part) in outputs.enumerated() {
            do throws(RenderError) {
                let output = try TaskOutput(metadata: part.metadata, payload: part.payload)
                try expected[index].check(output)
                decoded.append(output)
            } catch {
                throw .rejected(index: index, error.code == .nonFinite ? .nonFinite : .payload, error.message)
            }
        }
        do throws(RenderError) {
            switch try machine.complete(decoded) {
            case .barrier(let barrier): return .barrier(encode(barrier))
            case .finished(let image):
                return .finished(
                    EnginePicture(
                        width: image.width, height: image.height, rgb: image.rgb, parameters: image.parameters,
                        details: image.details))
            }
        } catch {
            throw .failed(RuntimeError(error))
        }
    }

    private mutating func encode(_ barrier: Barrier) -> EngineBarrier {
        let context = barrier.context.encoded()
        var tasks: [EngineTask] = []
        tasks.reserveCapacity(barrier.tasks.count)
        expected.removeAll(keepingCapacity: true)
        for task in barrier.tasks {
            let part = task.encoded()
            expected.append(
                ExpectedOutput(task, part.metadata, machine.plan, embedding: machine.embeddingShape))
            tasks.append(EngineTask(part: EncodedPart(metadata: part.metadata, payload: part.payload), cost: task.cost))
        }
        return EngineBarrier(
            barrier.place.renamed(\.rawValue), phaseNumber: UInt8(RenderPhase.allCases.firstIndex(of: barrier.phase) ?? 0),
            tasks: tasks, contextHash: barrier.context.hash.hex,
            context: EncodedPart(metadata: context.metadata, payload: context.payload))
    }
}

/// The shape a task's output must have, so that a wrong one is charged to the worker that sent it and not to the job.
private struct ExpectedOutput: Sendable {
    private enum Shape: Equatable {
        case embeddings(RenderTask.EmbeddingShape)
        case moments(channels: Int, height: Int, width: Int)
        case prediction(channels: Int, height: Int, width: Int)
        case pixels(width: Int, height: Int)
    }

    private let shape: Shape

    /// - Parameter embedding: of the prompts' rows, where the task encodes them.
    init(_ task: RenderTask, _ metadata: JSONValue, _ plan: RenderPlan, embedding: RenderTask.EmbeddingShape) {
        switch task.phase {
        case .encode: shape = .embeddings(embedding)
        case .picture:
            shape = .moments(
                channels: 2 * plan.latentChannels, height: (metadata["height"]?.intValue ?? 0) / plan.latentScale,
                width: (metadata["width"]?.intValue ?? 0) / plan.latentScale)
        case .decode:
            shape = .pixels(
                width: (metadata["width"]?.intValue ?? 0) * plan.latentScale,
                height: (metadata["height"]?.intValue ?? 0) * plan.latentScale)
        case .denoise, .structure, .detail:
            shape = .prediction(
                channels: plan.latentChannels, height: metadata["height"]?.intValue ?? 0,
                width: metadata["width"]?.intValue ?? 0)
        }
    }

    func check(_ output: TaskOutput) throws(RenderError) {
        let actual: Shape =
            switch output {
            case .embeddings(let rows, let tokens, let width, _, let pooled):
                .embeddings(RenderTask.EmbeddingShape(rows: rows, tokens: tokens, width: width, pooled: pooled.count))
            case .moments(let latent): .moments(channels: latent.channels, height: latent.height, width: latent.width)
            case .prediction(let latent): .prediction(channels: latent.channels, height: latent.height, width: latent.width)
            case .pixels(let width, let height, _): .pixels(width: width, height: height)
            }
        guard actual == shape else {
            throw RenderError(.malformed, "A worker's output has the shape \(actual) instead of \(shape).")
        }
    }
}

/// Tasks on a worker's networks.
struct RenderTaskEngine: TaskEngine {
    private let runner: TaskRunner
    let models: [String]

    /// - Throws: what is wrong with a model, or with the compute library.
    init(_ options: WorkerOptions) throws(RuntimeError) {
        do throws(RenderError) {
            runner = try TaskRunner(
                models: options.models, loras: options.loras, backend: options.backend, threads: options.threads)
        } catch {
            throw RuntimeError(error)
        }
        self.models = runner.modelIdentities.map(\.hex)
    }

    var numericsClass: String { runner.numericsClass }
    var operations: UInt64 { runner.operations }
    var peakActivationBytes: Int { runner.peakActivationBytes }

    func settle(trimming: Bool) { runner.settle(trimming: trimming) }

    func open(_ context: EncodedPart) throws(TaskError) {
        do throws(RenderError) {
            try runner.open(try JobContext(metadata: context.metadata, payload: context.payload))
        } catch {
            throw TaskError(error)
        }
    }

    func run(_ task: EncodedPart, advanced: @escaping () -> Void) throws(TaskError) -> EncodedPart {
        do throws(RenderError) {
            let task = try RenderTask(metadata: task.metadata, payload: task.payload)
            let output = try runner.run(task, advanced: advanced).encoded()
            return EncodedPart(metadata: output.metadata, payload: output.payload)
        } catch {
            throw TaskError(error)
        }
    }
}

extension TaskError {
    /// Who is at fault: a task that cannot be done anywhere, or this worker's files, memory and libraries.
    init(_ error: RenderError) {
        switch error.code {
        case .nonFinite: self.init(.nonFinite, error.message)
        case .malformed, .invalidRequest: self.init(.payload, error.message)
        case .notFound, .badModel, .missingContext, .compute: self.init(.worker, error.message)
        }
    }
}

extension RuntimeError {
    init(_ error: RenderError) {
        switch error.code {
        case .invalidRequest: self.init(.usage, error.message)
        case .notFound: self.init(.notFound, error.message)
        case .badModel: self.init(.badInput, error.message)
        case .nonFinite: self.init(.jobFailed, error.message)
        case .malformed, .missingContext, .compute: self.init(.internalFault, error.message)
        }
    }
}

extension InProcessWorker {
    /// A worker that renders with the options' models.
    package convenience init(rendering options: WorkerOptions) throws(RuntimeError) {
        try self.init(options) { () throws(RuntimeError) -> any TaskEngine in
            try RenderTaskEngine(options)
        }
    }
}
