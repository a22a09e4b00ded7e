import StrictJSON

/// Checked access to the members of metadata that came over the wire.
package struct WireFields {
    private let object: JSONObject?
    private let what: String

    init(_ value: JSONValue, _ what: String) {
        object = value.objectValue
        self.what = what
    }

    /// Refuses members that are not known: what another version put there must not be ignored.
    func only(_ keys: [String]) throws(RenderError) {
        guard let unknown = object?.keys.first(where: { !keys.contains($0) }) else { return }
        throw RenderError(.malformed, "\(what) has a member \"\(unknown.prefix(60))\" that does not belong there.")
    }

    func has(_ key: String) -> Bool { object?[key] != nil }

    func value(_ key: String) -> JSONValue? { object?[key] }

    func integer(_ key: String, _ range: ClosedRange<Int>) throws(RenderError) -> Int {
        guard let number = object?[key]?.intValue, range.contains(number) else {
            throw RenderError(.malformed, "\(what) has no \"\(key)\" from \(range.lowerBound) to \(range.upperBound).")
        }
        return number
    }

    func number(_ key: String) throws(RenderError) -> Float {
        guard let number = object?[key]?.doubleValue, Float(number).isFinite else {
            throw RenderError(.malformed, "\(what) has no finite number \"\(key)\".")
        }
        return Float(number)
    }

    func string(_ key: String) throws(RenderError) -> String {
        guard let text = object?[key]?.stringValue else { throw RenderError(.malformed, "\(what) has no text \"\(key)\".") }
        return text
    }

    func flag(_ key: String) throws(RenderError) -> Bool {
        guard let flag = object?[key]?.boolValue else {
            throw RenderError(.malformed, "\(what) has no truth value \"\(key)\".")
        }
        return flag
    }

    /// A list of finite numbers, as many as `counts` allow; nil when the key is absent.
    func numbers(_ key: String, counts: [Int]) throws(RenderError) -> [Float]? {
        guard let value = object?[key] else { return nil }
        let numbers = value.arrayValue?.compactMap { $0.doubleValue.map { Float($0) } }.filter(\.isFinite)
        guard let numbers, counts.contains(numbers.count), value.arrayValue?.count == numbers.count else {
            let allowed = counts.map(String.init).joined(separator: " or ")
            throw RenderError(.malformed, "\(what) has no list \"\(key)\" of \(allowed) finite numbers.")
        }
        return numbers
    }

    /// A list of at most `limit` whole numbers of `range`; nil when the key is absent.
    func integers(_ key: String, _ range: ClosedRange<Int>, limit: Int) throws(RenderError) -> [Int]? {
        guard let value = object?[key] else { return nil }
        guard let elements = value.arrayValue, elements.count <= limit else {
            throw RenderError(.malformed, "\(what) has no list \"\(key)\" of at most \(limit) numbers.")
        }
        var numbers: [Int] = []
        for element in elements {
            guard let number = element.intValue, range.contains(number) else {
                throw RenderError(.malformed, "\(what) has a number out of range in \"\(key)\".")
            }
            numbers.append(number)
        }
        return numbers
    }
}
