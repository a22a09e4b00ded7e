import CSystem
import Sentences
import StrictJSON

/// The form of a file of packed weights: the weights of one network in the order in which a library multiplies with them.
///
///     0        prologue of 48 bytes, see `PackedPrologue`; zeros up to byte 4096
///     4096     the tensors' bytes, each at a multiple of 64, large ones at a multiple of 4096; zeros between them
///     …        the head: JSON that names key, tensors and checksums, at the end of the file
///
/// Numbers are little-endian. Checksums are CRC-32C. The head is covered by the prologue's, the tensors by those of the head,
/// one for each piece of `pieceBytes`, so that several threads check a file at the same time.
enum PackedForm {
    static let version: UInt32 = 1
    /// The mark begins with a byte that is no text, and ends with a line feed, which transfers as text would change.
    static let magic: [UInt8] = [0x91] + Array("PLPACK".utf8) + [0x0A]
    static let dataOffset = 4096
    static let pieceBytes = 8 << 20
    /// Tensors of this size begin at a page of their own.
    static let largeTensor = 64 << 10
    static let headLimits = JSONLimits(maxBytes: 16 << 20, maxDepth: 4, maxElements: 1 << 20, maxMemory: 512 << 20)

    /// The number of checksums of a file whose tensors end at `end`.
    static func pieceCount(_ end: Int) -> Int { (end - dataOffset + pieceBytes - 1) / pieceBytes }

    /// The first place at or after `offset` where a tensor of `byteCount` bytes may begin.
    static func aligned(_ offset: Int, for byteCount: Int) -> Int {
        let unit = byteCount >= largeTensor ? dataOffset : 64
        return (offset + unit - 1) / unit * unit
    }
}

/// The first bytes of a file of packed weights.
struct PackedPrologue: Equatable {
    static let byteCount = 48

    var headOffset: UInt64
    var headBytes: UInt64
    var fileBytes: UInt64
    var headChecksum: UInt32

    func bytes() -> [UInt8] {
        var bytes = PackedForm.magic
        func put(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
        put(PackedForm.version)
        put(headChecksum)
        put(headOffset)
        put(headBytes)
        put(fileBytes)
        put(crc32c(bytes))
        return bytes + Array(repeating: 0, count: Self.byteCount - bytes.count)
    }

    /// Reads the bytes of `bytes()`; nil for anything else.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.byteCount, bytes.starts(with: PackedForm.magic) else { return nil }
        func value<Number: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _: Number.Type) -> Number {
            Number(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Number.self))
        }
        headChecksum = value(12, UInt32.self)
        headOffset = value(16, UInt64.self)
        headBytes = value(24, UInt64.self)
        fileBytes = value(32, UInt64.self)
        guard bytes.prefix(Self.byteCount).elementsEqual(self.bytes()) else { return nil }
    }

    init(headOffset: UInt64, headBytes: UInt64, fileBytes: UInt64, headChecksum: UInt32) {
        (self.headOffset, self.headBytes, self.fileBytes) = (headOffset, headBytes, fileBytes)
        self.headChecksum = headChecksum
    }
}

/// The table of a file of packed weights.
struct PackedHead: Equatable {
    struct Entry: Equatable {
        /// The tensor's path in the network.
        var name: String
        /// Its order in words.
        var format: String
        /// The place of the tensor, from the start of the file.
        var offset: Int
        var byteCount: Int
    }

    /// The name of the weights: `PackedKey.text`.
    var key: String
    /// The tensors in the order of their offsets.
    var entries: [Entry]
    var checksums: [UInt32]

    func json() -> JSONValue {
        [
            "key": .string(key),
            "checksums": .array(checksums.map { .integer(Int64($0)) }),
            "tensors": .array(
                entries.map {
                    [.string($0.name), .string($0.format), .integer(Int64($0.offset)), .integer(Int64($0.byteCount))]
                }),
        ]
    }

    init(key: String, entries: [Entry], checksums: [UInt32]) {
        (self.key, self.entries, self.checksums) = (key, entries, checksums)
    }

    /// Reads a head, whose tensors must lie in order between the prologue and `end`, the head's own offset.
    ///
    /// Returns nil for everything else. The caller says that the file is damaged, whichever rule it breaks.
    init?(_ json: JSONValue, end: Int) {
        guard let object = json.objectValue, end >= PackedForm.dataOffset,
            let head = try? PackedHead(JSONFields(object) { $0 }),
            head.checksums.count == PackedForm.pieceCount(end)
        else { return nil }
        var free = PackedForm.dataOffset
        for entry in head.entries {
            guard entry.offset >= free, entry.offset % 64 == 0, entry.offset <= end, entry.byteCount <= end - entry.offset
            else {
                return nil
            }
            free = entry.offset + entry.byteCount
        }
        self = head
    }

    private init(_ fields: JSONFields<JSONFieldError>) throws(JSONFieldError) {
        let checksum = JSONShape<UInt32>(.integer(0...Int(UInt32.max))) { $0.intValue.flatMap { UInt32(exactly: $0) } }
        self.init(
            key: try fields.required("key", .string()),
            entries: try fields.required("tensors", .list(of: Entry.shape, count: 0...(.max))),
            checksums: try fields.required("checksums", .list(of: checksum, count: 0...(.max))))
    }
}

extension PackedHead.Entry {
    /// `[name, format, offset, byteCount]` with positive numbers.
    fileprivate static var shape: JSONShape<Self> {
        JSONShape(.words("a tensor's name, format, offset and bytes")) { json in
            guard let parts = json.arrayValue, parts.count == 4, let name = parts[0].stringValue,
                let format = parts[1].stringValue, let offset = parts[2].intValue, let byteCount = parts[3].intValue,
                offset > 0, byteCount > 0
            else { return nil }
            return Self(name: name, format: format, offset: offset, byteCount: byteCount)
        }
    }
}

/// The CRC-32C of bytes.
func crc32c(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { csystem_crc32c(0, $0.baseAddress, $0.count) } }
