import ArgumentParser
import Testing
import Weights

@testable import CommandSupport

/// `--packed-weights` and its words.
@Suite struct PackedWeightsOptionTests {
    @Test func sizesAreRead() throws {
        let sizes: [(word: String, bytes: Int?)] = [
            ("off", 0), ("0", 0), ("1", 1), ("500M", 500 << 20), ("40G", 40 << 30), ("40g", 40 << 30), ("2T", 2 << 40),
            ("7k", 7 << 10), ("007", 7), ("", nil), ("G", nil), ("-1", nil), ("+1", nil), ("1.5G", nil), ("1 G", nil),
            ("1GB", nil), ("OFF", nil), ("\u{0661}G", nil), ("8388608T", nil), ("8388607T", 8_388_607 << 40),
            ("99999999999999999999", nil),
        ]
        for (word, bytes) in sizes { #expect(PackedWeights.limit(word) == bytes, "\(word)") }
    }

    @Test(arguments: ["40X", "many", "-4G"]) func otherWordsAreRefused(_ word: String) throws {
        let options = try PackedWeightsOptions.parse(["--packed-weights=\(word)"])
        let error = #expect(throws: CommandFailure.self) { _ = try options.limit() }
        #expect(error?.message.contains("--packed-weights must be a size") == true && error?.message.contains(word) == true)
        #expect(error?.status == .usage)
    }
}
