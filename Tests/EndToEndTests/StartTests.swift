import ContentHash
import Foundation
import StrictJSON
import TestSupport
import Testing

extension SingleCommands {
    /// The files of its model that a process reads at its start.
    @Suite struct StartTests {
        /// Runs a worker that finds no coordinator from its start until it is ready, and returns its words on its files.
        private static func start(_ options: [String], _ folder: Folder) async throws -> String {
            let worker = try Program(["worker", "--connect", "tcp://127.0.0.1:9", "--threads", "1"] + options, in: folder)
            defer { worker.end() }
            try await worker.waitForLine(containing: "files: ")
            worker.send(SIGTERM)
            #expect(try await worker.wait().code == 0)
            #expect(worker.errorLines.contains { $0.hasPrefix("ready: ") })
            return try #require(worker.errorLines.first { $0.hasPrefix("files: ") })
        }

        /// The files of the repository are older than the three seconds after which a hash is kept.
        @Test func theSecondStartReadsNoWeights() async throws {
            let folder = try Folder()
            let first = try await Self.start(["-m", BadInputTests.model], folder)
            #expect(first.contains("(24 MB), knew 0 (0 kB)"), "\(first)")
            let second = try await Self.start(["-m", BadInputTests.model], folder)
            // Configurations and the tokenizer are read anyway.
            let match = try #require(second.firstMatch(of: /hashed (\d+) files \((\d+) kB\), knew 3 \(24 MB\)/), "\(second)")
            #expect(Int(match.output.2) ?? .max < 100, "\(second)")
            // Another program knows the files too, and reads them again if it is told so.
            let coordinator = try Program(
                ["coordinator", "--listen", "ipc://@patchloom-test-\(folder.mark)", "-m", BadInputTests.model], in: folder)
            try await coordinator.waitForLine(containing: "knew 3 (24 MB)")
            coordinator.send(SIGTERM)
            #expect(try await coordinator.wait().code == 0)
            let verified = try Program(["model", "verify", BadInputTests.model, "--json"], in: folder)
            #expect(try await verified.wait().code == 0)
            let inspected = try Program(["model", "inspect", BadInputTests.model, "--json"], in: folder)
            #expect(try await inspected.wait().code == 0)
            let identity = try CommandTests.json(inspected)["identity"]
            #expect(try CommandTests.json(verified)["models"]?.arrayValue?.first?["identity"] == identity)
            let loras = Fixtures.folder.appendingPathComponent("golden/models/lora").path
            let hashed = try Program(["model", "verify", "--lora-model-dir", loras], in: folder)
            #expect(try await hashed.wait().code == 0)
            let line = "tiny-sd15-kohya-f16.safetensors  21e2ce84dc53461756c86a3795a973d230b82f9a961067db4460d77182ec3681"
            #expect(hashed.outputLines.count == 1 && hashed.outputLines[0].hasSuffix(line), "\(hashed.outputLines)")
            // A memory that cannot be written causes one warning.
            let blocker = folder.file("file")
            try Data().write(to: URL(fileURLWithPath: blocker))
            let blocked = try Program(
                ["worker", "--connect", "tcp://127.0.0.1:9", "-m", BadInputTests.model], in: folder,
                environment: ["PATCHLOOM_HOME": blocker])
            defer { blocked.end() }
            try await blocked.waitForLine(containing: "warning: every start hashes all weights")
            blocked.send(SIGTERM)
            #expect(try await blocked.wait().code == 0)
            #expect(blocked.errorLines.count { $0.contains("every start hashes") } == 1)
        }

        @Test func verifyNamesDamagedModels() async throws {
            let folder = try Folder()
            for name in ["one", "two"] {
                // The second model differs in its scheduler, and shares all other files.
                let options = name == "one" ? [] : ["--prediction-type", "epsilon"]
                let imported = try Program(["model", "import", BadInputTests.model, "--name", name] + options, in: folder)
                #expect(try await imported.wait().code == 0, "\(imported.errorLines)")
            }
            let good = try Program(["model", "verify"], in: folder)
            #expect(try await good.wait().code == 0)
            #expect(good.outputLines.count == 2 && good.errorLines.isEmpty)
            let blobs = folder.home + "/store/blobs/sha256"
            let largest = try #require(
                try FileManager.default.contentsOfDirectory(atPath: blobs).max {
                    Self.size("\(blobs)/\($0)") < Self.size("\(blobs)/\($1)")
                })
            let url = URL(fileURLWithPath: "\(blobs)/\(largest)")
            let content = try Data(contentsOf: url)
            try FileManager.default.removeItem(at: url)
            try (content.dropLast() + [content[content.count - 1] ^ 1]).write(to: url)
            let found = SHA256Digest(of: [UInt8](try Data(contentsOf: url))).hex
            for (arguments, said) in [([], "2 of 2 cannot be used: one, two"), (["one"], largest), (["two"], largest)] {
                let bad = try Program(["model", "verify"] + arguments, in: folder)
                #expect(try await bad.wait().code == 65)
                #expect(bad.errorLines.count == 1 && bad.errorLines[0].contains(said), "\(bad.errorLines)")
                // Each model's damaged file, with both hashes.
                let lines = bad.outputLines.filter { $0.contains("expected \(largest), found \(found)") }
                #expect(lines.count == (arguments.isEmpty ? 2 : 1), "\(bad.outputLines)")
            }
            // More damage: another file is missing, and a name is spoilt.
            let other = try #require(try FileManager.default.contentsOfDirectory(atPath: blobs).first { $0 != largest })
            try FileManager.default.removeItem(atPath: "\(blobs)/\(other)")
            try Data("nothing\n".utf8).write(to: URL(fileURLWithPath: folder.home + "/store/names/three"))
            let all = try Program(["model", "verify", "--json"], in: folder)
            #expect(try await all.wait().code == 65)
            #expect(all.errorLines.count == 1 && all.errorLines[0].contains("three"), "\(all.errorLines)")
            let models = try #require(try CommandTests.json(all)["models"]?.arrayValue)
            #expect(models.compactMap { $0["name"]?.stringValue } == ["three", "one", "two"])
            #expect(models.allSatisfy { $0["damaged"]?.stringValue != nil })
            let files = try #require(models[1]["files"]?.arrayValue)
            let hashes = Dictionary(
                uniqueKeysWithValues: files.map { ($0["expected"]?.stringValue ?? "", $0["found"]?.stringValue) })
            #expect(hashes == [largest: found, other: nil], "\(files)")
            let usage = try Program(["model", "verify", "--vae", "x"], in: folder)
            #expect(try await usage.wait().code == 64)
            let missing = try Program(["model", "verify", "four"], in: folder)
            #expect(try await missing.wait().code == 66)
        }

        private static func size(_ path: String) -> Int {
            (try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? Int ?? 0
        }
    }
}
