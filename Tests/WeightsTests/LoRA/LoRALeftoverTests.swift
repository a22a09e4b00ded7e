import Sentences
import TensorCore
import TestSupport
import Testing
import Weights

/// LoRA files that hold more than layers of the model.
@Suite struct LoRALeftoverTests {
    private static let toQ = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    private static let pair = [
        Numbers(toQ + ".lora_up.weight", [2, 1], [1, 2]), Numbers(toQ + ".lora_down.weight", [1, 2], [3, 4]),
    ]

    /// The changed weight and the notes on the file.
    private func merged(
        _ tensors: [Numbers], two: Bool = false, ignoring: Bool = false
    ) throws -> (values: [Float], notes: [String]) {
        let source = try TinyModel.source(two: two).ignoringUnknownTensors(ignoring).applying([LoRAUse(lora(tensors))])
        let values = try source.weights(component: "unet").tensor(TinyModel.toQ + ".weight", shape: [2, 2]).array
        return (values, source.loraNotes)
    }

    private func plain() throws -> [Float] {
        let (values, notes) = try merged(Self.pair)
        #expect(notes.isEmpty && values != TinyModel.weight(TinyModel.toQ).values)
        return values
    }

    @Test(arguments: ["epoch", "optimizer.state.0.exp_avg", "x", "vae.decoder.conv_in.weight", "hello.alpha"])
    func whatSaysNothingOfTheModelIsLeftAlone(name: String) throws {
        let (values, notes) = try merged(Self.pair + [Numbers(name, [1], [1])])
        #expect(try values == plain())
        #expect(notes.count == 1 && notes[0].contains("test-lora.safetensors holds 1 tensor (\"\(name)\")"), "\(notes)")
    }

    @Test(arguments: ["state_dict.", "module.", "model.", "state_dict.module.", "lora."])
    func wrappersAreSeenThrough(prefix: String) throws {
        let wrapped = Self.pair.map { Numbers(prefix + $0.name, $0.shape, $0.values) }
        let (values, notes) = try merged(wrapped)
        #expect(try values == plain() && notes.isEmpty)
        let peft = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q."
        let current = [
            Numbers(prefix + peft + "lora_B.weight", [2, 1], [1, 2]),
            Numbers(prefix + peft + "lora_A.weight", [1, 2], [3, 4]),
        ]
        #expect(try merged(current).values == plain())
    }

    /// Trainers write a layer for the projection of every text encoder. The layer of the first encoder does not change a
    /// picture.
    @Test(arguments: ["lora_te_text_projection", "lora_te1_text_projection", "text_encoder.text_projection"])
    func projectionsThatPicturesDoNotDependOnAreLeftOut(layer: String) throws {
        let isPEFT = layer.hasPrefix("text_encoder")
        let projection = [
            Numbers(layer + (isPEFT ? ".lora_B.weight" : ".lora_up.weight"), [5, 1], seed: 1),
            Numbers(layer + (isPEFT ? ".lora_A.weight" : ".lora_down.weight"), [1, 3], seed: 2),
        ]
        let (values, notes) = try merged(Self.pair + projection)
        #expect(try values == plain())
        #expect(notes.count == 1 && notes[0].contains("text_projection"), "\(notes)")
        // Any other layer without a counterpart is still refused.
        let stranger = [
            Numbers("lora_te_text_model_head.lora_up.weight", [1, 1], [1]),
            Numbers("lora_te_text_model_head.lora_down.weight", [1, 1], [1]),
        ]
        let error = weightsError { _ = try merged(Self.pair + stranger) }
        #expect(error?.code == .unusedTensors && error?.sentence.settings == [.ignoreUnknownTensors], "\(error as Any)")
        #expect(try merged(Self.pair + stranger, ignoring: true).values == plain())
    }

    /// SDXL's second encoder has a projection that its pooled vector goes through: there the layer counts.
    @Test func theSecondProjectionIsChanged() throws {
        let projection = Numbers("text_projection.weight", [4, 3], seed: 20)
        let source = try TinyModel.source(
            two: true, secondText: TinyModel.text + [projection]
        ).applying([
            LoRAUse(
                lora([
                    Numbers("lora_te2_text_projection.lora_up.weight", [4, 1], [1, 2, 3, 4]),
                    Numbers("lora_te2_text_projection.lora_down.weight", [1, 3], [1, 0, -1]),
                ]))
        ])
        let values = try source.weights(component: "text_encoder_2").tensor("text_projection.weight", shape: [4, 3]).array
        let down: [Float] = [1, 0, -1]
        let expected = (0..<12).map { (index: Int) -> Float in
            let up = Float(index / 3 + 1)
            return projection.values[index] + up * down[index % 3]
        }
        #expect(zip(values, expected).allSatisfy { abs($0 - $1) < 1e-6 } && source.loraNotes.isEmpty)
    }

    /// Tensors that belong to no network are left out, also behind a network's name.
    @Test(arguments: [
        "text_encoder.text_model.embeddings.position_ids", "lora_te_logit_scale", "lora_te1_text_model_embeddings_position_ids",
        "unet.global_step", "lora_unet_epoch", "module.unet.step", "text_encoder_2.logit_scale", "unet.alphas_cumprod",
    ])
    func constantsAndCountersOfNetworksAreLeftAlone(name: String) throws {
        let (values, notes) = try merged(Self.pair + [Numbers(name, [2], [1, 2])])
        #expect(try values == plain())
        #expect(notes.count == 1 && notes[0].contains("test-lora.safetensors holds 1 tensor (\"\(name)\")"), "\(notes)")
    }

    private static let other = "lora_unet_down_blocks_0_attentions_0_proj_in"

    /// Empty tensors, also whole layers of them, change nothing.
    @Test(
        arguments: [
            [Numbers("lora_unet_dtype", [0], [])], [Numbers("unet.conv_in.weight", [0, 4], [])],
            [Numbers(other + ".lora_up.weight", [2, 0], []), Numbers(other + ".lora_down.weight", [0, 2], [])],
            [
                Numbers(other + ".lora_up.weight", [0], []), Numbers(other + ".lora_down.weight", [0], []),
                Numbers(other + ".alpha", [], [4]),
            ],
            [Numbers("lora_unet_a_layer_of_nowhere.lora_down.weight", [0], [])],
        ])
    func emptyTensorsAreLeftAlone(strays: [Numbers]) throws {
        let (values, notes) = try merged(Self.pair + strays)
        #expect(try values == plain())
        #expect(notes.count == 1 && strays.allSatisfy { notes[0].contains("\"\($0.name)\"") }, "\(notes)")
    }

    @Test(arguments: ["lora_up.weight", "lora_down.weight", "alpha"])
    func anEmptyPartOfALayerIsRefused(part: String) throws {
        let whole = [
            Numbers(Self.other + ".lora_up.weight", [2, 1], [1, 2]),
            Numbers(Self.other + ".lora_down.weight", [1, 2], [3, 4]),
            Numbers(Self.other + ".alpha", [], [1]),
        ]
        let name = "\(Self.other).\(part)"
        for shape in [[0], [1, 0], [2, 0]] {
            let error = weightsError {
                _ = try merged(Self.pair + whole.map { $0.name == name ? Numbers(name, shape, []) : $0 }, ignoring: true)
            }
            #expect(error?.code == .malformed && error?.message.contains("\"\(name)\" is empty") == true, "\(error as Any)")
        }
    }

    /// Names that begin like a layer and go on otherwise.
    @Test(arguments: ["lora_unet_down_blocks_0.riddle", "unet.conv_in.weight", "text_encoder.x", "lora_te_a.b.c"])
    func whatIsNotUnderstoodIsRefused(name: String) throws {
        let tensors = Self.pair + [Numbers(name, [1], [1])]
        let error = weightsError { _ = try merged(tensors) }
        #expect(error?.code == .malformed && error?.message.contains("\"\(name)\"") == true, "\(error as Any)")
        let (values, notes) = try merged(tensors, ignoring: true)
        #expect(try values == plain() && notes.count == 1)
    }
}
