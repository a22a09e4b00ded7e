import Samplers
import StrictJSON
import Testing

/// The reference scales its later batches of views by a wrong sigma; ours does not (vector G12 of the specification). Our
/// sampler receives the call, so every view of a step is scaled alike, whatever came before.
@Suite struct ViewScaleTests {
    private static let sampler = Result {
        let json: JSONValue = [
            "_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "num_train_timesteps": 1000, "steps_offset": 1, "timestep_spacing": "leading",
        ]
        return try Sampler(SchedulerConfiguration(json: json), steps: 50)
    }

    private func factor(_ sampler: Sampler, _ call: Int) -> Float { sampler.scaleInput([1], call: call)[0] }

    @Test func everyBatchOfAStepIsScaledWithItsSigma() throws {
        let sampler = try Self.sampler.get()
        var history = SamplerHistory()
        var x: [Float] = [2]
        for call in 0..<50 {
            let before = factor(sampler, call)
            #expect(abs(before - 1 / (sampler.sigmas[call] * sampler.sigmas[call] + 1).squareRoot()) < 1e-6)
            // The first batch of views has been stepped; the second is still of this call.
            x = sampler.step(modelOutput: [0.5], call: call, sample: x, history: &history)
            #expect(factor(sampler, call) == before)
        }
    }

    /// The factors from the specification, and the excess of the later batches.
    @Test func theReferencesFactorsAreNeighbours() throws {
        let sampler = try Self.sampler.get()
        #expect(abs(factor(sampler, 0) - 0.075997) < 1e-6 && abs(factor(sampler, 1) - 0.085333) < 1e-6)
        for (call, percent) in [(25, Float(4.6)), (40, 1.9)] {
            let excess = factor(sampler, call + 1) / factor(sampler, call) - 1
            #expect(abs(excess * 100 - percent) < 0.06, "step \(call): \(excess)")
        }
        #expect(abs((1 / factor(sampler, 49) - 1) * 100 - 0.09) < 0.006, "the last sigma is 0")
    }
}
