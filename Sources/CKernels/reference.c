// The plain version of every kernel, in the order of the formulas, for tests. Sums run in double precision.
#include "CKernels.h"

#include <math.h>

void ck_ref_attention(
    const ck_attention_shape *s, const float *queries, const float *keys, size_t row_stride_value, const float *values,
    float *out
) {
    for (size_t i = 0; i < s->query_tokens; i++) {
        size_t end = s->causal && i + 1 < s->key_tokens ? i + 1 : s->key_tokens;
        const float *q = queries + i * s->row_stride_query;
        float *y = out + i * s->row_stride_out;
        double largest = -INFINITY, total = 0;
        for (size_t k = 0; k < s->head_width; k++) y[k] = 0;
        // The largest score, the sum of the weights, then the weighted sum of the values.
        for (int pass = 0; pass < 3; pass++)
            for (size_t j = 0; j < end; j++) {
                double score = 0;
                for (size_t k = 0; k < s->head_width; k++) score += (double)q[k] * keys[j * s->row_stride_key + k];
                score *= s->scale;
                if (pass == 0) largest = fmax(largest, score);
                if (pass == 1) total += exp(score - largest);
                for (size_t k = 0; pass == 2 && k < s->head_width; k++)
                    y[k] += (float)(exp(score - largest) / total * values[j * row_stride_value + k]);
            }
    }
}

void ck_ref_match(
    const float *tokens, size_t width, const int32_t *sources, size_t source_count, const int32_t *destinations,
    size_t destination_count, float *scores, int32_t *best
) {
    for (size_t i = 0; i < source_count; i++) {
        const float *a = tokens + (size_t)sources[i] * width;
        double highest = -INFINITY;
        for (size_t j = 0; j < destination_count; j++) {
            const float *b = tokens + (size_t)destinations[j] * width;
            double product = 0, square_a = 0, square_b = 0;
            for (size_t k = 0; k < width; k++) {
                product += (double)a[k] * b[k];
                square_a += (double)a[k] * a[k];
                square_b += (double)b[k] * b[k];
            }
            double cosine = square_a > 0 && square_b > 0 ? product / sqrt(square_a * square_b) : 0;
            if (cosine > highest) {
                highest = cosine;
                best[i] = (int32_t)j;
            }
        }
        scores[i] = (float)highest;
    }
}

static double silu(double x) { return x / (1 + exp(-x)); }
static double gelu(double x) { return 0.5 * x * (1 + erf(x * M_SQRT1_2)); }

void ck_ref_group_norm(
    const float *x, size_t p, size_t c, size_t groups, const float *scale, const float *offset, float epsilon,
    const float *addend, int apply_silu, float *y
) {
    size_t width = c / groups;
    for (size_t g = 0; g < groups; g++) {
        const double count = (double)(p * width);
        double sum = 0, square = 0;
        for (int pass = 0; pass < 3; pass++)
            for (size_t i = 0; i < p; i++)
                for (size_t k = g * width; k < (g + 1) * width; k++) {
                    double v = x[i * c + k] + (addend ? (double)addend[k] : 0), centered = v - sum / count;
                    if (pass == 0) sum += v;
                    if (pass == 1) square += centered * centered;
                    if (pass < 2) continue;
                    double normal = centered / sqrt(square / count + epsilon) * scale[k] + offset[k];
                    y[i * c + k] = (float)(apply_silu ? silu(normal) : normal);
                }
    }
}

void ck_ref_geglu(const float *x, size_t rows, size_t c, float *y) {
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < c; k++) y[r * c + k] = (float)(x[r * 2 * c + k] * gelu(x[r * 2 * c + c + k]));
}

void ck_ref_epilogue(float *y, size_t rows, size_t c, const float *bias, int activation, const float *residual) {
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < c; k++) {
            double v = y[r * c + k] + (bias ? (double)bias[k] : 0);
            if (activation == 1) v = silu(v);
            if (activation == 2) v = gelu(v);
            if (activation == 3) v = v / (1 + exp(-1.702 * v));
            y[r * c + k] = (float)(v + (residual ? (double)residual[r * c + k] : 0));
        }
}

void ck_ref_bicubic(const float *x, size_t h, size_t w, size_t c, size_t out_h, size_t out_w, float *y) {
    for (size_t oy = 0; oy < out_h; oy++)
        for (size_t ox = 0; ox < out_w; ox++) {
            // Positions are in f32, as in PyTorch: at a side of 100 they are off by 4e-6.
            double sy = (float)h / (float)out_h * ((float)oy + 0.5f) - 0.5f,
                   sx = (float)w / (float)out_w * ((float)ox + 0.5f) - 0.5f;
            for (size_t k = 0; k < c; k++) {
                double value = 0;
                for (int i = -1; i <= 2; i++)
                    for (int j = -1; j <= 2; j++) {
                        double dy = fabs(sy - (floor(sy) + i)), dx = fabs(sx - (floor(sx) + j)), wy, wx;
                        wy = dy <= 1 ? (1.25 * dy - 2.25) * dy * dy + 1 : ((-0.75 * dy + 3.75) * dy - 6) * dy + 3;
                        wx = dx <= 1 ? (1.25 * dx - 2.25) * dx * dx + 1 : ((-0.75 * dx + 3.75) * dx - 6) * dx + 3;
                        double py = floor(sy) + i, px = floor(sx) + j;
                        py = py < 0 ? 0 : py > (double)h - 1 ? (double)h - 1 : py;
                        px = px < 0 ? 0 : px > (double)w - 1 ? (double)w - 1 : px;
                        value += wy * wx * x[((size_t)py * w + (size_t)px) * c + k];
                    }
                y[(oy * out_w + ox) * c + k] = (float)value;
            }
        }
}

void ck_ref_nearest(const float *x, size_t h, size_t w, size_t c, size_t out_h, size_t out_w, float *y) {
    for (size_t oy = 0; oy < out_h; oy++)
        for (size_t ox = 0; ox < out_w; ox++) {
            size_t sy = (size_t)floorf((float)oy * ((float)h / (float)out_h)),
                   sx = (size_t)floorf((float)ox * ((float)w / (float)out_w));
            sy = sy < h ? sy : h - 1;
            sx = sx < w ? sx : w - 1;
            for (size_t k = 0; k < c; k++) y[(oy * out_w + ox) * c + k] = x[(sy * w + sx) * c + k];
        }
}

void ck_ref_add_product(
    const float *a, const float *b, size_t rows, size_t inner, size_t columns, float factor, float *y
) {
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < columns; k++) {
            double total = 0;
            for (size_t i = 0; i < inner; i++) total += (double)a[r * inner + i] * b[i * columns + k];
            y[r * columns + k] += (float)(factor * total);
        }
}

void ck_ref_average_pool(const float *x, size_t h, size_t w, size_t c, float *y) {
    size_t out_w = (w + 1) / 2;
    for (size_t oy = 0; oy < (h + 1) / 2; oy++)
        for (size_t ox = 0; ox < out_w; ox++)
            for (size_t k = 0; k < c; k++) {
                double total = 0, count = 0;
                for (size_t i = 2 * oy; i < 2 * oy + 2 && i < h; i++)
                    for (size_t j = 2 * ox; j < 2 * ox + 2 && j < w; j++, count++) total += x[(i * w + j) * c + k];
                y[(oy * out_w + ox) * c + k] = (float)(total / count);
            }
}

void ck_ref_convolution(const ck_convolution_shape *s, const float *x, const float *weights, const float *bias, float *y) {
    for (size_t oy = 0; oy < s->out_h; oy++)
        for (size_t ox = 0; ox < s->out_w; ox++)
            for (size_t o = 0; o < s->out_channels; o++) {
                double total = bias ? bias[o] : 0;
                for (size_t u = 0; u < s->kernel_h; u++)
                    for (size_t v = 0; v < s->kernel_w; v++) {
                        ptrdiff_t iy = (ptrdiff_t)(oy * s->stride + u * s->dilation) - (ptrdiff_t)s->pad_top;
                        ptrdiff_t ix = (ptrdiff_t)(ox * s->stride + v * s->dilation) - (ptrdiff_t)s->pad_left;
                        if (iy < 0 || ix < 0 || iy >= (ptrdiff_t)s->h || ix >= (ptrdiff_t)s->w) continue;
                        for (size_t i = 0; i < s->in_channels; i++)
                            total += (double)x[((size_t)iy * s->w + (size_t)ix) * s->in_channels + i] *
                                     weights[((o * s->in_channels + i) * s->kernel_h + u) * s->kernel_w + v];
                    }
                y[(oy * s->out_w + ox) * s->out_channels + o] = (float)total;
            }
}

void ck_ref_linear(const float *x, size_t rows, size_t in, size_t out, const float *weights, const float *bias, float *y) {
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            double total = bias ? bias[o] : 0;
            for (size_t i = 0; i < in; i++) total += (double)x[r * in + i] * weights[o * in + i];
            y[r * out + o] = (float)total;
        }
}
