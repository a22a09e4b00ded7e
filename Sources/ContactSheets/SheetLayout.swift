import ImageFiles
public import ImageQuality
import Resampling

/// The places of everything on a sheet, in pixels: a title, a line of column headers, and rows of a label and cells. The
/// layout is made before any picture, so that a sheet which is too large is found in time.
public struct SheetLayout: Sendable, Equatable {
    public private(set) var rows: Int
    public let columns: Int
    /// The largest picture that a cell holds.
    public let cellWidth: Int
    public let cellHeight: Int
    /// The number of text lines under each picture.
    public let lines: Int

    static let margin = 16
    static let gap = 14
    static let labelWidth = 176
    static let (titleSize, headerSize, labelSize, lineSize) = (17, 15, 13, 11)
    /// The heights of the title, of the headers' two lines, and of a line under a picture.
    static let (titleHeight, headerHeight, lineHeight) = (34, 44, 15)
    /// A smaller picture would show nothing.
    static let cellSideMin = 48

    /// A sheet of `rows × columns` pictures.
    ///
    /// - Parameters:
    ///   - side: the longer side of a cell. It becomes smaller if the sheet would be larger than a PNG can be.
    ///   - aspect: the pictures' width and height.
    /// - Throws: `.tooLarge` for a sheet that would not fit even with the smallest cells.
    public init(
        rows: Int, columns: Int, side: Int, aspect: (width: Int, height: Int), lines: Int
    ) throws(ContactSheetError) {
        precondition(rows > 0 && columns > 0 && aspect.width > 0 && aspect.height > 0 && lines >= 0)
        (self.rows, self.columns, self.lines) = (rows, columns, lines)
        var side = max(side, Self.cellSideMin)
        while true {
            let cell = Self.fitted(aspect, into: (side, side))
            let size = Self.size(rows: rows, columns: columns, cell: cell, lines: lines)
            if max(size.width, size.height) <= PNGEncoder.sideMax, size.width * size.height <= PictureLimits.standard.pixelsMax
            {
                (cellWidth, cellHeight) = cell
                return
            }
            guard side > Self.cellSideMin else {
                throw .tooLarge(
                    "One sheet cannot show \(rows) rows of \(columns) pictures: compare fewer prompts, scales or methods at once."
                )
            }
            side = max(Self.cellSideMin, side - 8)
        }
    }

    /// The layout with fewer rows.
    public func with(rows: Int) -> SheetLayout {
        precondition((1...self.rows).contains(rows))
        var layout = self
        layout.rows = rows
        return layout
    }

    /// The size of the whole sheet.
    public var width: Int { size.width }
    public var height: Int { size.height }

    private var size: (width: Int, height: Int) {
        Self.size(rows: rows, columns: columns, cell: (cellWidth, cellHeight), lines: lines)
    }

    private static func size(
        rows: Int, columns: Int, cell: (width: Int, height: Int), lines: Int
    ) -> (width: Int, height: Int) {
        // These numbers are far beyond any limit, and far from overflow.
        let (rows, columns) = (min(rows, 1 << 20), min(columns, 1 << 20))
        return (
            2 * margin + labelWidth + columns * (cell.width + gap),
            2 * margin + titleHeight + headerHeight + rows * (cell.height + lines * lineHeight + gap)
        )
    }

    /// The place of a cell, without the lines under it.
    func cell(row: Int, column: Int) -> Area {
        Area(
            x: Self.margin + Self.labelWidth + column * (cellWidth + Self.gap),
            y: Self.margin + Self.titleHeight + Self.headerHeight + row * (cellHeight + lines * Self.lineHeight + Self.gap),
            width: cellWidth, height: cellHeight)
    }

    /// The largest size with this aspect that fits into a box, each side at least 1.
    static func fitted(_ aspect: (width: Int, height: Int), into box: (width: Int, height: Int)) -> (width: Int, height: Int) {
        if aspect.width * box.height >= aspect.height * box.width {
            return (box.width, max(1, (aspect.height * box.width + aspect.width / 2) / aspect.width))
        }
        return (max(1, (aspect.width * box.height + aspect.height / 2) / aspect.height), box.height)
    }

    /// The picture in the size that a cell shows.
    public func fitted(_ picture: RGBImage) -> RGBImage {
        let size = Self.fitted((picture.width, picture.height), into: (cellWidth, cellHeight))
        let rgb = ImageResizer.lanczos(picture.rgb, channels: 3, size: (picture.width, picture.height), to: size)
        return RGBImage(width: size.width, height: size.height, rgb: rgb)
    }
}
