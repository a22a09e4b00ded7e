import CSystem
import Foundation
import Synchronization
import Testing

/// Tests with the real program, in two rows that run at the same time. In a row the tests come one after the other, because
/// each uses all cores. Two rows use the time in which a test waits for a process to start, for a connection, or for an end.
///
/// This row has the farms: methods, comparisons, workers that come and go.
@Suite(.serialized) enum EndToEnd {}

/// The second row: the inputs that single commands take from users, their words on models and files, and their waiting.
@Suite(.serialized) enum SingleCommands {}

/// One run of the real program, with its output collected line by line.
///
/// Every process has the mark of its test in its environment, and its children inherit the mark. So
/// `Program.processes(marked:)` finds them all.
final class Program: Sendable {
    struct Ending: Sendable, Equatable {
        /// 128 + the signal's number when a signal ended it.
        let code: Int32
        let signal: Int32
    }

    private struct State {
        var outputLines: [String] = []
        var errorLines: [String] = []
        var openStreams = 2
        var ending: Ending?
    }

    let pid: Int32
    let mark: String
    private let state = Mutex(State())

    /// The built program. It lies beside the test runner, in the folder of the same configuration.
    static let path: String = {
        let folder = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let beside = URL(fileURLWithPath: folder).deletingLastPathComponent().appendingPathComponent("patchloom").path
        if FileManager.default.isExecutableFile(atPath: beside) { return beside }
        // A runner that loads the tests as a library lies elsewhere; the test bundle is then among its arguments.
        let bundles = CommandLine.arguments.filter { $0.hasSuffix(".xctest") }
        return bundles.first.map {
            URL(fileURLWithPath: $0).deletingLastPathComponent().appendingPathComponent("patchloom").path
        }
            ?? beside
    }()

    /// The beginnings of the variables that tell threads how to wait.
    static let waitingPrefixes = ["GOMP_", "OMP_", "OPENBLAS_NUM_"]

    /// The time that the threads of a tested program wait before they sleep, in turns of libgomp's loop. Two rows of tests
    /// share the cores: with the 2,000 turns that a program sets for itself, two renders of two threads each took 18.8 s on two
    /// cores, with 300 turns 8.7 s. A program that finds the variable does not start itself again, so it gets the other
    /// variable of `WaitingPolicy` from here too. In `WaitingTests` it finds neither.
    static let sharedCores = ["GOMP_SPINCOUNT": "300", "OPENBLAS_NUM_THREADS": "1"]

    /// Starts the program. Callers end it with `end()` in a `defer`.
    init(
        _ arguments: [String], in folder: Folder, environment: [String: String] = [:], waiting: [String: String] = sharedCores
    ) throws {
        var output: [Int32] = [-1, -1]
        var error: [Int32] = [-1, -1]
        try #require(pipe(&output) == 0 && pipe(&error) == 0)
        // The machine's choice of OpenBLAS's kernels stays. No other setting of the runner must matter.
        var variables = ProcessInfo.processInfo.environment.filter { variable in
            !(["PATCHLOOM_"] + Self.waitingPrefixes).contains { variable.key.hasPrefix($0) }
        }
        variables["PATCHLOOM_TEST_MARK"] = folder.mark
        // The user's files must not matter either, and the program must not write to them.
        variables["HOME"] = folder.home
        variables["PATCHLOOM_HOME"] = folder.home + "/store"
        for kind in ["CACHE", "DATA", "CONFIG"] { variables["XDG_\(kind)_HOME"] = "\(folder.home)/\(kind.lowercased())" }
        variables.merge(waiting.merging(environment) { _, given in given }) { _, given in given }
        var argumentPointers = ([Program.path] + arguments).map { strdup($0) } + [nil]
        var environmentPointers = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in argumentPointers + environmentPointers { free(pointer) } }
        var started: pid_t = 0
        let failed = csystem_spawn(
            Program.path, &argumentPointers, &environmentPointers, [-1, output[1], error[1]], 3, &started)
        close(output[1])
        close(error[1])
        try #require(failed == 0, "\(Program.path) does not start: \(String(cString: strerror(failed)))")
        pid = started
        mark = folder.mark
        collect(output[0]) { $0.outputLines.append($1) }
        collect(error[0]) { $0.errorLines.append($1) }
    }

    private func collect(_ descriptor: Int32, _ add: @escaping @Sendable (inout State, String) -> Void) {
        Thread.detachNewThread { [self] in
            let file = fdopen(descriptor, "r")
            var line: UnsafeMutablePointer<CChar>?
            var capacity = 0
            while true {
                let count = getline(&line, &capacity, file)
                guard count > 0, let line else { break }
                let text = String(decoding: UnsafeRawBufferPointer(start: line, count: count), as: UTF8.self)
                state.withLock { add(&$0, text.trimmingCharacters(in: .newlines)) }
            }
            free(line)
            fclose(file)
            if state.withLock({ state in
                state.openStreams -= 1; return state.openStreams == 0
            }) {
                reap()
            }
        }
    }

    private func reap() {
        var code: Int32 = 0
        var signal: Int32 = 0
        _ = csystem_reap(pid, 1, &code, &signal)
        state.withLock { $0.ending = Ending(code: code, signal: signal) }
    }

    var outputLines: [String] { state.withLock { $0.outputLines } }
    var errorLines: [String] { state.withLock { $0.errorLines } }
    /// Nil while it runs.
    var ending: Ending? { state.withLock { $0.ending } }

    /// The way in which it ended. A program that does not end in time is an error, which quotes its output.
    func wait(seconds: Double = 120, sourceLocation: SourceLocation = #_sourceLocation) async throws -> Ending {
        try await until("the program ends", seconds: seconds, sourceLocation) { ending != nil }
        return try #require(ending, sourceLocation: sourceLocation)
    }

    /// Waits for a line of its standard error that contains the text.
    func waitForLine(
        containing text: String, seconds: Double = 60, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await until("a line with '\(text)' appears", seconds: seconds, sourceLocation) {
            errorLines.contains { $0.contains(text) }
        }
    }

    private func until(
        _ what: String, seconds: Double, _ sourceLocation: SourceLocation, _ condition: () -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while !condition() {
            let said = (outputLines + errorLines).suffix(12).joined(separator: "\n")
            try #require(
                ContinuousClock.now < deadline, "not before the time was up: \(what); it said:\n\(said)",
                sourceLocation: sourceLocation)
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    func send(_ signal: Int32) {
        if ending == nil { kill(pid, signal) }
    }

    /// Kills the program and all other processes that were started with the same folder.
    func end() {
        send(SIGKILL)
        for process in Program.processes(marked: mark) { kill(process.pid, SIGKILL) }
    }

    struct Running: Sendable {
        let pid: Int32
        let arguments: [String]
        var isWorker: Bool { arguments.contains("worker") }
    }

    /// The living processes that inherited the mark, without zombies.
    static func processes(marked mark: String) -> [Running] {
        let entry = Array("PATCHLOOM_TEST_MARK=\(mark)".utf8)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { Int32($0) }.sorted().compactMap { pid in
            guard let environment = FileManager.default.contents(atPath: "/proc/\(pid)/environ"),
                environment.split(separator: 0).contains(where: { $0.elementsEqual(entry) }),
                let arguments = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline"), !arguments.isEmpty
            else { return nil }
            return Running(pid: pid, arguments: arguments.split(separator: 0).map { String(decoding: $0, as: UTF8.self) })
        }
    }

    /// Waits until no process of the test lives any more.
    static func waitUntilNone(marked mark: String, seconds: Double = 15) async throws {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while true {
            let left = processes(marked: mark)
            if left.isEmpty { return }
            try #require(ContinuousClock.now < deadline, "left behind: \(left.map(\.arguments))")
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}

/// A new folder for one test, removed with everything in it.
final class Folder: Sendable {
    let path: String
    /// Stands for the user's home, beside the folder.
    let home: String
    let mark = UUID().uuidString

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-e2e-\(mark)").path
        home = path + "-home"
        for folder in [path, home] {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        }
    }

    deinit { for folder in [path, home] { try? FileManager.default.removeItem(atPath: folder) } }

    func file(_ name: String) -> String { path + "/" + name }

    /// The names in it, hidden ones too.
    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

    /// The names in the home.
    var homeNames: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: home)) ?? []).sorted() }
}

/// A free TCP port of the loopback, below the range from which the kernel assigns ports: no other process gets it by chance.
func freePort() throws -> Int {
    for _ in 0..<100 {
        let port = Int.random(in: 15_000..<32_000)
        if let socket = try? ListeningSocket(port: port) {
            socket.close()
            return port
        }
    }
    throw CocoaError(.featureUnsupported)
}

/// A port that is in use.
struct ListeningSocket {
    private let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port)).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard bound == 0, listen(descriptor, 1) == 0 else {
            Glibc.close(descriptor)
            throw CocoaError(.fileWriteUnknown)
        }
    }

    func close() { Glibc.close(descriptor) }
}
