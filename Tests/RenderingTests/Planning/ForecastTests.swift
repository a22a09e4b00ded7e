import Acceleration
import DiffusionModels
import StrictJSON
import TensorCore
import Testing

@testable import Rendering

/// A forecast is compared with the tasks that the machine makes, and with a runner's counts of them.
@Suite struct ForecastTests {
    /// Tasks of every kind of call, payloads and contexts are exact; metadata differ by a few digits.
    @Test(arguments: ScheduleCase.all) func tasksAndBytesAreThoseOfTheMachine(_ asked: ScheduleCase) throws {
        let (request, model) = (try asked.request(), try asked.description())
        let machine = try RenderMachine(request: request, model: model)
        let forecast = try machine.forecast()
        let barriers = try BlankNetwork.render(machine)
        var phases: [RenderPhase] = []
        for barrier in barriers where !phases.contains(barrier.phase) { phases.append(barrier.phase) }
        #expect(forecast.phases.map(\.phase) == phases)
        for phase in forecast.phases {
            let tasks = barriers.filter { $0.phase == phase.phase }.flatMap(\.tasks)
            #expect(phase.taskCount == tasks.count)
            #expect(phase.tasks.reduce(0) { $0 + $1.count * $1.payloadBytes } == tasks.reduce(0) { $0 + $1.payloadBytes })
            let outputs = tasks.reduce(0) { $0 + $1.work.output(of: model).byteCount }
            #expect(phase.tasks.reduce(0) { $0 + $1.outputBytes } == outputs)
            let metadata = tasks.reduce(0) { $0 + $1.encoded().metadata.canonicalBytes().count }
            let expected = phase.tasks.reduce(0) { $0 + $1.count * $1.metadata.canonicalBytes().count }
            #expect(abs(Double(expected) / Double(metadata) - 1) < 0.04, "\(phase.phase): \(expected) for \(metadata)")
        }
        // A worker keeps a context as long as each step needs it.
        var (contexts, kept): ([RenderPhase: [JobContext]], [JobContext]) = ([:], [])
        for barrier in barriers {
            let needed = [barrier.context, barrier.base].compactMap(\.self)
            contexts[barrier.phase, default: []] += needed.filter { !kept.contains($0) }
            kept = needed
        }
        for phase in forecast.phases {
            let opened = contexts[phase.phase] ?? []
            #expect(phase.contents.count == opened.count, "\(phase.phase)")
            #expect(
                phase.contents.reduce(0) { $0 + $1.payloadBytes } == opened.reduce(0) { $0 + $1.encoded().payload.count },
                "\(phase.phase)")
        }
    }

    /// The arithmetic of every distinct call, as the networks count it in a rehearsal. `WorkerRehearsalTests` hold that count
    /// against computing.
    @Test(arguments: ScheduleCase.all) func operationsAreThoseOfTheNetworks(_ asked: ScheduleCase) throws {
        let (request, model) = (try asked.request(), try asked.description())
        let machine = try RenderMachine(request: request, model: model)
        let runner = try TaskRunner(
            models: [model.source], context: try ComputeContext(threads: 1, rehearses: true))
        var (sums, known): ([RenderPhase: Double], [CallKind: Double]) = ([:], [:])
        for barrier in try BlankNetwork.render(machine) {
            for task in barrier.tasks where task.work is DenoiseWork || task.work is EncodeWork {
                let kind = CallKind(task)
                if known[kind] == nil {
                    try runner.open(barrier.context)
                    let before = runner.operations
                    _ = try runner.run(task)
                    known[kind] = Double(runner.operations - before)
                }
                sums[task.phase, default: 0] += known[kind] ?? 0
            }
        }
        for phase in try machine.forecast().phases where phase.phase != .decode && phase.phase != .picture {
            #expect(phase.operations == sums[phase.phase], "\(phase.phase)")
        }
    }

    /// The properties of a task that decide its arithmetic.
    private struct CallKind: Hashable {
        let text: String

        init(_ task: RenderTask) {
            guard var work = task.work as? DenoiseWork else {
                text = "\((task.work as? EncodeWork)?.ids.map(\.count) ?? [])"
                return
            }
            (work.switches.tokens.call, work.switches.tokens.originRow, work.switches.tokens.originColumn) = (0, 0, 0)
            let reductions = work.switches.tokens.reductions.sorted { $0.key < $1.key }
            text =
                "\(work.latent.height)×\(work.latent.width) \(work.guidance > 1) \(work.switches.rad) \(work.switches.pool) "
                + "\(work.switches.windowShifts != nil) \(reductions) \(work.switches.tokens.minimumTokens)"
        }
    }

    /// Merging counts the comparison of tokens too, in each part of a block and in windows.
    @Test(arguments: [
        TokenMerging(ratio: 0.5, parts: [.attention, .textAttention, .feedForward]),
        TokenMerging(ratio: 0.9, cellWidth: 3, cellHeight: 2, destinations: .random),
        TokenMerging(ratio: 0.4, parts: .feedForward),
        TokenMerging(ratio: 0.5, queriesOnly: true),
    ])
    func fewerTokensAreForeseen(_ method: TokenMerging) throws {
        let runner = try TaskRunner(models: [.embeddedModel], backend: .auto, threads: 1)
        let context = RunnerGroupTests.context(runner)
        try runner.open(context)
        let unet = try ModelDescription(source: .embeddedModel).parts.unet
        for windowShifts in [nil, [0, 1, 2, 3, 1]] as [[UInt8]?] {
            for (side, guidance) in [(16, 5), (18, 1), (13, 5)] as [(Int, Float)] {
                let switches = UNetSwitches(
                    windowShifts: windowShifts, tokens: TokenSwitches(reductions: [1: .merging(method), 2: .merging(method)]))
                let task = RunnerGroupTests.task(
                    context, .init(name: "", switches: switches, side: side, guidance: guidance), index: 0)
                let before = runner.operations
                _ = try runner.run(task)
                let expected = unet.operations(
                    height: side, width: side, images: guidance > 1 ? 2 : 1, tokens: 77, switches: switches)
                #expect(Double(runner.operations - before) == expected, "\(side), windows \(windowShifts != nil)")
            }
        }
    }

    /// The largest picture has a forecast, with finite numbers.
    @Test func theLargestPictureIsForeseen() throws {
        var request = RenderRequest()
        (request.prompt, request.width, request.height) = ("an apple", 16384, 16384)
        let machine = try RenderMachine(request: request, model: ModelDescription(source: .embeddedModel))
        let forecast = try machine.forecast()
        #expect(forecast.operations.isFinite && forecast.operations > 1e15)
        #expect(forecast.phases.reduce(0) { $0 + $1.taskCount } == machine.plan.totalTasks)
    }
}
