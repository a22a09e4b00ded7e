import Acceleration
import PatchGeometry
import Places
import Samplers
import StrictJSON
import Testing
import Weights

@testable import Rendering

/// `plan` and `render` cannot disagree: the plan's list of calls, the tasks that the machine makes, and all words of the plan
/// about them are compared with each other, and with the calls that method and sampler must make.
@Suite struct ScheduleTests {
    @Test func everyMethodIsThere() throws {
        let methods = try ScheduleCase.all.map { try $0.request().method }
        #expect(Set(methods) == Set(RenderMethod.allCases))
    }

    /// Every method, with the model's own sampler.
    @Test(arguments: ScheduleCase.all) func thePlanIsWhatIsDone(_ asked: ScheduleCase) throws {
        try PlanCheck().check(asked)
    }
}

/// The main methods with every sampler: too many cases for a debug build.
@Suite struct SamplerScheduleTests {
    private static let cases: [ScheduleCase] = {
        let main =
            ScheduleCase.whole.prefix(1) + ScheduleCase.cut.prefix(1) + ScheduleCase.stages.prefix(3)
            + ScheduleCase.sources.prefix(1) + ScheduleCase.views.prefix(1)
        return SamplingMethod.allCases.flatMap { sampler in main.map { $0.with(sampler) } }
    }()

    @Test(arguments: cases) func thePlanIsWhatIsDone(_ asked: ScheduleCase) throws {
        try PlanCheck().check(asked)
    }
}

/// Compares a plan, the tasks that its machine makes, and the expected calls.
private struct PlanCheck {
    func check(_ asked: ScheduleCase) throws {
        let (request, model) = (try asked.request(), try asked.description())
        let machine = try RenderMachine(request: request, model: model)
        let oracle = ScheduleOracle(passes: asked.passes(), request: request, model: model, tokens: asked.tokens)
        let expected = try oracle.calls()
        let barriers = try BlankNetwork.render(machine)
        let calls = barriers.filter { $0.tasks[0].denoiseWork != nil }

        #expect(machine.plannedCalls == expected.map(\.seen))
        #expect(try calls.map { try $0.seen() } == expected.map(\.seen))
        for (barrier, call) in zip(calls, expected) { try check(barrier, call, model) }
        #expect(barriers.map(\.phase) == phases(oracle.passes, calls, hasSource: request.source != nil))
        #expect(barriers.allSatisfy { barrier in barrier.tasks.allSatisfy { $0.phase == barrier.phase } })
        let isGuided = calls.contains { $0.tasks.contains { ($0.denoiseWork?.guidance ?? 0) > 1 } }
        #expect(calls.allSatisfy { $0.context.conditioning?.rows == (isGuided ? 2 : 1) })
        try checkCounts(machine, barriers, calls, oracle)
        try checkText(machine.plan, calls, barriers)
        checkKinds(machine, calls)
    }

    private func phases(_ passes: [ExpectedPass], _ calls: [Barrier], hasSource: Bool) -> [RenderPhase] {
        var phases: [RenderPhase] = hasSource ? [.encode, .picture] : [.encode]
        for (index, pass) in passes.enumerated() {
            if pass.isEnlargedAsPicture { phases += [.decode, .picture] }
            phases += calls.filter { $0.place.stage == index }.map(\.phase)
        }
        return phases + [.decode]
    }

    // MARK: Tasks

    /// Checks the parts of a call's tasks that differ from task to task.
    private func check(_ barrier: Barrier, _ call: ScheduleOracle.Call, _ model: ModelDescription) throws {
        let works = try barrier.tasks.map { try #require($0.denoiseWork) }
        #expect(works.count == call.seen.inputs && barrier.tasks.map(\.index) == Array(works.indices))
        #expect(works.allSatisfy { $0.latent.channels == model.inputChannels })
        #expect(works.allSatisfy { $0.switches.windowShifts == call.shifts })
        for (index, work) in works.enumerated() {
            let view = call.views.dropFirst(index).first
            let corner = (view?.top ?? 0, view?.left ?? 0)
            if work.switches.tokens != .none {
                #expect((work.switches.tokens.originRow, work.switches.tokens.originColumn) == corner)
            }
            if let ids = work.timeIDs { #expect(ids[2...3] == [Float(8 * corner.0), Float(8 * corner.1)]) }
        }
    }

    private func evaluations(_ calls: [Barrier]) -> Int {
        calls.flatMap(\.tasks).reduce(0) { $0 + (($1.denoiseWork?.guidance ?? 0) > 1 ? 2 : 1) }
    }

    // MARK: What the plan tells

    private func checkCounts(
        _ machine: RenderMachine, _ barriers: [Barrier], _ calls: [Barrier], _ oracle: ScheduleOracle
    ) throws {
        let (plan, json) = (machine.plan, machine.plan.json)
        #expect(json["tasks"]?.intValue == barriers.reduce(0) { $0 + $1.tasks.count })
        #expect(json["unet_evaluations"]?.intValue == evaluations(calls))
        #expect(json["prompt_chunks"]?.intValue == barriers[0].tasks.count)
        var counted: [(phase: RenderPhase, stage: Int, tasks: Int)] = []
        for barrier in barriers {
            if counted.last.map({ ($0.phase, $0.stage) == (barrier.phase, barrier.place.stage) }) != true {
                counted.append((barrier.phase, barrier.place.stage, 0))
            }
            counted[counted.count - 1].tasks += barrier.tasks.count
        }
        #expect(plan.tasksPerPhase.map(\.phase) == counted.map(\.phase))
        #expect(plan.tasksPerPhase.map(\.tasks) == counted.map(\.tasks))
        let passes = try #require(json["passes"]?.arrayValue)
        #expect(passes.count == oracle.passes.count)
        for (index, pass) in oracle.passes.enumerated() {
            let own = calls.filter { $0.place.stage == index }
            try checkCounts(passes[index], plan.passes[index], pass, own, try oracle.sampler(pass))
            let active = own.indices.filter { own[$0].tasks[0].denoiseWork?.switches.tokens != TokenSwitches.none }
            if let range = json["token_reduction"]?["calls"]?.arrayValue?[index].arrayValue?.compactMap(\.intValue) {
                #expect(active == Array(range[0]..<range[1]))
            } else {
                #expect(active.isEmpty)
            }
        }
        #expect(json["calls"] == passes.last?["calls"])
        if plan.source != nil { #expect(json["first_call"] == passes[0]["first_call"]) }
    }

    private func checkCounts(
        _ json: JSONValue, _ planned: RenderPass, _ pass: ExpectedPass, _ calls: [Barrier], _ sampler: Sampler
    ) throws {
        let total = try #require(json["calls"]?.intValue)
        let first = try #require(json["first_call"]?.intValue)
        #expect(total == sampler.calls && total - first == calls.count)
        #expect(json["latent_width"]?.intValue == pass.width && json["latent_height"]?.intValue == pass.height)
        #expect(planned.executedSteps == (first..<total).count(where: sampler.isStepStart(call:)))
        let (structure, detail) = (calls.filter { $0.phase == .structure }, calls.filter { $0.phase == .detail })
        #expect(planned.structureCalls == structure.count)
        let begins = try #require(calls.first).phase == .detail ? pass.hiDiffusion.views : pass.hiDiffusion.first
        let ends = detail.isEmpty ? pass.hiDiffusion.first : pass.hiDiffusion.views
        #expect(json["hidiffusion_structure"]?.boolValue == begins && json["hidiffusion_detail"]?.boolValue == ends)
        guard let cut = json["cut"] else {
            #expect(pass.cut == nil && structure.isEmpty && detail.isEmpty)
            return
        }
        func number(_ key: String) -> Int? { cut[key]?.intValue }
        #expect(detail.allSatisfy { $0.tasks.count == number("views_per_step") })
        let patches = try #require(number("grid_rows")) * (try #require(number("grid_columns")))
        #expect(structure.allSatisfy { $0.tasks.count == patches })
        #expect(json["structure_calls"]?.intValue == structure.count)
    }

    private func checkText(_ plan: RenderPlan, _ calls: [Barrier], _ barriers: [Barrier]) throws {
        let lines = plan.summaryLines
        let tasks = barriers.reduce(0) { $0 + $1.tasks.count }
        #expect(lines.contains("\(tasks) tasks, \(evaluations(calls)) U-Net evaluations"), "\(lines)")
        for index in plan.passes.indices {
            let own = calls.filter { $0.place.stage == index }
            let line = lines[index + 1]
            #expect(line.hasPrefix(try #require(own.first).place.stageTitle))
            let detail = own.filter { $0.phase == .detail }
            guard let views = detail.first?.tasks.count else {
                #expect(line.contains("\(own.count) calls of the whole latent"), "\(line)")
                continue
            }
            #expect(line.contains("\(detail.count) detail calls of \(views) views"), "\(line)")
            let structure = own.filter { $0.phase == .structure }
            guard let patches = structure.first?.tasks.count else {
                #expect(!line.contains("structure"), "\(line)")
                continue
            }
            let what = patches == 1 ? "the whole latent" : "\(patches) patches"
            #expect(line.contains("\(structure.count) structure calls of \(what)"), "\(line)")
        }
        if plan.source != nil {
            let total = plan.passes[0].calls
            #expect(lines.contains { $0.hasSuffix("calls \(total - calls.count + 1) to \(total) are made") }, "\(lines)")
        }
    }

    /// The kinds of calls that are timed.
    private func checkKinds(_ machine: RenderMachine, _ calls: [Barrier]) {
        var counted: [(kind: EvaluationKind, evaluations: Int)] = []
        for work in calls.flatMap(\.tasks).compactMap(\.denoiseWork) {
            let images = work.guidance > 1 ? 2 : 1
            let kind = EvaluationKind(
                channels: work.latent.channels, height: work.latent.height, width: work.latent.width, switches: work.switches,
                evaluations: images)
            if let known = counted.firstIndex(where: { $0.kind.isOfOneKind(with: kind) }) {
                counted[known].evaluations += images
            } else {
                counted.append((kind, images))
            }
        }
        let told = EvaluationKind.all(of: machine)
        #expect(told.map(\.evaluations) == counted.map(\.evaluations))
        #expect(zip(told, counted).allSatisfy { $0.isOfOneKind(with: $1.kind) })
    }
}

extension RenderMachine {
    fileprivate var plannedCalls: [CallSeen] {
        zip(plan.passes, resolved.samplers).flatMap { pass, sampler in
            pass.schedule.map { call in
                CallSeen(
                    place: call.place, number: call.number, timestep: Float(sampler.timesteps[call.call]),
                    inputs: call.inputs, height: call.height, width: call.width, guidance: call.guidanceScale,
                    rad: call.rauNet.rad, pool: call.rauNet.pool, windowBlocks: call.windowBlocks, tokens: call.tokens,
                    sizes: call.sizes.map {
                        [$0.originalSize.height, $0.originalSize.width, $0.targetSize.height, $0.targetSize.width].map {
                            Float($0)
                        }
                    })
            }
        }
    }
}

extension Barrier {
    /// The call of these tasks. All tasks show the same call, except for the place of a view.
    fileprivate func seen() throws -> CallSeen {
        let all = try tasks.map { task in
            let work = try #require(task.denoiseWork)
            var tokens = work.switches.tokens
            (tokens.originRow, tokens.originColumn) = (0, 0)
            return CallSeen(
                place: place, number: task.call, timestep: work.timestep, inputs: tasks.count, height: work.latent.height,
                width: work.latent.width, guidance: work.guidance, rad: work.switches.rad, pool: work.switches.pool,
                windowBlocks: work.switches.windowShifts?.count, tokens: tokens,
                sizes: work.timeIDs.map { Array($0[..<2] + $0[4...]) })
        }
        #expect(all.allSatisfy { $0 == all[0] })
        return all[0]
    }
}

/// A worker that answers every task with zeros.
enum BlankNetwork {
    static func render(_ machine: RenderMachine) throws -> [Barrier] {
        var machine = machine
        var barriers = [machine.start()]
        while true {
            let outputs = machine.expectedOutputs.map { shape in
                switch shape.element {
                case .f32: TaskOutput(shape, [Float](repeating: 0, count: shape.count))
                case .f64: TaskOutput(shape, doubles: [Double](repeating: 0, count: shape.count))
                case .u8: TaskOutput(shape, rgb: [UInt8](repeating: 0, count: shape.count))
                }
            }
            guard case .barrier(let next) = try machine.complete(outputs) else { return barriers }
            barriers.append(next)
        }
    }
}
