import Foundation
import StrictJSON
import TestSupport
import Testing

extension EndToEnd {
    /// `patchloom-bench`: counts that must hold, one form of results, and tables of them. No test reads a time.
    @Suite struct BenchTests {
        static let path = URL(fileURLWithPath: Program.path).deletingLastPathComponent()
            .appendingPathComponent("patchloom-bench").path

        static func run(_ words: String, in folder: Folder, variables: [String] = []) throws -> ProcessShimTests.Run {
            // Where a test sets oneDNN's limit, the limit of the runner's own environment does not count, under either name.
            let setsLimit = variables.contains { $0.contains("MAX_CPU_ISA") }
            let inherited = ProcessInfo.processInfo.environment.filter { variable in
                !variable.key.hasPrefix("PATCHLOOM_") && variable.key != "HOME"
                    && !(setsLimit && variable.key.hasSuffix("MAX_CPU_ISA"))
            }
            let environment =
                inherited.merging(Program.sharedCores) { _, own in own }.map { "\($0.key)=\($0.value)" } + [
                    "HOME=\(folder.home)", "PATCHLOOM_HOME=\(folder.home)/store", "PATCHLOOM_TEST_MARK=\(folder.mark)",
                ] + variables
            return try ProcessShimTests.shell("exec '\(path)' \(words)", environment: environment)
        }

        static func json(_ words: String, variables: [String] = []) throws -> JSONValue {
            let folder = try Folder()
            let run = try Self.run(words + " --json", in: folder, variables: variables)
            try #require(run.code == 0, "\(run.output)")
            return try JSONValue(parsing: Array(run.output.utf8), limits: .config)
        }

        // MARK: Counts

        /// The counts that no machine changes: requests for memory, reorders, arithmetic, bytes on the wire.
        @Test(arguments: ["", "--threads 1", "--threads 3", "--backend openblas", "--kernels baseline"])
        func theCountsHold(_ options: String) throws {
            let line = try Self.json("check \(options)")
            let checks = try #require(line["checks"]?.arrayValue)
            for name in [
                "unet.operations", "unet.allocations", "unet.reorders", "unet.preparations", "vae.operations",
                "text_encoder.operations", "formula.unet_sd15_64", "step.allocations", "step.reorders", "wire.lease_payload",
                "wire.result_wrapping",
            ] {
                let check = try #require(checks.first { $0["name"]?.stringValue == name }, "no \(name)")
                #expect(check["holds"]?.boolValue == true && check["counted"]?.intValue != nil)
            }
        }

        @Test func theCountsHoldInBF16() throws {
            try needs(SingleCommands.PrecisionTests.hasBF16, "bf16")
            let line = try Self.json("check --precision bf16")
            #expect(line["precision"]?.stringValue == "bf16")
            #expect(line["checks"]?.arrayValue?.allSatisfy { $0["holds"]?.boolValue == true } == true)
        }

        /// With other expectations each kind of count fails, each in a sentence that has both numbers, and no other count.
        @Test(arguments: [
            (
                "check",
                [
                    "unet.operations=1", "unet.reorders=2", "vae.allocations=3", "step.allocations=1", "step.preparations=1",
                    "formula.unet_sdxl_128=7", "wire.lease_payload=8",
                ]
            ),
            ("unet --family embedded --latent 8 --runs 1 --check", ["unet.allocations=9"]),
            ("wire --family embedded --runs 1 --check", ["wire.changed_tasks=1"]),
            ("text --family embedded --runs 1 --check", ["text_encoder.operations=12"]),
            ("vae --family embedded --latent 4 --runs 1 --check", ["vae.preparations=4"]),
            ("canvas --size 256 --steps 2 --runs 1 --check", ["canvas.peak_percent_of_foretold=1000000"]),
        ])
        func wrongCountsFail(_ suite: String, _ expectations: [String]) throws {
            let words = ([suite] + expectations.map { "--expect \($0)" }).joined(separator: " ")
            let run = try Self.run(words, in: try Folder())
            #expect(run.code == 1)
            let failures = run.output.split(separator: "\n").filter { $0.hasPrefix("patchloom-bench: ") }
            #expect(failures.count == expectations.count, "\(run.output)")
            for expectation in expectations {
                let (name, number) = (expectation.prefix { $0 != "=" }, expectation.drop { $0 != "=" }.dropFirst())
                let failure = failures.filter { $0.contains("\(name): counted ") }
                #expect(failure.count == 1 && failure.first?.hasSuffix("expected \(number)") == true, "\(name)")
                #expect(run.output.contains("FAILS \(name)"))
            }
        }

        @Test(arguments: [
            ("check --expect unet.colour=1", "unet.colour names no count"), ("check --expect unet.reorders", "whole number"),
            ("check --expect =1", "whole number"), ("check --expect unet.reorders=none", "whole number"),
            ("unet --expect unet.reorders=0", "--check"), ("unet --latent 7", "8 to 1024"), ("unet --batch 0", "1 to 64"),
            ("unet --runs 0", "1 to 100000"), ("unet --threads 0", "1 to 1024"), ("unet --family sd3", "sd3"),
            ("unet --precision f16", "f16"), ("vae --latent 1000", "4 to 512"), ("ops --network vae --batch 2", "one picture"),
            ("render --size 100", "multiple of 8"), ("render --workers 0", "1 to 256"),
            ("start --program /nonexistent/patchloom", "--program"), ("start --patience 0", "1 to 86400"), ("table", "files"),
            ("methods --precision f16", "f16"), ("methods --threads 0", "1 to 1024"),
        ])
        func aWrongWordIsRefused(_ words: String, _ part: String) throws {
            let run = try Self.run(words, in: try Folder())
            #expect(run.code == 64, "\(run.output)")
            #expect(run.output.contains(part), "\(run.output)")
        }

        /// oneDNN's variable limits our kernels as it limits oneDNN's, also with values that only other versions know.
        @Test(arguments: [
            "SSE41", "AVX", "AVX2", "avx2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_BF16", "AVX512_MIC", "AVX2_VNNI_2",
            "AVX512_CORE_FP16", "AVX10_1_512", "ALL", "DEFAULT", "NONSENSE", "",
        ])
        func oneVariableLimitsBothLibraries(_ value: String) throws {
            let words = "text --family embedded --runs 1"
            func sets(_ backend: String, _ variable: String) throws -> (kernels: String, library: String) {
                let line = try Self.json("\(words) --backend \(backend)", variables: [variable])
                let parts = try #require(line["numerics_class"]?.stringValue).split(separator: "-").map(String.init)
                // The name of our own algorithm may follow the library's set.
                return (try #require(parts.dropFirst().first), try #require(parts.last { $0 != "winograd" }))
            }
            let (kernels, library) = try sets("onednn", "ONEDNN_MAX_CPU_ISA=\(value)")
            let possible: [String]
            switch library {
            case "sse41", "avx": possible = ["baseline"]
            case _ where library.hasPrefix("avx2"): possible = ["avx2"]
            case "avx512_core", "avx512_core_vnni": possible = ["avx512"]
            default: possible = ["avx512", "avx512_bf16", "amx_bf16"]
            }
            #expect(possible.contains(kernels), "\(kernels) beside \(library)")
            #expect(try sets("openblas", "ONEDNN_MAX_CPU_ISA=\(value)").kernels == kernels)
            #expect(try sets("onednn", "DNNL_MAX_CPU_ISA=\(value)") == (kernels, library))
        }

        /// The steps of a picture take about the memory that the plan tells.
        @Test(arguments: [
            ("multidiffusion", "unipc"), ("multidiffusion", "euler"), ("direct", "pndm"), ("cut", "heun"), ("hires", "euler"),
        ])
        func theCoordinatorsMemoryIsForetold(_ method: String, _ sampler: String) throws {
            let line = try Self.json(
                "canvas --size 4096 --steps 5 --method \(method) --sampling-method \(sampler) --runs 1 --check")
            let peak = try #require(line["counts"]?["peak_bytes"]?.intValue)
            let foretold = try #require(line["counts"]?["foretold_bytes"]?.intValue)
            let latent = try #require(line["counts"]?["latent_bytes"]?.intValue)
            #expect(peak > 4 * latent && Double(peak) / Double(foretold) > 0.4, "\(peak) of \(foretold)")
        }

        // MARK: Results

        /// All suites print the same members.
        @Test(arguments: [
            ("unet --family embedded --latent 8 --runs 2", "unet"), ("vae --family embedded --latent 4 --runs 2", "vae"),
            ("text --family embedded --runs 2", "text"), ("wire --family embedded --runs 2", "wire"),
            ("ops --family embedded --latent 8 --runs 2", "ops"), ("canvas --size 512 --runs 2", "canvas"),
            ("render --size 128 --steps 2 --workers 1 --runs 2", "render"), ("start --runs 2", "start"),
        ])
        func everySuiteHasOneForm(_ words: String, _ suite: String) throws {
            let line = try Self.json(words)
            #expect(line["suite"]?.stringValue == suite && line["peer"]?.stringValue == "patchloom")
            #expect(line["cpu"]?.stringValue?.isEmpty == false)
            #expect(line["date"]?.stringValue?.wholeMatch(of: /20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ/) != nil)
            #expect(line["precision"]?.stringValue != nil || ["wire", "canvas"].contains(suite))
            let runs = try #require(line["seconds"]?.arrayValue)
            let seconds = runs.compactMap(\.doubleValue)
            #expect(seconds.count == 2 && line["runs"]?.intValue == 2 && seconds.allSatisfy { $0 > 0 })
            let (best, median) = (line["best"]?.doubleValue ?? 0, line["median"]?.doubleValue ?? 0)
            #expect(best == seconds.min() && best <= median && median <= seconds.max() ?? 0)
            for part in line["parts"]?.arrayValue ?? [] {
                #expect(part["name"]?.stringValue != nil && part["count"]?.intValue ?? 0 > 0)
                #expect(part["best"]?.doubleValue ?? 0 > 0 && part["median"]?.doubleValue ?? 0 > 0)
            }
            for (_, value) in line["counts"]?.objectValue ?? JSONObject() { #expect(value.intValue != nil) }
            for (_, value) in line["figures"]?.objectValue ?? JSONObject() { #expect(value.doubleValue != nil) }
            #expect(suite != "ops" || line["figures"]?["share_of_peak"]?.doubleValue ?? 0 > 0)
        }

        /// The start of a worker as it is from the second time on: hashes are known, and weights come from packed files.
        @Test func aStartIsMeasuredWithWarmCaches() throws {
            let folder = try Folder()
            let run = try Self.run(
                "start --runs 1 --threads 1 --model '\(SingleCommands.BadInputTests.model)' --json", in: folder)
            try #require(run.code == 0, "\(run.output)")
            let line = try JSONValue(parsing: Array(run.output.utf8), limits: .config)
            #expect(line["packed_weights"]?.boolValue == true)
            let counts = try #require(line["counts"])
            #expect(counts["hashed_bytes"]?.intValue ?? .max < 1 << 20, "\(counts)")
            #expect(counts["remembered_bytes"]?.intValue ?? 0 > 20 << 20, "\(counts)")
            let packed = try FileManager.default.contentsOfDirectory(atPath: folder.home + "/store/cache/packed")
            #expect(!packed.isEmpty && packed.allSatisfy { $0.hasSuffix(".packed") }, "\(packed)")
        }

        @Test func aWorkerThatNeverGetsReadyEndsTheSuite() throws {
            let folder = try Folder()
            let program = folder.file("program")
            try Data("#!/bin/sh\necho waiting >&2\nexec sleep 600\n".utf8).write(to: URL(fileURLWithPath: program))
            #expect(chmod(program, 0o755) == 0)
            let run = try Self.run("start --runs 1 --patience 1 --program '\(program)'", in: folder)
            #expect(run.code == 64, "\(run.output)")
            #expect(run.output.contains("within 1 seconds (--patience); it wrote: waiting"), "\(run.output)")
        }

        @Test(arguments: ["f32", "bf16"]) func methodsComputeInEitherPrecision(_ precision: String) throws {
            let words = "methods --family embedded --size 128 --steps 2 --methods direct --threads 1 --precision \(precision)"
            let run = try Self.run(words + " --json", in: try Folder())
            guard precision == "f32" || SingleCommands.PrecisionTests.hasBF16 else {
                #expect(run.code != 0 && run.output.contains("bf16"), "\(run.output)")
                return
            }
            let json = try #require(run.output.split(separator: "\n").last { $0.hasPrefix("{") }, "\(run.output)")
            let line = try JSONValue(parsing: Array(json.utf8), limits: .config)
            #expect(line["precision"]?.stringValue == precision)
            #expect(line["numerics_class"]?.stringValue?.contains("-bf16-") == (precision == "bf16"), "\(line)")
        }

        /// No operation is missing among the parts: their arithmetic is the whole network's. In a batch, work that images share
        /// counts for each of them, but is one operation.
        /// The keys and values of the text count too, and are not computed in the middle of a picture.
        @Test(arguments: [("unet --latent 8", 1, 1.0), ("unet --latent 12 --batch 3", 3, 0.99), ("vae --latent 8", 0, 1.0)])
        func theOperationsAreThoseOfTheNetwork(_ network: String, _ texts: Int, _ share: Double) throws {
            let line = try Self.json("ops --family embedded --network \(network) --runs 1 --no-peak")
            let parts = try #require(line["parts"]?.arrayValue)
            let sum = parts.reduce(0) { $0 + ($1["operations"]?.intValue ?? 0) * ($1["count"]?.intValue ?? 0) }
            // Two products of 77 tokens of 128 numbers for all channels of the blocks.
            let kept = texts * 2 * 2 * 77 * 128 * 1536
            let whole = try #require(line["counts"]?["operations"]?.intValue) - kept
            #expect(sum > 0 && sum <= whole && Double(sum) >= share * Double(whole))
            #expect(parts.reduce(0) { $0 + ($1["count"]?.intValue ?? 0) } == line["counts"]?["calls"]?.intValue)
            #expect(line["figures"]?["whole_to_sum"] != nil && line["figures"]?["share_of_peak"] == nil)
        }

        /// The memory that a coordinator takes for a picture's steps, with results that come in order. One more copy of a
        /// step's sums would be too much at the larger size.
        @Test(arguments: [("multidiffusion", 8192), ("cut", 4096), ("direct", 4096)])
        func aCoordinatorHoldsSixLatents(_ method: String, _ size: Int) throws {
            let line = try Self.json("canvas --size \(size) --steps 3 --runs 1 --method \(method) --check")
            let counts = try #require(line["counts"])
            let latent = size / 8 * (size / 8) * 4 * 4
            #expect(counts["latent_bytes"]?.intValue == latent && counts["tasks"]?.intValue ?? 0 > 0)
            #expect(counts["peak_bytes"]?.intValue ?? 0 > latent, "a latent is held at least")
        }

        /// Exact tiles are the whole decode; blended ones are not.
        @Test func seamsAreCounted() throws {
            let line = try Self.json("seams --latent 21 --tile 12")
            let figures = try #require(line["figures"]?.objectValue)
            #expect(figures.keys.count == 12, "\(figures.keys)")
            for name in figures.keys {
                let value = try #require(figures[name]?.doubleValue)
                if name.contains("exact") { #expect(value == 0, "\(name)") } else { #expect(value > 0.5, "\(name)") }
            }
            let folder = try Folder()
            let single = try Self.run("seams --latent 12", in: folder)
            #expect(single.code == 64 && single.output.contains("--latent"), "\(single.output)")
        }

        @Test func aRenderCountsItsWork() throws {
            let line = try Self.json("render --size 128 --steps 3 --workers 1 --runs 1")
            // One chunk of text, three steps, one decoding.
            #expect(line["counts"]?["tasks"]?.intValue == 5)
            for name in ["operations", "bytes_sent", "bytes_received", "peak_pss_bytes"] {
                #expect(line["counts"]?[name]?.intValue ?? 0 > 0, "\(name)")
            }
        }

        // MARK: Tables

        static let lines = """
            {"suite":"unet","peer":"patchloom","cpu":"Test CPU","date":"2026-11-29T12:00:00Z","numerics_class":"x86_64-test","threads":2,"family":"sd15","latent":64,"batch":1,"precision":"f32","seconds":[1.0,3.0]}
            {"suite":"unet","peer":"openvino 2026.4.1","family":"sd15","latent":64,"batch":1,"precision":"f32","threads":2,"seconds":[4.0]}
            {"suite":"unet","peer":"pytorch 2.13.0","family":"sd15","latent":64,"batch":1,"precision":"f32","threads":2,"seconds":[5.0, 5.0]}
            {"suite":"unet","peer":"patchloom","cpu":"Test CPU","date":"2026-11-29T13:00:00Z","numerics_class":"x86_64-test","threads":2,"family":"sd15","latent":64,"batch":1,"precision":"f32","seconds":[2.0]}
            {"suite":"unet","peer":"patchloom","cpu":"Test CPU","date":"2026-11-30T13:00:00Z","numerics_class":"x86_64-test","threads":2,"family":"sd15","latent":64,"batch":1,"precision":"bf16","seconds":[0.5]}
            {"suite":"ops","peer":"patchloom","network":"unet","family":"sd15","latent":64,"batch":1,"precision":"f32","seconds":[1.9],"figures":{"share_of_peak":0.875,"whole_to_sum":1.05}}
            {"suite":"render","peer":"patchloom","model":"/tmp/models/sd15","size":512,"method":"auto","threads_per_worker":1,"precision":"f32","workers":1,"seconds":[9.0],"counts":{"peak_pss_bytes":4000000000}}
            {"suite":"render","peer":"patchloom","model":"/tmp/models/sd15","size":512,"method":"auto","threads_per_worker":1,"precision":"f32","workers":2,"seconds":[9.0],"counts":{"peak_pss_bytes":4500000000}}
            {"suite":"start","peer":"patchloom","model":"embedded","precision":"f32","seconds":[0.25],"parts":[{"name":"headers","count":1,"best":0.001,"median":0.002}]}
            """

        /// The median of all runs of one peer, ratios, and dashes where nothing was measured.
        @Test func linesBecomeTables() throws {
            let folder = try Folder()
            try Self.lines.write(toFile: folder.file("results.jsonl"), atomically: true, encoding: .utf8)
            let run = try Self.run("table '\(folder.file("results.jsonl"))'", in: folder)
            try #require(run.code == 0, "\(run.output)")
            for row in [
                "| family | latent | batch | precision | OpenVINO | PyTorch | Patchloom | Patchloom / OpenVINO | Patchloom / PyTorch | share of peak | whole / sum of its operations |",
                "| sd15 | 64 | 1 | f32 | 4.000 | 5.000 | 2.000 | 0.50 | 0.40 | 88 % | 1.05 |",
                "| sd15 | 64 | 1 | bf16 | – | – | 0.500 | – | – | – | – |",
                "| sd15 | 512 | auto | 1 | f32 | 4.00 GB | 0.50 GB |", "| embedded | f32 | 0.25 | 0.002 |",
            ] {
                #expect(run.output.contains("\n\(row)\n"), "\(row) in \(run.output)")
            }
            #expect(run.output.hasPrefix("Measured on 2026-11-29, 2026-11-30: Test CPU, 2 threads.\n"), "\(run.output)")
            #expect(run.output.contains("openvino 2026.4.1, pytorch 2.13.0"))
        }

        @Test(arguments: ["{\"suite\":\"unet\"}", "{\"peer\":\"patchloom\"}", "no JSON", "[1]", "{\"suite\":1,\"peer\":\"a\"}"])
        func whatIsNoResultIsRefusedByItsLine(_ text: String) throws {
            let folder = try Folder()
            let file = folder.file("results.jsonl")
            try (Self.lines + "\n\n\(text)\n").write(toFile: file, atomically: true, encoding: .utf8)
            let run = try Self.run("table '\(file)'", in: folder)
            #expect(run.code == 64 && run.output.contains("\(file):11 is no result"), "\(run.output)")
        }

        @Test(arguments: ["--colour", "--families sd3", "--precisions f16", "--runs 0", "--latents 64,x", "--threads"])
        func theScriptRefusesWrongWords(_ words: String) throws {
            let script = Fixtures.repository.appendingPathComponent("deploy/bench.sh").path
            let folder = try Folder()
            let run = try ProcessShimTests.shell(
                "cd '\(folder.path)' && exec '\(script)' \(words)", environment: ["PATH=/usr/local/bin:/usr/bin:/bin"])
            #expect(run.code == 1 && run.output.hasPrefix("bench.sh: ") && run.output.split(separator: "\n").count == 1)
            #expect(folder.names == [])
        }
    }
}
