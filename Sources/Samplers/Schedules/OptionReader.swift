import StrictJSON

/// Reads options of a scheduler configuration. `null` counts as absent. Any other surprise is an error that names the option.
struct OptionReader {
    private let json: JSONValue

    init(_ json: JSONValue) { self.json = json }

    func flag(_ key: String) throws(SamplerError) -> Bool? {
        guard let value = present(key) else { return nil }
        guard let flag = value.boolValue else { throw wrong(key, value, "true or false") }
        return flag
    }

    func text(_ key: String) throws(SamplerError) -> String? {
        guard let value = present(key) else { return nil }
        guard let text = value.stringValue else { throw wrong(key, value, "a string") }
        return text
    }

    func choice<Choice: RawRepresentable & CaseIterable & Equatable>(_ key: String) throws(SamplerError) -> Choice?
    where Choice.RawValue == String {
        guard let text = try text(key) else { return nil }
        guard let choice = Choice(rawValue: text), Choice.allCases.contains(choice) else {
            let known = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw SamplerError(.unsupported, "scheduler_config.json: \(key) \"\(text)\" is not supported; \(known) are.")
        }
        return choice
    }

    func integer(_ key: String, default fallback: Int, in range: ClosedRange<Int>) throws(SamplerError) -> Int {
        guard let value = present(key) else { return fallback }
        guard let integer = value.intValue, range.contains(integer) else {
            throw wrong(key, value, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return integer
    }

    func number(_ key: String, default fallback: Double, in range: ClosedRange<Double>) throws(SamplerError) -> Double {
        try optionalNumber(key, in: range) ?? fallback
    }

    func optionalNumber(_ key: String, in range: ClosedRange<Double>) throws(SamplerError) -> Double? {
        guard let value = present(key) else { return nil }
        guard let number = value.doubleValue, range.contains(number) else {
            throw wrong(key, value, "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// A list of whole numbers from 0, no longer than a run can use.
    func integers(_ key: String) throws(SamplerError) -> [Int]? {
        guard let value = present(key) else { return nil }
        guard let elements = value.arrayValue, elements.count <= 100_000 else {
            throw wrong(key, value, "a list of whole numbers")
        }
        var integers: [Int] = []
        for element in elements {
            guard let integer = element.intValue, integer >= 0 else { throw wrong(key, element, "whole numbers from 0") }
            integers.append(integer)
        }
        return integers
    }

    /// Whether the option is present.
    func has(_ key: String) -> Bool { present(key) != nil }

    /// `trained_betas`: one number strictly between 0 and 1 for each training step.
    func betas(count: Int) throws(SamplerError) -> [Float]? {
        guard let value = present("trained_betas") else { return nil }
        guard let elements = value.arrayValue, elements.count == count else {
            throw wrong("trained_betas", value, "an array of \(count) numbers (num_train_timesteps)")
        }
        var betas: [Float] = []
        for element in elements {
            guard let beta = element.doubleValue, beta > 0, beta < 1 else {
                throw wrong("trained_betas", element, "numbers between 0 and 1")
            }
            betas.append(Float(beta))
        }
        return betas
    }

    private func present(_ key: String) -> JSONValue? {
        guard let value = json[key], !value.isNull else { return nil }
        return value
    }

    private func wrong(_ key: String, _ value: JSONValue, _ need: String) -> SamplerError {
        let shown = value.arrayValue == nil && value.objectValue == nil ? value.canonicalText : value.kindName
        return SamplerError(.badConfiguration, "scheduler_config.json: \(key) is \(shown.prefix(80)) but must be \(need).")
    }
}
