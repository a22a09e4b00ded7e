import ContentHash

/// The hashes of files by their stamps, and their form in a file.
///
///     patchloom-digests-2\n
///     112 bytes a file: device, inode, size, modified, changed, used; the SHA-256 of the file; that of its tensors, or zeros
///     32 bytes: the SHA-256 of all the above
///
/// Numbers have eight bytes, least significant first. A damaged file is refused as a whole.
struct DigestRecords: CacheRecords, Equatable {
    static let fileName = "digests"
    struct Record: Equatable {
        let stamp: FileStamp
        let digest: SHA256Digest
        /// The hash of the bytes behind the head of a safetensors file; nil if nobody asked for it.
        var tensors: SHA256Digest?
        /// Nanoseconds since 1970, the last time a process asked for the hash, to within a day.
        var used: Int64
    }

    /// The most records: more than the LoRA files that a search looks at. The file has 3.7 MB then.
    static let usualLimit = 32_768
    static let maxByteCount = head.count + usualLimit * recordBytes + digestBytes
    private static let head = Array("patchloom-digests-2\n".utf8)
    private static let (recordBytes, digestBytes) = (112, 32)

    private let limit: Int
    private var records: [FileStamp.Place: Record] = [:]

    var count: Int { records.count }

    init() { self.init(limit: Self.usualLimit) }

    init(limit: Int) { self.limit = limit }

    /// The record of the file at a place, also one of an earlier state of the file.
    subscript(place: FileStamp.Place) -> Record? { records[place] }

    /// Adds a record of now. It takes the place of other records of the file, and of the least recently used where there are
    /// too many.
    mutating func put(_ record: Record) {
        records[record.stamp.place] = record
        guard records.count > limit else { return }
        // Nothing can have been used later than now: such a record was written while the clock was wrong.
        func used(_ other: Record) -> Int64 { other.used > record.used ? .min : other.used }
        // Room for more than one, so that not every new record has to sort.
        let kept = records.values.sorted { used($0) > used($1) }.prefix(limit - limit / 8)
        records = Dictionary(kept.map { ($0.stamp.place, $0) }) { first, _ in first }
    }

    mutating func remove(_ place: FileStamp.Place) { records[place] = nil }

    // MARK: The file

    /// Reads the records of a file; nil for damaged bytes.
    init?(_ bytes: [UInt8]) {
        let count = bytes.count - Self.head.count - Self.digestBytes
        guard count >= 0, count % Self.recordBytes == 0, bytes.count <= Self.maxByteCount, bytes.starts(with: Self.head),
            SHA256Digest(of: Array(bytes.dropLast(Self.digestBytes))).bytes.elementsEqual(bytes.suffix(Self.digestBytes))
        else { return nil }
        self.init()
        records.reserveCapacity(count / Self.recordBytes)
        for start in stride(from: Self.head.count, to: bytes.count - Self.digestBytes, by: Self.recordBytes) {
            guard let record = Record(bytes[start..<start + Self.recordBytes]) else { return nil }
            records[record.stamp.place] = record
        }
    }

    var bytes: [UInt8] {
        var bytes = Self.head
        bytes.reserveCapacity(Self.head.count + records.count * Self.recordBytes + Self.digestBytes)
        for record in records.values { record.append(to: &bytes) }
        return bytes + SHA256Digest(of: bytes).bytes
    }
}

extension DigestRecords.Record {
    fileprivate init?(_ bytes: ArraySlice<UInt8>) {
        func number(_ index: Int) -> UInt64 {
            bytes.dropFirst(8 * index).prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        guard let digest = SHA256Digest(bytes: bytes.dropFirst(48).prefix(32)) else { return nil }
        self.digest = digest
        tensors = bytes.dropFirst(80).allSatisfy { $0 == 0 } ? nil : SHA256Digest(bytes: bytes.dropFirst(80))
        let place = FileStamp.Place(device: number(0), inode: number(1))
        stamp = FileStamp(
            place: place, size: Int64(bitPattern: number(2)), modified: Int64(bitPattern: number(3)),
            changed: Int64(bitPattern: number(4)))
        used = Int64(bitPattern: number(5))
    }

    fileprivate func append(to bytes: inout [UInt8]) {
        let times = [stamp.size, stamp.modified, stamp.changed, used].map { UInt64(bitPattern: $0) }
        for number in [stamp.place.device, stamp.place.inode] + times {
            withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
        }
        bytes += digest.bytes
        bytes += tensors?.bytes ?? Array(repeating: 0, count: 32)
    }
}
