import Acceleration
import RandomStreams
import StrictJSON
import TestSupport
import Testing

/// The tokens that are kept and the tokens that merge into each cell: vectors G1, G2, G10, G11 and G14 of the specification.
@Suite struct TokenTests {
    private func choices(_ seed: UInt64, _ cells: MergeCells) -> [Int] {
        var generator = TorchCPUGenerator(seed: seed)
        return cells.referenceChoices(&generator)
    }

    private func grid(_ height: Int, _ width: Int, sy: Int = 2, sx: Int = 2) -> MergeCells {
        MergeCells(height: height, width: width, cellHeight: sy, cellWidth: sx)
    }

    private func destinations(_ cells: MergeCells, _ choices: [Int]) -> [Int] {
        cells.split(choices).destinations.map { Int($0) }
    }

    @Test func drawsAreThoseOfPyTorch() {
        let streams: [(UInt64, [Int])] = [
            (0, [0, 3, 1, 0, 3, 3, 3, 3, 1, 3, 1, 2, 0, 3, 2, 0]), (1, [1, 3, 0, 0, 3, 1, 3, 1, 3, 0, 0, 1, 0, 3, 1, 0]),
            (42, [2, 3, 0, 2, 2, 3, 0, 0, 2, 1, 2, 2, 2, 2, 3, 0]), (1234, [3, 3, 2, 1, 0, 0, 0, 1, 3, 1, 3, 1, 2, 2, 3, 2]),
            (67_280_421_310_721, [2, 0, 1, 0, 1, 3, 2, 2, 3, 1, 2, 1, 3, 2, 0, 3]),
            (3, [2, 0, 1, 3, 0, 0, 0, 1, 1, 3, 2, 3, 1, 1, 2, 1]),
        ]
        for (seed, expected) in streams { #expect(choices(seed, grid(8, 8)) == expected, "seed \(seed)") }
    }

    @Test func destinationsLieInTheirCells() {
        #expect(destinations(grid(4, 4), grid(4, 4).fixedChoices) == [0, 2, 8, 10])
        #expect(destinations(grid(4, 4), choices(42, grid(4, 4))) == [4, 7, 8, 14])
        #expect(destinations(grid(5, 7), choices(0, grid(5, 7))) == [0, 5, 10, 14, 24, 26])
        let wide = grid(4, 6, sy: 2, sx: 3)
        #expect(destinations(wide, choices(7, wide)) == [6, 10, 13, 17])
        #expect(
            destinations(grid(8, 8), choices(3, grid(8, 8)))
                == [2, 5, 8, 15, 16, 18, 20, 23, 33, 43, 44, 47, 49, 51, 55, 60])
    }

    @Test func everyTokenIsASourceOrTheOneDestinationOfItsCell() {
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<200 {
            let cells = MergeCells(
                height: .random(in: 1...40, using: &generator), width: .random(in: 1...40, using: &generator),
                cellHeight: .random(in: 1...5, using: &generator), cellWidth: .random(in: 1...5, using: &generator))
            let drawn = (0..<cells.count).map { _ in Int.random(in: 0..<cells.cellTokens, using: &generator) }
            let (sources, destinations) = cells.split(drawn)
            #expect((sources + destinations).sorted() == (0..<(cells.height * cells.width)).map { Int32($0) })
            #expect(destinations.count == (cells.height / cells.cellHeight) * (cells.width / cells.cellWidth))
            let places = destinations.map { token in
                Int(token) / cells.width / cells.cellHeight * cells.columns + Int(token) % cells.width / cells.cellWidth
            }
            #expect(places.sorted() == Array(0..<cells.count), "one in each cell")
        }
    }

    /// The reference draws on from one generator, here after a batch of 2×64×8 normals: the draws of one matching follow the
    /// draws of the matching before.
    @Test func onePlanFollowsTheOther() {
        let cells = grid(8, 8)
        var generator = TorchCPUGenerator(seed: 5)
        _ = generator.normals(count: 2 * 64 * 8)
        let first = destinations(cells, cells.referenceChoices(&generator))
        let second = destinations(cells, cells.referenceChoices(&generator))
        #expect(first == [0, 3, 6, 12, 16, 20, 26, 31, 39, 41, 43, 44, 50, 57, 60, 63])
        #expect(second == [1, 2, 12, 14, 23, 24, 27, 29, 41, 43, 44, 46, 51, 57, 61, 62])
        #expect(destinations(cells, cells.fixedChoices).prefix(6) == [0, 2, 4, 6, 16, 18])
        #expect(destinations(cells, cells.fixedChoices).last == 54)
    }

    @Test func countsAreCutOff() {
        #expect(TokenMerging(ratio: 0.29).mergedCount(of: 100) == 28)
        #expect(TokenMerging(ratio: 0.3).mergedCount(of: 6144) == 1843)
        let rows: [(Int, Int, level: Int, Int, Int, nDst: Int, r: Int)] = [
            (64, 64, 1, 64, 64, 1024, 2048), (64, 64, 2, 32, 32, 256, 512), (135, 240, 1, 135, 240, 8040, 16200),
            (135, 240, 2, 68, 120, 2040, 4080), (135, 240, 4, 34, 60, 510, 1020), (135, 240, 8, 17, 30, 120, 255),
            (256, 256, 1, 256, 256, 16384, 32768), (256, 256, 2, 128, 128, 4096, 8192),
        ]
        for row in rows {
            let (height, width) = ((row.0 + row.level - 1) / row.level, (row.1 + row.level - 1) / row.level)
            #expect((height, width) == (row.3, row.4))
            #expect(grid(height, width).count == row.nDst)
            #expect(TokenMerging(ratio: 0.5).mergedCount(of: height * width) == row.r)
        }
    }

    /// Overlapping views choose alike if they lie a multiple of a cell apart. Each step and each block chooses anew.
    @Test func hashedDestinationsBelongToThePlaceOnTheCanvas() {
        func drawn(_ cells: MergeCells, step: Int = 4, block: Int = 2, row: Int = 0, column: Int = 0) -> [Int] {
            cells.hashedChoices(seed: 7, call: step, block: block, originRow: row, originColumn: column)
        }
        let canvas = grid(24, 32)
        let whole = drawn(canvas)
        let view = drawn(grid(8, 10), row: 6, column: 12)
        for row in 0..<4 {
            for column in 0..<5 { #expect(view[row * 5 + column] == whole[(row + 3) * canvas.columns + column + 6]) }
        }
        #expect(Set([whole, drawn(canvas, step: 5), drawn(canvas, block: 3), drawn(canvas, row: 2)]).count == 4)
        let many = drawn(grid(200, 200))
        for choice in 0..<4 { #expect(abs(many.count { $0 == choice } - 2500) < 200, "\(choice)") }
        // This is part of the meaning of a seed.
        #expect(drawn(grid(4, 8)) == Array(whole[0..<4] + whole[16..<20]))
    }

    // MARK: Downsampling

    @Test func keptPositionsAreThoseOfTheSpecification() {
        func kept(_ side: Int, _ factor: Double, _ method: TokenDownsampling.Interpolation) -> [Int] {
            TokenDownsampling.positions(
                from: side, to: TokenDownsampling(factor: factor).keptSide(side), method)
        }
        #expect(kept(8, 2, .nearest) == [0, 2, 4, 6] && kept(8, 2, .nearestExact) == [1, 3, 5, 7])
        #expect(kept(9, 3, .nearest) == [0, 3, 6] && kept(9, 3, .nearestExact) == [1, 4, 7])
        #expect(kept(12, 4, .nearest) == [0, 4, 8] && kept(12, 4, .nearestExact) == [2, 6, 10])
        #expect(kept(45, 2, .nearest) == (0..<22).map { $0 * 2 } && kept(45, 2, .nearestExact) == (0..<22).map { $0 * 2 + 1 })
        #expect(kept(68, 2.5, .nearest).count == 27 && kept(68, 2.5, .nearest).prefix(5) == [0, 2, 5, 7, 10])
        #expect(
            kept(68, 2.5, .nearestExact).prefix(14) == [1, 3, 6, 8, 11, 13, 16, 18, 21, 23, 26, 28, 31, 34])
        #expect(kept(135, 4, .nearest).count == 33)
        #expect(kept(135, 4, .nearest)[10...12] == [40, 45, 49] && kept(135, 4, .nearestExact)[10...12] == [42, 47, 51])
        #expect(kept(8, 3, .nearest) == [0, 4] && kept(8, 4, .nearest) == [0, 4])
        #expect(TokenDownsampling.positions(from: 26, to: 22, .nearest)[11] == 12)
        #expect(
            TokenDownsampling.positions(from: 26, to: 11, .nearestExact) == [1, 3, 5, 8, 10, 12, 15, 17, 20, 22, 24])
        #expect(kept(3, 8, .nearest) == [0], "one key at least")
        #expect(kept(40, 1, .nearest) == Array(0..<40) && kept(40, 1, .nearestExact) == Array(0..<40))
    }

    /// Exact fractions are another rule: this number of pairs below 300 differs.
    @Test func roundingsAreThoseOfFloats() {
        var (nearest, exact) = (0, 0)
        for source in 2..<300 {
            for target in 1...source {
                let rational = (0..<target).map { $0 * source / target }
                let middle = (0..<target).map { (2 * $0 + 1) * source / (2 * target) }
                if TokenDownsampling.positions(from: source, to: target, .nearest) != rational { nearest += 1 }
                if TokenDownsampling.positions(from: source, to: target, .nearestExact) != middle { exact += 1 }
            }
        }
        #expect((nearest, exact) == (865, 913))
    }

    // MARK: Plans

    @Test func plansGoByLevelAndLeaveSmallGridsAlone() {
        let merging = TokenReduction.merging(TokenMerging(ratio: 0.5))
        var switches = TokenSwitches(
            reductions: [1: merging, 2: .downsampling(TokenDownsampling(factor: 1))], minimumTokens: 100)
        #expect(switches.reduction(level: 1, tokens: 100) == merging && switches.reduction(level: 1, tokens: 99) == nil)
        #expect(switches.reduction(level: 2, tokens: 1000) == nil, "a factor of 1 is nothing")
        #expect(switches.reduction(level: 4, tokens: 1000) == nil)
        switches.reductions[4] = .merging(TokenMerging(ratio: 0.001))
        #expect(switches.reduction(level: 4, tokens: 999) == nil && switches.reduction(level: 4, tokens: 1000) != nil)
        #expect(switches.problem == nil && TokenSwitches.none.problem == nil && UNetSwitches(tokens: switches) != .plain)
    }

    @Test func plansThatCannotBeComputedSayWhy() {
        let wrong: [TokenReduction] = [
            .downsampling(TokenDownsampling(factor: 0.5)), .downsampling(TokenDownsampling(factor: .nan)),
            .downsampling(TokenDownsampling(factor: .infinity)), .merging(TokenMerging(ratio: 1.1)),
            .merging(TokenMerging(ratio: .nan)), .merging(TokenMerging(ratio: 0.5, cellWidth: 0)),
            .merging(TokenMerging(ratio: 0.5, cellHeight: 65)),
            .merging(TokenMerging(ratio: 0.5, parts: [.attention, .feedForward], queriesOnly: true)),
        ]
        for reduction in wrong { #expect(TokenSwitches(reductions: [1: reduction]).problem != nil, "\(reduction)") }
        let merging = TokenReduction.merging(TokenMerging(ratio: 0.5))
        #expect(TokenSwitches(reductions: [3: merging]).problem?.contains("3") == true)
        #expect(TokenSwitches(reductions: [1: merging], call: -1).problem != nil)
        #expect(TokenSwitches(reductions: [1: merging], originRow: 1 << 20).problem != nil)
        #expect(TokenSwitches(reductions: [1: merging], minimumTokens: -1).problem != nil)
    }
}
