import Foundation
import ImageFiles
import TestSupport
import Testing

extension SingleCommands {
    /// Masks and source pictures as people have them: transparency, EXIF, JPEG and WebP, and files that are no pictures. Each
    /// renders the same picture as its plain PNG.
    @Suite struct PictureFileTests {
        static let width = 96
        static let height = 64

        static func write(_ bytes: [UInt8], _ name: String, in folder: Folder) throws -> String {
            try Data(bytes).write(to: URL(fileURLWithPath: folder.file(name)))
            return folder.file(name)
        }

        /// A PNG whose pixels are the bytes that `pixel` gives for each x and y.
        static func png(
            _ colour: HandmadePNG.Colour, depth: UInt8 = 8, extra: [(String, [UInt8])] = [], pixel: (Int, Int) -> [UInt8]
        ) -> [UInt8] {
            let rows = (0..<height).map { y in (0..<width).flatMap { pixel($0, y) } }
            return HandmadePNG(width, height, depth: depth, colour, rows: rows, extra: extra).bytes
        }

        static func isInside(_ x: Int, _ y: Int) -> Bool { (24..<72).contains(x) && (16..<48).contains(y) }

        static func source(in folder: Folder) throws -> String {
            try write(png(.rgb) { [UInt8($0 * 2), UInt8($1 * 3), 50] }, "source.png", in: folder)
        }

        static func render(_ options: [String], in folder: Folder) async throws -> [UInt8] {
            let model = Fixtures.folder.appendingPathComponent("golden/models/tiny-sd15").path
            let settings = ["-m", model, "--steps", "2", "--strength", "1", "--workers", "1", "--threads-per-worker", "1"]
            return try await SourcePictureTests.render(settings + options, in: folder).image.pixels
        }

        /// Masks of the same rectangle.
        static func masks() throws -> [String: [UInt8]] {
            let half: (Int, Int) -> UInt8 = { x, y in isInside(x, y) ? 128 : x % 2 == 0 ? 127 : 0 }
            let palette: [(String, [UInt8])] = [("PLTE", [255, 255, 255, 0, 0, 0, 9, 9, 9]), ("tRNS", [0, 255, 0])]
            return [
                "white strokes": png(.rgba) { isInside($0, $1) ? [255, 255, 255, 255] : [0, 0, 0, 0] },
                "black strokes": png(.rgba) { isInside($0, $1) ? [0, 0, 0, 255] : [255, 255, 255, 0] },
                "soft strokes": png(.rgba) { [200, 10, UInt8($0), half($0, $1)] },
                "grey with alpha": png(.greyAlpha) { isInside($0, $1) ? [30, 255] : [255, 0] },
                "16 bits": png(.rgba, depth: 16) {
                    [0, 0, 0, 0, 0, 0, isInside($0, $1) ? 0x80 : 0x7F, isInside($0, $1) ? 0x80 : 0]
                },
                "palette": png(.palette, extra: palette) { isInside($0, $1) ? [1] : [$0 % 2 == 0 ? 0 : 2] },
                "transparent grey": png(.grey, extra: [("tRNS", [0, 255])]) { isInside($0, $1) ? [7] : [255] },
                "opaque": png(.rgba) { isInside($0, $1) ? [255, 255, 255, 255] : [0, 0, 0, 255] },
                // Stored upside down, which the rectangle in the middle does not show, and lying on its side.
                "turned": SamplePictures.png(
                    HandmadePNG(
                        height, width, .grey, rows: (0..<width).map { x in (0..<height).map { isInside(x, $0) ? 255 : 0 } }
                    )
                    .bytes, exif: SamplePictures.exif(orientation: 5)),
            ]
        }

        @Test func masksMarkWhatIsDrawn() async throws {
            let folder = try Folder()
            let picture = try Self.source(in: folder)
            let plain = try Self.write(Self.png(.grey) { Self.isInside($0, $1) ? [255] : [0] }, "plain.png", in: folder)
            let whole = try Self.write(Self.png(.grey) { _, _ in [255] }, "whole.png", in: folder)
            let expected = try await Self.render(["-i", picture, "--mask", plain], in: folder)
            #expect(try await Self.render(["-i", picture, "--mask", whole], in: folder) != expected)
            for (name, bytes) in try Self.masks() {
                let mask = try Self.write(bytes, "mask.png", in: folder)
                #expect(try await Self.render(["-i", picture, "--mask", mask], in: folder) == expected, "\(name)")
            }
        }

        @Test func masksThatMarkNothing() async throws {
            let folder = try Folder()
            let picture = try Self.source(in: folder)
            for bytes in [
                Self.png(.rgba) { _, _ in [255, 255, 255, 0] }, Self.png(.greyAlpha) { x, _ in [255, UInt8(x)] },
                Self.png(.grey) { _, _ in [127] },
            ] {
                let mask = try Self.write(bytes, "mask.png", in: folder)
                try await BadInputTests.expectFailure(
                    ["render", "-p", "x", "-i", picture, "--mask", mask, "-o", folder.file("a.png")], code: 64,
                    mentions: "pixel", in: folder, leaves: ["mask.png", "source.png"])
            }
        }

        @Test(arguments: ["ycc444.jpg", "grey.jpg", "cmyk.jpg", "progressive.jpg", "lossy.webp", "lossless-alpha.webp"])
        func pictureOfEveryFormat(_ name: String) async throws {
            let folder = try Folder()
            let stem = name == "progressive.jpg" ? "ycc420" : String(name.prefix { $0 != "." })
            let size = ["-W", "64", "-H", "64"]
            // The name does not decide the format.
            let copy = try Self.write(SamplePictures.bytes(name), "picture.png", in: folder)
            let read = try await Self.render(["-i", copy] + size, in: folder)
            #expect(try await Self.render(["-i", SamplePictures.path(stem + ".png")] + size, in: folder) == read)
            #expect(try await Self.render(["-i", SamplePictures.path("440.png")] + size, in: folder) != read)
        }

        @Test func picturesAreTurnedUpright() async throws {
            let folder = try Folder()
            let plain = try Self.source(in: folder)
            let expected = try await Self.render(["-i", plain], in: folder)
            // A camera that was turned to the left stores this: the picture needs a turn to the right.
            let rows = (0..<Self.width).map { row -> [UInt8] in
                (0..<Self.height).flatMap { column -> [UInt8] in [UInt8((Self.width - 1 - row) * 2), UInt8(column * 3), 50] }
            }
            let stored = HandmadePNG(Self.height, Self.width, .rgb, rows: rows).bytes
            for bigEndian in [true, false] {
                let exif = SamplePictures.exif(orientation: 6, bigEndian: bigEndian)
                let turned = try Self.write(SamplePictures.png(stored, exif: exif), "turned.png", in: folder)
                #expect(try await Self.render(["-i", turned], in: folder) == expected)
            }
            for chunk in [
                ("eXIf", SamplePictures.exif(type: 4, count: 1, data: [0, 0, 0, 6], width: 4)),
                SamplePictures.xmpChunk(Array("<a tiff:Orientation=\"6\"/>".utf8)),
                SamplePictures.xmpChunk(Array("<tiff:Orientation>6</tiff:Orientation>".utf8)),
            ] {
                let turned = try Self.write(
                    HandmadePNG(Self.height, Self.width, .rgb, rows: rows, extra: [chunk]).bytes, "turned.png", in: folder)
                #expect(try await Self.render(["-i", turned], in: folder) == expected)
            }
            let spoilt = SamplePictures.exif(type: 1, count: 1, value: 6)
            let ignored = try Self.write(SamplePictures.png(stored, exif: spoilt), "turned.png", in: folder)
            let lying = try Self.write(stored, "lying.png", in: folder)
            #expect(try await Self.render(["-i", ignored], in: folder) == Self.render(["-i", lying], in: folder))
        }

        /// Both options name the file and its kind.
        @Test func filesThatAreNoPictures() async throws {
            let folder = try Folder()
            let picture = try Self.source(in: folder)
            let path = folder.file("x.png")
            try FileManager.default.createSymbolicLink(atPath: folder.file("link.png"), withDestinationPath: "blobs/0123")
            try FileManager.default.createSymbolicLink(atPath: folder.file("loop.png"), withDestinationPath: "loop.png")
            let jpeg = try SamplePictures.bytes("ycc420.jpg")
            func expect(_ path: String, _ code: Int32, _ mention: String) async throws {
                for options in [["-i", path], ["-i", picture, "--mask", path]] {
                    try await BadInputTests.expectFailure(
                        ["render", "-p", "x"] + options + ["-o", folder.file("a.png")], code: code, mentions: path, mention,
                        in: folder, leaves: ["link.png", "loop.png", "source.png", "x.png"])
                }
            }
            for (bytes, kind) in [
                (Array("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n".utf8), "Git LFS"),
                (Array("<!doctype html>\n<title>Not found</title>".utf8), "HTML"),
                ([64, 0, 0, 0, 0, 0, 0, 0] + Array("{\"a\":{}}".utf8), "safetensors"), ([], "empty"),
                (Array("GIF89a".utf8) + [1, 0, 1, 0, 0, 0, 0], "GIF"), (Array(jpeg.prefix(500)), "damaged JPEG"),
                (try SamplePictures.bytes("animated.webp"), "animated"),
            ] {
                _ = try Self.write(bytes, "x.png", in: folder)
                try await expect(path, 65, kind)
            }
            try await expect(folder.path, 65, "folder")
            // The targets of the links.
            try await expect(folder.file("link.png"), 66, " blobs/0123")
            try await expect(folder.file("loop.png"), 66, " loop.png")
            try await expect(folder.file("none.png"), 66, "none.png")
        }
    }
}
