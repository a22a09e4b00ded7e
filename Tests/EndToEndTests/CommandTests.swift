import CSystem
import Foundation
import ImageFiles
import StrictJSON
import Testing

extension SingleCommands {
    /// The output of the commands, and the texts in a picture.
    @Suite struct CommandTests {
        static func run(_ arguments: [String], in folder: Folder) async throws -> Program {
            let program = try Program(arguments, in: folder)
            defer { program.end() }
            _ = try await program.wait()
            return program
        }

        static func json(_ program: Program) throws -> JSONObject {
            let bytes = Array(program.outputLines.joined(separator: "\n").utf8)
            return try #require(try JSONValue(parsing: bytes, limits: .config).objectValue)
        }

        @Test func helpAndVersion() async throws {
            let folder = try Folder()
            for arguments in [[], ["--help"], ["help"]] {
                let program = try await Self.run(arguments, in: folder)
                #expect(program.ending?.code == 0)
                for command in ["render", "coordinator", "worker", "submit", "plan", "compare"] {
                    #expect(program.outputLines.contains { $0.contains(command) }, "\(command) is not in the help")
                }
            }
            let render = try await Self.run(["render", "--help"], in: folder)
            #expect(render.ending?.code == 0)
            for option in [
                "--prompt", "--negative-prompt", "--width", "--height", "--steps", "--cfg-scale", "--seed", "--output",
                "--model", "--method", "--hidiffusion", "--patch", "--stride", "--structure-fraction", "--sampling-method",
                "--workers", "--threads-per-worker", "--backend", "--precision", "--group", "--timings", "--json", "--quiet",
                "--no-clobber",
            ] {
                #expect(render.outputLines.contains { $0.contains(option) }, "\(option) is not in the help")
            }
            let version = try await Self.run(["--version"], in: folder)
            #expect(version.ending?.code == 0)
            #expect(version.outputLines.count == 1)
            #expect(version.outputLines.first?.contains(where: \.isNumber) == true)
        }

        @Test func planTellsWithoutRendering() async throws {
            let folder = try Folder()
            let plan = try await Self.run(["plan"] + Picture.request, in: folder)
            #expect(plan.ending?.code == 0, "\(plan.errorLines)")
            #expect(plan.outputLines.contains { $0.contains("256") })
            #expect(plan.outputLines.contains { $0.contains("structure") })
            let json = try await Self.run(["plan", "--json"] + Picture.request, in: folder)
            #expect(json.ending?.code == 0, "\(json.errorLines)")
            #expect(try Self.json(json)["method"]?.stringValue == "cut")
            #expect(folder.names.isEmpty)
            let wrong = try await Self.run(["plan", "--workers", "0"] + Picture.request, in: folder)
            #expect(wrong.ending?.code == 64 && wrong.errorLines.contains { $0.contains("1 to 256") }, "\(wrong.errorLines)")
        }

        /// Times belong to this host, so only two orders are known: that of the times of one render, and that of a small render
        /// and a large one.
        @Test func calibratingTellsHowLongItTakesHere() async throws {
            let folder = try Folder()
            var expected: [Double] = []
            for side in ["128", "384"] {
                let plan = try await Self.run(
                    [
                        "plan", "--calibrate", "--json", "-p", "an apple", "-W", side, "-H", side, "--steps", "4", "--method",
                        "auto", "--workers", "2", "--threads-per-worker", "1",
                    ], in: folder)
                #expect(plan.ending?.code == 0, "\(plan.errorLines)")
                let seconds = try #require(try Self.json(plan)["seconds"])
                let values = ["least", "expected", "most"].map { seconds[$0]?.doubleValue ?? -1 }
                #expect(values[0] > 0 && values == values.sorted(), "\(values)")
                expected.append(values[1])
            }
            #expect(expected[1] > 2 * expected[0], "\(expected)")
        }

        /// The arithmetic to the last operation, the bytes nearly.
        @Test func planTellsWhatTheRenderCounts() async throws {
            let folder = try Folder()
            let plan = try await Self.run(["plan", "--json", "--workers", "1"] + Picture.request, in: folder)
            let render = try await Self.run(
                ["render", "--json", "--workers", "1", "-o", folder.file("a.png")] + Picture.request, in: folder)
            let (expected, summary) = (try Self.json(plan), try Self.json(render))
            let counted = try #require(summary["counts"])
            #expect(expected["operations"]?.doubleValue == counted["operations"]?.doubleValue)
            for key in ["bytes_sent", "bytes_received"] {
                let (bytes, real) = (expected[key]?.doubleValue ?? 0, counted[key]?.doubleValue ?? 0)
                #expect(bytes > 0.99 * real && bytes < 1.01 * real, "\(key): \(bytes), counted \(real)")
            }
            let phases = try #require(expected["phases"]?.arrayValue)
            #expect(phases.map { $0["name"]?.stringValue } == ["encode", "structure", "detail", "decode"])
            #expect(phases.reduce(0) { $0 + ($1["tasks"]?.intValue ?? 0) } == expected["tasks"]?.intValue)
            // Now it knows how long such a render takes.
            #expect(expected["seconds"] == nil)
            let again = try await Self.run(["plan", "--json", "--workers", "1"] + Picture.request, in: folder)
            let seconds = try #require(try Self.json(again)["seconds"])
            let values = ["least", "expected", "most"].map { seconds[$0]?.doubleValue ?? -1 }
            #expect(values[0] > 0 && values == values.sorted() && seconds["renders"]?.intValue == 1, "\(seconds)")
            let text = try await Self.run(["plan", "--workers", "1"] + Picture.request, in: folder)
            let last = Array(text.outputLines.suffix(3))
            try #require(last.count == 3)
            #expect(last[0].hasPrefix("together") && last[0].contains("FLOP"))
            #expect(last[1].hasPrefix("the coordinator holds up to about "))
            #expect(last[2].contains(" on this host ") && last[2].contains("the last render"), "\(last[2])")
        }

        @Test func underscoresAreHyphensInLongOptions() async throws {
            let folder = try Folder()
            let plain = try await Self.run(["plan"] + Picture.request, in: folder)
            let underscored = try await Self.run(
                ["plan"]
                    + Picture.request.map {
                        $0.hasPrefix("--")
                            ? $0.replacingOccurrences(of: "-", with: "_").replacingOccurrences(
                                of: "__", with: "--", options: .anchored) : $0
                    },
                in: folder)
            #expect(underscored.ending?.code == 0, "\(underscored.errorLines)")
            #expect(plain.outputLines == underscored.outputLines)
        }

        /// A value may look like an option. The program must not change its underscores.
        @Test func valuesThatLookLikeOptionsStay() async throws {
            let folder = try Folder()
            let program = try await Self.run(
                [
                    "render", "-p", "--snow_white", "--negative_prompt", "--cfg_scale", "-W", "64", "-H", "64", "--steps", "1",
                    "--no_clobber", "--cfg_scale", "3", "-q", "--sampling_method", "euler", "-o", folder.file("a_b.png"),
                ], in: folder)
            #expect(program.ending?.code == 0, "\(program.errorLines)")
            let text = try #require(try Picture(folder.file("a_b.png")).image.text.first { $0.keyword == "parameters" }?.value)
            #expect(text.hasPrefix("--snow_white\nNegative prompt: --cfg_scale\n"), "\(text)")
        }

        /// After an option that takes no value, the next word is an option again.
        @Test func optionsWithoutValuesAreAllKnown() async throws {
            let folder = try Folder()
            var flags = 0
            let required = [
                "render": ["-p", "a", "-o", "a.png"], "compare": ["-p", "a", "-o", "a.png"],
                "submit": ["-p", "a", "-o", "a.png"], "plan": ["-p", "a"],
                "worker": ["--connect", "tcp://127.0.0.1:9"], "coordinator": [],
            ]
            for (command, needed) in required {
                let help = try await Self.run([command, "--help"], in: folder).outputLines
                for line in help where line.hasPrefix("  -") && !line.contains("<") && !line.contains("--help") {
                    let names = line.split(separator: " ").prefix { $0.hasPrefix("-") }.map { $0.filter { $0 != "," } }
                    for name in names where name != "--version" {
                        let program = try await Self.run([command] + needed + [name, "--such_option"], in: folder)
                        #expect(program.ending?.code == 64)
                        #expect(program.errorLines.contains { $0.contains("--such-option") }, "\(name): \(program.errorLines)")
                        flags += 1
                    }
                }
            }
            #expect(flags >= 8)
        }

        /// The text that A1111's readers expect, our own JSON, the printed summary and the progress lines.
        @Test func thePictureAndTheSummaryTellHowItWasMade() async throws {
            let folder = try Folder()
            let prompt = "a red apple, \"日本\""
            let program = try await Self.run(
                [
                    "render", "-p", prompt, "-n", "blur", "-W", "128", "-H", "128", "--steps", "2", "--cfg_scale=3", "-s", "-1",
                    "--workers", "1", "--timings", "--json", "-o", folder.file("a.png"),
                ], in: folder)
            #expect(program.ending?.code == 0, "\(program.errorLines)")
            let image = try ImageDecoder.decode(file: folder.file("a.png"))
            #expect(image.width == 128 && image.height == 128)

            let summary = try Self.json(program)
            #expect(summary["output"]?.stringValue == folder.file("a.png"))
            let seed = try #require(summary["seed"]?.wholeValue, "-1 asks for a random seed and is none itself")
            #expect(
                program.errorLines.contains { $0.contains("\(seed)") }, "the random seed is not told: \(program.errorLines)")

            let parameters = try #require(image.text("parameters"))
            let written = parameters.split(separator: "\n")
            #expect(written.first.map(String.init) == prompt)
            #expect(written.contains { $0 == "Negative prompt: blur" })
            let last = try #require(written.last)
            for entry in ["Steps: 2", "CFG scale: 3", "Seed: \(seed)", "Size: 128x128", "RNG: CPU"] {
                #expect(last.contains(entry), "\(entry) is missing in '\(last)'")
            }
            let details = try #require(image.text("patchloom"))
            #expect(try JSONValue(parsing: Array(details.utf8), limits: .config).objectValue != nil)
            let counts = try #require(summary["counts"]?.objectValue)
            for key in ["operations", "worker_peak_bytes", "worker_peak_activation_bytes", "bytes_sent", "bytes_received"] {
                #expect(try #require(counts[key]?.intValue) > 10_000, "\(key)")
            }
            let lines = ["arithmetic", "TFLOP", "worker's memory", "activations", "on the wire"]
            for word in ["start-up", "denoise", "merge", "wire", "decode", "total"] + lines {
                #expect(
                    program.errorLines.contains { $0.contains(word) }, "\(word) is not in the timings: \(program.errorLines)")
            }
        }

        @Test func quietIsQuietAndProgressIsSparing() async throws {
            let folder = try Folder()
            let quiet = try await Self.run(
                ["render"] + Picture.request + ["--workers", "2", "--quiet", "-o", folder.file("a.png")], in: folder)
            #expect(quiet.ending?.code == 0)
            #expect(quiet.errorLines.isEmpty && quiet.outputLines.isEmpty, "\(quiet.errorLines)")
            // A second run replaces the same file.
            let before = try Data(contentsOf: URL(fileURLWithPath: folder.file("a.png")))
            let plain = try await Self.run(
                ["render"] + Picture.request + ["--workers", "2", "-s", "8", "-o", folder.file("a.png")], in: folder)
            #expect(plain.ending?.code == 0)
            #expect(try Data(contentsOf: URL(fileURLWithPath: folder.file("a.png"))) != before)
            // A fast step may have no line, but no step has two.
            for phase in ["structure", "detail"] {
                let steps = plain.errorLines.filter { $0.hasPrefix("\(phase) step ") }.compactMap {
                    $0.split(separator: ",").first
                }
                #expect(!steps.isEmpty, "\(plain.errorLines)")
                #expect(Set(steps).count == steps.count, "\(plain.errorLines)")
                #expect(steps.allSatisfy { $0.hasSuffix(" of 3") }, "\(plain.errorLines)")
            }
            #expect(!plain.errorLines.contains { $0.contains("\u{1B}") || $0.contains("\r") })
            #expect(plain.errorLines.last?.contains(folder.file("a.png")) == true)
        }

        @Test func aCoordinatorAndAWorkerTellWhatHappens() async throws {
            let folder = try Folder()
            let endpoint = "ipc://\(folder.file("socket"))"
            let token = ["PATCHLOOM_JOIN_TOKEN": "a secret of this test"]
            let coordinator = try Program(["coordinator", "--listen", endpoint], in: folder, environment: token)
            defer { coordinator.end() }
            try await coordinator.waitForLine(containing: "listening on \(endpoint)")
            let threads = Int(csystem_available_processors()) + 1
            // The same secret from a file that another editor wrote.
            let elsewhere = try Folder()
            let secret = elsewhere.file("secret.txt")
            try Data("\u{FEFF}a secret of this test\r\n".utf8).write(to: URL(fileURLWithPath: secret))
            let worker = try Program(
                ["worker", "--connect", endpoint, "--name", "wanda", "--threads", "\(threads)", "--join-token-file", secret],
                in: folder)
            try await worker.waitForLine(containing: "warning: \(threads) threads")
            try await worker.waitForLine(containing: "joined")
            try await coordinator.waitForLine(containing: "wanda")
            // Without the secret nobody gets in.
            let stranger = try await Self.run(
                ["submit", "--coordinator", endpoint, "-p", "x", "-o", elsewhere.file("a.png")], in: elsewhere)
            #expect(stranger.ending?.code == 77, "\(stranger.errorLines)")
            for program in [worker, coordinator] {
                program.send(SIGTERM)
                #expect(try await program.wait(seconds: 40).code == 0, "\(program.errorLines)")
            }
            #expect(folder.names.filter { $0 != "socket" }.isEmpty)
        }
    }
}
