import DiffusionModels
import Rendering
import TensorCore
import Weights

/// Keeps the compute context and the models that cases share.
final class ModelBench {
    let context: ComputeContext
    private var models: [[String?]: LoadedModel] = [:]

    init(_ context: ComputeContext) { self.context = context }

    /// - Parameters:
    ///   - path: of a folder or a single file; nil for the model inside the program.
    ///   - configuration: the folder with a single file's configuration; nil for a folder.
    func model(at path: String?, configuration: String? = nil) throws -> LoadedModel {
        let key = [path, configuration]
        if let known = models[key] { return known }
        let source = try path.map { path in
            var choice = ModelChoice(path: path)
            choice.configuration = configuration
            return try ModelSource.open(choice)
        }
        let model = try LoadedModel(source ?? .embeddedModel, context)
        models[key] = model
        return model
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

    /// The components of its text encoders, in order.
    var textEncoders: [String] { Array(networks.parts.architecture.family.textEncoders) }

    /// - Parameter part: `text_encoder` or `text_encoder_2`.
    func textEncoder(_ part: String) throws -> CLIPTextModel {
        guard let index = textEncoders.firstIndex(of: part) else {
            throw GoldenError.failed("the model has no \(part)")
        }
        return try networks.textEncoder(index)
    }
}
