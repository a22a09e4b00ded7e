/// What a file is, as far as its first bytes tell. Its name is never looked at.
///
/// Readers ask when a file is not of the format that they read, so that their refusals name what was given instead. Titles have
/// an article: "a GIF picture".
public enum FileKind: Sendable, Equatable {
    case picture(String)
    /// Weights for other programs, such as "a GGUF file".
    case weights(String)
    /// An archive, a document, a video or a program.
    case other(String)
    case safetensors, pickle, gitLFSPointer, htmlPage, json
    /// A text in UTF-8 or ASCII, by the beginning of its first line.
    case text(String)
    /// The same in UTF-16.
    case wideText(String)

    /// How many of a file's first bytes are looked at.
    public static let headBytes = 4096

    /// Nil for a file of no known kind.
    ///
    /// - Parameters:
    ///   - head: the first `headBytes` bytes of the file, or all of a shorter one.
    ///   - tail: its last bytes, where they are at hand: some formats have their mark there.
    public init?(head: some Collection<UInt8>, tail: some Collection<UInt8> = EmptyCollection()) {
        let bytes = Array(head.prefix(FileKind.headBytes))
        guard
            let kind = FileKind.container(bytes) ?? FileKind.marked(bytes) ?? FileKind.text(bytes)
                ?? FileKind.unmarked(bytes, tail: Array(tail))
        else { return nil }
        self = kind
    }

    /// What the file is called in a sentence, with an article.
    public var title: String {
        switch self {
        case .picture(let title), .weights(let title), .other(let title): title
        case .safetensors: "a safetensors file"
        case .pickle: "a pickle"
        case .gitLFSPointer: "a Git LFS pointer"
        case .htmlPage: "an HTML page"
        case .json: "a JSON file"
        case .text: "a text file"
        case .wideText: "a text file in UTF-16"
        }
    }
}
