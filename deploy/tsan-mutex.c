// Tells ThreadSanitizer about contended locks. Swift's Mutex takes a free lock in code that the compiler places into ours, where the
// sanitizer sees it; a contended one is taken and given back inside libswiftSynchronization, which is built without the sanitizer, and
// what the lock protects looks like a race. sanitize.sh loads this library before that one. It hides no race: it only adds the order
// that the lock makes.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

// Of the sanitizer; absent in the programs that only start the tests.
extern void __tsan_acquire(void *) __attribute__((weak));
extern void __tsan_release(void *) __attribute__((weak));

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
    if (__tsan_acquire) __tsan_acquire(self);
}

SWIFT bool try_lock_slow(CONTEXT void *self) {
    bool is_taken = ((TryLock)dlsym(RTLD_NEXT, TRY_LOCK))(self);
    if (is_taken && __tsan_acquire) __tsan_acquire(self);
    return is_taken;
}

SWIFT void unlock_slow(CONTEXT void *self) {
    if (__tsan_release) __tsan_release(self);
    ((Unlock)dlsym(RTLD_NEXT, UNLOCK))(self);
}
