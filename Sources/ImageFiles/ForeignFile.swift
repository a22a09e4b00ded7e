/// A file that is given as a picture and is none of the formats that are read, as far as its first bytes tell.
enum ForeignFile: Equatable {
    /// A picture of another format, such as "a GIF".
    case picture(String)
    /// Something else, such as "a safetensors file".
    case noPicture(String)
    case htmlPage
    case gitLFSPointer
    case unknown

    init(_ head: ArraySlice<UInt8>) {
        self =
            Self.container(head)
            ?? Self.magics.first { head.dropFirst($0.offset).starts(with: $0.bytes) }?.meaning
            ?? Self.text(head)
            ?? .unknown
    }

    /// One sentence for the user.
    func refusal(_ name: String) -> String {
        let remedy = "give a PNG, JPEG or WebP picture"
        return switch self {
        case .picture(let format): "\(name) is \(format), a format that is not read; save it as a PNG, JPEG or WebP picture."
        case .noPicture(let kind): "\(name) is \(kind) and no picture; \(remedy)."
        case .htmlPage:
            "\(name) is an HTML page and no picture, as servers send in place of a file; download the picture itself."
        case .gitLFSPointer: "\(name) is a Git LFS pointer and not the picture; fetch it with \"git lfs pull\"."
        case .unknown: "\(name) is no picture of a known format; \(remedy)."
        }
    }
}

extension ForeignFile {
    private struct Magic: Sendable {
        let meaning: ForeignFile
        let bytes: [UInt8]
        let offset: Int

        /// `bytes`: characters below 256 stand for themselves.
        init(_ bytes: String, _ meaning: ForeignFile, at offset: Int = 0) {
            self.bytes = bytes.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
            self.meaning = meaning
            self.offset = offset
        }
    }

    /// What files begin with, the longer mark first where one begins with another.
    private static let magics: [Magic] = [
        Magic("GIF87a", .picture("a GIF")), Magic("GIF89a", .picture("a GIF")),
        Magic("\u{FF}\u{D8}\u{FF}\u{F7}", .picture("a JPEG-LS")),
        Magic("\0\0\0\u{0C}JXL \r\n\u{87}\n", .picture("a JPEG XL")), Magic("\u{FF}\u{0A}", .picture("a JPEG XL")),
        Magic("\0\0\0\u{0C}jP  \r\n\u{87}\n", .picture("a JPEG 2000")),
        Magic("\u{FF}\u{4F}\u{FF}\u{51}", .picture("a JPEG 2000")),
        Magic("II*\0", .picture("a TIFF or a camera's raw picture")),
        Magic("MM\0*", .picture("a TIFF or a camera's raw picture")),
        Magic("II+\0", .picture("a BigTIFF")), Magic("MM\0+", .picture("a BigTIFF")),
        Magic("II\u{BC}", .picture("a JPEG XR")), Magic("8BPS", .picture("a Photoshop document (PSD)")),
        Magic("\0\0\u{01}\0", .picture("an icon (ICO)")), Magic("\0\0\u{02}\0", .picture("a cursor (CUR)")),
        Magic("icns", .picture("an Apple icon (ICNS)")), Magic("gimp xcf", .picture("a GIMP document (XCF)")),
        Magic("v/1\u{01}", .picture("an OpenEXR")), Magic("#?RADIANCE", .picture("a Radiance HDR")),
        Magic("#?RGBE", .picture("a Radiance HDR")), Magic("qoif", .picture("a QOI")),
        Magic("farbfeld", .picture("a farbfeld")),
        Magic("DDS ", .picture("a DirectDraw surface (DDS)")), Magic("BPG\u{FB}", .picture("a BPG")),
        Magic("FLIF", .picture("a FLIF")), Magic("\u{8A}MNG\r\n", .picture("an MNG")),
        Magic("\u{8B}JNG\r\n", .picture("a JNG")),
        Magic("AT&TFORM", .picture("a DjVu")), Magic("\u{0A}\u{05}\u{01}\u{08}", .picture("a PCX")),
        Magic("SIMPLE  =", .picture("a FITS")), Magic("DICM", .picture("a DICOM"), at: 128),
        Magic("%!PS", .picture("a PostScript document")), Magic("%PDF", .noPicture("a PDF document")),
        Magic("GGUF", .noPicture("a GGUF file")), Magic("\u{93}NUMPY", .noPicture("a NumPy array")),
        Magic("\u{89}HDF\r\n", .noPicture("an HDF5 file")), Magic("\u{7F}ELF", .noPicture("a program")),
        Magic("PK\u{03}\u{04}", .noPicture("a ZIP archive (or a document or checkpoint packed as one)")),
        Magic("\u{1F}\u{8B}", .noPicture("a gzip archive")), Magic("7z\u{BC}\u{AF}", .noPicture("a 7z archive")),
        Magic("Rar!", .noPicture("a RAR archive")), Magic("\u{FD}7zXZ", .noPicture("an xz archive")),
        Magic("(\u{B5}/\u{FD}", .noPicture("a Zstandard archive")), Magic("BZh", .noPicture("a bzip2 archive")),
        Magic("\u{1A}E\u{DF}\u{A3}", .noPicture("a video (Matroska or WebM)")),
        Magic("version https://git-lfs", .gitLFSPointer),
    ]

    /// Formats that more than a mark at the beginning tells.
    private static func container(_ head: ArraySlice<UInt8>) -> ForeignFile? {
        let bytes = Array(head)
        func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
        func number(_ range: Range<Int>) -> UInt64 { bytes[range].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        guard bytes.count >= 12 else { return nil }
        // Eight bytes of length, then JSON.
        if bytes[8] == UInt8(ascii: "{"), (2...100 << 20).contains(number(0..<8)) { return .noPicture("a safetensors file") }
        if text(4..<8) == "ftyp" { return mediaBox(bytes) }
        if text(0..<4) == "RIFF" { return .noPicture(text(8..<12) == "AVI " ? "a video (AVI)" : "a RIFF file") }
        // "BM" begins words too; the length of a BMP's second header does not.
        if text(0..<2) == "BM", bytes.count >= 18, [12, 16, 40, 52, 56, 64, 108, 124].contains(number(14..<18)) {
            return .picture("a BMP")
        }
        // Portable anymaps: P and a digit, then white space.
        if bytes[0] == UInt8(ascii: "P"), Array("1234567FfL".utf8).contains(bytes[1]), [9, 10, 13, 32].contains(bytes[2]) {
            return .picture("a portable anymap (PNM, PAM or PFM)")
        }
        // A pickle of protocol 2 to 5.
        return bytes[0] == 0x80 && (2...5).contains(bytes[1]) ? .noPicture("a pickle, as in .pt and .ckpt files,") : nil
    }

    /// ISO media files, by their brands: the main one, then the compatible ones.
    private static func mediaBox(_ bytes: [UInt8]) -> ForeignFile {
        let length = bytes[0..<4].reduce(0) { $0 << 8 | Int($1) }
        let starts = [8] + stride(from: 16, to: max(16, min(length, bytes.count) - 3), by: 4)
        let brands = starts.map { String(decoding: bytes[$0..<$0 + 4], as: UTF8.self) }
        func has(_ names: String...) -> Bool { brands.contains { names.contains($0) } }
        if has("avif", "avis") { return .picture("an AVIF") }
        if has("heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs") { return .picture("a HEIC") }
        if has("mif1", "msf1", "mif2", "jpeg") { return .picture("a HEIF") }
        if has("crx ") { return .picture("a camera's raw picture (CR3)") }
        if has("jp2 ", "jpx ", "jpm ") { return .picture("a JPEG 2000") }
        return .noPicture("a video (MP4 or QuickTime)")
    }

    /// Files of characters; nil where there are other bytes.
    private static func text(_ head: ArraySlice<UInt8>) -> ForeignFile? {
        let spaces: Set<UInt8> = [9, 10, 12, 13, 32]
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let body = head.starts(with: mark) ? head.dropFirst(mark.count) : head
        guard body.allSatisfy({ $0 >= 32 || spaces.contains($0) }) else { return nil }
        let start = String(decoding: body.drop { spaces.contains($0) }, as: UTF8.self).lowercased()
        if start.hasPrefix("<") {
            if ["<!doctype html", "<html"].contains(where: start.contains) { return .htmlPage }
            if start.contains("<svg") { return .picture("an SVG") }
            if ["<head", "<body", "<title", "<script"].contains(where: start.contains) { return .htmlPage }
            if start.hasPrefix("<?xml") { return .noPicture("an XML file") }
        }
        // A bracket and a letter begin a section of a settings file.
        if start.hasPrefix("{") || start.prefixMatch(of: /\[\s*[\[\]{"0-9-]/) != nil { return .noPicture("a JSON file") }
        // Characters of any old code page are not told from other bytes: ASCII or UTF-8, but for a character cut at the end.
        return start.dropLast().contains("\u{FFFD}") ? nil : .noPicture("a text file")
    }
}
