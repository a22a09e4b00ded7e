import Acceleration
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

@testable import Rendering

/// The extra needs of SDXL models. Native size 128 px.
@Suite struct SDXLTests {
    private static let model = Result { try ModelDescription(source: GoldenModels.sdxl()) }

    private func request(_ change: (inout RenderRequest) -> Void) -> RenderRequest {
        var request = RenderRequest()
        request.stages = []
        (request.width, request.height, request.prompt, request.steps) = (256, 256, "a fox", 4)
        change(&request)
        return request
    }

    /// The denoising tasks of every barrier.
    private func denoisingTasks(_ request: RenderRequest) throws -> [(phase: RenderPhase, works: [DenoiseWork])] {
        try FormulaNetwork.render(RenderMachine(request: request, model: Self.model.get())).barriers
            .map { ($0.phase, $0.tasks.compactMap(\.denoiseWork)) }.filter { !$0.works.isEmpty }
    }

    /// Structure patches stand for the whole picture; views carry their corner on the canvas that is padded by the jitter.
    @Test func timeIDsFollowThePhase() throws {
        let asked = request {
            ($0.width, $0.stride, $0.seed) = (384, 64, 3)
            $0.cropTopLeft = SizeConditioning.Corner(top: 5, left: 6)
        }
        let cut = try denoisingTasks(asked)
        #expect(cut.map(\.phase) == [.structure, .structure, .detail, .detail])
        for (_, works) in cut.prefix(2) { for work in works { #expect(work.timeIDs == [256, 384, 5, 6, 256, 384]) } }
        for (_, works) in cut.dropFirst(2) {
            #expect(works.count == 15)
            // Radius 2: corners lie where they belong plus 0 to 4 latents, in rows of five.
            for (index, work) in works.enumerated() {
                let ids = try #require(work.timeIDs)
                #expect([ids[0], ids[1], ids[4], ids[5]] == [256, 384, 256, 384])
                for (corner, place) in [(ids[2], index / 5), (ids[3], index % 5)] {
                    #expect(corner.truncatingRemainder(dividingBy: 8) == 0)
                    #expect((0...4).contains(Int(corner) / 8 - place * 8), "\(corner) of view \(index)")
                }
            }
            #expect(Set(works.map { $0.timeIDs ?? [] }).count == 15)
        }
        let direct = try denoisingTasks(
            request {
                $0.method = .direct
                $0.originalSize = SizeConditioning.Size(width: 640, height: 512)
                $0.targetSize = SizeConditioning.Size(width: 1024, height: 768)
            })
        for (_, works) in direct { #expect(works.map(\.timeIDs) == [[512, 640, 0, 0, 768, 1024]]) }
        // Sizes for the negative prompt come first, in guided calls.
        for (scale, negative) in [(Float(3), [64, 72, 1, 2, 80, 88]), (1, [Float]())] {
            let asked = request {
                ($0.method, $0.guidanceScale) = (.direct, scale)
                $0.negativeSizes = SizeConditioning(
                    originalSize: SizeConditioning.Size(width: 72, height: 64),
                    cropTopLeft: SizeConditioning.Corner(top: 1, left: 2),
                    targetSize: SizeConditioning.Size(width: 88, height: 80))
            }
            for (_, works) in try denoisingTasks(asked) {
                #expect(works.map(\.timeIDs) == [negative + [256, 256, 0, 0, 256, 256]])
            }
        }
    }

    /// Each phase's own scale decides whether it is guided; the contexts hold both prompts as soon as one is.
    @Test func theDetailPhaseHasItsOwnGuidance() throws {
        let model = try Self.model.get()
        for (structure, detail, rows) in [(Float(6), Float(1), 2), (1, 6, 2), (1, 0, 1), (5, 3, 2)] {
            let request = request {
                ($0.guidanceScale, $0.detailGuidanceScale, $0.negativePrompt) = (structure, detail, "blurry")
            }
            for (phase, works) in try denoisingTasks(request) {
                for work in works { #expect(work.guidance == (phase == .structure ? structure : detail)) }
            }
            var machine = try RenderMachine(request: request, model: model)
            let plan = machine.plan
            guard let work = machine.start().tasks[0].work as? EncodeWork else {
                Issue.record("a render begins with the prompts")
                continue
            }
            #expect(work.ids.count == 2 && work.ids.allSatisfy { $0.count == rows })
            let cut = try #require(plan.cut)
            let counts = (cut.structureEnd * cut.patches, (4 - cut.structureEnd) * cut.viewsPerCall)
            #expect(plan.evaluations == counts.0 * (structure > 1 ? 2 : 1) + counts.1 * (detail > 1 ? 2 : 1))
        }
    }

    /// A whole picture by CutDiffusion with HiDiffusion in one phase, through the wire forms, on the networks.
    @Test func aPictureIsMade() throws {
        let source = try GoldenModels.sdxl()
        let render = try LocalRender(source, threads: 1)
        let asked = request {
            ($0.width, $0.height, $0.patch, $0.stride, $0.steps) = (208, 208, 192, 96, 2)
            ($0.prompt, $0.detailGuidanceScale, $0.guidanceRescale) = ("a (fox:1.3) BREAK [in] snow", 1, 0.7)
        }
        let image = try render.image(asked)
        #expect(image.width == 208 && Set(image.rgb).count > 8)
        #expect(try LocalRender(source, threads: 2).image(asked, order: { (0..<$0).reversed() }).rgb == image.rgb)
        #expect(image.parameters.contains("CFG Rescale: 0.7") && image.parameters.contains("Detail CFG scale: 1"))
        #expect(image.details["model"]?["family"] == "sdxl" && image.details["plan"]?["hidiffusion_family"] == "sdxl")
    }

    /// A setting that is neither true nor false is refused.
    @Test func zerosAreForcedOrNot() throws {
        let source = try GoldenModels.sdxl(setting: ["model_index.json": ["force_zeros_for_empty_prompt": "yes"]])
        do {
            _ = try ModelDescription(source: source)
            Issue.record("a text was taken for a truth value")
        } catch { #expect(error.code == .badModel && error.message.contains("force_zeros_for_empty_prompt")) }
    }

    @Test func anEmptyNegativePromptIsZeros() throws {
        for (forces, negative, isZero) in [(true, "", true), (true, "dark", false), (false, "", false)] {
            let source = try GoldenModels.sdxl(setting: ["model_index.json": ["force_zeros_for_empty_prompt": .bool(forces)]])
            let model = try ModelDescription(source: source)
            let asked = request { ($0.guidanceScale, $0.negativePrompt) = (5, negative) }
            let text = try Conditioned(asked, model, TaskRunner(models: [source], backend: .auto, threads: 1)).text
            let (half, pooledHalf) = (text.values.count / 2, text.pooled.count / 2)
            #expect(text.rows == 2 && text.width == 40 && text.pooled.count == 48)
            #expect(text.values[..<half].allSatisfy { $0 == 0 } == isZero)
            #expect(text.pooled[..<pooledHalf].allSatisfy { $0 == 0 } == isZero)
            #expect(text.values[half...].contains { $0 != 0 } && text.pooled[pooledHalf...].contains { $0 != 0 })
        }
    }

    @Test func clipSkipOneIsTheModelsOwn() throws {
        let model = try Self.model.get()
        let own = try RenderMachine(request: request { _ in }, model: model).plan
        #expect(own.clipSkip == 2 && own.notes.isEmpty)
        let first = try RenderMachine(request: request { $0.clipSkip = 1 }, model: model).plan
        #expect(first.clipSkip == 2 && first.notes.contains { $0.contains("clip skip 1 means 2 here") })
        #expect(try RenderMachine(request: request { $0.clipSkip = 3 }, model: model).plan.clipSkip == 3)
    }

    @Test func theConfigurationsTellTheKind() throws {
        let turbo: [String: JSONValue] = [
            "_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing", "prediction_type": "epsilon",
        ]
        let edm: [String: JSONValue] = ["_class_name": "EDMDPMSolverMultistepScheduler"]
        let cases: [([String: JSONValue], Int, ModelKind, HiDiffusionProfile)] = [
            (GoldenModels.euler, 4, .sdxl, .sdxl), (GoldenModels.euler, 9, .sdxl, .sdxlInpainting),
            (turbo, 4, .sdxlTurbo, .sdxlTurbo), (edm, 4, .playground, .sdxlPlayground),
            (["_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"], 4, .sdxl, .sdxl),
        ]
        for (scheduler, channels, kind, profile) in cases {
            let model = try ModelDescription(
                source: GoldenModels.sdxl(
                    setting: [
                        GoldenModels.schedulerPath: scheduler, "unet/config.json": ["in_channels": .integer(Int64(channels))],
                    ], inputChannels: channels == 4 ? nil : channels))
            #expect(model.kind == kind && model.hiDiffusionProfile == profile && model.isInpainting == (channels == 9))
            let settings: (Int, Float) = kind == .sdxlTurbo ? (4, 1) : kind == .playground ? (25, 3) : (25, 7)
            #expect((model.recommended.steps, model.recommended.guidanceScale) == settings)
        }
        for (name, kind) in [("tiny-sd15", ModelKind.sd1), ("tiny-sd21", .sd2)] {
            let model = try ModelDescription(source: GoldenModels.source(name))
            #expect(model.kind == kind && model.hiDiffusionProfile == .sd15 && model.recommended == RecommendedSettings())
        }
        let distilled = try ModelDescription(
            source: GoldenModels.source(
                "tiny-sd21",
                setting: [
                    GoldenModels.schedulerPath: [
                        "_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing", "prediction_type": "epsilon",
                    ]
                ]))
        #expect(distilled.kind == .sd2Turbo && distilled.recommended.steps == 4 && distilled.hiDiffusionProfile == .sd15)
    }

    @Test func theRecipeCanBeChosen() throws {
        let model = try Self.model.get()
        let asked = request { ($0.method, $0.hiDiffusionProfile) = (.direct, .sdxlPlayground) }
        let plan = try RenderMachine(request: asked, model: model).plan
        #expect(plan.hiDiffusionProfile == .sdxlPlayground && plan.summaryLines.contains("HiDiffusion on (sdxl_playground)"))
        // Playground's profile has no dilated convolution at the first step.
        let works = try denoisingTasks(asked).map { $0.works[0].switches }
        #expect(works[0].pool && !works[0].rad && works.allSatisfy { $0.windowShifts?.count == 10 })
        let wrong = refusal { _ = try RenderMachine(request: self.request { $0.hiDiffusionProfile = .sd15 }, model: model) }
        #expect(wrong?.code == .invalidRequest && wrong?.message.contains("--hidiffusion-family auto") == true)
    }

    @Test func partsThatDoNotFitAreRefused() throws {
        let cases: [(part: String, path: String, members: [String: JSONValue])] = [
            ("text encoders give", "text_encoder_2/config.json", ["hidden_size": 30]),
            ("pooled text of width 24", "text_encoder_2/config.json", ["projection_dim": 20]),
            ("gives none", "text_encoder_2/config.json", ["architectures": ["CLIPTextModel"]]),
            ("different numbers of tokens", "text_encoder_2/config.json", ["max_position_embeddings": 70]),
            ("the tokenizer_2 knows", "text_encoder_2/config.json", ["vocab_size": 100]),
        ]
        for (part, path, members) in cases {
            let error = refusal { _ = try ModelDescription(source: GoldenModels.sdxl(setting: [path: members])) }
            #expect(error?.code == .badModel && error?.isSentence == true, "\(part): \(String(describing: error))")
            #expect(error?.message.contains(part) == true, "\(part): \(error?.message ?? "accepted")")
        }
    }
}

/// The conditioning that the networks make of a request's prompts.
struct Conditioned {
    let text: JobContext.Conditioning

    init(_ request: RenderRequest, _ model: ModelDescription, _ runner: TaskRunner) throws {
        var machine = try RenderMachine(request: request, model: model)
        let barrier = machine.start()
        try runner.open(barrier.context)
        guard case .barrier(let next) = try machine.complete(barrier.tasks.map { try runner.run($0) }) else {
            throw RenderError(.malformed, "The render ended with the prompts.")
        }
        text = try #require(next.context.conditioning)
    }
}
