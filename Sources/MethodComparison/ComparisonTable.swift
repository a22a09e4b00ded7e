/// The figures of a comparison, picture by picture and summed up.
public struct ComparisonTable: Sendable {
    /// What all pictures have in common, such as the model and the seed.
    public struct Condition: Sendable, Equatable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) { (self.name, self.value) = (name, value) }
    }

    public let conditions: [Condition]
    /// In the order in which they were made.
    public let pictures: [ComparedPicture]

    public init(conditions: [Condition], pictures: [ComparedPicture]) {
        (self.conditions, self.pictures) = (conditions, pictures)
    }

    /// How many times as fast as `direct` with the same prompt and size; nil where there is no such picture.
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

    /// Pictures of one method and size.
    struct Group {
        let first: ComparedPicture
        let pictures: [ComparedPicture]

        func values(_ value: (ComparedPicture) -> Double?) -> [Double] { pictures.compactMap(value) }
    }

    /// All groups, in the order in which they appear, each with the same prompts: those of which every group has a picture. A
    /// comparison that was stopped ends in the midst of a prompt.
    var groups: [Group] {
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
        return order.map { group in
            Group(first: group[0], pictures: group.filter { common.contains($0.subject.promptNumber) })
        }
    }

    private static func belongTogether(_ one: ComparedPicture, _ other: ComparedPicture) -> Bool {
        let (one, other) = (one.subject, other.subject)
        return one.method == other.method && one.width == other.width && one.height == other.height
    }
}

/// Numbers that stand for many.
enum Statistics {
    /// The middle value, or the mean of the two in the middle; nil of none.
    static func median(_ values: [Double]) -> Double? {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    /// nil of none.
    static func mean(_ values: [Double]) -> Double? {
        values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
    }
}

/// Numbers as text.
public enum Decimal {
    /// With so many decimals, whatever the locale; `?` for what is no number or too large to be one of these figures.
    public static func fixed(_ value: Double, digits: Int) -> String {
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        guard value.isFinite, abs(value) * scale < 9e15 else { return "?" }
        let scaled = Int((abs(value) * scale).rounded())
        let sign = value < 0 && scaled > 0 ? "-" : ""
        guard digits > 0 else { return sign + String(scaled) }
        let fraction = String(scaled % Int(scale))
        return "\(sign)\(scaled / Int(scale)).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
    }

    /// As short as it is exact to three decimals: `2`, `1.5`.
    public static func short(_ value: Double) -> String {
        var text = fixed(value, digits: 3)
        guard text.contains(".") else { return text }
        while text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
        return text
    }
}
