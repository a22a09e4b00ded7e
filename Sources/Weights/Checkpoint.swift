import StrictJSON

/// A checkpoint in a single file of the original layouts: LDM for Stable Diffusion 1 and 2, SGM for XL.
///
/// Every tensor of the file belongs to a component under diffusers' name, or is known to mean nothing here; any other is an
/// error that names it. Averaged weights (`model_ema.`) beside the plain ones are left alone, as diffusers does.
struct Checkpoint {
    private let file: SafetensorsFile
    private let traits: CheckpointTraits
    private var pieces: [String: [String: TensorPiece]] = [:]
    private var strangers: [String] = []

    /// The file's part of a model's identity.
    static let label = "checkpoint"

    /// Constants of training, marks, and parts of text encoders that diffusers' pipelines leave out.
    private static let ignoredNames: Set<String> = [
        "alphas_cumprod", "alphas_cumprod_prev", "betas", "edm_mean", "edm_std", "global_step",
        "log_one_minus_alphas_cumprod", "logvar", "lvlb_weights", "posterior_log_variance_clipped", "posterior_mean_coef1",
        "posterior_mean_coef2", "posterior_variance", "scale_factor", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
        "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "v_pred", "ztsnr",
    ]
    private static let ignoredPrefixes = [
        "model_ema.", "denoiser.", "first_stage_model.loss.", "first_stage_model.model_ema.",
    ]
    private static let ignoredEndings = [".position_ids", ".logit_scale", ".attn_mask"]

    /// Sorts the file's tensors.
    ///
    /// - Parameter configuration: the model's configuration files.
    /// - Throws: `.unusedTensors` naming the tensors that fit nowhere.
    init(_ file: SafetensorsFile, _ traits: CheckpointTraits, configuration: FileStore) throws(WeightsError) {
        self.file = file
        self.traits = traits
        let unetFile = "unet/config.json"
        let unetNames = OriginalUNetNames(
            try UNetTopology(configuration: configuration.json(unetFile), file: configuration.location(of: unetFile)))
        let vaeNames = OriginalVAENames(levels: Checkpoint.vaeLevels(file.tensors.keys, prefix: CheckpointTraits.vaePrefix))
        let textFile = "text_encoder/config.json"
        let textLayers = try configuration.json(textFile)["num_hidden_layers"]?.intValue
        for (key, stored) in file.tensors where !Checkpoint.isIgnored(key) {
            if let name = key.dropping(CheckpointTraits.unetPrefix) {
                add(unetNames.diffusers(name), key, stored.shape, to: "unet")
            } else if let name = key.dropping(CheckpointTraits.vaePrefix) {
                let path = vaeNames.diffusers(name)
                add(path, key, Checkpoint.vaeShape(path, stored.shape), to: "vae")
            } else if traits.family == .stableDiffusionXL {
                addXLText(key, stored.shape)
            } else {
                addText(key, stored.shape, layers: textLayers)
            }
        }
        guard strangers.isEmpty else {
            throw Checkpoint.refusal(of: strangers, file.name, "of a \(traits.family.rawValue) model")
        }
    }

    /// The tensors by component, as the file holds them.
    var components: [String: RenamedComponent] {
        pieces.mapValues { RenamedComponent(file: file, label: Checkpoint.label, pieces: $0) }
    }

    private static func isIgnored(_ key: String) -> Bool {
        ignoredNames.contains(key) || ignoredPrefixes.contains { key.hasPrefix($0) }
            || ignoredEndings.contains { key.hasSuffix($0) }
    }

    private mutating func add(_ path: String?, _ key: String, _ shape: [Int], to component: String) {
        add(path.map { [$0: TensorPiece(key: key, shape: shape)] }, key, to: component)
    }

    private mutating func add(_ found: [String: TensorPiece]?, _ key: String, to component: String) {
        guard let found, found.keys.allSatisfy({ pieces[component]?[$0] == nil }) else {
            strangers.append(key)
            return
        }
        pieces[component, default: [:]].merge(found) { first, _ in first }
    }

    private mutating func addXLText(_ key: String, _ shape: [Int]) {
        if let name = key.dropping("conditioner.embedders.0.transformer.") {
            addCLIP(name, key, shape)
        } else if let name = key.dropping("conditioner.embedders.1.model.") {
            add(OpenCLIPNames.pieces(name, key: key, shape: shape), key, to: "text_encoder_2")
        } else {
            strangers.append(key)
        }
    }

    /// A tensor of CLIP's text encoder. Old files, written with a transformers that nested its modules less, leave out the
    /// `text_model.` that the names begin with; the projection is not used.
    private mutating func addCLIP(_ name: String, _ key: String, _ shape: [Int]) {
        if name.hasPrefix("text_projection.") { return }
        let isOld = ["embeddings.", "encoder.", "final_layer_norm."].contains { name.hasPrefix($0) }
        add(isOld ? "text_model." + name : name, key, shape, to: "text_encoder")
    }

    /// - Parameter layers: of the text encoder. Stable Diffusion 2 takes the state before the last layer, and its configuration
    ///   leaves that layer out; files hold it all the same.
    private mutating func addText(_ key: String, _ shape: [Int], layers: Int?) {
        if traits.family == .stableDiffusion1, let name = key.dropping("cond_stage_model.transformer.") {
            addCLIP(name, key, shape)
        } else if traits.family == .stableDiffusion2, let name = Checkpoint.secondText(key) {
            let isLast = OpenCLIPNames.block(name).map { $0 == layers } ?? false
            if isLast || name == "text_projection" { return }
            add(OpenCLIPNames.pieces(name, key: key, shape: shape), key, to: "text_encoder")
        } else {
            strangers.append(key)
        }
    }

    /// Levels of an autoencoder: one more than the largest number among its decoder's.
    static func vaeLevels(_ keys: some Sequence<String>, prefix: String) -> Int {
        let numbers = keys.compactMap { $0.dropping(prefix + "decoder.up.").flatMap { Int($0.prefix { $0 != "." }) } }
        return min(max(0, numbers.max() ?? 0), 63) + 1
    }

    /// The attention's layers are 1×1 convolutions in most files and matrices in diffusers; the numbers are the same.
    static func vaeShape(_ path: String?, _ shape: [Int]) -> [Int] {
        guard path?.contains(".attentions.") == true, shape.count == 4, shape[2...] == [1, 1] else { return shape }
        return Array(shape[..<2])
    }

    /// - Parameter whose: what they should belong to.
    static func refusal(of keys: [String], _ name: String, _ whose: String) -> WeightsError {
        let sorted = keys.sorted()
        let names = sorted.prefix(5).map(quoted).joined(separator: ", ")
        let more = sorted.count > 5 ? " and \(sorted.count - 5) more" : ""
        return WeightsError(
            .unusedTensors,
            "\(name) holds \(sorted.count) tensors that are no part \(whose): \(names)\(more); it is damaged, or its "
                + "configuration is another (--model-config).")
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
