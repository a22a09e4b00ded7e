#include "csystem_parallel.h"

#include <stdatomic.h>

// libgomp's ABI, as GCC emits calls to it for `#pragma omp parallel`. It is declared here because the compiler of Swift
// packages has no omp.h for libgomp.
void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);
int omp_get_thread_num(void);
void omp_set_num_threads(int threads);

typedef struct {
    size_t count;
    void (*body)(void *, size_t, size_t);
    void *context;
    atomic_size_t next;
} parallel_work;

static void take_work(void *data) {
    parallel_work *work = data;
    const size_t thread = (size_t)omp_get_thread_num();
    for (;;) {
        size_t index = atomic_fetch_add_explicit(&work->next, 1, memory_order_relaxed);
        if (index >= work->count) return;
        work->body(work->context, index, thread);
    }
}

void csystem_parallel_for(size_t count, unsigned threads, void (*body)(void *, size_t, size_t), void *context) {
    if (threads <= 1 || count <= 1) {
        for (size_t index = 0; index < count; index++) body(context, index, 0);
        return;
    }
    parallel_work work = {.count = count, .body = body, .context = context, .next = 0};
    GOMP_parallel(take_work, &work, threads, 0);
}

void csystem_set_openmp_threads(int threads) { omp_set_num_threads(threads); }
