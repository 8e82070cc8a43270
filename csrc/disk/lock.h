/* lock.h -- the lock file of the one writer: PATH.lock, flock(2), the holder's pid in it.
 *
 * The kernel gives the lock up when its holder dies, however it dies: a file that is left behind locks nothing.
 *
 * A child that inherits the descriptor holds the lock, too: so each is noted where fork.c finds it, as long as it is open.
 *
 *     I1  who holds a lock holds the file that the path names: it is looked at again after locking, as another holder may have unlinked it in between
 */
#ifndef CKV_DISK_LOCK_H
#define CKV_DISK_LOCK_H

#include <stdint.h>

#include "base/status.h"

/* *fd, which was -1, and is known to fork.c, is the lock. CKV_ELOCKED: *holder is the pid in the file, 0 if it has none. CKV_EDISK: errno says why. */
CKV_NODISCARD ckv_status ckv_lock_take(int *fd, const char *path, int64_t *holder);
/* Unlinks the file, and *fd is -1 again; -1: nothing. */
void ckv_lock_give(int *fd, const char *path);

#endif
