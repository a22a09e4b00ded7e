// Attention without a score matrix. Included once per instruction set after vector_math.h.
//
// Keys are packed into panels of PANEL columns, transposed: packed_keys[panel][k][column], so that a tile of scores is MR query
// rows times one panel, held in registers. Values are copied to rows padded to whole vectors. A block of query rows walks over
// the panels with the running maximum and sum of the online softmax (Milakov and Gimelshein 2018; Dao et al. 2022), so what is
// stored of the scores is QUERY_BLOCK x STRIP floats whatever the number of tokens. MR: query rows of a register tile, which
// divides QUERY_BLOCK. PANEL_VECTORS: vectors across a panel of scores. VALUE_VECTORS: vectors across a tile of values, at most
// 3.

#define PANEL (PANEL_VECTORS * VL)
#define STRIP (2 * PANEL)
#define ROUND_UP(x, m) (((x) + (m) - 1) / (m) * (m))

static size_t NAME(packed_key_floats)(size_t key_tokens, size_t head_width) { return ROUND_UP(key_tokens, PANEL) * head_width; }
static size_t NAME(packed_value_floats)(size_t key_tokens, size_t head_width) {
    return ROUND_UP(key_tokens, PANEL) * ROUND_UP(head_width, VL);
}
static size_t NAME(scratch_floats)(size_t head_width) {
    return QUERY_BLOCK * (head_width + ROUND_UP(head_width, VL) + STRIP + 2);
}

static void NAME(attention_pack)(
    const ck_attention_shape *s, const float *keys, const float *values, float *packed_keys, float *packed_values
) {
    const size_t d = s->head_width, wide = ROUND_UP(d, VL), padded = ROUND_UP(s->key_tokens, PANEL);
    for (size_t t = 0; t < padded; t++) {
        float *column = packed_keys + t / PANEL * PANEL * d + t % PANEL;
        float *row = packed_values + t * wide;
        if (t < s->key_tokens) {
            const float *key = keys + t * s->row_stride_key;
            for (size_t k = 0; k < d; k++) column[k * PANEL] = key[k];
            memcpy(row, values + t * s->row_stride_key, d * sizeof(float));
            for (size_t k = d; k < wide; k++) row[k] = 0;
        } else {
            for (size_t k = 0; k < d; k++) column[k * PANEL] = 0;
            for (size_t k = 0; k < wide; k++) row[k] = 0;
        }
    }
}

// scores[MR][PANEL] = queries[MR][d] * panel[d][PANEL]
INLINE void NAME(score_tile)(const float *queries, const float *panel, size_t d, float *scores) {
    vf sum[MR][PANEL_VECTORS];
#pragma clang loop unroll(full)
    for (int r = 0; r < MR; r++)
#pragma clang loop unroll(full)
        for (int j = 0; j < PANEL_VECTORS; j++) sum[r][j] = (vf){};
    for (size_t k = 0; k < d; k++) {
        vf b[PANEL_VECTORS];
#pragma clang loop unroll(full)
        for (int j = 0; j < PANEL_VECTORS; j++) b[j] = vf_load(panel + k * PANEL + (size_t)j * VL);
#pragma clang loop unroll(full)
        for (int r = 0; r < MR; r++) {
            vf a = vf_set(queries[(size_t)r * d + k]);
#pragma clang loop unroll(full)
            for (int j = 0; j < PANEL_VECTORS; j++) sum[r][j] = vf_fma(a, b[j], sum[r][j]);
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < MR; r++)
#pragma clang loop unroll(full)
        for (int j = 0; j < PANEL_VECTORS; j++) vf_store(scores + (size_t)r * STRIP + (size_t)j * VL, sum[r][j]);
}

// out[MR][COUNT vectors] += weights[MR][columns] * values[columns][COUNT vectors]
#define VALUE_TILE(COUNT)                                                                                                      \
    INLINE void NAME(value_tile_##COUNT)(                                                                                      \
        const float *weights, size_t columns, const float *values, size_t wide, float *out                                     \
    ) {                                                                                                                        \
        vf sum[MR][COUNT];                                                                                                     \
        _Pragma("clang loop unroll(full)") for (int r = 0; r < MR; r++)                                                        \
            _Pragma("clang loop unroll(full)") for (int j = 0; j < COUNT; j++)                                                 \
                sum[r][j] = vf_load(out + (size_t)r * wide + (size_t)j * VL);                                                  \
        for (size_t t = 0; t < columns; t++) {                                                                                 \
            vf b[COUNT];                                                                                                       \
            _Pragma("clang loop unroll(full)") for (int j = 0; j < COUNT; j++)                                                 \
                b[j] = vf_load(values + t * wide + (size_t)j * VL);                                                            \
            _Pragma("clang loop unroll(full)") for (int r = 0; r < MR; r++) {                                                  \
                vf a = vf_set(weights[(size_t)r * STRIP + t]);                                                                 \
                _Pragma("clang loop unroll(full)") for (int j = 0; j < COUNT; j++) sum[r][j] = vf_fma(a, b[j], sum[r][j]);     \
            }                                                                                                                  \
        }                                                                                                                      \
        _Pragma("clang loop unroll(full)") for (int r = 0; r < MR; r++)                                                        \
            _Pragma("clang loop unroll(full)") for (int j = 0; j < COUNT; j++)                                                 \
                vf_store(out + (size_t)r * wide + (size_t)j * VL, sum[r][j]);                                                  \
    }
VALUE_TILE(1)
VALUE_TILE(2)
VALUE_TILE(3)

INLINE void NAME(accumulate_values)(const float *weights, size_t columns, const float *values, size_t wide, float *out) {
    // As many tiles as are needed, of nearly equal width: 4 vectors are 2 + 2, not 3 + 1.
    const size_t vectors = wide / VL, tiles = (vectors + VALUE_VECTORS - 1) / VALUE_VECTORS;
    for (size_t tile = 0; tile < tiles; tile++) {
        const size_t j = vectors * tile / tiles, take = vectors * (tile + 1) / tiles - j;
        switch (take) {
        case 3: NAME(value_tile_3)(weights, columns, values + j * VL, wide, out + j * VL); break;
        case 2: NAME(value_tile_2)(weights, columns, values + j * VL, wide, out + j * VL); break;
        default: NAME(value_tile_1)(weights, columns, values + j * VL, wide, out + j * VL); break;
        }
    }
}

// The online softmax of one strip of scores (in units of log 2): scores become weights, out is scaled to the new maximum.
INLINE void NAME(softmax_strip)(float *scores, size_t columns, float *largest, float *total, float *out, size_t wide) {
    vf top = vf_set(*largest);
    for (size_t k = 0; k < columns; k += VL) top = vf_max(top, vf_load(scores + k));
    float new_largest = vf_largest(top);
    // Nothing but masked keys so far: weights are zero.
    vf base = vf_set(new_largest == -__builtin_inff() ? 0.0f : new_largest);
    vf sum = {};
    for (size_t k = 0; k < columns; k += VL) {
        vf weight = vf_exp2(vf_load(scores + k) - base);
        vf_store(scores + k, weight);
        sum += weight;
    }
    if (new_largest != *largest) {
        vf correction = vf_exp2(vf_set(*largest) - base);
        for (size_t k = 0; k < wide; k += VL) vf_store(out + k, vf_load(out + k) * correction);
        *total *= correction[0];
        *largest = new_largest;
    }
    *total += vf_sum(sum);
}

// Scores of keys past the end, and with a causal mask of keys past the query's own place, become minus infinity.
INLINE void NAME(mask_strip)(
    const ck_attention_shape *s, float *scores, size_t rows, size_t columns, size_t first_query, size_t first_key
) {
    if (first_key + columns <= s->key_tokens && !s->causal) return;
    for (size_t r = 0; r < rows; r++) {
        size_t end = s->key_tokens;
        if (s->causal && first_query + r + 1 < end) end = first_query + r + 1;
        for (size_t k = 0; k < columns; k++)
            if (first_key + k >= end) scores[r * STRIP + k] = -__builtin_inff();
    }
}

static void NAME(attention_block)(
    const ck_attention_shape *s, const float *queries, const float *packed_keys, const float *packed_values, size_t first_query,
    float *out, float *scratch
) {
    const size_t d = s->head_width, wide = ROUND_UP(d, VL), padded = ROUND_UP(s->key_tokens, PANEL);
    const size_t rows = s->query_tokens - first_query < QUERY_BLOCK ? s->query_tokens - first_query : QUERY_BLOCK;
    const size_t tile_rows = ROUND_UP(rows, MR);
    float *query = scratch, *sum = query + QUERY_BLOCK * d, *scores = sum + QUERY_BLOCK * wide;
    float *largest = scores + QUERY_BLOCK * STRIP, *total = largest + QUERY_BLOCK;

    const float scale = s->scale * LOG2_E;
    for (size_t r = 0; r < tile_rows; r++) {
        const float *in = queries + (first_query + r) * s->row_stride_query;
        for (size_t k = 0; k < d; k++) query[r * d + k] = r < rows ? in[k] * scale : 0;
        for (size_t k = 0; k < wide; k++) sum[r * wide + k] = 0;
        largest[r] = -__builtin_inff();
        total[r] = 0;
    }
    for (size_t first_key = 0; first_key < padded; first_key += STRIP) {
        const size_t columns = padded - first_key < STRIP ? padded - first_key : STRIP;
        for (size_t c = 0; c < columns; c += PANEL)
            for (size_t r = 0; r < tile_rows; r += MR)
                NAME(score_tile)(query + r * d, packed_keys + (first_key + c) * d, d, scores + r * STRIP + c);
        NAME(mask_strip)(s, scores, tile_rows, columns, first_query, first_key);
        for (size_t r = 0; r < tile_rows; r++)
            NAME(softmax_strip)(scores + r * STRIP, columns, largest + r, total + r, sum + r * wide, wide);
        for (size_t r = 0; r < tile_rows; r += MR)
            NAME(accumulate_values)(scores + r * STRIP, columns, packed_values + first_key * wide, wide, sum + r * wide);
    }
    for (size_t r = 0; r < rows; r++) {
        float inverse = 1.0f / total[r];
        float *row = out + (first_query + r) * s->row_stride_out;
        for (size_t k = 0; k < d; k++) row[k] = sum[r * wide + k] * inverse;
    }
}
