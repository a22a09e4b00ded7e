import CommandSupport
import ImageFiles
import Rendering
import Runtime

/// The pictures of one command. Each of several has the next seed and its own file.
struct Batch {
    /// One picture and its file.
    struct Item {
        let request: RenderRequest
        let place: OutputFile

        /// Writes the picture and reports it.
        func finish(_ result: RenderResult, _ output: OutputOptions, view: inout ProgressView) throws {
            view.clear()
            try place.write(result.file)
            Report(item: self, output: output, result: result).print(view: &view)
        }
    }

    /// The most pictures of one command.
    private static let countLimit = 1000

    let items: [Item]

    /// Checks that every file can be written before anything is rendered.
    ///
    /// `%d` in the path, or `%03d` for leading zeros, stands for the number of the picture, from 1. Without it several
    /// pictures get numbers before the ending: `apple_1.png`, `apple_2.png` and so on.
    init(_ request: RenderRequest, count: Int, output: OutputOptions) throws {
        guard (1...Self.countLimit).contains(count) else {
            throw CommandFailure(.usage, "--batch-count must be from 1 to \(Self.countLimit), not \(count).")
        }
        guard request.seed <= UInt64.max - UInt64(count - 1) else {
            throw CommandFailure(
                .usage,
                "The seed \(request.seed) is too large to count \(count) pictures on from it: seeds end at \(UInt64.max).")
        }
        items = try (0..<count).map { index in
            var numbered = request
            numbered.seed += UInt64(index)
            let path = Self.path(output.output, number: index + 1, of: count)
            return Item(request: numbered, place: try OutputFile(path: path, replacesExisting: !output.noClobber))
        }
    }

    private static func path(_ pattern: String, number: Int, of count: Int) -> String {
        if let filled = filled(pattern, number) { return filled }
        guard count > 1 else { return pattern }
        let name = pattern.lastIndex(of: "/").map { pattern.index(after: $0) } ?? pattern.startIndex
        // A dot at the start of a name begins no ending.
        guard let dot = pattern[name...].dropFirst().lastIndex(of: ".") else { return "\(pattern)_\(number)" }
        return "\(pattern[..<dot])_\(number)\(pattern[dot...])"
    }

    /// The pattern with its first `%d` or `%0Nd` replaced; nil if it has none.
    private static func filled(_ pattern: String, _ number: Int) -> String? {
        var start = pattern.startIndex
        while let percent = pattern[start...].firstIndex(of: "%") {
            let digits = pattern[pattern.index(after: percent)...].prefix { $0.isASCII && $0.isNumber }
            let end = digits.endIndex
            if end < pattern.endIndex, pattern[end] == "d", digits.isEmpty || digits.hasPrefix("0") && digits.count == 2 {
                let text = String(number)
                let zeros = String(repeating: "0", count: max(0, (Int(digits) ?? 0) - text.count))
                return pattern[..<percent] + zeros + text + pattern[pattern.index(after: end)...]
            }
            start = pattern.index(after: percent)
        }
        return nil
    }
}
