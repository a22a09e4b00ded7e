// The kernels for AVX2 with FMA: 16 registers of 8 floats, tiles of 6 x 2 vectors.
#include "CKernels.h"

#include <string.h>

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define VL 8
#define HAS_FMA 1
#define MR 6
#define TILE_VECTORS 2
#define BLOCK_TILES 4
#define STRIP_TILES 16
#define NAME(x) x##_avx2
#define SET_NAME "avx2"
#define HAS_BF16_DOT 0
#define HAS_TILES 0
#include "templates/kernel_set.inc"

#pragma clang attribute pop
#endif
