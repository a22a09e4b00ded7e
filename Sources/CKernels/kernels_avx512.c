// The kernels for AVX-512: 32 registers of 16 floats, tiles of 4 x 4 vectors.
#include "CKernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"))), apply_to = function)
#include "templates/avx512_tiles.inc"
#define NAME(x) x##_avx512
#define SET_NAME "avx512"
#define HAS_BF16_DOT 0
#define HAS_TILES 0
#include "templates/kernel_set.inc"

#pragma clang attribute pop
#endif
