// Runs work on several threads.
#ifndef CSYSTEM_PARALLEL_H
#define CSYSTEM_PARALLEL_H

#include <stddef.h>

// Calls body(context, index, thread) once for each index below count, on up to `threads` threads; the caller is one of them.
// thread is 0 ..< threads. Returns after all calls. The threads are libgomp's, the same that oneDNN computes with: two pools
// that wait by spinning would take the cores from each other.
void csystem_parallel_for(
    size_t count, unsigned threads, void (*body)(void *context, size_t index, size_t thread), void *context);

// Sets how many threads OpenMP code may use when this thread calls it.
void csystem_set_openmp_threads(int threads);

#endif
