import Glibc

/// A user's words for the most bytes of all packed weights.
extension PackedWeights {
    /// The environment variable for this limit.
    public static let limitVariable = "PATCHLOOM_PACKED_WEIGHTS"
    /// The limit without a user's word: room for two models of SDXL's size.
    public static let usualLimit = "32G"

    /// The word if the user gives no option: the variable's, or the usual one.
    public static var limitWord: String {
        let word = getenv(limitVariable).map { String(cString: $0) } ?? ""
        return word.isEmpty ? usualLimit : word
    }

    /// A number of bytes, or of KiB, MiB, GiB or TiB by its last letter; 0 for `off`; nil for anything else.
    public static func limit(_ word: String) -> Int? {
        if word == "off" { return 0 }
        let shift = word.last.flatMap { ["K": 10, "M": 20, "G": 30, "T": 40][$0.uppercased()] }
        let digits = shift == nil ? word[...] : word.dropLast()
        let isNumber = !digits.isEmpty && digits.utf8.allSatisfy { (0x30...0x39).contains($0) }
        guard isNumber, let number = Int(digits) else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << (shift ?? 0))
        return overflow ? nil : bytes
    }
}
