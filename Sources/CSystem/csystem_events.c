#define _GNU_SOURCE
#include "csystem_events.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

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

int csystem_thread_set_name(pthread_t thread, const char *name) { return -pthread_setname_np(thread, name); }

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
static int is_accelerated(void) { return __builtin_cpu_supports("sse4.2") ? 1 : 0; }
#elif defined(__aarch64__)
#define CRC_TARGET __attribute__((target("+crc")))
#define CRC_STEP8(crc, word) __crc32cd((crc), (word))
#define CRC_STEP1(crc, byte) __crc32cb((crc), (byte))
static int is_accelerated(void) { return (getauxval(AT_HWCAP) & (1ul << 7)) != 0; }
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
    if (is_accelerated()) return crc32c_instruction(crc, bytes, size);
#endif
    return csystem_crc32c_portable(crc, bytes, size);
}
