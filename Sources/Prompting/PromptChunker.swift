public import Tokenizing

/// One row for a text encoder.
public struct PromptChunk: Sendable, Equatable {
    /// Start, tokens, end, padding.
    public var ids: [Int32]
    /// The weight of each id; 1 for start, end and padding.
    public var weights: [Float]
}

/// Cuts prompts into chunks that fit a text encoder, by the rule of A1111's web UI.
///
/// A chunk has room for 75 tokens. If a token does not fit, and a comma is among the last 20 tokens of the chunk, everything
/// after the comma moves to the next chunk with that token. If that token is a comma itself, nothing moves. `BREAK` fills a
/// chunk up.
public struct PromptChunker: Sendable {
    /// The ids of a chunk, with start and end.
    public let length: Int

    private let tokenizer: CLIPTokenizer
    private let comma: Int32?

    /// The most tokens that move to the next chunk, with the comma.
    static let backtrack = 20

    /// Throws no error in practice: a comma is never too long for the tokenizer.
    ///
    /// - Parameter length: the ids of a chunk, at least 3: start, end and a token between them.
    public init(_ tokenizer: CLIPTokenizer, length: Int) throws(TokenizingError) {
        precondition(length >= 3, "a chunk has start, end and at least one token")
        (self.tokenizer, self.length) = (tokenizer, length)
        let ids = try tokenizer.ids(",")
        comma = ids.count == 1 ? ids[0] : nil
    }

    /// The chunks of a prompt, at least one. Throws `.promptTooLong`.
    public func chunks(_ prompt: ParsedPrompt) throws(TokenizingError) -> [PromptChunk] {
        var chunks: [PromptChunk] = []
        var open = OpenChunk()
        for part in prompt.parts {
            guard case .text(let text, let weight) = part else {
                chunks.append(closed(open))
                open = OpenChunk()
                continue
            }
            for id in try tokenizer.ids(text) {
                if id == comma {
                    open.lastComma = open.ids.count
                } else if open.ids.count == room, let place = open.lastComma, open.ids.count - place <= Self.backtrack {
                    let moved = open.removeAll(behind: place)
                    chunks.append(closed(open))
                    open = moved
                }
                if open.ids.count == room {
                    chunks.append(closed(open))
                    open = OpenChunk()
                }
                open.ids.append(id)
                open.weights.append(Float(weight))
            }
        }
        if !open.ids.isEmpty || chunks.isEmpty { chunks.append(closed(open)) }
        return chunks
    }

    /// A chunk without text. It fills up the shorter of two prompts.
    public var emptyChunk: PromptChunk { closed(OpenChunk()) }

    /// The tokens that fit into a chunk.
    private var room: Int { length - 2 }

    private func closed(_ open: OpenChunk) -> PromptChunk {
        let fill = room - open.ids.count
        return PromptChunk(
            ids: [tokenizer.startID] + open.ids + [tokenizer.endID]
                + [Int32](repeating: tokenizer.paddingID, count: fill),
            weights: [1] + open.weights + [Float](repeating: 1, count: fill + 1))
    }
}

/// A chunk that still grows.
private struct OpenChunk {
    var ids: [Int32] = []
    var weights: [Float] = []
    /// The place of its last comma.
    var lastComma: Int?

    /// Removes everything behind a place and returns it as the next chunk, without a comma.
    mutating func removeAll(behind place: Int) -> OpenChunk {
        let next = OpenChunk(ids: Array(ids[(place + 1)...]), weights: Array(weights[(place + 1)...]))
        ids.removeLast(next.ids.count)
        weights.removeLast(next.weights.count)
        return next
    }
}
