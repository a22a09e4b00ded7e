/// How a camera was held when it took a picture, as EXIF says it: what must be done to see the picture upright.
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

    /// The orientation in EXIF data: a TIFF header and its first directory. The data may be hostile; whatever is not as the
    /// standard says (tag 0x0112, one SHORT from 1 to 8) counts as upright, as in browsers.
    init(exif: [UInt8]) {
        self = Self.read(TIFFBytes(exif)) ?? .upright
    }

    private static func read(_ tiff: TIFFBytes?) -> Orientation? {
        let short = 3
        guard let tiff, let directory = tiff.number(at: 4, bytes: 4), let count = tiff.number(at: directory, bytes: 2) else {
            return nil
        }
        for entry in 0..<count {
            let place = directory + 2 + 12 * entry
            guard let tag = tiff.number(at: place, bytes: 2) else { return nil }
            guard tag == 0x0112 else { continue }
            guard tiff.number(at: place + 2, bytes: 2) == short, tiff.number(at: place + 4, bytes: 4) == 1,
                let value = tiff.number(at: place + 8, bytes: 2)
            else { return nil }
            return Orientation(rawValue: value)
        }
        return nil
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

/// Numbers in a TIFF structure, which says itself in which order their bytes are.
private struct TIFFBytes {
    private let bytes: ArraySlice<UInt8>
    private let isBigEndian: Bool

    /// nil for what does not begin as TIFF does. The mark that JPEG puts before it may be there in other formats too.
    init?(_ exif: [UInt8]) {
        let mark = Array("Exif\0\0".utf8)
        bytes = exif.starts(with: mark) ? exif.dropFirst(mark.count) : exif[...]
        if bytes.starts(with: [0x49, 0x49, 42, 0]) {
            isBigEndian = false
        } else if bytes.starts(with: [0x4D, 0x4D, 0, 42]) {
            isBigEndian = true
        } else {
            return nil
        }
    }

    /// The unsigned number at an offset from the TIFF header; nil where it is not inside the data.
    func number(at offset: Int, bytes count: Int) -> Int? {
        guard offset >= 0, offset <= bytes.count - count else { return nil }
        let digits = bytes.dropFirst(offset).prefix(count)
        return isBigEndian ? digits.reduce(0) { $0 << 8 | Int($1) } : digits.reversed().reduce(0) { $0 << 8 | Int($1) }
    }
}
