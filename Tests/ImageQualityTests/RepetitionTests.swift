import ImageQuality
import Testing

@Suite struct RepetitionTests {
    private typealias Place = (x: Int, y: Int)

    /// Discs with an outline on one colour, as large as in a picture of the model's native size.
    private func discs(_ places: [Place], radius: Int = 18, width: Int = 192, height: Int = 192) -> RGBImage {
        RGBImage(width: width, height: height) { x, y in
            for place in places {
                let distance = (x - place.x) * (x - place.x) + (y - place.y) * (y - place.y)
                if distance < (radius - 3) * (radius - 3) { return (200, 60, 40) }
                if distance < radius * radius { return (10, 10, 10) }
            }
            return (240, 220, 60)
        }
    }

    private func score(_ image: RGBImage, _ enlargement: Double = 4) -> Double {
        Repetition.score(image, enlargement: enlargement)
    }

    @Test(arguments: [18, 40, 75]) func oneSubjectOfAnySizeIsNoRepetition(_ radius: Int) {
        #expect(score(discs([(96, 96)], radius: radius)) < 0.01)
        #expect(score(discs([(radius + 1, 110)], radius: radius)) < 0.01)
    }

    @Test func copiesScoreAsManyAsTheyAre() {
        let places: [Place] = [(24, 24), (72, 24), (120, 120), (168, 168), (24, 168), (168, 24), (96, 72), (72, 120)]
        for count in 2...places.count {
            let value = score(discs(Array(places[..<count])))
            #expect(abs(value - (1 - 1 / Double(count))) < 0.08, "\(count) copies score \(value)")
            #expect(value > Repetition.threshold)
        }
    }

    @Test func aGridOfCopiesRepeats() {
        let places = (0..<16).map { Place(24 + $0 % 4 * 48, 24 + $0 / 4 * 48) }
        #expect(score(discs(places)) > 0.6)
    }

    @Test func twoThingsOfDifferentColourAreNoRepetition() {
        let image = RGBImage(width: 192, height: 192) { x, y in
            if (x - 42) * (x - 42) + (y - 95) * (y - 95) < 1200 { return (200, 40, 40) }
            return (115..<175).contains(x) && (70..<125).contains(y) ? (30, 60, 200) : (235, 235, 235)
        }
        #expect(score(image) < 0.01)
    }

    /// The background prevails in the middle, and the supposed subject lies along the border.
    @Test func subjectsInTheCornersRepeat() {
        let image = RGBImage(width: 192, height: 192) { x, y in
            min(x, 191 - x) + min(y, 191 - y) < 48 ? (180, 110, 40) : (60, 80, 220)
        }
        #expect(score(image) > 0.6)
    }

    @Test func anOpenFrameRepeats() {
        let image = RGBImage(width: 192, height: 192) { x, y in
            x >= 20 && (20..<172).contains(y) ? (250, 170, 200) : (230, 120, 20)
        }
        #expect(score(image) > 0.3)
    }

    /// The walls have the background's colour; only their outline is visible.
    @Test func whatIsDrawnAsAnOutlineIsOneThing() {
        let image = RGBImage(width: 192, height: 192) { x, y in
            (66..<71).contains(max(abs(x - 96), abs(y - 96))) ? (0, 0, 0) : (255, 255, 255)
        }
        #expect(score(image) < 0.01)
    }

    /// Open outlines around the background's colour: there is no verdict.
    @Test func strokesAreNoCopies() {
        let image = RGBImage(width: 192, height: 192) { x, y in
            let isStroke = [30, 80, 130, 160].contains { abs(x - $0) < 3 } && (40..<150).contains(y)
            return isStroke ? (0, 0, 0) : (240, 200, 70)
        }
        #expect(score(image) == 0)
    }

    @Test func aGradientIsABackground() {
        let image = RGBImage(width: 192, height: 192) { x, y in
            (x - 96) * (x - 96) + (y - 110) * (y - 110) < 1300 ? (220, 40, 40) : (40 + y, 90 + y * 2 / 3, 230)
        }
        #expect(score(image) < 0.01)
        let sky = RGBImage(width: 192, height: 192) { _, y in (40 + y, 90 + y * 2 / 3, 230) }
        #expect(score(sky) == 0)
    }

    @Test func noiseOnTheBackgroundChangesLittle() {
        let (one, three) = (discs([(96, 96)], radius: 56), discs([(40, 40), (150, 45), (94, 150)], radius: 24))
        let noise = RGBImage.random(192, 192, seed: 21)
        func noisy(_ image: RGBImage) -> RGBImage { image.mapped { $1 + (Int(noise.rgb[$0]) - 128) / 8 } }
        #expect(score(noisy(one)) < 0.02)
        #expect(abs(score(noisy(three)) - score(three)) < 0.05)
    }

    /// Without an even background nothing counts as a repetition.
    @Test(arguments: [3, 8, 20]) func aBusyPictureIsNoRepetition(_ grain: Int) {
        let noise = RGBImage.random(192, 192, seed: 23)
        let image = RGBImage(width: 192, height: 192) { x, y in
            let start = 3 * (y / grain * 192 + x / grain)
            return (Int(noise.rgb[start]), Int(noise.rgb[start + 1]), Int(noise.rgb[start + 2]))
        }
        #expect(score(image) < 0.01)
    }

    @Test func specksAreNoSubjects() {
        #expect(score(discs([(96, 96), (15, 15), (176, 22), (11, 180)], radius: 3)) == 0)
    }

    @Test func theSizeInPixelsDoesNotMatter() {
        let small = discs([(48, 48), (144, 112)], radius: 30)
        let large = RGBImage(width: 384, height: 384) { x, y in
            let start = 3 * (y / 2 * 192 + x / 2)
            return (Int(small.rgb[start]), Int(small.rgb[start + 1]), Int(small.rgb[start + 2]))
        }
        #expect(abs(score(small) - score(large)) < 1e-9)
    }

    @Test func picturesNeedNotBeSquare() {
        #expect(score(discs([(38, 24), (150, 24)], width: 192, height: 48)) > 0.4)
        #expect(score(discs([(24, 38), (24, 150)], width: 48, height: 192)) > 0.4)
        #expect(score(discs([(24, 94)], width: 48, height: 192)) < 0.01)
    }

    @Test(arguments: [.nan, -.infinity, .infinity, -3, 0, 1, 1.5, 3.99, 1000] as [Double])
    func everySizeAndEnlargementHasAValue(_ enlargement: Double) {
        for image in RGBImage.odd {
            let value = Repetition.score(image, enlargement: enlargement)
            #expect(value >= 0 && value <= 1)
        }
        #expect(Repetition.score(.blank(64, 64), enlargement: enlargement) == 0)
    }
}
