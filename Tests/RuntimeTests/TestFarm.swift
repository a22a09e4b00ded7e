import Cluster
import Foundation
import Sentences
import Synchronization
import Testing

@testable import Runtime

/// A coordinator and workers in this process, over real sockets.
final class TestFarm: Sendable {
    let endpoint: String
    let coordinator: Coordinator
    private let workers = Mutex<[TestWorker]>([])
    /// The engines of clients' jobs.
    let engines = LiveEngines()

    /// Numbers that make faults visible in tenths of seconds.
    static var quickParameters: ClusterParameters {
        var parameters = ClusterParameters()
        parameters.terms.heartbeat = .milliseconds(100)
        parameters.terms.silence = .milliseconds(800)
        parameters.probe = .milliseconds(100)
        parameters.reconnectGrace = .milliseconds(200)
        parameters.lease = .milliseconds(1500)
        parameters.accept = .milliseconds(600)
        parameters.terms.acceptDelay = .milliseconds(50)
        parameters.terms.resend = .milliseconds(300)
        parameters.contextResend = .milliseconds(500)
        parameters.retryDelays = [.milliseconds(0), .milliseconds(20)]
        parameters.starvation = .milliseconds(1500)
        parameters.stragglerMinimumAge = .milliseconds(300)
        return parameters
    }

    static func uniqueEndpoint() -> String { "ipc://@patchloom-test-\(UUID().uuidString)" }

    init(
        endpoint: String = TestFarm.uniqueEndpoint(), joinToken: String? = nil,
        parameters: ClusterParameters = TestFarm.quickParameters, picture: (width: Int, height: Int)? = nil,
        change: (inout CoordinatorOptions) -> Void = { _ in }
    ) throws {
        self.endpoint = endpoint
        var options = CoordinatorOptions(endpoint: endpoint, models: [], joinToken: joinToken)
        options.parameters = parameters
        if ProcessInfo.processInfo.environment["PATCHLOOM_TEST_LOG"] != nil {
            options.log = { FileHandle.standardError.write(Data("coordinator: \($0)\n".utf8)) }
        }
        change(&options)
        coordinator = try Coordinator(options, factory: FakeFactory(engines: engines, picture: picture))
    }

    /// A free port of this machine.
    static func freePort() throws -> Int {
        for _ in 0..<100 {
            let port = Int.random(in: 20_000..<32_000)
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(port).bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            let isFree = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
            if isFree { return port }
        }
        throw RuntimeError(.unavailable, "No port is free.")
    }

    @discardableResult
    func addWorker(
        _ behaviour: FakeBehaviour = FakeBehaviour(), joinToken: String? = nil, group: Int = 1
    ) throws -> TestWorker {
        let worker = try TestWorker(endpoint: endpoint, behaviour: behaviour, joinToken: joinToken, group: group)
        workers.withLock { $0.append(worker) }
        return worker
    }

    /// Waits until `count` workers have joined: a task that failed on all that are there fails its job, even if another is
    /// about to join.
    func waitForWorkers(_ count: Int) async throws {
        while coordinator.workerCount < count { try await Task.sleep(for: .milliseconds(5)) }
    }

    func stop() {
        for worker in workers.withLock({ $0 }) { worker.stop() }
        coordinator.shutdown()
    }

    /// Runs a job and returns its last event, and all events before.
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

extension RenderJob {
    /// Waits for the picture. Throws the error of a job that fails.
    func result() async throws -> RenderResult {
        for await event in events {
            if case .finished(let result) = event { return result }
            if case .failed(let error) = event { throw error }
        }
        throw RuntimeError(.internalFault, "The events are over, and none of them was the last.")
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
