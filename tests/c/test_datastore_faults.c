/* A datastore whose device fails, at every call once: what was acknowledged is there after opening again, what was refused is not, and nothing lies in between. */
#define _GNU_SOURCE
#include "ledger.h"
#include "tape.h"

#include "crypto/digest.h"
#include "datastore/exchange.h"
#include "faulty_vfs.h"

#define ABSENT INT64_MIN
enum { N_KEYS = 8 };

static char path[64];

static ckv_status open_both(ckv_file **f, ckv_datastore **d)
{
    char why[256];
    const ckv_file_options options = {.path = path, .vfs = fv_register()};
    *f = NULL;
    *d = NULL;
    CKV_TRY(ckv_file_open(f, ckv_alloc_libc, &options, why, NULL));
    const ckv_status s = ledger_open(d, ckv_alloc_libc, 1, *f);
    if (s == CKV_OK) return s;
    ckv_file_close(*f);
    *f = NULL;
    return s;
}

/* What should be there. A commit that failed may not have happened; nothing else may. */
typedef struct expected {
    int64_t keys[N_KEYS], count;
} expected;

static bool is_clean(ckv_status s) { return s == CKV_EDISK || s == CKV_EFULL; }

/* Reading takes the device, too: while it is broken there may be no answer, but never a wrong one. */
static bool same(ckv_datastore *d, const expected *e)
{
    ckv_i128 total;
    ckv_value_bytes value;
    for (int i = 0; i < N_KEYS; i++) {
        const char key[2] = {(char)('a' + i), 0};
        const ckv_status s = ckv_datastore_get(d, ledger_key(key), &value);
        if (is_clean(s) && (fv.until_fail >= 0 || fv.n_failed)) return true;
        T_CHECK(s == CKV_OK || s == CKV_ENOENT);
        if ((s == CKV_OK ? ledger_int_of(value) : ABSENT) != e->keys[i]) return false;
    }
    const ckv_status s = ckv_datastore_total(d, ledger_key("n"), &total);
    if (is_clean(s) && (fv.until_fail >= 0 || fv.n_failed)) return true;
    T_EQ(s, CKV_OK);
    return total == e->count;
}

/* One step of a life; `after` is what is there if it went well. */
static ckv_status step(ckv_datastore *d, ckv_datastore *far, int n, expected *after)
{
    uint32_t other, dag, change;
    ckv_compaction c;
    ckv_batch *b = NULL;
    ckv_status s = CKV_OK;
    const ckv_value_bytes v = ledger_int(n);
    const int k = n % N_KEYS;
    const char key[2] = {(char)('a' + k), 0}, next[2] = {(char)('a' + (k + 1) % N_KEYS), 0};
    switch (n % 8) {
    case 0: /* a lone put, committed */
        CKV_TRY(ckv_datastore_put(d, 0, ledger_key(key), v.ptr, v.n_bytes, 1));
        after->keys[k] = n;
        return ledger_commit(d);
    case 1: /* a batch over two DAGs, and a count */
        CKV_TRY(ckv_datastore_find_dag(d, "other", 5, true, &other));
        CKV_TRY(ckv_batch_new(&b, d));
        s = ckv_batch_put(b, 0, ledger_key(key), v.ptr, v.n_bytes);
        if (s == CKV_OK) s = ckv_batch_put(b, other, ledger_key(next), v.ptr, v.n_bytes);
        if (s == CKV_OK) s = ckv_batch_count(b, ledger_key("n"), n);
        if (s == CKV_OK) s = ckv_batch_write(b, 1, NULL, 0, &dag, &change);
        ckv_batch_free(b);
        after->keys[k] = n;
        after->keys[(k + 1) % N_KEYS] = n;
        after->count += n;
        return s;
    case 2: return ckv_datastore_flush(d);
    case 3:
        CKV_TRY(ckv_datastore_delete(d, 0, ledger_key(key), 1));
        after->keys[k] = ABSENT;
        return ledger_commit(d);
    case 4: { /* somebody else's change comes in */
        ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
        ckv_report report;
        ckv_err err;
        ckv_report_init(&report, ckv_alloc_libc);
        s = ckv_doc_export(ckv_datastore_dag(d, 0).doc, NULL, 0, NULL, 0, &bundle);
        if (s != CKV_OK) { /* reading takes the device, too */
            ckv_report_fini(&report);
            ckv_buf_fini(&bundle);
            return s;
        }
        T_EQ(ckv_doc_apply(ckv_datastore_dag(far, 0).doc, bundle.ptr, bundle.len, &report, &err),
             CKV_OK);
        ckv_buf_clear(&bundle);
        T_EQ(ckv_datastore_put(far, 0, ledger_key(key), v.ptr, v.n_bytes, 1), CKV_OK);
        T_EQ(ledger_commit(far), CKV_OK);
        T_EQ(ckv_doc_export(ckv_datastore_dag(far, 0).doc, NULL, 0, NULL, 0, &bundle), CKV_OK);
        s = ckv_doc_apply(ckv_datastore_dag(d, 0).doc, bundle.ptr, bundle.len, &report, &err);
        ckv_report_fini(&report);
        ckv_buf_fini(&bundle);
        after->keys[k] = n; /* what `far` says again and again may be older than ours */
        return s;
    }
    case 5: return ckv_datastore_compact(d, n % 2, 1, &c);
    case 6:
        CKV_TRY(ckv_datastore_count(d, ledger_key("n"), -n, 1));
        after->count -= n;
        return ledger_commit(d);
    default: return ckv_datastore_repair(d);
    }
}

/* A life of `n` steps with call k failing. False: nothing failed any more. */
static bool live(int64_t k, fv_kind kind, bool stays, int n_steps)
{
    ckv_file *f;
    ckv_datastore *d, *far;
    expected now, before;
    fv_sweep(path);
    fv_plan(-1, FV_IOERR, false);
    T_EQ(ledger_open(&far, ckv_alloc_libc, 2, NULL), CKV_OK);
    T_EQ(open_both(&f, &d), CKV_OK);
    for (int i = 0; i < N_KEYS; i++) now.keys[i] = ABSENT;
    now.count = 0;
    fv_plan(k, kind, stays);
    ckv_status s = CKV_OK;
    before = now;
    for (int n = 0; n < n_steps && s == CKV_OK; n++) {
        before = now;
        s = step(d, far, n, &now);
        T_CHECK(s == CKV_OK || is_clean(s));
        if (s != CKV_OK) break;
        if (fv.n_failed == 0) T_CHECK(same(d, &now));
    }
    const bool failed = fv.n_failed > 0;
    if (s != CKV_OK) { /* what is shown is one of the two, in memory as in the file */
        fv_plan(-1, FV_IOERR, false);
        const bool is_before = same(d, &before);
        T_CHECK(is_before || same(d, &now));
        if (s == CKV_EFULL && !stays) { /* there is room again: it goes on */
            T_EQ(ledger_put(d, 0, "a", 999), CKV_OK);
            T_EQ(ledger_commit(d), CKV_OK);
            before.keys[0] = now.keys[0] = 999;
        } else if (s == CKV_EDISK) {
            ckv_status again = ledger_put(d, 0, "a", 999);
            if (again == CKV_OK) again = ledger_commit(d);
            T_EQ(again, CKV_EDISK); /* until it is opened again */
            T_CHECK(ckv_file_is_poisoned(f));
        }
    }
    fv_plan(-1, FV_IOERR, false);
    ckv_datastore_free(d);
    ckv_file_close(f);
    T_EQ(open_both(&f, &d), CKV_OK);
    T_CHECK(same(d, &now) || same(d, &before));
    ledger_check(d);
    ckv_datastore_free(d);
    ckv_file_close(f);
    ckv_datastore_free(far);
    fv_sweep(path);
    return failed;
}

/* Calls from one that fails to the next one that does. All, which takes 10 s, and 34 s under AddressSanitizer; it would be 64 s under ThreadSanitizer, so there it is every one of
 * the first steps, and then one of a few. */
static int64_t stride(int64_t k)
{
#ifdef __SANITIZE_THREAD__
    return k < 60 ? 1 : 1 + (int64_t)(t_rand() % 7);
#else
    (void)k;
    return 1;
#endif
}

static void every_call_fails_once(void)
{
    static const fv_kind kinds[] = {FV_IOERR, FV_FULL, FV_SHORT_FULL, FV_SHORT_IOERR};
    t_seed(9);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        for (int stays = 0; stays < 2; stays++) {
            int64_t k = 0;
            for (; live(k, kinds[i], stays, 26); k += stride(k)) {
            }
            T_CHECK(k > 60);
        }
    }
}

static void every_read_fails_once(void)
{
    t_seed(10);
    fv.reads = true;
    for (int stays = 0; stays < 2; stays++) {
        int64_t k = 0;
        for (; live(k, FV_IOERR, stays, 26); k += k < 60 ? 1 : 1 + (int64_t)(t_rand() % 17)) {
        }
        T_CHECK(k > 60);
    }
    fv.reads = false;
}

static ckv_status purge_other(ckv_datastore *d)
{
    uint32_t other;
    uint64_t n;
    CKV_TRY(ckv_datastore_find_dag(d, "other", 5, false, &other));
    return ckv_datastore_purge(d, other, &n);
}

/* A DAG that was purged stays so; else all of it is there. Either way the indexes say what the record says, though they are made anew after the COMMIT. */
static void a_purge_is_done_or_not(void)
{
    for (int reads = 0; reads < 2; reads++) {
        bool failed = true;
        int n_kept = 0;
        for (int64_t k = 0; failed; k++) {
            ckv_file *f;
            ckv_datastore *d;
            ckv_compaction c;
            uint32_t other;
            fv_sweep(path);
            fv_plan(-1, FV_IOERR, false);
            T_EQ(open_both(&f, &d), CKV_OK);
            T_EQ(ckv_datastore_find_dag(d, "other", 5, true, &other), CKV_OK);
            for (int i = 0; i < 4; i++) { /* each names what stands in the other DAG */
                T_EQ(ledger_put(d, i % 2 ? 0 : other, "k", i), CKV_OK);
                T_EQ(ledger_commit(d), CKV_OK);
            }
            T_EQ(ledger_put(d, other, "l", 9), CKV_OK);
            T_EQ(ledger_commit(d), CKV_OK);
            T_EQ(ckv_datastore_compact(d, false, 1, &c), CKV_OK);
            fv.reads = reads;
            fv_plan(k, FV_IOERR, false);
            const ckv_status s = purge_other(d);
            failed = fv.n_failed > 0;
            T_CHECK(s == CKV_OK || (failed && is_clean(s)));
            fv_plan(-1, FV_IOERR, false);
            T_EQ(ckv_datastore_dag(d, other).purged, s == CKV_OK);
            T_EQ(ledger_get(d, "k"), 3);
            T_EQ(ledger_get(d, "l"), s == CKV_OK ? INT64_MIN : 9);
            ledger_check(d);
            ckv_datastore_free(d);
            ckv_file_close(f);
            T_EQ(open_both(&f, &d), CKV_OK);
            const bool purged = ckv_datastore_dag(d, other).purged;
            T_CHECK(purged || s != CKV_OK); /* a COMMIT that failed may have reached the disk */
            T_EQ(ledger_get(d, "k"), 3);
            T_EQ(ledger_get(d, "l"), purged ? INT64_MIN : 9);
            ledger_check(d);
            n_kept += !purged;
            ckv_datastore_free(d);
            ckv_file_close(f);
        }
        T_CHECK(n_kept > 0);
    }
    fv.reads = false;
    fv_sweep(path);
}

/* Why the changes of a liar are void: one says it in its header, the other one on pages of its own. */
enum { N_VOID = 2, LONG = 100000 };

static void tell_lies(ckv_datastore *d)
{
    const ckv_dag_info dag = ckv_datastore_dag(d, 0);
    ckv_id32 id;
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    ckv_report report;
    ckv_err err;
    tape x;
    T_EQ(ckv_dag_id(d, dag.name, dag.name_bytes, &id), CKV_OK);
    tape_open(&x, 9, &id);
    for (int i = 0; i < N_VOID; i++) {
        ckv_buf body = ckv_buf_init(ckv_alloc_libc);
        ckv_buf_varint(&body, 0);
        ckv_buf_zigzag(&body, 5);
        ckv_buf_varint(&body, 1); /* a PUT without a key */
        ckv_buf_varint(&body, i ? LONG : 1);
        for (int k = 0; k < (i ? LONG : 1); k++) ckv_buf_u8(&body, 0xff);
        tape_write(&x, &body, 1);
        ckv_buf_fini(&body);
    }
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(ckv_doc_export(x.doc, NULL, 0, NULL, 0, &bundle), CKV_OK);
    T_EQ(ckv_doc_apply(dag.doc, bundle.ptr, bundle.len, &report, &err), CKV_OK);
    T_EQ(report.voided.len, N_VOID * 32);
    ckv_report_fini(&report);
    ckv_buf_fini(&bundle);
    tape_close(&x);
}

/* Whoever opens the file knows the reasons, or is told that it could not be read. */
static void reasons_are_read_or_missed(void)
{
    ckv_file *f;
    ckv_datastore *d;
    ckv_change_info info;
    const char *reasons[N_VOID];
    int n_opened = 0, n_missed = 0;
    fv_sweep(path);
    fv_plan(-1, FV_IOERR, false);
    T_EQ(open_both(&f, &d), CKV_OK);
    tell_lies(d);
    for (uint32_t i = 0; i < N_VOID; i++) {
        ckv_doc_change(ckv_datastore_dag(d, 0).doc, i, &info);
        T_CHECK((reasons[i] = info.void_reason) != NULL);
    }
    ckv_datastore_free(d);
    ckv_file_close(f);
    fv.reads = true;
    for (int64_t k = 0; n_opened < 3; k++) { /* those that come to its end without a fault */
        fv_plan(k, FV_IOERR, false);
        const ckv_status s = open_both(&f, &d);
        if (s != CKV_OK) {
            T_CHECK(is_clean(s));
            n_missed++;
            continue;
        }
        n_opened += fv.n_failed == 0;
        for (uint32_t i = 0; i < N_VOID; i++) {
            ckv_doc_change(ckv_datastore_dag(d, 0).doc, i, &info);
            T_CHECK(info.void_reason && strcmp(info.void_reason, reasons[i]) == 0);
        }
        ckv_datastore_free(d);
        ckv_file_close(f);
    }
    T_CHECK(n_missed > 10);
    fv.reads = false;
    fv_sweep(path);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    (void)snprintf(path, sizeof path, "%s/ckv-datastore-%d.db",
                   access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (int)getpid());
    T_RUN(every_call_fails_once);
    T_RUN(every_read_fails_once);
    T_RUN(reasons_are_read_or_missed);
    T_RUN(a_purge_is_done_or_not);
    return t_done();
}
