// Wake-ups between threads, names of threads and CRC-32C, for the message layer.
#ifndef CSYSTEM_EVENTS_H
#define CSYSTEM_EVENTS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

// A non-blocking, close-on-exec eventfd. Returns the descriptor, or -errno.
int csystem_eventfd_create(void);

// Names a thread for debuggers and `top`: at most 15 bytes. Returns 0 or -errno.
int csystem_thread_set_name(pthread_t thread, const char *name);

// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) of `size` bytes, continuing from `crc`; start with 0.
// Uses the CPU's own instruction if there is one.
uint32_t csystem_crc32c(uint32_t crc, const void *bytes, size_t size);
// The same checksum by table, on every CPU. Tests compare the fast version with it.
uint32_t csystem_crc32c_portable(uint32_t crc, const void *bytes, size_t size);

#endif
