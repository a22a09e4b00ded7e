import ContentHash
import EmbeddedModel
import Foundation
import Sentences
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

@testable import Rendering

/// The tags `<lora:NAME:0.8>`, as text.
@Suite struct LoRATagTests {
    typealias Tag = LoRATags.Tag

    @Test(arguments: [
        ("a cat", "a cat", []), ("", "", []), ("<lora:ink:0.8>", "", [Tag(name: "ink", scale: 0.8)]),
        ("a <lora:ink>cat", "a cat", [Tag(name: "ink", scale: 1)]),
        (
            "<lora:a:1><lora:b:-0.5> a (cat:1.2) <lora:a: 2>", " a (cat:1.2) ",
            [Tag(name: "a", scale: 1), Tag(name: "b", scale: -0.5), Tag(name: "a", scale: 2)]
        ),
        ("<lyco:ink:1e-1>x", "x", [Tag(name: "ink", scale: 0.1)]), ("<LoRA:Ink:1>", "", [Tag(name: "Ink", scale: 1)]),
        ("a < b and <b> or <b:c>, <loras:x> 3 <", "a < b and <b> or <b:c>, <loras:x> 3 <", []),
        ("<<lora:style/ink wash.v2:.5>>", "<>", [Tag(name: "style/ink wash.v2", scale: 0.5)]),
        ("<lora:ink:0.5:0.8>", "", [Tag(name: "ink", scale: LoRAScale(unet: 0.8, textEncoder: 0.5))]),
        ("<lora:ink:0.5: 0.5 >", "", [Tag(name: "ink", scale: 0.5)]),
        ("<lora:ink:te=0.5>", "", [Tag(name: "ink", scale: 0.5)]),
        ("<lora:ink:unet=0.8>", "", [Tag(name: "ink", scale: LoRAScale(unet: 0.8, textEncoder: 1))]),
        ("<lora:ink:unet=0.8:te=0>", "", [Tag(name: "ink", scale: LoRAScale(unet: 0.8, textEncoder: 0))]),
        ("<lyco:ink:te=-1:0.5:0.8>", "", [Tag(name: "ink", scale: LoRAScale(unet: 0.8, textEncoder: -1))]),
        ("<lora:ink:0.5:unet=0.8>", "", [Tag(name: "ink", scale: LoRAScale(unet: 0.8, textEncoder: 0.5))]),
        ("<lora:a=b:2>", "", [Tag(name: "a=b", scale: 2)]),
        ("äö<lora:ü:1>ß", "äöß", [Tag(name: "ü", scale: 1)]), ("<lora ink>", "<lora ink>", []),
    ])
    func tagsAreTakenOut(_ prompt: String, _ text: String, _ tags: [Tag]) throws {
        let found = try LoRATags(prompt, of: .prompt)
        #expect(found.text == text && found.tags == tags, "\(found)")
    }

    @Test(arguments: [
        ("<lora:ink:0.8", "without an end"), ("<lora:", "without an end"), ("<lora:>", "no name"), ("<lora::1>", "no name"),
        ("<lora:ink:high>", "no number"), ("<lora:ink:nan>", "no number"), ("<lora:ink:inf>", "no number"),
        ("<lora:ink:>", "no number"), ("<lora:ink:1:0.5:8>", "third number"), ("<lora:ink:dyn=8>", "dyn"),
        ("<lora:ink:1:x=2>", "neither te= nor unet="),
        ("<lora:ink:te=1:te=1>", "te twice"), ("<lora:ink:te=>", "no number"), ("<lora:ink:1:unet=nan>", "no number"),
        ("<lora:ink:1:>", "no number"), ("<lora:ink:0.5:high>", "no number"), ("<lora:ink:TE=1>", "neither te= nor unet="),
        ("<hypernet:ink:1>", "hypernetwork"),
    ])
    func tagsThatDoNotParseAreRefused(_ prompt: String, _ part: String) {
        let error = refusal { _ = try LoRATags("a cat " + prompt, of: .prompt) }
        #expect(
            error?.code == .invalidRequest && error?.isSentence == true && error?.message.contains(part) == true, "\(prompt)")
    }

    @Test func requestsNameTheirFilesInOrder() throws {
        var asked = request {
            $0.prompt = "x <lora:c:3><lora:d>"
            $0.loras = [LoRASelection(name: "a", scale: 0.5), LoRASelection(name: "b")]
        }
        #expect(try asked.selectedLoRAs().map(\.name) == ["a", "b", "c", "d"])
        #expect(try asked.selectedLoRAs().map(\.scale) == [0.5, 1, 3, 1])
        #expect(try asked.encodedPrompt() == "x ")
        asked.loras[0].sha256 = SHA256Digest(of: [1])
        #expect(try RenderRequest(metadata: asked.json) == asked)
        // Without LoRA files the request has its old form.
        #expect(RenderRequest().json["lora"] == nil)
        let changes: [(part: String, change: (inout RenderRequest) -> Void)] = [
            ("negative prompt", { $0.negativePrompt = "y <lora:ink:1>" }), ("101", { $0.prompt = "<lora:ink:101>" }),
            ("-101", { $0.loras[0].scale = -101 }), ("nan", { $0.loras[0].scale = LoRAScale(.nan) }),
            ("inf", { $0.loras[0].scale = LoRAScale(.infinity) }), ("name", { $0.loras[0].name = "" }),
            ("name", { $0.loras[0].name = "a\nb" }),
            ("too many", { $0.loras = Array(repeating: LoRASelection(name: "a"), count: 31) }),
        ]
        for (part, change) in changes {
            var bad = asked
            change(&bad)
            let error = refusal { try bad.validated() }
            #expect(error?.code == .invalidRequest && error?.isSentence == true, "\(part): \(String(describing: error))")
            #expect(error?.message.contains(part) == true, "\(part): \(error?.message ?? "accepted")")
        }
    }

    @Test(arguments: [
        "1", "[1]", #"[{"name":"a"}]"#, #"[{"scale":1}]"#, #"[{"name":"a","scale":"1"}]"#, #"[{"name":"a","scale":1,"x":1}]"#,
        #"[{"name":"a","scale":1,"sha256":"ab"}]"#, #"[{"name":"","scale":1}]"#, #"[{"name":"a","scale":1e9}]"#,
    ])
    func selectionsThatAreNoneAreRefused(_ text: String) throws {
        var object = RenderRequest().json.objectValue ?? JSONObject()
        object["lora"] = try JSONValue(parsing: Array(text.utf8), limits: .config)
        #expect(refusal { _ = try RenderRequest(metadata: .object(object)) }?.code == .invalidRequest)
    }
}

/// A folder of LoRA files for one test.
struct LoRAFolder {
    let folder: URL
    var library: LoRALibrary { get throws { try LoRALibrary(folders: [folder.path]) } }

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-lora-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    func remove() { try? FileManager.default.removeItem(at: folder) }

    /// Writes `NAME.safetensors` and gives back its hash.
    @discardableResult
    func write(_ name: String, seed: UInt64, unet: Bool = true, text: Bool = false) throws -> SHA256Digest {
        let path = folder.appendingPathComponent(name + ".safetensors").path
        try EmbeddedLoRA.write(path, seed: seed, unet: unet, text: text)
        return try LoRAFile(path: path).digest
    }
}

/// Pictures of the embedded model with LoRA files.
@Suite struct LoRARenderTests {
    private static func small(_ change: (inout RenderRequest) -> Void = { _ in }) -> RenderRequest {
        request {
            $0.prompt = "a red apple"
            ($0.width, $0.height) = (64, 64)
            $0.steps = 2
            change(&$0)
        }
    }

    private func render(_ library: LoRALibrary, _ request: RenderRequest, threads: Int = 1) throws -> RenderedImage {
        let runner = try TaskRunner(models: [.embeddedModel], loras: library, backend: .auto, threads: threads)
        return try render(runner, library, request)
    }

    private func render(_ runner: TaskRunner, _ library: LoRALibrary, _ request: RenderRequest) throws -> RenderedImage {
        var render = try OngoingRender(RenderMachine(request: request, model: ModelVariant.embedded.get(), loras: library))
        while render.image == nil { try render.advance(runner) }
        return try render.finished
    }

    @Test(arguments: [(true, false), (false, true), (true, true)])
    func theFileChangesThePictureAsItsScaleSays(_ unet: Bool, _ text: Bool) throws {
        let files = try LoRAFolder()
        defer { files.remove() }
        try files.write("ink", seed: 1, unet: unet, text: text)
        let library = try files.library
        let plain = try render(library, Self.small())
        let full = try render(library, Self.small { $0.loras = [LoRASelection(name: "ink")] })
        let none = try render(library, Self.small { $0.loras = [LoRASelection(name: "ink", scale: 0)] })
        let tag = try render(library, Self.small { $0.prompt = "a red apple<lora:ink:1>" })
        let threaded = try render(library, Self.small { $0.loras = [LoRASelection(name: "ink")] }, threads: 3)
        func hash(_ image: RenderedImage) -> String { SHA256Digest(of: image.rgb).hex }
        #expect(hash(full) != hash(plain))
        #expect(hash(none) == hash(plain))
        #expect(hash(tag) == hash(full))
        #expect(hash(threaded) == hash(full))
    }

    @Test func thePictureSaysWhatMadeIt() throws {
        let files = try LoRAFolder()
        defer { files.remove() }
        let (ink, wash) = (try files.write("ink", seed: 1), try files.write("wash", seed: 2))
        let image = try render(
            files.library,
            Self.small {
                $0.prompt = "an apple <lora:wash:-0.5>"
                $0.loras = [LoRASelection(name: "ink.safetensors", sha256: ink, scale: 0.8)]
            })
        let short = try ["ink", "wash"].map { String(try files.library.file(named: $0).dataDigest().hex.prefix(12)) }
        #expect(image.parameters.hasPrefix("an apple <lora:wash:-0.5> <lora:ink:0.8>\n"), "\(image.parameters)")
        #expect(image.parameters.contains("Lora hashes: \"ink: \(short[0]), wash: \(short[1])\""), "\(image.parameters)")
        let loras = image.details["plan"]?["loras"]?.arrayValue ?? []
        #expect(loras.map { $0["sha256"]?.stringValue } == [ink.hex, wash.hex])
        #expect(loras.map { $0["name"]?.stringValue } == ["ink", "wash"])
        #expect(loras.map { $0["scale"]?.doubleValue } == [0.8, -0.5])
        #expect(try image.details["model"]?["sha256"]?.stringValue == ModelVariant.embedded.get().identity.hex)
    }

    /// A file that cannot be applied is refused when the picture is planned, not by a worker.
    @Test func filesThatDoNotFitAreRefusedAtOnce() throws {
        let files = try LoRAFolder()
        defer { files.remove() }
        try files.write("ink", seed: 1)
        let model = try ModelVariant.embedded.get()
        let library = try files.library
        func refused(_ change: (inout RenderRequest) -> Void, _ library: LoRALibrary) -> RenderError? {
            refusal { _ = try RenderMachine(request: Self.small(change), model: model, loras: library) }
        }
        let missing = refused({ $0.prompt = "x <lora:wash:1>" }, library)
        #expect(
            missing?.code == .notFound && missing?.message.contains("wash.safetensors") == true,
            "\(String(describing: missing))")
        let nowhere = refused({ $0.prompt = "x <lora:ink:1>" }, .empty)
        #expect(nowhere?.code == .notFound && nowhere?.sentence.settings.contains(.loraModelDir) == true)
        let outside = refused({ $0.loras = [LoRASelection(name: "../ink")] }, library)
        #expect(outside?.code == .invalidRequest && outside?.message.contains("../ink") == true)
        let stranger = SHA256Digest(of: [7])
        let unknown = refused({ $0.loras = [LoRASelection(name: "ink", sha256: stranger)] }, library)
        #expect(unknown?.code == .notFound && unknown?.message.contains(stranger.hex) == true)
        let golden = Fixtures.folder.appendingPathComponent("golden/models/lora/tiny-sd15-kohya-f16.safetensors")
        try FileManager.default.copyItem(at: golden, to: files.folder.appendingPathComponent("tiny.safetensors"))
        let family = refused({ $0.prompt = "x <lora:tiny>" }, library)
        let place = files.folder.appendingPathComponent("tiny.safetensors").path
        #expect(family?.code == .badModel && family?.message.contains(place) == true, "\(family as Any)")
        #expect(family?.message.contains("width 24") == true, "the file's own: \(family as Any)")
    }

    /// Two variants of a model are kept, the plain one among them. A variant that was given up is built again, with the same
    /// bytes.
    @Test func aWorkerKeepsTwoVariantsOfAModel() throws {
        let files = try LoRAFolder()
        defer { files.remove() }
        for (name, seed) in [("a", 1), ("b", 2), ("c", 3)] { try files.write(name, seed: UInt64(seed)) }
        // This file leaves the U-Net alone, so the U-Net is the plain model's.
        try files.write("text", seed: 4, unet: false, text: true)
        let library = try files.library
        let runner = try TaskRunner(models: [.embeddedModel], loras: library, backend: .auto, threads: 1)
        // When the second file comes after it, the plain U-Net must go, although nobody asked for the plain model.
        var requests = ["a", "text", "b", "c"].map { name in Self.small { $0.loras = [LoRASelection(name: name)] } }
        requests.append(Self.small())
        var most = 0
        // All at once, barrier by barrier: every task finds the networks of its own context.
        var renders = try requests.map {
            try OngoingRender(RenderMachine(request: $0, model: ModelVariant.embedded.get(), loras: library))
        }
        while renders.contains(where: { $0.image == nil }) {
            for index in renders.indices where renders[index].image == nil {
                try renders[index].advance(runner)
                most = max(most, runner.models.builtUNets(of: runner.modelIdentities[0]))
            }
        }
        #expect(most == ModelVariants.limit)
        let images = try renders.map { try $0.finished.rgb }
        #expect(Set(images.map { SHA256Digest(of: $0).hex }).count == 5)
        for (request, image) in zip(requests, images) {
            let isSame = try render(library, request).rgb == image
            #expect(isSame)
        }
    }

    @Test func aWorkerWithoutTheFileSaysWhichItNeeds() throws {
        let files = try LoRAFolder()
        defer { files.remove() }
        let hash = try files.write("ink", seed: 1)
        let runner = try TaskRunner(models: [.embeddedModel], backend: .auto, threads: 1)
        let context = JobContext(
            modelIdentity: runner.modelIdentities[0], loras: [JobContext.LoRA(sha256: hash, scale: 1)], conditioning: nil)
        let error = refusal { try runner.open(context) }
        #expect(error?.code == .notFound && error?.isSentence == true)
        #expect(error?.message.contains(hash.hex) == true && error?.sentence.settings.contains(.loraModelDir) == true)
    }

    /// One scale travels and is kept in the old form. With two scales, the second has a member of its own.
    @Test func wireAndPictureHoldTheSecondScaleOnlyWhereThereIsOne() throws {
        let file = SHA256Digest(of: [2])
        let both = LoRAScale(unet: 0.8, textEncoder: 0.5)
        func text(_ json: JSONValue) -> String { json.canonicalText }
        #expect(text(LoRASelection(name: "a", scale: 0.8).json) == #"{"name":"a","scale":0.8}"#)
        #expect(text(LoRAScale(0.8).json(sha256: file)) == #"{"scale":0.8,"sha256":"\#(file.hex)"}"#)
        #expect(
            text(LoRASelection(name: "a", scale: both).json) == #"{"name":"a","scale":0.8,"text_encoder_scale":0.5}"#)
        for scale in [both, 0.8, LoRAScale(unet: 0, textEncoder: -0.0)] {
            let selection = LoRASelection(name: "a", sha256: file, scale: scale)
            #expect(LoRASelection(json: selection.json)?.scale.numbers.map(\.bitPattern) == scale.numbers.map(\.bitPattern))
            let context = JobContext(
                modelIdentity: file, loras: [JobContext.LoRA(sha256: file, scale: scale)], conditioning: nil)
            #expect(try JobContext(metadata: context.encoded().metadata, payload: []).hash == context.hash)
        }
        #expect(LoRASelection(json: ["name": "a", "scale": 1.0, "text_encoder_scale": "1"]) == nil)
        #expect(LoRASelection(json: ["name": "a", "text_encoder_scale": 1.0]) == nil)
        var request = RenderRequest()
        request.loras = [LoRASelection(name: "a", scale: LoRAScale(unet: 1, textEncoder: 1e3))]
        #expect(refusal { try request.validated() }?.code == .invalidRequest)
    }

    @Test func eachNetworkCountsWithItsOwnScale() throws {
        let files = try LoRAFolder()
        defer { files.remove() }
        try files.write("both", seed: 1, text: true)
        try files.write("unet", seed: 1)
        let library = try files.library
        func picture(_ tag: String) throws -> RenderedImage { try render(library, Self.small { $0.prompt += tag }) }
        // Factors are seeded in order, the U-Net's first, so the second file is the U-Net's half of the first.
        let unet = try picture("<lora:unet:0.7>")
        let half = try picture("<lora:both:0:0.7>")
        #expect(half.rgb == unet.rgb)
        #expect(try picture("<lora:both:0.7:0>").rgb != unet.rgb)
        #expect(try picture("<lora:both:0.7:0.7>").rgb == picture("<lora:both:0.7>").rgb)
        #expect(half.parameters.hasPrefix("a red apple<lora:both:0:0.7>\n"))
        let chosen = try render(
            library, Self.small { $0.loras = [LoRASelection(name: "both", scale: LoRAScale(unet: 0.7, textEncoder: 0))] })
        #expect(chosen.rgb == unet.rgb && chosen.parameters.hasPrefix("a red apple <lora:both:0:0.7>\n"))
    }

    @Test func contextsCarryTheFilesAndTheirScales() throws {
        let (model, file) = (SHA256Digest(of: [1]), SHA256Digest(of: [2]))
        let plain = JobContext(modelIdentity: model, conditioning: nil)
        let with = JobContext(modelIdentity: model, loras: [JobContext.LoRA(sha256: file, scale: 0.1)], conditioning: nil)
        let other = JobContext(modelIdentity: model, loras: [JobContext.LoRA(sha256: file, scale: 0.2)], conditioning: nil)
        #expect(Set([plain.hash, with.hash, other.hash].map(\.hex)).count == 3)
        let encoded = with.encoded()
        #expect(try JobContext(metadata: encoded.metadata, payload: encoded.payload) == with)
        for bad in [
            "[]", "1", "[1]", #"[{"sha256":"ab","scale":1}]"#, #"[{"sha256":"\#(file.hex)"}]"#,
            #"[{"sha256":"\#(file.hex)","scale":1e9}]"#, #"[{"sha256":"\#(file.hex)","scale":1,"name":"x"}]"#,
        ] {
            let text = #"{"model":"\#(model.hex)","loras":\#(bad)}"#
            let metadata = try JSONValue(parsing: Array(text.utf8), limits: .config)
            #expect(refusal { _ = try JobContext(metadata: metadata, payload: []) }?.code == .malformed, "\(bad)")
        }
    }
}
