import Cluster
import Messages
import Places
import Sentences
import StrictJSON
import Synchronization
import Testing

@testable import Runtime

/// Outputs that a job thread takes one by one, in every order of refusals and completions.
@Suite("Outputs that are taken one by one")
struct TakenOutputTests {
    /// The reports of the threads, and a wait for the next one.
    private final class Reports: Sendable {
        private let queue = Mutex<[JobThreads.Report]>([])

        func add(_ report: JobThreads.Report) { queue.withLock { $0.append(report) } }

        func next() async throws -> JobThreads.Report {
            for _ in 0..<1000 {
                if let report = queue.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { return report }
                try await Task.sleep(for: .milliseconds(5))
            }
            throw RuntimeError(.internalFault, "no report came")
        }

        var isEmpty: Bool { queue.withLock(\.isEmpty) }
    }

    private func output(_ index: Int, _ job: FakeJob, as claimed: Int? = nil) -> EncodedPart {
        EncodedPart(
            metadata: ["index": .integer(Int64(claimed ?? index))],
            payload: FakeJob.bytes(FakeTasks.compute(FakeJob.mix(job.seed, UInt64(index)))))
    }

    @Test("a refused output is waited for, however often the barrier seems complete")
    func refusals() async throws {
        let reports = Reports()
        let threads = try JobThreads(factory: FakeFactory(), report: { reports.add($0) })
        defer { threads.stop() }
        var job = FakeJob(barriers: [2], seed: 7)
        job.takesEach = true
        let id = JobID(1)
        threads.post(.begin(job), of: id)
        guard case .planned = try await reports.next(), case .barrier = try await reports.next() else {
            Issue.record("the job did not begin")
            return
        }
        threads.post(.take(serial: 0, index: 1, output(1, job)), of: id)
        threads.post(.take(serial: 0, index: 0, output(0, job, as: 1)), of: id)
        threads.post(.complete(serial: 0, [], numericsClass: "fake"), of: id)
        // An output of another barrier: nobody wants it.
        threads.post(.take(serial: 3, index: 0, output(0, job)), of: id)
        guard case .took = try await reports.next(), case .rejected(_, 0, 0, _, _) = try await reports.next() else {
            Issue.record("a wrong output was taken")
            return
        }
        try await Task.sleep(for: .milliseconds(50))
        #expect(reports.isEmpty)
        threads.post(.take(serial: 0, index: 0, output(0, job)), of: id)
        threads.post(.complete(serial: 0, [], numericsClass: "fake"), of: id)
        guard case .took = try await reports.next(), case .finished(_, let result, _) = try await reports.next() else {
            Issue.record("the job did not finish")
            return
        }
        #expect(result.parameters == FakeJob.expectedParameters(barriers: [2], seed: 7))
    }

    /// A canvas that changes at each merge. It stays in its place if nobody holds a copy of the engine.
    private struct CanvasJob: JobEngine {
        var canvas = [Float](repeating: 1, count: 4096)
        let places: Places

        final class Places: Sendable { let all = Mutex<Set<UInt>>([]) }

        var plan: JobOutline { JobOutline(summaryLines: [], taskCount: 4) }
        var model: String { FakeJob.modelIdentity }
        var precision: String? { nil }

        private mutating func change() -> EngineBarrier {
            canvas[0] += 1
            let place = canvas.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) }
            places.all.withLock { _ = $0.insert(place) }
            return EngineBarrier(
                place: Place(phase: "denoise"), phaseNumber: 0, tasks: [], contextHash: FakeJob.modelIdentity,
                context: EncodedPart(metadata: [:], payload: []))
        }

        mutating func start() throws(EngineError) -> EngineBarrier { change() }
        mutating func take(_: EncodedPart, of _: Int) throws(EngineError) { _ = change() }
        mutating func complete(_ outputs: [EncodedPart]) throws(EngineError) -> EngineOutcome {
            if !outputs.isEmpty { throw .rejected(index: 0, Failure(.payload, "it is wrong")) }
            return .barrier(change())
        }
    }

    @Test("a job thread changes its engine in place: a copy would hold a second canvas")
    func noCopy() async throws {
        let reports = Reports()
        let threads = try JobThreads(factory: FakeFactory(), report: { reports.add($0) })
        defer { threads.stop() }
        let job = CanvasJob(places: CanvasJob.Places())
        threads.post(.begin(job), of: JobID(1))
        _ = try await (reports.next(), reports.next())
        let first = job.places.all.withLock { $0 }
        #expect(first.count == 1)
        // The caller's own copy may force one copy at the start, and nothing later does.
        for serial in 0..<6 {
            threads.post(.take(serial: serial, index: 0, EncodedPart(metadata: [:], payload: [])), of: JobID(1))
            if serial == 3 {
                let wrong = [EncodedPart(metadata: ["wrong": 1], payload: [])]
                threads.post(.complete(serial: serial, wrong, numericsClass: "fake"), of: JobID(1))
            }
            threads.post(.complete(serial: serial, [], numericsClass: "fake"), of: JobID(1))
            guard case .took = try await reports.next() else {
                Issue.record("an output was not taken")
                return
            }
            if serial == 3 {
                guard case .rejected = try await reports.next() else {
                    Issue.record("a wrong output was merged")
                    return
                }
            }
            guard case .barrier(_, serial + 1, _, _) = try await reports.next() else {
                Issue.record("the barrier was not completed")
                return
            }
        }
        #expect(job.places.all.withLock { $0 } == first)
    }
}
