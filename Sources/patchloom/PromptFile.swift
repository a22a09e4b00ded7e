import Foundation
import Rendering

/// A prompt that stands in a file.
enum PromptFile {
    /// The text of the file, or of standard input for `-`, without white space at its ends.
    static func read(_ path: String) throws(CommandFailure) -> String {
        let limit = 4 * RenderRequest.promptLimit
        guard let handle = path == "-" ? FileHandle.standardInput : FileHandle(forReadingAtPath: path) else {
            throw CommandFailure(.notFound, "The prompt file \(path) cannot be opened; check its path.")
        }
        let data: Data?
        do { data = try handle.read(upToCount: limit + 1) } catch {
            throw CommandFailure(.notFound, "The prompt file \(path) cannot be read; name a text file.")
        }
        guard let bytes = data, !bytes.isEmpty else {
            throw CommandFailure(.usage, "The prompt file \(path) is empty; write a prompt into it.")
        }
        guard bytes.count <= limit else {
            throw CommandFailure(
                .usage, "The prompt file \(path) is too long: a prompt has at most \(RenderRequest.promptLimit) bytes.")
        }
        // A byte order mark, which some editors write, is no part of the text.
        let content = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...]
        guard let text = String(validating: content, as: UTF8.self) else {
            throw CommandFailure(.usage, "The prompt file \(path) is not UTF-8; save it as UTF-8.")
        }
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
