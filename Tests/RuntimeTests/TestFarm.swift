import Cluster
import Foundation
import Runtime
import Synchronization
import Testing

/// A coordinator and workers in this process, over real sockets.
final class TestFarm: Sendable {
    let endpoint: String
    let coordinator: Coordinator
    private let workers = Mutex<[TestWorker]>([])

    /// Numbers that make faults visible in tenths of seconds.
    static var quickParameters: ClusterParameters {
        var parameters = ClusterParameters()
        parameters.heartbeat = .milliseconds(100)
        parameters.silence = .milliseconds(800)
        parameters.probe = .milliseconds(100)
        parameters.reconnectGrace = .milliseconds(200)
        parameters.lease = .milliseconds(1500)
        parameters.accept = .milliseconds(600)
        parameters.acceptDelay = .milliseconds(50)
        parameters.resend = .milliseconds(300)
        parameters.contextResend = .milliseconds(500)
        parameters.retryDelays = [.milliseconds(0), .milliseconds(20)]
        parameters.starvation = .milliseconds(1500)
        parameters.stragglerMinimumAge = .milliseconds(300)
        return parameters
    }

    static func uniqueEndpoint() -> String { "ipc://@patchloom-test-\(UUID().uuidString)" }

    init(
        endpoint: String = TestFarm.uniqueEndpoint(), joinToken: String? = nil,
        parameters: ClusterParameters = TestFarm.quickParameters
    ) throws {
        self.endpoint = endpoint
        var options = CoordinatorOptions(endpoint: endpoint, models: [], joinToken: joinToken)
        options.parameters = parameters
        if ProcessInfo.processInfo.environment["PATCHLOOM_TEST_LOG"] != nil {
            options.log = { FileHandle.standardError.write(Data("coordinator: \($0)\n".utf8)) }
        }
        coordinator = try Coordinator.start(options, factory: FakeFactory())
    }

    @discardableResult
    func addWorker(_ behaviour: FakeBehaviour = FakeBehaviour(), joinToken: String? = nil) throws -> TestWorker {
        let worker = try TestWorker(endpoint: endpoint, behaviour: behaviour, joinToken: joinToken)
        workers.withLock { $0.append(worker) }
        return worker
    }

    func stop() {
        for worker in workers.withLock({ $0 }) { worker.stop() }
        coordinator.shutdown()
    }

    /// Runs a job and gives its last event, and all events before.
    func run(_ barriers: [Int], seed: UInt64 = 1) async throws -> (last: JobEvent, all: [JobEvent]) {
        let job = try coordinator.submit(FakeJob(barriers: barriers, seed: seed))
        return await TestFarm.follow(job)
    }

    static func follow(_ job: RenderJob) async -> (last: JobEvent, all: [JobEvent]) {
        var all: [JobEvent] = []
        for await event in job.events { all.append(event) }
        return (all.last ?? .waiting("nothing happened"), all)
    }
}

extension JobEvent {
    var parameters: String? {
        if case .finished(let result) = self { return result.parameters }
        return nil
    }

    var error: RuntimeError? {
        if case .failed(let error) = self { return error }
        return nil
    }
}
