import Acceleration
import TensorCore
import TestSupport
import Testing

@testable import Rendering

/// Tasks that share a call of the embedded model's U-Net.
@Suite struct RunnerGroupTests {
    struct Arithmetic: CustomTestStringConvertible, Sendable {
        let backend: BackendChoice
        let precision: PrecisionChoice

        var testDescription: String { "\(backend) \(precision)" }

        func runner(threads: Int = 2) throws -> TaskRunner {
            try TaskRunner(models: [.embeddedModel], backend: backend, threads: threads, precision: precision)
        }
    }

    static let arithmetics = BackendChoice.arithmetics.map { Arithmetic(backend: $0.backend, precision: $0.precision) }

    /// The switches of one call, and the sides of the latents that it sees.
    struct Method: Sendable {
        let name: String
        var switches = UNetSwitches.plain
        var side = 16
        var guidance: Float = 5
    }

    static let methods: [Method] = [
        Method(name: "plain"), Method(name: "without guidance", guidance: 1),
        Method(name: "odd sides", side: 9),
        Method(
            name: "HiDiffusion", switches: UNetSwitches(rad: true, pool: true, windowShifts: [0, 1, 2, 3, 1]),
            side: 24),
        Method(name: "windows", switches: UNetSwitches(windowShifts: [3, 1, 2, 0, 1]), side: 18),
        Method(
            name: "merged tokens",
            switches: UNetSwitches(
                tokens: TokenSwitches(reductions: [
                    1: .merging(TokenMerging(ratio: 0.5, parts: [.attention, .textAttention, .feedForward]))
                ]))),
        Method(
            name: "merged tokens in windows",
            switches: UNetSwitches(
                windowShifts: [0, 1, 2, 3, 1],
                tokens: TokenSwitches(
                    reductions: [1: .merging(TokenMerging(ratio: 0.3, destinations: .random))], seed: 5, call: 2))),
        Method(
            name: "downsampled keys",
            switches: UNetSwitches(tokens: TokenSwitches(reductions: [1: .downsampling(TokenDownsampling(factor: 2))])),
            guidance: 1),
    ]

    static func task(_ context: JobContext, _ method: Method, index: Int) -> RenderTask {
        var numbers = TestNumbers(seed: UInt64(index + 1))
        let latent = Latent(
            channels: 4, height: method.side, width: method.side, values: numbers.floats(4 * method.side * method.side))
        return RenderTask(
            phase: .detail, call: 3, index: index, contextHash: context.hash,
            work: DenoiseWork(
                latent: latent, timestep: 500, guidance: method.guidance == 1 ? 1 : method.guidance + Float(index),
                rescale: method.guidance == 1 ? 0 : Float(index) / 10, switches: method.switches))
    }

    static func context(_ runner: TaskRunner, seed: UInt64 = 1) -> JobContext {
        var numbers = TestNumbers(seed: seed)
        return JobContext(
            modelIdentity: runner.modelIdentities[0],
            conditioning: JobContext.Conditioning(rows: 2, tokens: 77, width: 128, values: numbers.floats(2 * 77 * 128)))
    }

    /// Bits, operations and order of groups of 1 to 8; the methods beside the plain one are tried with two of these sizes.
    @Test(arguments: arithmetics) func everyGroupGivesTheBitsOfSingleTasks(_ arithmetic: Arithmetic) throws {
        let (runner, single) = (try arithmetic.runner(), try arithmetic.runner(threads: 1))
        let context = Self.context(runner)
        for runner in [runner, single] { try runner.open(context) }
        for method in Self.methods {
            let groups = method.name == "plain" ? Array(1...8) : [2, 5]
            let tasks = (0..<groups[groups.count - 1]).map { Self.task(context, method, index: $0) }
            let before = runner.operations
            let alone = try tasks.map { try runner.run($0) }
            let operations = (runner.operations - before) / UInt64(tasks.count)
            #expect(Set(alone.map(\.values)).count == tasks.count, "\(method.name)")
            for count in groups {
                let before = runner.operations
                // The groups are taken from the end, so that the place of a task in its group changes.
                let outputs = try runner.run(together: Array(tasks.suffix(count)))
                #expect(outputs == Array(alone.suffix(count)), "\(method.name), a group of \(count)")
                #expect(runner.operations - before == operations * UInt64(count), "\(method.name)")
            }
            #expect(try single.run(together: tasks) == alone, "\(method.name)")
        }
    }

    @Test func aTaskAtFaultFailsItsCallAndThenAlone() throws {
        let runner = try TaskRunner(models: [.embeddedModel], backend: .auto, threads: 1)
        let context = Self.context(runner)
        try runner.open(context)
        var tasks = (0..<4).map { Self.task(context, Self.methods[0], index: $0) }
        let alone = try tasks.map { try runner.run($0) }
        var work = try #require(tasks[2].work as? DenoiseWork)
        work.latent.values = work.latent.values.map { $0 < 0 ? -.greatestFiniteMagnitude : .greatestFiniteMagnitude }
        tasks[2].work = work
        let together = #expect(throws: RenderError.self) { try runner.run(together: tasks) }
        #expect(together?.code == .nonFinite)
        for index in [0, 1, 3] { #expect(try runner.run(tasks[index]) == alone[index]) }
        let error = #expect(throws: RenderError.self) { try runner.run(tasks[2]) }
        #expect(error?.code == .nonFinite && error?.message.hasPrefix("Task 3 of detail, call 4: ") == true)
        // The others go together as before.
        #expect(try runner.run(together: [tasks[0], tasks[1], tasks[3]]) == [alone[0], alone[1], alone[3]])
        // Without the context nobody can.
        runner.close(context.hash)
        let closed = #expect(throws: RenderError.self) { try runner.run(together: tasks) }
        #expect(closed?.code == .missingContext)
    }

    @Test func onlyTasksOfOneCallGoTogether() throws {
        let runner = try TaskRunner(models: [.embeddedModel], backend: .auto, threads: 1)
        let context = Self.context(runner)
        let first = Self.task(context, Self.methods[0], index: 0)
        let second = Self.task(context, Self.methods[0], index: 1)
        #expect(first.sharesCall(with: first) && first.sharesCall(with: second))
        func changed(_ change: (inout RenderTask, inout DenoiseWork) -> Void) throws -> RenderTask {
            var task = second
            var work = try #require(second.work as? DenoiseWork)
            change(&task, &work)
            task.work = work
            return task
        }
        let others: [RenderTask] = [
            try changed { task, _ in task.phase = .structure }, try changed { task, _ in task.call = 4 },
            try changed { task, _ in task.contextHash = Self.context(runner, seed: 2).hash },
            try changed { _, work in work.timestep = 501 }, try changed { _, work in work.guidance = 1 },
            try changed { _, work in work.switches.rad = true },
            try changed { _, work in work.switches.windowShifts = [0, 0, 0, 0, 0] },
            try changed { _, work in work.timeIDs = [8, 8, 0, 0, 8, 8] },
            try changed { _, work in
                work.latent = Latent(channels: 4, height: 8, width: 32, values: work.latent.values)
            },
        ]
        for (index, other) in others.enumerated() {
            #expect(!first.sharesCall(with: other) && !other.sharesCall(with: first), "\(index)")
        }
        // A view's place on the canvas keeps tasks apart only where it decides something.
        let moved = try changed { _, work in work.switches.tokens.originRow = 8 }
        #expect(first.sharesCall(with: moved))
        for (destinations, isShared) in [(TokenMerging.Destinations.fixed, true), (.random, false)] {
            let merging = TokenSwitches(reductions: [1: .merging(TokenMerging(ratio: 0.5, destinations: destinations))])
            let here = try changed { _, work in work.switches.tokens = merging }
            let there = try changed { _, work in
                work.switches.tokens = merging
                work.switches.tokens.originColumn = 8
            }
            #expect(here.sharesCall(with: there) == isShared, "\(destinations)")
        }
        let encode = RenderTask(phase: .encode, call: 0, index: 0, contextHash: context.hash, work: EncodeWork(ids: [[[1]]]))
        #expect(!encode.sharesCall(with: encode) && !first.sharesCall(with: encode))
    }
}
