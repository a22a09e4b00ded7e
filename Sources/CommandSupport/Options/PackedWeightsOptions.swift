public import ArgumentParser
import Foundation
public import Weights

/// The files of packed weights that the workers of a host share.
public struct PackedWeightsOptions: ParsableArguments {
    /// The defaults.
    public init() {}

    @Option(
        help: ArgumentHelp(
            "The most room for files of packed weights, which the workers of a host share, such as 40G; 'off' keeps weights in "
                + "each worker's own memory (default: \(PackedWeightsOptions.variable), or \(PackedWeightsOptions.usualLimit)).",
            valueName: "size"))
    var packedWeights: String?

    /// The environment variable for it.
    public static let variable = "PATCHLOOM_PACKED_WEIGHTS"
    /// Two models of SDXL's size.
    static let usualLimit = "32G"

    /// The user's word, or the default's.
    var word: String {
        let variable = ProcessInfo.processInfo.environment[Self.variable].flatMap { $0.isEmpty ? nil : $0 }
        return packedWeights ?? variable ?? Self.usualLimit
    }

    /// The folder and its limit; nil if weights stay in memory: by the user's wish, or because there is no folder for them.
    public func setting() throws(CommandFailure) -> PackedWeights.Setting? {
        let limit = try limit()
        guard limit > 0, let folder = PackedWeights.standardFolder else { return nil }
        return PackedWeights.Setting(folder: folder, limit: limit)
    }

    /// For the user, if the files are wanted and there is no folder for them; else nil.
    public func note() throws(CommandFailure) -> String? {
        guard try limit() > 0, PackedWeights.standardFolder == nil else { return nil }
        return "\(PackedWeights.notePrefix)each worker keeps the weights in its own memory, because neither HOME nor "
            + "XDG_CACHE_HOME nor PATCHLOOM_HOME names a folder for them."
    }

    /// In bytes; 0 for none.
    public func limit() throws(CommandFailure) -> Int {
        guard let limit = Self.bytes(word) else {
            let name = packedWeights == nil ? Self.variable : "--packed-weights"
            throw CommandFailure(
                .usage, "\(name) must be a size such as 500M or 40G, or off, not '\(TerminalText.printable(word))'.")
        }
        return limit
    }

    /// A number of bytes, or of KiB, MiB, GiB or TiB by its last letter; 0 for `off`; nil for anything else.
    static func bytes(_ word: String) -> Int? {
        if word == "off" { return 0 }
        let shift = word.last.flatMap { ["K": 10, "M": 20, "G": 30, "T": 40][$0.uppercased()] }
        let digits = shift == nil ? word[...] : word.dropLast()
        let isNumber = !digits.isEmpty && digits.utf8.allSatisfy { (0x30...0x39).contains($0) }
        guard isNumber, let number = Int(digits) else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << (shift ?? 0))
        return overflow ? nil : bytes
    }
}
