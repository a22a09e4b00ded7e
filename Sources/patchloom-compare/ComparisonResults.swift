import CommandSupport
import ContactSheets
import ImageFiles
import ImageQuality
import MethodComparison
import Rendering
import Runtime

/// The results of a comparison so far: the figures, and the pictures in the sheet's size.
struct ComparisonResults {
    private let plan: Comparison
    private let layout: SheetLayout
    private let nativeSide: Int
    private let conditions: [(name: String, value: String)]
    private var pictures: [ComparedPicture] = []
    private var thumbnails: [RGBImage] = []
    /// The native render of the current prompt.
    private var native: RGBImage?

    /// The number of lines of figures under each picture of the sheet.
    static let lines = 3

    init(_ plan: Comparison, layout: SheetLayout, nativeSide: Int, conditions: [(name: String, value: String)]) {
        (self.plan, self.layout, self.nativeSide, self.conditions) = (plan, layout, nativeSide, conditions)
    }

    /// The figures of the pictures so far.
    var table: ComparisonTable {
        var conditions = conditions
        if pictures.count < plan.items.count {
            conditions.append(("state", "stopped after \(pictures.count) of \(plan.items.count) pictures"))
        }
        return ComparisonTable(conditions: conditions, pictures: pictures)
    }

    /// Adds the picture of the item with this number. Pictures come in order.
    mutating func add(_ number: Int, _ result: RenderResult) throws -> ComparedPicture {
        let item = plan.items[number]
        let decoded = try ImageDecoder.decode(result.file.bytes(), name: "The rendered picture")
        let image = RGBImage(width: decoded.width, height: decoded.height, rgb: decoded.rgb)
        if item.isNative { native = nil }
        let quality = PictureQuality(of: image, plan: item.plan, native: native, nativeSide: nativeSide)
        if item.isNative { native = image }
        let cost = ComparedPicture.Cost(
            wallSeconds: result.timings.wall / .seconds(1), evaluations: item.plan.evaluations,
            operations: result.counts.operations, workerPeakBytes: result.counts.workerPeakBytes,
            bytesOnWire: result.counts.bytesOnWire)
        let picture = ComparedPicture(item.subject, cost, quality)
        pictures.append(picture)
        thumbnails.append(layout.fitted(image))
        return picture
    }

    /// Writes the results so far: the figures, and the sheet with the font. Writes nothing without a picture.
    func write(_ files: inout CompareFiles, font: SheetFont) throws {
        guard !pictures.isEmpty else { return }
        let table = table
        try files.write(table)
        let sheet = sheet(table).drawn(with: font)
        try files.sheet.write(PNGEncoder.encode(rgb: sheet.rgb, width: sheet.width, height: sheet.height))
    }

    // MARK: The sheet

    private func sheet(_ table: ComparisonTable) -> ContactSheet {
        var rows: [ContactSheet.Row] = []
        for (index, prompt) in plan.prompts.enumerated() {
            for size in plan.sizes.sizes {
                let first = cell(table, prompt: index + 1, ComparedPicture.native, plan.sizes.native)
                let others = plan.recipes.map { cell(table, prompt: index + 1, $0.name, size) }
                let label = [prompt, "\(Decimal.short(size.scale))×, \(size.width)×\(size.height)"]
                rows.append(ContactSheet.Row(label: label, cells: [first] + others))
            }
        }
        // A row without any picture is left out.
        rows.removeAll { row in row.cells.allSatisfy { $0.picture == nil } }
        return ContactSheet(
            layout: layout.with(rows: max(1, rows.count)),
            title: table.conditions.map { "\($0.name): \($0.value)" }.joined(separator: ", "),
            headers: [ComparedPicture.native] + plan.recipes.map(\.name), rows: rows)
    }

    private func cell(
        _ table: ComparisonTable, prompt: Int, _ method: String, _ size: ComparedSizes.Size
    ) -> ContactSheet.Cell {
        let place = pictures.firstIndex { picture in
            let subject = picture.subject
            return subject.promptNumber == prompt && subject.method == method && subject.width == size.width
                && subject.height == size.height
        }
        guard let place else { return ContactSheet.Cell(picture: nil, lines: []) }
        let picture = pictures[place]
        return ContactSheet.Cell(
            picture: thumbnails[place], lines: Self.lines(picture, speed: table.speed(picture)),
            isFlagged: picture.quality.isRepeating)
    }

    /// The lines under a picture.
    private static func lines(_ picture: ComparedPicture, speed: Double?) -> [String] {
        let (cost, quality) = (picture.cost, picture.quality)
        var time = "\(Decimal.fixed(cost.wallSeconds, digits: 1)) s"
        if let speed { time += ", \(Decimal.fixed(speed, digits: 2))× direct" }
        time += ", \(Decimal.fixed(Double(cost.operations) / 1e12, digits: 2)) TFLOP"
        var looks = "sharp \(Decimal.fixed(quality.sharpness, digits: 0))"
        if let similarity = quality.similarity { looks = "similar \(Decimal.fixed(similarity, digits: 2)), " + looks }
        if let seams = quality.seams { looks += ", seams \(Decimal.fixed(seams, digits: 2))" }
        let repetition = "repetition \(Decimal.fixed(quality.repetition, digits: 2))"
        return [time, looks, quality.isRepeating ? repetition + ": repeats" : repetition]
    }
}
