import ContentHash
import Foundation
import ImageFiles
import Sentences
import TestSupport
import Testing
import Weights

@testable import Rendering
@testable import Runtime

/// Pictures with LoRA files through coordinator, sockets and workers: each side finds the files in folders of its own.
@Suite("LoRA files on a farm", .serialized)
struct LoRAOnFarmTests {
    /// Three folders with the same files under other names and in other places.
    private final class Folders {
        let base = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-farm-\(UUID().uuidString)")
        var coordinator: String { base.appendingPathComponent("coordinator").path }
        var worker: String { base.appendingPathComponent("worker").path }
        var empty: String { base.appendingPathComponent("empty").path }

        init() throws {
            for folder in [coordinator, worker + "/deep", empty] {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            }
            try EmbeddedLoRA.write(coordinator + "/ink.safetensors", seed: 1, text: true)
            try EmbeddedLoRA.write(coordinator + "/wash.safetensors", seed: 2)
            try FileManager.default.copyItem(atPath: coordinator + "/ink.safetensors", toPath: worker + "/deep/a.safetensors")
            try FileManager.default.copyItem(atPath: coordinator + "/wash.safetensors", toPath: worker + "/b.safetensors")
        }

        deinit { try? FileManager.default.removeItem(at: base) }
    }

    private static func request(_ change: (inout RenderRequest) -> Void = { _ in }) -> RenderRequest {
        var request = RenderRequest()
        request.prompt = "a red apple <lora:wash:0.5>"
        request.width = 256
        request.height = 128
        request.steps = 2
        request.method = .cut
        request.loras = [LoRASelection(name: "ink", scale: 0.8)]
        change(&request)
        return request
    }

    /// A coordinator with its folder, and a worker for each folder given.
    private static func farm(_ folders: Folders, workers: [String]) throws -> (Coordinator, [InProcessWorker], endpoint: String)
    {
        let endpoint = TestFarm.uniqueEndpoint()
        var options = CoordinatorOptions(endpoint: endpoint, models: [.embeddedModel])
        options.loras = try LoRALibrary(folders: [folders.coordinator])
        let coordinator = try Coordinator.start(options)
        let farm = try workers.map { folder in
            var options = WorkerOptions(endpoint: endpoint, models: [.embeddedModel], threads: 1, name: "test")
            options.loras = try LoRALibrary(folders: [folder])
            return try InProcessWorker(rendering: options)
        }
        return (coordinator, farm, endpoint)
    }

    private static func render(_ request: RenderRequest, _ folders: Folders, workers: [String]) async throws -> RenderResult {
        let (coordinator, farm, _) = try farm(folders, workers: workers)
        defer {
            for worker in farm { worker.terminate() }
            coordinator.shutdown()
        }
        // A job fails if all present workers lack a file, so all must be present.
        while coordinator.workerCount < workers.count { try await Task.sleep(for: .milliseconds(10)) }
        return try await coordinator.submit(request).result()
    }

    /// The picture of one worker, rendered once for all tests.
    private static let reference = Task {
        let folders = try Folders()
        return try await ImageDecoder.decode(render(request(), folders, workers: [folders.worker]).png)
    }

    @Test("the same pixels from one and three workers, and others than without the files")
    func sameBytes() async throws {
        let folders = try Folders()
        let one = try await Self.reference.value
        let workers = Array(repeating: folders.worker, count: 3)
        let other = try await Self.render(Self.request(), folders, workers: workers)
        #expect(try ImageDecoder.decode(other.png).pixels == one.pixels)
        let plain = Self.request {
            $0.prompt = "a red apple "
            $0.loras = []
        }
        let without = try await ImageDecoder.decode(Self.render(plain, folders, workers: [folders.worker]).png)
        #expect((without.pixels == one.pixels) == false)
        #expect(one.text("parameters")?.contains("Lora hashes: \"ink: ") == true)
        #expect(one.text("parameters")?.hasPrefix("a red apple <lora:wash:0.5> <lora:ink:0.8>\n") == true)
    }

    @Test("a client names files that the coordinator has")
    func submit() async throws {
        let folders = try Folders()
        let (coordinator, farm, endpoint) = try Self.farm(folders, workers: [folders.worker])
        defer {
            for worker in farm { worker.terminate() }
            coordinator.shutdown()
        }
        let request = Self.request()
        let result = try await Blocking.run { () throws(RuntimeError) -> RenderResult in
            try SubmitClient.render(coordinator: endpoint, request: request)
        }
        #expect(try await ImageDecoder.decode(result.png).pixels == Self.reference.value.pixels)
        for (change, code, mentions): ((inout RenderRequest) -> Void, RuntimeError.Code, String) in [
            ({ $0.loras = [LoRASelection(name: "pen")] }, .notFound, "pen.safetensors"),
            ({ $0.loras = [LoRASelection(name: "../worker/b")] }, .usage, "../worker/b"),
            ({ $0.negativePrompt = "<lora:ink:1>" }, .usage, "<lora:"),
        ] {
            var bad = request
            change(&bad)
            let asked = bad
            let error = await #expect(throws: RuntimeError.self) {
                try await Blocking.run { () throws(RuntimeError) in
                    try SubmitClient.render(coordinator: endpoint, request: asked)
                }
            }
            #expect(error?.code == code && error?.message.contains(mentions) == true, "\(String(describing: error))")
        }
    }

    /// No worker has the file: the job ends, and its message names the file and the remedy.
    @Test("a job whose file no worker has fails with the file's hash and the remedy")
    func missingFile() async throws {
        let folders = try Folders()
        let error = await #expect(throws: RuntimeError.self) {
            _ = try await Self.render(Self.request(), folders, workers: [folders.empty])
        }
        let hash = try LoRALibrary(folders: [folders.coordinator]).file(named: "ink").digest.hex
        #expect(error?.message.contains(hash) == true, "\(String(describing: error))")
        #expect(error?.sentence.settings.contains(.loraModelDir) == true, "\(String(describing: error))")
    }

    /// One of two workers has the files: it makes the picture.
    @Test("a worker without the file is passed over")
    func oneWorkerLacksTheFile() async throws {
        let folders = try Folders()
        let both = try await Self.render(Self.request(), folders, workers: [folders.empty, folders.worker])
        #expect(try await ImageDecoder.decode(both.png).pixels == Self.reference.value.pixels)
    }
}
