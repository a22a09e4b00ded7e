import PatchGeometry
import Rendering
import Samplers
import StrictJSON
import Testing
import Weights

/// The contents of the machine's barriers and tasks. `SpecificationTests` hold every step against the plain loop.
@Suite struct MachineTests {
    static let model = try? ModelDescription(source: .embeddedModel)

    /// Every method that the embedded model takes.
    static let methods = SamplingMethod.allCases.filter { $0 != .edmEuler && $0 != .edmDPMpp2m }

    private func machine(_ request: RenderRequest) throws -> RenderMachine {
        try RenderMachine(request: request, model: try #require(Self.model))
    }

    @Test func barriersAreThePlansTasks() throws {
        let machine = try machine(.square(256, steps: 5) { $0.stride = 96 })
        let (barriers, _) = try FormulaNetwork.render(machine)
        for (phase, tasks) in machine.plan.tasksPerPhase {
            #expect(barriers.filter { $0.phase == phase }.reduce(0) { $0 + $1.tasks.count } == tasks, "\(phase)")
        }
        #expect(barriers.reduce(0) { $0 + $1.tasks.count } == machine.plan.totalTasks)
        for barrier in barriers {
            #expect(barrier.tasks.map(\.index) == Array(barrier.tasks.indices))
            #expect(
                barrier.tasks.allSatisfy { $0.contextHash == barrier.context.hash && $0.phase == barrier.phase && $0.cost > 0 })
        }
        #expect(barriers[1...5].allSatisfy { $0.context == barriers[1].context && $0.base == nil })
        #expect(barriers[0].context != barriers[1].context && barriers[6].context != barriers[1].context)
        #expect(barriers.map { $0.tasks[0].call } == [0, 0, 1, 2, 3, 4, 0])
    }

    /// All patches of a step see the same windows; structure and detail follow one count of steps.
    @Test func hiDiffusionFollowsTheStepAndThePatchSize() throws {
        let (barriers, _) = try FormulaNetwork.render(
            try machine(
                .square(512, steps: 10) { ($0.patch, $0.stride, $0.structureFraction) = (256, 256, .half) }))
        let denoising = barriers.filter { $0.phase == .structure || $0.phase == .detail }
        #expect(denoising.count == 10)
        for (step, barrier) in denoising.enumerated() {
            let plans = barrier.tasks.map { $0.encoded().metadata }
            #expect(plans.allSatisfy { $0["rad"]?.boolValue == (step < 4) && $0["pool"]?.boolValue == false })
            #expect(Set(plans.map { $0["shifts"]?.canonicalText ?? "none" }).count == 1)
            #expect(plans[0]["shifts"]?.arrayValue?.count == 5)
        }
        #expect(
            Set(denoising.map { $0.tasks[0].encoded().metadata["shifts"]?.canonicalText }).count > 3,
            "a step has shifts of its own")
        let (plain, _) = try FormulaNetwork.render(try machine(.square(512, steps: 4)))
        #expect(
            plain.joined(\.tasks).allSatisfy { $0.encoded().metadata["shifts"] == nil && $0.encoded().metadata["rad"] != true })
    }

    @Test func withoutGuidanceThePromptGoesAlone() throws {
        for (scale, rows) in [(Float(1), 1), (0, 1), (1.5, 2)] {
            var machine = try machine(.square(128) { ($0.guidanceScale, $0.negativePrompt) = (scale, "blurry") })
            #expect(machine.plan.evaluations == 5 * rows)
            let ids = machine.start().tasks[0].encoded().metadata["ids"]?.arrayValue
            #expect(ids?.count == rows && ids?.allSatisfy { $0.arrayValue?.count == 77 } == true)
        }
    }
}

extension Sequence {
    fileprivate func joined<Element>(_ part: (Self.Element) -> [Element]) -> [Element] { flatMap(part) }
}
