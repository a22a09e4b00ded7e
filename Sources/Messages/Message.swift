public import StrictJSON

/// A value as it travels.
public struct EncodedPart: Sendable, Equatable {
    /// The members of the value, without its tensors.
    public var metadata: JSONValue
    /// The tensors of the value.
    public var payload: [UInt8]

    public init(metadata: JSONValue, payload: [UInt8] = []) {
        self.metadata = metadata
        self.payload = payload
    }
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
    case recall(LeaseList)
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
    case jobFetch(ResultFetch)
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
        let (type, body) = message.content
        let metadata = body?.metadata ?? []
        let payload = body?.payload ?? []
        guard metadata.count <= WireLimits.metadataBytes else {
            throw MessageError(.length, "\(type): \(metadata.count) bytes of metadata, at most \(WireLimits.metadataBytes)")
        }
        guard payload.count <= WireLimits.payloadBytes else {
            throw MessageError(.length, "\(type): \(payload.count) bytes of payload, at most \(WireLimits.payloadBytes)")
        }
        let header = Header(type: type, address: address, metadata: metadata, payload: payload)
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
