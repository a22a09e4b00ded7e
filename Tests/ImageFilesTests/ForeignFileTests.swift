import Foundation
import ImageFiles
import TestSupport
import Testing

/// Files that are given as pictures but are none, or have another format. The refusal names each kind.
@Suite struct ForeignFileTests {
    /// Bytes as characters below 256.
    static func bytes(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) } }

    static func box(_ brand: String, _ others: String = "") -> String {
        "\0\0\0" + String(UnicodeScalar(UInt8(16 + others.utf8.count))) + "ftyp" + brand + "\0\0\0\0" + others
    }

    /// The directory of an icon (1) or a cursor (2) of 32 by 32 pixels.
    static func icon(_ kind: Int, count: Int) -> String {
        let entry = "\u{20}\u{20}\0\0\u{01}\0\u{20}\0\u{A8}\u{10}\0\0" + "\(code(6 + 16 * count))\0\0\0"
        return "\0\0\(code(kind))\0\(code(count))\0" + String(repeating: entry, count: count)
    }

    /// The header of a TGA of 3 by 2 pixels, and some of the pixels.
    static func targa(_ kind: Int, depth: Int, palette: Int = 0, descriptor: Int = 0) -> String {
        let colours = "\0\0\(code(palette % 256))\(code(palette / 256))\(code(palette > 0 ? 24 : 0))"
        let head = "\0\(code(palette > 0 ? 1 : 0))\(code(kind))" + colours + "\0\0\0\0\u{03}\0\u{02}\0"
        return head + "\(code(depth))\(code(descriptor))" + "\u{10}\u{20}\u{30}\u{40}\u{50}\u{60}"
    }

    static func code(_ number: Int) -> Character { Character(UnicodeScalar(UInt8(number))) }

    static let pictures: [(String, String)] = [
        ("GIF89a\u{01}\0\u{01}\0\0\0\0", "GIF"), ("GIF87a\u{01}\0", "GIF"),
        ("BM\u{46}\0\0\0\0\0\0\0\u{36}\0\0\0\u{28}\0\0\0", "BMP"), ("BM\u{46}\0\0\0\0\0\0\0\u{36}\0\0\0\u{7C}\0\0\0", "BMP"),
        ("II*\0\u{08}\0\0\0", "TIFF"), ("MM\0*\0\0\0\u{08}", "TIFF"), ("II+\0\u{08}\0\0\0", "BigTIFF"),
        (box("avif"), "AVIF"), (box("mif1", "mif1avifmiaf"), "AVIF"), (box("avis"), "AVIF"),
        (box("heic"), "HEIC"), (box("mif1", "mif1heic"), "HEIC"), (box("heix"), "HEIC"), (box("mif1", "miaf"), "HEIF"),
        ("\u{FF}\u{0A}\u{10}\u{20}", "JPEG XL"), ("\0\0\0\u{0C}JXL \r\n\u{87}\n", "JPEG XL"),
        ("\0\0\0\u{0C}jP  \r\n\u{87}\n", "JPEG 2000"), ("\u{FF}\u{4F}\u{FF}\u{51}\0", "JPEG 2000"),
        ("\u{FF}\u{D8}\u{FF}\u{F7}\0\u{0B}", "JPEG-LS"), ("II\u{BC}\u{01}", "JPEG XR"),
        ("8BPS\0\u{01}", "PSD"), (icon(1, count: 1), "ICO"), (icon(2, count: 3), "CUR"),
        ("gimp xcf v011\0", "XCF"),
        (targa(2, depth: 24), "TGA"), (targa(10, depth: 32, descriptor: 0x28), "TGA"), (targa(3, depth: 8), "TGA"),
        (targa(1, depth: 8, palette: 256), "TGA"), (targa(9, depth: 8, palette: 2), "TGA"), (targa(11, depth: 8), "TGA"),
        ("\u{0C}" + targa(2, depth: 16).dropFirst() + "a comment...", "TGA"),
        ("\u{01}\u{DA}\0\u{01}\0\u{03}\0\u{08}\0\u{08}\0\u{03}", "SGI"),
        ("\u{01}\u{DA}\u{01}\u{02}\0\u{02}\0\u{08}\0\u{08}\0\u{01}", "SGI"),
        ("v/1\u{01}\u{02}\0\0\0", "OpenEXR"), ("#?RADIANCE\n", "Radiance"), ("qoif\0\0", "QOI"), ("DDS |\0", "DDS"),
        ("P6\n2 2\n255\n\0\0\0\0\0\0", "PNM"), ("P5 2 2 255 \0\0\0\0", "PNM"),
        ("<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"), ("<?xml version=\"1.0\"?>\n<!-- x -->\n<svg width='1'>", "SVG"),
    ]

    static let others: [(String, String)] = [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git lfs pull"),
        ("<!DOCTYPE html><html><body>404</body></html>", "HTML"), ("\u{EF}\u{BB}\u{BF}\n <HTML lang=en>", "HTML"),
        ("<head><title>Sign in</title></head>", "HTML"), ("<?xml version='1.0'?><!DOCTYPE html PUBLIC ''><html>", "HTML"),
        ("<!-- saved -->\n<!doctype HTML>\n<svg/>", "HTML"),
        ("\u{40}\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\"", "safetensors"),
        ("\0\0\u{01}\0\0\0\0\0{\"__metadata__\":{", "safetensors"),
        ("BM\u{01}\0\0\0\0\0{\"x\":{\"dtype\"", "safetensors"),
        ("%PDF-1.7\n", "PDF"), ("PK\u{03}\u{04}\u{14}\0", "ZIP"), ("GGUF\u{03}\0\0\0", "GGUF"),
        ("\u{80}\u{02}}q\0(X\u{05}\0\0\0ab", "pickle"), ("RIFF\u{24}\0\0\0WAVEfmt ", "RIFF"),
        ("RIFF\u{24}\0\0\0AVI LIST", "AVI"),
        (box("isom", "mp42"), "video"), ("{\"error\": \"not found\"}", "JSON"), ("[ {\"a\": 1}]", "JSON"),
        ("[core]\nbare = false\n", "text file"), ("BMW is a car", "text file"),
        ("no picture\n", "text file"), ("\u{1F}\u{8B}\u{08}\0", "gzip"), ("", "empty"), ("\u{00}\u{01}\u{02}", "no picture"),
        // Files that begin like TGA files, icons and cursors but go on otherwise.
        ("\0\0\u{02}\0\0\0\0\0\0\0\0\0\0\0\0\0\u{18}\0", "no picture of a known"),
        ("\0\0\u{02}\0" + String(repeating: "\0", count: 40), "no picture of a known"),
        (
            "\0\0\u{01}\0\u{01}\0" + String(repeating: "\u{07}", count: 8) + String(repeating: "\0", count: 40),
            "no picture of a"
        ),
        ("\u{01}\u{DA}\u{05}\u{05}\0\0", "no picture of a known"),
    ]

    @Test(arguments: pictures + others) func filesAreNamed(_ content: String, _ word: String) throws {
        let error = try #require(ImageDecoderTests.error(Self.bytes(content)))
        #expect(error.code == (content.isEmpty ? .damaged : .unsupported))
        #expect(error.message.contains(word), "\(error.message)")
        #expect(error.message.hasSuffix(".") && !error.message.contains("\n"))
        // Nothing traps on any bytes that follow, nor on a file cut at any length.
        for length in 0...content.unicodeScalars.count {
            let cut = Array(Self.bytes(content)[..<length])
            #expect(ImageDecoderTests.error(cut) != nil)
            #expect(ImageDecoderTests.error(cut + [UInt8](repeating: 0, count: 5000)) != nil)
        }
    }

    /// PNG, JPEG and WebP files that end after their mark count as damaged files of their format.
    @Test(arguments: [
        ("\u{89}PNG\r\n\u{1A}\n", "PNG"), ("\u{89}PNG\n\u{1A}\n\0\0\0\0", "PNG"),
        ("\u{FF}\u{D8}\u{FF}\u{E0}\0\u{10}JFIF\0", "JPEG"),
        ("RIFF\u{24}\0\0\0WEBPVP8 ", "WebP"), ("RIFF\0\0\0\0WEBP", "WebP"), ("RIFF\u{FF}\u{FF}\u{FF}\u{FF}WEBPVP8X", "WebP"),
    ]) func damagedPicturesKeepTheirName(_ content: String, _ word: String) throws {
        for tail in [0, 1, 100, 5000] {
            let error = ImageDecoderTests.error(Self.bytes(content) + [UInt8](repeating: 0, count: tail))
            #expect(error?.code == .damaged && error?.message.contains(word) == true, "\(error as Any)")
        }
    }

    /// A file's name does not matter.
    @Test func endingsDoNotCount() throws {
        try OutputFileTests.withFolder { folder in
            for (name, ending) in [
                ("ycc420.jpg", "png"), ("lossless.webp", "jpg"), ("ycc444.png", "webp"), ("grey.jpg", "txt"),
            ] {
                let copy = folder.appendingPathComponent("copy.\(ending)")
                try Data(try SamplePictures.bytes(name)).write(to: copy)
                #expect(try ImageDecoder.decode(file: copy.path) == ImageDecoder.decode(file: SamplePictures.path(name)))
            }
        }
    }

    @Test func pathsWithoutAPicture() throws {
        try OutputFileTests.withFolder { folder in
            func path(_ name: String) -> String { folder.appendingPathComponent(name).path }
            let manager = FileManager.default
            try manager.createSymbolicLink(atPath: path("dangling.png"), withDestinationPath: "blobs/none")
            try manager.createSymbolicLink(atPath: path("loop.png"), withDestinationPath: "loop.png")
            try manager.createSymbolicLink(atPath: path("chain.png"), withDestinationPath: "dangling.png")
            try manager.createSymbolicLink(atPath: path("lost"), withDestinationPath: "nowhere")
            try manager.createSymbolicLink(atPath: path("ring.png"), withDestinationPath: "round.png")
            try manager.createSymbolicLink(atPath: path("round.png"), withDestinationPath: path("ring.png"))
            try manager.createSymbolicLink(atPath: path("long.png"), withDestinationPath: "lost/deep/a.png")
            try manager.createSymbolicLink(atPath: path("far"), withDestinationPath: folder.path)
            try Data().write(to: folder.appendingPathComponent("empty.png"))
            // A checkpoint larger than any picture is named all the same. This one is a sparse file with a safetensors head.
            try Data(Self.bytes("\u{40}\0\0\0\0\0\0\0{\"a\":{")).write(to: folder.appendingPathComponent("model.png"))
            let handle = try FileHandle(forWritingTo: folder.appendingPathComponent("model.png"))
            try handle.truncate(atOffset: 200 << 20)
            try handle.close()
            for (name, code, word) in [
                ("dangling.png", .notFound, "dangling.png is a link to blobs/none, which is not there; mend the link"),
                ("loop.png", .notFound, "loop.png is a link to loop.png, from where links lead in a circle; mend the link"),
                ("far/loop.png", .notFound, "loop.png is a link to loop.png, from where links lead in a circle; mend the link"),
                ("ring.png", .notFound, "a link to round.png, from where"), ("round.png/a.png", .notFound, "circle"),
                ("chain.png", .notFound, "dangling.png is a link to blobs/none, which is not there; mend the link"),
                ("lost/a.png", .notFound, "lost is a link to nowhere, which"),
                ("long.png", .notFound, "lost is a link to nowhere"),
                ("none.png", .notFound, "none.png"), ("empty.png/a.png", .notFound, "a.png"), ("", .cannotRead, "is a folder"),
                ("empty.png", .damaged, "is empty"), ("model.png", .unsupported, "safetensors"),
            ] as [(String, ImageFileError.Code, String)] {
                let error = #expect(throws: ImageFileError.self) { try ImageDecoder.decode(file: path(name)) }
                #expect(error?.code == code && error?.message.contains(word) == true, "\(error as Any)")
            }
            let device = #expect(throws: ImageFileError.self) { try ImageDecoder.decode(file: "/dev/zero") }
            #expect(device?.code == .cannotRead && device?.message.contains("device") == true)
            let nothing = #expect(throws: ImageFileError.self) { try ImageDecoder.decode(file: "") }
            #expect(nothing?.code == .notFound && nothing?.message.contains("empty") == true)
            try manager.createSymbolicLink(atPath: path("good.png"), withDestinationPath: SamplePictures.path("grey.png"))
            #expect(try ImageDecoder.decode(file: path("good.png")).width == 37)
        }
    }
}
