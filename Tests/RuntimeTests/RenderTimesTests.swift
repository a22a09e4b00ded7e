import Rendering
import StrictJSON
import Testing
import Weights

@testable import Runtime

/// The time of a render, told from those of earlier ones.
@Suite struct RenderTimesTests {
    private static let model = Result { try ModelDescription(source: .embeddedModel) }

    private static func forecast(_ change: (inout RenderRequest) -> Void = { _ in }) throws -> RenderForecast {
        var request = RenderRequest()
        (request.prompt, request.steps, request.width, request.height) = ("x", 4, 256, 256)
        request.method = .direct
        change(&request)
        return try RenderMachine(request: request, model: model.get()).forecast()
    }

    private static func kind(_ method: RenderMethod = .direct, _ layout: String = "one") throws -> RenderTimes.Kind {
        RenderTimes.Kind(try model.get(), method, layout: layout)
    }

    /// The record of a render with these phases that computed `speed` operations a second and took `wait` times as long.
    private static func record(
        _ forecast: RenderForecast, _ kind: RenderTimes.Kind, speed: Double = 1e9, wait: Double = 1
    ) -> RenderTimes.Record {
        let phases = forecast.phases.map {
            RenderTimes.Record.Phase(
                name: $0.phase.rawValue, tasks: $0.taskCount, operations: $0.operations, compute: $0.operations / speed)
        }
        return RenderTimes.Record(kind: kind, seconds: wait * forecast.operations / speed, phases: phases)
    }

    private static func times(_ records: [RenderTimes.Record]) throws -> RenderTimes {
        try #require(RenderTimes(records.flatMap { $0.json.canonicalBytes() + [UInt8(ascii: "\n")] }))
    }

    @Test func aRenderLikeTheLastTakesAsLong() throws {
        let (forecast, kind) = (try Self.forecast(), try Self.kind())
        let times = try Self.times([Self.record(forecast, kind, speed: 2e9, wait: 1.5)])
        let found = try #require(times.estimate(forecast, kind))
        let seconds = 1.5 * forecast.operations / 2e9
        #expect(abs(found.time.expected - seconds) < 1e-9 * seconds && found.renders == 1)
        #expect(found.time.least < seconds && found.time.most > seconds)
        // Twice the steps are twice the arithmetic of the largest phase, and its tasks are alike.
        let longer = try Self.forecast { $0.steps = 8 }
        let more = try #require(times.estimate(longer, kind)).time.expected
        #expect(abs(more - 1.5 * longer.operations / 2e9) < 1e-9 * more)
    }

    /// The fastest and the slowest of the last five are the bounds. Older ones do not count.
    @Test func theLastFiveCount() throws {
        let (forecast, kind) = (try Self.forecast(), try Self.kind())
        let waits = [100.0, 3, 1, 2, 5, 4]
        let times = try Self.times(waits.map { Self.record(forecast, kind, wait: $0) })
        let found = try #require(times.estimate(forecast, kind))
        let unit = forecast.operations / 1e9
        #expect(found.renders == 5 && abs(found.time.expected - 3 * unit) < 1e-6 * unit)
        #expect(abs(found.time.least - 0.8 * unit) < 1e-6 * unit && abs(found.time.most - 6.25 * unit) < 1e-6 * unit)
    }

    @Test func rendersOfAnotherKindSayNothing() throws {
        let forecast = try Self.forecast()
        let times = try Self.times([Self.record(forecast, Self.kind())])
        #expect(times.estimate(forecast, try Self.kind(.cut)) == nil)
        #expect(times.estimate(forecast, try Self.kind(.direct, "other")) == nil)
        #expect(RenderTimes().estimate(forecast, try Self.kind()) == nil)
        // A call of four times the arithmetic.
        let larger = try Self.forecast { ($0.width, $0.height) = (512, 512) }
        #expect(times.estimate(larger, try Self.kind()) == nil)
        let mixed = try Self.times([Self.record(larger, Self.kind(), wait: 9), Self.record(forecast, Self.kind(), wait: 2)])
        #expect(mixed.estimate(forecast, try Self.kind())?.renders == 1)
        // The largest phase is missing.
        var part = Self.record(forecast, try Self.kind())
        part.phases.removeAll { $0.name == "denoise" }
        #expect(try Self.times([part]).estimate(forecast, try Self.kind()) == nil)
        // A small one is taken to be as fast as the others.
        var most = Self.record(forecast, try Self.kind())
        most.phases.removeAll { $0.name == "encode" }
        let found = try #require(Self.times([most]).estimate(forecast, try Self.kind()))
        #expect(abs(found.time.expected / (forecast.operations / 1e9) - 1) < 0.1)
    }

    @Test func theFileIsBoundedAndForgivesForeignLines() throws {
        let record = Self.record(try Self.forecast(), try Self.kind())
        let many = try Self.times(Array(repeating: record, count: RenderTimes.limit + 9))
        #expect(many.records.count == RenderTimes.limit && many.bytes.count < RenderTimes.maxByteCount)
        #expect(RenderTimes(many.bytes) == many)
        let line = String(decoding: record.json.canonicalBytes(), as: UTF8.self)
        for bad in [
            "", "{}", "[]", "null", "{", "\u{0}", line.replacing("\"seconds\":", with: "\"seconds\":-"),
            line.replacing("\"tasks\":", with: "\"tasks\":-1"), line.replacing("\"operations\":", with: "\"operation\":"),
            line.replacing("\"phases\":[", with: "\"phases\":[7,"), String(line.dropLast()),
        ] {
            let times = try #require(RenderTimes(Array("\(bad)\n\(line)\n".utf8)))
            #expect(times.records == [record], "\(bad.prefix(60))")
        }
        #expect(RenderTimes([UInt8](repeating: 32, count: RenderTimes.maxByteCount + 1)) == nil)
    }

    /// Numbers of a file may be as small as numbers can be.
    @Test func anEstimateThatIsNoNumberIsNone() throws {
        let (forecast, kind) = (try Self.forecast(), try Self.kind())
        var record = Self.record(forecast, kind)
        let index = try #require(record.phases.firstIndex { $0.name == "encode" })
        (record.phases[index].operations, record.phases[index].compute) = (1e-300, 1e12)
        #expect(try Self.times([record]).estimate(forecast, kind) == nil)
    }

    @Test func aFinishedRenderIsKept() async throws {
        let request = RenderOnFarmTests.request()
        let result = try await RenderOnFarmTests.render(request, workers: 1)
        let kind = try Self.kind(.cut)
        var times = RenderTimes()
        times.add(result, kind)
        let forecast = try RenderMachine(request: request, model: Self.model.get()).forecast()
        let found = try #require(times.estimate(forecast, kind))
        let seconds = (result.timings.wall - result.timings.startUp) / .seconds(1)
        #expect(abs(found.time.expected / seconds - 1) < 0.02, "\(found.time.expected) for \(seconds)")
        let kept = try #require(RenderTimes(times.bytes))
        #expect(kept.records.count == 1 && kept.records[0].phases.map(\.name) == forecast.phases.map(\.phase.rawValue))
    }
}
