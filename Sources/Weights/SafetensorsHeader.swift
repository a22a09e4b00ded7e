import StrictJSON

/// Element types of the safetensors format that are read. All others are refused by name.
public enum StoredElementType: String, Sendable, CaseIterable {
    case f64 = "F64"
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    case i64 = "I64"
    case i32 = "I32"
    case i16 = "I16"
    case i8 = "I8"
    case u8 = "U8"
    case bool = "BOOL"

    /// Bytes of one element.
    public var byteCount: Int {
        switch self {
        case .f64, .i64: 8
        case .f32, .i32: 4
        case .f16, .bf16, .i16: 2
        case .i8, .u8, .bool: 1
        }
    }

    /// Whether the elements are floating-point numbers.
    public var isFloatingPoint: Bool {
        switch self {
        case .f64, .f32, .f16, .bf16: true
        default: false
        }
    }
}

/// One tensor of a safetensors file, as its head describes it. All numbers have been checked against the file.
public struct StoredTensor: Sendable, Equatable {
    public let elementType: StoredElementType
    /// Extents, outermost first; any may be 0.
    public let shape: [Int]
    /// Where the bytes lie in the file, row-major, little endian.
    public let byteRange: Range<Int>

    /// The number of elements.
    public var count: Int { byteRange.count / elementType.byteCount }
}

/// What may be in the head of a safetensors file, beyond the rules of the format.
public struct SafetensorsLimits: Sendable, Equatable {
    /// The longest head in bytes; the format's own reader allows 100,000,000 and so may be asked for at most.
    public var maxHeaderBytes: Int
    /// The most tensors in one file.
    public var maxTensors: Int

    public static let largestHeader = 100_000_000
    static let maxRank = 8
    static let maxNameBytes = 512
    static let maxMetadataBytes = 1 << 20
    /// Extents are less than 2^48.
    static let maxExtent = (1 << 48) - 1

    public init(maxHeaderBytes: Int = 8 << 20, maxTensors: Int = 65_536) {
        self.maxHeaderBytes = min(max(maxHeaderBytes, 0), SafetensorsLimits.largestHeader)
        self.maxTensors = max(maxTensors, 0)
    }
}

/// The head of a safetensors file, read by the rules of the format's reference reader (`safetensors/src/tensor.rs`) and
/// stricter limits of our own. Nothing of the file but its head is touched, and nothing is allocated by a number found in it.
struct SafetensorsHeader {
    var tensors: [String: StoredTensor] = [:]
    var metadata: [String: String] = [:]

    /// - Parameters:
    ///   - file: all bytes of the file.
    ///   - name: the file in messages.
    init(file: UnsafeRawBufferPointer, name: String, limits: SafetensorsLimits) throws(WeightsError) {
        let length = try SafetensorsHeader.headerLength(file: file, name: name, limits: limits)
        let reader = EntryReader(name: name, dataStart: 8 + length, dataCount: file.count - 8 - length)
        let json = try SafetensorsHeader.parse(
            UnsafeRawBufferPointer(rebasing: file[8..<(8 + length)]), reader: reader, limits: limits)
        guard json.count - (json["__metadata__"] == nil ? 0 : 1) <= limits.maxTensors else {
            throw reader.malformed("it names more than \(limits.maxTensors) tensors")
        }
        for (key, value) in json {
            if key == "__metadata__" {
                metadata = try reader.metadata(value)
                continue
            }
            let tensor = try reader.tensor(key, value)
            // Names that differ in bytes and are equal to Unicode would be one key to every Swift dictionary.
            guard tensors.updateValue(tensor, forKey: key) == nil else {
                throw reader.malformed("two tensors are named \(quoted(key))")
            }
        }
        try reader.checkCoverage(tensors)
    }

    /// The length of the head, checked against the file and the limit; other formats are recognised and refused by name.
    private static func headerLength(
        file: UnsafeRawBufferPointer, name: String, limits: SafetensorsLimits
    ) throws(WeightsError) -> Int {
        guard file.count >= 10 else {
            if let foreign = ForeignFormat.recognise(file) { throw foreign.refusal(name) }
            throw WeightsError(
                .malformed, "\(name) has \(file.count) bytes, too few for a safetensors file; download it again.")
        }
        let length = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
        let available = UInt64(file.count - 8)
        guard length <= available, length > 0, file[8] == UInt8(ascii: "{") else {
            if let foreign = ForeignFormat.recognise(file) { throw foreign.refusal(name) }
            let reason =
                length > available
                ? "its head should have \(length) bytes and only \(available) follow; it may be cut short, download it again"
                : "its head does not begin with '{'"
            throw WeightsError(.malformed, "\(name) is not a valid safetensors file: \(reason).")
        }
        guard length <= UInt64(limits.maxHeaderBytes) else {
            throw WeightsError(
                .tooLarge, "\(name) has a head of \(length) bytes, more than the limit of \(limits.maxHeaderBytes).")
        }
        return Int(length)
    }

    private static func parse(
        _ head: UnsafeRawBufferPointer, reader: EntryReader, limits: SafetensorsLimits
    ) throws(WeightsError) -> JSONObject {
        // Padding may follow the object, and only as spaces; the JSON reader would also take tabs and line ends.
        guard let last = head.lastIndex(where: { $0 != 0x20 }), head[last] == UInt8(ascii: "}") else {
            throw reader.malformed("its head does not end with '}' and spaces")
        }
        var jsonLimits = JSONLimits.safetensorsHeader
        jsonLimits.maxBytes = limits.maxHeaderBytes
        let value: JSONValue
        do { value = try JSONValue(parsing: head, limits: jsonLimits) } catch {
            throw reader.malformed("in its head \(error.message)")
        }
        guard let object = value.objectValue else { throw reader.malformed("its head is \(value.kindName), not an object") }
        return object
    }
}

/// Reads and checks the members of a head.
private struct EntryReader {
    let name: String
    let dataStart: Int
    let dataCount: Int

    func malformed(_ what: String) -> WeightsError {
        var what = what
        if what.last == "." { what.removeLast() }
        return WeightsError(.malformed, "\(name) is not a valid safetensors file: \(what).")
    }

    func metadata(_ value: JSONValue) throws(WeightsError) -> [String: String] {
        guard let object = value.objectValue else { throw malformed("__metadata__ is \(value.kindName), not an object") }
        var metadata: [String: String] = [:]
        var byteCount = 0
        for (key, value) in object {
            guard let text = value.stringValue else {
                throw malformed("__metadata__ \(quoted(key)) is \(value.kindName), not a string")
            }
            byteCount += key.utf8.count + text.utf8.count
            guard byteCount <= SafetensorsLimits.maxMetadataBytes else {
                throw malformed("__metadata__ is larger than \(SafetensorsLimits.maxMetadataBytes) bytes")
            }
            metadata[key] = text
        }
        return metadata
    }

    func tensor(_ key: String, _ value: JSONValue) throws(WeightsError) -> StoredTensor {
        guard (1...SafetensorsLimits.maxNameBytes).contains(key.utf8.count), !key.utf8.contains(0) else {
            throw malformed("the tensor name \(quoted(key)) is empty, longer than 512 bytes or holds a NUL")
        }
        guard let entry = value.objectValue, entry.count == 3, let type = entry["dtype"], let shape = entry["shape"],
            let offsets = entry["data_offsets"]
        else { throw malformed("tensor \(quoted(key)) is not described by exactly dtype, shape and data_offsets") }
        guard let typeName = type.stringValue else { throw malformed("the dtype of tensor \(quoted(key)) is not a string") }
        guard let elementType = StoredElementType(rawValue: typeName) else {
            let known = StoredElementType.allCases.map(\.rawValue).joined(separator: ", ")
            throw WeightsError(
                .unsupportedElementType,
                "\(name): tensor \(quoted(key)) has the element type \(quoted(typeName)); only \(known) can be read.")
        }
        let extents = try self.extents(shape, key)
        let byteCount = try self.byteCount(extents, elementType, key)
        let range = try self.range(offsets, key)
        guard range.count == byteCount else {
            throw malformed("tensor \(quoted(key)) of shape \(extents) needs \(byteCount) bytes and has \(range.count)")
        }
        return StoredTensor(
            elementType: elementType, shape: extents, byteRange: (dataStart + range.lowerBound)..<(dataStart + range.upperBound)
        )
    }

    private func extents(_ shape: JSONValue, _ key: String) throws(WeightsError) -> [Int] {
        guard let elements = shape.arrayValue else { throw malformed("the shape of tensor \(quoted(key)) is not an array") }
        guard elements.count <= SafetensorsLimits.maxRank else {
            throw malformed("tensor \(quoted(key)) has \(elements.count) dimensions, more than \(SafetensorsLimits.maxRank)")
        }
        var extents: [Int] = []
        for element in elements {
            guard let extent = element.intValue, (0...SafetensorsLimits.maxExtent).contains(extent) else {
                throw malformed("the shape of tensor \(quoted(key)) holds something else than whole numbers from 0 to 2^48 - 1")
            }
            extents.append(extent)
        }
        return extents
    }

    private func byteCount(_ extents: [Int], _ type: StoredElementType, _ key: String) throws(WeightsError) -> Int {
        var product = type.byteCount
        for extent in extents {
            let (next, overflow) = product.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw malformed("the size of tensor \(quoted(key)) of shape \(extents) overflows") }
            product = next
        }
        return product
    }

    private func range(_ offsets: JSONValue, _ key: String) throws(WeightsError) -> Range<Int> {
        guard let pair = offsets.arrayValue, pair.count == 2, let begin = pair[0].intValue, let end = pair[1].intValue else {
            throw malformed("the data_offsets of tensor \(quoted(key)) are not two whole numbers")
        }
        guard 0 <= begin, begin <= end, end <= dataCount else {
            throw malformed(
                "tensor \(quoted(key)) lies at bytes \(begin) to \(end) of data that has \(dataCount); the file may be cut "
                    + "short, download it again")
        }
        return begin..<end
    }

    /// The tensors cover the data without holes and overlaps, from its first byte to its last.
    func checkCoverage(_ tensors: [String: StoredTensor]) throws(WeightsError) {
        let sorted = tensors.sorted {
            ($0.value.byteRange.lowerBound, $0.value.byteRange.upperBound)
                < ($1.value.byteRange.lowerBound, $1.value.byteRange.upperBound)
        }
        var position = dataStart
        for (key, tensor) in sorted {
            guard tensor.byteRange.lowerBound == position else {
                let what = tensor.byteRange.lowerBound > position ? "leaves a hole before itself" : "overlaps another"
                throw malformed("tensor \(quoted(key)) \(what)")
            }
            position = tensor.byteRange.upperBound
        }
        guard position == dataStart + dataCount else {
            throw malformed("\(dataStart + dataCount - position) bytes follow its last tensor")
        }
    }
}
