import Sentences

/// Numbers on the wire: f32, little endian.
enum TensorBytes {
    static func encode(_ values: [Float]) -> [UInt8] {
        #if _endian(little)
            return values.withUnsafeBytes { Array($0) }
        #else
            return values.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }
        #endif
    }

    static func encode(_ values: [Double]) -> [UInt8] {
        values.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }
    }

    /// Throws `.malformed` unless there are `count` numbers of 64 bits.
    static func decodeDoubles(_ bytes: [UInt8], count: Int, _ what: String) throws(RenderError) -> [Double] {
        guard bytes.count == count * 8 else { throw .malformed("\(what) has \(bytes.count) bytes instead of \(count * 8).") }
        return bytes.withUnsafeBytes { raw in
            (0..<count).map {
                Double(bitPattern: UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self)))
            }
        }
    }

    /// Throws `.malformed` unless there are `count` numbers.
    static func decode(_ bytes: [UInt8], count: Int, _ what: String) throws(RenderError) -> [Float] {
        guard bytes.count == count * 4 else { throw .malformed("\(what) has \(bytes.count) bytes instead of \(count * 4).") }
        return [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(buffer).copyMemory(from: $0) }
            #if _endian(big)
                for index in 0..<count { buffer[index] = Float(bitPattern: buffer[index].bitPattern.byteSwapped) }
            #endif
            initialized = count
        }
    }
}
