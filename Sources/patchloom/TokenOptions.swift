import Acceleration
import ArgumentParser
import Rendering

/// How the U-Net works on fewer tokens, in the words of tomesd, of A1111's web UI and of kohya's scripts.
struct TokenOptions: ParsableArguments {
    @Option(
        name: [.long, .customLong("token-merging-ratio")], parsing: .unconditional,
        help: "Token merging (ToMe): share of the tokens that are merged away in each block, 0 to 1.")
    var tomeRatio: Double?

    @Option(parsing: .unconditional, help: "The share in the last step, when it is to change (default: --tome-ratio).")
    var tomeFinalRatio: Double?

    @Option(
        name: [.customLong("tome-hires-ratio"), .customLong("token-merging-ratio-hr")], parsing: .unconditional,
        help: ArgumentHelp(
            "The share in the stages behind the first; 0 means that of --tome-ratio, as in A1111. Alone: none in the first stage.",
            valueName: "ratio"))
    var tomeHiresRatio: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Width of the cells of which one token stays in any case (default: 2).", valueName: "tokens"))
    var tomeSx: Int?

    @Option(
        parsing: .unconditional, help: ArgumentHelp("Height of the cells (default: 2).", valueName: "tokens"))
    var tomeSy: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Merge in blocks up to this level, 1, 2, 4 or 8; SDXL has none at level 1 (default: 1).", valueName: "level"))
    var tomeMaxDownsample: Int?

    @Option(help: ArgumentHelp("Merge in the blocks of these levels instead, such as 2,4.", valueName: "levels"))
    var tomeLevels: String?

    @Option(
        help: ArgumentHelp(
            "Parts of the blocks that run on merged tokens: attention, cross, mlp, with commas between (default: attention).",
            valueName: "parts"))
    var tomeLayers: String?

    @Option(
        help: ArgumentHelp(
            "Which token of a cell stays: fixed, the top left one, or random (default: fixed).", valueName: "how")
    )
    var tomeDestinations: String?

    @Flag(help: "Merge the queries of self-attention only.")
    var tomeQueriesOnly = false

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Token downsampling (ToDo): how many times shorter the sides of the keys' grid are, 1 and above; one number a level, or one "
                + "for all down to --todo-max-depth.",
            valueName: "factor"))
    var todoFactor: [Double] = []

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Levels that are downsampled (default: as many as there are factors).", valueName: "levels"))
    var todoMaxDepth: Int?

    @Option(help: ArgumentHelp("nearest, or nearest-exact (default).", valueName: "method"))
    var todoMethod: String?

    @Option(
        help: ArgumentHelp(
            "keys_values, or all for the queries too, whose results are enlarged again (default: keys_values).",
            valueName: "scope"))
    var todoScope: String?

    @Option(
        help: ArgumentHelp(
            "Steps with fewer tokens, as shares of those that a stage makes, such as 0:0.8 (default: 0:1).",
            valueName: "start:end"))
    var tokenSteps: String?

    @Option(
        help: ArgumentHelp(
            "all, or later: only the stages behind the first, which decides what the picture shows (default: all).",
            valueName: "stages"))
    var tokenStages: String?

    /// Puts what was asked for into a request.
    func apply(to request: inout RenderRequest) throws(CommandFailure) {
        var tokens = TokenReductionRequest()
        tokens.merging = try merging()
        tokens.downsampling = try downsampling()
        guard tokens.merging != nil || tokens.downsampling != nil else {
            guard tokenSteps == nil, tokenStages == nil else {
                throw CommandFailure(
                    .usage, "--token-steps and --token-stages belong to --tome-ratio or --todo-factor: give one of them.")
            }
            return
        }
        if let tokenStages { tokens.stages = try RequestOptions.choice(tokenStages, "token-stages") }
        if let tokenSteps { (tokens.start, tokens.end) = try Self.range(tokenSteps) }
        request.tokenReduction = tokens
    }

    private func merging() throws(CommandFailure) -> TokenReductionRequest.Merging? {
        let others: [(String, Bool)] = [
            ("final-ratio", tomeFinalRatio != nil), ("sx", tomeSx != nil),
            ("sy", tomeSy != nil),
            ("max-downsample", tomeMaxDownsample != nil), ("levels", tomeLevels != nil), ("layers", tomeLayers != nil),
            ("destinations", tomeDestinations != nil), ("queries-only", tomeQueriesOnly),
        ]
        let later = tomeHiresRatio == 0 ? nil : tomeHiresRatio
        guard let tomeRatio = tomeRatio ?? later.map({ _ in 0 }) else {
            guard let other = others.first(where: \.1) else { return nil }
            throw CommandFailure(.usage, "--tome-\(other.0) belongs to --tome-ratio: give that too.")
        }
        var merging = TokenReductionRequest.Merging(ratio: tomeRatio)
        (merging.finalRatio, merging.laterRatio) = (tomeFinalRatio, later)
        merging.cellWidth = tomeSx ?? merging.cellWidth
        merging.cellHeight = tomeSy ?? merging.cellHeight
        merging.maximumDownsample = tomeMaxDownsample
        merging.queriesOnly = tomeQueriesOnly
        if let tomeLevels {
            let levels = Self.words(tomeLevels).map { Int($0) }
            guard !levels.contains(nil) else {
                throw CommandFailure(.usage, "--tome-levels must be levels such as 2,4, not '\(tomeLevels)'.")
            }
            merging.levels = levels.compactMap(\.self)
        }
        if let tomeLayers {
            guard let parts = TokenMerging.Parts(names: Self.words(tomeLayers)) else {
                throw CommandFailure(
                    .usage, "--tome-layers must be attention, cross and mlp with commas between, not '\(tomeLayers)'.")
            }
            merging.parts = parts
        }
        if let tomeDestinations {
            merging.destinations = try RequestOptions.choice(tomeDestinations, "tome-destinations")
        }
        return merging
    }

    private func downsampling() throws(CommandFailure) -> TokenReductionRequest.Downsampling? {
        guard !todoFactor.isEmpty else {
            guard todoMaxDepth == nil, todoMethod == nil, todoScope == nil else {
                throw CommandFailure(
                    .usage, "--todo-max-depth, --todo-method and --todo-scope belong to --todo-factor: give that too.")
            }
            return nil
        }
        var downsampling = TokenReductionRequest.Downsampling(factors: todoFactor)
        downsampling.maximumDepth = todoMaxDepth
        if let todoMethod { downsampling.interpolation = try RequestOptions.choice(todoMethod, "todo-method") }
        if let todoScope { downsampling.scope = try RequestOptions.choice(todoScope, "todo-scope") }
        return downsampling
    }

    private static func words(_ text: String) -> [String] {
        text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }

    private static func range(_ text: String) throws(CommandFailure) -> (Double, Double) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let start = Double(parts[0]), let end = Double(parts[1]) else {
            throw CommandFailure(.usage, "--token-steps must be two shares of the steps such as 0:0.8, not '\(text)'.")
        }
        return (start, end)
    }
}
