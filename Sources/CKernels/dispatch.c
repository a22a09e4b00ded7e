// Chooses the tables that this CPU can run.
#include "CKernels.h"

#include <stdbool.h>

extern const ck_kernels ck_table_baseline;

#if defined(__x86_64__)
#include "COneDNN.h"

#include <cpuid.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

extern const ck_kernels ck_table_avx2, ck_table_avx512, ck_table_avx512_bf16, ck_table_amx_bf16, ck_table_amx_model;

// oneDNN reads ONEDNN_MAX_CPU_ISA, and its versions know different values. Its own answer keeps both libraries alike.
static bool has_avx2(void) {
    return conednn_uses(conednn_avx2) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void) {
    return has_avx2() && conednn_uses(conednn_avx512) && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}

static bool has_avx512_bf16(void) {
    return has_avx512() && conednn_uses(conednn_avx512_bf16) && __builtin_cpu_supports("avx512bf16");
}

// Whether the CPU has tiles of the size that the kernel expects (leaf 0x1d) and products of bf16 on them (leaf 7).
static bool cpu_has_tiles(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d >> 22 & 1) == 0 || (d >> 24 & 1) == 0) return false;
    if (!__get_cpuid_count(0x1d, 1, &a, &b, &c, &d)) return false;
    return a >> 16 >= 1024 && (b & 0xffff) >= 64 && b >> 16 >= 8 && (c & 0xffff) >= 16;
}

// Whether the operating system lets this process use the tiles. Linux (from 5.16 on) grants it on request, for all threads
// and for good. Older ones and sandboxes refuse; tiles would then end the process.
static bool tiles_are_permitted(void) {
    enum { get_permission = 0x1022, request_permission = 0x1023, tile_data = 18 };
    unsigned long granted = 0;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0 &&
           syscall(SYS_arch_prctl, get_permission, &granted) == 0 && (granted >> tile_data & 1) != 0;
}

static bool tiles_work;
static void find_tiles(void) {
    tiles_work = has_avx512_bf16() && conednn_uses(conednn_amx_bf16) && cpu_has_tiles() && tiles_are_permitted();
}

static bool has_amx_bf16(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_tiles);
    return tiles_work;
}
#endif

const ck_kernels *ck_kernels_at(size_t index) {
    const ck_kernels *tables[] = {
        &ck_table_baseline,
#if defined(__x86_64__)
        has_avx2() ? &ck_table_avx2 : NULL,
        has_avx512() ? &ck_table_avx512 : NULL,
        has_avx512_bf16() ? &ck_table_avx512_bf16 : NULL,
        has_amx_bf16() ? &ck_table_amx_bf16 : NULL,
#endif
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (tables[i] && index-- == 0) return tables[i];
    return NULL;
}

int ck_has_fast_bf16_dot(void) {
#if defined(__x86_64__)
    return __builtin_cpu_is("amd") && has_avx512_bf16();
#else
    return 0;
#endif
}

const ck_kernels *ck_kernels_best(void) {
#if defined(__x86_64__)
    if (has_amx_bf16()) return &ck_table_amx_bf16;
    if (ck_has_fast_bf16_dot()) return &ck_table_avx512_bf16;
    if (has_avx512()) return &ck_table_avx512;
    if (has_avx2()) return &ck_table_avx2;
#endif
    return &ck_table_baseline;
}

const ck_kernels *ck_kernels_of_tile_model(void) {
#if defined(__x86_64__)
    return has_avx512() ? &ck_table_amx_model : NULL;
#else
    return NULL;
#endif
}
