import Foundation
import Rendering
import Requests
import Sentences
import StrictJSON
import TestSupport
import Testing
import Weights

/// The files of this host that words name: pictures, prompts, models, LoRA files.
@Suite final class FilesTests {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("requests-\(UUID().uuidString)")

    init() throws { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false) }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private func file(_ name: String, _ bytes: [UInt8]) throws -> String {
        let url = folder.appendingPathComponent(name)
        try Data(bytes).write(to: url)
        return url.path
    }

    /// A picture of one grey, whose right half is transparent where it has an alpha channel.
    private static func picture(_ width: Int, _ height: Int, grey: UInt8, alpha: Bool = false) -> [UInt8] {
        let row = (0..<width).flatMap { x -> [UInt8] in [grey, grey, grey] + (alpha ? [x < width / 2 ? 255 : 0] : []) }
        return HandmadePNG(width, height, alpha ? .rgba : .rgb, rows: Array(repeating: row, count: height)).bytes
    }

    @Test func aPictureIsTheSameFromAFileAndFromBytes() throws {
        let bytes = Self.picture(64, 72, grey: 40, alpha: true)
        var (fromFile, fromBytes) = (RequestWords(prompt: "a"), RequestWords(prompt: "a"))
        fromFile.picture = .file(try file("a.png", bytes))
        fromBytes.picture = .bytes(bytes)
        let request = try fromFile.request()
        let source = try #require(request.source)
        #expect(try fromBytes.request() == request)
        #expect((request.width, request.height) == (64, 72) && source.mask == nil)
        // Transparent pixels lie over white.
        #expect(source.rgb[0] == 40 && source.rgb[63 * 3] == 255)
    }

    @Test func masksFollowThePicture() throws {
        var words = RequestWords(prompt: "a")
        (words.picture, words[.width], words[.height]) = (.bytes(Self.picture(64, 64, grey: 9)), "128", "128")
        words.mask = .bytes(Self.picture(64, 64, grey: 0, alpha: true))
        let source = try #require(try words.request().source)
        let mask = try #require(source.mask)
        #expect(mask.count == 128 * 128 && mask[0] == 1 && mask[63] == 1 && mask[64] == 0 && mask[127] == 0)
        #expect(source.rgb.allSatisfy { $0 == 9 })
    }

    @Test func picturesThatDoNotFitAreRefused() throws {
        let odd = try file("odd.png", Self.picture(70, 64, grey: 1))
        let size = try WordsTests.refusal { $0.picture = .file(odd) }
        #expect(size.category == .invalid)
        #expect(
            size.sentence.spelled(\.key)
                == "\(odd) has 70×64 px, and sides must be multiples of 8: choose a size, such as width 64 height 64, to which it is resized."
        )
        let mask = try WordsTests.refusal {
            $0.picture = .bytes(Self.picture(64, 64, grey: 1))
            $0.mask = .bytes(Self.picture(64, 72, grey: 255))
        }
        #expect(mask.category == .invalid)
        #expect(mask.faults == [SettingFault(.mask)])
        #expect(
            mask.sentence.spelled(\.key)
                == "The mask has 64×72 px, but the picture has 64×64: make the mask as large as the picture.")
        let missing = try WordsTests.refusal { $0.picture = .file("/nowhere/a.png") }
        #expect(missing.category == .notFound && missing.sentence.spelled(\.key).contains("/nowhere/a.png"))
        let damaged = try WordsTests.refusal { $0.picture = .bytes(Array(Self.picture(64, 64, grey: 1).dropLast(40))) }
        #expect(damaged.category == .badInput)
        let huge = try WordsTests.refusal {
            $0.picture = .bytes(Self.picture(64, 64, grey: 1))
            ($0[.width], $0[.height]) = ("\(Int.max)", "\(Int.max)")
        }
        #expect(huge.category == .invalid)
    }

    @Test func promptFiles() throws {
        let text = try file("p.txt", Array("\u{FEFF} a fox\r\non ice \r\n".utf8))
        #expect(try PromptFile.read(text) == "a fox\non ice")
        let refused: [(String, RequestError.Category)] = [
            (try file("empty.txt", []), .invalid), (try file("latin.txt", [0x61, 0xE9]), .invalid),
            (try file("long.txt", Array(repeating: 0x61, count: 64 << 10)), .invalid),
            (folder.path, .notFound), (folder.path + "/none.txt", .notFound),
        ]
        for (path, category) in refused {
            let error = #expect(throws: RequestError.self, "\(path)") { try PromptFile.read(path) }
            #expect(error?.category == category, "\(path)")
            #expect(error?.sentence.spelled(\.key).contains(path) == true)
        }
    }

    @Test func lorasOfOptionsAndTagsAreFoundInTheFolders() throws {
        let (ink, fog) = (folder.appendingPathComponent("ink.safetensors"), folder.appendingPathComponent("fog.safetensors"))
        try EmbeddedLoRA.write(ink.path, seed: 1)
        try EmbeddedLoRA.write(fog.path, seed: 2)
        var words = RequestWords(prompt: "a fox <lora:fog:0.5>")
        words[.lora] = "ink:0.8"
        let request = try words.request()
        let found = try LoRAFolders([folder.path]).resolve(request)
        #expect(found.files.map { URL(fileURLWithPath: $0).lastPathComponent } == ["ink.safetensors", "fog.safetensors"])
        #expect(found.request.loras.map(\.name) == ["ink"] && found.request.loras[0].sha256 != nil)
        // A path needs no folder, and of several prompts the files are counted once.
        words[.lora] = ink.path
        words[.prompt] = "a fox"
        let named = try LoRAFolders([]).resolve(try words.request(), prompts: ["a fox", "a cat"])
        #expect(named.files == [ink.path] && named.request.prompt == "a fox")
        #expect(named.request.loras[0].sha256 == found.request.loras[0].sha256)

        for (lora, folders) in [("rain", [folder.path]), ("ink", []), ("ink", [folder.path + "/none"])] {
            words[.lora] = lora
            let request = try words.request()
            let error = #expect(throws: RequestError.self, "\(lora)") { try LoRAFolders(folders).resolve(request) }
            #expect(error?.category == .notFound, "\(lora) in \(folders): \(String(describing: error))")
            #expect(error?.faults.first?.setting == (folders.isEmpty || !folders[0].hasSuffix("none") ? .lora : .loraModelDir))
        }
    }

    @Test func modelsAreOpenedByWhatTheyAreCalled() throws {
        #expect(try ModelWords([]).source().identity() == ModelSource.embeddedModel.identity())
        #expect(try ModelWords([]).weightBytes(.embeddedModel) == 0)
        let missing = #expect(throws: RequestError.self) { try ModelWords([self.folder.path + "/none"]).source() }
        #expect(missing?.category == .notFound)
        let two = #expect(throws: RequestError.self) { try ModelWords(["a", "b"]).source() }
        #expect(two?.sentence.spelled(\.key) == "One picture is made with one model; give model once.")
        #expect(missing?.faults == [SettingFault(.model, value: .string(folder.path + "/none"))])
        // The model is there, and another word may be at fault.
        let model = Fixtures.repository.appendingPathComponent("Sources/CEmbeddedModel/model").path
        let other = #expect(throws: RequestError.self) {
            try ModelWords([model], CheckpointWords([.vae: "/nowhere"])).source()
        }
        #expect(other?.faults == [SettingFault(.model), SettingFault(.vae)])
        #expect(two?.faults == [SettingFault(.model)])
        let variant = CheckpointWords([.variant: "fp16"])
        for references in [[], ["a", "b"]] {
            let error = #expect(throws: RequestError.self) { try ModelWords(references, variant).sources() }
            #expect(error?.category == .invalid && error?.faults == [SettingFault(.variant)])
        }
        let flow = #expect(throws: RequestError.self) { try CheckpointWords([.predictionType: "flow"]).choice("a") }
        #expect(flow?.sentence.spelled(\.key) == "prediction_type must be epsilon or v_prediction, not 'flow'.")
    }
}
