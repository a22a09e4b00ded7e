public import Messages

/// Writes the frames of a hostile peer: any content, honest checksums. An independent CRC-32C, bit by bit.
public enum HeaderSeal {
    public static func crc(_ bytes: [UInt8]) -> UInt32 {
        var crc = UInt32.max
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = (crc >> 1) ^ (crc & 1 == 1 ? 0x82F6_3B78 : 0) }
        }
        return ~crc
    }

    static func put(_ value: UInt32, _ header: inout [UInt8], at offset: Int) {
        for byte in 0..<4 { header[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte)) }
    }

    /// Corrects the header's own checksum.
    public static func seal(_ header: inout [UInt8]) {
        put(0, &header, at: 8)
        put(crc(header), &header, at: 8)
    }

    /// Corrects the lengths and all three checksums. A header of another length has no place for them and stays as it is.
    public static func reseal(_ frames: inout [[UInt8]]) {
        guard frames.count == WireLimits.frameCount, frames[0].count == WireLimits.headerBytes else { return }
        put(UInt32(frames[1].count), &frames[0], at: 12)
        put(UInt32(frames[2].count), &frames[0], at: 16)
        put(0, &frames[0], at: 20)
        put(crc(frames[1]), &frames[0], at: 24)
        put(crc(frames[2]), &frames[0], at: 28)
        seal(&frames[0])
    }

    public static func frames(_ type: MessageType, metadata: [UInt8], payload: [UInt8] = []) throws -> [[UInt8]] {
        var frames = try Packet(.ping).frames()
        frames[0][6] = type.rawValue
        frames[1] = metadata
        frames[2] = payload
        reseal(&frames)
        return frames
    }
}

/// Damages the three frames of a message.
public enum FrameDamage {
    /// The point that the reader reached in a damaged message.
    public enum Depth: Sendable, CaseIterable {
        /// Refused for its frames, magic, version, lengths or checksums.
        case atTheSeal
        /// Its checksums matched; refused for a field, a type or its content.
        case behindTheSeal
        /// Read: a message, though another one.
        case read
    }

    /// Any edit of any frame, checksums left as they are: the seal must notice it.
    public static func broken(_ original: [[UInt8]], using generator: inout SeededGenerator) -> [[UInt8]] {
        var frames = original
        let frame = Int.random(in: 0..<frames.count, using: &generator)
        frames[frame] = Mutation.mutate(frames[frame], using: &generator)
        return frames
    }

    /// Overwritten header fields behind magic and version, edited metadata and payload, with honest lengths and checksums: the
    /// decoders behind the seal must notice it.
    ///
    /// - Parameter headerFields: the bytes of the header that may be overwritten.
    public static func resealed(
        _ original: [[UInt8]], headerFields: Range<Int> = 5..<WireLimits.headerBytes, using generator: inout SeededGenerator
    ) -> [[UInt8]] {
        var frames = original
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: frames[0][Int.random(in: headerFields, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
        case 1: frames[2] = Mutation.mutate(frames[2], using: &generator)
        default: frames[1] = Mutation.mutate(frames[1], using: &generator)
        }
        HeaderSeal.reseal(&frames)
        return frames
    }

    /// The point that the reader reaches in the frames, and the message if the frames are one.
    public static func depth(_ frames: [[UInt8]]) -> (depth: Depth, packet: Packet?) {
        do throws(MessageError) {
            return (.read, try Packet(frames: frames, frameCount: frames.count))
        } catch {
            switch error.code {
            case .frameCount, .magic, .version, .length, .checksum: return (.atTheSeal, nil)
            case .type, .field, .metadata, .ignorable: return (.behindTheSeal, nil)
            }
        }
    }
}
