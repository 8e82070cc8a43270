/* Who is told of keys in lockstep with who looks: events go on from each other, and what they say in the end is what get() finds, whatever happens in between. */
#include "tape.h"
#include "warehouse.h"

#include "crypto/digest.h"

enum { REPLICAS = 4, STEPS = 900 };

typedef struct mirror { /* of one replica: what it was told that its keys show */
    ckv_datastore *d;
    ckv_buf values[W_KEYS]; /* empty: nothing */
} mirror;

static uint64_t number_of(ckv_store_key key)
{
    for (uint64_t i = 0; i < W_KEYS; i++)
        if (ckv_store_key_compare(key, w_key(i)) == 0) return i;
    t_fail(__FILE__, __LINE__, "a key that nobody put");
}

static void hear(mirror *m, uint64_t *n_heard)
{
    ckv_kv_event e;
    ckv_value_bytes value;
    T_EQ(ckv_datastore_absorb(m->d), CKV_OK);
    while (ckv_datastore_next_event(m->d, &e) == CKV_OK) {
        ckv_buf *known = &m->values[number_of(e.key)];
        T_BYTES(e.old.ptr, e.old.n_bytes, known->ptr, known->len);
        ckv_buf_clear(known);
        ckv_buf_bytes(known, e.new_.ptr, e.new_.n_bytes);
        ++*n_heard;
    }
    for (uint64_t i = 0; i < W_KEYS; i++) {
        const ckv_status s = ckv_datastore_get(m->d, w_key(i), &value);
        T_CHECK(s == CKV_OK || s == CKV_ENOENT);
        if (s == CKV_ENOENT) value = (ckv_value_bytes){NULL, 0};
        T_BYTES(m->values[i].ptr, m->values[i].len, value.ptr, value.n_bytes);
    }
    T_CHECK(!ckv_datastore_has_events(m->d));
}

static ckv_status purge(ckv_datastore *d)
{
    uint64_t n;
    uint32_t dag;
    if (w_dag(d, w_dags[t_below(W_DAGS)], &dag) != CKV_OK) return CKV_OK;
    CKV_TRY(ckv_datastore_purge(d, dag, &n));
    return ckv_datastore_admit(d, dag);
}

static ckv_status act(mirror *m, ckv_datastore *other)
{
    ckv_compaction done;
    ckv_datastore *d = m->d;
    const uint64_t what = t_below(20);
    if (what < 15) CKV_TRY(w_commit(d)); /* as whoever is outside does */
    switch (what) {
    case 0: ckv_datastore_leave_lanes(d); return CKV_OK;
    case 1: return ckv_datastore_compact(d, t_one_in(2), w_ms++, &done);
    case 2: return ckv_datastore_flush(d);
    case 3: return t_one_in(5) ? purge(d) : CKV_OK;
    case 4: return t_one_in(3) ? ckv_datastore_repair(d) : CKV_OK;
    case 5:
        ckv_datastore_watch(d, false); /* nobody: what happens is not told */
        CKV_TRY(w_commit(d));
        ckv_datastore_watch(d, true);
        return CKV_OK;
    case 6:
    case 7:
    case 8:
    case 9: return d == other ? CKV_OK : w_send(other, d, ckv_alloc_libc, NULL);
    case 10:
    case 11:
    case 12: return w_batch(d, W_DAGS);
    case 13:
    case 14: return CKV_OK;
    default: return w_edit(d, W_DAGS);
    }
}

static void what_is_told_is_what_shows(void)
{
    uint64_t n_heard = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        mirror m[REPLICAS];
        t_seed(seed);
        for (uint8_t i = 0; i < REPLICAS; i++) {
            m[i].d = w_made(1 + i % 3);
            for (int k = 0; k < W_KEYS; k++) m[i].values[k] = ckv_buf_init(ckv_alloc_libc);
            ckv_datastore_watch(m[i].d, true);
        }
        for (int step = 0; step < STEPS; step++) {
            mirror *one = &m[t_below(REPLICAS)], *other = &m[t_below(REPLICAS)];
            T_EQ(w_commit(other->d), CKV_OK);
            hear(other, &n_heard);
            T_EQ(act(one, other->d), CKV_OK);
            hear(one, &n_heard);
        }
        for (int i = 0; i < REPLICAS; i++) {
            for (int k = 0; k < W_KEYS; k++) ckv_buf_fini(&m[i].values[k]);
            ckv_datastore_free(m[i].d);
        }
    }
    T_CHECK(n_heard > 5000);
}

/* A body that comes after what supersedes it says nothing that shows. */
static void a_body_that_comes_late_is_not_told(void)
{
    ckv_datastore *d = w_made(1);
    const ckv_store_key key = w_key(5);
    ckv_value_bytes value;
    ckv_kv_event e;
    ckv_id32 id;
    tape x;
    T_EQ(ckv_dag_id(d, "default", 7, &id), CKV_OK);
    tape_open(&x, 9, &id);
    for (int i = 0; i < 3; i++) { /* a put, a put that supersedes it, a delete */
        ckv_buf body = ckv_buf_init(ckv_alloc_libc);
        ckv_kv_write_head(&body, &(ckv_body_head){.time = 5});
        ckv_kv_write_op(
            &body, &(ckv_kv_op){.kind = i < 2 ? CKV_KV_PUT : CKV_KV_DELETE,
                                .key = key,
                                .value = i < 2 ? w_value(1, 100) : (ckv_value_bytes){NULL, 0}});
        tape_write(&x, &body, 1);
        ckv_buf_fini(&body);
    }
    tape_leave_out(&x, 0);
    ckv_datastore_watch(d, true);
    for (int late = 0; late < 2; late++) {
        ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
        ckv_report report;
        ckv_err err;
        ckv_report_init(&report, ckv_alloc_libc);
        T_EQ(ckv_doc_export(x.doc, NULL, 0, NULL, 0, &bundle), CKV_OK);
        T_EQ(ckv_doc_apply(ckv_datastore_dag(d, 0).doc, bundle.ptr, bundle.len, &report, &err),
             CKV_OK);
        T_EQ(ckv_datastore_absorb(d), CKV_OK);
        for (int n = 0; ckv_datastore_next_event(d, &e) == CKV_OK; n++)
            T_CHECK(!late && n < 2 && (e.new_.ptr != NULL) == (n == 0));
        T_EQ(ckv_datastore_get(d, key, &value), CKV_ENOENT);
        T_EQ(ckv_dag_body(ckv_ds_dag(d, 0), 0, &d->scratch), late ? CKV_OK : CKV_ENOENT);
        x.changes.ptr[0].left_out = false;
        x.version++;
        ckv_report_fini(&report);
        ckv_buf_fini(&bundle);
    }
    tape_close(&x);
    ckv_datastore_free(d);
}

/* More keys than there are places. */
static void keys_do_not_meet(void)
{
    enum { N = 3 * CKV_SHOWN_SETS * CKV_WAYS };
    const uint8_t secret[16] = {7};
    ckv_shown_keys k = ckv_shown_init(ckv_alloc_libc, secret);
    uint32_t n_found = 0;
    for (uint32_t i = 0; i < N; i++) {
        const ckv_store_key key = {(const uint8_t *)&i, 4, i & 1};
        const ckv_rec rec = {.kind = CKV_REC_PUT, .change = i, .value = {(const uint8_t *)&i, 4}};
        T_CHECK(!ckv_shown_find(&k, key));
        ckv_shown_put(&k, key, i % 3 ? &rec : NULL, i % 2);
        T_CHECK(ckv_shown_find(&k, key) &&
                !ckv_shown_find(&k, (ckv_store_key){key.ptr, 4, !(i & 1)}));
    }
    for (uint32_t i = 0; i < N; i++) {
        const ckv_store_key key = {(const uint8_t *)&i, 4, i & 1};
        ckv_kept_shown *kept = ckv_shown_find(&k, key);
        if (!kept) continue;
        T_EQ(kept->has_names, i % 2);
        T_EQ(kept->winner.kind, i % 3 ? CKV_REC_PUT : 0);
        if (i % 3) T_BYTES(kept->winner.value.ptr, kept->winner.value.n_bytes, &i, 4);
        n_found++;
        ckv_shown_drop(&k, kept);
        T_CHECK(!ckv_shown_find(&k, key));
    }
    T_CHECK(n_found > N / 4 && n_found <= N / 3);
    ckv_shown_clear(&k);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(keys_do_not_meet);
    T_RUN(a_body_that_comes_late_is_not_told);
    T_RUN(what_is_told_is_what_shows);
    return t_done();
}
