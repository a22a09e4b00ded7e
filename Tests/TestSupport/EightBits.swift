/// Numbers of eight bits by their definition, for tests: the nearest of all that there are.
public enum EightBits {
    /// The value of a byte.
    private static func value(_ bits: UInt8, _ type: String) -> Float {
        let fractionBits = type == "F8_E4M3" ? 3 : 2
        let (exponent, fraction) = (Int(bits & 0x7F) >> fractionBits, Int(bits) & ((1 << fractionBits) - 1))
        let bias = type == "F8_E4M3" ? 7 : 15
        let scale = Float(1 << fractionBits)
        let magnitude =
            exponent == 0
            ? Float(fraction) / scale * Float(sign: .plus, exponent: 1 - bias, significand: 1)
            : (1 + Float(fraction) / scale) * Float(sign: .plus, exponent: exponent - bias, significand: 1)
        return bits & 0x80 == 0 ? magnitude : -magnitude
    }

    /// All finite numbers and their bytes, rising.
    private static func table(_ type: String) -> [(value: Float, bits: UInt8)] {
        let largest: UInt8 = type == "F8_E4M3" ? 0x7E : 0x7B
        return (UInt8.min...UInt8.max).filter { $0 & 0x7F <= largest && $0 != 0x80 }.map { (value($0, type), $0) }
            .sorted { $0.value < $1.value }
    }

    private static func nearest(_ value: Float, _ table: [(value: Float, bits: UInt8)]) -> (value: Float, bits: UInt8) {
        let above = table.partitioningIndex { $0.value >= value }
        let candidates = [max(0, above - 1), min(above, table.count - 1)].map { table[$0] }
        return candidates.min { abs($0.value - value) < abs($1.value - value) } ?? table[0]
    }

    /// A tensor whose numbers eight bits can hold, as f32.
    public static func rounded(_ tensor: FileTensor, _ type: String) -> FileTensor {
        let table = table(type)
        return .f32(tensor.name, tensor.values.map { nearest($0, table).value }, shape: tensor.shape)
    }

    /// The same numbers in eight bits.
    public static func stored(_ tensor: FileTensor, _ type: String) -> FileTensor {
        let table = table(type)
        return FileTensor(tensor.name, type, tensor.shape, tensor.values.map { nearest($0, table).bits })
    }
}

extension Array {
    /// The first place whose element fulfils a condition that all later ones fulfil too.
    fileprivate func partitioningIndex(_ isLate: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if isLate(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
