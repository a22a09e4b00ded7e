import ArgumentParser
import Rendering
import Weights

/// How a checkpoint is put together, beside where it lies.
struct CheckpointOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Another autoencoder: its folder, a model's folder, or a .safetensors file in diffusers' or LDM's naming.",
            valueName: "path"))
    var vae: String?

    @Option(
        help: ArgumentHelp(
            "For a single file that is no usual Stable Diffusion: a model folder whose configuration and tokenizer it takes.",
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
        help: "Leave out tensors inside of a network, and LoRA layers, that the model does not know, instead of refusing them.")
    var ignoreUnknownTensors = false

    /// Whether none is given that belongs to one model.
    var isEmpty: Bool { vae == nil && modelConfig == nil && predictionType == nil && variant == nil }

    /// The same options as words of a command line.
    var arguments: [String] {
        let options = [
            ("--vae", vae), ("--model-config", modelConfig), ("--prediction-type", predictionType), ("--variant", variant),
        ]
        return options.flatMap { name, value in value.map { ["\(name)=\($0)"] } ?? [] }
            + (ignoreUnknownTensors ? ["--ignore-unknown-tensors"] : [])
    }

    func prediction() throws(CommandFailure) -> UNetPrediction? {
        guard let predictionType else { return nil }
        guard let prediction = UNetPrediction(option: predictionType) else {
            throw CommandFailure(.usage, "--prediction-type must be epsilon or v_prediction, not '\(predictionType)'.")
        }
        return prediction
    }

    /// A recipe for the model at `path`.
    func recipe(_ path: String) throws(CommandFailure) -> ModelRecipe {
        var recipe = ModelRecipe(path: path)
        recipe.vae = vae
        recipe.configuration = modelConfig
        recipe.prediction = try prediction()
        recipe.variant = variant
        recipe.ignoresUnknownTensors = ignoreUnknownTensors
        return recipe
    }
}

/// Which checkpoint, or which several.
struct ModelOptions: ParsableArguments {
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "A model folder as Hugging Face lays it out, a .safetensors checkpoint, or a stored model by its name or sha256 "
                + "(default: the small model inside this program).", valueName: "model"))
    var model: [String] = []

    @OptionGroup var checkpoint: CheckpointOptions

    /// What makes another process open the same models.
    var arguments: [String] { model.flatMap { ["--model=\($0)"] } + checkpoint.arguments }

    /// The one checkpoint that was named, or the embedded one.
    func source() throws(CommandFailure) -> ModelSource {
        guard model.count <= 1 else {
            throw CommandFailure(.usage, "One picture is made with one model; give --model once.")
        }
        return try sources()[0]
    }

    /// All checkpoints that were named, in this order, or the embedded one.
    func sources() throws(CommandFailure) -> [ModelSource] {
        guard model.count <= 1 || checkpoint.isEmpty else {
            throw CommandFailure(
                .usage,
                "--vae, --model-config, --prediction-type and --variant belong to one model; give --model once, or import the "
                    + "models with these options by 'patchloom model import' and name them.")
        }
        guard !model.isEmpty else { return [try embedded()] }
        return try model.map { reference throws(CommandFailure) in try open(reference, checkpoint) }
    }

    /// Bytes of the weights; none for the embedded model, which is small.
    func weightBytes(_ source: ModelSource) throws(CommandFailure) -> Int {
        guard !model.isEmpty else { return 0 }
        do { return try source.weightByteCount() } catch { throw CommandFailure(error) }
    }

    private func embedded() throws(CommandFailure) -> ModelSource {
        guard checkpoint.modelConfig == nil, checkpoint.variant == nil else {
            throw CommandFailure(.usage, "--model-config and --variant need a --model.")
        }
        let prediction = try checkpoint.prediction()
        do {
            return try ModelSource.embeddedModel.adjusted(vae: checkpoint.vae, prediction: prediction)
                .ignoringUnknownTensors(checkpoint.ignoreUnknownTensors)
        } catch {
            throw CommandFailure(error)
        }
    }
}

/// Opens a model by its path, which wins, or by its name or identity in the store.
func open(_ reference: String, _ options: CheckpointOptions) throws(CommandFailure) -> ModelSource {
    let recipe = try options.recipe(reference)
    do {
        if ModelStore.isPath(reference) { return try .open(recipe) }
        let store = try ModelStore.standard()
        guard let stored = try store.find(reference) else {
            throw store.notFound(reference)
        }
        guard options.modelConfig == nil, options.variant == nil else {
            throw WeightsError(
                .badOption,
                "\(reference) is a stored model, which was imported with its own configuration: leave --model-config and --variant out."
            )
        }
        return try store.open(
            stored, prediction: recipe.prediction, vae: options.vae, ignoresUnknownTensors: options.ignoreUnknownTensors)
    } catch let error as WeightsError {
        throw CommandFailure(error)
    } catch {
        throw CommandFailure(.internalFault, "\(error)")
    }
}
