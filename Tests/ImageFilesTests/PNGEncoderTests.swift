import ImageFiles
import Testing

@Suite struct PNGEncoderTests {
    /// Pixels that no filter predicts well.
    static func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }

    @Test(arguments: [(1, 1), (3, 7), (128, 128), (511, 13), (1, 16_384), (16_384, 1)])
    func pixelsComeBack(_ width: Int, _ height: Int) throws {
        let rgb = Self.noise(width * height * 3)
        let image = try ImageDecoder.decode(try PNGEncoder.encode(rgb: rgb, width: width, height: height))
        #expect(image.width == width)
        #expect(image.height == height)
        #expect(image.channels == 3)
        #expect(image.pixels == rgb)
        #expect(image.text.isEmpty)
    }

    @Test(arguments: [1, 7, 64])
    func bandsGiveTheSameFile(_ rows: Int) throws {
        let (width, height) = (93, 64)
        let pixels = Self.noise(width * height * 3)
        let text = [PNGText(keyword: "parameters", value: "an apple")]
        let whole = try PNGEncoder.encode(rgb: pixels, width: width, height: height, text: text)
        var encoder = try PNGEncoder(width: width, height: height, text: text)
        var file: [UInt8] = []
        for top in stride(from: 0, to: height, by: rows) {
            file += try encoder.write(Array(pixels[top * width * 3..<min(height, top + rows) * width * 3]))
        }
        file += try encoder.end()
        #expect(file == whole)
    }

    @Test func rowsThatDoNotFitAreRefused() throws {
        var encoder = try PNGEncoder(width: 3, height: 2)
        #expect(throws: ImageFileError.self) { try encoder.write([1, 2, 3]) }
        #expect(throws: ImageFileError.self) { try encoder.write(Self.noise(27)) }
        _ = try encoder.write(Self.noise(9))
        #expect(throws: ImageFileError.self) { try encoder.write(Self.noise(18)) }
        #expect(throws: ImageFileError.self) { try encoder.end() }
        _ = try encoder.write(Self.noise(9))
        _ = try encoder.end()
        #expect(throws: ImageFileError.self) { try encoder.end() }
    }

    @Test func equalInputGivesEqualBytes() throws {
        let rgb = Self.noise(64 * 64 * 3)
        let text = [PNGText(keyword: "parameters", value: "a red apple\nSteps: 25")]
        let first = try PNGEncoder.encode(rgb: rgb, width: 64, height: 64, text: text)
        let second = try PNGEncoder.encode(rgb: rgb, width: 64, height: 64, text: text)
        #expect(first == second)
    }

    @Test(arguments: [
        ("", "tEXt"), ("plain, with\na line feed", "tEXt"), ("café ÿ", "tEXt"), ("日本語 🍎", "iTXt"), ("tab\there", "iTXt"),
        ("\u{80}", "iTXt"), ("\r\n", "iTXt"),
    ])
    func textComesBackInTheRightChunk(_ value: String, _ chunk: String) throws {
        let texts = [PNGText(keyword: "parameters", value: value), PNGText(keyword: "patchloom", value: "{}")]
        let bytes = try PNGEncoder.encode(rgb: [1, 2, 3], width: 1, height: 1, text: texts)
        // The signature has 8 bytes and the header chunk 25. The text is the next chunk; its type follows its length.
        #expect(String(decoding: bytes[37..<41], as: UTF8.self) == chunk)
        let image = try ImageDecoder.decode(bytes)
        #expect(image.text == texts)
        #expect(image.text("patchloom") == "{}")
        #expect(image.text("nothing") == nil)
    }

    @Test func longTextComesBack() throws {
        let value = String(repeating: "prompt ", count: 40_000)
        let bytes = try PNGEncoder.encode(
            rgb: [1, 2, 3], width: 1, height: 1, text: [PNGText(keyword: "parameters", value: value)])
        #expect(try ImageDecoder.decode(bytes).text("parameters") == value)
    }

    @Test(arguments: [(0, 1, 0), (1, 0, 0), (-1, 1, 3), (2, 2, 11), (2, 2, 13), (16_385, 1, 49_155), (Int.max, Int.max, 3)])
    func sizesThatDoNotFitAreRefused(_ width: Int, _ height: Int, _ count: Int) {
        #expect {
            try PNGEncoder.encode(rgb: [UInt8](repeating: 0, count: count), width: width, height: height)
        } throws: {
            ($0 as? ImageFileError)?.code == .invalidArgument
        }
    }

    @Test(arguments: ["", " lead", "trail ", "two  spaces", "tab\t", "日本", String(repeating: "k", count: 80)])
    func keywordsThatPNGForbidsAreRefused(_ keyword: String) {
        #expect {
            try PNGEncoder.encode(rgb: [0, 0, 0], width: 1, height: 1, text: [PNGText(keyword: keyword, value: "x")])
        } throws: {
            ($0 as? ImageFileError)?.code == .invalidArgument
        }
    }

    @Test(arguments: ["zero\u{0}inside", String(repeating: "x", count: 600_000)])
    func valuesThatPNGForbidsAreRefused(_ value: String) {
        #expect {
            try PNGEncoder.encode(rgb: [0, 0, 0], width: 1, height: 1, text: [PNGText(keyword: "parameters", value: value)])
        } throws: {
            ($0 as? ImageFileError)?.code == .invalidArgument
        }
    }
}
