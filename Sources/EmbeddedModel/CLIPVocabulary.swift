import CEmbeddedModel

/// CLIP's byte-pair vocabulary. The program carries it because single-file checkpoints have none.
public enum CLIPVocabulary {
    /// `merges.txt`: a version line, then 48,894 merges, best first. The bytes live as long as the program.
    public static var merges: UnsafeRawBufferPointer {
        var count = 0
        guard let bytes = cembedded_clip_merges(&count) else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(start: bytes, count: count)
    }

    /// `vocab.json`, made from the merges: 256 symbols for single bytes, the same symbols at the end of a word, the result of
    /// each merge, start and end. 49,408 tokens.
    public static let vocabulary: [UInt8] = {
        var tokens = byteSymbols.map { Array($0.utf8) } + byteSymbols.map { Array(($0 + "</w>").utf8) }
        for line in merges.split(separator: UInt8(ascii: "\n")).dropFirst() {
            tokens.append(line.filter { $0 != UInt8(ascii: " ") })
        }
        tokens += [Array("<|startoftext|>".utf8), Array("<|endoftext|>".utf8)]
        var json: [UInt8] = [UInt8(ascii: "{")]
        for (id, token) in tokens.enumerated() {
            json += id == 0 ? "\"".utf8 : ",\"".utf8
            for byte in token {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { json.append(UInt8(ascii: "\\")) }
                json.append(byte)
            }
            json += "\":\(id)".utf8
        }
        json.append(UInt8(ascii: "}"))
        return json
    }()

    /// The character that stands for each byte, in the order of ids: first printable Latin-1, which stands for itself, then
    /// all other bytes from U+0100 on.
    private static let byteSymbols: [String] = {
        let printable = Array(UInt8(0x21)...0x7E) + Array(0xA1...0xAC) + Array(0xAE...0xFF)
        let others = (UInt32(0x100)..<0x100 + UInt32(256 - printable.count)).compactMap(Unicode.Scalar.init)
        return printable.map { String(Character(Unicode.Scalar($0))) } + others.map { String(Character($0)) }
    }()
}
