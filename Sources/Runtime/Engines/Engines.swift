package import Messages
package import Places
package import StrictJSON

// The engines that the cluster drives without knowing about pictures. The program renders; the tests use exact integer
// arithmetic.

/// A value as it travels.
package struct EncodedPart: Sendable, Equatable {
    package var metadata: JSONValue
    package var payload: [UInt8]

    package init(metadata: JSONValue, payload: [UInt8]) {
        self.metadata = metadata
        self.payload = payload
    }
}

/// One task of a barrier, ready to send.
package struct EngineTask: Sendable {
    package var part: EncodedPart
    /// Relative to the job's other tasks.
    package var cost: Double

    package init(part: EncodedPart, cost: Double) {
        self.part = part
        self.cost = cost
    }
}

/// The tasks of one barrier and their common context.
package struct EngineBarrier: Sendable {
    package var place: Place<String>
    /// For the header. People read it in dumps.
    package var phaseNumber: UInt8
    package var tasks: [EngineTask]
    /// The content hash of `context`, 64 hexadecimal digits.
    package var contextHash: String
    package var context: EncodedPart

    package init(
        _ place: Place<String>, phaseNumber: UInt8, tasks: [EngineTask], contextHash: String, context: EncodedPart
    ) {
        self.place = place
        self.phaseNumber = phaseNumber
        self.tasks = tasks
        self.contextHash = contextHash
        self.context = context
    }
}

/// A picture from the engine.
package struct EnginePicture: Sendable {
    package var width: Int
    package var height: Int
    /// Row-major, three bytes a pixel.
    package var rgb: [UInt8]
    package var parameters: String
    /// The complete parameters of the picture.
    package var details: JSONValue

    package init(width: Int, height: Int, rgb: [UInt8], parameters: String, details: JSONValue) {
        self.width = width
        self.height = height
        self.rgb = rgb
        self.parameters = parameters
        self.details = details
    }
}

package enum EngineOutcome: Sendable {
    case barrier(EngineBarrier)
    case finished(EnginePicture)
}

/// Why the outputs of a barrier could not be merged.
package enum EngineError: Error, Sendable {
    /// One output is wrong: another worker must do its task again.
    case rejected(index: Int, Failure.Class, String)
    case failed(RuntimeError)
}

/// The coordinator's side of one job, on one job thread at a time.
package protocol JobEngine: Sendable {
    var plan: JobOutline { get }
    /// The identity of the model the job needs, 64 hexadecimal digits.
    var model: String { get }
    mutating func start() throws(EngineError) -> EngineBarrier
    /// Merges the outputs of the last barrier, in task order. An error leaves the engine unchanged.
    mutating func complete(_ outputs: [EncodedPart]) throws(EngineError) -> EngineOutcome
}

/// Makes engines for requests from clients.
package protocol JobEngineFactory: Sendable {
    func makeEngine(request: EncodedPart, model: String?) throws(RuntimeError) -> any JobEngine
}

/// Why a task failed.
package struct TaskError: Error, Sendable {
    package var failureClass: Failure.Class
    package var message: String

    package init(_ failureClass: Failure.Class, _ message: String) {
        self.failureClass = failureClass
        self.message = message
    }
}

/// The worker's side, on its compute thread.
package protocol TaskEngine {
    var numericsClass: String { get }
    /// Identities of the models it can run, 64 hexadecimal digits each.
    var models: [String] { get }
    /// Opens a context until `close`. The caller limits the number of open contexts.
    func open(_ context: EncodedPart, named hash: String) throws(TaskError)
    func close(_ hash: String)
    /// Multiplications and additions of all tasks so far.
    var operations: UInt64 { get }
    /// The most bytes of activations in use at once since the last `settle`.
    var peakActivationBytes: Int { get }
    /// Begins to measure activations anew, between the tasks of two jobs.
    /// - Parameter trimming: whether to give back memory that is only kept for speed.
    func settle(trimming: Bool)
    /// - Parameter advanced: called now and then while the work goes on.
    func run(_ task: EncodedPart, advanced: @escaping () -> Void) throws(TaskError) -> EncodedPart
}
