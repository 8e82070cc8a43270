/* Headers of dropped changes in columns: many sheaves, filled at different times; memory and devices that fail while they are made; signatures that stay. */
#define _GNU_SOURCE
#include "ledger.h"

#include "crypto/digest.h"
#include "faulty_vfs.h"

#define ABSENT INT64_MIN

static char path[64];

static ckv_sync syncs = CKV_SYNC_NORMAL;

static ckv_status open_both(ckv_alloc a, ckv_file **f, ckv_datastore **d)
{
    char why[256];
    const ckv_file_options options = {.path = path, .vfs = fv_register(), .sync = syncs};
    *f = NULL;
    *d = NULL;
    CKV_TRY(ckv_file_open(f, a, &options, why, NULL));
    const ckv_status s = ledger_open(d, a, 1, *f);
    if (s == CKV_OK) return s;
    ckv_file_close(*f);
    *f = NULL;
    return s;
}

static void close_both(ckv_file *f, ckv_datastore *d)
{
    ckv_datastore_free(d);
    ckv_file_close(f);
}

static int64_t number_in(ckv_file *f, const char *sql)
{
    ckv_stmt *q;
    T_EQ(ckv_stmt_new(&q, f, sql), CKV_OK);
    T_EQ(ckv_stmt_step(q), CKV_OK);
    const int64_t n = ckv_stmt_int(q, 0);
    ckv_stmt_free(q);
    return n;
}

/* A value that is over 48 bytes; its first byte says what it is. */
static ckv_status put_long(ckv_datastore *d, uint32_t dag, const char *key, int what)
{
    uint8_t value[80] = {CKV_TAG_BYTES, 70};
    memset(value + 2, what, 70);
    return ckv_datastore_put(d, dag, ledger_key(key), value, 72, 1000 + what);
}

static int long_of(ckv_datastore *d, const char *key)
{
    ckv_value_bytes value;
    const ckv_status s = ckv_datastore_get(d, ledger_key(key), &value);
    T_CHECK(s == CKV_OK || s == CKV_ENOENT || s == CKV_ENOMEM || s == CKV_EDISK || s == CKV_EFULL);
    return s == CKV_OK ? value.ptr[2] : s == CKV_ENOENT ? -1 : -2;
}

static const char *name(uint32_t n)
{
    static char key[16];
    (void)snprintf(key, sizeof key, "key %u", n);
    return key;
}

/* ---- many */

/* Two writers in turns, of whom one is here; what dies dies here and there, at different times. */
static void sheaves_fill_and_mix(void)
{
    enum { KEYS = 60, ROUNDS = 6, STEPS = 1200 };
    ckv_file *f;
    ckv_datastore *d, *far;
    ckv_compaction c;
    t_seed(5);
    fv_sweep(path);
    T_EQ(ledger_open(&far, ckv_alloc_libc, 2, NULL), CKV_OK);
    T_EQ(open_both(ckv_alloc_libc, &f, &d), CKV_OK);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < STEPS; i++) {
            ckv_datastore *who = t_one_in(5) ? far : d;
            /* the first keys are written now and then only: their changes stand in rows for long, between others */
            const uint32_t key = (uint32_t)(t_one_in(9) ? t_below(KEYS) : KEYS - 1 - t_below(3));
            T_EQ(t_one_in(3) ? ledger_put(who, 0, name(key + KEYS), i)
                             : put_long(who, 0, name(key), i % 100),
                 CKV_OK);
            T_EQ(ledger_commit(who), CKV_OK);
            if (t_one_in(200)) ledger_pull(d, far);
            if (t_one_in(200)) ledger_pull(far, d);
        }
        ledger_pull(d, far);
        ledger_pull(far, d);
        ckv_id32 before, after;
        T_EQ(ckv_doc_root(ckv_datastore_dag(d, 0).doc, &before), CKV_OK);
        T_EQ(ckv_datastore_compact(d, false, 1, &c), CKV_OK);
        T_CHECK(c.dropped > 100);
        ledger_check(d);
        close_both(f, d);
        T_EQ(open_both(ckv_alloc_libc, &f, &d), CKV_OK);
        ledger_check(d);
        T_EQ(ckv_doc_root(ckv_datastore_dag(d, 0).doc, &after), CKV_OK);
        T_CHECK(ckv_id32_eq(&before, &after));
        for (uint32_t k = 0; k < KEYS; k++) T_EQ(long_of(d, name(k)), long_of(far, name(k)));
        /* all changes are in one place each, and nearly all of them in columns */
        const int64_t rows = number_in(f, "SELECT count(*) FROM change"),
                      packed = number_in(f, "SELECT sum(n) FROM sheaf"),
                      sheaves = number_in(f, "SELECT count(*) FROM sheaf");
        T_EQ(rows + packed, ckv_doc_n_changes(ckv_datastore_dag(d, 0).doc));
        T_CHECK(rows < 3 * KEYS && sheaves <= 1 + packed / 1000);
        T_EQ(number_in(f, "SELECT count(*) FROM sheaf a JOIN sheaf b ON a.id < b.id AND "
                          "a.id / 4294967296 * 4294967296 + a.last >= b.id"),
             0);
    }
    ckv_datastore *newcomer;
    T_EQ(ledger_open(&newcomer, ckv_alloc_libc, 3, NULL), CKV_OK);
    ledger_pull(newcomer, d);
    ledger_check(newcomer);
    for (uint32_t k = 0; k < KEYS; k++) T_EQ(long_of(newcomer, name(k)), long_of(far, name(k)));
    ckv_datastore_free(newcomer);
    ckv_datastore_free(far);
    close_both(f, d);
    fv_sweep(path);
}

static uint64_t signatures_of(const ckv_datastore *d)
{
    ckv_stats s;
    T_EQ(ckv_doc_stats(ckv_datastore_dag(d, 0).doc, &s), CKV_OK);
    return s.signatures;
}

/* One in sixteen, and the last; not of a lane that forked, whose proofs are to stay short. */
static void signatures_that_others_cover_go(void)
{
    enum { N = 200 };
    ckv_file *f;
    ckv_datastore *d;
    ckv_compaction c;
    t_seed(6);
    fv_sweep(path);
    T_EQ(open_both(ckv_alloc_libc, &f, &d), CKV_OK);
    for (int i = 0; i < N; i++) {
        T_EQ(put_long(d, 0, "k", i), CKV_OK);
        T_EQ(ledger_commit(d), CKV_OK);
    }
    T_EQ(signatures_of(d), N);
    T_EQ(ckv_datastore_compact(d, false, 1, &c), CKV_OK);
    T_EQ(c.dropped, N - 1);
    const uint64_t left = signatures_of(d);
    T_CHECK(left >= N / 16 && left <= N / 16 + 3);
    ledger_check(d); /* every change is covered */
    close_both(f, d);
    T_EQ(open_both(ckv_alloc_libc, &f, &d), CKV_OK);
    T_EQ(signatures_of(d), left);
    ledger_check(d);
    close_both(f, d);
    fv_sweep(path);
}

/* Bodies of 100 KiB: no more of them stand under one signature than a reader takes. */
static void signatures_of_long_bodies_stay(void)
{
    enum { N = 40, BYTES = 100 << 10 };
    ckv_datastore *d, *newcomer;
    ckv_compaction c;
    uint8_t *value = calloc(1, BYTES + 8);
    t_seed(7);
    T_CHECK(value);
    value[0] = CKV_TAG_BYTES;
    const size_t head = 1 + ckv_varint_put(value + 1, BYTES);
    T_EQ(ledger_open(&d, ckv_alloc_libc, 1, NULL), CKV_OK);
    for (int i = 0; i < N; i++) {
        value[head] = (uint8_t)i;
        T_EQ(ckv_datastore_put(d, 0, ledger_key("k"), value, head + BYTES, 1), CKV_OK);
        T_EQ(ledger_commit(d), CKV_OK);
    }
    T_EQ(ckv_datastore_compact(d, false, 1, &c), CKV_OK);
    T_EQ(c.dropped, N - 1);
    T_CHECK(signatures_of(d) >= N / 2 && signatures_of(d) < N);
    T_EQ(ledger_open(&newcomer, ckv_alloc_libc, 2, NULL), CKV_OK);
    ledger_pull(newcomer, d);
    T_EQ(ckv_doc_n_changes(ckv_datastore_dag(newcomer, 0).doc), N);
    ledger_check(newcomer);
    ckv_datastore_free(newcomer);
    ckv_datastore_free(d);
    free(value);
}

/* ---- what fails */

enum { LIFE = 12 };

/* Two compactions, of which the second takes apart what the first one made. *shown: what `k` must show, at least as far as it came. */
static ckv_status life(ckv_datastore *d, int *shown)
{
    ckv_compaction c;
    uint32_t other;
    *shown = -1;
    CKV_TRY(ckv_datastore_find_dag(d, "other", 5, true, &other));
    for (int i = 0; i < LIFE; i++) {
        CKV_TRY(put_long(d, i % 4 == 3 ? other : 0, "k", i));
        CKV_TRY(put_long(d, 0, "l", i));
        CKV_TRY(ledger_put(d, 0, "m", i));
        CKV_TRY(ledger_commit(d));
        *shown = i;
        if (fv.records) fv_mark(i);
        if (i == 6 || i == 11) CKV_TRY(ckv_datastore_compact(d, false, 1, &c));
    }
    return CKV_OK;
}

static bool is_clean(ckv_status s) { return s == CKV_EDISK || s == CKV_EFULL || s == CKV_ENOMEM; }

/* Whatever failed: what was acknowledged is there, all of it holds, and compaction can be done again. */
static void is_whole(int shown, bool was_ok)
{
    ckv_file *f;
    ckv_datastore *d;
    ckv_compaction c;
    T_EQ(open_both(ckv_alloc_libc, &f, &d), CKV_OK);
    ledger_check(d);
    const int now = long_of(d, "k");
    T_CHECK(now == shown ||
            (!was_ok && now == shown + 1)); /* the one that failed may have come through */
    T_EQ(ckv_datastore_compact(d, false, 1, &c), CKV_OK);
    ledger_check(d);
    T_EQ(long_of(d, "k"), now);
    close_both(f, d);
}

static bool fails_at(int64_t k, fv_kind kind, bool stays)
{
    ckv_file *f;
    ckv_datastore *d;
    int shown;
    fv_sweep(path);
    fv_plan(-1, FV_IOERR, false);
    T_EQ(open_both(ckv_alloc_libc, &f, &d), CKV_OK);
    fv_plan(k, kind, stays);
    const ckv_status s = life(d, &shown);
    T_CHECK(s == CKV_OK || is_clean(s));
    const bool failed = fv.n_failed > 0;
    fv_plan(-1, FV_IOERR, false);
    if (failed) ledger_check(d); /* as it stands in memory, too */
    close_both(f, d);
    is_whole(shown, s == CKV_OK);
    fv_sweep(path);
    return failed;
}

static void every_call_of_the_device_fails_once(void)
{
    static const fv_kind kinds[] = {FV_IOERR, FV_FULL, FV_SHORT_IOERR};
    t_seed(8);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        for (int stays = 0; stays < 2; stays++) {
            int64_t k = 0;
            while (fails_at(k, kinds[i], stays)) k += 1 + (int64_t)t_below(3);
            T_CHECK(k > 50);
        }
    }
}

static void every_allocation_fails_once(void)
{
    t_seed(9);
    for (int stay = 0; stay < 2; stay++) {
        for (int64_t n = 0;; n += n < 2000 ? 1 : 7) {
            t_faulty a = {.until_fail = -1};
            ckv_file *f;
            ckv_datastore *d;
            int shown = -1;
            fv_sweep(path);
            T_EQ(open_both((ckv_alloc){t_faulty_fn, &a}, &f, &d), CKV_OK);
            a.until_fail = n;
            a.stay_broken = stay;
            const ckv_status s = life(d, &shown);
            T_CHECK(s == CKV_OK || s == CKV_ENOMEM);
            const bool failed = a.until_fail < (stay ? 1 : 0);
            a.until_fail = -1;
            a.stay_broken = false;
            ledger_check(d);
            close_both(f, d);
            T_EQ(a.live_bytes, 0);
            is_whole(shown, s == CKV_OK);
            if (failed) continue;
            T_EQ(s, CKV_OK);
            T_CHECK(n > 300);
            break;
        }
    }
    fv_sweep(path);
}

/* Before each event of the device: what was acknowledged by then is there, and all of it holds. */
static void the_power_fails(void)
{
    char base[96];
    fv_image image;
    ckv_file *f;
    ckv_datastore *d;
    int shown, acknowledged = -1;
    t_seed(10);
    fv_sweep(path);
    syncs = CKV_SYNC_FULL;
    T_EQ(open_both(ckv_alloc_libc, &f, &d), CKV_OK);
    close_both(f, d);
    (void)snprintf(base, sizeof base, "%s-base", path);
    T_EQ(rename(path, base), 0);
    fv_read(&image, base);
    fv_write_out(&image, path);
    free(image.ptr);
    fv_record(true);
    T_EQ(open_both(ckv_alloc_libc, &f, &d), CKV_OK);
    T_EQ(life(d, &shown), CKV_OK);
    close_both(f, d);
    fv.records = false;
    fv_sweep(path);
    path[strlen(path) - 1] = 'x'; /* another file */
    size_t packed = 0;
    for (size_t at = 0; at <= fv.n_events; at++) {
        if (at && fv.events[at - 1].what == FV_MARK) acknowledged = fv.events[at - 1].which;
        for (int times = 0; times < 2; times++) {
            fv_crash(at, times ? t_rand : NULL, base, path);
            T_EQ(open_both(ckv_alloc_libc, &f, &d), CKV_OK);
            ledger_check(d);
            const int now = long_of(d, "k");
            T_CHECK(now == acknowledged || now == acknowledged + 1);
            packed += number_in(f, "SELECT count(*) FROM sheaf") > 0;
            close_both(f, d);
            fv_sweep(path);
        }
    }
    T_EQ(acknowledged, LIFE - 1);
    T_CHECK(packed > 20);
    fv_record(true);
    fv.records = false;
    (void)remove(base);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    (void)snprintf(path, sizeof path, "%s/ckv-sheaves-%d.db",
                   access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (int)getpid());
    T_RUN(sheaves_fill_and_mix);
    T_RUN(signatures_that_others_cover_go);
    T_RUN(signatures_of_long_bodies_stay);
    T_RUN(every_call_of_the_device_fails_once);
    T_RUN(every_allocation_fails_once);
    T_RUN(the_power_fails);
    return t_done();
}
