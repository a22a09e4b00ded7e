import ImageFiles
import TestSupport
import Testing

/// JPEG and WebP files against Pillow's pixels of the same files.
@Suite struct ImageDecoderTests {
    static let files = [
        "440.jpg", "arithmetic.jpg", "cmyk-plain.jpg", "cmyk.jpg", "grey.jpg", "lossless-alpha.webp", "lossless.webp",
        "lossy-alpha.webp", "lossy.webp", "progressive.jpg", "restarts.jpg", "rgb.jpg", "ycc420.jpg", "ycc422.jpg",
        "ycc444.jpg",
        "ycck.jpg",
    ]

    static func error(_ bytes: [UInt8], limits: PictureLimits = .standard) -> ImageFileError? {
        do {
            _ = try ImageDecoder.decode(bytes, limits: limits)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: files) func pixelsArePillows(_ name: String) throws {
        // The same coefficients, coded in another way.
        let twins = ["arithmetic": "ycc420", "progressive": "ycc420", "restarts": "ycc420", "cmyk-plain": "cmyk"]
        let stem = String(name.prefix { $0 != "." })
        let image = try ImageDecoder.decode(file: SamplePictures.path(name))
        let reference = try ImageDecoder.decode(file: SamplePictures.path((twins[stem] ?? stem) + ".png"))
        #expect((image.width, image.height) == (37, 22))
        #expect(image.channels == (name.contains("alpha") ? 4 : 3))
        #expect(image == reference)
        #expect(Set(image.pixels).count > 10)
        #expect(try ImageDecoder.decode(file: SamplePictures.path(name)) == image)
    }

    /// A cut file is an error at every length, also where the libraries would fill the rest with grey.
    @Test(arguments: files + ["ycc444.png"]) func everyPrefixIsAnError(_ name: String) throws {
        let bytes = try SamplePictures.bytes(name)
        for length in 0..<bytes.count {
            let error = Self.error(Array(bytes[..<length]))
            #expect(error?.code == .damaged || error?.code == .unsupported && length < 12, "\(length) bytes: \(error as Any)")
        }
        #expect(Self.error(bytes + [1, 2, 3]) == nil, "bytes behind the picture change nothing")
    }

    /// Scans that are cut in the middle and closed properly. libjpeg only warns about these.
    @Test(arguments: ["ycc420.jpg", "progressive.jpg", "restarts.jpg", "arithmetic.jpg"])
    func jpegsCutAndClosedAreDamaged(_ name: String) throws {
        let bytes = try SamplePictures.bytes(name)
        let scan = try #require(bytes.indices.last { bytes[$0...].starts(with: [0xFF, 0xDA]) })
        // Arithmetic coding may leave out the zeros at the end of its data, so a cut there is no damage.
        let cut = scan + (bytes.count - scan) / 2
        if name == "arithmetic.jpg" {
            #expect(Self.error(Array(bytes[..<cut])) != nil)
        } else {
            #expect(Self.error(bytes[..<cut] + [0xFF, 0xD9])?.code == .damaged)
        }
    }

    @Test(arguments: files) func noMutationTraps(_ name: String) throws {
        let valid = try SamplePictures.bytes(name)
        let random = PNGEncoderTests.noise(1800, seed: 11)
        var survivors = 0
        for round in 0..<300 {
            var mutated = valid
            for change in 0..<2 {
                let at = 6 * round + 3 * change
                let position = (Int(random[at]) << 8 | Int(random[at + 1])) % mutated.count
                mutated[position] ^= 1 << (random[at + 2] % 8)
            }
            guard let image = try? ImageDecoder.decode(mutated) else { continue }
            survivors += 1
            #expect(image.pixels.count == image.width * image.height * image.channels)
        }
        // Neither format checks all its bits.
        #expect(survivors > 0 && survivors < 300)
    }

    /// The frame's header with another size.
    static func jpeg(_ name: String = "ycc420.jpg", width: Int, height: Int) throws -> [UInt8] {
        var bytes = try SamplePictures.bytes(name)
        let frame = try #require(
            bytes.indices.first { bytes[$0...].starts(with: [0xFF, 0xC0]) || bytes[$0...].starts(with: [0xFF, 0xC2]) })
        bytes.replaceSubrange(
            frame + 5..<frame + 9, with: [UInt8(height >> 8), UInt8(height & 255), UInt8(width >> 8), UInt8(width & 255)])
        return bytes
    }

    @Test func hugePicturesAreRefusedBeforeMemoryIsTaken() throws {
        for (width, height) in [(65_500, 65_500), (16_385, 8), (8, 16_385), (16_384, 16_384)] {
            for name in ["ycc420.jpg", "progressive.jpg"] {
                let error = Self.error(try Self.jpeg(name, width: width, height: height))
                #expect(error?.code == .tooLarge)
                #expect(error?.message.contains("\(width)x\(height)") == true)
            }
        }
        // 16,384 pixels a side, in the 14-bit fields of a lossless WebP.
        var webp = try SamplePictures.bytes("lossless.webp")
        webp.replaceSubrange(21..<25, with: [0xFF, 0xFF, 0xFF, 0x0F])
        #expect(Self.error(webp)?.code == .tooLarge)
        for name in ["ycc420.jpg", "lossy.webp", "lossless-alpha.webp", "ycc420.png"] {
            let bytes = try SamplePictures.bytes(name)
            var limits = PictureLimits.standard
            limits.pixelsMax = 37 * 22 - 1
            #expect(Self.error(bytes, limits: limits)?.code == .tooLarge)
            limits = .standard
            limits.decodedBytesMax = 37 * 22 * 3 - 1
            #expect(Self.error(bytes, limits: limits)?.code == .tooLarge)
            limits = .standard
            limits.sideMax = 36
            #expect(Self.error(bytes, limits: limits) != nil)
            limits = .standard
            limits.fileBytesMax = bytes.count - 1
            #expect(Self.error(bytes, limits: limits)?.code == .tooLarge)
            limits.fileBytesMax = bytes.count
            #expect(Self.error(bytes, limits: limits) == nil)
        }
    }

    /// A JPEG may go over its pixels as often as it likes; each pass costs a few bytes.
    @Test func veryManyScansAreRefused() throws {
        let bytes = try SamplePictures.bytes("progressive.jpg")
        // The first scan, of the lowest frequencies, up to the next marker. A repeated scan overwrites itself.
        let scan = try #require(bytes.indices.first { bytes[$0...].starts(with: [0xFF, 0xDA]) })
        let next = try #require(bytes.indices.first { $0 > scan && bytes[$0] == 0xFF && bytes[$0 + 1] != 0 })
        let repeated = [[UInt8]](repeating: Array(bytes[scan..<next]), count: 600).flatMap { $0 }
        let error = Self.error(bytes[..<scan] + repeated + bytes[scan...])
        let fewer = [[UInt8]](repeating: Array(bytes[scan..<next]), count: 100).flatMap { $0 }
        let same = try ImageDecoder.decode(Array(bytes[..<scan]) + fewer + bytes[scan...])
        #expect(same == (try ImageDecoder.decode(bytes)))
        #expect(error?.code == .tooLarge)
        #expect(error?.message.contains("500") == true)
        var limits = PictureLimits.standard
        limits.scansMax = 3
        #expect(Self.error(bytes, limits: limits)?.code == .tooLarge)
        #expect(Self.error(try SamplePictures.bytes("ycc420.jpg"), limits: limits) == nil)
    }

    @Test func kindsThatAreNotReadAreNamed() throws {
        let valid = try SamplePictures.bytes("ycc420.jpg")
        let frame = try #require(valid.indices.first { valid[$0...].starts(with: [0xFF, 0xC0]) })
        func expect(_ place: Int, _ value: UInt8, _ word: String) {
            var bytes = valid
            bytes[place] = value
            let error = Self.error(bytes)
            #expect(error?.code == .unsupported && error?.message.contains(word) == true, "\(error as Any)")
        }
        expect(frame + 4, 12, "12 bits")
        expect(frame + 1, 0xC3, "lossless")
        expect(frame + 1, 0xC5, "hierarchical")
        let two: [UInt8] =
            [0xFF, 0xD8, 0xFF, 0xC0, 0, 14, 8, 0, 8, 0, 8, 2, 1, 0x11, 0, 2, 0x11, 0]
            + [0xFF, 0xDA, 0, 10, 2, 1, 0, 2, 0, 0, 63, 0, 0xFF, 0xD9]
        #expect(Self.error(two)?.code == .unsupported)
        let animated = Self.error(try SamplePictures.bytes("animated.webp"))
        #expect(animated?.code == .unsupported && animated?.message.contains("animated WebP") == true)
    }
}
