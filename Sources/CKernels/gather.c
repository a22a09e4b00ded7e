// Loops that only move numbers, and the tables of the numbers' sources.
#include "CKernels.h"

#include <math.h>
#include <string.h>

void ck_gather_patches(const ck_convolution_shape *s, const float *x, size_t first, size_t count, float *rows) {
    const size_t c = s->in_channels;
    for (size_t p = first; p < first + count; p++) {
        for (size_t u = 0; u < s->kernel_h; u++) {
            ptrdiff_t iy = (ptrdiff_t)(p / s->out_w * s->stride + u * s->dilation) - (ptrdiff_t)s->pad_top;
            for (size_t v = 0; v < s->kernel_w; v++, rows += c) {
                ptrdiff_t ix = (ptrdiff_t)(p % s->out_w * s->stride + v * s->dilation) - (ptrdiff_t)s->pad_left;
                if (iy < 0 || ix < 0 || iy >= (ptrdiff_t)s->h || ix >= (ptrdiff_t)s->w)
                    memset(rows, 0, c * sizeof(float));
                else
                    memcpy(rows, x + ((size_t)iy * s->w + (size_t)ix) * c, c * sizeof(float));
            }
        }
    }
}

void ck_pack_panel(const float *weights, size_t out, size_t in, size_t taps, size_t panel, float *packed) {
    const size_t first = panel * CK_PANEL_COLUMNS;
    const size_t count = out - first < CK_PANEL_COLUMNS ? out - first : CK_PANEL_COLUMNS;
    memset(packed, 0, taps * in * CK_PANEL_COLUMNS * sizeof(float));
    for (size_t i = 0; i < in; i++)
        for (size_t column = 0; column < count; column++) {
            const float *source = weights + ((first + column) * in + i) * taps;
            for (size_t tap = 0; tap < taps; tap++) packed[(tap * in + i) * CK_PANEL_COLUMNS + column] = source[tap];
        }
}

// One line of the transform of weights: the rows of G.
static void winograd_line(const double w[3], double out[4]) {
    out[0] = w[0];
    out[1] = (w[0] + w[1] + w[2]) / 2;
    out[2] = (w[0] - w[1] + w[2]) / 2;
    out[3] = w[2];
}

void ck_winograd_weights(const float *weights, size_t out, size_t in, size_t first, size_t count, float *matrices) {
    for (size_t pair = first * in; pair < (first + count) * in; pair++) {
        double columns[3][4], line[4];
        for (int j = 0; j < 3; j++) {
            const float *w = weights + pair * 9 + j;
            winograd_line((double[]){w[0], w[3], w[6]}, columns[j]);
        }
        for (int i = 0; i < 4; i++) {
            winograd_line((double[]){columns[0][i], columns[1][i], columns[2][i]}, line);
            for (int j = 0; j < 4; j++) matrices[(size_t)(4 * i + j) * out * in + pair] = (float)line[j];
        }
    }
}

void ck_bicubic_taps(size_t in, size_t out, ck_bicubic_tap *taps) {
    const float a = -0.75f, ratio = (float)in / (float)out;
    for (size_t i = 0; i < out; i++) {
        float source = ratio * ((float)i + 0.5f) - 0.5f;
        float whole = floorf(source), t = source - whole;
        for (int j = 0; j < 4; j++) {
            int64_t index = (int64_t)whole - 1 + j;
            if (index < 0) index = 0;
            if (index > (int64_t)in - 1) index = (int64_t)in - 1;
            taps[i].index[j] = (int32_t)index;
            float distance = fabsf((float)(j - 1) - t);
            taps[i].weight[j] = distance <= 1 ? ((a + 2) * distance - (a + 3)) * distance * distance + 1
                                              : ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a;
        }
    }
}
