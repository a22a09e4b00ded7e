internal import StrictJSON

/// The content of a message.
protocol MessageBody {
    static func read(_ type: MessageType, metadata: [UInt8], payload: [UInt8]) throws(MessageError) -> Self
    /// Frame 1.
    var metadata: [UInt8] { get }
    /// Frame 2.
    var payload: [UInt8] { get }
}

extension MessageBody {
    var metadata: [UInt8] { [] }
}

/// Content with metadata, which is a canonical JSON object. Unknown members are skipped, so that a newer minor version can add
/// some.
protocol MetadataBody: MessageBody, JSONRecordable {
    /// The part with the message's payload; nil if a message of this type has none.
    static var part: WritableKeyPath<Self, EncodedPart>? { get }
}

extension MetadataBody {
    static var part: WritableKeyPath<Self, EncodedPart>? { nil }

    static func read(_ type: MessageType, metadata: [UInt8], payload: [UInt8]) throws(MessageError) -> Self {
        if part == nil { try type.requireNone(of: payload, .length) }
        var body = try Self(metadata, of: type)
        if let part { body[keyPath: part].payload = payload }
        return body
    }

    init(_ metadata: [UInt8], of type: MessageType) throws(MessageError) {
        let value: JSONValue
        do { value = try JSONValue(parsing: metadata, limits: .wire) } catch {
            throw MessageError(.metadata, "\(type): \(error.message)")
        }
        guard let members = value.objectValue else {
            throw MessageError(.metadata, "\(type): the metadata is not an object")
        }
        do { try self.init(Fields(members) { $0 }) } catch {
            throw MessageError(.metadata, "\(type): '\(error.key)' must be \(error.need)")
        }
    }

    var metadata: [UInt8] { jsonValue?.canonicalBytes() ?? [] }
    var payload: [UInt8] { Self.part.map { self[keyPath: $0].payload } ?? [] }
}

extension MessageType {
    /// Refuses a frame that messages of this type leave empty.
    func requireNone(of frame: [UInt8], _ code: MessageError.Code) throws(MessageError) {
        guard frame.isEmpty else {
            throw MessageError(code, "\(self): there must be no \(code == .metadata ? "metadata" : "payload")")
        }
    }
}

extension Message {
    public var type: MessageType { content.type }

    /// Bytes of its frames.
    public var byteCount: Int {
        let body = content.body
        return WireLimits.headerBytes + (body?.metadata.count ?? 0) + (body?.payload.count ?? 0)
    }

    /// The body is nil for types whose header says everything.
    var content: (type: MessageType, body: (any MessageBody)?) {
        switch self {
        case .hello(let body): (.hello, body)
        case .welcome(let body): (.welcome, body)
        case .refuse(let body): (.refuse, body)
        case .ping: (.ping, nil)
        case .pong: (.pong, nil)
        case .credit(let body): (.credit, body)
        case .jobOpen(let body): (.jobOpen, body)
        case .jobReady(let body): (.jobReady, body)
        case .needJob(let body): (.needJob, body)
        case .lease(let body): (.lease, body)
        case .accept(let body): (.accept, body)
        case .progress(let body): (.progress, body)
        case .result(let body): (.result, body)
        case .resultAck(let body): (.resultAck, body)
        case .fail(let body): (.fail, body)
        case .cancel(let body): (.cancel, body)
        case .recall(let body): (.recall, body)
        case .cancelled(let body): (.cancelled, body)
        case .drain(let body): (.drain, body)
        case .bye(let body): (.bye, body)
        case .reset: (.reset, nil)
        case .jobClose(let body): (.jobClose, body)
        case .submit(let body): (.submit, body)
        case .submitted(let body): (.submitted, body)
        case .jobEvent(let body): (.jobEvent, body)
        case .jobResult(let body): (.jobResult, body)
        case .jobCancel: (.jobCancel, nil)
        case .jobFetch(let body): (.jobFetch, body)
        }
    }

    init(_ type: MessageType, metadata: [UInt8], payload: [UInt8]) throws(MessageError) {
        func body<Body: MessageBody>() throws(MessageError) -> Body {
            try Body.read(type, metadata: metadata, payload: payload)
        }
        func bare(_ message: Message) throws(MessageError) -> Message {
            try type.requireNone(of: payload, .length)
            try type.requireNone(of: metadata, .metadata)
            return message
        }
        switch type {
        case .hello: self = .hello(try body())
        case .welcome: self = .welcome(try body())
        case .refuse: self = .refuse(try body())
        case .ping: self = try bare(.ping)
        case .pong: self = try bare(.pong)
        case .credit: self = .credit(try body())
        case .jobOpen: self = .jobOpen(try body())
        case .jobReady: self = .jobReady(try body())
        case .needJob: self = .needJob(try body())
        case .lease: self = .lease(try body())
        case .accept: self = .accept(try body())
        case .progress: self = .progress(try body())
        case .result: self = .result(try body())
        case .resultAck: self = .resultAck(try body())
        case .fail: self = .fail(try body())
        case .cancel: self = .cancel(try body())
        case .recall: self = .recall(try body())
        case .cancelled: self = .cancelled(try body())
        case .drain: self = .drain(try body())
        case .bye: self = .bye(try body())
        case .reset: self = try bare(.reset)
        case .jobClose: self = .jobClose(try body())
        case .submit: self = .submit(try body())
        case .submitted: self = .submitted(try body())
        case .jobEvent: self = .jobEvent(try body())
        case .jobResult: self = .jobResult(try body())
        case .jobCancel: self = try bare(.jobCancel)
        case .jobFetch: self = .jobFetch(try body())
        }
    }
}
