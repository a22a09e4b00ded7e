import Cluster
import Foundation
import Testing

/// The tests run one after another on a thread of their own, so that they do not starve tests with real clocks beside them.
@Suite("Simulated clusters", .serialized)
struct SimulationTests {
    static let batches = Array(0..<UInt64(6))

    /// Runs 10 seeds of one kind of world, and demands that every job ends with every result in its place.
    ///
    /// - Returns: how many calls workers stopped.
    @discardableResult
    func run(_ batch: UInt64, workers: Int, _ weather: Weather, slots: [Int] = [1]) async -> Int {
        var stoppedCalls = 0
        for seed in batch * 10..<batch * 10 + 10 {
            let simulation = await withCheckedContinuation { continuation in
                Thread.detachNewThread {
                    var simulation = Simulation(seed: seed, workers: workers, weather: weather, slots: slots)
                    simulation.submit(JobID(1), barriers: [1, 7, 9, 4])
                    simulation.submit(JobID(2), barriers: [3, 5])
                    simulation.run(seconds: 3600)
                    continuation.resume(returning: simulation)
                }
            }
            #expect(simulation.broken.isEmpty, "seed \(seed): \(simulation.broken)")
            #expect(simulation.failed.isEmpty, "seed \(seed): \(simulation.failed)")
            #expect(simulation.finished == [JobID(1), JobID(2)], "seed \(seed) did not end")
            stoppedCalls += simulation.stoppedCalls
        }
        return stoppedCalls
    }

    @Test("calm", arguments: batches)
    func calm(_ batch: UInt64) async { await run(batch, workers: 3, Weather()) }

    @Test("lost, doubled and late messages", arguments: batches)
    func rain(_ batch: UInt64) async {
        await run(batch, workers: 3, Weather(dropPercent: 5, duplicatePercent: 5, reorderPercent: 20))
    }

    @Test("crashes", arguments: batches)
    func crashes(_ batch: UInt64) async { await run(batch, workers: 4, Weather(crashes: 6)) }

    @Test("stopped links", arguments: batches)
    func clogs(_ batch: UInt64) async { await run(batch, workers: 3, Weather(clogs: 8)) }

    @Test("everything at once", arguments: batches)
    func storm(_ batch: UInt64) async {
        await run(
            batch, workers: 5,
            Weather(dropPercent: 3, duplicatePercent: 3, reorderPercent: 10, crashes: 4, clogs: 4, failPercent: 3))
    }

    @Test("slow calls that other workers overtake are stopped", arguments: batches)
    func slowCalls(_ batch: UInt64) async {
        let stoppedCalls = await run(batch, workers: 4, Weather(dropPercent: 3, slowPercent: 10), slots: [1, 3])
        #expect(stoppedCalls > 0)
    }

    @Test("everything at once, with workers that compute groups", arguments: batches)
    func groupsInStorm(_ batch: UInt64) async {
        await run(
            batch, workers: 4,
            Weather(dropPercent: 3, duplicatePercent: 3, reorderPercent: 10, crashes: 4, clogs: 4, failPercent: 3, drains: 2),
            slots: [8, 1, 3])
    }

    @Test("workers whose groups shrink and grow lose and double nothing", arguments: batches)
    func changingGroups(_ batch: UInt64) async {
        await run(
            batch, workers: 4,
            Weather(
                dropPercent: 3, duplicatePercent: 3, reorderPercent: 10, crashes: 2, clogs: 2, failPercent: 3, drains: 4,
                changesGroups: true),
            slots: [8, 2, 5])
    }

    @Test("workers of two classes that drain, crash and come back never mix in one job", arguments: batches)
    func classes(_ batch: UInt64) async {
        for seed in batch * 10..<batch * 10 + 10 {
            let simulation = await withCheckedContinuation { continuation in
                Thread.detachNewThread {
                    var simulation = Simulation(
                        seed: seed, workers: 2, weather: Weather(dropPercent: 3, crashes: 2, clogs: 2, drains: 3),
                        classes: ["a", "b"])
                    simulation.submit(JobID(1), barriers: [6, 9, 4])
                    simulation.submit(JobID(2), barriers: [3, 5])
                    simulation.run(seconds: 3600)
                    continuation.resume(returning: simulation)
                }
            }
            #expect(simulation.broken.isEmpty, "seed \(seed): \(simulation.broken)")
            #expect(simulation.finished.count + simulation.failed.count == 2, "seed \(seed) did not end")
            // A job may say that its first class is gone, and nothing else.
            for failure in simulation.failed.values {
                guard case .starved = failure else {
                    Issue.record("seed \(seed): \(failure)")
                    continue
                }
            }
        }
    }

    @Test("a calm world needs one lease a task, and the same events give the same leases")
    func economy() {
        var counts: [Int] = []
        for _ in 0..<2 {
            var simulation = Simulation(seed: 7, workers: 2, weather: Weather())
            simulation.submit(JobID(1), barriers: [9, 9, 9])
            simulation.run(seconds: 60)
            #expect(simulation.finished == [JobID(1)])
            counts.append(simulation.leasesGranted)
        }
        #expect(counts == [27, 27])
    }

    @Test("in a calm world groups are as large as a worker's share, and cost no lease more")
    func groups() {
        var simulation = Simulation(seed: 7, workers: 2, weather: Weather(), slots: [8])
        simulation.submit(JobID(1), barriers: [9, 49])
        simulation.run(seconds: 60)
        #expect(simulation.finished == [JobID(1)])
        #expect(simulation.leasesGranted == 58)
        #expect(simulation.largestGroup == 8)
    }
}
