import ImageFiles
import Messages
import TestSupport
import Testing

@testable import Rendering

/// Everything that is rendered can also be sent.
@Suite struct PictureLimitTests {
    @Test func whatIsOneMessageFitsOne() { #expect(TaskLimits.messageBytes <= WireLimits.payloadBytes) }

    /// The file of the largest picture can be sent, even if it cannot be compressed.
    @Test(arguments: [(640, 512), (64, 8192), (16_384, 64)])
    func thePNGOfNoiseCanBeSent(_ width: Int, _ height: Int) throws {
        let count = width * height * 3
        var generator = SeededGenerator(seed: 4)
        let noise = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let png = try PNGEncoder.encode(rgb: noise, width: width, height: height)
        #expect(png.count > count, "noise was compressed")
        // A megabyte is for texts: prompts, settings and counts.
        let pixels = RenderRequest.sideLimit * RenderRequest.sideLimit * 3
        let largest = Double(pixels) * Double(png.count) / Double(count) + Double(1 << 20)
        #expect(largest <= Double(WireLimits.resultBytes), "\(width)×\(height): \(largest) bytes")
    }
}
