import Foundation
import ImageFiles
import Rendering
import Sentences
import StrictJSON
import Testing
import Weights

@testable import Runtime

/// Pictures of the embedded model through coordinator, sockets and workers.
@Suite("Rendering on a farm", .serialized)
struct RenderOnFarmTests {
    /// Two patches, then three views: small, and each of three workers gets tasks.
    static func request() -> RenderRequest {
        var request = RenderRequest()
        request.prompt = "a red apple on a blue background"
        request.width = 256
        request.height = 128
        request.steps = 2
        request.seed = 11
        request.method = .cut
        return request
    }

    static func options(
        _ endpoint: String, threads: Int = 1, group: Int = WorkerOptions.usualGroup
    ) -> WorkerOptions {
        var options = WorkerOptions(endpoint: endpoint, models: [.embeddedModel], threads: threads, name: "test")
        options.group = group
        return options
    }

    /// Renders with `workers` workers of this process.
    static func render(
        _ request: RenderRequest = request(), workers: Int, threads: Int = 1, group: Int = WorkerOptions.usualGroup
    ) async throws -> RenderResult {
        let endpoint = TestFarm.uniqueEndpoint()
        let coordinator = try Coordinator.start(CoordinatorOptions(endpoint: endpoint, models: [.embeddedModel]))
        let farm = try (0..<workers).map { _ in
            try InProcessWorker(rendering: options(endpoint, threads: threads, group: group))
        }
        defer {
            for worker in farm { worker.terminate() }
            coordinator.shutdown()
        }
        return try await coordinator.submit(request).result()
    }

    /// The picture of one worker with one thread, rendered once for all tests.
    private static let reference = Task { try await render(workers: 1) }

    @Test("the same pixels from one, two and three workers, from one and two threads, from groups and single tasks")
    func sameBytes() async throws {
        let first = try await Self.reference.value
        let pixels = try ImageDecoder.decode(first.png)
        #expect(pixels.width == 256 && pixels.height == 128)
        #expect(Set(pixels.pixels).count > 16, "the picture is nearly one colour")
        for (workers, threads, group) in [(2, 2, 8), (3, 1, 3), (1, 1, 1)] {
            let other = try await Self.render(workers: workers, threads: threads, group: group)
            #expect(try ImageDecoder.decode(other.png).pixels == pixels.pixels)
            #expect(other.counts.phases == first.counts.phases)
        }
        #expect(first.counts.phases.map(\.name) == first.timings.phases.map(\.name))
        #expect(first.counts.phases.allSatisfy { $0.operations > 1_000_000 })
        #expect(first.counts.workerPeakActivationBytes > 0)
        #expect(first.counts.workerPeakBytes > first.counts.workerPeakActivationBytes)
        #expect(first.timings.phases.map(\.name) == ["encode", "structure", "detail", "decode"])
        #expect(pixels.text("parameters") == first.parameters)
        let details = try JSONValue(parsing: Array((pixels.text("patchloom") ?? "").utf8), limits: .config)
        #expect(details["numerics_class"]?.stringValue?.isEmpty == false)
    }

    @Test("a client of another process gets the same picture, with events")
    func submit() async throws {
        let endpoint = TestFarm.uniqueEndpoint()
        let coordinator = try Coordinator.start(CoordinatorOptions(endpoint: endpoint, models: [.embeddedModel]))
        let worker = try InProcessWorker(rendering: Self.options(endpoint))
        defer {
            worker.terminate()
            coordinator.shutdown()
        }
        let request = Self.request()
        let (result, events) = try await Blocking.run { () throws(RuntimeError) -> (RenderResult, [JobEvent]) in
            var events: [JobEvent] = []
            let result = try SubmitClient.render(coordinator: endpoint, request: request, onEvent: { events.append($0) })
            return (result, events)
        }
        #expect(events.first == .queued(position: 0))
        #expect(events.last == .finished(result))
        #expect(try await ImageDecoder.decode(Self.reference.value.png).pixels == ImageDecoder.decode(result.png).pixels)
    }

    @Test("a request that the method cannot do is refused in one sentence")
    func refused() async throws {
        let endpoint = TestFarm.uniqueEndpoint()
        let coordinator = try Coordinator.start(CoordinatorOptions(endpoint: endpoint, models: [.embeddedModel]))
        defer { coordinator.shutdown() }
        var bad = Self.request()
        bad.width = 100
        let local = #expect(throws: RuntimeError.self) { try coordinator.submit(bad) }
        #expect(local?.code == .usage)
        let request = bad
        let error = await #expect(throws: RuntimeError.self) {
            try await Blocking.run { () throws(RuntimeError) in try SubmitClient.render(coordinator: endpoint, request: request)
            }
        }
        #expect(error == local)
    }
}
