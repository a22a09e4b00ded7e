#define _GNU_SOURCE
#include "csystem_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
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
