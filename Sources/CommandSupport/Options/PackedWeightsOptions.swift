public import ArgumentParser
public import Weights

/// The files of packed weights that the workers of a host share.
public struct PackedWeightsOptions: ParsableArguments {
    /// The defaults.
    public init() {}

    @Option(
        help: ArgumentHelp(
            "The most room for files of packed weights, which the workers of a host share, such as 40G; 'off' keeps weights in "
                + "each worker's own memory (default: \(PackedWeights.limitVariable), or \(PackedWeights.usualLimit)).",
            valueName: "size"))
    var packedWeights: String?

    /// The user's word, or the default's.
    var word: String { packedWeights ?? PackedWeights.limitWord }

    /// The folder and its limit; nil if weights stay in memory: by the user's wish, or because there is no folder for them.
    public func setting() throws(CommandFailure) -> PackedWeights.Setting? {
        let limit = try limit()
        guard limit > 0, let folder = PackedWeights.standardFolder else { return nil }
        return PackedWeights.Setting(folder: folder, limit: limit)
    }

    /// A note for the user, if the files are wanted and there is no folder for them; else nil.
    public func note() throws(CommandFailure) -> String? {
        guard try limit() > 0, PackedWeights.standardFolder == nil else { return nil }
        return "\(PackedWeights.notePrefix)each worker keeps the weights in its own memory, because neither HOME nor "
            + "XDG_CACHE_HOME nor PATCHLOOM_HOME names a folder for them."
    }

    /// The limit in bytes; 0 for none.
    public func limit() throws(CommandFailure) -> Int {
        guard let limit = PackedWeights.limit(word) else {
            let name = packedWeights == nil ? PackedWeights.limitVariable : "--packed-weights"
            throw CommandFailure(
                .usage, "\(name) must be a size such as 500M or 40G, or off, not '\(TerminalText.printable(word))'.")
        }
        return limit
    }
}
