import Acceleration
import PatchGeometry
import RandomStreams
import Samplers
import TestSupport
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
        var eta: Float?
        var seed: UInt64 = 6

        var description: String {
            "\(size.width)×\(size.height) \(method) \(stride ?? 0) \(steps) \(sampling) \(prediction) eta \(eta ?? -1) seed \(seed)"
        }

        var request: RenderRequest {
            madeRequest {
                ($0.width, $0.height, $0.method, $0.stride) = (size.width, size.height, method, stride)
                ($0.steps, $0.samplingMethod, $0.eta, $0.seed) = (steps, sampling, eta, seed)
                $0.structureFraction = method == .cut ? .half : nil
                $0.hiDiffusion = .off
            }
        }

        /// The cut of the canvas by the specification: half of the calls, rounded up to the next beginning of a step, are
        /// structure.
        func cut(_ sampler: Sampler) throws -> PlainRender.Cut? {
            guard method == .cut else { return nil }
            let half = ((sampler.calls + 1) / 2..<sampler.calls).first(where: sampler.isStepStart(call:))
            return try PlainRender.Cut(
                height: size.height / 8, width: size.width / 8, stride: (stride ?? 64) / 8, structureCalls: #require(half))
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
        Run(size: (256, 256), method: .cut, steps: 6, eta: 0.7, seed: 13),
        Run(size: (384, 256), method: .cut, steps: 6, sampling: .euler, eta: 0, seed: 13),
        Run(size: (128, 256), method: .cut, steps: 6, eta: 0, seed: 13),
        Run(size: (200, 328), method: .cut, steps: 6, eta: 0, seed: 13),
        Run(size: (200, 328), method: .cut, steps: 6, sampling: .dpmpp2m, seed: 13),
        Run(size: (200, 328), method: .cut, steps: 6, sampling: .dpmppSDE, seed: 13),
    ]

    /// Every sampler that the embedded model takes, with either method.
    static let samplerRuns = MachineTests.methods.flatMap {
        [
            Run(size: (96, 64), sampling: $0), Run(size: (256, 256), method: .cut, steps: 6, sampling: $0, seed: 13),
        ]
    }

    /// The input of the network at every task of every step, and the latent in the end, equal those of the plain loop.
    @Test(arguments: runs + samplerRuns) func everyStepIsTheSpecifications(_ run: Run) throws {
        let model =
            run.prediction == "v_prediction" ? try ModelVariant.embedded.get() : try ModelVariant.predicting(run.prediction)
        let sampler = try Sampler(
            model.scheduler, method: run.sampling, steps: run.steps, eta: run.eta.map { Double($0) })
        var plain = PlainRender(sampler: sampler, seed: run.seed)
        let cut = try run.cut(sampler)
        let latent = try plain.pass(height: run.size.height / 8, width: run.size.width / 8, cut: cut)
        let (barriers, image) = try FormulaNetwork.render(RenderMachine(request: run.request, model: model))
        #expect(barriers.dropFirst().map { $0.latents.map { $0?.values } } == plain.shown + [[latent]])
        let phases = (0..<sampler.calls).map { (call: Int) -> RenderPhase in
            cut.map { call < $0.structureCalls ? .structure : .detail } ?? .denoise
        }
        #expect(barriers.map(\.phase) == [.encode] + phases + [.decode])
        #expect((image.width, image.height) == (run.size.width, run.size.height))
        #expect(image.rgb.count == image.width * image.height * 3)
        for task in barriers.flatMap(\.tasks) {
            guard let work = task.denoiseWork else { continue }
            #expect(work.switches == .plain && work.timestep == Float(sampler.timesteps[task.call]))
        }
        for barrier in barriers {
            #expect(barrier.tasks.map(\.index) == Array(barrier.tasks.indices))
            #expect(barrier.tasks.allSatisfy { $0.contextHash == barrier.context.hash && $0.phase == barrier.phase })
        }
    }

    /// A seed gives the noise that PyTorch's CPU generator gives: one latent, or one for each patch.
    @Test func aSeedMeansTorchsNoise() throws {
        for (size, patches) in [(128, 1), (256, 4)] {
            for seed: UInt64 in [0, 42, 42 + (1 << 32)] {
                let request = request { ($0.width, $0.height, $0.seed) = (size, size, seed) }
                let tasks = try Self.afterEncoding(request).tasks
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
            try Self.afterEncoding(request { ($0.width, $0.height, $0.seed) = (256, 256, seed) }).tasks.map(\.latent)
        }
        #expect(tasks[0] != tasks[1] && tasks[0] != tasks[2])
    }

    @Test func wrongOutputsAreRefusedAndChangeNothing() throws {
        let model = try ModelVariant.embedded.get()
        for run in [Self.runs[0], Self.runs[4], Self.runs[5], Self.runs[9]] {
            var (machine, clean) = (
                try RenderMachine(request: run.request, model: model), try RenderMachine(request: run.request, model: model)
            )
            var (barrier, cleanBarrier) = (machine.start(), clean.start())
            while true {
                let right = try FormulaNetwork.outputs(barrier, machine)
                for (name, wrong) in Self.damaged(right) {
                    let error = refusal { _ = try machine.complete(wrong) }
                    #expect(error?.isSentence == true, "\(barrier.phase) \(name)")
                    #expect(error?.code == (name == "NaN" ? .nonFinite : .malformed), "\(barrier.phase) \(name)")
                    if name == "NaN", [.structure, .detail].contains(barrier.phase) {
                        #expect(error?.message.contains(barrier.phase.rawValue) == true)
                    }
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
                let outputs = try FormulaNetwork.outputs(barriers[barriers.count - 1], machine)
                guard case .barrier(let next) = try machine.complete(outputs) else { break }
                barriers.append(next)
            }
            return barriers
        }
        let first = try threeBarriers()
        #expect(try threeBarriers() == first)
    }

    private static func afterEncoding(_ request: RenderRequest) throws -> Barrier {
        try #require(
            FormulaNetwork.render(RenderMachine(request: request, model: ModelVariant.embedded.get())).barriers.dropFirst()
                .first)
    }

    /// Outputs that do not fit their tasks.
    private static func damaged(_ right: [TaskOutput]) -> [(String, [TaskOutput])] {
        var cases: [(String, [TaskOutput])] = [
            ("none", []), ("one more", right + [right[0]]), ("one less", Array(right.dropLast())),
            ("another kind", Array(right.dropLast()) + [.pixels(width: 1, height: 1, rgb: [1, 2, 3])]),
            ("text", Array(right.dropLast()) + [.embeddings(rows: 1, tokens: 1, width: 1, values: [0])]),
        ]
        func replacingLast(_ name: String, _ output: TaskOutput) { cases.append((name, Array(right.dropLast()) + [output])) }
        let last = right[right.count - 1]
        var values = last.values
        for bad in [Float.nan, -.infinity] where !values.isEmpty {
            values[values.count - 1] = bad
            replacingLast("NaN", TaskOutput(last.shape, values))
        }
        let (height, width) = (last.shape["height"], last.shape["width"])
        switch last.shape.kind {
        case "embeddings":
            let (rows, tokens) = (last.shape["rows"], last.shape["tokens"])
            replacingLast("swapped", .embeddings(rows: rows, tokens: width, width: tokens, values: last.values))
            replacingLast(
                "pooled",
                .embeddings(
                    rows: rows, tokens: tokens, width: width, values: last.values, pooled: Array(repeating: 1, count: rows)))
        case "prediction":
            let channels = last.shape["channels"]
            replacingLast(
                "flat", .prediction(Latent(channels: channels, height: 1, width: height * width, values: last.values)))
            replacingLast(
                "channels", .prediction(Latent(channels: channels / 2, height: height * 2, width: width, values: last.values))
            )
        case "pixels":
            replacingLast("turned", .pixels(width: height * 2, height: width / 2, rgb: last.rgb))
            replacingLast("cut", .pixels(width: width, height: height - 1, rgb: Array(last.rgb.dropLast(3 * width))))
        default: break
        }
        return cases
    }
}

/// `request` under a name that no property hides.
private func madeRequest(_ change: (inout RenderRequest) -> Void) -> RenderRequest { request(change) }

extension RenderTask {
    var denoiseWork: DenoiseWork? { work as? DenoiseWork }

    /// The latent that the task carries.
    var latent: Latent? { denoiseWork?.latent }
}

extension Barrier {
    /// The latents of its tasks. The latent of a task that decodes is in the context.
    var latents: [Latent?] { tasks.map { $0.latent ?? decoded } }

    /// The latent that is decoded.
    var decoded: Latent? {
        guard case .latent(let latent, _, _) = (base ?? context).tiles else { return nil }
        return latent
    }
}

extension TaskRunner {
    /// A task that decodes a latent as one tile. Its context is open.
    func decodeTask(_ latent: Latent) throws -> RenderTask {
        let context = JobContext(
            modelIdentity: modelIdentities[0],
            tiles: .latent(latent, tileHeight: latent.height, tileWidth: latent.width))
        try open(context)
        return RenderTask(
            phase: .decode, call: 0, index: 0, contextHash: context.hash,
            work: DecodeWork(tile: 0, height: latent.height, width: latent.width, isLast: true))
    }
}
