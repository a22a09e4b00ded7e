import CKernels

extension ComputeContext {
    /// Scaled dot-product attention, softmax(q·kᵀ/√d)·v for each head, without the whole score matrix: memory grows with
    /// the number of tokens, not with its square (online softmax; Dao et al. 2022, arXiv 2205.14135).
    ///
    /// - Parameters:
    ///   - query: (b, tq, heads·d)
    ///   - key: (k, tk, heads·d). b is a multiple of k: image i of the queries sees image i mod k of the keys.
    ///   - value: (k, tk, heads·d)
    ///   - causal: query i sees keys 0…i only.
    /// - Returns: (b, tq, heads·d)
    public func attention(query: Tensor, key: Tensor, value: Tensor, heads: Int, causal: Bool = false) -> Tensor {
        let y = empty(query.shape, of: query.elementType)
        attend(query, to: packKeys(key, value, heads: heads), causal: causal, .whole, into: y)
        return y
    }

    /// The same attention over keys and values that come in parts, one after the other, so that they are never in memory all at
    /// once. It gives the bits of a single part if each part but the last has a multiple of `keyMultiple` keys.
    ///
    /// - Parameters:
    ///   - query: (b, tq, heads·d)
    ///   - parts: the number of parts, at least 1.
    ///   - part: gives the keys and values of one of them.
    /// - Returns: (b, tq, heads·d)
    public func attention<Failure: Error>(
        query: Tensor, heads: Int, parts: Int, _ part: (Int) throws(Failure) -> PackedKeys
    ) throws(Failure) -> Tensor {
        let table = kernels("attention", query)
        let y = empty(query.shape, of: query.elementType)
        let blocks = (query.shape[1] + table.attention_query_block - 1) / table.attention_query_block
        let sums =
            parts > 1
            ? bytes(query.shape[0] * heads * blocks * table.attention_sum_bytes(query.dimension(-1) / heads)) : nil
        for index in 0..<parts {
            let place = AttentionPart(isFirst: index == 0, isLast: index == parts - 1, sums: sums)
            attend(query, to: try part(index), causal: false, place, into: y)
        }
        return y
    }

    /// Keys that the kernels take at once, in tensors of the context's precision.
    public var keyMultiple: Int { kernels.pointee.typed(precision).attention_key_strip }

    /// Brings keys and values into the kernels' order.
    ///
    /// - Parameters:
    ///   - key: (k, tk, heads·d)
    ///   - value: (k, tk, heads·d)
    public func packKeys(_ key: Tensor, _ value: Tensor, heads: Int) -> PackedKeys {
        let table = kernels("attention", key, value)
        let width = key.dimension(-1)
        precondition(width % heads == 0, "\(width) channels do not divide into \(heads) heads")
        precondition(key.shape == value.shape, "keys of \(key.shape) meet values of \(value.shape)")
        let d = width / heads
        let (tokens, keyHeads) = (key.shape[1], key.shape[0] * heads)
        let (keyBytes, valueBytes) = (
            table.attention_packed_key_bytes(tokens, d), table.attention_packed_value_bytes(tokens, d)
        )
        let packed = PackedKeys(
            shape: key.shape, heads: heads, elementType: key.elementType, keys: bytes(keyHeads * keyBytes),
            values: bytes(keyHeads * valueBytes))
        var shape = packed.kernelShape(queries: 0, causal: false)
        let (k, v, pk, pv) = (key.raw, value.raw, packed.keys.base, packed.values.base)
        withUnsafePointer(to: &shape) { shape in
            let keysOfPart = 512 / table.attention_key_block * table.attention_key_block
            runParts(heads: keyHeads, rows: tokens, rowsOfPart: keysOfPart) { head, first, count, _ in
                let offset = head / heads * tokens * width + head % heads * d
                table.attention_pack(
                    shape, k + offset, v + offset, first, count, pk + head * keyBytes, pv + head * valueBytes)
            }
        }
        return packed
    }

    /// Keys and values whose numbers are still to be put into their memory.
    public func empty(_ form: PackedKeys.Form) -> PackedKeys {
        PackedKeys(
            shape: form.shape, heads: form.heads, elementType: form.elementType, keys: bytes(form.keyBytes),
            values: bytes(form.valueBytes))
    }

    private func attend(_ query: Tensor, to source: PackedKeys, causal: Bool, _ part: AttentionPart, into y: Tensor) {
        let table = kernels("attention", query)
        let (batch, width, heads, tokens) = (query.shape[0], query.dimension(-1), source.heads, source.tokens)
        precondition(
            query.elementType == source.elementType && batch % source.shape[0] == 0 && width == source.shape[2],
            "\(query.shape) meets \(source.shape)")
        countAttention(query: query, key: source.shape, causal: causal)
        note(.attention(query: query.shape, key: source.shape, heads: heads, causal: causal), query.elementType)
        let (d, keyHeads) = (width / heads, source.shape[0] * heads)
        let (keyBytes, valueBytes) = (
            table.attention_packed_key_bytes(tokens, d), table.attention_packed_value_bytes(tokens, d)
        )
        scratch.reserve(bytes: table.attention_scratch_bytes(d))
        var shape = source.kernelShape(queries: query.shape[1], causal: causal)
        let blockRows = table.attention_query_block
        let sumBytes = (query.shape[1] + blockRows - 1) / blockRows * table.attention_sum_bytes(d)
        let (q, out, queryImage) = (query.raw, y.raw, query.shape[1] * width)
        let (pk, pv) = (source.keys.base, source.values.base)
        withUnsafePointer(to: &shape) { shape in
            // Short blocks go together to a thread, so that a call to a kernel is worth its start.
            let operationsOfBlock = max(1, 4 * tokens * d * blockRows)
            let blocks = max(1, min(4_000_000, operationsPerSlice) / operationsOfBlock)
            runParts(
                heads: batch * heads, rows: shape.pointee.query_tokens, rowsOfPart: blocks * blockRows,
                partsOfSlice: max(1, operationsPerSlice / (operationsOfBlock * blocks))
            ) { head, first, count, thread in
                let offset = head / heads * queryImage + head % heads * d
                // Images and heads are numbered alike in both, so the remainder keeps the head.
                let source = head % keyHeads
                var kernelPart = part.kernelPart(offset: head * sumBytes)
                table.attention_rows(
                    shape, q + offset, pk + source * keyBytes, pv + source * valueBytes, &kernelPart, first, count,
                    out + offset, scratch.buffer(thread))
            }
        }
    }

    /// Divides the rows of each head into parts and runs them on all threads, with a sign of progress before each slice.
    private func runParts(
        heads: Int, rows: Int, rowsOfPart: Int, partsOfSlice: Int = .max,
        _ body: (_ head: Int, _ first: Int, _ count: Int, _ thread: Int) -> Void
    ) {
        let parts = (rows + rowsOfPart - 1) / rowsOfPart
        let slice = min(partsOfSlice, heads * parts)
        for start in stride(from: 0, to: heads * parts, by: max(1, slice)) {
            whenAdvancing?()
            // The next product throws.
            guard goesOn() else { return }
            pool.run(min(slice, heads * parts - start)) { index, thread in
                let (head, first) = ((start + index) / parts, (start + index) % parts * rowsOfPart)
                body(head, first, min(rowsOfPart, rows - first), thread)
            }
        }
    }

    /// Both products, q·kᵀ and weights·v, of the pairs that see each other.
    private func countAttention(query: Tensor, key: [Int], causal: Bool) {
        let (queries, keys) = (query.shape[1], key[1])
        let diagonal = min(queries, keys)
        let pairs = causal ? diagonal * (diagonal + 1) / 2 + (queries - diagonal) * keys : queries * keys
        count(products: 2 * query.shape[0] * pairs * query.dimension(-1))
    }
}

/// Keys and values of attention in the order of the kernels.
public struct PackedKeys {
    /// (k, tk, heads·d)
    let shape: [Int]
    let heads: Int
    let elementType: ElementType
    let keys: TensorStorage
    let values: TensorStorage

    /// Keys of one image.
    public var tokens: Int { shape[1] }
    /// Bytes of keys and values.
    public var byteCount: Int { keys.byteCapacity + values.byteCapacity }

    /// Its shape, without numbers.
    public struct Form {
        fileprivate let shape: [Int]
        fileprivate let heads: Int
        fileprivate let elementType: ElementType
        fileprivate let keyBytes: Int
        fileprivate let valueBytes: Int
    }

    public var form: Form {
        Form(
            shape: shape, heads: heads, elementType: elementType, keyBytes: keys.byteCapacity,
            valueBytes: values.byteCapacity)
    }

    /// The memory of keys and values, in a form that holds for this process's CPU.
    public var memory: [UnsafeMutableRawBufferPointer] {
        [keys, values].map { UnsafeMutableRawBufferPointer(start: $0.base, count: $0.byteCapacity) }
    }

    func kernelShape(queries: Int, causal: Bool) -> ck_attention_shape {
        let (width, d) = (shape[2], shape[2] / heads)
        return ck_attention_shape(
            query_tokens: queries, key_tokens: tokens, head_width: d, row_stride_query: width, row_stride_key: width,
            row_stride_out: width, scale: 1 / Float(d).squareRoot(), causal: causal ? 1 : 0)
    }
}

/// The place of some keys among all keys of an attention.
private struct AttentionPart {
    let isFirst: Bool
    let isLast: Bool
    /// The sums of all queries between two parts; nil if there is one part only.
    let sums: TensorStorage?

    static var whole: AttentionPart { AttentionPart(isFirst: true, isLast: true, sums: nil) }

    /// - Parameter offset: of a head's sums, in bytes.
    func kernelPart(offset: Int) -> ck_attention_part {
        ck_attention_part(is_first: isFirst ? 1 : 0, is_last: isLast ? 1 : 0, sums: sums.map { $0.base + offset })
    }
}
