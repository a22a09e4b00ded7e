import Foundation
import Testing

extension SingleCommands {
    /// The program itself decides how its threads wait, however it is started.
    @Suite struct WaitingTests {
        /// The waiting settings in the environment of a process, sorted.
        private static func settings(_ pid: Int32) -> [String] {
            let environment = FileManager.default.contents(atPath: "/proc/\(pid)/environ") ?? Data()
            return environment.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
                .filter { variable in Program.waitingPrefixes.contains { variable.hasPrefix($0) } }.sorted()
        }

        /// The variables that a program sets when it starts again.
        private static let own = ["GOMP_SPINCOUNT=2000", "OPENBLAS_NUM_THREADS=1"]

        private static func name(_ pid: Int32) -> String {
            let name = FileManager.default.contents(atPath: "/proc/\(pid)/comm") ?? Data()
            return String(decoding: name, as: UTF8.self).trimmingCharacters(in: .newlines)
        }

        private static func arguments(_ pid: Int32) -> [String] {
            let words = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") ?? Data()
            return words.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        }

        /// The user's value counts; an empty value counts as none.
        @Test(
            arguments: [
                ([:], own), (["GOMP_SPINCOUNT": "77"], ["GOMP_SPINCOUNT=77"]),
                (["OMP_WAIT_POLICY": "active"], ["OMP_WAIT_POLICY=active"]), (["GOMP_SPINCOUNT": ""], own),
                (["OMP_WAIT_POLICY": ""], own),
                // It need not start again, so it keeps the given environment.
                (
                    ["GOMP_SPINCOUNT": "", "OMP_WAIT_POLICY": "active"], ["GOMP_SPINCOUNT=", "OMP_WAIT_POLICY=active"]
                ),
                (
                    ["GOMP_SPINCOUNT": "5", "OMP_WAIT_POLICY": "passive"], ["GOMP_SPINCOUNT=5", "OMP_WAIT_POLICY=passive"]
                ),
            ] as [([String: String], [String])])
        func aWorkerStartedByHandHasTheSetting(_ given: [String: String], _ expected: [String]) async throws {
            let folder = try Folder()
            let endpoint = "tcp://127.0.0.1:\(try freePort())"
            let command = ["worker", "--connect", endpoint, "--threads", "1", "--name", "by hand, \"1\""]
            let coordinator = try Program(["coordinator", "--listen", endpoint], in: folder, waiting: given)
            let worker = try Program(command, in: folder, waiting: given)
            defer { for program in [worker, coordinator] { program.end() } }
            try await coordinator.waitForLine(containing: "by hand")
            for program in [worker, coordinator] {
                #expect(Self.settings(program.pid) == expected)
                #expect(Self.name(program.pid) == "patchloom")
            }
            #expect(Array(Self.arguments(worker.pid).dropFirst()) == command)
            // Signals reach the started process, and each program is one process.
            #expect(Program.processes(marked: folder.mark).map(\.pid).sorted() == [worker.pid, coordinator.pid].sorted())
            worker.send(SIGTERM)
            #expect(try await worker.wait(seconds: 20).signal == 0)
        }

        @Test(arguments: [[:], ["GOMP_SPINCOUNT": "77"], ["OMP_WAIT_POLICY": "passive"]] as [[String: String]])
        func childrenOfRenderInheritIt(_ given: [String: String]) async throws {
            let folder = try Folder()
            let program = try Program(
                ["render"] + Picture.request + ["--steps", "200", "--workers", "2", "-o", folder.file("a.png")], in: folder,
                waiting: given)
            defer { program.end() }
            try await program.waitForLine(containing: "structure step ")
            let processes = Program.processes(marked: folder.mark)
            #expect(processes.count == 3 && processes.count { $0.isWorker } == 2)
            let expected = given.isEmpty ? Self.own : given.map { "\($0.key)=\($0.value)" }
            for process in processes {
                #expect(Self.settings(process.pid) == expected && Self.name(process.pid) == "patchloom")
            }
            program.send(SIGINT)
            #expect(try await program.wait(seconds: 20).code == 130)
        }

        /// libgomp prints its settings each time it is loaded. So the test counts how often a program starts.
        @Test(arguments: ["patchloom", "patchloom-compare", "patchloom-bench", "goldencheck"], [nil, "77"])
        func programsBeginAgainOnceAtMost(_ name: String, _ given: String?) throws {
            let path = URL(fileURLWithPath: Program.path).deletingLastPathComponent().appendingPathComponent(name).path
            let own = given.map { ["GOMP_SPINCOUNT=\($0)"] } ?? []
            let run = try ProcessShimTests.shell(
                "exec '\(path)' --help", environment: Self.inherited + ["OMP_DISPLAY_ENV=verbose"] + own)
            #expect(run.code == 0 && run.output.contains("USAGE"))
            let told = run.output.split(separator: "\n").filter { $0.contains("GOMP_SPINCOUNT = ") }
            #expect(told.count == (given == nil ? 2 : 1), "\(told)")
            #expect(told.last?.contains("'\(given ?? "2000")'") == true, "\(told)")
        }

        /// `/proc/self/exe` is the loader then, and the program would start the loader again. The worker says that its threads
        /// wait in another way, unless the user has set that. Then it refuses its backend.
        @Test(arguments: [nil, "GOMP_SPINCOUNT=9"])
        func aProgramThatTheLoaderWasGivenRuns(_ given: String?) throws {
            // The loader of this machine: x86-64 or arm64.
            let loader = try #require(
                ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"].first {
                    FileManager.default.isExecutableFile(atPath: $0)
                })
            let run = try ProcessShimTests.shell(
                "exec \(loader) '\(Program.path)' worker --connect tcp://127.0.0.1:9 --threads 2 --backend none",
                environment: Self.inherited + [given].compactMap(\.self))
            #expect(run.code == 64 && run.output.contains("--backend"), "\(run.output)")
            #expect(run.output.contains("OMP_WAIT_POLICY=passive") == (given == nil), "\(run.output)")
        }

        private static let inherited = ProcessInfo.processInfo.environment
            .filter { variable in !Program.waitingPrefixes.contains { variable.key.hasPrefix($0) } }
            .map { "\($0.key)=\($0.value)" }
    }
}
