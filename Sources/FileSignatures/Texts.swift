extension FileKind {
    private static let spaces: Set<Unicode.Scalar> = ["\t", "\n", "\u{0C}", "\r", " "]

    /// The kind of a text file; nil if it has other bytes. Characters of old code pages cannot be told from other bytes.
    static func text(_ head: [UInt8]) -> FileKind? {
        // The last character may be cut in the middle.
        let cut = head.count < headBytes ? 0 : 3
        guard let text = (0...cut).lazy.compactMap({ characters(of: head.dropLast($0)) }).first else { return nil }
        let isWide = isWide(head[...])
        let kind = kind(of: text) { isWide ? .wideText($0) : .text($0) }
        return isWide && kind == .json ? .wideJSON : kind
    }

    /// The characters of a text in UTF-8, or in UTF-16 with its mark, without a byte-order mark; nil for other bytes.
    public static func characters(of bytes: ArraySlice<UInt8>) -> String? {
        guard isWide(bytes) else {
            return String(validating: bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes, as: UTF8.self)
        }
        let first = bytes.startIndex
        let isLittleEndian = bytes[first] == 0xFF
        let units = stride(from: first + 2, to: bytes.endIndex - 1, by: 2).map { index -> UInt16 in
            let (low, high) = isLittleEndian ? (bytes[index], bytes[index + 1]) : (bytes[index + 1], bytes[index])
            return UInt16(high) << 8 | UInt16(low)
        }
        return String(validating: units, as: UTF16.self)
    }

    private static func isWide(_ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF])
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
