/// Builds JPEG files scan by scan, without libjpeg. All coefficients are zero, so every picture is even grey. Only
/// the scans differ.
public struct HandmadeJPEG {
    public private(set) var bytes: [UInt8] = [0xFF, 0xD8]
    private let isProgressive: Bool

    /// Tables and the header of a frame whose components are numbered from 0, all of full size.
    public init(width: Int, height: Int, components: Int, isProgressive: Bool = false) {
        self.isProgressive = isProgressive
        segment(0xDB, [0] + [UInt8](repeating: 1, count: 64))
        let sides = [UInt8(height >> 8), UInt8(height & 255), UInt8(width >> 8), UInt8(width & 255)]
        let parts = (0..<components).flatMap { component -> [UInt8] in [UInt8(component), 0x11, 0] }
        segment(isProgressive ? 0xC2 : 0xC0, [8] + sides + [UInt8(components)] + parts)
        // The lowest frequency: 0 means no difference. The others: 00 ends a block, 01 and 14 bits end 16,384 and more.
        segment(0xC4, [0x00, 1] + [UInt8](repeating: 0, count: 15) + [0])
        segment(0xC4, [0x10, 0, 2] + [UInt8](repeating: 0, count: 14) + [0, 0xE0])
    }

    /// One scan of all frequencies, or of some in a progressive picture.
    public mutating func scan(_ components: [Int], from first: UInt8 = 0, to last: UInt8 = 63, data: [UInt8]) {
        let selected = components.flatMap { component -> [UInt8] in [UInt8(component), 0] }
        segment(0xDA, [UInt8(components.count)] + selected + [first, last, 0])
        bytes += data
    }

    /// A scan of these components of a picture of 8 by 8 pixels: one block of each.
    public mutating func blocks(_ components: [Int]) {
        // Three zeros a component, filled up with ones.
        let bits = 3 * components.count
        var data = [UInt8](repeating: 0, count: (bits + 7) / 8)
        if bits % 8 > 0 { data[data.count - 1] = 0xFF >> UInt8(bits % 8) }
        scan(components, data: data)
    }

    public mutating func end() { bytes += [0xFF, 0xD9] }

    private mutating func segment(_ marker: UInt8, _ content: [UInt8]) {
        let length = content.count + 2
        bytes += [0xFF, marker, UInt8(length >> 8), UInt8(length & 255)] + content
    }
}
