import Foundation
import StrictJSON
import TestSupport
import Testing
import Tokenizing

@testable import Prompting

/// A small CLIP tokenizer from a folder of fixtures. Its words are mostly single letters.
func smallTokenizer(padding: String? = nil) throws -> CLIPTokenizer {
    let folder = Fixtures.folder.appendingPathComponent("tokenizing/tokenizer")
    func json(_ name: String) throws -> JSONValue {
        try JSONValue(parsing: [UInt8](Data(contentsOf: folder.appendingPathComponent(name))), limits: .config)
    }
    var special = try #require(try json("special_tokens_map.json").objectValue)
    if let padding { special["pad_token"] = .string(padding) }
    return try CLIPTokenizer(
        CLIPTokenizerFiles(
            model: .separate(
                vocabulary: json("vocab.json"),
                merges: String(decoding: Data(contentsOf: folder.appendingPathComponent("merges.txt")), as: UTF8.self)),
            configuration: nil, specialTokens: .object(special)))
}

/// The error that `body` throws; nil if it throws none.
func promptError(_ body: () throws -> Void) -> PromptError? {
    do {
        try body()
        return nil
    } catch { return error as? PromptError }
}

/// A1111's grammar, written once more: its alternatives as one regular expression, a list of texts with weights, and two
/// stacks of places in that list.
enum ReferenceParser {
    /// Texts with weights; nil is a break.
    static func parse(_ prompt: String) -> [(text: String, weight: Double)?] {
        let grammar = #/\\[()\[\]\\]|\\|\(|\[|:\s*(?<weight>[+\-]?[.0-9]+)\s*\)|\)|\]|[^\\()\[\]:]+|:/#.matchingSemantics(
            .unicodeScalar)
        var list: [(text: String, weight: Double)?] = []
        var (rounds, squares) = ([Int](), [Int]())
        func multiply(_ start: Int, _ factor: Double) {
            for index in list.indices.dropFirst(start) { list[index]?.weight *= factor }
        }
        for match in prompt.matches(of: grammar) {
            let token = String(match.output.0)
            if token.hasPrefix("\\") {
                list.append((String(token.dropFirst()), 1))
            } else if token == "(" {
                rounds.append(list.count)
            } else if token == "[" {
                squares.append(list.count)
            } else if let weight = match.output.weight.flatMap({ Double($0) }), let start = rounds.popLast() {
                multiply(start, weight)
            } else if token == ")", let start = rounds.popLast() {
                multiply(start, 1.1)
            } else if token == "]", let start = squares.popLast() {
                multiply(start, 1 / 1.1)
            } else {
                for (index, part) in token.split(
                    separator: #/\bBREAK\b/#.wordBoundaryKind(.simple), omittingEmptySubsequences: false
                ).enumerated() {
                    if index > 0 { list.append(nil) }
                    list.append((String(part), 1))
                }
            }
        }
        for start in rounds { multiply(start, 1.1) }
        for start in squares { multiply(start, 1 / 1.1) }
        return list
    }

    /// Every scalar with its weight, breaks as NUL.
    static func letters(_ prompt: String) -> [(Unicode.Scalar, Double)] {
        parse(prompt).flatMap { piece -> [(Unicode.Scalar, Double)] in
            piece.map { piece in piece.text.unicodeScalars.map { ($0, piece.weight) } } ?? [("\0", 0)]
        }
    }
}
