import CKernels

extension ComputeContext {
    /// The gated activation of transformer blocks, value · gelu(gate) (Shazeer 2020, arXiv 2002.05202).
    ///
    /// - Parameter x: (…, 2c), values in the first half, gates in the second.
    /// - Returns: (…, c)
    public func geglu(_ x: Tensor) -> Tensor { choose("geglu", x, f32: gegluF32)(x) }

    private func gegluF32(_ x: Tensor) -> Tensor {
        let c = x.dimension(-1) / 2
        precondition(x.dimension(-1) == 2 * c, "a width of \(x.dimension(-1)) has no halves")
        let y = empty(x.shape.dropLast() + [c])
        let table = kernels.pointee
        let (input, output) = (x.floats.baseAddress!, y.floats.baseAddress!)
        pool.run(total: y.count / c, chunk: max(1, 16384 / c)) { first, count, _ in
            table.geglu(input + first * 2 * c, count, c, output + first * c)
        }
        return y
    }

    /// x · sigmoid(x) for each element.
    public func silu(_ x: Tensor) -> Tensor { choose("silu", x, f32: siluF32)(x) }

    private func siluF32(_ x: Tensor) -> Tensor {
        let y = empty(x.shape)
        let table = kernels.pointee
        let (input, output) = (x.floats.baseAddress!, y.floats.baseAddress!)
        pool.run(total: x.count, chunk: 32768) { first, count, _ in table.silu(input + first, count, output + first) }
        return y
    }

    /// The sum of two tensors of equal shape.
    public func add(_ a: Tensor, _ b: Tensor) -> Tensor { choose("add", a, b, f32: addF32)(a, b) }

    private func addF32(_ a: Tensor, _ b: Tensor) -> Tensor {
        precondition(a.shape == b.shape, "\(a.shape) and \(b.shape) cannot be added")
        let y = empty(a.shape)
        let table = kernels.pointee
        let (left, right, output) = (a.floats.baseAddress!, b.floats.baseAddress!, y.floats.baseAddress!)
        pool.run(total: a.count, chunk: 65536) { first, count, _ in
            table.add(left + first, right + first, count, output + first)
        }
        return y
    }

    /// Joins two images along their channels: (n, h, w, a) and (n, h, w, b) become (n, h, w, a + b). Both have one element
    /// type, which may be any.
    public func concatenateChannels(_ a: Tensor, _ b: Tensor) -> Tensor {
        precondition(a.shape.dropLast() == b.shape.dropLast(), "\(a.shape) and \(b.shape) are images of different sizes")
        precondition(a.elementType == b.elementType, "images of \(a.elementType) and \(b.elementType) cannot be joined")
        let y = empty(a.shape.dropLast() + [a.dimension(-1) + b.dimension(-1)], of: a.elementType)
        let (left, right, output) = (a.storage.base, b.storage.base, y.storage.base)
        let (bytesA, bytesB, bytes) = (a.rowBytes, b.rowBytes, y.rowBytes)
        pool.run(total: y.count / y.dimension(-1), chunk: max(1, 131072 / bytes)) { first, count, _ in
            for pixel in first..<(first + count) {
                (output + pixel * bytes).copyMemory(from: left + pixel * bytesA, byteCount: bytesA)
                (output + pixel * bytes + bytesA).copyMemory(from: right + pixel * bytesB, byteCount: bytesB)
            }
        }
        return y
    }

    /// Copies rows of the last dimension, of any element type: row `i` of the result is row `source(i)` of `x`.
    ///
    /// - Parameter shape: of the result; its last extent is that of `x`.
    @inline(__always)
    func gatherRows(of x: Tensor, shape: [Int], _ source: (Int) -> Int) -> Tensor {
        let y = empty(shape, of: x.elementType)
        let (input, output, bytes) = (x.storage.base, y.storage.base, x.rowBytes)
        pool.run(total: y.count / x.dimension(-1), chunk: max(1, 131072 / bytes)) { first, count, _ in
            for row in first..<(first + count) {
                (output + row * bytes).copyMemory(from: input + source(row) * bytes, byteCount: bytes)
            }
        }
        return y
    }

    /// Whether no element is NaN or infinite.
    public func isFinite(_ x: Tensor) -> Bool { choose("isFinite", x, f32: isFiniteF32)(x) }

    private func isFiniteF32(_ x: Tensor) -> Bool { kernels.pointee.all_finite(x.floats.baseAddress, x.count) != 0 }
}
