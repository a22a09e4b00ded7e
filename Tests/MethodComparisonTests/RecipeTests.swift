import PatchGeometry
import Rendering
import Testing

@testable import MethodComparison

@Suite struct RecipeTests {
    static func refusal(_ list: String) -> RenderError? {
        do {
            _ = try MethodRecipe.list(list)
            return nil
        } catch { return error }
    }

    /// With every setting that belongs to some method.
    static var asked: RenderRequest {
        var request = RenderRequest()
        (request.patch, request.stride, request.structureFraction) = (256, 64, StructureFraction("0.4"))
        (request.detailGuidanceScale, request.hiDiffusion, request.method) = (3, .auto, .auto)
        request.prompt = "an apple"
        return request
    }

    @Test func wordsChangeTheRequest() throws {
        let direct = try MethodRecipe("direct").applied(to: Self.asked, native: 128)
        #expect(direct.method == .direct && direct.hiDiffusion == .off && direct.prompt == "an apple")
        #expect(direct.patch == nil && direct.stride == nil && direct.structureFraction == nil)
        #expect(direct.detailGuidanceScale == nil)
        #expect(MethodRecipe.direct.applied(to: Self.asked, native: 128) == direct)
        let cut = try MethodRecipe("cut").applied(to: Self.asked, native: 128)
        var expected = Self.asked
        (expected.method, expected.hiDiffusion) = (.cut, .off)
        #expect(cut == expected)
        expected.hiDiffusion = .on
        // The patch that the user asked for stays.
        #expect(try MethodRecipe("cut+hidiffusion").applied(to: Self.asked, native: 128) == expected)
        #expect(try MethodRecipe("auto").applied(to: Self.asked, native: 128) == Self.asked)
    }

    @Test func hiDiffusionIsDirectAloneAndTakesLargePatchesWithCut() throws {
        let alone = try MethodRecipe("hidiffusion").applied(to: RenderRequest(), native: 128)
        #expect(alone.method == .direct && alone.hiDiffusion == .on && alone.patch == nil)
        for name in ["cut+hidiffusion", "hidiffusion+cut"] {
            let cut = try MethodRecipe(name).applied(to: RenderRequest(), native: 128)
            #expect(cut.method == .cut && cut.hiDiffusion == .on && cut.patch == 256)
        }
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
