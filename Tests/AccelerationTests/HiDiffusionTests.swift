import Acceleration
import Testing

@Suite struct HiDiffusionTests {
    @Test func thresholdsOfCommonStepCounts() {
        let rows: [(steps: Int, sdxl: (Int, Int), big: (Int, Int), sd: (Int, Int), sdBig: (Int, Int), turbo: (Int, Int))] = [
            (1, (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)), (4, (0, 1), (1, 2), (1, 0), (2, 1), (0, 2)),
            (20, (3, 5), (6, 14), (8, 0), (14, 6), (0, 10)), (25, (4, 6), (7, 17), (10, 0), (17, 7), (0, 12)),
            (50, (8, 12), (15, 35), (20, 0), (35, 15), (0, 25)), (100, (16, 24), (30, 70), (40, 0), (70, 30), (0, 50)),
        ]
        for row in rows {
            #expect(counts(.sdxl, 256, row.steps) == row.sdxl, "\(row.steps) steps")
            #expect(counts(.sdxl, 512, row.steps) == row.big)
            #expect(counts(.sd15, 128, row.steps) == row.sd)
            #expect(counts(.sd15, 256, row.steps) == row.sdBig)
            #expect(counts(.sdxlTurbo, 128, row.steps) == row.turbo)
        }
    }

    /// Doubles are multiplied and rounded down. These are the step counts up to 1000 for which 0.7 gives one less than exact
    /// arithmetic.
    @Test func sevenTenthsAreIEEEDoubles() {
        let short = [90, 170, 180, 330, 340, 350, 360, 650, 660, 670, 680, 690, 700, 710, 720, 730]
        let found = (1...1000).filter { counts(.sd15, 256, $0).0 != $0 * 7 / 10 }
        #expect(found == short)
    }

    /// Pooling begins where the dilated convolution ends. Both sides must be large for the larger profile.
    @Test func profilesGoByTheShorterSide() {
        #expect(counts(.sdxl, 256, 50, width: 512) == counts(.sdxl, 256, 50))
        #expect(counts(.sd15, 190, 50, width: 270) == counts(.sd15, 128, 50))
        #expect(
            RAUNetSwitches(profile: .sdxl, height: 256, width: 256, steps: 50, step: 7)
                == RAUNetSwitches(rad: true, pool: false))
        #expect(
            RAUNetSwitches(profile: .sdxl, height: 256, width: 256, steps: 50, step: 8)
                == RAUNetSwitches(rad: false, pool: true))
        #expect(RAUNetSwitches(profile: .sdxl, height: 256, width: 256, steps: 50, step: 20) == .plain)
        #expect(counts(.sdxlInpainting, 256, 50) == (0, 20) && counts(.sdxlPlayground, 256, 50) == (0, 20))
    }

    private func counts(_ profile: HiDiffusionProfile, _ height: Int, _ steps: Int, width: Int? = nil) -> (Int, Int) {
        let switches = (0..<steps).map {
            RAUNetSwitches(profile: profile, height: height, width: width ?? height, steps: steps, step: $0)
        }
        return (switches.filter(\.rad).count, switches.filter(\.pool).count)
    }

    @Test func theGuardKeepsNativeInputsPlain() {
        #expect(!HiDiffusionGuard.allows(height: 64, width: 64, native: 64))
        #expect(!HiDiffusionGuard.allows(height: 95, width: 512, native: 64))
        #expect(HiDiffusionGuard.allows(height: 96, width: 96, native: 64))
        #expect(
            !HiDiffusionGuard.allows(height: 23, width: 23, native: 16)
                && HiDiffusionGuard.allows(height: 24, width: 24, native: 16))
        #expect(HiDiffusionGuard.allows(height: 23, width: 40, native: 15))
    }

    @Test func shiftsAreHashesOfStepAndBlock() {
        let ids = (0..<200).map { WindowShifts.ids(seed: 42, call: $0, blocks: 5) }
        #expect(ids.allSatisfy { $0.count == 5 } && ids.joined().allSatisfy { $0 < 4 })
        for id in UInt8(0)...3 { #expect((180...320).contains(ids.joined().filter { $0 == id }.count)) }
        #expect(WindowShifts.ids(seed: 42, call: 3, blocks: 10).prefix(5) == ids[3][...])
        #expect(WindowShifts.ids(seed: 43, call: 3, blocks: 50) != WindowShifts.ids(seed: 42, call: 3, blocks: 50))
    }
}
