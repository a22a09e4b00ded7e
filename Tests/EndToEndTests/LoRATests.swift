import Foundation
import ImageFiles
import StrictJSON
import TestSupport
import Testing

extension SingleCommands {
    /// LoRA files from the command line.
    @Suite struct LoRATests {
        private static let prompt = "a red apple"
        private static let size = ["-W", "128", "-H", "128", "--steps", "3", "-s", "7", "--cfg-scale", "5"]

        /// A folder with two LoRA files for the embedded model, one with a colon in its name.
        private static func folder() throws -> Folder {
            let folder = try Folder()
            try FileManager.default.createDirectory(atPath: folder.file("loras"), withIntermediateDirectories: true)
            try EmbeddedLoRA.write(folder.file("loras/ink.safetensors"), seed: 1, text: true)
            try EmbeddedLoRA.write(folder.file("loras/wash:v2.safetensors"), seed: 2)
            return folder
        }

        private static func render(_ options: [String], _ prompt: String = prompt, in folder: Folder) async throws
            -> DecodedImage
        {
            let output = folder.file("a.png")
            let program = try Program(["render", "-p", prompt] + size + options + ["-o", output], in: folder)
            defer { program.end() }
            try #require(try await program.wait().code == 0, "\(program.errorLines)")
            return try ImageDecoder.decode(file: output)
        }

        @Test func filesNamesAndTagsMeanTheSame() async throws {
            let folder = try Self.folder()
            let (ink, loras) = (folder.file("loras/ink.safetensors"), ["--lora-model-dir", folder.file("loras")])
            let plain = try await Self.render([], in: folder)
            let file = try await Self.render(["--lora", "\(ink):0.7", "--workers", "1"], in: folder)
            #expect((file.pixels == plain.pixels) == false)
            let others = [
                try await Self.render(["--lora", "ink:0.7", "--workers", "2"] + loras, in: folder),
                try await Self.render(["--lora_model_dir", folder.file("loras")], "a red apple<lora:ink:0.7>", in: folder),
            ]
            for other in others { #expect(other.pixels == file.pixels) }
            // A folder in the working directory with the LoRA's name does not count.
            let name = "patchloom-test-\(folder.mark)"
            let folderOfThatName = FileManager.default.currentDirectoryPath + "/" + name
            try FileManager.default.copyItem(atPath: ink, toPath: folder.file("loras/\(name).safetensors"))
            try FileManager.default.createDirectory(atPath: folderOfThatName, withIntermediateDirectories: false)
            defer { try? FileManager.default.removeItem(atPath: folderOfThatName) }
            let named = try await Self.render(["--lora", "\(name):0.7"] + loras, in: folder)
            #expect(named.pixels == file.pixels)
            let none = try await Self.render(["--lora", "\(ink):0"], in: folder)
            #expect(none.pixels == plain.pixels)
            #expect(file.text("parameters")?.hasPrefix("a red apple <lora:ink:0.7>\n") == true)
            #expect(others[1].text("parameters")?.hasPrefix("a red apple<lora:ink:0.7>\n") == true)
            for image in [file] + others {
                #expect(image.text("parameters")?.contains("Lora hashes: \"ink: ") == true, "\(image.text("parameters") ?? "")")
            }
            // Without a number the colon belongs to the name.
            let wash = try await Self.render(
                ["--lora", "\(ink):0.7", "--lora", folder.file("loras/wash:v2.safetensors")], in: folder)
            #expect((wash.pixels == file.pixels) == false)
            let details = try JSONValue(parsing: Array((wash.text("patchloom") ?? "").utf8), limits: .config)
            let applied = details["plan"]?["loras"]?.arrayValue ?? []
            #expect(applied.map { $0["name"]?.stringValue } == ["ink", "wash:v2"])
            #expect(applied.map { $0["scale"]?.doubleValue } == [0.7, 1])
        }

        /// A bare name from a copied prompt, a path, and two scales in either order.
        @Test func namesBelowFoldersAndTwoScales() async throws {
            let folder = try Self.folder()
            for path in ["style/food", "other"] {
                try FileManager.default.createDirectory(
                    atPath: folder.file("loras/" + path), withIntermediateDirectories: true)
            }
            try EmbeddedLoRA.write(folder.file("loras/style/food/mist v1.2.SafeTensors"), seed: 3, text: true)
            try EmbeddedLoRA.write(folder.file("loras/mist-unet.safetensors"), seed: 3)
            let loras = ["--lora-model-dir", folder.file("loras")]
            let unet = try await Self.render(["--lora", "mist-unet:0.7"] + loras, in: folder)
            let path = folder.file("loras/style/food/mist v1.2.SafeTensors")
            let tag = try await Self.render(loras, "a red apple<lora:mist v1.2:0:0.7>", in: folder)
            let named = try await Self.render(loras, "a red apple<lora:mist v1.2:unet=0.7:te=0>", in: folder)
            let file = try await Self.render(["--lora", path + ":0:0.7"], in: folder)
            for image in [tag, named, file] { #expect(image.pixels == unet.pixels) }
            #expect(tag.text("parameters")?.hasPrefix("a red apple<lora:mist v1.2:0:0.7>\n") == true)
            #expect(file.text("parameters")?.hasPrefix("a red apple <lora:mist v1.2:0:0.7>\n") == true)
            let details = try JSONValue(parsing: Array((file.text("patchloom") ?? "").utf8), limits: .config)
            let applied = try #require(details["plan"]?["loras"]?.arrayValue?.first)
            #expect(applied["scale"]?.doubleValue == 0.7 && applied["text_encoder_scale"]?.doubleValue == 0)

            try EmbeddedLoRA.write(folder.file("loras/other/mist v1.2.safetensors"), seed: 4)
            let both = try Program(
                ["plan", "-p", "a <lora:mist v1.2>"] + loras, in: folder)
            defer { both.end() }
            #expect(try await both.wait().code == 64)
            let said = both.errorLines.joined(separator: "\n")
            #expect(both.errorLines.count == 1 && said.contains(path), "\(said)")
            #expect(said.contains(folder.file("loras/other/mist v1.2.safetensors")), "\(said)")
        }

        /// `submit` uses the coordinator's name of the file. The worker keeps it in another place under another name.
        @Test func aClusterMakesTheSamePicture() async throws {
            let folder = try Self.folder()
            let reference = try await Self.render(["--lora", folder.file("loras/ink.safetensors:0.7")], in: folder)
            let elsewhere = folder.file("elsewhere")
            try FileManager.default.createDirectory(atPath: elsewhere, withIntermediateDirectories: true)
            try FileManager.default.copyItem(atPath: folder.file("loras/ink.safetensors"), toPath: elsewhere + "/x.safetensors")
            let endpoint = "tcp://127.0.0.1:\(try freePort())"
            let cluster = [
                try Program(["coordinator", "--listen", endpoint, "--lora-model-dir", folder.file("loras")], in: folder),
                try Program(
                    ["worker", "--connect", endpoint, "--threads", "1", "--lora-model-dir", elsewhere], in: folder),
            ]
            defer { for program in cluster { program.end() } }
            let request = ["submit", "--coordinator", endpoint, "-p", Self.prompt] + Self.size
            let submit = try Program(request + ["--lora", "ink:0.7", "-o", folder.file("b.png")], in: folder)
            #expect(try await submit.wait().code == 0, "\(submit.errorLines)")
            #expect(try ImageDecoder.decode(file: folder.file("b.png")).pixels == reference.pixels)
            // A file that the worker does not have.
            let missing = try Program(request + ["--lora", "wash:v2", "-o", folder.file("c.png")], in: folder)
            #expect(try await missing.wait().code != 0)
            #expect(missing.errorLines.last?.contains("--lora-model-dir") == true, "\(missing.errorLines)")
        }

        private static let tiny = Fixtures.folder.appendingPathComponent("golden/models/lora/tiny-sd15-kohya-f16.safetensors")
            .path

        @Test(
            arguments: [
                (["--lora", "nowhere.safetensors:0.5"], 66, ["nowhere.safetensors"]), (["--lora", "INK:nan"], 64, ["nan"]),
                (["--lora", "INK:1e9"], 64, ["1000000000"]), (["--lora", ""], 64, ["name"]),
                (["--lora", "LORAS"], 65, ["LORAS ", "--lora-model-dir"]),
                (["--lora", "LORAS/gone.safetensors"], 66, ["LORAS/gone.safetensors", " /mnt/none"]),
                (["--lora", "gone", "--lora-model-dir", "LORAS"], 66, ["LORAS/gone.safetensors", " /mnt/none"]),
                (["--lora", "old", "--lora-model-dir", "LORAS"], 65, ["LORAS/old.pt", "pickle"]),
                (["--lora", "two", "--lora-model-dir", "LORAS"], 64, ["two.SAFETENSORS"]),
                (["--lora", "pen", "--lora-model-dir", "LORAS"], 66, ["pen.safetensors"]),
                (["--lora", "../loras/ink", "--lora-model-dir", "LORAS"], 66, ["../loras/ink"]),
                (["--lora-model-dir", "LORAS/no"], 66, ["--lora-model-dir"]),
                (["--lora-model-dir", "INK"], 65, ["INK", "--lora-model-dir"]),
                (["-n", "a <lora:ink:1>", "--lora-model-dir", "LORAS"], 64, ["<lora:"]),
                (["--lora", "TINY:1"], 65, ["TINY", "width 24"]), (["--lora", "CONFIG"], 65, ["CONFIG", "safetensors"]),
            ] as [([String], Int32, [String])])
        func whatCannotBeAppliedIsRefused(_ options: [String], _ code: Int32, _ mentions: [String]) async throws {
            let folder = try Self.folder()
            try Data("{}{}{}{}".utf8).write(to: URL(fileURLWithPath: folder.file("loras/config.json")))
            try Data([0x80, 2, 0x7D]).write(to: URL(fileURLWithPath: folder.file("loras/old.pt")))
            try FileManager.default.createSymbolicLink(
                atPath: folder.file("loras/gone.safetensors"), withDestinationPath: "/mnt/none")
            for (seed, name) in ["two.safetensors", "two.SAFETENSORS"].enumerated() {
                try EmbeddedLoRA.write(folder.file("loras/" + name), seed: UInt64(seed))
            }
            let places = [
                ("INK", folder.file("loras/ink.safetensors")), ("LORAS", folder.file("loras")), ("TINY", Self.tiny),
                ("CONFIG", folder.file("loras/config.json")),
            ]
            func placed(_ words: [String]) -> [String] {
                words.map { word in places.reduce(word) { $0.replacingOccurrences(of: $1.0, with: $1.1) } }
            }
            let sentence = try await BadInputTests.expectFailure(
                BadInputTests.render(placed(options), folder), code: code, in: folder, leaves: ["loras"])
            for mention in placed(mentions) { #expect(sentence.contains(mention), "\(mention) in \(sentence)") }
        }

        @Test(arguments: [
            ("a <lora:ink:1>", 66, "--lora-model-dir"), ("a <lora:ink:strong>", 64, "strong"),
            ("a <lora:ink:1:0.5:8>", 64, "<lora:ink:1:0.5:8>"), ("a <lora:ink:dyn=8>", 64, "dyn"),
            ("a <lora:ink", 64, "\"<lora:\""),
        ])
        func tagsThatCannotBeAppliedAreRefused(_ prompt: String, _ code: Int32, _ mentions: String) async throws {
            let folder = try Folder()
            try await BadInputTests.expectFailure(
                ["render", "-p", prompt, "-o", folder.file("a.png")], code: code, mentions: mentions, in: folder)
        }

        @Test func submitTakesNamesNotPaths() async throws {
            let folder = try Folder()
            try await BadInputTests.expectFailure(
                ["submit", "-p", "x", "--lora", "/a/ink.safetensors:0.5", "-o", folder.file("a.png")], code: 64,
                mentions: "/a/ink.safetensors", in: folder)
        }
    }
}
