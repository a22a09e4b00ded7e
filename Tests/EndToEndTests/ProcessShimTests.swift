import CSystem
import Foundation
import Testing

/// The environment of a started process, seen by a shell.
@Suite struct ProcessShimTests {
    struct Run {
        var code: Int32 = -1
        var signal: Int32 = -1
        var output = ""
    }

    /// Runs a shell script whose standard output and error come back.
    static func shell(_ script: String, environment: [String] = [], extra: [Int32] = []) throws -> Run {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        var arguments = ["sh", "-c", script].map { (word: String) in strdup(word) } + [nil]
        var variables = environment.map { (word: String) in strdup(word) } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var pid: pid_t = 0
        let descriptors = [-1, ends[1], ends[1]] + extra
        try #require(csystem_spawn("/bin/sh", &arguments, &variables, descriptors, descriptors.count, &pid) == 0)
        close(ends[1])
        var run = Run()
        let handle = FileHandle(fileDescriptor: ends[0], closeOnDealloc: true)
        run.output = String(decoding: try handle.readToEnd() ?? Data(), as: UTF8.self)
        #expect(csystem_reap(pid, 1, &run.code, &run.signal) == 1)
        return run
    }

    @Test func codesAndSignalsComeBack() throws {
        let left = try Self.shell("exit 7")
        #expect(left.code == 7 && left.signal == 0)
        let killed = try Self.shell("kill -9 $$")
        #expect(killed.code == 137 && killed.signal == SIGKILL)
    }

    @Test func aChildHasOnlyTheDescriptorsAndVariablesItWasGiven() throws {
        var lifeline: [Int32] = [-1, -1]
        try #require(pipe(&lifeline) == 0)
        defer { close(lifeline[0]); close(lifeline[1]) }
        // The fifth descriptor is the folder that the listing reads.
        let run = try Self.shell("echo /proc/$$/fd/*; echo ${A-none} ${HOME-none}", environment: ["A=b"], extra: [lifeline[0]])
        let lines = run.output.split(separator: "\n")
        let descriptors = lines.first?.split(separator: " ").compactMap { $0.split(separator: "/").last }.map(String.init)
        #expect(descriptors == ["0", "1", "2", "3", "4"])
        #expect(lines.last == "b none")
    }

    @Test func standardInputIsEmpty() throws {
        #expect(try Self.shell("read line || echo nothing").output == "nothing\n")
    }

    @Test func aChildLeadsItsOwnGroupAndHearsSignals() throws {
        #expect(try Self.shell("set -- $(cat /proc/$$/stat); [ $1 = $5 ] && echo leader").output == "leader\n")
        let masks = try Self.shell("grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f 2").output
        // Signals 1 to 31. The next two belong to the C library, and no program can set them.
        let ordinary = masks.split(separator: "\n").map { UInt64($0, radix: 16).map { $0 & 0x7FFF_FFFF } }
        #expect(ordinary == [0, 0])
    }

    @Test func badCallsAreErrors() {
        var arguments: [UnsafeMutablePointer<CChar>?] = [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = [nil]
        var pid: pid_t = 0
        #expect(csystem_spawn("/does/not/exist", &arguments, &variables, [-1, -1, -1], 3, &pid) == ENOENT)
        #expect(csystem_spawn("/bin/true", &arguments, &variables, [-1, -1, 9999], 3, &pid) == EBADF)
        #expect(csystem_spawn("/bin/true", &arguments, &variables, [-1], 1, &pid) == EINVAL)
        var code: Int32 = 0
        var signal: Int32 = 0
        #expect(csystem_reap(getpid(), 0, &code, &signal) == -ECHILD)
    }

    @Test func theMachineHasCores() {
        #expect(csystem_available_cores() >= 1)
        #expect(csystem_available_cores() <= csystem_available_processors())
        #expect(Int(csystem_available_processors()) <= ProcessInfo.processInfo.processorCount)
    }
}
