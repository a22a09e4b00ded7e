import Foundation
import ImageFiles
import Testing

extension EndToEnd {
    /// Any number of workers and threads gives the same picture, and so do workers that die during the render.
    @Suite struct SamePixelsTests {
        @Test(arguments: [
            ["--workers", "2", "--threads-per-worker", "1"], ["--workers", "3", "--threads-per-worker", "1"],
            ["--workers", "1", "--threads-per-worker", "2"], ["--workers", "2", "--threads-per-worker", "2"],
        ])
        func workersAndThreadsDoNotMatter(_ options: [String]) async throws {
            let picture = try await Picture.render(options, in: try Folder())
            #expect(picture.image.width == 256)
            #expect(picture.image.height == 256)
            #expect(try await picture.image.pixels == ReferencePicture.shared.pixels())
        }

        /// The reference picture has the precision of this CPU. Here each precision is compared with itself.
        @Test(arguments: ["f32", "bf16"]) func workersAndThreadsDoNotMatterInAnyPrecision(_ precision: String) async throws {
            guard precision == "f32" || SingleCommands.PrecisionTests.hasBF16 else {
                return try await SingleCommands.PrecisionTests.expectRefusal(["--precision", precision])
            }
            let options = ["--precision", precision, "--steps", "3"]
            let pictures = [
                try await Picture.render(options + ["--workers", "1", "--threads-per-worker", "2"], in: try Folder()),
                try await Picture.render(options + ["--workers", "3", "--threads-per-worker", "1"], in: try Folder()),
            ]
            pictures[0].expectContent()
            #expect(pictures[0].image.pixels == pictures[1].image.pixels)
        }

        /// Views in groups of any size give the same file, byte by byte, as views one by one. OpenBLAS may have threads of its
        /// own in one render: they are not used.
        @Test(arguments: ["f32", "bf16"], ["onednn", "openblas"])
        func groupsDoNotMatter(_ precision: String, _ backend: String) async throws {
            guard precision == "f32" || (SingleCommands.PrecisionTests.hasBF16 && backend == "onednn") else {
                return try await SingleCommands.PrecisionTests.expectRefusal(["--precision", precision, "--backend", backend])
            }
            let options = ["--precision", precision, "--backend", backend, "--steps", "4"]
            var files: [[UInt8]] = []
            for (workers, group) in [(1, 1), (1, 8), (3, 3)] {
                let folder = try Folder()
                let host = ["--workers", "\(workers)", "--threads-per-worker", "1", "--group", "\(group)"]
                let environment = workers > 1 ? ["OPENBLAS_NUM_THREADS": "2"] : [:]
                try await Picture.render(options + host, in: folder, environment: environment).expectContent()
                files.append([UInt8](try Data(contentsOf: URL(fileURLWithPath: folder.file("picture.png")))))
            }
            for file in files.dropFirst() { #expect(file == files[0]) }
        }

        @Test func theSeedMatters() async throws {
            let picture = try await Picture.render(["--workers", "2", "-s", "8"], in: try Folder())
            picture.expectContent()
            #expect(try await picture.image.pixels != ReferencePicture.shared.pixels())
        }

        /// Kills one worker in the structure phase, another in the detail phase, and another while tiles are decoded; a single
        /// worker three times. The single worker computes in f32, the others in this CPU's own precision.
        @Test(arguments: zip([1, 3], ["f32", "auto"]))
        func killedWorkersDoNotMatter(_ workers: Int, _ precision: String) async throws {
            let folder = try Folder()
            let program = try Program(
                ["render"] + Picture.request + [
                    "--workers", "\(workers)", "--threads-per-worker", "1", "--vae-tile-size", "64",
                    "--precision", precision, "-o", folder.file("a.png"),
                ],
                in: folder)
            defer { program.end() }
            var killed: Set<Int32> = []
            for place in ["structure step ", "detail step ", "decode step "] {
                try await program.waitForLine(containing: place)
                let victim = try #require(
                    Program.processes(marked: folder.mark).first { $0.isWorker && !killed.contains($0.pid) })
                kill(victim.pid, SIGKILL)
                killed.insert(victim.pid)
            }
            #expect(killed.count == 3)
            #expect(try await program.wait().code == 0, "\(program.errorLines)")
            #expect(program.errorLines.contains { $0.contains("was lost") }, "\(program.errorLines)")
            try await Program.waitUntilNone(marked: folder.mark)
            #expect(folder.names == ["a.png"])
            let expected = try await ReferencePicture.shared.pixels(precision: precision)
            #expect(try Picture(folder.file("a.png")).image.pixels == expected)
        }

        /// `coordinator`, `worker` and `submit` make the same picture as `render`, in any order of start.
        @Test(arguments: [["coordinator", "worker"], ["worker", "coordinator"]])
        func theOrderOfStartingDoesNotMatter(_ order: [String]) async throws {
            let folder = try Folder()
            let endpoint = "tcp://127.0.0.1:\(try freePort())"
            var cluster: [Program] = []
            defer { for program in cluster { program.end() } }
            for role in order {
                if role == "coordinator" {
                    cluster.append(try Program(["coordinator", "--listen", endpoint], in: folder))
                } else {
                    for _ in 0..<2 {
                        cluster.append(try Program(["worker", "--connect", endpoint, "--threads", "1"], in: folder))
                    }
                }
                try await Task.sleep(for: .milliseconds(300))
            }
            let submit = try Program(
                ["submit", "--coordinator", endpoint] + Picture.request + ["-o", folder.file("a.png")], in: folder)
            #expect(try await submit.wait().code == 0, "\(submit.errorLines)")
            #expect(try await Picture(folder.file("a.png")).image.pixels == ReferencePicture.shared.pixels())
            for program in cluster {
                program.send(SIGTERM)
                let ending = try await program.wait(seconds: 40)
                #expect(ending.signal == 0, "\(program.errorLines)")
                #expect([0, 143].contains(ending.code), "\(ending.code): \(program.errorLines)")
            }
            try await Program.waitUntilNone(marked: folder.mark)
            #expect(folder.names == ["a.png"])
        }
    }
}
