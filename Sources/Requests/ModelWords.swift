import Rendering
public import Sentences
public import Weights

/// How a checkpoint is put together beside where it lies, in the words of a user: `vae`, another autoencoder (a folder, a
/// model's folder, or a file); `model_config`, a model folder whose configuration and tokenizer a single file takes;
/// `prediction_type`, `epsilon` or `v_prediction`; `variant`, the kind of weight files in a folder, such as `fp16`; and
/// `ignore_unknown_tensors`, which is `true` or not said.
public struct CheckpointWords: Sendable {
    private var words: [Setting: String]

    /// The checkpoint as it stands, or as it is said.
    public init(_ words: [Setting: String] = [:]) { self.words = words }

    private var vae: String? { words[.vae] }
    private var modelConfig: String? { words[.modelConfig] }
    private var variant: String? { words[.variant] }
    private var ignoreUnknownTensors: Bool { words[.ignoreUnknownTensors] == "true" }

    /// Whether nothing is said that belongs to one model.
    var isEmpty: Bool { [.vae, .modelConfig, .predictionType, .variant].allSatisfy { words[$0] == nil } }

    /// The model at `path`, with the parts and settings of these words.
    ///
    /// - Throws: `invalid` for a prediction type that there is not.
    public func choice(_ path: String) throws(RequestError) -> ModelChoice {
        var choice = ModelChoice(path: path)
        choice.vae = vae
        choice.configuration = modelConfig
        choice.prediction = try prediction()
        choice.variant = variant
        choice.ignoresUnknownTensors = ignoreUnknownTensors
        return choice
    }

    /// Opens a model by its path, which wins, or by its name or identity in the store of this host.
    ///
    /// - Throws: `notFound`, `badInput`, or `invalid` for words that do not go with the model.
    public func open(_ reference: String) throws(RequestError) -> ModelSource {
        let choice = try choice(reference)
        do throws(WeightsError) {
            if ModelStore.isPath(reference) { return try .open(choice) }
            let store = try ModelStore.standard()
            guard let stored = try store.find(reference) else { throw store.notFound(reference) }
            if modelConfig == nil && variant == nil {
                return try store.open(
                    stored, prediction: choice.prediction, vae: vae, ignoresUnknownTensors: ignoreUnknownTensors)
            }
        } catch {
            throw RequestError(error)
        }
        throw RequestError(
            .invalid,
            "\(reference) is a stored model, which was imported with its own configuration: leave \(.modelConfig) and \(.variant) out."
        )
    }

    /// The model inside this program.
    func embedded() throws(RequestError) -> ModelSource {
        guard modelConfig == nil, variant == nil else {
            throw RequestError(.invalid, "\(.modelConfig) and \(.variant) need a \(.model).")
        }
        let prediction = try prediction()
        do throws(WeightsError) {
            return try ModelSource.embeddedModel.adjusted(vae: vae, prediction: prediction)
                .ignoringUnknownTensors(ignoreUnknownTensors)
        } catch {
            throw RequestError(error)
        }
    }

    private func prediction() throws(RequestError) -> UNetPrediction? {
        guard let predictionType = words[.predictionType] else { return nil }
        guard let prediction = UNetPrediction(option: predictionType) else {
            throw RequestError(.invalid, "\(.predictionType) must be epsilon or v_prediction, not '\(predictionType)'.")
        }
        return prediction
    }
}

/// Which checkpoint, or which several, in the words of a user.
public struct ModelWords: Sendable {
    /// Paths, or names and identities of stored models; none is the embedded model.
    public var references: [String]
    public var checkpoint: CheckpointWords

    /// Models by what they are called.
    public init(_ references: [String], _ checkpoint: CheckpointWords = CheckpointWords()) {
        (self.references, self.checkpoint) = (references, checkpoint)
    }

    /// The one checkpoint that was named, or the embedded one.
    ///
    /// - Throws: what `sources` throws, and `invalid` for several.
    public func source() throws(RequestError) -> ModelSource {
        guard references.count <= 1 else {
            throw RequestError(.invalid, "One picture is made with one model; give \(.model) once.")
        }
        return try sources()[0]
    }

    /// All checkpoints that were named, in this order, or the embedded one.
    ///
    /// - Throws: what `CheckpointWords.open` throws, and `invalid` for words that belong to one model where there are several.
    public func sources() throws(RequestError) -> [ModelSource] {
        guard references.count <= 1 || checkpoint.isEmpty else {
            throw RequestError(
                .invalid,
                "\(.vae), \(.modelConfig), \(.predictionType) and \(.variant) belong to one model; give \(.model) once, or import the models with these options by 'patchloom model import' and name them."
            )
        }
        guard !references.isEmpty else { return [try checkpoint.embedded()] }
        return try references.map { reference throws(RequestError) in try checkpoint.open(reference) }
    }

    /// Bytes of the weights of `source`; none for the embedded model, which is small.
    ///
    /// - Throws: `notFound` or `badInput` when they cannot be looked at.
    public func weightBytes(_ source: ModelSource) throws(RequestError) -> Int {
        guard !references.isEmpty else { return 0 }
        do { return try source.weightByteCount() } catch { throw RequestError(error) }
    }
}
