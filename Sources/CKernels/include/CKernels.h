// Loops that the compute libraries do not have. The caller owns all memory and divides the work. Each function does one part
// of it, so any number of threads gives the same bits. Tensors are dense and channels last.
//
//   n images, h x w pixels, p = h*w pixels of one image, c channels, d channels of one attention head, t tokens
//
// Every function exists for several instruction sets behind one table, and as a plain version ck_ref_... for tests to compare
// with.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stddef.h>
#include <stdint.h>

// Geometry of one attention call. Row i of a matrix starts at base + i * row_stride (in elements).
typedef struct {
    size_t query_tokens, key_tokens;
    size_t head_width;          // d
    size_t row_stride_query, row_stride_key, row_stride_out;
    float scale;                // factor of the scores, usually 1/sqrt(d)
    int causal;                 // 1: query i sees keys 0...i only
} ck_attention_shape;

// The part of the keys that one call gives to its queries. If one call has all keys, this part is the first and the last.
typedef struct {
    int is_first, is_last;  // the first part begins the sums, the last one turns them into results
    void *sums;             // attention_sum_bytes for each block of queries, 64-byte aligned; NULL if the part is both
} ck_attention_part;

// One resampling along one axis: destination i reads taps source positions.
typedef struct {
    int32_t index[4];
    float weight[4];
} ck_bicubic_tap;

// A convolution of one image.
typedef struct {
    size_t h, w, in_channels, out_channels, kernel_h, kernel_w, stride, dilation, pad_top, pad_left, out_h, out_w;
} ck_convolution_shape;

// Columns of a panel of weights, and the most rows of a strip of results.
#define CK_PANEL_COLUMNS 16
#define CK_STRIP_ROWS 120

// y = activation(x * W + bias) + residual of f32, for the convolution of one image after the other. A row of the product is one
// pixel of the result. A linear layer is a convolution with one tap.
typedef struct {
    ck_convolution_shape shape;
    const float *x;
    // Panels of 16 outputs: [out / 16, rounded up][kernel_h][kernel_w][in][16], with zeros behind the last output.
    const float *weights;
    const float *bias, *residual;  // or NULL
    int activation;                // as for epilogue
    float *y;                      // dense; the residual has the same shape
} ck_gathered_product;

// A 3x3 convolution of stride 1 by Winograd's F(2x2, 3x3), for images of the same size. Tiles of 2x2 results are numbered over
// images, rows and columns. Tiles at the right and lower edge may have results outside.
typedef struct {
    size_t h, w, in_channels, out_channels, pad_top, pad_left, out_h, out_w;
} ck_winograd;

// The kernels of one element type: f32 or bf16 (the upper half of an f32). Sums are f32; attention in bf16 may multiply bf16.
typedef struct {
    // Attention of one head. First the keys and values are packed, in independent blocks. Then each block of queries is
    // independent.
    size_t (*attention_packed_key_bytes)(size_t key_tokens, size_t head_width);
    size_t (*attention_packed_value_bytes)(size_t key_tokens, size_t head_width);
    size_t (*attention_scratch_bytes)(size_t head_width);
    size_t (*attention_sum_bytes)(size_t head_width);
    size_t attention_query_block, attention_key_block;
    // The number of keys whose scores a block of queries meets at once: the largest such number for any width.
    size_t attention_key_strip;
    // Packs the keys first ..< first + count of one head and their values. first is a multiple of attention_key_block, and
    // count too unless they are the last.
    void (*attention_pack)(
        const ck_attention_shape *shape, const void *keys, const void *values, size_t first, size_t count,
        void *packed_keys, void *packed_values);
    // Computes the queries first ..< first + count of one head. first is a multiple of attention_query_block, and count too
    // unless they are the last. scratch and the packed memory are 64-byte aligned. Only the last part writes out.
    void (*attention_rows)(
        const ck_attention_shape *shape, const void *queries, const void *packed_keys, const void *packed_values,
        const ck_attention_part *part, size_t first, size_t count, void *out, void *scratch);

    // The best partner of each source token among destination tokens, by cosine. Tokens are rows of one image, width values
    // each, given by their indices. First the destinations are packed, match_panel of them a call, from `first` on. Then each
    // block of sources is independent. Among equal scores the first destination is best. Tokens of zeros score 0.
    size_t (*match_packed_bytes)(size_t destinations, size_t width);
    size_t (*match_scratch_bytes)(size_t width);
    size_t match_panel, match_source_block;
    void (*match_pack)(
        const void *tokens, size_t width, const int32_t *destinations, size_t count, size_t first, void *packed);
    // rows: at most match_source_block sources. count: the number of destinations. best: places in the list of destinations.
    void (*match_block)(
        const void *tokens, size_t width, const int32_t *sources, size_t rows, const void *packed, size_t count,
        float *scores, int32_t *best, void *scratch);

    // GroupNorm in two passes. The first pass runs over pixels first ..< first + count of one image: for each channel, the
    // sum and the sum of squares of (x - pivot). The second pass computes y = x * gain + bias for each channel, then SiLU on
    // request.
    void (*channel_moments)(const void *x, size_t first, size_t count, size_t c, const void *pivot, float *sum, float *square);
    // The same sums in double precision and without a pivot. They are so exact that the result in f32 does not depend on how
    // the pixels were divided.
    void (*channel_sums)(const void *x, size_t first, size_t count, size_t c, double *sum, double *square);
    void (*channel_affine)(
        const void *x, size_t first, size_t count, size_t c, const float *gain, const float *bias, int silu, void *y);

    // LayerNorm of rows of c values.
    void (*layer_norm)(
        const void *x, size_t rows, size_t c, const float *scale, const float *offset, float epsilon, void *y);

    // x: rows of 2c (value, gate) -> y: rows of c, value * gelu(gate), gelu by the error function.
    void (*geglu)(const void *x, size_t rows, size_t c, void *y);
    void (*silu)(const void *x, size_t count, void *y);
    void (*add)(const void *a, const void *b, size_t count, void *y);
    // One output row of a bicubic resize. Takes the source (h, w, c), the taps of that row, and the taps of all columns.
    void (*bicubic_row)(
        const void *source, size_t w, size_t c, const ck_bicubic_tap *row, const ck_bicubic_tap *columns, size_t out_w,
        void *out);
    // One output row of a 2x2 average pool with ceil mode; rows is 1 or 2.
    void (*average_pool_row)(const void *source, size_t rows, size_t w, size_t c, void *out);
    // y: one row of c values for each of the groups first ..< first + count. It is the mean of the group's rows of x. members
    // lists these rows from offsets[group] - offsets[0] on. Sums run in the members' order.
    void (*mean_rows)(
        const void *x, size_t c, const int32_t *offsets, const int32_t *members, size_t first, size_t count, void *y);
    // The pixels x of tiles first ..< first + count, transformed in f32 and rounded to the element type: 16 matrices (count,
    // in_channels), the next one `step` elements behind the one before.
    void (*winograd_input)(const ck_winograd *shape, const void *x, size_t first, size_t count, void *out, size_t step);
    // y = sums of 16 such matrices of f32 products (count, out_channels) + bias + residual. Both may be NULL. The residual has
    // y's type.
    void (*winograd_output)(
        const ck_winograd *shape, const float *products, size_t step, size_t first, size_t count, const float *bias,
        const void *residual, void *y);
    int (*all_finite)(const void *x, size_t count);
    // To f32, and from f32 rounded to nearest, ties to even.
    void (*widen)(const void *x, size_t count, float *y);
    void (*narrow)(const float *x, size_t count, void *y);
} ck_typed_kernels;

typedef struct {
    const char *name;           // "amx_bf16", "avx512_bf16", "avx512", "avx2", "baseline"
    const ck_typed_kernels *f32, *bf16;
    // In place: y = activation(y + bias) + residual; bias per column or NULL, residual or NULL.
    // activation: 0 none, 1 silu, 2 gelu, 3 x * sigmoid(1.702 x)
    void (*epilogue)(float *y, size_t rows, size_t c, const float *bias, int activation, const float *residual);
    // y (rows, columns) += factor * a (rows, inner) * b (inner, columns). Every sum runs over inner in order.
    void (*add_product)(
        const float *a, const float *b, size_t rows, size_t inner, size_t columns, float factor, float *y);
    // Rows first_row ..< first_row + rows (at most CK_STRIP_ROWS), and the columns of panels first_panel ..< first_panel +
    // panels. The bits of a row depend only on its own pixels and on the shape of the weights. scratch is 8-byte aligned.
    size_t (*gathered_scratch_bytes)(const ck_convolution_shape *shape);
    void (*gathered_strip)(
        const ck_gathered_product *product, size_t first_row, size_t rows, size_t first_panel, size_t panels, void *scratch);
} ck_kernels;

// Whether the CPU has dot products of bf16 that are faster than multiplications of f32: AMD's have (Zen 4 and later), Intel's
// have slower ones.
int ck_has_fast_bf16_dot(void);
// The tables end with the instruction set that oneDNN uses here. So its environment variable ONEDNN_MAX_CPU_ISA simulates an
// older CPU for both, and a value that it does not know limits neither.
//
// The fastest table by rule: AMX where the CPU has tiles and the operating system permits them; else dot products of bf16
// where they are fast; else the longest vectors.
const ck_kernels *ck_kernels_best(void);
// The tables that this CPU can run, at index 0 ...; NULL past the end. Each set of instructions contains those before it, but
// need not be faster.
const ck_kernels *ck_kernels_at(size_t index);
// The table for AMX on a model of the tiles, for tests; NULL on CPUs without AVX-512.
const ck_kernels *ck_kernels_of_tile_model(void);

// Plain versions.
void ck_ref_attention(
    const ck_attention_shape *shape, const float *queries, const float *keys, size_t row_stride_value, const float *values,
    float *out);
void ck_ref_match(
    const float *tokens, size_t width, const int32_t *sources, size_t source_count, const int32_t *destinations,
    size_t destination_count, float *scores, int32_t *best);
void ck_ref_group_norm(
    const float *x, size_t p, size_t c, size_t groups, const float *scale, const float *offset, float epsilon,
    const float *addend, int silu, float *y);
void ck_ref_geglu(const float *x, size_t rows, size_t c, float *y);
void ck_ref_epilogue(float *y, size_t rows, size_t c, const float *bias, int activation, const float *residual);
void ck_ref_bicubic(const float *x, size_t h, size_t w, size_t c, size_t out_h, size_t out_w, float *y);
void ck_ref_nearest(const float *x, size_t h, size_t w, size_t c, size_t out_h, size_t out_w, float *y);
void ck_ref_add_product(
    const float *a, const float *b, size_t rows, size_t inner, size_t columns, float factor, float *y);
void ck_ref_average_pool(const float *x, size_t h, size_t w, size_t c, float *y);
// y[oy,ox,o] of a convolution with weights (o, i, kh, kw).
void ck_ref_convolution(const ck_convolution_shape *s, const float *x, const float *weights, const float *bias, float *y);
void ck_ref_linear(const float *x, size_t rows, size_t in, size_t out, const float *weights, const float *bias, float *y);

// Gathers output pixels first ..< first + count of one image into rows of kernel_h*kernel_w*in_channels values, zero outside.
void ck_gather_patches(const ck_convolution_shape *s, const float *x, size_t first, size_t count, float *rows);
// Panel number `panel` of weights (out, in, taps), as ck_gathered_product wants it: [taps][in][16].
void ck_pack_panel(const float *weights, size_t out, size_t in, size_t taps, size_t panel, float *packed);
// Rows first ..< first + count of the 16 matrices (out, in) of weights (out, in, 3, 3) for ck_winograd. The matrices lie one
// behind the other: G w G^T in f64, rounded.
void ck_winograd_weights(const float *weights, size_t out, size_t in, size_t first, size_t count, float *matrices);
// Taps of a bicubic resize of one axis, align_corners false, a = -0.75, clamped to the border (PyTorch's upsample_bicubic2d).
void ck_bicubic_taps(size_t in, size_t out, ck_bicubic_tap *taps);

#endif
