public import Places
public import StrictJSON

/// SUBMIT: render this.
public struct Submit: Sendable, Equatable {
    /// The request as JSON.
    public var request: JSONValue
    /// The model by a name that the coordinator knows or by its identity; nil for the coordinator's first.
    public var model: String?
    /// The picture to start from; empty in most requests.
    public var payload: [UInt8]

    public init(request: JSONValue, model: String?, payload: [UInt8] = []) {
        self.request = request
        self.model = model
        self.payload = payload
    }
}

extension Submit {
    init(_ fields: FieldReader, payload: [UInt8]) throws(MessageError) {
        request = try fields.object("request")
        model = try fields.optional("model", .string(maxBytes: WireLimits.nameBytes))
        self.payload = payload
    }

    func write(to object: inout JSONObject) {
        object.append("request", request)
        object.putIfPresent("model", model)
    }
}

/// SUBMITTED: the job (in the header) is in the queue.
public struct Submitted: Sendable, Equatable {
    /// Jobs before it.
    public var position: Int

    public init(position: Int) { self.position = position }
}

extension Submitted: MetadataCodable {
    init(_ fields: FieldReader) throws(MessageError) { position = try fields.integer("position", 0...WireLimits.jobs) }

    func write(to object: inout JSONObject) { object.put("position", position) }
}

/// JOB_EVENT: the progress of the job (in the header).
public enum JobNote: Sendable, Equatable {
    /// Another job is before it.
    case queued(position: Int)
    /// Work begins; the plan in lines for people.
    case started(summary: [String], taskCount: Int)
    case progress(Progress)
    /// No worker can take it at present; the text says why.
    case waiting(String)
    /// It ended without a picture: the exit code for a program, and the reason.
    case failed(exitCode: Int, text: String)

    /// Progress in tasks of the whole job.
    public struct Progress: Sendable, Equatable {
        /// The stage is left out for a picture in one stage.
        public var place: Place<String>
        public var tasksDone: Int
        public var tasksTotal: Int
        public var workers: Int
        public var elapsedSeconds: Double
        public var remainingSeconds: Double?

        public init(_ place: Place<String>, tasksDone: Int, tasksTotal: Int, workers: Int) {
            self.place = place
            self.tasksDone = tasksDone
            self.tasksTotal = tasksTotal
            self.workers = workers
            elapsedSeconds = 0
        }
    }

    static let summaryLines = 64
}

extension JobNote: MetadataCodable {
    private enum Kind: String, CaseIterable { case queued, started, progress, waiting, failed }

    init(_ fields: FieldReader) throws(MessageError) {
        let kind: Kind = try fields.required("event", .choice())
        switch kind {
        case .queued: self = .queued(position: try fields.integer("position", 0...WireLimits.jobs))
        case .started:
            self = .started(
                summary: try fields.strings("summary", maxCount: JobNote.summaryLines),
                taskCount: try fields.integer("tasks", 0...Int(Int32.max)))
        case .progress: self = .progress(try Progress(fields))
        case .waiting: self = .waiting(try fields.string("text", maxBytes: WireLimits.textBytes))
        case .failed:
            self = .failed(
                exitCode: try fields.integer("exit_code", 1...255),
                text: try fields.string("text", maxBytes: WireLimits.textBytes))
        }
    }

    func write(to object: inout JSONObject) {
        switch self {
        case .queued(let position):
            object.put("event", Kind.queued.rawValue)
            object.put("position", position)
        case .started(let summary, let taskCount):
            object.put("event", Kind.started.rawValue)
            object.put("summary", summary.prefix(JobNote.summaryLines).map { $0.cut() })
            object.put("tasks", taskCount)
        case .progress(let progress):
            object.put("event", Kind.progress.rawValue)
            progress.write(to: &object)
        case .waiting(let text):
            object.put("event", Kind.waiting.rawValue)
            object.put("text", text.cut())
        case .failed(let exitCode, let text):
            object.put("event", Kind.failed.rawValue)
            object.put("exit_code", exitCode)
            object.put("text", text.cut())
        }
    }
}

extension JobNote.Progress {
    private static let seconds = 0.0...1e9

    init(_ fields: FieldReader) throws(MessageError) {
        let stageCount = try fields.optional("stages", .integer(1...WireLimits.stages)) ?? 1
        place = Place(
            stage: try fields.optional("stage", .integer(0...(stageCount - 1))) ?? 0, stageCount: stageCount,
            phase: try fields.string("phase"), step: try fields.integer("step", 0...Int(Int32.max)),
            stepCount: try fields.integer("steps", 0...Int(Int32.max)))
        tasksDone = try fields.integer("done", 0...Int(Int32.max))
        tasksTotal = try fields.integer("total", 0...Int(Int32.max))
        workers = try fields.integer("workers", 0...WireLimits.sessions)
        elapsedSeconds = try fields.required("elapsed_s", .number(Self.seconds))
        remainingSeconds = try fields.optional("remaining_s", .number(Self.seconds))
    }

    func write(to object: inout JSONObject) {
        if place.stageCount > 1 {
            object.put("stage", place.stage)
            object.put("stages", place.stageCount)
        }
        object.put("phase", place.phase)
        object.put("step", place.step)
        object.put("steps", place.stepCount)
        object.put("done", tasksDone)
        object.put("total", tasksTotal)
        object.put("workers", workers)
        object.put("elapsed_s", elapsedSeconds)
        if let remainingSeconds { object.put("remaining_s", remainingSeconds) }
    }
}

/// JOB_RESULT: one piece of the finished picture of the job in the header.
public struct ResultChunk: Sendable, Equatable {
    public var index: Int
    public var count: Int
    /// Bytes of the whole picture file.
    public var totalBytes: Int
    /// The details of the picture: size, parameters, timings. Only in piece 0.
    public var details: JSONValue?
    public var payload: [UInt8]

    public init(index: Int, count: Int, totalBytes: Int, details: JSONValue?, payload: [UInt8]) {
        self.index = index
        self.count = count
        self.totalBytes = totalBytes
        self.details = details
        self.payload = payload
    }

    init(_ fields: FieldReader, payload: [UInt8]) throws(MessageError) {
        count = try fields.integer("chunks", 1...WireLimits.resultChunks)
        index = try fields.integer("chunk", 0...(count - 1))
        totalBytes = try fields.integer("bytes", 0...WireLimits.payloadBytes)
        details = index == 0 ? try fields.object("details") : nil
        let expected = min(WireLimits.resultChunkBytes, totalBytes - index * WireLimits.resultChunkBytes)
        guard payload.count == max(0, expected), count == ResultChunk.count(forBytes: totalBytes) else {
            throw MessageError(.length, "jobResult: piece \(index) of \(count) has \(payload.count) bytes of \(totalBytes)")
        }
        self.payload = payload
    }

    /// The number of pieces of a file of so many bytes.
    public static func count(forBytes bytes: Int) -> Int {
        max(1, (bytes + WireLimits.resultChunkBytes - 1) / WireLimits.resultChunkBytes)
    }
}

extension ResultChunk {
    func write(to object: inout JSONObject) {
        object.put("chunk", index)
        object.put("chunks", count)
        object.put("bytes", totalBytes)
        if let details { object.append("details", details) }
    }
}
