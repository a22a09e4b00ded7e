import Acceleration
import ContentHash
import Samplers
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

@testable import Rendering

/// A worker remembers nothing that changes a result: tasks of all sizes, numbers of steps, methods and models in any order,
/// with repeats and with failing tasks in between, give the bytes of a run in order (vector G23 of the specification).
@Suite struct StateFreedomTests {
    /// The model of the runner that a job is for.
    private enum Model: Int, CaseIterable { case embedded, sdxl, sd15 }

    private static let sources = Result {
        [ModelSource.embeddedModel, try GoldenModels.sdxl(), try GoldenModels.source("tiny-sd15")]
    }

    private static func runner() throws -> TaskRunner {
        try TaskRunner(models: sources.get(), backend: .auto, threads: 1)
    }

    /// A job with a seed of its own.
    private static func job(
        _ model: Model, _ size: (width: Int, height: Int), steps: Int, _ method: RenderMethod,
        _ change: (inout RenderRequest) -> Void = { _ in }
    ) -> (Model, RenderRequest) {
        let request = request {
            ($0.width, $0.height, $0.steps, $0.method) = (size.width, size.height, steps, method)
            $0.seed = UInt64(size.width * 7 + size.height * 3 + steps)
            ($0.prompt, $0.negativePrompt) = ("a red apple on \($0.seed) leaves", "blue")
            if method == .hires || method == .auto { $0.stages = nil }
            change(&$0)
        }
        return (model, request)
    }

    private static func merging(_ change: (inout TokenReductionRequest.Merging) -> Void) -> TokenReductionRequest {
        var merging = TokenReductionRequest.Merging(ratio: 0.5)
        merging.destinations = .random
        change(&merging)
        var tokens = TokenReductionRequest()
        tokens.merging = merging
        return tokens
    }

    private static func downsampling(_ factors: [Double]) -> TokenReductionRequest {
        var tokens = TokenReductionRequest()
        tokens.downsampling = TokenReductionRequest.Downsampling(factors: factors)
        return tokens
    }

    private static var jobs: [(Model, RenderRequest)] {
        [
            job(.embedded, (128, 128), steps: 3, .direct),
            job(.embedded, (192, 192), steps: 3, .direct) { ($0.hiDiffusion, $0.samplingMethod) = (.on, .euler) },
            job(.embedded, (256, 192), steps: 3, .cut) { $0.eta = 1 },
            job(.embedded, (192, 128), steps: 2, .hires),
            job(.embedded, (192, 136), steps: 2, .multidiffusion) { $0.tokenReduction = merging { _ in } },
            job(.embedded, (192, 256), steps: 3, .auto),
            job(.embedded, (200, 192), steps: 3, .direct) {
                $0.tokenReduction = merging { $0.parts = [.attention, .textAttention, .feedForward] }
            },
            job(.embedded, (192, 192), steps: 2, .direct) {
                ($0.hiDiffusion, $0.tokenReduction) = (.off, downsampling([2]))
            },
            // The same network in the profile of 2048 px and in that of 4096 px, with other numbers of steps.
            job(.sdxl, (256, 256), steps: 7, .direct) { $0.hiDiffusion = .on },
            job(.sdxl, (512, 512), steps: 4, .direct) { $0.hiDiffusion = .on },
            job(.sdxl, (256, 256), steps: 3, .direct) { ($0.hiDiffusion, $0.guidanceScale) = (.off, 1) },
            job(.sdxl, (384, 256), steps: 4, .cut) { ($0.patch, $0.stride, $0.hiDiffusion) = (256, 128, .on) },
            job(.sdxl, (256, 208), steps: 3, .direct) {
                ($0.samplingMethod, $0.tokenReduction) = (.dpmpp2m, downsampling([2, 1]))
            },
            job(.sd15, (200, 136), steps: 3, .direct) { $0.hiDiffusion = .off },
            job(.sd15, (256, 192), steps: 2, .cut) { $0.samplingMethod = .eulerAncestral },
            job(.sd15, (256, 256), steps: 3, .hires) {
                ($0.refinement.upscaler, $0.tokenReduction) = (.latent, merging { $0.maximumDownsample = 2 })
            },
        ]
    }

    /// A task with its contexts and its output.
    private struct Call {
        var context: JobContext
        var task: RenderTask
        var output: [UInt8]
    }

    private static func bytes(_ output: TaskOutput) -> [UInt8] {
        let encoded = output.encoded()
        return encoded.metadata.canonicalBytes() + encoded.payload
    }

    /// Every job from its start to its end, on one fresh runner.
    private static func callsInOrder() throws -> [Call] {
        let runner = try runner()
        let models = try sources.get().map { try ModelDescription(source: $0) }
        return try jobs.flatMap { model, request in
            var calls: [Call] = []
            _ = try FormulaNetwork.render(RenderMachine(request: request, model: models[model.rawValue])) { barrier, _ in
                try runner.open(barrier.context)
                let outputs = try barrier.tasks.map { try runner.run($0) }
                calls += zip(barrier.tasks, outputs).map { Call(context: barrier.context, task: $0, output: bytes($1)) }
                return outputs
            }
            return calls
        }
    }

    /// Tasks that a runner must refuse, made from a task that it computes: without a context, in another model's context, with
    /// windows that the network does not have, and with a latent that is not finite, which shows only behind the last layer.
    private static func failures(_ call: Call, foreign: Call) -> [RenderTask] {
        guard var work = call.task.denoiseWork else { return [] }
        var (lost, moved, windows, infinite) = (call.task, call.task, call.task, call.task)
        lost.contextHash = SHA256Digest(of: Array("nobody's".utf8))
        moved.contextHash = foreign.context.hash
        work.switches.windowShifts = [1, 2, 3]
        windows.work = work
        work.switches = UNetSwitches(rad: true, pool: true)
        work.latent.values[work.latent.values.count / 2] = .nan
        infinite.work = work
        return [lost, moved, windows, infinite]
    }

    @Test func anyOrderGivesTheBytesOfARunInOrder() throws {
        let calls = try Self.callsInOrder()
        // Prompts are encoded in the model's own context, all else in the job's, and each latent is decoded in its own.
        let decodes = calls.count { $0.task.phase == .decode }
        #expect(Set(calls.map(\.context.hash)).count == Model.allCases.count + Self.jobs.count + decodes)
        var generator = SeededGenerator(seed: 23)
        let again = calls.indices.filter { _ in Int.random(in: 0..<3, using: &generator) == 0 }
        let order = (Array(calls.indices) + again).shuffled(using: &generator)
        let runner = try Self.runner()
        var codes: [RenderError.Code: Int] = [:]
        var wrong: [String] = []
        for (number, index) in order.enumerated() {
            let call = calls[index]
            try runner.open(call.context)
            if number % 7 == 0, let foreign = calls.first(where: { isForeign($0, call) }) {
                try runner.open(foreign.context)
                for task in Self.failures(call, foreign: foreign) {
                    codes[try #require(refusal { _ = try runner.run(task) }?.code), default: 0] += 1
                }
            }
            if Self.bytes(try runner.run(call.task)) != call.output { wrong.append(call.task.title) }
        }
        #expect(wrong.isEmpty, "\(wrong.count) of \(order.count) tasks gave other bytes: \(wrong.prefix(5))")
        for code in [RenderError.Code.missingContext, .malformed, .nonFinite] {
            #expect(codes[code, default: 0] > 5, "\(codes)")
        }
    }

    /// Whether `call` is of a model with other inputs than that of `other`: SDXL asks for sizes, and the others refuse them.
    private func isForeign(_ call: Call, _ other: Call) -> Bool {
        guard let work = call.task.denoiseWork, let otherWork = other.task.denoiseWork else { return false }
        return (work.timeIDs == nil) != (otherWork.timeIDs == nil)
    }

    /// The jobs above cover every kind.
    @Test func theJobsAreOfEveryKind() throws {
        let models = try Self.sources.get().map { try ModelDescription(source: $0) }
        let plans = try Self.jobs.map { try RenderMachine(request: $1, model: models[$0.rawValue]).plan }
        #expect(Set(plans.map(\.method)) == [.direct, .cut, .hires, .multidiffusion])
        #expect(Set(Self.jobs.map(\.0)).count == Model.allCases.count && Set(plans.map(\.steps)).count >= 4)
        #expect(Set(plans.map { [$0.width, $0.height] }).count >= 9)
        #expect(plans.contains { $0.passes.count > 1 && $0.passes.last?.cut != nil }, "stages")
        #expect(plans.contains { $0.cut != nil && $0.hiDiffusionInDetail }, "big patches")
        #expect(plans.filter { $0.hiDiffusionProfile != nil }.count >= 5)
        #expect(plans.filter { $0.tokenReduction != nil }.count >= 5)
    }
}
