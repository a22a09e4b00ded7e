// Wake-ups between threads, clocks, thread facts and CRC-32C, for the message layer.
#ifndef CSYSTEM_EVENTS_H
#define CSYSTEM_EVENTS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

// A non-blocking, close-on-exec eventfd. Returns the descriptor, or -errno.
int csystem_eventfd_create(void);
// Adds one to the counter, and so makes the descriptor readable. Safe from any thread. Returns 0 or -errno.
int csystem_eventfd_signal(int fd);
// Sets the counter back to zero. Returns 0 (also if it was zero already) or -errno.
int csystem_eventfd_drain(int fd);

// CLOCK_MONOTONIC in nanoseconds. It stops while the machine sleeps, and never jumps.
int64_t csystem_monotonic_nanoseconds(void);
// Milliseconds since 1970. For display and for names, never for deadlines.
int64_t csystem_realtime_milliseconds(void);

// The kernel's id of the calling thread.
int csystem_thread_id(void);
// The CPU time of one of this process's threads in nanoseconds; -1 if there is no such thread.
int64_t csystem_thread_cpu_nanoseconds(int thread_id);
// The ids of this process's threads whose names start with `prefix`. Stores at most `capacity`, and returns how many it
// stored.
int csystem_threads_named(const char *prefix, int *thread_ids, int capacity);
// Names a thread for debuggers and `top`. The kernel keeps the first 15 bytes. Returns 0 or -errno.
int csystem_thread_set_name(pthread_t thread, const char *name);

// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) of `size` bytes, continuing from `crc`; start with 0.
// Uses the CPU's own instruction if there is one.
uint32_t csystem_crc32c(uint32_t crc, const void *bytes, size_t size);
// The same checksum by table, on every CPU. Tests compare the fast version with it.
uint32_t csystem_crc32c_portable(uint32_t crc, const void *bytes, size_t size);
// 1 if csystem_crc32c uses the CPU's own instruction.
int csystem_crc32c_is_accelerated(void);

#endif
