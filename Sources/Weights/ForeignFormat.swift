/// What files are that people take for weights or configurations, and that are neither.
enum ForeignFormat: Equatable {
    case pickle, gguf, onnx, hdf5, gitLFSPointer, html, json
    /// A picture, archive or document, by its name with an article.
    case other(String)
    /// A text, from its beginning.
    case text(String)

    /// Endings of file names under which PyTorch writes pickles.
    static let pickleEndings = [".ckpt", ".pt", ".pth", ".bin", ".pkl"]

    /// A pickle by its name, before its bytes are looked at.
    static func recognise(name: String) -> ForeignFormat? {
        let lowered = name.lowercased()
        if pickleEndings.contains(where: lowered.hasSuffix) { return .pickle }
        return lowered.hasSuffix(".gguf") ? .gguf : nil
    }

    /// What the first bytes say. Asked only about files that are not what they should be: the length of a good head may begin
    /// with the same bytes as a pickle.
    static func recognise(_ file: UnsafeRawBufferPointer) -> ForeignFormat? {
        let head = [UInt8](file.prefix(512))
        if head.starts(with: "PK\u{03}\u{04}".utf8) { return zip(head) }
        // A pickle of protocol 2 to 5.
        if head.count >= 2, head[0] == 0x80, (2...5).contains(head[1]) { return .pickle }
        for (bytes, format) in signatures where head.starts(with: bytes) { return format }
        if head.starts(with: "RIFF".utf8), head.dropFirst(8).starts(with: "WEBP".utf8) { return .other("a WebP picture") }
        if head.dropFirst(257).starts(with: "ustar".utf8) { return .other("a tar archive") }
        // Field 1, the version of the format, then field 2 or 7: the writer's name or the graph.
        if head.count >= 3, head[0] == 0x08, (3...20).contains(head[1]), [0x12, 0x3A].contains(head[2]) { return .onnx }
        return text(head, isWhole: file.count == head.count)
    }

    private static let signatures: [([UInt8], ForeignFormat)] = [
        (Array("GGUF".utf8), .gguf), (Array("version https://git-lfs".utf8), .gitLFSPointer),
        (Array("\u{89}HDF\r\n".unicodeScalars.map { UInt8($0.value) }), .hdf5),
        (Array("\u{89}PNG\r\n".unicodeScalars.map { UInt8($0.value) }), .other("a PNG picture")),
        ([0xFF, 0xD8, 0xFF], .other("a JPEG picture")), (Array("GIF8".utf8), .other("a GIF picture")),
        ([0x49, 0x49, 0x2A, 0], .other("a TIFF picture")), ([0x4D, 0x4D, 0, 0x2A], .other("a TIFF picture")),
        (Array("%PDF-".utf8), .other("a PDF document")), ([0x1F, 0x8B, 0x08], .other("a gzip archive")),
        (Array("7z".utf8) + [0xBC, 0xAF, 0x27, 0x1C], .other("a 7z archive")), (Array("Rar!".utf8), .other("a RAR archive")),
        ([0x28, 0xB5, 0x2F, 0xFD], .other("a zstd archive")), ([0xFD] + Array("7zXZ".utf8), .other("an xz archive")),
    ]

    /// `torch.save` writes ZIP files since release 1.6, of which the first entry is a pickle.
    private static func zip(_ head: [UInt8]) -> ForeignFormat {
        let length = head.count >= 30 ? Int(head[26]) | Int(head[27]) << 8 : 0
        let name = String(decoding: head.dropFirst(30).prefix(length), as: UTF8.self)
        return name.isEmpty || name.hasSuffix(".pkl") ? .pickle : .other("a ZIP archive")
    }

    /// - Parameter isWhole: whether nothing follows, so that the last character is complete.
    private static func text(_ head: [UInt8], isWhole: Bool) -> ForeignFormat? {
        var bytes = head[...]
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
        bytes = bytes.drop { [0x20, 0x09, 0x0A, 0x0D].contains($0) }
        let lowered = String(decoding: bytes.prefix(64), as: UTF8.self).lowercased()
        for start in ["<!doctype html", "<html", "<head"] where lowered.hasPrefix(start) { return .html }
        if lowered.hasPrefix("<?xml") { return .other("an XML document") }
        // The last character may be cut in the middle.
        let cut = isWhole ? 0 : 3
        let isText = (0...cut).contains { String(validating: bytes.dropLast($0), as: UTF8.self) != nil }
        guard isText, bytes.count > cut, !bytes.contains(where: { $0 < 0x20 && ![0x09, 0x0A, 0x0D].contains($0) }) else {
            return nil
        }
        let second = bytes.dropFirst().first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
        if bytes.first == UInt8(ascii: "{"), second == UInt8(ascii: "\"") || second == UInt8(ascii: "}") { return .json }
        let line = bytes.prefix { $0 >= 0x20 }.prefix(60)
        return .text(String(decoding: line, as: UTF8.self))
    }

    /// The refusal of a file as weights.
    func refusal(_ name: String) -> WeightsError {
        let what: String
        switch self {
        case .pickle:
            what =
                "a pickle, which can run programs when it is opened; load it elsewhere with diffusers and write it with "
                + "save_pretrained(..., safe_serialization=True), then use the .safetensors files"
        case .gguf, .onnx, .hdf5: what = "\(title), which is not supported; use the model's .safetensors files"
        case .gitLFSPointer: what = "a Git LFS pointer and not the weights; fetch them with \"git lfs pull\""
        case .html: what = "\(title) and no weights; the download has failed or needs a login, fetch the file again"
        case .text:
            what = "\(title) and no weights; name a .safetensors file, or fetch this one again if a download has failed"
        case .json, .other: what = "\(title) and no weights; name a model's folder or a .safetensors file"
        }
        if case .text = self { return WeightsError(.malformed, "\(name) is \(what).") }
        return WeightsError(.unsupportedFormat, "\(name) is \(what).")
    }

    /// The refusal of a file as a configuration or another text of a model; nil for formats that say nothing more than the
    /// reader's own message.
    func refusalAsText(_ name: String) -> WeightsError? {
        switch self {
        case .json, .text: nil
        case .gitLFSPointer:
            WeightsError(
                .unsupportedFormat, "\(name) is a Git LFS pointer and not the file itself; fetch it with \"git lfs pull\".")
        case .html:
            WeightsError(
                .unsupportedFormat,
                "\(name) is \(title) and no file of a model; the download has failed or needs a login, fetch the file again.")
        default: WeightsError(.unsupportedFormat, "\(name) is \(title) and no text; download the file again.")
        }
    }

    /// With an article.
    private var title: String {
        switch self {
        case .pickle: "a pickle"
        case .gguf: "a GGUF file"
        case .onnx: "an ONNX file"
        case .hdf5: "an HDF5 file"
        case .gitLFSPointer: "a Git LFS pointer"
        case .html: "an HTML page"
        case .json: "a JSON file"
        case .other(let title): title
        case .text(let start): "a text that begins with \(quoted(start))"
        }
    }
}
