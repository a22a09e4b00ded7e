import Acceleration

extension UNetConfiguration {
    /// How many transformer blocks there are at each nominal level: 1 where the grid is the latent's, 2 where its sides are
    /// half as long, and so on. Levels without blocks are absent.
    public var transformerBlocks: [Int: Int] {
        var counts = [1 << (levels - 1): transformerLayers[levels - 1]]
        for level in 0..<levels {
            let down = downBlocks[level] == .crossAttention ? layersPerBlock[level] * transformerLayers[level] : 0
            let isUp = upBlocks[levels - 1 - level] == .crossAttention
            let up = isUp ? (layersPerBlock[level] + 1) * upTransformerLayers[level] : 0
            if down + up > 0 { counts[1 << level, default: 0] += down + up }
        }
        return counts
    }
}
