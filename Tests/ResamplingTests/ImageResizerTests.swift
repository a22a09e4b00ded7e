import Resampling
import Testing

@Suite("Resizing pictures")
struct ImageResizerTests {
    /// 7×5 pixels of three bytes.
    static let picture = (0..<105).map { (i: Int) in UInt8(truncatingIfNeeded: i * i * 7 + i * 13 + 5) }

    /// `Image.fromarray(picture).resize((width, height), Image.LANCZOS)` of Pillow 13.
    @Test(
        "Lanczos agrees with Pillow, up to the last bit of its fixed-point numbers",
        arguments: [
            (
                4, 3,
                [
                    82, 98, 151, 110, 183, 151, 130, 96, 115, 179, 192, 147, 152, 98, 171, 149, 112, 197, 128, 173, 94, 134,
                    176, 60, 113, 111, 148, 90, 59, 100, 138, 136, 95, 113, 98, 47,
                ]
            ),
            (
                10, 2,
                [
                    32, 86, 87, 126, 93, 180, 183, 129, 225, 102, 170, 132, 110, 172, 166, 129, 128, 147, 127, 105, 68, 159,
                    148, 110, 169, 200, 133, 161, 215, 117, 124, 171, 161, 133, 102, 161, 132, 34, 145, 112, 70, 123, 93, 113,
                    132, 138, 133, 136, 175, 142, 98, 94, 178, 29, 98, 134, 38, 153, 79, 78,
                ]
            ),
            (
                3, 11,
                [
                    45, 120, 134, 159, 100, 122, 228, 196, 203, 68, 124, 148, 136, 124, 122, 197, 172, 170, 108, 127, 170, 100,
                    161, 123, 144, 134, 111, 143, 127, 181, 85, 177, 141, 108, 129, 56, 140, 119, 160, 118, 138, 173, 128, 186,
                    51, 133, 101, 155, 157, 108, 178, 156, 225, 69, 155, 74, 196, 166, 132, 139, 147, 195, 73, 166, 61, 222,
                    145, 160, 91, 122, 131, 66, 124, 81, 169, 116, 126, 86, 116, 102, 59, 74, 108, 95, 96, 73, 107, 123, 106,
                    52, 44, 126, 51, 85, 42, 122, 127, 111, 48,
                ]
            ),
            (1, 1, [127, 129, 124]),
        ] as [(Int, Int, [UInt8])])
    func lanczos(_ width: Int, _ height: Int, _ expected: [UInt8]) {
        let resized = ImageResizer.lanczos(Self.picture, channels: 3, size: (7, 5), to: (width, height))
        #expect(resized.count == expected.count)
        #expect(zip(resized, expected).allSatisfy { abs(Int($0) - Int($1)) <= 1 })
    }

    @Test("one colour stays that colour, at any size")
    func constant() {
        let picture = [UInt8](repeating: 201, count: 9 * 4 * 3)
        for (width, height) in [(1, 1), (3, 40), (64, 2), (9, 4)] {
            let resized = ImageResizer.lanczos(picture, channels: 3, size: (9, 4), to: (width, height))
            #expect(resized == [UInt8](repeating: 201, count: width * height * 3))
        }
    }

    @Test("masks take the nearest pixel and get no values in between")
    func nearest() {
        let mask: [UInt8] = [0, 1, 1, 0]
        #expect(ImageResizer.nearest(mask, size: (2, 2), to: (4, 2)) == [0, 0, 1, 1, 1, 1, 0, 0])
        #expect(ImageResizer.nearest(mask, size: (2, 2), to: (1, 1)) == [0])
        #expect(ImageResizer.nearest(mask, size: (4, 1), to: (2, 1)) == [0, 1])
    }
}
