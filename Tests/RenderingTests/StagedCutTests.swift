import ImageConditioning
import PatchGeometry
import Places
import RandomStreams
import Resampling
import Samplers
import Testing

@testable import Rendering

/// CutDiffusion in two stages, each with both of its phases, against a loop that keeps one canvas throughout: the machine keeps
/// patches in the structure phase. Samplers with a memory, with noise and with two calls a step must not mind where a stage or
/// a phase ends.
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
        let final = try FormulaNetwork.latent(try #require(barriers.last?.tasks.first))
        var hand = try CanvasLoop(sampler: machine.resolved.samplers[0], seed: 4, structureCalls: 4 * callsPerStep)
        #expect(try hand.stages() == final.values)
        // Were the first stage's draws repeated, it would show.
        hand = try CanvasLoop(sampler: machine.resolved.samplers[0], seed: 4, structureCalls: 4 * callsPerStep)
        hand.repeatsDraws = true
        #expect(try hand.stages() != final.values)
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
        // Of the second stage's three calls, the first; what the machine shows the network next is its result.
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
        #expect(passes[0].executedCalls == steps)
        for pass in passes.dropFirst() {
            #expect(pass.executedCalls == 1, "\(steps) steps")
            guard case .enlarged(_, let strength) = pass.start else {
                Issue.record("stage \(pass.index) starts from the one before")
                continue
            }
            // As much noise as the strength says, to the step.
            #expect(abs(Double(pass.executedCalls) / Double(pass.calls) - strength) < 0.16, "\(pass.calls) calls")
        }
        let (barriers, _) = try FormulaNetwork.render(
            try RenderMachine(request: request, model: try ModelVariant.embedded.get()))
        let stages = barriers.map(\.place.stage)
        #expect(stages == stages.sorted() && Set(barriers.map(\.place.stageCount)) == [3] && Set(stages) == [0, 1, 2])
    }
}

/// Two stages of 256 and 512 px in patches of 128 px and views of the same, stride 64 px, moved by up to 16 px, feathered.
private struct CanvasLoop {
    private let sampler: Sampler
    private let seed: UInt64
    private let structureCalls: Int
    private var generator: TorchCPUGenerator
    /// A mistake: the second stage draws permutations and views like the first.
    var repeatsDraws = false

    init(sampler: Sampler, seed: UInt64, structureCalls: Int) throws {
        (self.sampler, self.seed, self.structureCalls) = (sampler, seed, structureCalls)
        generator = TorchCPUGenerator(seed: seed)
    }

    mutating func stages() throws -> [Float] {
        let first = try noise(32, inPatches: true).map { $0 * sampler.initialNoiseScale }
        let small = try denoised(first, side: 32, from: 0, draws: 0)
        let enlarged = LatentResizer.resized(small, size: (32, 32), to: (64, 64), .bicubic)
        let begin = sampler.firstCall(strength: 0.75)
        let start = sampler.addNoise(to: enlarged, noise: try noise(64, inPatches: true), call: begin)
        return try denoised(start, side: 64, from: begin, draws: repeatsDraws ? 0 : sampler.calls)
    }

    /// Unit noise as a canvas; drawn patch after patch where patches are what is denoised.
    private mutating func noise(_ side: Int, inPatches: Bool) throws -> [Float] {
        let grid = try PatchGrid(height: side, width: side, patch: 16)
        guard inPatches else { return generator.normals(count: 4 * side * side) }
        var patches: [[Float]] = []
        for _ in 0..<grid.count { patches.append(generator.normals(count: 4 * 256)) }
        return grid.relocate(patches, channels: 4)
    }

    private mutating func denoised(_ start: [Float], side: Int, from first: Int, draws: Int) throws -> [Float] {
        let grid = try PatchGrid(height: side, width: side, patch: 16)
        let views = try ViewGrid(height: side, width: side, window: 16, stride: 8, jitter: 2)
        var (canvas, history) = (start, SamplerHistory())
        for call in first..<sampler.calls {
            let prediction: [Float]
            if call < structureCalls {
                let mix = PixelInteraction(
                    patchCount: grid.count, positionCount: 4 * 256, seed: seed, step: draws + call)
                let predictions = mix.shuffle(grid.deal(canvas, channels: 4)).map { predict($0, call) }
                prediction = grid.relocate(mix.restore(predictions), channels: 4)
            } else {
                let boxes = views.jitteredViews(seed: seed, step: draws + call)
                let predictions = views.crops(of: canvas, channels: 4, views: boxes).map { predict($0, call) }
                prediction = views.average(predictions, channels: 4, views: boxes, blending: .feather)
            }
            var fresh: [[Float]] = []
            for _ in 0..<sampler.noiseMaps(call: call) { fresh.append(try noise(side, inPatches: call < structureCalls)) }
            canvas = sampler.step(
                modelOutput: prediction, call: call, sample: canvas, noise: fresh, history: &history)
        }
        return canvas
    }

    private func predict(_ x: [Float], _ call: Int) -> [Float] {
        FormulaNetwork.prediction(
            sampler.scaleInput(x, call: call), channels: 4, height: 16, width: 16, timestep: Float(sampler.timesteps[call]))
    }
}
