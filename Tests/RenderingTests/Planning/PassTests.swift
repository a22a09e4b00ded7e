import Acceleration
import DiffusionModels
import ImageConditioning
import PatchGeometry
import RandomStreams
import Resampling
import Samplers
import Sentences
import TestSupport
import Testing
import Weights

@testable import Rendering

/// Renders of several passes, and MultiDiffusion, against the plain loop.
@Suite struct PassTests {
    /// A request from the program's own defaults, stages among them.
    private func request(_ change: (inout RenderRequest) -> Void) -> RenderRequest {
        var request = RenderRequest()
        change(&request)
        return request
    }

    private func square(_ side: Int, steps: Int, _ change: (inout RenderRequest) -> Void) -> RenderRequest {
        request {
            ($0.width, $0.height, $0.steps) = (side, side, steps)
            change(&$0)
        }
    }

    private func machine(_ request: RenderRequest) throws -> RenderMachine {
        try RenderMachine(request: request, model: try ModelVariant.embedded.get())
    }

    private func refusal(_ change: (inout RenderRequest) -> Void) -> String? {
        do {
            _ = try machine(request(change))
            return nil
        } catch { return (error as? RenderError)?.message }
    }

    // MARK: Plans

    @Test func hiresBeginsAtTheNativeSize() throws {
        let plan = try machine(request { ($0.method, $0.steps) = (.hires, 10) }).plan
        #expect(plan.passes.map(\.latentWidth) == [16, 64] && plan.passes.map(\.latentHeight) == [16, 64])
        #expect(plan.passes[0].start == .noise && plan.passes.allSatisfy { $0.cut == nil })
        #expect(plan.passes[1].start == .enlarged(.lanczos, strength: 0.5))
        #expect(plan.passes[1].firstCall == 5 && plan.evaluations == 2 * (10 + 5))
        #expect(plan.tasksPerPhase.map(\.phase) == [.encode, .denoise, .decode, .picture, .denoise, .decode])
        // HiDiffusion is off, as people know the method, unless it is asked for.
        #expect(plan.hiDiffusionProfile == nil)
        #expect(try machine(request { ($0.method, $0.hiDiffusion) = (.hires, .on) }).plan.hiDiffusionInDetail)
    }

    @Test func stagesKeepTheAspect() throws {
        let plan = try machine(
            request {
                ($0.width, $0.height, $0.method, $0.steps) = (512, 128, .cut, 10)
                ($0.stages, $0.refinement.upscaler, $0.refinement.strength) = ([1, 1.5], .latentBicubic, 0.6)
            }
        ).plan
        #expect(plan.passes.map { [$0.latentHeight, $0.latentWidth] } == [[8, 32], [12, 48], [16, 64]])
        // A stage about as large as a patch is made at once. Later stages are cut.
        #expect(plan.passes.map { $0.cut == nil } == [true, false, false])
        #expect(plan.passes[1].firstCall == 4 && plan.passes[1].structureCalls == 0)
        #expect(plan.totalTasks == plan.tasksPerPhase.reduce(0) { $0 + $1.tasks })
    }

    @Test func laterStagesMayHaveStepsOfTheirOwn() throws {
        let plan = try machine(
            request { ($0.method, $0.steps, $0.refinement.steps, $0.refinement.strength) = (.hires, 10, 20, 0.25) }
        ).plan
        #expect(plan.passes[0].calls == 10 && plan.passes[1].calls == 20 && plan.passes[1].firstCall == 15)
    }

    @Test func multiDiffusionHasViewsOnly() throws {
        let plan = try machine(request { ($0.method, $0.steps) = (.multidiffusion, 4) }).plan
        #expect(plan.tasksPerPhase.map(\.phase) == [.encode, .detail, .decode])
        #expect(plan.tasksPerPhase[1].tasks == 4 * 49 && plan.cut?.structureEnd == 0)
    }

    @Test func aWholeStructurePhaseHasOneTaskAStep() throws {
        let plan = try machine(request { ($0.method, $0.structure, $0.steps) = (.cut, .whole, 10) }).plan
        #expect(plan.cut?.patches == 1 && plan.cut?.patchWidth == 64)
        #expect(plan.hiDiffusionInStructure && !plan.hiDiffusionInDetail)
        #expect(plan.tasksPerPhase.map(\.tasks) == [1, 4, 6 * 49, 1])
    }

    @Test func theSettingOfTheCureIsNotAtFault() {
        let asked = request { ($0.method, $0.stride, $0.structure) = (.direct, 64, .whole) }
        let error = #expect(throws: RenderError.self) { try machine(asked) }
        #expect(error?.faults.map(\.setting) == [.stride, .structure])
    }

    @Test func whatAMethodWouldIgnoreIsRefused() throws {
        let picture = try SourcePicture(width: 512, height: 512, rgb: [UInt8](repeating: 7, count: 512 * 512 * 3))
        let cases: [(part: String, change: (inout RenderRequest) -> Void)] = [
            (
                "This picture is rendered directly, in one stage: leave out --stages, or choose --method hires.",
                { ($0.method, $0.stages) = (.direct, [1]) }
            ),
            (
                "rendered by the method multidiffusion, in one stage: leave out --denoising-strength, or choose",
                { ($0.method, $0.refinement.strength) = (.multidiffusion, 0.5) }
            ),
            (
                "leave out --structure-fraction, or choose --method cut",
                { ($0.method, $0.structureFraction) = (.hires, .half) }
            ),
            ("leave out --structure, or choose --method cut", { ($0.method, $0.structure) = (.multidiffusion, .whole) }),
            (
                "rendered directly, without patches and views: leave out --detail-cfg-scale, --stride and --structure, or",
                { ($0.method, $0.stride, $0.structure, $0.detailGuidanceScale) = (.direct, 64, .whole, 2) }
            ),
            (
                "The stages of this picture have no views: leave out --stride, or choose --hires-tiled.",
                { ($0.method, $0.stride) = (.hires, 64) }
            ),
            ("have no views", { ($0.method, $0.stride, $0.refinement.tiled) = (.hires, 64, false) }),
            ("leave out --hires-tiled, or choose --method hires", { ($0.method, $0.refinement.tiled) = (.cut, true) }),
            ("leave out --hires-tiled, or choose --method hires", { ($0.method, $0.refinement.tiled) = (.direct, true) }),
            (
                "made in one stage: leave out --denoising-strength, or choose --stages.",
                { ($0.method, $0.stages, $0.refinement.strength) = (.cut, [], 0.5) }
            ),
            ("need more than one stage", { ($0.method, $0.stages, $0.refinement.strength) = (.cut, nil, 0.5) }),
            ("needs a smaller stage", { ($0.method, $0.stages) = (.hires, []) }),
            ("up to the picture of 512×512 px", { ($0.method, $0.stages) = (.hires, [1, 4]) }),
            ("up to the picture of 512×512 px", { ($0.method, $0.stages) = (.cut, [1, 3.999]) }),
            ("up to the picture of 512×512 px", { ($0.method, $0.stages) = (.cut, [1, 1.01]) }),
            ("up to the picture of 64×64 px", { ($0.method, $0.width, $0.height) = (.hires, 64, 64) }),
            (
                "would be narrower than 64 px",
                { ($0.method, $0.width, $0.height, $0.stages) = (.cut, 1024, 64, [1]) }
            ),
            ("would have no effect", { ($0.width, $0.height, $0.hiDiffusionSettings.t1) = (128, 128, 0.3) }),
            ("would have no effect", { ($0.hiDiffusion, $0.hiDiffusionSettings.raunet) = (.off, false) }),
            ("profile sd15 would have no effect", { ($0.hiDiffusion, $0.hiDiffusionProfile) = (.off, .sd15) }),
            (
                "aggressive has no effect in profiles other than sdxl",
                { ($0.method, $0.hiDiffusionSettings.aggressive) = (.direct, 0.3) }
            ),
            (
                "T1 has no effect while RAU-Net is off",
                { ($0.method, $0.hiDiffusionSettings.raunet, $0.hiDiffusionSettings.t1) = (.direct, false, 0.3) }
            ),
            ("--strength", { ($0.method, $0.source, $0.refinement.strength) = (.cut, picture, 0.5) }),
            (
                "At this strength no step has enough noise for the structure phase",
                { ($0.method, $0.source, $0.strength, $0.structure) = (.cut, picture, 0.3, .whole) }
            ),
            ("rising multiples", { ($0.method, $0.stages) = (.cut, [2, 1]) }),
            ("rising multiples", { ($0.method, $0.stages) = (.cut, [0.5]) }),
            ("denoising strength of 0.0", { ($0.method, $0.refinement.strength) = (.hires, 0) }),
            ("strength of 0.01", { ($0.method, $0.refinement.strength) = (.hires, 0.01) }),
            ("1001 hires steps", { ($0.method, $0.refinement.steps) = (.hires, 1001) }),
            ("cannot start from a picture", { ($0.method, $0.source) = (.hires, picture) }),
            ("cannot start from a picture", { ($0.method, $0.stages, $0.source) = (.cut, [1], picture) }),
            ("A jitter of 40 px would leave gaps", { ($0.method, $0.jitter) = (.cut, 40) }),
            ("jitter of 12 px", { ($0.method, $0.jitter) = (.cut, 12) }),
            (
                "nothing is left of HiDiffusion",
                { ($0.hiDiffusionSettings.raunet, $0.hiDiffusionSettings.windows) = (false, false) }
            ),
            ("T1 threshold of 1.5", { $0.hiDiffusionSettings.t1 = 1.5 }),
        ]
        for (part, change) in cases {
            #expect(refusal(change)?.contains(part) == true, "\(part): \(refusal(change) ?? "taken")")
        }
    }

    /// SDXL's profile reads other thresholds below four times the native size than from this size on. A request may set a
    /// published value.
    @Test func thresholdsThatNoCallReadsAreRefused() throws {
        let model = try ModelDescription(source: GoldenModels.sdxl())
        func refusal(_ side: Int, _ change: (inout HiDiffusionSettings) -> Void) -> String? {
            var request = RenderRequest()
            (request.width, request.height, request.method, request.steps) = (side, side, .direct, 10)
            request.hiDiffusionProfile = .sdxl
            change(&request.hiDiffusionSettings)
            do {
                _ = try RenderMachine(request: request, model: model)
                return nil
            } catch { return error.message }
        }
        let (small, large) = (2 * model.nativeSize, 4 * model.nativeSize)
        #expect(refusal(small) { $0.t2 = 0.3 }?.contains("unless --hidiffusion-aggressive is 0") == true)
        #expect(refusal(small) { ($0.t2, $0.aggressive) = (0.3, 0) } == nil)
        #expect(refusal(small) { ($0.t1, $0.aggressive) = (0.4, 0.16) } == nil)
        // The aggressive shares 0 and 1 give the same switches here. The published share gives others, so the setting counts.
        #expect(refusal(small) { ($0.t1, $0.t2, $0.aggressive) = (0, 1, 0) } == nil)
        #expect(refusal(small) { ($0.t1, $0.aggressive) = (0.4, 1) }?.contains("other thresholds") == true)
        #expect(refusal(large) { $0.aggressive = 0.2 }?.contains("four times the native size") == true)
        #expect(refusal(large) { ($0.t1, $0.t2) = (0.7, 0.3) } == nil)
    }

    @Test func oddMapsInWindowsAreNoted() throws {
        func notes(_ side: Int, _ windows: Bool = true) throws -> [String] {
            try machine(
                request {
                    ($0.width, $0.height, $0.method) = (side, 256, .direct)
                    $0.hiDiffusionSettings.windows = windows
                }
            ).plan.notes
        }
        #expect(try notes(264).contains { $0.contains("multiples of 16 px") })
        #expect(try notes(256) == [] && notes(264, false) == [])
        // SDXL's windows lie behind the pooling too.
        let model = try ModelDescription(source: .withoutWeights(.stableDiffusionXL))
        func odd(_ side: Int) throws -> Bool {
            var request = RenderRequest()
            (request.width, request.height, request.method, request.hiDiffusion) = (side, side, .direct, .on)
            request.hiDiffusionProfile = .sdxl
            return try RenderMachine(request: request, model: model).plan.notes.contains { $0.contains("multiples of 64 px") }
        }
        #expect(try odd(2080) && odd(1552) && !odd(2048))
    }

    @Test func upscalersHaveA1111sNamesToo() {
        for (name, upscaler) in [
            ("Lanczos", Upscaler.lanczos), ("latent", .latent), ("Latent (bicubic)", .latentBicubic),
            ("latent-nearest", .latentNearest), ("Latent (nearest-exact)", .latentNearest),
        ] { #expect(Upscaler(named: name) == upscaler, "\(name)") }
        #expect(Upscaler(named: "ESRGAN_4x") == nil)
    }

    @Test func autoMakesPicturesInStages() throws {
        func sides(_ change: (inout RenderRequest) -> Void) throws -> [Int] {
            try machine(request(change)).plan.passes.map(\.latentWidth)
        }
        let plan = try machine(request { $0.steps = 20 }).plan
        #expect(plan.method == .cut && plan.passes.map(\.latentWidth) == [16, 32, 64])
        #expect(plan.passes.map(\.firstCall) == [0, 13, 13] && plan.passes.map(\.structureCalls) == [0, 0, 0])
        // Views refine without guidance, so they are evaluated once and not twice.
        #expect(plan.detailGuidanceScale == 1 && plan.evaluations == 2 * 20 + 7 * 9 + 7 * 49)
        #expect(try sides { ($0.width, $0.height) = (256, 256) } == [16, 32])
        #expect(try sides { ($0.width, $0.height) = (192, 192) } == [16, 24])
        #expect(try sides { ($0.width, $0.height) = (152, 152) } == [16, 19])
        // A picture of about the native area is made at once, in any shape, and never as two patches.
        for (width, height) in [(144, 136), (136, 128), (176, 112), (256, 80)] {
            let near = try machine(request { ($0.width, $0.height) = (width, height) }).plan
            #expect(near.method == .direct && near.passes.count == 1 && near.cut == nil)
        }
        // No stage is narrower than the networks take, and none is stretched.
        #expect(try sides { ($0.width, $0.height) = (1024, 64) } == [128])
        #expect(try sides { ($0.width, $0.height) = (1024, 128) } == [91, 128])
        #expect(try sides { ($0.width, $0.height) = (1024, 1024) } == [16, 32, 64, 128])
        // A request that names the method or its structure phase gets CutDiffusion as published, at once.
        #expect(try sides { $0.method = .cut } == [64])
        #expect(try sides { $0.structureFraction = .half } == [64])
        #expect(try sides { $0.stages = [] } == [64])
        #expect(try machine(request { $0.method = .cut }).plan.detailGuidanceScale == 5)
        #expect(plan.passes.dropFirst().allSatisfy { $0.cut?.jitter == 0 && $0.blending == .feather })
        // With any number of steps a stage has at least one at the chosen strength: it refines and does not begin anew.
        for steps in 1...3 {
            let passes = try machine(request { $0.steps = steps }).plan.passes
            #expect(passes[0].schedule.count == steps)
            for pass in passes.dropFirst() {
                #expect(pass.schedule.count == 1 && pass.calls == 3 && pass.start == .enlarged(.lanczos, strength: 0.35))
            }
        }
        // A first stage of views is no refinement.
        let drafted = try machine(request { ($0.method, $0.stages) = (.cut, [2]) }).plan.passes
        #expect(drafted.map(\.detailGuidanceScale) == [5, 1] && drafted.map(\.blending) == [.uniform, .feather])
        #expect(drafted.map { $0.cut?.jitter } == [2, 0])
    }

    @Test func aStructurePhaseThatNoStageHasIsRefused() {
        #expect(
            refusal { ($0.method, $0.stages, $0.structureFraction) = (.cut, [1, 2], .half) }?.contains(
                "At this strength no step has enough noise for the structure phase") == true)
        #expect(
            refusal {
                ($0.method, $0.stages, $0.structureFraction, $0.refinement.strength) = (.cut, [1, 2], .half, 0.7)
            } == nil)
    }

    // MARK: Runs

    private func sampler(_ steps: Int) throws -> Sampler {
        try Sampler(ModelVariant.embedded.get().scheduler, steps: steps)
    }

    @Test(arguments: [Upscaler.latent, .latentBicubic, .latentNearest])
    func latentHiresIsTwoLoops(_ upscaler: Upscaler) throws {
        let request = square(256, steps: 5) {
            ($0.method, $0.refinement.upscaler, $0.refinement.strength, $0.seed) = (.hires, upscaler, 0.6, 4)
        }
        var plain = PlainRender(sampler: try sampler(5), seed: 4)
        let small = try plain.pass(height: 16, width: 16)
        let kernel = try #require(upscaler.kernel)
        let large = LatentResizer.resized(small, size: (16, 16), to: (32, 32), kernel)
        let (barriers, _) = try FormulaNetwork.render(try machine(request))
        let final = try #require(barriers.last?.decoded)
        #expect(try final.values == plain.pass(height: 32, width: 32, from: large, first: 2))
        #expect(barriers.count == 1 + 5 + 3 + 1)
    }

    @Test func picturesAreEnlargedAsPixels() throws {
        let request = square(256, steps: 4) { ($0.method, $0.refinement.strength, $0.seed) = (.hires, 0.5, 9) }
        let (barriers, image) = try FormulaNetwork.render(try machine(request))
        #expect(
            barriers.map(\.phase) == [.encode] + [RenderPhase](repeating: .denoise, count: 4) + [.decode, .picture]
                + [RenderPhase](repeating: .denoise, count: 2) + [.decode])
        // The picture that is encoded is the decoded one, enlarged.
        let small = try FormulaNetwork.run(barriers[5].tasks[0])
        guard let work = barriers[6].tasks[0].work as? PictureWork else {
            Issue.record("a small picture is decoded and a large one encoded")
            return
        }
        #expect(small.shape == .pixels(width: 128, height: 128) && (work.width, work.height) == (256, 256))
        #expect(work.rgb == ImageResizer.lanczos(small.rgb, channels: 3, size: (128, 128), to: (256, 256)))
        #expect(image.width == 256 && image.parameters.contains("Hires upscaler: Lanczos"))
        // And the second pass begins with the encoder's result for this picture.
        let model = try ModelVariant.embedded.get()
        let moments = try FormulaNetwork.moments(barriers[6].tasks[0])
        let latent = model.vae.samplerLatent(
            Array(moments.values[..<(moments.values.count / 2)]), height: 32, width: 32)
        var generator = TorchCPUGenerator(seed: 9)
        _ = generator.normals(count: 4 * 256)
        let sampler = try sampler(4)
        let start = sampler.addNoise(to: latent, noise: generator.normals(count: 4 * 1024), call: 2)
        #expect(try FormulaNetwork.latent(barriers[7].tasks[0]).values == sampler.scaleInput(start, call: 2))
    }

    @Test func multiDiffusionIsViewsOfOneNoise() throws {
        let request = square(256, steps: 3) {
            ($0.method, $0.seed, $0.blending, $0.jitter) = (.multidiffusion, 3, .feather, 8)
        }
        var plain = PlainRender(sampler: try sampler(3), seed: 3)
        let canvas = try plain.pass(
            height: 32, width: 32,
            cut: PlainRender.Cut(height: 32, width: 32, jitter: 1, blending: .feather, structureCalls: 0))
        let (barriers, _) = try FormulaNetwork.render(try machine(request))
        #expect(try #require(barriers.last?.decoded).values == canvas)
    }

    /// No two passes may show the network the same permutations, views, windows and destinations: each has draws of its own.
    @Test func everyPassDrawsForItself() throws {
        let request = square(512, steps: 4) {
            ($0.method, $0.stages, $0.refinement.upscaler, $0.refinement.strength) = (.cut, [2, 3], .latent, 1)
            ($0.patch, $0.jitter, $0.seed) = (192, 16, 5)
            $0.tokenReduction = TokenReductionRequest()
            $0.tokenReduction?.merging = TokenReductionRequest.Merging(ratio: 0.5)
            $0.tokenReduction?.merging?.destinations = .random
        }
        let machine = try machine(request)
        #expect(machine.plan.passes.flatMap(\.schedule).map(\.draw) == Array(0..<12))
        let (barriers, _) = try FormulaNetwork.render(machine)
        let tasks = barriers.dropFirst().dropLast().map { $0.tasks[0] }
        #expect(tasks.map(\.call) == Array(0..<12))
        let plans = tasks.compactMap { $0.denoiseWork?.switches }
        #expect(Set(plans.map(\.tokens.call)).count == 12)
        // Five ids of four each: equal ones of two calls would be one in a thousand.
        for call in 0..<4 { #expect(Set([call, call + 4, call + 8].map { plans[$0].windowShifts }).count == 3) }
        // Views of the same call in two passes have moved differently; corners travel with the token plan.
        func corners(_ barrier: Barrier) -> [[Int]] {
            barrier.tasks.compactMap { $0.denoiseWork?.switches.tokens }.map { [$0.originRow, $0.originColumn] }
        }
        let detail = barriers.filter { $0.phase == .detail }
        #expect(detail.count == 6 && Set(detail.map(corners)).count == 6)
    }

    /// SDXL is told the size of the canvas that it sees, not that of the finished picture.
    @Test func sizesAreThoseOfTheStage() throws {
        var request = request { ($0.method, $0.width, $0.height, $0.steps) = (.hires, 256, 192, 2) }
        func ids(_ request: RenderRequest) throws -> [[Float]] {
            let machine = try RenderMachine(request: request, model: ModelDescription(source: GoldenModels.sdxl()))
            return try FormulaNetwork.render(machine).barriers.flatMap(\.tasks).compactMap { $0.denoiseWork?.timeIDs }
        }
        let plan = try RenderMachine(request: request, model: ModelDescription(source: GoldenModels.sdxl())).plan
        let small = (Float(plan.passes[0].latentHeight * 8), Float(plan.passes[0].latentWidth * 8))
        #expect(small.0 < 192)
        let large: [Float] = [192, 256, 0, 0, 192, 256]
        #expect(
            try ids(request) == [
                [small.0, small.1, 0, 0, small.0, small.1], [small.0, small.1, 0, 0, small.0, small.1], large,
            ])
        request.originalSize = SizeConditioning.Size(width: 100, height: 50)
        #expect(try ids(request).allSatisfy { $0[0] == 50 && $0[1] == 100 })
    }

    /// A pass that fails leaves the machine where it was.
    @Test func whatCannotBeEnlargedChangesNothing() throws {
        let request = square(256, steps: 2) { ($0.method, $0.refinement.strength) = (.hires, 0.5) }
        var machine = try machine(request)
        var barrier = machine.start()
        while barrier.phase != .decode { barrier = try next(&machine, barrier) }
        for wrong in [TaskOutput.pixels(width: 256, height: 256, rgb: [UInt8](repeating: 0, count: 256 * 256 * 3))] {
            #expect(throws: RenderError.self) { _ = try machine.complete([wrong]) }
        }
        let after = try next(&machine, barrier)
        #expect(after.phase == .picture)
    }

    private func next(_ machine: inout RenderMachine, _ barrier: Barrier) throws -> Barrier {
        guard case .barrier(let next) = try machine.complete(try barrier.tasks.map(FormulaNetwork.run)) else {
            throw RenderError(.malformed, "The render is finished.")
        }
        return next
    }

    // MARK: HiDiffusion's settings

    @Test func hiDiffusionsHalvesAndThresholdsReachTheCalls() throws {
        func plans(_ change: @escaping (inout RenderRequest) -> Void) throws -> [SwitchesOfCall] {
            let request = square(256, steps: 10) {
                $0.method = .direct
                change(&$0)
            }
            let (barriers, _) = try FormulaNetwork.render(try machine(request))
            return barriers.compactMap { $0.tasks[0].denoiseWork }.map {
                SwitchesOfCall(rad: $0.switches.rad, pool: $0.switches.pool, windows: $0.switches.windowShifts != nil)
            }
        }
        func rads(_ plans: [SwitchesOfCall]) -> Int { plans.filter(\.rad).count }
        #expect(try rads(plans { _ in }) == 4 && plans { _ in }.allSatisfy(\.windows))
        #expect(try rads(plans { $0.hiDiffusionSettings.t1 = 0.7 }) == 7)
        #expect(try plans { $0.hiDiffusionSettings.t2 = 0.3 }.filter(\.pool).count == 3)
        #expect(try rads(plans { $0.hiDiffusionSettings.raunet = false }) == 0)
        #expect(try plans { $0.hiDiffusionSettings.windows = false }.allSatisfy { !$0.windows })
        // Four times the native size has the family's profile for very large pictures.
        #expect(try rads(plans { ($0.width, $0.height) = (512, 512) }) == 7)
    }

    private struct SwitchesOfCall {
        var rad: Bool
        var pool: Bool
        var windows: Bool
    }
}
