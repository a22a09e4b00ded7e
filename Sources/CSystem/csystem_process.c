#define _GNU_SOURCE
#include "csystem_process.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

// Copies the caller's descriptors above the numbers that they get in the child. So no dup2 overwrites a descriptor that is
// still to be copied.
static int copies_open(const int *descriptors, size_t count, int *copies) {
    for (size_t i = 0; i < count; i++) copies[i] = -1;
    for (size_t i = 0; i < count; i++) {
        if (descriptors[i] < 0) {
            int null = open("/dev/null", O_RDWR | O_CLOEXEC);
            if (null < 0) return errno;
            copies[i] = fcntl(null, F_DUPFD_CLOEXEC, (int)count);
            close(null);
        } else {
            copies[i] = fcntl(descriptors[i], F_DUPFD_CLOEXEC, (int)count);
        }
        if (copies[i] < 0) return errno;
    }
    return 0;
}

static int prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, const int *copies, size_t count) {
    int failed = 0;
    for (size_t i = 0; i < count && !failed; i++) failed = posix_spawn_file_actions_adddup2(actions, copies[i], (int)i);
    if (!failed) failed = posix_spawn_file_actions_addclosefrom_np(actions, (int)count);
    sigset_t every, none;
    sigfillset(&every);
    sigemptyset(&none);
    if (!failed) failed = posix_spawnattr_setpgroup(attributes, 0);
    if (!failed) failed = posix_spawnattr_setsigdefault(attributes, &every);
    if (!failed) failed = posix_spawnattr_setsigmask(attributes, &none);
    if (!failed) {
        failed = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    }
    return failed;
}

int csystem_spawn(const char *path, char *const *arguments, char *const *environment, const int *descriptors,
                  size_t descriptor_count, pid_t *pid) {
    if (descriptor_count < 3 || descriptor_count > 64) return EINVAL;
    int copies[64];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed) return failed;
    failed = posix_spawnattr_init(&attributes);
    if (failed) {
        posix_spawn_file_actions_destroy(&actions);
        return failed;
    }
    failed = copies_open(descriptors, descriptor_count, copies);
    if (!failed) failed = prepare(&actions, &attributes, copies, descriptor_count);
    if (!failed) failed = posix_spawn(pid, path, &actions, &attributes, arguments, environment);
    for (size_t i = 0; i < descriptor_count; i++) {
        if (copies[i] >= 0) close(copies[i]);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

int csystem_reap(pid_t pid, int may_block, int *exit_code, int *signal) {
    int status = 0;
    pid_t got;
    do {
        got = waitpid(pid, &status, may_block ? 0 : WNOHANG);
    } while (got < 0 && errno == EINTR);
    if (got < 0) return -errno;
    if (got == 0) return 0;
    *signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    *exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return 1;
}

int csystem_execute_again(char *const *arguments) {
    // Without an interpreter of its own, the kernel started the dynamic loader, and the loader was given this program.
    if (getauxval(AT_BASE) == 0) return ENOEXEC;
    execv("/proc/self/exe", arguments);
    return errno;
}

void csystem_restore_name(const char *name) {
    char now[16] = {0}, cut[16] = {0};
    if (prctl(PR_GET_NAME, now) != 0 || strcmp(now, "exe") != 0) return;
    strncpy(cut, name, sizeof cut - 1);
    prctl(PR_SET_NAME, cut);
}

static int signal_pipe[2] = {-1, -1};

static void on_signal(int number) {
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    // A full pipe means that nobody has listened for 64 thousand signals. One more adds nothing.
    ssize_t written = write(signal_pipe[1], &byte, 1);
    (void)written;
    errno = saved;
}

int csystem_signals_open(const int *signals, size_t count) {
    if (signal_pipe[0] >= 0) return -EBUSY;
    if (pipe2(signal_pipe, O_CLOEXEC) != 0) return -errno;
    if (fcntl(signal_pipe[1], F_SETFL, O_NONBLOCK) != 0) return -errno;
    struct sigaction action = {0};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < count; i++) {
        struct sigaction before;
        if (sigaction(signals[i], NULL, &before) != 0) return -errno;
        // A user who starts the program under nohup wants it to go on.
        if (signals[i] == SIGHUP && before.sa_handler == SIG_IGN) continue;
        if (sigaction(signals[i], &action, NULL) != 0) return -errno;
    }
    return signal_pipe[0];
}

// This mask has room for 1,024 processors. With more the call fails, and the configured count is used.
static int affinity(cpu_set_t *set) {
    CPU_ZERO(set);
    return sched_getaffinity(0, sizeof(*set), set) == 0 && CPU_COUNT(set) > 0;
}

int csystem_available_processors(void) {
    cpu_set_t set;
    if (affinity(&set)) return CPU_COUNT(&set);
    long configured = sysconf(_SC_NPROCESSORS_ONLN);
    return configured > 0 ? (int)configured : 1;
}

// The lowest number among the processors that share this one's core; its own number if the kernel does not say.
static int first_sibling(int processor) {
    char path[96];
    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", processor);
    FILE *file = fopen(path, "re");
    int first = processor;
    if (file) {
        if (fscanf(file, "%d", &first) != 1 || first < 0 || first >= CPU_SETSIZE) first = processor;
        fclose(file);
    }
    return first;
}

int csystem_available_cores(void) {
    cpu_set_t set, cores;
    if (!affinity(&set)) return csystem_available_processors();
    CPU_ZERO(&cores);
    for (int processor = 0; processor < CPU_SETSIZE; processor++) {
        if (CPU_ISSET(processor, &set)) CPU_SET(first_sibling(processor), &cores);
    }
    return CPU_COUNT(&cores);
}

void csystem_release_freed_memory(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
