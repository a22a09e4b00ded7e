import ContentHash
import FoundationEssentials
import TensorCore
import TestSupport
import Testing
import Weights

/// LoRA files laid over a model.
@Suite struct LoRATests {
    /// W + factor · up · down, in f64.
    private func expected(_ weight: Numbers, up: Numbers, down: Numbers, factor: Double) -> [Float] {
        let (rows, rank) = (weight.shape[0], down.shape[0])
        let columns = weight.values.count / rows
        return (0..<weight.values.count).map { index in
            let (row, column) = (index / columns, index % columns)
            let sum = (0..<rank).reduce(0.0) {
                $0 + Double(up.values[row * rank + $1]) * Double(down.values[$1 * columns + column])
            }
            return Float(Double(weight.values[index]) + factor * sum)
        }
    }

    private func merged(_ source: ModelSource, _ layer: String) throws -> [Float] {
        let component = layer.hasPrefix("text_model") ? "text_encoder" : "unet"
        return try source.weights(component: component).tensor(layer + ".weight", shape: TinyModel.weight(layer).shape).array
    }

    private func expectClose(
        _ actual: [Float], _ expected: [Float], _ what: String, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(actual.count == expected.count, "\(what)", sourceLocation: sourceLocation)
        let worst = zip(actual, expected).map { abs($0 - $1) }.max() ?? 0
        #expect(worst < 1e-5, "\(what): \(worst)", sourceLocation: sourceLocation)
    }

    struct Naming: Sendable, CustomStringConvertible {
        let layer: String
        let up: String
        let down: String
        var description: String { down }

        init(_ layer: String, _ stem: String, _ up: String = ".lora_up.weight", _ down: String = ".lora_down.weight") {
            (self.layer, self.up, self.down) = (layer, stem + up, stem + down)
        }
    }

    static let namings: [Naming] = [
        Naming(TinyModel.toQ, "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"),
        Naming(TinyModel.toQ, "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q"),
        Naming(TinyModel.toQ, "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q", ".lora_up", ".lora_down"),
        Naming(TinyModel.toOut, "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0"),
        Naming(TinyModel.projIn, "lora_unet_input_blocks_1_1_proj_in"),
        Naming(TinyModel.kernel, "lora_unet_down_blocks_0_resnets_0_conv1"),
        Naming(TinyModel.kernel, "lora_unet_input_blocks_1_0_in_layers_2"),
        Naming(TinyModel.time, "lora_unet_input_blocks_1_0_emb_layers_1"),
        Naming(TinyModel.textQ, "lora_te_text_model_encoder_layers_0_self_attn_q_proj"),
        Naming(TinyModel.textQ, "lora_te1_text_model_encoder_layers_0_self_attn_q_proj"),
        Naming(TinyModel.crossK, "unet.\(TinyModel.crossK)", ".lora_B.weight", ".lora_A.weight"),
        Naming(TinyModel.crossK, "unet.\(TinyModel.crossK)", ".lora_B.default.weight", ".lora_A.default.weight"),
        Naming(TinyModel.crossK, "base_model.model.unet.\(TinyModel.crossK)", ".lora_B.weight", ".lora_A.weight"),
        Naming(TinyModel.crossK, "base_model.model.\(TinyModel.crossK)", ".lora_B.weight", ".lora_A.weight"),
        Naming(TinyModel.crossK, "unet.base_model.model.\(TinyModel.crossK)", ".lora_B.weight", ".lora_A.weight"),
        Naming(TinyModel.kernel, "unet.\(TinyModel.kernel)", ".lora.up.weight", ".lora.down.weight"),
        Naming(
            TinyModel.kernel, "diffusion_model.input_blocks.1.0.in_layers.2", ".lora_up.weight", ".lora_down.weight"),
        Naming(
            TinyModel.toQ, "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora", ".up.weight",
            ".down.weight"),
        Naming(
            TinyModel.toOut, "down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora", ".up.weight",
            ".down.weight"),
        Naming(
            TinyModel.textQ, "text_encoder.\(TinyModel.textQ)", ".lora_linear_layer.up.weight", ".lora_linear_layer.down.weight"
        ),
        Naming(TinyModel.textQ, "text_encoder.\(TinyModel.textQ)", ".lora_B.weight", ".lora_A.weight"),
        Naming(TinyModel.textQ, "text_encoder.encoder.layers.0.self_attn.q_proj", ".lora_B.weight", ".lora_A.weight"),
        Naming(
            TinyModel.textOut, "text_encoder.text_model.encoder.layers.0.self_attn.to_out_lora", ".up.weight", ".down.weight"),
    ]

    /// Without an alpha: the product as it is.
    @Test(arguments: namings) func everyNamingMeetsItsTensor(_ naming: Naming) throws {
        let weight = TinyModel.weight(naming.layer)
        let up = Numbers(naming.up, [weight.shape[0], 2] + weight.shape.dropFirst(2).map { _ in 1 }, seed: 20)
        let down = Numbers(naming.down, [2] + weight.shape.dropFirst(), seed: 21)
        let source = try TinyModel.source().applying([LoRAUse(lora([up, down]), scale: 0.7)])
        expectClose(
            try merged(source, naming.layer), expected(weight, up: up, down: down, factor: 0.7), naming.description)
        #expect(source.changedComponents == [naming.layer.hasPrefix("text") ? "text_encoder" : "unet"])
        // The others stay as they are, bit for bit.
        for other in [TinyModel.toQ, TinyModel.kernel, TinyModel.textOut] where other != naming.layer {
            #expect(try merged(source, other) == TinyModel.weight(other).values)
        }
    }

    /// A matrix for a 1×1 convolution and a 1×1 convolution for a matrix.
    @Test(arguments: [(TinyModel.projIn, [2, 2], [2, 2]), (TinyModel.toQ, [2, 2, 1, 1], [2, 2, 1, 1])])
    func pointwiseLayersMayBeStoredEitherWay(_ layer: String, _ upShape: [Int], _ downShape: [Int]) throws {
        let up = Numbers("unet.\(layer).lora_B.weight", upShape, seed: 30)
        let down = Numbers("unet.\(layer).lora_A.weight", downShape, seed: 31)
        let source = try TinyModel.source().applying([LoRAUse(lora([up, down]))])
        expectClose(
            try merged(source, layer), expected(TinyModel.weight(layer), up: up, down: down, factor: 1), layer)
    }

    @Test func alphaIsDividedByTheRank() throws {
        let stem = "lora_unet_input_blocks_1_0_emb_layers_1"
        let weight = TinyModel.weight(TinyModel.time)
        let up = Numbers(stem + ".lora_up.weight", [2, 5], seed: 40)
        let down = Numbers(stem + ".lora_down.weight", [5, 4], seed: 41)
        for shape in [[], [1], [1, 1]] {
            let file = try lora([up, down, Numbers(stem + ".alpha", shape, [2])])
            let source = try TinyModel.source().applying([LoRAUse(file, scale: -1.5)])
            expectClose(
                try merged(source, TinyModel.time), expected(weight, up: up, down: down, factor: -1.5 * 2 / 5), "\(shape)")
        }
    }

    /// PEFT's settings as diffusers writes them: alpha, alphas of single layers, and rsLoRA's root of the rank.
    @Test(arguments: [
        (#"{"unet.lora_alpha":6,"unet.r":2}"#, 3.0), (#"{"unet.lora_alpha":6,"unet.use_rslora":true}"#, 6 / 2.0.squareRoot()),
        (#"{"unet.lora_alpha":6,"unet.alpha_pattern":{"attn1.to_q":1}}"#, 0.5),
        (#"{"unet.lora_alpha":6,"unet.alpha_pattern":{"attn2.to_q":1}}"#, 3), (#"{"text_encoder.lora_alpha":6}"#, 1),
        ("{}", 1), (#"{"unet.lora_alpha":null,"unet.use_dora":false,"unet.alpha_pattern":{},"unet.use_rslora":null}"#, 1),
    ])
    func alphasOfTheMetadataCount(_ text: String, _ factor: Double) throws {
        let up = Numbers("unet.\(TinyModel.toQ).lora_B.weight", [2, 2], seed: 50)
        let down = Numbers("unet.\(TinyModel.toQ).lora_A.weight", [2, 2], seed: 51)
        let file = try lora([up, down], metadata: ["lora_adapter_metadata": text])
        expectClose(
            try merged(TinyModel.source().applying([LoRAUse(file)]), TinyModel.toQ),
            expected(TinyModel.weight(TinyModel.toQ), up: up, down: down, factor: factor), text)
    }

    @Test(arguments: [
        "[", "[]", #"{"unet.lora_alpha":"six"}"#, #"{"unet.alpha_pattern":{"a.*":1}}"#, #"{"unet.use_dora":true}"#,
        #"{"unet.alpha_pattern":{"to_q":"1"}}"#, #"{"unet.alpha_pattern":[1]}"#, #"{"unet.use_rslora":1}"#,
        #"{"unet.use_dora":"yes"}"#,
    ])
    func metadataThatCannotBeFollowedIsRefused(_ text: String) {
        let pair = Self.pair(TinyModel.toQ)
        let error = weightsError { _ = try lora(pair, metadata: ["lora_adapter_metadata": text]) }
        #expect(error != nil && error?.message.hasPrefix("test-lora.safetensors") == true, "\(text)")
        let words = [
            #""six""#: #"has unet.lora_alpha "six", which is not a number"#, #""to_q":"1""#: #"pattern with to_q "1", which"#,
            #"[1]"#: "has unet.alpha_pattern an array, which is not an object",
            #"rslora":1"#: "use_rslora 1, which is not true",
        ]
        for (part, sentence) in words where text.contains(part) {
            #expect(error?.message.contains(sentence) == true, "\(error?.message ?? "")")
        }
    }

    /// LoCon's kernel between the factors.
    @Test func theMiddleKernelIsFoldedIn() throws {
        let stem = "lora_unet_down_blocks_0_resnets_0_conv1"
        let weight = TinyModel.weight(TinyModel.kernel)
        let up = Numbers(stem + ".lora_up.weight", [3, 2, 1, 1], seed: 60)
        let mid = Numbers(stem + ".lora_mid.weight", [2, 2, 3, 3], seed: 61)
        let down = Numbers(stem + ".lora_down.weight", [2, 2, 1, 1], seed: 62)
        // down' (p, i, k) = Σ mid (p, q, k) down (q, i)
        var values: [Float] = []
        for p in 0..<2 {
            for i in 0..<2 {
                for k in 0..<9 {
                    values.append((0..<2).reduce(0) { $0 + mid.values[(p * 2 + $1) * 9 + k] * down.values[$1 * 2 + i] })
                }
            }
        }
        let folded = Numbers("", [2, 2, 3, 3], values)
        let source = try TinyModel.source().applying([LoRAUse(lora([up, mid, down, Numbers(stem + ".alpha", [], [1])]))])
        expectClose(
            try merged(source, TinyModel.kernel), expected(weight, up: up, down: folded, factor: 0.5), "LoCon with a middle")
    }

    /// The order of merging is the given order. Two files add the sum of both changes.
    @Test func severalFilesAddUpInTheirOrder() throws {
        let (a, b) = (Self.pair(TinyModel.kernel, seed: 70), Self.pair(TinyModel.kernel, seed: 80))
        let uses = [LoRAUse(try lora(a), scale: 0.5), LoRAUse(try lora(b), scale: 2)]
        let first = expected(TinyModel.weight(TinyModel.kernel), up: a[0], down: a[1], factor: 0.5)
        let both = expected(
            Numbers("", TinyModel.weight(TinyModel.kernel).shape, first), up: b[0], down: b[1], factor: 2)
        let base = TinyModel.source()
        let one = try merged(base.applying(uses), TinyModel.kernel)
        expectClose(one, both, "two files")
        expectClose(try merged(base.applying(uses.reversed()), TinyModel.kernel), both, "the other way round")
        // One after the other, again and with threads: the same bits.
        #expect(try merged(base.applying([uses[0]]).applying([uses[1]]), TinyModel.kernel) == one)
        #expect(try merged(base.applying(uses, threads: 3), TinyModel.kernel) == one)
        #expect(
            try merged(base.applying([LoRAUse(uses[0].file, scale: 0)]), TinyModel.kernel)
                == TinyModel.weight(TinyModel.kernel).values)
        #expect(try merged(base.applying([]), TinyModel.kernel) == TinyModel.weight(TinyModel.kernel).values)
    }

    /// The identity covers base, contents, scales and order, but not names.
    @Test func theIdentityCoversContentsScalesAndOrder() throws {
        let base = TinyModel.source()
        let (a, b) = (try lora(Self.pair(TinyModel.toQ, seed: 1)), try lora(Self.pair(TinyModel.toQ, seed: 2)))
        let renamed = try lora(Self.pair(TinyModel.toQ, seed: 1), name: "other.safetensors")
        func identity(_ uses: [LoRAUse]) throws -> SHA256Digest { try base.applying(uses).identity() }
        let all = [
            try identity([]), try identity([LoRAUse(a)]), try identity([LoRAUse(b)]), try identity([LoRAUse(a, scale: 0.5)]),
            try identity([LoRAUse(a), LoRAUse(b)]), try identity([LoRAUse(b), LoRAUse(a)]),
        ]
        #expect(Set(all.map(\.hex)).count == all.count)
        #expect(try base.identity() == all[0])
        #expect(try identity([LoRAUse(renamed)]) == all[1])
        #expect(try base.applying([LoRAUse(a)]).applying([LoRAUse(b)]).identity() == all[4])
        #expect(a.dataDigest() == renamed.dataDigest() && a.dataDigest() != a.digest)
    }

    /// A checkpoint in one file has other names and the same layers. A file of f16 factors gives the same as its values in f32.
    @Test(.enabled(if: Fixtures.sharedGolden != nil), arguments: ["tiny-sd15", "tiny-sdxl"])
    func aCheckpointInOneFileIsChangedAsItsFolderIs(_ model: String) throws {
        let models = try #require(Fixtures.sharedGolden).appendingPathComponent("models")
        func path(_ name: String) -> String { models.appendingPathComponent(name).path }
        var choice = ModelChoice(path: path("single-file/\(model)-f32.safetensors"))
        choice.configuration = path(model)
        let sources = [try ModelSource.folder(path(model)), try ModelSource.open(choice)]
        for naming in ["kohya", "peft", "kohya-f16"] {
            let use = LoRAUse(try LoRAFile(path: path("lora/\(model)-\(naming).safetensors")), scale: 0.7)
            let composed = try sources.map { try $0.applying([use]) }
            let encoders: Set<String> = model == "tiny-sdxl" ? ["text_encoder", "text_encoder_2"] : ["text_encoder"]
            #expect(composed.allSatisfy { $0.changedComponents == encoders.union(["unet"]) })
            for component in composed[0].changedComponents {
                let layers =
                    component == "unet"
                    ? ["down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", "mid_block.resnets.0.conv1"]
                    : ["text_model.encoder.layers.0.self_attn.q_proj", "text_model.encoder.layers.0.mlp.fc1"]
                for layer in layers {
                    let name = layer + ".weight"
                    let scopes = try (sources + composed).map { try $0.weights(component: component) }
                    let shape = try #require(scopes[0].shape(of: name))
                    let values = try scopes.map { try $0.tensor(name, shape: shape).array }
                    #expect(values[0] == values[1] && values[2] == values[3], "\(naming) \(component) \(layer)")
                    #expect(values[0] != values[2], "\(naming) \(component) \(layer) is as it was")
                }
            }
        }
    }

    /// A pair of factors of rank 2 in PEFT's naming.
    static func pair(_ layer: String, seed: UInt64 = 90) -> [Numbers] {
        let shape = TinyModel.weight(layer).shape
        let prefix = layer.hasPrefix("text_model") ? "text_encoder." : "unet."
        return [
            Numbers(prefix + layer + ".lora_B.weight", [shape[0], 2] + shape.dropFirst(2).map { _ in 1 }, seed: seed),
            Numbers(prefix + layer + ".lora_A.weight", [2] + shape.dropFirst(), seed: seed + 1),
        ]
    }
}
