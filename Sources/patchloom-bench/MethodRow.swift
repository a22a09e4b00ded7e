import Acceleration
import Rendering
import StrictJSON

/// One method of a comparison: its kinds of U-Net calls and their cost.
struct MethodRow {
    /// The cost of one call with a single image.
    struct Cost {
        var seconds: Double
        /// Multiplications and additions.
        var operations: UInt64
        /// The most bytes of activations at one time.
        var activationBytes: Int
    }

    struct Part {
        var kind: EvaluationKind
        var cost: Cost
    }

    var name: String
    var parts: [Part]

    var evaluations: Int { parts.reduce(0) { $0 + $1.kind.evaluations } }
    var seconds: Double { parts.reduce(0) { $0 + $1.cost.seconds * Double($1.kind.evaluations) } }
    var operations: Double { parts.reduce(0) { $0 + Double($1.cost.operations) * Double($1.kind.evaluations) } }
    var activationBytes: Int { parts.map(\.cost.activationBytes).max() ?? 0 }

    /// Lines for people. The sums are those of a whole picture.
    ///
    /// - Parameter base: the method to compare the others with.
    func lines(base: MethodRow) -> [String] {
        let total =
            column(name, 28) + column("\(evaluations) evaluations", 20, right: true)
            + column(decimal(operations * 1e-12, 1) + " TFLOP", 18, right: true)
            + column(decimal(seconds, 0) + " s extrapolated", 24, right: true)
            + column(decimal(base.seconds / seconds, 2) + "× as fast as \(base.name)", 28, right: true)
        return [total]
            + parts.map { part in
                column("  \(part.title)", 28) + column("\(part.kind.evaluations) evaluations", 20, right: true)
                    + column(decimal(Double(part.cost.operations) * 1e-12, 3) + " TFLOP each", 18, right: true)
                    + column(decimal(part.cost.seconds, 3) + " s each", 24, right: true)
                    + column("\(part.cost.activationBytes >> 20) MiB of activations", 28, right: true)
            }
    }

    func json(base: MethodRow) -> JSONValue {
        var object = JSONObject()
        object["method"] = .string(name)
        object["unet_evaluations"] = .integer(Int64(evaluations))
        object["tflop"] = .number(operations * 1e-12)
        object["seconds_extrapolated"] = .number(seconds)
        object["relative_to"] = .string(base.name)
        object["speed_up"] = .number(base.seconds / seconds)
        object["peak_activation_bytes"] = .integer(Int64(activationBytes))
        object["calls"] = .array(parts.map(\.json))
        return .object(object)
    }
}

extension MethodRow.Part {
    /// The size of the U-Net's input, and everything that is switched on.
    var title: String { (["\(kind.width)×\(kind.height)"] + kind.switches.switchedOn).joined(separator: " ") }

    var json: JSONValue {
        var object = JSONObject()
        object["latent_width"] = .integer(Int64(kind.width))
        object["latent_height"] = .integer(Int64(kind.height))
        object["switched_on"] = .array(kind.switches.switchedOn.map { .string($0) })
        object["unet_evaluations"] = .integer(Int64(kind.evaluations))
        object["seconds"] = .number(cost.seconds)
        object["tflop"] = .number(Double(cost.operations) * 1e-12)
        object["peak_activation_bytes"] = .integer(Int64(cost.activationBytes))
        return .object(object)
    }
}

extension UNetSwitches {
    /// The switches in words.
    var switchedOn: [String] {
        var words: [String] = []
        if rad { words.append("rad") }
        if pool { words.append("pool") }
        if windowShifts != nil { words.append("windows") }
        let reductions = tokens.reductions.sorted { $0.key < $1.key }
        words += reductions.map { level, reduction in
            switch reduction {
            case .downsampling(let method): "todo:\(level)/\(decimal(method.factor, 2))"
            case .merging(let method): "tome:\(level)/\(decimal(method.ratio, 2))"
            }
        }
        return words
    }
}
