import ImageQuality
import Testing

@Suite struct SimilarityTests {
    /// The numbers are scikit-image 0.26's `structural_similarity(gaussian_weights=True, sigma=1.5,
    /// use_sample_covariance=False, data_range=255)` of 0.299 R + 0.587 G + 0.114 B.
    @Test func valuesAreThoseOfTheReference() {
        let picture = RGBImage.random(31, 23, seed: 1)
        let other = RGBImage.random(31, 23, seed: 5000)
        let mixed = picture.mapped { index, value in (3 * value + Int(other.rgb[index])) / 4 }
        let inverted = picture.mapped { 255 - $1 }
        #expect(abs(Similarity.structural(picture, reference: other) - -0.051726813393605825) < 1e-9)
        #expect(abs(Similarity.structural(picture, reference: mixed) - 0.9162167408751436) < 1e-9)
        #expect(abs(Similarity.structural(picture, reference: inverted) - -0.9650178661141835) < 1e-9)
    }

    /// The reference receives the means of blocks of 2 × 3 pixels.
    @Test func theLargerPictureIsReducedByAreaMeans() {
        let (large, small) = (RGBImage.random(44, 36, seed: 3), RGBImage.random(22, 12, seed: 9000))
        #expect(abs(Similarity.structural(large, reference: small) - 0.04688032743310594) < 1e-9)
        #expect(Similarity.structural(small, reference: large) == Similarity.structural(large, reference: small))
    }

    @Test(arguments: [1, 2, 3, 4, 5]) func anEnlargedPictureIsLikeItself(_ times: Int) {
        let small = RGBImage.random(19, 14, seed: 4)
        let large = RGBImage(width: 19 * times, height: 14 * times) { x, y in
            let start = 3 * (y / times * 19 + x / times)
            return (Int(small.rgb[start]), Int(small.rgb[start + 1]), Int(small.rgb[start + 2]))
        }
        #expect(abs(Similarity.structural(large, reference: small) - 1) < 1e-9)
    }

    /// Sides in the ratio of 3 to 2: a new pixel covers one and a half old ones.
    @Test func pixelsThatAreCutCountByTheirShare() {
        let large = RGBImage(width: 3, height: 1) { x, _ in ([30, 60, 90][x], [30, 60, 90][x], [30, 60, 90][x]) }
        let small = RGBImage(width: 2, height: 1) { x, _ in ([40, 80][x], [40, 80][x], [40, 80][x]) }
        #expect(abs(Similarity.structural(large, reference: small) - 1) < 1e-9)
    }

    @Test func everyPairOfSizesHasAValue() {
        for one in RGBImage.odd {
            for other in stride(from: 0, to: RGBImage.odd.count, by: 7).map({ RGBImage.odd[$0] }) {
                let value = Similarity.structural(one, reference: other)
                #expect(value >= -1.000_001 && value <= 1.000_001)
            }
            #expect(abs(Similarity.structural(one, reference: one) - 1) < 1e-9)
        }
    }
}
