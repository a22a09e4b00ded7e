import CGlyphs

/// A system font in any size. Only one thread may use it.
public final class SheetFont {
    private let font: OpaquePointer
    private var size = 0
    private var extent = (above: 0, below: 0)
    /// Advances in 64ths of a pixel, kept after the first measurement.
    private var advances: [Key: Int] = [:]

    private struct Key: Hashable {
        var character: UInt32
        var size: Int
    }

    /// Opens the font that is most like DejaVu Sans, which Debian's fontconfig brings along.
    ///
    /// - Throws: `.noFont` with the remedy, if no font is installed or the one found cannot be read.
    public init() throws(ContactSheetError) {
        var opened: OpaquePointer?
        var message = [CChar](repeating: 0, count: Int(CGLYPHS_MESSAGE_SIZE))
        let status = cglyphs_open("DejaVu Sans", &opened, &message)
        let text = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard status == Int32(cglyphs_ok), let opened else {
            let what =
                status == Int32(cglyphs_bad_font)
                ? "The font \(text) cannot be read" : "No font is installed to label the pictures with"
            throw .noFont("\(what): install one, such as Debian's package fonts-dejavu-core.")
        }
        font = opened
    }

    deinit { cglyphs_close(font) }

    /// The pixels above and below the baseline that letters of a size need.
    func extent(size: Int) -> (above: Int, below: Int) {
        if size != self.size {
            var (above, below): (Int32, Int32) = (0, 0)
            guard cglyphs_set_size(font, UInt32(clamping: size), &above, &below) == Int32(cglyphs_ok) else {
                return (size, size / 4)
            }
            (self.size, extent) = (size, (Int(above), Int(below)))
        }
        return extent
    }

    /// The width of a line of text in pixels.
    func width(of text: String, size: Int) -> Int {
        (text.unicodeScalars.reduce(0) { $0 + advance(of: $1, size: size) } + 63) / 64
    }

    private func advance(of scalar: Unicode.Scalar, size: Int) -> Int {
        let key = Key(character: scalar.value, size: size)
        if let known = advances[key] { return known }
        let advance = draw(scalar, size: size) { Int($0.advance) } ?? 0
        advances[key] = advance
        return advance
    }

    /// Writes a line into the canvas.
    ///
    /// - Parameter place: the left end of the baseline.
    func write(_ text: String, size: Int, at place: (x: Int, y: Int), in colour: Canvas.Colour, on canvas: inout Canvas) {
        var pen = place.x * 64
        for scalar in text.unicodeScalars {
            draw(scalar, size: size) { glyph in
                let origin = (x: (pen + 32) / 64 + Int(glyph.left), y: place.y - Int(glyph.top))
                guard let coverage = glyph.coverage else { return }
                for row in 0..<Int(glyph.height) {
                    for column in 0..<Int(glyph.width) {
                        let share = coverage[row * Int(glyph.pitch) + column]
                        canvas.blend(colour, share: share, at: (origin.x + column, origin.y + row))
                    }
                }
            }
            pen += advance(of: scalar, size: size)
        }
    }

    /// Calls `body` with the glyph. Returns nil if the font cannot draw it.
    @discardableResult
    private func draw<Value>(_ scalar: Unicode.Scalar, size: Int, _ body: (cglyphs_glyph) -> Value) -> Value? {
        _ = extent(size: size)
        var glyph = cglyphs_glyph()
        guard cglyphs_draw(font, scalar.value, &glyph) == Int32(cglyphs_ok) else { return nil }
        return body(glyph)
    }
}
