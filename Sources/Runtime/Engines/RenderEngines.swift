internal import Cluster
internal import ContentHash
internal import Messages
internal import Places
internal import Rendering
internal import ScratchFiles
internal import Sentences
internal import StrictJSON
internal import TensorCore
internal import Weights

/// Makes jobs from requests, for the models a coordinator knows.
struct RenderEngineFactory: JobEngineFactory {
    private let models: [ModelDescription]
    private let loras: LoRALibrary
    /// Clients may use its names for the models.
    private let store: ModelStore?

    /// Reads the models' configurations; no weights.
    init(_ options: CoordinatorOptions) throws(RuntimeError) {
        (loras, store) = (options.loras, options.store)
        do throws(RenderError) {
            models = try options.models.map { source throws(RenderError) in try ModelDescription(source: source) }
        } catch {
            throw RuntimeError(error)
        }
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
        return RenderEngine(
            machine: try RenderMachine(request: request, model: model, loras: loras), model: model.identity.hex,
            memory: JobMemory(request: request, model: model, loras: loras))
    }

    /// The model that a client names: by its name on the coordinator, the last part of its path, at least eight digits of its
    /// identity, or its name in the coordinator's store.
    private func model(_ reference: String?) throws(RenderError) -> ModelDescription {
        guard let reference else {
            guard let first = models.first else {
                throw RenderError(.notFound, naming: "The coordinator has no model; start it with \(.briefModel).")
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
                "\(reference.debugDescription) fits \(found.count) models of the coordinator; name one by its identity.")
        }
        if let model = found.first { return model }
        if let model = try storedModel(reference) { return model }
        let known = models.map { "\($0.name) (\($0.identity.hex.prefix(12)))" }.joined(separator: ", ")
        throw RenderError(
            .notFound,
            naming:
                "The coordinator has no model \(String(reference.prefix(80)).debugDescription); it has \(known); name one of "
                + "these, or start coordinator and workers with that model (\(.briefModel)).")
    }
}

extension RenderEngineFactory {
    /// The model by its name in the store; nil if the store lacks the name or cannot be read. The other names still work.
    private func storedModel(_ reference: String) throws(RenderError) -> ModelDescription? {
        do throws(WeightsError) {
            guard let identity = try store?.find(reference)?.identity else { return nil }
            return models.first { $0.identity == identity }
        } catch {
            guard error.code == .badOption else { return nil }
            throw RenderError(.invalidRequest, naming: error.sentence)
        }
    }
}

/// One picture being made.
struct RenderEngine: JobEngine {
    var machine: RenderMachine
    let model: String
    /// The base of the last barrier, encoded once for all barriers that have it.
    private var base: (hash: String, content: EncodedPart)?

    /// Looks at the memory of workers; nil if nobody asks.
    private let memory: JobMemory?

    init(machine: RenderMachine, model: String, memory: JobMemory? = nil) {
        (self.machine, self.model, self.memory) = (machine, model, memory)
    }

    func needs(of workers: [WorkerProfile]) throws(RuntimeError) -> WorkerNeeds {
        try memory?.needs(needs, machine, of: workers) ?? needs
    }

    var precision: String? { machine.plan.precision == .auto ? nil : machine.plan.precision.rawValue }

    var plan: JobOutline { JobOutline(summaryLines: machine.plan.summaryLines, taskCount: machine.plan.totalTasks) }

    mutating func start() throws(EngineError) -> EngineBarrier {
        // Room for the pixels, and for a file that no compression makes smaller. They are written last: to report a full disk
        // after hours would be too late.
        let fileBytes = machine.plan.width * machine.plan.height * 3
        do throws(ScratchError) {
            try ScratchFile.requireRoom(bytes: machine.plan.pixelBytes + fileBytes + fileBytes / 50)
        } catch {
            throw .failed(RuntimeError(error))
        }
        return encode(machine.start())
    }

    mutating func complete(_ outputs: [EncodedPart]) throws(EngineError) -> EngineOutcome {
        var decoded: [TaskOutput] = []
        decoded.reserveCapacity(outputs.count)
        for (index, part) in outputs.enumerated() { decoded.append(try read(part, of: index)) }
        do throws(RenderError) {
            switch try machine.complete(decoded) {
            case .barrier(let barrier): return .barrier(encode(barrier))
            case .finished(let image): return .finished(image)
            }
        } catch {
            throw .failed(RuntimeError(error))
        }
    }

    mutating func take(_ output: EncodedPart, of index: Int) throws(EngineError) {
        let output = try read(output, of: index)
        do throws(RenderError) { try machine.take(output, of: index) } catch { throw .failed(RuntimeError(error)) }
    }

    private func read(_ part: EncodedPart, of index: Int) throws(EngineError) -> TaskOutput {
        do throws(RenderError) {
            return try TaskOutput(machine.expectedOutputs[index], metadata: part.metadata, payload: part.payload)
        } catch {
            throw .rejected(index: index, Failure(error.code == .nonFinite ? .nonFinite : .payload, error.sentence))
        }
    }

    private mutating func encode(_ barrier: Barrier) -> EngineBarrier {
        if barrier.base?.hash.hex != base?.hash {
            base = barrier.base.map { ($0.hash.hex, EncodedPart($0.encoded())) }
        }
        return EngineBarrier(
            place: barrier.place.renamed(\.rawValue),
            phaseNumber: UInt8(RenderPhase.allCases.firstIndex(of: barrier.phase) ?? 0),
            tasks: barrier.tasks.map { task in
                EngineTask(
                    part: { EncodedPart(task.encoded()) }, payloadBytes: task.payloadBytes, cost: task.cost,
                    thread: task.thread)
            },
            contextHash: barrier.context.hash.hex, context: EncodedPart(barrier.context.encoded()), base: base,
            takesEach: barrier.takesEach)
    }
}

extension RenderTask {
    fileprivate init(_ part: EncodedPart) throws(RenderError) {
        try self.init(metadata: part.metadata, payload: part.payload)
    }
}

extension EncodedPart {
    init(_ encoded: (metadata: JSONValue, payload: [UInt8])) {
        self.init(metadata: encoded.metadata, payload: encoded.payload)
    }
}

/// Tasks on a worker's networks.
final class RenderTaskEngine: TaskEngine {
    private let runner: TaskRunner
    let models: [String]
    private var limits: GroupLimits
    private(set) var groupLimit = 1
    private let log: (@Sendable (String) -> Void)?
    /// The last problem that was logged.
    private var loggedProblem: String?

    /// - Throws: an error of a model or of the compute library.
    init(_ options: WorkerOptions) throws(RuntimeError) {
        let packed = options.packedWeights.map { setting in
            PackedWeights(setting, threads: options.threads) { options.log?($0) }
        }
        do throws(RenderError) {
            runner = try TaskRunner(
                models: options.models, loras: options.loras, backend: options.backend, threads: options.threads,
                precision: options.precision, packed: packed)
        } catch {
            throw RuntimeError(error)
        }
        self.models = runner.modelIdentities.map(\.hex)
        log = options.log
        limits = GroupLimits(largest: options.group, host: Self.host(options))
    }

    private static func host(_ options: WorkerOptions) -> GroupLimits.Host {
        var host = GroupLimits.Host()
        do throws(RuntimeError) {
            let workers = try HostWorkers()
            host.workers = { workers.count }
        } catch {
            options.log?("the memory for groups is not shared with other workers of this host: \(error.logged)")
        }
        return host
    }

    var numericsClass: String { runner.numericsClass }
    var precision: String { "\(runner.precision)" }
    var operations: UInt64 { runner.operations }
    var peakActivationBytes: Int { runner.peakActivationBytes }

    func settle(trimming: Bool) { runner.settle(trimming: trimming) }

    func rest() { runner.rest() }

    func open(_ context: EncodedPart, named hash: String) throws(Failure) {
        do throws(RenderError) {
            let context = try JobContext(metadata: context.metadata, payload: context.payload)
            guard context.hash.hex == hash else {
                throw RenderError(.malformed, "A job's context does not match its hash.")
            }
            runner.keptTileBytes = limits.keptTileBytes(idleBytes: runner.idleActivationBytes + runner.keptBytes)
            try runner.open(context)
        } catch {
            throw Failure(error)
        }
    }

    func close(_ hash: String) {
        if let hash = SHA256Digest(hex: hash) { runner.close(hash) }
    }

    func run(
        _ parts: [EncodedPart], advanced: @escaping () -> Void, isWanted: @escaping (Int) -> Bool
    ) throws(CallEnd) -> [Result<EncodedPart, Failure>] {
        let first: RenderTask
        do throws(RenderError) { first = try RenderTask(parts[0]) } catch { return [.failure(Failure(error))] }
        var group = [first]
        // A group is a run of neighbours: the coordinator takes the first leases for the ones under way. A neighbour that
        // cannot be read ends the run, and fails when it is the first itself.
        for part in parts.dropFirst().prefix(limits.limit(of: first, idleBytes: runner.idleActivationBytes) - 1) {
            guard let task = try? RenderTask(part), first.sharesCall(with: task) else { break }
            group.append(task)
        }
        return try compute(group, advanced: advanced) { isWanted(group.count) }
    }

    /// Computes tasks that share a call, and learns from it how many may share the next one.
    private func compute(
        _ group: [RenderTask], advanced: @escaping () -> Void, isWanted: @escaping () -> Bool
    ) throws(CallEnd) -> [Result<EncodedPart, Failure>] {
        let start = ContinuousClock.now
        let (outcome, peakBytes) = runner.measuringPeak {
            Result { () throws(RenderError) in try runner.run(together: group, advanced: advanced, isWanted: isWanted) }
        }
        if let problem = runner.scratchProblem, problem != loggedProblem {
            loggedProblem = problem
            log?("tiles that find no room are computed again: \(problem)")
        }
        switch outcome {
        case .success(let outputs):
            if group[0].sharesCall(with: group[0]) {
                limits.learn(group, seconds: start.duration(to: .now) / .seconds(1), peakBytes: peakBytes)
            }
            groupLimit = limits.limit(of: group[0], idleBytes: runner.idleActivationBytes)
            return outputs.map { .success(EncodedPart($0.encoded())) }
        case .failure(let error) where error.code == .stopped: throw .stopped(count: group.count)
        case .failure(let error):
            guard group.count == 1 else {
                // For any reason of failure, the next tasks are computed one by one until a call succeeds.
                groupLimit = 1
                throw .failedTogether(count: group.count, Failure(error))
            }
            return [.failure(Failure(error))]
        }
    }
}

extension Failure {
    /// The cause: the task itself, or this worker's files, memory and libraries.
    init(_ error: RenderError) {
        switch error.code {
        case .nonFinite: self.init(.nonFinite, error.sentence)
        case .malformed, .invalidRequest: self.init(.payload, error.sentence)
        case .notFound, .badModel, .missingContext, .compute, .stopped, .storage: self.init(.worker, error.sentence)
        }
    }
}

extension RuntimeError {
    init(_ error: RenderError) {
        switch error.code {
        case .invalidRequest: self.init(.usage, error.sentence)
        case .notFound: self.init(.notFound, error.sentence)
        case .badModel: self.init(.badInput, error.sentence)
        case .nonFinite: self.init(.jobFailed, error.sentence)
        case .storage: self.init(.cannotWrite, error.sentence)
        case .malformed, .missingContext, .compute, .stopped: self.init(.internalFault, error.sentence)
        }
    }
}

extension InProcessWorker {
    /// A worker that renders with the options' models.
    convenience init(rendering options: WorkerOptions) throws(RuntimeError) {
        try self.init(options) { () throws(RuntimeError) in try RenderTaskEngine(options) }
    }
}
