import Foundation
import ImageFiles
import StrictJSON
import TestSupport
import Testing

extension SingleCommands {
    /// Renders from source pictures, several pictures in one run, prompts from files.
    @Suite struct SourcePictureTests {
        /// A sunset of 256×256 pixels, or a mask that is white on its right half.
        static func write(_ name: String, in folder: Folder, side: Int = 256, mask: Bool = false) throws -> String {
            var rgb: [UInt8] = []
            for y in 0..<side {
                for x in 0..<side {
                    let white: UInt8 = x * 2 >= side ? 255 : 0
                    rgb +=
                        mask
                        ? [white, white, white] : [UInt8(255 - y * 200 / side), UInt8(y * 120 / side), UInt8(x * 255 / side)]
                }
            }
            let png = try PNGEncoder.encode(rgb: rgb, width: side, height: side, text: [])
            try Data(png).write(to: URL(fileURLWithPath: folder.file(name)))
            return folder.file(name)
        }

        static let settings = ["-p", "a red apple on a green background", "--steps", "6", "--cfg-scale", "5", "-s", "5"]

        static func render(_ options: [String], in folder: Folder, name: String = "out.png") async throws -> Picture {
            let program = try await CommandTests.run(["render"] + settings + options + ["-o", folder.file(name)], in: folder)
            try #require(program.ending?.code == 0, "\(program.errorLines)")
            try await Program.waitUntilNone(marked: folder.mark)
            return try Picture(folder.file(name))
        }

        /// The source gives the size. More strength keeps less of it. Any number of workers gives the same pixels.
        @Test(arguments: [false, true]) func picturesAreStartedFrom(masked: Bool) async throws {
            let folder = try Folder()
            let source = try Self.write("source.png", in: folder)
            var options = ["-i", source]
            if masked { options += ["--mask", try Self.write("mask.png", in: folder, mask: true)] }
            let one = try await Self.render(options + ["--strength", "0.6", "--workers", "1"], in: folder)
            one.expectContent()
            #expect(one.image.width == 256 && one.image.height == 256)
            #expect(one.image.text("parameters")?.contains("Denoising strength: 0.6") == true)
            let three = try await Self.render(options + ["--strength", "0.6", "--workers", "3"], in: folder)
            #expect(one.image.pixels == three.image.pixels)
            let strong = try await Self.render(options + ["--strength", "1", "--workers", "2"], in: folder)
            let original = try Picture(source)
            #expect(Self.distance(strong, original, .right) > Self.distance(one, original, .right))
            if masked {
                // The black part of the mask keeps the picture as the autoencoder gives it back, at every strength; the
                // small model's autoencoder changes its tones a little.
                #expect(Self.distance(one, original, .left) < 16 && Self.distance(strong, original, .left) < 16)
                #expect(Self.distance(one, strong, .left) * 4 < Self.distance(one, strong, .right))
            }
        }

        enum Half { case left, right }

        /// The mean difference of the pixels of one half, without the columns at its border.
        static func distance(_ a: Picture, _ b: Picture, _ half: Half) -> Double {
            let columns = half == .left ? 0..<112 : 144..<256
            var sum = 0
            for y in 0..<256 {
                for x in columns {
                    for c in 0..<3 {
                        let index = (y * 256 + x) * 3 + c
                        sum += abs(Int(a.image.pixels[index]) - Int(b.image.pixels[index]))
                    }
                }
            }
            return Double(sum) / Double(256 * columns.count * 3)
        }

        /// A model with nine channels, whole and by CutDiffusion.
        @Test(arguments: ["direct", "cut"]) func modelsForInpaintingInpaint(_ method: String) async throws {
            let folder = try Folder()
            let model = Fixtures.folder.appendingPathComponent("golden/models/tiny-sd15-inpaint").path
            let source = try Self.write("source.png", in: folder, side: 256)
            let mask = try Self.write("mask.png", in: folder, side: 256, mask: true)
            let options = ["-m", model, "-i", source, "--mask", mask, "--steps", "3", "--method", method]
            let picture = try await Self.render(options + ["--workers", "2"], in: folder)
            #expect(picture.image.width == 256 && Set(picture.image.pixels).count > 3)
            let again = try await Self.render(options + ["--workers", "1"], in: folder)
            #expect(picture.image.pixels == again.image.pixels)
            let plain = ["render", "-m", model, "-p", "x", "--steps", "2", "-o", folder.file("b.png")]
            try await BadInputTests.expectFailure(
                plain, code: 64, mentions: "--mask", in: folder, leaves: ["mask.png", "out.png", "source.png"])
        }

        /// The picture goes to a coordinator elsewhere with the request.
        @Test func picturesAreSubmitted() async throws {
            let folder = try Folder()
            let source = try Self.write("source.png", in: folder, side: 128)
            let mask = try Self.write("mask.png", in: folder, side: 128, mask: true)
            let options = ["-i", source, "--mask", mask, "--strength", "0.8"]
            let here = try await Self.render(options + ["--workers", "1"], in: folder)
            let endpoint = "tcp://127.0.0.1:\(try freePort())"
            let cluster = [
                try Program(["coordinator", "--listen", endpoint], in: folder),
                try Program(["worker", "--connect", endpoint, "--threads", "1"], in: folder),
            ]
            defer { for program in cluster { program.end() } }
            let submit = try await CommandTests.run(
                ["submit", "--coordinator", endpoint] + Self.settings + options + ["-o", folder.file("there.png")], in: folder)
            try #require(submit.ending?.code == 0, "\(submit.errorLines)")
            #expect(try Picture(folder.file("there.png")).image.pixels == here.image.pixels)
        }

        @Test func batchesCountTheSeedOn() async throws {
            let folder = try Folder()
            let small = ["-p", "a red apple", "-W", "64", "-H", "64", "--steps", "2", "--workers", "2"]
            let batch = try await CommandTests.run(
                ["render"] + small + ["-s", "9", "-b", "3", "--json", "-o", folder.file("a_%03d.png")], in: folder)
            #expect(batch.ending?.code == 0, "\(batch.errorLines)")
            #expect(folder.names == ["a_001.png", "a_002.png", "a_003.png"])
            #expect(batch.outputLines.count == 3)
            let third = try await CommandTests.run(["render"] + small + ["-s", "11", "-o", folder.file("b.png")], in: folder)
            #expect(third.ending?.code == 0, "\(third.errorLines)")
            let pixels = try ["a_001.png", "a_003.png", "b.png"].map { try Picture(folder.file($0)).image.pixels }
            #expect(pixels[1] == pixels[2] && pixels[0] != pixels[2])
            let numbered = try await CommandTests.run(
                ["render"] + small + ["-b", "2", "-o", folder.file("c.png")], in: folder)
            #expect(numbered.ending?.code == 0, "\(numbered.errorLines)")
            #expect(folder.names.filter { $0.hasPrefix("c") } == ["c_1.png", "c_2.png"])
        }

        @Test func promptsComeFromFiles() async throws {
            let folder = try Folder()
            try "a red apple on a blue background\n".write(toFile: folder.file("prompt.txt"), atomically: true, encoding: .utf8)
            let plan = try await CommandTests.run(
                ["plan", "--prompt-file", folder.file("prompt.txt"), "-W", "256", "-H", "256"], in: folder)
            #expect(plan.ending?.code == 0, "\(plan.errorLines)")
            let both = try await CommandTests.run(
                ["plan", "--prompt-file", folder.file("prompt.txt"), "-p", "x", "-W", "256", "-H", "256"], in: folder)
            #expect(both.ending?.code == 64)
            // Line ends and byte-order marks of editors are no part of a prompt, also not of the one that the picture keeps.
            var files: [Data] = []
            for text in ["a red apple\non a blue background\n", "\u{FEFF}a red apple\r\non a blue background"] {
                try Data(text.utf8).write(to: URL(fileURLWithPath: folder.file("prompt.txt")))
                let render = try await CommandTests.run(
                    [
                        "render", "--prompt-file", folder.file("prompt.txt"), "-W", "64", "-H", "64", "--steps", "1",
                        "--workers",
                        "1", "-o", folder.file("a.png"),
                    ], in: folder)
                #expect(render.ending?.code == 0, "\(render.errorLines)")
                files.append(try Data(contentsOf: URL(fileURLWithPath: folder.file("a.png"))))
            }
            #expect(files[0] == files[1])
        }

        @Test func wrongPicturesAreRefused() async throws {
            let folder = try Folder()
            let source = try Self.write("source.png", in: folder, side: 128)
            let mask = try Self.write("mask.png", in: folder, side: 64, mask: true)
            try Data("no picture".utf8).write(to: URL(fileURLWithPath: folder.file("text.png")))
            let left = ["mask.png", "source.png", "text.png"]
            func expect(_ options: [String], _ code: Int32, _ mentions: String) async throws {
                let arguments = ["render", "-p", "x", "--steps", "2"] + options + ["-o", folder.file("a.png")]
                try await BadInputTests.expectFailure(arguments, code: code, mentions: mentions, in: folder, leaves: left)
            }
            try await expect(["--mask", mask], 64, "-i")
            try await expect(["--strength", "0.5"], 64, "-i")
            try await expect(["-i", source, "--mask", mask], 64, "64×64")
            try await expect(["-i", source, "--strength", "0"], 64, "strength")
            try await expect(["-i", source, "--strength", "0.1"], 64, "strength of 0.1")
            try await expect(["-i", source, "-W", "100"], 64, "100")
            // The program says it at once, not after it has enlarged the picture.
            try await expect(["-i", source, "-W", "16380", "-H", "16380"], 64, "16380")
            try await expect(["-i", source, "-W", "16384", "-H", "16384"], 64, "768 MiB")
            try await expect(["-i", folder.file("missing.png")], 66, "missing.png")
            try await expect(["-i", folder.file("text.png")], 65, "text.png")
            try await expect(["-b", "0"], 64, "batch-count")
            try await expect(["-b", "x"], 64, "'x'")
        }
    }
}
