import ImageFiles
import Messages
import TestSupport
import Testing

@testable import Rendering

/// The largest picture that is rendered can also be sent, even if it cannot be compressed.
@Suite struct PictureLimitTests {
    /// Bytes for a picture's texts: prompts, settings and counts.
    private static let textBytes = 1 << 20

    @Test func thePixelsAreOneMessage() {
        #expect(TaskLimits.pictureBytes <= WireLimits.payloadBytes)
    }

    @Test(arguments: [(640, 512), (64, 8192), (16_384, 64)])
    func thePNGOfNoiseIsOneToo(_ width: Int, _ height: Int) throws {
        let count = width * height * 3
        var generator = SeededGenerator(seed: 4)
        let noise = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let png = try PNGEncoder.encode(rgb: noise, width: width, height: height)
        #expect(png.count > count, "noise was compressed")
        let largest = Double(TaskLimits.pictureBytes) * Double(png.count) / Double(count) + Double(Self.textBytes)
        #expect(largest <= Double(WireLimits.payloadBytes), "\(width)×\(height): \(largest) bytes")
    }
}
