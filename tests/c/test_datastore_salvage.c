/* A datastore whose rows are damaged: it is named, what is left of it opens, and who has the rest brings it back; whatever fails meanwhile. */
#define _GNU_SOURCE
#include "ledger.h"

#include "crypto/digest.h"
#include "faulty_vfs.h"

enum { N = 12, N_DEAD = 20 };

static char path[64], harmed[80];

static ckv_status open_both(ckv_alloc a, bool salvage, ckv_file **f, ckv_datastore **d)
{
    static char why[256];
    const ckv_id32 id = {{1, 2, 3}};
    const ckv_identity identity = ledger_author(1);
    const ckv_env env = {a, ledger_random, NULL};
    const ckv_file_options file = {.path = path, .vfs = fv_register(), .sync = CKV_SYNC_NORMAL};
    ckv_datastore_options options = {
        .env = &env, .identity = &identity, .object = 1, .id = &id, .salvage = salvage};
    *d = NULL;
    CKV_TRY(ckv_file_open(f, a, &file, why, NULL));
    options.file = *f;
    const ckv_status s = ckv_datastore_open(d, &options, why);
    if (s == CKV_ECORRUPT) T_CHECK(strncmp(why, "table ", 6) == 0);
    if (s != CKV_OK) ckv_file_close(*f);
    return s;
}

static void close_both(ckv_file *f, ckv_datastore *d)
{
    ckv_datastore_free(d);
    ckv_file_close(f);
}

static ckv_id32 root_of(ckv_datastore *d)
{
    ckv_id32 root;
    T_EQ(ckv_doc_root(ckv_datastore_dag(d, 0).doc, &root), CKV_OK);
    return root;
}

/* A value over 48 bytes. */
static void put_long(ckv_datastore *d, const char *key, int what)
{
    uint8_t value[80] = {CKV_TAG_BYTES, 70};
    memset(value + 2, what, 70);
    T_EQ(ckv_datastore_put(d, 0, ledger_key(key), value, 72, 1000 + what), CKV_OK);
    T_EQ(ledger_commit(d), CKV_OK);
}

/* Changes in rows, changes in a sheaf and another DAG, and somebody else who has it all; then the harm is done. */
static ckv_datastore *make(const char *const *harm)
{
    ckv_file *f;
    ckv_datastore *d, *far;
    ckv_compaction c;
    uint32_t other;
    char key[16];
    t_seed(3);
    fv_sweep(path);
    T_EQ(open_both(ckv_alloc_libc, false, &f, &d), CKV_OK);
    T_EQ(ledger_open(&far, ckv_alloc_libc, 2, NULL), CKV_OK);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(key, sizeof key, "a%d", i);
        put_long(d, key, i);
    }
    for (int i = 0; i < N_DEAD; i++) put_long(d, "dead", i);
    for (int i = 0; i < N; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        put_long(d, key, i);
        T_EQ(ledger_put(d, 0, key + 1, i), CKV_OK);
        T_EQ(ledger_commit(d), CKV_OK);
    }
    T_EQ(ckv_datastore_find_dag(d, "other", 5, true, &other), CKV_OK);
    T_EQ(ledger_put(d, other, "o", 7), CKV_OK);
    T_EQ(ckv_datastore_count(d, ledger_key("n"), 5, 1), CKV_OK);
    ledger_pull(far, d);
    T_EQ(ckv_datastore_compact(d, false, 1, &c), CKV_OK);
    T_EQ(c.dropped, N_DEAD - 1);
    ckv_datastore_free(d);
    T_EQ(ckv_file_begin(f), CKV_OK);
    for (; *harm; harm++) {
        ckv_stmt *q;
        T_EQ(ckv_stmt_new(&q, f, *harm), CKV_OK);
        T_EQ(ckv_stmt_run(q), CKV_OK);
        ckv_stmt_free(q);
    }
    T_EQ(ckv_file_commit(f), CKV_OK);
    ckv_file_close(f);
    return far;
}

#define OF_ROWS "(SELECT min(id) + 27 FROM change WHERE id < 8589934592)"
static const char *const harms[][4] = {
    {"DELETE FROM change WHERE id = (SELECT max(id) FROM change WHERE id < 8589934592)"},
    {"DELETE FROM change WHERE id = " OF_ROWS},
    {"DELETE FROM change WHERE id >= " OF_ROWS " AND id < 8589934592"},
    {"UPDATE change SET header = zeroblob(length(header)) WHERE id = " OF_ROWS},
    {"UPDATE change SET id = id + 1000 WHERE id = " OF_ROWS},
    {"UPDATE change SET state = 9 WHERE id = " OF_ROWS},
    {"DELETE FROM change WHERE id = (SELECT min(id) + 1 FROM change)"}, /* before the sheaf */
    {"UPDATE sheaf SET data = substr(data, 1, length(data) - 1)"},
    {"UPDATE sheaf SET n = n - 1"},
    {"UPDATE sheaf SET last = last + 1"},
    {"UPDATE sheaf SET data = x''"},
    {"DELETE FROM sheaf"},
    {"UPDATE change SET body = zeroblob(length(body)) WHERE body IS NOT NULL AND id % 3 = 0"},
    {"UPDATE change SET body = zeroblob(length(body)) WHERE body IS NOT NULL", "DELETE FROM run"},
    {"DELETE FROM change WHERE id = " OF_ROWS, "DELETE FROM run",
     "UPDATE change SET body = zeroblob(3) WHERE body IS NOT NULL AND id % 5 = 0"},
};
enum { N_HARMS = sizeof harms / sizeof *harms };

/* All is there again, and in order. */
static void bring_back(ckv_datastore *d, ckv_datastore *far)
{
    ckv_i128 total;
    char key[16];
    ledger_pull(d, far);
    const ckv_id32 here = root_of(d), there = root_of(far);
    T_BYTES(here.b, 32, there.b, 32);
    for (int i = 0; i < N; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        T_EQ(ledger_get(d, key), i);
    }
    T_EQ(ledger_get(d, "o"), 7);
    T_EQ(ckv_datastore_total(d, ledger_key("n"), &total), CKV_OK);
    T_CHECK(total == 5);
    ledger_check(d);
}

static void what_is_left_opens(void)
{
    for (size_t i = 0; i < N_HARMS; i++) {
        ckv_file *f;
        ckv_datastore *d, *far = make(harms[i]);
        const bool is_noticed = !strstr(harms[i][0], "body") || harms[i][1];
        const ckv_status s = open_both(ckv_alloc_libc, false, &f, &d);
        T_EQ(s, is_noticed ? CKV_ECORRUPT : CKV_OK); /* a body is looked at when it is read */
        if (s == CKV_OK) close_both(f, d);
        T_EQ(open_both(ckv_alloc_libc, true, &f, &d), CKV_OK);
        const ckv_value_bytes lost = ckv_datastore_lost(d);
        T_CHECK(lost.n_bytes > 0 && lost.ptr[lost.n_bytes - 1] == '\n');
        T_CHECK(ckv_doc_n_changes(ckv_datastore_dag(d, 0).doc) <=
                ckv_doc_n_changes(ckv_datastore_dag(far, 0).doc));
        ledger_check(d);
        close_both(f, d);
        T_EQ(open_both(ckv_alloc_libc, false, &f, &d), CKV_OK); /* it is whole, as far as it goes */
        T_EQ(ckv_datastore_lost(d).n_bytes, 0);
        ledger_check(d);
        bring_back(d, far);
        close_both(f, d);
        ckv_datastore_free(far);
    }
    fv_sweep(path);
}

/* ---- what fails meanwhile */

static void copy(const char *from, const char *to)
{
    fv_image image = {0};
    fv_read(&image, from);
    fv_write_out(&image, to);
    free(image.ptr);
}

static ckv_status salvage(ckv_alloc a)
{
    ckv_file *f;
    ckv_datastore *d;
    fv_sweep(path);
    copy(harmed, path);
    const ckv_status s = open_both(a, true, &f, &d);
    if (s == CKV_OK) close_both(f, d);
    return s;
}

/* After each failure it can be done again, and nothing was lost by it. */
static void done_again(ckv_datastore *far)
{
    ckv_file *f;
    ckv_datastore *d;
    T_EQ(open_both(ckv_alloc_libc, true, &f, &d), CKV_OK);
    bring_back(d, far);
    close_both(f, d);
}

/* Each kind of harm: rows, a sheaf, bodies. */
static const size_t kinds[] = {3, 9, 12, 14};

static void no_memory_to_salvage_with(void)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        ckv_datastore *far = make(harms[kinds[i]]);
        copy(path, harmed);
        T_CHECK(t_oom(salvage) > 50);
        done_again(far);
        ckv_datastore_free(far);
    }
    fv_sweep(harmed);
    fv_sweep(path);
}

static void no_disk_to_salvage_on(void)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        ckv_datastore *far = make(harms[kinds[i]]);
        copy(path, harmed);
        for (int way = 0; way < 3; way++) {
            fv.reads = way == 2;
            for (int64_t k = 0;; k++) {
                fv_plan(k, way == 1 ? FV_SHORT_FULL : FV_IOERR, false);
                const ckv_status s = salvage(ckv_alloc_libc);
                const bool failed = fv.n_failed > 0;
                fv_plan(-1, FV_IOERR, false);
                T_CHECK(s == CKV_OK || (failed && (s == CKV_EDISK || s == CKV_EFULL)));
                if (k % 5 == 0) done_again(far);
                if (!failed) break;
            }
        }
        fv.reads = false;
        ckv_datastore_free(far);
    }
    fv_sweep(harmed);
    fv_sweep(path);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    (void)snprintf(path, sizeof path, "%s/ckv-salvage-%d.db",
                   access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (int)getpid());
    (void)snprintf(harmed, sizeof harmed, "%s-harmed", path);
    T_RUN(what_is_left_opens);
    T_RUN(no_memory_to_salvage_with);
    T_RUN(no_disk_to_salvage_on);
    return t_done();
}
