import Acceleration
import DiffusionModels
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

/// A U-Net call is a pure function of its input and its switches. Earlier calls, threads and the storage of weights do not
/// matter.
@Suite struct UNetStateTests {
    private struct Job {
        var height: Int
        var width: Int
        var switches: UNetSwitches
    }

    private static let jobs = [
        Job(height: 16, width: 16, switches: .plain),
        Job(height: 24, width: 40, switches: UNetSwitches(rad: true, windowShifts: [3, 2, 1, 2, 0])),
        Job(height: 13, width: 17, switches: UNetSwitches(pool: true, windowShifts: [1, 1, 1, 1, 1])),
        Job(height: 16, width: 16, switches: UNetSwitches(windowShifts: [0, 0, 0, 0, 0])),
        Job(height: 16, width: 16, switches: UNetSwitches(rad: true, pool: true)),
        Job(height: 16, width: 16, switches: UNetSwitches(tokens: merging(.random, call: 3))),
        Job(height: 16, width: 16, switches: UNetSwitches(tokens: merging(.random, call: 4))),
        Job(height: 24, width: 40, switches: UNetSwitches(windowShifts: [3, 2, 1, 2, 0], tokens: merging(.fixed, call: 0))),
        Job(
            height: 13, width: 17,
            switches: UNetSwitches(
                rad: true, tokens: TokenSwitches(reductions: [1: .downsampling(TokenDownsampling(factor: 2.5))]))),
    ]

    private static func merging(_ destinations: TokenMerging.Destinations, call: Int) -> TokenSwitches {
        let method = TokenReduction.merging(
            TokenMerging(ratio: 0.5, destinations: destinations, parts: [.attention, .textAttention, .feedForward]))
        return TokenSwitches(reductions: [1: method, 2: method], seed: 9, call: call)
    }

    private func bits(_ tensor: Tensor) -> [UInt32] { tensor.array.map(\.bitPattern) }

    private func run(_ job: Job, _ unet: UNet) throws -> [UInt32] {
        bits(try unet.forward(testInput(unet, height: job.height, width: job.width), switches: job.switches))
    }

    @Test(arguments: BackendChoice.libraries)
    func callsInAnyOrderGiveTheSameBytes(backend: BackendChoice) throws {
        let unet = try TestConfiguration.unet(TestConfiguration.sd15, ComputeContext(backend: backend, threads: 1))
        let first = try Self.jobs.map { try run($0, unet) }
        for (index, one) in first.enumerated() {
            for other in first[..<index] where other.count == one.count { #expect(one != other, "a plan did nothing") }
        }
        for index in [4, 7, 1, 5, 1, 0, 6, 8, 3, 7, 2, 5, 4, 6, 0, 8] {
            #expect(try run(Self.jobs[index], unet) == first[index])
        }
        // Refused calls in between leave no trace either.
        #expect(throws: ModelError.self) {
            try unet.forward(testInput(unet, height: 16, width: 16), switches: UNetSwitches(rad: true, windowShifts: [0]))
        }
        let fresh = try TestConfiguration.unet(TestConfiguration.sd15, ComputeContext(backend: backend, threads: 1))
        #expect(try run(Self.jobs[2], fresh) == first[2])
        #expect(try run(Self.jobs[2], unet) == first[2])
    }

    @Test(arguments: BackendChoice.libraries)
    func anyNumberOfThreadsGivesTheSameBytes(backend: BackendChoice) throws {
        for text in [TestConfiguration.sd15, TestConfiguration.sdxl] {
            let results = try (1...3).map { threads in
                let unet = try TestConfiguration.unet(text, ComputeContext(backend: backend, threads: threads))
                let input = testInput(unet, height: 30, width: 33, batch: 2)
                let shifts = Array(repeating: UInt8(2), count: unet.windowBlockCount)
                let tokens = Self.merging(.random, call: 1)
                return bits(try unet.forward(input, switches: UNetSwitches(windowShifts: shifts, tokens: tokens)))
            }
            #expect(results[0] == results[1] && results[0] == results[2])
        }
    }

    @Test func onePlainPlanIsLikeTheOther() throws {
        let unet = try TestConfiguration.unet(TestConfiguration.sd15, ComputeContext(threads: 1))
        let input = testInput(unet, height: 16, width: 24)
        let plain = try unet.forward(input, switches: .plain)
        #expect(
            try bits(plain) == bits(unet.forward(input, switches: UNetSwitches(rad: false, pool: false, windowShifts: nil))))
    }

    @Test func oneTimestepForAllRowsIsTheSameAsOneEach() throws {
        let unet = try TestConfiguration.unet(TestConfiguration.sdxl, ComputeContext(threads: 1))
        var input = testInput(unet, height: 16, width: 16, batch: 2)
        let shared = try unet.forward(input, switches: .plain)
        input.timesteps = [601, 601]
        #expect(try bits(shared) == bits(unet.forward(input, switches: .plain)))
        input.timesteps = [601, 600]
        let mixed = try unet.forward(input, switches: .plain).array
        let half = mixed.count / 2
        #expect(Array(mixed[..<half]) == Array(shared.array[..<half]) && Array(mixed[half...]) != Array(shared.array[half...]))
    }

    @Test func windowsAreCountedByPositionAndCheckedAgainstThePlan() throws {
        let context = try ComputeContext(threads: 1)
        let sd15 = try TestConfiguration.unet(TestConfiguration.sd15, context)
        let sdxl = try TestConfiguration.unet(TestConfiguration.sdxl, context)
        #expect(sd15.windowBlockCount == 5 && sdxl.windowBlockCount == 10)
        for shifts: [UInt8] in [[], [0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 4]] {
            #expect(throws: ModelError.self) {
                try sd15.forward(testInput(sd15, height: 16, width: 16), switches: UNetSwitches(windowShifts: shifts))
            }
        }
    }

    @Test func otherArrangementsOfBlocksRefuseHiDiffusion() throws {
        let json = try TestConfiguration.json(
            TestConfiguration.sd15,
            [
                "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
                "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
                "block_out_channels": [8, 16],
            ])
        let unet = try UNet(
            WeightScope(RandomWeightSource(seed: 1)), configuration: UNetConfiguration(json: json),
            context: ComputeContext(threads: 1))
        let input = testInput(unet, height: 8, width: 8)
        #expect(try unet.forward(input, switches: .plain).shape == [1, 8, 8, 4])
        #expect(unet.windowBlockCount == 0)
        #expect(throws: ModelError.self) { try unet.forward(input, switches: UNetSwitches(rad: true)) }
    }

    @Test func inputsThatDoNotFitAreRefused() throws {
        let unet = try TestConfiguration.unet(TestConfiguration.sdxl, ComputeContext(threads: 1))
        let right = testInput(unet, height: 8, width: 8)
        let changes: [(inout UNetInput) -> Void] = [
            { $0.sample = Tensor(repeating: 0, shape: [1, 8, 8, 5]) },
            { $0.sample = Tensor(repeating: 0, shape: [8, 8, 4]) },
            { $0.timesteps = [] },
            { $0.timesteps = [1, 2] },
            { $0.text = UNetText(Tensor(repeating: 0, shape: [2, 7, 8])) },
            { $0.text = UNetText(Tensor(repeating: 0, shape: [1, 7, 9])) },
            { $0.text = UNetText(Tensor(repeating: 0, shape: [7, 8])) },
            { $0.textEmbeds = nil },
            { $0.timeIDs = Tensor(repeating: 0, shape: [1, 5]) },
        ]
        for change in changes {
            var input = right
            change(&input)
            let error = #expect(throws: ModelError.self) { try unet.forward(input, switches: .plain) }
            #expect(error?.code == .input)
        }
    }

    @Test func numbersThatAreNotFiniteAreFound() throws {
        let unet = try TestConfiguration.unet(TestConfiguration.sd15, ComputeContext(threads: 1))
        let input = testInput(unet, height: 8, width: 8)
        input.sample.elements(as: Float.self)[3] = .nan
        let error = #expect(throws: ModelError.self) { try unet.forward(input, switches: .plain) }
        #expect(error?.code == .nonFinite)
        #expect(error?.message.contains("timestep 601") == true)
    }
}
