import Foundation
import Messages
import TestSupport
import Testing

/// The bytes of every type of message, committed: the contract between versions. A change here needs a new protocol version.
@Suite("Golden frames")
struct GoldenFrameTests {
    /// One line for each sample message: its type, and its three frames in hexadecimal, `-` for an empty one.
    static func line(_ message: Message) throws -> String {
        let frames = try Packet(message, SampleMessages.address).frames()
        let hex = frames.map { frame in frame.isEmpty ? "-" : frame.map { hexByte($0) }.joined() }
        return "\(message.type) \(hex.joined(separator: " "))"
    }

    static func hexByte(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }

    static func bytes(_ hex: Substring) -> [UInt8] {
        guard hex != "-" else { return [] }
        let digits = Array(hex.utf8)
        return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16)
        }
    }

    @Test("every message is written as it was when its format was fixed, and read back")
    func golden() throws {
        let file = Fixtures.folder.appendingPathComponent("wire/golden-frames.txt")
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n").filter { !$0.hasPrefix("#") }
        try #require(lines.count == SampleMessages.all.count)
        for (line, message) in zip(lines, SampleMessages.all) {
            #expect(try GoldenFrameTests.line(message) == line)
            let frames = line.split(separator: " ").dropFirst().map(GoldenFrameTests.bytes)
            #expect(try Packet(frames: frames, frameCount: 3) == Packet(message, SampleMessages.address))
        }
    }
}
