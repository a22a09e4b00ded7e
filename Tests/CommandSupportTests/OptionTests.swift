import ArgumentParser
import Rendering
import Requests
import Sentences
import TensorCore
import Testing

@testable import CommandSupport

/// The options of a command line are the second place of a setting, beside its declaration.
@Suite struct OptionTests {
    /// Options for inputs that no word of a setting can give.
    static let beside: Set<String> = ["prompt_file", "init_img", "mask"]

    /// The stored options of a group and of the groups in it, each with its property's name as a key.
    static func options(_ group: Any) -> [String] {
        Mirror(reflecting: group).children.flatMap { child -> [String] in
            guard let label = child.label else { return [] }
            if let inner = child.value as? any InnerGroup { return options(inner.options) }
            return [OptionWords.key(String(label.dropFirst()))]
        }
    }

    static let settings = RenderRequest.settings.compactMap(\.setting)

    @Test func everySettingHasExactlyOneOptionOfItsName() throws {
        let options = try Self.options(RequestOptions.parse([]))
        #expect(options.count > 40 && Set(options).count == options.count)
        #expect(Set(Self.settings).count == Self.settings.count, "a setting is declared twice")
        #expect(Set(options).subtracting(Self.beside) == Set(Self.settings.map(\.key)))
        #expect(Self.beside.isSubset(of: options))
    }

    /// Words that each setting takes, where they are not numbers.
    static let words: [Setting: String] = [
        .method: "cut", .hidiffusion: "off", .hidiffusionFamily: "sdxl", .hidiffusionRaunet: "off",
        .hidiffusionWindowAttn: "off", .blend: "feather", .vaeTiling: "blend", .structureFraction: "0.4", .structure: "whole",
        .stages: "1,2",
        .hiresUpscaler: "latent", .originalSize: "8x8", .targetSize: "8x8", .cropCoordsTopLeft: "0,8",
        .samplingMethod: "ddim", .scheduler: "karras", .tomeLevels: "2", .tomeLayers: "mlp", .tomeDestinations: "random",
        .todoMethod: "nearest", .todoScope: "all", .tokenSteps: "0:0.5", .tokenStages: "later", .lora: "ink:0.5",
        .guidanceRescale: "0.5", .eta: "0.5", .strength: "0.5", .denoisingStrength: "0.5", .precision: "bf16",
    ]

    /// A word on a command line arrives in the request, by the option that sentences name and by the key.
    @Test func everyOptionSetsItsSetting() throws {
        for setting in RenderRequest.settings {
            guard let name = setting.setting else { continue }
            let isFlag = [.hiresTiled, .tomeQueriesOnly].contains(name)
            let word = Self.words[name] ?? (isFlag ? "true" : "8")
            for spelling in [name.option, Setting(name.key).option] {
                let options = try RequestOptions.parse(isFlag ? [spelling] : [spelling, word])
                let said = OptionWords.of(options).filter { $0.setting == name }.map(\.word)
                #expect(said.count == 1, "\(spelling): \(said)")
                var (fromOption, fromWord) = (RenderRequest(), RenderRequest())
                try setting.take(try #require(said.first), &fromOption)
                try setting.take(word, &fromWord)
                #expect(fromOption == fromWord && fromOption != RenderRequest(), "\(spelling)")
                #expect(setting.isSet(fromOption) || [.tokenSteps].contains(name), "\(spelling)")
                setting.clear(&fromOption)
                #expect(!setting.isSet(fromOption), "\(spelling)")
            }
        }
    }

    @Test func optionsThatSayNothingGiveAnEmptyRequest() throws {
        var expected = RenderRequest()
        expected.prompt = "a fox"
        #expect(try RequestOptions.parse([]).request(prompt: "a fox") == expected)
        let several = try RequestOptions.parse(["--lora", "ink", "--lora", "fog:2", "--todo-factor", "2", "3"])
        let request = try several.request(prompt: "a fox")
        #expect(request.loras.map(\.name) == ["ink", "fog"] && request.tokenReduction?.downsampling?.factors == [2, 3])
    }

    @Test func flagsAreThoseThatTakeNoValue() throws {
        for name in ["--hires_tiled", "--tome_queries_only"] {
            #expect(
                CommandLineSpelling.normalized([name, "--clip_skip"])
                    == [name, "--clip_skip"].map {
                        $0.split(separator: "_").joined(separator: "-")
                    })
        }
    }

    /// The settings that sentences name beside those of a picture are options too.
    @Test func settingsOfModelsAndHostsHaveOptions() throws {
        for setting in [Setting.model, .briefModel, .vae, .modelConfig, .predictionType, .variant] {
            #expect(try ModelOptions.parse([setting.option, "x"]).arguments == ["\(Setting(setting.key).option)=x"])
        }
        #expect(try LoRAOptions.parse([Setting.loraModelDir.option, "x"]).folders.paths == ["x"])
        #expect(try HostOptions.parse([Setting.backend.option, "onednn"]).backend == "onednn")
        #expect(try RequestOptions.parse([Setting.mask.option, "x", Setting.initImg.option, "y"]).initImg == "y")
    }

    /// A worker in bf16 holds half the bytes of a worker in f32, so more of them fit.
    @Test(arguments: [(2 << 30, 24 << 30), (7 << 30, 64 << 30), (1 << 30, 8 << 30)])
    func moreWorkersFitInBF16(weightBytes: Int, available: Int) {
        func count(_ precision: PrecisionChoice, _ available: Int?, isShared: Bool = false) -> Int {
            HostOptions.workersThatFit(weightBytes: weightBytes, precision, isShared: isShared, available: available)
        }
        let (wide, narrow) = (count(.f32, available), count(.bf16, available))
        #expect(narrow > wide && narrow <= 2 * wide + 1, "\(wide) and \(narrow)")
        #expect(count(.bf16, 1) == 1 && count(.f32, 0) == 1 && count(.bf16, nil) == .max)
        #expect(HostOptions.workersThatFit(weightBytes: 0, .bf16, isShared: false, available: 1) == .max)
        // Workers that share their weights in a file hold them once.
        #expect(count(.f32, available, isShared: true) > wide && count(.f32, 0, isShared: true) == 1)
    }

    /// The layout names the precision of the workers, so that the plan can name it.
    @Test func theLayoutSettlesThePrecision() throws {
        let host = try HostOptions.parse(["--workers", "1", "--backend", "openblas"])
        #expect(try host.layout(weightBytes: 0, precision: .auto).precision == .f32)
        let error = #expect(throws: CommandFailure.self) { try host.layout(weightBytes: 0, precision: .bf16) }
        #expect(error?.status == .usage)
        #expect(try HostOptions.parse(["--workers", "1"]).layout(weightBytes: 0, precision: .f32).precision == .f32)
    }

    @Test func checkpointOptionsAreHandedOnAsTheyWereWritten() throws {
        let written = [
            "--model=a", "--model=b", "--vae=v e", "--model-config=c", "--prediction-type=epsilon", "--variant=fp16",
            "--ignore-unknown-tensors",
        ]
        #expect(try ModelOptions.parse(written).arguments == written)
        #expect(try ModelOptions.parse([]).arguments == [])
    }
}

/// A group inside of a group.
private protocol InnerGroup { var options: Any { get } }

extension OptionGroup: InnerGroup {
    fileprivate var options: Any { wrappedValue }
}
