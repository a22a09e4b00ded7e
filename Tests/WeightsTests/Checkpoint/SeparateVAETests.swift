import Foundation
import Sentences
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

private let models = Fixtures.folder.appendingPathComponent("golden/models")
private let tiny1 = models.appendingPathComponent("tiny-sd15")
private let tiny2 = models.appendingPathComponent("tiny-sd21")

private func source(_ model: URL = tiny1, vae: URL) throws -> ModelSource {
    var choice = ModelChoice(path: model.path)
    choice.vae = vae.path
    return try ModelSource.open(choice)
}

@Suite struct SeparateVAETests {
    /// Every form of tiny-sd21's autoencoder, put into tiny-sd15.
    @Test func everyFormIsTaken() throws {
        try withTemporaryFolder { folder throws in
            let tensors = try SingleFiles.vae(of: tiny2)
            let diffusers = try SingleFiles.tensors(of: "vae", in: tiny2)
            func prefixed(_ tensor: FileTensor) -> FileTensor {
                FileTensor("first_stage_model." + tensor.name, tensor.type, tensor.shape, tensor.bytes)
            }
            try folder.write("bare.safetensors", FileTensor.file(tensors))
            try folder.write("prefixed.safetensors", FileTensor.file(tensors.map(prefixed) + [.f32("other", [1], shape: [1])]))
            try folder.write("loss.safetensors", FileTensor.file(tensors + [.f32("loss.logvar", [1], shape: [1])]))
            try folder.write("diffusers.safetensors", FileTensor.file(diffusers))
            try folder.write("own/diffusion_pytorch_model.fp16.safetensors", FileTensor.file(diffusers))
            try folder.write("own/config.json", Data(contentsOf: tiny2.appendingPathComponent("vae/config.json")).map { $0 })
            let names = ["bare.safetensors", "prefixed.safetensors", "loss.safetensors", "diffusers.safetensors", "own"]
            for vae in names.map({ folder.appendingPathComponent($0) }) + [tiny2] {
                let source = try source(vae: vae)
                let weights = try source.weights(component: "vae")
                for tensor in diffusers {
                    let values = try weights.tensor(tensor.name, shape: tensor.shape).array
                    #expect(values == tensor.values, "\(vae.lastPathComponent) \(tensor.name)")
                }
                try weights.requireAllConsumed(ignoring: [])
                // The rest is the model's own.
                let unet = try SingleFiles.tensors(of: "unet", in: tiny1)[0]
                #expect(try source.weights(component: "unet").tensor(unet.name, shape: unet.shape).array == unet.values)
            }
        }
    }

    @Test func theScaleIsTheModelsUnlessTheFolderSaysOtherwise() throws {
        try withTemporaryFolder { folder throws in
            let path = "diffusion_pytorch_model.safetensors"
            let weights = [UInt8](try Data(contentsOf: tiny1.appendingPathComponent("vae/\(path)")))
            for (name, scale) in [("with", "\"scaling_factor\":0.5,"), ("without", "")] {
                try folder.write("\(name)/\(path)", weights)
                try folder.write("\(name)/config.json", "{\(scale)\"latent_channels\":4}")
            }
            let own = try ModelSource.folder(tiny1.path).json("vae/config.json")["scaling_factor"]
            #expect(own != nil && own != 0.5)
            func scale(_ name: String) throws -> JSONValue? {
                try source(vae: folder.appendingPathComponent(name)).json("vae/config.json")["scaling_factor"]
            }
            #expect(try scale("with") == 0.5)
            #expect(try scale("without") == own)
            #expect(
                try source(vae: folder.appendingPathComponent("with/\(path)")).json("vae/config.json")["scaling_factor"] == own)
        }
    }

    /// The autoencoder of a whole checkpoint is taken, if its latents are scaled as the model's.
    @Test func wholeCheckpointsOfOtherFamiliesAreRefused() throws {
        try withTemporaryFolder { folder throws in
            try folder.write("first.safetensors", FileTensor.file(SingleFiles.checkpoint(of: tiny1, .first)))
            try folder.write("second.safetensors", FileTensor.file(SingleFiles.checkpoint(of: tiny2, .second)))
            let xl = models.appendingPathComponent("tiny-sdxl-turbo")
            let tensors = try SingleFiles.checkpoint(of: xl, .xl)
            try folder.write("xl.safetensors", FileTensor.file(tensors))
            let numbers: [FileTensor] = [
                .f32("edm_mean", [1, 2, 3, 4], shape: [4]), .f32("edm_std", [1, 2, 3, 4], shape: [4]),
            ]
            try folder.write("playground.safetensors", FileTensor.file(tensors + numbers))
            func refusal(_ model: URL, _ name: String) -> WeightsError? {
                weightsError { _ = try source(model, vae: folder.appendingPathComponent(name + ".safetensors")) }
            }
            for (model, fits) in [(tiny1, ["first", "second"]), (tiny2, ["first", "second"]), (xl, ["xl"])] {
                for name in ["first", "second", "xl", "playground"] {
                    let error = refusal(model, name)
                    #expect((error == nil) == fits.contains(name), "\(model.lastPathComponent) \(name)")
                    if let error {
                        #expect(
                            error.code == .unsupportedModel && error.message.contains("their latents have different scales"))
                        #expect(error.message.hasSuffix("."))
                    }
                }
            }
        }
    }

    /// A checkpoint without an autoencoder, such as a pruned one, takes the autoencoder that is named.
    @Test func theAutoencoderIsGivenToACheckpointWithoutOne() throws {
        try withTemporaryFolder { folder throws in
            let tensors = try SingleFiles.checkpoint(of: tiny1, .first)
            try folder.write(
                "bare.safetensors", FileTensor.file(tensors.filter { !$0.name.hasPrefix("first_stage_model.") }))
            try folder.write("vae.safetensors", FileTensor.file(SingleFiles.vae(of: tiny2)))
            var choice = ModelChoice(path: folder.appendingPathComponent("bare.safetensors").path)
            choice.configuration = tiny1.path
            let missing = weightsError { _ = try ModelSource.open(choice) }
            #expect(missing?.code == .missingTensor && missing?.sentence.settings.contains(.vae) == true)
            for vae in [folder.appendingPathComponent("vae.safetensors"), tiny2] {
                choice.vae = vae.path
                let source = try ModelSource.open(choice)
                let weights = try source.weights(component: "vae")
                for tensor in try SingleFiles.tensors(of: "vae", in: tiny2) {
                    #expect(try weights.tensor(tensor.name, shape: tensor.shape).array == tensor.values)
                }
                try weights.requireAllConsumed(ignoring: [])
                _ = try source.identity()
            }
        }
    }

    @Test func whatDoesNotFitIsRefusedInOneSentence() throws {
        try withTemporaryFolder { folder throws in
            try folder.write(
                "16.safetensors",
                FileTensor.file([.f32("decoder.conv_in.weight", [Float](repeating: 0, count: 144), shape: [1, 16, 3, 3])]))
            try folder.write("16/config.json", #"{"latent_channels":16}"#)
            for name in ["16.safetensors", "16"] {
                let error = weightsError { _ = try source(vae: folder.appendingPathComponent(name)) }
                #expect(error?.code == .unsupportedModel && error?.message.contains("16 channels") == true)
                #expect(error?.message.hasSuffix(".") == true && error?.message.contains("\n") == false)
            }
            try folder.write("other.safetensors", FileTensor.file([.f32("taesd.decoder.1.weight", [0], shape: [1])]))
            #expect(
                weightsError { _ = try source(vae: folder.appendingPathComponent("other.safetensors")) }?.code
                    == .unsupportedModel)
            #expect(weightsError { _ = try source(vae: folder) }?.code == .notFound)
            #expect(weightsError { _ = try source(vae: folder.appendingPathComponent("none")) }?.code == .notFound)
            try folder.write("empty/config.json", "{}")
            #expect(weightsError { _ = try source(vae: folder.appendingPathComponent("empty")) }?.code == .notFound)
            try folder.write("list/config.json", "[]")
            #expect(weightsError { _ = try source(vae: folder.appendingPathComponent("list")) }?.code == .malformed)
            try folder.write("bin/config.json", "{}")
            try folder.write("bin/diffusion_pytorch_model.bin", [0x80, 2, 0x7D, 0x2E])
            let pickle = weightsError { _ = try source(vae: folder.appendingPathComponent("bin")) }
            #expect(pickle?.code == .unsupportedFormat, "\(String(describing: pickle))")
            #expect(pickle?.message.contains("bin/diffusion_pytorch_model.bin") == true)
            try folder.write("vae.pt", [0x80, 2, 0x7D, 0x2E])
            #expect(weightsError { _ = try source(vae: folder.appendingPathComponent("vae.pt")) }?.code == .unsupportedFormat)
        }
    }
}

@Suite struct VariantTests {
    /// tiny-sd15 with other names for its weight files.
    private func model(_ folder: URL, _ names: [String: [String]]) throws -> URL {
        let copy = folder.appendingPathComponent(UUID().uuidString)
        try FileManager.default.copyItem(at: tiny2, to: copy)
        for (component, variants) in names {
            let path = copy.appendingPathComponent(component)
            let old = try #require(
                FileManager.default.contentsOfDirectory(atPath: path.path).first { $0.hasSuffix(".safetensors") })
            for variant in variants {
                try FileManager.default.copyItem(
                    at: path.appendingPathComponent(old),
                    to: path.appendingPathComponent(old.replacing(".safetensors", with: ".\(variant).safetensors")))
            }
            try FileManager.default.removeItem(at: path.appendingPathComponent(old))
        }
        return copy
    }

    private func error(_ model: URL, _ variant: String?) -> WeightsError? {
        weightsError {
            var choice = ModelChoice(path: model.path)
            choice.variant = variant
            let source = try ModelSource.open(choice)
            for component in ["unet", "vae", "text_encoder"] { _ = try source.weights(component: component) }
            _ = try source.identity()
        }
    }

    @Test func variantsAreTakenWhereAskedForOrAlone() throws {
        try withTemporaryFolder { folder throws in
            let half = try model(folder, ["unet": ["fp16"], "vae": ["fp16"], "text_encoder": ["fp16"]])
            #expect(error(half, nil) == nil)
            #expect(error(half, "fp16") == nil)
            #expect(error(half, "bf16")?.message.contains("no weights of the variant bf16") == true)
            let brain = try model(folder, ["unet": ["bf16", "ema"]])
            #expect(error(brain, nil)?.message.contains("--variant bf16") == true)
            #expect(error(brain, "bf16") == nil)
            #expect(error(brain, "ema") == nil)
            for word in ["", "../x", "a/b", "a.b", "fp 16", String(repeating: "x", count: 33)] {
                #expect(error(brain, word)?.code == .badOption, "\(word)")
            }
        }
    }

    @Test func shardsOfAVariantAreFound() throws {
        try withTemporaryFolder { folder throws in
            let model = try model(folder, ["vae": ["fp16"]])
            let vae = model.appendingPathComponent("vae")
            let (stem, shard) = ("diffusion_pytorch_model", "diffusion_pytorch_model.fp16-00001-of-00001.safetensors")
            try FileManager.default.moveItem(
                at: vae.appendingPathComponent("\(stem).fp16.safetensors"), to: vae.appendingPathComponent(shard))
            let map = try SingleFiles.tensors(of: "vae", in: tiny2).map { "\"\($0.name)\":\"\(shard)\"" }.joined(separator: ",")
            try vae.write("\(stem).safetensors.index.fp16.json", "{\"weight_map\":{\(map)}}")
            #expect(error(model, nil) == nil)
            #expect(error(model, "fp16") == nil)
        }
    }
}
