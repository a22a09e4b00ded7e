// Starting, stopping and hearing from processes, and the terminal.
#ifndef CSYSTEM_PROCESS_H
#define CSYSTEM_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

/// Starts the program at `path`. The child's descriptor `i` is `descriptors[i]` of this process (-1: /dev/null), and it has no
/// others. It gets a process group of its own, so that a Ctrl-C in the terminal does not reach it, all signals at their default
/// and none blocked. `arguments` and `environment` end with NULL. Returns 0 or an error number.
int csystem_spawn(const char *path, char *const *arguments, char *const *environment, const int *descriptors,
                  size_t descriptor_count, pid_t *pid);

/// Collects a child that has ended. Returns 1 and fills `exit_code` (or 128 + the signal that ended it, in `signal` too), 0
/// when the child still runs and `may_block` is 0, or a negative error number.
int csystem_reap(pid_t pid, int may_block, int *exit_code, int *signal);

/// Replaces this process's program by itself, from its beginning, with the environment as it is now. Process number,
/// descriptors and ignored signals stay. To be called from the first thread. Returns only when it fails, with an error number:
/// where there is no /proc, and where the program was given to the dynamic loader, which would be started in its place.
int csystem_execute_again(char *const *arguments);

/// Gives the process back its name in `ps` and `top`: what is started through /proc/self/exe is called "exe" there. A process
/// with another name keeps it.
void csystem_restore_name(const char *name);

/// Installs handlers that write each given signal's number as one byte into a pipe, and returns the pipe's end for reading, or
/// a negative error number. Works whichever thread the kernel picks (signalfd would need every thread to block the signals, but
/// the compute libraries start theirs before main). To be called once per process.
int csystem_signals_open(const int *signals, size_t count);

/// The width of the terminal behind the descriptor in characters, or 0 when it is no terminal or does not say.
int csystem_terminal_columns(int descriptor);

/// Whether the descriptor is a terminal.
int csystem_is_terminal(int descriptor);

/// Processors this process may run on (its affinity mask), at least 1.
int csystem_available_processors(void);

/// Gives the pages of freed memory back to the system, as far as the C library can.
void csystem_release_freed_memory(void);

/// Physical cores among them: processors that share a core count once. At least 1.
int csystem_available_cores(void);

#endif
