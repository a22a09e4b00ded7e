import Foundation
import Rendering

/// Many prompts that stand in a file, one a line.
enum PromptList {
    /// The most prompts of one comparison.
    static let countMax = 1000
    private static let bytesMax = 4 << 20

    /// The lines of a file without white space at their ends; empty lines are passed over.
    static func read(_ path: String) throws(CommandFailure) -> [String] {
        guard let handle = path == "-" ? FileHandle.standardInput : FileHandle(forReadingAtPath: path) else {
            throw CommandFailure(.notFound, "The list of prompts \(path) cannot be opened; check its path.")
        }
        let data: Data?
        do { data = try handle.read(upToCount: bytesMax + 1) } catch {
            throw CommandFailure(.notFound, "The list of prompts \(path) cannot be read; name a text file.")
        }
        let bytes = data ?? Data()
        guard bytes.count <= bytesMax else {
            throw CommandFailure(.usage, "The list of prompts \(path) has more than \(bytesMax >> 20) MiB; make it shorter.")
        }
        // A byte order mark, which some editors write, is no part of the text.
        let content = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...]
        guard let text = String(validating: content, as: UTF8.self) else {
            throw CommandFailure(.usage, "The list of prompts \(path) is not UTF-8; save it as UTF-8.")
        }
        let prompts = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { !$0.isEmpty }
        guard !prompts.isEmpty else {
            throw CommandFailure(.usage, "The list of prompts \(path) is empty; write one prompt a line into it.")
        }
        return prompts
    }
}
