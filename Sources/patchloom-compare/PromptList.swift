import Foundation
import Requests
import Sentences

/// A file of many prompts, one a line.
enum PromptList {
    /// The largest number of prompts in one comparison.
    static let countMax = 1000
    private static let bytesMax = 4 << 20

    /// The lines of a file, without white space at their ends and without empty lines.
    static func read(_ path: String) throws(RequestError) -> [String] {
        let text = try PromptFile.text(
            path, called: "list of prompts", bytesMax: bytesMax, ifLonger: "it has at most \(bytesMax >> 20) MiB")
        let prompts = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { !$0.isEmpty }
        guard !prompts.isEmpty else {
            throw RequestError(.invalid, "The list of prompts \(path) is empty; write one prompt a line into it.")
        }
        return prompts
    }
}
