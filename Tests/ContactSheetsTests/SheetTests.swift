import ImageFiles
import ImageQuality
import Testing

@testable import ContactSheets

@Suite struct SheetTests {
    static func flat(_ width: Int, _ height: Int, _ colour: [UInt8]) -> RGBImage {
        RGBImage(width: width, height: height, rgb: (0..<width * height).flatMap { _ in colour })
    }

    static func pixel(_ sheet: RGBImage, _ x: Int, _ y: Int) -> [UInt8] {
        Array(sheet.rgb[(y * sheet.width + x) * 3..<(y * sheet.width + x) * 3 + 3])
    }

    @Test func cellsLieSideBySideWithinTheSheet() throws {
        let layout = try SheetLayout(rows: 3, columns: 4, side: 200, aspect: (width: 1024, height: 512), lines: 2)
        #expect(layout.cellWidth == 200 && layout.cellHeight == 100)
        for row in 0..<3 {
            for column in 0..<4 {
                let cell = layout.cell(row: row, column: column)
                #expect(cell.x + cell.width <= layout.width && cell.y + cell.height + 30 <= layout.height)
                let next = layout.cell(row: row + 1, column: column + 1)
                #expect(next.x >= cell.x + cell.width && next.y >= cell.y + cell.height + 30)
            }
        }
    }

    @Test func cellsShrinkUntilTheSheetFitsAPNG() throws {
        let layout = try SheetLayout(rows: 100, columns: 7, side: 512, aspect: (width: 64, height: 64), lines: 3)
        #expect(layout.cellHeight < 512 && layout.cellHeight >= 48)
        #expect(layout.height <= PNGEncoder.sideMax && layout.width * layout.height <= PictureLimits.standard.pixelsMax)
        for rows in [1000, .max] {
            let error = #expect(throws: ContactSheetError.self) {
                try SheetLayout(rows: rows, columns: 7, side: 512, aspect: (width: 64, height: 64), lines: 3)
            }
            guard case .tooLarge = error else {
                Issue.record("\(rows) rows: \(String(describing: error))")
                continue
            }
        }
    }

    @Test(
        arguments: [
            ((100, 100), (48, 48)), ((100, 50), (48, 24)), ((50, 100), (24, 48)), ((1024, 4), (48, 1)), ((10, 10), (48, 48)),
        ] as [((Int, Int), (Int, Int))])
    func picturesKeepTheirAspect(_ size: (width: Int, height: Int), _ expected: (width: Int, height: Int)) throws {
        let layout = try SheetLayout(rows: 1, columns: 1, side: 48, aspect: (width: 1, height: 1), lines: 0)
        let fitted = layout.fitted(Self.flat(size.width, size.height, [9, 90, 200]))
        #expect(fitted.width == expected.width && fitted.height == expected.height)
        #expect(Self.pixel(fitted, 0, 0) == [9, 90, 200])
    }

    @Test func aSheetShowsPicturesTextAndFlags() throws {
        let layout = try SheetLayout(rows: 2, columns: 2, side: 64, aspect: (width: 1, height: 1), lines: 1)
        let blue = Self.flat(64, 64, [0, 0, 250])
        let cells = [
            ContactSheet.Cell(picture: blue, lines: ["1.5 s"]),
            ContactSheet.Cell(picture: Self.flat(64, 32, [0, 250, 0]), lines: ["2 s", "not shown"], isFlagged: true),
        ]
        let label = [String(repeating: "a very long prompt ", count: 40), "2×"]
        let sheet = ContactSheet(
            layout: layout, title: "title", headers: ["direct", "cut"],
            rows: [
                ContactSheet.Row(label: label, cells: cells),
                ContactSheet.Row(label: ["b"], cells: [.init(picture: nil, lines: [])]),
            ])
        let font = try SheetFont()
        let drawn = sheet.drawn(with: font)
        #expect(drawn.width == layout.width && drawn.height == layout.height)
        let (first, second) = (layout.cell(row: 0, column: 0), layout.cell(row: 0, column: 1))
        #expect(Self.pixel(drawn, first.x, first.y) == [0, 0, 250])
        #expect(Self.pixel(drawn, first.x - 1, first.y) == [232, 232, 232])
        #expect(Self.pixel(drawn, first.x - 2, first.y) == [255, 255, 255])
        // The flat picture lies in the middle of its cell, in a red frame.
        #expect(Self.pixel(drawn, second.x, second.y) == [255, 255, 255])
        #expect(Self.pixel(drawn, second.x + 32, second.y + 32) == [0, 250, 0])
        #expect(Self.pixel(drawn, second.x + 32, second.y + 14) == [200, 30, 30])
        let empty = layout.cell(row: 1, column: 0)
        #expect(Self.pixel(drawn, empty.x + 5, empty.y + 5) == [232, 232, 232])
        func isWritten(_ area: Area) -> Bool {
            (area.y..<area.y + area.height).contains { y in
                (area.x..<area.x + area.width).contains { Self.pixel(drawn, $0, y).allSatisfy { $0 < 170 } }
            }
        }
        #expect(isWritten(Area(x: 16, y: 16, width: 60, height: 30)), "no title")
        #expect(isWritten(Area(x: first.x, y: first.y - 40, width: 64, height: 38)), "no header")
        #expect(isWritten(Area(x: first.x, y: first.y + 65, width: 64, height: 14)), "no figures")
        #expect(isWritten(Area(x: 16, y: first.y, width: 150, height: 60)), "no label")
        #expect(!isWritten(Area(x: 16 + 162, y: first.y, width: 13, height: 80)), "the label leaves its column")
        #expect(drawn == sheet.drawn(with: font), "the same sheet has other pixels the second time")
    }

    @Test func textIsAsWideAsItsLettersAndGrowsWithTheSize() throws {
        let font = try SheetFont()
        #expect(font.width(of: "", size: 12) == 0)
        let widths = [8, 12, 24, 48].map { font.width(of: "Wapple 1.5", size: $0) }
        #expect(widths == widths.sorted() && Set(widths).count == 4)
        #expect(abs(font.width(of: "ab", size: 40) - font.width(of: "a", size: 40) - font.width(of: "b", size: 40)) <= 1)
        // Not every font has these letters. None of them stops the letters behind it.
        let (strange, usual) = ("日本\u{10FFFF}\u{0}", "Wapple")
        let behind = font.width(of: strange + usual, size: 20) - font.width(of: strange, size: 20)
        #expect(abs(behind - font.width(of: usual, size: 20)) <= 1)
    }
}
