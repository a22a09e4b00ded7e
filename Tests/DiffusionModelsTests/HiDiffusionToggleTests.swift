import Acceleration
import DiffusionModels
import TensorCore
import TestSupport
import Testing

/// HiDiffusion's halves alone, and guidance's halves alone (vectors G22 and G24 of the specification).
@Suite struct HiDiffusionToggleTests {
    private static let configurations = [TestConfiguration.sd15, TestConfiguration.sdxl]

    private func network(_ text: String, _ backend: BackendChoice = .auto) throws -> UNet {
        try TestConfiguration.unet(text, ComputeContext(backend: backend, threads: 1))
    }

    private func shifts(_ unet: UNet, _ first: Int = 1) -> [UInt8] {
        (0..<unet.windowBlockCount).map { UInt8(($0 + first) % 4) }
    }

    private struct Result {
        var values: [Float]
        var trace: [[Int]]
    }

    private func run(_ unet: UNet, _ input: UNetInput, _ switches: UNetSwitches) throws -> Result {
        let probe = UNetProbe()
        let output = try unet.forward(input, switches: switches, probe: probe)
        return Result(values: output.array, trace: probe.sizes.map { [$0.height, $0.width] })
    }

    /// RAU-Net alone gives the feature maps the sizes that they have with both halves on; windows alone leave the plain sizes.
    /// Each gives its own result. After both were on, the plain network gives its first result again. The size of the picture
    /// is odd at some level.
    @Test(arguments: configurations) func eachHalfActsAlone(_ text: String) throws {
        let unet = try network(text)
        let input = testInput(unet, height: 26, width: 38)
        let plain = try run(unet, input, .plain)
        let windows = try run(unet, input, UNetSwitches(windowShifts: shifts(unet)))
        #expect(windows.trace == plain.trace && windows.values != plain.values)
        var seen = [plain.values, windows.values]
        for (rad, pool) in [(true, false), (false, true), (true, true)] {
            let raunet = try run(unet, input, UNetSwitches(rad: rad, pool: pool))
            let both = try run(unet, input, UNetSwitches(rad: rad, pool: pool, windowShifts: shifts(unet)))
            #expect(raunet.trace == both.trace && raunet.trace != plain.trace)
            seen += [raunet.values, both.values]
            // Off again: the result equals the one from before, and the result of a network that never had HiDiffusion.
            #expect(try run(unet, input, .plain).values == plain.values)
        }
        #expect(Set(seen).count == seen.count, "two switches did the same")
        #expect(try run(network(text), input, .plain).values == plain.values)
    }

    private func row(_ input: UNetInput, _ index: Int) -> UNetInput {
        func cut(_ tensor: Tensor) -> Tensor {
            let size = tensor.count / 2
            return Tensor(Array(tensor.array[(index * size)..<((index + 1) * size)]), shape: [1] + tensor.shape.dropFirst())
        }
        return UNetInput(
            sample: cut(input.sample), timesteps: input.timesteps, text: cut(input.text.vectors),
            textEmbeds: input.textEmbeds.map(cut), timeIDs: input.timeIDs.map(cut))
    }

    /// The two halves of guidance: one latent, two prompts.
    private func guided(_ unet: UNet) -> UNetInput {
        var input = testInput(unet, height: 24, width: 40, batch: 2)
        let half = Array(input.sample.array.prefix(input.sample.count / 2))
        input.sample = Tensor(half + half, shape: input.sample.shape)
        return input
    }

    @Test(arguments: configurations, BackendChoice.libraries)
    func guidancesHalvesMayGoApart(_ text: String, _ backend: BackendChoice) throws {
        let unet = try network(text, backend)
        let input = guided(unet)
        // OpenBLAS adds up in an order that depends on the number of rows and on the processor. In outputs up to 5 the last
        // bits differ, by at most 1.1e-5 on the processors seen (Zen 3 to 5, Xeon). A render never depends on it, because a
        // task holds both halves.
        let largest = backend == .onednn ? 1e-6 : 2e-5
        for (rad, pool) in [(false, false), (true, false), (false, true)] {
            let switches = UNetSwitches(rad: rad, pool: pool, windowShifts: shifts(unet))
            let together = try unet.forward(input, switches: switches).array
            let apart = try (0..<2).map { try unet.forward(row(input, $0), switches: switches).array }
            let closeness = Closeness(apart[0] + apart[1], together)
            #expect(closeness.within(largest: largest), "\(closeness)")
            // With other windows for one half the difference of the halves changes, and guidance multiplies it.
            let other = UNetSwitches(rad: rad, pool: pool, windowShifts: shifts(unet, 2))
            let prompted = try unet.forward(row(input, 1), switches: other).array
            #expect(Closeness(prompted, apart[1]).largestError > 1e-4)
        }
    }
}
