import ImageFiles
import TestSupport
import Testing

/// Sources of the orientation besides one SHORT of EXIF. The expected results come from Pillow's `ImageOps.exif_transpose`,
/// 9.5 to 13.0, on the same files.
@Suite struct OrientationSourceTests {
    static let plain = HandmadePNG(3, 2, .grey, rows: [Array("abc".utf8), Array("def".utf8)]).bytes

    /// The letters of the picture above as a viewer sees them, row by row.
    static func letters(_ png: [UInt8]) throws -> String {
        let image = try ImageDecoder.decode(png)
        let letters = stride(from: 0, to: image.pixels.count, by: 3).map { image.pixels[$0] }
        return stride(from: 0, to: letters.count, by: image.width).map {
            String(decoding: letters[$0..<$0 + image.width], as: UTF8.self)
        }
        .joined(separator: " ")
    }

    /// The picture with more chunks, before or behind its pixels.
    static func png(_ chunks: [(String, [UInt8])], atEnd: Bool = false) -> [UInt8] {
        var more = HandmadePNG()
        for (kind, content) in chunks { more.chunk(kind, content) }
        let place = atEnd ? plain.count - 12 : 33
        return Array(plain[..<place]) + more.bytes.dropFirst(8) + plain[place...]
    }

    static let (upright, turned, halfTurned) = ("abc def", "da eb fc", "fed cba")

    /// Types of TIFF, the bytes of a six, and the width of its numbers.
    static let numbers: [(UInt16, [UInt8], Int)] = [
        (3, [0, 6], 2), (4, [0, 0, 0, 6], 4), (6, [6], 1), (8, [0, 6], 2), (9, [0, 0, 0, 6], 4), (13, [0, 0, 0, 6], 4),
        (5, [0, 0, 0, 6, 0, 0, 0, 1], 4), (5, [0, 0, 0, 18, 0, 0, 0, 3], 4), (10, [0, 0, 0, 6, 0, 0, 0, 1], 4),
        (11, [0x40, 0xC0, 0, 0], 4), (12, [0x40, 0x18, 0, 0, 0, 0, 0, 0], 8), (16, [0, 0, 0, 0, 0, 0, 0, 6], 8),
    ]

    @Test(arguments: [true, false]) func everyTypeOfNumbersIsRead(_ bigEndian: Bool) throws {
        for (type, data, width) in Self.numbers {
            func exif(count: UInt32 = 1, _ data: [UInt8]) -> [UInt8] {
                SamplePictures.exif(type: type, count: count, data: data, width: width, bigEndian: bigEndian)
            }
            #expect(try Self.letters(SamplePictures.png(Self.plain, exif: exif(data))) == Self.turned, "\(type)")
            // Several values: the first counts, wherever they lie.
            #expect(try Self.letters(SamplePictures.png(Self.plain, exif: exif(count: 3, data + data + data))) == Self.turned)
            // Cut data, fewer values than announced, and a value that is none.
            for spoilt in [exif(data).dropLast(data.count > 4 ? 1 : 8), exif(count: 900, data)[...]] {
                #expect(try Self.letters(SamplePictures.png(Self.plain, exif: Array(spoilt))) == Self.upright, "\(type)")
            }
            for value in [0, 1, 11, 0xFF] as [UInt8] {
                let other = data.map { $0 == 6 || $0 == 18 ? value : $0 == 0x40 || $0 == 0xC0 || $0 == 0x18 ? 0xFF : $0 }
                #expect(
                    try Self.letters(SamplePictures.png(Self.plain, exif: exif(other))) == Self.upright, "\(type), \(value)")
            }
        }
        // A BYTE, text and undefined bytes are no numbers, in Pillow either. Nor is a fraction over zero.
        for (type, data) in [(1, [6]), (2, [0x36, 0]), (7, [6]), (14, [0, 6]), (5, [0, 0, 0, 6, 0, 0, 0, 0])]
            as [(UInt16, [UInt8])]
        {
            let exif = SamplePictures.exif(type: type, count: 1, data: data, width: 1, bigEndian: bigEndian)
            #expect(try Self.letters(SamplePictures.png(Self.plain, exif: exif)) == Self.upright, "\(type)")
        }
    }

    /// Packets that programs write.
    static let packets = [
        #"<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>"#,
        "<?xpacket begin='\u{FEFF}' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>",
        "<rdf:Description\n   tiff:XResolution='72/1'\n   tiff:Orientation='6'\n   tiff:Make='x'/>",
        "<a tiff:Orientation = \"6\" />", "<tiff:Orientation>\r\n 6\r\n</tiff:Orientation>",
        // Names without a value are skipped.
        "<a tiff:Orientation=\"\"/><tiff:Orientation/><b tiff:Orientation=\"6\"/> <c tiff:Orientation=\"3\"/>",
    ]

    static func xmp(_ name: String, _ packet: [UInt8]) throws -> [UInt8] {
        let bytes = try SamplePictures.bytes(name)
        if name.hasSuffix("jpg") { return SamplePictures.jpeg(bytes, exif: packet, mark: SamplePictures.xmpMark) }
        if name.hasSuffix("webp") { return SamplePictures.webp(bytes, width: 37, height: 22, exif: nil, xmp: packet) }
        var chunk = HandmadePNG()
        chunk.chunk(SamplePictures.xmpChunk(packet).0, SamplePictures.xmpChunk(packet).1)
        return Array(bytes[..<33]) + chunk.bytes.dropFirst(8) + bytes[33...]
    }

    @Test(arguments: ["ycc420.jpg", "grey.jpg", "lossless.webp", "lossy.webp", "ycc444.png", "lossy-alpha.png"])
    func packetsOfXMPAreRead(_ name: String) throws {
        let stored = try ImageDecoder.decode(file: SamplePictures.path(name))
        for packet in Self.packets {
            let image = try ImageDecoder.decode(Self.xmp(name, Array(packet.utf8)))
            #expect((image.width, image.height) == (22, 37))
            #expect(try image.pixels == OrientationTests.upright(stored, 6), "\(packet)")
        }
        for orientation in 1...8 as ClosedRange<UInt16> {
            let image = try ImageDecoder.decode(
                Self.xmp(name, Array("<tiff:Orientation>\(orientation)</tiff:Orientation>".utf8)))
            #expect(try image.pixels == OrientationTests.upright(stored, orientation))
        }
        for packet in [
            "", "tiff:Orientation", "<a tiff:Orientation", "<a tiff:Orientation=", "<a tiff:Orientation=\"",
            "<a tiff:Orientation=\"6",
            "<a tiff:Orientation=\"66\"/>", "<a tiff:Orientation=\"6'/>", "<a tiff:Orientation=\"x\"/>",
            "<a tiff:Orientation=\"-6\"/>",
            "<a tiff:Orientation=\"0\"/>", "<a tiff:Orientation=\"9\"/>", "<a xtiff:Orientation=\"6\"/>", "<tiff:Orientation>6",
            "<xtiff:Orientation>6</xtiff:Orientation>", "</tiff:Orientation>6<", "<tiff:Orientation>",
            "<a tiff:OrientationX=\"6\"/>",
        ] {
            #expect(try ImageDecoder.decode(Self.xmp(name, Array(packet.utf8))).pixels == stored.pixels, "\(packet)")
        }
        let random = PNGEncoderTests.noise(500, seed: 3)
        #expect(try ImageDecoder.decode(Self.xmp(name, random)).pixels == stored.pixels)
    }

    static let six = Array(packets[0].utf8)

    /// EXIF data with an orientation decide, also if it is upright or nonsense. Spoilt data do not decide.
    @Test func exifComesFirst() throws {
        let other = SamplePictures.exif(orientation: 3).enumerated().map { $0 == 11 ? 0x13 : $1 }
        for (exif, letters) in [
            (SamplePictures.exif(orientation: 3), Self.halfTurned), (SamplePictures.exif(orientation: 1), Self.upright),
            (SamplePictures.exif(orientation: 9), Self.upright),
            (SamplePictures.exif(type: 1, count: 1, value: 0x0600), Self.upright),
            (other, Self.turned), ([0x4D], Self.turned), (Array("Exif\0\0".utf8), Self.turned),
            (Array(SamplePictures.exif(orientation: 3).prefix(19)), Self.turned),
        ] {
            let xmp = SamplePictures.xmpChunk(Self.six)
            for chunks in [[("eXIf", exif), xmp], [xmp, ("eXIf", exif)]] {
                for atEnd in [true, false] { #expect(try Self.letters(Self.png(chunks, atEnd: atEnd)) == letters, "\(exif)") }
            }
            let jpeg = SamplePictures.jpeg(
                SamplePictures.jpeg(try SamplePictures.bytes("ycc420.jpg"), exif: exif), exif: Self.six,
                mark: SamplePictures.xmpMark)
            #expect(try ImageDecoder.decode(jpeg).width == (letters == Self.turned ? 22 : 37))
            let webp = SamplePictures.webp(
                try SamplePictures.bytes("lossless.webp"), width: 37, height: 22, exif: exif, xmp: Self.six)
            #expect(try ImageDecoder.decode(webp).width == (letters == Self.turned ? 22 : 37))
        }
    }

    /// The last of several packets counts. A packet in another marker, or in a marker with another name, does not.
    @Test func severalPackets() throws {
        let three = Array("<a tiff:Orientation=\"3\"/>".utf8)
        let (first, last) = (SamplePictures.xmpChunk(three), SamplePictures.xmpChunk(Self.six))
        #expect(try Self.letters(Self.png([first, last])) == Self.turned)
        #expect(try Self.letters(Self.png([last, first])) == Self.halfTurned)
        let zipped = ("iTXt", Array("XML:com.adobe.xmp".utf8) + [0, 1, 0, 0, 0] + HandmadePNG.zlib(Self.six))
        #expect(try Self.letters(Self.png([zipped], atEnd: true)) == Self.turned)
        let plain = try SamplePictures.bytes("ycc420.jpg")
        for mark in ["http://ns.adobe.com/xap/1.0/", "http://ns.adobe.com/xmp/extension/\0", "", "XMP\0"] {
            #expect(try ImageDecoder.decode(SamplePictures.jpeg(plain, exif: Self.six, mark: Array(mark.utf8))).width == 37)
        }
        #expect(try Self.letters(Self.png([("tEXt", Array("Comment\0".utf8) + Self.six)])) == Self.upright)
    }

    /// EXIF data that are longer than one marker of a JPEG.
    @Test(arguments: [1, 9, 10, 19, 25]) func exifGoesOnInTheNextMarker(_ cut: Int) throws {
        let exif = SamplePictures.exif(orientation: 6)
        let plain = try SamplePictures.bytes("ycc420.jpg")
        let second = SamplePictures.jpeg(plain, exif: Array(exif[cut...]))
        #expect(try ImageDecoder.decode(SamplePictures.jpeg(second, exif: Array(exif[..<cut]))).width == 22)
        #expect(try ImageDecoder.decode(SamplePictures.jpeg(plain, exif: Array(exif[..<cut]))).width == (cut > 20 ? 22 : 37))
    }

    /// The text of an older program: a line end, the kind, the length, lines of hexadecimal digits.
    static func profile(_ exif: [UInt8], upper: Bool = false, every: Int = 36) -> [UInt8] {
        let lines = stride(from: 0, to: exif.count, by: every).map { start in
            exif[start..<min(start + every, exif.count)].map { byte in
                let digits = String(byte, radix: 16, uppercase: upper)
                return digits.count == 1 ? "0" + digits : digits
            }
            .joined()
        }
        return Array(
            ("\nexif\n" + String(repeating: " ", count: 6) + "\(exif.count)\n" + lines.joined(separator: "\n") + "\n").utf8)
    }

    @Test func rawProfilesOfPNGAreRead() throws {
        let keyword = Array("Raw profile type exif\0".utf8)
        let (six, three) = (SamplePictures.exif(orientation: 6), SamplePictures.exif(orientation: 3, bigEndian: false))
        let marked = Array("Exif\0\0".utf8) + six
        for text in [
            Self.profile(six), Self.profile(marked), Self.profile(marked, upper: true), Self.profile(marked, every: 7),
            Self.profile(marked) + Array("\n \n".utf8),
        ] {
            #expect(try Self.letters(Self.png([("tEXt", keyword + text)])) == Self.turned)
            #expect(try Self.letters(Self.png([("zTXt", keyword + [0] + HandmadePNG.zlib(text))], atEnd: true)) == Self.turned)
        }
        #expect(try Self.letters(Self.png([("tEXt", keyword + Self.profile(three))])) == Self.halfTurned)
        // It counts before XMP, and behind a chunk for EXIF.
        #expect(
            try Self.letters(Self.png([("tEXt", keyword + Self.profile(three)), SamplePictures.xmpChunk(Self.six)]))
                == Self.halfTurned)
        #expect(try Self.letters(Self.png([("tEXt", keyword + Self.profile(three)), ("eXIf", six)])) == Self.turned)
        let good = Self.profile(marked)
        for spoilt in [
            [], Array("\n".utf8), Array("\nexif\n".utf8), Array("\nexif\n 4\n".utf8), Array("\nexif\n 4\n0".utf8),
            good + Array("zz".utf8),
            good + Array("0".utf8), Array(good.dropLast(20)), Array(good.dropFirst(1)), Array(good.reversed()),
            good.map { $0 | 0x80 },
        ] {
            #expect(try Self.letters(Self.png([("tEXt", keyword + spoilt)])) == Self.upright, "\(spoilt)")
            // Then XMP is asked.
            #expect(
                try Self.letters(Self.png([("tEXt", keyword + spoilt), SamplePictures.xmpChunk(Self.six)])) == Self.turned)
        }
    }
}
