public import Sentences
import StrictJSON

/// The form of a setting's values: in the request's JSON, and as a user's word.
public struct SettingKind<Value: Sendable>: Sendable {
    /// The kind of a JSON value, for "must be a number".
    let title: String
    /// The same for a user's word.
    let words: String
    let read: @Sendable (JSONValue) -> Value?
    let write: @Sendable (Value) -> JSONValue
    let parse: @Sendable (String) -> Value?
    /// The possible words; nil if there are too many to list.
    let choices: [String]?

    init(
        _ title: String, words: String? = nil, choices: [String]? = nil, read: @escaping @Sendable (JSONValue) -> Value?,
        write: @escaping @Sendable (Value) -> JSONValue, parse: @escaping @Sendable (String) -> Value?
    ) {
        (self.title, self.words, self.choices) = (title, words ?? title, choices)
        (self.read, self.write, self.parse) = (read, write, parse)
    }

    /// The value of a word. Throws `.invalidRequest` for a word of another kind.
    public func value(_ word: String, of setting: Setting) throws(RenderError) -> Value {
        guard let value = parse(word) else {
            throw .invalidRequest("\(setting) must be \(words), not '\(word)'.", aboutAll: []).about(
                SettingFault(setting, value: .string(word), possible: choices.map { .choices($0) }))
        }
        return value
    }
}

extension SettingKind where Value == String {
    static let text = SettingKind("a string", read: \.stringValue, write: { .string($0) }, parse: { $0 })
}

extension SettingKind where Value == Int {
    static let whole = SettingKind(
        "a whole number", read: \.intValue, write: { .integer(Int64($0)) }, parse: { Int($0) })
}

extension SettingKind where Value == UInt64 {
    /// A whole number in a string: a seed may need all 64 bits.
    static let wide = SettingKind(
        "a whole number in a string", words: "a whole number", read: { $0.stringValue.flatMap { UInt64($0) } },
        write: { .string(String($0)) }, parse: { UInt64($0) })
}

extension SettingKind where Value == Double {
    static let number = SettingKind("a number", read: \.doubleValue, write: { .number($0) }, parse: { Double($0) })
}

extension SettingKind where Value == Float {
    static let float = SettingKind(
        "a number", read: { $0.doubleValue.map { Float($0) } },
        // The decimal number as written: 7.3, not 7.300000190734863.
        write: { .number(Double($0.description) ?? Double($0)) }, parse: { Float($0) })
}

extension SettingKind where Value == Bool {
    static let flag = SettingKind(
        "true or false", choices: ["true", "false"], read: \.boolValue, write: { .bool($0) }, parse: { Bool($0) })

    static let onOrOff = SettingKind(
        flag.title, words: "on or off", choices: ["on", "off"], read: flag.read, write: flag.write,
        parse: { word in ["on", "off"].contains(word) ? word == "on" : nil })
}

extension SettingKind where Value: RawRepresentable<String> & CaseIterable {
    /// One of the enumeration's cases by its name.
    public static var choice: SettingKind {
        SettingKind(
            "one of " + Value.allCases.map(\.rawValue).joined(separator: ", "), choices: Value.allCases.map(\.rawValue),
            read: { $0.stringValue.flatMap { Value(rawValue: $0) } }, write: { .string($0.rawValue) },
            parse: { Value(rawValue: $0) })
    }
}

extension SettingKind {
    /// A list of values. In a word commas stand between them, and an empty part counts.
    ///
    /// - Parameters:
    ///   - limit: the most values of a JSON list.
    ///   - none: the word for an empty list.
    static func list<Element>(
        _ element: SettingKind<Element>, _ title: String, words: String, limit: Int = .max, none: String? = nil
    ) -> SettingKind where Value == [Element] {
        SettingKind(
            title, words: words,
            read: { value in
                guard let list = value.arrayValue, list.count <= limit else { return nil }
                let elements = list.compactMap(element.read)
                return elements.count == list.count ? elements : nil
            },
            write: { .array($0.map(element.write)) },
            parse: { word in
                if word == none { return [] }
                let parts = word.split(separator: ",", omittingEmptySubsequences: false)
                let elements = parts.compactMap { element.parse(String($0)) }
                return elements.count == parts.count ? elements : nil
            })
    }

    /// Two whole numbers: an object with these members, or a word of two numbers without signs and a separator.
    static func pair(
        _ members: (String, String), words: String, separator: Character,
        _ parts: @escaping @Sendable (Value) -> (Int, Int), _ make: @escaping @Sendable (Int, Int) -> Value
    ) -> SettingKind {
        let (first, second) = members
        return SettingKind(
            "an object of \(first) and \(second)", words: words,
            read: { value in
                guard let fields = value.objectValue.map({ JSONFields($0) { $0 } }),
                    (try? fields.only([first, second])) != nil,
                    let a = try? fields.required(first, .integer(.min ... .max)),
                    let b = try? fields.required(second, .integer(.min ... .max))
                else { return nil }
                return make(a, b)
            },
            write: { value in
                let (a, b) = parts(value)
                var object = JSONObject()
                (object[first], object[second]) = (.integer(Int64(a)), .integer(Int64(b)))
                return .object(object)
            },
            parse: { word in
                let sides = word.split(separator: separator, omittingEmptySubsequences: false)
                guard sides.count == 2, sides.allSatisfy({ !$0.isEmpty && $0.allSatisfy { ("0"..."9").contains($0) } }),
                    let a = Int(sides[0]), let b = Int(sides[1])
                else { return nil }
                return make(a, b)
            })
    }
}

/// The possible values of a setting.
struct SettingRange<Value: Sendable>: Sendable {
    /// The same for other programs.
    let possible: PossibleValues
    let contains: @Sendable (Value) -> Bool
    /// The sentence about another value.
    let refusal: @Sendable (Value) -> String
}

/// A number as a bound.
protocol SettingNumber: Comparable, CustomStringConvertible, Sendable {
    var bound: Double { get }
}

extension Int: SettingNumber { var bound: Double { Double(self) } }
extension Float: SettingNumber { var bound: Double { Double(self) } }
extension Double: SettingNumber { var bound: Double { self } }

extension SettingRange where Value: SettingNumber {
    /// - Parameters:
    ///   - isOpen: whether the lower bound itself is impossible.
    ///   - choose: the possible values in words; nil takes the bounds.
    ///   - subject: the beginning of the refusal, such as "A strength of 2 is".
    init(
        _ range: ClosedRange<Value>, isOpen: Bool = false, choose: String? = nil,
        _ subject: @escaping @Sendable (Value) -> String
    ) {
        func short(_ bound: Value) -> String {
            bound.description.hasSuffix(".0") ? String(bound.description.dropLast(2)) : bound.description
        }
        let (lower, upper) = (short(range.lowerBound), short(range.upperBound))
        let choice = choose ?? (isOpen ? "one above \(lower), up to \(upper)" : "\(lower) to \(upper)")
        self.init(
            possible: .numbers(range.lowerBound.bound...range.upperBound.bound, isOpen: isOpen),
            contains: { range.contains($0) && !(isOpen && $0 == range.lowerBound) },
            refusal: { "\(subject($0)) not possible: choose \(choice)." })
    }
}

extension SettingRange where Value == Int {
    /// A side in pixels, a multiple of `RenderRequest.sideMultiple`.
    static func side(_ name: String, _ range: ClosedRange<Int>) -> SettingRange {
        let bounds = SettingRange(range) { "A \(name) of \($0) px is" }
        let multiple = RenderRequest.sideMultiple
        return SettingRange(
            possible: .numbers(range.lowerBound.bound...range.upperBound.bound, multiple: multiple),
            contains: { bounds.contains($0) && $0.isMultiple(of: multiple) },
            refusal: { side in
                guard range.contains(side) else { return bounds.refusal(side) }
                let below = side / multiple * multiple
                let choice = "\(max(range.lowerBound, below)) or \(below + multiple)"
                return "A \(name) of \(side) px is not a multiple of \(multiple): choose \(choice)."
            })
    }
}
