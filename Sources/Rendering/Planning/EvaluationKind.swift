public import Acceleration

/// One kind of evaluation in a render, and its number. All evaluations of one kind take the same time.
public struct EvaluationKind: Sendable, Equatable {
    /// The input of one image, sides in latent points.
    public let channels: Int
    public let height: Int
    public let width: Int
    /// The switches of the first evaluation. Other evaluations have other window shifts and merge other tokens.
    public let switches: UNetSwitches
    /// The number of evaluations. A task with guidance makes two.
    public private(set) var evaluations: Int

    /// All kinds of a render, in the order of their first evaluations.
    public static func all(of machine: RenderMachine) -> [EvaluationKind] {
        var kinds: [EvaluationKind] = []
        for call in machine.plan.passes.flatMap(\.schedule) {
            var switches = call.switches
            switches.windowShifts = call.windowBlocks.map {
                WindowShifts.ids(seed: machine.plan.seed, call: call.draw, blocks: $0)
            }
            let kind = EvaluationKind(
                channels: machine.model.inputChannels, height: call.height, width: call.width, switches: switches,
                evaluations: call.evaluations)
            if let known = kinds.firstIndex(where: { $0.isOfOneKind(with: kind) }) {
                kinds[known].evaluations += call.evaluations
            } else {
                kinds.append(kind)
            }
        }
        return kinds
    }

    /// Whether evaluations of both take the same time.
    public func isOfOneKind(with other: EvaluationKind) -> Bool {
        (channels, height, width) == (other.channels, other.height, other.width)
            && switches.withoutChance == other.switches.withoutChance
    }
}

extension UNetSwitches {
    /// The switches without random draws and the view's place.
    fileprivate var withoutChance: UNetSwitches {
        var switches = self
        switches.windowShifts = windowShifts.map { [UInt8](repeating: 0, count: $0.count) }
        (switches.tokens.seed, switches.tokens.call) = (0, 0)
        (switches.tokens.originRow, switches.tokens.originColumn) = (0, 0)
        return switches
    }
}
