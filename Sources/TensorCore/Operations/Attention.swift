import CKernels

extension ComputeContext {
    /// Scaled dot-product attention, softmax(q·kᵀ/√d)·v for each head, without the whole score matrix: memory grows with
    /// the number of tokens, not with its square (online softmax; Dao et al. 2022, arXiv 2205.14135).
    ///
    /// - Parameters:
    ///   - query: (b, tq, heads·d)
    ///   - key: (b, tk, heads·d)
    ///   - value: (b, tk, heads·d)
    ///   - causal: query i sees keys 0…i only.
    /// - Returns: (b, tq, heads·d)
    public func attention(query: Tensor, key: Tensor, value: Tensor, heads: Int, causal: Bool = false) -> Tensor {
        let table = kernels("attention", query, key, value)
        let (batch, width) = (query.shape[0], query.dimension(-1))
        precondition(width % heads == 0, "\(width) channels do not divide into \(heads) heads")
        precondition(
            key.shape == value.shape && key.shape[0] == batch && key.dimension(-1) == width, "\(query.shape) meets \(key.shape)"
        )
        let d = width / heads
        countAttention(query: query, key: key, causal: causal)
        let y = empty(query.shape, of: query.elementType)
        var shape = ck_attention_shape(
            query_tokens: query.shape[1], key_tokens: key.shape[1], head_width: d, row_stride_query: width,
            row_stride_key: width, row_stride_out: width, scale: 1 / Float(d).squareRoot(), causal: causal ? 1 : 0)
        let keyBytes = table.attention_packed_key_bytes(shape.key_tokens, d)
        let valueBytes = table.attention_packed_value_bytes(shape.key_tokens, d)
        let packedKeys = bytes(batch * heads * keyBytes)
        let packedValues = bytes(batch * heads * valueBytes)
        scratch.reserve(bytes: table.attention_scratch_bytes(d))

        let (q, k, v, out) = (query.raw, key.raw, value.raw, y.raw)
        let (pk, pv) = (packedKeys.base, packedValues.base)
        let (queryImage, keyImage) = (shape.query_tokens * width, shape.key_tokens * width)
        withUnsafePointer(to: &shape) { shape in
            pool.run(batch * heads) { index, _ in
                let offset = index / heads * keyImage + index % heads * d
                table.attention_pack(shape, k + offset, v + offset, pk + index * keyBytes, pv + index * valueBytes)
            }
            let blocks = (shape.pointee.query_tokens + table.attention_query_block - 1) / table.attention_query_block
            let operationsOfBlock = 4 * shape.pointee.key_tokens * d * table.attention_query_block
            let slice = max(1, operationsPerSlice / max(1, operationsOfBlock))
            for start in stride(from: 0, to: batch * heads * blocks, by: slice) {
                whenAdvancing?()
                pool.run(min(slice, batch * heads * blocks - start)) { part, thread in
                    let (head, block) = ((start + part) / blocks, (start + part) % blocks)
                    let offset = head / heads * queryImage + head % heads * d
                    table.attention_block(
                        shape, q + offset, pk + head * keyBytes, pv + head * valueBytes, block * table.attention_query_block,
                        out + offset, scratch.buffer(thread))
                }
            }
        }
        return y
    }

    /// Both products, q·kᵀ and weights·v, of the pairs that see each other.
    private func countAttention(query: Tensor, key: Tensor, causal: Bool) {
        let (queries, keys) = (query.shape[1], key.shape[1])
        let diagonal = min(queries, keys)
        let pairs = causal ? diagonal * (diagonal + 1) / 2 + (queries - diagonal) * keys : queries * keys
        count(products: 2 * query.shape[0] * pairs * query.dimension(-1))
    }
}
