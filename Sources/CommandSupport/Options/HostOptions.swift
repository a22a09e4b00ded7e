public import ArgumentParser
import Foundation
package import Rendering
public import Runtime
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

    @Option(
        help: ArgumentHelp("The library that multiplies matrices: \(choiceList(BackendChoice.self)).", valueName: "backend"))
    var backend = "auto"

    @OptionGroup var groups: GroupOptions

    @OptionGroup public var packing: PackedWeightsOptions

    /// Every worker has its own activations, so more workers cost memory. Above this number more threads use the cores better,
    /// unless the user knows otherwise.
    static let defaultWorkersMax = 8
    /// The most workers, far above any host. This limit stops a mistyped number before processes start.
    static let workersMax = 256
    static let threadsMax = 1024

    /// The numbers of workers and threads.
    public struct Layout: Sendable, Equatable {
        public let workers: Int
        /// The threads of each worker.
        public let threads: Int
        public let backend: BackendChoice
        /// The precision of the workers. It is never `auto`: all workers have this host's CPU.
        public let precision: PrecisionChoice
        /// The most tasks that a worker computes at once.
        public let group: Int
        /// The room for packed weights, as `--packed-weights` takes it.
        public let packedWeights: String
        /// Whether workers map large networks from files of packed weights.
        public let sharesWeights: Bool
        /// Notes for the user about the layout.
        public let warnings: [String]

        /// The kind of a render, for the times of the last ones.
        ///
        /// - Parameter precision: not `auto`.
        package func kind(_ model: ModelDescription, _ method: RenderMethod, _ precision: PrecisionChoice) -> RenderTimes.Kind {
            RenderTimes.Kind(
                model, method,
                layout: "\(workers) workers, \(threads) threads, \(backend.rawValue), \(precision.rawValue), group \(group)")
        }

        /// The workers, for a forecast of their memory.
        public func memory(of precision: PrecisionChoice, freeBytes: Int? = HostMemory.freeBytes()) -> MemoryForecast.Host {
            MemoryForecast.Host(
                workers: workers, threads: threads, group: group, backend: backend, precision: precision,
                mapsFiles: sharesWeights, freeBytes: freeBytes)
        }
    }

    /// - Parameters:
    ///   - weightBytes: bytes of the model's files; 0 for the embedded model, which is small.
    ///   - asked: the request's precision.
    public func layout(weightBytes: Int, precision asked: PrecisionChoice) throws -> Layout {
        let cores = HostProcessors.cores
        let backend = try Self.choice(backend)
        let precision = try Self.settled(asked, backend)
        // Networks that do not fit under the limit are not shared.
        let (setting, room) = (try packing.setting(), try packing.limit())
        let isShared = setting != nil && room / 3 >= weightBytes
        let workers = try Self.checked(
            workers: workers
                ?? min(
                    cores, Self.defaultWorkersMax,
                    Self.workersThatFit(weightBytes: weightBytes, precision, isShared: isShared)))
        let threads = try Self.checked(threadsPerWorker ?? max(1, cores / workers), "threads-per-worker")
        let processors = HostProcessors.processors
        var warnings: [String] = []
        if workers * threads > processors {
            warnings.append(
                "\(workers) workers with \(threads) threads each exceed the \(processors) processors here; fewer are faster.")
        }
        if let note = asked.note(backend) { warnings.append("\(note).") }
        if weightBytes > 0, let note = try packing.note() { warnings.append(note) }
        return Layout(
            workers: workers, threads: threads, backend: backend, precision: precision, group: try groups.checked(),
            packedWeights: packing.word, sharesWeights: isShared,
            warnings: warnings)
    }

    private static func checked(workers: Int) throws(CommandFailure) -> Int {
        guard (1...workersMax).contains(workers) else {
            throw CommandFailure(.usage, "--workers must be from 1 to \(workersMax), not \(workers).")
        }
        return workers
    }

    /// The number of workers with this model that fit into the free memory, at least 1. A number from the user is not limited.
    ///
    /// - Parameters:
    ///   - isShared: whether the workers share their weights in a file.
    ///   - available: free bytes; nil if the system does not say.
    static func workersThatFit(
        weightBytes: Int, _ precision: PrecisionChoice, isShared: Bool, available: Int? = HostMemory.freeBytes()
    ) -> Int {
        guard weightBytes > 0, let available else { return Int.max }
        // In f32, half-precision files double when widened. In bf16 only the text encoders do, an eighth of the weights.
        // Libraries keep weights in their own form, and activations need memory too; some memory is left to others.
        let (factor, activations) = precision == .bf16 ? (1.5, 1 << 29) : (2.5, 1 << 30)
        let (weights, others, free) = (Double(weightBytes) * factor, Double(activations), Double(available) * 0.7)
        return max(1, Int(isShared ? (free - weights) / others : free / (weights + others)))
    }

    /// A worker started by hand uses all its cores, unless told otherwise.
    public static func threads(_ asked: Int?) throws(CommandFailure) -> Int {
        try checked(asked ?? HostProcessors.cores, "threads")
    }

    /// The backend of that name.
    public static func choice(_ backend: String) throws -> BackendChoice {
        try SettingKind.choice.value(backend, of: .backend)
    }

    /// The precision of that name.
    public static func choice(precision: String) throws -> PrecisionChoice {
        try SettingKind.choice.value(precision, of: .precision)
    }

    /// A precision that is not `auto`. Throws if this host does not have the requested one.
    public static func settled(
        _ precision: PrecisionChoice, _ backend: BackendChoice
    ) throws(CommandFailure) -> PrecisionChoice {
        do throws(ComputeError) { return PrecisionChoice(try precision.resolved(backend)) } catch {
            throw CommandFailure(.usage, "\(error.message).")
        }
    }

    private static func checked(_ threads: Int, _ option: String) throws(CommandFailure) -> Int {
        guard (1...threadsMax).contains(threads) else {
            throw CommandFailure(.usage, "--\(option) must be from 1 to \(threadsMax), not \(threads).")
        }
        return threads
    }
}
