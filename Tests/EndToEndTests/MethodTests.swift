import Foundation
import ImageFiles
import StrictJSON
import Testing

extension EndToEnd {
    /// Methods of several passes, with a coordinator and worker processes.
    @Suite struct MethodTests {
        static let subject = [
            "-p", "a red apple on a blue background", "-W", "256", "-H", "256", "--steps", "4", "--cfg-scale", "5", "-s", "7",
        ]

        static func render(_ options: [String]) async throws -> DecodedImage {
            let folder = try Folder()
            let program = try Program(["render"] + subject + options + ["-o", folder.file("a.png")], in: folder)
            defer { program.end() }
            try #require(try await program.wait().code == 0, "\(program.errorLines)")
            try await Program.waitUntilNone(marked: folder.mark)
            return try Picture(folder.file("a.png")).image
        }

        /// One worker and three give the same bytes. The passes decode and encode pictures between them.
        @Test(arguments: [
            [], ["--method", "hires", "--denoising_strength", "0.6"],
            ["--method", "hires", "--hires-tiled", "--hires-upscaler", "latent", "--stages", "1,1.5", "--hires-steps", "6"],
            ["--method", "multidiffusion", "--jitter", "8", "--blend", "feather"],
            ["--method", "cut", "--structure", "whole", "--hidiffusion-window-attn", "off", "--hidiffusion-t1", "0.5"],
            ["--method", "cut", "--stages", "1", "--denoising-strength", "0.8", "--detail-cfg-scale", "2"],
        ])
        func workersDoNotMatter(_ options: [String]) async throws {
            let one = try await Self.render(options + ["--workers", "1"])
            let three = try await Self.render(options + ["--workers", "3", "--threads-per-worker", "1"])
            #expect(one.width == 256 && one.height == 256 && Set(one.pixels).count > 30)
            #expect(one.pixels == three.pixels)
        }

        /// Phases and steps of two stages have the same names. Only the stage tells them apart.
        @Test func progressNamesTheStage() async throws {
            let folder = try Folder()
            let options = ["--method", "cut", "--stages", "1.5", "--hires-upscaler", "latent", "--denoising-strength", "0.25"]
            let program = try Program(
                ["render"] + Self.subject + options + ["--workers", "1", "-o", folder.file("a.png")], in: folder)
            defer { program.end() }
            try #require(try await program.wait().code == 0, "\(program.errorLines)")
            for part in [
                "stage 1 of 2, structure step 1 of ", "stage 1 of 2, detail step 1 of ", "stage 2 of 2, detail step 1 of 1, ",
            ] {
                #expect(program.errorLines.contains { $0.hasPrefix(part) }, "\(part) in \(program.errorLines)")
            }
        }

        @Test func planAndPictureSayWhatIsDone() async throws {
            let folder = try Folder()
            let plan = try Program(["plan", "--json"] + Self.subject, in: folder)
            defer { plan.end() }
            try #require(try await plan.wait().code == 0, "\(plan.errorLines)")
            let json = try JSONValue(parsing: Array(plan.outputLines.joined().utf8), limits: .config)
            let passes = try #require(json["passes"]?.arrayValue)
            #expect(passes.count == 2 && passes[0]["latent_width"]?.intValue == 16)
            #expect(passes[1]["upscaler"]?.stringValue == "lanczos" && json["blend"]?.stringValue == "feather")
            let image = try await Self.render(["--method", "hires", "--hires-steps", "6", "--workers", "1"])
            let text = try #require(image.text.first { $0.keyword == "parameters" }?.value)
            for part in [
                "Hires upscale: 2", "Hires upscaler: Lanczos", "Hires steps: 3", "Denoising strength: 0.5", "Method: hires",
            ] {
                #expect(text.contains(part), "\(text)")
            }
        }

        @Test(arguments: [
            (["--stages", "1,x"], "--stages"), (["--stages", "2,1"], "2.0,1.0"), (["--blend", "soft"], "uniform, feather"),
            (["--structure", "none"], "patches, whole"), (["--hires-upscaler", "esrgan"], "lanczos"),
            (["--hidiffusion-raunet", "yes"], "on or off"), (["--hidiffusion-t1", "2"], "T1"),
            (["--jitter", "4"], "jitter of 4 px"),
            (["--denoising-strength", "0"], "0.0"), (["--method", "hires", "--stride", "64"], "--hires-tiled"),
            (["--method", "hiress"], "multidiffusion"), (["--hires-tiled"], "--method hires"),
        ])
        func whatIsWrongIsSaidBeforeAnythingRuns(_ options: [String], _ part: String) async throws {
            let folder = try Folder()
            let program = try Program(["render"] + Self.subject + options + ["-o", folder.file("a.png")], in: folder)
            defer { program.end() }
            #expect(try await program.wait().code == 64)
            #expect(program.errorLines.count == 1 && program.errorLines[0].contains(part), "\(program.errorLines)")
            #expect(folder.names.isEmpty)
        }
    }
}
