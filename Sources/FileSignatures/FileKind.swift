/// The kind of a file by its first bytes. Its name does not matter.
///
/// A reader asks for it if a file does not have the reader's format, so that the refusal can name the file's kind. Titles
/// have an article: "a GIF picture".
public enum FileKind: Sendable, Equatable {
    case picture(String)
    /// Weights for other programs, such as "a GGUF file".
    case weights(String)
    /// An archive, a document, a video or a program.
    case other(String)
    case safetensors, pickle, gitLFSPointer, htmlPage, json
    /// A text in UTF-8 or ASCII, with the beginning of its first line.
    case text(String)
    /// A text in UTF-16, with the beginning of its first line.
    case wideText(String)
    case wideJSON

    /// The number of first bytes that are examined.
    public static let headBytes = 4096

    /// The kind of a file; nil if it is not known. `head` holds the first `headBytes` bytes of the file, or all bytes of a
    /// shorter file. `tail` holds its last bytes, if they are at hand: some formats have their mark there.
    public init?(head: some Collection<UInt8>, tail: some Collection<UInt8> = EmptyCollection()) {
        let bytes = Array(head.prefix(FileKind.headBytes))
        guard
            let kind = FileKind.container(bytes) ?? FileKind.marked(bytes) ?? FileKind.text(bytes)
                ?? FileKind.unmarked(bytes, tail: Array(tail))
        else { return nil }
        self = kind
    }

    /// The name of the kind in a sentence, with an article.
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
        case .wideJSON: "a JSON file in UTF-16"
        }
    }
}
