import Acceleration
import DiffusionModels
import PatchGeometry
import RandomStreams
import Samplers
import TensorCore
import Testing
import Weights

@testable import Rendering

// Where the vectors of the specification of CutDiffusion and HiDiffusion (7.2) are tested. Besides, GoldenCasesTests runs every
// golden case on both backends; "golden" names the kind.
//
//   vector                      tests
//   G1  random streams          GoldenStreamTests, StreamTests; golden rng
//   G2  views                   ViewDrawTests, ViewTests; golden cutdiffusion_views
//   G3  coverage                ViewDrawTests.noDrawLeavesAGap, ViewTests.everyPointIsCovered
//   G4  pixel interaction       StructureStepTests, InteractionTests; golden cutdiffusion_interaction
//   G5  relocation              PatchGridTests; golden cutdiffusion_relocation
//   G6  phases                  StructureStepTests, PhaseTests
//   G7  Euler and DDIM          SamplerTests, GoldenSamplerTests; golden scheduler, scheduler_table
//   G8  guidance and rescaling  RunnerTests.guidanceIsRescaled; golden txt2img
//   G9  time ids                ViewCornerTests, SDXLTests.timeIDsFollowThePhase; golden unet_forward for their embedding
//   G10 structure steps         MethodTests, SpecificationTests, MachineTests.cutIsCutDiffusion
//   G11 detail steps            the same; golden cutdiffusion_detail
//   G12 the wrong sigma (Q1)    ViewScaleTests; golden cutdiffusion_pipeline (quirk1, quirk4)
//   G13 CutDiffusion            golden cutdiffusion_pipeline
//   G14 thresholds              HiDiffusionThresholdTests, HiDiffusionTests; golden hidiffusion_stages
//   G15 dilated convolution     HiDiffusionOperatorTests; golden hidiffusion_ops
//   G16 pooling, resizing       HiDiffusionOperatorTests, KernelTests.resampling; golden hidiffusion_ops
//   G17 windows                 WindowTests, BackendTests.windowsComeBack; golden hidiffusion_block
//   G18 a block in windows      WindowTests.rowsOfABatchShareTheirWindows; golden hidiffusion_block
//   G19 shifts                  HiDiffusionTests; golden hidiffusion_ops
//   G20 sizes                   HiDiffusionTraceTests, UNetTraceTests; golden hidiffusion_unet
//   G21 U-Net calls             golden hidiffusion_unet, hidiffusion_pipeline
//   G22 toggles                 HiDiffusionToggleTests, PassTests.hiDiffusionsHalvesAndThresholdsReachTheCalls
//   G23 state freedom           StateFreedomTests, UNetStateTests, PictureTests
//   G24 halves of guidance      HiDiffusionToggleTests.guidancesHalvesMayGoApart
//   G25 distribution            RenderOnFarmTests, JobTests, FaultTests, SamePixelsTests
//   G26 ControlNet              HiDiffusionControlTests; nothing runs a ControlNet yet
//   G27 tiled autoencoder       golden vae_decode_tiled, vae_encode_tiled
//   G28 big patches             BigPatchTests
//   G29 the native guard        HiDiffusionTraceTests, BigPatchTests, HiDiffusionTests, ResolutionTests

/// CutDiffusion with patches that HiDiffusion makes valid (mode E of the specification): vectors G28 and G29. Native size
/// 128 px.
@Suite struct BigPatchTests {
    private static let source = Result { try GoldenModels.sdxl() }

    private static func asked(_ side: Int, patch: Int?, _ change: (inout RenderRequest) -> Void = { _ in }) -> RenderRequest {
        request {
            ($0.width, $0.height, $0.patch, $0.stride) = (side, side, patch, patch.map { $0 / 2 })
            ($0.prompt, $0.negativePrompt, $0.steps, $0.seed) = ("a fox", "blurry", 10, 9)
            ($0.method, $0.structureFraction, $0.guidanceScale) = (.cut, .half, 5)
            change(&$0)
        }
    }

    /// Steps 0 with the dilated convolution, 1 to 3 with pooling, plain from there on: 0.16 and 0.4 of ten steps.
    private static func plan(_ step: Int) -> UNetPlan {
        UNetPlan(
            rad: step == 0, pool: (1...3).contains(step), windowShifts: WindowShifts.ids(seed: 9, step: step, blocks: 10))
    }

    /// Barriers of a render by the machine, done by `run`.
    private func barriers(
        _ request: RenderRequest, _ model: ModelDescription,
        _ run: (Barrier, RenderPlan) throws -> [TaskOutput]
    ) throws -> [Barrier] {
        var machine = try RenderMachine(request: request, model: model)
        var barriers = [machine.start()]
        while let last = barriers.last, last.phase != .decode {
            guard case .barrier(let next) = try machine.complete(run(last, machine.plan)) else {
                Issue.record("the render ended before its decoding")
                break
            }
            barriers.append(next)
        }
        return barriers
    }

    /// The whole method once more, by hand and on a network of its own: every call gets the plan of its step.
    @Test func patchesOfTwiceTheNativeSizeAreAsByHand() throws {
        let source = try Self.source.get()
        let model = try ModelDescription(source: source)
        let runner = try TaskRunner(models: [source], backend: .auto, threads: 1)
        let barriers = try barriers(Self.asked(512, patch: 256), model) { barrier, _ in
            try runner.open(barrier.context)
            return try barrier.tasks.map { try runner.run($0) }
        }
        let denoising = barriers.filter { $0.phase == .structure || $0.phase == .detail }
        #expect(denoising.map(\.tasks.count) == [4, 4, 4, 4, 4, 9, 9, 9, 9, 9])
        for (step, barrier) in denoising.enumerated() {
            #expect(barrier.tasks.allSatisfy { $0.denoiseWork?.plan == Self.plan(step) }, "step \(step)")
        }
        let context = try #require(denoising[0].context.conditioning)
        let final = try #require(barriers.last?.tasks[0].latent)
        #expect(final.height == 64 && final.width == 64)
        var hand = try HandDrivenRender(source, model, context)
        #expect(try hand.run(plan: Self.plan) == final.values)
        // Were one step's plan another, it would show.
        hand = try HandDrivenRender(source, model, context)
        #expect(try hand.run { $0 == 2 ? UNetPlan(windowShifts: Self.plan(2).windowShifts) : Self.plan($0) } != final.values)
    }

    /// At four times the native size the profile is that of very large pictures, which reaches into the detail phase.
    @Test func patchesOfFourTimesTheNativeSizeHaveTheLargeProfile() throws {
        let model = try ModelDescription(source: Self.source.get())
        let barriers = try barriers(Self.asked(768, patch: 512), model) { barrier, plan in
            barrier.tasks.map { StubNetwork.run($0, plan, model) }
        }
        let denoising = barriers.filter { $0.phase == .structure || $0.phase == .detail }
        #expect(denoising.map(\.phase) == [RenderPhase](repeating: .structure, count: 5) + .init(repeating: .detail, count: 5))
        for (step, barrier) in denoising.enumerated() {
            let plan = UNetPlan(
                rad: step < 3, pool: step < 7, windowShifts: WindowShifts.ids(seed: 9, step: step, blocks: 10))
            // 768 px in patches near 512: two by two of 48 latents, which are three times the native side only.
            let isLarge = barrier.phase == .detail
            let small = UNetPlan(rad: step == 0, pool: (1...3).contains(step), windowShifts: plan.windowShifts)
            #expect(barrier.tasks.allSatisfy { $0.denoiseWork?.plan == (isLarge ? plan : small) }, "step \(step)")
        }
    }

    /// Native patches never see RAU-Net or windows, whoever asks; what cannot be had is said.
    @Test func nativePatchesAreGuarded() throws {
        let model = try ModelDescription(source: Self.source.get())
        for request in [Self.asked(256, patch: nil), Self.asked(128, patch: 128), Self.asked(320, patch: 176)] {
            let barriers = try barriers(request, model) { barrier, plan in
                barrier.tasks.map { StubNetwork.run($0, plan, model) }
            }
            let works = barriers.flatMap(\.tasks).compactMap(\.denoiseWork)
            #expect(!works.isEmpty && works.allSatisfy { $0.plan.isPlain })
            var wanted = request
            wanted.hiDiffusion = .on
            let error = refusal { _ = try RenderMachine(request: wanted, model: model) }
            #expect(error?.code == .invalidRequest && error?.isSentence == true)
            #expect(error?.message.contains("HiDiffusion would harm a U-Net input") == true)
        }
        #expect(HiDiffusionStage(family: .sdxl, height: 16, width: 16, steps: 10, step: 2, native: 16).pool, "unguarded")
    }
}

/// CutDiffusion of 512 px by patches of 256 px and Euler's ten steps, driven by hand on a network of its own.
private struct HandDrivenRender {
    private let unet: UNet
    private let sampler: Sampler
    private let text: Tensor
    private let pooled: Tensor
    private let steps = 10
    private let boundary = 5
    private let guidance: Float = 5

    init(_ source: ModelSource, _ model: ModelDescription, _ conditioning: JobContext.Conditioning) throws {
        unet = try UNet(
            source.weights(component: "unet"), configuration: UNetConfiguration(json: source.json("unet/config.json")),
            context: ComputeContext(threads: 1))
        sampler = try Sampler(model.scheduler, steps: steps)
        text = Tensor(conditioning.values, shape: [2, conditioning.tokens, conditioning.width])
        pooled = Tensor(conditioning.pooled, shape: [2, conditioning.pooled.count / 2])
    }

    mutating func run(plan: (Int) -> UNetPlan) throws -> [Float] {
        let grid = try PatchGrid(height: 64, width: 64, patch: 32)
        var generator = TorchCPUGenerator(seed: 9)
        var patches = (0..<4).map { _ in generator.normals(count: 4 * 32 * 32).map { $0 * sampler.initialNoiseScale } }
        for step in 0..<boundary {
            let interaction = PixelInteraction(patchCount: 4, positionCount: 4 * 32 * 32, seed: 9, step: step)
            let predictions = try interaction.shuffle(patches).map { try predict($0, step, (0, 0), plan(step)) }
            patches = zip(patches, interaction.restore(predictions)).map { stepped($0, $1, step) }
        }
        var canvas = grid.relocate(patches, channels: 4)
        let views = try ViewGrid(height: 64, width: 64, window: 32, stride: 16)
        for step in boundary..<steps {
            let boxes = views.jitteredViews(seed: 9, step: step)
            let predictions = try zip(views.crops(of: canvas, channels: 4, views: boxes), boxes).map { crop, box in
                try predict(crop, step, (box.top * 8, box.left * 8), plan(step))
            }
            canvas = stepped(canvas, views.average(predictions, channels: 4, views: boxes), step)
        }
        return canvas
    }

    private func predict(_ x: [Float], _ step: Int, _ corner: (Int, Int), _ plan: UNetPlan) throws -> [Float] {
        let shown = sampler.scaleInput(x, call: step)
        let ids = [512, 512, Float(corner.0), Float(corner.1), 512, 512]
        let input = UNetInput(
            sample: Tensor(planar: shown + shown, n: 2, c: 4, h: 32, w: 32), timesteps: [Float(sampler.timesteps[step])],
            text: text, textEmbeds: pooled, timeIDs: Tensor(ids + ids, shape: [2, 6]))
        let halves = try unet.forward(input, plan: plan).planarArray
        return x.indices.map { halves[$0] + guidance * (halves[x.count + $0] - halves[$0]) }
    }

    private func stepped(_ x: [Float], _ prediction: [Float], _ step: Int) -> [Float] {
        var history = SamplerHistory()
        return sampler.step(modelOutput: prediction, call: step, sample: x, history: &history)
    }
}
