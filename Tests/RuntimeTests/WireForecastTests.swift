import Rendering
import Testing

@testable import Runtime

/// The bytes that a render sends, foretold and measured.
@Suite(.serialized) struct WireForecastTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let size: (width: Int, height: Int)
        var workers = 1
        var change: @Sendable (inout RenderRequest) throws -> Void = { _ in }
    }

    static let cases = [
        Case(testDescription: "direct", size: (128, 128)),
        Case(testDescription: "direct, large", size: (264, 200)) { ($0.method, $0.hiDiffusion) = (.direct, .off) },
        Case(testDescription: "HiDiffusion", size: (256, 256)) { $0.method = .direct },
        Case(testDescription: "cut", size: (256, 128)) { $0.method = .cut },
        Case(testDescription: "cut by two workers", size: (256, 256), workers: 2) {
            ($0.method, $0.detailGuidanceScale) = (.cut, 1)
        },
        Case(testDescription: "views, moved", size: (200, 328)) { ($0.method, $0.jitter) = (.multidiffusion, 16) },
        Case(testDescription: "tiles", size: (192, 128)) { ($0.method, $0.vaeTileSize) = (.direct, 64) },
        Case(testDescription: "tiles by two workers", size: (256, 128), workers: 2) { $0.vaeTileSize = 64 },
        Case(testDescription: "blended tiles", size: (200, 128)) { ($0.method, $0.vaeTiling) = (.direct, .blend) },
        Case(testDescription: "two passes", size: (256, 256)) { $0.method = .hires },
        Case(testDescription: "two passes, enlarged as a latent", size: (256, 256)) {
            ($0.method, $0.refinement.upscaler) = (.hires, .latent)
        },
        Case(testDescription: "from a picture", size: (192, 128)) {
            $0.source = try SourcePicture(width: 192, height: 128, rgb: [UInt8](repeating: 99, count: 192 * 128 * 3))
        },
        Case(testDescription: "a part of a picture", size: (128, 128)) {
            $0.source = try SourcePicture(
                width: 128, height: 128, rgb: [UInt8](repeating: 99, count: 128 * 128 * 3),
                mask: (0..<128 * 128).map { UInt8($0 % 128 / 64) })
        },
        Case(testDescription: "a long prompt", size: (128, 128)) {
            $0.prompt = Array(repeating: "a red apple on a blue table", count: 20).joined(separator: ", ")
        },
    ]

    @Test(arguments: cases) func bytesAndArithmeticAreForeseen(_ asked: Case) async throws {
        var request = RenderRequest()
        (request.prompt, request.seed, request.steps) = ("a red apple", 3, 4)
        (request.width, request.height) = asked.size
        try asked.change(&request)
        let machine = try RenderMachine(request: request, model: ModelDescription(source: .embeddedModel))
        let forecast = try machine.forecast()
        let wire = WireForecast(forecast, workers: asked.workers)
        let counts = try await RenderOnFarmTests.render(request, workers: asked.workers).counts
        #expect(counts.phases.map(\.name) == forecast.phases.map(\.phase.rawValue))
        for (phase, expected) in zip(counts.phases, forecast.phases) {
            // Each worker makes the keys of the decoder's attention for itself.
            let slack = phase.name == "decode" && request.vaeTileSize != nil ? (asked.workers == 1 ? 0.02 : 0.25) : 0
            #expect(abs(Double(phase.operations) - expected.operations) <= slack * expected.operations, "\(phase)")
        }
        // With several workers, a worker that has nothing to do repeats the others' last tasks of a step.
        let repeated = asked.workers == 1 ? 0 : 0.4
        for (name, counted, expected) in [
            ("sent", counts.bytesSent, wire.sent), ("received", counts.bytesReceived, wire.received),
        ] {
            let ratio = Double(counted) / Double(expected)
            #expect(ratio > 0.99 && ratio < 1.01 + repeated, "\(counted) bytes \(name), not \(expected)")
        }
    }
}
