import Acceleration
import PatchGeometry
import RandomStreams
import Samplers

@testable import Rendering

/// The second opinion on the machine: direct rendering, CutDiffusion (specification 1.3 to 1.10) and views, as one plain
/// loop with `FormulaNetwork` or a network that is given. Every patch of the structure phase has a history of its own, where
/// the machine has one for all.
struct PlainRender {
    /// The cut of a canvas.
    struct Cut {
        var grid: PatchGrid
        var views: ViewGrid
        var blending = ViewBlending.uniform
        /// Calls of the structure phase, counted from the first of the schedule.
        var structureCalls: Int

        /// Patches and views of 128 px or another side, cut in latents.
        init(
            height: Int, width: Int, side: Int = 16, stride: Int = 8, jitter: Int? = nil, blending: ViewBlending = .uniform,
            structureCalls: Int
        ) throws {
            grid = try PatchGrid(height: height, width: width, patch: side)
            views = try ViewGrid(height: height, width: width, view: side, stride: stride, jitter: jitter)
            (self.blending, self.structureCalls) = (blending, structureCalls)
        }
    }

    let sampler: Sampler
    let seed: UInt64
    /// The inputs of the network: by call, by task.
    private(set) var shown: [[[Float]]] = []
    private var generator: TorchCPUGenerator
    private let network: (Input) throws -> [Float]

    /// One input of the network, scaled as the sampler asks.
    struct Input {
        var values: [Float]
        var size: (height: Int, width: Int)
        var call: Int
        var timestep: Float
        /// The view of a task of the detail phase.
        var view: CanvasView?
    }

    init(
        sampler: Sampler, seed: UInt64,
        network: @escaping (Input) throws -> [Float] = {
            FormulaNetwork.prediction(
                $0.values, channels: 4, height: $0.size.height, width: $0.size.width, timestep: $0.timestep)
        }
    ) {
        (self.sampler, self.seed, self.network, generator) = (sampler, seed, network, TorchCPUGenerator(seed: seed))
    }

    mutating func noise(_ count: Int) -> [Float] { generator.normals(count: count) }

    /// One pass from noise, or from `image` under noise, to its result.
    ///
    /// - Parameters:
    ///   - first: the call with which it begins.
    ///   - draws: the first number of its random draws.
    mutating func pass(
        height: Int, width: Int, cut: Cut? = nil, from image: [Float]? = nil, first: Int = 0, draws: Int = 0
    ) throws -> [Float] {
        var pieces = begun(height * width, cut.flatMap { $0.structureCalls > first ? $0.grid : nil }, image, first)
        var histories = [SamplerHistory](repeating: SamplerHistory(), count: pieces.count)
        for call in first..<sampler.calls {
            if let cut, call == cut.structureCalls, first < call {
                (pieces, histories) = ([cut.grid.relocate(pieces, channels: 4)], [relocated(histories, cut.grid)])
            }
            let predictions = try predictions(pieces, (height, width), cut, call, draws)
            let maps = (0..<sampler.noiseMaps(call: call)).map { _ in pieces.map { noise($0.count) } }
            for n in pieces.indices {
                pieces[n] = sampler.step(
                    modelOutput: predictions[n], call: call, sample: pieces[n], noise: maps.map { $0[n] },
                    history: &histories[n])
            }
        }
        return pieces[0]
    }

    /// The noisy start: the canvas, or the patches of `grid`, each under noise of its own.
    private mutating func begun(_ area: Int, _ grid: PatchGrid?, _ image: [Float]?, _ first: Int) -> [[Float]] {
        let images = image.map { image in grid.map { $0.deal(image, channels: 4) } ?? [image] }
        return (0..<(grid?.count ?? 1)).map { n in
            let fresh = noise(4 * (grid.map { $0.patchHeight * $0.patchWidth } ?? area))
            guard let images else { return fresh.map { $0 * sampler.initialNoiseScale } }
            return sampler.addNoise(to: images[n], noise: fresh, call: first)
        }
    }

    private mutating func predictions(
        _ pieces: [[Float]], _ size: (Int, Int), _ cut: Cut?, _ call: Int, _ draws: Int
    ) throws -> [[Float]] {
        guard let cut else { return try predicted(pieces, size, call) }
        if call < cut.structureCalls {
            let interaction = PixelInteraction(
                patchCount: pieces.count, positionCount: pieces[0].count, seed: seed, call: draws + call)
            let mixed = interaction.shuffle(pieces)
            return interaction.restore(try predicted(mixed, (cut.grid.patchHeight, cut.grid.patchWidth), call))
        }
        let boxes = cut.views.jitteredViews(seed: seed, call: draws + call)
        let crops = cut.views.crops(of: pieces[0], channels: 4, views: boxes)
        let predictions = try predicted(crops, (cut.views.viewHeight, cut.views.viewWidth), call, boxes)
        return [cut.views.average(predictions, channels: 4, views: boxes, blending: cut.blending)]
    }

    private mutating func predicted(
        _ inputs: [[Float]], _ size: (Int, Int), _ call: Int, _ views: [CanvasView]? = nil
    ) throws -> [[Float]] {
        let scaled = inputs.map { sampler.scaleInput($0, call: call) }
        shown.append(scaled)
        return try scaled.enumerated().map { index, values in
            try network(
                Input(
                    values: values, size: size, call: call, timestep: Float(sampler.timesteps[call]), view: views?[index]))
        }
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
}
