import Foundation
import ImageFiles
import StrictJSON
import TestSupport
import Testing

extension SingleCommands {
    /// `--packed-weights` and `patchloom model prune`, with the embedded model as a folder: its U-Net is large enough.
    @Suite struct PackedWeightsTests {
        private static let model = Fixtures.embeddedModel.path
        private static let options = [
            "render", "-m", model, "-p", "a red apple", "-W", "64", "-H", "64", "--steps", "2", "-s", "3", "--workers", "2",
        ]

        private static func packed(_ folder: Folder) -> [String] {
            let path = folder.home + "/store/cache/packed"
            return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).map { "\(path)/\($0)" }
        }

        private static func picture(
            _ folder: Folder, _ options: [String] = [], environment: [String: String] = [:]
        ) async throws -> (pixels: [UInt8], errors: [String]) {
            let file = folder.file("picture.png")
            let program = try Program(Self.options + options + ["-o", file], in: folder, environment: environment)
            defer { program.end() }
            let ending = try await program.wait()
            try #require(ending.code == 0, "\(program.errorLines)")
            try await Program.waitUntilNone(marked: folder.mark)
            return (try Picture(file).image.pixels, program.errorLines)
        }

        private static func prune(_ folder: Folder, _ options: [String]) async throws -> JSONObject {
            let program = try Program(["model", "prune", "--json"] + options, in: folder)
            defer { program.end() }
            try #require(try await program.wait().code == 0, "\(program.errorLines)")
            return try #require(
                try JSONValue(parsing: Array(program.outputLines.joined().utf8), limits: .config).objectValue)
        }

        @Test func picturesAreTheSameWithAndWithoutFiles() async throws {
            let folder = try Folder()
            let plain = try await Self.picture(folder, ["--packed-weights", "off"])
            #expect(Self.packed(folder) == [])
            #expect(try await Self.picture(folder, environment: ["PATCHLOOM_PACKED_WEIGHTS": "off"]).pixels == plain.pixels)
            #expect(Self.packed(folder) == [])
            for _ in 0..<2 { #expect(try await Self.picture(folder).pixels == plain.pixels) }
            let file = try #require(Self.packed(folder).first)
            #expect(Self.packed(folder).count == 1)

            // A damaged file is made anew, and the user hears of it once.
            var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
            let good = bytes
            bytes[bytes.count / 2] ^= 1
            try Data(bytes).write(to: URL(fileURLWithPath: file))
            chmod(file, 0o600)
            let again = try await Self.picture(folder)
            #expect(again.pixels == plain.pixels)
            #expect(again.errors.count { $0.contains(file) } == 1, "\(again.errors)")
            #expect([UInt8](try Data(contentsOf: URL(fileURLWithPath: file))) == good)

            let size = Int64(good.count)
            let kept = try await Self.prune(folder, [])
            #expect(kept["removed_bytes"] == .integer(0) && kept["kept_bytes"] == .integer(size), "\(kept)")
            let gone = try await Self.prune(folder, ["--all"])
            #expect(gone["removed_files"] == .integer(1) && gone["removed_bytes"] == .integer(size), "\(gone)")
            #expect(Self.packed(folder) == [])
        }

        /// A store that cannot be written stops nothing.
        @Test func aStoreThatIsNoFolderIsSaidAndIgnored() async throws {
            let folder = try Folder()
            // A home of its own: the hashes of files are remembered in the store's folder.
            let plain = try await Self.picture(try Folder(), ["--packed-weights", "off"])
            try Data().write(to: URL(fileURLWithPath: folder.home + "/store"))
            let result = try await Self.picture(folder)
            #expect(result.pixels == plain.pixels)
            let told = result.errors.filter { $0.contains("packed weights: ") && $0.contains(folder.home + "/store") }
            #expect(told.count == 1, "\(result.errors)")
        }

        @Test(arguments: ["40X", "-1", "G", "1e9", "9999999999T"]) func wrongSizesAreRefused(_ word: String) async throws {
            let folder = try Folder()
            let program = try Program(
                Self.options + ["--packed-weights=\(word)", "-o", folder.file("a.png")], in: folder)
            defer { program.end() }
            #expect(try await program.wait().code == 64)
            let lines = program.errorLines
            #expect(lines.count == 1 && lines[0].contains("--packed-weights"), "\(lines)")
            #expect(lines.last?.contains("'\(word)'") == true && folder.names.isEmpty, "\(lines)")
        }
    }
}
