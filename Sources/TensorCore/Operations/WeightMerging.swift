import CKernels

extension Tensor {
    /// self += factor · a·b in place, for weights before a context packs them.
    ///
    /// Each element is an f32 sum over the inner extent in order: the same bits for any number of threads.
    ///
    /// - Parameters:
    ///   - a: (rows, inner); self is (rows, columns).
    ///   - b: (inner, columns)
    public func addProduct(of a: Tensor, and b: Tensor, times factor: Float, threads: Int) {
        precondition(
            shape.count == 2 && a.shape == [shape[0], b.shape[0]] && b.shape == [b.shape[0], shape[1]],
            "\(a.shape) times \(b.shape) is not \(shape)")
        let (inner, columns) = (b.shape[0], shape[1])
        let kernels = ck_kernels_best().pointee
        let (left, right, out) = (a.floats.baseAddress!, b.floats.baseAddress!, floats.baseAddress!)
        ParallelPool(threads: min(max(1, threads), ComputeContext.threadLimit)).run(total: shape[0], chunk: 32) {
            first, count, _ in
            kernels.add_product(left + first * inner, right, count, inner, columns, factor, out + first * columns)
        }
    }

    /// Whether no element is NaN or infinite.
    public var isFinite: Bool { ck_kernels_best().pointee.f32.pointee.all_finite(floats.baseAddress, count) != 0 }
}
