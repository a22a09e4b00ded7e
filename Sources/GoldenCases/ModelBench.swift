import DiffusionModels
import Rendering
import TensorCore
import Weights

/// Keeps the compute context and the models that cases share.
final class ModelBench {
    let context: ComputeContext
    private var models: [String: LoadedModel] = [:]

    init(_ context: ComputeContext) { self.context = context }

    /// - Parameter configuration: the folder with a single file's configuration; nil for a folder.
    func model(at path: String, configuration: String? = nil) throws(GoldenError) -> LoadedModel {
        var choice = ModelChoice(path: path)
        choice.configuration = configuration
        return try model(key: configuration.map { "\(path)\0\($0)" } ?? path) { try ModelSource.open(choice) }
    }

    /// The model inside the program.
    func embeddedModel() throws(GoldenError) -> LoadedModel { try model(key: "") { .embeddedModel } }

    private func model(key: String, _ source: () throws -> ModelSource) throws(GoldenError) -> LoadedModel {
        if let known = models[key] { return known }
        do { models[key] = try LoadedModel(source(), context) } catch { throw .failed("\(error)") }
        return try model(key: key, source)
    }
}

/// A model in the program: the machine's description, and a worker's networks.
struct LoadedModel {
    let source: ModelSource
    let runner: TaskRunner
    let networks: ModelNetworks

    init(_ source: ModelSource, _ context: ComputeContext) throws(RenderError) {
        self.source = source
        runner = try TaskRunner(models: [source], context: context)
        networks = try runner.networks()
    }

    func description() throws -> ModelDescription { try ModelDescription(source: source) }

    /// The components of its text encoders, in order.
    var textEncoders: [String] { Array(networks.parts.architecture.family.textEncoders) }

    func unet() throws -> UNet { try networks.unet() }

    func decoder() throws -> VAEDecoder { try networks.decoder() }

    func encoder() throws -> VAEEncoder { try networks.encoder() }

    /// - Parameter part: `text_encoder` or `text_encoder_2`.
    func textEncoder(_ part: String) throws -> CLIPTextModel {
        guard let index = textEncoders.firstIndex(of: part) else {
            throw GoldenError.failed("the model has no \(part)")
        }
        return try networks.textEncoder(index)
    }
}
