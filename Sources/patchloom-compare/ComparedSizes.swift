import CommandSupport
import MethodComparison

/// The sizes of a comparison in pixels, and the native size that all are compared with.
struct ComparedSizes: Equatable {
    struct Size: Equatable {
        /// The ratio to the native picture's sides.
        var scale: Double
        var width: Int
        var height: Int
    }

    /// The native render's size. It has the same aspect, and as many pixels as the model was trained with.
    let native: Size
    let sizes: [Size]

    private static let scaleRange = 1.0...64.0
    private static let scalesMax = 16

    /// - Parameters:
    ///   - scales: the value of `--scale`; nil without the option.
    ///   - width, height: the values of `--width` and `--height`; nil without the option.
    ///   - side: the model's native side.
    ///   - multiple: the number that the model's sides are multiples of.
    init(
        scales: String?, width: Int?, height: Int?, native side: Int, multiple: Int
    ) throws(CommandFailure) {
        func rounded(_ length: Double) -> Int { Int(min(length, 1e9) / Double(multiple) + 0.5) * multiple }
        guard width != nil || height != nil else {
            native = Size(scale: 1, width: side, height: side)
            var sizes: [Size] = []
            for scale in try Self.scales(scales ?? "2") {
                let length = rounded(Double(side) * scale)
                guard !sizes.contains(where: { $0.width == length }) else {
                    throw CommandFailure(.usage, "--scale names the size of \(length) pixels twice: give it once.")
                }
                sizes.append(Size(scale: scale, width: length, height: length))
            }
            self.sizes = sizes
            return
        }
        guard scales == nil else {
            throw CommandFailure(.usage, "--scale and --width or --height say two sizes: leave one of them out.")
        }
        guard let width, let height else {
            throw CommandFailure(.usage, "A size needs --width and --height: give both, or --scale instead.")
        }
        guard width > 0, height > 0 else { throw CommandFailure(.usage, "--width and --height must be above 0.") }
        let factor = (Double(side) * Double(side) / (Double(width) * Double(height))).squareRoot()
        native = Size(
            scale: 1, width: max(64, rounded(Double(width) * factor)),
            height: max(64, rounded(Double(height) * factor)))
        sizes = [Size(scale: 1 / factor, width: width, height: height)]
    }

    private static func scales(_ text: String) throws(CommandFailure) -> [Double] {
        var scales: [Double] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let scale = Double(part), scaleRange.contains(scale) else {
                throw CommandFailure(
                    .usage,
                    "--scale must be numbers from 1 to \(Decimal.short(scaleRange.upperBound)), such as 2,4, not '\(text)'.")
            }
            scales.append(scale)
        }
        guard scales.count <= scalesMax else {
            throw CommandFailure(.usage, "--scale takes at most \(scalesMax) sizes at once, not \(scales.count).")
        }
        return scales
    }
}
