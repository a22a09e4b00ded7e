public import Places
internal import StrictJSON

/// A summary of the plan, for people.
public struct JobOutline: Sendable, Equatable {
    /// Method, grid, steps: one line each.
    public var summaryLines: [String]
    /// The number of tasks in all barriers.
    public var taskCount: Int

    public init(summaryLines: [String], taskCount: Int) {
        self.summaryLines = summaryLines
        self.taskCount = taskCount
    }
}

/// The progress of a job.
public struct JobProgress: Sendable, Equatable {
    /// The phase is encode, picture, denoise, structure, detail or decode.
    public var place: Place<String>
    /// Of the whole job.
    public var tasksDone: Int
    public var tasksTotal: Int
    public var workers: Int
    public var elapsed: Duration
    /// nil until there is an estimate.
    public var estimatedRemaining: Duration?
}

/// The finished picture.
public struct RenderResult: Sendable, Equatable {
    /// The whole PNG file.
    public var png: [UInt8]
    public var width: Int
    public var height: Int
    /// The generation parameters, as in the file.
    public var parameters: String
    public var timings: RenderTimings
    public var counts: RenderCounts
}

/// Where a job spent its time.
public struct RenderTimings: Sendable, Equatable {
    /// The share of one phase.
    public struct Phase: Sendable, Equatable {
        public var name: String
        /// Time on the compute threads of all workers, summed.
        public var compute: Duration
        public var tasks: Int
    }

    /// In the order in which the phases began.
    public var phases: [Phase] = []
    /// From submission until the first task was sent: workers start and load weights.
    public var startUp: Duration = .zero
    /// CPU time on the coordinator for planning, merging, and packing and unpacking tensors.
    public var merge: Duration = .zero
    /// CPU time of writing the PNG.
    public var png: Duration = .zero
    /// CPU time for messages: the I/O threads of the coordinator and of all workers, and the messages' coding.
    public var wire: Duration = .zero
    /// From submission until the picture was finished.
    public var wall: Duration = .zero

    public init() {}

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
    case waiting(String)
    case finished(RenderResult)
    case failed(RuntimeError)
}

// The details that travel with a picture to a client.

extension RenderResult {
    /// Everything but the file.
    var details: JSONValue {
        var object = JSONObject()
        object.append("width", .integer(Int64(width)))
        object.append("height", .integer(Int64(height)))
        object.append("parameters", .string(parameters))
        object.append("timings", timings.json)
        object.append("counts", counts.json)
        return .object(object)
    }

    init(png: [UInt8], details: JSONValue) throws(RuntimeError) {
        guard let width = details["width"]?.intValue, let height = details["height"]?.intValue,
            let parameters = details["parameters"]?.stringValue,
            let timings = details["timings"].flatMap(RenderTimings.init(json:)),
            let counts = details["counts"].flatMap(RenderCounts.init(json:))
        else { throw RuntimeError(.internalFault, "The coordinator sent a picture without its details.") }
        self.init(png: png, width: width, height: height, parameters: parameters, timings: timings, counts: counts)
    }
}

extension RenderTimings {
    private static func microseconds(_ duration: Duration) -> JSONValue { .integer(Int64(duration / .microseconds(1))) }

    private static func duration(_ value: JSONValue?) -> Duration? { value?.intValue.map { .microseconds($0) } }

    var json: JSONValue {
        let phases = phases.map { phase -> JSONValue in
            [
                "name": .string(phase.name), "compute_us": Self.microseconds(phase.compute),
                "tasks": .integer(Int64(phase.tasks)),
            ]
        }
        return [
            "phases": .array(phases), "start_up_us": Self.microseconds(startUp), "merge_us": Self.microseconds(merge),
            "png_us": Self.microseconds(png), "wire_us": Self.microseconds(wire), "wall_us": Self.microseconds(wall),
        ]
    }

    init?(json: JSONValue) {
        guard let array = json["phases"]?.arrayValue, let startUp = Self.duration(json["start_up_us"]),
            let merge = Self.duration(json["merge_us"]), let png = Self.duration(json["png_us"]),
            let wire = Self.duration(json["wire_us"]), let wall = Self.duration(json["wall_us"])
        else { return nil }
        for element in array {
            guard let name = element["name"]?.stringValue, let compute = Self.duration(element["compute_us"]),
                let tasks = element["tasks"]?.intValue
            else { return nil }
            phases.append(Phase(name: name, compute: compute, tasks: tasks))
        }
        self.startUp = startUp
        self.merge = merge
        self.png = png
        self.wire = wire
        self.wall = wall
    }
}
