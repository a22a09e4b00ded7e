package import DiffusionModels
package import StrictJSON

/// Tasks, arithmetic and traffic of a render, phase by phase, known before it begins.
public struct RenderForecast: Sendable {
    /// Tasks that are alike.
    package struct Tasks: Sendable {
        package var count: Int
        /// Multiplications and additions of all these tasks, as `TaskRunner.operations` counts them.
        package var operations: Double
        /// The metadata of one task, without its payload.
        package var metadata: JSONValue
        package var payloadBytes: Int
        /// Whether its context builds on another one.
        package var hasBase = false
        /// The metadata of one output, without its payload.
        package var outputMetadata: JSONValue
        /// Bytes of the payloads of all outputs.
        package var outputBytes: Int
        /// A computation that takes the time of these tasks' arithmetic; nil for kinds with few tasks.
        package var sample: Sample?
        /// The work that decides the memory of one task.
        package var footprint: Footprint
    }

    /// The work that a worker rehearses to learn its memory.
    package enum Footprint: Sendable {
        case task(RenderTask, in: JobContext)
        /// A latent in tiles.
        case decoding(TileGrid)
        /// A picture of this size in pixels.
        case encoding(height: Int, width: Int)

        /// The number of a latent's tiles; nil for other kinds.
        package var tileCount: Int? { if case .decoding(let grid) = self { grid.count } else { nil } }
    }

    /// A task with zeros instead of numbers.
    package struct Sample: Sendable {
        package let task: RenderTask
        package let context: JobContext
        /// Multiplications and additions of the task.
        package let operations: Double
        /// The number of such tasks in a step, for all workers; steps wait for each other.
        package let tasksInStep: Int
        /// Whether a worker may compute several together.
        package let isGrouped: Bool
    }

    /// Content that workers get once.
    package struct Content: Sendable {
        package let metadata: JSONValue
        package let payloadBytes: Int
        /// The most workers that ask for it.
        package let receivers: Int
    }

    /// All tasks of one phase name, in any pass.
    public struct Phase: Sendable {
        public let phase: RenderPhase
        package fileprivate(set) var tasks: [Tasks] = []
        package fileprivate(set) var contents: [Content] = []

        public var taskCount: Int { tasks.reduce(0) { $0 + $1.count } }
        /// Multiplications and additions, as a render counts them if no task is computed twice. The decoding of several tiles
        /// takes a little more with several workers.
        public var operations: Double { tasks.reduce(0) { $0 + $1.operations } }
    }

    /// The phases in the order in which they begin.
    public private(set) var phases: [Phase] = []

    public var operations: Double { phases.reduce(0) { $0 + $1.operations } }

    mutating func add(_ tasks: Tasks, to phase: RenderPhase) { phases[position(phase)].tasks.append(tasks) }

    /// - Parameters:
    ///   - context: stands for the true context.
    ///   - bytes: the bytes by which the true context's payload is longer than that of `context`.
    ///   - receivers: the most workers that ask for it.
    mutating func add(_ context: JobContext, to phase: RenderPhase, more bytes: Int = 0, receivers: Int = .max) {
        let (metadata, payload) = context.encoded()
        phases[position(phase)].contents.append(
            Content(metadata: metadata, payloadBytes: payload.count + bytes, receivers: receivers))
    }

    private mutating func position(_ phase: RenderPhase) -> Int {
        if let known = phases.firstIndex(where: { $0.phase == phase }) { return known }
        phases.append(Phase(phase: phase))
        return phases.count - 1
    }
}

extension RenderForecast.Tasks {
    /// Tasks that differ from `task` only in their operations.
    ///
    /// - Parameter outputBytes: the bytes of all outputs; nil if all outputs have the shape `output`.
    init(
        _ count: Int, like task: RenderTask, in context: JobContext, operations: Double, hasBase: Bool = false,
        output: OutputShape, outputBytes: Int? = nil
    ) {
        self.init(
            count: count, operations: operations, metadata: task.encoded().metadata, payloadBytes: task.payloadBytes,
            hasBase: hasBase, outputMetadata: output.metadata, outputBytes: outputBytes ?? count * output.byteCount,
            footprint: .task(task, in: context))
    }
}
