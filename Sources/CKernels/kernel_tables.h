// The tables that dispatch.c chooses from.
#ifndef KERNEL_TABLES_H
#define KERNEL_TABLES_H

#include "CKernels.h"

extern const ck_kernels ck_table_baseline;
#if defined(__x86_64__)
extern const ck_kernels ck_table_avx2;
extern const ck_kernels ck_table_avx512;
#endif

#endif
