import ArgumentParser
import Foundation
import StrictJSON
import TensorCore
import Weights

/// `patchloom-bench render`: a whole picture by `patchloom render` with its worker processes.
struct RenderBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "render",
        abstract: "Times a whole picture with worker processes, and measures memory and bytes on the wire.",
        discussion: """
            It starts 'patchloom render', by default the one beside this program. `peak_pss_bytes` is the most memory of all \
            its processes together, with shared pages counted once. A run of its own looks at it about ten times a second, \
            after the runs that are timed.
            """)

    @Option(help: "The program; by default 'patchloom' beside this one.") var program: String?
    @Option(help: "A model, as for 'patchloom render'; the embedded one by default.") var model: String?
    @Option(help: "What the picture shows.") var prompt = "a red apple on a blue background"
    @Option(help: "Side of the square picture in pixels.") var size = 512
    @Option(help: "Denoising steps.") var steps = 12
    @Option(help: "Method, as for 'patchloom render'.") var method = "auto"
    @Option(help: "The most views of one call of the network, as for 'patchloom render'.") var group: Int?
    @Option(help: "Worker processes.") var workers = 2
    @Option(help: "Threads of each worker.") var threadsPerWorker = 1
    @Option(help: "Compute library: auto, onednn or openblas.") var backend = BackendChoice.auto
    @Option(help: "Number format of weights and activations: auto, f32 or bf16.") var precision = PrecisionChoice.auto
    @OptionGroup var reporting: RunOptions

    func validate() throws {
        try check("workers", workers, 1...256)
        try check("threads-per-worker", threadsPerWorker, 1...1024)
        try check("steps", steps, 1...1000)
        guard (64...8192).contains(size), size % 8 == 0 else {
            throw ValidationError("--size \(size) is not possible: choose a multiple of 8 from 64 to 8192.")
        }
    }

    func run() throws {
        var report = SuiteReport("render")
        report.settings = [
            ("model", .string(model ?? "embedded")), ("size", .integer(Int64(size))), ("steps", .integer(Int64(steps))),
            ("method", .string(method)), ("workers", .integer(Int64(workers))),
            ("threads_per_worker", .integer(Int64(threadsPerWorker))), ("precision", .string(precision.rawValue)),
        ]
        var renders: [Render] = []
        // The run that is not counted fills the caches of files.
        for _ in 0...reporting.runs { renders.append(try render()) }
        let counted = renders.dropFirst()
        // Looking at the memory takes time, so the timed runs are not looked at.
        let peakBytes = try peakBytes()
        report.timing = Timing(counted.map(\.total))
        guard let best = counted.min(by: { $0.total < $1.total }) else { return }
        report.figures = [
            ("start_up_s", best.startUp), ("compute_s", best.compute), ("tasks_per_second", best.tasksPerSecond),
            ("share_in_workers", best.share(of: workers)), ("overhead", best.overhead),
        ]
        report.counts = [
            ("tasks", best.tasks), ("operations", best.operations), ("bytes_sent", best.sent),
            ("bytes_received", best.received),
            ("worker_peak_bytes", best.workerPeak), ("peak_pss_bytes", peakBytes),
        ]
        try report.finish(json: reporting.json)
    }

    private func render() throws -> Render {
        try inFolder { folder in
            let text = try OwnProcess(program, arguments(folder) + ["-q"]).finish()
            return try Render(JSONValue(parsing: Array(text.utf8), limits: .config))
        }
    }

    /// The most memory of another such run. Weights that the workers do not share are an error.
    private func peakBytes() throws -> Int {
        try inFolder { folder in
            let log = folder.appendingPathComponent("errors.txt")
            var most = 0
            _ = try OwnProcess(program, arguments(folder), errors: log).finish { root in
                most = max(most, ProcessTree.steadyBytes(root))
            }
            let lines = try String(contentsOf: log, encoding: .utf8).split(separator: "\n")
            if let note = lines.first(where: { $0.contains(PackedWeights.notePrefix) }) {
                throw ValidationError("The workers do not share their weights, so their memory says little. patchloom: \(note)")
            }
            guard most > 0 else { throw ValidationError("The memory of patchloom could not be read from /proc.") }
            return most
        }
    }

    private func inFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-bench-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try body(folder)
    }

    /// - Parameter folder: for the picture.
    private func arguments(_ folder: URL) -> [String] {
        [
            "render", "-p", prompt, "-W", "\(size)", "-H", "\(size)", "--steps", "\(steps)", "-s", "7", "--json",
            "--method", method, "--workers", "\(workers)", "--threads-per-worker", "\(threadsPerWorker)",
            "--backend", backend.rawValue, "--precision", precision.rawValue,
            "-o", folder.appendingPathComponent("a.png").path,
        ] + (group.map { ["--group", "\($0)"] } ?? []) + (model.map { ["-m", $0] } ?? [])
    }

    /// A picture's line of `patchloom render --json`.
    private struct Render {
        let total, startUp, compute, overhead: Double
        let tasks, operations, sent, received, workerPeak: Int

        init(_ json: JSONValue) throws {
            func number(_ group: String, _ name: String) throws -> JSONValue {
                guard let value = json[group]?[name], value.doubleValue != nil else {
                    throw ValidationError("patchloom's summary has no \(group).\(name); both programs must be of one version.")
                }
                return value
            }
            func seconds(_ name: String) throws -> Double { try number("timings", name).doubleValue ?? 0 }
            func count(_ name: String) throws -> Int { try number("counts", name).intValue ?? 0 }
            (total, startUp) = (try seconds("total_s"), try seconds("startup_s"))
            (compute, overhead) = (try seconds("compute_s"), try seconds("overhead"))
            (operations, workerPeak) = (try count("operations"), try count("worker_peak_bytes"))
            (sent, received) = (try count("bytes_sent"), try count("bytes_received"))
            tasks = json["timings"]?["phases"]?.arrayValue?.reduce(0) { $0 + ($1["tasks"]?.intValue ?? 0) } ?? 0
        }

        /// The seconds without the time until the workers were ready.
        private var working: Double { max(total - startUp, 1e-9) }

        var tasksPerSecond: Double { Double(tasks) / working }

        /// The share of the time in which a worker computed, on average.
        func share(of workers: Int) -> Double { compute / (working * Double(workers)) }
    }
}
