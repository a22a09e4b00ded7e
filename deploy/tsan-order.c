// Tells ThreadSanitizer about two orders of memory that libraries without the sanitizer make, so that it does not report races
// where there are none. sanitize.sh loads it before those libraries. It hides no race: it only adds the order that is there.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

// Of the sanitizer; absent in the programs that only start the tests.
extern void __tsan_acquire(void *) __attribute__((weak));
extern void __tsan_release(void *) __attribute__((weak));

static void acquire(void *address) {
    if (__tsan_acquire) __tsan_acquire(address);
}

static void release(void *address) {
    if (__tsan_release) __tsan_release(address);
}

// 1. Contended locks. Swift's Mutex takes a free lock in code that the compiler places into ours, where the sanitizer sees it.
// It takes a contended one, and gives it back, inside libswiftSynchronization. The address is that of the lock's word in both.

#define SWIFT __attribute__((swiftcall))
#define CONTEXT __attribute__((swift_context))
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

typedef SWIFT void (*Lock)(uint32_t, CONTEXT void *);
typedef SWIFT bool (*TryLock)(CONTEXT void *);
typedef SWIFT void (*Unlock)(CONTEXT void *);

SWIFT void lock_slow(uint32_t thread, CONTEXT void *self) __asm__(LOCK);
SWIFT bool try_lock_slow(CONTEXT void *self) __asm__(TRY_LOCK);
SWIFT void unlock_slow(CONTEXT void *self) __asm__(UNLOCK);

SWIFT void lock_slow(uint32_t thread, CONTEXT void *self) {
    ((Lock)dlsym(RTLD_NEXT, LOCK))(thread, self);
    acquire(self);
}

SWIFT bool try_lock_slow(CONTEXT void *self) {
    bool is_taken = ((TryLock)dlsym(RTLD_NEXT, TRY_LOCK))(self);
    if (is_taken) acquire(self);
    return is_taken;
}

SWIFT void unlock_slow(CONTEXT void *self) {
    release(self);
    ((Unlock)dlsym(RTLD_NEXT, UNLOCK))(self);
}

// 2. Parallel regions. libgomp gives a region to its threads and waits for them with futexes of its own: the threads see what
// was written before the region, and the caller sees afterwards what they wrote. Nothing orders the threads among each other.

typedef struct {
    void (*body)(void *);
    void *data;
} region;

static void run(void *context) {
    region *part = context;
    acquire(part);
    part->body(part->data);
    release(part);
}

void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags) {
    region part = {body, data};
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned) = dlsym(RTLD_NEXT, "GOMP_parallel");
    release(&part);
    parallel(run, &part, threads, flags);
    acquire(&part);
}
