// The kernels for AMX on a model of its tiles, for tests on CPUs with AVX-512.
#include "CKernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"))), apply_to = function)
#include "templates/avx512_tiles.inc"
#define NAME(x) x##_amx_model
#define SET_NAME "amx_bf16_model"
#define HAS_BF16_DOT 0
#define HAS_TILES 1
#define TILES_TEMPLATE "tiles_model.inc"
#include "templates/kernel_set.inc"

#pragma clang attribute pop
#endif
