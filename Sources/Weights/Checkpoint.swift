import StrictJSON

/// A checkpoint in a single file of the original layouts: LDM for Stable Diffusion 1 and 2, SGM for XL.
///
/// Every tensor of the file belongs to a component under diffusers' name, or is no part of the model and left alone: averaged
/// weights (`model_ema.`) beside the plain ones, constants and counters of training, modules that other programs put there. A
/// tensor inside of a network that has no place there keeps its own name, so that the network refuses it.
struct Checkpoint {
    private let file: SafetensorsFile
    private let traits: CheckpointTraits
    private let scales: WeightScales
    private var pieces: [String: [String: TensorPiece]] = [:]
    /// Names that no part of the model asks for, but for those that files are known to hold.
    private(set) var leftovers: [String] = []

    /// The file's part of a model's identity.
    static let label = "checkpoint"

    private static let clipPrefixes = ["cond_stage_model.transformer.", "conditioner.embedders.0.transformer."]
    private static let openCLIPPrefixes = [
        CheckpointTraits.secondTextPrefix, CheckpointTraits.turboTextPrefix, "conditioner.embedders.1.model.",
    ]

    /// Sorts the file's tensors.
    ///
    /// - Parameters:
    ///   - file: with the names of the original layouts, no wrapper before them.
    ///   - configuration: the model's configuration files.
    /// - Throws: `.malformed` when two tensors are the same part of the model.
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
            } else if traits.family == .stableDiffusionXL {
                try addXLText(key, stored.shape)
            } else {
                try addText(key, stored.shape, layers: textLayers)
            }
        }
    }

    /// The tensors by component, as the file holds them.
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
            throw WeightsError(
                .malformed,
                "\(file.name) holds \(quoted(min(other.key, piece.key))) and \(quoted(max(other.key, piece.key))), which are the same "
                    + "part of the model; remove one.")
        }
    }

    private mutating func addXLText(_ key: String, _ shape: [Int]) throws(WeightsError) {
        if let name = key.dropping("conditioner.embedders.0.transformer.") {
            try addCLIP(name, key, shape)
        } else if let name = key.dropping("conditioner.embedders.1.model.") {
            try addOpenCLIP(name, key, shape, to: "text_encoder_2")
        } else {
            leftovers.append(file.nameInFile(key))
        }
    }

    /// A tensor of CLIP's text encoder. Old files, written with a transformers that nested its modules less, leave out the
    /// `text_model.` that the names begin with; the projection is not used.
    private mutating func addCLIP(_ name: String, _ key: String, _ shape: [Int]) throws(WeightsError) {
        guard ComponentNames.isInside(name, "text_encoder"), !name.hasPrefix("text_projection.") else {
            leftovers.append(file.nameInFile(key))
            return
        }
        try add(name.hasPrefix("text_model.") ? name : "text_model." + name, key, shape, to: "text_encoder")
    }

    /// - Parameter layers: of the text encoder. Stable Diffusion 2 takes the state before the last layer, and its configuration
    ///   leaves that layer out; files hold it all the same.
    private mutating func addText(_ key: String, _ shape: [Int], layers: Int?) throws(WeightsError) {
        if traits.family == .stableDiffusion1, let name = key.dropping("cond_stage_model.transformer.") {
            try addCLIP(name, key, shape)
        } else if traits.family == .stableDiffusion2, let name = Checkpoint.secondText(key) {
            let isLast = OpenCLIPNames.block(name).map { $0 == layers } ?? false
            if isLast || name == "text_projection" { return }
            try addOpenCLIP(name, key, shape, to: "text_encoder")
        } else {
            leftovers.append(file.nameInFile(key))
        }
    }

    private mutating func addOpenCLIP(
        _ name: String, _ key: String, _ shape: [Int], to component: String
    ) throws(WeightsError) {
        guard OpenCLIPNames.isText(name) else {
            leftovers.append(file.nameInFile(key))
            return
        }
        let own = [name: TensorPiece(key: key, shape: shape)]
        try add(OpenCLIPNames.pieces(name, key: key, shape: shape, scale: scales.scale(of: key)) ?? own, to: component)
    }

    /// Whether a name lies inside of one of the networks of a checkpoint.
    static func isPart(_ key: String) -> Bool {
        if key.hasPrefix(CheckpointTraits.unetPrefix) { return true }
        if let name = key.dropping(CheckpointTraits.vaePrefix) { return ComponentNames.isInside(name, "vae") }
        if let name = clipPrefixes.lazy.compactMap({ key.dropping($0) }).first {
            return ComponentNames.isInside(name, "text_encoder")
        }
        return openCLIPPrefixes.lazy.compactMap { key.dropping($0) }.first.map(OpenCLIPNames.isText) ?? false
    }

    /// Levels of an autoencoder by its configuration; diffusers has one where the configuration does not say.
    static func vaeLevels(_ configuration: JSONValue) -> Int { configuration["block_out_channels"]?.arrayValue?.count ?? 1 }

    /// The attention's layers are 1×1 convolutions in most files and matrices in diffusers; the numbers are the same.
    static func vaeShape(_ path: String?, _ shape: [Int]) -> [Int] {
        guard path?.contains(".attentions.") == true, shape.count == 4, shape[2...] == [1, 1] else { return shape }
        return Array(shape[..<2])
    }

    /// Layers of Stable Diffusion 2's text encoder, for files that come without a configuration: all but the last of
    /// ViT-H/14's 24, which some files leave out.
    static func textLayers(_ file: SafetensorsFile) -> Int {
        let blocks = file.tensors.keys.compactMap { secondText($0).flatMap(OpenCLIPNames.block) }
        return min((blocks.max() ?? 0) + 1, 23)
    }

    /// OpenCLIP's name of a tensor of Stable Diffusion 2's text encoder.
    private static func secondText(_ key: String) -> String? {
        key.dropping(CheckpointTraits.secondTextPrefix) ?? key.dropping(CheckpointTraits.turboTextPrefix)
    }
}

extension String {
    /// What follows the prefix; nil when the text does not begin with it.
    func dropping(_ prefix: String) -> String? { hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil }
}
