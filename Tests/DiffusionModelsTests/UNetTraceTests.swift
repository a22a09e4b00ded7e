import Acceleration
import DiffusionModels
import TensorCore
import Testing

/// The sizes of feature maps under HiDiffusion, from traces of the reference at true resolutions.
@Suite struct UNetTraceTests {
    private typealias Size = (Int, Int)

    private func trace(_ text: String, _ height: Int, _ width: Int, _ switches: UNetSwitches) throws -> [String: [Int]] {
        let unet = try TestConfiguration.unet(text, ComputeContext(threads: 1))
        let probe = UNetProbe()
        let output = try unet.forward(testInput(unet, height: height, width: width), switches: switches, probe: probe)
        #expect(output.shape == [1, height, width, 4])
        return Dictionary(uniqueKeysWithValues: probe.sizes.map { ($0.name, [$0.height, $0.width]) })
    }

    private func expect(_ trace: [String: [Int]], _ wanted: [String: Int]) {
        for (name, side) in wanted { #expect(trace[name] == [side, side], "\(name)") }
    }

    private static let shifts5: [UInt8] = [0, 1, 2, 3, 1]
    private static let shifts10: [UInt8] = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]

    @Test func stableDiffusionAt1024PixelsWithTheDilatedConvolution() throws {
        let trace = try trace(TestConfiguration.sd15, 128, 128, UNetSwitches(rad: true, windowShifts: Self.shifts5))
        expect(
            trace,
            [
                "down_blocks.0.resnets.1": 128, "down_blocks.0.downsamplers.0": 32, "down_blocks.1.resnets.1": 32,
                "down_blocks.2.resnets.1": 16, "mid_block.resnets.0": 8, "up_blocks.1.upsamplers.0": 32,
                "up_blocks.2.resnets.2": 32, "up_blocks.2.upsamplers.0": 128,
            ])
    }

    @Test func stableDiffusionAt1024PixelsLaterOn() throws {
        let trace = try trace(TestConfiguration.sd15, 128, 128, UNetSwitches(windowShifts: Self.shifts5))
        expect(trace, ["down_blocks.0.downsamplers.0": 64, "mid_block.resnets.1": 16, "up_blocks.2.upsamplers.0": 128])
    }

    /// The three plans of 2048 pixels, at a quarter of the sides so that attention stays small: all sizes are a quarter, too.
    @Test(arguments: [
        (
            UNetSwitches(rad: true, pool: true),
            ["d0.ds": 16, "d1.r0": 16, "d1.r1": 8, "mid": 2, "u1.us": 8, "u2.r1": 8, "u2.r2": 16]
        ),
        (UNetSwitches(rad: true), ["d0.ds": 16, "d1.r0": 16, "d1.r1": 16, "mid": 4, "u1.us": 16, "u2.r1": 16, "u2.r2": 16]),
        (UNetSwitches(), ["d0.ds": 32, "d1.r0": 32, "d1.r1": 32, "mid": 8, "u1.us": 32, "u2.r1": 32, "u2.r2": 32]),
    ])
    func stableDiffusionAt2048Pixels(switches: UNetSwitches, sides: [String: Int]) throws {
        let trace = try trace(TestConfiguration.sd15, 64, 64, switches)
        let names = [
            "d0.ds": "down_blocks.0.downsamplers.0", "d1.r0": "down_blocks.1.resnets.0", "d1.r1": "down_blocks.1.resnets.1",
            "mid": "mid_block.resnets.0", "u1.us": "up_blocks.1.upsamplers.0", "u2.r1": "up_blocks.2.resnets.1",
            "u2.r2": "up_blocks.2.resnets.2",
        ]
        for (key, side) in sides { #expect(trace[names[key] ?? ""] == [side, side], "\(key)") }
        #expect(trace["up_blocks.2.upsamplers.0"] == [64, 64])
    }

    @Test func sdxlWithOddSides() throws {
        let trace = try trace(TestConfiguration.sdxl, 190, 270, UNetSwitches(pool: true, windowShifts: Self.shifts10))
        let wanted = [
            "down_blocks.0.downsamplers.0": [95, 135], "down_blocks.1.resnets.0": [95, 135],
            "down_blocks.1.resnets.1": [48, 68],
            "down_blocks.1.downsamplers.0": [24, 34], "mid_block.resnets.0": [24, 34], "up_blocks.0.upsamplers.0": [48, 68],
            "up_blocks.1.resnets.2": [95, 135], "up_blocks.1.upsamplers.0": [190, 270],
        ]
        for (name, size) in wanted { #expect(trace[name] == size, "\(name)") }
    }

    @Test func sdxlNotSquare() throws {
        let dilated = try trace(TestConfiguration.sdxl, 104, 152, UNetSwitches(rad: true, windowShifts: Self.shifts10))
        #expect(dilated["down_blocks.1.downsamplers.0"] == [13, 19])
        #expect(dilated["up_blocks.0.upsamplers.0"] == [52, 76])
        let pooled = try trace(TestConfiguration.sdxl, 104, 152, UNetSwitches(pool: true, windowShifts: Self.shifts10))
        #expect(pooled["down_blocks.1.resnets.1"] == [26, 38])
        #expect(pooled["up_blocks.0.upsamplers.0"] == [26, 38])
    }

    @Test(arguments: [(1, 1), (3, 5), (7, 9), (16, 31)])
    func everySizeWorks(height: Int, width: Int) throws {
        let context = try ComputeContext(threads: 1)
        let unet = try TestConfiguration.unet(TestConfiguration.sd15, context)
        for plan in [UNetSwitches.plain, UNetSwitches(rad: true, pool: true, windowShifts: Self.shifts5)] {
            let output = try unet.forward(testInput(unet, height: height, width: width), switches: plan)
            #expect(output.shape == [1, height, width, 4])
        }
    }
}
