import PatchGeometry
import Rendering
import Samplers
import StrictJSON
import TensorCore
import TestSupport
import Testing

@Suite struct PlanTests {
    private func plan(_ request: RenderRequest) throws -> RenderPlan {
        try RenderMachine(request: request, model: try #require(MachineTests.model)).plan
    }

    private func refusal(_ request: RenderRequest) -> RenderError? { renderError { _ = try plan(request) } }

    @Test func autoIsDirectUpToTheNativeSize() throws {
        #expect(try plan(.square(128)).method == .direct)
        #expect(try plan(.square(64)).method == .direct)
        #expect(try plan(.square(136)).method == .direct)
        #expect(try plan(.square(152)).method == .cut)
        #expect(try plan(.square(128) { $0.width = 256 }).method == .cut)
        #expect(try plan(.square(256) { $0.method = .direct }).method == .direct)
    }

    @Test func patchesAreNativeAndStridesHalf() throws {
        let cut = try #require(try plan(.square(512, steps: 25)).cut)
        #expect((cut.gridRows, cut.gridColumns, cut.patchHeight, cut.patchWidth) == (4, 4, 16, 16))
        #expect((cut.viewHeight, cut.viewWidth, cut.stride, cut.viewsPerCall) == (16, 16, 8, 49))
        #expect(cut.structureEnd == 10, "0.4 of 25, the embedded model's recommendation")
        let own = try #require(
            try plan(
                .square(512, steps: 25) { ($0.patch, $0.stride, $0.structureFraction) = (256, 64, StructureFraction("0.3")) }
            ).cut)
        #expect((own.gridRows, own.patchWidth, own.stride, own.structureEnd) == (2, 32, 8, 8))
    }

    @Test func otherSizesAreSaidToBeAnExtension() throws {
        #expect(try plan(.square(256)).notes.isEmpty)
        let said = try plan(.square(200)).notes
        #expect(said.contains { $0.hasPrefix("the size is no multiple of the patch") && $0.hasSuffix("extends CutDiffusion") })
    }

    @Test func hiDiffusionIsOnWhereTheInputIsLargeEnough() throws {
        #expect(try !plan(.square(256)).hiDiffusionInStructure)
        #expect(try plan(.square(256) { $0.method = .direct }).hiDiffusionInStructure)
        #expect(try !plan(.square(184) { $0.method = .direct }).hiDiffusionInStructure)
        #expect(try plan(.square(192) { $0.method = .direct }).hiDiffusionInStructure)
        #expect(try !plan(.square(256) { ($0.method, $0.height) = (.direct, 128) }).hiDiffusionInStructure)
        #expect(try !plan(.square(256) { ($0.method, $0.hiDiffusion) = (.direct, .off) }).hiDiffusionInStructure)
        #expect(refusal(.square(128) { $0.hiDiffusion = .on })?.message.contains("HiDiffusion") == true)
        #expect(refusal(.square(512) { $0.hiDiffusion = .on })?.message.contains("patch") == true)
        #expect(refusal(.square(512) { ($0.hiDiffusion, $0.patch) = (.on, 256) }) == nil)
    }

    /// A stage with too many pixels for one message to the encoder enlarges the latent instead, and the plan says so.
    @Test func largeStagesEnlargeTheLatent() throws {
        let model = try ModelDescription(source: .embeddedModel)
        func plan(_ side: Int, _ change: (inout RenderRequest) -> Void = { _ in }) throws -> RenderPlan {
            var request = RenderRequest()
            (request.prompt, request.width, request.height) = ("an apple", side, side)
            change(&request)
            return try RenderMachine(request: request, model: model).plan
        }
        let large = try plan(16_384)
        let upscalers = large.passes.compactMap { pass -> Upscaler? in
            guard case .enlarged(let upscaler, _) = pass.start else { return nil }
            return upscaler
        }
        #expect(upscalers == [Upscaler](repeating: .lanczos, count: 5) + [.latentBicubic, .latentBicubic])
        #expect(large.notes.filter { $0.contains("too many for the encoder") }.count == 2)
        #expect(try !plan(4096).notes.contains { $0.contains("encoder") })
        let chosen = try plan(8192) { $0.refinement.upscaler = .latentBicubic }
        #expect(!chosen.notes.contains { $0.contains("encoder") })
        let error = #expect(throws: RenderError.self) {
            try plan(8192) { $0.refinement.upscaler = .lanczos }
        }
        #expect(error?.message.contains("A stage of 8192×8192 px that is enlarged as a picture has 192 MiB") == true)
    }

    @Test func whatTheMethodCannotDoIsOneSentence() {
        let wrong: [(RenderRequest, String)] = [
            (.square(128) { $0.patch = 64 }, "--patch"), (.square(256) { ($0.method, $0.stride) = (.direct, 64) }, "stride"),
            (.square(256) { $0.patch = 512 }, "patch"), (.square(256) { $0.stride = 136 }, "stride"),
            (.square(256, steps: 1), "steps"),
            (.square(256, steps: 2) { $0.structureFraction = StructureFraction("0.9") }, "fraction"),
            (.square(256) { ($0.samplingMethod, $0.eta) = (.euler, 0.5) }, "eta"),
            (.square(4096) { ($0.patch, $0.stride) = (64, 8) }, "patches"), (.square(8192) { $0.vaeTileSize = 8192 }, "MiB"),
        ]
        for (request, word) in wrong {
            let error = refusal(request)
            #expect(
                error?.code == .invalidRequest && error?.message.contains(word) == true, "\(word): \(error?.message ?? "none")")
            #expect(error?.message.hasSuffix(".") == true && error?.message.contains("\n") == false)
        }
    }

    @Test func settingsOutOfRangeAreNamed() {
        let wrong: [(RenderRequest, String)] = [
            (.square(56), "56"), (.square(16392), "16392"), (.square(100), "8"), (.square(128) { $0.width = -8 }, "width"),
            (.square(128, steps: 0), "steps"), (.square(128, steps: 100_000), "steps"),
            (.square(128) { $0.guidanceScale = -1 }, "guidance"),
            (.square(128) { $0.guidanceScale = .nan }, "guidance"), (.square(128) { $0.guidanceScale = 51 }, "guidance"),
            (.square(128) { $0.eta = 1.5 }, "eta"), (.square(128) { $0.eta = .nan }, "eta"),
            (.square(256) { $0.patch = 60 }, "patch"),
            (.square(256) { $0.patch = 100 }, "patch"), (.square(256) { $0.stride = 0 }, "stride"),
            (.square(256) { ($0.patch, $0.stride) = (64, 72) }, "stride"),
            (.square(128) { $0.prompt = String(repeating: "x", count: 100_000) }, "prompt"),
        ]
        for (request, word) in wrong {
            let error = renderError { try request.validated() }
            #expect(
                error?.code == .invalidRequest && error?.message.contains(word) == true, "\(word): \(error?.message ?? "none")")
        }
        #expect(renderError { try RenderRequest.square(16384).validated() } == nil)
    }

    @Test func requestsSurviveJSON() throws {
        var request = RenderRequest.square(512)
        #expect(try RenderRequest(metadata: request.json) == request)
        (request.patch, request.stride, request.structureFraction) = (128, 64, StructureFraction("0.37"))
        (request.seed, request.samplingMethod, request.eta) = (.max, .euler, 0.25)
        (request.method, request.hiDiffusion, request.negativePrompt) = (.cut, .off, "blurry \"ünï\"\n")
        request.guidanceScale = 7.5
        let bytes = request.json.canonicalBytes()
        #expect(try RenderRequest(metadata: JSONValue(parsing: bytes, limits: .wire)) == request)
        for (key, value) in [
            ("width", "wide" as JSONValue), ("seed", -1), ("unknown", 1), ("method", "magic"), ("eta", "much"),
        ] {
            var object = try #require(request.json.objectValue)
            object[key] = value
            #expect(renderError { _ = try RenderRequest(metadata: .object(object)) }?.code == .invalidRequest, "\(key)")
        }
        #expect(renderError { _ = try RenderRequest(metadata: .array([])) }?.code == .invalidRequest)
    }

    /// A precision that was asked for is in the plan for people and for programs, and in the picture. `auto` promises nothing.
    @Test(arguments: PrecisionChoice.allCases)
    func thePrecisionIsInPlanAndPicture(precision: PrecisionChoice) throws {
        let request = RenderRequest.square(128, steps: 2) { ($0.prompt, $0.precision) = ("a fox", precision) }
        let machine = try RenderMachine(request: request, model: try #require(MachineTests.model))
        #expect(machine.plan.precision == precision)
        #expect(machine.plan.json["precision"]?.stringValue == precision.rawValue)
        #expect(
            machine.plan.summaryLines.filter { $0.hasPrefix("networks in") }
                == (precision == .auto ? [] : ["networks in \(precision)"]))
        let image = try FormulaNetwork.render(machine).image
        #expect(image.parameters.contains("Precision: \(precision)") == (precision != .auto))
        #expect(image.details["plan"]?["precision"]?.stringValue == precision.rawValue)
        #expect(image.details["request"]?["precision"]?.stringValue == (precision == .auto ? nil : precision.rawValue))
    }

    /// The last line must have the pairs that A1111's reader looks for, and commas in values must not break it.
    @Test func parametersAreInfotext() throws {
        let machine = try RenderMachine(
            request: .square(256, steps: 4) { ($0.prompt, $0.negativePrompt, $0.seed) = ("a fox, a cat", "blurry", 9) },
            model: try #require(MachineTests.model))
        let image = try FormulaNetwork.render(machine).image
        let lines = image.parameters.split(separator: "\n").map(String.init)
        #expect(lines.count == 3 && lines[0] == "a fox, a cat" && lines[1] == "Negative prompt: blurry")
        let start = "Steps: 4, Sampler: DDIM, Schedule type: Automatic, CFG scale: 5, Seed: 9, Size: 256x256, Model hash: "
        #expect(lines[2].hasPrefix(start))
        #expect(lines[2].contains(", RNG: CPU,"))
        #expect(image.details["request"]?["seed"]?.stringValue == "9" && image.details["plan"]?["method"]?.stringValue == "cut")
    }
}
