import ImageFiles
import TestSupport
import Testing

/// EXIF's orientation in all three formats.
@Suite struct OrientationTests {
    /// A picture of 3×2 letters, and its upright form after each orientation.
    static let letters: [UInt16: [String]] = [
        1: ["abc", "def"], 2: ["cba", "fed"], 3: ["fed", "cba"], 4: ["def", "abc"],
        5: ["ad", "be", "cf"], 6: ["da", "eb", "fc"], 7: ["fc", "eb", "da"], 8: ["cf", "be", "ad"],
    ]

    @Test(arguments: 1...8 as ClosedRange<UInt16>, [true, false])
    func lettersStandUpright(_ orientation: UInt16, _ bigEndian: Bool) throws {
        let exif = SamplePictures.exif(orientation: orientation, bigEndian: bigEndian)
        let plain = HandmadePNG(3, 2, .grey, rows: [Array("abc".utf8), Array("def".utf8)]).bytes
        let rows = try #require(Self.letters[orientation])
        for bytes in [SamplePictures.png(plain, exif: exif), SamplePictures.png(plain, exif: exif, atEnd: true)] {
            let image = try ImageDecoder.decode(bytes)
            #expect((image.width, image.height) == (rows[0].count, rows.count))
            #expect(image.pixels == rows.joined().utf8.flatMap { [$0, $0, $0] })
        }
    }

    /// The upright picture after an orientation, by mirroring and quarter turns, as the letters above say.
    static func upright(_ image: DecodedImage, _ orientation: UInt16) throws -> [UInt8] {
        let order = try #require(letters[orientation])
        // The letters tell which corner of the stored picture comes first, and in which direction its neighbours lie.
        let ends = [order[0].first, order[0].last, order.last?.first].map { corner -> (x: Int, y: Int) in
            let letter = corner ?? "?"
            return ("cf".contains(letter) ? image.width - 1 : 0, "def".contains(letter) ? image.height - 1 : 0)
        }
        let (columns, rows) = orientation >= 5 ? (image.height, image.width) : (image.width, image.height)
        func between(_ a: Int, _ b: Int, _ step: Int, _ count: Int) -> Int { a + (b - a) * step / (count - 1) }
        return (0..<rows).flatMap { row in
            (0..<columns).flatMap { column -> [UInt8] in
                let x = between(ends[0].x, ends[1].x, column, columns) + between(ends[0].x, ends[2].x, row, rows) - ends[0].x
                let y = between(ends[0].y, ends[1].y, column, columns) + between(ends[0].y, ends[2].y, row, rows) - ends[0].y
                let pixel = (y * image.width + x) * image.channels
                return Array(image.pixels[pixel..<pixel + image.channels])
            }
        }
    }

    /// The picture `name` with EXIF data.
    static func with(_ name: String, exif: [UInt8]) throws -> [UInt8] {
        let bytes = try SamplePictures.bytes(name)
        if name.hasSuffix("jpg") { return SamplePictures.jpeg(bytes, exif: exif) }
        if name.hasSuffix("webp") { return SamplePictures.webp(bytes, width: 37, height: 22, exif: exif) }
        return SamplePictures.png(bytes, exif: exif)
    }

    @Test(arguments: ["ycc420.jpg", "grey.jpg", "cmyk.jpg", "lossless.webp", "lossy.webp", "lossy-alpha.png"])
    func everyFormatIsTurned(_ name: String) throws {
        let stored = try ImageDecoder.decode(file: SamplePictures.path(name))
        for orientation in 1...8 as ClosedRange<UInt16> {
            for bigEndian in [true, false] {
                let exif = SamplePictures.exif(orientation: orientation, bigEndian: bigEndian)
                let image = try ImageDecoder.decode(try Self.with(name, exif: exif))
                let size = orientation >= 5 ? (22, 37) : (37, 22)
                #expect((image.width, image.height) == size)
                #expect(try image.pixels == Self.upright(stored, orientation), "\(orientation)")
            }
        }
    }

    /// Some writers put JPEG's mark before the EXIF data of other formats too.
    @Test func theMarkOfJPEGIsPassedOver() throws {
        let exif = Array("Exif\0\0".utf8) + SamplePictures.exif(orientation: 8)
        for name in ["lossless.webp", "ycc444.png"] {
            #expect(try ImageDecoder.decode(try Self.with(name, exif: exif)).width == 22)
        }
    }

    /// The first EXIF marker counts; markers of other programs in the same place do not.
    @Test func otherMarkersArePassedOver() throws {
        let plain = try SamplePictures.bytes("ycc420.jpg")
        let turned = SamplePictures.jpeg(plain, exif: SamplePictures.exif(orientation: 6))
        let xmp = SamplePictures.jpeg(turned, exif: Array("<x/>".utf8), mark: Array("http://ns.adobe.com/xap/1.0/\0".utf8))
        #expect(try ImageDecoder.decode(xmp).width == 22)
        let twice = SamplePictures.jpeg(turned, exif: SamplePictures.exif(orientation: 1))
        #expect(try ImageDecoder.decode(twice).width == 37)
    }

    /// EXIF data against the standard leave the picture as it is stored, and never make it unreadable.
    static let hostile: [[UInt8]] = {
        let valid = SamplePictures.exif(orientation: 6)
        func changed(_ at: Int, _ bytes: [UInt8]) -> [UInt8] {
            var exif = valid
            exif.replaceSubrange(at..<at + bytes.count, with: bytes)
            return exif
        }
        return [
            [0], Array("Exif\0\0".utf8), [UInt8](repeating: 0xFF, count: 300),
            // Byte order, magic number.
            changed(0, [0x58, 0x58]), changed(0, [0x49, 0x4D]), changed(2, [0, 43]), changed(2, [42, 0]),
            // The directory lies outside the data, at their very end, in the header.
            changed(4, [0xFF, 0xFF, 0xFF, 0xFF]), changed(4, [0x7F, 0xFF, 0xFF, 0xFF]), changed(4, [0, 0, 0, 25]),
            changed(4, [0, 0, 0, 0]), changed(4, [0, 0, 0, 3]),
            // No entries; another tag in the only entry; entries that do not exist.
            changed(8, [0, 0]), changed(10, [1, 0x13]), changed(8, [0xFF, 0xFF, 1, 0x13]),
            // Types: byte, text, a long and fractions that are too large or outside, bytes, a type that the standard does not
            // have.
            changed(12, [0, 1]), changed(12, [0, 2]), changed(12, [0, 4]), changed(12, [0, 5]), changed(12, [0, 7]),
            changed(12, [0, 10]), changed(12, [0, 11]), changed(12, [0, 12]), changed(12, [0xFF, 0xFF]), changed(12, [0, 0]),
            // Counts.
            changed(14, [0, 0, 0, 0]), changed(14, [0, 0, 0, 3]), changed(14, [0xFF, 0xFF, 0xFF, 0xFF]),
            // Values.
            changed(18, [0, 0]), changed(18, [0, 9]), changed(18, [6, 0]), changed(18, [0xFF, 0xFF]),
        ] + (0..<20).map { Array(valid[..<$0]) }
    }()

    @Test(arguments: ["ycc420.jpg", "lossless.webp", "ycc444.png"]) func spoiltDataAreIgnored(_ name: String) throws {
        let stored = try ImageDecoder.decode(file: SamplePictures.path(name))
        for exif in Self.hostile {
            #expect(try ImageDecoder.decode(try Self.with(name, exif: exif)).pixels == stored.pixels, "\(exif)")
        }
        // A next directory that is the first one again is never read. Nor is the tag in a second directory.
        var loop = SamplePictures.exif(orientation: 6)
        loop.replaceSubrange(22..<26, with: [0, 0, 0, 8])
        #expect(try ImageDecoder.decode(try Self.with(name, exif: loop)).width == 22)
    }

    @Test func noExifTraps() throws {
        let random = PNGEncoderTests.noise(8000, seed: 5)
        let plain = HandmadePNG(2, 1, .grey, rows: [[1, 2]]).bytes
        for round in 0..<2000 {
            var exif = SamplePictures.exif(orientation: 2, bigEndian: round % 2 == 0)
            for change in 0..<2 {
                let position = Int(random[round * 4 + change * 2]) % exif.count
                exif[position] = random[round * 4 + change * 2 + 1]
            }
            let pixels = try ImageDecoder.decode(SamplePictures.png(plain, exif: exif)).pixels
            #expect(pixels == [1, 1, 1, 2, 2, 2] || pixels == [2, 2, 2, 1, 1, 1])
        }
    }
}
