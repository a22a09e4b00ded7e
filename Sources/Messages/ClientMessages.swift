public import Places
public import Sentences
public import StrictJSON

/// SUBMIT: render this.
public struct Submit: Sendable, Equatable {
    /// The payload is the picture to start from; most requests have none.
    public var request: EncodedPart
    /// The model by a name that the coordinator knows or by its identity; nil for the coordinator's first.
    public var model: String?

    public init(request: EncodedPart, model: String?) {
        self.request = request
        self.model = model
    }
}

extension Submit: MetadataBody {
    public static var record: JSONRecord<Submit> {
        JSONRecord(
            { Submit(request: EncodedPart(metadata: $0), model: $1) },
            ("request", \.request.metadata, .content), ("model", \.model, .optional(.name)))
    }

    static var part: WritableKeyPath<Submit, EncodedPart>? { \.request }
}

/// SUBMITTED: the job (in the header) is in the queue.
public struct Submitted: Sendable, Equatable {
    /// Jobs before it.
    public var position: Int

    public init(position: Int) { self.position = position }
}

extension Submitted: MetadataBody {
    public static var record: JSONRecord<Submitted> {
        JSONRecord(Submitted.init, ("position", \.position, .integer(0...WireLimits.jobs)))
    }
}

/// JOB_EVENT: the progress of the job (in the header).
public enum JobNote: Sendable, Equatable {
    /// Another job is before it.
    case queued(position: Int)
    /// Work begins; the plan in lines for people.
    case started(summary: [String], taskCount: Int)
    case progress(JobProgress)
    /// No worker can take it at present; the text says why.
    case waiting(Sentence)
    /// It ended without a picture: the exit code for a program, and the reason.
    case failed(exitCode: Int, sentence: Sentence)

    static let summaryLines = 64
}

extension JobNote: MetadataBody {
    private enum Kind: String, CaseIterable, JSONRepresentable { case queued, started, progress, waiting, failed }

    public static var record: JSONRecord<JobNote> { JSONRecord(reading: read, writing: write) }

    private static func read(_ fields: Fields) throws(JSONFieldError) -> JobNote {
        let kind: Kind = try fields.required("event", .choice())
        switch kind {
        case .queued: return .queued(position: try fields.required("position", .integer(0...WireLimits.jobs)))
        case .started:
            return .started(
                summary: try fields.required("summary", .list(of: .text, count: 0...JobNote.summaryLines)),
                taskCount: try fields.required("tasks", .count))
        case .progress: return .progress(try JobProgress(fields))
        case .waiting: return .waiting(try fields.required("text", .sentence))
        case .failed:
            return .failed(
                exitCode: try fields.required("exit_code", .integer(1...255)), sentence: try fields.required("text", .sentence))
        }
    }

    private static func write(_ note: JobNote, to object: inout JSONObject) {
        switch note {
        case .queued(let position):
            object.put("event", Kind.queued)
            object.put("position", position)
        case .started(let summary, let taskCount):
            object.put("event", Kind.started)
            object.put("summary", summary.prefix(JobNote.summaryLines).map { $0.cut() })
            object.put("tasks", taskCount)
        case .progress(let progress):
            object.put("event", Kind.progress)
            progress.write(to: &object)
        case .waiting(let text):
            object.put("event", Kind.waiting)
            object.put("text", text.cut())
        case .failed(let exitCode, let sentence):
            object.put("event", Kind.failed)
            object.put("exit_code", exitCode)
            object.put("text", sentence.cut())
        }
    }
}

extension JobProgress: JSONRecordable {
    private static let secondsLimit = 1e9

    private static func seconds(of duration: Duration) -> Double { (duration / .microseconds(1)).rounded() / 1e6 }

    public static var record: JSONRecord<JobProgress> {
        // Whole microseconds, so that a progress that was read is written as the same number again.
        let time = JSONShape<Duration>(.number(0...JobProgress.secondsLimit)) { value in
            value.doubleValue.flatMap {
                (0...JobProgress.secondsLimit).contains($0) ? .microseconds(Int64(($0 * 1e6).rounded())) : nil
            }
        }
        return JSONRecord { fields throws(JSONFieldError) in
            let stageCount = try fields.optional("stages", .integer(1...WireLimits.stages)) ?? 1
            let place = Place(
                stage: try fields.optional("stage", .integer(0...(stageCount - 1))) ?? 0, stageCount: stageCount,
                phase: try fields.required("phase", .name), step: try fields.required("step", .count),
                stepCount: try fields.required("steps", .count))
            return JobProgress(
                place, tasksDone: try fields.required("done", .count), tasksTotal: try fields.required("total", .count),
                workers: try fields.required("workers", .integer(0...WireLimits.sessions)),
                elapsed: try fields.required("elapsed_s", time),
                estimatedRemaining: try fields.optional("remaining_s", time))
        } writing: { progress, object in
            // A picture of one stage is told as before there were stages.
            if progress.place.stageCount > 1 {
                object.put("stage", progress.place.stage)
                object.put("stages", progress.place.stageCount)
            }
            object.put("phase", progress.place.phase)
            object.put("step", progress.place.step)
            object.put("steps", progress.place.stepCount)
            object.put("done", progress.tasksDone)
            object.put("total", progress.tasksTotal)
            object.put("workers", progress.workers)
            object.put("elapsed_s", seconds(of: progress.elapsed))
            object.put("remaining_s", progress.estimatedRemaining.map { min(seconds(of: $0), secondsLimit) })
        }
    }
}

/// JOB_FETCH: send pieces of the finished picture of the job in the header.
public struct ResultFetch: Sendable, Equatable {
    /// The first missing piece. The number of all pieces if none is missing: the picture may go.
    public var first: Int
    /// The most pieces to send now.
    public var count: Int

    public init(first: Int, count: Int) { (self.first, self.count) = (first, count) }
}

extension ResultFetch: MetadataBody {
    public static var record: JSONRecord<ResultFetch> {
        JSONRecord(
            ResultFetch.init, ("first", \.first, .integer(0...WireLimits.resultChunks)),
            ("count", \.count, .integer(1...WireLimits.resultChunksAtOnce)))
    }
}

/// JOB_RESULT: one piece of the finished picture of the job in the header. Piece 0 comes by itself, others by JOB_FETCH.
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

    /// The number of pieces of a file of `bytes` bytes.
    public static func count(forBytes bytes: Int) -> Int {
        max(1, (bytes + WireLimits.resultChunkBytes - 1) / WireLimits.resultChunkBytes)
    }
}

extension ResultChunk: MetadataBody {
    public static var record: JSONRecord<ResultChunk> {
        JSONRecord { fields throws(JSONFieldError) in
            let count = try fields.required("chunks", .integer(1...WireLimits.resultChunks))
            let index = try fields.required("chunk", .integer(0...(count - 1)))
            return ResultChunk(
                index: index, count: count, totalBytes: try fields.required("bytes", .integer(0...WireLimits.resultBytes)),
                details: index == 0 ? try fields.required("details", .content) : nil, payload: [])
        } writing: { chunk, object in
            object.put("chunk", chunk.index)
            object.put("chunks", chunk.count)
            object.put("bytes", chunk.totalBytes)
            object.put("details", chunk.details)
        }
    }

    static func read(_ type: MessageType, metadata: [UInt8], payload: [UInt8]) throws(MessageError) -> ResultChunk {
        var chunk = try ResultChunk(metadata, of: type)
        let expected = min(WireLimits.resultChunkBytes, chunk.totalBytes - chunk.index * WireLimits.resultChunkBytes)
        guard payload.count == max(0, expected), chunk.count == count(forBytes: chunk.totalBytes) else {
            throw MessageError(
                .length, "\(type): piece \(chunk.index) of \(chunk.count) has \(payload.count) bytes of \(chunk.totalBytes)")
        }
        chunk.payload = payload
        return chunk
    }
}
