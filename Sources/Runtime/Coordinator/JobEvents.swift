public import Places
public import Sentences
public import StrictJSON

/// A summary of the plan, for people.
public struct JobOutline: Sendable, Equatable {
    /// Method, grid, steps: one line each.
    public var summaryLines: [String]
    /// The number of tasks in all barriers.
    public var taskCount: Int
}

/// The finished picture.
public struct RenderResult: Sendable, Equatable {
    /// The PNG file.
    public var file: PictureFile
    public var width: Int
    public var height: Int
    /// The generation parameters, as in the file.
    public var parameters: String
    public var timings = RenderTimings()
    public var counts = RenderCounts()
}

/// The parts of a job's time.
public struct RenderTimings: Sendable, Equatable {
    /// The share of one phase.
    public struct Phase: Sendable, Equatable {
        public var name: String
        /// Time on the compute threads of all workers, summed.
        public var compute: Duration
        public var tasks: Int
    }

    /// The phases in the order in which they began.
    public var phases: [Phase] = []
    /// The time from submission until the first task was sent: workers start and load weights.
    public var startUp: Duration = .zero
    /// CPU time on the coordinator for planning, merging, and unpacking tensors.
    public var merge: Duration = .zero
    /// CPU time of writing the PNG.
    public var png: Duration = .zero
    /// CPU time for messages: the I/O threads of the coordinator and of all workers, and the packing of tasks.
    public var wire: Duration = .zero
    /// The time from submission until the picture was finished.
    public var wall: Duration = .zero

    /// Time on the compute threads of all workers.
    public var compute: Duration { phases.reduce(.zero) { $0 + $1.compute } }

    /// Time for merging and moving, as a fraction of the compute time.
    public var overhead: Double {
        let total = compute / .seconds(1)
        return total > 0 ? (merge + wire) / .seconds(1) / total : 0
    }
}

/// An event of a job. The last event is `finished` or `failed`, and comes once.
public enum JobEvent: Sendable, Equatable {
    /// The number of jobs before this one.
    case queued(position: Int)
    case started(JobOutline)
    case progress(JobProgress)
    /// No worker can take the job at present; the text says why.
    case waiting(Sentence)
    case finished(RenderResult)
    case failed(RuntimeError)
}

// The details that travel with a picture to a client.

extension RenderResult: JSONRecordable {
    /// The members of a result, without the file.
    public static var record: JSONRecord<RenderResult> {
        JSONRecord(
            { RenderResult(file: .empty, width: $0, height: $1, parameters: $2, timings: $3, counts: $4) },
            ("width", \.width, .any), ("height", \.height, .any), ("parameters", \.parameters, .string()),
            ("timings", \.timings, .record), ("counts", \.counts, .record))
    }
}

extension RenderTimings: JSONRecordable {
    public static var record: JSONRecord<RenderTimings> {
        JSONRecord(
            RenderTimings.init,
            ("phases", \.phases, .list(of: .record, count: 0...Int.max)), ("start_up_us", \.startUp, .microseconds),
            ("merge_us", \.merge, .microseconds), ("png_us", \.png, .microseconds), ("wire_us", \.wire, .microseconds),
            ("wall_us", \.wall, .microseconds))
    }
}

extension RenderTimings.Phase: JSONRecordable {
    public static var record: JSONRecord<RenderTimings.Phase> {
        JSONRecord(
            RenderTimings.Phase.init, ("name", \.name, .string()), ("compute_us", \.compute, .microseconds),
            ("tasks", \.tasks, .any))
    }
}

extension JSONShape where Value == Int {
    fileprivate static var any: Self { .integer(.min ... .max) }
}

extension JSONShape where Value == Duration {
    fileprivate static var microseconds: Self { Self(.words("a time")) { $0.intValue.map { .microseconds($0) } } }
}

/// A duration travels in microseconds.
extension Duration: JSONRepresentable {
    public var jsonValue: JSONValue? { .integer(Int64(self / .microseconds(1))) }
}
