/// The kind of value that a reader needs in a member.
public indirect enum JSONNeed: Sendable, Equatable {
    case integer(ClosedRange<Int>)
    case number(ClosedRange<Double>)
    /// - Parameter maxBytes: the longest text in bytes of UTF-8.
    case string(maxBytes: Int)
    case flag
    case object
    /// One of these texts.
    case choice([String])
    case list(JSONNeed, count: ClosedRange<Int>)
    /// The object must not have the member.
    case absence
    /// Anything else, in the words of the reader.
    case words(String)
}

extension JSONNeed: CustomStringConvertible {
    /// The words after "must be".
    public var description: String {
        switch self {
        case .integer(let range) where range.upperBound == .max: "a whole number from \(range.lowerBound) on"
        case .integer(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .number(let range): "a number from \(range.lowerBound) to \(range.upperBound)"
        case .string(.max): "a string"
        case .string(let maxBytes): "a text of at most \(maxBytes) bytes"
        case .flag: "true or false"
        case .object: "an object"
        case .choice(let names): "one of \(names.joined(separator: ", "))"
        case .list(let need, let count): "a list of \(JSONNeed.words(count))elements, each \(need)"
        case .absence: "left out"
        case .words(let words): words
        }
    }

    /// The number of elements of a list in words; empty for any number.
    static func words(_ count: ClosedRange<Int>) -> String {
        let (least, most) = (count.lowerBound, count.upperBound)
        return switch (least, most) {
        case (0, .max): ""
        case (_, .max): "at least \(least) "
        case (most, _): "\(most) "
        case (0, _): "at most \(most) "
        default: "\(least) to \(most) "
        }
    }
}

/// A member of another kind than its reader needs, or a missing one.
public struct JSONFieldError: Error, Sendable, Equatable {
    public var key: String
    public var need: JSONNeed
    /// The value that stands there; nil if the member is missing.
    public var value: JSONValue?
    /// The element at fault in a list of a right length.
    public var element: JSONValue?

    /// `width 1.5, which is not a whole number from 1 to 100`: for a member that is there.
    public var found: String {
        "\(key.brief(60)) \((element ?? value ?? .null).brief), which is not \(need)"
    }
}

extension JSONValue {
    /// The value as it is written, at most 80 code points of it; for lists and objects only the kind.
    public var brief: String { arrayValue == nil && objectValue == nil ? canonicalText.brief(80) : kindName }
}

extension String {
    /// The text, or its first code points and `…`: a character may have any number of them.
    fileprivate func brief(_ limit: Int) -> String {
        unicodeScalars.count <= limit ? self : String(String.UnicodeScalarView(unicodeScalars.prefix(limit))) + "…"
    }
}

/// A kind of value, with its limits and the way to read it.
public struct JSONShape<Value> {
    public let need: JSONNeed
    /// Gives nil for a value of another kind. If this is a list with a wrong element, it gives the element.
    fileprivate let read: (JSONValue, _ wrongElement: inout JSONValue?) -> Value?
    /// Stands for a missing member; nil if there must be one.
    fileprivate var replacement: Value?
}

extension JSONShape {
    /// - Parameter read: gives nil for a value of another kind, or beyond the limits.
    public init(_ need: JSONNeed, _ read: @escaping (JSONValue) -> Value?) {
        self.init(need: need) { value, _ in read(value) }
    }

    /// An array with a number of elements in the range `count`.
    public static func list<Element>(of shape: JSONShape<Element>, count: ClosedRange<Int>) -> Self where Value == [Element] {
        Self(need: .list(shape.need, count: count)) { value, wrongElement in
            guard let elements = value.arrayValue, count.contains(elements.count) else { return nil }
            var values: [Element] = []
            for element in elements {
                guard let value = shape.read(element, &wrongElement) else {
                    wrongElement = element
                    return nil
                }
                values.append(value)
            }
            return values
        }
    }

    /// A value of the shape that `convert` takes.
    public func compactMap<Other>(_ convert: @escaping (Value) -> Other?) -> JSONShape<Other> {
        JSONShape<Other>(need: need) { value, wrongElement in read(value, &wrongElement).flatMap(convert) }
    }

    /// A value of the shape, or none if the member is missing.
    public static func optional<Wrapped>(_ shape: JSONShape<Wrapped>) -> Self where Value == Wrapped? {
        Self(need: shape.need, read: { shape.read($0, &$1).map { .some($0) } }, replacement: .some(nil))
    }

    /// One of the enumeration's cases by its name.
    public static func choice() -> Self where Value: RawRepresentable<String> & CaseIterable {
        Self(.choice(Value.allCases.map(\.rawValue))) { value in
            value.stringValue.flatMap { name in Value.allCases.first { $0.rawValue == name } }
        }
    }

    /// A whole number written without fraction and exponent.
    public static func integer(_ range: ClosedRange<Int>) -> Self where Value == Int {
        Self(.integer(range)) { value in value.intValue.flatMap { range.contains($0) ? $0 : nil } }
    }

    /// Any number.
    public static func number(_ range: ClosedRange<Double>) -> Self where Value == Double {
        Self(.number(range)) { value in value.doubleValue.flatMap { range.contains($0) ? $0 : nil } }
    }

    /// A text of at most `maxBytes` bytes of UTF-8.
    public static func string(maxBytes: Int = .max) -> Self where Value == String {
        Self(.string(maxBytes: maxBytes)) { value in value.stringValue.flatMap { $0.utf8.count <= maxBytes ? $0 : nil } }
    }

    /// A truth value.
    public static func flag() -> Self where Value == Bool { Self(.flag, \.boolValue) }

    /// An object with any members.
    public static func object() -> Self where Value == JSONObject { Self(.object, \.objectValue) }
}

/// Strict access to the members of an object from outside. A member that is missing or wrong is a `JSONFieldError`, which the
/// reader turns into an error in its own words.
public struct JSONFields<Failure: Error>: Sendable {
    public let members: JSONObject
    private let nullIsAbsent: Bool
    private let failure: @Sendable (JSONFieldError) -> Failure

    /// - Parameter nullIsAbsent: whether a member that is `null` counts as missing.
    public init(
        _ members: JSONObject, nullIsAbsent: Bool = false, failure: @escaping @Sendable (JSONFieldError) -> Failure
    ) {
        (self.members, self.nullIsAbsent, self.failure) = (members, nullIsAbsent, failure)
    }

    /// The member as it is; nil if it is missing.
    public subscript(key: String) -> JSONValue? {
        members[key].flatMap { nullIsAbsent && $0.isNull ? nil : $0 }
    }

    /// Refuses members of other names.
    public func only(_ keys: [String]) throws(Failure) {
        guard let unknown = members.keys.first(where: { !keys.contains($0) }) else { return }
        throw fault(unknown, .absence)
    }

    /// Refuses a member that is missing, of another kind or beyond the limits.
    public func required<Value>(_ key: String, _ shape: JSONShape<Value>) throws(Failure) -> Value {
        if let replacement = shape.replacement, self[key] == nil { return replacement }
        var wrongElement: JSONValue?
        guard let value = self[key].flatMap({ shape.read($0, &wrongElement) }) else {
            throw fault(key, shape.need, element: wrongElement)
        }
        return value
    }

    /// Gives nil if the member is missing.
    public func optional<Value>(_ key: String, _ shape: JSONShape<Value>) throws(Failure) -> Value? {
        self[key] == nil ? nil : try required(key, shape)
    }

    /// The error for a member that does not meet the need.
    public func fault(_ key: String, _ need: JSONNeed, element: JSONValue? = nil) -> Failure {
        failure(JSONFieldError(key: key, need: need, value: self[key], element: element))
    }
}
