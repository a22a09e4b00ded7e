extension FileKind {
    private static let spaces: Set<Unicode.Scalar> = ["\t", "\n", "\u{0C}", "\r", " "]

    /// The kind of a text file; nil if it has other bytes. Characters of old code pages cannot be told from other bytes.
    static func text(_ head: [UInt8]) -> FileKind? {
        if head.starts(with: [0xFF, 0xFE]) || head.starts(with: [0xFE, 0xFF]) { return wideText(head) }
        let body = head.starts(with: [0xEF, 0xBB, 0xBF]) ? head.dropFirst(3) : head[...]
        // The last character may be cut in the middle.
        let cut = head.count < headBytes ? 0 : 3
        let texts = (0...cut).lazy.compactMap { String(validating: body.dropLast($0), as: UTF8.self) }
        return texts.first.flatMap { kind(of: $0) { .text($0) } }
    }

    private static func wideText(_ head: [UInt8]) -> FileKind? {
        let isLittleEndian = head[0] == 0xFF
        var units = stride(from: 2, to: head.count - 1, by: 2).map { index -> UInt16 in
            let (low, high) = isLittleEndian ? (head[index], head[index + 1]) : (head[index + 1], head[index])
            return UInt16(high) << 8 | UInt16(low)
        }
        if head.count >= headBytes, let last = units.last, UTF16.isLeadSurrogate(last) { units.removeLast() }
        return String(validating: units, as: UTF16.self).flatMap { kind(of: $0) { .wideText($0) } }
    }

    /// - Parameter plain: makes the kind of a plain text from its beginning.
    private static func kind(of text: String, plain: (String) -> FileKind) -> FileKind? {
        let scalars = text.unicodeScalars.drop { spaces.contains($0) }
        guard let first = scalars.first, scalars.allSatisfy({ $0.value >= 0x20 || spaces.contains($0) }) else { return nil }
        let start = String(String.UnicodeScalarView(scalars)).lowercased()
        if start.hasPrefix("version https://git-lfs") { return .gitLFSPointer }
        if first == "<", let markup = markup(start) { return markup }
        // A bracket and a letter begin a section of a settings file.
        if first == "{" || start.prefixMatch(of: /\[\s*[\[\]{"0-9-]/) != nil { return .json }
        return plain(String(String.UnicodeScalarView(scalars.prefix { $0.value >= 0x20 }.prefix(60))))
    }

    private static func markup(_ start: String) -> FileKind? {
        if ["<!doctype html", "<html"].contains(where: start.contains) { return .htmlPage }
        if start.contains("<svg") { return .picture("an SVG picture") }
        let parts = ["<head", "<body", "<title", "<script", "<meta", "<link", "<style"]
        if parts.contains(where: start.contains) { return .htmlPage }
        return start.hasPrefix("<?xml") ? .other("an XML document") : nil
    }
}
