import Cluster
import ContentHash
import Messages
import Rendering
import Sentences
import TensorCore
import TestSupport
import Testing
import Weights
import ZMQSockets

@testable import Runtime

/// A coordinator refuses a job that none of its workers has memory for, and keeps its tasks from workers that are too small.
@Suite struct JobMemoryTests {
    private static let model = Result { try ModelDescription(source: .embeddedModel) }

    private static func worker(_ bytes: Int, _ precisions: [String] = ["f32"], model: String? = nil) throws -> WorkerProfile {
        WorkerProfile(
            worker: PeerID(high: 0, low: 1), instance: PeerID(high: 0, low: 1), numericsClass: "x",
            models: [try model ?? Self.model.get().identity.hex], precisions: precisions, memoryBytes: bytes)
    }

    /// A picture whose decode in one tile needs some hundred MiB.
    private static func request(_ change: (inout RenderRequest) -> Void = { _ in }) -> RenderRequest {
        var request = RenderRequest()
        (request.prompt, request.steps, request.width, request.height) = ("x", 2, 1024, 1024)
        (request.method, request.precision) = (.cut, .f32)
        change(&request)
        return request
    }

    private static func asked(_ request: RenderRequest, _ workers: [WorkerProfile]) throws -> WorkerNeeds {
        let options = CoordinatorOptions(endpoint: "", models: [.embeddedModel])
        return try RenderEngineFactory(options).makeEngine(request, model: nil).needs(of: workers)
    }

    private static func refusal(_ request: RenderRequest, _ workers: [WorkerProfile]) -> RuntimeError? {
        do { _ = try asked(request, workers) } catch { return error as? RuntimeError }
        return nil
    }

    /// What the job needs in f32.
    private static func least(_ request: RenderRequest) throws -> Int {
        try #require(try asked(request, []).memory["f32"])
    }

    @Test func aJobIsRefusedIfItFitsNoWorker() throws {
        try needs(ComputeContext.canRehearse, "a rehearsal")
        let least = try Self.least(Self.request())
        #expect(least > 100 << 20)
        let error = try #require(Self.refusal(Self.request(), [try Self.worker(least / 2), try Self.worker(least - 1)]))
        #expect(error.code == .temporary, "\(error)")
        #expect(error.sentence.settings == [.vaeTileSize], "\(error)")
        let amounts = [Amounts.bytes(least), Amounts.bytes(least - 1), "the largest of 2 workers"]
        #expect(amounts.allSatisfy { error.message.contains($0) }, "\(error)")
        // The remedy is enough.
        let small = Self.request { $0.vaeTileSize = 256 }
        #expect(Self.refusal(small, [try Self.worker(least / 2), try Self.worker(least - 1)]) == nil)
        // No setting is enough.
        let hopeless = try #require(Self.refusal(Self.request(), [try Self.worker(1 << 20)]))
        #expect(hopeless.sentence.settings.isEmpty && hopeless.code == .temporary, "\(hopeless)")
    }

    @Test func aWorkerThatIsLargeEnoughOrUnknownTakesTheJob() throws {
        try needs(ComputeContext.canRehearse, "a rehearsal")
        let least = try Self.least(Self.request())
        let mixed = try Self.asked(Self.request(), [try Self.worker(least - 1), try Self.worker(least)])
        #expect(mixed.memory == ["f32": least])
        #expect(try Self.asked(Self.request(), [try Self.worker(least - 1), try Self.worker(0)]).memory == ["f32": least])
        // No call of the render is gone through.
        #expect(try Self.asked(Self.request(), [try Self.worker(1 << 40)]).memory.isEmpty)
        #expect(try Self.asked(Self.request(), [try Self.worker(0)]).memory.isEmpty)
        // Workers of another model or precision cannot take it, however large. It waits.
        let strangers = [try Self.worker(1, model: "other"), try Self.worker(1, ["bf16"])]
        #expect(try Self.asked(Self.request(), strangers).memory == ["f32": least])
    }

    @Test func theLeastIsThatOfThePrecision() throws {
        try needs(ComputeContext.canRehearse, "a rehearsal")
        try needs((try? PrecisionChoice.bf16.resolved(.auto)) != nil, "bf16")
        let request = Self.request { $0.precision = .auto }
        let memory = try Self.asked(request, []).memory
        let (wide, narrow) = (try #require(memory["f32"]), try #require(memory["bf16"]))
        #expect(narrow < wide)
        #expect(Self.refusal(request, [try Self.worker(narrow, ["bf16"])]) == nil)
        #expect(Self.refusal(request, [try Self.worker(wide - 1), try Self.worker(narrow - 1, ["bf16"])]) != nil)
        // bf16 is a remedy where a worker computes in it.
        let tight = try Self.least(Self.request { $0.vaeTileSize = 256 }) - 1
        let asked = Self.request()
        let alone = try #require(Self.refusal(asked, [try Self.worker(tight)]))
        #expect(!alone.sentence.settings.contains(.precision), "\(alone)")
        let beside = try #require(Self.refusal(asked, [try Self.worker(tight), try Self.worker(tight, ["bf16"])]))
        #expect(beside.sentence.settings == [.vaeTileSize, .precision], "\(beside)")
    }

    /// The bound tells whether to go through a render. It is never below the need, whatever the tiles.
    @Test(
        arguments: [
            (512, RenderMethod.cut, nil, VAETiling.exact), (2048, .cut, 2048, .exact), (2048, .direct, 2048, .exact),
            (1536, .hires, 1024, .blend), (1024, .multidiffusion, 64, .exact), (4096, .cut, 4096, .exact),
        ] as [(Int, RenderMethod, Int?, VAETiling)])
    func theBoundIsAboveTheNeed(_ side: Int, _ method: RenderMethod, _ tile: Int?, _ tiling: VAETiling) throws {
        try needs(ComputeContext.canRehearse, "a rehearsal")
        let request = Self.request {
            ($0.width, $0.height, $0.method, $0.vaeTileSize, $0.vaeTiling) = (side, side, method, tile, tiling)
        }
        let machine = try RenderMachine(request: request, model: Self.model.get())
        let (bound, least) = (machine.mostMemory(weightBytes: 0), try Self.least(request))
        #expect(bound >= least, "\(bound) for \(least)")
    }

    @Test(arguments: [1, 1 << 20, Int.max]) func anyNumberInHELLOIsTaken(_ bytes: Int) throws {
        try needs(ComputeContext.canRehearse, "a rehearsal")
        let error = Self.refusal(Self.request(), [try Self.worker(bytes)])
        #expect((error == nil) == (bytes == .max))
    }

    @Test func theClientIsToldBeforeAnythingStarts() async throws {
        try needs(ComputeContext.canRehearse, "a rehearsal")
        let endpoint = TestFarm.uniqueEndpoint()
        let coordinator = try Coordinator.start(CoordinatorOptions(endpoint: endpoint, models: [.embeddedModel]))
        var options = RenderOnFarmTests.options(endpoint)
        options.memoryBytes = 20 << 20
        let worker = try InProcessWorker(rendering: options)
        defer {
            worker.terminate()
            coordinator.shutdown()
        }
        while coordinator.workerCount < 1 { try await Task.sleep(for: .milliseconds(5)) }
        let error = await #expect(throws: RuntimeError.self) {
            try await Blocking.run { () throws(RuntimeError) in
                try SubmitClient.render(coordinator: endpoint, request: RenderOnFarmTests.request()) { event in
                    if case .started = event { Issue.record("the job began") }
                }
            }
        }
        #expect(error?.code == .temporary && error?.message.contains("20 MiB") == true, "\(String(describing: error))")
    }

    /// HELLO as it is on the wire.
    @Test func helloTellsTheMemoryAndCores() throws {
        let endpoint = TestFarm.uniqueEndpoint()
        let context = try Context.make()
        defer { context.terminate() }
        let socket = try context.openSocket(.router, endpoint)
        let worker = try TestWorker(endpoint: endpoint)
        defer { worker.stop() }
        var poller = Poller(descriptors: [])
        let end = ContinuousClock.now + .seconds(20)
        var hello: Hello?
        while hello == nil, ContinuousClock.now < end {
            _ = try poller.wait(for: socket, milliseconds: 20)
            guard let received = try socket.receive(keeping: WireLimits.frameCount + 2) else { continue }
            let packet = try Packet(frames: Array(received.frames.dropFirst()), frameCount: received.frameCount - 1)
            if case .hello(let message) = packet.message { hello = message }
        }
        let told = try #require(hello?.worker)
        #expect(told.memoryBytes == HostMemory.totalBytes() && told.memoryBytes > 64 << 20)
        #expect(told.cores == HostProcessors.cores)
    }
}
