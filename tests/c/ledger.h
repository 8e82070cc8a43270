/* ledger.h -- datastores for tests: short keys, values that are ints, in memory or in a file. */
#ifndef CKV_TEST_LEDGER_H
#define CKV_TEST_LEDGER_H

#include "t.h"

#include <unistd.h>

#include "datastore/datastore.h"
#include "log/value.h"

static inline void ledger_random(void *ctx, uint8_t *out, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) out[i] = (uint8_t)t_rand();
}

static inline ckv_identity ledger_author(uint8_t number)
{
    uint8_t seed[32] = {number};
    ckv_identity identity;
    ckv_identity_from_seed(&identity, seed);
    return identity;
}

static inline ckv_status ledger_open(ckv_datastore **out, ckv_alloc a, uint8_t author,
                                     ckv_file *file)
{
    static const ckv_id32 id = {{1, 2, 3}};
    const ckv_identity identity = ledger_author(author);
    const ckv_env env = {a, ledger_random, NULL};
    char why[256];
    const ckv_datastore_options options = {
        .env = &env, .identity = &identity, .file = file, .object = 1, .id = &id};
    return ckv_datastore_open(out, &options, why);
}

static inline ckv_store_key ledger_key(const char *text)
{
    return (ckv_store_key){(const uint8_t *)text, (uint32_t)strlen(text), false};
}

/* The bytes of an int, in a place that lasts till the next call. */
static inline ckv_value_bytes ledger_int(int64_t value)
{
    static uint8_t room[16];
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    ckv_value_write(&b, &(ckv_value){.tag = CKV_TAG_INT, .i64 = value});
    memcpy(room, b.ptr, b.len);
    const ckv_value_bytes out = {room, b.len};
    ckv_buf_fini(&b);
    return out;
}

static inline int64_t ledger_int_of(ckv_value_bytes value)
{
    ckv_rd r = ckv_rd_init(value.ptr, value.n_bytes);
    ckv_value v;
    ckv_value_read(&r, &v);
    T_CHECK(ckv_rd_done(&r) && v.tag == CKV_TAG_INT);
    return v.i64;
}

static inline ckv_status ledger_put(ckv_datastore *d, uint32_t dag, const char *key, int64_t value)
{
    const ckv_value_bytes v = ledger_int(value);
    return ckv_datastore_put(d, dag, ledger_key(key), v.ptr, v.n_bytes, 1000);
}

/* INT64_MIN: absent */
static inline int64_t ledger_get(ckv_datastore *d, const char *key)
{
    ckv_value_bytes value;
    const ckv_status s = ckv_datastore_get(d, ledger_key(key), &value);
    T_CHECK(s == CKV_OK || s == CKV_ENOENT ||
            (fprintf(stderr, "status %d %s\n", s, ckv_datastore_error(d)), false));
    return s == CKV_OK ? ledger_int_of(value) : INT64_MIN;
}

static inline ckv_status ledger_commit(ckv_datastore *d)
{
    uint32_t dag, change;
    return ckv_datastore_commit(d, 1000, NULL, 0, &dag, &change);
}

/* What b has and a lacks, of all DAGs that both have under one number. */
static inline void ledger_pull(ckv_datastore *a, ckv_datastore *b)
{
    T_CHECK(ledger_commit(a) == CKV_OK && ledger_commit(b) == CKV_OK);
    for (uint32_t i = 0; i < ckv_datastore_n_dags(b); i++) {
        const ckv_dag_info from = ckv_datastore_dag(b, i);
        uint32_t number;
        ckv_report report;
        ckv_err err;
        ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
        if (!from.doc ||
            ckv_datastore_find_dag(a, from.name, from.name_bytes, true, &number) != CKV_OK)
            continue;
        ckv_report_init(&report, ckv_alloc_libc);
        T_CHECK(ckv_doc_export(from.doc, NULL, 0, NULL, 0, &bundle) == CKV_OK);
        T_CHECK(ckv_doc_apply(ckv_datastore_dag(a, number).doc, bundle.ptr, bundle.len, &report,
                              &err) == CKV_OK);
        T_EQ(report.refused.len, 0);
        ckv_report_fini(&report);
        ckv_buf_fini(&bundle);
    }
    T_CHECK(ckv_datastore_absorb(a) == CKV_OK);
}

static inline void ledger_complain(void *ctx, const char *line)
{
    ++*(int *)ctx;
    fprintf(stderr, "check: %s\n", line);
}

static inline void ledger_check(ckv_datastore *d)
{
    int n = 0;
    T_CHECK(ckv_datastore_check(d, ledger_complain, &n) == CKV_OK);
    T_EQ(n, 0);
}

#endif
