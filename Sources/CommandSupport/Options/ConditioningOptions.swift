import ArgumentParser

/// The options for the network's reading of the prompt, and for the strength of the prompt's effect.
struct ConditioningOptions: ParsableArguments {
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Read the text encoder's Nth layer from the end; 1 is the last, 0 and less the model's own.", valueName: "N"))
    var clipSkip: Int?

    @Option(
        parsing: .unconditional,
        help: "Against burnt colours: how far a guided picture returns to the contrast of the prompt alone, 0 to 1.")
    var guidanceRescale: Float = 0

    @Option(
        parsing: .unconditional,
        help: "Guidance of views (default: the same as --cfg-scale; 1 in later stages of the embedded model).")
    var detailCfgScale: Float?

    @Option(help: ArgumentHelp("SDXL: size of the picture's original (default: the picture's).", valueName: "WxH"))
    var originalSize: String?

    @Option(help: ArgumentHelp("SDXL: where the picture's corner lies in the original (default: 0,0).", valueName: "top,left"))
    var cropCoordsTopLeft: String?

    @Option(help: ArgumentHelp("SDXL: size the picture is to have (default: its own).", valueName: "WxH"))
    var targetSize: String?
}
