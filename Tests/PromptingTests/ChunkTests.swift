import TestSupport
import Testing
import Tokenizing

@testable import Prompting

/// Chunks of 75 tokens, and the effect of weights on them.
@Suite struct ChunkTests {
    private static func chunks(_ prompt: String, _ tokenizer: CLIPTokenizer, length: Int = 77) throws -> [PromptChunk] {
        try PromptChunker(tokenizer, length: length).chunks(ParsedPrompt(prompt))
    }

    /// The tokens of a chunk, without start, end and padding.
    private static func tokens(_ chunk: PromptChunk, _ tokenizer: CLIPTokenizer) -> [Int32] {
        Array(chunk.ids.dropFirst().prefix { $0 != tokenizer.endID })
    }

    @Test func aShortPromptIsOneRowAsTheTokenizerPadsIt() throws {
        for tokenizer in [try smallTokenizer(), try smallTokenizer(padding: "!")] {
            for prompt in ["", "a cat, a dog"] {
                let chunks = try Self.chunks(prompt, tokenizer)
                #expect(chunks.count == 1 && chunks[0].weights.allSatisfy { $0 == 1 })
                #expect(try chunks[0].ids == tokenizer.paddedIDs(prompt))
            }
            let empty = try PromptChunker(tokenizer, length: 77).emptyChunk
            #expect(try empty.ids == tokenizer.paddedIDs("") && empty.weights.allSatisfy { $0 == 1 })
        }
        #expect(try smallTokenizer(padding: "!").paddingID != smallTokenizer().paddingID)
    }

    @Test func weightsFollowTheirTokens() throws {
        let tokenizer = try smallTokenizer()
        let chunk = try Self.chunks("a (b c:1.5) [d]", tokenizer)[0]
        #expect(Array(chunk.weights.prefix(6)) == [1, 1, 1.5, 1.5, Float(1 / 1.1), 1])
        #expect(
            chunk.weights.count == 77 && chunk.weights.dropFirst(5).allSatisfy { $0 == 1 } && chunk.weights.contains { $0 != 1 }
        )
    }

    @Test func longPromptsAreCutBehindACommaNearTheEnd() throws {
        let tokenizer = try smallTokenizer()
        let (a, comma) = (try tokenizer.ids("a"), try tokenizer.ids(","))
        try #require(a.count == 1 && comma.count == 1)
        func words(_ count: Int) -> String { Array(repeating: "a", count: count).joined(separator: " ") }
        // The comma stands at place `before`; with 75 places, one more token makes the chunk overflow.
        for (before, after, first) in [
            (74, 5, 75), (60, 20, 61), (55, 30, 56), (54, 30, 75), (10, 100, 75), (75, 3, 75), (76, 3, 75),
        ] {
            let chunks = try Self.chunks("\(words(before)), \(words(after))", tokenizer)
            let lengths = chunks.map { Self.tokens($0, tokenizer).count }
            #expect(lengths[0] == first, "\(before) \(after): \(lengths)")
            #expect(lengths.reduce(0, +) == before + 1 + after && chunks.allSatisfy { $0.ids.count == 77 })
            let all = chunks.flatMap { Self.tokens($0, tokenizer) }
            #expect(all == a * before + comma + a * after)
        }
        #expect(try Self.chunks(words(75), tokenizer).count == 1)
        #expect(try Self.chunks(words(76), tokenizer).count == 2)
    }

    @Test func breakFillsAChunk() throws {
        let tokenizer = try smallTokenizer()
        let counts = [
            ("a BREAK b", [1, 1]), ("a BREAK", [1]), ("BREAK a", [0, 1]), ("BREAK BREAK", [0, 0]),
            ("(a BREAK b b:1.2)", [1, 2]),
        ]
        for (prompt, expected) in counts {
            let chunks = try Self.chunks(prompt, tokenizer)
            #expect(chunks.map { Self.tokens($0, tokenizer).count } == expected, "\(prompt)")
        }
    }

    /// Numbers from a calculation in NumPy: four tokens of five numbers, weighed as a whole and in parts of two and three.
    @Test func emphasisRestoresTheMean() {
        let values: [Float] = [
            0.5, -1.25, 0, -2, 0.5, 0.75, 0.25, 0.5, -0.5, -2, 1, -0.25, 1.5, -1.5, -1.5, -1.75, -0.75, 0, 1.5, -1.75,
        ]
        let whole: [Float] = [
            0.5056179761886597, -1.264045000076294, 0, -2.0224719047546387, 0.5056179761886597, 0.985954999923706,
            0.32865166664123535, 0.6573033332824707, -0.6573033332824707, -2.629213333129883, 0.5056179761886597,
            -0.12640449404716492, 0.7584269642829895, -0.7584269642829895, -0.7584269642829895, -1.769662857055664,
            -0.7584269642829895, 0, 1.516853928565979, -1.769662857055664,
        ]
        let second: [Float] = [
            0.5, -1.25, 0, -2.058823585510254, 0.5147058963775635, 0.75, 0.25, 0.6691176295280457, -0.6691176295280457,
            -2.6764705181121826, 1, -0.25, 0.7720588445663452, -0.7720588445663452, -0.7720588445663452, -1.75, -0.75, 0,
            1.5441176891326904, -1.8014706373214722,
        ]
        let weights: [Float] = [1, 1.3, 0.5, 1]
        for (start, width, expected) in [(0, 5, whole), (2, 3, second)] {
            var weighed = values
            Emphasis.apply(weights, to: &weighed, start: start, width: width, stride: 5)
            for (actual, expected) in zip(weighed, expected) { #expect(abs(actual - expected) <= 1e-6) }
        }
        var plain = values
        Emphasis.apply([1, 1, 1, 1], to: &plain, start: 0, width: 5, stride: 5)
        #expect(plain == values)
        // A lost mean cannot be restored, and this must be visible.
        var lost: [Float] = [1, 1]
        Emphasis.apply([0, 0], to: &lost, start: 0, width: 1, stride: 1)
        #expect(lost.contains { !$0.isFinite })
    }
}

private func * (row: [Int32], count: Int) -> [Int32] { (0..<count).flatMap { _ in row } }
