import Foundation

/// The figures of a comparison, picture by picture and summed up.
public struct ComparisonTable: Sendable {
    /// Conditions that all pictures share, such as the model or the seed.
    public let conditions: [(name: String, value: String)]
    /// The pictures in the order of rendering.
    public let pictures: [ComparedPicture]

    public init(conditions: [(name: String, value: String)], pictures: [ComparedPicture]) {
        (self.conditions, self.pictures) = (conditions, pictures)
    }

    /// The speed relative to `direct` with the same prompt and size; nil if there is no such picture.
    public func speed(_ picture: ComparedPicture) -> Double? {
        let subject = picture.subject
        let direct = pictures.first {
            let other = $0.subject
            return other.method == "direct" && other.promptNumber == subject.promptNumber && other.width == subject.width
                && other.height == subject.height
        }
        guard let direct, !picture.isNative, picture.cost.wallSeconds > 0 else { return nil }
        return direct.cost.wallSeconds / picture.cost.wallSeconds
    }

    /// The pictures of each method and size, in the order of the first pictures. All groups have the same prompts: a prompt
    /// counts if every group has a picture of it. A stopped comparison ends in the middle of a prompt.
    var groups: [(first: ComparedPicture, pictures: [ComparedPicture])] {
        var order: [[ComparedPicture]] = []
        for picture in pictures {
            if let place = order.firstIndex(where: { Self.belongTogether($0[0], picture) }) {
                order[place].append(picture)
            } else {
                order.append([picture])
            }
        }
        let prompts = order.map { Set($0.map(\.subject.promptNumber)) }
        let common = prompts.dropFirst().reduce(prompts.first ?? []) { $0.intersection($1) }
        return order.map { group in (group[0], group.filter { common.contains($0.subject.promptNumber) }) }
    }

    private static func belongTogether(_ one: ComparedPicture, _ other: ComparedPicture) -> Bool {
        let (one, other) = (one.subject, other.subject)
        return one.method == other.method && one.width == other.width && one.height == other.height
    }
}

/// Averages.
public enum Statistics {
    /// The middle value, or the mean of the two in the middle; nil for no values.
    public static func median(_ values: [Double]) -> Double? {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    /// The mean; nil for no values.
    static func mean(_ values: [Double]) -> Double? {
        values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
    }
}

/// Numbers as text.
public enum Decimal {
    /// A number with this number of decimals, in any locale; `?` if it is no number, or too large for a figure.
    public static func fixed(_ value: Double, digits: Int) -> String {
        let scale = pow(10, Double(digits))
        guard value.isFinite, abs(value) * scale < 9e15 else { return "?" }
        // Rounded here, because the format would round 0.25 to 0.2. Adding 0 takes the sign from −0.
        return String(format: "%.\(digits)f", (value * scale).rounded() / scale + 0)
    }

    /// The shortest text that is exact to three decimals: `2`, `1.5`.
    public static func short(_ value: Double) -> String {
        var text = fixed(value, digits: 3)
        guard text.contains(".") else { return text }
        while text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
        return text
    }
}
