/// The element types of tensors. Operations refuse f16, which has no kernels. The numbers are those of `COneDNN.h`.
public enum ElementType: UInt8, Sendable, CaseIterable {
    case f32 = 0
    case f16 = 1
    case bf16 = 2

    /// Bytes of one element.
    public var byteCount: Int { self == .f32 ? 4 : 2 }
}

/// A Swift type for the elements of tensors.
public protocol TensorElement: BitwiseCopyable {
    static var elementType: ElementType { get }
}

extension Float: TensorElement {
    public static var elementType: ElementType { .f32 }
}

/// Memory of tensors, 64-byte aligned. It returns to its pool when its last tensor is gone.
final class TensorStorage {
    let base: UnsafeMutableRawPointer
    let byteCapacity: Int
    private let pool: BufferPool?
    /// Owns the memory and is kept alive: other storage that this is a part of, or a mapped file; nil for memory of its own.
    private let owner: AnyObject?

    init(base: UnsafeMutableRawPointer, byteCapacity: Int, pool: BufferPool? = nil, partOf owner: AnyObject? = nil) {
        (self.base, self.byteCapacity, self.pool, self.owner) = (base, byteCapacity, pool, owner)
    }

    /// Memory of its own, outside any pool.
    convenience init(byteCount: Int) {
        let capacity = max(64, (byteCount + 63) & ~63)
        self.init(base: .allocate(byteCount: capacity, alignment: 64), byteCapacity: capacity)
    }

    deinit {
        guard owner == nil else { return }
        if let pool { pool.recycle(base, byteCapacity: byteCapacity) } else { base.deallocate() }
    }
}

/// A dense, row-major array of numbers.
///
/// An image is `(n, h, w, c)`: channels last, so that the same memory is the token matrix `(n·h·w, c)`. A tensor is a reference
/// to its memory: copies and reshaped tensors share it. It belongs to the thread that computes and is not `Sendable`; values
/// cross threads as `[Float]`.
public struct Tensor {
    /// Extents, outermost first. All positive.
    public let shape: [Int]
    public let elementType: ElementType
    let storage: TensorStorage

    init(shape: [Int], elementType: ElementType = .f32, storage: TensorStorage) {
        self.shape = shape
        self.elementType = elementType
        self.storage = storage
    }

    /// An uninitialised tensor with memory of its own.
    public init(uninitialized shape: [Int], of type: ElementType = .f32) {
        let bytes = Tensor.elementCount(shape) * type.byteCount
        self.init(shape: shape, elementType: type, storage: TensorStorage(byteCount: bytes))
    }

    /// An f32 tensor of `shape` with the given values, row-major.
    public init(_ values: [Float], shape: [Int]) {
        precondition(
            Tensor.elementCount(shape) == values.count, "\(values.count) values do not fill a tensor of shape \(shape)")
        self.init(uninitialized: shape)
        values.withUnsafeBytes {
            storage.base.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(storage.base), byteCount: $0.count)
        }
    }

    /// An f32 tensor of `shape`, every element `value`.
    public init(repeating value: Float, shape: [Int]) {
        self.init(uninitialized: shape)
        floats.update(repeating: value)
    }

    /// A tensor in memory that is only read, such as a mapped file's. Nothing may write to it.
    ///
    /// - Parameters:
    ///   - bytes: of all elements, or more; aligned to 64 bytes.
    ///   - owner: is kept alive, and keeps the memory valid.
    public init(readOnly bytes: UnsafeRawBufferPointer, shape: [Int], of type: ElementType = .f32, owner: AnyObject) {
        guard let base = bytes.baseAddress, UInt(bitPattern: base) % 64 == 0,
            bytes.count >= Tensor.elementCount(shape) * type.byteCount
        else { preconditionFailure("\(bytes.count) bytes do not hold a tensor of shape \(shape)") }
        self.init(
            shape: shape, elementType: type,
            storage: TensorStorage(
                base: UnsafeMutableRawPointer(mutating: base), byteCapacity: bytes.count, partOf: owner))
    }

    /// The memory of the elements. It is valid while a tensor of this memory lives.
    public var rawBytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: storage.base, count: count * elementType.byteCount)
    }

    /// The same memory for writing. Only the code that made the tensor may write to it.
    public var memory: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: storage.base, count: count * elementType.byteCount)
    }

    /// The number of elements.
    public var count: Int { Tensor.elementCount(shape) }

    /// The number of images (or rows of tokens) of a batch; 1 for a plain matrix or a vector.
    var imageCount: Int { shape.count > 2 ? shape[0] : 1 }

    /// The extent of dimension `index`; negative counts from the end.
    public func dimension(_ index: Int) -> Int { shape[index < 0 ? shape.count + index : index] }

    /// Bytes of one row of the last dimension.
    var rowBytes: Int { dimension(-1) * elementType.byteCount }

    /// The elements in memory order. They must be of that type. The buffer is valid while a tensor of this memory lives.
    public func elements<Element: TensorElement>(as _: Element.Type) -> UnsafeMutableBufferPointer<Element> {
        precondition(elementType == Element.elementType, "a tensor of \(elementType) was read as \(Element.elementType)")
        return UnsafeMutableBufferPointer(start: storage.base.assumingMemoryBound(to: Element.self), count: count)
    }

    /// The f32 elements.
    var floats: UnsafeMutableBufferPointer<Float> { elements(as: Float.self) }

    /// The elements of an f32 tensor in memory order, copied.
    public var array: [Float] { Array(floats) }

    /// The same memory with another shape of as many elements.
    public func reshaped(_ newShape: [Int]) -> Tensor {
        precondition(Tensor.elementCount(newShape) == count, "a tensor of shape \(shape) cannot be seen as \(newShape)")
        return Tensor(shape: newShape, elementType: elementType, storage: storage)
    }

    /// Tokens of one image, (1, tokens, c). Shares the memory.
    public func tokens(_ tokens: Range<Int>) -> Tensor {
        precondition(shape.count == 3 && shape[0] == 1, "\(shape) are no tokens of one image")
        return part(at: tokens.lowerBound * shape[2], shape: [1, tokens.count, shape[2]])
    }

    /// The images of a batch, of one image each. They share the memory.
    public var images: [Tensor] {
        let size = count / shape[0]
        return (0..<shape[0]).map { part(at: $0 * size, shape: [1] + shape.dropFirst()) }
    }

    /// A batch of images of one shape.
    public init(joining images: [Tensor]) {
        precondition(
            !images.isEmpty && images.allSatisfy { $0.shape == images[0].shape && $0.elementType == images[0].elementType },
            "images of different shapes are no batch")
        let bytes = images[0].count * images[0].elementType.byteCount
        self.init(
            uninitialized: [images.reduce(0) { $0 + $1.shape[0] }] + images[0].shape.dropFirst(), of: images[0].elementType)
        for (index, image) in images.enumerated() {
            (storage.base + index * bytes).copyMemory(from: image.storage.base, byteCount: bytes)
        }
    }

    /// The part that begins at element `offset`, with another shape. Shares the memory.
    func part(at offset: Int, shape: [Int]) -> Tensor {
        precondition(
            offset >= 0 && offset + Tensor.elementCount(shape) <= count, "a part of \(shape) at \(offset) exceeds \(self.shape)"
        )
        let bytes = offset * elementType.byteCount
        let part = TensorStorage(base: storage.base + bytes, byteCapacity: storage.byteCapacity - bytes, partOf: storage)
        return Tensor(shape: shape, elementType: elementType, storage: part)
    }

    /// Rows of one image, (1, rows, w, c). Shares the memory.
    public func rows(_ rows: Range<Int>) -> Tensor {
        precondition(shape.count == 4 && shape[0] == 1, "\(shape) is no single image")
        return part(at: rows.lowerBound * shape[2] * shape[3], shape: [1, rows.count, shape[2], shape[3]])
    }

    /// The product of the extents.
    public static func elementCount(_ shape: [Int]) -> Int { shape.reduce(1, *) }
}

extension Tensor {
    /// A channels-last tensor `(n, h, w, c)` from planar values `(n, c, h, w)`, the order PyTorch and the wire use.
    public init(planar values: [Float], n: Int, c: Int, h: Int, w: Int) {
        precondition(values.count == n * c * h * w, "\(values.count) values are not \(n)x\(c)x\(h)x\(w)")
        self.init(uninitialized: [n, h, w, c])
        values.withUnsafeBufferPointer { transpose($0, count: n, rows: c, columns: h * w, into: floats) }
    }

    /// The same from the planar values of each image, (c, h, w).
    public init(planarImages images: [[Float]], c: Int, h: Int, w: Int) {
        precondition(images.allSatisfy { $0.count == c * h * w }, "images are not \(c)x\(h)x\(w)")
        self.init(uninitialized: [images.count, h, w, c])
        for (index, values) in images.enumerated() {
            let target = UnsafeMutableBufferPointer(rebasing: floats[(index * values.count)..<((index + 1) * values.count)])
            values.withUnsafeBufferPointer { transpose($0, count: 1, rows: c, columns: h * w, into: target) }
        }
    }

    /// The values of a channels-last tensor `(n, h, w, c)` in planar order `(n, c, h, w)`.
    public var planarArray: [Float] { planarArray(ofImages: 0..<shape[0]) }

    /// The same of some images.
    public func planarArray(ofImages images: Range<Int>) -> [Float] {
        precondition(shape.count == 4, "planar order needs four dimensions, not \(shape)")
        let size = count / shape[0]
        let source = UnsafeBufferPointer(rebasing: floats[(images.lowerBound * size)..<(images.upperBound * size)])
        return [Float](unsafeUninitializedCapacity: source.count) { values, initialized in
            transpose(source, count: images.count, rows: shape[1] * shape[2], columns: shape[3], into: values)
            initialized = source.count
        }
    }
}

/// Transposes `count` matrices: (count, rows, columns) becomes (count, columns, rows).
func transpose(
    _ source: UnsafeBufferPointer<Float>, count: Int, rows: Int, columns: Int, into target: UnsafeMutableBufferPointer<Float>
) {
    for matrix in 0..<count {
        let first = matrix * rows * columns
        for row in 0..<rows {
            for column in 0..<columns { target[first + column * rows + row] = source[first + row * columns + column] }
        }
    }
}
