import Acceleration
import DiffusionModels
import TensorCore
import TestSupport
import Testing
import Weights

/// A text that keeps its keys and values gives the bits of one that keeps nothing, and never those of another network.
@Suite struct TextKeyTests {
    struct Arithmetic: CustomTestStringConvertible, Sendable {
        let backend: BackendChoice
        let precision: PrecisionChoice

        var testDescription: String { "\(backend) \(precision)" }

        func context() throws -> ComputeContext {
            try ComputeContext(backend: backend, threads: 1, precision: precision)
        }
    }

    /// The pairs of backend and precision that this CPU has.
    static let arithmetics = BackendChoice.arithmetics.map { Arithmetic(backend: $0.backend, precision: $0.precision) }

    /// Calls of one picture: other sizes, timesteps, switches and numbers of views from call to call.
    private struct Call {
        var side = 16
        var views = 1
        var timestep: Float = 601
        var switches = UNetSwitches.plain
    }

    private static func calls(_ unet: UNet) -> [Call] {
        let merging = TokenReduction.merging(
            TokenMerging(ratio: 0.5, destinations: .random, parts: [.attention, .textAttention, .feedForward]))
        let shifts = (0..<unet.windowBlockCount).map { UInt8($0 % 4) }
        return [
            Call(), Call(timestep: 20), Call(side: 9, views: 3), Call(side: 24, switches: UNetSwitches(rad: true, pool: true)),
            Call(views: 2, switches: UNetSwitches(windowShifts: shifts)),
            Call(views: 4, switches: UNetSwitches(tokens: TokenSwitches(reductions: [1: merging, 2: merging], seed: 3))),
            Call(
                switches: UNetSwitches(tokens: TokenSwitches(reductions: [1: .downsampling(TokenDownsampling(factor: 2))]))),
            Call(),
        ]
    }

    /// Two rows of text, as with guidance, that each view meets.
    private static func input(_ unet: UNet, _ call: Call, text: UNetText) -> UNetInput {
        let rows = text.vectors.shape[0]
        var input = testInput(unet, height: call.side, width: call.side, batch: call.views, seed: 4)
        (input.timesteps, input.text, input.meetsEveryText) = ([call.timestep], text, true)
        var numbers = TestNumbers(seed: 8)
        input.textEmbeds = unet.configuration.added.map {
            Tensor(numbers.floats(rows * $0.textWidth), shape: [rows, $0.textWidth])
        }
        input.timeIDs = unet.configuration.added.map { _ in
            Tensor((0..<(call.views * rows)).flatMap { _ in [512, 512, 0, 0, 512, 512] }, shape: [call.views * rows, 6])
        }
        return input
    }

    private static func vectors(_ unet: UNet, rows: Int = 2, seed: UInt64 = 6) -> Tensor {
        var numbers = TestNumbers(seed: seed)
        let width = unet.configuration.textWidth
        return Tensor(numbers.floats(rows * 7 * width), shape: [rows, 7, width])
    }

    private static func bits(_ tensor: Tensor) -> [UInt32] { tensor.array.map(\.bitPattern) }

    @Test(arguments: arithmetics) func everyCallHasTheBitsAndTheCountOfOneThatKeepsNothing(_ arithmetic: Arithmetic) throws {
        for (network, blocks) in [(TestConfiguration.sd15, 16), (TestConfiguration.sdxl, 70)] {
            let context = try arithmetic.context()
            let unet = try TestConfiguration.unet(network, context)
            #expect(unet.blockLevels.count == blocks)
            for rows in [2, 1] {
                let keeping = UNetText(Self.vectors(unet, rows: rows))
                keeping.keepKeys(for: unet)
                #expect(keeping.keptBytes == unet.textKeyBytes(rows: rows, tokens: 7) && keeping.keptBytes > 0)
                for (index, call) in Self.calls(unet).enumerated() {
                    let plain = Self.input(unet, call, text: UNetText(Self.vectors(unet, rows: rows)))
                    let (expected, itsCost) = try Self.run(unet, plain, call, context)
                    let (found, cost) = try Self.run(unet, Self.input(unet, call, text: keeping), call, context)
                    #expect(found == expected, "call \(index) of \(rows) rows")
                    #expect(cost.operations == itsCost.operations, "call \(index) of \(rows) rows")
                    // Two products in each block are left out, but not in the first call.
                    #expect(itsCost.steps - cost.steps == (index == 0 ? 0 : 2 * blocks), "call \(index) of \(rows) rows")
                }
            }
        }
    }

    /// The bits of a call, its operations, and how many computing steps it had.
    private static func run(
        _ unet: UNet, _ input: UNetInput, _ call: Call, _ context: ComputeContext
    ) throws -> (bits: [UInt32], cost: (operations: UInt64, steps: Int)) {
        let before = context.operations
        var output: [UInt32] = []
        let steps = try context.tracing { output = bits(try unet.forward(input, switches: call.switches)) }
        return (output, (context.operations - before, steps.count))
    }

    /// Another network, another precision, a network made where one was: none sees the keys that another left.
    @Test func networksNeverShareKeys() throws {
        let text = UNetText(try Self.vectors(TestConfiguration.unet(TestConfiguration.sd15, ComputeContext(threads: 1))))
        let contexts = try Self.arithmetics.map { try $0.context() }
        func network(_ seed: UInt64, _ context: ComputeContext) throws -> UNet {
            try UNet(
                WeightScope(RandomWeightSource(seed: seed)),
                configuration: UNetConfiguration(json: TestConfiguration.json(TestConfiguration.sd15)), context: context)
        }
        var results: Set<[UInt32]> = []
        for round in 0..<2 {
            for context in contexts {
                for seed: UInt64 in [3, 4, 5] {
                    let unet = try network(seed, context)
                    // The keys of an earlier network are there, and this network was not named yet.
                    let unnamed = Self.bits(try unet.forward(Self.input(unet, Call(), text: text), switches: .plain))
                    text.keepKeys(for: unet)
                    let named = try (0..<2).map { _ in
                        Self.bits(try unet.forward(Self.input(unet, Call(), text: text), switches: .plain))
                    }
                    let fresh = UNetText(Self.vectors(unet))
                    let expected = Self.bits(try unet.forward(Self.input(unet, Call(), text: fresh), switches: .plain))
                    #expect(unnamed == expected && named == [expected, expected], "round \(round), network \(seed)")
                    results.insert(expected)
                }
            }
        }
        #expect(results.count == 3 * contexts.count)
    }

    /// Two networks that live side by side take turns on one text.
    @Test func theLastNamedNetworkKeeps() throws {
        let context = try ComputeContext(threads: 1)
        let first = try TestConfiguration.unet(TestConfiguration.sd15, context)
        let second = try UNet(
            WeightScope(RandomWeightSource(seed: 9)), configuration: first.configuration, context: context)
        let text = UNetText(Self.vectors(first))
        func run(_ unet: UNet, _ text: UNetText) throws -> [UInt32] {
            Self.bits(try unet.forward(Self.input(unet, Call(), text: text), switches: .plain))
        }
        let expected = try [first, second].map { try run($0, UNetText(Self.vectors(first))) }
        #expect(expected[0] != expected[1])
        for (index, unet) in [first, second, first, first, second].enumerated() {
            text.keepKeys(for: unet)
            #expect(try run(first, text) == expected[0], "turn \(index)")
            #expect(try run(second, text) == expected[1], "turn \(index)")
        }
        text.forgetKeys()
        #expect(text.keptBytes == 0 && !text.isUseful)
        #expect(try run(first, text) == expected[0])
        #expect(text.keptBytes == 0)
    }

    /// A text does not hold its network, and knows when it is gone.
    @Test func aNetworkMayGo() throws {
        var unet: UNet? = try TestConfiguration.unet(TestConfiguration.sd15, ComputeContext(threads: 1))
        let text = UNetText(try Self.vectors(#require(unet)))
        text.keepKeys(for: try #require(unet))
        #expect(text.isUseful)
        unet = nil
        #expect(!text.isUseful)
    }

    /// By hand: two numbers for each row, token and channel of the blocks' maps.
    @Test(arguments: arithmetics) func bytesByHand(_ arithmetic: Arithmetic) throws {
        let element = arithmetic.precision == .bf16 ? 2 : 4
        let sd15 = try TestConfiguration.unet(TestConfiguration.sd15, arithmetic.context())
        #expect(sd15.textKeyBytes(rows: 2, tokens: 77) == 2 * 2 * 77 * (5 * 8 + 5 * 8 + 6 * 16) * element)
        let sdxl = try TestConfiguration.unet(TestConfiguration.sdxl, arithmetic.context())
        #expect(sdxl.textKeyBytes(rows: 1, tokens: 9) == 2 * 9 * (10 * 8 + 60 * 16) * element)
    }
}
