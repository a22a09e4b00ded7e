import Glibc
import Sentences

/// The network of a model that a LoRA changes. The raw value is the component's folder.
enum LoRANetwork: String, Sendable, CaseIterable {
    case unet
    case textEncoder = "text_encoder"
    case textEncoder2 = "text_encoder_2"
}

/// The parts of a tensor name in a LoRA file: network, layer and role.
///
/// Four namings are known, and files mix them:
/// - kohya's: `lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight`, `lora_te_…` for the text encoder, `lora_te1_…`
///   and `lora_te2_…` for SDXL's two, `.alpha` beside them; the path below the prefix has `_` for `.`;
/// - PEFT's, which diffusers writes: `unet.down_blocks.0.attentions.0.proj_in.lora_A.weight`, `text_encoder.…`,
///   `text_encoder_2.…`, with or without `base_model.model.` and the adapter's name (`….lora_A.default.weight`);
/// - older diffusers': `….proj_in.lora.down.weight`, `….q_proj.lora_linear_layer.down.weight`, and for attention
///   `….attn1.processor.to_q_lora.down.weight`; the U-Net's may lack the prefix `unet.`;
/// - the original repositories' paths behind `diffusion_model.`.
///
/// Paths of the U-Net are those of diffusers or of the original repositories (`input_blocks_4_1_…`); `LoRATargets` knows both.
struct LoRAKey: Equatable {
    enum Role: String {
        /// (out, rank), with trailing ones for a convolution.
        case up
        /// (rank, in), with the kernel for a convolution.
        case down
        /// LoCon's kernel in the space of the ranks, (rank, rank, h, w).
        case mid
        /// One number; the product is scaled by alpha / rank.
        case alpha
    }

    let network: LoRANetwork
    /// The layer's path with `_` for `.`, as kohya writes it.
    let layer: String
    let role: Role
    /// The adapter's name, if PEFT put one into the tensor's.
    let adapter: String?

    private static let endings: [(String, Role)] = [
        (".lora_up.weight", .up), (".lora_down.weight", .down), (".lora_mid.weight", .mid),
        (".lora_up", .up), (".lora_down", .down), (".lora_mid", .mid),
        (".lora_B.weight", .up), (".lora_A.weight", .down),
        (".lora.up.weight", .up), (".lora.down.weight", .down), (".lora.alpha", .alpha),
        (".lora_linear_layer.up.weight", .up), (".lora_linear_layer.down.weight", .down),
        (".lora_linear_layer.alpha", .alpha),
        (".up.weight", .up), (".down.weight", .down), (".alpha", .alpha),
    ]

    /// Reads a tensor's name; nil unless it belongs to a LoRA for Stable Diffusion.
    init?(_ name: String) {
        let (name, adapter) = Self.withoutAdapter(name)
        guard let (ending, role) = Self.endings.first(where: { name.hasSuffix($0.0) }) else { return nil }
        let whole = String(name.dropLast(ending.count))
        if ending == ".up.weight" || ending == ".down.weight" {
            // Only the processors of old diffusers end so.
            guard whole.hasSuffix("_lora") else { return nil }
        }
        guard let (network, found) = Self.network(of: whole) else { return nil }
        var path = found
        if path.hasSuffix("_lora") { path = Self.processorLayer(String(path.dropLast("_lora".count)), network) }
        guard !path.isEmpty else { return nil }
        self.network = network
        self.role = role
        self.adapter = adapter
        // torch's compiler puts steps into paths.
        layer = flat(path).replacing("_orig_mod_", with: "")
    }

    /// A name without the adapter's: `….lora_A.weight` for `….lora_A.mine.weight`. An adapter's name has no dot.
    static func withoutAdapter(_ name: String) -> (name: String, adapter: String?) {
        guard strstr(name, ".lora_A.") != nil || strstr(name, ".lora_B.") != nil else { return (name, nil) }
        var steps = name.split(separator: ".", omittingEmptySubsequences: false)
        let place = steps.count - 3
        guard place >= 0, steps[place] == "lora_A" || steps[place] == "lora_B" else { return (name, nil) }
        let adapter = String(steps.remove(at: place + 1))
        return (steps.joined(separator: "."), adapter)
    }

    private static let prefixes: [(String, LoRANetwork)] = [
        ("lora_unet_", .unet), ("lora_te1_", .textEncoder), ("lora_te2_", .textEncoder2), ("lora_te_", .textEncoder),
        ("unet.", .unet), ("text_encoder_2.", .textEncoder2), ("text_encoder.", .textEncoder),
        ("model.diffusion_model.", .unet), ("diffusion_model.", .unet),
    ]
    /// Beginnings of paths without a prefix.
    private static let beginnings: [(String, LoRANetwork)] = [
        ("down_blocks.", .unet), ("mid_block.", .unet), ("up_blocks.", .unet), ("time_embedding.", .unet),
        ("add_embedding.", .unet), ("conv_in", .unet), ("conv_out", .unet), ("text_model.", .textEncoder),
    ]
    private static let peft = "base_model.model."
    /// Prefixes of training programs.
    private static let wrappers = ["state_dict.", "module.", "model.", "lora.", "_orig_mod."]

    /// Whether an unknown name begins like one of a LoRA, so it means something for the model.
    static func belongsToModel(_ name: String) -> Bool { network(of: name) != nil }

    /// Counters that trainers write into the network that they train.
    private static let counters: Set<String> = ["epoch", "global_step", "num_updates", "step"]

    /// Whether an unknown name is only a constant or a counter.
    static func isHarmless(_ name: String) -> Bool {
        guard let (_, path) = network(of: name) else { return false }
        let flat = flat(path)
        return ComponentNames.isHarmless(path) || counters.contains(flat) || HarmlessTensors.names.contains(flat)
            || HarmlessTensors.endings.contains { flat == $0 || flat.hasSuffix("_" + $0) }
    }

    /// The network of a name, and the rest of the name behind wrappers and prefix.
    private static func network(of name: String) -> (LoRANetwork, path: String)? {
        // A loop, not a recursion: a hostile name may have any number of wrappers.
        var rest = name
        while true {
            rest = rest.dropping(peft) ?? rest
            if let (prefix, network) = prefixes.first(where: { rest.hasPrefix($0.0) }) {
                let path = String(rest.dropFirst(prefix.count))
                return (network, path.dropping(peft) ?? path)
            }
            if let (_, network) = beginnings.first(where: { rest.hasPrefix($0.0) }) { return (network, rest) }
            guard let inner = wrappers.lazy.compactMap({ rest.dropping($0) }).first else { return nil }
            rest = inner
        }
    }

    /// The layer of an attention processor of old diffusers.
    private static func processorLayer(_ path: String, _ network: LoRANetwork) -> String {
        let names: [String: String] =
            network == .unet
            ? ["to_out": "to_out.0"] : ["to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"]
        var parts = path.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        if parts.count > 1, parts[parts.count - 2] == "processor" { parts.remove(at: parts.count - 2) }
        if let last = parts.last, let name = names[last] { parts[parts.count - 1] = name }
        return parts.joined(separator: ".")
    }
}

/// A path as kohya writes it.
func flat(_ path: String) -> String { String(path.map { $0 == "." ? "_" : $0 }) }

/// Refuses by name: adapters other than plain LoRAs, and LoRAs of other architectures.
enum LoRAKind {
    /// Parts of tensor names, and the kind of file that has one.
    private static let foreignParts: [(part: String, what: String)] = [
        (".hada_", "a LoHa (LyCORIS)"), (".lokr_", "a LoKr (LyCORIS)"), (".oft_", "an OFT"), (".boft_", "a BOFT"),
        (".lora_magnitude_vector", "a DoRA"), ("bundle_emb.", "a LoRA with embeddings in it"),
        ("emb_params", "a textual inversion"), ("string_to_param", "a textual inversion"),
        ("control_model.", "a ControlNet"), ("lora_controlnet", "a Control-LoRA"),
    ]
    private static let foreignEndings: [(part: String, what: String)] = [
        (".dora_scale", "a DoRA"), (".on_input", "an IA3 (LyCORIS)"),
        (".a1.weight", "a GLoRA (LyCORIS)"), (".b1.weight", "a GLoRA (LyCORIS)"), (".a2.weight", "a GLoRA (LyCORIS)"),
        (".b2.weight", "a GLoRA (LyCORIS)"), (".w_norm", "a file with trained norms (LyCORIS)"),
        (".b_norm", "a file with trained norms (LyCORIS)"), (".diff", "a file of full differences (LyCORIS)"),
        (".diff_b", "a file of full differences (LyCORIS)"), (".scalar", "a LyCORIS with learned scalars"),
        (".lora_B.bias", "a LoRA with biases"), (".lora_up.bias", "a LoRA with biases"),
    ]
    private static let otherFamilies: [(part: String, what: String)] = [
        ("double_blocks", "Flux"), ("single_blocks", "Flux"), ("single_transformer_blocks", "Flux"),
        ("joint_blocks", "Stable Diffusion 3"), ("lora_te3_", "Stable Diffusion 3"), ("text_encoder_3.", "Stable Diffusion 3"),
        ("lora_prior_unet_", "Stable Cascade"),
    ]

    /// The refusal of a file that holds a tensor of this name; nil if nothing speaks against it.
    static func refusal(of key: String, in file: String) -> WeightsError? {
        if let (_, family) = otherFamilies.first(where: { strstr(key, $0.part) != nil }) {
            return .unsupportedFormat(
                "\(file) is a LoRA for \(family) (it holds \(quoted(key))); choose one for \(ModelFamily.names("or")).")
        }
        if key.hasPrefix("transformer.") {
            return .unsupportedFormat(
                "\(file) is a LoRA for a diffusion transformer such as Flux or Stable Diffusion 3 (it holds \(quoted(key))); "
                    + "choose one for \(ModelFamily.names("or")).")
        }
        let plain = LoRAKey.withoutAdapter(key).name
        let foreign =
            foreignParts.first { strstr(plain, $0.part) != nil } ?? foreignEndings.first { plain.hasSuffix($0.part) }
        return foreign.map {
            .unsupportedFormat(
                "\(file) is \($0.what) (it holds \(quoted(key))), which is not supported; choose a plain LoRA or LoCon.")
        }
    }
}
