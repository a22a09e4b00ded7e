import ImageConditioning
import PatchGeometry
import Places
import RandomStreams
import Resampling
import Samplers
import Testing

@testable import Rendering

/// CutDiffusion in two stages, each with both of its phases, against the plain loop. Samplers with a memory, with noise and
/// with two calls a step must not mind where a stage or a phase ends.
@Suite struct StagedCutTests {
    @Test(arguments: [SamplingMethod.euler, .dpmpp2m, .eulerAncestral, .heun, .unipc, .dpmppSDE])
    func twoStagesAreTwoPlainLoops(_ method: SamplingMethod) throws {
        let request = RenderRequest.square(512, steps: 8) {
            ($0.method, $0.stages, $0.samplingMethod, $0.seed) = (.cut, [2], method, 4)
            ($0.refinement.upscaler, $0.refinement.strength) = (.latentBicubic, 0.75)
            ($0.structureFraction, $0.blending, $0.jitter) = (.half, .feather, 16)
        }
        let machine = try RenderMachine(request: request, model: try ModelVariant.embedded.get())
        let passes = machine.plan.passes
        #expect(passes.map(\.latentHeight) == [32, 64])
        // Steps 1 to 4 of 8 are structure; of the second stage's six, which begin with the third, the first two.
        let callsPerStep = [.heun, .dpmppSDE].contains(method) ? 2 : 1
        #expect(passes.map(\.structureCalls) == [4 * callsPerStep, 2 * callsPerStep])
        #expect(passes[1].firstCall == 2 * callsPerStep && passes[1].executedSteps == 6 && passes[0].executedSteps == 8)

        let (barriers, _) = try FormulaNetwork.render(machine)
        let final = try #require(barriers.last?.decoded)
        let sampler = machine.sampler
        func stages(repeatingDraws: Bool = false) throws -> [Float] {
            var plain = PlainRender(sampler: sampler, seed: 4)
            func cut(_ side: Int) throws -> PlainRender.Cut {
                try PlainRender.Cut(
                    height: side, width: side, jitter: 2, blending: .feather, structureCalls: 4 * callsPerStep)
            }
            let small = try plain.pass(height: 32, width: 32, cut: cut(32))
            return try plain.pass(
                height: 64, width: 64, cut: cut(64),
                from: LatentResizer.resized(small, size: (32, 32), to: (64, 64), .bicubic),
                first: sampler.firstCall(strength: 0.75), draws: repeatingDraws ? 0 : sampler.calls)
        }
        #expect(try stages() == final.values)
        // If the draws of the first stage were repeated, it would show.
        #expect(try stages(repeatingDraws: true) != final.values)
    }

    /// DPM++ 2M has a memory, which a stage must not take over from the one before: its first call is of first order.
    @Test func aStageBeginsWithoutMemory() throws {
        let method = SamplingMethod.dpmpp2m
        let request = RenderRequest.square(256, steps: 6) {
            ($0.method, $0.samplingMethod, $0.seed) = (.hires, method, 8)
            ($0.stages, $0.refinement.upscaler, $0.refinement.strength) = ([1], .latentNearest, 0.5)
        }
        let machine = try RenderMachine(request: request, model: try ModelVariant.embedded.get())
        let sampler = machine.resolved.samplers[0]
        let (barriers, _) = try FormulaNetwork.render(machine)
        // The first of the second stage's three calls. Its result is the network's next input.
        let shown = try barriers.filter { $0.phase == .denoise }.suffix(3).map { try FormulaNetwork.latent($0.tasks[0]).values }
        #expect(sampler.scaleInput(shown[0], call: 3) == shown[0], "the samples are shown as they are")
        let output = FormulaNetwork.prediction(
            shown[0], channels: 4, height: 32, width: 32, timestep: Float(sampler.timesteps[3]))
        var fresh = SamplerHistory()
        #expect(sampler.step(modelOutput: output, call: 3, sample: shown[0], history: &fresh) == shown[1])
        var kept = SamplerHistory()
        for call in 0..<3 {
            _ = sampler.step(modelOutput: output.map { $0 * Float(call) }, call: call, sample: shown[0], history: &kept)
        }
        #expect(sampler.step(modelOutput: output, call: 3, sample: shown[0], history: &kept) != shown[1])
    }

    /// A distilled model's few steps: `auto` must plan a picture in stages that each make at least one call.
    @Test(arguments: [1, 2, 4])
    func fewStepsLeaveEveryStageACall(_ steps: Int) throws {
        var request = RenderRequest()
        (request.width, request.height, request.steps) = (512, 512, steps)
        let passes = try RenderMachine(request: request, model: try ModelVariant.embedded.get()).plan.passes
        #expect(passes.map(\.latentHeight) == [16, 32, 64])
        #expect(passes[0].schedule.count == steps)
        for pass in passes.dropFirst() {
            #expect(pass.schedule.count == 1, "\(steps) steps")
            guard case .enlarged(_, let strength) = pass.start else {
                Issue.record("stage \(pass.index) starts from the one before")
                continue
            }
            // The noise is that of the strength, exact to a step.
            #expect(abs(Double(pass.schedule.count) / Double(pass.calls) - strength) < 0.16, "\(pass.calls) calls")
        }
        let (barriers, _) = try FormulaNetwork.render(
            try RenderMachine(request: request, model: try ModelVariant.embedded.get()))
        let stages = barriers.map(\.place.stage)
        #expect(stages == stages.sorted() && Set(barriers.map(\.place.stageCount)) == [3] && Set(stages) == [0, 1, 2])
    }
}
