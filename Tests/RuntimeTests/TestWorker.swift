import Cluster
import Foundation

@testable import Runtime

/// A fake worker on threads of the test process.
final class TestWorker: Sendable {
    private let worker: InProcessWorker

    init(
        endpoint: String, behaviour: FakeBehaviour = FakeBehaviour(), joinToken: String? = nil, lifelineFD: Int32? = nil,
        group: Int = 1
    ) throws {
        var options = WorkerOptions(
            endpoint: endpoint, models: [], threads: 1, joinToken: joinToken, lifelineFD: lifelineFD, name: "fake")
        options.group = group
        options.parameters.helloFirst = .milliseconds(50)
        options.parameters.helloLast = .milliseconds(200)
        options.parameters.drainGrace = .seconds(2)
        if ProcessInfo.processInfo.environment["PATCHLOOM_TEST_LOG"] != nil {
            options.log = { FileHandle.standardError.write(Data("worker: \($0)\n".utf8)) }
        }
        worker = try InProcessWorker(options) { () throws(RuntimeError) -> any TaskEngine in FakeTasks(behaviour: behaviour) }
    }

    @discardableResult
    func stop() -> WorkerLoop.Ending {
        worker.terminate()
        return worker.wait()
    }

    /// Asks it to end, and does not wait.
    func terminate() { worker.terminate() }

    func wait() -> WorkerLoop.Ending { worker.wait() }
}
