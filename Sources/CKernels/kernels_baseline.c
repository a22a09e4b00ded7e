// The kernels for any CPU: vectors of four floats (SSE2, NEON), tiles of 4 x 2 vectors.
#include "CKernels.h"

#include <string.h>

#define VL 4
#if defined(__aarch64__)
#define HAS_FMA 1
#else
#define HAS_FMA 0
#endif
#define MR 4
#define TILE_VECTORS 2
#define BLOCK_TILES 8
#define STRIP_TILES 24
#define NAME(x) x##_baseline
#define SET_NAME "baseline"
#define HAS_BF16_DOT 0
#define HAS_TILES 0
#include "templates/kernel_set.inc"
