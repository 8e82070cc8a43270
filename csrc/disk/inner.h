/* inner.h -- what the files of disk/ share. */
#ifndef CKV_DISK_INNER_H
#define CKV_DISK_INNER_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "disk/file.h"
#include "disk/fork.h"

#define CKV_FILE_WORDS 512 /* bytes of an error in words */

struct ckv_stmt {
    ckv_alloc a;
    ckv_file *file;     /* NULL once it is closed */
    sqlite3_stmt *stmt; /* owned; NULL once the file is closed */
    ckv_stmt *next, *prev;
    ckv_status bound; /* the first binding that failed */
};

struct ckv_file {
    ckv_alloc a;
    sqlite3 *
        db; /* owned; in a forked process it is left alone, and NULL once that has opened the file itself */
    char *path;      /* owned, absolute; NULL: in memory */
    char *lock_path; /* owned; NULL: in memory, or a reader */
    size_t path_bytes, lock_bytes;
    int lock_fd; /* owned; -1: none */
    ckv_kin kin;
    uint64_t device, inode; /* of the file at the path, once it is open */
    ckv_file_mode mode;
    uint32_t forks; /* ckv_fork_count() when it was opened */
    bool has_key;
    ckv_id32 key;
    atomic_bool poisoned;
    pthread_mutex_t turn;    /* held from begin to commit or rollback */
    atomic_uintptr_t holder; /* of the turn: an address of its thread; 0: nobody */
    ckv_status failed;       /* of the transaction: it can be rolled back only */
    int wal_pages;           /* after the last commit */
    int64_t n_commits;
    sqlite3_stmt *begin, *commit, *hold; /* owned; hold: NULL unless a writer has a path */
    ckv_stmt *stmts;                     /* under the mutex of db, as is what follows */
    bool holds;
    char words[CKV_FILE_WORDS];
};

/* CKV_OK, or that this process must not use the file. */
CKV_NODISCARD ckv_status ckv_file_ready(const ckv_file *f);
#define CKV_FILE_CHECKPOINT "checkpoint" /* what is judged, when it is no statement */

int ckv_file_errno(sqlite3 *db, int rc, bool checkpoint);
/* What a result of SQLite means; `error`: errno. */
ckv_status ckv_file_status(int rc, int error);
/* The same for an open file: sets the words, poisons the file and fails the transaction where it has to. `what`: a table or a statement. */
CKV_NODISCARD ckv_status ckv_file_judge(ckv_file *f, int rc, const char *what);
/* Before a read outside of a transaction, under the mutex of db. The writer keeps one read transaction from then to its next write: nobody else writes, so it misses nothing, and
 * each read is spared the locks of the WAL (2.4 of 6.6 us, 2026-11-21). */
void ckv_file_hold(ckv_file *f);
bool ckv_file_is_mine(const ckv_file *f); /* this thread is in a transaction */

#endif
