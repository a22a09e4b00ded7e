public import Acceleration

extension UNetConfiguration {
    /// The number of transformer blocks at each nominal level: 1 has the latent's grid, 2 a grid with half its sides, and so
    /// on. Levels without blocks are absent.
    public var transformerBlocks: [Int: Int] {
        var counts = [1 << (levels - 1): transformerLayers[levels - 1]]
        for level in 0..<levels {
            let down = downAttention[level] ? layersPerBlock[level] * transformerLayers[level] : 0
            let up = upAttention[levels - 1 - level] ? (layersPerBlock[level] + 1) * upTransformerLayers[level] : 0
            if down + up > 0 { counts[1 << level, default: 0] += down + up }
        }
        return counts
    }

    /// The places in the network where HiDiffusion acts; nil if there are none.
    public var hiDiffusionLayout: HiDiffusionLayout? {
        HiDiffusionLayout(down: downAttention, up: upAttention, layers: layersPerBlock)
    }
}
