public import TensorCore

/// The windows of HiDiffusion's self-attention (MSW-MSA, Zhang et al. 2023, arXiv 2311.17528): the feature map is rolled by
/// some quarters of a window and cut into 2×2 windows with half its sides.
///
/// A map with an odd side is first resized to even sides, and back at the end, bicubically, as in the reference package.
public struct WindowGeometry: Sendable, Equatable {
    /// Sides of the feature map.
    public let height: Int
    public let width: Int
    /// The distance of the roll, in pixels.
    public let shiftRows: Int
    public let shiftColumns: Int

    /// - Parameter shift: quarters of a window, 0 to 3.
    public init(height: Int, width: Int, shift: Int) {
        precondition(height > 0 && width > 0 && (0...3).contains(shift), "no windows of \(height)×\(width), shift \(shift)")
        (self.height, self.width) = (height, width)
        shiftRows = (height + 1) / 2 / 4 * shift
        // The reference rolls only if the rows move.
        shiftColumns = shiftRows > 0 ? (width + 1) / 2 / 4 * shift : 0
    }

    private var evenHeight: Int { (height + 1) / 2 * 2 }
    private var evenWidth: Int { (width + 1) / 2 * 2 }
    private var resizes: Bool { evenHeight != height || evenWidth != width }

    /// Cuts (n, height·width, c) into (4n, tokens of a window, c).
    public func split(_ tokens: Tensor, _ context: ComputeContext) -> Tensor {
        var image = tokens.reshaped([tokens.shape[0], height, width, tokens.dimension(-1)])
        if resizes { image = context.resizeBicubic(image, height: evenHeight, width: evenWidth) }
        return context.splitWindows(image, shiftRows: shiftRows, shiftColumns: shiftColumns)
    }

    /// Joins (4n, tokens of a window, c) into (n, height·width, c) again.
    public func merge(_ windows: Tensor, _ context: ComputeContext) -> Tensor {
        let batch = windows.shape[0] / 4
        var image = context.mergeWindows(
            windows, batch: batch, height: evenHeight, width: evenWidth, shiftRows: shiftRows, shiftColumns: shiftColumns)
        if resizes { image = context.resizeBicubic(image, height: height, width: width) }
        return image.reshaped([batch, height * width, windows.dimension(-1)])
    }
}
