/// How a camera was held when it took a picture, in the numbers of EXIF: what must be done to see the picture upright.
enum Orientation: Int, CaseIterable {
    case upright = 1
    case mirrored = 2
    case halfTurned = 3
    case flipped = 4
    case transposed = 5
    /// The picture is upright after a quarter turn to the right.
    case needsRightTurn = 6
    case transversed = 7
    case needsLeftTurn = 8

    /// Whether the upright picture is as wide as the stored one is high.
    var swapsSides: Bool { rawValue >= 5 }

    /// What a file says: its EXIF data before its XMP packet, which counts where EXIF says nothing of the orientation; each
    /// empty where the file has none. Both may be hostile: what is not as their standards say counts as upright.
    init(exif: [UInt8], xmp: [UInt8]) {
        self = EXIFOrientation.read(exif) ?? XMPOrientation.read(xmp) ?? .upright
    }

    /// The pixels of a stored picture in the order of the upright one.
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

    /// Where in the stored pixels the upright picture begins, and how far its neighbours to the right and below are.
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
