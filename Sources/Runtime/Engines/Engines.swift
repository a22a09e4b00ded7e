internal import Cluster
internal import Messages
internal import Places
internal import Rendering

// The engines that the cluster drives. The program renders; the tests use exact integer arithmetic. Of `Rendering` these
// interfaces know only the finished picture and the outline of a job.

/// One task of a barrier, ready to send.
struct EngineTask: Sendable {
    /// Makes the task's message. The task itself may hold much less.
    var part: @Sendable () -> EncodedPart
    /// Bytes of the message's payload.
    var payloadBytes: Int
    /// The cost of the task, relative to the job's other tasks of its kind.
    var cost: Double
    /// See `ClusterTask.thread`.
    var thread: Int?
}

/// The tasks of one barrier and their common context.
struct EngineBarrier: Sendable {
    var place: Place<String>
    /// The phase's number for the header. It is also the kind of the tasks: see `ClusterTask.kind`.
    var phaseNumber: UInt8
    var tasks: [EngineTask]
    /// The content hash of `context`, 64 hexadecimal digits.
    var contextHash: String
    var context: EncodedPart
    /// The context that `context` builds on; nil if there is none.
    var base: (hash: String, content: EncodedPart)?
    /// Whether the engine takes each output by itself, as it comes. See `Barrier.takesEach`.
    var takesEach = false
}

enum EngineOutcome: Sendable {
    case barrier(EngineBarrier)
    case finished(RenderedImage)
}

/// Why the outputs of a barrier could not be merged.
enum EngineError: Error, Sendable {
    /// One output is wrong: another worker must do its task again.
    case rejected(index: Int, Failure)
    case failed(RuntimeError)
}

/// The coordinator's side of one job, on one job thread at a time.
protocol JobEngine: Sendable {
    var plan: JobOutline { get }
    /// The identity of the model the job needs, 64 hexadecimal digits.
    var model: String { get }
    /// The precision the job needs; nil if any will do.
    var precision: String? { get }
    /// The abilities that the job needs in its workers. They include the memory if one of these workers may have too little, or
    /// if there are none.
    ///
    /// - Throws: `temporary` if all workers with the job's model and precision have too little memory, with settings that lower
    ///   the need.
    func needs(of workers: [WorkerProfile]) throws(RuntimeError) -> WorkerNeeds
    mutating func start() throws(EngineError) -> EngineBarrier
    /// Merges the outputs of the last barrier, in task order. `rejected` leaves the engine unchanged, any other error ends the
    /// job.
    mutating func complete(_ outputs: [EncodedPart]) throws(EngineError) -> EngineOutcome
    /// Takes one output of a barrier that takes each. `complete` then gets none. An error leaves the engine unchanged.
    mutating func take(_ output: EncodedPart, of index: Int) throws(EngineError)
}

extension JobEngine {
    /// The needs without the memory.
    var needs: WorkerNeeds { WorkerNeeds(model: model, precision: precision) }

    func needs(of workers: [WorkerProfile]) throws(RuntimeError) -> WorkerNeeds { needs }
}

/// Makes engines for requests from clients.
protocol JobEngineFactory: Sendable {
    func makeEngine(request: EncodedPart, model: String?) throws(RuntimeError) -> any JobEngine
}

/// A call of the network that gave no outcome. Its tasks were the first of the given ones, as many as `count` says.
enum CallEnd: Error {
    /// Several tasks were in it. Nobody knows the one at fault: each is to be computed alone.
    case failedTogether(count: Int, Failure)
    /// Nobody waits for any of its tasks.
    case stopped(count: Int)
}

/// The worker's side, on its compute thread.
protocol TaskEngine {
    var numericsClass: String { get }
    /// The precision it computes in.
    var precision: String { get }
    /// Identities of the models it can run, 64 hexadecimal digits each.
    var models: [String] { get }
    /// Opens a context until `close`. The caller limits the number of open contexts.
    func open(_ context: EncodedPart, named hash: String) throws(Failure)
    func close(_ hash: String)
    /// Multiplications and additions of all tasks so far.
    var operations: UInt64 { get }
    /// The most bytes of activations in use at once since the last `settle`.
    var peakActivationBytes: Int { get }
    /// Begins to measure activations anew, between the tasks of two jobs.
    /// - Parameter trimming: whether to give back memory that is only kept for speed.
    func settle(trimming: Bool)
    /// Gives back memory that the next task can have again at little cost. Called when nothing has come for a while.
    func rest()
    /// The most tasks that it would compute at once now.
    var groupLimit: Int { get }
    /// Makes one call of the network: the first of the tasks, and with it as many of the next ones as can share the call.
    ///
    /// - Parameters:
    ///   - tasks: tasks of one job, at least one.
    ///   - advanced: called now and then while the work goes on.
    ///   - isWanted: asked now and then whether anybody waits for any of the first tasks, of this number.
    /// - Returns: the outcomes of the first tasks, at least of one. The others were not begun.
    /// - Throws: `failedTogether` for two tasks or more, and `stopped` soon after `isWanted` gave false.
    func run(
        _ tasks: [EncodedPart], advanced: @escaping () -> Void, isWanted: @escaping (Int) -> Bool
    ) throws(CallEnd) -> [Result<EncodedPart, Failure>]
}

/// Called on the compute thread, because an engine stays on the thread that made it.
typealias TaskEngineMaker = @Sendable () throws(RuntimeError) -> any TaskEngine
