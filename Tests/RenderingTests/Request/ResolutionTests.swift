import Acceleration
import PatchGeometry
import Rendering
import Samplers
import Sentences
import StrictJSON
import TestSupport
import Testing

/// Plans for the embedded model, whose native size is 128 px, 16 latents.
@Suite struct ResolutionTests {
    private func plan(_ change: (inout RenderRequest) -> Void) throws -> RenderPlan {
        try RenderMachine(request: request(change), model: ModelVariant.embedded.get()).plan
    }

    @Test func upToTheNativeSizeThePictureIsRenderedDirectly() throws {
        for (width, height, method) in [
            (128, 128, RenderMethod.direct), (64, 128, .direct), (136, 128, .direct), (144, 144, .cut), (320, 64, .cut),
            (512, 512, .cut),
        ] {
            let plan = try plan { ($0.width, $0.height) = (width, height) }
            #expect(plan.method == method, "\(width)×\(height)")
            #expect((plan.cut == nil) == (method == .direct))
        }
        #expect(try plan { ($0.width, $0.height, $0.method) = (512, 512, .direct) }.method == .direct)
    }

    /// Grid and views by hand, from the specification's formulas.
    @Test(arguments: [
        // width, height, patch, stride: grid rows, columns, patch height, width; view height, width; views
        ([256, 256, 128, 64], [2, 2, 16, 16, 16, 16, 9]),
        ([256, 128, 128, 64], [1, 2, 16, 16, 16, 16, 3]),
        ([128, 256, 128, 128], [2, 1, 16, 16, 16, 16, 2]),
        ([192, 320, 128, 96], [3, 2, 16, 16, 16, 16, 6]),
        ([200, 136, 128, 64], [2, 2, 16, 16, 16, 16, 6]),
        ([320, 80, 128, 64], [1, 3, 10, 16, 10, 16, 4]),
        ([208, 208, 192, 96], [2, 2, 16, 16, 24, 24, 4]),
        ([512, 512, 72, 72], [8, 8, 8, 8, 9, 9, 64]),
        ([128, 128, 128, 64], [1, 1, 16, 16, 16, 16, 1]),
    ])
    func theCutFollowsSizePatchAndStride(_ input: [Int], _ expected: [Int]) throws {
        let cut = try #require(
            try plan {
                ($0.width, $0.height, $0.patch, $0.stride, $0.method) = (input[0], input[1], input[2], input[3], .cut)
            }.cut)
        let found = [
            cut.gridRows, cut.gridColumns, cut.patchHeight, cut.patchWidth, cut.viewHeight, cut.viewWidth, cut.viewsPerCall,
        ]
        #expect(found == expected)
        #expect(cut.stride == input[3] / 8)
        // Every point of the canvas belongs to a patch.
        #expect(cut.gridRows * cut.patchHeight >= input[1] / 8 && cut.gridColumns * cut.patchWidth >= input[0] / 8)
    }

    @Test func strideIsHalfAPatchUnlessSaid() throws {
        #expect(try plan { ($0.width, $0.patch) = (512, 256) }.cut?.stride == 16)
        #expect(try plan { $0.width = 512 }.cut?.stride == 8)
    }

    @Test func theStructurePhaseIsTheFractionRoundedUp() throws {
        let cases: [(steps: Int, fraction: String, structure: Int)] = [
            (25, "0.5", 13), (50, "0.5", 25), (25, "0.4", 10), (90, "0.7", 63), (2, "0.000000001", 1), (2, "0.5", 1),
            (10, "0.9", 9),
        ]
        for (steps, fraction, structure) in cases {
            let plan = try plan {
                ($0.width, $0.steps, $0.structureFraction) = (256, steps, StructureFraction(fraction))
            }
            #expect(plan.cut?.structureEnd == structure, "\(fraction) of \(steps)")
            let cut = try #require(plan.cut)
            #expect(plan.totalTasks == 2 + structure * cut.patches + (steps - structure) * cut.viewsPerCall)
            #expect(plan.evaluations == 2 * (plan.totalTasks - 2))
        }
        // The embedded model's own recommendation.
        #expect(try plan { ($0.width, $0.steps) = (256, 20) }.cut?.structureEnd == 8)
    }

    @Test func hiDiffusionNeedsOneAndAHalfTimesTheNativeSize() throws {
        func switches(_ change: (inout RenderRequest) -> Void) throws -> [Bool] {
            let plan = try plan(change)
            return [plan.hiDiffusionInStructure, plan.hiDiffusionInDetail]
        }
        for choice in [HiDiffusionChoice.auto, .on] {
            #expect(
                try switches { ($0.width, $0.height, $0.method, $0.hiDiffusion) = (192, 192, .direct, choice) } == [true, true])
            #expect(try switches { ($0.patch, $0.hiDiffusion) = (256, choice) } == [true, true])
            #expect(
                try switches { ($0.width, $0.height, $0.patch, $0.hiDiffusion) = (208, 208, 192, choice) } == [false, true])
        }
        #expect(try switches { ($0.width, $0.height, $0.method) = (512, 184, .direct) } == [false, false])
        #expect(try switches { _ in } == [false, false])
        #expect(try switches { ($0.patch, $0.hiDiffusion) = (256, .off) } == [false, false])
    }

    @Test func whatTheMethodCannotDoIsRefusedWithTheRemedy() {
        let cases: [(settings: [Setting], part: String, change: (inout RenderRequest) -> Void)] = [
            // The part is the cure that the sentence names.
            ([.patch], "--method cut", { ($0.width, $0.height, $0.patch) = (128, 128, 64) }),
            ([.stride], "--method cut", { ($0.method, $0.stride) = (.direct, 64) }),
            ([.structureFraction], "--method cut", { ($0.method, $0.structureFraction) = (.direct, .half) }),
            ([.detailCfgScale], "--method cut", { ($0.method, $0.detailGuidanceScale) = (.direct, 2) }),
            ([.prompt], "\"(a:1.3.4)\"", { $0.prompt = "(a:1.3.4) apple" }),
            ([.negativePrompt], "\"[a:b:10]\"", { $0.negativePrompt = "[a:b:10]" }),
            (
                [.prompt], "shorten it to at most 16",
                { $0.prompt = Array(repeating: "a", count: 16).joined(separator: " BREAK ") + " BREAK b" }
            ),
            ([.clipSkip], "the text encoder of openmoji-24 has", { $0.clipSkip = 50 }),
            (
                [.cropCoordsTopLeft], "Original size, crop and target size belong to SDXL",
                { $0.cropTopLeft = SizeConditioning.Corner(top: 0, left: 0) }
            ),
            ([.hidiffusionFamily], "HiDiffusion's profile sdxl does not fit", { $0.hiDiffusionProfile = .sdxl }),
            (
                [.patch], "A patch of 128 px is larger than the picture of 64×96",
                { ($0.width, $0.height, $0.method) = (64, 96, .cut) }
            ),
            ([.patch], "A patch of 520 px is larger than the picture of 512×512", { $0.patch = 520 }),
            ([.stride], "A stride of 136 px would leave gaps between patches of 128 px", { $0.stride = 136 }),
            (
                [.stride], "A stride of 136 px would leave gaps between patches of 128 px",
                { ($0.patch, $0.stride) = (128, 136) }
            ),
            (
                [.patch, .stride], "cut into 255025 patches",
                { ($0.width, $0.height, $0.patch, $0.stride) = (4096, 4096, 64, 8) }
            ),
            ([.steps, .structureFraction], "take 2 or more", { ($0.width, $0.steps) = (256, 1) }),
            (
                [.steps, .structureFraction], "leaves no detail call",
                { ($0.steps, $0.structureFraction) = (10, StructureFraction("0.91")) }
            ),
            (
                [.hidiffusion], "HiDiffusion needs a U-Net input of at least 192 px",
                { ($0.method, $0.width, $0.height, $0.hiDiffusion) = (.direct, 184, 512, .on) }
            ),
            ([.hidiffusion], "choose a larger patch or the method direct", { $0.hiDiffusion = .on }),
            ([.eta], "0.5", { ($0.samplingMethod, $0.eta) = (.euler, 0.5) }),
            (
                [.vaeTileSize], "tile of 8192×8192 px has 192 MiB, and at most 64 MiB can be sent",
                { ($0.width, $0.height, $0.vaeTileSize) = (8192, 8192, 8192) }
            ),
        ]
        for (settings, part, change) in cases {
            let error = refusal { _ = try plan(change) }
            #expect(error?.code == .invalidRequest && error?.isSentence == true, "\(part): \(String(describing: error))")
            #expect(error?.message.contains(part) == true, "\(part): \(error?.message ?? "accepted")")
            #expect(error?.faults.map(\.setting) == settings, "\(part)")
        }
    }

    @Test func theProfileThatWouldDoIsData() {
        #expect(
            refusal { _ = try plan { $0.hiDiffusionProfile = .sdxl } }?.faults
                == [SettingFault(.hidiffusionFamily, value: "sdxl", possible: .choices(["auto"]))])
    }

    /// The setting at fault is the one without which the others are possible.
    @Test func samplersRefusalsBlameTheRightSetting() {
        func faults(_ change: (inout RenderRequest) -> Void) -> [Setting]? {
            refusal { _ = try plan(change) }?.faults.map(\.setting)
        }
        #expect(faults { ($0.samplingMethod, $0.steps) = (.lcm, 60) } == [.steps])
        #expect(faults { ($0.samplingMethod, $0.noiseSchedule) = (.ddim, .karras) } == [.scheduler])
        #expect(faults { ($0.samplingMethod, $0.eta) = (.euler, 0.5) } == [.eta])
        func later(_ steps: Int, _ method: SamplingMethod) -> [Setting]? {
            faults {
                ($0.width, $0.height, $0.method, $0.stages) = (512, 512, .hires, [1])
                ($0.refinement.steps, $0.samplingMethod) = (steps, method)
            }
        }
        #expect(later(1, .euler) == [.hiresSteps, .denoisingStrength])
        #expect(later(1000, .lcm) == [.hiresSteps])
    }

    @Test func whatHasNoEffectIsNoted() throws {
        let long = Array(repeating: "apple", count: 90).joined(separator: " ")
        let notes = try plan { ($0.prompt, $0.guidanceScale, $0.negativePrompt) = (long, 1, "blurry") }.notes
        #expect(notes.contains { $0.hasPrefix("the negative prompt has no effect") })
        #expect(try plan { ($0.prompt, $0.negativePrompt) = ("apple", "blurry") }.notes.isEmpty)
        let rescaled = try plan { ($0.guidanceScale, $0.guidanceRescale) = (1, 0.5) }.notes
        #expect(rescaled == ["the guidance rescale has no effect without guidance above 1"])
        #expect(try plan { ($0.prompt, $0.negativePrompt) = ("(apple", "blurry") }.notes.count == 1)
        #expect(try !plan { $0.width = 520 }.notes.isEmpty, "another size than those of CutDiffusion")
    }

    @Test func theModelsOwnSchedulerIsUsedWhereItCanBe() throws {
        let source = try ModelVariant.source(
            changing: "scheduler/scheduler_config.json", ["_class_name": "PNDMScheduler", "skip_prk_steps": true])
        let model = try ModelDescription(source: source)
        let own = try RenderMachine(request: RenderRequest(), model: model).plan
        #expect(own.samplingMethod == .pndm && own.calls == own.steps + 1 && own.notes.isEmpty)
        let chosen = try RenderMachine(request: request { $0.samplingMethod = .euler }, model: model).plan
        #expect(chosen.samplingMethod == .euler && chosen.notes.isEmpty)
    }

    @Test func planForProgramsHasEveryNumber() throws {
        let json = try plan { $0.steps = 10 }.json
        #expect(json["cut"]?["grid_rows"] == 4 && json["cut"]?["views_per_step"] == 49)
        #expect(json["tasks"]?.intValue == 2 + 4 * 16 + 6 * 49)
        #expect(json["seed"] == "42" && json["method"] == "cut")
    }
}
