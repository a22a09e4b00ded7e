public import Acceleration

extension UNetConfiguration {
    /// Multiplications and additions of one U-Net call by formula, from the configuration alone: matrix products, convolutions,
    /// attention and the matching of tokens. `ComputeContext.operations` counts the same while it computes.
    ///
    /// Exact up to 2^53. A configuration whose numbers the reader accepts gives a finite number.
    ///
    /// - Parameters:
    ///   - height: of the sample, in latent points.
    ///   - width: of the sample.
    ///   - images: samples times rows of text that they meet.
    ///   - tokens: of one row of text.
    public func operations(
        height: Int, width: Int, images: Int, tokens: Int, switches: UNetSwitches = .plain
    ) -> Double {
        var count = UNetCount(unet: self, tokens: Double(tokens), switches: switches)
        count.network(MapSize(height: height, width: width))
        return 2 * count.products * Double(images)
    }
}

/// The sides of a feature map.
private struct MapSize {
    var height: Int
    var width: Int

    var area: Double { Double(height) * Double(width) }

    /// The sides divided by a number and rounded up, as convolutions with stride and pooling do.
    func divided(by divisor: Int) -> MapSize {
        MapSize(height: (height + divisor - 1) / divisor, width: (width + divisor - 1) / divisor)
    }
}

/// Adds up the products of one image. It goes through the network as `UNet.forward` does.
private struct UNetCount {
    let unet: UNetConfiguration
    let tokens: Double
    let switches: UNetSwitches
    var products = 0.0

    private func channels(_ level: Int) -> Double { Double(unet.channels[level]) }

    mutating func network(_ latent: MapSize) {
        let (last, layout) = (unet.levels - 1, unet.hiDiffusionLayout)
        embeddings()
        products += 9 * latent.area * channels(0) * Double(unet.inChannels + unet.outChannels)
        var (map, skips): (MapSize, [MapSize]) = (latent, [latent])
        var fullSize: MapSize?
        for level in 0...last {
            for layer in 0..<unet.layersPerBlock[level] {
                residual(map, level, from: channels(layer == 0 ? max(0, level - 1) : level))
                if unet.downAttention[level] { transformer(map, level, layers: unet.transformerLayers[level]) }
                if switches.pool && level == layout?.pooledLevel && layer == 0 {
                    fullSize = map
                    map = map.divided(by: 2)
                }
                skips.append(map)
            }
            guard level < last else { break }
            map = map.divided(by: switches.rad && level == layout?.dilatedLevel ? 4 : 2)
            products += 9 * map.area * channels(level) * channels(level)
            skips.append(map)
        }
        for _ in 0..<2 { residual(map, last, from: channels(last)) }
        transformer(map, last, layers: unet.transformerLayers[last], isBottom: true)
        for level in (0...last).reversed() {
            for layer in 0...unet.layersPerBlock[level] {
                skips.removeLast()
                let before = channels(layer == 0 ? min(last, level + 1) : level)
                let skip = channels(layer == unet.layersPerBlock[level] ? max(0, level - 1) : level)
                residual(map, level, from: before + skip)
                if unet.upAttention[last - level] { transformer(map, level, layers: unet.upTransformerLayers[level]) }
                if let full = fullSize, level == layout?.pooledLevel, layer == 1 { map = full }
            }
            guard level > 0, let next = skips.last else { break }
            map = next
            products += 9 * map.area * channels(level) * channels(level)
        }
    }

    private mutating func embeddings() {
        let time = Double(unet.timeWidth)
        products += channels(0) * time + time * time
        if let added = unet.added { products += Double(added.textWidth + added.timeIDsWidth) * time + time * time }
    }

    private mutating func residual(_ map: MapSize, _ level: Int, from inputs: Double) {
        let outputs = channels(level)
        products += map.area * (9 * inputs * outputs + 9 * outputs * outputs) + Double(unet.timeWidth) * outputs
        if inputs != outputs { products += map.area * inputs * outputs }
    }

    // MARK: Transformers

    /// - Parameter isBottom: HiDiffusion's windows belong to the way down and the way up.
    private mutating func transformer(_ map: MapSize, _ level: Int, layers: Int, isBottom: Bool = false) {
        let layout = unet.hiDiffusionLayout
        let windowed =
            !isBottom && switches.windowShifts != nil && layout?.windowLevel == level ? layout?.windowedBlocks ?? 0 : 0
        products += 2 * map.area * channels(level) * channels(level)
        // A configuration may name billions of layers.
        let inWindows = min(layers, windowed)
        repeated(inWindows) { $0.block(map, level, inWindows: true) }
        repeated(layers - inWindows) { $0.block(map, level, inWindows: false) }
    }

    /// Counts `body` as often as `times` says.
    private mutating func repeated(_ times: Int, _ body: (inout UNetCount) -> Void) {
        let before = products
        products = 0
        body(&self)
        products = times == 0 ? before : before + Double(times) * products
    }

    private mutating func block(_ map: MapSize, _ level: Int, inWindows: Bool) {
        let (width, area) = (channels(level), map.area)
        let reduction = switches.tokens.reduction(level: 1 << level, tokens: map.height * map.width)
        let shared = sharedMatching(reduction, map, width, inWindows: inWindows)
        if inWindows {
            // Windows have matchings of their own.
            let window = map.divided(by: 2)
            for _ in 0..<4 { attendToItself(window, width, reduction, matched(reduction, window, width)) }
        } else if isOfQueries(reduction) {
            attendToItself(map, width, reduction, matched(reduction, map, width))
        } else {
            attendToItself(map, width, reduction, shared.flatMap { $0.parts.contains(.attention) ? $0 : nil })
        }
        let asking = shared.flatMap { $0.parts.contains(.textAttention) ? $0.left : nil } ?? area
        products += 2 * asking * width * width + 2 * tokens * Double(unet.textWidth) * width + 2 * asking * tokens * width
        let fed = shared.flatMap { $0.parts.contains(.feedForward) ? $0.left : nil } ?? area
        products += 12 * fed * width * width
    }

    /// Groups of similar tokens in a grid.
    private struct Matching {
        let parts: TokenMerging.Parts
        /// Tokens that are left.
        let left: Double
        /// Pairs of tokens that are compared.
        let comparisons: Double
        let queriesOnly: Bool
    }

    private func isOfQueries(_ reduction: TokenReduction?) -> Bool {
        if case .merging(let method) = reduction { method.queriesOnly } else { false }
    }

    /// The groups that a reduction makes in a map; nil if nothing merges.
    private func matching(_ reduction: TokenReduction?, _ map: MapSize) -> Matching? {
        guard case .merging(let method) = reduction else { return nil }
        let cells = MergeCells(
            height: map.height, width: map.width, cellHeight: method.cellHeight, cellWidth: method.cellWidth)
        let all = map.height * map.width
        let sources = all - cells.count
        let merged = min(method.mergedCount(of: all), sources)
        guard merged > 0, cells.count > 0, cells.cellTokens > 1 else { return nil }
        return Matching(
            parts: method.parts, left: Double(all - merged), comparisons: Double(sources) * Double(cells.count),
            queriesOnly: method.queriesOnly)
    }

    /// The matching of the block's input. It is counted here.
    private mutating func sharedMatching(
        _ reduction: TokenReduction?, _ map: MapSize, _ width: Double, inWindows: Bool
    ) -> Matching? {
        guard case .merging(let method) = reduction, !method.queriesOnly, !inWindows || method.parts != .attention,
            let found = matching(reduction, map)
        else { return nil }
        products += found.comparisons * width
        return found
    }

    /// A matching for self-attention alone. It is counted here.
    private mutating func matched(_ reduction: TokenReduction?, _ map: MapSize, _ width: Double) -> Matching? {
        guard let found = matching(reduction, map), found.parts.contains(.attention) else { return nil }
        products += found.comparisons * width
        return found
    }

    private mutating func attendToItself(_ map: MapSize, _ width: Double, _ reduction: TokenReduction?, _ own: Matching?) {
        var (queries, keys) = (map.area, map.area)
        if let own {
            queries = own.left
            if !own.queriesOnly { keys = own.left }
        }
        if case .downsampling(let method) = reduction {
            keys = Double(method.keptSide(map.height)) * Double(method.keptSide(map.width))
            if method.scope == .all { queries = keys }
        }
        products += 2 * (queries + keys) * width * width + 2 * queries * keys * width
    }
}
