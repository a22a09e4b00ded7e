extension ComparisonTable {
    /// A line for each picture, after one of column names: comma-separated values by RFC 4180, UTF-8.
    ///
    /// Prompts and names that begin with `=`, `+`, `-`, `@` or a control character get an apostrophe in front: spreadsheets
    /// would take them for formulas.
    public var csv: String {
        ([Self.csvColumns] + pictures.map(csvFields)).map { $0.map(Self.csvField).joined(separator: ",") + "\r\n" }.joined()
    }

    private static let csvColumns = [
        "prompt_number", "prompt", "seed", "method", "scale", "width", "height", "wall_s", "times_direct_speed",
        "unet_evaluations", "tflop", "worker_peak_mib", "wire_mib", "similarity_to_native", "sharpness", "seam_score",
        "repetition_score", "is_repeating",
    ]

    private func csvFields(_ picture: ComparedPicture) -> [String] {
        let (subject, cost, quality) = (picture.subject, picture.cost, picture.quality)
        func number(_ value: Double?, _ digits: Int) -> String { value.map { Decimal.fixed($0, digits: digits) } ?? "" }
        return [
            String(subject.promptNumber), Self.text(subject.prompt), String(subject.seed), Self.text(subject.method),
            Decimal.short(subject.scale),
            String(subject.width), String(subject.height), number(cost.wallSeconds, 3), number(speed(picture), 3),
            String(cost.evaluations), number(Double(cost.operations) / 1e12, 6),
            number(cost.workerPeakBytes > 0 ? Double(cost.workerPeakBytes) / 1_048_576 : nil, 1),
            number(Double(cost.bytesOnWire) / 1_048_576, 3), number(quality.similarity, 4), number(quality.sharpness, 3),
            number(quality.seams, 4), number(quality.repetition, 4), quality.isRepeating ? "1" : "0",
        ]
    }

    /// Text that is no formula to a spreadsheet.
    static func text(_ text: String) -> String {
        guard let first = text.utf8.first, "=+-@".utf8.contains(first) || first < 0x20 else { return text }
        return "'" + text
    }

    /// Quoted where it must be: commas, quotation marks and line ends. Bytes are looked at, since a comma with an accent on it
    /// is one character to Swift, and another one.
    static func csvField(_ text: String) -> String {
        guard text.utf8.contains(where: { ",\"\r\n".utf8.contains($0) }) else { return text }
        var quoted: [UInt8] = [UInt8(ascii: "\"")]
        for byte in text.utf8 {
            if byte == UInt8(ascii: "\"") { quoted.append(byte) }
            quoted.append(byte)
        }
        return String(decoding: quoted + [UInt8(ascii: "\"")], as: UTF8.self)
    }
}
