import ContentHash
import Foundation
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

private let models = Fixtures.folder.appendingPathComponent("golden/models")
private let tiny1 = models.appendingPathComponent("tiny-sd15")
private let tiny2 = models.appendingPathComponent("tiny-sd21")

/// A single file with the configuration of a folder.
private func choice(_ file: URL, _ configuration: URL?) -> ModelChoice {
    var choice = ModelChoice(path: file.path)
    choice.configuration = configuration?.path
    return choice
}

/// Every tensor of a component of `model`, asked for by its folder's names and shapes, is the same bits in `other`, and nothing
/// is left over.
private func expectSameWeights(_ component: String, _ model: URL, _ other: ModelSource) throws {
    let expected = try ModelSource.folder(model.path).weights(component: component)
    let actual = try other.weights(component: component)
    let tensors = try SingleFiles.tensors(of: component, in: model)
    #expect(tensors.count > 40)
    for tensor in tensors where tensor.type != "I64" {
        let left = try expected.tensor(tensor.name, shape: tensor.shape).array.map(\.bitPattern)
        let right = try actual.tensor(tensor.name, shape: tensor.shape).array.map(\.bitPattern)
        #expect(left == right, "\(component)/\(tensor.name)")
    }
    try actual.requireAllConsumed(ignoring: [])
}

@Suite struct CheckpointTests {
    @Test(arguments: [("tiny-sd15", SingleFiles.Layout.first), ("tiny-sd21", .second), ("tiny-sdxl-turbo", .xl)])
    func weightsAreTheFoldersBitForBit(name: String, layout: SingleFiles.Layout) throws {
        let model = models.appendingPathComponent(name)
        try withTemporaryFolder { folder throws in
            let tensors = try SingleFiles.checkpoint(of: model, layout)
            try folder.write("a.safetensors", FileTensor.file(tensors))
            try folder.write("wide.safetensors", FileTensor.file(tensors.map { $0.type == "F16" ? $0.widened() : $0 }))
            for name in ["a.safetensors", "wide.safetensors"] {
                let source = try ModelSource.open(choice(folder.appendingPathComponent(name), model))
                for component in ["unet", "vae", "text_encoder"] { try expectSameWeights(component, model, source) }
                if layout == .xl { try expectSameWeights("text_encoder_2", model, source) }
                #expect(try source.json("unet/config.json") == ModelSource.folder(model.path).json("unet/config.json"))
                #expect(try source.text("tokenizer/merges.txt").hasPrefix("#version"))
            }
        }
    }

    /// This test needs the whole set of golden cases. If it is not at hand, the test above stands for it.
    @Test(.enabled(if: Fixtures.sharedGolden != nil))
    func theGoldenFilesOfBothLayoutsAreTheirFolders() throws {
        let golden = try #require(Fixtures.sharedGolden)
        for name in ["tiny-sd15", "tiny-sdxl"] {
            let model = golden.appendingPathComponent("models/\(name)")
            let file = golden.appendingPathComponent("models/single-file/\(name)-f32.safetensors")
            let source = try ModelSource.open(choice(file, model))
            for component in ["unet", "vae", "text_encoder"] { try expectSameWeights(component, model, source) }
            if name == "tiny-sdxl" { try expectSameWeights("text_encoder_2", model, source) }
        }
    }

    /// The file's name and place do not count, its content and configuration do.
    @Test func identityIsByContent() throws {
        try withTemporaryFolder { folder throws in
            let tensors = try SingleFiles.checkpoint(of: tiny1, .first)
            try folder.write("a.safetensors", FileTensor.file(tensors))
            try folder.write("b/c.safetensors", FileTensor.file(tensors))
            try folder.write("d.safetensors", FileTensor.file(tensors + [.f32("betas", [1], shape: [1])]))
            func identity(_ name: String, _ change: (inout ModelChoice) -> Void = { _ in }) throws -> SHA256Digest {
                var choice = choice(folder.appendingPathComponent(name), tiny1)
                change(&choice)
                return try ModelSource.open(choice).identity()
            }
            let plain = try identity("a.safetensors")
            #expect(try identity("b/c.safetensors") == plain)
            #expect(try identity("a.safetensors") { $0.prediction = .epsilon } == plain)
            #expect(try identity("a.safetensors") { $0.vae = tiny1.path } != plain)
            let others = try [
                ModelSource.folder(tiny1.path).identity(), identity("d.safetensors"),
                identity("a.safetensors") { $0.prediction = .velocity }, identity("a.safetensors") { $0.vae = tiny2.path },
            ]
            #expect(Set(others + [plain]).count == others.count + 1)
        }
    }

    /// Text encoders of old files lack a level of names. The text encoder of SD-Turbo lies where XL has its encoders.
    @Test func textEncodersUnderOtherNamesAreTheSame() throws {
        for (model, layout, old, new) in [
            (tiny1, SingleFiles.Layout.first, "cond_stage_model.transformer.text_model.", "cond_stage_model.transformer."),
            (tiny2, .second, "cond_stage_model.model.", "conditioner.embedders.0.model."),
        ] {
            try withTemporaryFolder { folder throws in
                var tensors = try SingleFiles.checkpoint(of: model, layout)
                for index in tensors.indices { tensors[index].name = tensors[index].name.replacing(old, with: new) }
                #expect(!tensors.contains { $0.name.hasPrefix(old) })
                try folder.write("a.safetensors", FileTensor.file(tensors))
                let source = try ModelSource.open(choice(folder.appendingPathComponent("a.safetensors"), model))
                for component in ["unet", "vae", "text_encoder"] { try expectSameWeights(component, model, source) }
            }
        }
    }

    @Test func averagedWeightsAreLeftAlone() throws {
        try withTemporaryFolder { folder throws in
            let tensors = try SingleFiles.checkpoint(of: tiny1, .first)
            try folder.write("a.safetensors", FileTensor.file(tensors.filter { !$0.name.hasPrefix("model_ema.") }))
            try expectSameWeights("unet", tiny1, .open(choice(folder.appendingPathComponent("a.safetensors"), tiny1)))
        }
    }
}

@Suite struct HostileCheckpointTests {
    private static let whole = Result { try SingleFiles.checkpoint(of: tiny1, .first) }

    /// The refusal of the checkpoint after `change`; nil if it is taken.
    private func refusal(_ change: (inout [FileTensor]) -> Void, cut: Int = 0) throws -> WeightsError? {
        try withTemporaryFolder { folder throws in
            var tensors = try HostileCheckpointTests.whole.get()
            change(&tensors)
            try folder.write("a.safetensors", FileTensor.file(tensors).dropLast(cut))
            return weightsError {
                let source = try ModelSource.open(choice(folder.appendingPathComponent("a.safetensors"), tiny1))
                for component in ["unet", "vae", "text_encoder"] {
                    let scope = try source.weights(component: component)
                    for tensor in try SingleFiles.tensors(of: component, in: tiny1) {
                        _ = try scope.tensor(tensor.name, shape: tensor.shape)
                    }
                    try scope.requireAllConsumed()
                }
            }
        }
    }

    @Test func theUntouchedCheckpointIsTaken() throws { #expect(try refusal { _ in } == nil) }

    @Test(arguments: [
        "model.diffusion_model.output_blocks.8.1.transformer_blocks.0.attn2.to_k.weight",
        "first_stage_model.decoder.mid.attn_1.q.weight", "model.diffusion_model.time_embed.0.bias",
        "cond_stage_model.transformer.text_model.encoder.layers.1.mlp.fc1.weight",
    ])
    func missingAndMisshapenTensorsAreNamed(name: String) throws {
        let missing = try #require(try refusal { $0.removeAll { $0.name == name } })
        #expect(missing.code == .missingTensor && missing.message.contains("a.safetensors has no tensor for \""), "\(missing)")
        let misshapen = try #require(
            try refusal { tensors in
                for index in tensors.indices where tensors[index].name == name {
                    tensors[index].shape = [tensors[index].shape.reduce(1, *)] + (tensors[index].shape.count == 1 ? [1] : [])
                }
            })
        #expect(misshapen.code == .misshapenTensor && misshapen.message.contains(name), "\(misshapen)")
    }

    @Test(arguments: [
        "model.diffusion_model.input_blocks.99.0.in_layers.0.weight", "model.diffusion_model.input_blocks.10.1.norm.weight",
        "model.diffusion_model.other", "first_stage_model.decoder.up.1.block.0.other.weight",
        "first_stage_model.encoder.down.01.block.0.conv1.weight", "first_stage_model.encoder.up.0.block.0.conv1.weight",
        "first_stage_model.decoder", "first_stage_model.decoder.mid.block_3.conv1.weight",
        "cond_stage_model.model.transformer.resblocks.x.ln_1.weight",
    ])
    func leftOverTensorsAreNamed(name: String) throws {
        let error = try #require(try refusal { $0.append(.f32(name, [1], shape: [1])) })
        #expect([.unusedTensors, .missingTensor, .unsupportedModel].contains(error.code), "\(error)")
        #expect(error.message.contains("a.safetensors"))
    }

    /// Names inside a block. Only the network knows which names belong there.
    @Test(arguments: [
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.5.norm1.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.77.mlp.fc1.weight",
        "first_stage_model.decoder.up.0.block.9.conv1.weight",
    ])
    func leftOverLayersAreFound(name: String) throws {
        let error = try #require(try refusal { $0.append(.f32(name, [1], shape: [1])) })
        #expect(error.code == .unusedTensors, "\(error)")
    }

    @Test func shortFilesAndWrongTypesAreRefused() throws {
        #expect(try refusal({ _ in }, cut: 1)?.code == .malformed)
        let name = "model.diffusion_model.out.2.weight"
        let integers = try refusal { tensors in
            for index in tensors.indices where tensors[index].name == name { tensors[index].type = "I32" }
        }
        #expect(integers?.code == .unsupportedElementType)
    }

    @Test func aConfigurationOfAnotherFamilyIsRefused() throws {
        try withTemporaryFolder { folder throws in
            let file = folder.appendingPathComponent("a.safetensors")
            try folder.write("a.safetensors", FileTensor.file(SingleFiles.checkpoint(of: tiny2, .second)))
            let error = weightsError {
                let source = try ModelSource.open(choice(file, tiny1))
                for component in ["unet", "vae", "text_encoder"] {
                    let scope = try source.weights(component: component)
                    for tensor in try SingleFiles.tensors(of: component, in: tiny1) {
                        _ = try scope.tensor(tensor.name, shape: tensor.shape)
                    }
                }
            }
            #expect(error != nil)
            #expect(weightsError { _ = try ModelSource.open(choice(file, folder)) }?.code == .notFound)
            var onFolder = ModelChoice(path: tiny1.path)
            onFolder.configuration = tiny1.path
            #expect(weightsError { _ = try ModelSource.open(onFolder) }?.code == .badOption)
            var variantOfFile = choice(file, tiny2)
            variantOfFile.variant = "fp16"
            #expect(weightsError { _ = try ModelSource.open(variantOfFile) }?.code == .badOption)
        }
    }
}
