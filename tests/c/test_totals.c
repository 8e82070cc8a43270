/* Totals that are kept in lockstep with sums: whatever happens, what total() says is what a walk over all counters adds up, which keeps nothing. */
#include "warehouse.h"

#include "crypto/digest.h"

enum { REPLICAS = 4, STEPS = 1500 };

static uint64_t left = UINT64_MAX; /* requests until there is no more memory */

static void *scarce(void *ctx, void *old, size_t old_size, size_t new_size)
{
    (void)ctx;
    if (new_size > old_size && left == 0) return NULL;
    left -= new_size > old_size && left != UINT64_MAX;
    return ckv_resize(ckv_alloc_libc, old, old_size, new_size);
}

static void is_as_summed(ckv_datastore *d)
{
    ckv_query *q;
    ckv_i128 want[W_COUNTERS] = {0}, total;
    ckv_store_key key;
    ckv_value_bytes value;
    ckv_status s;
    T_EQ(ckv_counters_new(&q, d, NULL, NULL, false), CKV_OK);
    while ((s = ckv_query_next(q, &key, &value)) == CKV_OK) {
        for (uint64_t i = 0; i < W_COUNTERS; i++)
            if (ckv_store_key_compare(key, w_counter(i)) == 0)
                memcpy(&want[i], value.ptr, sizeof want[i]);
    }
    T_EQ(s, CKV_ENOENT);
    ckv_query_free(q);
    for (uint64_t i = 0; i < W_COUNTERS; i++) {
        T_EQ(ckv_datastore_total(d, w_counter(i), &total), CKV_OK);
        T_BYTES(&total, sizeof total, &want[i], sizeof want[i]);
    }
}

static ckv_status count(ckv_datastore *d)
{
    return ckv_datastore_count(d, w_counter(t_below(W_COUNTERS)), (int64_t)t_below(99) - 40,
                               w_ms++);
}

static ckv_status batch(ckv_datastore *d)
{
    ckv_batch *b;
    uint32_t dag, change;
    CKV_TRY(ckv_batch_new(&b, d));
    ckv_status s = CKV_OK;
    for (uint64_t n = t_below(5); n && s == CKV_OK; n--)
        s = ckv_batch_count(b, w_counter(t_below(W_COUNTERS)), (int64_t)t_below(9));
    if (s == CKV_OK && !t_one_in(4)) s = ckv_batch_write(b, w_ms++, NULL, 0, &dag, &change);
    ckv_batch_free(b); /* or it is dropped */
    return s;
}

static ckv_status purge(ckv_datastore *d)
{
    uint64_t n;
    const ckv_status s = ckv_datastore_purge(d, 0, &n);
    left = UINT64_MAX;
    is_as_summed(d);
    if (s != CKV_OK) return s;
    return ckv_datastore_admit(d, 0);
}

static ckv_status act(ckv_datastore *d, ckv_datastore *other)
{
    ckv_compaction done;
    switch (t_below(24)) {
    case 0: ckv_datastore_leave_lanes(d); return CKV_OK;
    case 1: return ckv_datastore_compact(d, t_one_in(2), w_ms++, &done);
    case 2: return ckv_datastore_flush(d);
    case 3: return t_one_in(6) ? purge(d) : CKV_OK;
    case 4: return ckv_datastore_repair(d);
    case 5: return ckv_datastore_refresh(d);
    case 6:
    case 7:
    case 8: return d == other ? CKV_OK : w_send(other, d, d->env.alloc, NULL);
    case 9:
    case 10:
    case 11: return batch(d);
    case 12:
    case 13:
    case 14: return w_commit(d);
    default: return count(d);
    }
}

static void what_is_kept_is_the_sum(void)
{
    uint64_t refused = 0;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        t_seed(seed);
        ckv_datastore *d[REPLICAS];
        for (uint8_t i = 0; i < REPLICAS; i++) /* two of one author */
            T_EQ(w_new(&d[i], (ckv_alloc){scarce, NULL}, 1 + i / 2, i == 3), CKV_OK);
        for (int step = 0; step < STEPS; step++) {
            ckv_datastore *one = d[t_below(REPLICAS)], *other = d[t_below(REPLICAS)];
            T_EQ(w_commit(other), CKV_OK);
            left = t_one_in(5) ? t_below(60) : UINT64_MAX;
            const ckv_status s = act(one, other);
            refused += s == CKV_ENOMEM;
            T_CHECK(s == CKV_OK || s == CKV_ENOMEM || (s == CKV_ESTALE && left != UINT64_MAX));
            left = UINT64_MAX;
            T_EQ(ckv_datastore_admit(one, 0), CKV_OK); /* if memory ran out in between */
            is_as_summed(one);
        }
        for (int i = 0; i < REPLICAS; i++) ckv_datastore_free(d[i]);
    }
    T_CHECK(refused > 50);
}

/* More names than there are places, and names that share a set: what is found is of the very name. */
static void names_do_not_meet(void)
{
    enum { N = 3 * CKV_TOTALS_SETS * CKV_WAYS };
    const uint8_t secret[16] = {7};
    ckv_totals t = ckv_totals_init(ckv_alloc_libc, secret);
    uint32_t n_found = 0;
    for (uint32_t i = 0; i < N; i++) {
        const ckv_store_key name = {(const uint8_t *)&i, 4, i & 1};
        T_CHECK(!ckv_totals_find(&t, name, 1));
        ckv_totals_put(&t, name, (ckv_kept_total){.laying = 1, .total = i});
        T_EQ((uint32_t)ckv_totals_find(&t, name, 1)->total, i);
        T_CHECK(!ckv_totals_find(&t, name, 2)); /* the index was laid anew */
        T_CHECK(!ckv_totals_find(&t, (ckv_store_key){name.ptr, 4, !name.is_bytes}, 1));
    }
    for (uint32_t i = 0; i < N; i++) {
        const ckv_store_key name = {(const uint8_t *)&i, 4, i & 1};
        const ckv_kept_total *kept = ckv_totals_find(&t, name, 1);
        if (!kept) continue;
        T_EQ((uint32_t)kept->total, i);
        n_found++;
        ckv_totals_drop(&t, name);
        T_CHECK(!ckv_totals_find(&t, name, 1));
    }
    T_CHECK(n_found > N / 4 && n_found <= N / 3);
    ckv_totals_fini(&t);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(names_do_not_meet);
    T_RUN(what_is_kept_is_the_sum);
    return t_done();
}
