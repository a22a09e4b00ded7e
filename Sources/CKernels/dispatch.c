// Chooses the tables that this CPU can run.
#include "CKernels.h"

extern const ck_kernels ck_table_baseline, ck_table_avx2, ck_table_avx512, ck_table_avx512_bf16;

const ck_kernels *ck_kernels_at(size_t index) {
    if (index == 0) return &ck_table_baseline;
#if defined(__x86_64__)
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                 __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    if (index == 1 && avx2) return &ck_table_avx2;
    if (index == 2 && avx512) return &ck_table_avx512;
    if (index == 3 && avx512 && __builtin_cpu_supports("avx512bf16")) return &ck_table_avx512_bf16;
#endif
    return NULL;
}

int ck_has_fast_bf16_dot(void) {
#if defined(__x86_64__)
    return __builtin_cpu_is("amd") && ck_kernels_at(3);
#else
    return 0;
#endif
}

const ck_kernels *ck_kernels_best(void) {
    if (ck_has_fast_bf16_dot()) return ck_kernels_at(3);
    const ck_kernels *best = ck_kernels_at(0);
    for (size_t index = 1; index < 3 && ck_kernels_at(index); index++) best = ck_kernels_at(index);
    return best;
}
