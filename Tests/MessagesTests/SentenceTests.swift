import Messages
import Sentences
import StrictJSON
import TestSupport
import Testing

/// Sentences, and what of them travels: each program spells the settings that a failure names in its own way.
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

    static func read(_ metadata: String) throws -> Sentence {
        let packet = try Packet(frames: HeaderSeal.frames(.fail, metadata: Array(metadata.utf8)), frameCount: 3)
        guard case .fail(let failure) = packet.message else { throw MessageError(.metadata, "no FAIL") }
        return failure.text
    }

    static func written(_ text: Sentence) throws -> JSONValue {
        try JSONValue(parsing: Packet(.fail(Failure(.worker, text)), SampleMessages.address).frames()[1], limits: .config)
    }

    @Test func aPeerThatKnowsNoPartsReadsKeys() throws {
        let sentence: Sentence = "choose \(Self.tile) 256"
        let json = try Self.written(sentence)
        #expect(json["text"] == "choose vae_tile_size 256")
        #expect(json["sentence"] == ["choose ", ["setting": "vae_tile_size"], " 256"])
        #expect(try Self.read(json.canonicalText) == sentence)
        // Without parts, as an older peer writes.
        #expect(try Self.read(#"{"class":"worker","text":"choose vae_tile_size 256"}"#) == "choose vae_tile_size 256")
        #expect(try Self.written("no settings")["sentence"] == nil)
    }

    @Test func aLongSentenceTravelsAsItsText() throws {
        let long = Sentence(String(repeating: "é", count: WireLimits.textBytes)) + "\(Self.tile)"
        let json = try Self.written(long)
        #expect(json["sentence"] == nil)
        #expect(json["text"] == .string(String(repeating: "é", count: WireLimits.textBytes / 2)))
        let many = Sentence((0..<WireLimits.sentenceParts).flatMap { _ in [.setting(Self.width), .text(" ")] })
        #expect(try Self.written(many)["sentence"] == nil)
    }

    @Test(arguments: [
        "7", "{}", #""text""#, "[7]", "[[]]", #"[{"setting":7}]"#, #"[{"setting":""}]"#, #"[{"setting":"A B"}]"#,
        #"[{"setting":"--x"}]"#, #"[{"setting":"a","letter":"ab"}]"#, #"[{"setting":"a","letter":"\n"}]"#,
        #"[{"setting":"a","letter":7}]"#, #"[{"letter":"a"}]"#,
        "[" + Array(repeating: #""x""#, count: WireLimits.sentenceParts + 1).joined(separator: ",") + "]",
        "[\"" + String(repeating: "x", count: WireLimits.textBytes + 1) + "\"]",
    ])
    func partsAreReadStrictly(_ parts: String) {
        #expect(throws: MessageError.self) { try Self.read(#"{"class":"worker","text":"x","sentence":\#(parts)}"#) }
    }
}
