import EmbeddedModel
import Foundation
import RandomStreams
import TensorCore
import TestSupport
import Testing
import Weights

@testable import DiffusionModels

/// diffusers' decode of a whole latent of 61×97 points, against ours as one tile and as many. `make_large_decode.py` made it.
@Suite struct LargeDecodeTests {
    static let grids = [
        TileGrid(height: 61, width: 97), TileGrid(height: 61, width: 97, tileHeight: 23, tileWidth: 31),
    ]

    @Test(arguments: BackendChoice.libraries, grids) func tilesAreTheWholeDecodeOfDiffusers(
        backend: BackendChoice, grid: TileGrid
    ) throws {
        let source = ModelSource.embedded(name: EmbeddedModel.name, files: EmbeddedModel.files)
        let configuration = try VAEConfiguration(json: source.json("vae/config.json"))
        let context = try ComputeContext(backend: backend, threads: 2)
        let decoder = try VAEDecoder(source.weights(component: "vae"), configuration: configuration, context: context)
        let (height, width, channels) = (grid.image.height, grid.image.width, configuration.latentChannels)
        var generator = TorchCPUGenerator(seed: 31)
        let planar = configuration.decoderInput(
            generator.normals(count: channels * height * width), height: height, width: width)
        let latent = Tensor(planar: planar, n: 1, c: channels, h: height, w: width)
        let (rows, columns) = (height * configuration.scale, width * configuration.scale)
        var picture = [Float](repeating: .nan, count: configuration.outChannels * rows * columns)
        try decoder.decode(TiledImage(latent, grid: grid)) { tile, pixels in
            let (box, values) = (grid[tile].scaled(by: configuration.scale), pixels.planarArray)
            for plane in 0..<configuration.outChannels {
                for row in 0..<box.height {
                    let source = (plane * box.height + row) * box.width
                    let target = (plane * rows + box.rows.lowerBound + row) * columns + box.columns.lowerBound
                    picture.replaceSubrange(target..<target + box.width, with: values[source..<source + box.width])
                }
            }
        }
        let path = Fixtures.folder.appendingPathComponent("golden/large_decode.safetensors").path
        let expected = try SafetensorsFile(path: path).tensor("every_101st").array
        let own = stride(from: 0, to: picture.count, by: 101).map { picture[$0] }
        #expect(expected.count == own.count && expected.count > 11_000)
        let difference = zip(expected, own).map { abs($0 - $1) }.max() ?? .infinity
        #expect(difference < 1e-4, "\(difference)")
    }
}
