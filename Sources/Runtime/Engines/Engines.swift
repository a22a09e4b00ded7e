package import Messages
package import Places
package import StrictJSON

// What the cluster carries, without knowing it: the seam between moving bytes and making pictures. Rendering stands behind it
// in the program, exact integer arithmetic in the tests.

/// A value in the form it travels in.
package struct EncodedPart: Sendable, Equatable {
    package var metadata: JSONValue
    package var payload: [UInt8]

    package init(metadata: JSONValue, payload: [UInt8]) {
        self.metadata = metadata
        self.payload = payload
    }
}

/// One task of a barrier, ready to be sent.
package struct EngineTask: Sendable {
    package var part: EncodedPart
    /// Relative to the job's other tasks.
    package var cost: Double

    package init(part: EncodedPart, cost: Double) {
        self.part = part
        self.cost = cost
    }
}

/// The tasks of one barrier and what they share.
package struct EngineBarrier: Sendable {
    package var place: Place<String>
    /// For the header, where people read dumps.
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

/// A picture as it leaves the engine.
package struct EnginePicture: Sendable {
    package var width: Int
    package var height: Int
    /// Row-major, three bytes a pixel.
    package var rgb: [UInt8]
    package var parameters: String
    /// What made it, complete, as an object.
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

/// Why a barrier's outputs could not be merged.
package enum EngineError: Error, Sendable {
    /// One output cannot be used: its task has to be done again, by somebody else.
    case rejected(index: Int, Failure.Class, String)
    case failed(RuntimeError)
}

/// The coordinator's side of one job, on one job thread at a time.
package protocol JobEngine: Sendable {
    var plan: JobOutline { get }
    /// The identity of the model the job needs, 64 hexadecimal digits.
    var model: String { get }
    mutating func start() throws(EngineError) -> EngineBarrier
    /// Merges the outputs of the barrier before, in task order. After an error the engine is as it was.
    mutating func complete(_ outputs: [EncodedPart]) throws(EngineError) -> EngineOutcome
}

/// Makes engines for requests that come over the wire.
package protocol JobEngineFactory: Sendable {
    func makeEngine(request: EncodedPart, model: String?) throws(RuntimeError) -> any JobEngine
}

/// Why a worker could not do a task.
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
    /// Takes what tasks need, until it is closed: how many contexts there are at once is the caller's business.
    ///
    /// - Parameter hash: the content's, as tasks name it.
    func open(_ context: EncodedPart, named hash: String) throws(TaskError)
    func close(_ hash: String)
    /// Multiplications and additions of all tasks so far; they only grow.
    var operations: UInt64 { get }
    /// The most bytes of activations in use at once since the last `settle`.
    var peakActivationBytes: Int { get }
    /// Called between the tasks of two jobs: begins to measure activations anew.
    ///
    /// - Parameter trimming: whether memory that is only kept to be fast is given back.
    func settle(trimming: Bool)
    /// - Parameter advanced: to be called now and then while the work moves.
    func run(_ task: EncodedPart, advanced: @escaping () -> Void) throws(TaskError) -> EncodedPart
}
