extension ComparisonTable {
    /// A line of column names, then a line for each picture: comma-separated values by RFC 4180, UTF-8.
    ///
    /// If a prompt or name begins with `=`, `+`, `-`, `@` or a control character, it gets an apostrophe in front.
    /// Spreadsheets would take it for a formula.
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

    /// Text that a spreadsheet does not take for a formula.
    static func text(_ text: String) -> String {
        guard let first = text.utf8.first, "=+-@".utf8.contains(first) || first < 0x20 else { return text }
        return "'" + text
    }

    /// Quotes the text if it has commas, quotation marks or line ends. It looks at bytes: for Swift a comma with an accent is
    /// one character, and another one.
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
