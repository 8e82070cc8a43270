/* file.c -- the life of a file and its transactions. What makes and opens it: open.c.
 *
 * The WAL is brought into the file by ourselves after a commit, never by SQLite's own hook: that swallows a failed fsync.
 */
#include "disk/file.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "disk/inner.h"
#include "disk/lock.h"
#include "disk/open.h"

/* Pages of the WAL, after which it is brought into the file. 2026-11-21: docs/adr/0017 */
#ifdef CKV_DEBUG
#define WAL_PAGES 16
#else
#define WAL_PAGES 1000
#endif
#define SHRINK_STEP 2048u /* pages a transaction: bounds the WAL */
#define CHECK_LINES "100"

/* ---- turns */

static uintptr_t this_thread(void)
{
    static _Thread_local char here;
    return (uintptr_t)&here;
}

bool ckv_file_is_mine(const ckv_file *f) { return atomic_load(&f->holder) == this_thread(); }

ckv_status ckv_file_ready(const ckv_file *f)
{
    if (!f) return CKV_ESTALE;
    return f->path && f->forks != ckv_fork_count() ? CKV_EFORKED : CKV_OK;
}

static ckv_status take_turn(ckv_file *f)
{
    CKV_TRY(ckv_file_ready(f));
    if (ckv_file_is_mine(f)) return CKV_ERANGE;
    CKV_MUST(pthread_mutex_lock(&f->turn) == 0);
    atomic_store(&f->holder, this_thread());
    f->failed = CKV_OK;
    return CKV_OK;
}

static void end_turn(ckv_file *f)
{
    atomic_store(&f->holder, 0);
    CKV_MUST(pthread_mutex_unlock(&f->turn) == 0);
}

static ckv_status execute(ckv_file *f, const char *sql)
{
    const int rc = sqlite3_exec(f->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? CKV_OK : ckv_file_judge(f, rc, sql);
}

static ckv_status perform(ckv_file *f, sqlite3_stmt *stmt)
{
    sqlite3_mutex *mutex = sqlite3_db_mutex(f->db);
    sqlite3_mutex_enter(mutex);
    const int rc = sqlite3_step(stmt);
    const ckv_status st = rc == SQLITE_DONE ? CKV_OK : ckv_file_judge(f, rc, sqlite3_sql(stmt));
    (void)sqlite3_reset(stmt);
    sqlite3_mutex_leave(mutex);
    return st;
}

void ckv_file_hold(ckv_file *f)
{
    if (f->holds || !f->hold || !sqlite3_get_autocommit(f->db)) return;
    f->holds = sqlite3_step(f->hold) == SQLITE_ROW;
    if (!f->holds) (void)sqlite3_reset(f->hold); /* the read itself will say what is wrong */
}

/* Under the mutex of db. */
static void let_go(ckv_file *f)
{
    if (f->holds) (void)sqlite3_reset(f->hold);
    f->holds = false;
}

static void let_go_alone(ckv_file *f)
{
    sqlite3_mutex *mutex = sqlite3_db_mutex(f->db);
    sqlite3_mutex_enter(mutex);
    let_go(f);
    sqlite3_mutex_leave(mutex);
}

/* In one piece: a read transaction of this connection would be in the way. */
static int checkpoint(ckv_file *f, int how)
{
    sqlite3_mutex *mutex = sqlite3_db_mutex(f->db);
    sqlite3_mutex_enter(mutex);
    let_go(f);
    const int rc = sqlite3_wal_checkpoint_v2(f->db, NULL, how, NULL, NULL);
    sqlite3_mutex_leave(mutex);
    return rc;
}

/* The first column of the first row. */
static ckv_status number(ckv_file *f, const char *sql, int64_t *out)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(f->db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) *out = sqlite3_column_int64(stmt, 0);
    const ckv_status st = rc == SQLITE_ROW ? CKV_OK : ckv_file_judge(f, rc, sql);
    (void)sqlite3_finalize(stmt);
    return st;
}

/* ---- opening and closing */

static int committed(void *ctx, sqlite3 *db, const char *name, int n_pages)
{
    (void)db, (void)name;
    ((ckv_file *)ctx)->wal_pages = n_pages;
    return SQLITE_OK;
}

static ckv_status prepare(ckv_file *f)
{
    static const char hold[] = "SELECT 1 FROM sqlite_schema";
    const unsigned lasts = SQLITE_PREPARE_PERSISTENT;
    int rc = sqlite3_prepare_v3(f->db, "BEGIN IMMEDIATE", -1, lasts, &f->begin, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_prepare_v3(f->db, "COMMIT", -1, lasts, &f->commit, NULL);
    if (rc == SQLITE_OK && f->path && f->mode == CKV_FILE_WRITE)
        rc = sqlite3_prepare_v3(f->db, hold, -1, lasts, &f->hold, NULL);
    return rc == SQLITE_OK ? CKV_OK : ckv_file_judge(f, rc, "opening");
}

static void end_statements(ckv_file *f)
{
    (void)sqlite3_finalize(f->begin);
    (void)sqlite3_finalize(f->commit);
    (void)sqlite3_finalize(f->hold);
}

static void release(ckv_file *f)
{
    const ckv_alloc a = f->a;
    ckv_lock_give(&f->lock_fd, f->lock_path);
    ckv_kin_drop(&f->kin);
    ckv_release(a, f->path, f->path_bytes);
    ckv_release(a, f->lock_path, f->lock_bytes);
    ckv_release(a, f, sizeof *f);
}

static ckv_status copy(ckv_alloc a, char **out, size_t *n_bytes, const char *text, const char *end)
{
    const size_t n = strlen(text), n_end = strlen(end) + 1;
    char *made = ckv_resize(a, NULL, 0, n + n_end);
    if (!made) return CKV_ENOMEM;
    memcpy(made, text, n);
    memcpy(made + n, end, n_end);
    *out = made;
    *n_bytes = n + n_end;
    return CKV_OK;
}

/* An inherited connection to the file at the path, in a forked process: fork.h. */
static ckv_status end_inherited(ckv_kin *kin, void *path)
{
    ckv_file *f = (ckv_file *)((char *)kin - offsetof(ckv_file, kin));
    struct stat there;
    if (!f->db || ckv_file_ready(f) == CKV_OK || stat(path, &there) != 0) return CKV_OK;
    if (f->device != (uint64_t)there.st_dev || f->inode != (uint64_t)there.st_ino) return CKV_OK;
    /* What another thread was doing when the process forked stays half done here for ever. */
    if (sqlite3_mutex_try(sqlite3_db_mutex(f->db)) != SQLITE_OK) return CKV_EFORKED;
    const bool writes = sqlite3_txn_state(f->db, NULL) == SQLITE_TXN_WRITE;
    if (!writes) {
        for (ckv_stmt *s = f->stmts; s; s = s->next) (void)sqlite3_finalize(s->stmt);
        end_statements(f);
        (void)sqlite3_db_config(f->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    sqlite3_mutex_leave(sqlite3_db_mutex(f->db));
    if (writes) return CKV_EFORKED;
    CKV_MUST(sqlite3_close(f->db) == SQLITE_OK);
    f->db = NULL;
    return CKV_OK;
}

static ckv_status open_path(ckv_file *f, const ckv_file_options *options, char why[256],
                            int64_t *holder_pid)
{
    char *whole;
    ckv_status st = ckv_open_resolve(options, &whole, why);
    if (st != CKV_OK) return st;
    st = copy(f->a, &f->path, &f->path_bytes, whole, "");
    if (st == CKV_OK && f->mode == CKV_FILE_WRITE) {
        st = copy(f->a, &f->lock_path, &f->lock_bytes, whole, ".lock");
        if (st == CKV_OK)
            st = ckv_open_look(f->path, options->vfs, why); /* not ours: no lock beside it */
        if (st == CKV_OK || st == CKV_ENOENT)
            st = ckv_open_lock(&f->lock_fd, f->lock_path, holder_pid, why);
    }
    free(whole);
    if (st == CKV_OK) st = ckv_kin_each(end_inherited, f->path);
    if (st == CKV_EFORKED)
        (void)snprintf(why, 256, "it was being written when this process was forked");
    if (st == CKV_OK) st = ckv_open_file(&f->db, f->path, options, why);
    struct stat there;
    if (st == CKV_OK && stat(f->path, &there) == 0) {
        f->device = (uint64_t)there.st_dev;
        f->inode = (uint64_t)there.st_ino;
    }
    return st;
}

ckv_status ckv_file_open(ckv_file **out, ckv_alloc a, const ckv_file_options *options,
                         char why[256], int64_t *holder_pid)
{
    char unread[256];
    int64_t nobody;
    if (!why) why = unread;
    if (!holder_pid) holder_pid = &nobody;
    why[0] = 0;
    *holder_pid = 0;
    ckv_file *f = ckv_resize(a, NULL, 0, sizeof *f);
    if (!f) return CKV_ENOMEM;
    *f = (ckv_file){.a = a,
                    .mode = options->mode,
                    .forks = ckv_fork_count(),
                    .lock_fd = -1,
                    .kin = {.lock_fd = &f->lock_fd}};
    ckv_kin_add(&f->kin); /* before it has a lock */
    const ckv_status st =
        options->path ? open_path(f, options, why, holder_pid) : ckv_open_memory(&f->db, why);
    if (st != CKV_OK) {
        release(f);
        return st;
    }
    CKV_MUST(pthread_mutex_init(&f->turn, NULL) == 0);
    (void)sqlite3_wal_hook(f->db, committed, f);
    const ckv_status prepared = prepare(f);
    if (prepared != CKV_OK) {
        (void)snprintf(why, 256, "%.255s", f->words);
        ckv_file_close(f);
        return prepared;
    }
    *out = f;
    return CKV_OK;
}

/* All into the file, and an empty WAL, which SQLite then removes. If that fails, or a reader needs the WAL, it stays and the next who opens the file reads it. */
static void settle(ckv_file *f)
{
    bool done = false;
    if (!atomic_load(&f->poisoned) && f->mode == CKV_FILE_WRITE) {
        (void)sqlite3_busy_timeout(f->db, 0);
        done = checkpoint(f, SQLITE_CHECKPOINT_TRUNCATE) == SQLITE_OK;
    }
    if (!done) (void)sqlite3_db_config(f->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

void ckv_file_close(ckv_file *f)
{
    if (!f) return;
    const bool ours = ckv_file_ready(f) == CKV_OK;
    for (ckv_stmt *s = f->stmts, *next; s; s = next) { /* freed later, by whoever has them */
        next = s->next;
        if (ours) (void)sqlite3_finalize(s->stmt);
        s->file = NULL;
    }
    if (ours) {
        ckv_file_rollback(f);
        if (f->path) settle(f);
        end_statements(f);
        CKV_MUST(sqlite3_close(f->db) == SQLITE_OK);
        (void)pthread_mutex_destroy(&f->turn);
        if (f->path && f->mode == CKV_FILE_READ) ckv_open_sweep(f->path, true);
    }
    release(f);
}

bool ckv_file_is_read_only(const ckv_file *f) { return f->mode == CKV_FILE_READ; }
bool ckv_file_is_poisoned(const ckv_file *f) { return atomic_load(&f->poisoned); }
const char *ckv_file_error(const ckv_file *f) { return f->words; }

void ckv_file_set_key(ckv_file *f, const ckv_id32 *key)
{
    f->has_key = key != NULL;
    if (key) f->key = *key;
}

const ckv_id32 *ckv_file_key(const ckv_file *f) { return f->has_key ? &f->key : NULL; }

/* ---- transactions */

static ckv_status may_write(const ckv_file *f)
{
    if (f->mode == CKV_FILE_READ) return CKV_ERANGE;
    return atomic_load(&f->poisoned) ? CKV_EDISK : CKV_OK;
}

static void undo(ckv_file *f)
{
    if (!sqlite3_get_autocommit(f->db)) /* else SQLite has rolled it back */
        (void)sqlite3_exec(f->db, "ROLLBACK", NULL, NULL, NULL);
}

static bool is_busy(int rc) { return (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED; }

/* What is in the WAL is durable already, so that a failure fails no commit. */
static void move_wal(ckv_file *f)
{
    if (!f->path || f->wal_pages < WAL_PAGES) return;
    const int rc = checkpoint(f, SQLITE_CHECKPOINT_PASSIVE);
    if (rc != SQLITE_OK && !is_busy(rc)) {
        const ckv_status st = ckv_file_judge(f, rc, CKV_FILE_CHECKPOINT);
        if (st == CKV_ECORRUPT) atomic_store(&f->poisoned, true);
    }
}

ckv_status ckv_file_begin(ckv_file *f)
{
    CKV_TRY(ckv_file_ready(f));
    CKV_TRY(may_write(f));
    CKV_TRY(take_turn(f));
    ckv_status st = may_write(f); /* while this thread waited */
    let_go_alone(f);
    if (st == CKV_OK) st = perform(f, f->begin);
    if (st != CKV_OK) end_turn(f);
    return st;
}

ckv_status ckv_file_commit(ckv_file *f)
{
    CKV_TRY(ckv_file_ready(f));
    if (!ckv_file_is_mine(f)) return CKV_ERANGE;
    ckv_status st = f->failed;
    if (st == CKV_OK) st = perform(f, f->commit);
    if (st == CKV_OK) {
        f->n_commits++;
        move_wal(f);
    } else {
        undo(f);
    }
    end_turn(f);
    return st;
}

void ckv_file_rollback(ckv_file *f)
{
    if (ckv_file_ready(f) != CKV_OK || !ckv_file_is_mine(f)) return;
    undo(f);
    end_turn(f);
}

bool ckv_file_in_transaction(const ckv_file *f)
{
    return ckv_file_ready(f) == CKV_OK && ckv_file_is_mine(f);
}

ckv_status ckv_file_refresh(ckv_file *f)
{
    CKV_TRY(ckv_file_ready(f));
    if (f->mode == CKV_FILE_WRITE) {
        let_go_alone(f); /* in case that a foreign tool has written */
        return CKV_OK;
    }
    CKV_TRY(take_turn(f));
    ckv_status st = execute(f, "COMMIT");
    if (st == CKV_OK) st = execute(f, CKV_OPEN_SNAPSHOT);
    end_turn(f);
    return st;
}

ckv_status ckv_file_version(ckv_file *f, int64_t *out)
{
    int64_t others = 0;
    CKV_TRY(ckv_file_ready(f));
    CKV_TRY(number(f, "PRAGMA data_version", &others));
    *out = others + f->n_commits;
    return CKV_OK;
}

/* ---- the whole */

/* All of the WAL into the file, and the file cut. A reader may be in the way: then later. */
static ckv_status empty_wal(ckv_file *f)
{
    CKV_TRY(take_turn(f));
    ckv_status st = may_write(f);
    if (st == CKV_OK) {
        const int rc = checkpoint(f, SQLITE_CHECKPOINT_TRUNCATE);
        if (rc != SQLITE_OK && !is_busy(rc)) st = ckv_file_judge(f, rc, CKV_FILE_CHECKPOINT);
    }
    end_turn(f);
    return st;
}

static ckv_status vacuum(ckv_file *f, uint32_t n_pages, int64_t *n_free)
{
    char sql[64];
    (void)snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%" PRIu32 ")", n_pages);
    CKV_TRY(ckv_file_begin(f));
    ckv_status st = execute(f, sql);
    if (st == CKV_OK) st = number(f, "PRAGMA freelist_count", n_free);
    if (st == CKV_OK) return ckv_file_commit(f);
    ckv_file_rollback(f);
    return st;
}

ckv_status ckv_file_shrink(ckv_file *f, uint32_t max_pages)
{
    CKV_TRY(ckv_file_ready(f));
    CKV_TRY(may_write(f));
    if (ckv_file_is_mine(f)) return CKV_ERANGE;
    uint32_t left = max_pages ? max_pages : UINT32_MAX;
    int64_t n_free = 0, before = INT64_MAX;
    CKV_TRY(number(f, "PRAGMA freelist_count", &n_free));
    while (n_free > 0 && n_free < before && left > 0) {
        const uint32_t n = left < SHRINK_STEP ? left : SHRINK_STEP;
        before = n_free;
        left -= n;
        CKV_TRY(vacuum(f, n, &n_free));
    }
    return f->path ? empty_wal(f) : CKV_OK;
}

ckv_status ckv_file_pack(ckv_file *f)
{
    CKV_TRY(ckv_file_ready(f));
    if (ckv_file_is_mine(f)) return CKV_ERANGE;
    CKV_TRY(take_turn(f));
    ckv_status st = may_write(f);
    if (st == CKV_OK) {
        sqlite3_mutex *mutex = sqlite3_db_mutex(f->db);
        sqlite3_mutex_enter(mutex);
        let_go(f);
        /* The copy is as long as the file will be: not in memory. */
        (void)sqlite3_exec(f->db, "PRAGMA temp_store = FILE", NULL, NULL, NULL);
        const int rc = sqlite3_exec(f->db, "VACUUM", NULL, NULL, NULL), why = rc & 0xff;
        if (rc == SQLITE_OK)
            f->n_commits++;
        else if (why != SQLITE_ERROR && why != SQLITE_FULL && !is_busy(rc)) /* those: later */
            st = ckv_file_judge(f, rc, "VACUUM");
        (void)sqlite3_exec(f->db, "PRAGMA temp_store = MEMORY", NULL, NULL, NULL);
        sqlite3_mutex_leave(mutex);
    }
    end_turn(f);
    return st == CKV_OK && f->path ? empty_wal(f) : st;
}

ckv_status ckv_file_backup(ckv_file *f, const char *path)
{
    CKV_TRY(take_turn(f)); /* nothing half done is copied */
    const ckv_status st = ckv_open_copy(f->db, path, f->words, sizeof f->words);
    end_turn(f);
    return st;
}

ckv_status ckv_file_check(ckv_file *f, void (*say)(void *ctx, const char *line), void *ctx)
{
    static const char sql[] = "PRAGMA integrity_check(" CHECK_LINES ")";
    CKV_TRY(ckv_file_ready(f));
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(f->db, sql, -1, &stmt, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(stmt);
        if (rc != SQLITE_ROW) break;
        const char *line = (const char *)sqlite3_column_text(stmt, 0);
        if (line && strcmp(line, "ok") != 0) say(ctx, line);
    }
    ckv_status st = rc == SQLITE_DONE ? CKV_OK : ckv_file_judge(f, rc, sql);
    (void)sqlite3_finalize(stmt);
    if (st == CKV_ECORRUPT) { /* so damaged that the check cannot go on: a finding, too */
        say(ctx, f->words);
        st = CKV_OK;
    }
    return st;
}

ckv_status ckv_file_bytes(ckv_file *f, uint64_t *bytes)
{
    int64_t n_pages = 0, page_bytes = 0;
    CKV_TRY(ckv_file_ready(f));
    CKV_TRY(number(f, "PRAGMA page_count", &n_pages));
    CKV_TRY(number(f, "PRAGMA page_size", &page_bytes));
    *bytes = (uint64_t)n_pages * (uint64_t)page_bytes;
    return CKV_OK;
}
