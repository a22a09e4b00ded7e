import Acceleration
import ContentHash
import Messages
import TestSupport
import Testing
import Weights

@testable import Rendering
@testable import Runtime

/// A worker's engine with calls of the embedded model.
@Suite("Calls of an engine")
struct GroupEngineTests {
    private static func part(_ context: JobContext, _ index: Int, atFault: Bool = false) -> EncodedPart {
        var numbers = TestNumbers(seed: UInt64(index + 1))
        var values = numbers.floats(4 * 8 * 8)
        // Finite, but sums of such numbers are not.
        if atFault { values = values.map { $0 < 0 ? -.greatestFiniteMagnitude : .greatestFiniteMagnitude } }
        let task = RenderTask(
            phase: .detail, call: 0, index: index, contextHash: context.hash,
            work: DenoiseWork(
                latent: Latent(channels: 4, height: 8, width: 8, values: values), timestep: 500, guidance: 5, switches: .plain))
        return EncodedPart(task.encoded())
    }

    @Test("a call with a task at fault fails as a whole, and its tasks can be computed alone", arguments: 0..<4)
    func fault(_ place: Int) throws {
        var options = WorkerOptions(endpoint: "tcp://127.0.0.1:1", models: [.embeddedModel], threads: 1, name: "test")
        options.group = 4
        let engine = try RenderTaskEngine(options)
        var numbers = TestNumbers(seed: 30)
        let context = JobContext(
            modelIdentity: try ModelSource.embeddedModel.identity(),
            conditioning: JobContext.Conditioning(rows: 2, tokens: 77, width: 128, values: numbers.floats(2 * 77 * 128)))
        try engine.open(EncodedPart(context.encoded()), named: context.hash.hex)
        func run(_ parts: [EncodedPart]) throws -> [Result<EncodedPart, Failure>] { try engine.run(parts) {} }

        let good = (0..<4).map { Self.part(context, $0) }
        let alone = try good.map { try run([$0])[0].get() }
        #expect(try run(good).map { try $0.get() } == alone, "the engine has learnt to take four")
        var parts = good
        parts[place] = Self.part(context, place, atFault: true)
        let failed = #expect(throws: FailedTogether.self) { try run(parts) }
        #expect(failed?.count == 4 && failed?.failure.failureClass == .nonFinite)
        for index in parts.indices {
            let outcomes = try run([parts[index]])
            try #require(outcomes.count == 1)
            switch outcomes[0] {
            case .success(let output): #expect(index != place && output == alone[index])
            case .failure(let failure): #expect(index == place && failure.failureClass == .nonFinite)
            }
        }
        #expect(try run(good).map { try $0.get() } == alone, "and it goes on with groups")
    }
}
