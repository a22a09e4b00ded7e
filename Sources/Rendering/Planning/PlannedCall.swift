import Acceleration
public import Places

/// One call of the network, on all inputs of its step: a patch, a view or the whole latent each. Resolved once; checks, counts,
/// texts, progress and tasks read it, and nothing works it out again.
public struct PlannedCall: Sendable, Equatable {
    /// The phase is `denoise`, `structure` or `detail`.
    public let place: Place<RenderPhase>
    /// The sampler's call, from 0 in its whole schedule, and whether one of its steps begins there.
    public let call: Int
    let beginsStep: Bool
    /// Its position among the calls that its pass makes, from 0, and how many these are.
    public let position: Int
    public let count: Int
    /// Its position among all calls that the render makes, from 0.
    public let number: Int
    /// What random draws count it as: no two calls of a render draw the same.
    let draw: Int
    /// Sides of one input, in latent points.
    public let height: Int
    public let width: Int
    /// Patches or views, a task each; one for the whole latent.
    public let inputs: Int
    /// Up to 1: no guidance, half the work.
    public let guidanceScale: Float
    public let usesHiDiffusion: Bool
    /// How many blocks HiDiffusion cuts into windows; nil for none.
    let windowBlocks: Int?
    /// What of RAU-Net is on.
    let rauNet: RAUNetSwitches
    /// What SDXL is told of sizes; a view has a corner of its own. nil for models that know nothing of sizes.
    let sizes: SizeConditioning?
    /// Which tokens are merged or downsampled. The origin is that of each input.
    var tokens = TokenSwitches.none

    public var phase: RenderPhase { place.phase }
    var endsPhase: Bool { place.step + 1 == place.stepCount }
    /// Whether it belongs to a later pass than the first.
    var isLater: Bool { place.stage > 0 }

    /// U-Net evaluations of single images.
    var evaluations: Int { inputs * (guidanceScale > 1 ? 2 : 1) }
}
