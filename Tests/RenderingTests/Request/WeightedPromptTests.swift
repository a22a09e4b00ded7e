import Prompting
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

@testable import Rendering

/// The conditioning of weighted and long prompts, derived once more from single rows of ids.
@Suite struct WeightedPromptTests {
    private let source: ModelSource
    private let model: ModelDescription
    private let runner: TaskRunner

    init() throws {
        source = try GoldenModels.sdxl()
        model = try ModelDescription(source: source)
        runner = try TaskRunner(models: [source], backend: .auto, threads: 1)
    }

    private func conditioned(_ prompt: String, negative: String = "dark") throws -> JobContext.Conditioning {
        var request = RenderRequest()
        (request.prompt, request.negativePrompt, request.guidanceScale) = (prompt, negative, 5)
        return try Conditioned(request, model, runner).text
    }

    /// The vectors of one chunk's text: tokens by numbers of both encoders.
    private func encoded(_ text: String) throws -> (vectors: [[Double]], pooled: [Float]) {
        let context = JobContext(modelIdentity: model.identity, conditioning: nil)
        try runner.open(context)
        let rows = try model.encoders.map { encoder in
            [try #require(encoder.chunker.chunks(ParsedPrompt(text)).first).ids]
        }
        let output = try runner.run(
            RenderTask(
                phase: .encode, call: 0, index: 0, contextHash: context.hash,
                work: EncodeWork(ids: rows, skippedLayers: 1)))
        #expect(output.shape["rows"] == 1)
        let (tokens, width) = (output.shape["tokens"], output.shape["width"])
        let (values, pooled) = (output.values, Array(output.values[(tokens * width)...]))
        let vectors = (0..<tokens).map { token in values[(token * width)..<((token + 1) * width)].map(Double.init) }
        return (vectors, pooled)
    }

    /// Emphasis by its definition, in 64 bits.
    private func weighed(_ vectors: [[Double]], _ weights: [Int: Double]) -> [[Double]] {
        var result = vectors
        var column = 0
        for encoder in model.encoders {
            let range = column..<(column + encoder.width)
            column += encoder.width
            func mean(_ vectors: [[Double]]) -> Double {
                vectors.reduce(0) { $0 + $1[range].reduce(0, +) } / Double(vectors.count * range.count)
            }
            let before = mean(vectors)
            for (token, weight) in weights { for k in range { result[token][k] *= weight } }
            let factor = before / mean(result)
            for token in result.indices { for k in range { result[token][k] *= factor } }
        }
        return result
    }

    private func expectClose(_ actual: ArraySlice<Float>, _ expected: [[Double]], _ what: String) {
        let numbers = expected.flatMap(\.self)
        #expect(actual.count == numbers.count, "\(what)")
        let worst = zip(actual, numbers).map { abs(Double($0) - $1) / max(1, abs($1)) }.max() ?? 1
        #expect(worst < 2e-5, "\(what): \(worst)")
    }

    @Test func weightsChunksAndPoolingAreTheDefinitions() throws {
        // The small vocabulary has a token for each of these letters, so places are known: start is 0.
        let text = try conditioned("a (b:1.4) c [d] BREAK (e f:0.5)", negative: "(x)")
        let first = try encoded("a b c d")
        let (second, negative, empty) = (try encoded("e f"), try encoded("x"), try encoded(""))
        #expect((text.rows, text.tokens, text.width) == (2, 154, 40))
        let size = 77 * 40
        let values = text.values
        expectClose(values[(2 * size)..<(3 * size)], weighed(first.vectors, [2: 1.4, 4: 1 / 1.1]), "first chunk")
        expectClose(values[(3 * size)..<(4 * size)], weighed(second.vectors, [1: 0.5, 2: 0.5]), "second chunk")
        expectClose(values[..<size], weighed(negative.vectors, [1: 1.1]), "negative prompt")
        expectClose(values[size..<(2 * size)], empty.vectors, "its filling")
        for (actual, expected) in zip(text.pooled, negative.pooled + first.pooled) { #expect(abs(actual - expected) < 1e-5) }
        #expect(try conditioned("a b c d BREAK e f", negative: "x").values != values)
    }

    @Test func withoutWeightsNothingIsTouched() throws {
        let text = try conditioned("a b")
        let plain = try encoded("a b").vectors.flatMap { $0.map { Float($0) } }
        for (actual, expected) in zip(text.values.suffix(plain.count), plain) { #expect(abs(actual - expected) < 1e-5) }
        #expect(try conditioned("(a b:1.0)").values == text.values)
    }

    @Test func chunksAreTasksOfTheirOwn() throws {
        var request = RenderRequest()
        request.prompt = Array(repeating: "a", count: 200).joined(separator: " ")
        var machine = try RenderMachine(request: request, model: model)
        let tasks = machine.start().tasks
        #expect(tasks.count == 3 && machine.plan.promptChunks == 3 && machine.plan.tasksPerPhase[0].tasks == 3)
        #expect(machine.plan.summaryLines.contains("the prompt in 3 chunks"))
        for task in tasks {
            let bytes = task.encoded().metadata.canonicalBytes()
            #expect(bytes.count < 4096)
        }
    }
}
