import Foundation
import ImageFiles
import TestSupport
import Testing

extension SingleCommands {
    /// `--precision`: f32 and bf16 draw the same picture, and a CPU without bf16 refuses it.
    @Suite struct PrecisionTests {
        /// oneDNN computes in bf16 from AVX-512 on, if its variable does not limit it below that. The programs are not asked:
        /// they would excuse themselves.
        static let hasBF16: Bool = {
            let flags = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
            let variables = ProcessInfo.processInfo.environment
            let limit = variables["ONEDNN_MAX_CPU_ISA"] ?? variables["DNNL_MAX_CPU_ISA"] ?? "AVX512_CORE"
            return limit.uppercased().hasPrefix("AVX512_CORE")
                && ["avx512f", "avx512bw", "avx512vl", "avx512dq"].allSatisfy { flags.contains(" \($0) ") }
        }()

        static func expectRefusal(_ options: [String]) async throws {
            let folder = try Folder()
            let program = try Program(["render"] + Picture.request + options + ["-o", folder.file("a.png")], in: folder)
            defer { program.end() }
            #expect(try await program.wait().code == 64)
            #expect(program.errorLines.count == 1, "\(program.errorLines)")
            #expect(folder.names == [])
        }

        @Test func openBLASRefusesBF16() async throws {
            try await Self.expectRefusal(["--backend", "openblas", "--precision", "bf16"])
        }

        @Test func anotherWordIsRefused() async throws {
            let folder = try Folder()
            let program = try Program(
                ["render"] + Picture.request + ["--precision", "f16", "-o", folder.file("a.png")], in: folder)
            defer { program.end() }
            #expect(try await program.wait().code == 64)
            #expect(program.errorLines.contains { $0.contains("--precision") && $0.contains("auto") }, "\(program.errorLines)")
        }

        @Test func thePlanNamesThePrecision() async throws {
            let folder = try Folder()
            for precision in ["f32", "bf16"] {
                let program = try Program(["plan", "-p", "a fox", "--precision", precision], in: folder)
                defer { program.end() }
                #expect(try await program.wait().code == 0, "\(program.errorLines)")
                #expect(program.outputLines.contains { $0.hasSuffix(" \(precision)") }, "\(program.outputLines)")
            }
        }

        /// A farm of f32 workers has no worker for bf16. The client is told so, and the first worker in bf16 makes the picture.
        @Test func aFarmGivesThePictureToWorkersOfThePrecision() async throws {
            let (folder, elsewhere) = (try Folder(), try Folder())
            let address = "ipc://@patchloom-test-\(folder.mark)"
            let coordinator = try Program(["coordinator", "--listen", address], in: folder)
            defer { coordinator.end() }
            try await coordinator.waitForLine(containing: "listening on")
            let worker = ["worker", "--connect", address, "--threads", "1", "--precision"]
            _ = try Program(worker + ["f32"], in: folder)
            try await coordinator.waitForLine(containing: "joined")
            let submit = ["submit", "--coordinator", address, "-p", "a fox", "-W", "128", "-H", "128", "--steps", "2"]
            let client = try Program(
                submit + ["--precision", "bf16", "-o", elsewhere.file("a.png")], in: elsewhere)
            defer { client.end() }
            try await client.waitForLine(containing: "--precision")
            let told = client.errorLines.filter { $0.contains("--precision") }
            #expect(told.allSatisfy { $0.hasPrefix("waiting: ") && $0.contains("bf16") }, "\(told)")
            try needs(Self.hasBF16, "bf16")
            _ = try Program(worker + ["bf16"], in: folder)
            #expect(try await client.wait().code == 0, "\(client.errorLines)")
            let details = try Picture(elsewhere.file("a.png")).image.text("patchloom") ?? ""
            #expect(details.contains("-bf16-"), "\(details)")
        }

        /// Both pictures at twice the model's native size, and the class that each names.
        @Test func bf16IsCloseToF32() async throws {
            guard Self.hasBF16 else { return try await Self.expectRefusal(["--precision", "bf16"]) }
            let folder = try Folder()
            let request = [
                "render", "-p", "a red apple on a blue background", "-W", "256", "-H", "256", "--steps", "12", "-s", "3",
            ]
            var pictures: [DecodedImage] = []
            for precision in ["f32", "bf16"] {
                let file = folder.file("\(precision).png")
                let program = try Program(request + ["--precision", precision, "-o", file], in: folder)
                defer { program.end() }
                #expect(try await program.wait().code == 0, "\(program.errorLines)")
                let picture = try Picture(file)
                picture.expectContent()
                let details = picture.image.text("patchloom") ?? ""
                #expect(details.contains("-\(precision)-"), "\(details)")
                let parameters = picture.image.text("parameters") ?? ""
                #expect(parameters.contains("Precision: \(precision)"), "\(parameters)")
                pictures.append(picture.image)
            }
            let squares = zip(pictures[0].pixels, pictures[1].pixels).map { pow(Double($0) - Double($1), 2) }
            let decibels = 10 * log10(255 * 255 * Double(squares.count) / squares.reduce(0, +))
            #expect(decibels >= 30 && decibels.isFinite, "\(decibels) dB")
        }
    }
}
