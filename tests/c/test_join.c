/* What is left of operations on one key, in lockstep with comparing all pairs: however they are dealt to lists and piles, and in whatever order these are joined. */
#include "warehouse.h"

#include "crypto/digest.h"

enum { REPLICAS = 9, STEPS = 120, MOST = 1000 };

typedef struct piece {
    uint8_t bytes[4096]; /* the records of one operation */
    size_t n_bytes;
} piece;

typedef struct bag {
    ckv_datastore *d;
    piece pieces[MOST];
    size_t n;
} bag;

static bag all;

/* Every operation of everybody on one key, or on one counter. */
static void fill_bag(ckv_datastore *d, bool counts)
{
    all.d = d;
    all.n = 0;
    for (uint32_t dag = 0; dag < ckv_datastore_n_dags(d); dag++) {
        for (uint32_t c = 0; c < ckv_doc_n_changes(ckv_datastore_dag(d, dag).doc); c++) {
            ckv_buf body = ckv_buf_init(ckv_alloc_libc), recs = ckv_buf_init(ckv_alloc_libc);
            ckv_kv_body b;
            ckv_kv_op op;
            const char *why;
            const ckv_status found = ckv_dag_body(ckv_ds_dag(d, dag), c, &body);
            if (found == CKV_ENOENT) continue; /* somebody dropped it */
            T_EQ(found, CKV_OK);
            T_EQ(ckv_kv_body_open(&b, body.ptr, body.len, &why), CKV_OK);
            for (uint32_t i = 0; ckv_kv_body_next(&b, &op); i++) {
                ckv_buf_clear(&recs);
                if (ckv_kv_is_count(op.kind) != counts) continue;
                T_EQ(ckv_ds_write_recs(d, &recs, dag, c, i, &op, 0), CKV_OK);
                if (recs.len == 0) continue;
                T_CHECK(all.n < MOST && recs.len <= sizeof all.pieces[0].bytes);
                memcpy(all.pieces[all.n].bytes, recs.ptr, recs.len);
                all.pieces[all.n++].n_bytes = recs.len;
            }
            ckv_buf_fini(&body);
            ckv_buf_fini(&recs);
        }
    }
}

/* ---- the slow way */

static uint32_t lane_of(const ckv_rec *r)
{
    return ckv_doc_standing(ckv_ds_dag(all.d, r->dag)->doc, r->change).lane;
}

static bool supersedes(const ckv_rec *x, const ckv_rec *y)
{
    ckv_doc *doc = ckv_ds_dag(all.d, x->dag)->doc;
    bool past;
    if (x->dag != y->dag || (x->kind == CKV_REC_NAME) != (y->kind == CKV_REC_NAME)) return false;
    if (x->kind == CKV_REC_NAME)
        return memcmp(x->target, y->target, 32) == 0 && x->target_index == y->target_index &&
               ckv_ds_order(all.d, x, y) > 0;
    if (ckv_rec_counts(x) && lane_of(x) != lane_of(y)) return false;
    if (x->change != y->change) {
        T_EQ(ckv_doc_is_past(doc, y->change, x->change, &past), CKV_OK);
        return past;
    }
    if (x->index != y->index) return x->index > y->index;
    if (x->kind != y->kind) return x->kind == CKV_REC_PART;
    return x->kind == CKV_REC_PART &&
           ckv_doc_order(doc, x->by_change, x->by_index, y->by_change, y->by_index) > 0;
}

static int ascending(const void *a, const void *b) { return ckv_rec_compare(a, b); }

static ckv_buf slowly(void)
{
    static ckv_rec recs[20000];
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    size_t n = 0;
    for (size_t i = 0; i < all.n; i++) {
        ckv_entry_rd rd =
            ckv_entry_rd_init((ckv_entry_bytes){all.pieces[i].bytes, all.pieces[i].n_bytes});
        while (ckv_entry_next(&rd, &recs[n])) T_CHECK(++n < 20000);
        T_EQ(rd.r.status, CKV_OK);
    }
    qsort(recs, n, sizeof *recs, ascending);
    for (size_t i = 0; i < n; i++) {
        bool stands = true;
        for (size_t k = 0; k < n && stands; k++) stands = !supersedes(&recs[k], &recs[i]);
        if (stands) ckv_entry_write(&out, &recs[i]);
    }
    T_EQ(out.status, CKV_OK);
    return out;
}

/* ---- joining */

static ckv_buf join(ckv_entry_bytes a, ckv_entry_bytes b)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_ds_join(all.d, a, b, &out), CKV_OK);
    return out;
}

static ckv_entry_bytes bytes_of(const ckv_buf *b) { return (ckv_entry_bytes){b->ptr, b->len}; }

/* Dealt to a few hands as they come, some as a pile; then the hands are joined. */
static ckv_buf in_some_order(void)
{
    enum { HANDS = 5 };
    ckv_buf hands[HANDS], piles[HANDS];
    for (int h = 0; h < HANDS; h++)
        hands[h] = ckv_buf_init(ckv_alloc_libc), piles[h] = ckv_buf_init(ckv_alloc_libc);
    for (size_t i = all.n; i > 1; i--) {
        const size_t k = t_below(i);
        static piece spare;
        spare = all.pieces[k];
        all.pieces[k] = all.pieces[i - 1];
        all.pieces[i - 1] = spare;
    }
    for (size_t i = 0; i < all.n; i++) {
        const uint64_t h = t_below(HANDS);
        for (uint64_t twice = t_one_in(9); twice < 2; twice++)
            ckv_buf_bytes(&piles[h], all.pieces[i].bytes, all.pieces[i].n_bytes);
        if (t_one_in(4)) continue;
        ckv_buf more = join(bytes_of(&hands[h]), bytes_of(&piles[h]));
        ckv_buf_fini(&hands[h]);
        ckv_buf_clear(&piles[h]);
        hands[h] = more;
    }
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    for (int h = 0; h < HANDS; h++) {
        ckv_buf whole = join(bytes_of(&hands[h]), bytes_of(&piles[h])),
                more = t_one_in(2) ? join(bytes_of(&out), bytes_of(&whole))
                                   : join(bytes_of(&whole), bytes_of(&out));
        ckv_buf_fini(&out);
        out = more;
        ckv_buf_fini(&whole);
        ckv_buf_fini(&hands[h]);
        ckv_buf_fini(&piles[h]);
    }
    return out;
}

static ckv_status act(ckv_datastore *d)
{
    const ckv_store_key key = w_key(1);
    uint32_t dag;
    CKV_TRY(w_dag(d, w_dags[t_below(2)], &dag));
    switch (t_below(6)) {
    case 0: return ckv_datastore_delete(d, dag, key, w_ms++);
    case 1:
    case 2: return ckv_datastore_count(d, key, (int64_t)t_below(9), w_ms++);
    default: {
        const ckv_value_bytes v = w_value(t_below(1000), t_below(9));
        return ckv_datastore_put(d, dag, key, v.ptr, v.n_bytes, w_ms++);
    }
    }
}

static void joining_is_comparing_all_pairs(void)
{
    ckv_compaction done;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        t_seed(seed);
        ckv_datastore *d[REPLICAS];
        for (uint8_t i = 0; i < REPLICAS; i++) d[i] = w_made((uint8_t)(1 + i % 6));
        for (int step = 0; step < STEPS; step++) {
            ckv_datastore *one = d[t_below(REPLICAS)], *other = d[t_below(REPLICAS)];
            for (uint64_t n = t_below(3); n; n--) T_EQ(act(one), CKV_OK);
            T_EQ(w_commit(one), CKV_OK);
            if (t_one_in(6)) ckv_datastore_leave_lanes(one);
            if (t_one_in(25))
                T_EQ(ckv_datastore_compact(one, true, w_ms++, &done), CKV_OK); /* PARTs */
            if (one != other && t_one_in(4)) T_EQ(w_send(one, other, ckv_alloc_libc, NULL), CKV_OK);
        }
        ckv_datastore *judge;
        T_EQ(w_new(&judge, ckv_alloc_libc, 7, true), CKV_OK);
        for (int round = 0; round < 2; round++)
            for (int i = 0; i < REPLICAS; i++)
                T_EQ(w_send(d[i], judge, ckv_alloc_libc, NULL), CKV_OK);
        T_EQ(ckv_datastore_absorb(judge), CKV_OK);
        for (int counts = 0; counts < 2; counts++) {
            fill_bag(judge, counts);
            T_CHECK(all.n > 10);
            ckv_buf want = slowly();
            T_CHECK(want.len > 0);
            for (int round = 0; round < 5; round++) {
                ckv_buf got = in_some_order();
                T_BYTES(got.ptr, got.len, want.ptr, want.len);
                ckv_buf_fini(&got);
            }
            ckv_buf_fini(&want);
        }
        for (int i = 0; i < REPLICAS; i++) ckv_datastore_free(d[i]);
        ckv_datastore_free(judge);
    }
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(joining_is_comparing_all_pairs);
    return t_done();
}
