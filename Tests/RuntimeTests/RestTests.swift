import Cluster
import Messages
import StrictJSON
import Synchronization
import Testing

@testable import Runtime

@Suite("A worker's rest")
struct RestTests {
    /// The reports and the actions of the thread, in order.
    private final class Course: Sendable {
        private let events = Mutex<[String]>([])

        func note(_ event: String) { events.withLock { $0.append(event) } }

        /// Waits until `count` events are there.
        func first(_ count: Int) async throws -> [String] {
            for _ in 0..<3000 {
                let events = events.withLock { $0 }
                if events.count >= count { return events }
                try await Task.sleep(for: .milliseconds(10))
            }
            return events.withLock { $0 }
        }

        var all: [String] { events.withLock { $0 } }
    }

    private static func piece(_ index: Int) -> ComputeThread.Piece {
        ComputeThread.Piece(
            lease: LeaseID(UInt64(index)),
            task: EncodedPart(metadata: ["index": .integer(Int64(index)), "serial": 0], payload: FakeJob.bytes(7)),
            job: UniqueID(high: 0, low: 1))
    }

    private static func thread(patience: Duration, _ course: Course) throws -> ComputeThread {
        var behaviour = FakeBehaviour()
        behaviour.onRest = { course.note("rest") }
        let fake = behaviour
        return try ComputeThread(patience: patience, makeEngine: { FakeTasks(behaviour: fake) }) { report in
            switch report {
            case .ready: course.note("ready")
            case .computed: course.note("computed")
            default: break
            }
        }
    }

    @Test("it gives its memory back once, and works on when a task comes")
    func once() async throws {
        let course = Course()
        let thread = try Self.thread(patience: .milliseconds(20), course)
        defer { thread.stop() }
        #expect(try await course.first(2) == ["ready", "rest"])
        // Many times its patience: it does not rest again.
        try await Task.sleep(for: .milliseconds(300))
        #expect(course.all == ["ready", "rest"])
        thread.mailbox.post(.run([Self.piece(0)]))
        #expect(try await course.first(4) == ["ready", "rest", "computed", "rest"])
    }

    @Test("it keeps its memory while tasks come in time")
    func busy() async throws {
        let course = Course()
        let thread = try Self.thread(patience: .seconds(100), course)
        defer { thread.stop() }
        for index in 0..<3 {
            thread.mailbox.post(.run([Self.piece(index)]))
            _ = try await course.first(index + 2)
        }
        #expect(course.all == ["ready", "computed", "computed", "computed"])
    }
}
