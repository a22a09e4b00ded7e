/// Users of other programs write `--cfg_scale` as well as `--cfg-scale`.
enum CommandLineSpelling {
    /// Options without a value. The word after any other option is its value, however it looks.
    private static let flags: Set<String> = [
        "--help", "--version", "--all", "--calibrate", "--json", "--no-clobber", "--timings", "--quiet", "--verbose",
        "--tome-queries-only", "--hires-tiled", "--ignore-unknown-tensors",
    ]
    private static let shortFlags: Set<Character> = ["h", "q", "v"]

    /// Replaces `_` by `-` in the names of long options. Values, also after `=`, and all words after a lone `--` stay.
    static func normalized(_ arguments: [String]) -> [String] {
        var isPastTerminator = false
        var isValue = false
        return arguments.map { argument in
            if isValue {
                isValue = false
                return argument
            }
            if argument == "--" { isPastTerminator = true }
            if isPastTerminator { return argument }
            let option = hyphenated(argument)
            isValue = takesValue(option)
            return option
        }
    }

    private static func hyphenated(_ argument: String) -> String {
        guard argument.hasPrefix("--") else { return argument }
        let name = argument.prefix { $0 != "=" }
        let isName = name.dropFirst(2).allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
        guard isName else { return argument }
        return String(name).split(separator: "_", omittingEmptySubsequences: false).joined(separator: "-")
            + argument.dropFirst(name.count)
    }

    /// Whether the next word is this option's value.
    private static func takesValue(_ option: String) -> Bool {
        guard option.hasPrefix("-"), !option.contains("=") else { return false }
        if option.hasPrefix("--") { return !flags.contains(option) }
        // In a group of short options only the last can take a value.
        return option.dropFirst().last.map { !shortFlags.contains($0) } ?? false
    }
}
