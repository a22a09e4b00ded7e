public import StrictJSON

/// What answers a task: the kind of its numbers, and how many there are along each extent.
public struct OutputShape: Sendable, Equatable {
    enum Element: Sendable {
        case f32
        case u8

        var byteCount: Int { self == .f32 ? 4 : 1 }
    }

    /// The kind and the extents, as they travel.
    let metadata: JSONValue
    let element: Element
    /// How many numbers there are.
    let count: Int

    /// - Parameter count: the product of the extents where it is nil.
    init(_ kind: String, of element: Element = .f32, _ extents: KeyValuePairs<String, Int>, count: Int? = nil) {
        var object = JSONObject()
        object["kind"] = .string(kind)
        for (name, extent) in extents { object[name] = .integer(Int64(extent)) }
        (metadata, self.element) = (.object(object), element)
        self.count = count ?? extents.reduce(1) { $0 * $1.value }
    }

    var kind: String { metadata["kind"]?.stringValue ?? "" }

    /// The extent of that name; 0 where the kind has none.
    public subscript(extent: String) -> Int { metadata[extent]?.intValue ?? 0 }
}

extension OutputShape: CustomStringConvertible {
    /// As in "prediction of 4 channels, 16 height, 16 width".
    public var description: String {
        let extents = (metadata.objectValue ?? JSONObject()).compactMap { name, value in value.intValue.map { "\($0) \(name)" }
        }
        return "\(kind) of \(extents.joined(separator: ", "))"
    }
}

/// What a task gave.
public struct TaskOutput: Sendable, Equatable {
    public let shape: OutputShape
    /// The numbers, the outermost extent first; none for pixels.
    public let values: [Float]
    /// The pixels, row by row, three bytes each; none for other kinds.
    public let rgb: [UInt8]

    init(_ shape: OutputShape, _ values: [Float]) {
        precondition(shape.element == .f32 && values.count == shape.count, "\(values.count) numbers are no \(shape)")
        (self.shape, self.values, rgb) = (shape, values, [])
    }

    init(_ shape: OutputShape, rgb: [UInt8]) {
        precondition(shape.element == .u8 && rgb.count == shape.count, "\(rgb.count) bytes are no \(shape)")
        (self.shape, values, self.rgb) = (shape, [], rgb)
    }

    /// Whether no number is NaN or infinite.
    var isFinite: Bool { values.allSatisfy(\.isFinite) }

    /// The output as it travels.
    public func encoded() -> (metadata: JSONValue, payload: [UInt8]) {
        (shape.metadata, shape.element == .u8 ? rgb : TensorBytes.encode(values))
    }

    /// The answer to a task that came over the wire.
    ///
    /// - Parameter shape: what the task asks for.
    /// - Throws: `.malformed` for anything else, `.nonFinite` for NaN or infinity in its numbers.
    public init(_ shape: OutputShape, metadata: JSONValue, payload: [UInt8]) throws(RenderError) {
        guard metadata == shape.metadata else {
            throw RenderError(.malformed, "A task's output is not the \(shape) that it asks for.")
        }
        switch shape.element {
        case .f32: self.init(shape, try TensorBytes.decode(payload, count: shape.count, "A task's output"))
        case .u8:
            guard payload.count == shape.count else {
                throw RenderError(.malformed, "A picture has \(payload.count) bytes instead of \(shape.count).")
            }
            self.init(shape, rgb: payload)
        }
        guard isFinite else { throw RenderError(.nonFinite, "A task's output, \(shape), holds NaN or infinity.") }
    }
}
