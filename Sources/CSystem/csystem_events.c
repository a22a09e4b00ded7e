#define _GNU_SOURCE
#include "csystem_events.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

int csystem_eventfd_create(void) {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

int csystem_eventfd_signal(int fd) {
    uint64_t one = 1;
    for (;;) {
        if (write(fd, &one, sizeof one) == (ssize_t)sizeof one) return 0;
        if (errno == EINTR) continue;
        // A full counter is readable already, and a signal means no more than that.
        return errno == EAGAIN ? 0 : -errno;
    }
}

int csystem_eventfd_drain(int fd) {
    uint64_t count = 0;
    for (;;) {
        if (read(fd, &count, sizeof count) == (ssize_t)sizeof count) return 0;
        if (errno == EINTR) continue;
        return errno == EAGAIN ? 0 : -errno;
    }
}

int64_t csystem_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t csystem_realtime_milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int csystem_thread_id(void) { return (int)syscall(SYS_gettid); }

int64_t csystem_thread_cpu_nanoseconds(int thread_id) {
    // Linux's encoding of "CPU clock of this thread": inverted id, then the per-thread flag (4) and the scheduler clock (2).
    clockid_t clock = (clockid_t)((~(unsigned)thread_id << 3) | 6u);
    struct timespec used;
    if (clock_gettime(clock, &used) != 0) return -1;
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

int csystem_threads_named(const char *prefix, int *thread_ids, int capacity) {
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) return 0;
    int found = 0;
    const struct dirent *entry;
    while (found < capacity && (entry = readdir(tasks)) != NULL) {
        int id = atoi(entry->d_name);
        if (id <= 0) continue;
        char path[64];
        snprintf(path, sizeof path, "/proc/self/task/%d/comm", id);
        FILE *file = fopen(path, "re");
        if (file == NULL) continue;
        char name[32];
        if (fgets(name, sizeof name, file) != NULL && strncmp(name, prefix, strlen(prefix)) == 0) thread_ids[found++] = id;
        fclose(file);
    }
    closedir(tasks);
    return found;
}

int csystem_thread_set_name(pthread_t thread, const char *name) {
    char cut[16] = {0};
    strncpy(cut, name, sizeof cut - 1);
    return -pthread_setname_np(thread, cut);
}

// ---- CRC-32C ----

static uint32_t crc_table[256];
static pthread_once_t crc_table_once = PTHREAD_ONCE_INIT;

static void crc_table_fill(void) {
    for (uint32_t index = 0; index < 256; index++) {
        uint32_t value = index;
        for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ ((value & 1) ? 0x82F63B78u : 0);
        crc_table[index] = value;
    }
}

uint32_t csystem_crc32c_portable(uint32_t crc, const void *bytes, size_t size) {
    pthread_once(&crc_table_once, crc_table_fill);
    const uint8_t *next = bytes;
    crc = ~crc;
    while (size--) crc = (crc >> 8) ^ crc_table[(crc ^ *next++) & 0xFF];
    return ~crc;
}

#if defined(__x86_64__)
#define CRC_TARGET __attribute__((target("sse4.2")))
#define CRC_STEP8(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#define CRC_STEP1(crc, byte) _mm_crc32_u8((crc), (byte))
int csystem_crc32c_is_accelerated(void) { return __builtin_cpu_supports("sse4.2") ? 1 : 0; }
#elif defined(__aarch64__)
#define CRC_TARGET __attribute__((target("+crc")))
#define CRC_STEP8(crc, word) __crc32cd((crc), (word))
#define CRC_STEP1(crc, byte) __crc32cb((crc), (byte))
int csystem_crc32c_is_accelerated(void) { return (getauxval(AT_HWCAP) & (1ul << 7)) != 0; }
#else
int csystem_crc32c_is_accelerated(void) { return 0; }
#endif

#if defined(CRC_TARGET)
CRC_TARGET static uint32_t crc32c_instruction(uint32_t crc, const void *bytes, size_t size) {
    const uint8_t *next = bytes;
    crc = ~crc;
    for (; size >= 8; size -= 8, next += 8) {
        uint64_t word;
        memcpy(&word, next, sizeof word);
        crc = CRC_STEP8(crc, word);
    }
    while (size--) crc = CRC_STEP1(crc, *next++);
    return ~crc;
}
#endif

uint32_t csystem_crc32c(uint32_t crc, const void *bytes, size_t size) {
#if defined(CRC_TARGET)
    if (csystem_crc32c_is_accelerated()) return crc32c_instruction(crc, bytes, size);
#endif
    return csystem_crc32c_portable(crc, bytes, size);
}
