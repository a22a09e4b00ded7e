import Foundation
import ImageQuality
import Testing

@Suite struct SharpnessTests {
    /// A lone bright pixel: 1 - g² is left of it, and the blur puts g_x g_y around it.
    @Test func aPointHasTheEnergyOfTheFilter() {
        let image = RGBImage(width: 21, height: 19) { x, y in x == 10 && y == 9 ? (200, 200, 200) : (0, 0, 0) }
        let weights = (-4...4).map { exp(-Double($0 * $0) / 2) }
        let taps = weights.map { $0 / weights.reduce(0, +) }
        let squares = taps.reduce(0) { $0 + $1 * $1 }
        let residue = squares * squares - 2 * taps[4] * taps[4] + 1
        let expected = 200.0 * 200.0 * residue / Double(21 * 19)
        #expect(abs(Sharpness.highFrequencyEnergy(image) - expected) < 1e-6 * expected)
    }

    @Test func plainPicturesHaveNone() {
        for level in [0, 1, 128, 255] { #expect(Sharpness.highFrequencyEnergy(.blank(33, 8, level: level)) < 1e-18) }
    }

    @Test func softOutlinesHaveLessThanSharpOnes() {
        let energies = [1, 2, 4, 8, 16].map { softness in
            Sharpness.highFrequencyEnergy(
                RGBImage(width: 64, height: 64) { x, _ in
                    let level = min(max((x - 32) * 200 / softness + 100, 0), 200)
                    return (level, level, level)
                })
        }
        #expect(energies == energies.sorted(by: >))
        #expect(energies[0] > 3 * energies[3])
    }

    @Test func brightnessWeighsTheColours() {
        func stripes(_ red: Int, _ green: Int, _ blue: Int) -> Double {
            Sharpness.highFrequencyEnergy(
                RGBImage(width: 32, height: 32) { x, _ in x % 2 == 0 ? (red, green, blue) : (0, 0, 0) })
        }
        let (red, green, white) = (stripes(200, 0, 0), stripes(0, 200, 0), stripes(200, 200, 200))
        #expect(abs(red / white - 0.299 * 0.299) < 1e-9)
        #expect(abs(green / white - 0.587 * 0.587) < 1e-9)
    }

    @Test func everySizeHasAValue() {
        for image in RGBImage.odd {
            let value = Sharpness.highFrequencyEnergy(image)
            #expect(value >= 0 && value <= 65025)
        }
    }
}
