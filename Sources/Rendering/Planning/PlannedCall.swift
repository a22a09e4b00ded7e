import Acceleration
public import Places

/// One call of the network. Its inputs are patches, views or the whole canvas. Checks, counts, texts, progress and tasks all
/// read these decisions.
public struct PlannedCall: Sendable, Equatable {
    /// The phase is `denoise`, `structure` or `detail`.
    public let place: Place<RenderPhase>
    /// Its position in the sampler's whole schedule, from 0, and whether a step begins there.
    public let call: Int
    let beginsStep: Bool
    /// Its position among the calls that its pass makes, from 0, and their number.
    public let position: Int
    public let count: Int
    /// Its position among all calls that the render makes, from 0.
    public let number: Int
    /// Its number for random draws: no two calls of a render draw the same.
    let draw: Int
    /// Sides of one input, in latent points.
    public let height: Int
    public let width: Int
    /// Patches or views, a task each; 1 for the whole canvas.
    public let inputs: Int
    /// The guidance; 1 and less means no guidance and half the work.
    public let guidanceScale: Float
    public let usesHiDiffusion: Bool
    /// The number of blocks that HiDiffusion cuts into windows; nil for none.
    let windowBlocks: Int?
    let rauNet: RAUNetSwitches
    /// SDXL's sizes, nil for other models; each view has its own corner.
    let sizes: SizeConditioning?
    /// The token switches of the call. Each task puts in the origin of its view.
    var tokens = TokenSwitches.none

    public var phase: RenderPhase { place.phase }
    var endsPhase: Bool { place.step + 1 == place.stepCount }
    /// Whether it belongs to a later pass than the first.
    var isLater: Bool { place.stage > 0 }

    /// The network's switches before any random draw: windows are not shifted, and merged tokens begin at the canvas's corner.
    var switches: UNetSwitches {
        UNetSwitches(
            rad: rauNet.rad, pool: rauNet.pool, windowShifts: windowBlocks.map { [UInt8](repeating: 0, count: $0) },
            tokens: tokens)
    }

    /// Whether the network sees each input twice, with the prompt and with the negative prompt.
    var isGuided: Bool { guidanceScale > 1 }
    /// The network's evaluations of one input.
    var images: Int { isGuided ? 2 : 1 }
    var evaluations: Int { inputs * images }
}
