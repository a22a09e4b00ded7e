public import RandomStreams

/// ToMe for Stable Diffusion (Bolya and Hoffman 2023, arXiv 2303.17604; the package `tomesd` 0.1.3): similar tokens become
/// their mean before a part of a transformer block, and all get its result after it.
public struct TokenMerging: Sendable, Equatable {
    /// Parts of a transformer block that run on merged tokens.
    public struct Parts: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// Self-attention.
        public static let attention = Parts(rawValue: 1)
        /// Attention to the text.
        public static let textAttention = Parts(rawValue: 2)
        /// The feed-forward part.
        public static let feedForward = Parts(rawValue: 4)
    }

    /// The token of a cell that is the destination.
    public enum Destinations: String, Sendable, CaseIterable {
        /// The top left one.
        case fixed
        /// The token that a hash of seed, call, block and the cell's place on the canvas chooses. It is the same for both
        /// halves of guidance, whether they run together or not. The reference draws it from a generator, and does not draw
        /// at all for batches of odd size.
        case random
    }

    /// The share of a block's tokens to merge away, 0 to 1. At most 1 − 1/(cellWidth · cellHeight) can be merged.
    public var ratio: Double
    /// The sides of a cell (`sx` and `sy`). A cell holds one destination. Cells need not divide the grid.
    public var cellWidth: Int
    public var cellHeight: Int
    public var destinations: Destinations
    public var parts: Parts
    /// Whether only self-attention's queries are merged. They are compared after the norm, and keys and values stay whole
    /// (ComfyUI's variant). For self-attention only.
    public var queriesOnly: Bool

    /// The longest side of a cell.
    public static let cellLimit = 64

    /// Merging with the package's own defaults, except the destinations: these are the top left tokens.
    public init(
        ratio: Double, cellWidth: Int = 2, cellHeight: Int = 2, destinations: Destinations = .fixed,
        parts: Parts = .attention, queriesOnly: Bool = false
    ) {
        (self.ratio, self.cellWidth, self.cellHeight) = (ratio, cellWidth, cellHeight)
        (self.destinations, self.parts, self.queriesOnly) = (destinations, parts, queriesOnly)
    }

    /// The number of `tokens` to merge away: a product of doubles, rounded down (29 of 100 at 0.29 become 28).
    public func mergedCount(of tokens: Int) -> Int { Int(Double(tokens) * ratio) }
}

/// A grid of tokens, cut into cells with one destination each. Rows and columns that fill no cell hold only sources.
public struct MergeCells: Sendable, Equatable {
    /// Sides of the grid.
    public let height: Int
    public let width: Int
    /// Sides of a cell.
    public let cellHeight: Int
    public let cellWidth: Int

    /// Makes cells with sides of at least 1.
    public init(height: Int, width: Int, cellHeight: Int, cellWidth: Int) {
        precondition(height > 0 && width > 0 && cellHeight > 0 && cellWidth > 0, "a grid has no cells without sides")
        (self.height, self.width, self.cellHeight, self.cellWidth) = (height, width, cellHeight, cellWidth)
    }

    public var rows: Int { height / cellHeight }
    public var columns: Int { width / cellWidth }
    public var count: Int { rows * columns }
    /// Tokens of one cell.
    public var cellTokens: Int { cellHeight * cellWidth }

    /// The tokens as sources and destinations, both ascending.
    ///
    /// - Parameter choices: for each cell, row by row, the place of its destination within the cell, counted row by row from
    ///   0.
    public func split(_ choices: [Int]) -> (sources: [Int32], destinations: [Int32]) {
        precondition(choices.count == count, "\(choices.count) choices for \(count) cells")
        var isDestination = [Bool](repeating: false, count: height * width)
        for (cell, choice) in choices.enumerated() {
            precondition((0..<cellTokens).contains(choice), "a cell of \(cellTokens) tokens has no token \(choice)")
            let row = cell / columns * cellHeight + choice / cellWidth
            isDestination[row * width + cell % columns * cellWidth + choice % cellWidth] = true
        }
        let tokens = isDestination.indices.map { Int32($0) }
        return (tokens.filter { !isDestination[Int($0)] }, tokens.filter { isDestination[Int($0)] })
    }

    /// The top left token of each cell.
    public var fixedChoices: [Int] { Array(repeating: 0, count: count) }

    /// The choices in a render: a hash of seed, call, block and the cell's place on the canvas. Overlapping views choose the
    /// same tokens if they lie a multiple of a cell apart.
    ///
    /// - Parameters:
    ///   - block: the transformer block's place in the network, counted in execution order.
    ///   - originRow: the grid's first row on the canvas, in tokens.
    ///   - originColumn: the grid's first column on the canvas, in tokens.
    public func hashedChoices(seed: UInt64, call: Int, block: Int, originRow: Int, originColumn: Int) -> [Int] {
        let (firstRow, firstColumn) = (originRow / cellHeight, originColumn / cellWidth)
        return (0..<count).map { cell in
            let (row, column) = (firstRow + cell / columns, firstColumn + cell % columns)
            var stream = HashStream(
                seed: seed, purpose: .mergeDestination, call: call, index: (block << 20 | row) << 20 | column)
            return stream.integer(below: cellTokens)
        }
    }

    /// The next draws of PyTorch's CPU generator, `randint(cellTokens, (rows, columns, 1))`. The reference takes them for
    /// batches of even size.
    public func referenceChoices(_ generator: inout TorchCPUGenerator) -> [Int] {
        (0..<count).map { _ in Int(generator.integer(below: UInt64(cellTokens))) }
    }
}
