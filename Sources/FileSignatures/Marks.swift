extension FileKind {
    private struct Mark: Sendable {
        let kind: FileKind
        let bytes: [UInt8]
        let offset: Int

        /// - Parameter bytes: characters below 256 stand for themselves.
        init(_ bytes: String, _ kind: FileKind, at offset: Int = 0) {
            self.bytes = bytes.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
            self.kind = kind
            self.offset = offset
        }
    }

    /// The kind by a mark at a fixed place.
    static func marked(_ head: [UInt8]) -> FileKind? {
        marks.first { head.dropFirst($0.offset).starts(with: $0.bytes) }?.kind
    }

    /// The first bytes of files. If one mark begins with another, the longer one comes first.
    private static let marks: [Mark] = [
        Mark("\u{89}PNG", .picture("a PNG picture")), Mark("GIF87a", .picture("a GIF picture")),
        Mark("GIF89a", .picture("a GIF picture")), Mark("\u{FF}\u{D8}\u{FF}\u{F7}", .picture("a JPEG-LS picture")),
        Mark("\u{FF}\u{D8}\u{FF}", .picture("a JPEG picture")),
        Mark("\0\0\0\u{0C}JXL \r\n\u{87}\n", .picture("a JPEG XL picture")),
        Mark("\u{FF}\u{0A}", .picture("a JPEG XL picture")),
        Mark("\0\0\0\u{0C}jP  \r\n\u{87}\n", .picture("a JPEG 2000 picture")),
        Mark("\u{FF}\u{4F}\u{FF}\u{51}", .picture("a JPEG 2000 picture")),
        Mark("II*\0", .picture("a TIFF picture or a camera's raw one")),
        Mark("MM\0*", .picture("a TIFF picture or a camera's raw one")),
        Mark("II+\0", .picture("a BigTIFF picture")), Mark("MM\0+", .picture("a BigTIFF picture")),
        Mark("II\u{BC}", .picture("a JPEG XR picture")), Mark("8BPS", .picture("a Photoshop document (PSD)")),
        Mark("icns", .picture("an Apple icon (ICNS)")), Mark("gimp xcf", .picture("a GIMP document (XCF)")),
        Mark("v/1\u{01}", .picture("an OpenEXR picture")), Mark("#?RADIANCE", .picture("a Radiance HDR picture")),
        Mark("#?RGBE", .picture("a Radiance HDR picture")), Mark("qoif", .picture("a QOI picture")),
        Mark("farbfeld", .picture("a farbfeld picture")), Mark("DDS ", .picture("a DirectDraw surface (DDS)")),
        Mark("BPG\u{FB}", .picture("a BPG picture")), Mark("FLIF", .picture("a FLIF picture")),
        Mark("\u{8A}MNG\r\n", .picture("an MNG picture")), Mark("\u{8B}JNG\r\n", .picture("a JNG picture")),
        Mark("AT&TFORM", .picture("a DjVu document")), Mark("\u{0A}\u{05}\u{01}\u{08}", .picture("a PCX picture")),
        Mark("SIMPLE  =", .picture("a FITS picture")), Mark("DICM", .picture("a DICOM picture"), at: 128),
        Mark("%!PS", .picture("a PostScript document")), Mark("%PDF", .other("a PDF document")),
        Mark("GGUF", .weights("a GGUF file")), Mark("\u{89}HDF\r\n", .weights("an HDF5 file")),
        Mark("\u{93}NUMPY", .other("a NumPy array")), Mark("\u{7F}ELF", .other("a program")),
        Mark("\u{1F}\u{8B}", .other("a gzip archive")), Mark("7z\u{BC}\u{AF}", .other("a 7z archive")),
        Mark("Rar!", .other("a RAR archive")), Mark("\u{FD}7zXZ", .other("an xz archive")),
        Mark("(\u{B5}/\u{FD}", .other("a Zstandard archive")), Mark("BZh", .other("a bzip2 archive")),
        Mark("ustar", .other("a tar archive"), at: 257), Mark("\u{1A}E\u{DF}\u{A3}", .other("a video (Matroska or WebM)")),
    ]

    /// A number, little endian.
    private static func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reversed().reduce(0) { $0 << 8 | Int($1) } }

    /// The kind by more than one mark.
    static func container(_ bytes: [UInt8]) -> FileKind? {
        func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
        if bytes.starts(with: "PK\u{03}\u{04}".utf8) { return zip(bytes) }
        // A pickle of protocol 2 to 5. The length of a safetensors head may begin with the same bytes.
        let isPickle = bytes.count >= 2 && bytes[0] == 0x80 && (2...5).contains(bytes[1])
        guard bytes.count >= 12 else { return isPickle ? .pickle : nil }
        // A safetensors file: eight bytes of length, then JSON.
        if bytes[8] == UInt8(ascii: "{"), (2...100_000_000).contains(number(bytes[0..<8])) { return .safetensors }
        if isPickle { return .pickle }
        if text(4..<8) == "ftyp" { return mediaBox(bytes) }
        if text(0..<4) == "RIFF" { return riff(text(8..<12)) }
        // Words may begin with "BM" too, but then the length of a BMP's second header does not fit.
        if text(0..<2) == "BM", bytes.count >= 18, [12, 16, 40, 52, 56, 64, 108, 124].contains(number(bytes[14..<18])) {
            return .picture("a BMP picture")
        }
        // Portable anymaps: P and a digit, then white space.
        if bytes[0] == UInt8(ascii: "P"), Array("1234567FfL".utf8).contains(bytes[1]), [9, 10, 13, 32].contains(bytes[2]) {
            return .picture("a portable anymap (PNM, PAM or PFM)")
        }
        if let icon = icon(bytes) { return icon }
        // SGI's number, a flag for packing, the bytes of a sample, and the dimensions.
        if bytes[0] == 1, bytes[1] == 0xDA, bytes[2] <= 1, (1...2).contains(bytes[3]), bytes[4] == 0, (1...3).contains(bytes[5])
        {
            return .picture("an SGI picture")
        }
        return nil
    }

    /// Icons and cursors begin with zeros and small numbers, as other files do. So their directory must make sense.
    private static func icon(_ bytes: [UInt8]) -> FileKind? {
        guard bytes.count >= 22, bytes[0] == 0, bytes[1] == 0, (1...2).contains(bytes[2]), bytes[3] == 0 else { return nil }
        // The number of pictures, the size of the first one in bytes, and its start behind the directory.
        let count = number(bytes[4..<6])
        guard count > 0, number(bytes[14..<18]) > 0, number(bytes[18..<22]) >= 6 + 16 * count else { return nil }
        return .picture(bytes[2] == 1 ? "an icon (ICO)" : "a cursor (CUR)")
    }

    /// Since release 1.6 `torch.save` writes ZIP files with a pickle as the first entry.
    private static func zip(_ bytes: [UInt8]) -> FileKind {
        let length = bytes.count >= 30 ? number(bytes[26..<28]) : 0
        let name = String(decoding: bytes.dropFirst(30).prefix(length), as: UTF8.self)
        return name.hasSuffix(".pkl") ? .pickle : .other("a ZIP archive or a document packed as one")
    }

    private static func riff(_ form: String) -> FileKind {
        switch form {
        case "WEBP": .picture("a WebP picture")
        case "AVI ": .other("a video (AVI)")
        default: .other("a RIFF file")
        }
    }

    /// ISO media files by their brands: the main one, then the compatible ones.
    private static func mediaBox(_ bytes: [UInt8]) -> FileKind {
        let length = bytes[0..<4].reduce(0) { $0 << 8 | Int($1) }
        let starts = [8] + stride(from: 16, to: max(16, min(length, bytes.count) - 3), by: 4)
        let brands = starts.map { String(decoding: bytes[$0..<$0 + 4], as: UTF8.self) }
        func has(_ names: String...) -> Bool { brands.contains { names.contains($0) } }
        if has("avif", "avis") { return .picture("an AVIF picture") }
        if has("heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs") { return .picture("a HEIC picture") }
        if has("mif1", "msf1", "mif2", "jpeg") { return .picture("a HEIF picture") }
        if has("crx ") { return .picture("a camera's raw picture (CR3)") }
        if has("jp2 ", "jpx ", "jpm ") { return .picture("a JPEG 2000 picture") }
        return .other("a video (MP4 or QuickTime)")
    }

    /// Formats without a mark: only the numbers at their beginning fit together.
    static func unmarked(_ bytes: [UInt8], tail: [UInt8]) -> FileKind? {
        // Version 2 of TGA ends with a mark, version 1 has none.
        let footer = Array("TRUEVISION-XFILE.\0".utf8)
        if tail.suffix(footer.count).elementsEqual(footer) || bytes.suffix(footer.count).elementsEqual(footer)
            || isTGA(bytes)
        {
            return .picture("a TGA picture")
        }
        // ONNX: field 1 with the version of the format, then field 2 or 7 with the writer's name or the graph.
        if bytes.count >= 3, bytes[0] == 0x08, (3...20).contains(bytes[1]), [0x12, 0x3A].contains(bytes[2]) {
            return .weights("an ONNX file")
        }
        return nil
    }

    private static func isTGA(_ bytes: [UInt8]) -> Bool {
        guard bytes.count >= 18 else { return false }
        let (depth, isMapped) = (bytes[16], [1, 9].contains(bytes[2]))
        let hasMap = bytes[1] == 1 && number(bytes[5..<7]) > 0 && [15, 16, 24, 32].contains(bytes[7])
        let hasNoMap = bytes[1] == 0 && bytes[3...7].allSatisfy { $0 == 0 }
        return (isMapped ? hasMap && depth == 8 : hasNoMap && [2, 3, 10, 11].contains(bytes[2]))
            && number(bytes[12..<14]) > 0 && number(bytes[14..<16]) > 0 && [8, 15, 16, 24, 32].contains(depth)
            && bytes[17] & 0xC0 == 0
    }
}
