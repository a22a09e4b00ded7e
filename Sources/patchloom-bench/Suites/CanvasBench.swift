import ArgumentParser
import Foundation
import Places
import Rendering
import Samplers
import StrictJSON

/// `patchloom-bench canvas`: the coordinator's own work on the denoising steps of one picture, without workers.
struct CanvasBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "canvas",
        abstract: "Times the coordinator's work on a step: cutting tasks, merging results. No network runs.",
        discussion: """
            The plan is that of the embedded model. Every task of a step is written as for the wire, and a result of zeros of \
            the right size is read and merged. The printed time is one step. `peak_bytes` is the growth of resident memory \
            from the planned picture to the end of the last step, and `foretold_bytes` what the plan tells of it; --check \
            holds the first at most a quarter above the second.
            """)

    @Option(help: "Side of the square picture in pixels.") var size = 4096
    @Option(help: "Denoising steps.") var steps = 4
    @Option(help: "Method, as in 'patchloom render'.") var method = "multidiffusion"
    @Option(help: "Sampling method, as in 'patchloom render'.") var samplingMethod = "euler"
    @OptionGroup var reporting: RunOptions
    @OptionGroup var checks: CheckOptions

    func validate() throws {
        try check("size", size, 64...16_384)
        try check("steps", steps, 2...1000)
        guard RenderMethod(rawValue: method) != nil else {
            let known = RenderMethod.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--method \(method) is unknown; use one of \(known).")
        }
        do { _ = try SamplerName(samplingMethod) } catch { throw ValidationError(error.message) }
    }

    func run() throws {
        var request = RenderRequest()
        request.prompt = "a harbour at dawn"
        (request.width, request.height, request.steps) = (size, size, steps)
        request.method = RenderMethod(rawValue: method) ?? .auto
        request.samplingMethod = try SamplerName(samplingMethod).method
        let machine = try RenderMachine(request: request, model: ModelDescription(source: .embeddedModel))
        var (walks, peaks) = ([CanvasWalk](), [Int]())
        for _ in 0...reporting.runs {
            let memory = ResidentGrowth()
            var walk = CanvasWalk(machine)
            try walk.denoise()
            peaks.append(memory.bytes)
            walks.append(walk)
        }
        let timing = Timing(walks.dropFirst().map { $0.seconds / Double($0.steps) })
        let (tasks, steps) = (walks[0].tasks, walks[0].steps)
        let plan = machine.plan
        let latent = plan.latentHeight * plan.latentWidth * plan.latentChannels * MemoryLayout<Float>.size
        let peak = peaks.max() ?? 0
        guard peak > 0 else { throw ValidationError("/proc/self/status does not say how much memory this process uses.") }
        var report = SuiteReport("canvas")
        report.settings = [
            ("size", .integer(Int64(size))), ("steps", .integer(Int64(steps))), ("method", .string(method)),
            ("sampling_method", .string(samplingMethod)),
        ]
        report.timing = timing
        report.figures = [
            ("tasks_per_second", Double(tasks) / Double(steps) / timing.median),
            ("peak_to_latent", Double(peak) / Double(latent)),
        ]
        let foretold = machine.coordinatorBytes
        report.counts = [
            ("tasks", tasks), ("latent_bytes", latent), ("peak_bytes", peak), ("foretold_bytes", foretold),
        ]
        report.checks = try checks.applied(to: [
            CountCheck(name: "canvas.peak_percent_of_foretold", counted: peak * 100 / foretold, .atMost(125))
        ])
        try report.finish(json: reporting.json)
    }
}

/// The steps of a picture, with results of zeros.
private struct CanvasWalk {
    private var machine: RenderMachine
    private(set) var steps = 0
    private(set) var tasks = 0
    private(set) var seconds = 0.0
    /// Results of zeros as workers would send them, one for each shape: most tasks of a picture share one.
    private var results: [(shape: OutputShape, metadata: JSONValue, payload: [UInt8])] = []

    init(_ machine: RenderMachine) { self.machine = machine }

    mutating func denoise() throws {
        var barrier = machine.start()
        let last = machine.plan.passes.count - 1
        while barrier.phase != .decode || barrier.place.stage < last {
            let isStep = [.structure, .detail, .denoise].contains(barrier.phase)
            let count = barrier.tasks.count
            let start = ContinuousClock.now
            let outcome = try answer(barrier)
            if isStep {
                seconds += start.duration(to: .now) / .seconds(1)
                (steps, tasks) = (steps + 1, tasks + count)
            }
            guard case .barrier(let next) = outcome else { return }
            barrier = next
        }
    }

    private mutating func answer(_ barrier: Barrier) throws -> RenderMachine.Outcome {
        var together: [TaskOutput] = []
        for (index, task) in barrier.tasks.enumerated() {
            _ = task.encoded()
            let output = try zeros(machine.expectedOutputs[index])
            if barrier.takesEach { try machine.take(output, of: index) } else { together.append(output) }
        }
        return try machine.complete(together)
    }

    private mutating func zeros(_ shape: OutputShape) throws -> TaskOutput {
        if !results.contains(where: { $0.shape == shape }) {
            results.append((shape, shape.metadata, [UInt8](repeating: 0, count: shape.byteCount)))
        }
        guard let result = results.first(where: { $0.shape == shape }) else { throw ExitCode.failure }
        return try TaskOutput(shape, metadata: result.metadata, payload: result.payload)
    }
}

/// The growth of this process's resident memory: the kernel keeps the peak, so that nothing between two looks is missed.
private struct ResidentGrowth {
    private let start: Int

    init() {
        start = Self.bytes("VmRSS:")
        // The peak begins anew.
        if let file = FileHandle(forWritingAtPath: "/proc/self/clear_refs") { try? file.write(contentsOf: Data("5".utf8)) }
    }

    /// The peak since the start, less the memory at the start.
    var bytes: Int { max(0, Self.bytes("VmHWM:") - start) }

    private static func bytes(_ name: String) -> Int {
        let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
        return (line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0) * 1024
    }
}
