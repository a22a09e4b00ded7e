// The kernels for CPUs with AMX: attention in bf16 works with tiles. The others are the same as for AVX512-BF16.
#include "CKernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,amx-tile,amx-bf16,avx2,fma"))), apply_to = function)
#include "templates/avx512_tiles.inc"
#define NAME(x) x##_amx_bf16
#define SET_NAME "amx_bf16"
#define HAS_BF16_DOT 1
#define HAS_TILES 1
#define TILES_TEMPLATE "tiles_amx.inc"
#include "templates/kernel_set.inc"

#pragma clang attribute pop
#endif
