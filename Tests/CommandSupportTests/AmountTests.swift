import Sentences
import Testing

/// Amounts have three digits and the unit that fits them.
@Suite struct AmountTests {
    @Test(arguments: [
        (0, "0 FLOP"), (999, "999 FLOP"), (1000, "1 kFLOP"), (2.514e12, "2.51 TFLOP"), (25.14e12, "25.1 TFLOP"),
        (251.4e12, "251 TFLOP"), (999.6e9, "1 TFLOP"), (5e21, "5000 EFLOP"), (.infinity, "more than 1e15 EFLOP"),
    ])
    func operations(_ count: Double, _ text: String) { #expect(Amounts.operations(count) == text) }

    @Test(arguments: [
        (0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (64 << 20, "64 MiB"), (3 << 40, "3 TiB"),
    ])
    func bytes(_ count: Int, _ text: String) { #expect(Amounts.bytes(count) == text) }
}
