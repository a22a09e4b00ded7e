import Testing

/// The imports that each target may have (the walls between the targets). The build refuses undeclared imports. These
/// rules forbid imports that a target could declare.
@Suite struct WallTests {
    struct Import: Sendable {
        let module: String
        let target: String
        let place: String
    }

    /// Read once. Each rule checks all imports.
    private static let allImports = Result { try readImports() }

    static func imports() throws -> [Import] { try allImports.get() }

    private static func readImports() throws -> [Import] {
        try SourceTree.code().filter { $0.path.hasSuffix(".swift") }.flatMap { file in
            SwiftText(try file.text()).lines.enumerated().compactMap { index, line in
                let words = line.split(separator: " ")
                guard let keyword = words.firstIndex(of: "import"), words[..<keyword].allSatisfy({ isModifier($0) }) else {
                    return nil
                }
                let kinds: Set<Substring> = ["func", "struct", "class", "enum", "protocol", "typealias", "var", "let"]
                guard let name = words[(keyword + 1)...].first(where: { !kinds.contains($0) }) else { return nil }
                let module = String(name.prefix { $0 != "." })
                return Import(module: module, target: file.target, place: "\(file.path):\(index + 1)")
            }
        }
    }

    static func isModifier(_ word: Substring) -> Bool {
        ["public", "package", "internal", "private", "fileprivate"].contains(word) || word.hasPrefix("@")
    }

    @Test(arguments: [
        ("COneDNN", ["TensorCore"]), ("COpenBLAS", ["TensorCore"]), ("CKernels", ["TensorCore", "TensorCoreTests"]),
        ("CZeroMQ", ["ZMQSockets"]), ("CPNG", ["ImageFiles"]), ("CJPEG", ["ImageFiles"]), ("CWebP", ["ImageFiles"]),
        ("COpenSSL", ["ContentHash"]),
        ("CEmbeddedModel", ["EmbeddedModel"]), ("CGlyphs", ["ContactSheets"]), ("CFontconfig", []),
        ("ContactSheets", ["patchloom-compare", "ContactSheetsTests"]),
        (
            "ArgumentParser",
            ["CommandSupport", "patchloom", "patchloom-compare", "patchloom-bench", "goldencheck", "CommandSupportTests"]
        ),
        ("CommandSupport", ["patchloom", "patchloom-compare", "CommandSupportTests"]),
        ("FileSignatures", ["ImageFiles", "Weights", "FileSignaturesTests"]),
        ("ZMQSockets", ["Runtime", "patchloom-bench", "ZMQSocketsTests", "RuntimeTests"]),
        ("Dispatch", []), ("XCTest", []),
    ])
    func onlyTheNamedTargetsImport(_ module: String, _ targets: [String]) throws {
        let all = try Self.imports()
        #expect(all.count > 15, "the imports were not found at all")
        let intruders = all.filter { $0.module == module && !targets.contains($0.target) }
        #expect(intruders.isEmpty, "\(module) is imported at \(intruders.map(\.place))")
    }

    /// Another kind of server will read its users' words with it, so it knows no command line and no farm.
    @Test func requestsKnowNoProgram() throws {
        let walls = ["ArgumentParser", "CommandSupport", "Runtime", "Cluster", "Messages", "ZMQSockets", "CSystem"]
        let intruders = try Self.imports().filter { $0.target == "Requests" && walls.contains($0.module) }
        #expect(intruders.isEmpty, "\(intruders.map { "\($0.place) imports \($0.module)" })")
    }

    /// Errors carry settings. The program that shows an error spells them as its users write them.
    @Test(arguments: [
        "Cluster", "DiffusionModels", "ImageConditioning", "ImageFiles", "Messages", "Prompting", "Rendering", "Requests",
        "Runtime", "Samplers", "Sentences", "Tokenizing", "Weights",
    ])
    func noSentenceNamesAFlag(_ target: String) throws {
        let files = try SourceTree.files(below: "Sources/\(target)").filter { $0.path.hasSuffix(".swift") }
        let spellers = ["/Sentence.swift", "/Setting.swift", "/RuntimeError.swift"]
        #expect(!files.isEmpty)
        for file in files {
            for (index, line) in try file.text().split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                let code = line.drop { $0 == " " }
                guard !code.hasPrefix("//") else { continue }
                // The spelling of an option is the command line's too. Logs have it.
                #expect(
                    !code.contains(".option)") || spellers.contains(where: file.path.hasSuffix),
                    "\(file.path):\(index + 1) spells an option: \(code)")
                // Most lines have no text with a hyphen, and the pattern takes its time.
                guard code.utf8.contains(UInt8(ascii: "\"")), code.utf8.contains(UInt8(ascii: "-")) else { continue }
                // A long option, or a short one as sentences have it: "by -m", "(-i)".
                #expect(
                    !code.contains(/"([^"]*[ (,])?(--[a-z][a-z-]+|-[a-zA-Z])([ .,;:)][^"]*)?"/),
                    "\(file.path):\(index + 1) names an option: \(code)")
            }
        }
    }

    /// `--json --clip_skip 2` is `--json --clip-skip 2`, because `--json` takes no value. The list of such options is complete.
    @Test func flagsAreListed() throws {
        let list = try SourceTree.File(path: "Sources/CommandSupport/Options/CommandLineSpelling.swift").text()
        var count = 0
        for target in ["CommandSupport", "patchloom", "patchloom-compare"] {
            for file in try SourceTree.files(below: "Sources/\(target)") where file.path.hasSuffix(".swift") {
                for flag in try file.text().matches(of: /@Flag\([^@]*?\)\s+(?:public )?var ([A-Za-z]+)/) {
                    let option = flag.output.1.reduce(into: "--") { $0 += $1.isUppercase ? "-\($1.lowercased())" : "\($1)" }
                    #expect(list.contains("\"\(option)\""), "\(option) of \(file.path)")
                    count += 1
                }
            }
        }
        #expect(count > 15)
    }

    /// The two state machines decide without sockets, threads, files or a clock.
    @Test(arguments: [
        ("Cluster", ["Foundation", "FoundationEssentials", "Glibc", "Synchronization", "TensorCore", "Rendering"]),
        ("Rendering", ["Foundation", "Glibc", "Synchronization", "Cluster"]),
    ])
    func stateMachinesArePure(_ target: String, _ forbidden: [String]) throws {
        let walls = forbidden + ["CSystem", "Messages", "Runtime", "ImageFiles", "ZMQSockets"]
        let intruders = try Self.imports().filter { $0.target == target && walls.contains($0.module) }
        #expect(intruders.isEmpty, "\(intruders.map { "\($0.place) imports \($0.module)" })")
        let impure =
            #/\b(ContinuousClock|SuspendingClock|Date\(\)|UUID\(\)|SystemRandomNumberGenerator|Task \{|await )|\.random\(/#
        for file in try SourceTree.files(below: "Sources/\(target)") where file.path.hasSuffix(".swift") {
            for (index, line) in SwiftText(try file.text()).lines.enumerated() {
                #expect(line.firstMatch(of: impure) == nil, "\(file.path):\(index + 1): \(line)")
            }
        }
    }
}
