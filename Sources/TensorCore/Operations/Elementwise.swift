import CKernels

extension ComputeContext {
    /// The gated activation of transformer blocks, value · gelu(gate) (Shazeer 2020, arXiv 2002.05202).
    ///
    /// - Parameter x: (…, 2c), values in the first half, gates in the second.
    /// - Returns: (…, c)
    public func geglu(_ x: Tensor) -> Tensor {
        let table = kernels("geglu", x)
        note(.geglu(x.shape), x.elementType)
        let c = x.dimension(-1) / 2
        precondition(x.dimension(-1) == 2 * c, "a width of \(x.dimension(-1)) has no halves")
        let y = empty(x.shape.dropLast() + [c], of: x.elementType)
        let (input, output) = (x.raw, y.raw)
        pool.run(total: y.count / c, chunk: max(1, 16384 / c)) { first, count, _ in
            table.geglu(input + first * 2 * c, count, c, output + first * c)
        }
        return y
    }

    /// x · sigmoid(x) for each element.
    public func silu(_ x: Tensor) -> Tensor {
        let table = kernels("silu", x)
        note(.silu(x.shape), x.elementType)
        let y = empty(x.shape, of: x.elementType)
        let (input, output) = (x.raw, y.raw)
        pool.run(total: x.count, chunk: 32768) { first, count, _ in table.silu(input + first, count, output + first) }
        return y
    }

    /// The sum of two tensors of equal shape.
    public func add(_ a: Tensor, _ b: Tensor) -> Tensor {
        let table = kernels("add", a, b)
        note(.add(a.shape), a.elementType)
        precondition(a.shape == b.shape, "\(a.shape) and \(b.shape) cannot be added")
        let y = empty(a.shape, of: a.elementType)
        let (left, right, output) = (a.raw, b.raw, y.raw)
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
        note(.concatenation(a.shape, b.shape), a.elementType)
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

    /// Each image of a batch `times` times in a row, of any element type: (n, …) becomes (n · times, …).
    public func repeatImages(_ x: Tensor, times: Int) -> Tensor {
        guard times > 1 else { return x }
        let rows = x.count / x.shape[0] / x.dimension(-1)
        return gatherRows(of: x, shape: [x.shape[0] * times] + x.shape.dropFirst()) { row in
            row / rows / times * rows + row % rows
        }
    }

    /// The whole batch `times` times in a row, of any element type: (n, …) becomes (times · n, …).
    public func repeatBatch(_ x: Tensor, times: Int) -> Tensor {
        guard times > 1 else { return x }
        let rows = x.count / x.dimension(-1)
        return gatherRows(of: x, shape: [x.shape[0] * times] + x.shape.dropFirst()) { $0 % rows }
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

    /// Some rows of tokens, in the given order.
    ///
    /// - Parameter x: (1, tokens, c), of any element type.
    /// - Returns: (1, rows, c)
    public func gathered(_ x: Tensor, _ rows: [Int]) -> Tensor {
        rows.withUnsafeBufferPointer { rows in
            gatherRows(of: x, shape: [1, rows.count, x.dimension(-1)]) { rows[$0] }
        }
    }

    /// An image from its pieces.
    ///
    /// - Parameters:
    ///   - pieces: rows (1, rows, c), of one element type, and the place of each row among the image's points. They fill it.
    ///   - shape: (1, h, w, c)
    public func assembled(_ pieces: [(rows: Tensor, places: [Int])], shape: [Int]) -> Tensor {
        let points = shape[1] * shape[2]
        precondition(pieces.reduce(0) { $0 + $1.places.count } == points, "the pieces do not fill \(shape)")
        let y = empty(shape, of: pieces[0].rows.elementType)
        let (output, bytes) = (y.storage.base, y.rowBytes)
        pool.run(pieces.count) { index, _ in
            let (rows, places) = pieces[index]
            for (row, place) in places.enumerated() {
                (output + place * bytes).copyMemory(from: rows.storage.base + row * bytes, byteCount: bytes)
            }
        }
        return y
    }

    /// The same elements in memory of their own, outside the context's pool: for tensors that outlive the call that made them.
    public func copied(_ x: Tensor) -> Tensor {
        let copy = Tensor(uninitialized: x.shape, of: x.elementType)
        guard !rehearses else { return copy }
        copy.storage.base.copyMemory(from: x.storage.base, byteCount: x.count * x.elementType.byteCount)
        return copy
    }

    /// Whether no element is NaN or infinite. In a rehearsal the elements become zeros, so that later readers get numbers.
    public func isFinite(_ x: Tensor) -> Bool {
        if rehearses { x.storage.base.initializeMemory(as: UInt8.self, repeating: 0, count: x.count * x.elementType.byteCount) }
        return kernels("isFinite", x).all_finite(x.storage.base, x.count) != 0
    }

    /// The same numbers in another element type: f32 to bf16 rounds to nearest, ties to even.
    ///
    /// - Returns: `x` itself if it has the type already.
    public func convert(_ x: Tensor, to type: ElementType) -> Tensor {
        guard x.elementType != type else { return x }
        note(.conversion(x.shape, to: type), x.elementType)
        let y = empty(x.shape, of: type)
        kernels.pointee.convert(x, into: y, on: pool)
        return y
    }

    /// The same for weights: the result has memory of its own, unless `x` has the type already.
    public func convertWeights(_ x: Tensor, to type: ElementType) -> Tensor {
        guard x.elementType != type else { return x }
        let y = Tensor(uninitialized: x.shape, of: type)
        kernels.pointee.convert(x, into: y, on: pool)
        return y
    }
}
