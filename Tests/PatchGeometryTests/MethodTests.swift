import PatchGeometry
import Samplers
import StrictJSON
import TestSupport
import Testing

/// Whole CutDiffusion steps with a network that is a formula, against loops written out plainly.
@Suite struct MethodTests {
    private static let (channels, side) = (2, 8)

    /// ε = 0.3·x + 0.1·(3×3 box sum of x), zeros outside.
    private func network(_ x: [Float], height: Int, width: Int) -> [Float] {
        var result = x
        for c in 0..<Self.channels {
            for row in 0..<height {
                for column in 0..<width {
                    var sum: Float = 0
                    for r in max(0, row - 1)...min(height - 1, row + 1) {
                        for k in max(0, column - 1)...min(width - 1, column + 1) { sum += x[(c * height + r) * width + k] }
                    }
                    let index = (c * height + row) * width + column
                    result[index] = 0.3 * x[index] + 0.1 * sum
                }
            }
        }
        return result
    }

    private func sampler(_ method: SamplingMethod, steps: Int) throws -> Sampler {
        let json: JSONValue = [
            "_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "steps_offset": 1, "timestep_spacing": "leading", "clip_sample": false, "set_alpha_to_one": false,
        ]
        return try Sampler(SchedulerConfiguration(json: json), method: method, steps: steps)
    }

    private func stepped(_ sampler: Sampler, _ output: [Float], _ call: Int, _ sample: [Float]) -> [Float] {
        var history = SamplerHistory()
        return sampler.step(modelOutput: output, call: call, sample: sample, history: &history)
    }

    /// With a noise-free elementwise sampler there are two equal ways: step the owners with their predictions, or shuffle,
    /// step and unshuffle.
    @Test(arguments: [SamplingMethod.ddim, .euler]) func interactionOnlyChangesWhatTheNetworkSees(_ method: SamplingMethod)
        throws
    {
        let sampler = try sampler(method, steps: 5)
        var numbers = TestNumbers(seed: 5)
        var owners = (0..<4).map { _ in numbers.floats(Self.channels * Self.side * Self.side) }
        var shuffledFirst = owners
        for step in 0..<5 {
            let interaction = PixelInteraction(patchCount: 4, positionCount: owners[0].count, seed: 3, step: step)
            func predict(_ patches: [[Float]]) -> [[Float]] {
                patches.map { network(sampler.scaleInput($0, call: step), height: Self.side, width: Self.side) }
            }
            let predictions = interaction.restore(predict(interaction.shuffle(owners)))
            owners = zip(owners, predictions).map { self.stepped(sampler, $1, step, $0) }
            let mixed = interaction.shuffle(shuffledFirst)
            let stepped = zip(mixed, predict(mixed)).map { self.stepped(sampler, $1, step, $0) }
            shuffledFirst = interaction.restore(stepped)
            #expect(owners == shuffledFirst, "step \(step)")
        }
    }

    /// Views, padding and averaging against a loop over canvas points that asks every view for its value.
    @Test(arguments: [4, 6, 8]) func detailStepsAverageSteppedViews(_ stride: Int) throws {
        let (height, width) = (20, 28)
        let sampler = try sampler(.euler, steps: 6)
        let grid = try ViewGrid(height: height, width: width, window: Self.side, stride: stride)
        var numbers = TestNumbers(seed: 6)
        var canvas = numbers.floats(Self.channels * height * width)
        for step in 3..<6 {
            let views = grid.jitteredViews(seed: 1, step: step)
            let crops = grid.crops(of: canvas, channels: Self.channels, views: views)
            let stepped = crops.map { crop in
                let prediction = network(sampler.scaleInput(crop, call: step), height: Self.side, width: Self.side)
                return self.stepped(sampler, prediction, step, crop)
            }
            let next = grid.average(stepped, channels: Self.channels, views: views)
            #expect(next == plainAverage(stepped, views, grid), "step \(step)")
            canvas = next
        }
    }

    private func plainAverage(_ patches: [[Float]], _ views: [PatchView], _ grid: ViewGrid) -> [Float] {
        (0..<Self.channels).flatMap { c in
            (0..<grid.height).flatMap { y in
                (0..<grid.width).map { x in
                    var (sum, count): (Float, Float) = (0, 0)
                    for (patch, view) in zip(patches, views) {
                        let (row, column) = (y + grid.jitterRadius - view.top, x + grid.jitterRadius - view.left)
                        guard (0..<view.height).contains(row), (0..<view.width).contains(column) else { continue }
                        sum += patch[(c * view.height + row) * view.width + column]
                        count += 1
                    }
                    return sum / count
                }
            }
        }
    }
}
