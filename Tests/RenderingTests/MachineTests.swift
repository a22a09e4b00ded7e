import PatchGeometry
import RandomStreams
import Rendering
import Samplers
import StrictJSON
import TestSupport
import Testing
import Weights

/// The machine against loops that say plainly what the two methods do.
@Suite struct MachineTests {
    static let model = try? ModelDescription(source: .embeddedModel)

    /// Every method that the embedded model takes.
    static let methods = SamplingMethod.allCases.filter { $0 != .edmEuler && $0 != .edmDPMpp2m }

    private func machine(_ request: RenderRequest) throws -> RenderMachine {
        try RenderMachine(request: request, model: try #require(Self.model))
    }

    /// The embedded model's sampler.
    private func sampler(_ request: RenderRequest) throws -> Sampler {
        let json = try ModelSource.embeddedModel.json("scheduler/scheduler_config.json")
        return try Sampler(
            SchedulerConfiguration(json: json), method: request.samplingMethod, steps: try #require(request.steps),
            eta: request.eta.map { Double($0) })
    }

    private func predicted(_ sampler: Sampler, _ shown: [Float], _ sides: (Int, Int), _ call: Int) -> [Float] {
        FormulaNetwork.prediction(
            sampler.scaleInput(shown, call: call), channels: 4, height: sides.0, width: sides.1,
            timestep: Float(sampler.timesteps[call]))
    }

    @Test(arguments: [(SamplingMethod.ddim, Float(0)), (.ddim, 1)] + methods.map { ($0, nil) })
    func directIsTheUsualLoop(_ method: SamplingMethod, _ eta: Float?) throws {
        let request = RenderRequest.square(96) {
            ($0.samplingMethod, $0.eta, $0.seed) = (method, eta, 6)
            $0.height = 64
        }
        let sampler = try sampler(request)
        var generator = TorchCPUGenerator(seed: 6)
        var x = generator.normals(count: 4 * 8 * 12).map { $0 * sampler.initialNoiseScale }
        var history = SamplerHistory()
        for call in 0..<sampler.calls {
            let noise = (0..<sampler.noiseMaps(call: call)).map { _ in generator.normals(count: x.count) }
            x = sampler.step(
                modelOutput: predicted(sampler, x, (8, 12), call), call: call, sample: x, noise: noise, history: &history)
        }
        let (barriers, image) = try FormulaNetwork.render(try machine(request))
        #expect(barriers.map(\.phase) == [.encode] + [RenderPhase](repeating: .denoise, count: sampler.calls) + [.decode])
        #expect(
            try FormulaNetwork.latent(barriers[sampler.calls + 1].tasks[0])
                == Latent(channels: 4, height: 8, width: 12, values: x))
        #expect(image.width == 96 && image.height == 64 && image.rgb.count == 96 * 64 * 3)
    }

    /// CutDiffusion as the specification tells it (1.6 to 1.9): interaction, relocation, jittered views, means.
    @Test(
        arguments: [
            (256, 256, SamplingMethod.ddim, Float(0)), (256, 256, .ddim, 0.7), (384, 256, .euler, 0), (128, 256, .ddim, 0),
            (200, 328, .ddim, 0), (200, 328, .dpmpp2m, nil), (200, 328, .dpmppSDE, nil),
        ] + methods.map { (256, 256, $0, nil) })
    func cutIsCutDiffusion(_ width: Int, _ height: Int, _ method: SamplingMethod, _ eta: Float?) throws {
        let request = RenderRequest.square(width, steps: 6) {
            ($0.height, $0.samplingMethod, $0.eta, $0.seed) = (height, method, eta, 13)
            $0.structureFraction = .half
        }
        let canvas = try plainCut(request)
        let (barriers, _) = try FormulaNetwork.render(try machine(request))
        let detail = try sampler(request).calls - structureCalls(request)
        #expect(
            try barriers.map(\.phase) == [.encode] + [RenderPhase](repeating: .structure, count: structureCalls(request))
                + [RenderPhase](repeating: .detail, count: detail) + [.decode])
        let final = try FormulaNetwork.latent(try #require(barriers.last?.tasks.first))
        #expect(final.width == width / 8 && final.height == height / 8)
        #expect(final.values == canvas)
    }

    /// Half of the calls, and on to where a step begins.
    private func structureCalls(_ request: RenderRequest) throws -> Int {
        let sampler = try sampler(request)
        return try #require(((sampler.calls + 1) / 2..<sampler.calls).first(where: sampler.isStepStart(call:)))
    }

    private func plainCut(_ request: RenderRequest) throws -> [Float] {
        let sampler = try sampler(request)
        let (height, width, seed) = (request.height / 8, request.width / 8, request.seed)
        let grid = try PatchGrid(height: height, width: width, patch: 16)
        var generator = TorchCPUGenerator(seed: seed)
        let count = 4 * grid.patchHeight * grid.patchWidth
        var patches = (0..<grid.count).map { _ in generator.normals(count: count).map { $0 * sampler.initialNoiseScale } }
        // Structure: every patch with a history of its own, which is the same as one of all of them.
        var histories = [SamplerHistory](repeating: SamplerHistory(), count: grid.count)
        let boundary = try structureCalls(request)
        for call in 0..<boundary {
            let interaction = PixelInteraction(patchCount: grid.count, positionCount: count, seed: seed, step: call)
            let predictions = interaction.shuffle(patches).map {
                predicted(sampler, $0, (grid.patchHeight, grid.patchWidth), call)
            }
            let restored = interaction.restore(predictions)
            let maps = (0..<sampler.noiseMaps(call: call)).map { _ in
                patches.map { _ in generator.normals(count: count) }
            }
            for n in patches.indices {
                patches[n] = sampler.step(
                    modelOutput: restored[n], call: call, sample: patches[n], noise: maps.map { $0[n] }, history: &histories[n])
            }
        }
        var canvas = grid.relocate(patches, channels: 4)
        var history = relocated(histories, grid)
        let views = try ViewGrid(height: height, width: width, window: 16, stride: 8)
        for call in boundary..<sampler.calls {
            let boxes = views.jitteredViews(seed: seed, step: call)
            let predictions = views.crops(of: canvas, channels: 4, views: boxes).map {
                predicted(sampler, $0, (views.windowHeight, views.windowWidth), call)
            }
            let noise = (0..<sampler.noiseMaps(call: call)).map { _ in generator.normals(count: canvas.count) }
            canvas = sampler.step(
                modelOutput: views.average(predictions, channels: 4, views: boxes), call: call, sample: canvas, noise: noise,
                history: &history)
        }
        return canvas
    }

    /// The history of the canvas, from those of its patches: each array in turn is dealt out like the latents.
    private func relocated(_ histories: [SamplerHistory], _ grid: PatchGrid) -> SamplerHistory {
        let arrays = histories.map { history in
            var (copy, arrays) = (history, [[Float]]())
            copy.mapArrays {
                arrays.append($0)
                return $0
            }
            return arrays
        }
        var (canvas, number) = (histories[0], 0)
        canvas.mapArrays { _ in
            defer { number += 1 }
            return grid.relocate(arrays.map { $0[number] }, channels: 4)
        }
        return canvas
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
        #expect(barriers.dropFirst().allSatisfy { $0.context == barriers[1].context })
        #expect(barriers[0].context != barriers[1].context)
        #expect(barriers.map { $0.tasks[0].step } == [0, 0, 1, 2, 3, 4, 0])
    }

    /// Outputs that do not belong to the barrier are refused, and the render goes on as if they had not come.
    @Test func wrongOutputsAreRefusedAndChangeNothing() throws {
        let request = RenderRequest.square(256, steps: 4)
        let expected = try FormulaNetwork.render(try machine(request)).barriers
        var machine = try machine(request)
        var barrier = machine.start()
        for next in expected.dropFirst() {
            let good = try barrier.tasks.map(FormulaNetwork.run)
            let wrong: [[TaskOutput]] = [
                [], good + [good[0]], good.dropLast() + [.pixels(width: 8, height: 8, rgb: [UInt8](repeating: 0, count: 192))],
                good.dropLast() + [.prediction(Latent(channels: 4, height: 1, width: 1, values: [0, 0, 0, 0]))],
                good.dropLast() + [.embeddings(rows: 1, tokens: 1, width: 1, values: [0])],
            ]
            for outputs in wrong {
                #expect(renderError { _ = try machine.complete(outputs) }?.code == .malformed, "\(barrier.phase)")
            }
            guard case .barrier(let following) = try machine.complete(good) else {
                Issue.record("the render ended early")
                return
            }
            #expect(following == next)
            barrier = following
        }
    }

    @Test func numbersOutOfRangeNameTheirPlace() throws {
        var machine = try machine(.square(256, steps: 4))
        let encode = machine.start()
        guard case .barrier(let structure) = try machine.complete(encode.tasks.map(FormulaNetwork.run)) else {
            Issue.record("the render ended with the prompt")
            return
        }
        var outputs = try structure.tasks.map(FormulaNetwork.run)
        guard case .prediction(var latent) = outputs[1] else {
            Issue.record("a denoising task gives a prediction")
            return
        }
        latent.values[5] = .infinity
        outputs[1] = .prediction(latent)
        let error = renderError { _ = try machine.complete(outputs) }
        #expect(error?.code == .nonFinite && error?.message.contains("structure") == true)
    }

    @Test func theSeedIsTheWholeDifference() throws {
        func final(_ seed: UInt64) throws -> Latent {
            let (barriers, _) = try FormulaNetwork.render(try machine(.square(256, steps: 3) { $0.seed = seed }))
            return try FormulaNetwork.latent(try #require(barriers.last?.tasks.first))
        }
        #expect(try final(1) == final(1))
        #expect(try final(1) != final(2))
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
        let (plain, _) = try FormulaNetwork.render(try machine(.square(512, steps: 4)))
        #expect(
            plain.joined(\.tasks).allSatisfy { $0.encoded().metadata["shifts"] == nil && $0.encoded().metadata["rad"] != true })
    }

    @Test func guidanceOfOneNeedsNoNegativePrompt() throws {
        let guided = try machine(.square(128))
        let plain = try machine(.square(128) { $0.guidanceScale = 1 })
        #expect(guided.plan.evaluations == 10 && plain.plan.evaluations == 5)
        var (first, second) = (guided, plain)
        #expect(first.start().tasks[0].encoded().metadata["ids"]?.arrayValue?.count == 2)
        #expect(second.start().tasks[0].encoded().metadata["ids"]?.arrayValue?.count == 1)
    }
}

extension Sequence {
    fileprivate func joined<Element>(_ part: (Self.Element) -> [Element]) -> [Element] { flatMap(part) }
}
