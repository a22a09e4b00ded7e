package import StrictJSON

/// Checked access to the members of metadata that came over the wire.
package typealias WireFields = JSONFields<RenderError>

extension WireFields {
    init(_ value: JSONValue, _ what: String) {
        self.init(value.objectValue ?? JSONObject()) { error in
            let key = error.key
            let problem =
                switch error.need {
                // What another version put there must not be ignored.
                case .absence: "a member \"\(key.prefix(60))\" that does not belong there"
                case .integer(let range): "no \"\(key)\" from \(range.lowerBound) to \(range.upperBound)"
                case .string: "no text \"\(key)\""
                case .flag: "no truth value \"\(key)\""
                case .list where error.element != nil: "a number out of range in \"\(key)\""
                case .list(_, let count): "no list \"\(key)\" of at most \(count.upperBound) numbers"
                case .words(let words): words
                default: "no \"\(key)\" that is \(error.need)"
                }
            return RenderError(.malformed, "\(what) has \(problem).")
        }
    }

    func integer(_ key: String, _ range: ClosedRange<Int>) throws(RenderError) -> Int { try required(key, .integer(range)) }

    func number(_ key: String) throws(RenderError) -> Float {
        let words = "no finite number \"\(key)\""
        return try required(
            key, JSONShape(.words(words)) { $0.doubleValue.map { Float($0) }.flatMap { $0.isFinite ? $0 : nil } })
    }

    func string(_ key: String) throws(RenderError) -> String { try required(key, .string()) }

    func flag(_ key: String) throws(RenderError) -> Bool { try required(key, .flag()) }

    /// A list of finite numbers, as many as `counts` allow; nil when the key is absent.
    func numbers(_ key: String, counts: [Int]) throws(RenderError) -> [Float]? {
        let allowed = counts.map(String.init).joined(separator: " or ")
        let shape = JSONShape<[Float]>(.words("no list \"\(key)\" of \(allowed) finite numbers")) { value in
            guard let numbers = value.arrayValue?.map({ Float($0.doubleValue ?? .nan) }) else { return nil }
            return counts.contains(numbers.count) && numbers.allSatisfy(\.isFinite) ? numbers : nil
        }
        return try optional(key, shape)
    }

    /// A list of at most `limit` whole numbers of `range`; nil when the key is absent.
    func integers(_ key: String, _ range: ClosedRange<Int>, limit: Int) throws(RenderError) -> [Int]? {
        try optional(key, .list(of: .integer(range), count: 0...limit))
    }
}
