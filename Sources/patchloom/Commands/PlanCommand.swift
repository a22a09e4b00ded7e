import ArgumentParser
import CommandSupport
import Rendering
import Requests
import Runtime
import StrictJSON

/// `patchloom plan`: shows the plan of a `render`.
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Print what rendering a picture would take, without rendering it.")

    @OptionGroup(title: "Picture") var picture: RequestOptions
    @OptionGroup(title: "Model") var checkpoint: ModelOptions
    @OptionGroup(title: "LoRA") var loras: LoRAOptions

    @Option(help: "Workers that share the render. Each gets a copy of what all tasks need.")
    var workers = 1

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard (1...HostOptions.workersMax).contains(workers) else {
            throw ValidationError("--workers \(workers) is not possible: choose 1 to \(HostOptions.workersMax).")
        }
    }

    func run() throws {
        let found = try loras.folders.resolve(picture.request())
        let model = try ModelDescription(source: checkpoint.words.source())
        let machine = try RenderMachine(request: found.request, model: model, loras: found.library)
        let costs = PlanCosts(try machine.forecast(), workers: workers)
        if json {
            var object = machine.plan.json.objectValue ?? JSONObject()
            for (key, value) in costs.json { object[key] = value }
            print(JSONValue.object(object).canonicalText)
        } else {
            for line in machine.plan.summaryLines + costs.lines { print(TerminalText.printable(line)) }
        }
    }
}

/// What the phases of a render take.
private struct PlanCosts {
    let forecast: RenderForecast
    let wire: WireForecast

    init(_ forecast: RenderForecast, workers: Int) {
        (self.forecast, wire) = (forecast, WireForecast(forecast, workers: workers))
    }

    /// A table: a phase in each line, and the sum.
    var lines: [String] {
        let heads = ["phase", "tasks", "arithmetic", "to workers", "from workers"]
        let phases = zip(forecast.phases, wire.phases).map { phase, wire in
            row(phase.phase.rawValue, phase.taskCount, phase.operations, wire.sent, wire.received)
        }
        let tasks = forecast.phases.reduce(0) { $0 + $1.taskCount }
        let rows = [heads] + phases + [row("together", tasks, forecast.operations, wire.sent, wire.received)]
        let widths = heads.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            row.indices.map { TerminalText.padded(row[$0], widths[$0], right: $0 > 0) }.joined(separator: "  ")
        }
    }

    private func row(_ name: String, _ tasks: Int, _ operations: Double, _ sent: Int, _ received: Int) -> [String] {
        [name, String(tasks), Amounts.operations(operations), Amounts.bytes(sent), Amounts.bytes(received)]
    }

    var json: JSONObject {
        var object = JSONObject()
        object["operations"] = .number(forecast.operations)
        object["bytes_sent"] = .integer(Int64(wire.sent))
        object["bytes_received"] = .integer(Int64(wire.received))
        object["phases"] = .array(
            zip(forecast.phases, wire.phases).map { phase, wire in
                [
                    "name": .string(phase.phase.rawValue), "tasks": .integer(Int64(phase.taskCount)),
                    "operations": .number(phase.operations), "bytes_sent": .integer(Int64(wire.sent)),
                    "bytes_received": .integer(Int64(wire.received)),
                ]
            })
        return object
    }
}
