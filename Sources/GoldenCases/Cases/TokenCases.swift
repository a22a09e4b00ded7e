import Acceleration
import DiffusionModels
import RandomStreams
import Rendering
import StrictJSON
import TensorCore

/// Token merging (ToMe) and token downsampling (ToDo): the reduction, one block, one U-Net call.
enum TokenCases {
    // MARK: Merging

    static func mergePlan(_ run: CaseRun) throws {
        let parameters = run.parameters
        let (height, width) = (try parameters.integer("h", in: 1...1024), try parameters.integer("w", in: 1...1024))
        let method = try merging(parameters, random: parameters.flag("rand"))
        let metric = run.narrowed(try run.tensor("metric", [nil, height * width, nil]))
        let values = run.narrowed(try run.tensor("values", [metric.shape[0], height * width, nil]))
        let count = method.mergedCount(of: height * width)
        guard try parameters.integer("r", in: 0...1_000_000) == count else {
            throw GoldenError.failed("the program merges \(count) tokens, not \"r\"")
        }
        let cells = MergeCells(height: height, width: width, cellHeight: method.cellHeight, cellWidth: method.cellWidth)
        let choices = try choices(run, "choices", cells)
        // Outside of a pipeline the reference draws for batches of any size.
        try checkDraws(run, [choices], [cells], areRandom: method.destinations == .random && count > 0)
        guard count > 0, cells.count > 0, cells.cellTokens > 1 else {
            throw GoldenError.failed("the case merges nothing")
        }
        let (sources, destinations) = cells.split(choices)
        let (scores, best) = run.context.bestMatches(metric, sources: sources, destinations: destinations)
        let groups = TokenGroups(
            merging: count, sources: sources, destinations: destinations, scores: scores, best: best)
        let merged = run.context.averageTokens(values, offsets: groups.offsets, members: groups.members)
        run.produce(plain: "unmerged", run.context.gatherTokens(merged, groups.groupOfToken, perImage: true))
        run.produce("merged_sorted_sum", sums(run.context.convert(merged, to: .f32)))
        produceMembers(run, groups, images: metric.shape[0])
    }

    /// The sum of each image's tokens, (b, c).
    private static func sums(_ x: Tensor) -> GoldenTensor {
        let (images, tokens, width) = (x.shape[0], x.shape[1], x.shape[2])
        let floats = x.elements(as: Float.self)
        let sums = (0..<(images * width)).map { index in
            (0..<tokens).reduce(0.0) { $0 + Double(floats[(index / width * tokens + $1) * width + index % width]) }
        }
        return GoldenTensor(shape: [images, width], values: .reals(sums))
    }

    /// For each token the smallest token of its group, and the group's size.
    private static func produceMembers(_ run: CaseRun, _ groups: TokenGroups, images: Int) {
        var (smallest, sizes): ([Int], [Int]) = ([], [])
        for (index, group) in groups.groupOfToken.enumerated() {
            let place = index / groups.tokens * groups.groups + Int(group)
            let members = groups.members[Int(groups.offsets[place])..<Int(groups.offsets[place + 1])]
            smallest.append(Int(members.min() ?? 0))
            sizes.append(members.count)
        }
        run.produce("group", GoldenTensor(integers: smallest, shape: [images, groups.tokens]))
        run.produce("group_size", GoldenTensor(integers: sizes, shape: [images, groups.tokens]))
    }

    static func mergeBlock(_ run: CaseRun) throws {
        let parameters = run.parameters
        let block = try BlockRun(run)
        let level = try parameters.integer("level", in: 1...8)
        let settings = Parameters(json: try parameters.value("tomesd"), place: "tomesd")
        let method = try merging(settings, random: settings.flag("use_rand"))
        let isMerged =
            try level <= settings.integer("max_downsample", in: 1...8) && method.mergedCount(of: block.height * block.width) > 0
        var given: [Int]?
        if isMerged {
            let cells = MergeCells(
                height: block.height, width: block.width, cellHeight: method.cellHeight, cellWidth: method.cellWidth)
            let drawn = try choices(run, "choices_0", cells)
            try checkDraws(run, [drawn], [cells], areRandom: parameters.flag("randomness_used"))
            given = drawn
        }
        let tokens = TokenSwitches(reductions: isMerged ? [level: .merging(method)] : [:])
        try block.produce(UNetSwitches(tokens: tokens), choices: given)
    }

    static func mergeUNet(_ run: CaseRun) throws {
        let unet = try run.model().networks.unet()
        let parameters = run.parameters
        let settings = Parameters(json: try parameters.value("tomesd"), place: "tomesd")
        let method = try merging(settings, random: settings.flag("use_rand"))
        let deepest = try settings.integer("max_downsample", in: 1...8)
        let blocks = unet.blockLevels.indices.filter { unet.blockLevels[$0] <= deepest }
        // For each block: height, width and the number of merged tokens.
        let plans = try parameters.value("plans").arrayValue?.map { $0.arrayValue?.compactMap(\.intValue) ?? [] } ?? []
        let fits = plans.allSatisfy {
            $0.count == 3 && $0[..<2].allSatisfy { (1...1024).contains($0) } && $0[2] == method.mergedCount(of: $0[0] * $0[1])
        }
        guard plans.count == blocks.count, fits else { throw GoldenError.failed("\"plans\" are not the program's plans") }
        let cells = plans.map {
            MergeCells(height: $0[0], width: $0[1], cellHeight: method.cellHeight, cellWidth: method.cellWidth)
        }
        let drawn = try cells.indices.map { try choices(run, "choices_\($0)", cells[$0]) }
        try checkDraws(run, drawn, cells, areRandom: parameters.flag("randomness_used"))
        // The program refuses a request for merging that merges nothing; the reference makes a plain call.
        let isMerging = zip(cells, plans).contains { $1[2] > 0 && $0.count > 0 && $0.cellTokens > 1 }
        var draws = RecordedDraws()
        if isMerging { draws.destinations[0] = Dictionary(uniqueKeysWithValues: zip(blocks, drawn)) }
        try CallRun(run) { request in
            guard isMerging else { return }
            var merging = TokenReductionRequest.Merging(ratio: method.ratio)
            (merging.cellWidth, merging.cellHeight) = (method.cellWidth, method.cellHeight)
            (merging.destinations, merging.parts) = (method.destinations, method.parts)
            merging.maximumDownsample = deepest
            request.tokenReduction = TokenReductionRequest()
            request.tokenReduction?.merging = merging
        }.produce(draws)
    }

    /// A method by tomesd's names. Settings that the case leaves out have the package's defaults.
    private static func merging(_ parameters: Parameters, random: Bool) throws -> TokenMerging {
        func flag(_ key: String, default fallback: Bool) throws -> Bool {
            parameters.has(key) ? try parameters.flag(key) : fallback
        }
        func side(_ key: String) throws -> Int {
            parameters.has(key) ? try parameters.integer(key, in: 1...TokenMerging.cellLimit) : 2
        }
        var parts: TokenMerging.Parts = []
        if try flag("merge_attn", default: true) { parts.insert(.attention) }
        if try flag("merge_crossattn", default: false) { parts.insert(.textAttention) }
        if try flag("merge_mlp", default: false) { parts.insert(.feedForward) }
        let ratio = try parameters.number("ratio")
        guard (0...1).contains(ratio) else { throw GoldenError.failed("\"ratio\" is from 0 to 1") }
        return TokenMerging(
            ratio: ratio, cellWidth: try side("sx"), cellHeight: try side("sy"), destinations: random ? .random : .fixed,
            parts: parts)
    }

    /// The choices that the reference made, one for each cell.
    private static func choices(_ run: CaseRun, _ name: String, _ cells: MergeCells) throws -> [Int] {
        let choices = try run.integers(name, [cells.rows, cells.columns]).values
        guard choices.allSatisfy({ (0..<cells.cellTokens).contains($0) }) else {
            throw GoldenError.failed("\(name) goes beyond the \(cells.cellTokens) tokens of a cell")
        }
        return choices
    }

    /// The choices must be the numbers that PyTorch's generator draws, or all the top left token.
    private static func checkDraws(
        _ run: CaseRun, _ choices: [[Int]], _ cells: [MergeCells], areRandom: Bool
    ) throws {
        var generator = TorchCPUGenerator(seed: try run.parameters.seed("torch_seed"))
        for (index, (choices, cells)) in zip(choices, cells).enumerated() {
            let own = areRandom ? cells.referenceChoices(&generator) : cells.fixedChoices
            guard own == choices else { throw GoldenError.failed("matching \(index): the program's destinations are \(own)") }
        }
    }

    // MARK: Downsampling

    static func downsampleIndices(_ run: CaseRun) throws {
        for row in try run.parameters.value("grids").arrayValue ?? [] {
            let grid = Parameters(json: row, place: "grids")
            let (height, width) = (try grid.integer("h", in: 1...4096), try grid.integer("w", in: 1...4096))
            let method = try downsampling(grid.number("factor"), run.parameters)
            let kept = method.keptTokens(height: height, width: width)
            guard try grid.integer("new_h", in: 1...4096) == method.keptSide(height),
                try grid.integer("new_w", in: 1...4096) == method.keptSide(width)
            else { throw GoldenError.failed("\(height)×\(width) become \(method.keptSide(height))×\(method.keptSide(width))") }
            run.produce(try grid.string("tensor"), GoldenTensor(integers: kept.map { Int($0) }, shape: [kept.count]))
        }
    }

    static func downsampleBlock(_ run: CaseRun) throws {
        let reductions = try downsampling(run).map { ($0, TokenReduction.downsampling($1)) }
        let tokens = TokenSwitches(reductions: Dictionary(uniqueKeysWithValues: reductions))
        try BlockRun(run).produce(UNetSwitches(tokens: tokens))
    }

    static func downsampleUNet(_ run: CaseRun) throws {
        let tokens = try downsamplingRequest(run)
        try CallRun(run) { $0.tokenReduction = tokens }.produce()
    }

    /// Downsampling inside HiDiffusion's windows.
    static func downsampleWithHiDiffusion(_ run: CaseRun) throws {
        let parameters = run.parameters
        let steps = try parameters.integer("N", in: 1...1000)
        let step = try parameters.integer("t", in: 0...(steps - 1))
        let shifts = try HiDiffusionCases.windowShifts(parameters.integers("shifts"))
        var draws = RecordedDraws()
        for call in 0...step { draws.windowShifts[call] = shifts }
        let (rad, pool) = (try parameters.flag("rad"), try parameters.flag("pool"))
        let tokens = try downsamplingRequest(run)
        try CallRun(run, call: step, of: steps) { request in
            (request.hiDiffusion, request.tokenReduction) = (.on, tokens)
            request.hiDiffusionProfile = try HiDiffusionCases.profile(parameters, key: "hidiffusion")
        }.produce(draws) { plan in
            guard (plan.rad, plan.pool) == (rad, pool) else {
                throw GoldenError.failed(
                    "the program has rad \(plan.rad) and pool \(plan.pool), the reference \(rad) and \(pool)")
            }
            // The program leaves small maps alone under RAU-Net, the reference does not.
            plan.tokens.minimumTokens = 0
        }
    }

    /// The reference goes by the width of a block's vectors: one factor for the first level of Stable Diffusion, one for the
    /// second, which is SDXL's first.
    private static func downsampling(_ run: CaseRun) throws -> [(level: Int, method: TokenDownsampling)] {
        let parameters = run.parameters
        let factors = try parameters.value("factors").arrayValue?.compactMap(\.doubleValue) ?? []
        let channels = try run.model().networks.unet().configuration.channels
        guard factors.count == 2, channels.count > 1 else { throw GoldenError.failed("\"factors\" are two numbers") }
        return try channels.enumerated().compactMap { index, width in
            let isFirst = channels.count == 4 && width == channels[0]
            guard index < TokenSwitches.levels.count, isFirst || width == channels[1] else { return nil }
            return (TokenSwitches.levels[index], try downsampling(factors[isFirst ? 0 : 1], parameters))
        }
    }

    /// The same in a request: a factor for each level, from the first level with blocks.
    private static func downsamplingRequest(_ run: CaseRun) throws -> TokenReductionRequest {
        let methods = try downsampling(run)
        var request = TokenReductionRequest()
        var downsampling = TokenReductionRequest.Downsampling(factors: methods.map(\.method.factor))
        if let method = methods.first?.method {
            (downsampling.interpolation, downsampling.scope) = (method.interpolation, method.scope)
        }
        request.downsampling = downsampling
        return request
    }

    private static func downsampling(_ factor: Double, _ parameters: Parameters) throws -> TokenDownsampling {
        guard let interpolation = TokenDownsampling.Interpolation(rawValue: try parameters.string("mode")) else {
            throw GoldenError.failed("\"mode\" is nearest or nearest-exact")
        }
        guard (1...TokenDownsampling.factorLimit).contains(factor) else {
            throw GoldenError.failed("a factor of \(factor) is not possible")
        }
        let mode = try parameters.optionalString("tokens_mode") ?? "keys/values"
        guard mode == "all" || mode == "keys/values" else { throw GoldenError.failed("the mode \"\(mode)\" is not known") }
        return TokenDownsampling(
            factor: factor, interpolation: interpolation, scope: mode == "all" ? .all : .keysAndValues)
    }

    // MARK: Blocks

    /// One transformer block of a case's U-Net, with its tokens and text.
    struct BlockRun {
        private let run: CaseRun
        private let unet: UNet
        let height: Int
        let width: Int
        let tokens: Tensor
        private let text: Tensor

        init(_ run: CaseRun) throws {
            self.run = run
            unet = try run.model().networks.unet()
            let grid = try run.parameters.integers("grid")
            guard grid.count == 2, grid.allSatisfy({ (1...4096).contains($0) }) else {
                throw GoldenError.failed("\"grid\" must be height and width")
            }
            (height, width) = (grid[0], grid[1])
            tokens = try run.tensor("hidden_states", [nil, height * width, nil])
            text = try run.tensor("encoder_hidden_states", [tokens.shape[0], nil, unet.configuration.textWidth])
        }

        func produce(_ switches: UNetSwitches, choices: [Int]? = nil) throws {
            let output = try unet.runTransformerBlock(
                run.parameters.string("block"), tokens: tokens, size: (height, width), text: text, switches: switches,
                choices: choices)
            run.produce(plain: "output", output)
        }
    }
}
