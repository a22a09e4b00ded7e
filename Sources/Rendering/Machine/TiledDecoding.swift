import DiffusionModels
import TensorCore

/// A latent on its way through the autoencoder's decoder, as the coordinator sees it: the moments of the norms so far.
struct TiledDecoding: Sendable {
    /// The use of the pixels.
    enum Purpose: Sendable {
        /// They are the picture.
        case finish
        /// They are enlarged, and the next pass begins with them.
        case enlarge
    }

    let purpose: Purpose
    private let grid: TileGrid
    private let stageCount: Int
    /// The context with the latent.
    private let latent: JobContext
    private var moments: [GroupMoments] = []

    /// - Parameter context: of the job, for the model.
    init(_ latent: Latent, _ plan: DecodePlan, context: JobContext, for purpose: Purpose) {
        self.purpose = purpose
        grid = plan.grid(height: latent.height, width: latent.width)
        stageCount = grid.count == 1 ? 1 : plan.stages
        self.latent = context.with(.latent(latent, tileHeight: grid.tileHeight, tileWidth: grid.tileWidth))
    }

    var step: (index: Int, count: Int) { (moments.count, stageCount) }
    var context: JobContext { moments.isEmpty ? latent : latent.with(.moments(moments, of: latent.hash)) }
    var base: JobContext? { moments.isEmpty ? nil : latent }
    var isLast: Bool { moments.count + 1 == stageCount }

    /// A task for each tile.
    var works: [DecodeWork] {
        (0..<grid.count).map { tile in
            DecodeWork(
                tile: tile, stage: grid.count == 1 ? nil : moments.count, height: grid[tile].height, width: grid[tile].width,
                isLast: isLast)
        }
    }

    /// Merges the moments of all tiles, in their order.
    mutating func merge(_ outputs: [TaskOutput]) throws(RenderError) {
        var whole: GroupMoments?
        for (tile, output) in outputs.enumerated() {
            let own = try GroupMoments(numbers: output.doubles, points: grid[tile].pointCount)
            whole = whole?.merged(with: own) ?? own
        }
        if let whole { moments.append(whole) }
    }

    /// The whole picture from the pixels of all tiles.
    func picture(_ outputs: [TaskOutput]) -> (width: Int, height: Int, rgb: [UInt8]) {
        let scale = outputs[0].shape["height"] / grid[0].height
        let (width, height) = (grid.image.width * scale, grid.image.height * scale)
        guard outputs.count > 1 else { return (width, height, outputs[0].rgb) }
        var rgb = [UInt8](repeating: 0, count: width * height * 3)
        for (tile, output) in outputs.enumerated() {
            let box = grid[tile].scaled(by: scale)
            for row in 0..<box.height {
                let target = ((box.rows.lowerBound + row) * width + box.columns.lowerBound) * 3
                let source = row * box.width * 3
                rgb.replaceSubrange(target..<target + box.width * 3, with: output.rgb[source..<source + box.width * 3])
            }
        }
        return (width, height, rgb)
    }
}
