import EmbeddedModel
import StrictJSON
import TestSupport
import Testing
import Weights

@testable import DiffusionModels
@testable import TensorCore

/// The autoencoder in tiles gives the result of the whole image.
@Suite struct TiledAutoencoderTests {
    /// A grid of tiles on a latent.
    struct Case: Sendable, CustomTestStringConvertible {
        let height, width, tileHeight, tileWidth: Int

        init(_ height: Int, _ width: Int, _ tileHeight: Int, _ tileWidth: Int) {
            (self.height, self.width, self.tileHeight, self.tileWidth) = (height, width, tileHeight, tileWidth)
        }

        var grid: TileGrid { TileGrid(height: height, width: width, tileHeight: tileHeight, tileWidth: tileWidth) }
        var testDescription: String { "\(height)×\(width) in \(tileHeight)×\(tileWidth)" }
    }

    /// The latent and a tile divide or do not, are narrow, wide, odd, one point, one tile, many tiles.
    static let cases = [
        Case(8, 8, 8, 8), Case(12, 20, 6, 10), Case(13, 11, 5, 4), Case(3, 50, 3, 16), Case(41, 2, 9, 1), Case(7, 7, 1, 1),
        Case(14, 21, 7, 21), Case(28, 24, 12, 12),
    ]

    private let source = ModelSource.embedded(name: EmbeddedModel.name, files: EmbeddedModel.files)

    private var configuration: VAEConfiguration {
        get throws { try VAEConfiguration(json: source.json("vae/config.json")) }
    }

    private func decoder(_ context: ComputeContext) throws -> VAEDecoder {
        try VAEDecoder(source.weights(component: "vae"), configuration: configuration, context: context)
    }

    private func encoder(_ context: ComputeContext) throws -> VAEEncoder {
        try VAEEncoder(source.weights(component: "vae"), configuration: configuration, context: context)
    }

    private func numbers(_ shape: [Int]) -> Tensor {
        var numbers = TestNumbers(seed: 11)
        return Tensor(numbers.floats(shape.reduce(1, *)), shape: shape)
    }

    /// The result of all tiles together, with the moments merged as a coordinator does.
    ///
    /// - Parameters:
    ///   - order: of the tiles in a section; tiles may come twice.
    ///   - section: computes a section of a tile.
    private func whole(
        _ image: TiledImage, scale: Int, order: (Int) -> [Int] = { Array(0..<$0) },
        _ section: (Int, Int, [GroupMoments]) throws -> TileResult
    ) throws -> [[Float]] {
        var moments: [GroupMoments] = []
        let count = image.grid.count
        while true {
            var own = [GroupMoments?](repeating: nil, count: count)
            var tiles = [Tensor?](repeating: nil, count: count)
            for tile in order(count) {
                switch try section(moments.count, tile, moments) {
                case .moments(let value):
                    #expect(own[tile] == nil || own[tile] == value, "a tile that was computed twice")
                    own[tile] = value
                case .finished(let tensor): tiles[tile] = tensor
                }
            }
            guard let first = own[0] else { return tiles.map { $0?.array ?? [] } }
            moments.append(own.dropFirst().reduce(first) { $0.merged(with: $1 ?? first) })
        }
    }

    /// The parts of an image that the tiles cover.
    private func parts(_ image: Tensor, _ grid: TileGrid, scale: (Int) -> Int) -> [[Float]] {
        let (width, channels, values) = (image.shape[2], image.shape[3], image.array)
        return (0..<grid.count).map { tile in
            let box = grid[tile]
            let (rows, columns) = (
                scale(box.rows.lowerBound)..<scale(box.rows.upperBound),
                scale(box.columns.lowerBound)..<scale(box.columns.upperBound)
            )
            return rows.flatMap { row in
                values[((row * width + columns.lowerBound) * channels)..<((row * width + columns.upperBound) * channels)]
            }
        }
    }

    private func largestDifference(_ a: [[Float]], _ b: [[Float]]) -> Float {
        guard a.map(\.count) == b.map(\.count) else { return .infinity }
        return zip(a, b).flatMap { zip($0, $1).map { abs($0 - $1) } }.max() ?? .infinity
    }

    @Test(arguments: cases, BackendChoice.libraries)
    func tilesDecodeToTheWholePicture(_ test: Case, _ backend: BackendChoice) throws {
        let context = try ComputeContext(backend: backend, threads: 2)
        let decoder = try decoder(context)
        let latent = numbers([1, test.height, test.width, 4])
        let image = TiledImage(latent, grid: test.grid)
        let tiles = try whole(image, scale: 8) { try decoder.run($0, tile: $1, of: image, moments: $2) }
        let expected = parts(try decoder.decode(latent), test.grid) { $0 * 8 }
        #expect(tiles == expected)
        #expect(image.keptBytes == 0)
    }

    @Test(arguments: cases)
    func tilesEncodeToTheWholeLatent(_ test: Case) throws {
        let encoder = try encoder(ComputeContext(threads: 2))
        let picture = numbers([1, 8 * test.height, 8 * test.width, 3])
        let image = TiledImage(picture, grid: test.grid)
        let tiles = try whole(image, scale: 1) { try encoder.run($0, tile: $1, of: image, moments: $2) }
        let moments = encoder.split(Tensor(tiles.flatMap { $0 }, shape: [1, 1, test.height * test.width, 8]))
        let expected = try encoder.encode(picture)
        for (own, whole) in [(moments.mean, expected.mean), (moments.logVariance, expected.logVariance)] {
            let expected = parts(whole, test.grid) { $0 }
            #expect(largestDifference([own.array], [expected.flatMap { $0 }]) <= 1e-4)
        }
    }

    /// The bits are the same, whatever a worker keeps, and in any order and number of computations of the tiles.
    @Test(arguments: [PrecisionChoice.f32, .bf16])
    func bitsDoNotDependOnMemoryAndOrder(_ precision: PrecisionChoice) throws {
        guard (try? precision.resolved(.auto)) != nil else {
            #expect(throws: ComputeError.self) { try ComputeContext(threads: 2, precision: precision) }
            return
        }
        let context = try ComputeContext(threads: 2, precision: precision)
        let decoder = try decoder(context)
        let grid = TileGrid(height: 13, width: 19, tileHeight: 5, tileWidth: 7)
        let latent = numbers([1, 13, 19, 4])
        func decode(
            _ kept: Int, scratch: Int? = nil, order: (Int) -> [Int] = { Array(0..<$0) }
        ) throws -> [[Float]] {
            let image = TiledImage(latent, grid: grid)
            image.keptLimit = kept
            if let scratch { image.scratchBytes = scratch }
            defer { #expect((image.problem != nil) == (scratch != nil)) }
            return try whole(image, scale: 8, order: order) { try decoder.run($0, tile: $1, of: image, moments: $2) }
        }
        let usual = try decode(.max)
        // Tiles in files are not computed again.
        let before = context.operations
        #expect(try decode(.max) == usual)
        let operations = context.operations - before
        for kept in [0, 200_000, 2_000_000] {
            let before = context.operations
            #expect(try decode(kept) == usual)
            #expect(context.operations - before == operations, "\(kept) bytes in memory")
        }
        // Without room on the disk they are computed again.
        let start = context.operations
        #expect(try decode(0, scratch: 0) == usual)
        #expect(context.operations - start > operations)
        #expect(try decode(.max, order: { (0..<$0).reversed() + [0, 3] }) == usual)
    }

    /// Bands of a picture that lies in a file between two sections.
    @Test(
        arguments: [(9, 13), (32, 6), (40, 20), (3, 50)],
        BackendChoice.arithmetics)
    func bandsEncodeToTheWholeLatent(
        _ size: (height: Int, width: Int), _ kind: (backend: BackendChoice, precision: PrecisionChoice)
    ) throws {
        guard (try? kind.precision.resolved(kind.backend)) != nil else {
            #expect(throws: ComputeError.self) {
                try ComputeContext(backend: kind.backend, threads: 2, precision: kind.precision)
            }
            return
        }
        let context = try ComputeContext(backend: kind.backend, threads: 2, precision: kind.precision)
        let (height, width) = size
        let encoder = try encoder(context)
        let picture = numbers([1, 8 * height, 8 * width, 3])
        let expected = try encoder.encode(picture)
        let rows = ImageRows(height: 8 * height, width: 8 * width) { picture.rows($0) }
        for bandBytes in [1, 100_000, 1 << 30] {
            let bands = try encoder.encode(rows, bandBytes: bandBytes)
            #expect(bands.mean.shape == expected.mean.shape)
            #expect(bands.mean.array == expected.mean.array, "bands of \(bandBytes) bytes")
            #expect(bands.logVariance.array == expected.logVariance.array)
        }
    }

    /// The memory of an encoding does not grow with the picture.
    @Test func bandsTakeTheSameMemoryForTallPictures() throws {
        let context = try ComputeContext(threads: 2)
        let encoder = try encoder(context)
        let peaks = try [32, 128].map { height in
            let rows = ImageRows(height: 8 * height, width: 64) { Tensor(repeating: 0.5, shape: [1, $0.count, 64, 3]) }
            return try context.measuringPeak { try encoder.encode(rows, bandBytes: 1) }.peakBytes
        }
        #expect(Double(peaks[1]) < 1.1 * Double(peaks[0]), "\(peaks)")
    }

    /// Keys that come in many parts, and rows that are made in many bands.
    @Test(arguments: BackendChoice.arithmetics)
    func bitsDoNotDependOnPartsAndBands(_ backend: BackendChoice, _ precision: PrecisionChoice) throws {
        let context = try ComputeContext(backend: backend, threads: 2, precision: precision)
        let decoder = try decoder(context)
        let latent = numbers([1, 22, 25, 4])
        func decode(_ grid: TileGrid, keys: Int, bandBytes: Int) throws -> [[Float]] {
            context.bandBytes = bandBytes
            let image = TiledImage(latent, grid: grid)
            image.keysAtOnce = keys
            return try whole(image, scale: 8) { try decoder.run($0, tile: $1, of: image, moments: $2) }
        }
        for grid in [TileGrid(height: 22, width: 25), TileGrid(height: 22, width: 25, tileHeight: 12, tileWidth: 9)] {
            let usual = try decode(grid, keys: 8192, bandBytes: 16 << 20)
            #expect(try decode(grid, keys: 1, bandBytes: 1) == usual)
            #expect(try decode(grid, keys: 200, bandBytes: 200_000) == usual)
        }
    }

    /// A worker that takes over tiles after the attention does not compute the attention of each anew.
    @Test func takenOverTilesShareTheAttention() throws {
        let context = try ComputeContext(threads: 2)
        let decoder = try decoder(context)
        let (latent, grid) = (numbers([1, 16, 64, 4]), TileGrid(height: 16, width: 64, tileHeight: 16, tileWidth: 16))
        let image = TiledImage(latent, grid: grid)
        var moments: [GroupMoments] = []
        while moments.count < 6 {
            var whole: GroupMoments?
            for tile in 0..<grid.count {
                guard case .moments(let own) = try decoder.run(moments.count, tile: tile, of: image, moments: moments) else {
                    break
                }
                whole = whole?.merged(with: own) ?? own
            }
            moments.append(try #require(whole))
        }
        let taken = TiledImage(latent, grid: grid)
        var costs: [UInt64] = []
        for tile in 1..<4 {
            let before = context.operations
            _ = try decoder.run(6, tile: tile, of: taken, moments: moments)
            costs.append(context.operations - before)
        }
        #expect(costs[1] < costs[0] && costs[2] < costs[0], "\(costs)")
    }

    @Test func aSectionEndsBeforeANorm() throws {
        let decoder = try decoder(ComputeContext(threads: 1))
        #expect(decoder.sectionCount == (try configuration.decodeSectionCount))
    }

    // MARK: Grids

    @Test(arguments: [
        (64, 64, 8192), (128, 128, 8192), (256, 256, 8192), (512, 40, 8192), (64, 200, 16_384), (3, 50_000, 8192), (9, 7, 1),
    ])
    func gridsCoverTheLatentOnce(_ height: Int, _ width: Int, _ points: Int) {
        let grid = TileGrid(height: height, width: width, points: points)
        let boxes = (0..<grid.count).map { grid[$0] }
        #expect(boxes.allSatisfy { $0.height > 0 && $0.width > 0 && $0.pointCount <= points })
        #expect(boxes.reduce(0) { $0 + $1.pointCount } == height * width)
        #expect(height * width > points || grid.count == 1)
    }
}
