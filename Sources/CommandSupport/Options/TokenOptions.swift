import Acceleration
import ArgumentParser
import Rendering

/// The options for a U-Net that works on fewer tokens, with the words of tomesd, A1111's web UI and kohya's scripts.
struct TokenOptions: ParsableArguments {
    private static let usual = TokenReductionRequest()
    private static let merging = TokenReductionRequest.Merging()
    private static let downsampling = TokenReductionRequest.Downsampling()

    @Option(
        name: [.long, .customLong("token-merging-ratio")], parsing: .unconditional,
        help: "Token merging (ToMe): the share of the tokens that each block merges away, 0 to 1.")
    var tomeRatio: Double?

    @Option(parsing: .unconditional, help: "The share in the last step (default: --tome-ratio).")
    var tomeFinalRatio: Double?

    @Option(
        name: [.customLong("tome-hires-ratio"), .customLong("token-merging-ratio-hr")], parsing: .unconditional,
        help: ArgumentHelp(
            "The share in later stages; 0 means --tome-ratio, as in A1111. Without --tome-ratio the first stage merges none.",
            valueName: "ratio"))
    var tomeHiresRatio: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Width of a cell; one token of each cell always stays (default: \(Self.merging.cellWidth)).", valueName: "tokens"))
    var tomeSx: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Height of the cells (default: \(Self.merging.cellHeight)).", valueName: "tokens"))
    var tomeSy: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Merge in blocks up to this level, 1, 2, 4 or 8; SDXL has none at level 1 (default: \(Self.merging.deepestLevel)).",
            valueName: "level"))
    var tomeMaxDownsample: Int?

    @Option(help: ArgumentHelp("Merge in the blocks of these levels instead, such as 2,4.", valueName: "levels"))
    var tomeLevels: String?

    @Option(
        help: ArgumentHelp(
            "Parts of the blocks that run on merged tokens: attention, cross, mlp, with commas between (default: \(Self.merging.parts.names.joined(separator: ","))).",
            valueName: "parts"))
    var tomeLayers: String?

    @Option(
        help: ArgumentHelp(
            "Which token of a cell stays: fixed, the top left one, or random (default: \(Self.merging.destinations.rawValue)).",
            valueName: "how"))
    var tomeDestinations: String?

    @Flag(help: "Merge the queries of self-attention only.")
    var tomeQueriesOnly = false

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Token downsampling (ToDo): how many times shorter the sides of the keys' grid are, 1 and above; one number a level, or one "
                + "for all down to --todo-max-depth.", valueName: "factor"))
    var todoFactor: [Double] = []

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Levels that are downsampled (default: as many as there are factors).", valueName: "levels"))
    var todoMaxDepth: Int?

    @Option(
        help: ArgumentHelp(
            "nearest or nearest-exact (default: \(Self.downsampling.interpolation.rawValue)).", valueName: "method"))
    var todoMethod: String?

    @Option(
        help: ArgumentHelp(
            "keys_values, or all: also the queries, with results enlarged again (default: \(Self.downsampling.scope.rawValue)).",
            valueName: "scope"))
    var todoScope: String?

    @Option(
        help: ArgumentHelp(
            "Steps with fewer tokens, as shares of a stage's steps, such as 0:0.8 (default: \(Int(Self.usual.start)):\(Int(Self.usual.end))).",
            valueName: "start:end"))
    var tokenSteps: String?

    @Option(
        help: ArgumentHelp(
            "all, or later: not the first stage, which decides the content (default: \(Self.usual.stages.rawValue)).",
            valueName: "stages"))
    var tokenStages: String?
}
