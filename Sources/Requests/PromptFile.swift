import Foundation
import Rendering
import Sentences

/// A prompt in a file of this host.
public enum PromptFile {
    /// The text of the file, or of standard input for `-`, without white space at its ends.
    ///
    /// - Throws: the errors of `text`, and `invalid` for an empty file.
    public static func read(_ path: String) throws(RequestError) -> String {
        let text = try text(
            path, called: "prompt file", bytesMax: 4 * RenderRequest.promptLimit,
            ifLonger: "a prompt has at most \(RenderRequest.promptLimit) bytes")
        let prompt = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !prompt.isEmpty else { throw .invalid("The prompt file \(path) is empty; write a prompt into it.") }
        return prompt
    }

    /// The text of a file, or of standard input for `-`.
    ///
    /// - Parameters:
    ///   - name: the kind of file, for messages.
    ///   - remedy: the second half of the message about a file of more than `bytesMax` bytes.
    /// - Throws: `notFound` for a file that cannot be read, `invalid` if it is too long or not UTF-8.
    public static func text(
        _ path: String, called name: String, bytesMax: Int, ifLonger remedy: String
    ) throws(RequestError) -> String {
        guard let handle = path == "-" ? FileHandle.standardInput : FileHandle(forReadingAtPath: path) else {
            throw RequestError(.notFound, "The \(name) \(path) cannot be opened; check its path.")
        }
        let data: Data?
        do { data = try handle.read(upToCount: bytesMax + 1) } catch {
            throw RequestError(.notFound, "The \(name) \(path) cannot be read; name a text file.")
        }
        let bytes = data ?? Data()
        guard bytes.count <= bytesMax else { throw .invalid("The \(name) \(path) is too long: \(remedy).") }
        guard let text = decoded(Array(bytes)) else { throw .invalid("The \(name) \(path) is not UTF-8; save it as UTF-8.") }
        return text
    }

    /// Decodes UTF-8 and leaves out a byte-order mark and carriage returns before line feeds, which some editors write. nil if
    /// the bytes are not UTF-8.
    public static func decoded(_ bytes: [UInt8]) -> String? {
        let content = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...]
        guard let text = String(validating: content, as: UTF8.self) else { return nil }
        return text.replacing("\r\n", with: "\n")
    }
}
