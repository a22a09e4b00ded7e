/// The members of a JSON object in the order of the text. No key occurs twice. Keys are compared by UTF-8 bytes: spellings
/// that Unicode calls equivalent are different keys.
public struct JSONObject: Sendable {
    private var members: [(key: String, value: JSONValue)] = []
    /// Positions by key, only for objects too large for a linear search.
    private var positions: [ExactString: Int] = [:]

    private static let largestSearched = 8

    public init() {}

    /// The number of members.
    public var count: Int { members.count }

    public var isEmpty: Bool { members.isEmpty }

    /// The keys in the order they were written.
    public var keys: [String] { members.map(\.key) }

    /// The value of `key`; nil if it is missing. Setting a new key appends it; setting nil removes the member.
    public subscript(key: String) -> JSONValue? {
        get { position(of: key).map { members[$0].value } }
        set {
            switch (position(of: key), newValue) {
            case (let position?, let value?): members[position].value = value
            case (nil, let value?): append(key, value)
            case (let position?, nil):
                members.remove(at: position)
                rebuildPositions()
            case (nil, nil): break
            }
        }
    }

    /// Adds a member at the end. Returns false and changes nothing if the key exists.
    @discardableResult
    public mutating func append(_ key: String, _ value: JSONValue) -> Bool {
        guard position(of: key) == nil else { return false }
        members.append((key, value))
        if members.count == JSONObject.largestSearched + 1 {
            rebuildPositions()
        } else if members.count > JSONObject.largestSearched {
            positions[ExactString(key)] = members.count - 1
        }
        return true
    }

    private func position(of key: String) -> Int? {
        if members.count > JSONObject.largestSearched { return positions[ExactString(key)] }
        return members.firstIndex { $0.key.utf8.count == key.utf8.count && $0.key.utf8.elementsEqual(key.utf8) }
    }

    private mutating func rebuildPositions() {
        positions.removeAll()
        guard members.count > JSONObject.largestSearched else { return }
        for (position, member) in members.enumerated() { positions[ExactString(member.key)] = position }
    }
}

extension JSONObject: Sequence {
    public func makeIterator() -> IndexingIterator<[(key: String, value: JSONValue)]> { members.makeIterator() }
}

extension JSONObject: Equatable {
    /// Equal keys with equal values, in any order.
    public static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.count == right.count && left.members.allSatisfy { right[$0.key] == $0.value }
    }
}

/// A string that equals another only if their UTF-8 bytes are equal.
private struct ExactString: Hashable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (left: ExactString, right: ExactString) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}
