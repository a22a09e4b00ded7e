import FileSignatures
import Sentences
import StrictJSON

/// Refuses files that are neither weights nor texts of a model.
enum ForeignFormat {
    /// Endings of file names under which PyTorch writes pickles.
    static let pickleEndings = [".ckpt", ".pt", ".pth", ".bin", ".pkl"]
    private static let ggufEnding = ".gguf"

    /// The ending of a name of another format than safetensors; nil for other names.
    static func ending(of name: String) -> String? {
        let lowered = name.lowercased()
        return (pickleEndings + [ggufEnding]).first(where: lowered.hasSuffix)
    }

    /// The refusal of a file with such an ending, by its bytes if they show a known format, else by its name. Nil for other
    /// names.
    static func refusal(_ file: FileBytes, named name: String) -> WeightsError? {
        guard let ending = ending(of: name) else { return nil }
        guard !file.bytes.isEmpty else {
            return .malformed("\(name) is empty; download it again as a .safetensors file.")
        }
        switch kind(of: file.bytes) {
        case .safetensors:
            return .unsupportedFormat(
                "\(name) is a safetensors file under the name of another format; rename it to "
                    + "\(name.dropLast(ending.count)).safetensors.")
        case nil where isOldPickle(file.bytes), .text where isOldPickle(file.bytes): return pickleRefusal(name)
        case let kind?: return refusal(kind, file.bytes, name)
        case nil:
            let promised = ending == ggufEnding ? "a GGUF file" : "a pickle"
            return .malformed(
                "\(name) is named like \(promised), but is not \(promised); download it again as a .safetensors file.")
        }
    }

    /// Whether bytes are a pickle of protocol 0 or 1. These have no magic number: they begin with a bracket or a class's name
    /// and end with a full stop. A first line with spaces is a sentence.
    private static func isOldPickle(_ file: UnsafeRawBufferPointer) -> Bool {
        guard let first = file.first, file.last == UInt8(ascii: "."), "(c}])".utf8.contains(first) else { return false }
        let line = file.prefix(FileKind.headBytes).prefix { $0 != UInt8(ascii: "\n") }
        return line.count < file.count && !line.contains(UInt8(ascii: " "))
    }

    /// The refusal of bytes of a known other format; nil for bytes that begin like a safetensors file.
    static func refusal(_ file: UnsafeRawBufferPointer, _ name: String) -> WeightsError? {
        guard let kind = kind(of: file), kind != .safetensors else { return nil }
        return refusal(kind, file, name)
    }

    private static func kind(of file: UnsafeRawBufferPointer) -> FileKind? { FileKind(head: file.prefix(FileKind.headBytes)) }

    private static func refusal(_ kind: FileKind, _ file: UnsafeRawBufferPointer, _ name: String) -> WeightsError {
        let what: String
        switch kind {
        case .pickle: return pickleRefusal(name)
        case .weights(let title): what = "\(title), which is not supported; use the model's .safetensors files"
        case .gitLFSPointer: what = "a Git LFS pointer, not the weights; fetch them with \"git lfs pull\""
        case .htmlPage:
            what = "an HTML page, not weights; the download has failed or needs a login, fetch the file again"
        case .text(let start), .wideText(let start):
            what =
                "\(kind.title) that begins with \(quoted(start)), not weights; name a .safetensors file, or fetch this one "
                + "again if a download has failed"
            return .malformed("\(name) is \(what).")
        case .json where isErrorMessage(file), .wideJSON where isErrorMessage(file), .other where isErrorPage(file):
            what =
                "\(kind.title) with an error message, not weights; the download has probably failed, fetch the file again"
        case .json, .wideJSON, .picture, .other, .safetensors:
            what = "\(kind.title), not weights; name a model's folder or a .safetensors file"
        }
        return .unsupportedFormat("\(name) is \(what).")
    }

    static func pickleRefusal(_ name: String) -> WeightsError {
        WeightsError.unsupportedFormat(
            "\(name) is a pickle, which can run programs when it is opened; load it elsewhere with diffusers and write it with "
                + "save_pretrained(..., safe_serialization=True), then use the .safetensors files.")
    }

    /// Whether the file is the error message of a server.
    private static func isErrorMessage(_ file: UnsafeRawBufferPointer) -> Bool {
        guard let text = shortText(file), let json = try? JSONValue(parsing: Array(text.utf8), limits: .config) else {
            return false
        }
        return ["error", "errors", "message", "detail"].contains { json[$0] != nil }
    }

    /// Whether the file is the XML error of an object store: `<Error>` after a declaration.
    private static func isErrorPage(_ file: UnsafeRawBufferPointer) -> Bool {
        shortText(file)?.lowercased().prefixMatch(of: /\s*<\?xml[^>]*>\s*<error[\s>\/]/) != nil
    }

    /// The characters of a file that is no longer than the answers of servers.
    private static func shortText(_ file: UnsafeRawBufferPointer) -> String? {
        file.count <= 64 << 10 ? FileKind.characters(of: Array(file)[...]) : nil
    }

    /// The refusal of a file as a text of a model; nil for kinds about which the reader's own message says enough.
    static func refusalAsText(_ file: UnsafeRawBufferPointer, _ name: String) -> WeightsError? {
        guard let kind = kind(of: file) else { return nil }
        switch kind {
        case .json, .text: return nil
        case .wideText, .wideJSON:
            return .malformed("\(name) is \(kind.title); save it as UTF-8, or download it again.")
        case .gitLFSPointer:
            return .unsupportedFormat("\(name) is a Git LFS pointer, not the file itself; fetch it with \"git lfs pull\".")
        case .htmlPage:
            return .unsupportedFormat(
                "\(name) is an HTML page, not a file of a model; the download has failed or needs a login, fetch the file again."
            )
        default:
            return .unsupportedFormat("\(name) is \(kind.title), not a text; download the file again.")
        }
    }
}
