/* What it costs that many lanes write one key, or count on one counter, none of which has seen another: each change comes in on its own. */
#define _POSIX_C_SOURCE 199309L
#include <time.h>

#include "tape.h"
#include "warehouse.h"

static uint64_t ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static ckv_buf one_change(const ckv_id32 *id, bool counts, uint64_t n)
{
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc), body = ckv_buf_init(ckv_alloc_libc);
    const ckv_store_key key = {(const uint8_t *)"k", 1, false};
    tape x;
    tape_open(&x, 9, id);
    ckv_kv_write_head(&body, &(ckv_body_head){.time = 5});
    if (counts)
        ckv_kv_write_op(&body, &(ckv_kv_op){.kind = CKV_KV_COUNT, .key = key, .total = 1});
    else
        ckv_kv_write_op(&body,
                        &(ckv_kv_op){.kind = CKV_KV_PUT, .key = key, .value = w_value(n, 4)});
    tape_write(&x, &body, 1);
    T_EQ(ckv_doc_export(x.doc, NULL, 0, NULL, 0, &bundle), CKV_OK);
    tape_close(&x);
    ckv_buf_fini(&body);
    return bundle;
}

static void crowd(uint32_t n, bool counts)
{
    ckv_datastore *d = w_made(1);
    const ckv_store_key key = {(const uint8_t *)"k", 1, false};
    uint64_t joining = 0, reading = 0, again = 0;
    ckv_id32 id;
    T_EQ(ckv_dag_id(d, "default", 7, &id), CKV_OK);
    for (uint32_t i = 0; i < n; i++) {
        ckv_buf bundle = one_change(&id, counts, i);
        ckv_report report;
        ckv_err err;
        ckv_report_init(&report, ckv_alloc_libc);
        T_EQ(ckv_doc_apply(ckv_datastore_dag(d, 0).doc, bundle.ptr, bundle.len, &report, &err),
             CKV_OK);
        T_EQ(report.applied.len, 32);
        const uint64_t start = ns();
        T_EQ(ckv_datastore_absorb(d), CKV_OK);
        joining += ns() - start;
        ckv_report_fini(&report);
        ckv_buf_fini(&bundle);
    }
    for (int i = 0; i < 20; i++) {
        ckv_value_bytes value;
        ckv_i128 total;
        const uint64_t start = ns();
        if (counts) {
            T_EQ(ckv_datastore_total(d, key, &total), CKV_OK);
            T_EQ((uint64_t)total, n);
        } else {
            T_EQ(ckv_datastore_get(d, key, &value), CKV_OK);
        }
        *(i ? &again : &reading) += ns() - start;
    }
    printf("%s %6u lanes: joined in %8.1f ms, %7.2f us each; read in %7.1f us, again in %7.2f us\n",
           counts ? "count" : "put  ", n, (double)joining / 1e6, (double)joining / 1e3 / n,
           (double)reading / 1e3, (double)again / 19e3);
    ckv_datastore_free(d);
}

int main(int argc, char **argv)
{
    T_CHECK(ckv_crypto_init());
    const uint32_t most = argc > 1 ? (uint32_t)atoi(argv[1]) : 16000;
    for (uint32_t n = 1000; n <= most; n *= 2) crowd(n, false);
    for (uint32_t n = 1000; n <= most; n *= 2) crowd(n, true);
    return 0;
}
