/// Converts 8-bit pictures into an encoder's input.
public enum PicturePixels {
    /// 8-bit red, green and blue, pixel by pixel, as three planes of values from −1 to 1: `2 · (value / 255) − 1`, rounded in
    /// diffusers' order.
    public static func planes(rgb: [UInt8]) -> [Float] {
        precondition(rgb.count % 3 == 0, "three bytes a pixel")
        return (0..<3).flatMap { channel in
            stride(from: channel, to: rgb.count, by: 3).map { 2 * (Float(rgb[$0]) / 255) - 1 }
        }
    }

    /// Planes of values from 0 to 1 as planes of values from −1 to 1.
    public static func normalized(_ unit: [Float]) -> [Float] { unit.map { 2 * $0 - 1 } }
}
