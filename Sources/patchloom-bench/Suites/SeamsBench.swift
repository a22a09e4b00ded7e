import ArgumentParser
import DiffusionModels
import Rendering
import StrictJSON
import TensorCore
import Weights

/// `patchloom-bench seams`: exact and blended tiles of an autoencoder, beside the whole decode.
struct SeamsBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "seams",
        abstract: "Compares exact and blended tiles of a decoder with the whole decode.",
        discussion: """
            Decodes a flat latent and a sloping one: at once, in exact tiles, and in blended tiles, as other programs have \
            them. Levels are those of an 8-bit channel. `seam` is the largest step between two neighbouring pixels at the \
            end of an exact tile, or at the beginning or the end of a fading, beyond the step of the whole decode there. \
            `level` is the largest difference from the whole decode anywhere, `tone` the largest difference of a tile's mean.
            """)

    @Option(help: "A model, as for 'patchloom render'; the embedded one by default.") var model: String?
    @Option(help: "Side of the square latent.") var latent = 48
    @Option(help: "Side of the tiles in latent points; the model's native size by default.") var tile: Int?
    @Option(help: "Number format of weights and activations: auto, f32 or bf16.") var precision = PrecisionChoice.f32
    @OptionGroup var compute: ComputeOptions
    @Flag(help: "Print one JSON line.") var json = false

    func validate() throws {
        try check("latent", latent, 8...512)
        if let tile { try check("tile", tile, 4...latent - 1) }
    }

    func run() throws {
        let context = try compute.context(precision)
        let source = try model.map { try ModelSource.open(ModelChoice(path: $0)) } ?? .embeddedModel
        let native = try ModelDescription(source: source).sampleSize
        guard let tiles = BlendedTiles(height: latent, width: latent, side: tile ?? native) else {
            throw ValidationError("A latent of \(latent) is one tile of \(tile ?? native): choose a larger --latent.")
        }
        let runner = try TaskRunner(models: [source], context: context)
        let decoder = try runner.networks().decoder()
        var report = SuiteReport("seams")
        report.settings = [
            ("model", .string(source.name)), ("latent", .integer(Int64(latent))), ("tile", .integer(Int64(tiles.side))),
        ]
        report.add(context)
        for shape in [LatentShape.flat, .sloping] {
            let input = shape.latent(side: latent, channels: decoder.configuration.latentChannels)
            let decodes = try TileDecodes(input, tiles, decoder)
            for (name, picture, borders) in [
                ("exact", decodes.exact, decodes.exactBorders), ("blend", decodes.blended, decodes.blendedBorders),
            ] {
                let figures = SeamFigures(picture, at: borders, beside: decodes.whole, decodes)
                report.figures += [
                    ("\(shape)_\(name)_seam", figures.seam), ("\(shape)_\(name)_level", figures.level),
                    ("\(shape)_\(name)_tone", figures.tone),
                ]
            }
        }
        try report.finish(json: json)
    }
}

/// A latent in which every tile's borders would show.
private enum LatentShape: String, CustomStringConvertible {
    case flat, sloping

    var description: String { rawValue }

    /// (1, side, side, channels). Each channel has its own tone; in a sloping one it changes along both sides.
    func latent(side: Int, channels: Int) -> Tensor {
        let values = (0..<side * side).flatMap { point -> [Float] in
            let along = Float(point / side + point % side) / Float(2 * side) - 0.5
            return (0..<channels).map { channel in
                let tone = Float(channel % 4) * 0.4 - 0.6
                return self == .flat ? tone : tone + along * (channel % 2 == 0 ? 2 : -2)
            }
        }
        return Tensor(values, shape: [1, side, side, channels])
    }
}

/// The same latent decoded in three ways, as levels of 8 bits that are not rounded.
private struct TileDecodes {
    let side: Int
    let channels: Int
    let scale: Int
    let tiles: BlendedTiles
    let whole: [Float]
    let exact: [Float]
    let blended: [Float]

    init(_ input: Tensor, _ tiles: BlendedTiles, _ decoder: VAEDecoder) throws {
        let (latent, scale) = (tiles.image.width, decoder.configuration.scale)
        let whole = TiledImage(input, grid: TileGrid(height: latent, width: latent))
        let pixels = try decoder.decode(whole)
        let (side, channels) = (latent * scale, pixels.shape[3])
        var exact = [Float](repeating: .nan, count: side * side * channels)
        let grid = TileGrid(height: latent, width: latent, tileHeight: tiles.side, tileWidth: tiles.side)
        try decoder.decode(TiledImage(input, grid: grid)) { tile, part in
            let (box, values) = (grid[tile].scaled(by: scale), Self.levels(part))
            let length = box.width * channels
            for y in 0..<box.height {
                let place = ((box.rows.lowerBound + y) * side + box.columns.lowerBound) * channels
                exact.replaceSubrange(place..<place + length, with: values[y * length..<(y + 1) * length])
            }
        }
        let parts = try (0..<tiles.count).map { Self.levels(try decoder.decode(tiles[$0], of: whole)) }
        blended = (0..<side).flatMap { y in
            tiles.row(y, scale: scale, channels: channels) { tile, row in
                let length = tiles[tile].width * scale * channels
                return Array(parts[tile][row * length..<(row + 1) * length])
            }
        }
        (self.side, self.channels, self.scale, self.tiles) = (side, channels, scale, tiles)
        (self.whole, self.exact) = (Self.levels(pixels), exact)
    }

    private static func levels(_ pixels: Tensor) -> [Float] { pixels.array.map { min(255, max(0, ($0 / 2 + 0.5) * 255)) } }

    /// Where exact tiles end along a side, in pixels.
    var exactBorders: [Int] { stride(from: tiles.side * scale, to: side, by: tiles.side * scale).map { $0 } }

    /// Where fadings begin and end along a side, in pixels.
    var blendedBorders: [Int] {
        let ends = (0..<tiles.columns).flatMap { [tiles[$0].columns.lowerBound, tiles[$0].columns.upperBound] }
        return Set(ends.map { $0 * scale }).filter { $0 > 0 && $0 < side }.sorted()
    }
}

private struct SeamFigures {
    var (seam, level, tone) = (0.0, 0.0, 0.0)

    init(_ picture: [Float], at borders: [Int], beside whole: [Float], _ decodes: TileDecodes) {
        guard picture.count == whole.count, picture.allSatisfy(\.isFinite), whole.allSatisfy(\.isFinite) else {
            (seam, level, tone) = (.infinity, .infinity, .infinity)
            return
        }
        let (side, channels) = (decodes.side, decodes.channels)
        func step(_ picture: [Float], _ place: Int, _ before: Int) -> Float { abs(picture[place] - picture[before]) }
        for border in borders {
            for along in 0..<side {
                for channel in 0..<channels {
                    let column = (along * side + border) * channels + channel
                    let row = (border * side + along) * channels + channel
                    for (place, before) in [(column, column - channels), (row, row - side * channels)] {
                        seam = max(seam, Double(step(picture, place, before) - step(whole, place, before)))
                    }
                }
            }
        }
        level = Double(zip(picture, whole).map { abs($0 - $1) }.max() ?? .nan)
        for tile in 0..<decodes.tiles.count {
            let box = decodes.tiles[tile].scaled(by: decodes.scale)
            var sums = [Double](repeating: 0, count: channels)
            for y in box.rows {
                for place in (y * side + box.columns.lowerBound) * channels..<(y * side + box.columns.upperBound) * channels {
                    sums[place % channels] += Double(picture[place] - whole[place])
                }
            }
            tone = max(tone, sums.map { abs($0) / Double(box.pointCount) }.max() ?? 0)
        }
    }
}
