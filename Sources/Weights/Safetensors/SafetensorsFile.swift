import Sentences
public import TensorCore

/// A safetensors file, mapped and fully checked. Cheap to copy; the mapping lives as long as a copy.
///
/// NaN and infinity pass: they show up as non-finite results.
public struct SafetensorsFile: Sendable {
    /// The file in messages: its path, or its name inside the program.
    public let name: String
    /// All tensors by name.
    public let tensors: [String: StoredTensor]
    /// The free text of the file, `__metadata__`.
    public let metadata: [String: String]
    let content: FileBytes
    /// Names in the file, by the new names of renamed tensors.
    private let namesInFile: [String: String]

    /// Maps and checks the file at `path`.
    ///
    /// Throws `.notFound`, `.unreadable`, `.unsupportedFormat` (files of other formats, by their bytes and by the ending of
    /// their name), `.malformed`, `.tooLarge` and `.unsupportedElementType`.
    public init(path: String) throws(WeightsError) {
        try self.init(content: FileBytes(mapping: path), name: path)
    }

    /// Checks a file whose bytes live as long as the program.
    public init(permanent bytes: UnsafeRawBufferPointer, name: String) throws(WeightsError) {
        try self.init(content: FileBytes(permanent: bytes), name: name)
    }

    init(content: FileBytes, name: String, limits: SafetensorsLimits = SafetensorsLimits()) throws(WeightsError) {
        if let refusal = ForeignFormat.refusal(content, named: name) { throw refusal }
        let header = try SafetensorsHeader(file: content.bytes, name: name, limits: limits)
        (self.name, self.content, namesInFile) = (name, content, [:])
        (tensors, metadata) = (header.tensors, header.metadata)
    }

    /// The same file with its tensors under other names. `newName` gives no two tensors the same name.
    init(_ file: SafetensorsFile, renaming newName: (String) -> String) {
        (name, content, metadata) = (file.name, file.content, file.metadata)
        var tensors: [String: StoredTensor] = [:]
        var namesInFile: [String: String] = [:]
        for (key, tensor) in file.tensors {
            let new = newName(key)
            precondition(tensors.updateValue(tensor, forKey: new) == nil, "two tensors are renamed to \(new)")
            if new != key { namesInFile[new] = file.nameInFile(key) }
        }
        (self.tensors, self.namesInFile) = (tensors, namesInFile)
    }

    /// The name of a tensor in the file itself, for messages.
    func nameInFile(_ name: String) -> String { namesInFile[name] ?? name }

    /// The bytes of a tensor, valid inside `body`.
    public func withBytes<Value, Failure: Error>(
        of name: String, _ body: (UnsafeRawBufferPointer, StoredTensor) throws(Failure) -> Value
    ) throws(Failure) -> Value? {
        guard let tensor = tensors[name] else { return nil }
        return try body(UnsafeRawBufferPointer(rebasing: content.bytes[tensor.byteRange]), tensor)
    }

    /// A floating-point tensor widened or rounded to f32, in its stored shape. f16, bf16 and the types of eight bits are exact;
    /// f64 rounds to nearest.
    ///
    /// Throws `.missingTensor`, `.unsupportedElementType` for whole numbers, `.misshapenTensor` for tensors without elements.
    public func tensor(_ name: String) throws(WeightsError) -> Tensor { try tensor(name, rows: nil) }

    /// A part of the tensor along its first dimension; nil for all of it. The rows must be there.
    func tensor(_ name: String, rows: Range<Int>?) throws(WeightsError) -> Tensor {
        let stored = try requireFloatingPoint(name)
        var (shape, bytes) = (stored.shape, stored.byteRange)
        if let rows, let count = shape.first {
            precondition(rows.lowerBound >= 0 && rows.upperBound <= count && !rows.isEmpty, "no rows \(rows) in \(shape)")
            let rowBytes = bytes.count / count
            bytes = (bytes.lowerBound + rows.lowerBound * rowBytes)..<(bytes.lowerBound + rows.upperBound * rowBytes)
            shape[0] = rows.count
        }
        let tensor = Tensor(uninitialized: shape)
        convert(UnsafeRawBufferPointer(rebasing: content.bytes[bytes]), stored.elementType, to: tensor.elements(as: Float.self))
        content.forget(bytes)
        return tensor
    }

    /// The tensor, if its values can be read as f32. Throws as `tensor(_:)` does.
    @discardableResult
    func requireFloatingPoint(_ name: String) throws(WeightsError) -> StoredTensor {
        let stored = try stored(name)
        guard stored.elementType.isFloatingPoint else {
            throw .unsupportedElementType(
                "\(self.name): tensor \(quoted(nameInFile(name))) holds \(stored.elementType.rawValue), but weights must be "
                    + "floating-point numbers; take the model's F16 or F32 file.")
        }
        guard stored.count > 0 else {
            throw .misshapenTensor(
                "\(self.name): tensor \(quoted(nameInFile(name))) of shape \(described(stored.shape)) has no elements.")
        }
        return stored
    }

    /// The elements of a tensor of whole numbers or truth values, in memory order.
    ///
    /// Throws `.missingTensor`, and `.unsupportedElementType` for floating-point numbers.
    public func integers(_ name: String) throws(WeightsError) -> [Int] {
        let stored = try stored(name)
        let bytes = UnsafeRawBufferPointer(rebasing: content.bytes[stored.byteRange])
        switch stored.elementType {
        case .i64: return loadIntegers(bytes, as: Int64.self)
        case .i32: return loadIntegers(bytes, as: Int32.self)
        case .i16: return loadIntegers(bytes, as: Int16.self)
        case .i8: return loadIntegers(bytes, as: Int8.self)
        case .u64: return loadIntegers(bytes, as: UInt64.self)
        case .u32: return loadIntegers(bytes, as: UInt32.self)
        case .u16: return loadIntegers(bytes, as: UInt16.self)
        case .u8, .bool: return loadIntegers(bytes, as: UInt8.self)
        case .f64, .f32, .f16, .bf16, .f8e4m3, .f8e5m2:
            throw .unsupportedElementType(
                "\(self.name): tensor \(quoted(name)) holds \(stored.elementType.rawValue), but must hold whole numbers.")
        }
    }

    private func stored(_ name: String) throws(WeightsError) -> StoredTensor {
        guard let stored = tensors[name] else {
            throw .missingTensor("\(self.name) has no tensor \(quoted(name)).")
        }
        return stored
    }
}
