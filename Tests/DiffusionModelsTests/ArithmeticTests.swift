import EmbeddedModel
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

@testable import DiffusionModels

/// The formulas of the autoencoder against the counts while it computes.
@Suite struct ArithmeticTests {
    private let source = ModelSource.embedded(name: EmbeddedModel.name, files: EmbeddedModel.files)

    private func configuration() throws -> VAEConfiguration { try VAEConfiguration(json: source.json("vae/config.json")) }

    private func numbers(_ shape: [Int]) -> Tensor {
        var numbers = TestNumbers(seed: 11)
        return Tensor(numbers.floats(shape.reduce(1, *)), shape: shape)
    }

    /// One tile is counted to the last operation, many tiles nearly. Some parts of the image are computed once more for the
    /// keys of the attention, and the tiles in memory decide which.
    @Test(arguments: [
        TileGrid(height: 8, width: 8), TileGrid(height: 13, width: 6), TileGrid(height: 1, width: 1),
        TileGrid(height: 24, width: 20, tileHeight: 12, tileWidth: 8),
        TileGrid(height: 13, width: 11, tileHeight: 5, tileWidth: 4),
    ])
    func decoding(_ grid: TileGrid) throws {
        let configuration = try configuration()
        let context = try ComputeContext(backend: .auto, threads: 1)
        let decoder = try VAEDecoder(source.weights(component: "vae"), configuration: configuration, context: context)
        let latent = numbers([1, grid.image.height, grid.image.width, configuration.latentChannels])
        let before = context.operations
        try decoder.decode(TiledImage(latent, grid: grid)) { _, _ in }
        let counted = Double(context.operations - before)
        let expected = configuration.decodeOperations(grid)
        if grid.count == 1 {
            #expect(counted == expected)
        } else {
            #expect(abs(counted / expected - 1) < 0.02, "\(counted / expected)")
        }
    }

    @Test(arguments: [(1, 1), (8, 8), (5, 9)]) func encoding(_ height: Int, _ width: Int) throws {
        let configuration = try configuration()
        let context = try ComputeContext(backend: .auto, threads: 1)
        let encoder = try VAEEncoder(source.weights(component: "vae"), configuration: configuration, context: context)
        let scale = configuration.scale
        let picture = numbers([1, height * scale, width * scale, configuration.imageChannels])
        let before = context.operations
        _ = try encoder.encode(picture)
        #expect(Double(context.operations - before) == configuration.encodeOperations(height: height, width: width))
    }

    /// Configurations come from strangers.
    @Test func hugeNumbersDoNotTrap() throws {
        var unet = try #require(source.json("unet/config.json").objectValue)
        unet["transformer_layers_per_block"] = .integer(1 << 20)
        let configuration = try UNetConfiguration(json: .object(unet))
        #expect(configuration.operations(height: 2048, width: 2048, images: 2, tokens: 1024) > 1e20)
    }
}
