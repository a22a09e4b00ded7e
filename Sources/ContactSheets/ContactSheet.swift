public import ImageQuality

/// Pictures side by side, with their labels and figures.
public struct ContactSheet {
    /// One picture with its figures.
    public struct Cell: Sendable {
        /// The picture; nil if there is none. The cell then stays grey.
        public var picture: RGBImage?
        /// The lines under the picture. A line that is too long is cut.
        public var lines: [String]
        /// Whether something is wrong with the picture. Then it has a red frame.
        public var isFlagged: Bool

        public init(picture: RGBImage?, lines: [String], isFlagged: Bool = false) {
            (self.picture, self.lines, self.isFlagged) = (picture, lines, isFlagged)
        }
    }

    /// The pictures of one row.
    public struct Row: Sendable {
        /// Paragraphs. If there is not enough room, the first one is cut.
        public var label: [String]
        public var cells: [Cell]

        public init(label: [String], cells: [Cell]) { (self.label, self.cells) = (label, cells) }
    }

    public let layout: SheetLayout
    public var title: String
    public var headers: [String]
    public var rows: [Row]

    public init(layout: SheetLayout, title: String, headers: [String], rows: [Row]) {
        precondition(rows.count <= layout.rows && headers.count <= layout.columns)
        (self.layout, self.title, self.headers, self.rows) = (layout, title, headers, rows)
    }

    /// Draws the whole sheet.
    public func drawn(with font: SheetFont) -> RGBImage {
        var pen = Pen(font: font, canvas: Canvas(width: layout.width, height: layout.height))
        let titleWidth = layout.width - 2 * SheetLayout.margin
        pen.write(
            [title], in: Area(x: SheetLayout.margin, y: SheetLayout.margin, width: titleWidth, height: SheetLayout.titleHeight),
            size: SheetLayout.titleSize, .black)
        for (column, header) in headers.enumerated() {
            let cell = layout.cell(row: 0, column: column)
            pen.write(
                [header],
                in: Area(
                    x: cell.x, y: cell.y - SheetLayout.headerHeight, width: cell.width, height: SheetLayout.headerHeight),
                size: SheetLayout.headerSize, .black, linesMax: 2, isAtBottom: true)
        }
        for (index, row) in rows.enumerated() { draw(row, index, with: &pen) }
        return RGBImage(width: layout.width, height: layout.height, rgb: pen.canvas.rgb)
    }

    private func draw(_ row: Row, _ index: Int, with pen: inout Pen) {
        let first = layout.cell(row: index, column: 0)
        let label = Area(
            x: SheetLayout.margin, y: first.y, width: SheetLayout.labelWidth - SheetLayout.gap,
            height: first.height + layout.lines * SheetLayout.lineHeight)
        pen.write(row.label, in: label, size: SheetLayout.labelSize, .black, linesMax: .max)
        for (column, cell) in row.cells.prefix(layout.columns).enumerated() {
            draw(cell, in: layout.cell(row: index, column: column), with: &pen)
        }
    }

    private func draw(_ cell: Cell, in area: Area, with pen: inout Pen) {
        if let picture = cell.picture {
            let fitted = layout.fitted(picture)
            let place = Area(
                x: area.x + (area.width - fitted.width) / 2, y: area.y + (area.height - fitted.height) / 2,
                width: fitted.width, height: fitted.height)
            pen.canvas.place(fitted, at: (place.x, place.y))
            // Without a thin frame a white picture would have no visible border.
            pen.canvas.frame(place, thickness: cell.isFlagged ? 3 : 1, cell.isFlagged ? .red : .pale)
        } else {
            pen.canvas.fill(area, .pale)
        }
        for (line, text) in cell.lines.prefix(layout.lines).enumerated() {
            let place = Area(
                x: area.x, y: area.y + area.height + line * SheetLayout.lineHeight + 3, width: area.width,
                height: SheetLayout.lineHeight)
            pen.write([text], in: place, size: SheetLayout.lineSize, cell.isFlagged ? .red : .grey)
        }
    }
}

/// Writes text into areas of a canvas.
private struct Pen {
    let font: SheetFont
    var canvas: Canvas

    /// - Parameters:
    ///   - paragraphs: each one begins a line. The first gets the lines that the others leave.
    ///   - linesMax: of all paragraphs. The area's height limits the lines too.
    mutating func write(
        _ paragraphs: [String], in area: Area, size: Int, _ colour: Canvas.Colour, linesMax: Int = 1, isAtBottom: Bool = false
    ) {
        let measure = { [font] (text: String) in font.width(of: text, size: size) }
        let extent = font.extent(size: size)
        let lineHeight = extent.above + extent.below
        let room = min(linesMax, max(1, area.height / max(1, lineHeight)))
        let others = paragraphs.dropFirst().map { TextLines.cut($0, width: area.width, measure: measure) }
        let first = paragraphs.first.map {
            TextLines.wrapped($0, width: area.width, linesMax: max(1, room - others.count), measure: measure)
        }
        let lines = ((first ?? []) + others).prefix(room)
        var baseline = area.y + extent.above + (isAtBottom ? area.height - lines.count * lineHeight - 4 : 0)
        for line in lines {
            font.write(line, size: size, at: (area.x, baseline), in: colour, on: &canvas)
            baseline += lineHeight
        }
    }
}
