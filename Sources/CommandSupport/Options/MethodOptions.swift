import Acceleration
public import ArgumentParser
import Rendering

/// The method for a picture beyond the native size.
public struct MethodOptions: ParsableArguments {
    /// The defaults.
    public init() {}

    @Option(
        help: ArgumentHelp(
            "auto, direct (the whole picture at once), cut (CutDiffusion), hires (small first, then enlarged and denoised again) or "
                + "multidiffusion (overlapping views only).", valueName: "method"))
    public var method = "auto"

    @Option(help: ArgumentHelp("auto, on or off: HiDiffusion beyond the model's native size.", valueName: "mode"))
    public var hidiffusion = "auto"

    @Option(
        help: ArgumentHelp(
            "HiDiffusion's profile: auto, \(HiDiffusionProfile.allCases.map(\.rawValue).joined(separator: ", ")). Playground v2 looks like "
                + "any SDXL model and needs sdxl_playground.", valueName: "family"))
    var hidiffusionFamily = "auto"

    @Option(help: ArgumentHelp("on or off: HiDiffusion's resolution-aware U-Net (default: on).", valueName: "switch"))
    var hidiffusionRaunet: String?

    @Option(help: ArgumentHelp("on or off: HiDiffusion's window attention (default: on).", valueName: "switch"))
    var hidiffusionWindowAttn: String?

    @Option(
        name: .customLong("hidiffusion-t1"), parsing: .unconditional,
        help: ArgumentHelp(
            "RAU-Net: the share of the steps of its main operator, 0 to 1 (default: as published).", valueName: "share"))
    var hidiffusionT1: Double?

    @Option(
        name: .customLong("hidiffusion-t2"), parsing: .unconditional,
        help: ArgumentHelp(
            "RAU-Net: the share of the steps of its other operator, 0 to 1 (default: as published).", valueName: "share"))
    var hidiffusionT2: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "RAU-Net of SDXL below 4096 px: the share of the steps that begin aggressively, 0 to 1 (default: as published).",
            valueName: "share"))
    var hidiffusionAggressive: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Side of a patch in pixels (default: the model's native size).", valueName: "pixels"))
    var patch: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Distance of neighbouring views in the detail phase, in pixels (default: half a patch).", valueName: "pixels"))
    var stride: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "In each call the views move at random by at most this many pixels; 0: not at all (default: a quarter of the overlap; later stages 0).",
            valueName: "pixels"))
    var jitter: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Side of the tiles in which the autoencoder decodes the picture, in pixels; they do not show (default: by memory).",
            valueName: "pixels"))
    var vaeTileSize: Int?

    @Option(
        help: ArgumentHelp(
            "exact, or blend: tiles decoded each by itself with fading borders, as other programs do, for comparison (default: \(RenderRequest().vaeTiling.rawValue)).",
            valueName: "how"))
    var vaeTiling: String?

    @Option(
        help: ArgumentHelp(
            "uniform (all views count alike, as published) or feather (views count less towards their borders; default: uniform, in later stages feather).",
            valueName: "weights"))
    var blend: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Share of the steps in the structure phase, such as 0.4 (default: the model's).", valueName: "fraction"))
    var structureFraction: String?

    @Option(
        help: ArgumentHelp(
            "The network's input in the structure phase: patches, as published, or the whole canvas (with HiDiffusion).",
            valueName: "kind"))
    var structure: String?

    @Option(
        help: ArgumentHelp(
            "Sizes of the stages before the last, as multiples of the native size, such as 1,2, or none (default: with auto each is "
                + "twice the one before, with cut none, with hires 1).", valueName: "factors"))
    var stages: String?

    @Option(
        name: [.customLong("denoising-strength"), .customLong("hires-denoising-strength")], parsing: .unconditional,
        help: ArgumentHelp(
            "How much of its enlarged input a later stage makes anew, above 0 to 1 (default: \(RecommendedSettings.denoisingStrength(.cut)); with hires \(RecommendedSettings.denoisingStrength(.hires))).",
            valueName: "strength"))
    var denoisingStrength: Float?

    @Option(
        help: ArgumentHelp(
            "How a stage's result is enlarged: lanczos (pixels), latent, latent-bicubic or latent-nearest (default: lanczos).",
            valueName: "upscaler"))
    var hiresUpscaler: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Steps of the later stages; the denoising strength takes its share of them (default: as many as --steps).",
            valueName: "steps"))
    var hiresSteps: Int?

    @Flag(help: "Method hires: later stages in overlapping views, not at once.")
    var hiresTiled = false
}
