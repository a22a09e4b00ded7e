import Foundation
import Testing

@testable import Runtime

/// The views of very large pictures are tens of thousands of tasks.
@Suite("Large barriers")
struct LargeBarrierTests {
    /// Seconds of a barrier of `tasks` tasks, for each task.
    private func secondsPerTask(_ tasks: Int) async throws -> Double {
        let farm = try TestFarm()
        defer { farm.stop() }
        for _ in 0..<2 { try farm.addWorker(group: 64) }
        try await farm.waitForWorkers(2)
        let start = ContinuousClock.now
        var job = FakeJob(barriers: [tasks], seed: 3)
        job.takesEach = true
        let outcome = await TestFarm.follow(try farm.coordinator.submit(job))
        #expect(outcome.last.parameters == FakeJob.expectedParameters(barriers: [tasks], seed: 3))
        return start.duration(to: .now) / .seconds(1) / Double(tasks)
    }

    /// With work that grew with the square, sixteen times as many tasks would take sixteen times as long each. Other tests run
    /// at the same time, so the limit is wide.
    @Test("the work for a task does not grow with their number")
    func workIsLinear() async throws {
        let (few, many) = (try await secondsPerTask(1000), try await secondsPerTask(16_000))
        #expect(many < 4 * few, "\(few * 1e6) and \(many * 1e6) µs")
    }
}
