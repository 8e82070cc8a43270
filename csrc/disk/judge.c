/* judge.c -- what a result of SQLite means here.
 *
 * Full: the transaction is lost, the next may succeed. Any other word of the device: the file is poisoned, for after a failed fsync the kernel may hold pages as
 * clean that never reached the disk, and a second fsync would say that all is well.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "disk/inner.h"

static bool no_room(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

ckv_status ckv_file_status(int rc, int error)
{
    switch (rc & 0xff) {
    case SQLITE_NOMEM: return CKV_ENOMEM;
    case SQLITE_FULL: return CKV_EFULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return CKV_ECORRUPT;
    case SQLITE_BUSY:
    case SQLITE_PROTOCOL: /* too many came and went while it tried to read the WAL's header */
    case SQLITE_LOCKED: return CKV_ELOCKED;
    case SQLITE_TOOBIG: return CKV_ELIMIT;
    case SQLITE_CANTOPEN: return no_room(error) ? CKV_EFULL : CKV_EDISK;
    case SQLITE_PERM:
    case SQLITE_AUTH: return CKV_EDISK;
    case SQLITE_READONLY: return rc == SQLITE_READONLY ? CKV_ERANGE : CKV_EDISK;
    case SQLITE_CONSTRAINT:
        return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
                       rc == SQLITE_CONSTRAINT_ROWID
                   ? CKV_EEXIST
                   : CKV_ERANGE;
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_NOMEM) return CKV_ENOMEM;
        /* Only of writing: a sync that says so has lost pages like any other. */
        if (rc == SQLITE_IOERR_WRITE || rc == SQLITE_IOERR_SHMSIZE)
            return no_room(error) ? CKV_EFULL : CKV_EDISK;
        return CKV_EDISK;
    default: return CKV_ERANGE; /* a statement that is wrong: a bug of the caller */
    }
}

/* SQLite keeps the errno of a commit at the file only; a checkpoint writes into the database, all else into the WAL or journal. */
int ckv_file_errno(sqlite3 *db, int rc, bool checkpoint)
{
    int error = 0;
    sqlite3_file *file = NULL;
    if ((rc & 0xff) != SQLITE_IOERR) return sqlite3_system_errno(db);
    (void)sqlite3_file_control(
        db, "main", checkpoint ? SQLITE_FCNTL_FILE_POINTER : SQLITE_FCNTL_JOURNAL_POINTER, &file);
    if (file && file->pMethods)
        (void)file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &error);
    return error;
}

ckv_status ckv_file_judge(ckv_file *f, int rc, const char *what)
{
    sqlite3_mutex *mutex = sqlite3_db_mutex(f->db);
    sqlite3_mutex_enter(mutex);
    const bool checkpoint = strcmp(what, CKV_FILE_CHECKPOINT) == 0;
    const ckv_status st = ckv_file_status(rc, ckv_file_errno(f->db, rc, checkpoint));
    (void)snprintf(f->words, sizeof f->words, "%.200s: %s (%s)", what, sqlite3_errmsg(f->db),
                   sqlite3_errstr(rc));
    sqlite3_mutex_leave(mutex);
    if (st == CKV_EDISK) atomic_store(&f->poisoned, true);
    /* What SQLite did not take back by itself must not be committed in part. */
    if (ckv_file_is_mine(f) && st != CKV_EEXIST && st != CKV_ERANGE && f->failed == CKV_OK)
        f->failed = st;
    return st;
}
