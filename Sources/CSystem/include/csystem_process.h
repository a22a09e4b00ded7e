// Starts, stops and watches processes.
#ifndef CSYSTEM_PROCESS_H
#define CSYSTEM_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

/// Starts the program at `path`. The child's descriptor `i` is `descriptors[i]` of this process (-1: /dev/null), and it has
/// no others. It gets a process group of its own, so that a Ctrl-C in the terminal does not reach it. All its signals have
/// their default and none is blocked. `arguments` and `environment` end with NULL. Returns 0 or an error number.
int csystem_spawn(const char *path, char *const *arguments, char *const *environment, const int *descriptors,
                  size_t descriptor_count, pid_t *pid);

/// Collects a child that has ended. Returns 1 and fills `exit_code` (128 + signal if a signal ended it; then `signal` too).
/// Returns 0 if the child still runs and `may_block` is 0, or a negative error number.
int csystem_reap(pid_t pid, int may_block, int *exit_code, int *signal);

/// Starts this process's program again from its beginning, with the present environment. Process number, descriptors and
/// ignored signals stay. Call it from the first thread. It returns only if it fails, with an error number: without /proc, and
/// if the program was given to the dynamic loader, because then the loader would start instead.
int csystem_execute_again(char *const *arguments);

/// Renames the process in `ps` and `top` if it is called "exe" there, as a program that was started through /proc/self/exe is.
/// A process with another name keeps it.
void csystem_restore_name(const char *name);

/// Installs handlers that write each given signal's number as one byte into a pipe. Returns the pipe's end for reading, or a
/// negative error number. It works whichever thread the kernel picks. (signalfd would need every thread to block the signals,
/// but the compute libraries start their threads before main.) Call it once per process.
int csystem_signals_open(const int *signals, size_t count);

/// The number of processors that this process may run on (its affinity mask), at least 1.
int csystem_available_processors(void);

/// The number of physical cores among these processors: processors that share a core count once. At least 1.
int csystem_available_cores(void);

/// Gives the pages of freed memory back to the system, as far as the C library can.
void csystem_release_freed_memory(void);

#endif
