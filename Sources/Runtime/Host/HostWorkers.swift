internal import Glibc
import Sentences

/// The workers of this host, of any coordinator.
///
/// Each worker holds the first free of numbered names in the kernel's abstract namespace (unix(7)), and counts the names that
/// somebody holds. No file is left: a name is gone with its process. A container with a network of its own sees only its own
/// workers. The names are nobody's property: a process that takes some of them makes the groups of this host's workers
/// smaller, and nothing else.
final class HostWorkers {
    /// More workers count as this number.
    static let mostWorkers = 256

    private let names: [String]
    /// Holds this worker's name, if one was free.
    private let holder: NameSocket
    private let hasName: Bool
    private let asker: NameSocket

    /// Counts as one worker from now on.
    ///
    /// - Parameter prefix: the beginning of the names.
    /// - Throws: `RuntimeError` if the system gives no socket or no name.
    init(prefix: String = "patchloom-worker-", mostWorkers: Int = HostWorkers.mostWorkers) throws(RuntimeError) {
        names = (0..<mostWorkers).map { "\(prefix)\($0)" }
        (holder, asker) = (try NameSocket(), try NameSocket())
        var isNamed = false
        for name in names where !isNamed { isNamed = try holder.take(name) }
        hasName = isNamed
    }

    /// The number of workers now. It includes this one, even if this one found no free name.
    var count: Int { min(names.count, names.count(where: asker.finds) + (hasName ? 0 : 1)) }
}

/// A datagram socket for names in the kernel's abstract namespace. It takes no messages.
final class NameSocket {
    let descriptor: Int32

    /// - Throws: `RuntimeError` if the system gives none.
    init() throws(RuntimeError) {
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Self.error(errno) }
        self.descriptor = descriptor
        // Without this, messages to its name would wait in the kernel's memory for a reader.
        guard shutdown(descriptor, Int32(SHUT_RD)) == 0 else { throw Self.error(errno) }
    }

    deinit { close(descriptor) }

    /// Holds a name until its own end. It can hold one.
    ///
    /// - Returns: false if somebody holds the name.
    func take(_ name: String) throws(RuntimeError) -> Bool {
        switch Self.call(name, { bind(descriptor, $0, $1) }) {
        case 0: return true
        case EADDRINUSE: return false
        case let number: throw Self.error(number)
        }
    }

    /// Whether somebody holds a name. A connection of datagram sockets is only a note of this socket: the holder learns nothing
    /// of it, and the next call replaces it. A holder that may not be spoken to refuses in another way than a free name.
    func finds(_ name: String) -> Bool { Self.call(name) { connect(descriptor, $0, $1) } != ECONNREFUSED }

    /// Calls the system with the address of a name.
    ///
    /// - Returns: the system's error number, 0 for success.
    private static func call(_ name: String, _ function: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // The zero at the beginning makes the name an abstract one.
        let path = ([0] + Array(name.utf8)).prefix(MemoryLayout.size(ofValue: address.sun_path))
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { function($0, length) == 0 ? 0 : errno }
        }
    }

    private static func error(_ number: Int32) -> RuntimeError {
        RuntimeError(.internalFault, "A socket with a name cannot be made: \(String(cString: strerror(number))).")
    }
}
