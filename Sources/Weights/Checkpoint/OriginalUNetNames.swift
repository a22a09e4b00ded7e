import Sentences
public import StrictJSON

/// The levels and layers of a U-Net, which decide the numbers of its blocks in the original programs.
public struct UNetTopology: Sendable, Equatable {
    /// Residual blocks of each level on the way down, from the top; one more on the way up.
    public let layersPerBlock: [Int]
    /// Whether each level has attention on the way down, from the top.
    public let downAttention: [Bool]
    /// The same on the way up, from the bottom, as `up_block_types` lists them.
    public let upAttention: [Bool]

    /// Levels of the U-Net.
    public var levels: Int { layersPerBlock.count }
}

extension UNetTopology {
    /// Reads the topology from a U-Net's `config.json`, which messages call `file`. `UNetConfiguration` checks the rest.
    /// Throws `.malformed` that names the key.
    public init(configuration: JSONValue, file: String = "unet/config.json") throws(WeightsError) {
        let fields = JSONFields(configuration.objectValue ?? JSONObject()) { fault -> WeightsError in
            .malformed("\(file): \(fault.key) must be \(fault.need).")
        }
        let types = JSONShape<[String]>.list(of: .string(), count: 1...16)
        downAttention = try fields.required("down_block_types", types).map { $0.contains("CrossAttn") }
        upAttention = try fields.required("up_block_types", types).map { $0.contains("CrossAttn") }
        guard downAttention.count == upAttention.count else {
            throw .malformed("\(file): down_block_types and up_block_types have different lengths.")
        }
        let value = configuration["layers_per_block"] ?? 2
        let layers = value.arrayValue?.map(\.intValue) ?? Array(repeating: value.intValue, count: downAttention.count)
        layersPerBlock = layers.compactMap { $0.flatMap { (1...64).contains($0) ? $0 : nil } }
        guard layersPerBlock.count == downAttention.count, layers.count == downAttention.count else {
            throw .malformed("\(file): layers_per_block must be a number from 1 to 64, or one for each of the blocks.")
        }
    }
}

/// The names of a U-Net's tensors in the original programs (LDM for Stable Diffusion 1 and 2, SGM for SDXL) and in diffusers.
///
/// The original programs number all blocks from 0, on the way down as `input_blocks.N.M` and on the way up as
/// `output_blocks.N.M`. M is the place inside a block: residual block, transformer, resampler. Names have no prefix such as
/// `model.diffusion_model.`. LoRA files of kohya's scripts for SDXL use the same names with `_` for `.`.
public struct OriginalUNetNames: Sendable {
    /// Paths of modules in both namings: residual blocks, transformers, resamplers and the layers outside of blocks.
    private let diffusersModule: [String: String]
    private let originalModule: [String: String]

    /// Layers inside a residual block; all other modules have the same inner names in both.
    private static let residualLayers = [
        ("in_layers.0", "norm1"), ("in_layers.2", "conv1"), ("emb_layers.1", "time_emb_proj"), ("out_layers.0", "norm2"),
        ("out_layers.3", "conv2"), ("skip_connection", "conv_shortcut"),
    ]

    private static let outerLayers = [
        ("time_embed.0", "time_embedding.linear_1"), ("time_embed.2", "time_embedding.linear_2"),
        ("label_emb.0.0", "add_embedding.linear_1"), ("label_emb.0.2", "add_embedding.linear_2"),
        ("input_blocks.0.0", "conv_in"), ("out.0", "conv_norm_out"), ("out.2", "conv_out"),
    ]

    /// Computes the table for one topology.
    public init(_ topology: UNetTopology) {
        var pairs = OriginalUNetNames.outerLayers
        func residual(_ original: String, _ diffusers: String) {
            for (from, to) in OriginalUNetNames.residualLayers { pairs.append(("\(original).\(from)", "\(diffusers).\(to)")) }
        }
        var block = 1
        for level in 0..<topology.levels {
            for layer in 0..<topology.layersPerBlock[level] {
                residual("input_blocks.\(block).0", "down_blocks.\(level).resnets.\(layer)")
                if topology.downAttention[level] {
                    pairs.append(("input_blocks.\(block).1", "down_blocks.\(level).attentions.\(layer)"))
                }
                block += 1
            }
            guard level + 1 < topology.levels else { break }
            pairs.append(("input_blocks.\(block).0.op", "down_blocks.\(level).downsamplers.0.conv"))
            block += 1
        }
        residual("middle_block.0", "mid_block.resnets.0")
        pairs.append(("middle_block.1", "mid_block.attentions.0"))
        residual("middle_block.2", "mid_block.resnets.1")
        block = 0
        for (up, layers) in topology.layersPerBlock.reversed().enumerated() {
            let hasAttention = topology.upAttention[up]
            for layer in 0...layers {
                residual("output_blocks.\(block).0", "up_blocks.\(up).resnets.\(layer)")
                if hasAttention { pairs.append(("output_blocks.\(block).1", "up_blocks.\(up).attentions.\(layer)")) }
                block += 1
            }
            guard up + 1 < topology.levels else { break }
            pairs.append(("output_blocks.\(block - 1).\(hasAttention ? 2 : 1).conv", "up_blocks.\(up).upsamplers.0.conv"))
        }
        diffusersModule = Dictionary(uniqueKeysWithValues: pairs)
        originalModule = Dictionary(uniqueKeysWithValues: pairs.map { ($0.1, $0.0) })
    }

    /// diffusers' path of a tensor or module from the original one, such as `input_blocks.1.1.proj_in.weight`. Nil if the U-Net
    /// has no such block. Names inside a transformer are not checked.
    public func diffusers(_ original: String) -> String? { OriginalUNetNames.translate(original, diffusersModule) }

    /// The original path of a tensor or module from diffusers' one. Nil if the U-Net has no such block.
    public func original(_ diffusers: String) -> String? { OriginalUNetNames.translate(diffusers, originalModule) }

    /// Replaces the longest leading part of the path that is in the table.
    private static func translate(_ path: String, _ table: [String: String]) -> String? {
        var head = path[...]
        while true {
            if let module = table[String(head)] { return module + path[head.endIndex...] }
            guard let dot = head.lastIndex(of: ".") else { return nil }
            head = head[..<dot]
        }
    }
}
