import ImageQuality
import Testing

@Suite struct SeamScoreTests {
    /// A picture with a step of `height` levels at each border that runs down, on a base level that follows from the place.
    private func seamed(
        _ height: Int, columns: [Int] = [], rows: [Int] = [], base: (_ x: Int, _ y: Int) -> Int
    ) -> RGBImage {
        RGBImage(width: 96, height: 80) { x, y in
            // Up and down in turn, as with views beside each other.
            let steps = columns.count { $0 <= x } % 2 + rows.count { $0 <= y } % 2
            let level = base(x, y) + height * steps
            return (level, level, level)
        }
    }

    @Test(arguments: [0, 1, 2, 5, 12]) func onFlatContentTheScoreIsOneMoreThanTheStep(_ height: Int) {
        let image = seamed(height, columns: [32, 64], rows: [40]) { _, _ in 100 }
        #expect(abs(SeamScore.score(image, columns: [32, 64], rows: [40]) - Double(1 + height)) < 1e-9)
    }

    @Test(arguments: [1, 2, 3]) func aGradientHasNoSeamAndHidesNone(_ slope: Int) {
        func content(_ x: Int, _ y: Int) -> Int { 5 + slope * (x + y) / 3 }
        let (columns, rows) = ([24, 48, 72], [20, 40, 60])
        let smooth = seamed(0, columns: columns, rows: rows, base: content)
        #expect(abs(SeamScore.score(smooth, columns: columns, rows: rows) - 1) < 0.35)
        let broken = seamed(6, columns: columns, rows: rows, base: content)
        #expect(SeamScore.score(broken, columns: columns, rows: rows) > 3)
    }

    @Test func aSteepEvenGradientScoresOne() {
        let image = RGBImage(width: 60, height: 50) { x, y in (4 * x, 4 * y, 2 * x + 2 * y) }
        #expect(abs(SeamScore.score(image, columns: [15, 30, 45], rows: [25]) - 1) < 1e-9)
    }

    @Test func stepsElsewhereAreNoSeam() {
        let image = seamed(9, columns: [20, 50], rows: [30]) { _, _ in 60 }
        #expect(SeamScore.score(image, columns: [32, 64], rows: [40]) < 1)
    }

    @Test func oneColourIsEnough() {
        let image = RGBImage(width: 64, height: 64) { x, _ in (80, 80, x < 32 ? 80 : 88) }
        #expect(abs(SeamScore.score(image, columns: [32], rows: []) - 9) < 1e-9)
    }

    @Test func seamsShowAmongOutlines() {
        func disc(_ x: Int, _ y: Int) -> Int { (x - 40) * (x - 40) + (y - 50) * (y - 50) < 600 ? 30 : 200 }
        let (columns, rows) = ([24, 48, 72], [20, 60])
        let clean = SeamScore.score(seamed(0, base: disc), columns: columns, rows: rows)
        let broken = SeamScore.score(seamed(5, columns: columns, rows: rows, base: disc), columns: columns, rows: rows)
        #expect(abs(clean - 1) < 0.3)
        #expect(broken > 3)
    }

    @Test func noiseHasNoSeam() {
        let image = RGBImage.random(128, 128, seed: 11)
        #expect(abs(SeamScore.score(image, columns: [32, 64, 96], rows: [32, 64, 96]) - 1) < 0.05)
    }

    @Test func noBordersAndForeignBordersScoreOne() {
        let image = RGBImage.random(20, 10, seed: 12)
        #expect(SeamScore.score(image, columns: [], rows: []) == 1)
        #expect(SeamScore.score(image, columns: [0, 20, -3, .max, .min], rows: [10, 0, .min]) == 1)
    }

    @Test func everySizeHasAValue() {
        for image in RGBImage.odd {
            for borders in [[], [1], Array(-1...200)] {
                let value = SeamScore.score(image, columns: borders, rows: borders)
                #expect(value > 0 && value <= 17)
            }
        }
    }
}
