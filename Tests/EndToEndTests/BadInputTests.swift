import Foundation
import TestSupport
import Testing

extension SingleCommands {
    /// A wrong input gets one sentence and the documented exit code, and leaves nothing behind.
    @Suite struct BadInputTests {
        /// The embedded model as a folder on disk.
        static let model = Fixtures.embeddedModel.path

        /// Runs the program and checks its failure. The sentence must name what `mentions` holds: files, options and values,
        /// for its wording is checked where it is made. Returns the sentence.
        @discardableResult
        static func expectFailure(
            _ arguments: [String], code: Int32, mentions: String..., in folder: Folder, leaves: [String] = [],
            environment: [String: String] = [:], sourceLocation: SourceLocation = #_sourceLocation
        ) async throws -> String {
            let program = try Program(arguments, in: folder, environment: environment)
            defer { program.end() }
            let ending = try await program.wait(seconds: 40, sourceLocation: sourceLocation)
            let lines = program.errorLines
            #expect(ending == Program.Ending(code: code, signal: 0), "\(lines)", sourceLocation: sourceLocation)
            #expect(lines.count == 1, "one sentence, not \(lines)", sourceLocation: sourceLocation)
            let line = lines.last ?? ""
            #expect(line.hasPrefix("patchloom"), "\(lines)", sourceLocation: sourceLocation)
            for mention in mentions {
                #expect(line.contains(mention), "\(mention) in \(lines)", sourceLocation: sourceLocation)
            }
            #expect(program.outputLines.isEmpty, sourceLocation: sourceLocation)
            try await Program.waitUntilNone(marked: folder.mark)
            #expect(folder.names == leaves.sorted(), sourceLocation: sourceLocation)
            return line
        }

        static func render(_ options: [String], _ folder: Folder, output: String? = nil) -> [String] {
            ["render", "-p", "a red apple", "-W", "256", "-H", "256", "--steps", "2"] + options
                + ["-o", output ?? folder.file("a.png")]
        }

        @Test(arguments: [
            (["--workers", "0"], "workers"), (["--workers", "-1"], "workers"), (["--workers", "100000"], "workers"),
            (["--group", "0"], "--group must be from 1 to 8"), (["--group", "9"], "not 9"), (["--group", "x"], "group"),
            (["--threads-per-worker", "0"], "threads"), (["-W", "250"], "250"), (["-W", "0"], "0"), (["-H", "-8"], "-8"),
            (["-W", "99999999999999999999"], "width"), (["-H", "1000000000"], "1000000000"), (["--steps", "0"], "steps"),
            (["--steps", "x"], "steps"), (["--cfg-scale", "nan"], "guidance"), (["--method", "magic"], "magic"),
            (["--hidiffusion", "maybe"], "maybe"), (["--sampling-method", "magic"], "magic"),
            (["--structure-fraction", "1.5"], "1.5"),
            (["--structure-fraction", "half"], "half"), (["--stride", "0"], "stride"), (["--patch", "7"], "patch"),
            (["--backend", "abacus"], "abacus"), (["--nonsense"], "--nonsense"), (["stray"], "stray"),
            (["--eta", "-1"], "eta"), (["--clip-skip", "101"], "clip skip"), (["--clip-skip", "40"], "openmoji-24"),
            (["--guidance-rescale", "2"], "rescale"), (["--detail-cfg-scale", "99"], "detail"),
            (["--original-size", "512"], "'512'"),
            (["--target-size", "1x-2"], "--target-size"), (["--crop-coords-top-left", "1x2"], "--crop-coords-top-left"),
            (["--target-size", "64x64"], "SDXL"), (["--hidiffusion-family", "flux"], "sdxl_playground"),
            (["--hidiffusion-family", "sdxl"], "openmoji-24"), (["-n", "(a:1.2.3)"], "(a:1.2.3)"),
            (["-n", "[a:b:10]"], "[a:b:10]"),
        ])
        func commandLinesThatCannotBeRun(_ options: [String], _ mentions: String) async throws {
            let folder = try Folder()
            try await Self.expectFailure(Self.render(options, folder), code: 64, mentions: mentions, in: folder)
        }

        @Test func missingOptions() async throws {
            let folder = try Folder()
            try await Self.expectFailure(["render", "-o", folder.file("a.png")], code: 64, mentions: "--prompt", in: folder)
            try await Self.expectFailure(["render", "-p", "x"], code: 64, mentions: "--output", in: folder)
            try await Self.expectFailure(["dance"], code: 64, mentions: "dance", in: folder)
        }

        @Test func outputsThatCannotBeWritten() async throws {
            let folder = try Folder()
            for output in [folder.file("missing/a.png"), folder.path, "/proc/a.png", "/dev/null"] {
                try await Self.expectFailure(Self.render([], folder, output: output), code: 73, mentions: output, in: folder)
            }
            try Data([1]).write(to: URL(fileURLWithPath: folder.file("a.png")))
            try await Self.expectFailure(
                Self.render(["--no-clobber"], folder), code: 73, mentions: folder.file("a.png"), "--no-clobber", in: folder,
                leaves: ["a.png"])
            #expect(try Data(contentsOf: URL(fileURLWithPath: folder.file("a.png"))) == Data([1]))
        }

        /// A prompt needs more than line ends, white space and a byte-order mark.
        @Test(arguments: ["", "\n", "\u{FEFF}\r\n", " \t\r\n\n"]) func promptFilesWithoutAPrompt(_ text: String) async throws {
            let folder = try Folder()
            try Data(text.utf8).write(to: URL(fileURLWithPath: folder.file("p.txt")))
            try await Self.expectFailure(
                ["render", "--prompt-file", folder.file("p.txt"), "-o", folder.file("a.png")], code: 64,
                mentions: folder.file("p.txt"), in: folder, leaves: ["p.txt"])
        }

        /// Files that people have beside their models, or name by mistake. The sentence names the file and its kind.
        @Test(arguments: [
            ("x.ckpt", "version https://git-lfs.github.com/spec/v1\n", [], "Git LFS"),
            ("x.safetensors", "{\"error\": \"not found\"}", [], "JSON"),
            ("v1-inference.yaml", "model:\n", ["--model-config"], "YAML"),
        ]) func filesThatAreNoModels(_ name: String, _ text: String, _ options: [String], _ kind: String) async throws {
            let folder = try Folder()
            try Data(text.utf8).write(to: URL(fileURLWithPath: folder.file(name)))
            let path = folder.file(name)
            let given =
                options.isEmpty
                ? ["-m", path] : ["-m", Self.model + "/unet/diffusion_pytorch_model.safetensors"] + options + [path]
            let sentence = try await Self.expectFailure(
                Self.render(given, folder), code: 65, mentions: path, kind, in: folder, leaves: [name])
            for option in options { #expect(sentence.contains(option), "\(sentence)") }
        }

        @Test func modelsThatAreNotThere() async throws {
            let folder = try Folder()
            let link = folder.file("link")
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "gone")
            try await Self.expectFailure(
                Self.render(["-m", link], folder), code: 66, mentions: link, " gone", in: folder, leaves: ["link"])
            try FileManager.default.removeItem(atPath: link)
            let part = Self.model + "/unet"
            let sentence = try await Self.expectFailure(
                Self.render(["-m", part], folder), code: 66, mentions: part, in: folder)
            #expect(sentence.replacing(part, with: "").contains(Self.model), "the folder that was meant: \(sentence)")
            let file = Self.model + "/unet/config.json"
            try await Self.expectFailure(
                Self.render(["-m", file], folder), code: 65, mentions: file, "JSON", in: folder)
            try await Self.expectFailure(
                Self.render(["-m", folder.file("nothing")], folder), code: 66, mentions: folder.file("nothing"), in: folder)
        }

        /// A model folder without one of its files.
        static func damagedModel(_ folder: Folder, _ file: String, _ damage: (inout Data) -> Void) throws -> String {
            let copy = folder.file("model")
            try FileManager.default.copyItem(atPath: model, toPath: copy)
            let url = URL(fileURLWithPath: copy + "/" + file)
            var data = try Data(contentsOf: url)
            damage(&data)
            try data.write(to: url)
            return copy
        }

        @Test(arguments: [
            "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors",
            "text_encoder/model.safetensors",
        ])
        func truncatedWeights(_ file: String) async throws {
            let folder = try Folder()
            let model = try Self.damagedModel(folder, file) { $0.removeLast(1000) }
            try await Self.expectFailure(
                Self.render(["-m", model], folder), code: 65, mentions: file, in: folder, leaves: ["model"])
        }

        @Test func mangledWeightsAndConfiguration() async throws {
            for (file, damage) in [
                ("unet/diffusion_pytorch_model.safetensors", { (data: inout Data) in data[9] = 0xFF }),
                (
                    "unet/diffusion_pytorch_model.safetensors",
                    { data in data.replaceSubrange(0..<8, with: Data(repeating: 0xFF, count: 8)) }
                ),
                ("unet/config.json", { data in data.removeLast(20) }),
                ("scheduler/scheduler_config.json", { data in data = Data("[]".utf8) }),
                ("tokenizer/vocab.json", { data in data = Data("{\"a\": -1}".utf8) }),
            ] as [(String, (inout Data) -> Void)] {
                let folder = try Folder()
                let model = try Self.damagedModel(folder, file, damage)
                let name = String(file.split(separator: "/").last ?? "")
                try await Self.expectFailure(
                    Self.render(["-m", model], folder), code: 65, mentions: name, in: folder, leaves: ["model"])
            }
        }

        /// The files are whole but do not belong together. Only a worker finds out, because it builds the networks.
        @Test func weightsThatDoNotFitTheConfiguration() async throws {
            let folder = try Folder()
            let model = try Self.damagedModel(folder, "unet/config.json") { data in
                let text = String(decoding: data, as: UTF8.self)
                data = Data(text.replacingOccurrences(of: "\"layers_per_block\": 2", with: "\"layers_per_block\": 1").utf8)
            }
            try await Self.expectFailure(
                Self.render(["-m", model, "--workers", "2", "--quiet"], folder), code: 65, mentions: "up_blocks", in: folder,
                leaves: ["model"])
        }

        @Test func aPortInUse() async throws {
            let folder = try Folder()
            let port = try freePort()
            let listener = try ListeningSocket(port: port)
            defer { listener.close() }
            try await Self.expectFailure(
                ["coordinator", "--listen", "tcp://127.0.0.1:\(port)"], code: 69, mentions: "\(port)", in: folder)
        }

        @Test func aCoordinatorThatIsNotThere() async throws {
            let folder = try Folder()
            let endpoint = "tcp://127.0.0.1:\(try freePort())"
            try await Self.expectFailure(
                ["submit", "--coordinator", endpoint, "-p", "x", "-o", folder.file("a.png")], code: 69, mentions: endpoint,
                in: folder)
        }

        @Test func everyHostIsNoneToConnectTo() async throws {
            let folder = try Folder()
            let endpoint = "tcp://*:5570"
            for arguments in [
                ["worker", "--connect", endpoint],
                ["submit", "--coordinator", endpoint, "-p", "x", "-o", folder.file("a.png")],
            ] {
                try await Self.expectFailure(arguments, code: 64, mentions: endpoint, in: folder)
            }
        }

        @Test(arguments: [("", "PATCHLOOM_JOIN_TOKEN"), (String(repeating: "x", count: 257), "257")])
        func tokensThatAreNone(_ token: String, _ mentions: String) async throws {
            let folder = try Folder()
            let endpoint = "ipc://\(folder.file("s"))"
            for arguments in [
                ["coordinator", "--listen", endpoint], ["worker", "--connect", endpoint],
                ["submit", "--coordinator", endpoint, "-p", "x", "-o", folder.file("a.png")],
            ] {
                try await Self.expectFailure(
                    arguments, code: 64, mentions: mentions, in: folder, environment: ["PATCHLOOM_JOIN_TOKEN": token])
            }
        }

        /// A large picture needs a disk, and that is found out before the work starts.
        @Test func aDiskThatCannotBeUsed() async throws {
            let folder = try Folder()
            try await Self.expectFailure(
                ["render", "-p", "a red apple", "-W", "4096", "-H", "4096", "--quiet", "-o", folder.file("a.png")], code: 73,
                mentions: "/nowhere", "TMPDIR", in: folder, environment: ["TMPDIR": "/nowhere"])
        }

        /// A small picture needs none.
        @Test func aSmallPictureNeedsNoDisk() async throws {
            let folder = try Folder()
            let program = try Program(
                Self.render(["--vae-tile-size", "64", "--quiet"], folder), in: folder, environment: ["TMPDIR": "/nowhere"])
            defer { program.end() }
            #expect(try await program.wait().code == 0, "\(program.errorLines)")
            #expect(folder.names == ["a.png"])
        }

        @Test func aNameThatIsTooLong() async throws {
            let folder = try Folder()
            let name = String(repeating: "n", count: 257)
            try await Self.expectFailure(
                ["worker", "--connect", "ipc://\(folder.file("s"))", "--name", name], code: 64, mentions: "257", in: folder)
        }

        @Test(arguments: ["nonsense", "udp://127.0.0.1:1", "tcp://127.0.0.1:99999", "tcp://127.0.0.1", "ipc://"])
        func addressesThatAreNone(_ endpoint: String) async throws {
            let folder = try Folder()
            for arguments in [
                ["coordinator", "--listen", endpoint], ["worker", "--connect", endpoint],
                ["submit", "--coordinator", endpoint, "-p", "x", "-o", folder.file("a.png")],
            ] {
                try await Self.expectFailure(arguments, code: 64, mentions: endpoint, in: folder)
            }
        }
    }
}
