internal import StrictJSON

extension Message {
    /// Frame 1: a canonical JSON object; empty for types whose header says everything.
    var metadataBytes: [UInt8] {
        var object = JSONObject()
        switch self {
        case .hello(let body): body.write(to: &object)
        case .welcome(let body): body.write(to: &object)
        case .refuse(let body): body.write(to: &object)
        case .credit(let body): body.write(to: &object)
        case .jobReady(let body), .needJob(let body), .jobClose(let body): body.write(to: &object)
        case .progress(let body): body.write(to: &object)
        case .fail(let body): body.write(to: &object)
        case .drain(let body): body.write(to: &object)
        case .bye(let body): body.write(to: &object)
        case .submit(let body): body.write(to: &object)
        case .submitted(let body): body.write(to: &object)
        case .jobEvent(let body): body.write(to: &object)
        case .jobResult(let body): body.write(to: &object)
        case .jobOpen(let body):
            object.put("context", body.context)
            object.append("content", body.content)
        case .lease(let body):
            object.put("context", body.context)
            object.put("lease_ms", body.milliseconds)
            object.append("task", body.task)
        case .result(let body):
            object.put("compute_us", body.computeMicroseconds)
            object.put("wire_us", body.wireMicroseconds)
            body.effort.write(to: &object)
            object.append("output", body.output)
        case .ping, .pong, .accept, .resultAck, .cancel, .cancelled, .reset, .jobCancel: return []
        }
        return JSONValue.object(object).canonicalBytes()
    }

    /// Frame 2.
    var payload: [UInt8] {
        switch self {
        case .jobOpen(let body): body.payload
        case .lease(let body): body.payload
        case .result(let body): body.payload
        case .jobResult(let body): body.payload
        case .submit(let body): body.payload
        case .accept(let list), .cancel(let list), .cancelled(let list): list.payload
        case .resultAck(let acks): acks.payload
        default: []
        }
    }

    init(_ type: MessageType, metadata: [UInt8], payload: [UInt8]) throws(MessageError) {
        if try Message.carriesPayload(type, payload) {
            self = try Message.withPayload(type, metadata: metadata, payload: payload)
        } else if try Message.isBare(type, metadata) {
            self = Message.bare(type)
        } else {
            self = try Message.withMetadata(type, FieldReader(metadata, of: type))
        }
    }

    /// Whether the type has a payload. Throws if a type without payload got one.
    private static func carriesPayload(_ type: MessageType, _ payload: [UInt8]) throws(MessageError) -> Bool {
        switch type {
        case .jobOpen, .lease, .result, .jobResult, .submit, .accept, .cancel, .cancelled, .resultAck: return true
        default:
            guard payload.isEmpty else { throw MessageError(.length, "\(type): there must be no payload") }
            return false
        }
    }

    private static func isBare(_ type: MessageType, _ metadata: [UInt8]) throws(MessageError) -> Bool {
        switch type {
        case .ping, .pong, .reset, .jobCancel, .accept, .cancel, .cancelled, .resultAck:
            guard metadata.isEmpty else { throw MessageError(.metadata, "\(type): there must be no metadata") }
            return true
        default: return false
        }
    }

    private static func bare(_ type: MessageType) -> Message {
        switch type {
        case .pong: .pong
        case .reset: .reset
        case .jobCancel: .jobCancel
        default: .ping
        }
    }

    private static func withMetadata(_ type: MessageType, _ fields: FieldReader) throws(MessageError) -> Message {
        switch type {
        case .hello: .hello(try Hello(fields))
        case .welcome: .welcome(try Welcome(fields))
        case .refuse: .refuse(try Refuse(fields))
        case .credit: .credit(try Credit(fields))
        case .jobReady: .jobReady(try ContextNote(fields))
        case .needJob: .needJob(try ContextNote(fields))
        case .jobClose: .jobClose(try ContextNote(fields))
        case .progress: .progress(try Progress(fields))
        case .fail: .fail(try Failure(fields))
        case .drain: .drain(try Drain(fields))
        case .bye: .bye(try Bye(fields))
        case .submitted: .submitted(try Submitted(fields))
        case .jobEvent: .jobEvent(try JobNote(fields))
        default: throw MessageError(.type, "\(type): the type has another shape")
        }
    }

    private static func withPayload(
        _ type: MessageType, metadata: [UInt8], payload: [UInt8]
    ) throws(MessageError) -> Message {
        if try isBare(type, metadata) {
            switch type {
            case .accept: return .accept(try LeaseList(payload: payload, of: type))
            case .cancel: return .cancel(try LeaseList(payload: payload, of: type))
            case .cancelled: return .cancelled(try LeaseList(payload: payload, of: type))
            default: return .resultAck(try ResultAcks(payload: payload))
            }
        }
        let fields = try FieldReader(metadata, of: type)
        switch type {
        case .jobOpen:
            return .jobOpen(
                JobOpen(context: try fields.digest("context"), content: try fields.object("content"), payload: payload))
        case .lease:
            return .lease(
                LeaseGrant(
                    context: try fields.digest("context"), milliseconds: try fields.milliseconds("lease_ms"),
                    task: try fields.object("task"), payload: payload))
        case .result:
            return .result(
                TaskResult(
                    computeMicroseconds: try fields.integer("compute_us", 0...Int.max),
                    wireMicroseconds: try fields.integer("wire_us", 0...Int.max), effort: try TaskResult.Effort(fields),
                    output: try fields.object("output"), payload: payload))
        case .submit: return .submit(try Submit(fields, payload: payload))
        default: return .jobResult(try ResultChunk(fields, payload: payload))
        }
    }
}
