extension ComparisonTable {
    /// A line of column names, then a line for each picture: comma-separated values by RFC 4180, UTF-8.
    public var csv: String {
        ([Self.csvColumns] + pictures.map(csvFields)).map { $0.map(Self.csvField).joined(separator: ",") + "\r\n" }.joined()
    }

    private static let csvColumns =
        ["prompt_number", "prompt", "seed", "method", "scale", "width", "height"] + figures.map(\.csvName) + ["is_repeating"]

    private func csvFields(_ picture: ComparedPicture) -> [String] {
        let subject = picture.subject
        let numbers = Self.figures.map { figure in
            figure.value(self, picture).map { Decimal.fixed($0, digits: figure.csvDigits) } ?? ""
        }
        return [
            String(subject.promptNumber), Self.text(subject.prompt), String(subject.seed), Self.text(subject.method),
            Decimal.short(subject.scale), String(subject.width), String(subject.height),
        ] + numbers + [picture.quality.isRepeating ? "1" : "0"]
    }

    /// Text that a spreadsheet does not take for a formula: an apostrophe comes before `=`, `+`, `-`, `@` and control
    /// characters.
    static func text(_ text: String) -> String {
        guard let first = text.utf8.first, "=+-@".utf8.contains(first) || first < 0x20 else { return text }
        return "'" + text
    }

    /// Quotes the text if it has commas, quotation marks or line ends. It looks at bytes: for Swift a comma with an accent is
    /// one character, and another one.
    static func csvField(_ text: String) -> String {
        guard text.utf8.contains(where: { ",\"\r\n".utf8.contains($0) }) else { return text }
        let mark = UInt8(ascii: "\"")
        let inside = text.utf8.flatMap { $0 == mark ? [mark, mark] : [$0] }
        return String(decoding: [mark] + inside + [mark], as: UTF8.self)
    }
}
