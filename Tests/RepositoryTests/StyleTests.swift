import Testing

/// Sizes and words that the tools do not check.
@Suite struct StyleTests {
    static let fileLinesMax = 500
    static let functionLinesMax = 60
    /// Parameters that a caller must give.
    static let parametersMax = 5
    /// An operation's operands are its parameters.
    static let operandsMax = 7
    static let columnsMax = 128

    @Test func filesCanBeReadInOneSitting() throws {
        for file in try SourceTree.code() {
            let lines = try file.text().utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            #expect(lines.count - 1 <= Self.fileLinesMax, "\(file.path) has \(lines.count - 1) lines; split it")
            // The formatter does not break long string literals, so this rule allows them.
            for (index, line) in lines.enumerated() where line.count > Self.columnsMax && !line.contains(UInt8(ascii: "\"")) {
                let columns = String(Substring(line)).count
                #expect(columns <= Self.columnsMax, "\(file.path):\(index + 1) has \(columns) columns")
            }
        }
    }

    @Test func functionsAreShort() throws {
        var count = 0
        for file in try SourceTree.swiftSources() {
            for function in MeasuredFunction.all(in: SwiftText(try file.text())) {
                count += 1
                let place = "\(file.path):\(function.line) \(function.name)"
                #expect(function.lineCount <= Self.functionLinesMax, "\(place) has \(function.lineCount) lines")
                // The parameters of an initialiser are the fields of its struct.
                let limit = file.target == "TensorCore" ? Self.operandsMax : Self.parametersMax
                if function.name != "init" {
                    #expect(function.parameterCount <= limit, "\(place) has \(function.parameterCount) parameters")
                }
            }
        }
        #expect(count > 20, "the functions were not found at all")
    }

    @Test func sourcesHaveNoTrapsAndNothingUnfinished() throws {
        let traps = ["try!", "fatalError(", "as! ", "unowned(unsafe)", "@testable"]
        let unfinished = ["Placeholder " + "until", "TO" + "DO", "FIX" + "ME", "XX" + "X:", "HA" + "CK"]
        for file in try SourceTree.swiftSources() {
            let text = try file.text()
            for (index, line) in SwiftText(text).lines.enumerated() {
                let found = traps.filter { line.contains($0) }
                #expect(found.isEmpty, "\(file.path):\(index + 1) has \(found)")
            }
        }
        for file in try SourceTree.code() {
            let text = try file.text()
            let found = unfinished.filter { text.contains($0) }
            #expect(found.isEmpty, "\(file.path) has \(found)")
        }
    }

    /// Claims about threads that the compiler cannot check are rare, and a comment explains each.
    @Test func uncheckedClaimsNameTheirGuard() throws {
        let claimsMax = 12
        var claims: [String] = []
        for file in try SourceTree.swiftSources() {
            let text = try file.text()
            let source = text.split(separator: "\n", omittingEmptySubsequences: false)
            for (index, line) in SwiftText(text).lines.enumerated()
            where line.contains("@unchecked Sendable") || line.contains("nonisolated(unsafe)") {
                let place = "\(file.path):\(index + 1)"
                claims.append(place)
                let above = source[max(0, index - 3)...index]
                #expect(above.contains { $0.contains("//") }, "\(place): say in a comment above what guards it")
            }
        }
        #expect(claims.count <= claimsMax, "\(claims.count) unchecked claims: \(claims)")
    }

    @Test func publicTypesAndFunctionsAreDocumented() throws {
        let programs = ["patchloom", "patchloom-compare", "patchloom-bench", "goldencheck"]
        for file in try SourceTree.swiftSources() where !programs.contains(file.target) {
            let lines = try file.text().split(separator: "\n", omittingEmptySubsequences: false)
                .map { $0.drop { $0 == " " } }
            for (index, line) in lines.enumerated()
            where line.hasPrefix("public ")
                && line.starts(with: #/public (static |final |mutating |indirect )*(func|struct|class|enum|protocol) /#)
            {
                let above = lines[..<index].last { !$0.hasPrefix("@") }
                // The standard library documents the requirements of its protocols. Error codes are documented one by one.
                let known = ["func ==", "func <", "func hash(into", "func makeIterator(", "func encode(to", "enum Code:"]
                let isDocumented = above?.hasPrefix("///") == true || known.contains { line.contains($0) }
                #expect(isDocumented, "\(file.path):\(index + 1) needs a doc comment: \(line)")
            }
        }
    }
}
