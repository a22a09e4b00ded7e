import ImageFiles
import TestSupport
import Testing

/// JPEG files in several scans: missing parts, and the number of scans.
@Suite struct JPEGScanTests {
    static func jpeg(_ components: Int, scans: [[Int]]) -> [UInt8] {
        var jpeg = HandmadeJPEG(width: 8, height: 8, components: components)
        for scan in scans { jpeg.blocks(scan) }
        jpeg.end()
        return jpeg.bytes
    }

    /// For each scan: its components, and whether it has their lowest frequency or all others.
    static func progressive(_ components: Int, scans: [([Int], Bool)]) -> [UInt8] {
        var jpeg = HandmadeJPEG(width: 8, height: 8, components: components, isProgressive: true)
        for (components, isLowest) in scans {
            let bits = isLowest ? components.count : 2
            jpeg.scan(components, from: isLowest ? 0 : 1, to: isLowest ? 0 : 63, data: [0xFF >> UInt8(bits)])
        }
        jpeg.end()
        return jpeg.bytes
    }

    static let grey = [UInt8](repeating: 128, count: 8 * 8 * 3)

    static func isMissing(_ bytes: [UInt8]) -> Bool {
        let error = ImageDecoderTests.error(bytes)
        return error?.code == .damaged && error?.message.contains("one of its colour components are missing") == true
    }

    @Test func componentsComeInAnyScans() throws {
        for scans in [[[0, 1, 2]], [[0], [1], [2]], [[2], [0], [1]], [[0], [1, 2]], [[0, 1], [2]], [[0], [0], [1, 2]]] {
            #expect(try ImageDecoder.decode(Self.jpeg(3, scans: scans)).pixels == Self.grey, "\(scans)")
        }
        #expect(try ImageDecoder.decode(Self.jpeg(1, scans: [[0]])).pixels == Self.grey)
        #expect(ImageDecoderTests.error(Self.jpeg(4, scans: [[0], [1, 2], [3]])) == nil)
        // The lowest frequency of each component is enough: encoders may leave out others.
        for scans in [
            [([0, 1, 2], true)], [([0], true), ([1], true), ([2], true)],
            [([0], true), ([0], false), ([1], true), ([2], true), ([2], false)],
        ] {
            #expect(try ImageDecoder.decode(Self.progressive(3, scans: scans)).pixels == Self.grey, "\(scans)")
        }
    }

    @Test func componentsWithoutDataAreDamage() {
        for scans in [[[0]], [[1]], [[2]], [[0, 1]], [[1, 2]], [[0, 2]], [[0], [0], [0]], [[0], [1]], [[2], [1]]] {
            #expect(Self.isMissing(Self.jpeg(3, scans: scans)), "\(scans)")
        }
        #expect(Self.isMissing(Self.jpeg(4, scans: [[0], [1], [2]])))
        #expect(ImageDecoderTests.error(Self.jpeg(3, scans: []))?.code == .damaged)
        for scans in [
            [([0], true)], [([0], true), ([0], false)], [([0, 1], true)], [([1, 2], true), ([1], false)],
            [([0], true), ([1], false), ([2], false)], [([0, 1], true), ([0], false), ([1], false), ([2], false)],
        ] {
            #expect(Self.isMissing(Self.progressive(3, scans: scans)), "\(scans)")
        }
    }

    /// The first scans of a grey picture, and then scans of the other frequencies, each of a few bytes.
    static func manyScans(side: Int, scans: Int) -> [UInt8] {
        var jpeg = HandmadeJPEG(width: side, height: side, components: 1, isProgressive: true)
        let blocks = (side / 8) * (side / 8)
        jpeg.scan([0], from: 0, to: 0, data: [UInt8](repeating: 0, count: blocks / 8))
        // 01 and 14 ones: 32,767 blocks in 16 bits, with the zero that follows each byte of ones.
        let runs = [[UInt8]](repeating: [0x7F, 0xFF, 0], count: (blocks + 32_766) / 32_767).flatMap { $0 }
        for _ in 1..<scans { jpeg.scan([0], from: 1, to: 63, data: runs) }
        jpeg.end()
        return jpeg.bytes
    }

    @Test func scansOfLargePicturesAreFewer() throws {
        // A picture of 4096 by 4096 may have 128 scans, because that is also 67 million pixels times 32.
        let large = Self.manyScans(side: 4096, scans: 140)
        #expect(large.count < 50_000)
        let error = try #require(ImageDecoderTests.error(large))
        #expect(error.code == .tooLarge && error.message.contains("more than 128 passes"), "\(error)")
        var limits = PictureLimits.standard
        limits.scannedPixelsMax = 64 * 64 * 30
        #expect(ImageDecoderTests.error(Self.manyScans(side: 64, scans: 30), limits: limits) == nil)
        #expect(ImageDecoderTests.error(Self.manyScans(side: 64, scans: 31), limits: limits)?.code == .tooLarge)
        // Twenty scans are allowed for every picture. No program writes more.
        #expect(ImageDecoderTests.error(Self.manyScans(side: 128, scans: 20), limits: limits) == nil)
        #expect(ImageDecoderTests.error(Self.manyScans(side: 128, scans: 21), limits: limits)?.code == .tooLarge)
        #expect(try ImageDecoder.decode(Self.manyScans(side: 64, scans: 500)).pixels.allSatisfy { $0 == 128 })
    }

    /// Markers cost libjpeg the more the more there are.
    @Test(arguments: [0xE1, 0xE5, 0xFE] as [UInt8])
    func filesOfMarkersAreRefused(marker: UInt8) throws {
        let picture = Self.jpeg(1, scans: [[0]])
        func file(_ count: Int) -> [UInt8] {
            let markers = [[UInt8]](repeating: [0xFF, marker, 0, 2], count: count).flatMap { $0 }
            return Array(picture[..<2]) + markers + Array(picture[2...])
        }
        #expect(try ImageDecoder.decode(file(5000)).pixels == Self.grey)
        let error = try #require(ImageDecoderTests.error(file(1_000_000)))
        #expect(error.code == .damaged && error.message.contains("more than 10000 markers"), "\(error)")
    }
}
