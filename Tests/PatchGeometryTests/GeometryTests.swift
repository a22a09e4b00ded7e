import PatchGeometry
import RandomStreams
import TestSupport
import Testing

@Suite struct PhaseTests {
    @Test(arguments: [
        (2, "0.5", 1), (25, "0.5", 13), (49, "0.5", 25), (50, "0.5", 25), (90, "0.7", 63), (10, "0.333333333", 4),
    ])
    func structureStepsAreRoundedUpExactly(_ steps: Int, _ fraction: String, _ structure: Int) throws {
        #expect(try #require(StructureFraction(fraction)).structureCalls(of: steps) == structure)
    }

    @Test func bothPhasesNeedAStep() throws {
        let most = try #require(StructureFraction("0.9"))
        #expect(throws: GeometryError.self) { try most.structureCalls(of: 5) }
        #expect(throws: GeometryError.self) { try StructureFraction.half.structureCalls(of: 1) }
        #expect(try most.structureCalls(of: 11) == 10)
    }

    @Test func fractionsAreDecimalText() {
        #expect(StructureFraction("0.5") == .half && StructureFraction("0.500") == .half && StructureFraction(".5") == .half)
        #expect(StructureFraction("0.000000001")?.billionths == 1)
        for text in [
            "0", "1", "0.0", "1.0", "-0.5", "+0.5", "0.5 ", "0,5", "5e-1", "0.0000000001", "00.5", "0.", "", ".", "0.5.1",
        ] {
            #expect(StructureFraction(text) == nil, "\(text)")
        }
        #expect(StructureFraction("0.40")?.description == "0.4")
        #expect(StructureFraction("0.123456789")?.description == "0.123456789")
    }
}

@Suite struct PatchGridTests {
    private func counting(_ grid: PatchGrid, channels: Int = 1) -> [[Float]] {
        let size = channels * grid.patchHeight * grid.patchWidth
        return (0..<grid.count).map { n in (0..<size).map { Float(n * size + $0) } }
    }

    @Test func fourTinyPatchesInterleave() throws {
        let grid = try PatchGrid(height: 4, width: 4, patch: 2)
        #expect(grid.relocate(counting(grid), channels: 1) == [0, 4, 1, 5, 8, 12, 9, 13, 2, 6, 3, 7, 10, 14, 11, 15])
    }

    @Test(arguments: [(16, 16, 8), (8, 24, 8), (10, 22, 8), (5, 9, 8)])
    func dealingIsTheInverseOfRelocation(_ height: Int, _ width: Int, _ patch: Int) throws {
        let grid = try PatchGrid(height: height, width: width, patch: patch)
        let canvas = (0..<(2 * height * width)).map { Float($0) }
        let patches = grid.deal(canvas, channels: 2)
        #expect(grid.relocate(patches, channels: 2) == canvas)
        #expect(patches.count == grid.count && patches.allSatisfy { $0.count == 2 * grid.patchHeight * grid.patchWidth })
        #expect(patches.allSatisfy { $0.allSatisfy(Set(canvas).contains) })
        if grid.isExact { #expect(patches.flatMap(\.self).sorted() == canvas) }
    }

    /// Strided slicing of the canvas gives the patches back, for every grid and with several channels.
    @Test(arguments: [(2, 2), (1, 2), (3, 2), (4, 4)]) func stridesGiveThePatchesBack(_ rows: Int, _ columns: Int) throws {
        let grid = try PatchGrid(height: rows * 8, width: columns * 8, patch: 8)
        #expect(grid.rows == rows && grid.columns == columns && grid.isExact)
        let patches = counting(grid, channels: 3)
        let canvas = grid.relocate(patches, channels: 3)
        for (n, patch) in patches.enumerated() {
            let taken = (0..<3).flatMap { c in
                stride(from: n / columns, to: grid.height, by: rows).flatMap { y in
                    stride(from: n % columns, to: grid.width, by: columns).map {
                        canvas[(c * grid.height + y) * grid.width + $0]
                    }
                }
            }
            #expect(taken == patch)
        }
    }

    /// Sizes that are no multiple: patches of one size cover the canvas, and the rest is cropped.
    @Test func otherSizesAreCovered() throws {
        for height in 8...70 {
            for patch in [8, 12, 16] {
                let grid = try PatchGrid(height: height, width: 30, patch: patch)
                #expect(grid.rows * grid.patchHeight >= height && grid.columns * grid.patchWidth >= 30)
                #expect(grid.patchHeight <= max(patch, 1) && (grid.rows - 1) * patch < height)
                #expect(grid.relocate(counting(grid), channels: 1).count == height * 30)
            }
        }
        let small = try PatchGrid(height: 10, width: 48, patch: 16)
        #expect((small.rows, small.patchHeight, small.columns, small.patchWidth) == (1, 10, 3, 16))
        #expect(!(try PatchGrid(height: 20, width: 48, patch: 16)).isExact)
        #expect(throws: GeometryError.self) { try PatchGrid(height: 0, width: 8, patch: 8) }
    }
}

@Suite struct InteractionTests {
    @Test func seedSixShufflesTheTinyExample() {
        var generator = TorchCPUGenerator(seed: 6)
        let patches = (0..<4).map { n in (0..<4).map { Float(4 * n + $0) } }
        let interaction = PixelInteraction(patchCount: 4, positionCount: 4) { _ in generator.permutation(count: 4) }
        let shuffled = interaction.shuffle(patches)
        #expect(shuffled == [[8, 1, 14, 11], [4, 9, 6, 15], [12, 13, 10, 7], [0, 5, 2, 3]])
        #expect(interaction.restore(shuffled) == patches)
        var after = TorchCPUGenerator(seed: 6)
        for _ in 0..<12 { _ = after.nextWord() }
        #expect(generator == after)
    }

    @Test(arguments: [1, 2, 4, 9, 16]) func everyPositionKeepsItsValues(_ count: Int) {
        var numbers = TestNumbers(seed: 3)
        let patches = (0..<count).map { _ in numbers.floats(60) }
        for step in 0..<3 {
            let interaction = PixelInteraction(patchCount: count, positionCount: 60, seed: 42, call: step)
            let shuffled = interaction.shuffle(patches)
            for position in 0..<60 {
                #expect(Set(shuffled.map { $0[position] }) == Set(patches.map { $0[position] }))
            }
            #expect(interaction.restore(shuffled) == patches)
            #expect((shuffled == patches) == (count == 1))
        }
    }

    @Test func permutationsChangeWithStepSeedAndPosition() {
        func shuffled(_ seed: UInt64, _ step: Int) -> [[Float]] {
            let patches = (0..<4).map { n in [Float](repeating: Float(n), count: 256) }
            return PixelInteraction(patchCount: 4, positionCount: 256, seed: seed, call: step).shuffle(patches)
        }
        #expect(shuffled(1, 0) != shuffled(1, 1) && shuffled(1, 0) != shuffled(2, 0) && shuffled(1, 0) == shuffled(1, 0))
        #expect(Set(shuffled(1, 0)[0]).count == 4, "one permutation for all positions")
    }
}

@Suite struct ViewTests {
    @Test(arguments: [
        (128, 128, [1, 1, 1, 1]), (128, 256, [5, 3, 3, 2]), (256, 256, [25, 9, 9, 4]), (256, 512, [65, 21, 15, 8]),
        (384, 384, [81, 25, 16, 9]), (512, 512, [169, 49, 25, 16]), (1024, 1024, [841, 225, 121, 64]),
    ])
    func countsAreThoseOfTheReference(_ height: Int, _ width: Int, _ counts: [Int]) throws {
        for (stride, count) in zip([32, 64, 96, 128], counts) {
            #expect(try ViewGrid(height: height, width: width, view: 128, stride: stride).count == count)
        }
    }

    @Test func seedSixGivesTheDocumentedWindows() throws {
        let grid = try ViewGrid(height: 256, width: 256, view: 128, stride: 64)
        var random = PythonRandom(seed: 6)
        let corners = [grid.jitteredViews(using: &random), grid.jitteredViews(using: &random)].map {
            $0.map { [$0.top, $0.left] }
        }
        #expect(
            corners[0] == [[15, 2], [1, 80], [4, 144], [87, 15], [65, 84], [95, 152], [157, 6], [150, 70], [146, 152]])
        #expect(
            corners[1] == [
                [10, 13], [11, 69], [8, 157], [70, 14], [82, 76], [66, 147], [155, 6], [150, 95], [160, 160],
            ])
    }

    /// The promise of the geometry: for all draws, every canvas point is covered and no view leaves the padded canvas.
    @Test func everyPointIsCovered() throws {
        var numbers = TestNumbers(seed: 11)
        for _ in 0..<400 {
            let window = Int.random(in: 1...24, using: &numbers)
            let (height, width) = (Int.random(in: 1...80, using: &numbers), Int.random(in: 1...80, using: &numbers))
            let stride = Int.random(in: 1...window, using: &numbers)
            let grid = try ViewGrid(height: height, width: width, view: window, stride: stride)
            let views = grid.jitteredViews(seed: numbers.next(), call: 3)
            #expect(views.count == grid.count && grid.count == grid.rows * grid.columns)
            #expect(grid.coverage(of: views).allSatisfy { $0 >= 1 }, "\(height)x\(width), window \(window), stride \(stride)")
            for view in views {
                #expect(view.top >= 0 && view.top + view.height <= height + 2 * grid.jitterRadius)
                #expect(view.left >= 0 && view.left + view.width <= width + 2 * grid.jitterRadius)
            }
        }
    }

    @Test func jitterHitsItsLimits() throws {
        let grid = try ViewGrid(height: 48, width: 16, view: 16, stride: 8)
        let offsets = (0..<400).map { step in
            zip(grid.jitteredViews(seed: 7, call: step), grid.plainViews).map { $0.top - $1.top - grid.jitterRadius }
        }
        #expect(Set(offsets.map { $0[0] }) == [-2, -1, 0])
        #expect(Set(offsets.map { $0[2] }) == [-2, -1, 0, 1, 2])
        #expect(Set(offsets.map { $0[4] }) == [0, 1, 2])
    }

    @Test func paddingIsZeroAndCroppedAgain() throws {
        let grid = try ViewGrid(height: 4, width: 6, view: 4, stride: 2)
        // A view of 4 and a stride of 2 leave no jitter; 8 and 4 leave one.
        #expect(grid.jitterRadius == 0)
        let padded = try ViewGrid(height: 8, width: 12, view: 8, stride: 4)
        let canvas = (1...96).map(Float.init)
        let views = [
            CanvasView(top: 1, left: 0, height: 8, width: 8), CanvasView(top: 1, left: 6, height: 8, width: 8),
        ]
        let crops = padded.crops(of: canvas, channels: 1, views: views)
        #expect(crops[0][0] == 0 && crops[0][1] == 1 && crops[1][7] == 0 && crops[1][6] == 12)
        #expect(padded.average(crops, channels: 1, views: views) == canvas)
    }

    /// Order of summation is the order of the views: 1e8 + 1 - 1e8 depends on it.
    @Test func sumsAreTakenInViewOrder() throws {
        let grid = try ViewGrid(height: 1, width: 1, view: 1, stride: 1)
        let views = [CanvasView](repeating: CanvasView(top: 0, left: 0, height: 1, width: 1), count: 3)
        #expect(grid.average([[1e8], [1], [-1e8]], channels: 1, views: views) == [0])
        #expect(grid.average([[1e8], [-1e8], [1]], channels: 1, views: views) == [1 / 3])
    }

    @Test func stridesBeyondTheWindowAreRefused() {
        #expect(throws: GeometryError.self) { try ViewGrid(height: 64, width: 64, view: 16, stride: 17) }
        #expect(throws: GeometryError.self) { try ViewGrid(height: 64, width: 64, view: 16, stride: 0) }
    }
}
