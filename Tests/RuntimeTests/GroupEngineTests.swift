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

    private static func engine(_ context: JobContext) throws -> RenderTaskEngine {
        var options = WorkerOptions(endpoint: "tcp://127.0.0.1:1", models: [.embeddedModel], threads: 1, name: "test")
        options.group = 4
        let engine = try RenderTaskEngine(options)
        try engine.open(EncodedPart(context.encoded()), named: context.hash.hex)
        return engine
    }

    private static func context() throws -> JobContext {
        var numbers = TestNumbers(seed: 30)
        return JobContext(
            modelIdentity: try ModelSource.embeddedModel.identity(),
            conditioning: JobContext.Conditioning(rows: 2, tokens: 77, width: 128, values: numbers.floats(2 * 77 * 128)))
    }

    @Test("a call that nobody waits for stops, and the engine goes on with groups")
    func stopped() throws {
        let context = try Self.context()
        let engine = try Self.engine(context)
        let parts = (0..<4).map { Self.part(context, $0) }
        let alone = try parts.map { try engine.run([$0], advanced: {}, isWanted: { _ in true })[0].get() }
        var asked: [Int] = []
        let end = #expect(throws: CallEnd.self) {
            try engine.run(parts, advanced: {}) { count in
                asked.append(count)
                return asked.count < 30
            }
        }
        guard case .stopped(4) = end else {
            Issue.record("the call ended with \(String(describing: end))")
            return
        }
        #expect(asked == [Int](repeating: 4, count: 30), "it asks for all of its tasks, and no more after the answer")
        #expect(try engine.run(parts, advanced: {}, isWanted: { _ in true }).map { try $0.get() } == alone)
    }

    @Test("a call with a task at fault fails as a whole, and its tasks can be computed alone", arguments: 0..<4)
    func fault(_ place: Int) throws {
        let context = try Self.context()
        let engine = try Self.engine(context)
        func run(_ parts: [EncodedPart]) throws -> [Result<EncodedPart, Failure>] {
            try engine.run(parts, advanced: {}, isWanted: { _ in true })
        }

        let good = (0..<4).map { Self.part(context, $0) }
        let alone = try good.map { try run([$0])[0].get() }
        #expect(try run(good).map { try $0.get() } == alone, "the engine has learnt to take four")
        var parts = good
        parts[place] = Self.part(context, place, atFault: true)
        guard case .failedTogether(4, let failure) = #expect(throws: CallEnd.self, performing: { try run(parts) }) else {
            Issue.record("the call did not fail as a whole")
            return
        }
        #expect(failure.failureClass == .nonFinite)
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
