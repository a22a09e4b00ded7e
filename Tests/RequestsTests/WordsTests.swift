import Acceleration
import PatchGeometry
import Rendering
import Requests
import Samplers
import Sentences
import StrictJSON
import Testing
import Weights

/// Words of a user become a request, or a sentence that says which word is wrong.
@Suite struct WordsTests {
    /// The error that making a request throws.
    static func refusal(_ change: (inout RequestWords) -> Void) throws -> RequestError {
        var words = RequestWords(prompt: "a fox")
        change(&words)
        return try #require(throws: RequestError.self) { try words.request() }
    }

    @Test func whatIsNotSaidIsAsInAnEmptyRequest() throws {
        var expected = RenderRequest()
        expected.prompt = "a fox"
        expected.seed = 42
        #expect(try RequestWords(prompt: "a fox").request() == expected)
    }

    @Test func everyWordArrives() throws {
        var words = RequestWords(prompt: "a fox")
        let said: [(Setting, String)] = [
            (.negativePrompt, "blur"), (.width, "512"), (.height, "768"), (.steps, "12"), (.cfgScale, "4"), (.seed, "7"),
            (.eta, "0.5"), (.scheduler, "karras"), (.samplingMethod, "DPM++ 2M Karras"), (.lora, "ink.safetensors:0.5:0.8"),
            (.lora, "a:b.safetensors"), (.method, "cut"), (.stages, "1,1.5"), (.blend, "feather"), (.structure, "whole"),
            (.structureFraction, "0.40"), (.hidiffusion, "on"), (.hidiffusionFamily, "sdxl"), (.hidiffusionRaunet, "off"),
            (.hidiffusionAggressive, "0.25"), (.denoisingStrength, "0.4"), (.hiresUpscaler, "Latent (bicubic)"),
            (.originalSize, "1024x768"), (.cropCoordsTopLeft, "0,64"), (.clipSkip, "0"), (.guidanceRescale, "0.7"),
            (.tomeRatio, "0.5"), (.tomeLevels, "2,4"), (.tomeLayers, "attention,mlp"), (.todoFactor, "2"),
            (.todoScope, "all"), (.tokenSteps, "0:0.8"), (.tokenStages, "later"),
        ]
        for (setting, word) in said { words.say(word, for: setting) }
        let request = try words.request()
        #expect(request.negativePrompt == "blur" && request.width == 512 && request.height == 768 && request.steps == 12)
        #expect(request.guidanceScale == 4 && request.seed == 7 && request.eta == 0.5)
        #expect(request.noiseSchedule == .karras && request.samplingMethod?.rawValue == "dpm++2m")
        #expect(request.loras.map(\.name) == ["ink.safetensors", "a:b.safetensors"])
        #expect(request.loras[0].scale.textEncoder == 0.5 && request.loras[0].scale.unet == 0.8)
        #expect(request.method == .cut && request.stages == [1, 1.5] && request.blending?.rawValue == "feather")
        #expect(request.structure?.rawValue == "whole" && request.structureFraction?.description == "0.4")
        #expect(request.hiDiffusion == .on && request.hiDiffusionProfile == .sdxl)
        #expect(!request.hiDiffusionSettings.raunet && request.hiDiffusionSettings.windows)
        #expect(request.hiDiffusionSettings.aggressive == 0.25)
        #expect(request.refinement.strength == 0.4 && request.refinement.upscaler?.rawValue == "latent-bicubic")
        #expect(request.originalSize == SizeConditioning.Size(width: 1024, height: 768))
        #expect(request.cropTopLeft == SizeConditioning.Corner(top: 0, left: 64))
        #expect(request.clipSkip == nil && request.guidanceRescale == 0.7)
        let tokens = try #require(request.tokenReduction)
        #expect(tokens.merging?.levels == [2, 4] && tokens.merging?.ratio == 0.5)
        #expect(tokens.downsampling?.factors == [2] && tokens.downsampling?.scope.rawValue == "all")
        #expect(tokens.start == 0 && tokens.end == 0.8 && tokens.stages.rawValue == "later")
    }

    /// The same sentence is right on a command line and in JSON, because the one who shows it spells the settings.
    @Test func settingsAreSpelledByWhoeverShowsThem() throws {
        let error = try Self.refusal { $0[.hiresUpscaler] = "magic" }
        #expect(error.category == .invalid)
        #expect(error.sentence.spelled(\.key).hasPrefix("hires_upscaler must be one of "))
        #expect(error.sentence.spelled { "<\($0.key)>" }.hasPrefix("<hires_upscaler> must be one of "))
        let lone = try Self.refusal { $0[.tomeSx] = "3" }
        #expect(lone.sentence.spelled(\.key) == "tome_sx belongs to tome_ratio: give that too.")
        // A value that looks like a setting stays as the user wrote it.
        let value = try Self.refusal { $0[.stages] = "tome_ratio" }
        #expect(value.sentence.spelled { "--\($0.key)" }.hasSuffix("not 'tome_ratio'."))
    }

    static let wrong: [([Setting], @Sendable (inout RequestWords) -> Void)] = [
        ([.method], { $0[.method] = "magic" }), ([.hidiffusion], { $0[.hidiffusion] = "yes" }),
        ([.hidiffusionFamily], { $0[.hidiffusionFamily] = "flux" }),
        ([.hidiffusionRaunet], { $0[.hidiffusionRaunet] = "true" }),
        ([.hidiffusionWindowAttn], { $0[.hidiffusionWindowAttn] = "" }),
        ([.blend], { $0[.blend] = "none" }), ([.precision], { $0[.precision] = "f16" }),
        ([.structure], { $0[.structure] = "half" }),
        ([.stages], { $0[.stages] = "1,,2" }), ([.stages], { $0[.stages] = "1,inf" }),
        ([.structureFraction], { $0[.structureFraction] = "1e-1" }),
        ([.originalSize], { $0[.originalSize] = "1024" }),
        ([.targetSize], { $0[.targetSize] = "-1x2" }),
        ([.cropCoordsTopLeft], { $0[.cropCoordsTopLeft] = "1,2,3" }),
        ([.originalSize], { $0[.originalSize] = "99999999999999999999x1" }),
        ([.tomeLevels], { ($0[.tomeRatio], $0[.tomeLevels]) = ("0.5", "2,x") }),
        ([.tomeLayers], { ($0[.tomeRatio], $0[.tomeLayers]) = ("0.5", "convolution") }),
        ([.tomeDestinations], { ($0[.tomeRatio], $0[.tomeDestinations]) = ("0.5", "last") }),
        ([.tomeFinalRatio], { $0[.tomeFinalRatio] = "0.1" }),
        ([.todoMethod], { $0[.todoMethod] = "nearest" }),
        ([.todoMethod], { ($0[.todoFactor], $0[.todoMethod]) = ("2", "cubic") }),
        ([.todoScope], { ($0[.todoFactor], $0[.todoScope]) = ("2", "keys") }),
        ([.tokenSteps], { ($0[.todoFactor], $0[.tokenSteps]) = ("2", "0.8") }),
        ([.tokenStages], { ($0[.todoFactor], $0[.tokenStages]) = ("2", "first") }),
        ([.tokenStages], { $0[.tokenStages] = "all" }),
        ([.samplingMethod, .scheduler], { ($0[.samplingMethod], $0[.scheduler]) = ("DPM++ 2M Karras", "exponential") }),
        ([.samplingMethod], { $0[.samplingMethod] = "magic" }), ([.scheduler], { $0[.scheduler] = "magic" }),
        ([.mask], { $0.mask = .file("mask.png") }), ([.steps], { $0[.steps] = "0" }),
    ]

    @Test(arguments: wrong)
    func aWordThatIsNotPossibleIsSaidWithItsSetting(
        _ settings: [Setting], _ change: @Sendable (inout RequestWords) -> Void
    ) throws {
        let error = try Self.refusal(change)
        #expect(error.category == .invalid)
        #expect(error.faults.map(\.setting) == settings, "\(error)")
        #expect(!error.sentence.parts.isEmpty)
    }

    @Test func aRefusedWordIsSaidWithTheChoices() throws {
        let structures = PossibleValues.choices(["patches", "whole"])
        #expect(
            try Self.refusal { $0[.structure] = "half" }.faults
                == [SettingFault(.structure, value: "half", possible: structures)])
        #expect(try Self.refusal { $0[.samplingMethod] = "magic" }.faults == [SettingFault(.samplingMethod, value: "magic")])
        #expect(try Self.refusal { $0[.seed] = "1.5" }.faults == [SettingFault(.seed, value: "1.5")])
        #expect(try Self.refusal { $0.picture = .file("/nowhere/a.png") }.faults == [SettingFault(.initImg)])
    }

    /// The wording of a word of another kind.
    @Test func aWordOfAnotherKindIsSaidWithAnExample() throws {
        #expect(
            try Self.refusal { $0[.originalSize] = "512" }.sentence.spelled(\.option)
                == "--original-size must be a size such as 1024x768 (width x height), not '512'.")
    }

    @Test func seeds() throws {
        #expect(try SeedWord("18446744073709551615") == .number(.max))
        #expect(try SeedWord("-0") == .number(0) && SeedWord("-99999999999999999999999") == .random)
        for text in ["", "-", "1.5", "18446744073709551616", "0x10", "seven", "--1"] {
            let error = #expect(throws: RequestError.self, "\(text)") { try SeedWord(text) }
            #expect(error?.category == .invalid)
        }
        #expect(SeedWord.number(3).drawn() == 3)
        #expect(Set((0..<8).map { _ in SeedWord.random.drawn() }).count > 1)
    }

    @Test(
        arguments: [
            ("ink", "ink", 1, 1), ("ink:0.5", "ink", 0.5, 0.5), ("ink:0.5:-2", "ink", 0.5, -2),
            ("C:/a:1", "C:/a", 1, 1), ("a:b:c", "a:b:c", 1, 1),
        ] as [(String, String, Double, Double)])
    func lorasAreReadFromTheEnd(_ text: String, _ file: String, _ textEncoder: Double, _ unet: Double) {
        let word = LoRASelection(word: text)
        #expect(word.name == file && word.scale.textEncoder == textEncoder && word.scale.unet == unet)
    }
}
