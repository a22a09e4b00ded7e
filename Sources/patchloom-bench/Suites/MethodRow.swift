import Acceleration
import MethodComparison
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
            + column(Decimal.fixed(operations * 1e-12, digits: 1) + " TFLOP", 18, right: true)
            + column(Decimal.fixed(seconds, digits: 0) + " s extrapolated", 24, right: true)
            + column(Decimal.fixed(base.seconds / seconds, digits: 2) + "× as fast as \(base.name)", 28, right: true)
        return [total]
            + parts.map { part in
                column("  \(part.title)", 28) + column("\(part.kind.evaluations) evaluations", 20, right: true)
                    + column(Decimal.fixed(Double(part.cost.operations) * 1e-12, digits: 3) + " TFLOP each", 18, right: true)
                    + column(Decimal.fixed(part.cost.seconds, digits: 3) + " s each", 24, right: true)
                    + column("\(part.cost.activationBytes >> 20) MiB of activations", 28, right: true)
            }
    }

    func json(base: MethodRow) -> JSONValue {
        [
            "method": .string(name), "unet_evaluations": .integer(Int64(evaluations)),
            "tflop": .number(operations * 1e-12), "seconds_extrapolated": .number(seconds),
            "relative_to": .string(base.name), "speed_up": .number(base.seconds / seconds),
            "peak_activation_bytes": .integer(Int64(activationBytes)), "calls": .array(parts.map(\.json)),
        ]
    }
}

extension MethodRow.Part {
    /// The size of the U-Net's input, and everything that is switched on.
    var title: String { (["\(kind.width)×\(kind.height)"] + kind.switches.switchedOn).joined(separator: " ") }

    var json: JSONValue {
        [
            "latent_width": .integer(Int64(kind.width)), "latent_height": .integer(Int64(kind.height)),
            "switched_on": .array(kind.switches.switchedOn.map { .string($0) }),
            "unet_evaluations": .integer(Int64(kind.evaluations)), "seconds": .number(cost.seconds),
            "tflop": .number(Double(cost.operations) * 1e-12), "peak_activation_bytes": .integer(Int64(cost.activationBytes)),
        ]
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
            case .downsampling(let method): "todo:\(level)/\(Decimal.fixed(method.factor, digits: 2))"
            case .merging(let method): "tome:\(level)/\(Decimal.fixed(method.ratio, digits: 2))"
            }
        }
        return words
    }
}
