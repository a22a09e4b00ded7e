/// The foreground of a picture, on a coarse grid of cells.
struct ForegroundMap {
    let width: Int
    let height: Int
    /// The mean colour of every cell, row by row.
    let colours: [Colour]
    /// Whether a cell belongs to the foreground.
    private(set) var isForeground: [Bool]
    /// The number of a foreground cell's connected piece; -1 for background.
    private(set) var pieces: [Int]

    /// Red, green and blue, 0 to 255.
    struct Colour: Equatable {
        var red = 0.0
        var green = 0.0
        var blue = 0.0

        func isLike(_ other: Colour, within distance: Double = Colour.likeness) -> Bool {
            square(red - other.red) + square(green - other.green) + square(blue - other.blue) < square(distance)
        }

        /// Two colours that differ by less, in 8-bit levels, count as one colour.
        static let likeness = 45.0
        /// Neighbouring cells that differ by less belong to one gradient.
        static let slope = 6.0
    }

    /// A smaller area of the background's colour belongs to the foreground. So a picture without an even background is all
    /// foreground. In cells of a sixteenth of a side this is a square of half a side.
    private static let backgroundMin = 64
    /// Pieces of this many cells or fewer are stray strokes: they fit into a square of a sixth of a side.
    private static let specksMax = 8

    /// Makes the map of a grid of `width × height` cells. The grid is not finer than the picture.
    init(_ image: RGBImage, width: Int, height: Int) {
        let planes = image.channels.map { $0.reduced(width: width, height: height).values }
        self.width = width
        self.height = height
        colours = planes[0].indices.map { Colour(red: planes[0][$0], green: planes[1][$0], blue: planes[2][$0]) }
        isForeground = []
        pieces = []
        let background = prevailingColour
        isForeground = colours.map { !$0.isLike(background) }
        growBackground()
        for area in regions(where: { !self.isForeground[$0] }) where area.count < Self.backgroundMin {
            for cell in area { isForeground[cell] = true }
        }
        for piece in regions(where: { self.isForeground[$0] }) where piece.count <= Self.specksMax {
            for cell in piece { isForeground[cell] = false }
        }
        fillHoles()
        pieces = [Int](repeating: -1, count: colours.count)
        for (number, piece) in regions(where: { self.isForeground[$0] }).enumerated() {
            for cell in piece { pieces[cell] = number }
        }
    }

    /// The colour of the background: most cells have it.
    private var prevailingColour: Colour {
        func bin(_ colour: Colour) -> Int {
            [colour.red, colour.green, colour.blue].reduce(0) { $0 << 8 | Int($1) >> Self.binBits }
        }
        let members = Dictionary(grouping: colours.indices) { bin(colours[$0]) }.sorted { $0.key < $1.key }
        // A colour may lie on the edge of two bins. So all cells with a colour like the bin's mean count.
        let bins = members.map { (mean: mean($0.value), count: $0.value.count) }
        let shares = bins.map { one in bins.reduce(0) { $0 + ($1.mean.isLike(one.mean) ? $1.count : 0) } }
        guard let best = shares.indices.max(by: { shares[$0] < shares[$1] }) else { return Colour() }
        var colour = bins[best].mean
        // The mean of all cells with this colour; the bin's mean may be another.
        for _ in 0..<4 { colour = mean(colours.indices.filter { colours[$0].isLike(colour) }) }
        return colour
    }

    private static let binBits = 4

    private func mean(_ cells: [Int]) -> Colour {
        var sum = Colour()
        for cell in cells {
            sum.red += colours[cell].red
            sum.green += colours[cell].green
            sum.blue += colours[cell].blue
        }
        let count = Double(max(1, cells.count))
        return Colour(red: sum.red / count, green: sum.green / count, blue: sum.blue / count)
    }

    private func touchesBorder(_ cell: Int) -> Bool {
        let (x, y) = (cell % width, cell / width)
        return x == 0 || y == 0 || x == width - 1 || y == height - 1
    }

    /// The share of the foreground that is more than thin strokes: cells inside some square of three cells that lies wholly
    /// in the foreground.
    var bulkShare: Double {
        var isBulk = [Bool](repeating: false, count: colours.count)
        for y in 0..<max(0, height - 2) {
            for x in 0..<max(0, width - 2) {
                let block = (y..<y + 3).flatMap { row in (x..<x + 3).map { row * width + $0 } }
                if block.allSatisfy({ isForeground[$0] }) { for cell in block { isBulk[cell] = true } }
            }
        }
        return Double(isBulk.count { $0 }) / Double(max(1, isForeground.count { $0 }))
    }

    /// Connected areas of the member cells, each with its cells.
    private func regions(where isMember: (Int) -> Bool) -> [[Int]] {
        var isSeen = [Bool](repeating: false, count: colours.count)
        var found: [[Int]] = []
        for start in colours.indices where !isSeen[start] && isMember(start) {
            isSeen[start] = true
            var region = [start]
            var next = 0
            while next < region.count {
                for cell in neighbours(of: region[next]) where !isSeen[cell] && isMember(cell) {
                    isSeen[cell] = true
                    region.append(cell)
                }
                next += 1
            }
            found.append(region)
        }
        return found
    }

    private func neighbours(of cell: Int) -> [Int] {
        let (x, y) = (cell % width, cell / width)
        var cells: [Int] = []
        if x > 0 { cells.append(cell - 1) }
        if x < width - 1 { cells.append(cell + 1) }
        if y > 0 { cells.append(cell - width) }
        if y < height - 1 { cells.append(cell + width) }
        return cells
    }

    /// The background continues where its colour changes slowly: a sky is one background from top to bottom.
    private mutating func growBackground() {
        var border = colours.indices.filter { !isForeground[$0] }
        while let cell = border.popLast() {
            for next in neighbours(of: cell)
            where isForeground[next] && colours[next].isLike(colours[cell], within: Colour.slope) {
                isForeground[next] = false
                border.append(next)
            }
        }
    }

    /// Fills holes: background inside a piece belongs to the piece, if the piece does not touch the picture's border. The
    /// walls of a white house on white are an example.
    private mutating func fillHoles() {
        var isOpen = [Bool](repeating: false, count: colours.count)
        for piece in regions(where: { self.isForeground[$0] }) where piece.contains(where: touchesBorder) {
            for cell in piece { isOpen[cell] = true }
        }
        // Pieces at the border count as open here. Then everything but a hole of a free piece connects with the border.
        for region in regions(where: { !self.isForeground[$0] || isOpen[$0] })
        where !region.contains(where: { touchesBorder($0) || isOpen[$0] }) {
            for cell in region { isForeground[cell] = true }
        }
    }
}
