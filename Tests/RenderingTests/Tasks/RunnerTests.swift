import Acceleration
import ContentHash
import StrictJSON
import TensorCore
import TestSupport
import Testing

@testable import Rendering

/// The worker's side with the embedded model.
@Suite struct RunnerTests {
    private static let hash = SHA256Digest(of: Array("no context".utf8))

    private static func denoise(
        _ context: JobContext, channels: Int = 4, height: Int = 8, width: Int = 8, guidance: Float = 5,
        timestep: Float = 500, rescale: Float = 0, timeIDs: [Float]? = nil, switches: UNetSwitches = .plain, seed: UInt64 = 1
    ) -> RenderTask {
        var numbers = TestNumbers(seed: seed)
        let latent = Latent(
            channels: channels, height: height, width: width, values: numbers.floats(channels * height * width))
        return RenderTask(
            phase: .detail, call: 3, index: 7, contextHash: context.hash,
            work: DenoiseWork(
                latent: latent, timestep: timestep, guidance: guidance, rescale: rescale, timeIDs: timeIDs, switches: switches))
    }

    private static func twoEncoders(_ context: JobContext) -> RenderTask {
        RenderTask(
            phase: .encode, call: 0, index: 0, contextHash: context.hash,
            work: EncodeWork(ids: [[[1]], [[1]]], skippedLayers: 1))
    }

    private static func context(_ runner: TaskRunner, rows: Int = 2, tokens: Int = 77, width: Int = 128, seed: UInt64 = 1)
        -> JobContext
    {
        var numbers = TestNumbers(seed: seed)
        return JobContext(
            modelIdentity: runner.modelIdentities[0],
            conditioning: JobContext.Conditioning(
                rows: rows, tokens: tokens, width: width, values: numbers.floats(rows * tokens * width)))
    }

    private func runner() throws -> TaskRunner { try TaskRunner(models: [.embeddedModel], backend: .auto, threads: 1) }

    @Test func aTaskThatDoesNotFitIsRefusedByName() throws {
        let runner = try runner()
        let (guided, alone) = (Self.context(runner), Self.context(runner, rows: 1, tokens: 5))
        let prompts = JobContext(modelIdentity: runner.modelIdentities[0], conditioning: nil)
        for context in [guided, alone, prompts] { try runner.open(context) }
        func encode(_ ids: [[Int32]], skip: Int = 0) -> RenderTask {
            RenderTask(
                phase: .encode, call: 0, index: 0, contextHash: prompts.hash,
                work: EncodeWork(ids: [ids], skippedLayers: skip))
        }
        let decode = try runner.decodeTask(Latent(channels: 4, height: 2, width: 2, values: [Float](repeating: 0, count: 16)))
        func changed(_ change: (inout DecodeWork) -> Void) throws -> RenderTask {
            var (task, work) = (decode, try #require(decode.work as? DecodeWork))
            change(&work)
            task.work = work
            return task
        }
        let cases: [(part: String, task: RenderTask)] = [
            ("samples of 4 channels", Self.denoise(guided, channels: 3)),
            ("samples of 4 channels", Self.denoise(guided, channels: 8)),
            ("guidance does not fit", Self.denoise(alone, guidance: 5)),
            ("guidance does not fit", Self.denoise(prompts)),
            ("5 window blocks", Self.denoise(guided, switches: UNetSwitches(windowShifts: [0, 1, 2, 3]))),
            ("5 window blocks", Self.denoise(guided, switches: UNetSwitches(windowShifts: []))),
            ("Window shifts are 0, 1, 2 or 3", Self.denoise(guided, switches: UNetSwitches(windowShifts: [0, 1, 2, 3, 4]))),
            ("vocabulary of 2560", encode([[2558, 2560]])), ("vocabulary of 2560", encode([[.max]])),
            ("1 to 77 tokens", encode([[Int32](repeating: 1, count: 78)])), ("1 to 77 tokens", encode([[]])),
            ("layers to leave out", encode([[1]], skip: 200)),
            ("2 text encoders do not fit a model with 1", Self.twoEncoders(prompts)),
            ("no pooled text and no time ids", Self.denoise(guided, timeIDs: [1, 2, 3, 4, 5, 6])),
            ("two rows needs guidance", Self.denoise(alone, guidance: 1, timeIDs: [Float](repeating: 8, count: 12))),
            ("no tile 1 of 2×2", try changed { $0.tile = 1 }), ("no tile 0 of 1×2", try changed { $0.height = 1 }),
            ("no tile 0 of 2×3", try changed { $0.width = 3 }), ("not those before 1", try changed { $0.section = 1 }),
            ("not those before 0", try changed { $0.section = 0 }),
            ("no tile 0 of 2×2", RenderTask(phase: .decode, call: 0, index: 0, contextHash: guided.hash, work: decode.work)),
        ]
        for (part, task) in cases {
            let error = refusal { _ = try runner.run(task) }
            #expect(error?.code == .malformed && error?.isSentence == true, "\(part): \(String(describing: error))")
            #expect(error?.message.contains(part) == true, "\(part): \(error?.message ?? "accepted")")
            #expect(error?.message.hasPrefix(task.title) == true, "\(error?.message ?? "")")
        }
        // The runner is none the worse for it.
        guard let latent = try runner.run(Self.denoise(guided)).latent else {
            Issue.record("a denoising task gives a prediction")
            return
        }
        #expect(latent.values.allSatisfy { $0.isFinite })
    }

    /// A task without guidance takes only the prompt's row of a context with both prompts.
    @Test func withoutGuidanceThePromptsRowIsTaken() throws {
        let runner = try runner()
        let both = Self.context(runner)
        let conditioning = try #require(both.conditioning)
        let half = conditioning.values.count / 2
        let alone = JobContext(
            modelIdentity: both.modelIdentity,
            conditioning: JobContext.Conditioning(
                rows: 1, tokens: conditioning.tokens, width: conditioning.width, values: Array(conditioning.values[half...])))
        for context in [both, alone] { try runner.open(context) }
        for guidance: Float in [0, 1] {
            #expect(
                try runner.run(Self.denoise(both, guidance: guidance)) == runner.run(Self.denoise(alone, guidance: guidance)))
        }
        #expect(try runner.run(Self.denoise(both, guidance: 1)) != runner.run(Self.denoise(both, guidance: 1.5)))
    }

    /// Guidance and its rescaling, from the two halves by the formulas of arXiv 2305.08891.
    @Test(arguments: [Float(0), 0.3, 1]) func guidanceIsRescaled(_ share: Float) throws {
        let runner = try runner()
        let both = Self.context(runner)
        let conditioning = try #require(both.conditioning)
        let half = conditioning.values.count / 2
        func alone(_ values: ArraySlice<Float>) throws -> [Double] {
            let context = JobContext(
                modelIdentity: both.modelIdentity,
                conditioning: JobContext.Conditioning(
                    rows: 1, tokens: conditioning.tokens, width: conditioning.width, values: Array(values)))
            try runner.open(context)
            guard let latent = try runner.run(Self.denoise(context, guidance: 1)).latent else {
                Issue.record("a denoising task gives a prediction")
                return []
            }
            return latent.values.map(Double.init)
        }
        func deviation(_ values: [Double]) -> Double {
            let mean = values.reduce(0, +) / Double(values.count)
            return (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)).squareRoot()
        }
        let (negative, prompt) = (try alone(conditioning.values[..<half]), try alone(conditioning.values[half...]))
        let guided = zip(negative, prompt).map { $0 + 6 * ($1 - $0) }
        let factor = Double(share) * deviation(prompt) / deviation(guided) + 1 - Double(share)
        try runner.open(both)
        guard let latent = try runner.run(Self.denoise(both, guidance: 6, rescale: share)).latent else {
            Issue.record("a denoising task gives a prediction")
            return
        }
        for (actual, expected) in zip(latent.values, guided) { #expect(abs(Double(actual) - expected * factor) < 2e-3) }
        #expect(abs(factor - 1) > 0.05 || share == 0)
    }

    /// Every size is computed, also those at which the network's levels have single points, with all that HiDiffusion does.
    @Test func theSmallestLatentsAreComputed() throws {
        let runner = try runner()
        let context = Self.context(runner)
        try runner.open(context)
        let settings = [
            UNetSwitches.plain, UNetSwitches(rad: true, pool: true, windowShifts: [0, 1, 2, 3, 0]), UNetSwitches(rad: true),
            UNetSwitches(pool: true), UNetSwitches(windowShifts: [3, 3, 3, 3, 3]),
        ]
        for (height, width) in [(1, 1), (1, 2), (3, 1), (5, 7)] {
            for switches in settings {
                let output = try runner.run(Self.denoise(context, height: height, width: width, switches: switches))
                guard let latent = output.latent else {
                    Issue.record("a denoising task gives a prediction")
                    return
                }
                #expect((latent.height, latent.width) == (height, width))
            }
            let latent = Latent(
                channels: 4, height: height, width: width, values: [Float](repeating: 0.1, count: 4 * height * width))
            let output = try runner.run(runner.decodeTask(latent))
            #expect(output.shape == .pixels(width: width * 8, height: height * 8) && output.rgb.count == height * width * 192)
        }
    }

    @Test func numbersOutOfRangeAreReportedNotReturned() throws {
        let runner = try runner()
        let context = Self.context(runner)
        try runner.open(context)
        var huge = Self.denoise(context)
        if var work = huge.work as? DenoiseWork {
            work.latent.values = work.latent.values.map { $0 < 0 ? -.greatestFiniteMagnitude : .greatestFiniteMagnitude }
            huge.work = work
        }
        let error = refusal { _ = try runner.run(huge) }
        #expect(error?.code == .nonFinite && error?.message.hasPrefix("Task 8 of detail, call 4: ") == true)
        // An absurd timestep is only a number to the network.
        for timestep: Float in [-1e30, 1e30, .greatestFiniteMagnitude] {
            let error = refusal { _ = try runner.run(Self.denoise(context, timestep: timestep)) }
            #expect(error == nil || error?.code == .nonFinite, "\(timestep): \(String(describing: error))")
        }
    }

    @Test func contextsAreNeededAndKeptUntilTheyAreClosed() throws {
        let runner = try runner()
        let first = Self.context(runner, tokens: 2, seed: 1000)
        let task = Self.denoise(first, height: 2, width: 2)
        let missing = refusal { _ = try runner.run(task) }
        #expect(missing?.code == .missingContext && missing?.message.contains(first.hash.hex) == true)
        try runner.open(first)
        let output = try runner.run(task)
        // Any number of other jobs may come and go: their contexts go with them.
        for seed in 1...100 {
            let other = Self.context(runner, tokens: 2, seed: UInt64(seed))
            try runner.open(other)
            #expect(runner.contextCount == 2)
            runner.close(other.hash)
        }
        #expect(try runner.run(task) == output)
        // A context that two jobs have opened is one context. Closing a closed context does nothing.
        try runner.open(first)
        for _ in 0..<2 { runner.close(first.hash) }
        #expect(runner.contextCount == 0)
        #expect(refusal { _ = try runner.run(task) }?.code == .missingContext)
        try runner.open(first)
        #expect(try runner.run(task) == output)
    }

    /// A worker that waits for the next job does not keep the memory of the last one.
    @Test func memoryIsGivenBackAfterAJob() throws {
        let runner = try runner()
        let context = Self.context(runner)
        try runner.open(context)
        _ = try runner.run(Self.denoise(context))
        #expect(runner.idleActivationBytes > 0)
        let latent = Latent(channels: 4, height: 2, width: 2, values: [Float](repeating: 0.1, count: 16))
        let decode = try runner.decodeTask(latent)
        _ = try runner.run(decode)
        runner.close(decode.contextHash)
        #expect(runner.idleActivationBytes == 0)
        _ = try runner.run(Self.denoise(context))
        #expect(runner.idleActivationBytes > 0)
        runner.close(context.hash)
        #expect(runner.idleActivationBytes == 0)
    }

    @Test func contextsThatDoNotFitAreRefused() throws {
        let runner = try runner()
        let stranger = JobContext(modelIdentity: Self.hash, conditioning: nil)
        let unknown = refusal { try runner.open(stranger) }
        #expect(unknown?.code == .badModel && unknown?.message.contains(Self.hash.hex) == true)
        let wide = refusal { try runner.open(Self.context(runner, tokens: 2, width: 768)) }
        #expect(wide?.code == .malformed && wide?.message.contains("width 768") == true && wide?.isSentence == true)
        let pooled = JobContext(
            modelIdentity: runner.modelIdentities[0],
            conditioning: JobContext.Conditioning(
                rows: 1, tokens: 1, width: 128, values: [Float](repeating: 0, count: 128), pooled: [1, 2]))
        let surplus = refusal { try runner.open(pooled) }
        #expect(surplus?.code == .malformed && surplus?.message.contains("2 pooled numbers") == true)
        #expect(refusal { _ = try runner.run(Self.denoise(stranger)) }?.code == .missingContext)
    }

    @Test func aModelIsListedOnceHoweverOftenItIsGiven() throws {
        let copy = ModelVariant.source(name: "copy", [:])
        let other = try ModelVariant.source(changing: "scheduler/scheduler_config.json", ["prediction_type": "epsilon"])
        let runner = try TaskRunner(models: [.embeddedModel, copy, other], backend: .auto, threads: 1)
        #expect(runner.modelIdentities.count == 2)
        #expect(try runner.modelIdentities[0] == ModelVariant.embedded.get().identity)
        #expect(try TaskRunner(models: [], backend: .auto, threads: 1).modelIdentities.isEmpty)
    }
}
