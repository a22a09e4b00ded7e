import Foundation
import ImageFiles
import Testing

extension EndToEnd {
    /// `patchloom compare` with the embedded model.
    @Suite struct CompareTests {
        static let matter = ["compare", "-p", "a red apple on a blue background", "--steps", "2", "-s", "7", "--workers", "2"]

        static func lines(_ path: String) throws -> [String] {
            try String(contentsOfFile: path, encoding: .utf8).split(separator: "\r\n").map(String.init)
        }

        /// The table measures seams of blended tiles only; the figures of tiles stand above it.
        @Test func blendedTilesAreComparedWithExactOnes() async throws {
            let folder = try Folder()
            let program = try Program(
                Self.matter + [
                    "-W", "256", "-H", "128", "--methods", "direct,direct+vae-blend", "--keep", folder.file("kept"), "-o",
                    folder.file("sheet.png"),
                ], in: folder)
            defer { program.end() }
            try #require(try await program.wait().code == 0, "\(program.errorLines)")
            let markdown = try String(contentsOfFile: folder.file("sheet.md"), encoding: .utf8)
            let tiles = try #require(markdown.split(separator: "\n").first { $0.hasPrefix("- tiles of 128 px: ") })
            #expect(
                tiles.contains("flat: exact 0.0 and 0.0, blended ") && tiles.contains("sloping: exact 0.0 and 0.0, blended "))
            #expect(!tiles.contains("blended 0.0"), "\(tiles)")
            let csv = try Self.lines(folder.file("sheet.csv"))
            let column = try #require(csv[0].split(separator: ",").firstIndex(of: "seam_score"))
            func seams(_ method: String) throws -> Substring {
                let line = try #require(csv.first { $0.contains(",\(method),") && $0.contains(",256,128,") }, "\(csv)")
                return line.split(separator: ",", omittingEmptySubsequences: false)[column]
            }
            #expect(try seams("direct").isEmpty && Double(seams("direct+vae-blend")) != nil)
            let render = try Program(
                [
                    "render", "-p", "a red apple on a blue background", "-W", "256", "-H", "128", "--steps", "2", "-s", "7",
                    "--method", "direct", "--hidiffusion", "off", "--vae-tiling", "blend", "--workers", "1", "-o",
                    folder.file("blend.png"),
                ], in: folder)
            defer { render.end() }
            try #require(try await render.wait().code == 0, "\(render.errorLines)")
            let (own, exact) = (
                try Picture(folder.file("kept/prompt-001_256x128_direct+vae-blend.png")),
                try Picture(folder.file("kept/prompt-001_256x128_direct.png"))
            )
            #expect(try Picture(folder.file("blend.png")).image.pixels == own.image.pixels)
            #expect(own.image.pixels != exact.image.pixels)
            try await Program.waitUntilNone(marked: folder.mark)
        }

        @Test func twoMethodsAreComparedAtTwoSizes() async throws {
            let folder = try Folder()
            try Data("a dog, on \"pink\"\n\n  a cat \r\n".utf8).write(to: URL(fileURLWithPath: folder.file("prompts.txt")))
            let program = try Program(
                Self.matter + [
                    "--prompt_list", folder.file("prompts.txt"), "--methods", "direct,cut", "--scale", "1.5,2", "--cell", "64",
                    "--keep", folder.file("kept"), "-o", folder.file("sheet.png"),
                ], in: folder)
            defer { program.end() }
            try #require(try await program.wait().code == 0, "\(program.errorLines)")
            try await Program.waitUntilNone(marked: folder.mark)
            #expect(folder.names == ["kept", "prompts.txt", "sheet.csv", "sheet.md", "sheet.png"])

            let sheet = try Picture(folder.file("sheet.png"))
            sheet.expectContent()
            let csv = try Self.lines(folder.file("sheet.csv"))
            // For each of three prompts: the native picture, and two methods at two sizes.
            #expect(csv.count == 16)
            #expect(csv[6].hasPrefix("2,\"a dog, on \"\"pink\"\"\",7,native,1,128,128,"))
            for method in ["direct,1.5,192,192", "cut,1.5,192,192", "direct,2,256,256", "cut,2,256,256"] {
                #expect(csv.contains { $0.hasPrefix("1,a red apple on a blue background,7,\(method),") }, "\(method)")
                #expect(csv.contains { $0.hasPrefix("3,a cat,7,\(method),") }, "\(method)")
            }
            // Twice the side is four times the points; attention takes more than four times the work. Text is encoded once.
            let names = csv[0].split(separator: ",", omittingEmptySubsequences: false)
            let column = try #require(names.firstIndex(of: "tflop"))
            let operations = csv.dropFirst().filter { $0.hasPrefix("1,") }.compactMap { line in
                let fields = line.split(separator: ",", omittingEmptySubsequences: false)
                return fields.count == names.count ? Double(fields[column]) : nil
            }
            try #require(operations.count == 5)
            #expect(operations[0] > 0 && operations[3] > 3 * operations[0] && operations[3] < 8 * operations[0])
            #expect(operations[4] > operations[0])
            let markdown = try String(contentsOfFile: folder.file("sheet.md"), encoding: .utf8)
            #expect(markdown.contains("| cut | 2× | 256×256 | 3 |"))

            let kept = try FileManager.default.contentsOfDirectory(atPath: folder.file("kept")).sorted()
            #expect(kept.count == 15 && kept.first == "prompt-001_128x128_native.png")
            // `compare` makes the same picture as `render`.
            let render = try Program(
                [
                    "render", "-p", "a cat", "-W", "256", "-H", "256", "--steps", "2", "-s", "7", "--method", "cut",
                    "--hidiffusion", "off",
                    "--workers", "1", "-o", folder.file("cut.png"),
                ], in: folder)
            defer { render.end() }
            try #require(try await render.wait().code == 0, "\(render.errorLines)")
            #expect(
                try Picture(folder.file("cut.png")).image.pixels
                    == Picture(folder.file("kept/prompt-003_256x256_cut.png")).image.pixels)
        }

        @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
        func aSignalLeavesWhatIsFinished(_ signal: Int32) async throws {
            let folder = try Folder()
            let program = try Program(
                Self.matter + ["--methods", "cut,direct", "--steps", "60", "--scale", "2,4", "-o", folder.file("sheet.png")],
                in: folder)
            defer { program.end() }
            try await program.waitForLine(containing: "1 of 5: native")
            program.send(signal)
            #expect(
                try await program.wait(seconds: 30).code == 128 + (signal == SIGINT ? SIGINT : SIGTERM), "\(program.errorLines)"
            )
            #expect(Program.processes(marked: folder.mark).isEmpty)
            #expect(folder.names == ["sheet.csv", "sheet.md", "sheet.png"])
            let csv = try Self.lines(folder.file("sheet.csv"))
            #expect((2...5).contains(csv.count) && csv[1].contains(",native,"))
            let markdown = try String(contentsOfFile: folder.file("sheet.md"), encoding: .utf8)
            #expect(markdown.contains("- state: stopped after \(csv.count - 1) of 5 pictures"))
        }

        /// Nothing can be written at that moment, but the figures of the first prompt exist already.
        @Test func aKillLosesOnePromptAtMost() async throws {
            let folder = try Folder()
            let program = try Program(
                Self.matter + [
                    "-p", "a cat", "--methods", "direct", "--scale", "1.5", "--no-clobber", "-o", folder.file("sheet.png"),
                ], in: folder)
            defer { program.end() }
            try await program.waitForLine(containing: "3 of 4: native")
            program.send(SIGKILL)
            _ = try await program.wait(seconds: 30)
            try await Program.waitUntilNone(marked: folder.mark)
            let csv = try Self.lines(folder.file("sheet.csv"))
            #expect(csv.count >= 3 && csv[2].contains("direct,1.5"))
            let markdown = try String(contentsOfFile: folder.file("sheet.md"), encoding: .utf8)
            #expect(markdown.contains("- seed: 7"))
        }

        @Test(
            arguments: [
                (["--methods", "direct,magic"], "auto, direct, hires, multidiffusion, cut, tiled"),
                (["--methods", "direct,direct"], "same"),
                (["--scale", "2,zwei"], "--scale"), (["--scale", "0.5"], "--scale"),
                (["--scale", "2", "-W", "256"], "--scale"),
                (["--method", "cut"], "--methods"), (["--hidiffusion", "on"], "--methods"), (["-i", "a.png"], "-i"),
                (["--methods", "direct", "--stride", "64"], "--stride"),
                (["--methods", "hidiffusion", "--scale", "1"], "hidiffusion at 128"),
                (["--scale", "64"], "8192"), (["--cell", "1"], "--cell"), (["-W", "100", "-H", "256"], "width of 100 px"),
                (["-W", "256"], "--height"),
                (["--scale", "2,2.01"], "twice"), (["-W", "0", "-H", "-8"], "64 to"),
            ] as [([String], String)])
        func whatIsWrongIsFoundBeforeRendering(_ options: [String], _ said: String) async throws {
            let folder = try Folder()
            let program = try Program(Self.matter + options + ["-o", folder.file("sheet.png")], in: folder)
            defer { program.end() }
            #expect(try await program.wait().code == 64, "\(program.errorLines)")
            #expect(program.errorLines.count == 1 && program.errorLines[0].contains(said), "\(program.errorLines)")
            #expect(folder.names.isEmpty)
        }

        @Test func filesAreCheckedBeforeRendering() async throws {
            let folder = try Folder()
            try Data().write(to: URL(fileURLWithPath: folder.file("taken.csv")))
            let cases: [(options: [String], code: Int32, said: String)] = [
                (["-o", folder.file("sheet.jpg")], 64, ".png"),
                (["-o", folder.file("taken.png"), "--no-clobber"], 73, "taken.csv"),
                (["-o", folder.file("no/sheet.png")], 73, "no/sheet.png"),
                (["-o", folder.file("s.png"), "--keep", folder.file("no/kept")], 73, "--keep"),
                (["-o", folder.file("s.png"), "--prompt-list", folder.file("none.txt")], 66, "none.txt"),
                (["-o", folder.file("s.png"), "--prompt-list", folder.file("taken.csv")], 64, "empty"),
            ]
            for (options, code, said) in cases {
                let program = try Program(Self.matter + options, in: folder)
                defer { program.end() }
                #expect(try await program.wait().code == code, "\(program.errorLines)")
                #expect(program.errorLines.count == 1 && program.errorLines[0].contains(said), "\(program.errorLines)")
            }
            #expect(folder.names == ["taken.csv"])
        }

        @Test func withoutAFontTheRemedyIsSaid() async throws {
            let folder = try Folder()
            let fonts = "<?xml version=\"1.0\"?><!DOCTYPE fontconfig SYSTEM \"fonts.dtd\"><fontconfig></fontconfig>"
            try Data(fonts.utf8).write(to: URL(fileURLWithPath: folder.file("fonts.conf")))
            let program = try Program(
                Self.matter + ["-o", folder.file("sheet.png")], in: folder,
                environment: ["FONTCONFIG_FILE": folder.file("fonts.conf")])
            defer { program.end() }
            #expect(try await program.wait().code == 66, "\(program.errorLines)")
            #expect(program.errorLines.last?.contains("fonts-dejavu-core") == true, "\(program.errorLines)")
            #expect(folder.names == ["fonts.conf"])
        }
    }
}
