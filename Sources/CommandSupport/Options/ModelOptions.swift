public import ArgumentParser
public import Requests
import Sentences
public import Weights

/// The parts of a checkpoint, beside its place.
public struct CheckpointOptions: ParsableArguments {
    /// The defaults.
    public init() {}

    @Option(
        help: ArgumentHelp(
            "Another autoencoder: its folder, a model's folder, or a .safetensors file in diffusers' or LDM's naming.",
            valueName: "path"))
    var vae: String?

    @Option(
        help: ArgumentHelp(
            "For a single file of an unusual model: a model folder with its configuration and tokenizer.", valueName: "folder"))
    var modelConfig: String?

    @Option(
        name: [.long, .customLong("prediction")],
        help: ArgumentHelp(
            "What the U-Net predicts, epsilon or v_prediction (default: as the model says).", valueName: "type"))
    var predictionType: String?

    @Option(
        help: ArgumentHelp("The kind of weight files in a folder, such as fp16 (default: the plain ones).", valueName: "name"))
    var variant: String?

    @Flag(
        help: "Skip tensors of a network and LoRA layers that the model does not know, instead of refusing them.")
    public var ignoreUnknownTensors = false

    /// The user's choices.
    public var words: CheckpointWords { words(.standard) }

    /// The same with another memory for the hashes of files than this host's.
    public func words(_ digests: DigestMemory) -> CheckpointWords {
        CheckpointWords(Dictionary(OptionWords.of(self).map { ($0.setting, $0.word) }) { _, last in last }, digests: digests)
    }

    /// The same options as words of a command line.
    var arguments: [String] {
        OptionWords.of(self).map { setting, word in
            setting == .ignoreUnknownTensors ? setting.option : "\(setting.option)=\(word)"
        }
    }
}

/// One checkpoint, or several.
public struct ModelOptions: ParsableArguments {
    /// The defaults.
    public init() {}

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "A model folder as Hugging Face lays it out, a .safetensors checkpoint, or a stored model by its name or sha256 "
                + "(default: the small model inside this program).", valueName: "model"))
    var model: [String] = []

    @OptionGroup var checkpoint: CheckpointOptions

    /// The arguments with which another process opens the same models.
    public var arguments: [String] { model.flatMap { ["--model=\($0)"] } + checkpoint.arguments }

    /// The user's choices.
    public var words: ModelWords { ModelWords(model, checkpoint.words) }
}

/// The folders of LoRA files.
public struct LoRAOptions: ParsableArguments {
    /// The defaults.
    public init() {}

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp("A folder of LoRA files; repeat the option to search several.", valueName: "folder"))
    var loraModelDir: [String] = []

    /// The user's folders.
    public var folders: LoRAFolders { folders(.standard) }

    /// The same with another memory for the hashes of files than this host's.
    public func folders(_ digests: DigestMemory) -> LoRAFolders { LoRAFolders(loraModelDir, digests: digests) }
}
