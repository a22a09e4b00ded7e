import Foundation

/// Resizes 8-bit pictures as image editors do.
public enum ImageResizer {
    /// Lanczos resampling with a radius of three lobes. If the picture shrinks, the kernel widens with it, so that no pixel
    /// is left out (the filter of Pillow's `resize`, which diffusers uses for pictures to start from).
    ///
    /// It works along rows and along columns, each in doubles and rounded to bytes, as Pillow does.
    ///
    /// - Parameters:
    ///   - pixels: row by row, `channels` bytes a pixel.
    ///   - size: the picture's own width and height.
    ///   - target: the wanted width and height, both at least 1.
    public static func lanczos(
        _ pixels: [UInt8], channels: Int, size: (width: Int, height: Int), to target: (width: Int, height: Int)
    ) -> [UInt8] {
        precondition(channels > 0 && pixels.count == size.width * size.height * channels)
        precondition(target.width >= 1 && target.height >= 1)
        if size == target { return pixels }
        // The order with less work, as in Pillow.
        if target.width * size.height <= size.width * target.height {
            let narrow = resized(pixels, step: channels, from: size.width, to: target.width)
            return resized(narrow, step: target.width * channels, from: size.height, to: target.height)
        }
        let low = resized(pixels, step: size.width * channels, from: size.height, to: target.height)
        return resized(low, step: channels, from: size.width, to: target.width)
    }

    /// Resizes the axis whose `length` elements lie `step` bytes apart.
    private static func resized(_ bytes: [UInt8], step: Int, from length: Int, to target: Int) -> [UInt8] {
        if length == target { return bytes }
        let taps = (0..<target).map { Taps(of: $0, from: length, to: target) }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count / length * target)
        for start in stride(from: 0, to: bytes.count, by: length * step) {
            for tap in taps {
                for place in (start + tap.first * step)..<(start + (tap.first + 1) * step) {
                    var sum = 0.0
                    for (offset, weight) in tap.weights.enumerated() { sum += weight * Double(bytes[place + offset * step]) }
                    result.append(UInt8(min(255, max(0, sum.rounded()))))
                }
            }
        }
        return result
    }

    /// The source pixels of one target pixel, and the share of each.
    private struct Taps {
        let first: Int
        /// They sum to 1.
        let weights: [Double]

        init(of target: Int, from source: Int, to count: Int) {
            let scale = Double(source) / Double(count)
            let widening = max(1, scale)
            let center = (Double(target) + 0.5) * scale
            let radius = 3 * widening
            let first = max(0, Int((center - radius + 0.5).rounded(.down)))
            let end = min(source, Int((center + radius + 0.5).rounded(.down)))
            let raw = (first..<max(end, first + 1)).map { Self.lanczos3((Double($0) - center + 0.5) / widening) }
            let sum = raw.reduce(0, +)
            self.first = first
            weights = raw.map { $0 / sum }
        }

        private static func lanczos3(_ x: Double) -> Double {
            guard abs(x) < 3 else { return 0 }
            return sinc(x) * sinc(x / 3)
        }

        private static func sinc(_ x: Double) -> Double { x == 0 ? 1 : sin(.pi * x) / (.pi * x) }
    }

    /// Copies the nearest pixel's value. Masks need this, because they must not get values in between.
    public static func nearest(
        _ values: [UInt8], size: (width: Int, height: Int), to target: (width: Int, height: Int)
    ) -> [UInt8] {
        precondition(values.count == size.width * size.height && target.width >= 1 && target.height >= 1)
        return (0..<target.height).flatMap { y in
            let row = y * size.height / target.height * size.width
            return (0..<target.width).map { values[row + $0 * size.width / target.width] }
        }
    }
}
