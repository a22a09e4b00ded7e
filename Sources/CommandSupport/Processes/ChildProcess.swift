import CSystem
import Foundation
import Synchronization

/// A process that this one started. Its standard input is the read end of a lifeline, which hangs up when this process ends
/// in any way. Its standard error arrives here line by line.
final class ChildProcess: Sendable {
    /// The way in which a child ended.
    struct Ending: Sendable, Equatable {
        let pid: Int32
        /// 128 + the signal's number if a signal ended it.
        let code: Int32
        /// 0 if no signal ended it.
        let signal: Int32
    }

    let pid: Int32
    /// Set once the process is collected: its number may then belong to another.
    private let hasEnded = Atomic(false)

    /// The lifeline's descriptor in the child.
    static let lifelineDescriptor: Int32 = 3

    /// Starts a worker.
    ///
    /// - Parameters:
    ///   - program: the path of `patchloom`.
    ///   - onLine: called with every line of its standard error, on the child's own thread.
    ///   - onEnd: called once on the same thread after the last line, when the process is collected.
    init(
        _ program: String, arguments: [String], environment: [String: String],
        onLine: @escaping @Sendable (String) -> Void, onEnd: @escaping @Sendable (Ending) -> Void
    ) throws(CommandFailure) {
        let lifeline = try PipeEnds()
        let output = try PipeEnds()
        let arguments = CStrings([OwnProgram.patchloom.rawValue] + arguments)
        let environment = CStrings(environment.map { "\($0.key)=\($0.value)" }.sorted())
        var started: pid_t = 0
        let descriptors = [-1, -1, output.toWrite, lifeline.toRead]
        let failed = withExtendedLifetime((arguments, environment)) {
            csystem_spawn(program, arguments.pointers, environment.pointers, descriptors, descriptors.count, &started)
        }
        close(output.toWrite)
        close(lifeline.toRead)
        guard failed == 0 else {
            close(output.toRead)
            close(lifeline.toWrite)
            throw CommandFailure(.internalFault, "A worker process cannot be started: \(systemText(failed)).")
        }
        pid = started
        Thread.detachNewThread { [self] in
            Self.forwardLines(output.toRead, onLine)
            close(output.toRead)
            var (code, signal): (Int32, Int32) = (0, 0)
            let reaped = csystem_reap(pid, 1, &code, &signal)
            hasEnded.store(true, ordering: .releasing)
            // Nothing is ever written to the lifeline.
            close(lifeline.toWrite)
            if reaped != 1 { code = ExitStatus.internalFault.rawValue }
            onEnd(Ending(pid: pid, code: code, signal: signal))
        }
    }

    func send(_ signal: Int32) {
        if !hasEnded.load(ordering: .acquiring) { kill(pid, signal) }
    }

    /// Lines of at most 4,096 bytes; a longer one is cut.
    private static func forwardLines(_ descriptor: Int32, _ onLine: (String) -> Void) {
        let lineMax = 4096
        var line: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: lineMax)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            for byte in buffer[..<count] {
                if byte == UInt8(ascii: "\n") || line.count == lineMax {
                    onLine(String(decoding: line, as: UTF8.self))
                    line.removeAll(keepingCapacity: true)
                }
                if byte != UInt8(ascii: "\n") { line.append(byte) }
            }
        }
        if !line.isEmpty { onLine(String(decoding: line, as: UTF8.self)) }
    }
}

/// A null-terminated array of C strings, valid as long as this object.
private final class CStrings {
    let pointers: [UnsafeMutablePointer<CChar>?]

    init(_ strings: [String]) { pointers = strings.map { strdup($0) } + [nil] }

    deinit { for pointer in pointers { free(pointer) } }
}
