import Acceleration
import Testing

/// The steps with each part of RAU-Net on, for every number of steps (vector G14 of the specification and its table 3.2).
@Suite struct HiDiffusionThresholdTests {
    /// Numbers of steps for which the rounded-down double product with 0.7 is one less than the exact one.
    private static let shortAtSevenTenths: Set = [
        90, 170, 180, 330, 340, 350, 360, 650, 660, 670, 680, 690, 700, 710, 720, 730,
    ]

    private static let sizes = [
        (64, 64), (128, 128), (190, 270), (256, 256), (256, 512), (512, 512), (640, 640), (255, 640), (512, 511),
    ]

    /// Hundredths of the steps in whole numbers, so that the expectation shares no arithmetic with the code.
    private static func share(_ steps: Int, _ hundredths: Int) -> Int {
        steps * hundredths / 100 - (hundredths == 70 && shortAtSevenTenths.contains(steps) ? 1 : 0)
    }

    /// The steps with each part on.
    private static func expected(
        _ profile: HiDiffusionProfile, _ size: (Int, Int), _ steps: Int
    ) -> (rad: Range<Int>, pool: Range<Int>) {
        func first(_ hundredths: Int) -> Range<Int> { 0..<share(steps, hundredths) }
        switch profile {
        case .sd15: return size.0 >= 256 && size.1 >= 256 ? (first(70), first(30)) : (first(40), first(0))
        case .sdxlTurbo: return (first(0), first(50))
        case .sdxl, .sdxlInpainting, .sdxlPlayground:
            if size.0 >= 512 && size.1 >= 512 { return (first(30), first(70)) }
            guard profile == .sdxl else { return (first(0), first(40)) }
            return (first(16), first(16).upperBound..<max(first(16).upperBound, first(40).upperBound))
        }
    }

    /// All steps of small numbers of steps. For large numbers: the first, the last, and the steps beside each threshold;
    /// nothing can change between these.
    @Test(arguments: HiDiffusionProfile.allCases) func everyNumberOfSteps(_ profile: HiDiffusionProfile) {
        var wrong: [String] = []
        for size in Self.sizes {
            for steps in 1...1000 {
                let (rad, pool) = Self.expected(profile, size, steps)
                let bounds = [0, steps, rad.upperBound, pool.lowerBound, pool.upperBound]
                let looked = steps <= 60 ? Array(0..<steps) : bounds.flatMap { [$0 - 1, $0] }.filter((0..<steps).contains)
                for step in looked {
                    let switches = RAUNetSwitches(
                        profile: profile, height: size.0, width: size.1, steps: steps, step: step)
                    if switches != RAUNetSwitches(rad: rad.contains(step), pool: pool.contains(step)) {
                        wrong.append("\(size), step \(step) of \(steps): \(switches)")
                    }
                }
            }
        }
        #expect(wrong.isEmpty, "\(wrong.count) wrong, such as \(wrong.prefix(3))")
    }

    /// Nothing changes between the thresholds, checked step by step for the largest number of steps.
    @Test(arguments: HiDiffusionProfile.allCases) func everyOneOfAThousandSteps(_ profile: HiDiffusionProfile) {
        for size in Self.sizes {
            let (rad, pool) = Self.expected(profile, size, 1000)
            let switches = (0..<1000).map {
                RAUNetSwitches(profile: profile, height: size.0, width: size.1, steps: 1000, step: $0)
            }
            #expect(switches == (0..<1000).map { RAUNetSwitches(rad: rad.contains($0), pool: pool.contains($0)) }, "\(size)")
        }
    }

    private struct Row {
        var steps: Int
        /// Ta and Tb.
        var aggressive: (Int, Int)
        var inpainting: Int
        /// T1 and T2.
        var sdxlLarge: (Int, Int)
        var sd: Int
        var sdLarge: (Int, Int)
        var turbo: Int

        /// Makes a row from the columns of the specification's table.
        init(_ steps: Int, _ columns: [Int]) {
            self.steps = steps
            (aggressive, inpainting, sdxlLarge) = ((columns[0], columns[1]), columns[2], (columns[3], columns[4]))
            (sd, sdLarge, turbo) = (columns[5], (columns[6], columns[7]), columns[8])
        }
    }

    private static let table = [
        Row(1, [0, 0, 0, 0, 0, 0, 0, 0, 0]), Row(2, [0, 0, 0, 1, 0, 0, 1, 0, 1]), Row(4, [0, 1, 1, 2, 1, 1, 2, 1, 2]),
        Row(8, [1, 3, 3, 5, 2, 3, 5, 2, 4]), Row(20, [3, 8, 8, 14, 6, 8, 14, 6, 10]),
        Row(25, [4, 10, 10, 17, 7, 10, 17, 7, 12]), Row(30, [4, 12, 12, 21, 9, 12, 21, 9, 15]),
        Row(50, [8, 20, 20, 35, 15, 20, 35, 15, 25]), Row(100, [16, 40, 40, 70, 30, 40, 70, 30, 50]),
    ]

    @Test func commonNumbersOfStepsAreThoseOfTheTable() {
        func ends(_ profile: HiDiffusionProfile, _ side: Int, _ steps: Int) -> (rad: Int, pool: Int) {
            let switches = (0..<steps).map {
                RAUNetSwitches(profile: profile, height: side, width: side, steps: steps, step: $0)
            }
            return ((switches.lastIndex { $0.rad } ?? -1) + 1, (switches.lastIndex { $0.pool } ?? -1) + 1)
        }
        for row in Self.table {
            let name: Comment = "\(row.steps) steps"
            #expect(ends(.sdxl, 256, row.steps) == row.aggressive, name)
            for profile in [HiDiffusionProfile.sdxlInpainting, .sdxlPlayground] {
                #expect(ends(profile, 256, row.steps) == (0, row.inpainting), name)
                #expect(ends(profile, 512, row.steps) == (row.sdxlLarge.1, row.sdxlLarge.0), name)
            }
            #expect(ends(.sdxl, 512, row.steps) == (row.sdxlLarge.1, row.sdxlLarge.0), name)
            #expect(ends(.sd15, 128, row.steps) == (row.sd, 0), name)
            #expect(ends(.sd15, 256, row.steps) == row.sdLarge, name)
            #expect(ends(.sdxlTurbo, 64, row.steps) == (0, row.turbo), name)
        }
    }
}
