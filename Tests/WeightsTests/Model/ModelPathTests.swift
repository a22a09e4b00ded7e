import Foundation
import TestSupport
import Testing

@testable import Weights

private let tiny = Fixtures.folder.appendingPathComponent("golden/models/tiny-sd15")

private func copy(_ target: URL) throws -> URL {
    try FileManager.default.copyItem(at: tiny, to: target)
    return target
}

private func link(_ path: URL, to target: String) throws {
    try? FileManager.default.removeItem(at: path)
    try FileManager.default.createSymbolicLink(atPath: path.path, withDestinationPath: target)
}

private func refusal(_ path: String) throws -> WeightsError {
    try #require(weightsError { _ = try ModelSource.open(ModelChoice(path: path)).identity() })
}

/// Paths that people give, and the errors for the things at these paths.
@Suite struct ModelPathTests {
    /// The index is refused with the folder that is meant, like everything that is no model.
    @Test func theIndexOfAModelIsNotTheModel() throws {
        let index = tiny.path + "/model_index.json"
        try withTemporaryFolder { folder throws in
            // A folder as in the cache, where files are links into another folder.
            let model = try copy(folder.appendingPathComponent("model" + String(repeating: "l", count: 200)))
            let real = folder.appendingPathComponent("0123")
            try FileManager.default.moveItem(at: model.appendingPathComponent("model_index.json"), to: real)
            try link(model.appendingPathComponent("model_index.json"), to: real.path)
            for path in [index, model.path + "/model_index.json"] {
                let error = try refusal(path)
                #expect(error.code == .unsupportedFormat, "\(error)")
                #expect(error.message.hasSuffix("name its folder \"\(path.dropLast("/model_index.json".count))\" instead."))
                #expect(weightsError { _ = try ModelSource.folder(path) } == error)
            }
            let checkpoint = folder.appendingPathComponent("one.safetensors")
            try Data(FileTensor.file(SingleFiles.checkpoint(of: tiny, .first))).write(to: checkpoint)
            var choice = ModelChoice(path: checkpoint.path)
            choice.configuration = index
            #expect(weightsError { _ = try ModelSource.open(choice) }?.message.contains("name its folder") == true)
            let other = try refusal(folder.appendingPathComponent("none/model_index.json").path)
            #expect(other.code == .notFound)
        }
    }

    /// The folder of an index that is named without a folder is the working directory.
    @Test(arguments: [
        ("model_index.json", "."), ("./model_index.json", "."), ("../model_index.json", ".."), ("/model_index.json", "/"),
    ])
    func theFolderOfAnIndexReadsWell(path: String, folder: String) {
        #expect(ModelFolder.indexRefusal(path).message.hasSuffix("name its folder \"\(folder)\" instead."))
    }

    @Test func linksThatLeadNowhereAreNamedWithTheirTargets() throws {
        for path in [
            "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors.index.json",
            "unet/diffusion_pytorch_model-00002-of-00002.safetensors", "vae/diffusion_pytorch_model.safetensors",
            "text_encoder/model.safetensors",
            "tokenizer/merges.txt", "tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json",
            "scheduler/scheduler_config.json",
        ] {
            try withTemporaryFolder { folder throws in
                let model = try copy(folder.appendingPathComponent("model"))
                try link(model.appendingPathComponent(path), to: "../../blobs/0123")
                let error = try refusal(model.path)
                #expect(error.code == .notFound && error.message.contains("\(model.path)/\(path)"), "\(error)")
                #expect(error.message.contains(" ../../blobs/0123"), "the link's target: \(error)")
            }
        }
        try withTemporaryFolder { folder throws in
            try link(folder.appendingPathComponent("model"), to: "gone")
            for path in ["model", "model/unet", "model/model_index.json"] {
                let error = try refusal(folder.path + "/" + path)
                #expect(error.code == .notFound && error.message.contains("\(folder.path)/model "), "\(error)")
                #expect(error.message.contains(" gone"), "the link's target: \(error)")
            }
            #expect(ModelStore.isPath(folder.path + "/model") && !ModelStore.isPath(folder.path + "/other"))
            // A link to itself, and two to each other, lead nowhere too, and are no endless walk.
            try link(folder.appendingPathComponent("round"), to: "round")
            try link(folder.appendingPathComponent("there"), to: "back")
            try link(folder.appendingPathComponent("back"), to: folder.path + "/there")
            for (path, target) in [
                ("round", "round"), ("there", "back"), ("there/unet", "back"), ("round/a.safetensors", "round"),
            ] {
                let error = try refusal(folder.path + "/" + path)
                #expect(error.code == .notFound && error.message.contains(" \(target)"), "\(error)")
                #expect(error.message.hasSuffix("; download the file again, or mend the link."), "\(error)")
            }
            try link(folder.appendingPathComponent("chain"), to: "model")
            let last = try refusal(folder.path + "/chain").message
            #expect(last.contains("\(folder.path)/model ") && last.contains(" gone"), "the last link of a chain: \(last)")
        }
        try withTemporaryFolder { folder throws in
            let model = try copy(folder.appendingPathComponent("model"))
            try link(model.appendingPathComponent("vae/config.json"), to: "config.json")
            let error = try refusal(model.path)
            #expect(error.code == .notFound && error.message.contains("vae/config.json "), "\(error)")
            #expect(error.message.contains(" config.json"), "the link's target: \(error)")
        }
    }

    @Test func theFolderThatWasMeantIsNamed() throws {
        try withTemporaryFolder { folder throws in
            let model = try copy(folder.appendingPathComponent("model"))
            let part = try refusal(model.path + "/unet/")
            #expect(part.code == .notFound && part.message.contains("a part of the model \(model.path);"), "\(part)")
            let above = try refusal(folder.path)
            #expect(above.code == .notFound && above.message.contains("in \(model.path);"), "\(above)")
            let second = try copy(folder.appendingPathComponent("amodel"))
            let several = try refusal(folder.path)
            #expect(
                several.message.contains("2 models lie one level deeper, such as \(second.path); name the folder of one"),
                "\(several)")
            try FileManager.default.removeItem(at: second)

            let cache = folder.appendingPathComponent("hub/models--some--model")
            try FileManager.default.createDirectory(
                at: cache.appendingPathComponent("snapshots"), withIntermediateDirectories: true)
            try cache.write("refs/main", "def\n")
            #expect(try refusal(cache.path).message.contains("no snapshot in it has a model_index.json"))
            for name in ["abc", "def"] { _ = try copy(cache.appendingPathComponent("snapshots/" + name)) }
            #expect(try refusal(cache.path).message.contains("the model is \(cache.path)/snapshots/def;"))

            try FileManager.default.removeItem(at: model.appendingPathComponent("model_index.json"))
            let incomplete = try refusal(model.path)
            #expect(incomplete.code == .notFound && incomplete.message.contains("no model_index.json, which is missing"))
        }
    }

    @Test func checkpointsInAFolderAreNamed() throws {
        try withTemporaryFolder { folder throws in
            let plain = try refusal(folder.path)
            #expect(plain.message.contains("not a model in diffusers' layout"))
            try folder.write("a.ckpt", "x")
            #expect(try refusal(folder.path).message.contains("\(folder.path)/a.ckpt is of another format"))
            try folder.write("b.safetensors", "x")
            #expect(try refusal(folder.path).message.contains("name \(folder.path)/b.safetensors"))
            try folder.write("c.safetensors", "x")
            #expect(try refusal(folder.path).message.contains("2 files of weights"))
            // A link to nothing is no file to name.
            try link(folder.appendingPathComponent("b.safetensors"), to: "gone")
            #expect(try refusal(folder.path).message.contains("name \(folder.path)/c.safetensors"))
            try link(folder.appendingPathComponent("c.safetensors"), to: "../gone too")
            let broken = try refusal(folder.path)
            #expect(broken.code == .notFound && broken.message.contains("\(folder.path)/b.safetensors "), "\(broken)")
            #expect(broken.message.contains(" gone") && broken.message.contains("download the file again"), "\(broken)")
        }
    }

    @Test(arguments: [
        "scheduler/scheduler_config.json", "unet/config.json", "vae/config.json", "text_encoder/config.json",
    ])
    func aMissingFileIsThatOfAnIncompleteDownload(path: String) throws {
        try withTemporaryFolder { folder throws in
            let model = try copy(folder.appendingPathComponent("model"))
            try FileManager.default.removeItem(at: model.appendingPathComponent(path))
            let error = try refusal(model.path)
            #expect(error.code == .notFound, "\(error)")
            #expect(
                error.message
                    == "\(model.path)/\(path) does not exist: the download of \(model.path) is incomplete; fetch this file as well."
            )
            // A folder that is not there is another matter.
            let none = try refusal(folder.appendingPathComponent("none").path)
            #expect(none.message.hasSuffix("check the path of the model."), "\(none)")
        }
    }

    @Test func weightsForOtherProgramsAreNamed() throws {
        try withTemporaryFolder { folder throws in
            let model = try copy(folder.appendingPathComponent("model"))
            let weights = model.appendingPathComponent("vae/diffusion_pytorch_model.safetensors")
            try FileManager.default.moveItem(at: weights, to: model.appendingPathComponent("vae/diffusion_flax_model.msgpack"))
            let error = try refusal(model.path)
            #expect(error.code == .unsupportedFormat && error.message.contains("Flax"), "\(error)")
        }
    }
}

/// Files of other formats, in the place of weights and of configurations.
@Suite struct ForeignFormatTests {
    private static let pointer = Array("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n".utf8)
    private static let page = Array("\n <!doctype HTML><html><title>Sign in</title>".utf8)

    // What the sentences say behind the kind of the file.
    private static let lfs = ", not the weights; fetch them with \"git lfs pull\"."
    private static let login = ", not weights; the download has failed or needs a login, fetch the file again."
    private static let failed = " with an error message, not weights; the download has probably failed, fetch the file again."
    private static let noWeights = ", not weights; name a model's folder or a .safetensors file."
    private static let otherWeights = ", which is not supported; use the model's .safetensors files."
    private static let pickle = ", which can run programs when it is opened; load it elsewhere with diffusers and write it with"

    private static func wide(_ text: String) -> [UInt8] { text.utf16.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] } }
    private static func zip(_ name: String) -> [UInt8] {
        Array("PK\u{03}\u{04}".utf8) + [UInt8](repeating: 0, count: 22) + [UInt8(name.utf8.count), 0, 0, 0] + Array(name.utf8)
            + [UInt8](repeating: 7, count: 40)
    }

    @Test(
        arguments: [
            (pointer, "Git LFS", lfs), (page, "HTML", login), (Array("<html lang=en>".utf8), "HTML", login),
            (Array("<?xml version=\"1.0\"?><Error/>".utf8), "XML", failed),
            (Array("<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>NoSuchKey</Code></Error>".utf8), "XML", failed),
            (Array("<?xml version=\"1.0\"?><errors/>".utf8), "XML", noWeights),
            (Array("<?xml version=\"1.0\"?><net><error/></net>".utf8), "XML", noWeights),
            ([0xFF, 0xD8, 0xFF, 0xE0, 0, 0x10, 0x4A, 0x46, 0x49, 0x46, 0], "JPEG", noWeights),
            ([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13], "PNG", noWeights),
            (Array("GIF89a\u{1}\0\u{1}\0\0\0\0".utf8), "GIF", noWeights),
            (Array("RIFF\u{24}\0\0\0WEBPVP8 ".utf8), "WebP", noWeights),
            (zip("model/config.json"), "ZIP", noWeights), (zip("archive/data.pkl"), "pickle", pickle),
            ([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0, 0], "gzip", noWeights),
            (Array("GGUF\u{3}\0\0\0\0\0\0\0".utf8), "GGUF", otherWeights),
            ([8, 8, 0x12, 7] + Array("pytorch:".utf8), "ONNX", otherWeights),
            ([0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 0], "HDF5", otherWeights),
            (Array("{\n  \"_class_name\": \"UNet2DConditionModel\"\n}".utf8), "JSON", noWeights),
            ([0, 0, 0, 0x18] + Array("ftypheic\0\0\0\0mif1heic".utf8), "HEIC", noWeights),
            ([0, 0, 0, 0x10] + Array("ftypavif\0\0\0\0".utf8), "AVIF", noWeights),
            (Array("BM\u{46}\0\0\0\0\0\0\0\u{36}\0\0\0\u{28}\0\0\0".utf8), "BMP", noWeights),
            ([0xEF, 0xBB, 0xBF] + pointer, "Git LFS", lfs), ([0xFF, 0xFE] + wide("<html>"), "HTML", login),
            ([0xFF, 0xFE] + wide("Access denied."), "UTF-16", " that begins with \"Access denied.\", not weights;"),
            (Array("<!-- saved -->\n<html>".utf8), "HTML", login), (Array("<meta charset=utf-8>".utf8), "HTML", login),
            (Array("<script>location='/'</script>".utf8), "HTML", login),
            (Array("<?xml version=\"1.0\"?><!DOCTYPE html>".utf8), "HTML", login),
            (Array("{\"error\": \"Repository not found\"}".utf8), "JSON", failed),
            ([0xFF, 0xFE] + wide("{\"error\": \"Repository not found\"}"), "UTF-16", failed),
            ([0xEF, 0xBB, 0xBF] + Array("{\"detail\":\"no\"}".utf8), "JSON", failed),
            ([0xFF, 0xFE] + wide("{\"a\": 1}"), "UTF-16", noWeights),
            (Array("{\"detail\":\"Not authenticated\"}".utf8), "JSON", failed),
            (
                Array("Access to model é is restricted.\n".utf8), "text",
                " that begins with \"Access to model é is restricted.\", not weights;"
            ),
        ] as [([UInt8], String, String)])
    func filesThatAreNoWeightsAreNamed(bytes: [UInt8], format: String, rest: String) throws {
        let error = try #require(refusal(bytes))
        #expect(error.message.contains(format) && error.message.hasPrefix("test.safetensors is "), "\(error)")
        #expect(error.message.contains(rest), "\(error)")
    }

    /// The bytes say more than the ending of a name that promises a pickle.
    @Test(arguments: ["sd-v1-4.ckpt", "x.bin", "x.pt", "X.PTH", "x.gguf"]) func bytesGoBeforeTheName(name: String) throws {
        try withTemporaryFolder { folder throws in
            let path = folder.appendingPathComponent(name).path
            for (bytes, title) in [
                (Self.pointer, "Git LFS"), (Self.page, "HTML"), ([], "is empty; download it again as a .safetensors file."),
                (Array("{\"error\": \"x\"}".utf8), Self.failed), ([0xFF, 0xD8, 0xFF, 0xE0], "JPEG"),
                (
                    safetensors([f32("a", [1], shape: [1])]),
                    "rename it to \(path.dropLast(name.count))\(name.split(separator: ".")[0]).safetensors."
                ),
            ] as [([UInt8], String)] {
                try folder.write(name, bytes)
                let error = try WeightsTests.refusal(path)
                #expect(error.message.hasPrefix(path + " is ") && error.message.contains(title), "\(error)")
                #expect(weightsError { _ = try SafetensorsFile(path: path) } == error)
                #expect(weightsError { _ = try ModelSource.folder(path) } == error)
            }
            // With a mark, and of the oldest protocols: a dictionary, a list and a class, as text and in bytes.
            let isGGUF = name.hasSuffix("gguf")
            for text in [
                "\u{80}\u{02}}q", "(dp0\nS'a b'\np1\nI1\ns.", "(lp0\n.", "ccollections\nOrderedDict\n(tR.",
                "}q\0X\n\0\0\0a b\0u.",
            ] where !isGGUF {
                try folder.write(name, text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) })
                #expect(try WeightsTests.refusal(path).message.contains(Self.pickle), "\(text)")
            }
            for text in [
                "Entry not found", "Not Found\n", "Invalid username.", "connection refused.\n.", "(c) all of us.\n.", "x",
            ] {
                try folder.write(name, text)
                let error = try WeightsTests.refusal(path)
                #expect(
                    error.code == .malformed && error.message.contains("fetch this one again if a download has failed"),
                    "\(error)")
                #expect(error.message.contains("is a text file that begins with"), "\(error)")
            }
            for bytes in [[UInt8](repeating: 0, count: 5000), [7, 7, 7], [UInt8](repeating: 0xFF, count: 99)] {
                try folder.write(name, bytes)
                let error = try WeightsTests.refusal(path)
                #expect(error.code == .malformed && error.message.contains("download it again"), "\(error)")
                #expect(error.message.contains("is named like a \(isGGUF ? "GGUF file" : "pickle"), but"), "\(error)")
            }
        }
    }

    /// Files that other programs keep beside a checkpoint are no configuration here.
    @Test(arguments: ["v1-inference.yaml", "x.YML", "x.ckpt", "x.safetensors"]) func configurationsAreFolders(name: String)
        throws
    {
        try withTemporaryFolder { folder throws in
            try folder.write(name, "model:\n  base_learning_rate: 1.0e-04\n")
            let checkpoint = folder.appendingPathComponent("one.safetensors")
            try Data(FileTensor.file(SingleFiles.checkpoint(of: tiny, .first))).write(to: checkpoint)
            var choice = ModelChoice(path: checkpoint.path)
            choice.configuration = folder.path + "/" + name
            let error = weightsError { _ = try ModelSource.open(choice) }
            let message = error?.message ?? "nothing is refused"
            #expect(error?.code == .unsupportedFormat && message.contains("--model-config takes the folder"), "\(message)")
            #expect(message.contains("YAML") == name.lowercased().contains(".y"))
            choice.configuration = folder.path + "/none"
            let missing = weightsError { _ = try ModelSource.open(choice) }
            #expect(missing?.code == .notFound)
        }
    }

    /// A file of none of these kinds is still called broken.
    @Test(arguments: [
        [], [1], [UInt8](repeating: 0, count: 40), [UInt8](repeating: 0xFF, count: 40), [0x80, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    ])
    func everythingElseIsMalformed(bytes: [UInt8]) {
        #expect(refusal(bytes)?.code == .malformed)
    }

    @Test(arguments: [
        "unet/config.json", "tokenizer/vocab.json", "tokenizer/tokenizer.json", "tokenizer/merges.txt", "model_index.json",
    ])
    func filesThatAreNoTextsAreNamed(path: String) throws {
        for (bytes, title) in [
            (Self.pointer, "Git LFS"), (Self.page, "HTML"), ([0xFF, 0xD8, 0xFF, 0xE0, 0, 0], "JPEG"), ([], "is empty"),
            ([0xFF, 0xFE] + Self.wide("{\"a\": 1}"), "UTF-16; save it as UTF-8"),
            ([0xFE, 0xFF, 0, 0x5B, 0, 0x31, 0, 0x5D], "UTF-16; save it as UTF-8"),
            ([0xFF, 0xFE] + Self.wide("#version: 0.2"), "UTF-16; save it as UTF-8"),
        ] as [([UInt8], String)] {
            let source = ModelSource.embedded(name: "any", files: [path: permanent(bytes)])
            let error = try #require(
                weightsError {
                    if path.hasSuffix("txt") { _ = try source.text(path) } else { _ = try source.json(path) }
                })
            #expect(error.message.contains("any/\(path)") && error.message.contains(title), "\(error)")
        }
    }
}
