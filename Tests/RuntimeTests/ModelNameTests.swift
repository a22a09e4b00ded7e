import ContentHash
import Foundation
import Rendering
import Sentences
import TestSupport
import Testing
import Weights

@testable import Runtime

/// Jobs that name their model.
@Suite("Models by name", .serialized)
struct ModelNameTests {
    /// The embedded model, and another model with the same weights.
    private static func models() throws -> [ModelSource] {
        [.embeddedModel, try ModelSource.embeddedModel.adjusted(vae: nil, prediction: .epsilon)]
    }

    private static var request: RenderRequest {
        var request = RenderRequest()
        request.prompt = "a red apple"
        request.width = 128
        request.height = 128
        request.steps = 1
        return request
    }

    private static func picture(_ coordinator: Coordinator, _ model: String?) async throws -> RenderResult {
        try await coordinator.submit(request, model: model).result()
    }

    @Test("a job gets the model whose identity, digits or stored name it gives")
    func found() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-names-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let store = ModelStore(folder: folder.path)
        var choice = ModelChoice(path: Fixtures.embeddedModel.path)
        choice.prediction = .epsilon
        let stored = try store.importModel(choice, name: "other")

        let endpoint = TestFarm.uniqueEndpoint()
        var options = CoordinatorOptions(endpoint: endpoint, models: try Self.models())
        options.store = store
        let coordinator = try Coordinator.start(options)
        let worker = try InProcessWorker(
            rendering: WorkerOptions(endpoint: endpoint, models: Self.models(), threads: 1, name: "test"))
        defer {
            worker.terminate()
            coordinator.shutdown()
        }
        let identities = try Self.models().map { try $0.identity().hex }
        #expect(identities[1] == stored.identity.hex)
        let first = try await Self.picture(coordinator, nil)
        let second = try await Self.picture(coordinator, identities[1])
        #expect(first.png != second.png)
        #expect(try await Self.picture(coordinator, String(identities[0].prefix(8))).png == first.png)
        #expect(try await Self.picture(coordinator, "sha256:\(identities[1].prefix(20))").png == second.png)
        #expect(try await Self.picture(coordinator, "other").png == second.png)
        let request = Self.request
        let submitted = try await Blocking.run { () throws(RuntimeError) in
            try SubmitClient.render(coordinator: endpoint, request: request, model: "other")
        }
        #expect(submitted.png == second.png)
    }

    @Test("a name that stands for nothing is refused in one sentence that lists what there is")
    func unknown() async throws {
        let endpoint = TestFarm.uniqueEndpoint()
        let coordinator = try Coordinator.start(CoordinatorOptions(endpoint: endpoint, models: [.embeddedModel]))
        defer { coordinator.shutdown() }
        let identity = try ModelSource.embeddedModel.identity().hex
        for name in ["nobody", "", "sha256:", String(identity.prefix(7)), identity + "0", "a\nb", "deadbeefdeadbeef"] {
            let error = #expect(throws: RuntimeError.self) { try coordinator.submit(Self.request, model: name) }
            #expect(error?.code == .notFound && error?.message.contains("openmoji-24") == true, "\(name)")
            #expect(error?.message.contains("\n") == false && error?.message.hasSuffix(".") == true)
        }
        let request = Self.request
        let error = await #expect(throws: RuntimeError.self) {
            try await Blocking.run { () throws(RuntimeError) in
                try SubmitClient.render(coordinator: endpoint, request: request, model: "nobody")
            }
        }
        #expect(error?.code == .notFound && error?.message.contains("openmoji-24") == true)
    }
}
