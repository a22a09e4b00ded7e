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
            for line in Self.lines(result.timings) + Self.lines(result.counts) { writeAll(Array("\(line)\n".utf8), to: 2) }
        }
        let seconds = Self.fixed(result.timings.wall / .seconds(1), digits: 1)
        view.note("\(TerminalText.printable(item.place.path)): \(result.width)x\(result.height) in \(seconds) s")
        if output.json { Swift.print(String(decoding: summary.canonicalBytes(), as: UTF8.self)) }
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
        for phase in timings.phases {
            let isDenoising = ["denoise", "structure", "detail"].contains(phase.name)
            let name = isDenoising && phase.name != "denoise" ? "denoise \(phase.name)" : phase.name
            rows.append(
                (name, phase.compute, "compute of \(phase.tasks) \(phase.tasks == 1 ? "task" : "tasks"), all workers together"))
        }
        rows.append(("merge", timings.merge, "planning, merging, packing on the coordinator"))
        rows.append(("wire", timings.wire, "messages, all processes together"))
        rows.append(("png", timings.png, "writing the picture"))
        rows.append(("total", timings.wall, "on the clock"))
        let lines = rows.map { name, duration, meaning in
            "\(padded(name, 18)) \(padded(fixed(duration / .seconds(1), digits: 3), 9, left: true)) s  \(meaning)"
        }
        return lines + ["coordinator and wire take \(fixed(timings.overhead * 100, digits: 2)) % of the workers' compute time"]
    }

    /// A number with so many decimals, in any locale.
    static func fixed(_ value: Double, digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e12 else { return "?" }
        var scale = 1
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((abs(value) * Double(scale)).rounded())
        let fraction = String(scaled % scale)
        let sign = value < 0 && scaled > 0 ? "-" : ""
        return "\(sign)\(scaled / scale).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
    }

    static func padded(_ text: String, _ width: Int, left: Bool = false) -> String {
        let space = String(repeating: " ", count: max(0, width - text.count))
        return left ? space + text : text + space
    }
}
