import RandomStreams

/// CutDiffusion's pixel interaction: the K patches exchange their values at every channel, row and column. So the U-Net sees
/// mixtures of all patches. The predictions go back to their owners; the patches themselves are never permuted.
///
/// Each channel of each point has its own permutation, as in the reference.
public struct PixelInteraction: Sendable, Equatable {
    /// Patches, K.
    public let patchCount: Int
    /// Points of one patch, `channels · height · width`.
    public let positionCount: Int
    /// `sources[position · K + n]`: the patch whose value patch `n` shows at that position.
    private let sources: [Int32]

    /// The permutations of one structure call in a render: each comes from its own hash, so no draw depends on another.
    public init(patchCount: Int, positionCount: Int, seed: UInt64, call: Int) {
        self.init(patchCount: patchCount, positionCount: positionCount) { position in
            var stream = HashStream(seed: seed, purpose: .interaction, call: call, index: position)
            return stream.permutation(count: patchCount)
        }
    }

    /// Given permutations of `0..<patchCount`, one for each position in row-major order of (channel, row, column).
    public init(patchCount: Int, positionCount: Int, permutation: (_ position: Int) -> [Int]) {
        precondition(patchCount > 0 && positionCount >= 0)
        self.patchCount = patchCount
        self.positionCount = positionCount
        var sources: [Int32] = []
        sources.reserveCapacity(patchCount * positionCount)
        for position in 0..<positionCount {
            let order = permutation(position)
            precondition(order.count == patchCount)
            for source in order { sources.append(Int32(source)) }
        }
        self.sources = sources
    }

    /// The U-Net's inputs: `shuffled[n][q] = patches[π_q(n)][q]`.
    public func shuffle(_ patches: [[Float]]) -> [[Float]] {
        checkSizes(patches)
        var shuffled = patches
        for n in 0..<patchCount {
            for position in 0..<positionCount {
                shuffled[n][position] = patches[Int(sources[position * patchCount + n])][position]
            }
        }
        return shuffled
    }

    /// Gives predictions back to their owners, the inverse of `shuffle`: `restored[π_q(n)][q] = predictions[n][q]`.
    public func restore(_ predictions: [[Float]]) -> [[Float]] {
        checkSizes(predictions)
        var restored = predictions
        for n in 0..<patchCount {
            for position in 0..<positionCount {
                restored[Int(sources[position * patchCount + n])][position] = predictions[n][position]
            }
        }
        return restored
    }

    private func checkSizes(_ patches: [[Float]]) {
        precondition(patches.count == patchCount && patches.allSatisfy { $0.count == positionCount })
    }
}
