import Acceleration
import ContentHash
import PatchGeometry
import RandomStreams
import Samplers
import StrictJSON
import TestSupport
import Testing

@testable import Rendering

/// A machine that is handed a recording, against one that draws.
@Suite struct RandomnessTests {
    /// Four patches, nine views, two calls of each phase, and a sampler that draws in every call.
    private static let request = RenderRequest.square(256, steps: 4) {
        ($0.method, $0.structureFraction, $0.samplingMethod, $0.seed) = (.cut, .half, .eulerAncestral, 17)
        $0.hiDiffusion = .off
    }

    private static func machine(_ change: (inout RecordedDraws) -> Void) throws -> RenderMachine {
        var draws = RecordedDraws()
        var stream = TorchCPUGenerator(seed: request.seed)
        // The first map, two of the structure phase and two of the detail phase, all of one size.
        for _ in 0..<20 { draws.noise += stream.normals(count: 1024) }
        let views = try ViewGrid(height: 32, width: 32, view: 16, stride: 8)
        for call in 0..<2 {
            draws.interactions[call] = PixelInteraction(
                patchCount: 4, positionCount: 1024, seed: request.seed, call: call)
            draws.views[call + 2] = views.jitteredViews(seed: request.seed, call: call + 2)
        }
        change(&draws)
        // Another seed: nothing may be drawn from it.
        return try RenderMachine(
            request: request, model: ModelVariant.embedded.get(), randomness: RenderRandomness(seed: 99, recorded: draws))
    }

    private static func barriers(_ machine: RenderMachine) throws -> [Barrier] {
        try FormulaNetwork.render(machine).barriers
    }

    @Test func theDrawsOfASeedRecordedAreItsRender() throws {
        let drawn = try RenderMachine(request: Self.request, model: ModelVariant.embedded.get())
        #expect(try Self.barriers(Self.machine { _ in }) == Self.barriers(drawn))
        #expect(try Self.barriers(Self.machine { $0.noise[13_000] += 1 }) != Self.barriers(drawn))
        #expect(try Self.barriers(Self.machine { $0.views[3] = $0.views[2] }) != Self.barriers(drawn))
        #expect(try Self.barriers(Self.machine { $0.interactions[1] = $0.interactions[0] }) != Self.barriers(drawn))
    }

    @Test func aRecordingThatEndsOrHasMoreIsRefused() throws {
        let cases: [(part: String, change: (inout RecordedDraws) -> Void)] = [
            ("no 1024 more numbers of noise", { $0.noise.removeLast(18_000) }),
            ("no 4096 more numbers of noise", { $0.noise.removeLast() }),
            ("no permutations of call 1", { $0.interactions[1] = nil }), ("no views of call 3", { $0.views[3] = nil }),
            ("2 numbers of noise more than", { $0.noise += [1, 2] }),
            ("1 calls' permutations more than", { $0.interactions[2] = $0.interactions[1] }),
            ("1 calls' views more than", { $0.views[0] = $0.views[2] }),
            ("1 calls' window shifts more than", { $0.windowShifts[0] = [1] }),
            ("1 calls' merge destinations more than", { $0.destinations[3] = [0: [1]] }),
        ]
        for (part, change) in cases {
            let error = refusal { _ = try Self.barriers(Self.machine(change)) }
            #expect(error?.code == .malformed && error?.isSentence == true && error?.message.contains(part) == true, "\(part)")
        }
    }

    /// Begun again, it hands out the same numbers.
    @Test func aCopyGoesOnFromWhereItStood() throws {
        var first = RenderRandomness(seed: 3)
        _ = try first.noise(count: 64)
        var second = first
        #expect(try first.noise(count: 32) == second.noise(count: 32))
        var machine = try Self.machine { _ in }
        let start = machine.start()
        _ = try machine.complete(start.tasks.map(FormulaNetwork.run))
        #expect(machine.start() == start)
        #expect(try Self.barriers(machine) == Self.barriers(Self.machine { _ in }))
    }

    /// Three calls of HiDiffusion with merged tokens: the tasks hold the recorded shifts and destinations.
    @Test func shiftsAndDestinationsAreThoseOfTheRecording() throws {
        var request = RenderRequest.square(256, steps: 3) {
            ($0.method, $0.hiDiffusion, $0.samplingMethod) = (.direct, .on, .ddim)
        }
        request.tokenReduction = TokenReductionRequest()
        request.tokenReduction?.merging = TokenReductionRequest.Merging(ratio: 0.5)
        func plans(_ change: (inout RecordedDraws) -> Void) throws -> [UNetSwitches] {
            var draws = RecordedDraws()
            draws.noise = [Float](repeating: 0.5, count: 4096)
            for call in 0..<3 {
                draws.windowShifts[call] = [UInt8](repeating: UInt8(call), count: 5)
                draws.destinations[call] = [call: [3, 1], 7: [2]]
            }
            change(&draws)
            let machine = try RenderMachine(
                request: request, model: ModelVariant.embedded.get(), randomness: RenderRandomness(seed: 1, recorded: draws))
            return try Self.barriers(machine).flatMap(\.tasks).compactMap(\.denoiseWork?.switches)
        }
        let recorded = try plans { _ in }
        #expect(recorded.map(\.windowShifts) == [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [2, 2, 2, 2, 2]])
        #expect(recorded.map(\.tokens.chosen) == [[0: [3, 1], 7: [2]], [1: [3, 1], 7: [2]], [2: [3, 1], 7: [2]]])
        for (part, change) in [
            ("no window shifts of call 2", { $0.windowShifts[2] = nil }),
            ("no merge destinations of call 1", { $0.destinations[1] = nil }),
        ] as [(String, (inout RecordedDraws) -> Void)] {
            let error = refusal { _ = try plans(change) }
            #expect(error?.code == .malformed && error?.isSentence == true && error?.message.contains(part) == true, "\(part)")
        }
    }

    /// Chosen destinations come back from the wire, and nothing else is read as destinations.
    @Test func chosenDestinationsTravel() throws {
        var tokens = TokenSwitches(reductions: [1: .merging(TokenMerging(ratio: 0.5))])
        tokens.chosen = [0: [3, 1, 4095], 7: []]
        let task = RenderTask(
            phase: .denoise, call: 0, index: 0, contextHash: SHA256Digest(of: [1]),
            work: DenoiseWork(
                latent: Latent(channels: 1, height: 1, width: 1, values: [1]), timestep: 1, guidance: 1,
                switches: UNetSwitches(tokens: tokens)))
        let sent = task.encoded()
        let read = try JSONValue(parsing: sent.metadata.canonicalBytes(), limits: .wire)
        #expect(try RenderTask(metadata: read, payload: sent.payload) == task)
        let wrong: [JSONValue] = [
            .null, "x", [], [[]], [[0, -1]], [[0, "1"]], [[0, 4096]], [[4096]], [[0, 1.5]], [[0, 1], [0, 2]], [0],
            [[0, 9_223_372_036_854_775_807]],
        ]
        for value in wrong {
            var (whole, plan) = (try #require(read.objectValue), try #require(read["tokens"]?.objectValue))
            plan["chosen"] = value
            whole["tokens"] = .object(plan)
            let error = refusal { _ = try RenderTask(metadata: .object(whole), payload: sent.payload) }
            #expect(error?.code == .malformed && error?.isSentence == true, "\(value.canonicalText)")
        }
    }

    /// A worker renders on recorded draws. Another number, another permutation of patches or another destination gives another
    /// picture.
    @Test func aWorkersPictureIsThatOfTheRecording() throws {
        let local = try LocalRender(threads: 1)
        let model = try ModelVariant.embedded.get()
        var request = RenderRequest.square(128, steps: 1) {
            ($0.method, $0.hiDiffusion, $0.samplingMethod) = (.direct, .off, .ddim)
        }
        request.tokenReduction = TokenReductionRequest()
        request.tokenReduction?.merging = TokenReductionRequest.Merging(ratio: 0.5)
        func picture(_ change: (inout RecordedDraws) -> Void = { _ in }) throws -> [UInt8] {
            var (draws, stream) = (RecordedDraws(), TorchCPUGenerator(seed: 5))
            draws.noise = stream.normals(count: 1024)
            // 64 cells of four tokens in the first block.
            draws.destinations[0] = [0: (0..<64).map { $0 % 4 }]
            change(&draws)
            return try local.image(
                RenderMachine(request: request, model: model, randomness: RenderRandomness(seed: 1, recorded: draws))
            ).rgb
        }
        let first = try picture()
        #expect(try picture() == first)
        #expect(try picture { $0.noise[500] += 2 } != first)
        #expect(try picture { $0.destinations[0] = [0: (0..<64).map { ($0 + 1) % 4 }] } != first)
        let error = refusal { _ = try picture { $0.destinations[0] = [0: [1, 2]] } }
        #expect(error?.message.contains("64 cells of 4; the 2 given choices do not fit") == true)
    }
}
