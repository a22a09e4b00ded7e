import StrictJSON

/// Reads options of a scheduler configuration. `null` counts as absent. Any other surprise is an error that names the option.
typealias OptionReader = JSONFields<SamplerError>

extension OptionReader {
    init(options: JSONObject) {
        self.init(options, nullIsAbsent: true) { error in
            let (key, value) = (error.key, error.element ?? error.value ?? .null)
            if case .choice(let known) = error.need, let text = value.stringValue {
                return SamplerError(
                    .unsupported,
                    "scheduler_config.json: \(key) \"\(text)\" is not supported; \(known.joined(separator: ", ")) are.")
            }
            let need = Self.described(error.need, isElement: error.element != nil)
            return SamplerError(.badConfiguration, "scheduler_config.json: \(key) is \(value.brief) but must be \(need).")
        }
    }

    private static func described(_ need: JSONNeed, isElement: Bool) -> String {
        switch need {
        case .choice: "a string"
        case .list(.number, let count):
            isElement ? "numbers between 0 and 1" : "an array of \(count.upperBound) numbers (num_train_timesteps)"
        case .list: isElement ? "whole numbers from 0" : "a list of whole numbers"
        default: "\(need)"
        }
    }

    /// Sets `value` to the option if the file has it.
    func read<Value>(_ key: String, _ shape: JSONShape<Value>, into value: inout Value) throws(SamplerError) {
        if let option = try optional(key, shape) { value = option }
    }

    /// A list of whole numbers from 0, no longer than a run can use.
    func integers(_ key: String) throws(SamplerError) -> [Int]? {
        try optional(key, .list(of: .integer(0...Int.max), count: 0...100_000))
    }

    /// `trained_betas`: one number strictly between 0 and 1 for each training step.
    func betas(count: Int) throws(SamplerError) -> [Float]? {
        let between = Double.leastNonzeroMagnitude...1.0.nextDown
        return try optional("trained_betas", .list(of: .number(between), count: count...count))?.map { Float($0) }
    }
}
