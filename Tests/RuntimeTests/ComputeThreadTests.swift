import Cluster
import Messages
import StrictJSON
import Synchronization
import Testing

@testable import Runtime

/// The compute thread with a fake engine whose calls last until nobody wants them.
@Suite("The compute thread")
struct ComputeThreadTests {
    private final class Reports: Sendable {
        private let all = Mutex<[[UInt64]]>([])

        func add(_ report: ComputeThread.Report) {
            if case .returned(let leases) = report { all.withLock { $0.append(leases.map(\.rawValue)) } }
        }

        var isEmpty: Bool { all.withLock(\.isEmpty) }

        /// Waits for a number of reports.
        func first(_ count: Int) async throws -> [[UInt64]] {
            while all.withLock({ $0.count < count }) { try await Task.sleep(for: .milliseconds(1)) }
            return all.withLock { $0 }
        }
    }

    private static func piece(_ lease: UInt64) -> ComputeThread.Piece {
        ComputeThread.Piece(
            lease: LeaseID(lease), task: EncodedPart(metadata: ["index": 0, "serial": 0], payload: FakeJob.bytes(1)),
            job: UniqueID(high: 1, low: 1))
    }

    @Test(
        "a call stops when all its leases are abandoned, a forgotten one counts again, and the end stops the last",
        .timeLimit(.minutes(1)))
    func stops() async throws {
        let reports = Reports()
        let thread = try ComputeThread(
            makeEngine: { FakeTasks(behaviour: FakeBehaviour(callSize: 2, lasts: { _, _ in true })) },
            report: { reports.add($0) })
        thread.mailbox.post(.run([1, 2, 3].map(Self.piece)))
        thread.abandon([LeaseID(1)])
        try await Task.sleep(for: .milliseconds(20))
        #expect(reports.isEmpty, "the second task of the call is wanted")
        thread.abandon([LeaseID(2), LeaseID(7)])
        // The third was not in the call.
        #expect(try await reports.first(2) == [[1, 2], [3]])
        // It is nobody's any more that lease 1 was abandoned.
        for lease in [1, 2, 7] as [UInt64] { thread.forget(LeaseID(lease)) }
        thread.mailbox.post(.run([Self.piece(1)]))
        try await Task.sleep(for: .milliseconds(50))
        #expect(try await reports.first(2).count == 2, "it goes on")
        thread.stop()
        #expect(try await reports.first(3) == [[1, 2], [3], [1]])
    }
}
