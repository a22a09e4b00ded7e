import ArgumentParser
import CommandSupport
import Rendering
import Requests
import Runtime
import Sentences
import StrictJSON
import TensorCore
import Weights

/// `patchloom plan`: shows the plan of a `render`.
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Print what rendering a picture would take, without rendering it.")

    @OptionGroup(title: "Picture") var picture: RequestOptions
    @OptionGroup(title: "Model") var checkpoint: ModelOptions
    @OptionGroup(title: "LoRA") var loras: LoRAOptions

    @OptionGroup(title: "Host") var host: HostOptions

    @Flag(
        help: """
            Load the model, time five calls of each kind on this host, and tell how long the render will take here. Kinds are \
            the phases of each stage and the decoding of a tile. Like render it keeps packed weights in the cache.
            """)
    var calibrate = false

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let asked = try loras.folders.resolve(picture.request())
        var request = asked.request
        let source = try checkpoint.words.source()
        // Another host may have a precision that this one lacks. Only a timed plan must be possible here.
        let layout = try host.layout(
            weightBytes: checkpoint.words.weightBytes(source), precision: calibrate ? request.precision : .auto)
        if calibrate { request.precision = layout.precision }
        let model = try ModelDescription(source: source)
        let machine = try RenderMachine(request: request, model: model, loras: asked.library)
        let forecast = try machine.forecast()
        // A precision that this host lacks is another host's, whose orders of weights nobody knows here.
        let isPossible = (try? request.precision.resolved(layout.backend)) != nil
        let memory =
            isPossible
            ? try MemoryForecast(forecast, source, loras: asked.library, layout.memory(of: request.precision)) : nil
        let costs = PlanCosts(forecast, memory, workers: layout.workers, coordinatorBytes: machine.coordinatorBytes)
        if !json {
            for line in machine.plan.summaryLines + costs.lines { print(TerminalText.printable(line)) }
        }
        var time: RenderCalibration.Estimate?
        if calibrate {
            for warning in layout.warnings { writeError("\(warning)\n") }
            writeError("timing calls; this takes about as long as five of each kind\n")
            time = try calibrated(layout, source, asked.library).estimate(forecast)
        }
        let precision = request.precision == .auto ? layout.precision : request.precision
        let known =
            calibrate
            ? nil
            : RenderTimes.file?.read().estimate(forecast, layout.kind(model, machine.plan.method, precision))
        if json {
            var object = machine.plan.json.objectValue ?? JSONObject()
            for (key, value) in costs.json { object[key] = value }
            object["seconds"] = time?.json ?? known.map { $0.time.json(renders: $0.renders) }
            print(JSONValue.object(object).canonicalText)
        } else if let time {
            print(time.line + ", without starting the workers")
        } else if let known {
            let renders = known.renders == 1 ? "the last render like it" : "the last \(known.renders) renders like it"
            print("\(known.time.line), as in \(renders), without starting the workers")
        }
    }
}

extension PlanCommand {
    private func calibrated(
        _ layout: HostOptions.Layout, _ source: ModelSource, _ library: LoRALibrary
    ) throws -> RenderCalibration {
        RenderCalibration(
            source, loras: library, workers: layout.workers, threads: layout.threads, group: layout.group,
            backend: layout.backend, precision: layout.precision, packed: try host.packing.setting()
        ) { writeError($0 + "\n") }
    }
}

extension RenderCalibration.Estimate {
    fileprivate var line: String {
        "about \(Self.text(expected)) on this host (\(Self.text(least)) to \(Self.text(most)))"
    }

    fileprivate var json: JSONValue { json(renders: nil) }

    /// - Parameter renders: the number of earlier renders that it comes from; nil if calls were timed.
    fileprivate func json(renders: Int?) -> JSONValue {
        var object = JSONObject()
        (object["expected"], object["least"], object["most"]) = (.number(expected), .number(least), .number(most))
        object["renders"] = renders.map { .integer(Int64($0)) }
        return .object(object)
    }

    private static func text(_ seconds: Double) -> String {
        if seconds < 100 { return "\(TerminalText.fixed(seconds, digits: seconds < 10 ? 1 : 0)) s" }
        let minutes = Int((min(seconds, 1e12) / 60).rounded())
        return minutes < 100 ? "\(minutes) min" : "\(minutes / 60) h \(minutes % 60) min"
    }
}

/// The table of a render's phases.
private struct PlanCosts {
    let forecast: RenderForecast
    /// The forecast of memory; nil for a precision that this host lacks, and where a rehearsal is not possible.
    let memory: MemoryForecast?
    let wire: WireForecast
    let workers: Int
    /// About the most bytes that the coordinator holds for the render, beside its program.
    let coordinatorBytes: Int

    init(_ forecast: RenderForecast, _ memory: MemoryForecast?, workers: Int, coordinatorBytes: Int) {
        (self.forecast, self.memory, self.workers) = (forecast, memory, workers)
        self.coordinatorBytes = coordinatorBytes
        wire = WireForecast(forecast, workers: workers)
    }

    /// A table: a phase in each line, and the sum.
    var lines: [String] {
        let heads = [
            "phase", "tasks", "arithmetic", "to \(workers) worker\(workers == 1 ? "" : "s")", "back", "a worker's memory",
        ]
        let phases = zip(forecast.phases, wire.phases).enumerated().map { index, costs in
            let (phase, wire) = costs
            return row(
                phase.phase.rawValue, phase.taskCount, phase.operations, (wire.sent, wire.received),
                memory?.workerBytes[index])
        }
        let tasks = forecast.phases.reduce(0) { $0 + $1.taskCount }
        let rows = [heads] + phases + [row("together", tasks, forecast.operations, (wire.sent, wire.received), memory?.worker)]
        let widths = heads.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            row.indices.map { TerminalText.padded(row[$0], widths[$0], right: $0 > 0) }.joined(separator: "  ")
        } + ["the coordinator holds up to about \(Amounts.bytes(coordinatorBytes)) for this picture, beside its program"]
    }

    private func row(
        _ name: String, _ tasks: Int, _ operations: Double, _ bytes: (sent: Int, received: Int), _ memory: Int?
    ) -> [String] {
        [
            name, String(tasks), Amounts.operations(operations), Amounts.bytes(bytes.sent), Amounts.bytes(bytes.received),
            memory.map(Amounts.bytes) ?? "unknown",
        ]
    }

    var json: JSONObject {
        var object = JSONObject()
        object["workers"] = .integer(Int64(workers))
        object["operations"] = .number(forecast.operations)
        object["bytes_sent"] = .integer(Int64(wire.sent))
        object["bytes_received"] = .integer(Int64(wire.received))
        object["coordinator_bytes"] = .integer(Int64(coordinatorBytes))
        object["worker_bytes"] = memory.map { .integer(Int64($0.worker)) }
        object["worker_bytes_least"] = memory.map { .integer(Int64($0.leastWorker)) }
        object["phases"] = .array(
            zip(forecast.phases, wire.phases).enumerated().map { index, costs in
                let (phase, wire) = costs
                var object = JSONObject()
                object["name"] = .string(phase.phase.rawValue)
                object["tasks"] = .integer(Int64(phase.taskCount))
                object["operations"] = .number(phase.operations)
                object["bytes_sent"] = .integer(Int64(wire.sent))
                object["bytes_received"] = .integer(Int64(wire.received))
                object["worker_bytes"] = memory.map { .integer(Int64($0.workerBytes[index])) }
                return .object(object)
            })
        return object
    }
}
