/// The form of a `Record` in a JSON object. The key of each member, its property and its shape are declared once, for reading
/// and for writing.
///
/// `@unchecked Sendable`: it is made from literals of key paths and closures that capture limits only, and never changes. So
/// types whose values come in thousands a second make theirs once.
public struct JSONRecord<Record>: @unchecked Sendable {
    public typealias Fields = JSONFields<JSONFieldError>

    fileprivate let read: (Fields) throws(JSONFieldError) -> Record
    fileprivate let write: (Record, inout JSONObject) -> Void

    /// - Parameters:
    ///   - make: makes a record from the values of the members, in their order.
    ///   - members: the key, the property and the shape of each member.
    public init<each Value: JSONRepresentable>(
        _ make: @escaping (repeat each Value) -> Record,
        _ members: repeat (String, KeyPath<Record, each Value>, JSONShape<each Value>)
    ) {
        read = { fields throws(JSONFieldError) in make(repeat try fields.required((each members).0, (each members).2)) }
        write = { record, object in repeat object.put((each members).0, record[keyPath: (each members).1]) }
    }

    /// A record with members that depend on each other.
    public init(
        reading read: @escaping (Fields) throws(JSONFieldError) -> Record,
        writing write: @escaping (Record, inout JSONObject) -> Void
    ) {
        (self.read, self.write) = (read, write)
    }
}

/// A type that declares its members.
public protocol JSONRecordable: JSONRepresentable {
    static var record: JSONRecord<Self> { get }
}

extension JSONRecordable {
    public typealias Fields = JSONFields<JSONFieldError>

    /// Reads the members strictly, and skips others.
    public init(_ fields: Fields) throws(JSONFieldError) { self = try Self.record.read(fields) }

    /// Adds the members to an object.
    public func write(to object: inout JSONObject) { Self.record.write(self, &object) }

    public var jsonValue: JSONValue? {
        var object = JSONObject()
        write(to: &object)
        return .object(object)
    }
}

extension JSONShape where Value: JSONRecordable {
    /// An object with the members of a record.
    public static var record: Self {
        Self(.words("an object with its members")) { value in value.objectValue.flatMap { try? Value(Value.Fields($0) { $0 }) }
        }
    }
}

/// A value that can stand in a JSON object.
public protocol JSONRepresentable {
    /// The value in JSON; nil leaves the member out.
    var jsonValue: JSONValue? { get }
}

extension JSONValue: JSONRepresentable {
    public var jsonValue: JSONValue? { self }
}

extension String: JSONRepresentable {
    public var jsonValue: JSONValue? { .string(self) }
}

extension Int: JSONRepresentable {
    public var jsonValue: JSONValue? { .integer(Int64(self)) }
}

extension Bool: JSONRepresentable {
    public var jsonValue: JSONValue? { .bool(self) }
}

extension UInt64: JSONRepresentable {
    public var jsonValue: JSONValue? { .whole(self) }
}

extension Double: JSONRepresentable {
    public var jsonValue: JSONValue? { .number(self) }
}

extension Array: JSONRepresentable where Element: JSONRepresentable {
    public var jsonValue: JSONValue? { .array(compactMap(\.jsonValue)) }
}

extension Optional: JSONRepresentable where Wrapped: JSONRepresentable {
    public var jsonValue: JSONValue? { flatMap(\.jsonValue) }
}

extension JSONRepresentable where Self: RawRepresentable<String> {
    public var jsonValue: JSONValue? { .string(rawValue) }
}

extension JSONObject {
    /// Adds a member at the end, unless the value is left out.
    public mutating func put(_ key: String, _ value: some JSONRepresentable) {
        if let value = value.jsonValue { append(key, value) }
    }
}
