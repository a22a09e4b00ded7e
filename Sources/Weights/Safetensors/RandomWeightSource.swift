import Sentences
public import TensorCore

/// Random weights for benchmarks: gives any tensor, of any shape.
///
/// Tensors of two or more dimensions get uniform values with a standard deviation of 1/√(product of all extents but the
/// first), so that activations keep their size; vectors named `weight` are 1, as norms begin; other vectors are 0, as biases
/// do. The values of a tensor depend on the seed and its path only.
public struct RandomWeightSource: WeightSource {
    public let name = "random weights"
    private let seed: UInt64
    private let knows: @Sendable (String) -> Bool

    /// - Parameter contains: the answer of `contains`. Networks ask only for names that some checkpoints lack.
    public init(seed: UInt64, contains: @escaping @Sendable (String) -> Bool = { _ in false }) {
        self.seed = seed
        knows = contains
    }

    /// The answer of the function given to `init`.
    public func contains(_ path: String) -> Bool { knows(path) }

    /// Always nil.
    public func shape(of path: String) -> [Int]? { nil }

    /// A tensor of `shape`, at most 2^34 elements.
    public func tensor(_ path: String, shape: [Int]) throws(WeightsError) -> Tensor {
        var count = 1
        for extent in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: extent)
            guard extent > 0, !overflow, product <= 1 << 34 else {
                throw .misshapenTensor("\(name): no tensor \(quoted(path)) of shape \(shape) can be made.")
            }
            count = product
        }
        guard shape.count > 1 else {
            return Tensor(repeating: path == "weight" || path.hasSuffix(".weight") ? 1 : 0, shape: shape)
        }
        let tensor = Tensor(uninitialized: shape)
        // A uniform variable in (-1, 1) has the standard deviation 1/√3.
        fill(
            tensor.elements(as: Float.self), scale: (3 / Float(count / shape[0])).squareRoot() / 32768,
            key: seed ^ RandomWeightSource.hash(path))
        return tensor
    }

    /// Always empty.
    public func unusedPaths() -> [String] { [] }

    /// Four values from each 64-bit number of a SplitMix64 sequence.
    private func fill(_ values: UnsafeMutableBufferPointer<Float>, scale: Float, key: UInt64) {
        var state = key
        var bits: UInt64 = 0
        for index in 0..<values.count {
            if index & 3 == 0 {
                state &+= 0x9E37_79B9_7F4A_7C15
                bits = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
                bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
                bits ^= bits >> 31
            }
            values[index] = (Float(Int16(truncatingIfNeeded: bits)) + 0.5) * scale
            bits >>= 16
        }
    }

    /// FNV-1a, 64 bits.
    private static func hash(_ text: String) -> UInt64 {
        text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }
}
