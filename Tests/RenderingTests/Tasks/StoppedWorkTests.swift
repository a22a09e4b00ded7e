import Acceleration
import Synchronization
import TensorCore
import TestSupport
import Testing

@testable import Rendering

/// A worker stops work that nobody wants any more, and nothing of it is left in later results.
@Suite struct StoppedWorkTests {
    private static func request(_ change: (inout RenderRequest) -> Void) -> RenderRequest {
        var request = RenderRequest()
        (request.prompt, request.width, request.height, request.steps) = ("a red apple", 256, 256, 2)
        change(&request)
        return request
    }

    private static let requests: [String: RenderRequest] = [
        "plain": request { ($0.method, $0.hiDiffusion) = (.direct, .off) },
        "windows and pooling": request { ($0.method, $0.hiDiffusion) = (.direct, .on) },
        "merged tokens": request {
            ($0.method, $0.hiDiffusion) = (.direct, .off)
            $0.tokenReduction = TokenReductionRequest()
            $0.tokenReduction?.merging = TokenReductionRequest.Merging(ratio: 0.5)
        },
        "picture enlarged, decoded in tiles": request {
            ($0.method, $0.stages, $0.vaeTileSize) = (.hires, [1], 128)
            $0.refinement.upscaler = .lanczos
        },
    ]

    /// Every task of a render is stopped at several moments before it is computed.
    @Test(arguments: requests.keys.sorted())
    func stoppedTasksLeaveNothingBehind(_ name: String) throws {
        let local = try LocalRender()
        let machine = try RenderMachine(request: try #require(Self.requests[name]), model: local.model)
        let expected = try LocalRender().image(machine)
        var (stops, most) = (0, [RenderPhase: Int]())
        var render = OngoingRender(machine)
        while render.image == nil {
            try render.advance(
                local.runner,
                compute: { runner, task in
                    // A decode keeps tiles, keys and values for later tasks. So the first tile, which makes the keys, is
                    // stopped at each of its questions.
                    let limits = task.phase == .decode && task.index == 0 ? Array(1...24) : [1, 23]
                    stops += try limits.filter { try Self.isStopped(task, runner, after: $0) }.count
                    let asked = Atomic(0)
                    let output = try runner.run(task, isWanted: { asked.add(1, ordering: .relaxed).newValue > 0 })
                    most[task.phase] = max(most[task.phase] ?? 0, asked.load(ordering: .relaxed))
                    return output
                })
        }
        #expect(try render.finished == expected)
        // A call of the U-Net asks at each of its products.
        #expect(stops > 8 && most[.denoise] ?? 0 > 100, "\(stops), \(most)")
        #expect(Set(most.keys).isSuperset(of: [.encode, .denoise, .decode]))
    }

    /// Whether a task stops when the question number `limit` has the answer no.
    private static func isStopped(_ task: RenderTask, _ runner: TaskRunner, after limit: Int) throws -> Bool {
        var asked = 0
        let wanted = {
            asked += 1
            return asked < limit
        }
        let error = refusal { _ = try runner.run(task, isWanted: wanted) }
        // Short tasks may be done before.
        guard let error else {
            #expect(asked < limit)
            return false
        }
        #expect(error.code == .stopped && asked == limit, "\(error)")
        return true
    }
}
