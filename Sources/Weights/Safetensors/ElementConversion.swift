/// Widens the elements at `source` to f32. `source` may have any alignment and holds exactly as many elements as `target`.
///
/// The loops have no branches and vectorise in optimised builds.
func convert(_ source: UnsafeRawBufferPointer, _ type: StoredElementType, to target: UnsafeMutableBufferPointer<Float>) {
    precondition(source.count == target.count * type.byteCount, "a tensor's bytes do not fit its elements")
    guard let input = source.baseAddress, let output = target.baseAddress else { return }
    switch type {
    case .f32: UnsafeMutableRawPointer(output).copyMemory(from: input, byteCount: source.count)
    case .f16:
        for index in 0..<target.count {
            output[index] = float(f16: input.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
        }
    case .bf16:
        for index in 0..<target.count {
            let bits = input.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)
            output[index] = Float(bitPattern: UInt32(bits) << 16)
        }
    case .f64:
        for index in 0..<target.count {
            output[index] = Float(input.loadUnaligned(fromByteOffset: index * 8, as: Double.self))
        }
    case .f8e4m3: widen(input, to: target) { float(f8e4m3: $0) }
    case .f8e5m2: widen(input, to: target) { float(f8e5m2: $0) }
    case .i64, .i32, .i16, .i8, .u64, .u32, .u16, .u8, .bool: preconditionFailure("whole numbers are not widened to f32")
    }
}

/// The f32 with the value of an IEEE 754 half-precision number.
///
/// Exponent and fraction are moved into place and multiplied by 2^112, which corrects the exponent's bias and makes normal
/// numbers of subnormal ones; all of it is exact. Infinity and NaN take the largest exponent instead.
@inline(__always)
func float(f16 bits: UInt16) -> Float {
    let magnitude = UInt32(bits & 0x7FFF) << 13
    let scaled = (Float(bitPattern: magnitude) * 0x1p112).bitPattern
    let special = magnitude | 0x7F80_0000
    let value = magnitude >= 0x0F80_0000 ? special : scaled
    return Float(bitPattern: value | UInt32(bits & 0x8000) << 16)
}

/// Widens bytes by a table of all 256 values.
private func widen(
    _ input: UnsafeRawPointer, to target: UnsafeMutableBufferPointer<Float>, _ value: (UInt8) -> Float
) {
    let table = (UInt8.min...UInt8.max).map(value)
    for index in 0..<target.count { target[index] = table[Int(input.load(fromByteOffset: index, as: UInt8.self))] }
}

/// The f32 with the value of an F8_E4M3 number: a sign, four bits of exponent with a bias of 7, three of fraction. There are no
/// infinities; all ones is NaN (OCP 8-bit Floating Point Specification, 2023, and torch's `float8_e4m3fn`).
func float(f8e4m3 bits: UInt8) -> Float {
    let (exponent, fraction) = (Int(bits >> 3 & 15), Float(bits & 7))
    let magnitude: Float =
        if bits & 0x7F == 0x7F {
            .nan
        } else if exponent == 0 {
            fraction * 0x1p-9
        } else {
            Float(sign: .plus, exponent: exponent - 7, significand: 1 + fraction / 8)
        }
    return bits & 0x80 == 0 ? magnitude : -magnitude
}

/// The f32 with the value of an F8_E5M2 number, which is the upper byte of a half-precision one.
func float(f8e5m2 bits: UInt8) -> Float { float(f16: UInt16(bits) << 8) }

/// Whole numbers of any alignment, little endian. A number beyond the range of `Int` becomes the nearest `Int`.
func loadIntegers<Stored: FixedWidthInteger>(_ source: UnsafeRawBufferPointer, as type: Stored.Type) -> [Int] {
    let width = MemoryLayout<Stored>.size
    return (0..<(source.count / width)).map {
        Int(clamping: Stored(littleEndian: source.loadUnaligned(fromByteOffset: $0 * width, as: Stored.self)))
    }
}
