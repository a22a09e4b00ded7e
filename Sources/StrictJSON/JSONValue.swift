/// One JSON value (RFC 8259), from the strict reader or for the canonical writer.
///
/// Whole numbers and other numbers differ: `12` is `.integer(12)`, `12.0` and `1.2e1` are `.number(12)`. A whole number
/// beyond 64 bits, and `-0`, are `.number`, so `intValue` and `wholeValue` refuse them.
public enum JSONValue: Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    /// A whole number from 2^63 to 2^64 − 1. Smaller ones are `.integer`, so that equal numbers are equal values.
    case unsigned(UInt64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)

    /// The text of a string; nil for every other kind.
    public var stringValue: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// A whole number written without fraction and exponent; nil for every other kind.
    public var intValue: Int? {
        if case .integer(let value) = self { Int(exactly: value) } else { nil }
    }

    /// A whole number from 0 to 2^64 − 1 written without fraction and exponent; nil for every other kind.
    public var wholeValue: UInt64? {
        switch self {
        case .integer(let value): UInt64(exactly: value)
        case .unsigned(let value): value
        default: nil
        }
    }

    /// The whole number, as from the reader.
    public static func whole(_ number: UInt64) -> JSONValue {
        Int64(exactly: number).map { .integer($0) } ?? .unsigned(number)
    }

    /// Any number; nil for every other kind. Whole numbers beyond 2^53 are rounded to the nearest double.
    public var doubleValue: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .unsigned(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    /// A truth value; nil for every other kind.
    public var boolValue: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The elements of an array; nil for every other kind.
    public var arrayValue: [JSONValue]? {
        if case .array(let value) = self { value } else { nil }
    }

    /// The members of an object; nil for every other kind.
    public var objectValue: JSONObject? {
        if case .object(let value) = self { value } else { nil }
    }

    /// Whether the value is `null`.
    public var isNull: Bool {
        if case .null = self { true } else { false }
    }

    /// The member `key` of an object; nil if it is missing or the value is no object.
    public subscript(key: String) -> JSONValue? { objectValue?[key] }

    /// The kind of the value, for messages: "an object", "a string", …
    public var kindName: String {
        switch self {
        case .null: "null"
        case .bool: "a truth value"
        case .integer, .unsigned: "a whole number"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

extension JSONValue: Equatable {
    /// Strings are equal if their UTF-8 bytes are, not if Unicode calls them equivalent; members of objects in any order.
    public static func == (left: JSONValue, right: JSONValue) -> Bool {
        switch (left, right) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.integer(let a), .integer(let b)): a == b
        case (.unsigned(let a), .unsigned(let b)): a == b
        case (.number(let a), .number(let b)): a == b
        case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
        case (.array(let a), .array(let b)): a == b
        case (.object(let a), .object(let b)): a == b
        default: false
        }
    }
}

// Not by `nil`: if an optional is expected, `condition ? value : nil` would quietly become `.null`.
extension JSONValue: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }

    /// An object. A key written twice is a mistake of the program and stops it.
    public init(dictionaryLiteral members: (String, JSONValue)...) {
        var object = JSONObject()
        for (key, value) in members {
            precondition(object.append(key, value), "the key \"\(key)\" is written twice")
        }
        self = .object(object)
    }
}
