public import TensorCore

/// The result of a section for a tile.
public enum TileResult {
    /// The moments of the tile's own part, for the next norm.
    case moments(GroupMoments)
    /// The tile's part of the result, (1, h, w, c), f32.
    case finished(Tensor)
}

/// An encoder or a decoder as a sequence of sections: each ends before a norm, the last one with the result.
struct TiledNetwork {
    let steps: VAESteps
    let context: ComputeContext
    /// Brings a part of the input into the form that the first step takes.
    let prepare: (Tensor) throws(ComputeError) -> Tensor
    /// Brings the last step's result into its final form.
    let finish: (Tensor) throws(ComputeError) -> Tensor

    var sectionCount: Int { steps.geometry.norms.count + 1 }

    /// Computes a section of one tile.
    ///
    /// - Parameter moments: of all norms before, over the whole image.
    func run(
        _ section: Int, tile index: Int, of image: TiledImage, moments: [GroupMoments]
    ) throws(ComputeError) -> TileResult {
        precondition(
            section < sectionCount && moments.count == section,
            "section \(section) of \(sectionCount) got \(moments.count) moments")
        let passage = Passage(image, steps, moments)
        let end = section < steps.geometry.norms.count ? steps.geometry.norms[section] : steps.steps.count
        let start = section == 0 ? 0 : steps.geometry.norms[section - 1]
        var tile: VAETile
        if let kept = image.takeTile(index, before: start, context) {
            tile = kept
            if let attention = steps.geometry.attention, start > attention { image.forgetAttention() }
        } else {
            tile = try begin(passage, for: passage.core(index, at: steps.steps.count), before: steps.steps.count)
        }
        try advance(&tile, to: end, passage)
        let own = passage.core(index, at: end).relative(to: tile.boxes[end])
        guard section < steps.geometry.norms.count, let norm = steps.steps[end].norm else {
            return .finished(try finish(context.cropped(tile.hidden, rows: own.rows, columns: own.columns)))
        }
        let result = norm.moments(of: tile.hidden, own, context)
        image.keep(tile, index, context)
        return .moments(result)
    }

    /// An image on its way through the steps.
    private struct Passage {
        let image: TiledImage
        /// The input of each step, and the result of the last one.
        let sizes: [ImageBox]
        /// The moments of the norms so far.
        let moments: [GroupMoments]

        init(_ image: TiledImage, _ steps: VAESteps, _ moments: [GroupMoments]) {
            (self.image, self.moments) = (image, moments)
            sizes = steps.geometry.images(of: ImageBox(height: image.input.shape[1], width: image.input.shape[2]))
        }

        /// A tile's own part of the input of a step.
        func core(_ tile: Int, at step: Int) -> ImageBox {
            image.grid[tile].scaled(by: sizes[step].height / image.grid.image.height)
        }
    }

    /// A tile before the first step, with all the input that a part of the input of step `end` depends on.
    private func begin(_ passage: Passage, for box: ImageBox, before end: Int) throws(ComputeError) -> VAETile {
        let boxes = steps.geometry.boxes(for: box, before: end, images: passage.sizes)
        let part = context.cropped(passage.image.input, rows: boxes[0].rows, columns: boxes[0].columns)
        return VAETile(try prepare(part), boxes: boxes)
    }

    private func advance(_ tile: inout VAETile, to end: Int, _ passage: Passage) throws(ComputeError) {
        while tile.step < end {
            let step = tile.step
            let norm = steps.geometry.norms.firstIndex(of: step).map { passage.moments[$0] }
            var keys: VAEKeys?
            if case .attend(let attention) = steps.steps[step], let norm {
                keys = self.keys(attention, norm, at: tile, passage)
            }
            try tile.run(steps.steps[step], of: passage.sizes[step], moments: norm, keys: keys, context)
        }
    }

    /// The image's keys and values, by runs of its points, row after row. Their order and the kernels' do not depend on the
    /// tiles, so neither do the bits.
    ///
    /// - Parameter current: a tile before the attention. Rows that it has are not computed again.
    private func keys(
        _ attention: VAEAttention, _ norm: GroupMoments, at current: VAETile, _ passage: Passage
    ) -> VAEKeys {
        let (step, size) = (current.step, passage.sizes[current.step])
        let run = max(1, passage.image.keysAtOnce / context.keyMultiple) * context.keyMultiple
        let parts = (size.pointCount + run - 1) / run
        return VAEKeys(cells: AttentionCells(image: passage.image), parts: parts) { part throws(ComputeError) in
            try passage.image.keys(part, of: parts, context) { () throws(ComputeError) in
                let tokens = part * run..<min((part + 1) * run, size.pointCount)
                let rows = tokens.lowerBound / size.width..<(tokens.upperBound + size.width - 1) / size.width
                let box = ImageBox(rows: rows, columns: size.columns)
                var tile = current
                if !tile.boxes[step].contains(box) {
                    tile = try begin(passage, for: box, before: step)
                    try advance(&tile, to: step, passage)
                }
                let part = box.relative(to: tile.boxes[step])
                let hidden = context.cropped(tile.hidden, rows: part.rows, columns: part.columns)
                let first = tokens.lowerBound - rows.lowerBound * size.width
                return try attention.keys(of: hidden, tokens: first..<first + tokens.count, norm, context)
            }
        }
    }

    /// The same with errors of models.
    ///
    /// - Parameter name: of the network, for messages.
    func checked(
        _ section: Int, tile: Int, of image: TiledImage, moments: [GroupMoments], _ name: String
    ) throws(ModelError) -> TileResult {
        let result = try ModelError.computing(name) { () throws(ComputeError) in
            try run(section, tile: tile, of: image, moments: moments)
        }
        switch result {
        case .moments(let moments):
            guard moments.isFinite else { throw ModelError.notFinite("\(name)'s image") }
        case .finished(let tensor): try context.requireFinite(tensor, "\(name)'s result")
        }
        return result
    }

    /// Runs all sections of each image of a batch as one tile.
    func run(_ input: Tensor, _ name: String) throws(ModelError) -> Tensor {
        guard input.shape[0] == 1 else {
            return Tensor(joining: try input.images.map { image throws(ModelError) in try run(image, name) })
        }
        let images = steps.geometry.images(of: ImageBox(height: input.shape[1], width: input.shape[2]))
        // The latent is the smaller end.
        let latent = images[0].height < images[images.count - 1].height ? images[0] : images[images.count - 1]
        return try run(TiledImage(input, grid: TileGrid(height: latent.height, width: latent.width)), name)
    }

    /// Runs all sections of an image of one tile.
    func run(_ image: TiledImage, _ name: String) throws(ModelError) -> Tensor {
        precondition(image.grid.count == 1, "\(image.grid.count) tiles have no result of one tensor")
        var result: Tensor?
        // The only tile waits for no other task, so it stays in memory in any case.
        let limit = image.keptLimit
        image.keptLimit = .max
        defer { image.keptLimit = limit }
        try run(image, name) { result = $1 }
        guard let result else { preconditionFailure("a network without a last section") }
        return result
    }

    /// Runs all sections of all tiles, one after the other.
    ///
    /// - Parameter take: gets each tile's part of the result.
    func run(_ image: TiledImage, _ name: String, _ take: (Int, Tensor) -> Void) throws(ModelError) {
        var moments: [GroupMoments] = []
        for section in 0..<sectionCount {
            var whole: GroupMoments?
            for tile in 0..<image.grid.count {
                switch try checked(section, tile: tile, of: image, moments: moments, name) {
                case .moments(let own): whole = whole?.merged(with: own) ?? own
                case .finished(let tensor): take(tile, tensor)
                }
            }
            if let whole { moments.append(whole) }
        }
    }
}
