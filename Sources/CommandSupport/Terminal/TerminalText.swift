import Foundation

/// Text on its way to a terminal.
public enum TerminalText {
    /// One line without control characters, which could move the cursor or worse.
    public static func printable(_ text: String) -> String {
        let hidden: Set<Unicode.GeneralCategory> = [.control, .format, .lineSeparator, .paragraphSeparator]
        let scalars = text.unicodeScalars.map { hidden.contains($0.properties.generalCategory) ? " " : $0 }
        return String(String.UnicodeScalarView(scalars))
    }

    /// A number with this many decimals, in any locale. Halves are rounded away from zero.
    public static func fixed(_ value: Double, digits: Int) -> String {
        let scale = pow(10, Double(digits))
        return String(format: "%.\(digits)f", (value * scale).rounded() / scale)
    }

    /// The text with blanks behind it, or before it with `right`, up to a width.
    public static func padded(_ text: String, _ width: Int, right: Bool = false) -> String {
        let blanks = String(repeating: " ", count: max(0, width - text.count))
        return right ? blanks + text : text + blanks
    }
}
