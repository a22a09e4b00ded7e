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

    private static let explanation =
        "Only prompts that every method has a picture of are counted. "
        + "Times, evaluations, bytes and speeds are medians, arithmetic and quality figures are means, memory is the largest. "
        + "Speed: how many times as fast as `direct` with the same prompt and size. TFLOP: 10¹² multiplications and additions, "
        + "counted. Memory: resident in one worker process, weights and mapped files included. Similarity: structural, of the "
        + "picture brought down to the native size, to the native render of the same prompt and seed; 1 is equal. Sharpness: "
        + "high-frequency energy, which only compares at one size. Seams: steps at view borders beside those elsewhere; 1 is none; "
        + "only of views that stay where they are. Repetition: the share of the subject that is there again, on an even "
        + "background; pictures of busy backgrounds score near 0 whatever they show. The last column counts the pictures that are "
        + "taken to repeat their subject."

    private static let summaryColumns = [
        "method", "scale", "size", "pictures", "wall s", "speed", "U-Net evaluations", "TFLOP", "memory MiB", "wire MiB",
        "similarity", "sharpness", "seams", "repetition", "repeating",
    ]

    private func summary(_ group: Group) -> [String] {
        let subject = group.first.subject
        func median(_ digits: Int, _ value: (ComparedPicture) -> Double?) -> String {
            Self.number(Statistics.median(group.values(value)), digits)
        }
        func mean(_ digits: Int, _ value: (ComparedPicture) -> Double?) -> String {
            Self.number(Statistics.mean(group.values(value)), digits)
        }
        return [
            Self.cell(subject.method), Decimal.short(subject.scale) + "×", "\(subject.width)×\(subject.height)",
            String(group.pictures.count), median(2) { $0.cost.wallSeconds }, Self.times(Statistics.median(group.values(speed))),
            median(0) { Double($0.cost.evaluations) }, mean(3) { Double($0.cost.operations) / 1e12 },
            Self.number(group.values(Self.memory).max(), 0), median(2) { Double($0.cost.bytesOnWire) / 1_048_576 },
            mean(3) { $0.quality.similarity }, mean(1) { $0.quality.sharpness }, mean(3) { $0.quality.seams },
            mean(3) { $0.quality.repetition },
            "\(group.pictures.count { $0.quality.isRepeating }) of \(group.pictures.count)",
        ]
    }

    private static let pictureColumns = [
        "prompt", "method", "scale", "size", "wall s", "speed", "U-Net evaluations", "TFLOP", "memory MiB", "wire MiB",
        "similarity", "sharpness", "seams", "repetition", "repeating",
    ]

    private func row(_ picture: ComparedPicture) -> [String] {
        let (subject, cost, quality) = (picture.subject, picture.cost, picture.quality)
        return [
            String(subject.promptNumber), Self.cell(subject.method), Decimal.short(subject.scale) + "×",
            "\(subject.width)×\(subject.height)", Self.number(cost.wallSeconds, 2), Self.times(speed(picture)),
            String(cost.evaluations), Self.number(Double(cost.operations) / 1e12, 3), Self.number(Self.memory(picture), 0),
            Self.number(Double(cost.bytesOnWire) / 1_048_576, 2), Self.number(quality.similarity, 3),
            Self.number(quality.sharpness, 1), Self.number(quality.seams, 3), Self.number(quality.repetition, 3),
            quality.isRepeating ? "yes" : "no",
        ]
    }

    private var prompts: [(number: Int, text: String)] {
        var found: [(number: Int, text: String)] = []
        for picture in pictures where !found.contains(where: { $0.number == picture.subject.promptNumber }) {
            found.append((picture.subject.promptNumber, picture.subject.prompt))
        }
        return found
    }

    /// MiB; nil if the system did not say.
    private static func memory(_ picture: ComparedPicture) -> Double? {
        picture.cost.workerPeakBytes > 0 ? Double(picture.cost.workerPeakBytes) / 1_048_576 : nil
    }

    private static func number(_ value: Double?, _ digits: Int) -> String {
        value.map { Decimal.fixed($0, digits: digits) } ?? "–"
    }

    private static func times(_ value: Double?) -> String { value.map { Decimal.fixed($0, digits: 2) + "×" } ?? "–" }

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
