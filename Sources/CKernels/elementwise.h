// Norms, activations and resampling. Included once per instruction set after vector_math.h; NAME(x) adds the set's suffix.

static void NAME(channel_moments)(
    const float *x, size_t first, size_t count, size_t c, const float *pivot, float *sum, float *square
) {
    size_t k = 0;
    for (; k + VL <= c; k += VL) {
        vf p = vf_load(pivot + k), s = {}, q = {};
        const float *row = x + first * c + k;
        for (size_t i = 0; i < count; i++, row += c) {
            vf v = vf_load(row) - p;
            s += v;
            q = vf_fma(v, v, q);
        }
        vf_store(sum + k, s);
        vf_store(square + k, q);
    }
    if (k < c) {
        size_t rest = c - k;
        vf p = vf_load_part(pivot + k, rest), s = {}, q = {};
        const float *row = x + first * c + k;
        for (size_t i = 0; i < count; i++, row += c) {
            vf v = vf_load_part(row, rest) - p;
            s += v;
            q = vf_fma(v, v, q);
        }
        vf_store_part(sum + k, s, rest);
        vf_store_part(square + k, q, rest);
    }
}

static void NAME(channel_affine)(
    const float *x, size_t first, size_t count, size_t c, const float *gain, const float *bias, int silu, float *y
) {
    for (size_t i = first; i < first + count; i++) {
        const float *in = x + i * c;
        float *out = y + i * c;
        size_t k = 0;
        for (; k + VL <= c; k += VL) {
            vf v = vf_fma(vf_load(in + k), vf_load(gain + k), vf_load(bias + k));
            vf_store(out + k, silu ? vf_silu(v) : v);
        }
        if (k < c) {
            size_t rest = c - k;
            vf v = vf_fma(vf_load_part(in + k, rest), vf_load_part(gain + k, rest), vf_load_part(bias + k, rest));
            vf_store_part(out + k, silu ? vf_silu(v) : v, rest);
        }
    }
}

static void NAME(layer_norm)(
    const float *x, size_t rows, size_t c, const float *scale, const float *offset, float epsilon, float *y
) {
    for (size_t r = 0; r < rows; r++) {
        const float *in = x + r * c;
        float *out = y + r * c;
        vf total = {};
        size_t k = 0;
        for (; k + VL <= c; k += VL) total += vf_load(in + k);
        size_t rest = c - k;
        if (rest) total += vf_load_part(in + k, rest);
        float mean = vf_sum(total) / (float)c;
        vf m = vf_set(mean), squares = {};
        for (k = 0; k + VL <= c; k += VL) {
            vf v = vf_load(in + k) - m;
            squares = vf_fma(v, v, squares);
        }
        float tail = 0;
        for (; k < c; k++) tail += (in[k] - mean) * (in[k] - mean);
        float inverse = 1.0f / __builtin_sqrtf((vf_sum(squares) + tail) / (float)c + epsilon);
        vf g = vf_set(inverse);
        for (k = 0; k + VL <= c; k += VL)
            vf_store(out + k, vf_fma((vf_load(in + k) - m) * g, vf_load(scale + k), vf_load(offset + k)));
        if (rest) {
            vf v = vf_load_part(in + k, rest) - m;
            vf_store_part(out + k, vf_fma(v * g, vf_load_part(scale + k, rest), vf_load_part(offset + k, rest)), rest);
        }
    }
}

static void NAME(geglu)(const float *x, size_t rows, size_t c, float *y) {
    for (size_t r = 0; r < rows; r++) {
        const float *value = x + r * 2 * c, *gate = value + c;
        float *out = y + r * c;
        size_t k = 0;
        for (; k + VL <= c; k += VL) vf_store(out + k, vf_load(value + k) * vf_gelu(vf_load(gate + k)));
        if (k < c) vf_store_part(out + k, vf_load_part(value + k, c - k) * vf_gelu(vf_load_part(gate + k, c - k)), c - k);
    }
}

static void NAME(silu)(const float *x, size_t count, float *y) {
    size_t k = 0;
    for (; k + VL <= count; k += VL) vf_store(y + k, vf_silu(vf_load(x + k)));
    if (k < count) vf_store_part(y + k, vf_silu(vf_load_part(x + k, count - k)), count - k);
}

static void NAME(add)(const float *a, const float *b, size_t count, float *y) {
    size_t k = 0;
    for (; k + VL <= count; k += VL) vf_store(y + k, vf_load(a + k) + vf_load(b + k));
    for (; k < count; k++) y[k] = a[k] + b[k];
}

INLINE vf NAME(activate)(vf v, int activation) {
    switch (activation) {
    case 1: return vf_silu(v);
    case 2: return vf_gelu(v);
    case 3: return vf_quick_gelu(v);
    default: return v;
    }
}

static void NAME(epilogue)(float *y, size_t rows, size_t c, const float *bias, int activation, const float *residual) {
    for (size_t r = 0; r < rows; r++) {
        float *row = y + r * c;
        const float *more = residual ? residual + r * c : NULL;
        for (size_t k = 0; k < c; k += VL) {
            size_t count = c - k < VL ? c - k : VL;
            vf v = count == VL ? vf_load(row + k) : vf_load_part(row + k, count);
            if (bias) v += count == VL ? vf_load(bias + k) : vf_load_part(bias + k, count);
            v = NAME(activate)(v, activation);
            if (more) v += count == VL ? vf_load(more + k) : vf_load_part(more + k, count);
            if (count == VL) vf_store(row + k, v); else vf_store_part(row + k, v, count);
        }
    }
}

static void NAME(bicubic_row)(
    const float *source, size_t w, size_t c, const ck_bicubic_tap *row, const ck_bicubic_tap *columns, size_t out_w, float *out
) {
    for (size_t x = 0; x < out_w; x++) {
        const ck_bicubic_tap *column = columns + x;
        for (size_t k = 0; k < c; k += VL) {
            size_t count = c - k < VL ? c - k : VL;
            vf value = {};
            for (int i = 0; i < 4; i++) {
                vf line = {};
                for (int j = 0; j < 4; j++) {
                    const float *p = source + ((size_t)row->index[i] * w + (size_t)column->index[j]) * c + k;
                    vf v = count == VL ? vf_load(p) : vf_load_part(p, count);
                    line = vf_fma(v, vf_set(column->weight[j]), line);
                }
                value = vf_fma(line, vf_set(row->weight[i]), value);
            }
            if (count == VL) vf_store(out + x * c + k, value); else vf_store_part(out + x * c + k, value, count);
        }
    }
}

static void NAME(average_pool_row)(const float *source, size_t rows, size_t w, size_t c, float *out) {
    for (size_t x = 0; x < w; x += 2) {
        size_t columns = x + 1 < w ? 2 : 1;
        float factor = 1.0f / (float)(rows * columns);
        for (size_t k = 0; k < c; k++) {
            float total = 0;
            for (size_t i = 0; i < rows; i++)
                for (size_t j = 0; j < columns; j++) total += source[(i * w + x + j) * c + k];
            out[x / 2 * c + k] = total * factor;
        }
    }
}

static int NAME(all_finite)(const float *x, size_t count) {
    // x * 0 is 0 for finite x and NaN otherwise; the sum of zeros stays 0.
    vf total = {};
    size_t k = 0;
    for (; k + VL <= count; k += VL) total += vf_load(x + k) * vf_set(0.0f);
    if (k < count) total += vf_load_part(x + k, count - k) * vf_set(0.0f);
    return vf_sum(total) == 0.0f;
}

// `rows` (a constant, at most 4) rows and `count` (VL or fewer) columns of y += factor * a * b, at row 0 and column 0.
INLINE void NAME(add_product_tile)(
    const float *a, const float *b, size_t rows, size_t inner, size_t columns, size_t count, float factor, float *y
) {
    vf total[4] = {};
    for (size_t i = 0; i < inner; i++) {
        const float *p = b + i * columns;
        vf v = count == VL ? vf_load(p) : vf_load_part(p, count);
        for (size_t r = 0; r < rows; r++) total[r] = vf_fma(vf_set(a[r * inner + i]), v, total[r]);
    }
    for (size_t r = 0; r < rows; r++) {
        float *out = y + r * columns;
        vf old = count == VL ? vf_load(out) : vf_load_part(out, count);
        vf sum = vf_fma(total[r], vf_set(factor), old);
        if (count == VL) vf_store(out, sum); else vf_store_part(out, sum, count);
    }
}

static void NAME(add_product)(
    const float *a, const float *b, size_t rows, size_t inner, size_t columns, float factor, float *y
) {
    for (size_t k = 0; k < columns; k += VL) {
        size_t count = columns - k < VL ? columns - k : VL;
        size_t r = 0;
        if (count == VL)
            for (; r + 4 <= rows; r += 4)
                NAME(add_product_tile)(a + r * inner, b + k, 4, inner, columns, VL, factor, y + r * columns + k);
        for (; r < rows; r++)
            NAME(add_product_tile)(a + r * inner, b + k, 1, inner, columns, count, factor, y + r * columns + k);
    }
}
