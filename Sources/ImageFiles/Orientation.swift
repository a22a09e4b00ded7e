/// The position of the camera, in the numbers of EXIF. It says how to turn the picture upright.
enum Orientation: Int, CaseIterable {
    case upright = 1
    case mirrored = 2
    case halfTurned = 3
    case flipped = 4
    case transposed = 5
    /// A quarter turn to the right makes the picture upright.
    case needsRightTurn = 6
    case transversed = 7
    case needsLeftTurn = 8

    /// Whether the upright picture is as wide as the stored one is high.
    var swapsSides: Bool { rawValue >= 5 }

    /// Reads the orientation in a file's EXIF data. If they have none, the XMP packet counts. Each is empty if the file has
    /// none. Both may be hostile: anything against their standards counts as upright.
    init(exif: [UInt8], xmp: [UInt8]) {
        self = EXIFOrientation.read(exif) ?? XMPOrientation.read(xmp) ?? .upright
    }

    /// The pixels of a stored picture in the upright order.
    func upright(_ stored: StoredPicture) -> [UInt8] {
        guard self != .upright else { return stored.pixels }
        let (width, height, channels) = (stored.width, stored.height, stored.channels)
        let path = walk(width: width, height: height)
        let (columns, rows) = swapsSides ? (height, width) : (width, height)
        return [UInt8](unsafeUninitializedCapacity: stored.pixels.count) { target, count in
            stored.pixels.withUnsafeBufferPointer { source in
                var next = 0
                for y in 0..<rows {
                    var pixel = path.start + y * path.down
                    for _ in 0..<columns {
                        for channel in 0..<channels {
                            target.initializeElement(at: next + channel, to: source[pixel * channels + channel])
                        }
                        next += channels
                        pixel += path.right
                    }
                }
            }
            count = stored.pixels.count
        }
    }

    /// The place in the stored pixels where the upright picture begins, and the distances to its neighbours on the right and
    /// below.
    private func walk(width: Int, height: Int) -> (start: Int, right: Int, down: Int) {
        let last = width * height - 1
        return switch self {
        case .upright: (0, 1, width)
        case .mirrored: (width - 1, -1, width)
        case .halfTurned: (last, -1, -width)
        case .flipped: (last - (width - 1), 1, -width)
        case .transposed: (0, width, 1)
        case .needsRightTurn: (last - (width - 1), -width, 1)
        case .transversed: (last, -width, -1)
        case .needsLeftTurn: (width - 1, width, -1)
        }
    }
}
