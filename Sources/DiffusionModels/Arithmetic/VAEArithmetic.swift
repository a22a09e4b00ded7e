// Multiplications and additions of the autoencoder by formula, as `ComputeContext.operations` counts them. Exact up to 2^53.

extension VAEConfiguration {
    /// The arithmetic of decoding a latent by one worker.
    ///
    /// Tiles compute their margins again, and each worker makes the keys of the attention once for itself. So several workers
    /// do a little more, and so does a worker that has no room for everything it wants to keep.
    ///
    /// - Parameter grid: the tiles of the latent; one for the whole decode, where the count is exact.
    public func decodeOperations(_ grid: TileGrid) -> Double {
        var count = VAECount(decoderSteps, image: grid.image)
        if usesPostQuantConvolution { count.pointWidth = Double(latentChannels * latentChannels) }
        let boxes = { (tile: Int) in grid[tile].scaled(by: scale) }
        count.add(
            rows: (0..<grid.rows).map { boxes($0 * grid.columns) }, columns: (0..<grid.columns).map(boxes),
            before: decoderSteps.count)
        if let attention = count.geometry.attention { count.attention(attention, isTiled: grid.count > 1) }
        return 2 * count.products
    }

    /// The arithmetic of encoding a picture that fits one band of rows. Large pictures are encoded in bands, which compute the
    /// rows between two of them twice: this is not counted.
    ///
    /// - Parameters:
    ///   - height: of its latent.
    ///   - width: of its latent.
    public func encodeOperations(height: Int, width: Int) -> Double {
        let picture = ImageBox(height: height, width: width).scaled(by: scale)
        var count = VAECount(encoderSteps, image: picture)
        let latent = [ImageBox(height: height, width: width)]
        count.add(rows: latent, columns: latent, before: encoderSteps.count)
        if let attention = count.geometry.attention { count.attention(attention, isTiled: false) }
        let moments = 2 * latentChannels
        return 2 * (count.products + (usesQuantConvolution ? Double(height) * Double(width) * Double(moments * moments) : 0))
    }

    private var decoderSteps: [SizedStep] {
        let order = Array(channels.reversed())
        return [SizedStep(.enter, latentChannels, order[0])] + middle
            + levels(order, layers: layersPerBlock + 1, resampler: .enlarge) + [
                SizedStep(.leave, order[order.count - 1], outChannels)
            ]
    }

    private var encoderSteps: [SizedStep] {
        [SizedStep(.enter, imageChannels, channels[0])] + levels(channels, layers: layersPerBlock, resampler: .reduce) + middle
            + [SizedStep(.leave, channels[channels.count - 1], 2 * latentChannels)]
    }

    private var middle: [SizedStep] {
        let width = channels[channels.count - 1]
        let residual = Self.residual(width, width)
        return residual + (hasMidAttention ? [SizedStep(.attend, width, width)] : []) + residual
    }

    private func levels(_ order: [Int], layers: Int, resampler: VAEStepKind) -> [SizedStep] {
        order.indices.flatMap { level in
            let (before, width) = (order[max(0, level - 1)], order[level])
            return (0..<layers).flatMap { Self.residual($0 == 0 ? before : width, width) }
                + (level < order.count - 1 ? [SizedStep(resampler, width, width)] : [])
        }
    }

    private static func residual(_ inputs: Int, _ outputs: Int) -> [SizedStep] {
        [SizedStep(.first, inputs, outputs), SizedStep(.second, outputs, outputs)]
    }
}

/// A step with the channels of its input and its result.
private struct SizedStep {
    let kind: VAEStepKind
    let inputs: Double
    let outputs: Double

    init(_ kind: VAEStepKind, _ inputs: Int, _ outputs: Int) {
        (self.kind, self.inputs, self.outputs) = (kind, Double(inputs), Double(outputs))
    }
}

/// Adds up products, as `TiledNetwork` computes them.
private struct VAECount {
    let steps: [SizedStep]
    let geometry: VAEGeometry
    /// The input of each step, and the result of the last one.
    let sizes: [ImageBox]
    /// Products for each point before the first step.
    var pointWidth = 0.0
    var products = 0.0

    init(_ steps: [SizedStep], image: ImageBox) {
        (self.steps, geometry) = (steps, VAEGeometry(steps.map(\.kind)))
        sizes = geometry.images(of: image)
    }

    /// Adds the steps before `end` for parts of its input. Each part has the rows of one box of `rows` and the columns of one
    /// box of `columns`, in every combination. So a sum over all parts is a product of two sums.
    mutating func add(rows: [ImageBox], columns: [ImageBox], before end: Int) {
        var (heights, widths) = ([Double](repeating: 0, count: end + 1), [Double](repeating: 0, count: end + 1))
        for box in rows {
            for (index, part) in boxes(box, end).enumerated() { heights[index] += Double(part.height) }
        }
        for box in columns {
            for (index, part) in boxes(box, end).enumerated() { widths[index] += Double(part.width) }
        }
        let areas = zip(heights, widths).map { $0 * $1 }
        products += areas[0] * pointWidth
        for (index, step) in steps[..<end].enumerated() where step.kind != .attend {
            products += 9 * areas[index + 1] * step.inputs * step.outputs
            if step.kind == .first, step.inputs != step.outputs { products += areas[index + 2] * step.inputs * step.outputs }
        }
    }

    private func boxes(_ box: ImageBox, _ end: Int) -> [ImageBox] { geometry.boxes(for: box, before: end, images: sizes) }

    /// Adds the attention of all points, which tiles share. With tiles it also adds the steps that compute the input of the
    /// keys again, because few tiles have whole rows.
    mutating func attention(_ index: Int, isTiled: Bool) {
        let (size, width) = (sizes[index], steps[index].outputs)
        let area = Double(size.height) * Double(size.width)
        products += 4 * area * width * width + 2 * area * area * width
        guard isTiled else { return }
        let rows = max(1, TiledImage.keysAtOnce / size.width)
        let parts = stride(from: 0, to: size.height, by: rows).map { first in
            ImageBox(rows: first..<min(size.height, first + rows), columns: size.columns)
        }
        add(rows: parts, columns: [size], before: index)
    }
}
