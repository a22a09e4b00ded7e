import Acceleration
import ContentHash
import PatchGeometry
import Places
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

@testable import Rendering

/// Fewer tokens in plans, tasks and pictures.
@Suite struct TokenSwitchesTests {
    private func tokens(
        _ ratio: Double? = nil, _ factors: [Double]? = nil, _ change: (inout TokenReductionRequest) -> Void = { _ in }
    ) -> TokenReductionRequest {
        var tokens = TokenReductionRequest()
        tokens.merging = ratio.map { TokenReductionRequest.Merging(ratio: $0) }
        tokens.downsampling = factors.map { TokenReductionRequest.Downsampling(factors: $0) }
        change(&tokens)
        return tokens
    }

    /// The token switches of each denoising task, in order.
    private func switches(_ request: RenderRequest) throws -> [(phase: RenderPhase, step: Int, switches: UNetSwitches)] {
        let (barriers, _) = try FormulaNetwork.render(
            RenderMachine(request: request, model: try ModelVariant.embedded.get()))
        return barriers.flatMap(\.tasks).compactMap { task in
            if let work = task.work as? DenoiseWork { (task.phase, task.call, work.switches) } else { nil }
        }
    }

    private func direct(_ tokens: TokenReductionRequest, side: Int = 256, steps: Int = 10) -> RenderRequest {
        request {
            ($0.width, $0.height, $0.steps, $0.method, $0.hiDiffusion) = (side, side, steps, .direct, .off)
            $0.tokenReduction = tokens
        }
    }

    @Test func stepsAreSharesOfTheCallsThatAreMade() throws {
        let wanted = tokens(nil, [2]) { ($0.start, $0.end) = (0.29, 0.8) }
        let active = try switches(direct(wanted)).map { $0.switches.tokens != .none }
        #expect(active == [false, false] + [Bool](repeating: true, count: 6) + [false, false], "2.9 is cut off")
        #expect(try switches(direct(tokens(nil, [2]))).allSatisfy { $0.switches.tokens.reductions.count == 1 })
        #expect(try switches(direct(wanted, steps: 3)).map { $0.switches.tokens != .none } == [true, true, false])
        let summary = try RenderMachine(request: direct(wanted), model: try ModelVariant.embedded.get()).plan.summaryLines
        let line = "token downsampling (ToDo): by 2 at level 1, 5 of 16 transformer blocks, calls 3 to 8 of 10"
        #expect(summary.contains(line), "\(summary)")
    }

    @Test func ratiosMoveFromCallToCall() throws {
        let wanted = tokens(0.2) {
            $0.merging?.finalRatio = 0.6
            $0.end = 0.5
        }
        let ratios = try switches(direct(wanted)).prefix(5).map { task -> Double in
            guard case .merging(let method) = task.switches.tokens.reductions[1] else { return -1 }
            return method.ratio
        }
        #expect(zip(ratios, [0.2, 0.3, 0.4, 0.5, 0.6]).allSatisfy { abs($0 - $1) < 1e-12 }, "\(ratios)")
        #expect(try switches(direct(wanted)).dropFirst(5).allSatisfy { $0.switches.tokens == .none })
        let single = try switches(direct(tokens(0.2) { $0.merging?.finalRatio = 0.6 }, steps: 1))
        #expect(single[0].switches.tokens.reductions == [1: .merging(TokenMerging(ratio: 0.2))])
    }

    /// Each task carries the numbers that a worker needs to hash destinations: views say where they lie.
    @Test func destinationsGoBySeedCallAndPlace() throws {
        let wanted = tokens(0.5) { $0.merging?.destinations = .random }
        let request = request {
            ($0.width, $0.height, $0.steps, $0.seed, $0.tokenReduction) = (256, 256, 4, 77, wanted)
        }
        let tasks = try switches(request)
        #expect(tasks.allSatisfy { $0.switches.tokens.seed == 77 && $0.switches.tokens.call == $0.step })
        let structure = tasks.filter { $0.phase == .structure }
        #expect(structure.allSatisfy { $0.switches.tokens.originRow == 0 && $0.switches.tokens.originColumn == 0 })
        let places = tasks.filter { $0.phase == .detail && $0.step == 3 }.map {
            [$0.switches.tokens.originRow, $0.switches.tokens.originColumn]
        }
        #expect(places.count == 9 && Set(places).count == 9)
    }

    /// In calls in which HiDiffusion makes feature maps smaller, maps of few tokens are not reduced further.
    @Test func smallGridsAreLeftAloneOnlyUnderHiDiffusion() throws {
        var request = direct(tokens(nil, [2, 2]), side: 384)
        request.hiDiffusion = .on
        let tasks = try switches(request)
        #expect(Set(tasks.map(\.switches.tokens.minimumTokens)) == [0, 1024])
        for task in tasks {
            #expect(
                (task.switches.tokens.minimumTokens == 1024) == (task.switches.rad || task.switches.pool), "call \(task.step)")
            #expect(task.switches.windowShifts?.count == 5)
        }
    }

    /// The first stage decides the content of the picture. Later stages may have a ratio of their own, or be the only ones with
    /// fewer tokens.
    @Test func laterStagesMayDiffer() throws {
        func hires(_ tokens: TokenReductionRequest) -> RenderRequest {
            request {
                ($0.width, $0.height, $0.steps, $0.method, $0.hiDiffusion) = (256, 256, 4, .hires, .off)
                ($0.stages, $0.refinement.strength, $0.tokenReduction) = (nil, 0.5, tokens)
            }
        }
        func ratios(_ tokens: TokenReductionRequest) throws -> [Double] {
            try switches(hires(tokens)).map { task in
                guard case .merging(let method) = task.switches.tokens.reductions[1] else { return 0 }
                return method.ratio
            }
        }
        #expect(try ratios(tokens(0.5)) == [0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
        #expect(try ratios(tokens(0.2) { $0.merging?.laterRatio = 0.6 }) == [0.2, 0.2, 0.2, 0.2, 0.6, 0.6])
        #expect(try ratios(tokens(0) { $0.merging?.laterRatio = 0.6 }) == [0, 0, 0, 0, 0.6, 0.6])
        #expect(try ratios(tokens(0.5) { $0.stages = .later }) == [0, 0, 0, 0, 0.5, 0.5])
        let half = tokens(0.5) { ($0.stages, $0.end) = (.later, 0.5) }
        #expect(try ratios(half) == [0, 0, 0, 0, 0.5, 0])
        let plan = try RenderMachine(request: hires(half), model: try ModelVariant.embedded.get()).plan
        #expect(plan.summaryLines.contains { $0.hasSuffix("in later stages, from 0 to 0.5 of a stage's calls") })
        #expect(plan.tokenReduction?.parameters.contains { $0 == ("Token stages", "later") } == true)
        for sent in [tokens(0.2) { $0.merging?.laterRatio = 0.6 }, half] {
            #expect(try RenderRequest(metadata: hires(sent).json) == hires(sent))
        }
        for (change, part) in [
            (
                {
                    $0.stages = .later
                    $0.merging?.laterRatio = 0.6
                }, "--tome-hires-ratio has no effect with --token-stages later"
            ),
            ({ $0.merging?.laterRatio = 0 }, "above 0"),
            ({ ($0.stages, $0.end) = (.later, 0.4) }, "Token steps from 0.0 to 0.4 hold no call of a later stage: choose"),
            ({ $0.end = 0.02 }, "Token steps from 0.0 to 0.02 hold no call of the network: choose"),
        ] as [((inout TokenReductionRequest) -> Void, String)] {
            let error = renderError { _ = try switches(hires(tokens(0.5, nil, change))) }
            #expect(error?.message.contains(part) == true, "\(part): \(String(describing: error))")
        }
        let single = renderError { _ = try switches(direct(half)) }
        let refusal = "--token-stages needs a later stage, but this picture has one stage: "
        #expect(single?.message.hasPrefix(refusal) == true, "\(single as Any)")
    }

    /// RAU-Net leaves blocks of few tokens alone. A request that reaches no other blocks is refused with this reason. If only
    /// one level of several is left alone, the plan does not count it.
    @Test func whatHiDiffusionKeepsFromActingIsNotClaimed() throws {
        let model = try ModelDescription(source: .withoutWeights(.stableDiffusionXL))
        func plan(_ factors: [Double], end: Double, raunet: Bool = true) throws -> ResolvedTokenReduction? {
            var wanted = request {
                ($0.width, $0.height, $0.steps, $0.method, $0.hiDiffusion) = (1536, 1536, 25, .direct, .on)
                ($0.hiDiffusionSettings.raunet, $0.tokenReduction) = (raunet, tokens(nil, factors) { $0.end = end })
            }
            wanted.hiDiffusionProfile = .sdxl
            return try RenderMachine(request: wanted, model: model).plan.tokenReduction
        }
        // The first ten calls are RAU-Net's, and level 4 has 48×48 tokens, shrunk 24×24.
        let error = renderError { _ = try plan([1, 2], end: 0.4) }
        #expect(error?.message.contains("fewer than 1024 tokens alone") == true, "\(String(describing: error))")
        #expect(try plan([1, 2], end: 0.4, raunet: false)?.reductions.keys.sorted() == [4])
        #expect(try plan([1, 2], end: 0.5)?.reductions.keys.sorted() == [4])
        #expect(try plan([2, 2], end: 0.4)?.reductions.keys.sorted() == [2])
    }

    // MARK: The wire

    private static let merging = TokenSwitches(
        reductions: [
            1: .merging(
                TokenMerging(
                    ratio: 0.29, cellWidth: 3, cellHeight: 64, destinations: .random, parts: [.textAttention, .feedForward])),
            2: .downsampling(TokenDownsampling(factor: 1.1, interpolation: .nearest, scope: .all)),
            8: .merging(TokenMerging(ratio: 1, queriesOnly: true)),
        ], minimumTokens: 1024, seed: .max, call: 999, originRow: 12, originColumn: 1 << 19)

    private func task(_ tokens: TokenSwitches) -> RenderTask {
        RenderTask(
            phase: .detail, call: 1, index: 2, contextHash: SHA256Digest(of: [1]),
            work: DenoiseWork(
                latent: Latent(channels: 1, height: 1, width: 2, values: [1, 2]), timestep: 1, guidance: 2,
                switches: UNetSwitches(windowShifts: [1], tokens: tokens)))
    }

    @Test(arguments: [
        TokenSwitches.none, merging, TokenSwitches(reductions: [4: .downsampling(TokenDownsampling(factor: 256))]),
    ])
    func plansTravel(_ tokens: TokenSwitches) throws {
        let sent = task(tokens).encoded()
        let read = try JSONValue(parsing: sent.metadata.canonicalBytes(), limits: .wire)
        #expect(try RenderTask(metadata: read, payload: sent.payload) == task(tokens))
        #expect((read["tokens"] == nil) == (tokens == .none))
    }

    private func refuses(_ change: (inout JSONObject) -> Void) throws -> Bool {
        let sent = task(Self.merging).encoded()
        var whole = try #require(sent.metadata.objectValue)
        var tokens = try #require(whole["tokens"]?.objectValue)
        change(&tokens)
        whole["tokens"] = .object(tokens)
        let error = refusal { _ = try RenderTask(metadata: .object(whole), payload: sent.payload) }
        return error?.code == .malformed && error?.isSentence == true
    }

    @Test func everyMissingOrWrongMemberIsRefused() throws {
        let sent = try #require(task(Self.merging).encoded().metadata["tokens"]?.objectValue)
        let wrong = [nil, JSONValue.null, .string("x"), .integer(-1), .number(.greatestFiniteMagnitude), .object(JSONObject())]
        for key in sent.keys {
            for value in wrong { #expect(try refuses { $0[key] = value }, "\(key) as \(value?.canonicalText ?? "nothing")") }
        }
        let entries = try #require(sent["levels"]?.arrayValue)
        for (index, entry) in entries.enumerated() {
            let members = try #require(entry.objectValue)
            for key in Array(members.keys) + ["extra"] {
                for value in wrong where value != nil || key != "extra" {
                    var (changed, list) = (members, entries)
                    changed[key] = value
                    list[index] = .object(changed)
                    #expect(
                        try refuses { $0["levels"] = .array(list) }, "\(index) \(key) as \(value?.canonicalText ?? "nothing")")
                }
            }
        }
        #expect(try refuses { $0["extra"] = .integer(1) })
        #expect(try refuses { $0["levels"] = .array([entries[0], entries[0]]) })
        #expect(try refuses { $0["levels"] = .array(entries + entries) })
        #expect(try refuses { $0["row"] = .integer(1 << 40) } && refuses { $0["seed"] = .string("-1") })
    }

    // MARK: Pictures

    private func parameters(_ tokens: TokenReductionRequest) throws -> (text: String, details: JSONValue) {
        let model = try ModelVariant.embedded.get()
        let request = direct(tokens)
        let plan = try RenderMachine(request: request, model: model).plan
        let parameters = GenerationParameters(request: request, plan: plan, model: model)
        return (parameters.text, parameters.details)
    }

    /// The picture's parameters of downsampling, read by the rule of their keys, give the plan that was carried out.
    @Test(arguments: [ModelFamily.stableDiffusion1, .stableDiffusionXL])
    func downsamplingIsReadBackFromThePicture(_ family: ModelFamily) throws {
        let model = try ModelDescription(source: .withoutWeights(family))
        for factors in [[2], [1, 4], [3, 1], [4, 4], [2, 2.5]] as [[Double]] {
            let plan = try #require(try Self.resolve(tokens(nil, factors), model))
            let pairs = Dictionary(uniqueKeysWithValues: plan.parameters)
            let said = try #require(pairs["ToDo factor"]).split(separator: " ").compactMap { Double($0) }
            let again = tokens(nil, said) { $0.downsampling?.maximumDepth = pairs["ToDo max depth"].flatMap { Int($0) } }
            #expect(try Self.resolve(again, model) == plan, "\(factors) became \(said)")
        }
    }

    private static func resolve(
        _ request: TokenReductionRequest, _ model: ModelDescription, side: Int = 64, hasWindows: Bool = false
    ) throws -> ResolvedTokenReduction? {
        try request.validated()
        return try ResolvedTokenReduction(request, model: model, passes: [pass(side: side, hasWindows: hasWindows)])
    }

    /// Ten calls of the whole latent.
    private static func pass(side: Int, hasWindows: Bool = false) -> RenderPass {
        let calls = (0..<10).map { call in
            PlannedCall(
                place: Place(phase: .denoise, step: call, stepCount: 10), call: call, beginsStep: true, position: call,
                count: 10, number: call, draw: call, height: side, width: side, inputs: 1, guidanceScale: 1,
                usesHiDiffusion: hasWindows, windowBlocks: hasWindows ? 5 : nil, rauNet: .plain, sizes: nil)
        }
        return RenderPass(
            latentWidth: side, latentHeight: side, start: .noise, cut: nil, detailGuidanceScale: 1, blending: .uniform,
            schedule: calls)
    }

    /// Levels whose own grid has no cell are not counted; without any other, nothing is left to do.
    @Test func levelsThatCannotMergeAreLeftOut() throws {
        let model = try ModelVariant.embedded.get()
        let wanted = tokens(0.5) { $0.merging?.levels = [1, 2, 4, 8] }
        for (side, levels) in [(64, [1, 2, 4, 8]), (16, [1, 2, 4, 8]), (8, [1, 2, 4]), (2, [1])] {
            let plan = try #require(try Self.resolve(wanted, model, side: side))
            #expect(plan.reductions.keys.sorted() == levels, "\(side)")
        }
        let line = try #require(try Self.resolve(wanted, model, side: 2)).summaryLines([Self.pass(side: 2)])
        #expect(line[0].contains("at level 1, 5 of 16 transformer blocks"), "\(line)")
        #expect(line.dropFirst().map { $0.contains("are left alone") } == [true, true, true], "\(line)")
        let deep = tokens(0.5) { $0.merging?.levels = [8] }
        #expect(throws: RenderError.self) { try Self.resolve(deep, model, side: 8) }
        // At the eighth level a grid of one token is left alone.
        let downsampled = try #require(try Self.resolve(tokens(nil, [2, 2, 2, 2]), model, side: 8))
        #expect(downsampled.reductions.keys.sorted() == [1, 2, 4])
        #expect(throws: RenderError.self) { try Self.resolve(tokens(nil, [1, 1, 1, 2]), model, side: 8) }
    }

    /// A cell that fits the grid may not fit a window of it; parts other than self-attention have no windows.
    @Test(arguments: [(ModelFamily.stableDiffusion1, 1), (.stableDiffusionXL, 2)])
    func windowsAreTheGridsOfTheirLevel(_ family: ModelFamily, _ level: Int) throws {
        let model = try ModelDescription(source: .withoutWeights(family))
        var wanted = tokens(0.5) {
            $0.merging?.levels = [level]
            $0.merging?.cellWidth = 40
        }
        #expect(try Self.resolve(wanted, model, side: 64 * level) != nil)
        #expect(throws: RenderError.self) { try Self.resolve(wanted, model, side: 64 * level, hasWindows: true) }
        wanted.merging?.parts = [.attention, .feedForward]
        #expect(try Self.resolve(wanted, model, side: 64 * level, hasWindows: true) != nil)
        wanted.merging?.parts = .attention
        wanted.merging?.levels = [2 * level]
        #expect(try Self.resolve(wanted, model, side: 128 * level, hasWindows: true) != nil)
    }

    @Test func parametersHaveTheKeysOfOthers() throws {
        let plain = try parameters(tokens(0.5))
        #expect(plain.text.contains("Token merging ratio: 0.5,") && !plain.text.contains("ToMe"))
        #expect(plain.details["plan"]?["token_reduction"]?["blocks"]?.intValue == 16)
        #expect(plain.details["request"]?["token_reduction"]?["merging"]?["ratio"]?.doubleValue == 0.5)
        let odd = try parameters(
            tokens(0.4, [1, 1, 2.5, 2.5]) {
                $0.merging?.maximumDownsample = 2
                $0.merging?.cellWidth = 4
                $0.merging?.destinations = .random
                $0.downsampling?.interpolation = .nearest
                $0.end = 0.6
            })
        for pair in [
            "Token merging ratio: 0.4", "ToMe levels: 1 2", "ToMe cells: 4x2", "ToMe destinations: random",
            "ToDo factor: 1 1 2.5 2.5",
            "ToDo max depth: 4", "ToDo method: nearest", "ToDo disable after: 0.6", "Token steps: 0-0.6",
        ] { #expect(odd.text.contains(pair + ","), "\(pair) in \(odd.text)") }
        #expect(try parameters(tokens(nil, [2, 3])).text.contains("ToDo factor: 2 3, ToDo max depth: 2,"))
        #expect(try !parameters(tokens(0)).text.contains("Token merging"))
    }

    /// On one worker, in any order and with repeats; on another, in order.
    @Test func picturesDoNotDependOnWhoComputesWhat() throws {
        let local = try LocalRender(threads: 1)
        var wanted = tokens(0.5, [1, 2]) { $0.merging?.destinations = .random }
        let change: (inout RenderRequest) -> Void = {
            ($0.width, $0.height, $0.steps, $0.prompt) = (192, 160, 3, "a red apple")
            $0.tokenReduction = wanted
        }
        let picture = try local.image(request(change))
        let shuffled = try local.image(request(change)) { count in (0..<count).reversed() + [0, count - 1] }
        #expect(picture.rgb == shuffled.rgb)
        let plain = try local.image(
            request {
                change(&$0)
                $0.tokenReduction = nil
            })
        #expect(picture.rgb != plain.rgb)
        #expect(try LocalRender(threads: 2).image(request(change)).rgb == picture.rgb)
        wanted.end = 0.4
        let early = try local.image(request(change))
        #expect(early.rgb != picture.rgb && early.rgb != plain.rgb)
    }
}
