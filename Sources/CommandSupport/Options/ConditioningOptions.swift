public import ArgumentParser

/// How the prompt is read and how strongly it acts, beyond the prompt and the guidance scale themselves.
public struct ConditioningOptions: ParsableArguments {
    /// The defaults.
    public init() {}

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Read the text encoder's Nth layer from the end; 1 is the last, 0 and less the model's own.", valueName: "N"))
    var clipSkip: Int?

    @Option(
        parsing: .unconditional,
        help: "How much of the prompt's own contrast a guided picture gets back, 0 to 1 (against burnt colours).")
    var guidanceRescale: Float = 0

    @Option(
        parsing: .unconditional,
        help: "Guidance of views (default: the same as --cfg-scale; of the embedded model, refining a stage, 1).")
    var detailCfgScale: Float?

    @Option(help: ArgumentHelp("SDXL: size of the picture's original (default: the picture's).", valueName: "WxH"))
    var originalSize: String?

    @Option(
        help: ArgumentHelp("SDXL: where the picture's corner lies in the original (default: 0,0).", valueName: "top,left"))
    var cropCoordsTopLeft: String?

    @Option(help: ArgumentHelp("SDXL: size the picture is to have (default: its own).", valueName: "WxH"))
    var targetSize: String?
}
