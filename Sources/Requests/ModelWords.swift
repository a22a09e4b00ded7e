import Rendering
public import Sentences
import StrictJSON
public import Weights

/// A user's words on a checkpoint, beside its path:
///
/// - `vae`: another autoencoder (a folder, a model's folder, or a file);
/// - `model_config`: a model folder with the configuration and tokenizer for a single file;
/// - `prediction_type`: `epsilon` or `v_prediction`;
/// - `variant`: the kind of weight files in a folder, such as `fp16`;
/// - `ignore_unknown_tensors`: `true`, or no word.
public struct CheckpointWords: Sendable {
    private let words: [Setting: String]
    private let digests: DigestMemory?

    /// Without words the checkpoint stays as it is. Without `digests`, all files of a model are hashed.
    public init(_ words: [Setting: String] = [:], digests: DigestMemory? = nil) {
        (self.words, self.digests) = (words, digests)
    }

    private var vae: String? { words[.vae] }
    private var modelConfig: String? { words[.modelConfig] }
    private var variant: String? { words[.variant] }
    private var ignoreUnknownTensors: Bool { words[.ignoreUnknownTensors] == "true" }

    /// The settings with words that belong to one model only.
    fileprivate var given: [Setting] { [.vae, .modelConfig, .predictionType, .variant].filter { words[$0] != nil } }

    fileprivate var faults: [SettingFault] { given.map { SettingFault($0) } }

    /// Whether there are no words.
    public var isPlain: Bool { words.isEmpty }

    /// Whether no word belongs to one model only.
    var isEmpty: Bool { given.isEmpty }

    /// The model at `path` with these words. Throws `invalid` for an unknown prediction type.
    public func choice(_ path: String) throws(RequestError) -> ModelChoice {
        var choice = ModelChoice(path: path)
        choice.vae = vae
        choice.configuration = modelConfig
        choice.prediction = try prediction()
        choice.variant = variant
        choice.ignoresUnknownTensors = ignoreUnknownTensors
        choice.digests = digests
        return choice
    }

    /// Opens a model by its path, or else by its name or identity in the store of this host.
    ///
    /// - Throws: `notFound`, `badInput`, or `invalid` for words that do not fit the model.
    public func open(_ reference: String) throws(RequestError) -> ModelSource {
        let choice = try choice(reference)
        do throws(WeightsError) {
            if ModelStore.isPath(reference) { return try .open(choice) }
            let store = try ModelStore.standard(digests)
            guard let stored = try store.find(reference) else { throw store.notFound(reference) }
            if modelConfig == nil && variant == nil {
                return try store.open(
                    stored, prediction: choice.prediction, vae: vae, ignoresUnknownTensors: ignoreUnknownTensors)
            }
        } catch {
            // With words of its own, any of them may be at fault: the sentence tells which.
            throw given.isEmpty
                ? RequestError(error).about(.model, reference)
                : RequestError(error).about(([.model] + given).map { SettingFault($0) })
        }
        throw RequestError.invalid(
            "\(reference) is a stored model, which was imported with its own configuration: leave \(.modelConfig) and "
                + "\(.variant) out."
        ).about(faults)
    }

    /// The model inside this program.
    func embedded() throws(RequestError) -> ModelSource {
        guard modelConfig == nil, variant == nil else {
            throw RequestError.invalid("\(.modelConfig) and \(.variant) need a \(.model).").about(faults)
        }
        let prediction = try prediction()
        do throws(WeightsError) {
            return try ModelSource.embeddedModel.adjusted(vae: vae, prediction: prediction, digests: digests)
                .ignoringUnknownTensors(ignoreUnknownTensors)
        } catch {
            throw RequestError(error).about(.vae, vae)
        }
    }

    private func prediction() throws(RequestError) -> UNetPrediction? {
        guard let predictionType = words[.predictionType] else { return nil }
        guard let prediction = UNetPrediction(option: predictionType) else {
            throw RequestError.invalid("\(.predictionType) must be epsilon or v_prediction, not '\(predictionType)'.").about([
                SettingFault(
                    .predictionType, value: .string(predictionType), possible: .choices(["epsilon", "v_prediction"]))
            ])
        }
        return prediction
    }
}

/// One or several checkpoints in a user's words.
public struct ModelWords: Sendable {
    /// Paths, or names and identities of stored models. An empty list is the embedded model.
    public var references: [String]
    public var checkpoint: CheckpointWords

    /// References without words on the checkpoint.
    public init(_ references: [String], _ checkpoint: CheckpointWords = CheckpointWords()) {
        (self.references, self.checkpoint) = (references, checkpoint)
    }

    /// The named checkpoint, or the embedded one. Throws the errors of `sources`, and `invalid` for several checkpoints.
    public func source() throws(RequestError) -> ModelSource {
        guard references.count <= 1 else {
            throw .invalid("One picture is made with one model; give \(.model) once.", about: .model)
        }
        return try sources()[0]
    }

    /// The named checkpoints in their order, or the embedded one.
    ///
    /// - Throws: the errors of `CheckpointWords.open`, and `invalid` for several models with words that belong to one.
    public func sources() throws(RequestError) -> [ModelSource] {
        guard references.count <= 1 || checkpoint.isEmpty else {
            throw RequestError.invalid(
                "\(.vae), \(.modelConfig), \(.predictionType) and \(.variant) belong to one model; give \(.model) once, or "
                    + "import the models with these options by 'patchloom model import' and name them."
            ).about(checkpoint.faults)
        }
        guard !references.isEmpty else { return [try checkpoint.embedded()] }
        return try references.map { reference throws(RequestError) in try checkpoint.open(reference) }
    }

    /// Bytes of the weights of `source`; 0 for the embedded model, which is small.
    ///
    /// - Throws: `notFound` or `badInput` for files that cannot be read.
    public func weightBytes(_ source: ModelSource) throws(RequestError) -> Int {
        guard !references.isEmpty else { return 0 }
        do { return try source.weightByteCount() } catch { throw RequestError(error).about(.model) }
    }
}
