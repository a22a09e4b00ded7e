/// Users of other programs write `--cfg_scale` as well as `--cfg-scale`.
enum CommandLineSpelling {
    /// The arguments with `_` in the names of long options replaced by `-`. Values, also after `=`, and everything behind a
    /// lone `--` stay as they are.
    static func normalized(_ arguments: [String]) -> [String] {
        var isPastTerminator = false
        return arguments.map { argument in
            if argument == "--" { isPastTerminator = true }
            guard !isPastTerminator, argument.hasPrefix("--"), argument.count > 2 else { return argument }
            let name = argument.prefix { $0 != "=" }
            let isName = name.dropFirst(2).allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
            guard isName else { return argument }
            return String(name).split(separator: "_", omittingEmptySubsequences: false).joined(separator: "-")
                + argument.dropFirst(name.count)
        }
    }
}
