public import ContentHash
import Sentences
public import StrictJSON

/// The facts that `model inspect` prints, from the configuration and the heads of the weight files.
public struct ModelSummary: Sendable {
    /// One network.
    public struct Component: Sendable, Equatable {
        /// `unet`, `vae`, `text_encoder` or `text_encoder_2`.
        public var name: String
        public var parameters: Int
        /// Stored types, sorted: `F16`.
        public var types: [String]
    }

    public let name: String
    public let identity: SHA256Digest
    public let architecture: ModelArchitecture
    /// diffusers' class of its pipeline.
    public let pipeline: String
    public let scheduler: String
    public let isPredictionAssumed: Bool
    /// The factor from the autoencoder's latents to the U-Net's.
    public let scalingFactor: Double
    /// Whether latents have means and deviations of their own.
    public let hasLatentStatistics: Bool
    /// Width and layers of each text encoder.
    public let textEncoders: [(width: Int, layers: Int)]
    public let components: [Component]

    /// Reads every weight once, for the identity. Shows an invalid number as 0; the networks check their configurations.
    public init(_ source: ModelSource) throws(WeightsError) {
        name = source.name
        let named = try ModelIdentity.components(of: source)
        let index = try source.json("model_index.json")
        let configuration = try ModelConfiguration(source)
        let (vae, schedule) = (configuration.vae, configuration.scheduler)
        pipeline = try PipelineClass.name(index, source) ?? "unknown"
        scheduler = schedule["_class_name"]?.stringValue ?? "unknown"
        isPredictionAssumed = source.assumedPrediction != nil
        architecture = configuration.architecture
        scalingFactor = vae["scaling_factor"]?.doubleValue ?? ModelFamily.LatentScale.first.factor
        hasLatentStatistics = vae["latents_mean"].map { !$0.isNull } ?? false
        textEncoders = try ModelFamily.textEncoders.filter(named.contains).map { component throws(WeightsError) in
            let json = try source.json(component + "/config.json")
            return (json.number("hidden_size", or: 512), json.number("num_hidden_layers", or: 12))
        }
        components = try ModelIdentity.weightComponents.filter(named.contains).map { component throws(WeightsError) in
            try source.facts(of: component)
        }
        identity = try source.identity()
    }

    /// The summary for programs.
    public var json: JSONValue {
        [
            "name": .string(name), "identity": .string(identity.hex), "family": .string(architecture.family.name),
            "pipeline": .string(pipeline), "scheduler": .string(scheduler),
            "prediction_type": .string(architecture.predictionType),
            "prediction_assumed": .bool(isPredictionAssumed),
            "native_size": architecture.nativeSize.map { .integer(Int64($0)) } ?? .null,
            "in_channels": .integer(Int64(architecture.inputChannels)),
            "inpainting": .bool(architecture.isInpainting),
            "latent_channels": .integer(Int64(architecture.latentChannels)),
            "vae_scaling_factor": .number(scalingFactor), "vae_latent_statistics": .bool(hasLatentStatistics),
            "text_encoders": .array(
                textEncoders.map { ["width": .integer(Int64($0.width)), "layers": .integer(Int64($0.layers))] }),
            "components": .array(
                components.map {
                    [
                        "name": .string($0.name), "parameters": .integer(Int64($0.parameters)),
                        "types": .array($0.types.map { .string($0) }),
                    ]
                }),
        ]
    }

    /// The summary for people: a label and its value for each line.
    public var lines: [(String, String)] {
        let encoders = textEncoders.map { "width \($0.width), \($0.layers) layers" }.joined(separator: "; ")
        let guess = " (assumed: the file does not say; a base model needs the prediction type epsilon)"
        var lines = [
            ("model", name), ("family", architecture.family.name + (architecture.isInpainting ? ", inpainting" : "")),
            ("predicts", isPredictionAssumed ? architecture.predictionType + guess : architecture.predictionType),
            ("native size", architecture.nativeSize.map { "\($0) px" } ?? "not said"),
            ("scheduler", scheduler), ("text encoders", encoders),
            ("U-Net channels", "\(architecture.inputChannels) in"),
            (
                "VAE",
                "\(architecture.latentChannels) latent channels, scaling \(scalingFactor)"
                    + (hasLatentStatistics ? ", own means" : "")
            ),
        ]
        for component in components {
            lines.append((component.name, "\(component.parameters) parameters, \(component.types.joined(separator: ", "))"))
        }
        lines.append(("identity", identity.hex))
        return lines
    }
}

extension ModelSource {
    /// The number of a component's parameters, and their types.
    func facts(of component: String) throws(WeightsError) -> ModelSummary.Component {
        var parameters = 0
        var types: Set<String> = []
        let stored = try storedComponent(component)
        for piece in stored.pieces.values {
            let type = stored.files[piece.file].tensors[piece.key]?.elementType
            guard let type, type.isFloatingPoint else { continue }
            // Shapes fit their file, so products do not overflow.
            parameters = parameters.addingClamped(piece.shape.reduce(1, *))
            types.insert(type.rawValue)
        }
        return ModelSummary.Component(name: component, parameters: parameters, types: types.sorted())
    }

    /// Bytes of all weight files that the model uses.
    public func weightByteCount() throws(WeightsError) -> Int {
        try usedWeights().values.reduce(0) { $0.addingClamped($1.bytes.count) }
    }
}
