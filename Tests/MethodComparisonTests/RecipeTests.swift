import Acceleration
import PatchGeometry
import Rendering
import TestSupport
import Testing
import Weights

@testable import MethodComparison

@Suite struct RecipeTests {
    /// Read once: hundreds of recipes are applied.
    static let model = Result { try ModelDescription(source: .embeddedModel) }

    static func refusal(_ list: String) -> RenderError? {
        do {
            _ = try MethodRecipe.list(list)
            return nil
        } catch { return error }
    }

    /// A request with every setting that belongs to some method.
    static var asked: RenderRequest {
        var request = RenderRequest()
        (request.prompt, request.width, request.height) = ("an apple", 512, 512)
        (request.patch, request.stride, request.jitter, request.blending) = (256, 64, 8, .feather)
        (request.structureFraction, request.structure, request.stages) = (StructureFraction("0.4"), .patches, [1])
        (request.detailGuidanceScale, request.hiDiffusion, request.method) = (3, .auto, .auto)
        request.refinement.strength = 0.5
        var tokens = TokenReductionRequest()
        tokens.merging = TokenReductionRequest.Merging(ratio: 0.25)
        tokens.downsampling = TokenReductionRequest.Downsampling(factors: [3])
        (tokens.start, tokens.end) = (0.1, 0.9)
        request.tokenReduction = tokens
        return request
    }

    /// A request for a square picture of this side, without other settings.
    static func plain(_ side: Int) -> RenderRequest {
        var request = RenderRequest()
        (request.width, request.height) = (side, side)
        return request
    }

    static func applied(_ name: String, _ request: RenderRequest = RecipeTests.asked) throws -> RenderRequest {
        try MethodRecipe(name).applied(to: request, model: model.get())
    }

    /// A refusal of settings that no compared method uses names such a recipe.
    @Test(arguments: SettingUse.allCases)
    func theRecipeThatIsNamedForAUseHasIt(_ use: SettingUse) throws {
        guard let name = MethodRecipe.adding(use) else {
            for recipe in ["direct", "cut", "hires"] { #expect(try use.isMet(by: Self.applied(recipe)), "\(use) in \(recipe)") }
            return
        }
        #expect(try use.isMet(by: Self.applied(name)))
        #expect(try !use.isMet(by: Self.applied("direct")))
    }

    @Test func directKeepsNothingOfOtherMethods() throws {
        let direct = try Self.applied("direct")
        var expected = Self.plain(512)
        (expected.prompt, expected.method, expected.hiDiffusion) = ("an apple", .direct, .off)
        #expect(direct == expected)
        #expect(try MethodRecipe.direct.applied(to: Self.asked, model: Self.model.get()) == direct)
        expected.hiDiffusion = .on
        #expect(try Self.applied("hidiffusion") == expected)
    }

    /// Stages that a picture is too small for are refused, not left out: that would be plain CutDiffusion by another name.
    @Test func stagesThatAPictureHasNoRoomForAreRefused() throws {
        let model = try Self.model.get()
        func machine(_ side: Int) throws -> RenderMachine {
            let request = try MethodRecipe("cut+staged").applied(to: Self.plain(side), model: model)
            return try RenderMachine(request: request, model: model)
        }
        #expect(try machine(256).plan.passes.count == 2 && machine(512).plan.passes.count == 3)
        #expect(try machine(144).plan.passes.count == 2)
        do {
            _ = try machine(128)
            Issue.record("128 px have no room for a stage of 128 px")
        } catch {
            let found = error as? RenderError
            #expect(found?.faults.map(\.setting) == [.stages], "\(error)")
            #expect(found?.message.contains("128×128") == true, "\(error)")
        }
    }

    @Test func autoIsWhatRenderDoes() throws {
        var auto = Self.asked
        (auto.structure, auto.structureFraction) = (nil, nil)
        #expect(try Self.applied("auto") == auto)
        #expect(try Self.applied("auto", Self.plain(512)) == Self.plain(512))
    }

    @Test func methodsKeepWhatTheUserSays() throws {
        var cut = Self.asked
        (cut.method, cut.hiDiffusion, cut.tokenReduction) = (.cut, .off, nil)
        // Stages are those of `cut+staged`.
        #expect(try Self.applied("cut+staged") == cut)
        (cut.stages, cut.refinement) = ([], RefinementSettings())
        #expect(try Self.applied("cut") == cut)
        cut.hiDiffusion = .on
        #expect(try Self.applied("cut+hidiffusion") == cut)
        let hires = try Self.applied("hires")
        #expect(hires.method == .hires && hires.refinement.strength == 0.5 && hires.stages == [1])
        #expect(hires.structure == nil && hires.structureFraction == nil && hires.patch == nil && hires.blending == nil)
        let tiled = try Self.applied("hires+tiled")
        #expect(tiled.refinement.tiled == true && tiled.patch == 256 && tiled.blending == .feather)
        let views = try Self.applied("multidiffusion")
        #expect(views.method == .multidiffusion && views.stages == nil && views.refinement == RefinementSettings())
        #expect(views.patch == 256 && views.structure == nil)
        let tokens = try Self.applied("tome").tokenReduction
        #expect(tokens?.merging?.ratio == 0.25 && tokens?.downsampling == nil && tokens?.start == 0.1 && tokens?.end == 0.9)
        #expect(try Self.applied("todo").tokenReduction?.downsampling?.factors == [3])
        #expect(try Self.applied("tome+todo").tokenReduction == Self.asked.tokenReduction)
    }

    @Test func whatTheUserLeavesOpenIsAsPublished() throws {
        let cut = try Self.applied("cut", Self.plain(512))
        #expect(cut.blending == .uniform && cut.stages == [] && cut.structure == nil && cut.patch == nil)
        #expect(try Self.applied("multidiffusion", Self.plain(512)).blending == .uniform)
        #expect(try Self.applied("cut+feather", Self.plain(512)).blending == .feather)
        #expect(try Self.applied("cut+whole", Self.plain(512)).structure == .whole)
        #expect(try Self.applied("tome", Self.plain(512)).tokenReduction?.merging?.ratio == 0.5)
    }

    @Test(arguments: [(256, [1], 2), (384, [1, 2], 3), (512, [1, 2], 4), (1024, [1, 2, 4], 8)] as [(Int, [Double], Double)])
    func stagesAndFactorsFollowTheSize(_ side: Int, _ stages: [Double], _ factor: Double) throws {
        #expect(try Self.applied("cut+staged", Self.plain(side)).stages == stages)
        #expect(try Self.applied("todo", Self.plain(side)).tokenReduction?.downsampling?.factors == [factor])
    }

    @Test func hiDiffusionIsDirectAloneAndTakesLargePatchesWithViews() throws {
        let alone = try Self.applied("hidiffusion", Self.plain(512))
        #expect(alone.method == .direct && alone.hiDiffusion == .on && alone.patch == nil)
        for name in ["cut+hidiffusion", "hidiffusion+cut", "multidiffusion+hidiffusion"] {
            let views = try Self.applied(name, Self.plain(512))
            #expect(views.hiDiffusion == .on && views.patch == 256)
        }
    }

    /// HiDiffusion's whole canvas takes the place of patches; the views behind it stay native, as `render` has it.
    @Test func aWholeStructurePhaseLeavesViewsNative() throws {
        let model = try Self.model.get()
        let request = try Self.applied("cut+whole+hidiffusion", Self.plain(512))
        #expect(request.patch == nil)
        let plan = try RenderMachine(request: request, model: model).plan
        #expect(plan.cut?.viewWidth == 16 && plan.hiDiffusionInStructure && !plan.hiDiffusionInDetail)
        // If it is set for all methods, it does not matter to methods without a structure phase.
        var asked = Self.plain(512)
        asked.structure = .whole
        for name in ["multidiffusion+hidiffusion", "hires+tiled+hidiffusion"] {
            #expect(try Self.applied(name, asked).patch == 256, "\(name)")
        }
    }

    /// Settings of other methods in a comparison do not keep `auto` from being planned.
    @Test func autoGoesBesideOtherMethodsSettings() throws {
        let model = try Self.model.get()
        let changes: [(inout RenderRequest) -> Void] = [
            { $0.hiDiffusionSettings.t1 = 0.3 }, { $0.hiDiffusionSettings.raunet = false }, { $0.refinement.tiled = true },
            { ($0.structureFraction, $0.refinement.strength) = (StructureFraction("0.4"), 0.5) }, { $0.structure = .whole },
        ]
        for (index, change) in changes.enumerated() {
            var asked = Self.plain(512)
            change(&asked)
            let plan = try RenderMachine(request: Self.applied("auto", asked), model: model).plan
            #expect(plan.passes.count == 3, "\(index)")
            guard asked.refinement.strength == nil else { continue }
            let staged = try RenderMachine(request: Self.applied("cut+staged", asked), model: model).plan
            #expect(staged.passes.count == 3 && staged.passes.allSatisfy { $0.structureCalls == 0 }, "\(index)")
        }
        // Near the native size `auto` is direct, and has no use for any of them.
        let direct: [(inout RenderRequest) -> Void] = [
            { $0.stride = 64 }, { $0.patch = 128 }, { $0.stages = [1] }, { $0.refinement.strength = 0.5 },
            { $0.refinement.tiled = true }, { $0.detailGuidanceScale = 2 }, { $0.structure = .whole },
        ]
        for (index, change) in direct.enumerated() {
            var asked = Self.plain(128)
            change(&asked)
            let plan = try RenderMachine(request: Self.applied("auto", asked), model: model).plan
            #expect(plan.passes.count == 1 && plan.cut == nil, "\(index)")
        }
        // Larger views have HiDiffusion.
        var large = Self.plain(512)
        (large.patch, large.hiDiffusionSettings.t1) = (256, 0.3)
        #expect(try Self.applied("auto", large).hiDiffusionSettings.t1 == 0.3)
    }

    /// Settings of later stages go to methods that have such stages.
    @Test func tokensOfLaterStagesAreForMethodsWithStages() throws {
        var asked = Self.plain(512)
        var tokens = TokenReductionRequest()
        tokens.merging = TokenReductionRequest.Merging(ratio: 0.25)
        let one = tokens
        tokens.merging?.laterRatio = 0.5
        var later = one
        later.stages = .later
        var alone = tokens
        alone.merging?.ratio = 0
        alone.merging?.laterRatio = 0.25
        for sent in [tokens, later, alone] {
            asked.tokenReduction = sent
            for name in ["hires+tome", "cut+staged+tome"] {
                #expect(try Self.applied(name, asked).tokenReduction == sent, "\(name)")
            }
            for name in ["tome", "cut+tome", "multidiffusion+tome"] {
                #expect(try Self.applied(name, asked).tokenReduction == one, "\(name)")
            }
        }
    }

    /// Every word, alone or with the method it belongs to, is one that can be rendered at four times the native size.
    @Test(arguments: [
        "auto", "direct", "hires", "hires+tiled", "hires+hidiffusion", "multidiffusion", "multidiffusion+feather", "cut",
        "cut+staged", "cut+feather", "cut+staged+feather", "cut+hidiffusion", "cut+whole+hidiffusion", "tome", "todo",
        "hidiffusion+todo", "hidiffusion+tome", "cut+tome",
    ])
    func recipesCanBePlanned(_ name: String) throws {
        let model = try Self.model.get()
        _ = try RenderMachine(request: try Self.applied(name, Self.plain(512)), model: model)
    }

    /// Two words are refused together, or each of them changes the request of the other. Only `direct` may change nothing: it
    /// is the default.
    @Test func wordsWithoutEffectAreRefused() throws {
        let names = MethodWord.all.map(\.name)
        var compared = 0
        for (first, second) in names.flatMap({ first in names.map { (first, $0) } }) where first != second {
            guard Self.refusal("\(first)+\(second)") == nil else { continue }
            let both = try Self.applied("\(first)+\(second)", Self.plain(512))
            for (word, other) in [(first, second), (second, first)] where word != "direct" {
                guard Self.refusal(other) == nil else { continue }
                compared += 1
                #expect(try Self.applied(other, Self.plain(512)) != both, "\(word) changes nothing of \(other)")
            }
        }
        #expect(compared > 40)
        #expect(try Self.applied("direct+vae-blend", Self.plain(512)).vaeTiling == .blend)
        #expect(try Self.applied("hires+tiled+still", Self.plain(512)) != Self.applied("hires+tiled", Self.plain(512)))
    }

    @Test func theOrderOfWordsMeansNothing() throws {
        for (one, other) in [
            ("hidiffusion+tiled+hires", "hires+tiled+hidiffusion"), ("feather+staged+cut", "cut+staged+feather"),
        ] {
            #expect(try Self.applied(one, Self.plain(512)) == Self.applied(other, Self.plain(512)))
        }
    }

    @Test(arguments: ["hidiffusion", "raunet", "windows"])
    func viewsOfHiDiffusionAreNoLargerThanThePicture(_ word: String) throws {
        let model = try Self.model.get()
        for (side, patch) in [(512, 256), (192, 192)] {
            for method in ["cut", "multidiffusion", "hires+tiled"] {
                let request = try Self.applied("\(method)+\(word)", Self.plain(side))
                #expect(request.patch == patch)
                let plan = try RenderMachine(request: request, model: model).plan
                #expect(plan.hiDiffusionProfile != nil, "\(method)+\(word) at \(side)")
            }
        }
    }

    @Test func halvesOfHiDiffusionAreOneEach() throws {
        var asked = Self.plain(512)
        asked.hiDiffusionSettings.raunet = false
        asked.hiDiffusionSettings.t1 = 0.3
        let half = try Self.applied("raunet", asked)
        #expect(half.hiDiffusionSettings.raunet && !half.hiDiffusionSettings.windows && half.hiDiffusionSettings.t1 == 0.3)
        #expect(try Self.applied("direct", asked).hiDiffusionSettings == .published)
    }

    @Test func mergingReachesTheModelsFirstBlocks() throws {
        let large = try ModelDescription(source: .withoutWeights(.stableDiffusionXL))
        let recipe = try MethodRecipe("tome")
        let request = recipe.applied(to: Self.plain(2048), model: large)
        #expect(request.tokenReduction?.merging?.maximumDownsample == 2)
        _ = try RenderMachine(request: request, model: large)
        var asked = Self.plain(2048)
        asked.tokenReduction = TokenReductionRequest()
        asked.tokenReduction?.merging = TokenReductionRequest.Merging(ratio: 0.25)
        asked.tokenReduction?.merging?.levels = [4]
        let kept = recipe.applied(to: asked, model: large).tokenReduction?.merging
        #expect(kept?.levels == [4] && kept?.maximumDownsample == nil)
    }

    @Test func theHelpNamesEveryWord() {
        for word in MethodWord.all { #expect(MethodRecipe.help.contains(word.name)) }
        #expect(MethodRecipe.help.contains("feather (with cut, multidiffusion or tiled)"))
    }

    @Test func listsKeepTheirOrderAndNames() throws {
        let names = ["hidiffusion", "cut+hidiffusion", "auto", "direct", "cut"]
        #expect(try MethodRecipe.list(names.joined(separator: ", ")).map(\.name) == names)
    }

    @Test(arguments: ["", "cut,", "Cut", "cut++hidiffusion", "+cut", "cut hidiffusion", "magic", "direct,magic+cut"])
    func unknownWordsAreRefusedWithTheList(_ text: String) {
        let error = Self.refusal(text)
        #expect(error?.code == .invalidRequest)
        for word in MethodWord.all { #expect(error?.message.contains(word.name) == true) }
    }

    @Test(arguments: [
        ("hires+staged", "without cut"), ("tiled", "without hires"), ("hires+feather", "without cut, multidiffusion or tiled"),
        ("hidiffusion+raunet", "exclude"), ("auto+windows", "exclude"), ("windows+auto", "exclude"), ("auto+whole", "without"),
        ("cut+cut", "twice"), ("direct+cut", "exclude"), ("auto+cut", "exclude"), ("cut,cut", "same"),
        ("cut+hidiffusion,hidiffusion+cut", "same"), ("hidiffusion,direct+hidiffusion", "same"),
    ])
    func wordsThatDoNotGoTogetherAreRefused(_ text: String, _ reason: String) {
        let error = Self.refusal(text)
        #expect(error?.code == .invalidRequest && error?.message.contains(reason) == true, "\(String(describing: error))")
    }

    @Test func wordsAreThereOnce() {
        #expect(Set(MethodWord.all.map(\.name)).count == MethodWord.all.count)
        #expect(MethodWord.all.allSatisfy { !$0.name.contains { "+, ".contains($0) } && $0.name != ComparedPicture.native })
    }
}
