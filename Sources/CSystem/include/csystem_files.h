#ifndef CSYSTEM_FILES_H
#define CSYSTEM_FILES_H

/// Renames `from` to `to` in one step, but only if `to` does not exist (RENAME_NOREPLACE). Returns 0 or the error number:
/// EEXIST if `to` exists, EINVAL if the file system cannot do it.
int csystem_rename_without_replacing(const char *from, const char *to);

/// Makes `to` a new file that shares the blocks of `from` until one of them is written (FICLONE), and syncs it to the disk.
/// Returns 0 or the error number; then there is no new file. The number is EOPNOTSUPP, EXDEV or another if the file system
/// cannot do it.
int csystem_clone_file(const char *from, const char *to);

/// Opens a new file without a name, for reading and writing, in `folder`, or in memory if `folder` is NULL. The system frees it
/// when the last descriptor is closed, also when the process is killed. Returns the descriptor, or -errno.
int csystem_scratch_file(const char *folder);

#endif
