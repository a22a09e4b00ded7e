// Work for several threads.
#ifndef CSYSTEM_PARALLEL_H
#define CSYSTEM_PARALLEL_H

#include <stddef.h>

// Calls body(context, index, thread) once for each index below count, on up to `threads` threads of which the caller is one;
// thread is 0 ..< threads. Returns when all calls have. The threads are libgomp's, the same that oneDNN computes with: two
// pools that wait by spinning would take the cores from each other.
void csystem_parallel_for(
    size_t count, unsigned threads, void (*body)(void *context, size_t index, size_t thread), void *context);

// How many threads OpenMP code called from this thread may use.
void csystem_set_openmp_threads(int threads);

#endif
