import Sentences
import StrictJSON

/// Element types of the safetensors format that are read. All others are refused by name.
///
/// The two types of eight bits are those of the format (`safetensors/src/tensor.rs`): `F8_E4M3` is OCP's E4M3 without
/// infinities, torch's `float8_e4m3fn`, and `F8_E5M2` OCP's E5M2.
public enum StoredElementType: String, Sendable, CaseIterable {
    case f64 = "F64"
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    case f8e4m3 = "F8_E4M3"
    case f8e5m2 = "F8_E5M2"
    case i64 = "I64"
    case i32 = "I32"
    case i16 = "I16"
    case i8 = "I8"
    case u64 = "U64"
    case u32 = "U32"
    case u16 = "U16"
    case u8 = "U8"
    case bool = "BOOL"

    /// Bytes of one element.
    public var byteCount: Int {
        switch self {
        case .f64, .i64, .u64: 8
        case .f32, .i32, .u32: 4
        case .f16, .bf16, .i16, .u16: 2
        case .f8e4m3, .f8e5m2, .i8, .u8, .bool: 1
        }
    }

    /// Whether the elements are floating-point numbers.
    public var isFloatingPoint: Bool {
        switch self {
        case .f64, .f32, .f16, .bf16, .f8e4m3, .f8e5m2: true
        case .i64, .i32, .i16, .i8, .u64, .u32, .u16, .u8, .bool: false
        }
    }
}

/// One tensor of a safetensors file, as its head describes it. All numbers have been checked against the file.
public struct StoredTensor: Sendable, Equatable {
    public let elementType: StoredElementType
    /// Extents, outermost first; any may be 0.
    public let shape: [Int]
    /// The place of the bytes in the file, row-major, little endian.
    public let byteRange: Range<Int>

    /// The number of elements.
    public var count: Int { byteRange.count / elementType.byteCount }
}

/// The limits for the head of a safetensors file, in bytes. Within them everything that the format allows is read: any number
/// of tensors, any names and any metadata.
struct SafetensorsLimits {
    /// The longest head; the format's own reader allows as much.
    var maxHeaderBytes = 100_000_000
    /// The most memory for the head's description, by an upper estimate. A hostile head of few bytes a tensor would become
    /// many times as large.
    var maxMemory = 1 << 30

    /// The memory of one tensor beside its name and extents, with the growth of the table.
    static let tensorMemory = 256
}

/// The head of a safetensors file, read by the rules of the format's reference reader (`safetensors/src/tensor.rs`) and
/// stricter ones of our own. Nothing of the file but its head is touched, and nothing is allocated by a number found in it.
struct SafetensorsHeader {
    var tensors: [String: StoredTensor] = [:]
    var metadata: [String: String] = [:]

    /// - Parameter name: the file in messages.
    init(file: UnsafeRawBufferPointer, name: String, limits: SafetensorsLimits) throws(WeightsError) {
        let length = try SafetensorsHeader.headerLength(file: file, name: name, limits: limits)
        let reader = EntryReader(name: name, dataStart: 8 + length, dataCount: file.count - 8 - length)
        let head = UnsafeRawBufferPointer(rebasing: file[8..<(8 + length)])
        // Padding may follow the object, and only as spaces; the JSON reader would also take tabs and line ends.
        guard let last = head.lastIndex(where: { $0 != 0x20 }), head[last] == UInt8(ascii: "}") else {
            throw reader.malformed("its head does not end with '}' and spaces")
        }
        try read(head, reader, limits)
        try reader.checkCoverage(tensors)
    }

    /// The length of the head, checked against the file and the limit; other formats are recognised and refused by name.
    private static func headerLength(
        file: UnsafeRawBufferPointer, name: String, limits: SafetensorsLimits
    ) throws(WeightsError) -> Int {
        let length = file.count < 10 ? 0 : UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
        let available = UInt64(max(file.count - 8, 0))
        guard length > 0, length <= available, file[8] == UInt8(ascii: "{") else {
            if let refusal = ForeignFormat.refusal(file, name) { throw refusal }
            let reason =
                if file.count < 10 {
                    "its \(file.count) bytes are too few; download it again"
                } else if length > available {
                    "its head should have \(length) bytes and only \(available) follow; it may be cut short, download it again"
                } else {
                    "its head does not begin with '{'"
                }
            throw .malformed("\(name) is not a valid safetensors file: \(reason).")
        }
        guard length <= UInt64(limits.maxHeaderBytes) else {
            throw .tooLarge("\(name) has a head of \(length) bytes, more than the limit of \(limits.maxHeaderBytes).")
        }
        return Int(length)
    }

    private mutating func read(
        _ head: UnsafeRawBufferPointer, _ reader: EntryReader, _ limits: SafetensorsLimits
    ) throws(WeightsError) {
        var json = JSONLimits.safetensorsHeader
        json.maxMemory = min(json.maxMemory, limits.maxMemory)
        var members = try reader.json { () throws(JSONError) in try JSONMembers(parsing: head, limits: json) }
        var memory = 0
        var hasMetadata = false
        while let (key, value) = try reader.json({ () throws(JSONError) in try members.next() }) {
            if key == "__metadata__" {
                guard !hasMetadata else { throw reader.malformed("it has two members \"__metadata__\"") }
                hasMetadata = true
                metadata = try reader.metadata(value)
                continue
            }
            let tensor = try reader.tensor(key, value)
            memory += SafetensorsLimits.tensorMemory + key.utf8.count + tensor.shape.count * MemoryLayout<Int>.stride
            guard memory <= limits.maxMemory else {
                throw .tooLarge(
                    "\(reader.name) names so many tensors that their description takes more than \(limits.maxMemory) bytes of "
                        + "memory; it is no checkpoint.")
            }
            // Names that differ in bytes and are equal to Unicode would be one key to every Swift dictionary.
            guard tensors.updateValue(tensor, forKey: key) == nil else {
                throw reader.malformed("two tensors are named \(quoted(key))")
            }
        }
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
        return .malformed("\(name) is not a valid safetensors file: \(what).")
    }

    /// The value of `read`, or an error that names the file.
    func json<Value>(_ read: () throws(JSONError) -> Value) throws(WeightsError) -> Value {
        do { return try read() } catch {
            guard error.code == .tooLarge else { throw malformed("in its head \(error.message)") }
            throw .tooLarge("\(name) has a head that is too large to be read: \(error.reason).")
        }
    }

    /// The members of an object. Errors name the object and the member.
    private func fields(
        _ value: JSONValue, _ name: @escaping @Sendable @autoclosure () -> String
    ) throws(WeightsError) -> JSONFields<WeightsError> {
        guard let members = value.objectValue else { throw malformed("\(name()) is \(value.kindName), not an object") }
        return JSONFields(members) { malformed("\(name()): \(quoted($0.key)) must be \($0.need)") }
    }

    /// Some writers put `null` where there is no metadata, and the format's reader takes it for none.
    func metadata(_ value: JSONValue) throws(WeightsError) -> [String: String] {
        if value.isNull { return [:] }
        let fields = try fields(value, "__metadata__")
        var metadata: [String: String] = [:]
        for key in fields.members.keys { metadata[key] = try fields.required(key, .string()) }
        return metadata
    }

    func tensor(_ key: String, _ value: JSONValue) throws(WeightsError) -> StoredTensor {
        let fields = try fields(value, "tensor \(quoted(key))")
        try fields.only(["dtype", "shape", "data_offsets"])
        let typeName = try fields.required("dtype", .string())
        guard let type = StoredElementType(rawValue: typeName) else {
            let known = StoredElementType.allCases.map(\.rawValue).joined(separator: ", ")
            throw .unsupportedElementType(
                "\(name): tensor \(quoted(key)) has the element type \(quoted(typeName)), and only \(known) can be read; take the "
                    + "model's F16 or F32 file, or convert this one with the program that wrote it.")
        }
        let shape = try fields.required("shape", .list(of: .integer(0...Int.max), count: 0...Int.max))
        let offsets = try fields.required("data_offsets", .list(of: .integer(0...Int.max), count: 2...2))
        let (begin, end) = (offsets[0], offsets[1])
        guard begin <= end, end <= dataCount else {
            throw malformed(
                "tensor \(quoted(key)) lies at bytes \(begin) to \(end) of data that has \(dataCount); the file may be cut "
                    + "short, download it again")
        }
        let byteCount = try byteCount(shape, type, key)
        guard end - begin == byteCount else {
            throw malformed(
                "tensor \(quoted(key)) of shape \(described(shape)) needs \(byteCount) bytes and has \(end - begin)")
        }
        return StoredTensor(elementType: type, shape: shape, byteRange: (dataStart + begin)..<(dataStart + end))
    }

    private func byteCount(_ shape: [Int], _ type: StoredElementType, _ key: String) throws(WeightsError) -> Int {
        var product = type.byteCount
        for extent in shape {
            let (next, overflow) = product.multipliedReportingOverflow(by: extent)
            guard !overflow else {
                throw malformed("the size of tensor \(quoted(key)) of shape \(described(shape)) overflows")
            }
            product = next
        }
        return product
    }

    /// The tensors cover the data without holes and overlaps, from its first byte to its last.
    func checkCoverage(_ tensors: [String: StoredTensor]) throws(WeightsError) {
        func bounds(_ tensor: StoredTensor) -> (Int, Int) { (tensor.byteRange.lowerBound, tensor.byteRange.upperBound) }
        var position = dataStart
        for (key, tensor) in tensors.sorted(by: { bounds($0.value) < bounds($1.value) }) {
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
