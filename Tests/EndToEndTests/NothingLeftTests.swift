import Foundation
import Testing

extension EndToEnd {
    /// A render leaves no process and no half-written file, however it ends.
    @Suite struct NothingLeftTests {
        /// Starts a render that takes long and waits until its workers compute.
        static func startedRender(_ folder: Folder) async throws -> Program {
            let program = try Program(
                ["render"] + Picture.request + ["--steps", "200", "--workers", "2", "-o", folder.file("a.png")], in: folder)
            try await program.waitForLine(containing: "structure step ")
            #expect(Program.processes(marked: folder.mark).count { $0.isWorker } == 2)
            return program
        }

        @Test(arguments: [(SIGINT, 130), (SIGTERM, 143)] as [(Int32, Int32)])
        func interruptedRendersLeaveNothing(_ signal: Int32, _ code: Int32) async throws {
            let folder = try Folder()
            let program = try await Self.startedRender(folder)
            defer { program.end() }
            program.send(signal)
            let ending = try await program.wait(seconds: 20)
            #expect(ending == Program.Ending(code: code, signal: 0), "\(program.errorLines)")
            #expect(Program.processes(marked: folder.mark).isEmpty)
            #expect(folder.names.isEmpty)
        }

        /// Nobody stops the workers: they must notice the end by themselves.
        @Test func workersLeaveWhenTheirParentIsKilled() async throws {
            let folder = try Folder()
            let program = try await Self.startedRender(folder)
            defer { program.end() }
            program.send(SIGKILL)
            #expect(try await program.wait(seconds: 20).signal == SIGKILL)
            try await Program.waitUntilNone(marked: folder.mark, seconds: 20)
            #expect(folder.names.isEmpty)
        }

        /// The folder vanishes during the render. This is the one fault that no check can find beforehand.
        @Test func aVanishedFolderIsReportedAfterwards() async throws {
            let folder = try Folder()
            let inner = folder.file("inner")
            try FileManager.default.createDirectory(atPath: inner, withIntermediateDirectories: false)
            let program = try Program(
                ["render"] + Picture.request + ["--workers", "2", "-o", inner + "/a.png"], in: folder)
            defer { program.end() }
            try await program.waitForLine(containing: "structure step ")
            try FileManager.default.removeItem(atPath: inner)
            #expect(try await program.wait().code == 73, "\(program.errorLines)")
            #expect(program.errorLines.last?.contains(inner) == true, "\(program.errorLines)")
            try await Program.waitUntilNone(marked: folder.mark)
            #expect(folder.names.isEmpty)
        }
    }
}
