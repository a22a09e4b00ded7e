import ImageQuality
import TestSupport

/// Pictures for tests.
extension RGBImage {
    /// Every pixel follows from its place.
    init(width: Int, height: Int, pixel: (_ x: Int, _ y: Int) -> (Int, Int, Int)) {
        var bytes: [UInt8] = []
        for y in 0..<height {
            for x in 0..<width {
                let (red, green, blue) = pixel(x, y)
                bytes += [red, green, blue].map { UInt8(clamping: $0) }
            }
        }
        self.init(width: width, height: height, rgb: bytes)
    }

    /// One colour.
    static func blank(_ width: Int, _ height: Int, level: Int = 90) -> RGBImage {
        RGBImage(width: width, height: height) { _, _ in (level, level, level) }
    }

    /// Bytes without any relation to each other.
    static func random(_ width: Int, _ height: Int, seed: UInt64) -> RGBImage {
        var numbers = TestNumbers(seed: seed)
        return RGBImage(width: width, height: height, rgb: (0..<3 * width * height).map { _ in UInt8(numbers.next() >> 56) })
    }

    func mapped(_ change: (_ index: Int, _ value: Int) -> Int) -> RGBImage {
        RGBImage(
            width: width, height: height, rgb: rgb.enumerated().map { UInt8(clamping: change($0.offset, Int($0.element))) })
    }

    /// All kinds of contents at sizes that are hard to cut.
    static let odd: [RGBImage] = [
        (1, 1), (1, 2), (2, 1), (1, 40), (40, 1), (2, 2), (3, 5), (11, 11), (10, 12), (17, 64), (129, 31),
    ].flatMap { width, height in
        [blank(width, height), blank(width, height, level: 0), blank(width, height, level: 255)]
            + [random(width, height, seed: 7), RGBImage(width: width, height: height) { x, y in (x * 255, y * 9, x * y) }]
    }
}
