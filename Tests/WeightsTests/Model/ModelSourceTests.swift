import ContentHash
import EmbeddedModel
import Foundation
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

/// A model of a few bytes with every component.
private let smallModel: [String: [UInt8]] = [
    "model_index.json": Array(
        #"{"_class_name":"StableDiffusionPipeline","unet":["diffusers","U"],"vae":["diffusers","V"],"text_encoder":["t","C"],"#
            .utf8)
        + Array(
            #""tokenizer":["t","T"],"scheduler":["diffusers","S"],"safety_checker":[null,null],"requires":false}"#
                .utf8),
    "unet/config.json": Array("{}".utf8),
    "unet/diffusion_pytorch_model.safetensors": safetensors([
        f32("conv_in.weight", [1, 2], shape: [2]), f32("conv_in.bias", [3], shape: [1]),
        f32("down_blocks.0.weight", [4], shape: [1, 1]),
    ]),
    "vae/config.json": Array("{\"x\":1}".utf8),
    "vae/diffusion_pytorch_model.safetensors": safetensors([f32("v", [1], shape: [1])]),
    "text_encoder/config.json": Array("{}".utf8),
    "text_encoder/model.safetensors": safetensors([
        f32("w", [1], shape: [1]), ("embeddings.position_ids", "I64", [1, 1], [UInt8](repeating: 0, count: 8)),
    ]),
    "tokenizer/vocab.json": Array("{}".utf8), "tokenizer/merges.txt": Array("#version\n".utf8),
    "scheduler/scheduler_config.json": Array("{}".utf8),
]

private func write(_ files: [String: [UInt8]], to folder: URL) throws {
    for (path, bytes) in files { try folder.write(path, bytes) }
}

/// Bytes that live as long as the program, as those of an embedded model do.
private func permanent(_ files: [String: [UInt8]]) -> [String: UnsafeRawBufferPointer] {
    files.mapValues { bytes in
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
        copy.copyBytes(from: bytes)
        return UnsafeRawBufferPointer(copy)
    }
}

@Suite struct ModelSourceTests {
    @Test func filesAreReadFromFolderAndProgram() throws {
        try withTemporaryFolder { folder throws in
            try write(smallModel, to: folder)
            for source in [try ModelSource.folder(folder.path + "/"), .embedded(name: "small", files: permanent(smallModel))] {
                #expect(try source.json("vae/config.json") == ["x": 1])
                #expect(try source.text("tokenizer/merges.txt") == "#version\n")
                #expect(source.exists("unet/config.json"))
                #expect(!source.exists("unet/other.json"))
                let error = try #require(weightsError { _ = try source.json("unet/other.json") })
                #expect(error.code == .notFound && error.message.contains("\(source.name)/unet/other.json"))
            }
        }
    }

    /// diffusers writes minus infinity for DPM-Solvers; in any other file it is no JSON.
    @Test func schedulerConfigurationsMayHoldPythonsMinusInfinity() throws {
        let text = Array(#"{"lambda_min_clipped": -Infinity}"#.utf8)
        let files = ["scheduler/scheduler_config.json": text, "unet/config.json": text]
        let source = ModelSource.embedded(name: "small", files: permanent(files))
        #expect(try source.json("scheduler/scheduler_config.json") == ["lambda_min_clipped": "-Infinity"])
        #expect(throws: WeightsError.self) { try source.json("unet/config.json") }
    }

    @Test(arguments: ["", "/etc/passwd", "../x", "unet/../../x", "unet/", "unet//config.json", "./x", "a\0b"])
    func pathsStayInsideTheModel(path: String) throws {
        let source = ModelSource.embedded(name: "small", files: permanent(smallModel))
        #expect(!source.exists(path))
        #expect(weightsError { _ = try source.text(path) }?.code == .badPath)
    }

    @Test func whatIsNoModelFolderIsRefused() throws {
        try withTemporaryFolder { folder throws in
            let none = folder.appendingPathComponent("none").path
            let missing = try #require(weightsError { _ = try ModelSource.folder(none) })
            #expect(missing.code == .notFound && missing.message.contains(none))
            #expect(weightsError { _ = try ModelSource.folder(folder.path) }?.message.contains("model_index.json") == true)
            #expect(weightsError { _ = try ModelSource.folder("") }?.code == .badPath)
            try folder.write("model.ckpt", [0x80, 2, 0x7D, 0x2E])
            try folder.write("model.safetensors", "x")
            let pickle = weightsError { _ = try ModelSource.folder(folder.appendingPathComponent("model.ckpt").path) }
            #expect(pickle?.message.contains("safe_serialization=True") == true)
            let single = weightsError { _ = try ModelSource.folder(folder.appendingPathComponent("model.safetensors").path) }
            #expect(single?.code == .unsupportedFormat)
        }
    }

    @Test func badTextIsRefusedWithItsFile() throws {
        var files = smallModel
        files["unet/config.json"] = Array("{\"a\":NaN}".utf8)
        files["tokenizer/merges.txt"] = [0x61, 0xFF]
        files["vae/config.json"] = [UInt8](repeating: 0x20, count: (16 << 20) + 1)
        let source = ModelSource.embedded(name: "small", files: permanent(files))
        let error = try #require(weightsError { _ = try source.json("unet/config.json") })
        #expect(error.code == .malformed && error.message.contains("small/unet/config.json") && error.message.contains("NaN"))
        #expect(weightsError { _ = try source.text("tokenizer/merges.txt") }?.code == .malformed)
        #expect(weightsError { _ = try source.json("vae/config.json") }?.code == .tooLarge)
        #expect(weightsError { _ = try source.text("vae/config.json") }?.code == .tooLarge)
    }

    /// The Hugging Face cache holds links to files that have no ending.
    @Test func linkedFilesAreAccepted() throws {
        try withTemporaryFolder { folder throws in
            try write(smallModel, to: folder.appendingPathComponent("plain"))
            var position = 0
            for (path, bytes) in smallModel {
                position += 1
                try folder.write("blobs/\(position)", bytes)
                let link = folder.appendingPathComponent("snapshot/\(path)")
                try FileManager.default.createDirectory(at: link.deletingLastPathComponent(), withIntermediateDirectories: true)
                try FileManager.default.createSymbolicLink(
                    at: link, withDestinationURL: folder.appendingPathComponent("blobs/\(position)"))
            }
            let linked = try ModelSource.folder(folder.appendingPathComponent("snapshot").path)
            #expect(try linked.weights(component: "unet").tensor("conv_in.bias", shape: [1]).array == [3])
            #expect(try linked.identity() == ModelSource.folder(folder.appendingPathComponent("plain").path).identity())
        }
    }

    @Test func thereMustBeOneSetOfWeights() throws {
        func weights(_ change: (inout [String: [UInt8]]) -> Void) -> WeightsError? {
            var files = smallModel
            change(&files)
            return weightsError {
                _ = try ModelSource.embedded(name: "small", files: permanent(files)).weights(component: "unet")
            }
        }
        let path = "unet/diffusion_pytorch_model.safetensors"
        #expect(weights { _ in } == nil)
        #expect(weights { $0["unet/model.safetensors"] = $0[path] }?.message.contains("twice") == true)
        #expect(weights { $0[path] = nil }?.code == .notFound)
        #expect(weights { $0["unet/diffusion_pytorch_model.bin"] = $0.removeValue(forKey: path) }?.code == .unsupportedFormat)
        #expect(weights { $0["unet/pytorch_model.bin"] = $0.removeValue(forKey: path) }?.code == .unsupportedFormat)
        let half = weights { $0["unet/diffusion_pytorch_model.fp16.safetensors"] = $0.removeValue(forKey: path) }
        #expect(half == nil, "half precision is taken where there is nothing else")
        let variant = weights { $0["unet/diffusion_pytorch_model.bf16.safetensors"] = $0.removeValue(forKey: path) }
        #expect(variant?.code == .notFound && variant?.message.contains("--variant bf16") == true)
        #expect(weights { $0[path]?.removeLast() }?.message.contains("small/\(path)") == true)
    }
}

@Suite struct ModelIdentityTests {
    private func identity(_ change: (inout [String: [UInt8]]) -> Void = { _ in }) throws -> SHA256Digest {
        var files = smallModel
        change(&files)
        return try ModelSource.embedded(name: "any", files: permanent(files)).identity()
    }

    @Test func folderAndProgramAgree() throws {
        try withTemporaryFolder { folder throws in
            try write(smallModel, to: folder)
            #expect(try ModelSource.folder(folder.path).identity() == identity())
        }
    }

    /// The model inside the program and the files it was made of.
    @Test func theEmbeddedModelIsItsFolder() throws {
        let embedded = ModelSource.embedded(name: EmbeddedModel.name, files: EmbeddedModel.files)
        let folder = try ModelSource.folder(Fixtures.embeddedModel.path)
        #expect(try embedded.identity() == folder.identity())
        for component in ["unet", "vae", "text_encoder"] {
            let (a, b) = (try embedded.weights(component: component), try folder.weights(component: component))
            let left = weightsError { try a.requireAllConsumed() }
            #expect(left?.code == .unusedTensors)
            #expect(
                left?.message.replacing(EmbeddedModel.name, with: "")
                    == weightsError { try b.requireAllConsumed() }?.message
                    .replacing(folder.name, with: ""))
        }
    }

    /// The definition, spelt out once more.
    @Test func theHashIsAsDefined() throws {
        var text = "patchloom-model-1\n"
        for path in smallModel.keys.sorted() {
            let bytes = smallModel[path] ?? []
            text += "\(path)\0\(bytes.count)\0\(SHA256Digest(of: bytes).hex)\n"
        }
        #expect(try identity() == SHA256Digest(of: Array(text.utf8)))
    }

    @Test func filesThatAreNotUsedDoNotCount() throws {
        let plain = try identity()
        #expect(
            try identity {
                $0["README.md"] = [1]
                $0["unet/diffusion_pytorch_model.fp16.safetensors"] = [1]
                $0["unet/diffusion_pytorch_model.bin"] = [1]
                $0["safety_checker/model.safetensors"] = [1]
                $0["text_encoder_2/config.json"] = [1]
                $0["tokenizer/tokenizer.json"] = [1]
            } == plain)
    }

    @Test func everyUsedFileCounts() throws {
        let plain = try identity()
        var identities: Set<SHA256Digest> = [plain]
        for path in smallModel.keys where path != "model_index.json" {
            identities.insert(try identity { $0[path]?.append(0x20) })
        }
        identities.insert(try identity { $0["model_index.json"]?.append(0x20) })
        identities.insert(try identity { $0["tokenizer/special_tokens_map.json"] = [1] })
        identities.insert(try identity { $0["tokenizer/tokenizer_config.json"] = [1] })
        identities.insert(try identity { $0["tokenizer/added_tokens.json"] = [1] })
        #expect(identities.count == smallModel.count + 4)
    }

    /// Every component that is loaded must be named: one that the index does not name could be swapped without another
    /// identity.
    @Test func everyComponentThatIsLoadedMustBeNamed() throws {
        func error(_ unet: String, without component: String) -> WeightsError? {
            weightsError {
                _ = try identity {
                    $0["unet/config.json"] = Array(unet.utf8)
                    let named = ["unet", "vae", "text_encoder", "tokenizer", "scheduler", "text_encoder_2", "tokenizer_2"]
                        .filter { $0 != component }
                    let pairs = named.map { "\"\($0)\":[\"library\",\"Class\"]" } + ["\"\(component)\":[null,null]"]
                    $0["model_index.json"] = Array("{\(pairs.joined(separator: ","))}".utf8)
                    for path in ["config.json", "model.safetensors"] {
                        $0["text_encoder_2/\(path)"] = $0["text_encoder/\(path)"]
                    }
                    for path in ["vocab.json", "merges.txt"] { $0["tokenizer_2/\(path)"] = $0["tokenizer/\(path)"] }
                }
            }
        }
        for component in ["unet", "vae", "text_encoder", "tokenizer", "scheduler"] {
            let error = try #require(error("{}", without: component))
            #expect(error.code == .malformed && error.message.contains("names no \(component),"), "\(error)")
            #expect(error.message.contains("any/model_index.json") && error.message.hasSuffix("."))
        }
        let refiner = weightsError {
            _ = try identity { files in
                files["text_encoder/config.json"] = nil
                files["model_index.json"] = Array(
                    String(decoding: files["model_index.json"] ?? [], as: UTF8.self)
                        .replacing("\"text_encoder\"", with: "\"text_encoder_2\"").utf8)
            }
        }
        #expect(refiner?.code == .unsupportedModel && refiner?.message.contains("refiner") == true)
        for component in ["text_encoder_2", "tokenizer_2"] {
            #expect(error("{}", without: component) == nil)
            let xl = error(#"{"addition_embed_type":"text_time"}"#, without: component)
            #expect(xl?.code == .malformed && xl?.message.contains("names no \(component),") == true)
        }
    }

    @Test func missingFilesAndBadIndexesAreErrors() throws {
        for path in smallModel.keys {
            #expect(weightsError { _ = try identity { $0[path] = nil } }?.code == .notFound, "\(path)")
        }
        #expect(weightsError { _ = try identity { $0["model_index.json"] = Array("[]".utf8) } }?.code == .malformed)
    }
}
