import Glibc

@testable import TensorCore

extension Tensor {
    /// Whether an image of this batch has the bytes of an image of another.
    func image(_ own: Int, equals image: Int, of other: Tensor) -> Bool {
        let bytes = count / shape[0] * elementType.byteCount
        precondition(other.count / other.shape[0] * other.elementType.byteCount == bytes)
        return memcmp(storage.base + own * bytes, other.storage.base + image * bytes, bytes) == 0
    }
}
