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
            "For a single file of an unusual model: a model folder with its configuration and tokenizer.",
            valueName: "folder"))
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
    public var words: CheckpointWords {
        CheckpointWords(Dictionary(OptionWords.of(self).map { ($0.setting, $0.word) }) { _, last in last })
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
    private var words: ModelWords { ModelWords(model, checkpoint.words) }

    /// The named checkpoint, or the embedded one.
    public func source() throws(CommandFailure) -> ModelSource {
        do { return try words.source() } catch { throw CommandFailure(error) }
    }

    /// All named checkpoints in this order, or the embedded one.
    public func sources() throws(CommandFailure) -> [ModelSource] {
        do { return try words.sources() } catch { throw CommandFailure(error) }
    }

    /// Bytes of the weights; 0 for the embedded model, which is small.
    public func weightBytes(_ source: ModelSource) throws(CommandFailure) -> Int {
        do { return try words.weightBytes(source) } catch { throw CommandFailure(error) }
    }
}
