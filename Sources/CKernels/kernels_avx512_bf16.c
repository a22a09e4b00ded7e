// The kernels for AVX-512 with dot products of bf16. The f32 kernels are the same as for AVX-512 without them.
#include "CKernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma"))), apply_to = function)
#include "templates/avx512_tiles.inc"
#define NAME(x) x##_avx512_bf16
#define SET_NAME "avx512_bf16"
#define HAS_BF16_DOT 1
#define HAS_TILES 0
#include "templates/kernel_set.inc"

#pragma clang attribute pop
#endif
