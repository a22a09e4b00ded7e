public import ArgumentParser
import CSystem
import Foundation
import Rendering
import Runtime
import Sentences
public import TensorCore

/// The use of this host by `render`.
public struct HostOptions: ParsableArguments {
    /// The defaults.
    public init() {}

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Worker processes (default: one a core, at most \(HostOptions.defaultWorkersMax), fewer where memory is short).",
            valueName: "count"))
    var workers: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Threads of each worker (default: the cores divided by the workers).", valueName: "count"))
    var threadsPerWorker: Int?

    @Option(help: ArgumentHelp("The library that multiplies matrices: auto, onednn or openblas.", valueName: "backend"))
    var backend = "auto"

    @Option(
        help: ArgumentHelp(
            "The arithmetic of the networks: f32, bf16, or auto for bf16 where the CPU is faster with it.",
            valueName: "precision"))
    var precision = "auto"

    @OptionGroup var groups: GroupOptions

    /// Every worker holds the weights in its library's form, so more workers cost memory. Above this number more threads use
    /// the cores better, unless the user knows otherwise.
    static let defaultWorkersMax = 8
    /// Far above any host. It stops a mistyped number before processes start.
    static let workersMax = 256
    static let threadsMax = 1024

    /// A container's limits on this host.
    private static let limits = ControlGroup.current()
    /// Cores that this process may use and has time for.
    private static var cores: Int { min(Int(csystem_available_cores()), limits.processors ?? Int.max) }

    /// The numbers of workers and threads.
    public struct Layout: Equatable {
        public let workers: Int
        /// Of each worker.
        public let threads: Int
        public let backend: BackendChoice
        public let precision: PrecisionChoice
        /// The most tasks that a worker computes at once.
        public let group: Int
        /// Notes for the user about the layout.
        public let warnings: [String]
    }

    /// - Parameter weightBytes: bytes of the model's files; 0 for the embedded model, which is small.
    public func layout(weightBytes: Int) throws -> Layout {
        let cores = Self.cores
        let workers =
            self.workers
            ?? min(cores, Self.defaultWorkersMax, Self.workersThatFit(weightBytes: weightBytes))
        guard (1...Self.workersMax).contains(workers) else {
            throw CommandFailure(.usage, "--workers must be from 1 to \(Self.workersMax), not \(workers).")
        }
        let threads = try Self.checked(threadsPerWorker ?? max(1, cores / workers), "threads-per-worker")
        let processors = min(Int(csystem_available_processors()), Self.limits.processors ?? Int.max)
        let (backend, precision) = (try Self.choice(backend), try Self.choice(precision: precision))
        var warnings: [String] = []
        if workers * threads > processors {
            warnings.append(
                "\(workers) workers with \(threads) threads each exceed the \(processors) processors here; fewer are faster.")
        }
        if let note = try Self.note(precision, backend) { warnings.append("\(note).") }
        return Layout(
            workers: workers, threads: threads, backend: backend, precision: precision, group: try groups.checked(),
            warnings: warnings)
    }

    /// How many workers with this model fit into the free memory, at least 1. A number from the user is not limited.
    private static func workersThatFit(weightBytes: Int) -> Int {
        guard weightBytes > 0, let available = HostMemory.freeBytes() else { return Int.max }
        // Half-precision files double when widened, libraries keep weights in their own form, and activations need memory
        // too; some memory is left to others.
        let perWorker = Double(weightBytes) * 2.5 + Double(1 << 30)
        return max(1, Int(Double(available) * 0.7 / perWorker))
    }

    /// A worker started by hand uses all its cores, unless told otherwise.
    public static func threads(_ asked: Int?) throws(CommandFailure) -> Int {
        try checked(asked ?? cores, "threads")
    }

    /// The backend of that name.
    public static func choice(_ backend: String) throws -> BackendChoice {
        try SettingKind.choice.value(backend, of: .backend)
    }

    /// The precision of that name.
    public static func choice(precision: String) throws -> PrecisionChoice {
        try SettingKind.choice.value(precision, of: .precision)
    }

    /// Tells that a precision is not the best here; nil if it is. Throws if this host does not have it.
    public static func note(_ precision: PrecisionChoice, _ backend: BackendChoice) throws(CommandFailure) -> String? {
        do throws(ComputeError) { _ = try precision.resolved(backend) } catch {
            throw CommandFailure(.usage, "\(error.message).")
        }
        return precision.note(backend)
    }

    private static func checked(_ threads: Int, _ option: String) throws(CommandFailure) -> Int {
        guard (1...threadsMax).contains(threads) else {
            throw CommandFailure(.usage, "--\(option) must be from 1 to \(threadsMax), not \(threads).")
        }
        return threads
    }
}
