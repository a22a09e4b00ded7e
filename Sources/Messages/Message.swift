internal import StrictJSON

/// Metadata that is written as a JSON object and read strictly.
protocol MetadataCodable {
    init(_ fields: FieldReader) throws(MessageError)
    func write(to object: inout JSONObject)
}

/// All messages between peers.
public enum Message: Sendable, Equatable {
    case hello(Hello)
    case welcome(Welcome)
    case refuse(Refuse)
    case ping
    case pong
    case credit(Credit)
    case jobOpen(JobOpen)
    case jobReady(ContextNote)
    case needJob(ContextNote)
    case lease(LeaseGrant)
    case accept(LeaseList)
    case progress(Progress)
    case result(TaskResult)
    case resultAck(ResultAcks)
    case fail(Failure)
    case cancel(LeaseList)
    case cancelled(LeaseList)
    case drain(Drain)
    case bye(Bye)
    case reset
    case jobClose(ContextNote)
    case submit(Submit)
    case submitted(Submitted)
    case jobEvent(JobNote)
    case jobResult(ResultChunk)
    case jobCancel

    public var type: MessageType {
        switch self {
        case .hello: .hello
        case .welcome: .welcome
        case .refuse: .refuse
        case .ping: .ping
        case .pong: .pong
        case .credit: .credit
        case .jobOpen: .jobOpen
        case .jobReady: .jobReady
        case .needJob: .needJob
        case .lease: .lease
        case .accept: .accept
        case .progress: .progress
        case .result: .result
        case .resultAck: .resultAck
        case .fail: .fail
        case .cancel: .cancel
        case .cancelled: .cancelled
        case .drain: .drain
        case .bye: .bye
        case .reset: .reset
        case .jobClose: .jobClose
        case .submit: .submit
        case .submitted: .submitted
        case .jobEvent: .jobEvent
        case .jobResult: .jobResult
        case .jobCancel: .jobCancel
        }
    }
}

/// One message with its address. It travels as three frames (header, metadata, payload).
public struct Packet: Sendable, Equatable {
    public var address: Header.Address
    public var message: Message

    public init(_ message: Message, _ address: Header.Address = Header.Address()) {
        self.message = message
        self.address = address
    }

    /// The three frames.
    /// - Throws: `MessageError` with code `length` if the metadata or the payload exceeds its limit. Such a message must not
    ///   be sent: the other end's socket would drop the connection without a word.
    public func frames() throws(MessageError) -> [[UInt8]] {
        let metadata = message.metadataBytes
        let payload = message.payload
        guard metadata.count <= WireLimits.metadataBytes else {
            throw MessageError(
                .length, "\(message.type): \(metadata.count) bytes of metadata, at most \(WireLimits.metadataBytes)")
        }
        guard payload.count <= WireLimits.payloadBytes else {
            throw MessageError(
                .length, "\(message.type): \(payload.count) bytes of payload, at most \(WireLimits.payloadBytes)")
        }
        let header = Header(type: message.type, address: address, metadata: metadata, payload: payload)
        return [header.encoded(), metadata, payload]
    }

    /// Reads a hostile message. No length in it causes an allocation, and nothing is read before its checksum holds.
    /// - Parameter frameCount: the number of frames that arrived; it may exceed the frames kept.
    /// - Throws: `MessageError`.
    public init(frames: [[UInt8]], frameCount: Int) throws(MessageError) {
        guard frameCount == WireLimits.frameCount, frames.count == WireLimits.frameCount else {
            throw MessageError(.frameCount, "the message has \(frameCount) frames instead of \(WireLimits.frameCount)")
        }
        let header = try Header(decoding: frames[0])
        guard header.metadataBytes <= WireLimits.metadataBytes, Int(header.metadataBytes) == frames[1].count else {
            throw MessageError(.length, "\(header.type): the metadata's length is wrong")
        }
        guard header.payloadBytes <= UInt64(WireLimits.payloadBytes), Int(header.payloadBytes) == frames[2].count else {
            throw MessageError(.length, "\(header.type): the payload's length is wrong")
        }
        guard crc32c(frames[1]) == header.metadataChecksum, crc32c(frames[2]) == header.payloadChecksum else {
            throw MessageError(.checksum, "\(header.type): a checksum does not match")
        }
        address = header.address
        message = try Message(header.type, metadata: frames[1], payload: frames[2])
    }
}
