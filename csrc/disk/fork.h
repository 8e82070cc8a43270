/* fork.h -- what fork(2) does to open files, and what is done about it.
 *
 * A child inherits descriptors and memory, but no POSIX lock: whatever it did with the parent's connection, the parent would not know. So it does nothing with it, and its copy of the
 * lock file's descriptor is closed before fork(2) returns there: a flock(2) lasts as long as anybody has it.
 *
 * A child that opens the same file by itself needs more. SQLite keeps one record of locks for all connections of a process to a file, and would take over the parent's for its own.
 * So the inherited connections to it are closed first, without a checkpoint: that drops locks of the child, which has none, and memory.
 */
#ifndef CKV_DISK_FORK_H
#define CKV_DISK_FORK_H

#include <stdint.h>

#include "base/status.h"

/* An open file among all those of the process; in place until dropped. */
typedef struct ckv_kin {
    int *lock_fd; /* borrowed; -1 in a child, where it was closed */
    struct ckv_kin *next, *prev;
} ckv_kin;

/* How many forks there were between the first process of this program and this one: another number than when something was opened says that this is a child of the opener. */
uint32_t ckv_fork_count(void);
/* Between these two the process does not fork: what becomes of a descriptor and where it is noted is one step. */
void ckv_fork_hold(void);
void ckv_fork_allow(void);
void ckv_kin_add(ckv_kin *kin);
void ckv_kin_drop(ckv_kin *kin);
/* For all of them, up to the first that does not say CKV_OK. `visit` adds and drops nothing. */
CKV_NODISCARD ckv_status ckv_kin_each(ckv_status (*visit)(ckv_kin *kin, void *ctx), void *ctx);

#endif
