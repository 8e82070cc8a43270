/* Filters: what was added is never denied, other keys mostly are, also after halving. */
#include "t.h"

#include "crypto/digest.h"
#include "datastore/filter.h"

static const uint8_t salt[16] = {1, 2, 3};

static uint64_t hash_of(uint64_t i)
{
    uint8_t bytes[8];
    memcpy(bytes, &i, sizeof bytes);
    return ckv_filter_hash(salt, (ckv_store_key){bytes, sizeof bytes, true});
}

static double share_of_strangers(const ckv_filter *f)
{
    unsigned n = 0;
    for (uint64_t i = 0; i < 20000; i++)
        n += ckv_filter_may_have(f, hash_of(i + ((uint64_t)1 << 40)));
    return n / 20000.0;
}

static void filter_denies_strangers_only(void)
{
    static const uint64_t sizes[] = {0, 1, 51, 52, 1000, 50000};
    for (size_t k = 0; k < 6; k++) {
        ckv_filter f;
        T_EQ(ckv_filter_new(&f, ckv_alloc_libc, sizes[k]), CKV_OK);
        T_CHECK((uint64_t)f.n_lines * CKV_FILTER_LINE <= sizes[k] * 11 / 8 + 100);
        for (uint64_t i = 0; i < sizes[k]; i++) ckv_filter_add(&f, hash_of(i));
        for (uint64_t i = 0; i < sizes[k]; i++) T_CHECK(ckv_filter_may_have(&f, hash_of(i)));
        T_CHECK(share_of_strangers(&f) < 0.025);
        ckv_filter_free(&f, ckv_alloc_libc);
    }
}

static void halved_filter_denies_strangers_only(void)
{
    for (uint64_t n = 1; n < 40000; n = n * 3 + 1) {
        ckv_filter f;
        T_EQ(ckv_filter_new(&f, ckv_alloc_libc, 50000), CKV_OK);
        for (uint64_t i = 0; i < n; i++) ckv_filter_add(&f, hash_of(i));
        T_EQ(ckv_filter_fold(&f, ckv_alloc_libc, n), CKV_OK);
        T_CHECK((uint64_t)f.n_lines * CKV_FILTER_LINE <= n * 3 + 32 * CKV_FILTER_LINE);
        for (uint64_t i = 0; i < n; i++) T_CHECK(ckv_filter_may_have(&f, hash_of(i)));
        T_CHECK(share_of_strangers(&f) < 0.025);
        ckv_filter_free(&f, ckv_alloc_libc);
    }
}

static void types_of_keys_differ(void)
{
    const uint8_t byte = 'a';
    T_CHECK(ckv_filter_hash(salt, (ckv_store_key){&byte, 1, true}) !=
            ckv_filter_hash(salt, (ckv_store_key){&byte, 1, false}));
}

static void too_many_keys_are_said(void)
{
    ckv_filter f;
    T_EQ(ckv_filter_new(&f, ckv_alloc_libc, UINT64_MAX), CKV_ELIMIT);
    T_EQ(ckv_filter_new(&f, ckv_alloc_libc, (uint64_t)1 << 33), CKV_ELIMIT);
}

static ckv_status make_and_fold(ckv_alloc a)
{
    ckv_filter f;
    CKV_TRY(ckv_filter_new(&f, a, 10000));
    const ckv_status status = ckv_filter_fold(&f, a, 10);
    ckv_filter_free(&f, a);
    return status;
}

static void no_memory_is_said(void) { T_EQ(t_oom(make_and_fold), 2); }

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(filter_denies_strangers_only);
    T_RUN(halved_filter_denies_strangers_only);
    T_RUN(types_of_keys_differ);
    T_RUN(too_many_keys_are_said);
    T_RUN(no_memory_is_said);
    return t_done();
}
