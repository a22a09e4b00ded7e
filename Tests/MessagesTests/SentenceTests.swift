import Messages
import Sentences
import StrictJSON
import TestSupport
import Testing

/// Sentences and the form in which they travel: each program spells the settings that a failure names in its own way.
@Suite struct SentenceTests {
    static let width = Setting("width", letter: "W")
    static let tile = Setting("vae_tile_size")

    @Test func partsAreTextsAndSettingsInTurn() {
        let inner: Sentence = "\(Self.tile) 256"
        let sentence: Sentence = "choose\(" ")\(inner)" + ", or a smaller " + "\(Self.width)" + "" + "."
        #expect(
            sentence.parts == [
                .text("choose "), .setting(Self.tile), .text(" 256, or a smaller "), .setting(Self.width), .text("."),
            ])
        #expect(sentence.settings == [Self.tile, Self.width])
        #expect(sentence.spelled(\.key) == "choose vae_tile_size 256, or a smaller width.")
        #expect(sentence.spelled(\.option) == "choose --vae-tile-size 256, or a smaller -W.")
        #expect(Sentence("").parts.isEmpty && Sentence("a" as String) == "a")
    }

    @Test func anErrorKeepsItsSettings() {
        struct Wrong: SentenceError { let sentence: Sentence }
        let error = Wrong(sentence: "choose a smaller \(Self.width)")
        #expect(("No: \(error)." as Sentence).spelled(\.option) == "No: choose a smaller -W.")
    }

    static func read(_ metadata: String) throws -> Sentence {
        let packet = try Packet(frames: HeaderSeal.frames(.fail, metadata: Array(metadata.utf8)), frameCount: 3)
        guard case .fail(let failure) = packet.message else { throw MessageError(.metadata, "no FAIL") }
        return failure.sentence
    }

    static func written(_ sentence: Sentence) throws -> JSONValue {
        try JSONValue(parsing: Packet(.fail(Failure(.worker, sentence)), SampleMessages.address).frames()[1], limits: .config)
    }

    @Test func settingsTravel() throws {
        let sentence: Sentence = "choose \(Self.tile) 256 or a smaller \(Self.width)"
        let json = try Self.written(sentence)
        let letter: JSONValue = ["letter": "W", "setting": "width"]
        #expect(json["text"] == ["choose ", ["setting": "vae_tile_size"], " 256 or a smaller ", letter])
        let read = try Self.read(json.canonicalText)
        #expect(read == sentence && read.spelled(\.option) == "choose --vae-tile-size 256 or a smaller -W")
        #expect(try Self.written("no settings")["text"] == "no settings")
        #expect(try Self.read(#"{"class":"worker","text":"no settings"}"#) == "no settings")
    }

    /// A sentence that is too long is cut, and keeps the settings before the cut.
    @Test func longSentencesAreCut() throws {
        let limit = WireLimits.textBytes
        func sent(_ sentence: Sentence) throws -> Sentence { try Self.read(Self.written(sentence).canonicalText) }
        let plain = try sent(Sentence(String(repeating: "é", count: limit)))
        #expect(plain == Sentence(String(repeating: "é", count: limit / 2)))
        let early = try sent("\(Self.tile) " + Sentence(String(repeating: "x", count: 2 * limit)) + "\(Self.width)")
        #expect(early.settings == [Self.tile] && early.spelled(\.key).utf8.count == limit)
        // A sentence of exactly the longest length, of characters that take six bytes in JSON.
        let room = limit - Self.tile.key.utf8.count
        let full = "\(Self.tile)" + Sentence(String(repeating: "\u{1}", count: room))
        #expect(try sent(full) == full)
        let most = WireLimits.sentenceParts
        let parts = (0..<most).map { $0 % 2 == 0 ? Sentence.Part.setting(Self.width) : .text(" ") }
        #expect(try sent(Sentence(parts)) == Sentence(parts))
        #expect(try sent(Sentence(parts + parts)) == Sentence(parts))
    }

    @Test(arguments: [
        "7", "{}", "null", "[]", #"["text"]"#, "[7]", "[[]]", #"[{"setting":7}]"#, #"[{"setting":""}]"#,
        #"[{"setting":"A B"}]"#, #"[{"setting":"--x"}]"#, #"[{"setting":"_"}]"#, #"[{"setting":"a__b"}]"#,
        #"[{"setting":"a","letter":"ab"}]"#, #"[{"setting":"a","letter":"\n"}]"#, #"[{"setting":"a","letter":7}]"#,
        #"[{"letter":"a"}]"#, #"["x",null,{"setting":"a"}]"#,
        "[" + Array(repeating: #"{"setting":"a"}"#, count: WireLimits.sentenceParts + 1).joined(separator: ",") + "]",
        "[{\"setting\":\"a\"},\"" + String(repeating: "x", count: WireLimits.textBytes) + "\"]",
    ])
    func partsAreReadStrictly(_ text: String) {
        let error = #expect(throws: MessageError.self) { try Self.read(#"{"class":"worker","text":\#(text)}"#) }
        #expect(error?.message.contains("'text' must be a text, or a list of texts and settings") == true)
    }
}
