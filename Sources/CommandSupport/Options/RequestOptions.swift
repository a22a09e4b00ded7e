public import ArgumentParser
public import Rendering
public import Requests
import Samplers
import Sentences

/// The request: the options of `render`, `submit` and `plan`, with the names of stable-diffusion.cpp.
public struct RequestOptions: ParsableArguments {
    /// The defaults.
    public init() {}

    @Option(name: .shortAndLong, parsing: .unconditionalSingleValue, help: "The content of the picture.")
    public var prompt: [String] = []

    @Option(help: ArgumentHelp("A text file that holds the prompt; - is standard input.", valueName: "file"))
    public var promptFile: String?

    @Option(name: .shortAndLong, parsing: .unconditional, help: "Content to avoid.")
    var negativePrompt = ""

    @Option(
        name: [.customShort("W"), .long], parsing: .unconditional,
        help: "Width in pixels (default: \(RenderRequest().width), or the init image's).")
    public var width: Int?

    @Option(
        name: [.customShort("H"), .long], parsing: .unconditional,
        help: "Height in pixels (default: \(RenderRequest().height), or the init image's)."
    )
    public var height: Int?

    @Option(
        name: [.customShort("i"), .long],
        help: ArgumentHelp(
            "A picture to start from (PNG, JPEG, WebP), resized to the requested size.", valueName: "file"))
    public var initImg: String?

    @Option(
        help: ArgumentHelp(
            "A picture of the init image's size: what is white is made anew, what is black stays; where it has transparency, what "
                + "is opaque is made anew.", valueName: "file"))
    public var mask: String?

    @Option(
        parsing: .unconditional,
        help:
            "How much of the init image is made anew: the share of the steps that run, above 0 to 1 (default: \(RenderRequest.defaultStrength))."
    )
    public var strength: Float?

    @Option(parsing: .unconditional, help: "Denoising steps (default: the model's, as a rule 25).")
    var steps: Int?

    @Option(
        parsing: .unconditional,
        help: "Guidance: how strictly the picture follows the prompt (default: the model's); 1 and less: no negative prompt.")
    var cfgScale: Float?

    @Option(
        name: .shortAndLong, parsing: .unconditional,
        help: "Seed of the noise, of 64 bits without sign; negative: a random one, printed and kept in the picture.",
        transform: RequestOptions.seed)
    public var seed = SeedWord.number(42)

    @OptionGroup(title: "Method") public var method: MethodOptions

    @Option(
        help: ArgumentHelp(
            "\(choiceList(SamplingMethod.self)); A1111's names too, such as \"DPM++ 2M Karras\" or PLMS (default: the model's own "
                + "scheduler).", valueName: "sampler"))
    var samplingMethod: String?

    @Option(
        help: ArgumentHelp(
            "The spacing of the noise levels: \(choiceList(NoiseScheduleKind.self)) (default: as the model's scheduler says).",
            valueName: "schedule"))
    var scheduler: String?

    @Option(
        parsing: .unconditional,
        help: "Share of fresh noise, 0 to 1: of ddim (usually 0), tcd (0.3) and the ancestral samplers (1).")
    var eta: Float?

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "A LoRA and its scale, such as ink.safetensors:0.8 (default scale: 1), or the text encoder's scale and the U-Net's, such "
                + "as ink:0.5:0.8; may be given several times. A path, or a name below the folders of --lora-model-dir; for submit "
                + "a name below the coordinator's. <lora:NAME:0.8> in the prompt is the same.", valueName: "file:scale"))
    var lora: [String] = []

    @Option(
        help: ArgumentHelp(
            "The arithmetic of the networks: f32, bf16, or auto for bf16 where the CPU is faster with it (default: auto). A farm "
                + "gives the picture to workers of this precision; with auto the first worker decides.",
            valueName: "precision"))
    var precision: String?

    @OptionGroup(title: "Text and guidance") var conditioning: ConditioningOptions
    @OptionGroup(title: "Token reduction") var tokens: TokenOptions

    /// The request, with all checks that need no model.
    public func request() throws -> RenderRequest { try request(prompt: promptText()) }

    /// The same request with another prompt.
    public func request(prompt: String) throws -> RenderRequest {
        var words = RequestWords(prompt: prompt)
        (words.picture, words.mask) = (initImg.map(PictureInput.file), mask.map(PictureInput.file))
        for (setting, word) in OptionWords.of(self) where !Self.files.contains(setting) { words.say(word, for: setting) }
        return try words.request()
    }

    /// Options for the prompt and pictures. They are no words of settings.
    private static let files: Set<Setting> = [.prompt, Setting("prompt_file"), .initImg, .mask]

    /// The parser puts option and value before the sentence.
    private static func seed(_ text: String) throws -> SeedWord {
        do throws(RequestError) { return try SeedWord(text) } catch { throw ValidationError(error.failure.message) }
    }

    private func promptText() throws -> String {
        guard prompt.count <= 1 else {
            throw CommandFailure(.usage, "There are \(prompt.count) prompts: give --prompt once.")
        }
        switch (prompt.first, promptFile) {
        case (let prompt?, nil): return prompt
        case (nil, let file?): return try PromptFile.read(file)
        case (nil, nil): throw CommandFailure(.usage, "No prompt: say what the picture shows with -p, or --prompt-file.")
        case (_?, _?): throw CommandFailure(.usage, "There are two prompts: give either --prompt or --prompt-file.")
        }
    }
}
