import FileSignatures

/// Refuses a file that is given as a picture but has no format that Patchloom reads.
enum ForeignFile {
    /// One sentence for the user.
    ///
    /// - Parameter head: the first bytes of the file.
    static func refusal(_ head: ArraySlice<UInt8>, _ name: String) -> String {
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
