/* kept.h -- what tests of documents and stores in a file share: a folder, the file, an object in it. */
#ifndef CKV_TEST_KEPT_H
#define CKV_TEST_KEPT_H

#include <unistd.h>

#include "disk/record.h"
#include "t.h"

static char k_dir[64];
static char k_path[96];
static const char *k_vfs T_UNUSED; /* NULL: SQLite's own */

static inline void k_shell(const char *what)
{
    char command[160];
    (void)snprintf(command, sizeof command, what, k_dir, k_dir);
    T_EQ(system(command), 0);
}

static inline void k_begin(void)
{
    T_CHECK(ckv_crypto_init());
    (void)snprintf(k_dir, sizeof k_dir, "/tmp/ckv_kept_%d", (int)getpid());
    (void)snprintf(k_path, sizeof k_path, "%s/a.db", k_dir);
}

static inline int k_end(void)
{
    k_shell("rm -rf %s");
    return t_done();
}

static inline void k_fresh(void) { k_shell("rm -rf %s; mkdir %s"); }

static inline ckv_status k_try(ckv_file **f, ckv_file_mode mode, ckv_sync sync, ckv_alloc a)
{
    char why[256];
    const ckv_file_options o = {.path = k_path, .mode = mode, .sync = sync, .vfs = k_vfs};
    *f = NULL;
    CKV_TRY(ckv_file_open(f, a, &o, why, NULL));
    ckv_id32 key;
    memset(&key, 0x5a, sizeof key);
    ckv_file_set_key(*f, &key);
    return CKV_OK;
}

static inline ckv_file *k_open(ckv_file_mode mode)
{
    ckv_file *f;
    T_EQ(k_try(&f, mode, CKV_SYNC_NORMAL, ckv_alloc_libc), CKV_OK);
    return f;
}

static inline ckv_status k_run(ckv_file *f, const char *sql)
{
    ckv_stmt *s;
    CKV_TRY(ckv_stmt_new(&s, f, sql));
    const ckv_status st = ckv_stmt_run(s);
    ckv_stmt_free(s);
    return st;
}

/* What a catalogue does for a new object: number 1. */
static inline ckv_status k_object(ckv_file *f)
{
    CKV_TRY(ckv_file_begin(f));
    const ckv_status s =
        k_run(f, "INSERT INTO record(object, kind, data) VALUES (1, 5, zeroblob(16))");
    if (s == CKV_OK) return ckv_file_commit(f);
    ckv_file_rollback(f);
    return s;
}

static inline ckv_file *k_new(void)
{
    k_fresh();
    ckv_file *f = k_open(CKV_FILE_WRITE);
    T_EQ(k_object(f), CKV_OK);
    return f;
}

#endif
