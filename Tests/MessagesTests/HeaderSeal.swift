import Messages

/// Writes headers the way a hostile peer would: any content, honest checksums. An independent CRC-32C, bit by bit.
enum HeaderSeal {
    static func crc(_ bytes: [UInt8]) -> UInt32 {
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

    static func seal(_ header: inout [UInt8]) {
        put(0, &header, at: 8)
        put(crc(header), &header, at: 8)
    }

    static func reseal(_ frames: inout [[UInt8]]) {
        guard frames[0].count == WireLimits.headerBytes else { return }
        put(UInt32(frames[1].count), &frames[0], at: 12)
        put(UInt32(frames[2].count), &frames[0], at: 16)
        put(0, &frames[0], at: 20)
        put(crc(frames[1]), &frames[0], at: 24)
        put(crc(frames[2]), &frames[0], at: 28)
        seal(&frames[0])
    }

    static func frames(_ type: MessageType, metadata: [UInt8], payload: [UInt8] = []) throws -> [[UInt8]] {
        var frames = try Packet(.ping).frames()
        frames[0][6] = type.rawValue
        frames[1] = metadata
        frames[2] = payload
        reseal(&frames)
        return frames
    }
}
