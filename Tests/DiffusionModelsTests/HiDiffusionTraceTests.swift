import Acceleration
import DiffusionModels
import TensorCore
import Testing

/// The sizes of all feature maps and windows at the resolutions of the specification's section 3.5, on networks of the true
/// arrangement with few channels (vectors G20 and G29).
///
/// Keys and values are downsampled by eight, which changes no size. Otherwise attention at these resolutions would take
/// minutes.
@Suite struct HiDiffusionTraceTests {
    struct Row: Sendable, CustomStringConvertible {
        var profile: HiDiffusionProfile
        var size: (height: Int, width: Int)
        /// The steps, of fifty, with these switches and so with this trace.
        var steps: [Int]
        /// Sides in the order of `sdxlPlaces` or `sdPlaces`.
        var sides: [(Int, Int)]
        /// Tokens of each window block in execution order.
        var windows: [Int]

        var description: String { "\(profile) \(size.height)×\(size.width) at \(steps)" }

        init(
            _ profile: HiDiffusionProfile, _ size: (Int, Int), _ steps: [Int], _ sides: [(Int, Int)], windows: [Int]
        ) {
            (self.profile, self.size, self.steps, self.sides, self.windows) = (profile, size, steps, sides, windows)
        }

        /// A square size.
        init(_ profile: HiDiffusionProfile, _ side: Int, _ steps: [Int], _ sides: [Int], windows: [Int]) {
            self.init(profile, (side, side), steps, sides.map { ($0, $0) }, windows: windows)
        }

        func switches(_ step: Int) -> RAUNetSwitches {
            RAUNetSwitches(profile: profile, height: size.height, width: size.width, steps: 50, step: step)
        }
    }

    /// Places with one size in every row of the specification's tables: d is down, u up, r a residual block, s the sampler
    /// after them, m the middle.
    private static let sdxlPlaces = ["d0", "d0s", "d1r0", "d1r1", "d1s", "d2 m u0", "u0s", "u1r0 u1r1", "u1r2", "u1s u2"]
    private static let sdPlaces = [
        "d0", "d0s", "d1r0", "d1r1", "d1s d2 u0s u1", "d2s d3 m u0", "u1s", "u2r0 u2r1", "u2r2", "u2s u3",
    ]

    private static func windows(_ outer: Int, _ inner: Int) -> [Int] {
        [outer, outer] + [Int](repeating: inner, count: 6) + [outer, outer]
    }

    static let rows: [Row] = [
        Row(.sdxl, 256, [0, 7], [256, 128, 128, 128, 32, 32, 128, 128, 128, 256], windows: windows(4096, 4096)),
        Row(.sdxl, 256, [8, 19], [256, 128, 128, 64, 32, 32, 64, 64, 128, 256], windows: windows(4096, 1024)),
        Row(.sdxl, 256, [20, 49], [256, 128, 128, 128, 64, 64, 128, 128, 128, 256], windows: windows(4096, 4096)),
        Row(.sdxl, 512, [0, 14], [512, 256, 256, 128, 32, 32, 128, 128, 256, 512], windows: windows(16384, 4096)),
        Row(.sdxl, 512, [15, 34], [512, 256, 256, 128, 64, 64, 128, 128, 256, 512], windows: windows(16384, 4096)),
        Row(.sdxl, 512, [35, 49], [512, 256, 256, 256, 128, 128, 256, 256, 256, 512], windows: windows(16384, 16384)),
        Row(.sdxlInpainting, 256, [0, 8, 19], [256, 128, 128, 64, 32, 32, 64, 64, 128, 256], windows: windows(4096, 1024)),
        Row(.sdxlPlayground, 256, [20, 49], [256, 128, 128, 128, 64, 64, 128, 128, 128, 256], windows: windows(4096, 4096)),
        Row(.sdxlTurbo, 128, [0, 24], [128, 64, 64, 32, 16, 16, 32, 32, 64, 128], windows: windows(1024, 256)),
        Row(.sdxlTurbo, 128, [25, 49], [128, 64, 64, 64, 32, 32, 64, 64, 64, 128], windows: windows(1024, 1024)),
        // The profile of 2048 px, because one side is below 512.
        Row(
            .sdxl, (256, 512), [0, 7],
            [256, 128, 128, 128, 32, 32, 128, 128, 128, 256].map { ($0, 2 * $0) }, windows: windows(8192, 8192)),
        Row(
            .sdxl, (208, 304), [0, 7], [8, 4, 4, 4, 1, 1, 4, 4, 4, 8].map { ($0 * 26, $0 * 38) },
            windows: windows(3952, 3952)),
        Row(
            .sdxl, (208, 304), [8, 19], [8, 4, 4, 2, 1, 1, 2, 2, 4, 8].map { ($0 * 26, $0 * 38) },
            windows: windows(3952, 988)),
        Row(
            .sdxl, (208, 304), [20], [4, 2, 2, 2, 1, 1, 2, 2, 2, 4].map { ($0 * 52, $0 * 76) },
            windows: windows(3952, 3952)),
        Row(
            .sdxl, (190, 270), [8, 19],
            [
                (190, 270), (95, 135), (95, 135), (48, 68), (24, 34), (24, 34), (48, 68), (48, 68), (95, 135), (190, 270),
            ], windows: windows(3264, 816)),
        Row(.sd15, 128, [0, 19], [128, 32, 32, 32, 16, 8, 32, 32, 32, 128], windows: [Int](repeating: 4096, count: 5)),
        Row(.sd15, 128, [20, 49], [128, 64, 64, 64, 32, 16, 64, 64, 64, 128], windows: [Int](repeating: 4096, count: 5)),
        Row(.sd15, 256, [0, 14], [256, 64, 64, 32, 16, 8, 32, 32, 64, 256], windows: [Int](repeating: 16384, count: 5)),
        Row(.sd15, 256, [15, 34], [256, 64, 64, 64, 32, 16, 64, 64, 64, 256], windows: [Int](repeating: 16384, count: 5)),
        Row(
            .sd15, 256, [35, 49], [256, 128, 128, 128, 64, 32, 128, 128, 128, 256], windows: [Int](repeating: 16384, count: 5)),
        // At the native size the features are half as large as the model knows them. The guard prevents this.
        Row(.sdxl, 128, [0, 7], [128, 64, 64, 64, 16, 16, 64, 64, 64, 128], windows: windows(1024, 1024)),
        Row(.sdxl, 128, [8, 19], [128, 64, 64, 32, 16, 16, 32, 32, 64, 128], windows: windows(1024, 256)),
        Row(.sdxl, 128, [20], [128, 64, 64, 64, 32, 32, 64, 64, 64, 128], windows: windows(1024, 1024)),
        Row(.sd15, 64, [0, 19], [64, 16, 16, 16, 8, 4, 16, 16, 16, 64], windows: [Int](repeating: 1024, count: 5)),
        Row(.sd15, 64, [20], [64, 32, 32, 32, 16, 8, 32, 32, 32, 64], windows: [Int](repeating: 1024, count: 5)),
    ]

    @Test(arguments: rows) func sizesAreThoseOfTheReference(_ row: Row) throws {
        let isSD = row.profile == .sd15
        let unet = try TestConfiguration.unet(
            isSD ? TestConfiguration.sd15 : TestConfiguration.sdxl, ComputeContext(threads: 1))
        let plans = row.steps.map { step in
            let switches = row.switches(step)
            return UNetSwitches(
                rad: switches.rad, pool: switches.pool, windowShifts: (0..<unet.windowBlockCount).map { UInt8($0 % 4) })
        }
        #expect(plans.allSatisfy { $0 == plans[0] })
        var plan = plans[0]
        for level in Set(unet.blockLevels) { plan.tokens.reductions[level] = .downsampling(TokenDownsampling(factor: 8)) }
        let probe = UNetProbe()
        var input = testInput(unet, height: 8, width: 8)
        input.sample = Tensor(repeating: 0.25, shape: [1, row.size.height, row.size.width, 4])
        #expect(try unet.forward(input, switches: plan, probe: probe).shape == input.sample.shape)
        let expected = zip(isSD ? Self.sdPlaces : Self.sdxlPlaces, row.sides).flatMap { places, side in
            places.split(separator: " ").map { (place: $0, side: [side.0, side.1]) }
        }
        for entry in probe.sizes {
            let place = try #require(Self.place(entry.name))
            let known = expected.filter { place.hasPrefix($0.place) }.max { $0.place.count < $1.place.count }
            #expect([entry.height, entry.width] == known?.side, "\(entry.name)")
        }
        #expect(probe.sizes.count == (isSD ? 8 + 3 + 2 + 12 + 3 : 6 + 2 + 2 + 9 + 2))
        #expect(try Self.windowTokens(probe, isSD: isSD) == row.windows)
    }

    /// The largest map of each level with transformer blocks, by the rule of the plans.
    @Test(arguments: rows) func theLargestMapsOfALevelAreKnown(_ row: Row) throws {
        let isSD = row.profile == .sd15
        let configuration = try TestConfiguration.unet(
            isSD ? TestConfiguration.sd15 : TestConfiguration.sdxl, ComputeContext(threads: 1)
        ).configuration
        let layout = try #require(configuration.hiDiffusionLayout)
        // Indices into `sides`: everything of the level on the way down, in the middle and on the way up.
        let places = isSD ? [1: [0, 9], 2: [2, 3, 7, 8], 4: [4], 8: [5]] : [2: [2, 3, 7, 8], 4: [5]]
        let switches = row.switches(row.steps[0])
        for (level, indices) in places {
            let largest = layout.largest(
                level: level, height: row.size.height, width: row.size.width, rad: switches.rad, pool: switches.pool)
            let sides = indices.map { row.sides[$0] }
            #expect(sides.allSatisfy { $0.0 <= largest.height && $0.1 <= largest.width }, "level \(level)")
            #expect(sides.contains { $0 == largest }, "level \(level): \(largest) of \(sides)")
        }
    }

    /// `down_blocks.1.resnets.0` is d1r0, `up_blocks.0.upsamplers.0` u0s, `mid_block.resnets.1` m.
    private static func place(_ name: String) -> String? {
        let parts = name.split(separator: ".")
        guard let first = parts.first else { return nil }
        if first == "mid_block" { return "m" }
        guard parts.count == 4 else { return nil }
        return "\(first == "down_blocks" ? "d" : "u")\(parts[1])" + (parts[2] == "resnets" ? "r\(parts[3])" : "s")
    }

    /// Tokens of one window in each windowed block. A block sees the map of the residual block before it.
    private static func windowTokens(_ probe: UNetProbe, isSD: Bool) throws -> [Int] {
        let context = try ComputeContext(threads: 1)
        let places = isSD ? ["d0r0", "d0r1", "u3r0", "u3r1", "u3r2"] : ["d1r0", "d1r1", "u1r0", "u1r1", "u1r2"]
        return try places.flatMap { wanted in
            let size = try #require(probe.sizes.first { place($0.name) == wanted })
            let map = Tensor(repeating: 0, shape: [1, size.height * size.width, 1])
            let windows = WindowGeometry(height: size.height, width: size.width, shift: 1).split(map, context)
            return [Int](repeating: windows.shape[1], count: isSD ? 1 : 2)
        }
    }
}
