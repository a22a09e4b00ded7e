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
        let table = kernels("attention", query, key, value)
        let (batch, width) = (query.shape[0], query.dimension(-1))
        precondition(width % heads == 0, "\(width) channels do not divide into \(heads) heads")
        precondition(
            key.shape == value.shape && batch % key.shape[0] == 0 && key.dimension(-1) == width,
            "\(query.shape) meets \(key.shape)")
        let d = width / heads
        let keyHeads = key.shape[0] * heads
        countAttention(query: query, key: key, causal: causal)
        note(.attention(query: query.shape, key: key.shape, heads: heads, causal: causal), query.elementType)
        let y = empty(query.shape, of: query.elementType)
        var shape = ck_attention_shape(
            query_tokens: query.shape[1], key_tokens: key.shape[1], head_width: d, row_stride_query: width,
            row_stride_key: width, row_stride_out: width, scale: 1 / Float(d).squareRoot(), causal: causal ? 1 : 0)
        let keyBytes = table.attention_packed_key_bytes(shape.key_tokens, d)
        let valueBytes = table.attention_packed_value_bytes(shape.key_tokens, d)
        let packedKeys = bytes(keyHeads * keyBytes)
        let packedValues = bytes(keyHeads * valueBytes)
        scratch.reserve(bytes: table.attention_scratch_bytes(d))

        let (q, k, v, out) = (query.raw, key.raw, value.raw, y.raw)
        let (pk, pv) = (packedKeys.base, packedValues.base)
        let (queryImage, keyImage) = (shape.query_tokens * width, shape.key_tokens * width)
        withUnsafePointer(to: &shape) { shape in
            let keysOfPart = 512 / table.attention_key_block * table.attention_key_block
            runParts(heads: keyHeads, rows: shape.pointee.key_tokens, rowsOfPart: keysOfPart) { head, first, count, _ in
                let offset = head / heads * keyImage + head % heads * d
                table.attention_pack(
                    shape, k + offset, v + offset, first, count, pk + head * keyBytes, pv + head * valueBytes)
            }
            // Short blocks go together to a thread, so that a call to a kernel is worth its start.
            let operationsOfBlock = max(1, 4 * shape.pointee.key_tokens * d * table.attention_query_block)
            let blocks = max(1, min(4_000_000, operationsPerSlice) / operationsOfBlock)
            runParts(
                heads: batch * heads, rows: shape.pointee.query_tokens, rowsOfPart: blocks * table.attention_query_block,
                partsOfSlice: max(1, operationsPerSlice / (operationsOfBlock * blocks))
            ) { head, first, count, thread in
                let offset = head / heads * queryImage + head % heads * d
                // Images and heads are numbered alike in both, so the remainder keeps the head.
                let source = head % keyHeads
                table.attention_rows(
                    shape, q + offset, pk + source * keyBytes, pv + source * valueBytes, first, count, out + offset,
                    scratch.buffer(thread))
            }
        }
        return y
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
            pool.run(min(slice, heads * parts - start)) { index, thread in
                let (head, first) = ((start + index) / parts, (start + index) % parts * rowsOfPart)
                body(head, first, min(rowsOfPart, rows - first), thread)
            }
        }
    }

    /// Both products, q·kᵀ and weights·v, of the pairs that see each other.
    private func countAttention(query: Tensor, key: Tensor, causal: Bool) {
        let (queries, keys) = (query.shape[1], key.shape[1])
        let diagonal = min(queries, keys)
        let pairs = causal ? diagonal * (diagonal + 1) / 2 + (queries - diagonal) * keys : queries * keys
        count(products: 2 * query.shape[0] * pairs * query.dimension(-1))
    }
}
