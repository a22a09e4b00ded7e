import DiffusionModels
import TensorCore

/// The autoencoder in diffusers' own overlapping tiles.
enum TiledCases {
    static func decode(_ run: CaseRun) throws {
        let decoder = try run.model().decoder()
        let latent = try run.input("latents", [1, decoder.configuration.latentChannels, nil, nil])
        let shape = latent.shape
        let (latentSide, pictureSide, overlap) = try sides(run)
        let tiling = OverlapTiling(inputSide: latentSide, outputSide: pictureSide, overlap: overlap)
        let unscaled = decoder.configuration.decoderInput(latent.floats, height: shape[2], width: shape[3])
        let picture = try tiling.run(Planes(height: shape[2], width: shape[3], values: unscaled)) { tile in
            planes(try decoder.decode(tensor(tile)))
        }
        run.produce(
            "sample",
            GoldenTensor(picture.values, shape: [1, decoder.configuration.outChannels, picture.height, picture.width]))
    }

    static func encode(_ run: CaseRun) throws {
        let encoder = try run.model().encoder()
        let picture = try run.input("sample", [1, encoder.configuration.imageChannels, nil, nil])
        let (latentSide, pictureSide, overlap) = try sides(run)
        guard pictureSide % encoder.configuration.scale == 0 else {
            throw GoldenError.failed("tiles of \(pictureSide) pixels are no whole latents")
        }
        let tiling = OverlapTiling(inputSide: pictureSide, outputSide: latentSide, overlap: overlap)
        // The reference blends mean and variance alike. It limits the variance after that, we before: the same unless a limit
        // is met, and no case meets one.
        let moments = try tiling.run(
            Planes(height: picture.shape[2], width: picture.shape[3], values: picture.floats)
        ) { tile in
            let distribution = try encoder.encode(tensor(tile))
            var both = planes(distribution.mean)
            both.values += distribution.logVariance.planarArray
            return both
        }
        let (half, channels) = (moments.values.count / 2, encoder.configuration.latentChannels)
        let shape = [1, channels, moments.height, moments.width]
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
    private static func tensor(_ planes: Planes) -> Tensor {
        let channels = planes.values.count / (planes.height * planes.width)
        return Tensor(planar: planes.values, n: 1, c: channels, h: planes.height, w: planes.width)
    }

    /// The channels of one image.
    private static func planes(_ image: Tensor) -> Planes {
        Planes(height: image.shape[1], width: image.shape[2], values: image.planarArray)
    }
}
