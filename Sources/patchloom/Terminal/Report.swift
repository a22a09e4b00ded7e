import CommandSupport
import ImageFiles
import Rendering
import Runtime
import StrictJSON

/// The report on a finished picture.
struct Report {
    let item: Batch.Item
    let output: OutputOptions
    let result: RenderResult

    /// The closing lines on standard error and, if requested, the summary on standard output.
    func print(view: inout ProgressView) {
        view.clear()
        if output.timings {
            for line in Self.lines(result.timings) + Self.lines(result.counts) { writeError("\(line)\n") }
        }
        let seconds = TerminalText.fixed(result.timings.wall / .seconds(1), digits: 1)
        view.note("\(TerminalText.printable(item.place.path)): \(result.width)x\(result.height) in \(seconds) s")
        if output.json { Swift.print(summary.canonicalText) }
    }

    private var summary: JSONValue {
        [
            "output": .string(item.place.path), "width": .integer(Int64(result.width)),
            "height": .integer(Int64(result.height)),
            "seed": .whole(item.request.seed), "parameters": .string(result.parameters),
            "timings": Self.json(result.timings), "counts": Self.json(result.counts),
        ]
    }

    private static func json(_ timings: RenderTimings) -> JSONValue {
        let phases = timings.phases.map { phase -> JSONValue in
            ["phase": .string(phase.name), "tasks": .integer(Int64(phase.tasks)), "compute_s": seconds(phase.compute)]
        }
        return [
            "total_s": seconds(timings.wall), "startup_s": seconds(timings.startUp), "compute_s": seconds(timings.compute),
            "merge_s": seconds(timings.merge), "png_s": seconds(timings.png), "wire_s": seconds(timings.wire),
            "overhead": .number(timings.overhead), "phases": .array(phases),
        ]
    }

    private static func seconds(_ duration: Duration) -> JSONValue { .number(duration / .seconds(1)) }

    /// The times, one a line. Compute times of parallel threads are summed, so together they exceed the total.
    static func lines(_ timings: RenderTimings) -> [String] {
        var rows: [(String, Duration, String)] = [
            ("start-up", timings.startUp, "processes, weights, until the first patch is sent")
        ]
        rows += timings.phases.map { phase in
            let name = ["structure", "detail"].contains(phase.name) ? "denoise \(phase.name)" : phase.name
            let tasks = phase.tasks == 1 ? "task" : "tasks"
            return (name, phase.compute, "compute of \(phase.tasks) \(tasks), all workers together")
        }
        rows += [
            ("merge", timings.merge, "planning, merging, packing on the coordinator"),
            ("wire", timings.wire, "messages, all processes together"), ("png", timings.png, "writing the picture"),
            ("total", timings.wall, "on the clock"),
        ]
        let overhead = TerminalText.fixed(timings.overhead * 100, digits: 2)
        return rows.map { name, duration, meaning in
            let seconds = TerminalText.padded(TerminalText.fixed(duration / .seconds(1), digits: 3), 9, right: true)
            return "\(TerminalText.padded(name, 18)) \(seconds) s  \(meaning)"
        } + ["coordinator and wire take \(overhead) % of the workers' compute time"]
    }

    /// The counted costs of the job, one a line.
    static func lines(_ counts: RenderCounts) -> [String] {
        // 10¹² multiplications and additions.
        let teraflop = TerminalText.fixed(Double(counts.operations) / 1e12, digits: 3)
        let rows = [
            ("arithmetic", teraflop, "TFLOP", "matrix products, convolutions, attention"),
            ("worker's memory", mebibytes(counts.workerPeakBytes), "MiB", "the most that one worker process held"),
            ("activations", mebibytes(counts.workerPeakActivationBytes), "MiB", "the most of them in one worker at once"),
            ("on the wire", mebibytes(counts.bytesOnWire), "MiB", "tasks to workers and results back"),
        ]
        return rows.map { name, figure, unit, meaning in
            "\(TerminalText.padded(name, 18)) \(TerminalText.padded(figure, 9, right: true)) \(TerminalText.padded(unit, 5)) \(meaning)"
        }
    }

    static func json(_ counts: RenderCounts) -> JSONValue {
        let phases = counts.phases.map { phase -> JSONValue in
            ["phase": .string(phase.name), "operations": .integer(Int64(phase.operations))]
        }
        return [
            "operations": .integer(Int64(counts.operations)), "phases": .array(phases),
            "worker_peak_bytes": .integer(Int64(counts.workerPeakBytes)),
            "worker_peak_activation_bytes": .integer(Int64(counts.workerPeakActivationBytes)),
            "bytes_sent": .integer(Int64(counts.bytesSent)), "bytes_received": .integer(Int64(counts.bytesReceived)),
        ]
    }

    private static func mebibytes(_ bytes: Int) -> String { TerminalText.fixed(Double(bytes) / 1_048_576, digits: 1) }
}
