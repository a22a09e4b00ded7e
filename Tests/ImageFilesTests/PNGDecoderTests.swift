import ImageFiles
import TestSupport
import Testing

@Suite struct PNGDecoderTests {
    static func code(_ bytes: [UInt8], limits: PictureLimits = .standard) -> ImageFileError.Code? {
        do {
            _ = try ImageDecoder.decode(bytes, limits: limits)
            return nil
        } catch {
            return error.code
        }
    }

    @Test func everyColourTypeBecomesEightBitRGB() throws {
        var grey = HandmadePNG()
        grey.header(2, 1, depth: 8, .grey)
        grey.pixels([[0, 200]])
        #expect(try ImageDecoder.decode(grey.bytes).pixels == [0, 0, 0, 200, 200, 200])

        var bits = HandmadePNG()
        bits.header(3, 1, depth: 1, .grey)
        bits.pixels([[0b1010_0000]])
        #expect(try ImageDecoder.decode(bits.bytes).pixels == [255, 255, 255, 0, 0, 0, 255, 255, 255])

        var deep = HandmadePNG()
        deep.header(1, 2, depth: 16, .rgb)
        deep.pixels([[0xFF, 0xFF, 0x80, 0x80, 0x00, 0x7F], [0x00, 0x81, 0x12, 0x34, 0xFF, 0x00]])
        #expect(try ImageDecoder.decode(deep.bytes).pixels == [255, 128, 0, 1, 18, 254])

        var palette = HandmadePNG()
        palette.header(2, 1, depth: 4, .palette)
        palette.chunk("PLTE", [9, 8, 7, 6, 5, 4])
        palette.pixels([[0x10]])
        #expect(try ImageDecoder.decode(palette.bytes).pixels == [6, 5, 4, 9, 8, 7])
    }

    @Test func transparencyGivesAFourthChannel() throws {
        var rgba = HandmadePNG()
        rgba.header(1, 1, depth: 8, .rgba)
        rgba.pixels([[1, 2, 3, 4]])
        let image = try ImageDecoder.decode(rgba.bytes)
        #expect(image.channels == 4)
        #expect(image.pixels == [1, 2, 3, 4])
        #expect(image.rgb == [1, 2, 3])

        var greyAlpha = HandmadePNG()
        greyAlpha.header(1, 1, depth: 8, .greyAlpha)
        greyAlpha.pixels([[7, 9]])
        #expect(try ImageDecoder.decode(greyAlpha.bytes).pixels == [7, 7, 7, 9])

        var palette = HandmadePNG()
        palette.header(2, 1, depth: 8, .palette)
        palette.chunk("PLTE", [9, 8, 7, 6, 5, 4])
        palette.chunk("tRNS", [0])
        palette.pixels([[0, 1]])
        #expect(try ImageDecoder.decode(palette.bytes).pixels == [9, 8, 7, 0, 6, 5, 4, 255])
    }

    /// Adam7 stores a 2x2 picture as three passes: the pixel (0,0), then (1,0), then the row (0,1), (1,1).
    @Test func interlacedPicturesAreRead() throws {
        var png = HandmadePNG()
        png.header(2, 2, depth: 8, .grey, interlaced: true)
        png.pixels([[10], [20], [30, 40]])
        #expect(try ImageDecoder.decode(png.bytes).pixels == [10, 10, 10, 20, 20, 20, 30, 30, 30, 40, 40, 40])
    }

    @Test func otherChunksAreSkippedAndTextAfterThePixelsIsFound() throws {
        var png = HandmadePNG()
        png.header(1, 1, depth: 8, .rgb)
        png.chunk("gAMA", [0, 0, 0, 1])
        png.chunk("prIv", [UInt8](repeating: 1, count: 1000))
        png.chunk("tIME", [7, 230, 1, 1, 0, 0, 0])
        png.chunk("IDAT", HandmadePNG.zlib([0, 1, 2, 3]))
        png.chunk("tEXt", Array("late".utf8) + [0, 0xE9])
        png.chunk("iTXt", Array("bad".utf8) + [0, 0, 0, 0, 0, 0xFF, 0x41])
        png.chunk("IEND", [])
        let image = try ImageDecoder.decode(png.bytes)
        #expect(image.pixels == [1, 2, 3])
        #expect(image.text("late") == "é")
        #expect(image.text("bad") == "\u{FFFD}A")
    }

    /// An unknown chunk that declares itself critical: before the palette, between the pixels, behind them.
    @Test(arguments: ["ABCd", "CgBI", "XXXX", "Zzzz"]) func unknownCriticalChunksAreRefused(_ kind: String) throws {
        func picture(_ kind: String, at place: Int) -> [UInt8] {
            var png = HandmadePNG()
            png.header(2, 1, depth: 8, .grey)
            let zipped = HandmadePNG.zlib([0, 7, 9])
            let parts = [("IDAT", Array(zipped[..<5])), ("IDAT", Array(zipped[5...])), ("IEND", [])]
            for (index, part) in parts.enumerated() {
                if index == place { png.chunk(kind, [1, 2, 3, 4]) }
                png.chunk(part.0, part.1)
            }
            return png.bytes
        }
        for place in 0..<3 where place != 1 {
            let error = try #require(ImageDecoderTests.error(picture(kind, at: place)))
            #expect(error.code == .damaged && error.message.contains("its chunk '\(kind)', which is not known"), "\(error)")
            // The same chunk, declared ancillary.
            let image = try ImageDecoder.decode(picture(kind.prefix(1).lowercased() + kind.dropFirst(), at: place))
            #expect(image.pixels == [7, 7, 7, 9, 9, 9])
        }
        #expect(ImageDecoderTests.error(picture(kind, at: 1))?.code == .damaged)
        // Without content, and in front of the header.
        #expect(Self.code(HandmadePNG(1, 1, .grey, rows: [[1]], extra: [(kind, [])]).bytes) == .damaged)
        var first = HandmadePNG()
        first.chunk(kind, [0, 0, 0, 2])
        #expect(Self.code(first.bytes + HandmadePNG(1, 1, .grey, rows: [[1]]).bytes.dropFirst(8)) == .damaged)
    }

    @Test func hugePicturesAreRefusedBeforeMemoryIsTaken() throws {
        for (width, height) in [
            (16_385, 1), (1, 16_385), (16_385, 8), (16_384, 16_384), (1_000_001, 1), (UInt32.max >> 1, UInt32.max >> 1),
        ] as [(UInt32, UInt32)] {
            for colour in [.grey, .rgb, .rgba] as [HandmadePNG.Colour] {
                var png = HandmadePNG()
                png.header(width, height, depth: 8, colour, interlaced: height == 8)
                png.pixels([[0, 0, 0]])
                let error = try #require(ImageDecoderTests.error(png.bytes))
                #expect(error.code == .tooLarge && error.message.contains("is \(width)x\(height), "), "\(error)")
                #expect(error.message.hasSuffix("scale it down."))
            }
        }
        // Sizes that the format does not allow.
        for (width, height) in [(0, 1), (1, 0), (UInt32.max, 1), (1, 1 << 31)] as [(UInt32, UInt32)] {
            var png = HandmadePNG()
            png.header(width, height, depth: 8, .grey)
            png.pixels([[0]])
            #expect(Self.code(png.bytes) == .damaged)
        }
        // The longest size that is allowed.
        let row = [UInt8](repeating: 3, count: 16_384)
        #expect(try ImageDecoder.decode(HandmadePNG(16_384, 1, .grey, rows: [row]).bytes).pixels.count == 3 * 16_384)
        var small = HandmadePNG()
        small.header(10, 10, depth: 8, .rgba)
        small.pixels([[UInt8]](repeating: [UInt8](repeating: 1, count: 40), count: 10))
        var limits = PictureLimits.standard
        limits.pixelsMax = 99
        #expect(Self.code(small.bytes, limits: limits) == .tooLarge)
        limits = .standard
        limits.decodedBytesMax = 399
        #expect(Self.code(small.bytes, limits: limits) == .tooLarge)
        limits = .standard
        limits.fileBytesMax = small.bytes.count - 1
        #expect(Self.code(small.bytes, limits: limits) == .tooLarge)
        #expect(Self.code(small.bytes) == nil)
    }

    @Test func decompressedTextIsCapped() throws {
        var png = HandmadePNG()
        png.header(1, 1, depth: 8, .rgb)
        png.chunk("zTXt", Array("bomb".utf8) + [0, 0] + HandmadePNG.zlib([UInt8](repeating: 65, count: 5000)))
        png.pixels([[1, 2, 3]])
        var limits = PictureLimits.standard
        #expect(try ImageDecoder.decode(png.bytes, limits: limits).text("bomb")?.count == 5000)
        limits.chunkBytesMax = 4000
        // libpng leaves out such a chunk's text, or keeps it as it was stored. It must not unpack it.
        #expect(try ImageDecoder.decode(png.bytes, limits: limits).text("bomb")?.count != 5000)
    }

    @Test func filesThatAreNoPNGAreRefused() {
        #expect(Self.code([]) == .damaged)
        #expect(Self.code([0x89, 0x50, 0x4E, 0x47]) == .damaged)
        #expect(Self.code(Array("JFIF, says another kind of file".utf8)) == .unsupported)
        var headless = HandmadePNG()
        headless.pixels([[0, 0, 0]])
        #expect(Self.code(headless.bytes) == .damaged)
    }

    @Test func everyTruncationIsAnErrorAndNoMutationTraps() throws {
        let valid = try PNGEncoder.encode(
            rgb: PNGEncoderTests.noise(16 * 16 * 3), width: 16, height: 16, text: [PNGText(keyword: "parameters", value: "日本")])
        // Only the last chunk's checksum could be missing without an effect on the pixels. libpng refuses that too.
        // One to three bytes could begin any file.
        for length in 0..<valid.count {
            #expect(Self.code(Array(valid[..<length])) == ((1...3).contains(length) ? .unsupported : .damaged))
        }
        let random = PNGEncoderTests.noise(4000, seed: 7)
        for round in 0..<1000 {
            var mutated = valid
            for change in 0..<2 {
                let position = Int(random[4 * round + 2 * change]) * 256 + Int(random[4 * round + 2 * change + 1])
                mutated[position % mutated.count] ^= 1 << UInt8(position % 8)
            }
            let image = try? ImageDecoder.decode(mutated)
            #expect(image == nil || image?.pixels.count == image.map { $0.width * $0.height * $0.channels })
        }
    }
}
