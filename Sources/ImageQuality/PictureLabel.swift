/// A person's judgement of a picture: one line of a list that tests `Repetition`.
///
/// A line has a file's path, the picture's enlargement over the model's native side, and `repeats` or `single`. The rest is a
/// remark. Lines that begin with `#` are comments.
public struct PictureLabel: Sendable, Equatable {
    public var path: String
    public var enlargement: Double
    /// Whether the picture repeats its subject.
    public var repeats: Bool

    /// A line that does not have this form.
    public struct Malformed: Error, Equatable, CustomStringConvertible {
        /// Counted from 1.
        public let line: Int

        public init(line: Int) { self.line = line }

        public var description: String {
            "Line \(line) of the labels: give a file, its enlargement from 1 to 64, and repeats or single."
        }
    }

    public init(path: String, enlargement: Double, repeats: Bool) {
        (self.path, self.enlargement, self.repeats) = (path, enlargement, repeats)
    }

    /// All labels of a list.
    public static func list(_ text: String) throws(Malformed) -> [PictureLabel] {
        var labels: [PictureLabel] = []
        for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            if line.hasPrefix("#") || line.allSatisfy(\.isWhitespace) { continue }
            let words = line.split(separator: " ")
            guard words.count >= 3, let enlargement = Double(words[1]), (1...64).contains(enlargement),
                ["repeats", "single"].contains(words[2])
            else { throw Malformed(line: number + 1) }
            labels.append(
                PictureLabel(path: String(words[0]), enlargement: enlargement, repeats: words[2] == "repeats"))
        }
        return labels
    }
}
