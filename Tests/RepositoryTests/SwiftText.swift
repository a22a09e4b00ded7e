/// Swift source with the insides of comments and string literals blanked, so that braces and words can be counted.
struct SwiftText {
    /// Each line is as long as in the source.
    let code: [UInt8]

    init(_ source: String) {
        var scanner = Scanner(bytes: Array(source.utf8))
        scanner.run()
        code = scanner.bytes
    }

    var lines: [String] {
        code.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
    }

    private struct Scanner {
        var bytes: [UInt8]
        var position = 0

        mutating func run() {
            while position < bytes.count {
                if starts("//") {
                    blank(until: "\n")
                } else if starts("/*") {
                    blankBlockComment()
                } else if let hashes = stringStart() {
                    blankString(hashes: hashes)
                } else {
                    position += 1
                }
            }
        }

        func starts(_ text: StaticString) -> Bool {
            text.withUTF8Buffer {
                position + $0.count <= bytes.count && bytes[position..<position + $0.count].elementsEqual($0)
            }
        }

        mutating func blankOne() {
            if bytes[position] != UInt8(ascii: "\n") { bytes[position] = UInt8(ascii: " ") }
            position += 1
        }

        mutating func blank(until end: StaticString) {
            while position < bytes.count && !starts(end) { blankOne() }
        }

        mutating func blankBlockComment() {
            var depth = 0
            repeat {
                if starts("/*") { depth += 1 }
                if starts("*/") { depth -= 1 }
                blankOne()
            } while position < bytes.count && depth > 0
            if position < bytes.count { blankOne() }
        }

        /// The number of `#` before a quotation mark here, or nil when no string starts here.
        func stringStart() -> Int? {
            var hashes = 0
            while position + hashes < bytes.count && bytes[position + hashes] == UInt8(ascii: "#") { hashes += 1 }
            return position + hashes < bytes.count && bytes[position + hashes] == UInt8(ascii: "\"") ? hashes : nil
        }

        /// Interpolations are blanked with the string around them.
        mutating func blankString(hashes: Int) {
            for _ in 0..<hashes { blankOne() }
            let isMultiline = starts("\"\"\"")
            for _ in 0..<(isMultiline ? 3 : 1) { blankOne() }
            var parentheses = 0
            while position < bytes.count {
                if parentheses == 0 && endsString(isMultiline, hashes) {
                    for _ in 0..<((isMultiline ? 3 : 1) + hashes) { blankOne() }
                    return
                }
                if bytes[position] == UInt8(ascii: "\\") && isEscape(hashes) {
                    let after = position + 1 + hashes
                    let opens = after < bytes.count && bytes[after] == UInt8(ascii: "(")
                    for _ in 0..<min(2 + hashes, bytes.count - position) { blankOne() }
                    if opens { parentheses += 1 }
                } else if parentheses > 0, let inner = stringStart() {
                    blankString(hashes: inner)
                } else {
                    if parentheses > 0 && bytes[position] == UInt8(ascii: "(") { parentheses += 1 }
                    if parentheses > 0 && bytes[position] == UInt8(ascii: ")") { parentheses -= 1 }
                    if !isMultiline && bytes[position] == UInt8(ascii: "\n") { return }
                    blankOne()
                }
            }
        }

        func isEscape(_ hashes: Int) -> Bool {
            position + hashes < bytes.count
                && bytes[position + 1..<position + 1 + hashes].allSatisfy { $0 == UInt8(ascii: "#") }
        }

        func endsString(_ isMultiline: Bool, _ hashes: Int) -> Bool {
            guard isMultiline ? starts("\"\"\"") : starts("\"") else { return false }
            let from = position + (isMultiline ? 3 : 1)
            return from + hashes <= bytes.count && bytes[from..<from + hashes].allSatisfy { $0 == UInt8(ascii: "#") }
        }
    }
}

/// One function or initialiser with a body.
struct MeasuredFunction: Equatable {
    let name: String
    /// Counted from 1.
    let line: Int
    /// The number of lines from the line of `func` to the line of its closing brace.
    let lineCount: Int
    /// Parameters without a default.
    let parameterCount: Int

    /// All functions in a source, nested ones too.
    static func all(in text: SwiftText) -> [MeasuredFunction] {
        let code = text.code
        var found: [MeasuredFunction] = []
        var line = 1
        for position in code.indices {
            if code[position] == UInt8(ascii: "\n") { line += 1 }
            if let name = name(at: position, in: code), let function = measure(name, at: position, line: line, in: code) {
                found.append(function)
            }
        }
        return found
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 95 || byte > 127
    }

    private static func name(at position: Int, in code: [UInt8]) -> String? {
        guard code[position] == UInt8(ascii: "f") || code[position] == UInt8(ascii: "i") else { return nil }
        guard position == 0 || (!isWord(code[position - 1]) && code[position - 1] != UInt8(ascii: ".")) else { return nil }
        for (keyword, isNamed) in [("func ", true), ("init(", false), ("init<", false), ("init?(", false)] {
            guard code[position...].starts(with: keyword.utf8) else { continue }
            guard isNamed else { return "init" }
            let rest = code[(position + keyword.utf8.count)...]
            return String(decoding: rest.prefix { $0 != UInt8(ascii: "(") && $0 != UInt8(ascii: "<") }, as: UTF8.self)
        }
        return nil
    }

    private static func measure(_ name: String, at start: Int, line: Int, in code: [UInt8]) -> MeasuredFunction? {
        guard let open = code[start...].firstIndex(of: UInt8(ascii: "(")), let parameters = span(from: open, in: code),
            let brace = bodyStart(after: parameters.end, in: code), let body = span(from: brace, in: code)
        else { return nil }
        let newlines = code[start...body.end].count { $0 == UInt8(ascii: "\n") }
        let isEmpty = code[(open + 1)..<parameters.end].allSatisfy { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
        return MeasuredFunction(
            name: name, line: line, lineCount: newlines + 1,
            parameterCount: isEmpty ? 0 : parameters.commas + 1 - parameters.defaults)
    }

    /// The bracket that closes the one at `start`, and the commas and equals signs directly inside.
    private static func span(from start: Int, in code: [UInt8]) -> (end: Int, commas: Int, defaults: Int)? {
        var depth = 0
        var commas = 0
        var defaults = 0
        for position in start..<code.count {
            switch code[position] {
            case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"):
                depth -= 1
                if depth == 0 { return (position, commas, defaults) }
            case UInt8(ascii: ",") where depth == 1: commas += 1
            case UInt8(ascii: "=") where depth == 1: defaults += 1
            default: break
            }
        }
        return nil
    }

    /// The opening brace of the body, or nil for a requirement without one.
    private static func bodyStart(after end: Int, in code: [UInt8]) -> Int? {
        var position = end + 1
        while position < code.count {
            if code[position] == UInt8(ascii: "{") { return position }
            if code[position] == UInt8(ascii: "}") || name(at: position, in: code) != nil { return nil }
            position += 1
        }
        return nil
    }
}
