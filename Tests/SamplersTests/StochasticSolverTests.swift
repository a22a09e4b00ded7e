import Foundation
import Samplers
import Testing

/// DPM++ SDE against its plain formulas, on a Brownian path that is fixed beforehand.
@Suite struct StochasticSolverTests {
    /// k-diffusion's loop in doubles. Every noise is an increment of one path W over sigma, divided by the root of its
    /// length.
    private func plain(_ sigmas: [Double], path: (Double) -> Double, start: Double, network: (Double, Double) -> Double)
        -> Double
    {
        func parts(_ from: Double, _ to: Double) -> (down: Double, up: Double) {
            let up = (to * to * (from * from - to * to) / (from * from)).squareRoot()
            return ((to * to - up * up).squareRoot(), up)
        }
        func noise(_ from: Double, _ to: Double) -> Double { (path(from) - path(to)) / (from - to).squareRoot() }
        var x = start
        for (sigma, next) in zip(sigmas, sigmas.dropFirst()) {
            let clean = network(x, sigma)
            guard next > 0 else { return clean }
            let middle = exp((log(sigma) + log(next)) / 2)
            let first = parts(sigma, middle)
            let between = first.down / sigma * x + (1 - first.down / sigma) * clean + first.up * noise(sigma, middle)
            let second = parts(sigma, next)
            x = second.down / sigma * x + (1 - second.down / sigma) * network(between, middle) + second.up * noise(sigma, next)
        }
        return x
    }

    @Test func followsOneBrownianPath() throws {
        let sampler = try Sampler(
            SamplerPropertyTests.configuration(.dpmppSDE), method: .dpmppSDE, noiseSchedule: .karras, steps: 9)
        let levels = [0] + (0..<9).map { $0 == 0 ? 0 : 2 * $0 - 1 }.dropFirst() + [sampler.sigmas.count - 1]
        let sigmas = levels.map { Double(sampler.sigmas[$0]) }
        // Unit maps in the order of the draws, and their path: its value falls by each increment.
        let maps: [Float] = [0.3, -1.2, 0.7, 0.1, -0.4, 2, -0.9, 0.2, 1.1, -0.6, 0.5, 0.8, -1.5, 0.05, 0.6, -0.3]
        var (places, values): ([Double], [Double]) = ([sigmas[0]], [0])
        for step in 0..<8 {
            let (sigma, next) = (sigmas[step], sigmas[step + 1])
            let middle = exp((log(sigma) + log(next)) / 2)
            places += [middle, next]
            values.append((values.last ?? 0) - Double(maps[2 * step]) * (sigma - middle).squareRoot())
            values.append((values.last ?? 0) - Double(maps[2 * step + 1]) * (middle - next).squareRoot())
        }
        func path(_ sigma: Double) -> Double {
            let near = places.indices.min { abs(places[$0] - sigma) < abs(places[$1] - sigma) } ?? 0
            return values[near]
        }
        let network = { (x: Double, sigma: Double) in 0.7 * x / (1 + sigma * sigma) + 0.2 }
        let expected = plain(sigmas, path: path, start: 5, network: network)
        var (sample, history, drawn): ([Float], SamplerHistory, Int) = ([5], SamplerHistory(), 0)
        for call in 0..<sampler.calls {
            let sigma =
                call % 2 == 0 ? sigmas[call / 2] : exp((log(sigmas[call / 2]) + log(sigmas[call / 2 + 1])) / 2)
            let output = (Double(sample[0]) - network(Double(sample[0]), sigma)) / sigma
            let noise = maps[drawn..<(drawn + sampler.noiseMaps(call: call))].map { [$0] }
            drawn += noise.count
            sample = sampler.step(modelOutput: [Float(output)], call: call, sample: sample, noise: noise, history: &history)
        }
        #expect(drawn == 16 && abs(Double(sample[0]) - expected) < 1e-4, "\(sample[0]) for \(expected)")
    }

    /// If data and noise are Gaussian, the whole run is linear. So the variance of its result is the sum of the contributions
    /// of all draws, and must equal the variance of the data.
    @Test(arguments: [SamplingMethod.dpmppSDE, .dpmpp2sAncestral, .dpm2Ancestral, .eulerAncestral, .dpmpp2mSDE])
    func theResultHasTheVarianceOfTheData(_ method: SamplingMethod) throws {
        let sampler = try Sampler(SamplerPropertyTests.configuration(method), method: method, noiseSchedule: .karras, steps: 80)
        let draws = (0..<sampler.calls).map(sampler.noiseMaps(call:)).reduce(0, +)
        // Element 0 carries the start, every other one the noise of one draw.
        var sample = [Float](repeating: 0, count: draws + 1)
        sample[0] = sampler.initialNoiseScale
        var (history, drawn) = (SamplerHistory(), 0)
        for call in 0..<sampler.calls {
            let shown = sampler.scaleInput(sample, call: call)
            let time = sampler.timesteps[call]
            let low = min(Int(time), 998)
            let (a, b) = (sampler.noiseSchedule.alphasCumprod[low], sampler.noiseSchedule.alphasCumprod[low + 1])
            let alpha = a + (b - a) * Float(time - Double(low))
            let output = shown.map { $0 * (1 - alpha).squareRoot() }
            let noise = (0..<sampler.noiseMaps(call: call)).map { map in
                (0...draws).map { Float($0 == drawn + map + 1 ? 1 : 0) }
            }
            drawn += noise.count
            sample = sampler.step(modelOutput: output, call: call, sample: sample, noise: noise, history: &history)
        }
        let variance = sample.reduce(0) { $0 + Double($1) * Double($1) }
        // Euler's method is of first order.
        #expect(abs(variance - 1) < (method == .eulerAncestral ? 0.1 : 0.05), "\(variance)")
    }
}
