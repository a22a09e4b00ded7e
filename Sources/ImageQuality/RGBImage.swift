/// A picture of 8-bit pixels, row by row, three bytes each: red, green, blue.
public struct RGBImage: Sendable, Equatable {
    /// Size in pixels, both positive.
    public let width: Int
    public let height: Int
    /// `3 · width · height` bytes.
    public let rgb: [UInt8]

    /// A picture from its bytes. Sizes that do not fit together are the caller's mistake, and trap.
    public init(width: Int, height: Int, rgb: [UInt8]) {
        precondition(width > 0 && height > 0 && width <= 1 << 24 && height <= 1 << 24 && rgb.count == 3 * width * height)
        self.width = width
        self.height = height
        self.rgb = rgb
    }

    /// Brightness with the weights of ITU-R BT.601, 0 to 255.
    var luma: Plane {
        var values = [Double](repeating: 0, count: width * height)
        for index in values.indices {
            let (red, green, blue) = (Double(rgb[3 * index]), Double(rgb[3 * index + 1]), Double(rgb[3 * index + 2]))
            values[index] = 0.299 * red + 0.587 * green + 0.114 * blue
        }
        return Plane(width: width, height: height, values: values)
    }

    /// Red, green and blue as planes, 0 to 255.
    var channels: [Plane] {
        (0..<3).map { channel in
            Plane(width: width, height: height, values: stride(from: channel, to: rgb.count, by: 3).map { Double(rgb[$0]) })
        }
    }
}
