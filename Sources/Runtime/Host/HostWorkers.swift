internal import Foundation
internal import Messages

/// The workers of this host, whatever their coordinators are.
///
/// Each worker holds a socket with a name in the kernel's abstract namespace (unix(7)), and counts such names. No file is left:
/// a name is gone with its process. A container with a network of its own sees only its own workers.
final class HostWorkers {
    /// The beginning of the names.
    private let prefix: String
    private let descriptor: Int32

    /// Counts as one worker from now on.
    ///
    /// - Throws: `RuntimeError` if the system gives no socket.
    init(prefix: String = "patchloom-worker-") throws(RuntimeError) {
        self.prefix = prefix
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Self.error(errno) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // The zero at the beginning makes the name an abstract one. Nobody listens, so nobody can connect.
        let name = [0] + Array("\(prefix)\(UniqueID.random().hex)".utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name.prefix($0.count)) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
        let isBound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) == 0 }
        }
        guard isBound else {
            let number = errno
            close(descriptor)
            throw Self.error(number)
        }
    }

    deinit { close(descriptor) }

    /// The number of workers now, this one included. While sockets come and go, the kernel's table may miss one for a moment.
    var count: Int {
        max(1, Self.count(prefix: prefix, sockets: try? String(contentsOfFile: "/proc/self/net/unix", encoding: .utf8)))
    }

    /// The number of names that begin so.
    ///
    /// - Parameter sockets: the kernel's table (proc_net(5)), one socket a line. The name is the last word, with `@` for the
    ///   zero of an abstract one.
    static func count(prefix: String, sockets: String?) -> Int {
        let lines = sockets?.split(whereSeparator: \.isNewline) ?? []
        return lines.count { $0.split(separator: " ").last?.hasPrefix("@" + prefix) == true }
    }

    private static func error(_ number: Int32) -> RuntimeError {
        RuntimeError(.internalFault, "A socket with a name cannot be made: \(String(cString: strerror(number))).")
    }
}
