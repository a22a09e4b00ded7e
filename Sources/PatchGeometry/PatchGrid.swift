/// The patches of a canvas in the structure phase: patch `(a, b)` holds the canvas points `(a + rows·y, b + columns·x)`.
///
/// Lengths are in latent points. If the canvas is a multiple of the patch, as the reference demands, the patches cover it
/// exactly. Other sizes are our extension: there are `⌈side / patch⌉` patches a side, all of one size: a multiple of eight,
/// or the patch's own size. Relocation crops the points beyond the canvas, at the right and at the bottom. If a side is
/// shorter than the patch, it has one patch of its own length.
public struct PatchGrid: Sendable, Equatable {
    /// Size of the canvas.
    public let height: Int
    public let width: Int
    /// The numbers of patches down and across.
    public let rows: Int
    public let columns: Int
    /// Size of every patch.
    public let patchHeight: Int
    public let patchWidth: Int

    /// The unit of patch sizes other than the model's own: they are multiples of it, so that they fit a U-Net with three
    /// halvings.
    public static let alignment = 8

    /// The grid of a canvas of `height × width` for patches of about `patch × patch`. All three must be positive.
    public init(height: Int, width: Int, patch: Int) throws(GeometryError) {
        guard (1...1 << 16).contains(height), (1...1 << 16).contains(width), (1...1 << 16).contains(patch) else {
            throw GeometryError("A canvas of \(height)x\(width) latent points cannot be cut into patches of \(patch).")
        }
        self.height = height
        self.width = width
        (rows, patchHeight) = Self.axis(height, patch)
        (columns, patchWidth) = Self.axis(width, patch)
    }

    /// The number of patches, K; patch `a · columns + b` has the offset `(a, b)`.
    public var count: Int { rows * columns }

    /// Whether the patches cover the canvas exactly, as in the reference.
    public var isExact: Bool { rows * patchHeight == height && columns * patchWidth == width }

    private static func axis(_ length: Int, _ patch: Int) -> (count: Int, size: Int) {
        let count = (length + patch - 1) / patch
        if length % patch == 0 { return (count, patch) }
        let least = (length + count - 1) / count
        if count == 1 { return (1, least) }
        return (count, min(patch, (least + alignment - 1) / alignment * alignment))
    }

    /// Puts patches together into one canvas:
    /// `canvas[c][Y][X] = patches[(Y % rows) · columns + X % columns][c][Y / rows][X / columns]`.
    ///
    /// Patches and canvas are planar, `(channels, height, width)`. Nothing is scaled or filtered.
    public func relocate(_ patches: [[Float]], channels: Int) -> [Float] {
        let plane = patchHeight * patchWidth
        precondition(patches.count == count && patches.allSatisfy { $0.count == channels * plane })
        var canvas = [Float](repeating: 0, count: channels * height * width)
        for channel in 0..<channels {
            for y in 0..<height {
                let source = channel * plane + (y / rows) * patchWidth
                let target = (channel * height + y) * width
                for x in 0..<width {
                    canvas[target + x] = patches[(y % rows) * columns + x % columns][source + x / columns]
                }
            }
        }
        return canvas
    }

    /// Deals a canvas out to its patches, the inverse of `relocate`:
    /// `patches[a · columns + b][c][y][x] = canvas[c][a + rows·y][b + columns·x]`.
    ///
    /// Only grids that are not exact have patch points beyond the canvas. These points repeat the canvas's last row or
    /// column; `relocate` drops them again.
    public func deal(_ canvas: [Float], channels: Int) -> [[Float]] {
        precondition(canvas.count == channels * height * width)
        return (0..<count).map { patch in
            let (top, left) = (patch / columns, patch % columns)
            var values: [Float] = []
            values.reserveCapacity(channels * patchHeight * patchWidth)
            for channel in 0..<channels {
                for y in 0..<patchHeight {
                    let row = (channel * height + min(top + rows * y, height - 1)) * width
                    for x in 0..<patchWidth { values.append(canvas[row + min(left + columns * x, width - 1)]) }
                }
            }
            return values
        }
    }
}
