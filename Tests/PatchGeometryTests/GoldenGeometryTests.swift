import PatchGeometry
import RandomStreams
import StrictJSON
import TestSupport
import Testing

@Suite struct GoldenGeometryTests {
    @Test(arguments: GoldenFiles.cases("cutdiffusion_views")) func views(_ golden: GoldenFiles) throws {
        func integer(_ key: String) throws -> Int { try #require(golden.params[key]?.intValue) }
        let (height, width) = (try integer("height") / 8, try integer("width") / 8)
        let grid = try ViewGrid(height: height, width: width, window: integer("window"), stride: integer("stride"))
        let expected = golden.expected.integers("views")
        guard golden.params["jitter"]?.boolValue == true else {
            #expect(flat(grid.plainViews) == expected)
            return
        }
        #expect(grid.jitterRadius == golden.params["jitter_radius"]?.intValue)
        var random = PythonRandom(seed: UInt64(try integer("seed")))
        var views: [PatchView] = []
        for _ in 0..<(try integer("calls")) { views += grid.jitteredViews(using: &random) }
        #expect(flat(views) == expected)
        // The next draw is the reference's next draw, so the views drew exactly as often.
        var replay = PythonRandom(seed: UInt64(try integer("seed")))
        for draw in golden.expected.integerRows("draws") { #expect(replay.integer(in: draw[0]...draw[1]) == draw[2]) }
        #expect(replay == random)
    }

    private func flat(_ views: [PatchView]) -> [Int] {
        views.flatMap { [$0.top, $0.top + $0.height, $0.left, $0.left + $0.width] }
    }

    @Test(arguments: GoldenFiles.cases("cutdiffusion_interaction")) func interaction(_ golden: GoldenFiles) throws {
        let patches = golden.inputs.rows("patches")
        let permutations = golden.inputs.integers("permutations")
        let count = patches.count
        let interaction = PixelInteraction(patchCount: count, positionCount: patches[0].count) { position in
            Array(permutations[(position * count)..<((position + 1) * count)])
        }
        #expect(golden.mismatch("shuffled", interaction.shuffle(patches).flatMap { $0 }) == nil)
        let predictions = golden.inputs.rows("guided_noise_shuffled")
        #expect(golden.mismatch("guided_noise", interaction.restore(predictions).flatMap { $0 }) == nil)
    }

    @Test(arguments: GoldenFiles.cases("cutdiffusion_relocation")) func relocation(_ golden: GoldenFiles) throws {
        let patches = golden.inputs.rows("patches")
        let shape = golden.expected.shape("canvas")
        let native = try #require(golden.params["native_patch"]?.intValue)
        let grid = try PatchGrid(height: shape[2], width: shape[3], patch: native)
        #expect(grid.rows == golden.params["sh"]?.intValue && grid.columns == golden.params["sw"]?.intValue && grid.isExact)
        #expect(grid.relocate(patches, channels: shape[1]) == golden.expected.floats("canvas"))
    }

    @Test(arguments: GoldenFiles.cases("cutdiffusion_detail")) func detail(_ golden: GoldenFiles) throws {
        let shape = golden.inputs.shape("canvas")
        let native = try #require(golden.params["native_patch"]?.intValue)
        let radius = try #require(golden.params["jitter_radius"]?.intValue)
        let grid = try ViewGrid(height: shape[2], width: shape[3], window: native, stride: native - 4 * radius)
        #expect(grid.jitterRadius == radius)
        let views = golden.inputs.integerRows("views").map {
            PatchView(top: $0[0], left: $0[2], height: $0[1] - $0[0], width: $0[3] - $0[2])
        }
        let crops = grid.crops(of: golden.inputs.floats("canvas"), channels: shape[1], views: views)
        #expect(golden.mismatch("crops", crops.flatMap { $0 }) == nil)
        let merged = grid.average(golden.expected.rows("stepped"), channels: shape[1], views: views)
        #expect(golden.mismatch("canvas_after", merged) == nil)
    }
}
