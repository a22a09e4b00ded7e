import FileSignatures

/// The formats that Patchloom reads.
enum PictureFormat: Sendable {
    case png, jpeg, webp

    /// The number of first bytes that are examined.
    static let headBytes = FileKind.headBytes

    /// The format of a file with these first bytes. Its name does not matter: browsers save WebP as `.png`.
    ///
    /// - Throws: `damaged` for an empty file, otherwise `unsupported`, with a sentence that names the file's kind.
    init(of head: ArraySlice<UInt8>, name: String) throws(ImageFileError) {
        guard !head.isEmpty else {
            throw ImageFileError(.damaged, "\(name) is empty; give a PNG, JPEG or WebP picture.")
        }
        if head.starts(with: [0x89, 0x50, 0x4E, 0x47]) {
            self = .png
        } else if head.starts(with: [0xFF, 0xD8, 0xFF]), head.dropFirst(3).first != 0xF7 {
            self = .jpeg
        } else if head.starts(with: "RIFF".utf8), head.dropFirst(8).starts(with: "WEBP".utf8) {
            self = .webp
        } else {
            throw ImageFileError(.unsupported, Self.refusal(head, name))
        }
    }

    /// Why a file with these first bytes is refused.
    private static func refusal(_ head: ArraySlice<UInt8>, _ name: String) -> String {
        let remedy = "give a PNG, JPEG or WebP picture"
        guard let kind = FileKind(head: head) else { return "\(name) is no picture of a known format; \(remedy)." }
        return switch kind {
        case .picture(let title): "\(name) is \(title), whose format is not read; save it as a PNG, JPEG or WebP picture."
        case .htmlPage:
            "\(name) is an HTML page and no picture, as servers send in place of a file; download the picture itself."
        case .gitLFSPointer: "\(name) is a Git LFS pointer and not the picture; fetch it with \"git lfs pull\"."
        case .pickle: "\(name) is a pickle, as in .pt and .ckpt files, and no picture; \(remedy)."
        default: "\(name) is \(kind.title) and no picture; \(remedy)."
        }
    }
}
