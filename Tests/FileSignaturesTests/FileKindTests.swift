import FileSignatures
import Testing

@Suite struct FileKindTests {
    /// Bytes as characters below 256.
    private static func bytes(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) } }

    private static func wide(_ text: String, isLittleEndian: Bool = true) -> [UInt8] {
        ([0xFEFF] + Array(text.utf16)).flatMap { unit in
            isLittleEndian ? [UInt8(unit & 0xFF), UInt8(unit >> 8)] : [UInt8(unit >> 8), UInt8(unit & 0xFF)]
        }
    }

    private static let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"

    private static let zip = bytes(
        "PK\u{03}\u{04}" + String(repeating: "\0", count: 22) + "\u{10}\0\0\0archive/data.pkl\u{80}\u{02}")

    @Test(
        arguments: [
            (bytes("\u{FF}\u{D8}\u{FF}\u{E0}"), .picture("a JPEG picture")),
            (bytes("\0\0\0\u{10}ftypavif\0\0\0\0"), .picture("an AVIF picture")),
            (bytes("\0\0\0\u{18}ftypmif1\0\0\0\0mif1heic"), .picture("a HEIC picture")),
            (bytes("BM\u{46}\0\0\0\0\0\0\0\u{36}\0\0\0\u{28}\0\0\0"), .picture("a BMP picture")),
            ([1, 0xDA, 1, 1, 0, 3, 0, 64, 0, 64, 0, 3], .picture("an SGI picture")),
            ([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 64, 0, 24, 0x20], .picture("a TGA picture")),
            ([0, 1, 9, 0, 0, 0, 1, 24, 0, 0, 0, 0, 64, 0, 64, 0, 8, 0], .picture("a TGA picture")),
            (bytes("\u{40}\0\0\0\0\0\0\0{\"a\":{"), .safetensors), (bytes("\u{80}\u{02}\0\0\0\0\0\0{\"a\":{"), .safetensors),
            (bytes("\u{80}\u{02}}q\0(X\u{05}\0\0\0ab"), .pickle), ([0x80, 2], .pickle), (zip, .pickle),
            (bytes("PK\u{03}\u{04}\u{14}\0"), .other("a ZIP archive or a document packed as one")),
            (bytes("GGUF\u{03}\0\0\0"), .weights("a GGUF file")),
            ([8, 8, 0x12, 7] + bytes("pytorch:"), .weights("an ONNX file")),
            (bytes(pointer), .gitLFSPointer), (bytes("\u{EF}\u{BB}\u{BF}" + pointer), .gitLFSPointer),
            (bytes("\n " + pointer), .gitLFSPointer),
            (wide(pointer), .gitLFSPointer), (bytes("<!-- saved from url -->\n<html>"), .htmlPage),
            (bytes("<meta charset=utf-8><title>Sign in</title>"), .htmlPage),
            (bytes("<SCRIPT>location='/login'</SCRIPT>"), .htmlPage),
            (bytes("<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC ''>"), .htmlPage), (wide("<!DOCTYPE html>"), .htmlPage),
            (wide("<html>", isLittleEndian: false), .htmlPage),
            (bytes("<?xml version='1.0'?><Error/>"), .other("an XML document")),
            (bytes("<?xml version='1.0'?><svg/>"), .picture("an SVG picture")), (bytes("{\"error\": 1}"), .json),
            (bytes("[1]"), .json),
            (wide("{\"error\": 1}"), .wideJSON), (wide(" \r\n[[1]]", isLittleEndian: false), .wideJSON),
            (bytes("\u{EF}\u{BB}\u{BF}{}"), .json), (wide("[core]"), .wideText("[core]")),
            (bytes("[core]\nbare = false"), .text("[core]")), (wide("Access denied.\r\n"), .wideText("Access denied.")),
            (bytes("BMW is a car"), .text("BMW is a car")),
        ] as [([UInt8], FileKind)])
    func filesAreRecognised(_ head: [UInt8], _ kind: FileKind) {
        #expect(FileKind(head: head) == kind)
        #expect(["a ", "an "].contains { kind.title.hasPrefix($0) })
        // Nothing traps on a file with bytes cut off or appended.
        for length in 0...head.count {
            _ = FileKind(head: head[..<length])
            _ = FileKind(head: head[..<length] + [UInt8](repeating: 0xFF, count: 5000))
        }
    }

    /// Files that only look like one of these kinds.
    @Test(
        arguments: [
            [], [1], [UInt8](repeating: 0, count: 40), [UInt8](repeating: 0xFF, count: 40),
            [0x80, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            [1, 0xDA, 9, 1, 0, 3, 0, 64, 0, 64, 0, 3], [0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 24, 0x20],
            [0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 64, 0, 24, 0], [0xFF, 0xFE, 0, 0xD8, 0x41, 0],
            [0xFF, 0xFE, 1, 0, 2, 0],
            [0xFF, 0xFE], [0xEF, 0xBB, 0xBF], Array("caf\u{E9}".unicodeScalars.map { UInt8($0.value) }), Array(" \n\n".utf8),
        ] as [[UInt8]])
    func everythingElseIsUnknown(_ head: [UInt8]) { #expect(FileKind(head: head) == nil) }

    @Test func aMarkAtTheEndCounts() {
        let footer = [UInt8](repeating: 0, count: 8) + Array("TRUEVISION-XFILE.\0".utf8)
        #expect(FileKind(head: [9, 9, 9], tail: footer) == .picture("a TGA picture"))
        #expect(FileKind(head: [9, 9, 9] + footer) == .picture("a TGA picture"))
        #expect(FileKind(head: [9, 9, 9], tail: footer.dropLast()) == nil)
    }

    /// A long text may be cut in the middle of a character.
    @Test(arguments: 0..<4) func longTextsAreCutAnywhere(_ shift: Int) {
        let text = String(repeating: "x", count: shift) + String(repeating: "\u{1F600}", count: 2000)
        #expect(FileKind(head: text.utf8) == .text(String(text.unicodeScalars.prefix(60))))
        let wide = Self.wide(text)
        #expect(FileKind(head: wide) == .wideText(String(text.unicodeScalars.prefix(60))))
        #expect(
            FileKind(head: Array(text.utf8).prefix(401)) == (shift == 1 ? .text(String(text.unicodeScalars.prefix(60))) : nil))
    }
}
