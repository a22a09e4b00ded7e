import Sentences
public import StrictJSON
import TensorCore

/// The form of an output: the kind of its numbers, and their count along each extent.
public struct OutputShape: Sendable, Equatable {
    enum Element: Sendable {
        case f32
        case f64
        case u8
    }

    /// The kind and the extents, as they travel.
    package let metadata: JSONValue
    let element: Element
    /// The count of all numbers.
    let count: Int

    /// - Parameters:
    ///   - extents: an extent of nil is left out.
    ///   - count: nil for the product of the extents.
    init(_ kind: String, of element: Element = .f32, _ extents: KeyValuePairs<String, Int?>, count: Int? = nil) {
        var object = JSONObject()
        object["kind"] = .string(kind)
        for (name, extent) in extents { object[name] = extent.map { .integer(Int64($0)) } }
        (metadata, self.element) = (.object(object), element)
        self.count = count ?? extents.reduce(1) { $0 * ($1.value ?? 1) }
    }

    /// Bytes of all numbers on the wire.
    package var byteCount: Int {
        switch element {
        case .f32: count * 4
        case .f64: count * 8
        case .u8: count
        }
    }

    var kind: String { metadata["kind"]?.stringValue ?? "" }

    /// The extent of that name; 0 if the kind has none.
    public subscript(extent: String) -> Int { metadata[extent]?.intValue ?? 0 }
}

extension OutputShape: CustomStringConvertible {
    /// As in "prediction of 4 channels, 16 height, 16 width".
    public var description: String {
        let members = metadata.objectValue ?? JSONObject()
        let extents = members.compactMap { name, value in value.intValue.map { "\($0) \(name)" } }
        return "\(kind) of \(extents.joined(separator: ", "))"
    }
}

/// The result of a task.
public struct TaskOutput: Sendable, Equatable {
    public let shape: OutputShape
    /// The numbers, the outermost extent first; empty for pixels.
    public let values: [Float]
    /// The pixels, row by row, three bytes each; empty for other kinds.
    public let rgb: [UInt8]
    /// Numbers of 64 bits; empty for other kinds.
    let doubles: [Double]

    init(_ shape: OutputShape, _ values: [Float]) {
        precondition(shape.element == .f32 && values.count == shape.count, "\(values.count) numbers are no \(shape)")
        (self.shape, self.values, rgb, doubles) = (shape, values, [], [])
    }

    init(_ shape: OutputShape, rgb: [UInt8]) {
        precondition(shape.element == .u8 && rgb.count == shape.count, "\(rgb.count) bytes are no \(shape)")
        (self.shape, values, self.rgb, doubles) = (shape, [], rgb, [])
    }

    init(_ shape: OutputShape, doubles: [Double]) {
        precondition(shape.element == .f64 && doubles.count == shape.count, "\(doubles.count) numbers are no \(shape)")
        (self.shape, values, rgb, self.doubles) = (shape, [], [], doubles)
    }

    /// Whether no number is NaN or infinite.
    var isFinite: Bool { values.allSatisfy(\.isFinite) && doubles.allSatisfy(\.isFinite) }

    /// The output as it travels.
    public func encoded() -> (metadata: JSONValue, payload: [UInt8]) {
        switch shape.element {
        case .f32: (shape.metadata, TensorBytes.encode(values))
        case .f64: (shape.metadata, TensorBytes.encode(doubles))
        case .u8: (shape.metadata, rgb)
        }
    }

    /// Reads an output from the wire.
    ///
    /// - Parameter shape: the one that the task asks for.
    /// - Throws: `.malformed` for another output, `.nonFinite` for NaN or infinity in its numbers.
    public init(_ shape: OutputShape, metadata: JSONValue, payload: [UInt8]) throws(RenderError) {
        guard metadata == shape.metadata else { throw .malformed("A task's output is not the \(shape) that it asks for.") }
        switch shape.element {
        case .f32: self.init(shape, try TensorBytes.decode(payload, count: shape.count, "A task's output"))
        case .f64:
            let numbers = try TensorBytes.decodeDoubles(payload, count: shape.count, "A task's output")
            _ = try GroupMoments(numbers: numbers, points: 1)
            self.init(shape, doubles: numbers)
        case .u8:
            guard payload.count == shape.count else {
                throw .malformed("A picture has \(payload.count) bytes instead of \(shape.count).")
            }
            self.init(shape, rgb: payload)
        }
        guard isFinite else { throw .nonFinite("A task's output, \(shape), holds NaN or infinity.") }
    }
}
