import ImageConditioning
import Testing

@Suite struct MaskTests {
    @Test func halfIsWhite() throws {
        let mask = try InpaintMask([0, 0.4999, 0.5, 1, -3, 7], height: 2, width: 3)
        #expect(mask.latentMask(scale: 1) == [0, 0, 1, 1, 0, 1])
        #expect(mask.maskedImage([1, 1, 1, 1, 1, 1, 2, -2, 2, 2, -2, 2]) == [1, 1, 0, 0, 1, 0, 2, -2, 0, 0, -2, 0])
        #expect(mask.bytes == [0, 0, 1, 1, 0, 1])
        #expect(try InpaintMask([0, 0.4], height: 1, width: 2).bytes == [0, 0])
    }

    /// Each latent point takes its top left pixel, whatever the other pixels say.
    @Test func latentPointsTakeTheirFirstPixel() throws {
        var pixels = [Float](repeating: 1, count: 16 * 24)
        for (y, x) in [(0, 8), (8, 0), (8, 16)] { pixels[y * 24 + x] = 0 }
        #expect(try InpaintMask(pixels, height: 16, width: 24).latentMask(scale: 8) == [1, 0, 1, 0, 1, 0])
    }

    /// Pillow turns these into the greys 127 or 128; 127 / 255 is below one half.
    @Test(
        arguments: [
            ([127, 127, 127], false), ([128, 128, 128], true), ([255, 87, 0], false), ([255, 88, 0], true),
            ([0, 217, 0], false),
            ([0, 218, 0], true), ([255, 0, 255], false),
        ] as [([UInt8], Bool)])
    func coloursCountByTheirLuminance(_ rgb: [UInt8], _ isWhite: Bool) throws {
        #expect(try InpaintMask(pixels: rgb, channels: 3, height: 1, width: 1).bytes == [isWhite ? 1 : 0])
    }

    /// Strokes count by their alpha channel whatever their colour is, from one half on.
    @Test func transparencyCountsBeforeColours() throws {
        func mask(_ pixels: [[UInt8]]) throws -> [UInt8] {
            try InpaintMask(pixels: pixels.flatMap { $0 }, channels: 4, height: 1, width: pixels.count).bytes
        }
        for stroke in [[255, 255, 255], [0, 0, 0], [10, 200, 30]] as [[UInt8]] {
            #expect(
                try mask([stroke + [255], stroke + [0], [255, 255, 255, 0], stroke + [127], stroke + [128]]) == [1, 0, 0, 0, 1])
        }
        #expect(try mask([[255, 255, 255, 254], [0, 0, 0, 255]]) == [1, 1], "nearly opaque is not opaque")
        #expect(try mask([[0, 0, 0, 0], [255, 255, 255, 0]]) == [0, 0])
        #expect(
            try mask([[127, 127, 127, 255], [128, 128, 128, 255], [255, 88, 0, 255]]) == [0, 1, 1], "opaque: by luminance")
    }

    @Test func wrongMasksAreRefused() {
        #expect(throws: ConditioningError.self) { try InpaintMask(pixels: [1, 2, 3, 4, 5], channels: 4, height: 1, width: 1) }
        #expect(throws: ConditioningError.self) { try InpaintMask(pixels: [1, 2, 3, 4], channels: 4, height: 1, width: 2) }
        #expect(throws: ConditioningError.self) { try InpaintMask([0, 1, 1], height: 2, width: 2) }
        #expect(throws: ConditioningError.self) { try InpaintMask([], height: 0, width: 0) }
        #expect(throws: ConditioningError.self) { try InpaintMask([0], height: -1, width: -1) }
        #expect(throws: ConditioningError.self) { try InpaintMask([.nan], height: 1, width: 1) }
        #expect(throws: ConditioningError.self) { try InpaintMask(pixels: [1, 2, 3, 4], channels: 3, height: 1, width: 1) }
        #expect(throws: ConditioningError.self) { try InpaintMask(pixels: [1, 2], channels: 2, height: 1, width: 1) }
        #expect(throws: ConditioningError.self) { try InpaintMask([0], height: .max, width: .max) }
    }

    @Test func picturesBecomePlanes() {
        let blue: [Float] = [51, 204].map { 2 * ($0 / 255) - 1 }
        #expect(PicturePixels.planes(rgb: [0, 255, 51, 255, 0, 204]) == [-1, 1, 1, -1] + blue)
        #expect(PicturePixels.normalized([0, 0.25, 1]) == [-1, -0.5, 1])
    }
}
