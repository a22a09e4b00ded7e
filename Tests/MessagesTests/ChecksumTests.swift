import CSystem
import Messages
import TestSupport
import Testing

@Suite("CRC-32C")
struct ChecksumTests {
    func crc(_ bytes: [UInt8], portable: Bool = false) -> UInt32 {
        bytes.withUnsafeBytes {
            portable ? csystem_crc32c_portable(0, $0.baseAddress, $0.count) : csystem_crc32c(0, $0.baseAddress, $0.count)
        }
    }

    @Test("the check values of RFC 3720, appendix B.4")
    func knownAnswers() {
        for portable in [false, true] {
            #expect(crc(Array("123456789".utf8), portable: portable) == 0xE306_9283)
            #expect(crc([UInt8](repeating: 0, count: 32), portable: portable) == 0x8A91_36AA)
            #expect(crc([UInt8](repeating: 255, count: 32), portable: portable) == 0x62A8_AB43)
            #expect(crc(Array(0..<32), portable: portable) == 0x46DD_794E)
            #expect(crc([], portable: portable) == 0)
        }
    }

    @Test("the CPU's instruction and the table agree at every length and offset")
    func agreement() {
        var random = SeededGenerator(seed: 3)
        let bytes = (0..<300).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        for start in 0..<9 {
            for end in start..<bytes.count {
                let part = Array(bytes[start..<end])
                #expect(crc(part) == crc(part, portable: true))
            }
        }
    }
}
