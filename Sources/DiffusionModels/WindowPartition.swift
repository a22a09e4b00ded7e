public import TensorCore

/// HiDiffusion's window attention (MSW-MSA): a feature map is cut into 2×2 windows of half its sides after a cyclic shift
/// (hidiffusion 0.1.10, `transformer_block.forward`; specification 3.6). A map with an odd side is resized to even sides and back.
public struct WindowPartition: Sendable, Equatable {
    /// Sides of the feature map.
    public let height: Int
    public let width: Int
    /// Sides of one window.
    public let windowHeight: Int
    public let windowWidth: Int
    /// How far the map is rolled up and to the left.
    public let shiftRows: Int
    public let shiftColumns: Int

    /// - Parameter shift: 0...3; the map is shifted by that many quarters of a window.
    public init(height: Int, width: Int, shift: UInt8) {
        (self.height, self.width) = (height, width)
        (windowHeight, windowWidth) = ((height + 1) / 2, (width + 1) / 2)
        let rows = windowHeight / 4 * Int(shift)
        // The reference looks at the rows alone: windows lower than 4 are not shifted at all.
        (shiftRows, shiftColumns) = (rows, rows > 0 ? windowWidth / 4 * Int(shift) : 0)
    }

    private var isOdd: Bool { height % 2 == 1 || width % 2 == 1 }

    /// - Parameter tokens: (b, height·width, c)
    /// - Returns: (4b, windowHeight·windowWidth, c)
    public func split(_ tokens: Tensor, _ context: ComputeContext) -> Tensor {
        let (batch, c) = (tokens.shape[0], tokens.dimension(-1))
        var map = tokens.reshaped([batch, height, width, c])
        if isOdd { map = context.resizeBicubic(map, height: 2 * windowHeight, width: 2 * windowWidth) }
        return context.splitWindows(map, shiftRows: shiftRows, shiftColumns: shiftColumns)
    }

    /// The inverse of `split`, but for the blur of the two resizes where a side is odd.
    public func merge(_ windows: Tensor, _ context: ComputeContext) -> Tensor {
        let (batch, c) = (windows.shape[0] / 4, windows.dimension(-1))
        var map = context.mergeWindows(
            windows, batch: batch, height: 2 * windowHeight, width: 2 * windowWidth, shiftRows: shiftRows,
            shiftColumns: shiftColumns)
        if isOdd { map = context.resizeBicubic(map, height: height, width: width) }
        return map.reshaped([batch, height * width, c])
    }
}
