import Acceleration
import PatchGeometry
import RandomStreams
import Samplers
import Testing

@testable import Rendering

/// The machine with a stub in the workers' place.
@Suite struct SpecificationTests {
    struct Run: Sendable, CustomStringConvertible {
        var size: (width: Int, height: Int)
        var method = RenderMethod.direct
        var stride: Int?
        var steps = 5
        var sampling = SamplingMethod.ddim
        var prediction = "v_prediction"
        var eta: Float = 0
        var seed: UInt64 = 6

        var description: String {
            "\(size.width)×\(size.height) \(method) \(stride ?? 0) \(steps) \(sampling) \(prediction) eta \(eta) seed \(seed)"
        }

        var request: RenderRequest {
            madeRequest {
                ($0.width, $0.height, $0.method, $0.stride) = (size.width, size.height, method, stride)
                ($0.steps, $0.samplingMethod, $0.eta, $0.seed) = (steps, sampling, eta, seed)
                $0.structureFraction = method == .cut ? .half : nil
                $0.hiDiffusion = .off
            }
        }

        var reference: ReferenceRender {
            ReferenceRender(
                height: size.height / 8, width: size.width / 8, steps: steps, seed: seed,
                cut: method == .cut
                    ? ReferenceRender.Cut(patch: 16, stride: (stride ?? 64) / 8, structureSteps: (steps + 1) / 2) : nil,
                schedule: ReferenceSchedule(
                    isEuler: sampling == .euler, predictsVelocity: prediction == "v_prediction", eta: Double(eta), steps: steps)
            )
        }
    }

    static let runs: [Run] = [
        Run(size: (128, 128)),
        Run(size: (200, 72), prediction: "epsilon"),
        Run(size: (128, 96), sampling: .euler),
        Run(size: (96, 128), sampling: .euler, prediction: "epsilon"),
        Run(size: (128, 128), eta: 1, seed: (1 << 40) + 6),
        Run(size: (256, 256), method: .cut),
        Run(size: (256, 256), method: .cut, sampling: .euler, prediction: "epsilon"),
        Run(size: (256, 128), method: .cut, stride: 96, prediction: "epsilon", eta: 1),
        Run(size: (192, 320), method: .cut, stride: 96, steps: 4, sampling: .euler),
        Run(size: (200, 136), method: .cut, stride: 40, eta: 0.5, seed: .max),
        Run(size: (320, 80), method: .cut, stride: 128),
        Run(size: (128, 128), method: .cut),
    ]

    /// What the network is shown at every task of every step, and the latent in the end, are those of the specification's loop.
    @Test(arguments: runs) func everyStepIsTheSpecifications(_ run: Run) throws {
        let model =
            run.prediction == "v_prediction" ? try ModelVariant.embedded.get() : try ModelVariant.predicting(run.prediction)
        var machine = try RenderMachine(request: run.request, model: model)
        var reference = run.reference
        reference.run()
        var barrier = machine.start()
        var number = -1
        while true {
            if number >= 0 {
                try #require(number < reference.shown.count && barrier.tasks.count == reference.shown[number].count)
                for (task, expected) in zip(barrier.tasks, reference.shown[number]) {
                    let latent = try #require(task.latent)
                    #expect(latent.values.count == expected.count)
                    let worst = zip(latent.values, expected).map { abs(Double($0) - $1) / max(1, abs($1)) }.max() ?? 0
                    #expect(worst < 2e-5, "\(task.title): \(worst)")
                    if case .denoise(let work) = task.work {
                        #expect(work.plan.isPlain)
                        #expect(work.timestep == Float(reference.schedule.timestep(task.step)))
                    }
                }
            }
            #expect(barrier.tasks.map(\.index) == Array(barrier.tasks.indices))
            #expect(barrier.tasks.allSatisfy { $0.contextHash == barrier.context.hash && $0.phase == barrier.phase })
            switch try machine.complete(barrier.tasks.map { StubNetwork.run($0, machine.plan, model) }) {
            case .barrier(let next): barrier = next
            case .finished(let image):
                #expect(number == reference.shown.count - 1)
                #expect((image.width, image.height) == (run.size.width, run.size.height))
                return
            }
            number += 1
        }
    }

    /// A seed gives the noise that PyTorch's CPU generator gives: one latent, or one for each patch.
    @Test func aSeedMeansTorchsNoise() throws {
        for (size, patches) in [(128, 1), (256, 4)] {
            for seed: UInt64 in [0, 42, 42 + (1 << 32)] {
                let request = request { ($0.width, $0.height, $0.seed) = (size, size, seed) }
                let tasks = try Self.afterEncoding(request).barrier.tasks
                var generator = TorchCPUGenerator(seed: seed)
                let noise = (0..<patches).map { _ in generator.normals(count: 1024) }
                #expect(tasks.count == patches)
                // Patches exchange values point by point, so each point's values are compared as a set.
                for point in 0..<1024 {
                    #expect(tasks.compactMap { $0.latent?.values[point] }.sorted() == noise.map { $0[point] }.sorted())
                }
            }
        }
    }

    @Test func otherSeedsGiveOtherPicturesAlsoBeyond32Bits() throws {
        // The initial noise of equal low words is PyTorch's, so it is equal; the interaction takes all 64 bits.
        let tasks = try [6, 7, 6 + (1 << 32)].map { (seed: UInt64) in
            try Self.afterEncoding(request { ($0.width, $0.height, $0.seed) = (256, 256, seed) }).barrier.tasks.map(\.latent)
        }
        #expect(tasks[0] != tasks[1] && tasks[0] != tasks[2])
    }

    @Test func hiDiffusionIsResolvedForEveryTask() throws {
        let request = request {
            ($0.width, $0.height, $0.patch, $0.stride, $0.steps) = (512, 512, 256, 128, 10)
            $0.structureFraction = StructureFraction("0.2")
        }
        var (machine, barrier) = try Self.afterEncoding(request)
        let model = try ModelVariant.embedded.get()
        var shifts: Set<[UInt8]> = []
        while barrier.phase != .decode {
            let plans = barrier.tasks.compactMap { $0.denoiseWork?.plan }
            #expect(plans.count == barrier.tasks.count && plans.allSatisfy { $0 == plans[0] }, "one plan for a step's tasks")
            // Stable Diffusion's stage below 2048 px: the first four steps of ten.
            #expect(plans[0].rad == (barrier.tasks[0].step < 4) && !plans[0].pool)
            #expect(plans[0].windowShifts?.count == 5)
            shifts.insert(plans[0].windowShifts ?? [])
            guard
                case .barrier(let next) = try machine.complete(
                    barrier.tasks.map { StubNetwork.run($0, machine.plan, model) })
            else { break }
            barrier = next
        }
        #expect(shifts.count > 3, "a step has shifts of its own")
    }

    @Test func wrongOutputsAreRefusedAndChangeNothing() throws {
        let model = try ModelVariant.embedded.get()
        for run in [Self.runs[0], Self.runs[4], Self.runs[5], Self.runs[9]] {
            var (machine, clean) = (
                try RenderMachine(request: run.request, model: model), try RenderMachine(request: run.request, model: model)
            )
            var (barrier, cleanBarrier) = (machine.start(), clean.start())
            while true {
                let right = barrier.tasks.map { StubNetwork.run($0, machine.plan, model) }
                for (name, wrong) in Self.damaged(right) {
                    let error = refusal { _ = try machine.complete(wrong) }
                    #expect(error?.isSentence == true, "\(barrier.phase) \(name)")
                    #expect(error?.code == (name == "NaN" ? .nonFinite : .malformed), "\(barrier.phase) \(name)")
                }
                let (outcome, cleanOutcome) = (try machine.complete(right), try clean.complete(right))
                switch (outcome, cleanOutcome) {
                case (.barrier(let next), .barrier(let cleanNext)):
                    #expect(next == cleanNext)
                    (barrier, cleanBarrier) = (next, cleanNext)
                    continue
                case (.finished(let image), .finished(let cleanImage)): #expect(image == cleanImage)
                default: Issue.record("one machine is ahead of the other")
                }
                break
            }
            #expect(cleanBarrier.phase == .decode)
            #expect(refusal { _ = try machine.complete([]) }?.code == .malformed)
            #expect(refusal { _ = try machine.complete([.pixels(width: 1, height: 1, rgb: [0, 0, 0])]) }?.code == .malformed)
        }
    }

    @Test func beforeTheStartThereIsNothingToMerge() throws {
        var machine = try RenderMachine(request: RenderRequest(), model: ModelVariant.embedded.get())
        #expect(refusal { _ = try machine.complete([]) }?.code == .malformed)
    }

    @Test func startedAgainTheMachineBeginsAnew() throws {
        let model = try ModelVariant.embedded.get()
        var machine = try RenderMachine(request: Self.runs[9].request, model: model)
        func threeBarriers() throws -> [Barrier] {
            var barriers = [machine.start()]
            for _ in 0..<3 {
                guard
                    case .barrier(let next) = try machine.complete(
                        barriers[barriers.count - 1].tasks.map { StubNetwork.run($0, machine.plan, model) })
                else { break }
                barriers.append(next)
            }
            return barriers
        }
        let first = try threeBarriers()
        #expect(try threeBarriers() == first)
    }

    @Test func withoutGuidanceThePromptGoesAlone() throws {
        for (scale, rows) in [(Float(1), 1), (0, 1), (1.5, 2)] {
            let request = request { ($0.guidanceScale, $0.negativePrompt) = (scale, "blurry") }
            var machine = try RenderMachine(request: request, model: ModelVariant.embedded.get())
            guard case .encode(let work) = machine.start().tasks[0].work else {
                Issue.record("the first task encodes")
                return
            }
            #expect(work.ids.count == 1 && work.ids[0].count == rows && work.ids[0].allSatisfy { $0.count == 77 })
        }
    }

    private static func afterEncoding(_ request: RenderRequest) throws -> (machine: RenderMachine, barrier: Barrier) {
        let model = try ModelVariant.embedded.get()
        var machine = try RenderMachine(request: request, model: model)
        let outputs = machine.start().tasks.map { StubNetwork.run($0, machine.plan, model) }
        guard case .barrier(let barrier) = try machine.complete(outputs) else {
            throw RenderError(.malformed, "The render ended with the prompts.")
        }
        return (machine, barrier)
    }

    /// Outputs that do not answer their tasks.
    private static func damaged(_ right: [TaskOutput]) -> [(String, [TaskOutput])] {
        var cases: [(String, [TaskOutput])] = [
            ("none", []), ("one more", right + [right[0]]), ("one less", Array(right.dropLast())),
            ("another kind", Array(right.dropLast()) + [.pixels(width: 1, height: 1, rgb: [1, 2, 3])]),
        ]
        func replacingLast(_ name: String, _ output: TaskOutput) { cases.append((name, Array(right.dropLast()) + [output])) }
        switch right[right.count - 1] {
        case .embeddings(let rows, let tokens, let width, var values, _):
            replacingLast("swapped", .embeddings(rows: rows, tokens: width, width: tokens, values: values))
            replacingLast("cut", .embeddings(rows: rows, tokens: tokens, width: width, values: Array(values.dropLast())))
            replacingLast("pooled", .embeddings(rows: rows, tokens: tokens, width: width, values: values, pooled: [1]))
            values[values.count - 1] = .nan
            replacingLast("NaN", .embeddings(rows: rows, tokens: tokens, width: width, values: values))
        case .moments(var latent):
            latent.values[0] = .nan
            replacingLast("NaN", .moments(latent))
        case .prediction(var latent):
            let (channels, height, width) = (latent.channels, latent.height, latent.width)
            replacingLast(
                "flat", .prediction(Latent(channels: channels, height: 1, width: height * width, values: latent.values)))
            replacingLast(
                "channels", .prediction(Latent(channels: channels / 2, height: height * 2, width: width, values: latent.values))
            )
            latent.values[latent.values.count - 1] = .nan
            replacingLast("NaN", .prediction(latent))
            latent.values[latent.values.count - 1] = -.infinity
            replacingLast("NaN", .prediction(latent))
        case .pixels(let width, let height, let rgb):
            replacingLast("turned", .pixels(width: height + 8, height: width, rgb: rgb))
            replacingLast("cut", .pixels(width: width, height: height, rgb: Array(rgb.dropLast())))
        }
        return cases
    }
}

/// `request` under a name that no property hides.
private func madeRequest(_ change: (inout RenderRequest) -> Void) -> RenderRequest { request(change) }

extension RenderTask {
    var denoiseWork: DenoiseWork? { if case .denoise(let work) = work { work } else { nil } }

    /// The latent that the task carries.
    var latent: Latent? {
        switch work {
        case .encode, .encodePicture: nil
        case .denoise(let work): work.latent
        case .decode(let latent): latent
        }
    }
}
