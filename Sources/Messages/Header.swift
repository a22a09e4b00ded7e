internal import CSystem

/// Frame 0: 128 bytes, little endian.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | magic `PRP1` |
/// | 4, 5 | 1, 1 | version, major and minor |
/// | 6, 7 | 1, 1 | message type, flags |
/// | 8 | 4 | CRC-32C of the header with this field zero |
/// | 12 | 4 | bytes of frame 1 |
/// | 16 | 8 | bytes of frame 2 |
/// | 24, 28 | 4, 4 | CRC-32C of frames 1 and 2 |
/// | 32, 40, 48 | 8 each | epoch, session, sequence number |
/// | 56 | 8 | lease |
/// | 64 | 16 | job |
/// | 80, 84, 88 | 4, 4, 2 | step, task index, attempt |
/// | 90, 91 | 1, 1 | phase, dtype |
/// | 92 | 4 | zero |
/// | 96 | 32 | input digest |
public struct Header: Sendable, Equatable {
    /// The address of a message. Unused fields are zero.
    public struct Address: Sendable, Equatable {
        /// The coordinator's run; 0 until WELCOME.
        public var epoch: UInt64 = 0
        /// 0 until WELCOME.
        public var session: UInt64 = 0
        /// Counts from 1, per session and direction.
        public var sequence: UInt64 = 0
        /// The fencing number of a lease.
        public var lease: UInt64 = 0
        public var job = UniqueID.none
        public var step: UInt32 = 0
        public var taskIndex: UInt32 = 0
        /// The number of the task's earlier leases, for people who read dumps.
        public var attempt: UInt16 = 0
        /// The number of the phase, for people who read dumps. The task itself carries its phase by name.
        public var phase: UInt8 = 0
        /// 0 for float32, the only element type on the wire so far.
        public var dtype: UInt8 = 0
        /// SHA-256 of everything that a task's result depends on; zero until something checks it.
        public var inputDigest = SIMD4<UInt64>()

        public init(epoch: UInt64 = 0, session: UInt64 = 0, sequence: UInt64 = 0, lease: UInt64 = 0, job: UniqueID = .none) {
            self.epoch = epoch
            self.session = session
            self.sequence = sequence
            self.lease = lease
            self.job = job
        }
    }

    public static let majorVersion: UInt8 = 1
    /// Rises with every change of a message's fields or of their meaning, also where an older peer could skip a new field. A
    /// coordinator takes only peers that speak its own, so all processes of a farm are of one version.
    public static let minorVersion: UInt8 = 7
    static let magic: [UInt8] = Array("PRP1".utf8)
    static let flagIgnorable: UInt8 = 1

    public var type: MessageType
    public var minor: UInt8 = Header.minorVersion
    public var address: Address
    public var metadataBytes: UInt32
    public var payloadBytes: UInt64
    public var metadataChecksum: UInt32
    public var payloadChecksum: UInt32

    /// The header of a message with these two frames.
    init(type: MessageType, address: Address, metadata: [UInt8], payload: [UInt8]) {
        self.type = type
        self.address = address
        metadataBytes = UInt32(metadata.count)
        payloadBytes = UInt64(payload.count)
        metadataChecksum = crc32c(metadata)
        payloadChecksum = crc32c(payload)
    }

    /// The 128 bytes of the header.
    func encoded() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: WireLimits.headerBytes)
        bytes.withUnsafeMutableBytes { frame in
            frame.copyBytes(from: Header.magic)
            frame[4] = Header.majorVersion
            frame[5] = minor
            frame[6] = type.rawValue
            frame.put(metadataBytes, at: 12)
            frame.put(payloadBytes, at: 16)
            frame.put(metadataChecksum, at: 24)
            frame.put(payloadChecksum, at: 28)
            frame.put(address.epoch, at: 32)
            frame.put(address.session, at: 40)
            frame.put(address.sequence, at: 48)
            frame.put(address.lease, at: 56)
            frame.put(address.job.high.byteSwapped, at: 64)
            frame.put(address.job.low.byteSwapped, at: 72)
            frame.put(address.step, at: 80)
            frame.put(address.taskIndex, at: 84)
            frame.put(address.attempt, at: 88)
            frame[90] = address.phase
            frame[91] = address.dtype
            for index in 0..<4 { frame.put(address.inputDigest[index], at: 96 + 8 * index) }
            frame.put(csystem_crc32c(0, frame.baseAddress, frame.count), at: 8)
        }
        return bytes
    }

    /// Reads frame 0, cheapest check first: length, magic, version, checksum, type, flags, lengths.
    /// - Throws: `MessageError` naming the field.
    init(decoding frame: [UInt8]) throws(MessageError) {
        guard frame.count == WireLimits.headerBytes else {
            throw MessageError(.length, "the header has \(frame.count) bytes instead of \(WireLimits.headerBytes)")
        }
        guard frame.starts(with: Header.magic) else { throw MessageError(.magic, "the message does not start with PRP1") }
        guard frame[4] == Header.majorVersion else {
            throw MessageError(.version, "the peer speaks protocol \(frame[4]), this program speaks \(Header.majorVersion)")
        }
        guard crc32c(Array(frame[..<8] + [0, 0, 0, 0] + frame[12...])) == frame.little(UInt32.self, at: 8) else {
            throw MessageError(.checksum, "the header's checksum does not match")
        }
        guard let type = MessageType(rawValue: frame[6]) else {
            let ignorable = frame[7] & Header.flagIgnorable != 0
            throw MessageError(ignorable ? .ignorable : .type, "message type \(frame[6]) is unknown")
        }
        guard frame[7] & ~Header.flagIgnorable == 0 else { throw MessageError(.field, "flags \(frame[7]) are unknown") }
        guard frame.little(UInt32.self, at: 92) == 0 else { throw MessageError(.field, "the reserved field is not zero") }
        self.type = type
        minor = frame[5]
        metadataBytes = frame.little(at: 12)
        payloadBytes = frame.little(at: 16)
        metadataChecksum = frame.little(at: 24)
        payloadChecksum = frame.little(at: 28)
        address = Header.address(in: frame)
    }

    private static func address(in frame: [UInt8]) -> Address {
        var address = Address(
            epoch: frame.little(at: 32), session: frame.little(at: 40), sequence: frame.little(at: 48),
            lease: frame.little(at: 56),
            job: UniqueID(
                high: frame.little(UInt64.self, at: 64).byteSwapped, low: frame.little(UInt64.self, at: 72).byteSwapped))
        address.step = frame.little(at: 80)
        address.taskIndex = frame.little(at: 84)
        address.attempt = frame.little(at: 88)
        address.phase = frame[90]
        address.dtype = frame[91]
        for index in 0..<4 { address.inputDigest[index] = frame.little(at: 96 + 8 * index) }
        return address
    }
}

extension [UInt8] {
    /// The little-endian integer at a byte offset. The caller has checked the range.
    func little<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type = Value.self, at offset: Int) -> Value {
        withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: type)) }
    }
}

extension UnsafeMutableRawBufferPointer {
    fileprivate func put<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: Value.self)
    }
}

/// CRC-32C of a frame.
func crc32c(_ bytes: [UInt8]) -> UInt32 {
    bytes.withUnsafeBytes { csystem_crc32c(0, $0.baseAddress, $0.count) }
}
