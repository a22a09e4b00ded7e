import Sentences
import StrictJSON

/// A checkpoint in a single file of the original layouts: LDM for Stable Diffusion 1 and 2, SGM for XL.
///
/// Each tensor either gets its diffusers name in a component, or is ignored: averaged weights (`model_ema.`), constants and
/// counters of training, modules of other programs. An unknown tensor inside a network keeps its name, so the network refuses
/// it.
struct Checkpoint {
    private let file: SafetensorsFile
    private let traits: CheckpointTraits
    private let scales: WeightScales
    private var pieces: [String: [String: TensorPiece]] = [:]
    /// Unused names, except known ones.
    private(set) var leftovers: [String] = []

    /// Stands for the file in a model's identity.
    static let label = "checkpoint"

    /// Sorts the file's tensors, which have the names of the original layouts without prefixes of other programs.
    ///
    /// Throws `.malformed` for two tensors of the same part of the model.
    init(_ file: SafetensorsFile, _ traits: CheckpointTraits, configuration: FileStore) throws(WeightsError) {
        self.file = file
        self.traits = traits
        scales = try WeightScales(file, isPart: Checkpoint.isPart)
        let unetFile = "unet/config.json"
        let unetNames = OriginalUNetNames(
            try UNetTopology(configuration: configuration.json(unetFile), file: configuration.location(of: unetFile)))
        let vaeNames = OriginalVAENames(levels: Checkpoint.vaeLevels(try configuration.json("vae/config.json")))
        let textFile = "text_encoder/config.json"
        let textLayers = try configuration.json(textFile)["num_hidden_layers"]?.intValue
        for (key, stored) in file.tensors where !Checkpoint.isIgnored(key) && !scales.handled.contains(key) {
            if stored.count == 0 {
                leftovers.append(file.nameInFile(key))
            } else if let name = key.dropping(CheckpointTraits.unetPrefix) {
                try add(unetNames.diffusers(name) ?? name, key, stored.shape, to: "unet")
            } else if let name = key.dropping(CheckpointTraits.vaePrefix), ComponentNames.isInside(name, "vae") {
                let path = vaeNames.diffusers(name) ?? name
                try add(path, key, Checkpoint.vaeShape(path, stored.shape), to: "vae")
            } else {
                try addText(key, stored.shape, layers: textLayers)
            }
        }
    }

    var components: [String: StoredComponent] {
        pieces.mapValues { StoredComponent(name: file.name, file: file, label: Checkpoint.label, pieces: $0) }
    }

    private static func isIgnored(_ key: String) -> Bool {
        ModelMarks.tensors.contains(key) || ComponentNames.isHarmless(key)
    }

    private mutating func add(
        _ path: String, _ key: String, _ shape: [Int], to component: String
    ) throws(WeightsError) {
        try add([path: TensorPiece(key: key, shape: shape, scale: scales.scale(of: key))], to: component)
    }

    private mutating func add(_ found: [String: TensorPiece], to component: String) throws(WeightsError) {
        for (path, piece) in found {
            guard let other = pieces[component, default: [:]].updateValue(piece, forKey: path) else { continue }
            throw samePart(other.key, piece.key, of: file.name)
        }
    }

    /// Adds a tensor of a text encoder. The first encoder has `layers` layers.
    private mutating func addText(_ key: String, _ shape: [Int], layers: Int?) throws(WeightsError) {
        for (component, encoder) in zip(traits.family.textEncoders, traits.family.texts) {
            guard let name = encoder.name(of: key), encoder.holds(name) else { continue }
            switch encoder.naming {
            case .transformers:
                // The projection is not used. Old files lack the prefix `text_model.`.
                if name.hasPrefix("text_projection.") { break }
                return try add(name.hasPrefix("text_model.") ? name : "text_model." + name, key, shape, to: component)
            case .openCLIP:
                let isLast = OpenCLIPNames.block(name).map { $0 == layers } ?? false
                if encoder.leavesOutLastLayer, isLast || name == "text_projection" { return }
                let own = [name: TensorPiece(key: key, shape: shape)]
                let scale = scales.scale(of: key)
                return try add(OpenCLIPNames.pieces(name, key: key, shape: shape, scale: scale) ?? own, to: component)
            }
        }
        leftovers.append(file.nameInFile(key))
    }

    /// Whether a name lies inside a network of a checkpoint.
    static func isPart(_ key: String) -> Bool {
        if key.hasPrefix(CheckpointTraits.unetPrefix) { return true }
        if let name = key.dropping(CheckpointTraits.vaePrefix) { return ComponentNames.isInside(name, "vae") }
        let texts = ModelFamily.all.lazy.flatMap(\.texts)
        return texts.compactMap { encoder in encoder.name(of: key).map(encoder.holds) }.first ?? false
    }

    /// Levels of an autoencoder by its configuration; diffusers' default is one.
    static func vaeLevels(_ configuration: JSONValue) -> Int { configuration["block_out_channels"]?.arrayValue?.count ?? 1 }

    /// Turns the attention's 1×1 convolutions of most files into diffusers' matrices.
    static func vaeShape(_ path: String?, _ shape: [Int]) -> [Int] {
        guard path?.contains(".attentions.") == true, shape.count == 4, shape[2...] == [1, 1] else { return shape }
        return Array(shape[..<2])
    }

    /// Layers of the text encoder of a file without a configuration, never more than the published encoder uses. Some files
    /// hold one more layer, which is not used.
    static func textLayers(_ file: SafetensorsFile, _ encoder: ModelFamily.TextEncoder) -> Int {
        let blocks = file.tensors.keys.compactMap { encoder.name(of: $0).flatMap(OpenCLIPNames.block) }
        return min((blocks.max() ?? 0) + 1, encoder.configuration["num_hidden_layers"]?.intValue ?? 1)
    }
}

extension String {
    /// The text after the prefix; nil without the prefix.
    func dropping(_ prefix: String) -> String? { hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil }
}
