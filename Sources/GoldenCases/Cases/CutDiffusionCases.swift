import PatchGeometry
import RandomStreams
import Samplers
import StrictJSON

/// Single parts of CutDiffusion.
enum CutDiffusionCases {
    // MARK: Views

    static func views(_ run: CaseRun) throws {
        let parameters = run.parameters
        let (height, width) = (
            try parameters.integer("height", in: 8...65536) / 8, try parameters.integer("width", in: 8...65536) / 8
        )
        let (window, stride) = (
            try parameters.integer("window", in: 1...4096), try parameters.integer("stride", in: 1...4096)
        )
        let jitters = try parameters.flag("jitter")
        let grid = try ViewGrid(height: height, width: width, view: window, stride: stride, jitter: jitters ? nil : 0)
        let margin = grid.jitterRadius
        let padded = try ViewGrid(
            height: height + 2 * margin, width: width + 2 * margin, view: window, stride: stride, jitter: 0)
        guard try parameters.integer("jitter_radius", in: 0...4096) == margin else {
            throw GoldenError.failed("the jitter radius is \(margin)")
        }
        let seed = try parameters.seed("seed")
        var (random, replay) = (PythonRandom(seed: seed), PythonRandom(seed: seed))
        let calls = try parameters.has("calls") ? parameters.integer("calls", in: 1...1000) : 2
        var (corners, extremes, counts, draws): ([Int], [Int], [Int], [Int]) = ([], [], [], [])
        for _ in 0..<calls {
            let views = jitters ? grid.jitteredViews(using: &random) : grid.plainViews
            corners += views.flatMap { [$0.top, $0.top + $0.height, $0.left, $0.left + $0.width] }
            let coverage = grid.coverage(of: views)
            extremes += [coverage.min() ?? 0, coverage.max() ?? 0]
            counts += padded.coverage(of: views)
            if jitters { draws += replayDraws(grid, &replay) }
        }
        run.produce("views", GoldenTensor(integers: corners, shape: [calls, grid.count, 4]))
        run.produce("coverage_min_max", GoldenTensor(integers: extremes, shape: [calls, 2]))
        run.produce("draws", GoldenTensor(integers: draws, shape: [draws.count / 3, 3]))
        if run.expects("count") {
            run.produce("count", GoldenTensor(integers: counts, shape: [calls, padded.height, padded.width]))
        }
    }

    /// The calls of Python's `randint` for one set of views: lowest, highest, value; columns before rows.
    private static func replayDraws(_ grid: ViewGrid, _ random: inout PythonRandom) -> [Int] {
        var draws: [Int] = []
        for view in grid.plainViews {
            for (start, side, length) in [(view.left, view.width, grid.width), (view.top, view.height, grid.height)] {
                let (isFirst, isLast) = (start == 0, start + side == length)
                guard !(isFirst && isLast) else { continue }
                let (low, high) = (isLast ? 0 : -grid.jitterRadius, isFirst ? 0 : grid.jitterRadius)
                draws += [low, high, random.integer(in: low...high)]
            }
        }
        return draws
    }

    /// Views from a case file, each inside the padded canvas.
    static func views(_ values: [Int], _ grid: ViewGrid) throws -> [CanvasView] {
        try stride(from: 0, to: values.count, by: 4).map { at in
            let (top, bottom, left, right) = (values[at], values[at + 1], values[at + 2], values[at + 3])
            guard top >= 0, left >= 0, top < bottom, left < right, bottom <= grid.height + 2 * grid.jitterRadius,
                right <= grid.width + 2 * grid.jitterRadius
            else { throw GoldenError.failed("the view \(values[at..<(at + 4)]) lies outside the padded canvas") }
            return CanvasView(top: top, left: left, height: bottom - top, width: right - left)
        }
    }

    // MARK: Steps

    /// The Euler step from one sigma to the next, as the program's sampler takes it on SDXL's schedule.
    private static func step(_ run: CaseRun) throws -> (sampler: Sampler, step: Int) {
        let (sigma, next) = (try run.parameters.number("sigma"), try run.parameters.number("sigma_next"))
        for steps in 1...1000 {
            let sampler = try SchedulerCases.sampler(sdxlSchedule, steps: steps)
            let pairs = zip(sampler.sigmas, sampler.sigmas.dropFirst())
            let found = pairs.enumerated().first {
                abs(Double($0.element.0) - sigma) <= 2e-6 * sigma && abs(Double($0.element.1) - next) <= 2e-6 * sigma
            }
            if let found { return (sampler, found.offset) }
        }
        throw GoldenError.failed("no step of SDXL's schedule goes from sigma \(sigma) to \(next)")
    }

    /// The scheduler of SDXL checkpoints, which the reference ran with.
    private static let sdxlSchedule: JSONValue = [
        "_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000, "steps_offset": 1, "timestep_spacing": "leading",
    ]

    static func interaction(_ run: CaseRun) throws {
        let count = try run.parameters.integer("patches", in: 1...4096)
        let patches = try run.input("patches", [count, nil, nil, nil])
        let predictions = try run.input("guided_noise_shuffled", patches.shape)
        let (permutations, _) = try run.integers("permutations", patches.shape.dropFirst() + [count])
        let mixing = try interaction(permutations[...], patchCount: count)
        let (sampler, step) = try step(run)
        let owned = mixing.restore(predictions.slices)
        var history = SamplerHistory()
        let after = sampler.step(
            modelOutput: owned.flatMap(\.self), call: step, sample: patches.floats, history: &history)
        run.produce("shuffled", GoldenTensor(mixing.shuffle(patches.slices).flatMap(\.self), shape: patches.shape))
        run.produce("guided_noise", GoldenTensor(owned.flatMap(\.self), shape: patches.shape))
        run.produce("patches_after", GoldenTensor(after, shape: patches.shape))
    }

    /// Permutations from a case file, `patchCount` numbers a position.
    static func interaction(_ permutations: ArraySlice<Int>, patchCount: Int) throws -> PixelInteraction {
        let orders = stride(from: permutations.startIndex, to: permutations.endIndex, by: patchCount).map {
            Array(permutations[$0..<($0 + patchCount)])
        }
        if let wrong = orders.first(where: { $0.sorted() != Array(0..<patchCount) }) {
            throw GoldenError.failed("permutations holds \(wrong), which is no permutation")
        }
        return PixelInteraction(patchCount: patchCount, positionCount: orders.count) { orders[$0] }
    }

    static func relocation(_ run: CaseRun) throws {
        let (rows, columns) = (try run.parameters.integer("sh", in: 1...256), try run.parameters.integer("sw", in: 1...256))
        let side = try run.parameters.integer("native_patch", in: 1...1024)
        let grid = try PatchGrid(height: rows * side, width: columns * side, patch: side)
        let patches = try run.input("patches", [grid.count, nil, side, side])
        let channels = patches.shape[1]
        run.produce(
            "canvas",
            GoldenTensor(grid.relocate(patches.slices, channels: channels), shape: [1, channels, grid.height, grid.width]))
    }

    static func detail(_ run: CaseRun) throws {
        let canvas = try run.input("canvas", [1, nil, nil, nil])
        let channels = canvas.shape[1]
        let side = try run.parameters.integer("native_patch", in: 1...4096)
        let jitter = try run.parameters.integer("jitter_radius", in: 0...((side - 1) / 4))
        // The case does not say the stride. Every stride with this jitter radius makes the same padding.
        let grid = try ViewGrid(height: canvas.shape[2], width: canvas.shape[3], view: side, stride: side - 4 * jitter)
        let views = try views(run.integers("views", [nil, 4]).values, grid)
        guard views.allSatisfy({ $0.height == side && $0.width == side }) else {
            throw GoldenError.failed("the views are not all \(side) latent points wide and high")
        }
        guard grid.coverage(of: views).allSatisfy({ $0 > 0 }) else {
            throw GoldenError.failed("the views do not cover the canvas")
        }
        let noise = try run.input("guided_noise", [views.count, channels, side, side])
        let (sampler, step) = try step(run)
        let crops = grid.crops(of: canvas.floats, channels: channels, views: views)
        // The reference takes a step of every view; the program takes one step of the canvas.
        let stepped = zip(noise.slices, crops).map { output, crop in
            var history = SamplerHistory()
            return sampler.step(modelOutput: output, call: step, sample: crop, history: &history)
        }
        var history = SamplerHistory()
        let after = sampler.step(
            modelOutput: grid.average(noise.slices, channels: channels, views: views), call: step, sample: canvas.floats,
            history: &history)
        run.produce("crops", GoldenTensor(crops.flatMap(\.self), shape: noise.shape))
        run.produce("stepped", GoldenTensor(stepped.flatMap(\.self), shape: noise.shape))
        run.produce("canvas_after", GoldenTensor(after, shape: canvas.shape))
    }
}
