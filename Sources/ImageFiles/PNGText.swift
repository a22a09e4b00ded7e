/// One piece of text in a PNG: a keyword such as `parameters` and its value.
public struct PNGText: Sendable, Equatable {
    /// 1 to 79 printable Latin-1 characters without spaces at the ends.
    public let keyword: String
    public let value: String

    public init(keyword: String, value: String) {
        self.keyword = keyword
        self.value = value
    }
}

/// A text in the form that goes into the file (PNG specification, third edition, 11.3.3).
struct EncodedPNGText {
    /// Zero-terminated Latin-1.
    let keyword: [CChar]
    /// Zero-terminated Latin-1 (tEXt) or UTF-8 (iTXt).
    let value: [CChar]
    let isUTF8: Bool

    /// The longest value. Readers, ours too, limit one text chunk to about a megabyte.
    static let valueBytesMax = 512 * 1024

    init(_ text: PNGText) throws(ImageFileError) {
        keyword = try Self.keyword(text.keyword)
        guard !text.value.unicodeScalars.contains("\0") else {
            throw ImageFileError(.invalidArgument, "The PNG text '\(text.keyword)' contains a zero character; remove it.")
        }
        if let latin1 = Self.latin1(text.value) {
            value = latin1
            isUTF8 = false
        } else {
            value = text.value.utf8CString.map { $0 }
            isUTF8 = true
        }
        guard value.count <= Self.valueBytesMax else {
            throw ImageFileError(
                .invalidArgument,
                "The PNG text '\(text.keyword)' is \(value.count) bytes long; at most \(Self.valueBytesMax) are allowed."
            )
        }
    }

    private static func keyword(_ keyword: String) throws(ImageFileError) -> [CChar] {
        let scalars = keyword.unicodeScalars
        let printable = scalars.allSatisfy { (0x20...0x7E).contains($0.value) || (0xA1...0xFF).contains($0.value) }
        guard (1...79).contains(scalars.count), printable, !keyword.hasPrefix(" "), !keyword.hasSuffix(" "),
            !keyword.contains("  ")
        else {
            throw ImageFileError(
                .invalidArgument, "'\(keyword)' is no PNG keyword; use 1 to 79 printable Latin-1 characters.")
        }
        return scalars.map { CChar(bitPattern: UInt8($0.value)) } + [0]
    }

    /// The value for a tEXt chunk; nil if a character is beyond Latin-1, or a control character other than line feed.
    private static func latin1(_ value: String) -> [CChar]? {
        var bytes: [CChar] = []
        bytes.reserveCapacity(value.utf8.count + 1)
        for scalar in value.unicodeScalars {
            switch scalar.value {
            case 0x0A, 0x20...0x7E, 0xA0...0xFF: bytes.append(CChar(bitPattern: UInt8(scalar.value)))
            default: return nil
            }
        }
        return bytes + [0]
    }
}
