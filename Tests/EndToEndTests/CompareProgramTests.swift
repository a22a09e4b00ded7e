import Foundation
import Testing

extension EndToEnd {
    /// `patchloom compare` starts a program of its own. It must lie beside `patchloom`.
    @Suite struct CompareProgramTests {
        static let folder = URL(fileURLWithPath: Program.path).deletingLastPathComponent()
        static let compare = folder.appendingPathComponent("patchloom-compare").path

        /// Gives a program a second name in another folder, or copies it if the folder is on another disk.
        static func put(_ program: String, in folder: Folder) throws -> String {
            let name = folder.file(URL(fileURLWithPath: program).lastPathComponent)
            if link(program, name) != 0 { try FileManager.default.copyItem(atPath: program, toPath: name) }
            return name
        }

        /// The libraries that the dynamic loader loads for a program, by `ldd`.
        static func libraries(_ program: String) throws -> String {
            let run = try ProcessShimTests.shell(
                "LD_TRACE_LOADED_OBJECTS=1 '\(program)'",
                environment: ProcessInfo.processInfo.environment.map { "\($0.key)=\($0.value)" })
            #expect(run.code == 0)
            return run.output
        }

        @Test func aWorkerLinksNothingThatDrawsText() throws {
            let (worker, compare) = (try Self.libraries(Program.path), try Self.libraries(Self.compare))
            #expect(worker.contains("libzmq") && compare.contains("libzmq"))
            for library in ["libfreetype", "libfontconfig"] {
                #expect(compare.contains(library) && !worker.contains(library))
            }
        }

        @Test(arguments: [
            ["compare", "--help"], ["help", "compare"], ["compare", "-h"], ["compare", "-p", "x", "-o", "a.png", "--help"],
        ])
        func helpIsThatOfTheCommand(_ arguments: [String]) async throws {
            let help = try await SingleCommands.CommandTests.run(arguments, in: try Folder())
            #expect(help.ending?.code == 0 && help.errorLines.isEmpty)
            #expect(help.outputLines.contains("USAGE: patchloom compare [<options>] --output <file>"))
            #expect(help.outputLines.contains { $0.contains("--methods <list>") })
        }

        /// A user can start the program directly, with or without the name of the command.
        @Test(arguments: [[], ["compare"]])
        func itsOwnNameWorksToo(_ command: [String]) throws {
            let words = (command + ["-p", "a", "--cell", "1", "-o", "a.png"]).joined(separator: " ")
            let run = try ProcessShimTests.shell("exec '\(Self.compare)' \(words)")
            #expect(run.code == 64 && run.output.hasPrefix("patchloom: --cell must be"), "\(run.output)")
        }

        @Test(arguments: [["compare", "-p", "x", "-o", "a.png"], ["compare", "--help"], ["help", "compare"]])
        func withoutItTheRemedyIsSaid(_ arguments: [String]) throws {
            let folder = try Folder()
            let program = try Self.put(Program.path, in: folder)
            let run = try ProcessShimTests.shell("exec '\(program)' \(arguments.joined(separator: " "))")
            #expect(run.code == 69)
            #expect(
                run.output
                    == "patchloom: The program patchloom-compare is missing in \(folder.path): build it "
                    + "by 'swift build -c release --product patchloom-compare' and put it there.\n")
            // Other commands do not need it.
            let plan = try ProcessShimTests.shell("exec '\(program)' plan -p x -W 128 -H 128")
            #expect(plan.code == 0, "\(plan.output)")
        }

        /// Another kind of file may have the program's name.
        @Test func whatCannotBeStartedIsNamed() throws {
            let folder = try Folder()
            let program = try Self.put(Program.path, in: folder)
            try Data("no program".utf8).write(to: URL(fileURLWithPath: folder.file("patchloom-compare")))
            for (mode, said) in [(0o644, "is missing in \(folder.path)"), (0o755, "cannot be started: Exec format error")] {
                try FileManager.default.setAttributes(
                    [.posixPermissions: mode], ofItemAtPath: folder.file("patchloom-compare"))
                let run = try ProcessShimTests.shell("exec '\(program)' compare -p x -o a.png")
                #expect(run.code == 69 && run.output.contains(said), "\(run.output)")
            }
        }

        /// Workers are always `patchloom`. If it is missing, the program says so before it writes anything.
        @Test func withoutPatchloomBesideItTheRemedyIsSaid() throws {
            let folder = try Folder()
            let program = try Self.put(Self.compare, in: folder)
            let run = try ProcessShimTests.shell(
                "exec '\(program)' -p 'a fox' --steps 1 --methods direct --scale 1 -o '\(folder.file("a.png"))'",
                environment: ["HOME=\(folder.home)", "PATH=/usr/bin:/bin"])
            #expect(run.code == 69)
            #expect(
                run.output == "patchloom: The program patchloom is missing in \(folder.path): build it by "
                    + "'swift build -c release --product patchloom' and put it there.\n")
            #expect(folder.names == ["patchloom-compare"])
        }

        /// Signals reach the started process, and its workers are `patchloom`.
        @Test func itTakesOverTheProcessAndStartsPatchloomAsWorkers() async throws {
            let folder = try Folder()
            let program = try Program(
                CompareTests.matter + ["--methods", "direct", "--steps", "60", "--scale", "4", "-o", folder.file("a.png")],
                in: folder)
            defer { program.end() }
            try await program.waitForLine(containing: "1 of 2: native")
            let processes = Program.processes(marked: folder.mark)
            #expect(processes.count == 3)
            for process in processes {
                let file = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process.pid)/exe")
                let expected = process.pid == program.pid ? "patchloom-compare" : "patchloom"
                #expect(
                    URL(fileURLWithPath: file).lastPathComponent == expected && process.isWorker == (expected == "patchloom"))
            }
            program.send(SIGTERM)
            #expect(try await program.wait(seconds: 30) == Program.Ending(code: 143, signal: 0), "\(program.errorLines)")
            try await Program.waitUntilNone(marked: folder.mark)
        }
    }
}
