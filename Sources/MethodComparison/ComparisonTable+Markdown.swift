extension ComparisonTable {
    /// The conditions, a table of methods and sizes over all prompts, and a table of the pictures.
    public var markdown: String {
        var lines = ["# Methods compared", ""]
        lines += conditions.map { "- \(Self.cell($0.name)): \(Self.cell($0.value))" }
        lines += ["", "## Over all prompts", ""]
        lines += Self.table(Self.summaryColumns, groups.map(summary))
        lines += ["", Self.explanation, "", "## Pictures", ""]
        lines += prompts.map { "\($0.number). \(Self.cell($0.text))" } + [""]
        lines += Self.table(Self.pictureColumns, pictures.map(row))
        return lines.joined(separator: "\n") + "\n"
    }

    private static let explanation = """
        Only prompts count for which every method made a picture. Times, evaluations, bytes and speeds are medians; \
        arithmetic and quality figures are means; memory is the largest. Speed: how many times as fast as `direct` with the \
        same prompt and size. TFLOP: 10¹² multiplications and additions, counted. Memory: the most that one worker process \
        held, weights and mapped files included. Similarity: the picture, reduced to the native size, against the native \
        render of the same prompt and seed; it is structural, and 1 means equal. Sharpness: high-frequency energy; it \
        compares only at one size. Seams: the steps at view borders, divided by those elsewhere; 1 means no seam; only \
        views that stay in place are measured. Repetition: the share of the subject that appears again, on an even \
        background; pictures with busy backgrounds score near 0 whatever they show. The last column counts the pictures \
        that seem to repeat their subject.
        """

    private static let summaryColumns = ["method", "scale", "size", "pictures"] + figures.map(\.title) + ["repeating"]

    private func summary(_ first: ComparedPicture, _ pictures: [ComparedPicture]) -> [String] {
        let repeating = pictures.count { $0.quality.isRepeating }
        let figures = Self.figures.map { figure in
            figure.text(figure.summary(pictures.compactMap { figure.value(self, $0) }))
        }
        return Self.kind(first) + [String(pictures.count)] + figures + ["\(repeating) of \(pictures.count)"]
    }

    private static let pictureColumns = ["prompt", "method", "scale", "size"] + figures.map(\.title) + ["repeating"]

    private func row(_ picture: ComparedPicture) -> [String] {
        [String(picture.subject.promptNumber)] + Self.kind(picture) + Self.figures.map { $0.text($0.value(self, picture)) }
            + [picture.quality.isRepeating ? "yes" : "no"]
    }

    /// Method, scale and size.
    private static func kind(_ picture: ComparedPicture) -> [String] {
        let subject = picture.subject
        return [cell(subject.method), Decimal.short(subject.scale) + "×", "\(subject.width)×\(subject.height)"]
    }

    private var prompts: [(number: Int, text: String)] {
        var found: [(number: Int, text: String)] = []
        for picture in pictures where !found.contains(where: { $0.number == picture.subject.promptNumber }) {
            found.append((picture.subject.promptNumber, picture.subject.prompt))
        }
        return found
    }

    private static func table(_ columns: [String], _ rows: [[String]]) -> [String] {
        func line(_ fields: [String]) -> String { "| " + fields.joined(separator: " | ") + " |" }
        return [line(columns), "|" + String(repeating: "---|", count: columns.count)] + rows.map(line)
    }

    /// Text in one line without any meaning to Markdown.
    static func cell(_ text: String) -> String {
        let spaced = text.unicodeScalars.map { Self.isBlank($0) ? " " : $0 }
        // White space in front could make the text code; a sign or a number could make it a list.
        let scalars = spaced.drop { $0 == " " }
        let digits = scalars.prefix { ("0"..."9").contains($0) }.count
        let isNumbered =
            (1...9).contains(digits) && scalars.dropFirst(digits).first.map { ".)".unicodeScalars.contains($0) } ?? false
        var escaped = ""
        for (offset, scalar) in scalars.enumerated() {
            let isMark = Self.marks.contains(scalar) || offset == 0 && "-+=".unicodeScalars.contains(scalar)
            if isMark || isNumbered && offset == digits { escaped += "\\" }
            escaped.unicodeScalars.append(scalar)
        }
        return escaped
    }

    private static let marks = Set("|\\`*_<>[]#&~!$".unicodeScalars)

    /// Line ends of all kinds, and invisible characters.
    private static func isBlank(_ scalar: Unicode.Scalar) -> Bool {
        [.control, .lineSeparator, .paragraphSeparator].contains(scalar.properties.generalCategory)
    }
}
