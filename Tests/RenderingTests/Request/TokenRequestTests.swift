import Acceleration
import Rendering
import Sentences
import StrictJSON
import TestSupport
import Testing

/// Requests for fewer tokens: the refusals before any model is known, and the blocks at a model's levels.
@Suite struct TokenRequestTests {
    private func tome(_ ratio: Double = 0.5, _ change: (inout TokenReductionRequest.Merging) -> Void = { _ in })
        -> TokenReductionRequest
    {
        var tokens = TokenReductionRequest()
        var merging = TokenReductionRequest.Merging(ratio: ratio)
        change(&merging)
        tokens.merging = merging
        return tokens
    }

    private func todo(_ factors: [Double], depth: Int? = nil) -> TokenReductionRequest {
        var tokens = TokenReductionRequest()
        var downsampling = TokenReductionRequest.Downsampling(factors: factors)
        downsampling.maximumDepth = depth
        tokens.downsampling = downsampling
        return tokens
    }

    private func both(_ first: TokenReductionRequest, _ second: TokenReductionRequest) -> TokenReductionRequest {
        var tokens = first
        tokens.downsampling = second.downsampling
        return tokens
    }

    private func asked(_ tokens: TokenReductionRequest, side: Int = 256) -> RenderRequest {
        .square(side) { ($0.tokenReduction, $0.method, $0.hiDiffusion) = (tokens, .direct, .off) }
    }

    private func plan(_ tokens: TokenReductionRequest, xl: Bool = false, side: Int = 256) throws -> RenderPlan {
        let model = xl ? try ModelDescription(source: GoldenModels.source("tiny-sdxl-turbo")) : try #require(MachineTests.model)
        return try RenderMachine(request: asked(tokens, side: side), model: model).plan
    }

    /// Level and factor or ratio of each reduction in the plan.
    private func levels(_ plan: RenderPlan) -> [Int: Double] {
        let levels = plan.json["token_reduction"]?["levels"]?.arrayValue ?? []
        let pairs = levels.map { ($0["level"]?.intValue ?? 0, ($0["factor"] ?? $0["ratio"])?.doubleValue ?? 0) }
        return Dictionary(uniqueKeysWithValues: pairs)
    }

    @Test func refusedValuesAndBoundsAreData() {
        func faults(_ tokens: TokenReductionRequest) -> [SettingFault]? {
            renderError { try asked(tokens).validated() }?.faults
        }
        let cells = PossibleValues.numbers(1...64)
        #expect(faults(tome { $0.cellWidth = 0 }) == [SettingFault(.tomeSx, value: 0, possible: cells)])
        #expect(faults(tome { $0.cellHeight = 65 }) == [SettingFault(.tomeSy, value: 65, possible: cells)])
        #expect(faults(tome { ($0.cellWidth, $0.cellHeight) = (1, 1) }) == [SettingFault(.tomeSx), SettingFault(.tomeSy)])
        #expect(faults(tome { $0.levels = [2, 3] }) == [SettingFault(.tomeLevels, value: 3)])
        #expect(faults(tome { $0.maximumDownsample = 16 }) == [SettingFault(.tomeMaxDownsample, value: 16)])
        #expect(
            faults(todo([2, 257])) == [SettingFault(.todoFactor, value: .number(257), possible: .numbers(1...256))])
    }

    @Test func twoRatiosOfOneCallAreRefused() {
        let error = renderError { _ = try plan(tome { ($0.finalRatio, $0.laterRatio) = (0.2, 0.3) }) }
        #expect(
            error?.sentence.spelled(\.option) == "--tome-final-ratio and --tome-hires-ratio exclude each other: leave one out.")
        #expect(error?.faults.map(\.setting) == [.tomeFinalRatio, .tomeHiresRatio])
    }

    // MARK: Which blocks

    @Test func kohyasFactorsGoByLevel() throws {
        #expect(try levels(plan(todo([4], depth: 2))) == [1: 4, 2: 4] && levels(plan(todo([4, 4]))) == [1: 4, 2: 4])
        #expect(try levels(plan(todo([4]))) == [1: 4] && levels(plan(todo([2, 1, 1.5, 3]))) == [1: 2, 4: 1.5, 8: 3])
        #expect(try levels(plan(todo([3], depth: 4))) == [1: 3, 2: 3, 4: 3, 8: 3])
        #expect(try levels(plan(todo([4]), xl: true)) == [2: 4] && levels(plan(todo([4, 2]), xl: true)) == [2: 4, 4: 2])
        #expect(try levels(plan(todo([4], depth: 2), xl: true)) == [2: 4, 4: 4])
        let deep = renderError { _ = try plan(todo([2], depth: 3), xl: true) }
        #expect(deep?.message.contains("depth of 3") == true && deep?.message.contains("2 (10), 4 (60)") == true)
        #expect(deep?.faults == [SettingFault(.todoMaxDepth, value: 3, possible: .numbers(1...2))])
        // Three factors are a depth of three.
        #expect(renderError { _ = try plan(todo([2, 2, 2]), xl: true) }?.faults == [SettingFault(.todoFactor)])
        #expect(renderError { _ = try plan(todo([2, 2], depth: 3)) }?.message.contains("2 token downsampling factors") == true)
    }

    @Test func tomesdsLevelsGoUpToOne() throws {
        #expect(try levels(plan(tome())) == [1: 0.5])
        #expect(try levels(plan(tome { $0.maximumDownsample = 4 })) == [1: 0.5, 2: 0.5, 4: 0.5])
        #expect(try levels(plan(tome { $0.levels = [8, 2] })) == [2: 0.5, 8: 0.5])
        #expect(try levels(plan(tome { $0.maximumDownsample = 2 }, xl: true)) == [2: 0.5])
        for tokens in [tome(), tome { $0.levels = [1, 2] }, tome { $0.levels = [8] }] {
            let error = renderError { _ = try plan(tokens, xl: true) }
            #expect(error?.code == .invalidRequest && error?.message.contains("levels 2 (10), 4 (60)") == true)
        }
    }

    @Test func bothGoTogetherOnDifferentLevels() throws {
        #expect(try levels(plan(both(tome(), todo([1, 2])))) == [1: 0.5, 2: 2])
        #expect(try levels(plan(both(tome { $0.maximumDownsample = 2 }, todo([1, 3])), xl: true)) == [2: 0.5, 4: 3])
        let error = renderError { _ = try plan(both(tome(), todo([2]))) }
        #expect(error?.message.contains("level 1 would be both merged and downsampled") == true)
    }

    @Test func whatReachesNothingIsRefusedAndWhatIsOffIsOff() throws {
        for tokens in [tome(0), todo([1]), todo([1, 1]), both(tome(0), todo([1]))] {
            let plan = try plan(tokens)
            #expect(plan.tokenReduction == nil && plan.json["token_reduction"] == nil)
        }
        for tokens in [tome(0.5) { $0.cellWidth = 33 }, tome(0.0001)] {
            #expect(renderError { _ = try plan(tokens) }?.message.contains("merges no token") == true)
        }
        var late = tome()
        (late.start, late.end) = (0, 0.02)
        let never = renderError { _ = try plan(late) }
        #expect(never?.faults.map(\.setting) == [.tokenSteps] && never?.message.contains("0.02") == true, "\(never as Any)")
    }

    // MARK: Refusals and JSON

    @Test func settingsOutOfRangeAreNamed() {
        let wrong: [(TokenReductionRequest, String)] = [
            (TokenReductionRequest(), "needs a merging ratio"), (tome(-0.1), "-0.1"), (tome(1.01), "1.01"), (tome(.nan), "nan"),
            (tome { $0.finalRatio = 2 }, "2.0"), (tome { $0.cellWidth = 0 }, "0×2"), (tome { $0.cellHeight = 65 }, "2×65"),
            (tome { ($0.cellWidth, $0.cellHeight) = (1, 1) }, "1×1"), (tome { $0.maximumDownsample = 3 }, "level 3"),
            (tome { $0.levels = [] }, "levels"), (tome { $0.levels = [1, 1] }, "once"), (tome { $0.levels = [16] }, "level 16"),
            (tome { ($0.levels, $0.maximumDownsample) = ([1], 1) }, "exclude each other"), (tome { $0.parts = [] }, "part"),
            (tome { ($0.parts, $0.queriesOnly) = ([.attention, .feedForward], true) }, "queries alone"),
            (todo([]), "1 to 4"), (todo([2, 2, 2, 2, 2]), "not 5"), (todo([0.9]), "0.9"), (todo([257]), "257"),
            (todo([.infinity]), "inf"), (todo([2], depth: 0), "depth of 0"), (todo([2], depth: 5), "depth of 5"),
            (todo([2, 2], depth: 1), "depth of 1"),
        ]
        for (tokens, word) in wrong {
            let error = renderError { try asked(tokens).validated() }
            #expect(
                error?.code == .invalidRequest && error?.message.contains(word) == true, "\(word): \(error?.message ?? "none")")
            #expect(error?.message.hasSuffix(".") == true && error?.message.contains("\n") == false)
        }
        for (start, end) in [(-0.1, 1), (0, 1.1), (0.5, 0.5), (0.6, 0.5), (.nan, 1)] {
            var tokens = tome()
            (tokens.start, tokens.end) = (start, end)
            #expect(renderError { try asked(tokens).validated() }?.message.contains("Token steps") == true, "\(start) \(end)")
        }
    }

    private var full: TokenReductionRequest {
        var tokens = both(
            tome(0.3) {
                ($0.finalRatio, $0.cellWidth, $0.cellHeight, $0.levels) = (0.7, 4, 3, [2, 4])
                ($0.parts, $0.destinations) = ([.attention, .feedForward], .random)
            }, todo([2.5], depth: 1))
        tokens.downsampling?.interpolation = .nearest
        tokens.downsampling?.scope = .all
        (tokens.start, tokens.end) = (0.125, 0.75)
        return tokens
    }

    @Test func requestsComeBackWhole() throws {
        for tokens in [full, tome { $0.queriesOnly = true }, tome { $0.maximumDownsample = 8 }, todo([1, 2, 3, 4])] {
            let request = asked(tokens)
            let bytes = request.json.canonicalBytes()
            #expect(try RenderRequest(metadata: JSONValue(parsing: bytes, limits: .wire)) == request)
        }
    }

    /// No member may be missing, of another kind or unknown.
    @Test func requestsAreReadStrictly() throws {
        let request = asked(full).json
        let tokens = try #require(request["token_reduction"]?.objectValue)
        func refuses(_ tokens: JSONValue) -> Bool {
            var object = request.objectValue ?? JSONObject()
            object["token_reduction"] = tokens
            return renderError { _ = try RenderRequest(metadata: .object(object)) }?.message.contains("token_reduction") == true
        }
        for wrong: JSONValue in [.null, .string("tome"), .array([]), .integer(1), .object(JSONObject())] {
            #expect(refuses(wrong))
        }
        for key in ["merging", "downsampling"] {
            let part = try #require(tokens[key]?.objectValue)
            for member in Array(part.keys) + ["extra"] {
                for replacement in [JSONValue.null, .string("x"), .array([.null]), .object(JSONObject())] {
                    var (whole, changed) = (tokens, part)
                    changed[member] = replacement
                    whole[key] = .object(changed)
                    #expect(refuses(.object(whole)), "\(key).\(member) as \(replacement.canonicalText)")
                }
            }
        }
        var extra = tokens
        extra["ratio"] = .number(0.5)
        #expect(refuses(.object(extra)))
    }
}
