import Foundation
import Sentences
import Synchronization

@testable import Runtime

/// A way to a coordinator over TCP whose connections break.
final class CuttingRelay: Sendable {
    let port: Int
    private let listener: Int32
    private let target: Int
    /// For each connection, the bytes from the coordinator after which it breaks. Further connections hold.
    private let cuts: Mutex<[Int]>
    private let connectionCount = Mutex(0)

    var connections: Int { connectionCount.withLock { $0 } }

    /// - Parameter target: the coordinator's port.
    init(to target: Int, cuts: [Int]) throws {
        self.target = target
        self.cuts = Mutex(cuts)
        port = try TestFarm.freePort()
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let isListening =
            Self.with(port) { Glibc.bind(listener, $0, $1) } == 0 && listen(listener, 16) == 0
        guard isListening else { throw RuntimeError(.unavailable, "The relay has no port.") }
        Thread.detachNewThread { [self] in
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { return }
                connectionCount.withLock { $0 += 1 }
                let limit = cuts.isEmpty ? Int.max : self.cuts.withLock { $0.isEmpty ? Int.max : $0.removeFirst() }
                Thread.detachNewThread { [self] in carry(client, limit) }
            }
        }
    }

    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private static func with(_ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }

    /// Carries bytes both ways until an end closes or the limit is reached.
    private func carry(_ client: Int32, _ limit: Int) {
        let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { for end in [client, server] { close(end) } }
        guard Self.with(target, { connect(server, $0, $1) }) == 0 else { return }
        var ends = [client, server].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var carried = 0
        while carried < limit, poll(&ends, 2, 30_000) > 0 {
            for (from, to) in [(0, 1), (1, 0)] where ends[from].revents != 0 {
                let count = recv(ends[from].fd, &buffer, buffer.count, 0)
                guard count > 0 else { return }
                var sent = 0
                while sent < count {
                    let step = buffer.withUnsafeBytes {
                        send(ends[to].fd, $0.baseAddress?.advanced(by: sent), count - sent, Int32(MSG_NOSIGNAL))
                    }
                    guard step > 0 else { return }
                    sent += step
                }
                if from == 1 { carried += count }
            }
        }
    }
}
