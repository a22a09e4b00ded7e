import DiffusionModels
import Rendering
import TensorCore

/// The autoencoder in diffusers' overlapping tiles.
enum TiledCases {
    static func decode(_ run: CaseRun) throws {
        let decoder = try run.model().networks.decoder()
        let latent = try run.input("latents", [1, decoder.configuration.latentChannels, nil, nil])
        let (height, width) = (latent.shape[2], latent.shape[3])
        let unscaled = decoder.configuration.decoderInput(latent.floats, height: height, width: width)
        let image = TiledImage(
            Tensor(planar: unscaled, n: 1, c: latent.shape[1], h: height, w: width),
            grid: TileGrid(height: height, width: width))
        let tiles = try tiles(run, height, width, scale: decoder.configuration.scale)
        let parts = try (0..<tiles.count).map { try decoder.decode(tiles[$0], of: image) }
        run.produce(image: "sample", mixed(parts, tiles, scale: decoder.configuration.scale))
    }

    static func encode(_ run: CaseRun) throws {
        let encoder = try run.model().networks.encoder()
        let scale = encoder.configuration.scale
        let picture = try run.input("sample", [1, encoder.configuration.imageChannels, nil, nil])
        let (height, width) = (picture.shape[2], picture.shape[3])
        let image = Tensor(planar: picture.floats, n: 1, c: picture.shape[1], h: height, w: width)
        let tiles = try tiles(run, height / scale, width / scale, scale: scale)
        let parts = try (0..<tiles.count).map { tile in
            let box = tiles[tile].scaled(by: scale)
            return try encoder.encode(run.context.cropped(image, rows: box.rows, columns: box.columns))
        }
        // The reference blends mean and variance alike. It limits the variance afterwards, we before. The results are the same
        // unless a limit is met, and no case meets one.
        run.produce(image: "mean", mixed(parts.map(\.mean), tiles, scale: 1))
        run.produce(image: "logvar", mixed(parts.map(\.logVariance), tiles, scale: 1))
    }

    /// The tiles of the case's latent.
    private static func tiles(_ run: CaseRun, _ height: Int, _ width: Int, scale: Int) throws -> BlendedTiles {
        let parameters = run.parameters
        let side = try parameters.integer("tile_latent_min_size", in: 4...4096)
        guard try parameters.number("tile_overlap_factor") == 0.25, side % 4 == 0,
            try parameters.integer("tile_sample_min_size", in: 2...65536) == side * scale,
            let tiles = BlendedTiles(height: height, width: width, side: side)
        else { throw GoldenError.failed("the tiles are not those of the program: they overlap by another share") }
        return tiles
    }

    /// The whole image, channels last, from its tiles.
    ///
    /// - Parameter scale: of the tiles' points to the latent's.
    private static func mixed(_ parts: [Tensor], _ tiles: BlendedTiles, scale: Int) -> Tensor {
        let (channels, numbers) = (parts[0].shape[3], parts.map(\.array))
        let (height, width) = (tiles.image.height * scale, tiles.image.width * scale)
        let rows = (0..<height).flatMap { y in
            tiles.row(y, scale: scale, channels: channels) { tile, row in
                let length = parts[tile].shape[2] * channels
                return Array(numbers[tile][row * length..<(row + 1) * length])
            }
        }
        return Tensor(rows, shape: [1, height, width, channels])
    }
}
