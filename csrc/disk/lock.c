#define _GNU_SOURCE /* flock, O_CLOEXEC */

#include "disk/lock.h"

#include "disk/fork.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PID_TRIES 20 /* of a millisecond: the holder writes its pid right after locking */

static int64_t read_pid(const char *path)
{
    for (int i = 0; i < PID_TRIES; i++) {
        char text[24] = {0};
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) return 0;
        const ssize_t n = read(fd, text, sizeof text - 1);
        (void)close(fd);
        if (n > 0 && text[n - 1] == '\n') return strtoll(text, NULL, 10);
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return 0;
}

static bool write_pid(int fd)
{
    char text[24];
    const int n = snprintf(text, sizeof text, "%lld\n", (long long)getpid());
    return ftruncate(fd, 0) == 0 && write(fd, text, (size_t)n) == n;
}

/* I1 */
static bool is_at(int fd, const char *path)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_dev == there.st_dev &&
           ours.st_ino == there.st_ino;
}

static bool open_noted(int *fd, const char *path)
{
    ckv_fork_hold();
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    const int error = errno;
    ckv_fork_allow();
    errno = error;
    return *fd >= 0;
}

static void close_noted(int *fd)
{
    const int error = errno;
    ckv_fork_hold();
    (void)close(*fd);
    *fd = -1;
    ckv_fork_allow();
    errno = error;
}

ckv_status ckv_lock_take(int *out, const char *path, int64_t *holder)
{
    *holder = 0;
    for (;;) {
        if (!open_noted(out, path)) return CKV_EDISK;
        int rc;
        do rc = flock(*out, LOCK_EX | LOCK_NB);
        while (rc != 0 && errno == EINTR);
        const bool taken = rc != 0 && errno == EWOULDBLOCK;
        if (rc == 0 && is_at(*out, path)) {
            if (write_pid(*out)) return CKV_OK;
            rc = -1;
            const int error = errno;
            (void)unlink(path);
            errno = error;
        }
        close_noted(out);
        if (taken) *holder = read_pid(path);
        if (taken || rc != 0) return taken ? CKV_ELOCKED : CKV_EDISK;
    }
}

void ckv_lock_give(int *fd, const char *path)
{
    if (*fd < 0) return;
    (void)unlink(path); /* while it is locked: nobody else's file */
    close_noted(fd);
}
