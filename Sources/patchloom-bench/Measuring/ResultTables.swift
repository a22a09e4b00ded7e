import MethodComparison
import StrictJSON

/// Markdown tables of many results.
struct ResultTables {
    private let lines: [ResultLine]

    init(_ lines: [ResultLine]) { self.lines = lines }

    var markdown: [String] {
        conditions + networks("unet", title: "U-Net forward", members: ["latent", "batch"])
            + networks("vae", title: "Autoencoder, decoding", members: ["latent"]) + memory + starts
    }

    /// The machine, the versions and the dates, a line each.
    private var conditions: [String] {
        func all(_ name: String, of lines: [ResultLine]) -> [String] {
            distinct(lines.map { $0.word(name) }.filter { $0 != "–" })
        }
        let own = lines.filter { $0.peer == "patchloom" }
        let days = all("date", of: own).map { String($0.prefix(10)) }
        let peers = distinct(lines.filter { $0.peer != "patchloom" }.map(\.peerVersion))
        return [
            "Measured on \(distinct(days).joined(separator: ", ")): \(all("cpu", of: own).joined(separator: ", ")), "
                + "\(all("threads", of: own).joined(separator: ", ")) threads.",
            "Patchloom computed as \(all("numerics_class", of: own).joined(separator: ", "))"
                + (peers.isEmpty ? "." : "; beside it ran \(peers.joined(separator: ", ")). Times are medians in seconds."), "",
        ]
    }

    // MARK: Networks

    /// The peers that a table has columns for, and their names there.
    private static let peers = [("openvino", "OpenVINO"), ("pytorch", "PyTorch")]

    /// A row for each network and precision.
    private func networks(_ suite: String, title: String, members: [String]) -> [String] {
        let timed = lines.filter { $0.suite == suite && !$0.seconds.isEmpty }
        guard !timed.isEmpty else { return [] }
        let members = ["family"] + members + ["precision"]
        let ratios = Self.peers.map { "Patchloom / \($0.1)" }
        let header =
            members + Self.peers.map(\.1) + ["Patchloom"] + ratios + ["share of peak", "whole / sum of its operations"]
        var rows: [[String]] = []
        for key in distinct(timed.map { line in members.map(line.word) }) {
            let group = timed.filter { line in members.map(line.word) == key }
            func median(_ peer: String) -> Double? { Statistics.median(group.filter { $0.peer == peer }.flatMap(\.seconds)) }
            let own = median("patchloom")
            let others = Self.peers.map { median($0.0) }
            let alone = lines.filter { line in
                line.suite == "ops" && line.word("network") == suite && members.map(line.word) == key
            }
            func figure(_ name: String) -> Double? { Statistics.median(alone.compactMap { $0.number("figures", name) }) }
            rows.append(
                key + others.map { Self.text($0, digits: 3) } + [Self.text(own, digits: 3)]
                    + others.map { other in Self.text(own.flatMap { own in other.map { own / $0 } }, digits: 2) }
                    + [
                        figure("share_of_peak").map { "\(Decimal.fixed($0 * 100, digits: 0)) %" } ?? "–",
                        Self.text(figure("whole_to_sum"), digits: 2),
                    ])
        }
        return Self.table(title, header, rows)
    }

    // MARK: Memory and start

    /// The memory of all processes of a render, and the part that each further worker added.
    private var memory: [String] {
        let renders = lines.filter { $0.suite == "render" && $0.number("counts", "peak_pss_bytes") != nil }
        let members = ["model", "size", "method", "threads_per_worker", "precision"]
        let rows = distinct(renders.map { line in members.map(line.word) }).map { key -> [String] in
            let group = renders.filter { line in members.map(line.word) == key }
            func bytes(_ workers: Int) -> Double? {
                Statistics.median(
                    group.filter { $0.json["workers"]?.intValue == workers }.compactMap {
                        $0.number("counts", "peak_pss_bytes")
                    })
            }
            let (one, two) = (bytes(1), bytes(2))
            return [Self.name(ofModel: key[0])] + key.dropFirst() + [
                Self.gigabytes(one), Self.gigabytes(one.flatMap { one in two.map { $0 - one } }),
            ]
        }
        return rows.isEmpty
            ? []
            : Self.table(
                "Memory of a render, shared pages counted once",
                ["model", "size", "method", "threads of a worker", "precision", "one worker", "a second one"], rows)
    }

    private var starts: [String] {
        let starts = lines.filter { $0.suite == "start" && !$0.seconds.isEmpty }
        let names = distinct(
            starts.flatMap { line in line.json["parts"]?.arrayValue?.compactMap { $0["name"]?.stringValue } ?? [] })
        let rows = starts.map { line -> [String] in
            let parts = line.json["parts"]?.arrayValue ?? []
            return [
                Self.name(ofModel: line.word("model")), line.word("precision"),
                Self.text(Statistics.median(line.seconds), digits: 2),
            ]
                + names.map { name in
                    Self.text(parts.first { $0["name"]?.stringValue == name }?["median"]?.doubleValue, digits: 3)
                }
        }
        return rows.isEmpty ? [] : Self.table("Start of a worker", ["model", "precision", "ready"] + names, rows)
    }

    // MARK: Text

    private func distinct<Value: Equatable>(_ values: [Value]) -> [Value] {
        values.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    private static func text(_ value: Double?, digits: Int) -> String { value.map { Decimal.fixed($0, digits: digits) } ?? "–" }

    /// The last part of its path.
    private static func name(ofModel path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    private static func gigabytes(_ bytes: Double?) -> String {
        bytes.map { "\(Decimal.fixed($0 * 1e-9, digits: 2)) GB" } ?? "–"
    }

    private static func table(_ title: String, _ header: [String], _ rows: [[String]]) -> [String] {
        func row(_ cells: [String]) -> String { "| \(cells.joined(separator: " | ")) |" }
        return ["**\(title)**", "", row(header), row(header.map { _ in "---" })] + rows.map(row) + [""]
    }
}
