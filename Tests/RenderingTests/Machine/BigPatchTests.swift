import Acceleration
import DiffusionModels
import PatchGeometry
import Samplers
import Sentences
import TensorCore
import TestSupport
import Testing
import Weights

@testable import Rendering

// The tests of each vector of the specification of CutDiffusion and HiDiffusion (7.2). Besides, GoldenCasesTests runs every
// golden case on both backends; "golden" names the kind.
//
//   vector                      tests
//   G1  random streams          StreamTests; golden rng
//   G2  views                   ViewDrawTests, ViewTests; golden cutdiffusion_views
//   G3  coverage                ViewDrawTests.noDrawLeavesAGap, ViewTests.everyPointIsCovered
//   G4  pixel interaction       StructureStepTests, InteractionTests; golden cutdiffusion_interaction
//   G5  relocation              PatchGridTests; golden cutdiffusion_relocation
//   G6  phases                  StructureStepTests, PhaseTests
//   G7  Euler and DDIM          SamplerTests; golden scheduler, scheduler_table
//   G8  guidance and rescaling  RunnerTests.guidanceIsRescaled; golden txt2img
//   G9  time ids                ViewCornerTests, SDXLTests.timeIDsFollowThePhase; golden unet_forward for their embedding
//   G10 structure steps         SpecificationTests; golden cutdiffusion_interaction
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
    private static func switches(_ step: Int) -> UNetSwitches {
        UNetSwitches(
            rad: step == 0, pool: (1...3).contains(step), windowShifts: WindowShifts.ids(seed: 9, call: step, blocks: 10))
    }

    /// The barriers of the calls that the network makes.
    private func calls(_ request: RenderRequest, _ model: ModelDescription) throws -> [Barrier] {
        try FormulaNetwork.render(RenderMachine(request: request, model: model)).barriers.filter { $0.phase.isNetworks }
    }

    /// The plain loop on a network of its own: every call gets the switches of its step.
    @Test func patchesOfTwiceTheNativeSizeAreThePlainLoops() throws {
        let source = try Self.source.get()
        let model = try ModelDescription(source: source)
        let runner = try TaskRunner(models: [source], backend: .auto, threads: 1)
        let machine = try RenderMachine(request: Self.asked(512, patch: 256), model: model)
        let barriers = try FormulaNetwork.render(machine) { barrier, _ in
            try runner.open(barrier.context)
            return try barrier.tasks.map { try runner.run($0) }
        }.barriers
        let denoising = barriers.filter { $0.phase.isNetworks }
        #expect(denoising.map(\.tasks.count) == [4, 4, 4, 4, 4, 9, 9, 9, 9, 9])
        for (step, barrier) in denoising.enumerated() {
            #expect(barrier.tasks.allSatisfy { $0.denoiseWork?.switches == Self.switches(step) }, "step \(step)")
        }
        let final = try #require(barriers.last?.decoded)
        #expect(final.height == 64 && final.width == 64)
        let network = try GuidedNetwork(source, #require(denoising[0].context.conditioning))
        func plain(_ switches: @escaping (Int) -> UNetSwitches) throws -> [Float] {
            var render = PlainRender(sampler: try Sampler(model.scheduler, steps: 10), seed: 9) {
                try network.predict($0, switches($0.call))
            }
            return try render.pass(
                height: 64, width: 64,
                cut: PlainRender.Cut(height: 64, width: 64, side: 32, stride: 16, structureCalls: 5))
        }
        #expect(try plain(Self.switches) == final.values)
        // If one step had other switches, it would show.
        #expect(
            try plain { $0 == 2 ? UNetSwitches(windowShifts: Self.switches(2).windowShifts) : Self.switches($0) }
                != final.values)
    }

    /// At four times the native size the profile is that of very large pictures, which reaches into the detail phase.
    @Test func patchesOfFourTimesTheNativeSizeHaveTheLargeProfile() throws {
        let model = try ModelDescription(source: Self.source.get())
        let denoising = try calls(Self.asked(768, patch: 512), model)
        #expect(denoising.map(\.phase) == [RenderPhase](repeating: .structure, count: 5) + .init(repeating: .detail, count: 5))
        for (step, barrier) in denoising.enumerated() {
            let large = UNetSwitches(
                rad: step < 3, pool: step < 7, windowShifts: WindowShifts.ids(seed: 9, call: step, blocks: 10))
            // 768 px in patches near 512: two by two of 48 latents, which are three times the native side only.
            let isLarge = barrier.phase == .detail
            let small = UNetSwitches(rad: step == 0, pool: (1...3).contains(step), windowShifts: large.windowShifts)
            #expect(barrier.tasks.allSatisfy { $0.denoiseWork?.switches == (isLarge ? large : small) }, "step \(step)")
        }
    }

    /// Native patches never see RAU-Net or windows, even on request. A request that cannot be met is refused.
    @Test func nativePatchesAreGuarded() throws {
        let model = try ModelDescription(source: Self.source.get())
        for request in [Self.asked(256, patch: nil), Self.asked(128, patch: 128), Self.asked(320, patch: 176)] {
            let works = try calls(request, model).flatMap(\.tasks).compactMap(\.denoiseWork)
            #expect(!works.isEmpty && works.allSatisfy { $0.switches == .plain })
            var wanted = request
            wanted.hiDiffusion = .on
            let error = refusal { _ = try RenderMachine(request: wanted, model: model) }
            #expect(error?.code == .invalidRequest && error?.isSentence == true)
            #expect(error?.faults.map(\.setting) == [.hidiffusion])
            // One and a half times the native size.
            #expect(error?.message.contains("192 px") == true, "\(error as Any)")
        }
        #expect(RAUNetSwitches(profile: .sdxl, height: 16, width: 16, steps: 10, step: 2, native: 16).pool, "unguarded")
    }
}

extension RenderPhase {
    fileprivate var isNetworks: Bool { self == .structure || self == .detail }
}

/// A U-Net of its own with guidance, for pictures of 512 px.
private struct GuidedNetwork {
    private let unet: UNet
    private let text: Tensor
    private let pooled: Tensor
    private let guidance: Float = 5

    init(_ source: ModelSource, _ conditioning: JobContext.Conditioning) throws {
        unet = try UNet(
            source.weights(component: "unet"), configuration: UNetConfiguration(json: source.json("unet/config.json")),
            context: ComputeContext(threads: 1))
        text = Tensor(conditioning.values, shape: [2, conditioning.tokens, conditioning.width])
        pooled = Tensor(conditioning.pooled, shape: [2, conditioning.pooled.count / 2])
    }

    func predict(_ shown: PlainRender.Input, _ switches: UNetSwitches) throws -> [Float] {
        let (x, top, left) = (shown.values, shown.view?.top ?? 0, shown.view?.left ?? 0)
        let ids = [512, 512, Float(top * 8), Float(left * 8), 512, 512]
        let input = UNetInput(
            sample: Tensor(planar: x + x, n: 2, c: 4, h: 32, w: 32), timesteps: [shown.timestep], text: text,
            textEmbeds: pooled, timeIDs: Tensor(ids + ids, shape: [2, 6]))
        let halves = try unet.forward(input, switches: switches).planarArray
        return x.indices.map { halves[$0] + guidance * (halves[x.count + $0] - halves[$0]) }
    }
}
