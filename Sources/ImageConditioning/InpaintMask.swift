/// The pixels of a picture to make anew. The mask is at least one half there (white, or opaque if the mask has transparency),
/// as in diffusers and A1111.
public struct InpaintMask: Sendable, Equatable {
    public let height: Int
    public let width: Int
    /// Whether each pixel is made anew, row by row.
    private let repaints: [Bool]

    /// A mask of `height × width` numbers, row by row, black 0 and white 1.
    ///
    /// Throws unless there are as many numbers, and none of them is NaN.
    public init(_ values: [Float], height: Int, width: Int) throws(ConditioningError) {
        try Self.checkSize(height: height, width: width, count: values.count)
        guard !values.contains(where: \.isNaN) else {
            throw ConditioningError("The mask holds NaN: its numbers must be from 0 (keep) to 1 (make anew).")
        }
        (self.height, self.width) = (height, width)
        repaints = values.map { $0 >= 0.5 }
    }

    /// A mask from a picture of 8-bit red, green, blue and perhaps alpha, pixel by pixel.
    ///
    /// Its luminance counts: `(299 R + 587 G + 114 B) / 1000` (ITU-R BT.601) in Pillow's fixed-point form, so that the same
    /// pixels fall on the same side of one half. But strokes on a transparent layer can have any colour, black too. So of a
    /// picture with transparency only the alpha channel counts, from 128 on. If it is 255 everywhere it carries no
    /// information, and the luminance counts.
    ///
    /// Throws unless there are `channels` bytes a pixel, 3 or 4.
    public init(pixels: [UInt8], channels: Int, height: Int, width: Int) throws(ConditioningError) {
        guard channels == 3 || channels == 4, pixels.count % channels == 0 else {
            throw ConditioningError("The mask does not have three or four bytes a pixel.")
        }
        try Self.checkSize(height: height, width: width, count: pixels.count / channels)
        (self.height, self.width) = (height, width)
        let starts = stride(from: 0, to: pixels.count, by: channels)
        let isTransparent = channels == 4 && !starts.allSatisfy { pixels[$0 + 3] == 255 }
        repaints = starts.map {
            isTransparent ? pixels[$0 + 3] >= 128 : Self.isBright(pixels[$0], pixels[$0 + 1], pixels[$0 + 2])
        }
    }

    private static func isBright(_ red: UInt8, _ green: UInt8, _ blue: UInt8) -> Bool {
        (19_595 * UInt32(red) + 38_470 * UInt32(green) + 7471 * UInt32(blue) + 0x8000) >> 16 >= 128
    }

    private static func checkSize(height: Int, width: Int, count: Int) throws(ConditioningError) {
        let (pixels, overflows) = height.multipliedReportingOverflow(by: width)
        guard height > 0, width > 0, !overflows, count == pixels else {
            throw ConditioningError("The mask has \(count) pixels, which is not \(width)x\(height).")
        }
    }

    /// Row by row, 1 for pixels to make anew, 0 for the rest.
    public var bytes: [UInt8] { repaints.map { $0 ? 1 : 0 } }

    /// `image` with mid-grey in the part to make anew.
    ///
    /// - Parameter image: planar, any number of channels of the mask's size, values from −1 to 1.
    public func maskedImage(_ image: [Float]) -> [Float] {
        precondition(image.count % repaints.count == 0, "a picture of another size than its mask")
        return image.indices.map { image[$0] * (repaints[$0 % repaints.count] ? 0 : 1) }
    }

    /// The same for some rows of the picture.
    public func maskedImage(_ image: [Float], rows: Range<Int>) -> [Float] {
        let part = repaints[rows.lowerBound * width..<rows.upperBound * width]
        precondition(image.count % part.count == 0, "rows of another size than their mask's")
        return image.indices.map { image[$0] * (part[part.startIndex + $0 % part.count] ? 0 : 1) }
    }

    /// The mask at the latent's size: 1 in the part to make anew, 0 elsewhere. Each latent point takes the top left one of
    /// its pixels (torch's nearest interpolation).
    ///
    /// - Parameter scale: the pixels on one side of a latent point. It must divide both sides.
    public func latentMask(scale: Int) -> [Float] {
        precondition(scale > 0 && height % scale == 0 && width % scale == 0, "a mask that the scale does not divide")
        return stride(from: 0, to: height, by: scale).flatMap { y in
            stride(from: 0, to: width, by: scale).map { x in repaints[y * width + x] ? 1 : 0 }
        }
    }
}
