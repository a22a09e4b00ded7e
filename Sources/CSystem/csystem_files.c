#define _GNU_SOURCE
#include "csystem_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

int csystem_rename_without_replacing(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0 ? 0 : errno;
}

int csystem_clone_file(const char *from, const char *to) {
    int source = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (source < 0) return errno;
    int target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    int number = 0;
    if (target < 0) {
        number = errno;
    } else {
        if (ioctl(target, FICLONE, source) != 0 || fsync(target) != 0) number = errno;
        close(target);
        if (number != 0) unlink(to);
    }
    close(source);
    return number;
}

/// A new file that is gone from its folder at once, for file systems without O_TMPFILE. Returns the descriptor, or -errno.
static int unlinked_file(const char *folder) {
    char *path = NULL;
    if (asprintf(&path, "%s/.patchloom-XXXXXX", folder) < 0) return -ENOMEM;
    int file = mkostemp(path, O_CLOEXEC);
    int number = file < 0 ? -errno : file;
    if (file >= 0) unlink(path);
    free(path);
    return number;
}

int csystem_scratch_file(const char *folder) {
    if (!folder) {
        int file = memfd_create("patchloom", MFD_CLOEXEC);
        return file < 0 ? -errno : file;
    }
    int file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (file >= 0) return file;
    // File systems, and kernels, that do not know the flag refuse the folder in different ways.
    return errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL || errno == ENOENT ? unlinked_file(folder) : -errno;
}
