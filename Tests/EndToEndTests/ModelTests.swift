import Foundation
import ImageFiles
import StrictJSON
import TestSupport
import Testing

extension SingleCommands {
    /// Models in single files and in the store, through the real program.
    @Suite struct ModelTests {
        private static let small = [
            "render", "-p", "a red apple on a blue background", "-W", "128", "-H", "128", "--steps", "2", "--cfg-scale", "5",
            "--workers", "1",
            "-q",
        ]

        /// The pixels of one small picture.
        private static func pixels(_ options: [String], _ folder: Folder) async throws -> [UInt8] {
            let path = folder.file("picture.png")
            let program = try Program(small + options + ["-o", path], in: folder, environment: store(folder))
            defer { program.end() }
            let ending = try await program.wait()
            try #require(ending.code == 0, "\(program.errorLines)")
            let picture = try Picture(path)
            picture.expectContent()
            return picture.image.pixels
        }

        private static func store(_ folder: Folder) -> [String: String] {
            ["PATCHLOOM_HOME": folder.file("store")]
        }

        private static func run(_ arguments: [String], _ folder: Folder) async throws -> Program {
            let program = try Program(arguments, in: folder, environment: store(folder))
            defer { program.end() }
            let ending = try await program.wait()
            try #require(ending.code == 0, "\(program.errorLines)")
            return program
        }

        @Test func oneModelInEveryFormGivesTheSamePixels() async throws {
            let folder = try Folder()
            let model = BadInputTests.model
            let tensors = try SingleFiles.checkpoint(of: URL(fileURLWithPath: model), .first)
            let isHalf = tensors.contains { $0.type == "F16" }
            try Data(FileTensor.file(tensors)).write(to: URL(fileURLWithPath: folder.file("a.safetensors")))
            let wide = FileTensor.file(tensors.map { $0.type == "F16" ? $0.widened() : $0 })
            try Data(wide).write(to: URL(fileURLWithPath: folder.file("wide.safetensors")))
            #expect(isHalf, "the embedded model's weights were stored in half precision")

            let expected = try await Self.pixels([], folder)
            #expect(try await Self.pixels(["-m", model], folder) == expected)
            let configuration = ["--model-config", model]
            for name in ["a.safetensors", "wide.safetensors"] {
                #expect(try await Self.pixels(["-m", folder.file(name)] + configuration, folder) == expected, "\(name)")
            }
            #expect(try await Self.pixels(["--vae", folder.file("a.safetensors")], folder) == expected)
            #expect(try await Self.pixels(["--prediction", "v"], folder) == expected)
            #expect(try await Self.pixels(["--prediction_type", "epsilon"], folder) != expected)

            let imported = try await Self.run(
                ["model", "import", folder.file("a.safetensors"), "--name", "apple", "--json"] + configuration, folder)
            let identity = try #require(try CommandTests.json(imported)["identity"]?.stringValue)
            try FileManager.default.removeItem(atPath: folder.file("a.safetensors"))
            for reference in ["apple", "sha256:\(identity)", String(identity.prefix(8))] {
                #expect(try await Self.pixels(["-m", reference], folder) == expected, "\(reference)")
            }
            #expect(folder.homeNames.isEmpty, "the store is all that is written")
        }

        /// transformers 5 saves no `vocab.json` and `merges.txt`. Other systems save text files with other line ends.
        @Test func theTokenizerMayBeOneFile() async throws {
            let folder = try Folder()
            let model = URL(fileURLWithPath: folder.file("model"))
            try FileManager.default.copyItem(atPath: BadInputTests.model, toPath: model.path)
            let tokenizer = model.appendingPathComponent("tokenizer")
            let merges = tokenizer.appendingPathComponent("merges.txt")
            let foreign = String(decoding: try Data(contentsOf: merges), as: UTF8.self).replacing("\n", with: "\r\n")
            // Without the last line end.
            try Data("\u{FEFF}\(foreign.dropLast())".utf8).write(to: merges)
            for path in ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json"] {
                let file = model.appendingPathComponent(path)
                let text = String(decoding: try Data(contentsOf: file), as: UTF8.self).replacing("\n", with: "\r\n")
                try Data("\u{FEFF}\(text)".utf8).write(to: file)
            }
            let expected = try await Self.pixels([], folder)
            #expect(try await Self.pixels(["-m", model.path], folder) == expected)

            try FileManager.default.removeItem(at: tokenizer)
            try FileManager.default.copyItem(atPath: BadInputTests.model + "/tokenizer", toPath: tokenizer.path)
            try putTokenizerInOneFile(tokenizer)
            #expect(try await Self.pixels(["-m", model.path], folder) == expected)
            let checkpoint = folder.file("a.safetensors")
            let tensors = try SingleFiles.checkpoint(of: URL(fileURLWithPath: BadInputTests.model), .first)
            try Data(FileTensor.file(tensors)).write(to: URL(fileURLWithPath: checkpoint))
            #expect(try await Self.pixels(["-m", checkpoint, "--model-config", model.path], folder) == expected)
            _ = try await Self.run(["model", "import", model.path, "--name", "one"], folder)
            try FileManager.default.removeItem(at: model)
            #expect(try await Self.pixels(["-m", "one"], folder) == expected)
        }

        @Test func theStoreIsListedLookedIntoAndEmptied() async throws {
            let folder = try Folder()
            let empty = try await Self.run(["model", "list"], folder)
            #expect(empty.outputLines.isEmpty)
            let imported = try await Self.run(["model", "import", BadInputTests.model, "--name", "icons"], folder)
            let list = try await Self.run(["model", "list"], folder)
            #expect(list.outputLines.count == 1 && list.outputLines[0].hasPrefix("icons  "))
            let inspect = try await Self.run(["model", "inspect", "icons", "--json"], folder)
            let summary = try CommandTests.json(inspect)
            #expect(
                summary["family"] == "Stable Diffusion 1.x" && summary["renders_as"] == "sd1" && summary["in_channels"] == 4)
            #expect(imported.outputLines == ["icons: \(summary["identity"]?.stringValue ?? "")"])
            let lines = try await Self.run(["model", "inspect", BadInputTests.model], folder).outputLines
            #expect(lines.contains { $0.hasPrefix("identity") && $0.hasSuffix(summary["identity"]?.stringValue ?? "?") })
            _ = try await Self.run(["model", "remove", "icons"], folder)
            let left = try await Self.run(["model", "list", "--json"], folder)
            #expect(left.outputLines == ["[]"])
        }

        @Test func oneDamagedNameIsListedAndRemoved() async throws {
            let folder = try Folder()
            _ = try await Self.run(["model", "import", BadInputTests.model, "--name", "icons"], folder)
            try Data("x".utf8).write(to: URL(fileURLWithPath: folder.file("store/names/bad")))
            let list = try await Self.run(["model", "list"], folder).outputLines
            #expect(list.count == 2 && list[0].hasPrefix("bad ") && list[0].contains("damaged") && list[1].hasPrefix("icons "))
            let json = try await Self.run(["model", "list", "--json"], folder).outputLines
            #expect(json.first?.contains(#"{"bytes":null,"identity":null,"names":["bad"]}"#) == true, "\(json)")
            try await BadInputTests.expectFailure(
                ["model", "inspect", "bad"], code: 65, mentions: "names/bad", in: folder, leaves: ["store"],
                environment: Self.store(folder))
            _ = try await Self.run(["model", "remove", "bad"], folder)
            #expect(try await Self.run(["model", "list"], folder).outputLines.count == 1)
        }

        /// The file holds only the tensors that identify Stable Diffusion 2. `inspect` names the model and says that it
        /// cannot render.
        @Test func whatAFileDoesNotSayIsSaidToBeAssumed() async throws {
            let folder = try Folder()
            let shapes = [
                "model.diffusion_model.input_blocks.0.0.weight": [320, 4, 3, 3],
                "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight": [1280, 1024],
                "first_stage_model.decoder.conv_in.weight": [512, 4, 3, 3], "cond_stage_model.model.ln_final.weight": [1024],
            ]
            let tensors = shapes.sorted { $0.key < $1.key }.map { name, shape in
                FileTensor(name, "F16", shape, [UInt8](repeating: 0, count: shape.reduce(2, *)))
            }
            try Data(FileTensor.file(tensors)).write(to: URL(fileURLWithPath: folder.file("a.safetensors")))
            for (options, isAssumed) in [([], true), (["--prediction-type", "v_prediction"], false)] {
                let program = try Program(["model", "inspect", folder.file("a.safetensors")] + options, in: folder)
                defer { program.end() }
                let ending = try await program.wait()
                #expect(ending.code == 65 && program.errorLines.count == 1, "\(program.errorLines)")
                // The first tensor that the U-Net misses.
                #expect(program.errorLines.last?.contains("\"time_embedding.linear_1.weight\"") == true)
                let predicts = try #require(program.outputLines.first { $0.hasPrefix("predicts") })
                #expect(predicts.contains(" v_prediction") && predicts.hasSuffix(" v_prediction") == !isAssumed, "\(predicts)")
                // A base model of the family predicts the other.
                #expect(predicts.contains("epsilon") == isAssumed, "\(predicts)")
                #expect(program.outputLines.contains { $0.hasPrefix("not rendered") })
            }
        }

        /// All commands agree whether a model can be used.
        @Test func inspectAndPlanAndRenderAgree() async throws {
            let folder = try Folder()
            let unet = "unet/diffusion_pytorch_model.safetensors"
            let tensors = try SingleFiles.tensors(of: "unet", in: URL(fileURLWithPath: BadInputTests.model))
            let stray = FileTensor.f32("mid_block.stray.weight", [1], shape: [1])
            let lost = try #require(tensors.last).name
            let cases: [(name: String, file: String, content: [UInt8], mention: String?)] = [
                ("ema", "unet/config.json", try Self.changed("unet/config.json", "\"decay\":0.9,\"power\":1,"), nil),
                ("new", "vae/config.json", try Self.changed("vae/config.json", "\"novelty\":1,"), nil),
                (
                    "class", "unet/config.json",
                    try Self.changed("unet/config.json", "\"mid_block_only_cross_attention\":true,"), "mid_block_only"
                ),
                ("stray", unet, FileTensor.file(tensors + [stray]), "mid_block.stray.weight"),
                ("missing", unet, FileTensor.file(Array(tensors.dropLast())), "\"\(lost)\""),
                (
                    "sampler", "scheduler/scheduler_config.json",
                    try Self.changed("scheduler/scheduler_config.json", "\"thresholding\":true,"), "thresholding"
                ),
                ("global", unet, FileTensor.file(tensors + [.f32("epoch", [1], shape: [])]), nil),
                (
                    "channels", "unet/config.json", try Self.changed("unet/config.json", "\"in_channels\":\"4\","),
                    "in_channels"
                ),
                (
                    "latent", "vae/config.json", try Self.changed("vae/config.json", "\"latent_channels\":\"4\","),
                    "latent_channels"
                ),
                (
                    "layers", "text_encoder/config.json",
                    try Self.changed("text_encoder/config.json", "\"num_hidden_layers\":3.5,"), "num_hidden_layers"
                ),
            ]
            for (name, file, content, mention) in cases {
                let model = folder.file(name)
                try FileManager.default.copyItem(atPath: BadInputTests.model, toPath: model)
                try Data(content).write(to: URL(fileURLWithPath: model + "/" + file))
                var answers: [(Int32, [String])] = []
                for arguments in [
                    ["model", "inspect", model], ["plan", "-p", "x", "-m", model],
                    [
                        "render", "-p", "x", "-W", "64", "-H", "64", "--steps", "1", "-q", "-m", model, "-o",
                        folder.file("a.png"),
                    ],
                ] {
                    let program = try Program(arguments, in: folder)
                    defer { program.end() }
                    answers.append((try await program.wait().code, program.errorLines))
                }
                #expect(answers.allSatisfy { $0.0 == (mention == nil ? 0 : 65) }, "\(name): \(answers)")
                #expect(answers.allSatisfy { $0.1 == answers[0].1 }, "\(name): \(answers)")
                if let mention { #expect(answers[0].1.count == 1 && answers[0].1[0].contains(mention), "\(answers)") }
                try FileManager.default.removeItem(atPath: model)
            }
        }

        /// Every command reports repaired and skipped parts, once for any number of pictures.
        @Test func notesAreSaidOnceByEveryCommand() async throws {
            let folder = try Folder()
            let model = folder.file("model")
            try FileManager.default.copyItem(atPath: BadInputTests.model, toPath: model)
            for (file, member) in [
                ("model_index.json", "\"_class_name\":\"StableDiffusionPAGPipeline\","),
                ("scheduler/scheduler_config.json", "\"steps_offset\":0,"), ("vae/config.json", "\"novelty\":1,"),
            ] {
                try Data(Self.changed(file, member)).write(to: URL(fileURLWithPath: "\(model)/\(file)"))
            }
            let small = ["-m", model, "-p", "x", "--steps", "2"]
            for arguments in [
                ["render", "-b", "3", "-W", "64", "-H", "64", "--workers", "1", "-o", folder.file("a.png")],
                [
                    "compare", "--methods", "direct,cut", "--scale", "1.5", "--cell", "64", "--workers", "1", "-o",
                    folder.file("c.png"),
                ],
                ["plan"],
            ] {
                let program = try await Self.run(arguments + small, folder)
                let lines = program.errorLines + program.outputLines
                for mention in ["perturbed-attention guidance", "steps_offset", "\"novelty\""] {
                    #expect(lines.count { $0.contains(mention) } == 1, "\(arguments[0]): \(lines)")
                }
            }
            let quiet = try await Self.run(
                ["render", "-q", "-b", "2", "--workers", "1", "-o", folder.file("q.png")] + small, folder)
            #expect(quiet.errorLines.isEmpty)
        }

        /// A JSON file of the embedded model with members put before its own.
        private static func changed(_ path: String, _ members: String) throws -> [UInt8] {
            let text = String(
                decoding: try Data(contentsOf: URL(fileURLWithPath: BadInputTests.model + "/" + path)), as: UTF8.self)
            let start = try #require(text.firstIndex(of: "{"))
            let key = members.prefix { $0 != ":" }
            // An existing member would appear twice.
            let rest = text[text.index(after: start)...].split(separator: "\n").filter { !$0.contains(key) }
            return Array("{\(members)\(rest.joined(separator: "\n"))".utf8)
        }

        /// The option reaches workers, and it applies to stored models too.
        @Test func unknownTensorsAreLeftOutWhereTheUserSaysSo() async throws {
            let folder = try Folder()
            let model = folder.file("model")
            try FileManager.default.copyItem(atPath: BadInputTests.model, toPath: model)
            let tensors = try SingleFiles.tensors(of: "unet", in: URL(fileURLWithPath: model))
            let stray = FileTensor.f32("up_blocks.0.stray.weight", [1], shape: [1])
            try Data(FileTensor.file(tensors + [stray])).write(
                to: URL(fileURLWithPath: model + "/unet/diffusion_pytorch_model.safetensors"))
            let expected = try await Self.pixels([], folder)
            let ignoring = "--ignore-unknown-tensors"
            #expect(try await Self.pixels(["-m", model, ignoring], folder) == expected)
            try await BadInputTests.expectFailure(
                ["model", "import", model, "--name", "stray"], code: 65, mentions: ignoring, in: folder,
                leaves: ["model", "picture.png", "store"], environment: Self.store(folder))
            let imported = try await Self.run(["model", "import", model, "--name", "stray", ignoring], folder)
            #expect(imported.errorLines.contains { $0.contains("does not keep \(ignoring)") }, "\(imported.errorLines)")
            #expect(try await Self.pixels(["-m", "stray", ignoring], folder) == expected)
            try await BadInputTests.expectFailure(
                BadInputTests.render(["-m", "stray"], folder), code: 65, mentions: ignoring, in: folder,
                leaves: ["model", "picture.png", "store"], environment: Self.store(folder))
            let plan = try await Self.run(["plan", "-p", "x", "-m", model, "--ignore_unknown_tensors"], folder)
            #expect(plan.outputLines.contains { $0.contains("up_blocks.0.stray.weight") }, "\(plan.outputLines)")
        }

        /// The import already reports that the model's scheduler is not supported. Another sampler still renders.
        @Test func aSchedulerThatCannotBeDoneIsSaidAtTheImport() async throws {
            let folder = try Folder()
            let model = URL(fileURLWithPath: folder.file("model"))
            try FileManager.default.copyItem(atPath: BadInputTests.model, toPath: model.path)
            let file = model.appendingPathComponent("scheduler/scheduler_config.json")
            func write(_ members: String) throws {
                let prediction = "\"prediction_type\": \"v_prediction\", \"beta_schedule\": \"scaled_linear\""
                try Data("{\(prediction), \(members)}".utf8).write(to: file)
            }
            try write(#""_class_name": "EulerDiscreteScheduler", "use_beta_sigmas": true"#)
            let imported = try await Self.run(["model", "import", model.path, "--name", "beta"], folder)
            let note = "note: not rendered with its own sampler: \(model.path): "
            let notes = imported.errorLines.filter { $0.hasPrefix(note) }
            #expect(notes.count == 1 && notes[0].contains("use_beta_sigmas = true"), "\(imported.errorLines)")
            #expect(notes.last?.hasSuffix(" ddim") == true, "the sampler that can do it: \(notes)")
            try await BadInputTests.expectFailure(
                BadInputTests.render(["-m", "beta"], folder), code: 65, mentions: "use_beta_sigmas = true", " ddim", in: folder,
                leaves: ["model", "store"], environment: Self.store(folder))
            _ = try await Self.pixels(["-m", "beta", "--sampling-method", "ddim"], folder)
            // A scheduler with few steps can be used, and the program chooses no more steps than it has.
            try write(#""_class_name": "LCMScheduler", "original_inference_steps": 10"#)
            let short = try await Self.run(["model", "import", model.path, "--name", "short"], folder)
            #expect(short.errorLines.allSatisfy { !$0.contains("not rendered") }, "\(short.errorLines)")
            _ = try await Self.run(["model", "inspect", "short"], folder)
            _ = try await Self.pixels(["-m", "short"], folder)
            let plan = try await Self.run(["plan", "-p", "x", "-m", "short", "-W", "128", "-H", "128"], folder)
            #expect(plan.outputLines.contains { $0.contains("10") && $0.contains("step") }, "\(plan.outputLines)")
        }

        @Test func wrongThingsAreSaidInOneSentence() async throws {
            let folder = try Folder()
            _ = try await Self.run(["model", "import", BadInputTests.model, "--name", "icons"], folder)
            func fails(_ arguments: [String], code: Int32, mentions: String) async throws {
                try await BadInputTests.expectFailure(
                    arguments, code: code, mentions: mentions, in: folder, leaves: ["store"], environment: Self.store(folder))
            }
            let render = { (options: [String]) in BadInputTests.render(options, folder) }
            try await fails(render(["-m", "icon"]), code: 66, mentions: " icons")
            try await fails(render(["-m", "icons", "-m", "icons"]), code: 64, mentions: "--model")
            try await fails(render(["-m", "icons", "--variant", "fp16"]), code: 64, mentions: "--variant")
            try await fails(render(["-m", "icons", "--prediction", "flow"]), code: 64, mentions: "flow")
            try await fails(render(["--model-config", "x"]), code: 64, mentions: "--model")
            try await fails(render(["--vae", folder.file("none")]), code: 66, mentions: "none")
            try await fails(["model", "import", BadInputTests.model, "--name", "a/b"], code: 64, mentions: "a/b")
            try await fails(["model", "inspect", "deadbeef"], code: 66, mentions: "deadbeef")
            try await fails(["model", "remove", "apple"], code: 66, mentions: " icons")
        }

        /// Every reader of a stored model checks its content first.
        @Test func aChangedBlobIsRefusedByNameEverywhere() async throws {
            let folder = try Folder()
            // The store may link files. The test must not damage its own source.
            let copy = folder.file("copy")
            try FileManager.default.copyItem(atPath: BadInputTests.model, toPath: copy)
            _ = try await Self.run(["model", "import", copy, "--name", "icons"], folder)
            try FileManager.default.removeItem(atPath: copy)
            let blobs = folder.file("store/blobs/sha256")
            let names = try FileManager.default.contentsOfDirectory(atPath: blobs)
            let sizes = names.map { name in
                (try? FileManager.default.attributesOfItem(atPath: blobs + "/" + name))?[.size] as? Int ?? 0
            }
            let largest = try #require(zip(sizes, names).max { $0.0 < $1.0 }?.1)
            let url = URL(fileURLWithPath: blobs + "/" + largest)
            var content = try Data(contentsOf: url)
            content[content.count - 1] ^= 1
            try FileManager.default.removeItem(at: url)
            try content.write(to: url)
            for arguments in [
                BadInputTests.render(["-m", "icons"], folder),
                ["worker", "--connect", "tcp://127.0.0.1:9", "-m", "icons"],
                ["coordinator", "--listen", "ipc://@patchloom-test-\(folder.mark)", "-m", "icons"],
            ] {
                try await BadInputTests.expectFailure(
                    arguments, code: 65, mentions: largest, in: folder, leaves: ["store"], environment: Self.store(folder))
            }
        }

        @Test func aClientNamesTheModelOfItsJob() async throws {
            let folder = try Folder()
            _ = try await Self.run(["model", "import", BadInputTests.model, "--name", "icons"], folder)
            _ = try await Self.run(
                ["model", "import", BadInputTests.model, "--name", "other", "--prediction-type", "epsilon"], folder)
            let address = "ipc://@patchloom-test-\(folder.mark)"
            let models = ["-m", "icons", "-m", "other"]
            let coordinator = try Program(
                ["coordinator", "--listen", address] + models, in: folder, environment: Self.store(folder))
            defer { coordinator.end() }
            try await coordinator.waitForLine(containing: "listening on")
            let worker = try Program(
                ["worker", "--connect", address, "--threads", "1"] + models, in: folder, environment: Self.store(folder))
            defer { worker.end() }
            // Ending a program ends all processes of its folder, so clients have a folder of their own.
            let elsewhere = try Folder()
            func pixels(_ model: [String]) async throws -> [UInt8] {
                let path = elsewhere.file("b.png")
                _ = try await Self.run(
                    ["submit", "--coordinator", address, "-p", "a red apple on a blue background", "-W", "128", "-H", "128"]
                        + ["--steps", "2", "-q", "-o", path] + model, elsewhere)
                return try Picture(path).image.pixels
            }
            let first = try await pixels([])
            #expect(try await pixels(["-m", "icons"]) == first)
            #expect(try await pixels(["-m", "other"]) != first)
            let unknown = try Program(
                ["submit", "--coordinator", address, "-p", "x", "-o", elsewhere.file("c.png"), "-m", "nobody", "-q"],
                in: elsewhere)
            defer { unknown.end() }
            let ending = try await unknown.wait()
            #expect(ending.code == 66)
            #expect(unknown.errorLines.count == 1 && unknown.errorLines[0].contains("icons") == true, "\(unknown.errorLines)")
        }
    }
}
