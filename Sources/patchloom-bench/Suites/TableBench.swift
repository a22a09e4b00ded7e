import ArgumentParser
import Foundation
import StrictJSON

/// `patchloom-bench table`: the tables of many results, as Markdown.
struct TableBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "table", abstract: "Prints Markdown tables of JSON lines that suites and their peers have written.",
        discussion: """
            Lines of one peer about the same thing count together: the table has the median of all their runs. Ratios are \
            Patchloom's time divided by the peer's, so less than 1 is faster. deploy/bench.sh uses it.
            """)

    @Argument(help: "Files of JSON lines.") var files: [String]

    func run() throws {
        var lines: [ResultLine] = []
        for file in files {
            let text = try String(contentsOfFile: file, encoding: .utf8)
            for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() where !line.isEmpty
            {
                do {
                    lines.append(try ResultLine(JSONValue(parsing: Array(line.utf8), limits: .config)))
                } catch {
                    throw ValidationError("\(file):\(index + 1) is no result of a suite: \(error)")
                }
            }
        }
        ResultTables(lines).markdown.forEach(printNow)
    }
}

/// One JSON line of a suite or of a peer's script.
struct ResultLine {
    let json: JSONValue
    let suite: String
    /// `patchloom`, or the first word of the peer's name: `openvino`.
    let peer: String
    /// The name with its version.
    let peerVersion: String
    /// The seconds of all runs; empty for a suite that only counts.
    let seconds: [Double]

    init(_ json: JSONValue) throws {
        self.json = json
        guard let suite = json["suite"]?.stringValue else { throw MissingMember(name: "suite") }
        guard let name = json["peer"]?.stringValue, let peer = name.split(separator: " ").first else {
            throw MissingMember(name: "peer")
        }
        (self.suite, self.peer, peerVersion) = (suite, String(peer), name)
        seconds = json["seconds"]?.arrayValue?.compactMap(\.doubleValue) ?? []
    }

    private struct MissingMember: Error, CustomStringConvertible {
        let name: String
        var description: String { "it has no text \"\(name)\"" }
    }

    /// A member as a word; "–" if it is missing.
    func word(_ name: String) -> String {
        guard let value = json[name] else { return "–" }
        return value.stringValue ?? value.canonicalText
    }

    func number(_ group: String, _ name: String) -> Double? { json[group]?[name]?.doubleValue }
}
