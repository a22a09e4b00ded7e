/// What stands out from a picture's background, on a coarse grid of cells.
struct ForegroundMap {
    let width: Int
    let height: Int
    /// The mean colour of every cell, row by row.
    let colours: [Colour]
    /// Whether a cell belongs to what is shown.
    private(set) var isForeground: [Bool]

    /// Red, green and blue, 0 to 255.
    struct Colour: Equatable {
        var red = 0.0
        var green = 0.0
        var blue = 0.0

        func isLike(_ other: Colour) -> Bool {
            square(red - other.red) + square(green - other.green) + square(blue - other.blue) < square(Colour.likeness)
        }

        /// Colours that lie nearer to each other, in 8-bit levels, are one colour.
        static let likeness = 45.0
    }

    /// - Parameter specksMax: pieces of so many cells and fewer are taken for stray strokes.
    init(_ image: RGBImage, width: Int, height: Int, specksMax: Int) {
        let planes = image.channels.map { $0.reduced(width: width, height: height).values }
        self.width = width
        self.height = height
        colours = planes[0].indices.map { Colour(red: planes[0][$0], green: planes[1][$0], blue: planes[2][$0]) }
        isForeground = []
        let background = prevailingColour
        isForeground = colours.map { !$0.isLike(background) }
        for piece in regions(where: { self.isForeground[$0] }) where piece.count <= specksMax {
            for cell in piece { isForeground[cell] = false }
        }
        fillHoles()
    }

    /// The colour of the background: of all colours the one that has the largest share of the cells and of the cells along the
    /// border together.
    private var prevailingColour: Colour {
        var weights: [Int: Double] = [:]
        let border = Double(max(1, 2 * (width + height) - 4))
        func bin(_ colour: Colour) -> Int {
            (Int(colour.red) >> Self.binBits) << 16 | (Int(colour.green) >> Self.binBits) << 8 | Int(colour.blue)
                >> Self.binBits
        }
        var members: [Int: [Int]] = [:]
        for (cell, colour) in colours.enumerated() {
            let weight = 1 / Double(colours.count) + (touchesBorder(cell) ? 1 / border : 0)
            weights[bin(colour), default: 0] += weight
            members[bin(colour), default: []].append(cell)
        }
        // A colour may lie on the edge of two bins: what counts is all that is like the bin's mean.
        let means = members.mapValues { cells in mean(cells) }
        let best = weights.keys.sorted().map { key -> (mean: Colour, weight: Double) in
            let centre = means[key] ?? Colour()
            return (centre, weights.reduce(0) { $0 + ((means[$1.key] ?? Colour()).isLike(centre) ? $1.value : 0) })
        }
        return best.max { $0.weight < $1.weight }?.mean ?? Colour()
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

    /// Connected areas of the cells that are meant, each with its cells.
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

    /// Background that is enclosed by a piece which itself lies free of the picture's border belongs to the piece: the walls
    /// of a white house on white.
    private mutating func fillHoles() {
        var isOpen = [Bool](repeating: false, count: colours.count)
        for piece in regions(where: { self.isForeground[$0] }) where piece.contains(where: touchesBorder) {
            for cell in piece { isOpen[cell] = true }
        }
        // Seen through what touches the border, all but holes of free pieces hangs together with the border.
        for region in regions(where: { !self.isForeground[$0] || isOpen[$0] })
        where !region.contains(where: { touchesBorder($0) || isOpen[$0] }) {
            for cell in region { isForeground[cell] = true }
        }
    }
}
