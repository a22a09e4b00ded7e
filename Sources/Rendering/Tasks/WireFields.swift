import Sentences
package import StrictJSON

/// Checked access to the members of metadata from the wire.
package typealias WireFields = JSONFields<RenderError>

extension WireFields {
    init(_ value: JSONValue, _ what: String) {
        self.init(value.objectValue ?? JSONObject()) { error in
            let key = error.key
            let problem =
                switch error.need {
                // Another version may have put it there, with a meaning that must not be ignored.
                case .absence: "a member \"\(key.prefix(60))\" that does not belong there"
                case .integer(let range): "no \"\(key)\" from \(range.lowerBound) to \(range.upperBound)"
                case .string: "no text \"\(key)\""
                case .flag: "no truth value \"\(key)\""
                case .list(let need, _) where error.element != nil: "an element in \"\(key)\" that is not \(need)"
                case .list: "no \"\(key)\" that is \(error.need)"
                case .words(let words): words
                default: "no \"\(key)\" that is \(error.need)"
                }
            return .malformed("\(what) has \(problem).")
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

    /// A list of finite numbers. `counts` has the possible lengths. nil if the key is absent.
    func numbers(_ key: String, counts: [Int]) throws(RenderError) -> [Float]? {
        let allowed = counts.map(String.init).joined(separator: " or ")
        let shape = JSONShape<[Float]>(.words("no list \"\(key)\" of \(allowed) finite numbers")) { value in
            guard let numbers = value.arrayValue?.map({ Float($0.doubleValue ?? .nan) }) else { return nil }
            return counts.contains(numbers.count) && numbers.allSatisfy(\.isFinite) ? numbers : nil
        }
        return try optional(key, shape)
    }
}
