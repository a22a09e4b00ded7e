import ImageQuality

/// An 8-bit RGB picture to draw on. Parts outside the picture are not drawn.
struct Canvas {
    struct Colour: Equatable {
        var red: UInt8
        var green: UInt8
        var blue: UInt8

        static let white = Colour(red: 255, green: 255, blue: 255)
        static let black = Colour(red: 20, green: 20, blue: 20)
        static let grey = Colour(red: 110, green: 110, blue: 110)
        static let pale = Colour(red: 232, green: 232, blue: 232)
        static let red = Colour(red: 200, green: 30, blue: 30)
    }

    let width: Int
    let height: Int
    private(set) var rgb: [UInt8]

    /// A white canvas.
    init(width: Int, height: Int) {
        (self.width, self.height) = (width, height)
        rgb = [UInt8](repeating: 255, count: width * height * 3)
    }

    /// Mixes a colour into a pixel. A share of 255 covers it wholly.
    mutating func blend(_ colour: Colour, share: UInt8, at point: (x: Int, y: Int)) {
        guard share > 0, (0..<width).contains(point.x), (0..<height).contains(point.y) else { return }
        let offset = (point.y * width + point.x) * 3
        let (over, under) = (Int(share), 255 - Int(share))
        for (channel, value) in [colour.red, colour.green, colour.blue].enumerated() {
            rgb[offset + channel] = UInt8((Int(value) * over + Int(rgb[offset + channel]) * under + 127) / 255)
        }
    }

    mutating func fill(_ area: Area, _ colour: Colour) {
        for y in area.y..<area.y + area.height {
            for x in area.x..<area.x + area.width { blend(colour, share: 255, at: (x, y)) }
        }
    }

    /// Draws a frame of this thickness, in pixels, around the area.
    mutating func frame(_ area: Area, thickness: Int, _ colour: Colour) {
        let (outerWidth, outerHeight) = (area.width + 2 * thickness, area.height + 2 * thickness)
        let (left, top) = (area.x - thickness, area.y - thickness)
        fill(Area(x: left, y: top, width: outerWidth, height: thickness), colour)
        fill(Area(x: left, y: area.y + area.height, width: outerWidth, height: thickness), colour)
        fill(Area(x: left, y: top, width: thickness, height: outerHeight), colour)
        fill(Area(x: area.x + area.width, y: top, width: thickness, height: outerHeight), colour)
    }

    /// Draws a picture with its top left corner at a point.
    mutating func place(_ picture: RGBImage, at point: (x: Int, y: Int)) {
        for row in 0..<picture.height {
            let (y, first) = (point.y + row, max(0, -point.x))
            let end = min(picture.width, width - point.x)
            guard (0..<height).contains(y), first < end else { continue }
            let source = (row * picture.width + first) * 3..<(row * picture.width + end) * 3
            let target = (y * width + point.x + first) * 3
            rgb.replaceSubrange(target..<target + source.count, with: picture.rgb[source])
        }
    }
}

/// A rectangle on a canvas.
struct Area: Equatable {
    var x: Int
    var y: Int
    var width: Int
    var height: Int
}
