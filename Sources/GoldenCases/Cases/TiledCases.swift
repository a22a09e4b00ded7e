import DiffusionModels
import Rendering
import TensorCore

/// The autoencoder in diffusers' own overlapping tiles.
enum TiledCases {
    static func decode(_ run: CaseRun) throws {
        let decoder = try run.model().networks.decoder()
        let latent = try run.input("latents", [1, decoder.configuration.latentChannels, nil, nil])
        let (height, width) = (latent.shape[2], latent.shape[3])
        let (latentSide, pictureSide, overlap) = try sides(run)
        let tiling = OverlapTiling(inputSide: latentSide, outputSide: pictureSide, overlap: overlap)
        let unscaled = decoder.configuration.decoderInput(latent.floats, height: height, width: width)
        let input = Latent(channels: latent.shape[1], height: height, width: width, values: unscaled)
        let picture = try tiling.run(input) { planes([try decoder.decode(tensor($0))]) }
        run.produce("sample", GoldenTensor(picture.values, shape: [1, picture.channels, picture.height, picture.width]))
    }

    static func encode(_ run: CaseRun) throws {
        let encoder = try run.model().networks.encoder()
        let picture = try run.input("sample", [1, encoder.configuration.imageChannels, nil, nil])
        let (latentSide, pictureSide, overlap) = try sides(run)
        guard pictureSide % encoder.configuration.scale == 0 else {
            throw GoldenError.failed("tiles of \(pictureSide) pixels are no whole latents")
        }
        let tiling = OverlapTiling(inputSide: pictureSide, outputSide: latentSide, overlap: overlap)
        // The reference blends mean and variance alike. It limits the variance afterwards, we before. The results are the same
        // unless a limit is met, and no case meets one.
        let input = Latent(
            channels: picture.shape[1], height: picture.shape[2], width: picture.shape[3], values: picture.floats)
        let moments = try tiling.run(input) { tile in
            let distribution = try encoder.encode(tensor(tile))
            return planes([distribution.mean, distribution.logVariance])
        }
        let half = moments.values.count / 2
        let shape = [1, moments.channels / 2, moments.height, moments.width]
        run.produce("mean", GoldenTensor(Array(moments.values[..<half]), shape: shape))
        run.produce("logvar", GoldenTensor(Array(moments.values[half...]), shape: shape))
    }

    private static func sides(_ run: CaseRun) throws -> (latent: Int, picture: Int, overlap: Double) {
        let parameters = run.parameters
        let overlap = try parameters.number("tile_overlap_factor")
        guard overlap >= 0, overlap < 1 else { throw GoldenError.failed("\"tile_overlap_factor\" is from 0 to below 1") }
        return (
            try parameters.integer("tile_latent_min_size", in: 2...4096),
            try parameters.integer("tile_sample_min_size", in: 2...65536), overlap
        )
    }

    /// One image from its channels.
    private static func tensor(_ planes: Latent) -> Tensor {
        Tensor(planar: planes.values, n: 1, c: planes.channels, h: planes.height, w: planes.width)
    }

    /// The channels of images of one size, one image after the other.
    private static func planes(_ images: [Tensor]) -> Latent {
        let shape = images[0].shape
        return Latent(
            channels: images.reduce(0) { $0 + $1.shape[3] }, height: shape[1], width: shape[2],
            values: images.flatMap(\.planarArray))
    }
}
