import Acceleration
import DiffusionModels
import RandomStreams
import TensorCore
import TestSupport
import Testing

/// Fewer tokens inside the network's own blocks: vectors G12, G13, G20 and G21 of the specification.
@Suite struct TokenReductionTests {
    private static let block = "down_blocks.0.attentions.0.transformer_blocks.0"

    private struct Case {
        let name: String
        let reduction: TokenReduction?
        var seed: UInt64?
        let sum: Float
        let size: Float
        var first: [Float] = []

        var choices: [Int]? {
            guard let seed else { return nil }
            var generator = TorchCPUGenerator(seed: seed)
            return MergeCells(height: 8, width: 8, cellHeight: 2, cellWidth: 2).referenceChoices(&generator)
        }
    }

    private static func tome(_ ratio: Double) -> TokenReduction { .merging(TokenMerging(ratio: ratio)) }

    private static func todo(_ factor: Double, _ method: TokenDownsampling.Interpolation) -> TokenReduction {
        .downsampling(TokenDownsampling(factor: factor, interpolation: method))
    }

    private static let queries = TokenReduction.merging(TokenMerging(ratio: 0.5, queriesOnly: true))

    private static let layer = [
        Case(
            name: "plain", reduction: nil, sum: 14.837051, size: 705.026443, first: [1.19028, -1.520082, 0.238533, -0.023969]),
        Case(
            name: "ToMe seed 3 r32", reduction: tome(0.5), seed: 3, sum: 18.681037, size: 603.289554,
            first: [0.74192, -1.211886, 0.12563, 0.284189]),
        Case(
            name: "ToMe seed 3 r16", reduction: tome(0.25), seed: 3, sum: 19.112411, size: 667.841258,
            first: [1.236055, -1.453461, 0.36502, -0.151936]),
        Case(
            name: "ToMe fixed r32", reduction: tome(0.5), sum: 13.782521, size: 608.34405,
            first: [1.397303, -1.293448, 0.220726, -0.143208]),
        Case(
            name: "queries only", reduction: queries, sum: 14.703396, size: 668.180016,
            first: [0.984327, -1.59288, 0.073055, 0.281083]),
        Case(
            name: "ToDo 2 nearest", reduction: todo(2, .nearest), sum: 19.664472, size: 696.633784,
            first: [1.52692, -1.592031, 0.468364, -0.263025]),
        Case(
            name: "ToDo 2 exact", reduction: todo(2, .nearestExact), sum: 8.618228, size: 698.399914,
            first: [1.099167, -0.72973, 0.037947, -0.27657]),
        Case(
            name: "ToDo 2.5 exact", reduction: todo(2.5, .nearestExact), sum: 7.307385, size: 739.088813,
            first: [0.858342, -1.485037, -0.213493, 0.291982]),
        Case(
            name: "ToDo 3 nearest", reduction: todo(3, .nearest), sum: 20.179375, size: 706.253089,
            first: [2.045255, -1.901407, 0.447726, -0.235443]),
        Case(
            name: "ToDo 4 nearest", reduction: todo(4, .nearest), sum: 20.179375, size: 706.253089,
            first: [2.045255, -1.901407, 0.447726, -0.235443]),
    ]

    private func run(
        _ unet: UNet, _ x: Tensor, _ reduction: TokenReduction?, shift: UInt8? = nil, choices: [Int]? = nil
    ) throws -> [Float] {
        let plan = UNetSwitches(
            windowShifts: shift.map { [$0] }, tokens: TokenSwitches(reductions: reduction.map { [1: $0] } ?? [:]))
        return try unet.runTransformerBlock(
            Self.block, tokens: x, size: (8, 8), text: Tensor(repeating: 0, shape: [x.shape[0], 3, 8]), switches: plan,
            choices: choices
        ).array
    }

    private func sums(_ values: [Float]) -> (sum: Float, size: Float) {
        (Float(values.reduce(0.0) { $0 + Double($1) }), Float(values.reduce(0.0) { $0 + Double(abs($1)) }))
    }

    @Test(arguments: BackendChoice.libraries) func oneLayerOfAttention(backend: BackendChoice) throws {
        let unet = try IdentityAttention.unet(ComputeContext(backend: backend, threads: 1))
        let x = Tensor(SpecificationTokens.values(images: 2, tokens: 64, width: 8), shape: [2, 64, 8])
        for one in Self.layer {
            let y = try run(unet, x, one.reduction, choices: one.choices)
            let (sum, size) = sums(y)
            #expect(abs(sum - one.sum) < 2e-4 && abs(size - one.size) < 2e-3, "\(one.name): \(sum), \(size)")
            #expect(zip(y, one.first).allSatisfy { abs($0 - $1) < 1e-5 }, "\(one.name): \(y.prefix(4))")
        }
    }

    /// 16 cells of four tokens; four cells in each window.
    @Test func choicesAndShiftsThatDoNotFitAreRefused() throws {
        let unet = try IdentityAttention.unet(ComputeContext(threads: 1))
        let x = Tensor(SpecificationTokens.values(images: 1, tokens: 64, width: 8), shape: [1, 64, 8])
        func refuses(_ shift: UInt8?, _ choices: [Int]) -> Bool {
            do { _ = try run(unet, x, Self.tome(0.5), shift: shift, choices: choices) } catch {
                return (error as? ModelError)?.code == .input
            }
            return false
        }
        #expect(!refuses(nil, Array(repeating: 3, count: 16)) && !refuses(0, Array(repeating: 3, count: 4)))
        #expect(refuses(nil, Array(repeating: 3, count: 15)) && refuses(0, Array(repeating: 3, count: 16)) && refuses(nil, []))
        #expect(refuses(nil, Array(repeating: 4, count: 16)) && refuses(nil, Array(repeating: -1, count: 16)))
        for shifts in [[], [0, 1]] as [[UInt8]] {
            #expect(throws: ModelError.self) {
                try unet.runTransformerBlock(
                    Self.block, tokens: x, size: (8, 8), text: Tensor(repeating: 0, shape: [1, 3, 8]),
                    switches: UNetSwitches(windowShifts: shifts))
            }
        }
    }

    @Test(arguments: BackendChoice.libraries) func windowsAreOutermost(backend: BackendChoice) throws {
        let unet = try IdentityAttention.unet(ComputeContext(backend: backend, threads: 1))
        let x = Tensor(SpecificationTokens.values(images: 2, tokens: 64, width: 8), shape: [2, 64, 8])
        let rows: [(TokenReduction?, sums: [Float], sizes: [Float])] = [
            (nil, [13.977093, 11.990482, 14.156901], [780.991977, 802.00088, 796.779642]),
            (Self.todo(2, .nearest), [23.311392, 4.602092, 15.796328], [746.316523, 792.015884, 786.829208]),
            (Self.tome(0.5), [16.099997, 8.518071, 12.74688], [651.483567, 666.565924, 669.563872]),
        ]
        for row in rows {
            for (index, shift) in [UInt8(0), 1, 3].enumerated() {
                let (sum, size) = sums(try run(unet, x, row.0, shift: shift))
                #expect(abs(sum - row.sums[index]) < 2e-4, "shift \(shift): \(sum) for \(row.sums[index])")
                #expect(abs(size - row.sizes[index]) < 2e-3, "shift \(shift): \(size) for \(row.sizes[index])")
            }
        }
    }

    // MARK: Edges

    @Test func whatReducesNothingGivesTheSameBits() throws {
        let unet = try TestConfiguration.unet(TestConfiguration.sd15, ComputeContext(threads: 1))
        let input = testInput(unet, height: 12, width: 10)
        let plain = try unet.forward(input, switches: .plain).array
        let nothing: [TokenReduction] = [
            Self.todo(1, .nearest), Self.todo(1, .nearestExact), Self.tome(0), Self.tome(0.001),
            .merging(TokenMerging(ratio: 0.5, cellWidth: 64)), .merging(TokenMerging(ratio: 0.5, cellWidth: 1, cellHeight: 1)),
        ]
        for reduction in nothing {
            let plan = UNetSwitches(tokens: TokenSwitches(reductions: [1: reduction, 2: reduction]))
            #expect(try unet.forward(input, switches: plan).array == plain, "\(reduction)")
        }
        let small = TokenSwitches(reductions: [1: Self.tome(0.5)], minimumTokens: 121)
        #expect(try unet.forward(input, switches: UNetSwitches(tokens: small)).array == plain)
        let large = TokenSwitches(reductions: [1: Self.tome(0.5)], minimumTokens: 120)
        #expect(try unet.forward(input, switches: UNetSwitches(tokens: large)).array != plain)
    }

    /// One row of tokens, tokens of zeros, a factor beyond the grid.
    @Test func edgesGiveNumbers() throws {
        let unet = try TestConfiguration.unet(TestConfiguration.sd15, ComputeContext(threads: 1))
        let reductions: [TokenReduction] = [
            Self.tome(0.5), Self.tome(1), Self.todo(100, .nearestExact), Self.queries,
            .downsampling(TokenDownsampling(factor: 2.7, scope: .all)),
            .merging(TokenMerging(ratio: 0.6, destinations: .random, parts: [.attention, .textAttention, .feedForward])),
            .merging(TokenMerging(ratio: 0.6, parts: [.textAttention])),
        ]
        for reduction in reductions {
            for (height, width) in [(1, 9), (9, 1), (2, 2), (7, 5), (13, 17)] {
                for shifts in [nil, [UInt8](repeating: 1, count: 5)] {
                    let levels = TokenSwitches.levels.map { ($0, reduction) }
                    let plan = UNetSwitches(
                        windowShifts: shifts, tokens: TokenSwitches(reductions: Dictionary(uniqueKeysWithValues: levels)))
                    let input = testInput(unet, height: height, width: width, batch: 2)
                    #expect(try unet.forward(input, switches: plan).shape == [2, height, width, 4])
                }
            }
            let zeros = Tensor(repeating: 0, shape: [1, 64, 8])
            #expect(try run(unet, zeros, reduction).allSatisfy(\.isFinite), "\(reduction)")
        }
    }

    @Test func plansThatCannotBeComputedAreRefused() throws {
        let unet = try TestConfiguration.unet(TestConfiguration.sd15, ComputeContext(threads: 1))
        let input = testInput(unet, height: 8, width: 8)
        for reduction in [Self.todo(0.5, .nearest), Self.tome(2), .merging(TokenMerging(ratio: 0.5, cellWidth: -1))] {
            let error = #expect(throws: ModelError.self) {
                try unet.forward(input, switches: UNetSwitches(tokens: TokenSwitches(reductions: [1: reduction])))
            }
            #expect(error?.code == .input)
        }
    }

    // MARK: Both halves of guidance, and parts

    /// The halves choose the same destinations, whether they run together or one by one.
    @Test func batchesAreLikeSingleRuns() throws {
        let unet = try TestConfiguration.unet(TestConfiguration.sd15, ComputeContext(threads: 1))
        let merging = TokenReduction.merging(TokenMerging(ratio: 0.5, destinations: .random))
        let plan = UNetSwitches(tokens: TokenSwitches(reductions: [1: merging, 2: merging], seed: 5, call: 3))
        let both = testInput(unet, height: 16, width: 12, batch: 2)
        let together = try unet.forward(both, switches: plan).array
        let half = together.count / 2
        for row in 0..<2 {
            var one = both
            let (sample, text) = (both.sample.array, both.text.vectors.array)
            one.sample = Tensor(Array(sample[(row * half)..<((row + 1) * half)]), shape: [1, 16, 12, 4])
            one.text = UNetText(
                Tensor(Array(text[(row * text.count / 2)..<((row + 1) * text.count / 2)]), shape: [1, 7, 8]))
            let alone = try unet.forward(one, switches: plan).array
            #expect(Closeness(alone, Array(together[(row * half)..<((row + 1) * half)])).within(largest: 1e-5))
        }
        var other = plan
        other.tokens.call = 4
        #expect(try unet.forward(both, switches: other).array != together)
        other = plan
        other.tokens.originRow = 2
        #expect(try unet.forward(both, switches: other).array != together)
    }

    @Test func everySettingChangesTheResult() throws {
        let unet = try TestConfiguration.unet(TestConfiguration.sd15, ComputeContext(threads: 1))
        let input = testInput(unet, height: 16, width: 16)
        let all: [TokenMerging.Parts] = [.attention, .textAttention, .feedForward, [.attention, .feedForward]]
        var reductions: [TokenReduction] = all.map { .merging(TokenMerging(ratio: 0.5, parts: $0)) }
        reductions += [
            Self.queries, Self.tome(0.4), .merging(TokenMerging(ratio: 0.5, cellWidth: 4)),
            .merging(TokenMerging(ratio: 0.5, cellHeight: 4)), .merging(TokenMerging(ratio: 0.5, destinations: .random)),
            Self.todo(2, .nearest), Self.todo(2, .nearestExact), Self.todo(1.5, .nearest),
            .downsampling(TokenDownsampling(factor: 2, interpolation: .nearest, scope: .all)),
        ]
        for shifts in [nil, [UInt8](repeating: 2, count: 5)] {
            var results = [try unet.forward(input, switches: UNetSwitches(windowShifts: shifts)).array]
            for level in [1, 2, 8] {
                results += try reductions.map {
                    let plan = UNetSwitches(windowShifts: shifts, tokens: TokenSwitches(reductions: [level: $0]))
                    return try unet.forward(input, switches: plan).array
                }
            }
            // The 2×2 tokens of level 8 are one cell; with cells 4 wide there is none.
            let distinct = Set(results.map { $0.map(\.bitPattern) }).count
            #expect(distinct >= 1 + 2 * reductions.count, "\(distinct) of \(results.count) differ")
        }
        #expect(unet.blockLevels == [1, 1, 2, 2, 4, 4, 8, 4, 4, 4, 2, 2, 2, 1, 1, 1])
        #expect(unet.configuration.transformerBlocks == [1: 5, 2: 5, 4: 5, 8: 1])
        let sdxl = try UNetConfiguration(json: TestConfiguration.json(TestConfiguration.sdxl))
        #expect(sdxl.transformerBlocks == [2: 10, 4: 60])
    }
}
