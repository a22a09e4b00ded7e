import Acceleration
import TensorCore
import TestSupport
import Testing

@testable import Rendering

/// The counts of a runner for its tasks.
@Suite struct RunnerCountTests {
    /// The operations of encoding a prompt, of one guided and one unguided call of the U-Net, and of decoding.
    private static func operations(_ backend: BackendChoice, threads: Int, side: Int = 8) throws -> [UInt64] {
        let runner = try TaskRunner(models: [.embeddedModel], backend: backend, threads: threads)
        let prompts = JobContext(modelIdentity: runner.modelIdentities[0], conditioning: nil)
        let guided = JobContext(
            modelIdentity: runner.modelIdentities[0],
            conditioning: JobContext.Conditioning(
                rows: 2, tokens: 77, width: 128, values: [Float](repeating: 0.5, count: 2 * 77 * 128)))
        for context in [prompts, guided] { try runner.open(context) }
        var numbers = TestNumbers(seed: 1)
        let latent = Latent(channels: 4, height: side, width: side, values: numbers.floats(4 * side * side))
        let works: [(JobContext, any TaskWork)] = [
            (prompts, EncodeWork(ids: [[[Int32](repeating: 1, count: 77)]])),
            (guided, DenoiseWork(latent: latent, timestep: 500, guidance: 5, switches: .plain)),
            (guided, DenoiseWork(latent: latent, timestep: 500, guidance: 1, switches: .plain)),
        ]
        #expect(runner.operations == 0, "loading weights counts")
        var counts: [UInt64] = []
        for (context, work) in works {
            let before = runner.operations
            _ = try runner.run(RenderTask(phase: .denoise, call: 0, index: 0, contextHash: context.hash, work: work))
            counts.append(runner.operations - before)
        }
        let before = runner.operations
        _ = try runner.run(runner.decodeTask(latent))
        return counts + [runner.operations - before]
    }

    @Test func theCountIsEqualForAllBackendsAndThreads() throws {
        let first = try Self.operations(.onednn, threads: 1)
        #expect(try Self.operations(.openblas, threads: 3) == first)
        #expect(try Self.operations(.onednn, threads: 2) == first)
        #expect(first.allSatisfy { $0 > 1_000_000 })
        // Guidance is two rows of one and the same, text included.
        #expect(first[1] == 2 * first[2])
    }

    /// The text encoder has 3 layers of width 128, causal attention, and a perceptron four times as wide.
    @Test func theTextEncoderByHand() throws {
        let (tokens, width) = (77, 128)
        let projections = 4 * tokens * width * width
        let attention = 2 * (tokens * (tokens + 1) / 2) * width
        let perceptron = 2 * tokens * width * (4 * width)
        #expect(try Self.operations(.onednn, threads: 1)[0] == UInt64(2 * 3 * (projections + attention + perceptron)))
    }

    @Test func settlingForgetsThePeakOfActivations() throws {
        let runner = try TaskRunner(models: [.embeddedModel], backend: .openblas, threads: 1)
        let context = JobContext(modelIdentity: runner.modelIdentities[0], conditioning: nil)
        try runner.open(context)
        let task = RenderTask(
            phase: .encode, call: 0, index: 0, contextHash: context.hash, work: EncodeWork(ids: [[[1, 2, 3]]]))
        _ = try runner.run(task)
        let peak = runner.peakActivationBytes
        #expect(peak > 0)
        let idle = runner.idleActivationBytes
        runner.settle(trimming: false)
        #expect(runner.peakActivationBytes < peak && runner.idleActivationBytes == idle && idle > 0)
        runner.settle(trimming: true)
        #expect(runner.peakActivationBytes < peak && runner.idleActivationBytes == 0)
        _ = try runner.run(task)
        #expect(runner.peakActivationBytes == peak)
    }
}
