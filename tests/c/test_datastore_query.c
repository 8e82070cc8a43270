/* Reading while one writes: queries between bounds, in both directions, over what is open, in memory and in runs, in lockstep with a list; and all that is erased. */
#include "by_hand.h"
#include "ledger.h"

#include "crypto/digest.h"

#define ABSENT INT64_MIN
enum { N = 40 };

typedef struct twin {
    int64_t value[N], count[N];
} twin;

static ckv_store_key key_of(int n)
{
    static char keys[N][4];
    (void)snprintf(keys[n], sizeof keys[n], "%02d", n);
    return (ckv_store_key){(const uint8_t *)keys[n], n ? 2 : 0, false}; /* the first one is empty */
}

static ckv_status write_one(ckv_datastore *d, twin *t)
{
    const int n = (int)t_below(N);
    const int64_t x = (int64_t)t_below(1000);
    const ckv_value_bytes v = ledger_int(x);
    ckv_compaction c;
    switch (t_below(24)) {
    case 0: return ledger_commit(d);
    case 1: return ckv_datastore_flush(d);
    case 2: CKV_TRY(ledger_commit(d)); return ckv_datastore_compact(d, t_one_in(4), 1, &c);
    case 3:
    case 4:
    case 5:
    case 6:
        CKV_TRY(ckv_datastore_delete(d, 0, key_of(n), 1));
        t->value[n] = ABSENT;
        return CKV_OK;
    case 7:
    case 8:
    case 9:
        CKV_TRY(ckv_datastore_count(d, key_of(n), x, 1));
        t->count[n] += x;
        return CKV_OK;
    default:
        CKV_TRY(ckv_datastore_put(d, 0, key_of(n), v.ptr, v.n_bytes, 1));
        t->value[n] = x;
        return CKV_OK;
    }
}

/* What shows of a key: a put and its value, newest first; a write that is open has no change yet. */
static ckv_status look(ckv_datastore *d, const twin *t, int n)
{
    const ckv_shown_ops *ops;
    ckv_i128 total;
    ckv_buf parts = ckv_buf_init(ckv_datastore_allocator(d));
    ckv_status s = ckv_datastore_conflicts(d, key_of(n), &ops);
    if (s == CKV_OK || s == CKV_ENOENT) {
        const size_t n_values = s == CKV_OK ? ops->len : 0;
        T_EQ(n_values, t->value[n] != ABSENT);
        if (n_values) T_EQ(ledger_int_of(ops->ptr[0].value), t->value[n]);
        s = ckv_datastore_history(d, key_of(n), &ops);
    }
    if (s == CKV_OK && ops->len) {
        T_EQ(ops->ptr[0].is_put, t->value[n] != ABSENT);
        if (ops->ptr[0].is_put) T_EQ(ledger_int_of(ops->ptr[0].value), t->value[n]);
        for (size_t i = 1; i < ops->len; i++)
            T_CHECK(ops->ptr[i].change != CKV_NO_CHANGE || ops->ptr[i - 1].change == CKV_NO_CHANGE);
    }
    if (s == CKV_OK || s == CKV_ENOENT) s = ckv_datastore_total(d, key_of(n), &total);
    if (s == CKV_OK) {
        T_CHECK(total == t->count[n]);
        s = ckv_datastore_by_author(d, key_of(n), &parts);
    }
    if (s == CKV_OK) T_CHECK(parts.len <= sizeof(ckv_part_total));
    ckv_buf_fini(&parts);
    return s;
}

/* A query, with writes in between: each step is the next key that is there by then. */
static ckv_status walk(ckv_datastore *d, twin *t, bool counters)
{
    const int lo = (int)t_below(N), hi = (int)t_below(N);
    const bool has_lo = t_one_in(2), has_hi = t_one_in(2), reverse = t_one_in(2);
    const ckv_store_key from = key_of(lo), to = key_of(hi);
    const int first = has_lo ? lo : 0, end = has_hi ? hi : N;
    int at = reverse ? end : first - 1;
    ckv_query *q;
    ckv_store_key key;
    ckv_value_bytes value;
    CKV_TRY((counters ? ckv_counters_new : ckv_query_new)(&q, d, has_lo ? &from : NULL,
                                                          has_hi ? &to : NULL, reverse));
    ckv_status s = CKV_OK;
    while (s == CKV_OK) {
        if (t_one_in(5)) s = write_one(d, t);
        if (s != CKV_OK) break;
        const int64_t *is = counters ? t->count : t->value, none = counters ? 0 : ABSENT;
        do at += reverse ? -1 : 1;
        while (at >= first && at < end && is[at] == none);
        s = ckv_query_next(q, &key, &value);
        if (s == CKV_ENOMEM) break;
        T_EQ(s == CKV_OK, at >= first && at < end);
        if (s != CKV_OK) break;
        T_BYTES(key.ptr, key.n_bytes, key_of(at).ptr, key_of(at).n_bytes);
        if (!counters) T_EQ(ledger_int_of(value), is[at]);
    }
    ckv_query_free(q);
    return s == CKV_ENOENT ? CKV_OK : s;
}

static ckv_status live(ckv_alloc a, int steps)
{
    ckv_datastore *d;
    twin t;
    uint64_t len, n = 0;
    ckv_datastore_stats figures;
    for (int i = 0; i < N; i++) t.value[i] = ABSENT, t.count[i] = 0;
    CKV_TRY(ledger_open(&d, a, 1, NULL));
    ckv_status s = CKV_OK;
    for (int i = 0; i < steps && s == CKV_OK; i++) {
        for (uint64_t k = t_below(12); k && s == CKV_OK; k--) s = write_one(d, &t);
        if (s == CKV_OK) s = look(d, &t, (int)t_below(N));
        if (s == CKV_OK) s = walk(d, &t, t_one_in(4));
    }
    if (s == CKV_OK) s = ckv_datastore_len(d, &len);
    if (s == CKV_OK) s = ckv_datastore_figures(d, &figures);
    if (s == CKV_OK) {
        for (int i = 0; i < N; i++) n += t.value[i] != ABSENT;
        T_EQ(len, n);
        T_CHECK(figures.dags == 1 && figures.ops >= n);
        s = ckv_datastore_erase(d);
    }
    ckv_datastore_free(d);
    return s;
}

static void queries_run_in_lockstep_with_a_list(void)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        t_seed(seed);
        T_EQ(live(ckv_alloc_libc, 120), CKV_OK);
    }
}

static ckv_status short_life(ckv_alloc a)
{
    t_seed(5);
    return live(a, 8);
}

static void survive_every_failure(void) { T_CHECK(h_oom(short_life) > 100); }

/* Not a row is left of it; one that is opened at its place is a new one. */
static void what_is_erased_is_gone(void)
{
    char why[256];
    ckv_file *f;
    ckv_datastore *d;
    uint32_t other;
    const ckv_file_options options = {.path = NULL};
    t_seed(1);
    T_EQ(ckv_file_open(&f, ckv_alloc_libc, &options, why, NULL), CKV_OK);
    T_EQ(ledger_open(&d, ckv_alloc_libc, 1, f), CKV_OK);
    T_EQ(ckv_datastore_find_dag(d, "other", 5, true, &other), CKV_OK);
    for (uint32_t dag = 0; dag < 2; dag++) {
        T_EQ(ledger_put(d, dag, "k", 1), CKV_OK);
        T_EQ(ledger_commit(d), CKV_OK);
    }
    T_EQ(ckv_datastore_flush(d), CKV_OK);
    T_EQ(ckv_datastore_erase(d), CKV_OK);
    ckv_datastore_free(d);
    T_EQ(ledger_open(&d, ckv_alloc_libc, 1, f), CKV_OK);
    T_EQ(ckv_datastore_n_dags(d), 1);
    T_EQ(ckv_doc_n_changes(ckv_datastore_dag(d, 0).doc), 0);
    T_EQ(ledger_get(d, "k"), ABSENT);
    ledger_check(d);
    ckv_datastore_free(d);
    ckv_file_close(f);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(queries_run_in_lockstep_with_a_list);
    T_RUN(survive_every_failure);
    T_RUN(what_is_erased_is_gone);
    return t_done();
}
