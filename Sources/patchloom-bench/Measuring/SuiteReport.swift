import ArgumentParser
import Foundation
import MethodComparison
import StrictJSON
import TensorCore

/// The result of a suite, as one JSON line or as text. deploy/BENCHES.md describes the members of the line.
struct SuiteReport {
    /// A part of the measured thing.
    struct Part {
        var name: String
        /// Occurrences in the whole.
        var count = 1
        /// The durations of one occurrence.
        var timing: Timing
        /// Multiplications and additions of one occurrence.
        var operations: UInt64 = 0
        var bytes = 0
    }

    let suite: String
    /// The options that decide the figures, in the order of the text.
    var settings: [(name: String, value: JSONValue)] = []
    /// The durations of the whole thing; nil for a suite that only counts.
    var timing: Timing?
    var parts: [Part] = []
    /// Numbers that follow from times, with their units in the names.
    var figures: [(name: String, value: Double)] = []
    /// Whole numbers.
    var counts: [(name: String, value: Int)] = []
    var checks: [CountCheck] = []

    init(_ suite: String) { self.suite = suite }

    /// The settings of a context that computed.
    mutating func add(_ context: ComputeContext) {
        settings += [
            ("precision", .string("\(context.precision)")), ("threads", .integer(Int64(context.threads))),
            ("numerics_class", .string(context.numericsClass)),
        ]
    }

    /// Prints the report, and ends the program with a failure if a check does not hold.
    func finish(json: Bool) throws {
        if json {
            printNow(self.json.canonicalText)
        } else {
            lines.forEach(printNow)
        }
        let failures = checks.filter { !$0.holds }
        guard !failures.isEmpty else { return }
        for failure in failures { printError("patchloom-bench: \(failure.line)") }
        throw ExitCode.failure
    }

    // MARK: For programs

    var json: JSONValue {
        var line = JSONObject()
        line["suite"] = .string(suite)
        line["peer"] = "patchloom"
        line["cpu"] = .string(Machine.cpu)
        line["date"] = .string(Machine.now)
        for (name, value) in settings { line[name] = value }
        if let timing {
            line["runs"] = .integer(Int64(timing.seconds.count))
            line["best"] = .number(timing.best)
            line["median"] = .number(timing.median)
            line["seconds"] = .array(timing.seconds.map { .number($0) })
        }
        if !figures.isEmpty { line["figures"] = Self.object(figures.map { ($0.name, .number($0.value)) }) }
        if !counts.isEmpty { line["counts"] = Self.object(counts.map { ($0.name, .integer(Int64($0.value))) }) }
        if !parts.isEmpty { line["parts"] = .array(parts.map(\.json)) }
        if !checks.isEmpty { line["checks"] = .array(checks.map(\.json)) }
        return .object(line)
    }

    private static func object(_ members: [(String, JSONValue)]) -> JSONValue {
        var object = JSONObject()
        for (name, value) in members { object[name] = value }
        return .object(object)
    }

    // MARK: For people

    private var lines: [String] {
        let words = settings.map { name, value in
            "\(name.replacing("_", with: " ")) \(value.stringValue ?? value.canonicalText)"
        }
        var lines = ["\(suite): \(words.joined(separator: ", "))"]
        if let timing { lines.append("best \(Self.seconds(timing.best)), median \(Self.seconds(timing.median))") }
        lines += parts.map(\.line)
        lines += figures.map { name, value in
            column("  \(name.replacing("_", with: " "))", 58) + column(Decimal.fixed(value, digits: 3), 14, right: true)
        }
        lines += counts.map { name, value in
            column("  \(name.replacing("_", with: " "))", 58) + column(String(value), 14, right: true)
        }
        return lines + checks.map { "\($0.holds ? "holds" : "FAILS") \($0.line)" }
    }

    /// A duration in a unit that leaves three digits and more.
    static func seconds(_ value: Double) -> String {
        switch value {
        case 1...: "\(Decimal.fixed(value, digits: 3)) s"
        case 1e-3...: "\(Decimal.fixed(value * 1e3, digits: 3)) ms"
        default: "\(Decimal.fixed(value * 1e6, digits: 1)) µs"
        }
    }
}

extension SuiteReport.Part {
    /// 10⁹ multiplications and additions a second, in the best run; nil for a part without.
    var rate: Double? { operations > 0 && timing.best > 0 ? Double(operations) / timing.best * 1e-9 : nil }

    var json: JSONValue {
        var object = JSONObject()
        object["name"] = .string(name)
        object["count"] = .integer(Int64(count))
        object["best"] = .number(timing.best)
        object["median"] = .number(timing.median)
        if operations > 0 { object["operations"] = .whole(operations) }
        if bytes > 0 { object["bytes"] = .integer(Int64(bytes)) }
        return .object(object)
    }

    var line: String {
        var line = column("  \(name)", 58) + column(count == 1 ? "" : "\(count) ×", 6, right: true)
        line += column(SuiteReport.seconds(timing.best), 13, right: true)
        if let rate { line += column("\(Decimal.fixed(rate, digits: 1)) GFLOP/s", 18, right: true) }
        if bytes > 0 { line += column("\(bytes) bytes", 18, right: true) }
        return line
    }
}

/// Facts about this machine.
enum Machine {
    /// The name of the processor; `unknown` where the system does not say.
    static let cpu: String = {
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
        return line?.split(separator: ":").dropFirst().first?.trimmingCharacters(in: .whitespaces) ?? "unknown"
    }()

    /// The time in UTC, as in 2026-11-29T12:00:00Z.
    static var now: String { ISO8601DateFormatter().string(from: Date()) }
}

/// Prints a line at once, also into a pipe: a run can take an hour, and an interrupted run should keep its results.
func printNow(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

func printError(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }

/// `text` padded with blanks to `width`.
func column(_ text: String, _ width: Int, right: Bool = false) -> String {
    let blanks = String(repeating: " ", count: max(0, width - text.count))
    return right ? blanks + text : text + blanks
}
