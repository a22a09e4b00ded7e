import ArgumentParser
import Foundation

/// A run of `patchloom`, which lies beside this program, or at a given path.
final class OwnProcess {
    private let process = Process()
    private let output = Pipe()
    private let errorLines = Pipe()
    private let started = ContinuousClock.now

    /// - Parameters:
    ///   - keepsErrors: whether `seconds(untilLine:patience:)` reads standard error; else it goes to this program's.
    ///   - errors: a file for standard error instead.
    init(_ path: String?, _ arguments: [String], keepsErrors: Bool = false, errors: URL? = nil) throws {
        let file = try path ?? Self.beside()
        guard FileManager.default.isExecutableFile(atPath: file) else {
            throw ValidationError(
                "\(file) is no program: build it by 'swift build -c release --product patchloom', or name one by --program.")
        }
        process.executableURL = URL(fileURLWithPath: file)
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        if keepsErrors { process.standardError = errorLines }
        if let errors {
            try Data().write(to: errors)
            process.standardError = try FileHandle(forWritingTo: errors)
        }
        try process.run()
    }

    private static func beside() throws -> String {
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        return URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent("patchloom").path
    }

    /// Waits for its end, and calls `watch` about ten times a second until then.
    ///
    /// - Returns: its standard output.
    func finish(_ watch: (Int32) -> Void = { _ in }) throws -> String {
        while process.isRunning {
            watch(process.processIdentifier)
            Thread.sleep(forTimeInterval: 0.1)
        }
        let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        guard process.terminationStatus == 0 else {
            throw ValidationError("patchloom ended with code \(process.terminationStatus).")
        }
        return text
    }

    /// Seconds from its start until a line of standard error begins with `text`. Then it is stopped.
    ///
    /// - Parameter patience: the most seconds to wait for the line.
    func seconds(untilLine text: String, patience: Int) throws -> Double {
        defer { stop() }
        var lines = ""
        while true {
            let rest = Double(patience) - (ContinuousClock.now - started) / .seconds(1)
            guard rest > 0 else {
                throw ValidationError(
                    "patchloom did not write '\(text)' within \(patience) seconds (--patience); it wrote: \(lines)")
            }
            guard try hasErrors(within: rest) else { continue }
            let data = errorLines.fileHandleForReading.availableData
            guard !data.isEmpty else {
                throw ValidationError("patchloom ended before it wrote '\(text)'; it wrote: \(lines)")
            }
            lines += String(decoding: data, as: UTF8.self)
            if lines.split(separator: "\n").contains(where: { $0.hasPrefix(text) }) {
                return (ContinuousClock.now - started) / .seconds(1)
            }
        }
    }

    /// Waits until standard error has something to read, or has ended. Returns false when the time is over, or before.
    private func hasErrors(within seconds: Double) throws -> Bool {
        var wanted = pollfd(fd: errorLines.fileHandleForReading.fileDescriptor, events: Int16(POLLIN), revents: 0)
        let found = poll(&wanted, 1, Int32(min(seconds * 1000 + 1, 1_000_000)))
        guard found >= 0 || errno == EINTR else { throw ValidationError("poll failed: \(String(cString: strerror(errno)))") }
        return found > 0
    }

    /// Ends the process, by force if it does not end by itself within ten seconds.
    private func stop() {
        process.terminate()
        for _ in 0..<100 where process.isRunning { Thread.sleep(forTimeInterval: 0.1) }
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
    }
}

/// The memory of a process and all that it has started, from /proc.
enum ProcessTree {
    /// The smaller of two looks, one right after the other. A look reads one process after the other, and counts pages twice
    /// or not at all that others map or unmap meanwhile.
    static func steadyBytes(_ root: Int32) -> Int { min(proportionalBytes(root), proportionalBytes(root)) }

    /// The sum of the proportional set sizes and swapped pages in bytes: a page that several processes share counts once in
    /// all. Processes that end meanwhile count as nothing.
    private static func proportionalBytes(_ root: Int32) -> Int {
        let parents = parents()
        var found: Set<Int32> = [root]
        while true {
            let more = parents.filter { found.contains($0.value) && !found.contains($0.key) }
            if more.isEmpty { break }
            found.formUnion(more.keys)
        }
        return found.sorted().reduce(0) { $0 + proportionalBytes(of: $1) }
    }

    private static func proportionalBytes(of pid: Int32) -> Int {
        let text = (try? String(contentsOfFile: "/proc/\(pid)/smaps_rollup", encoding: .utf8)) ?? ""
        return text.split(separator: "\n").filter { $0.hasPrefix("Pss:") || $0.hasPrefix("SwapPss:") }.reduce(0) { sum, line in
            sum + (line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 1024
        }
    }

    /// The parent of each process.
    private static func parents() -> [Int32: Int32] {
        var parents: [Int32: Int32] = [:]
        for pid in (try? FileManager.default.contentsOfDirectory(atPath: "/proc"))?.compactMap({ Int32($0) }) ?? [] {
            let text = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
            // The name before the state may have blanks and brackets.
            guard let end = text.lastIndex(of: ")") else { continue }
            let words = text[text.index(after: end)...].split(separator: " ")
            if words.count > 1, let parent = Int32(words[1]) { parents[pid] = parent }
        }
        return parents
    }
}
