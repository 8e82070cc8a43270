/* Diffs. One that is refused changes nothing. One that is taken leaves a sound store, and taking it again changes nothing; taken in part by part
 * it leaves the same store. The kept request of whoever takes it is that store's request. */
#include "kv/incarnations.h"
#include "stock.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n_bytes, size_t max, unsigned seed)
{
    return k_mutate(data, n_bytes, max, seed, "D");
}

/* The parts of a sound diff as diffs of their own, the last one first. */
static void take_apart(ckv_store *s, ckv_bytes payload)
{
    ckv_bytes parts[64];
    size_t n = 0;
    ckv_rd r = ckv_rd_init(payload.ptr, payload.n_bytes);
    while (ckv_rd_left(&r) && n < 64) {
        const uint8_t *at = r.p;
        size_t n_id;
        ckv_rd_blob(&r, &n_id);
        const uint64_t from = ckv_rd_varint(&r);
        ckv_rd_varint(&r);
        ckv_runs_in_init(&r, 1, from);
        for (uint64_t rows = ckv_rd_varint(&r); rows > 0; rows--) ckv_row_believe(&r, 0);
        parts[n++] = (ckv_bytes){at, (size_t)(r.p - at)};
    }
    while (n > 0) {
        ckv_buf one = k_seal(CKV_MESSAGE_DIFF, parts[--n]);
        CKV_MUST(k_take(s, CKV_MESSAGE_DIFF, shop_bytes(&one), NULL) == CKV_OK);
        ckv_buf_fini(&one);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const k_input in = k_read(data, n_bytes);
    if (in.n == 0) return 0;
    k_world w = k_world_new(in.world);
    ckv_store *s = w.s[0];
    ckv_buf diff = k_seal(CKV_MESSAGE_DIFF, in.payloads[0]), before = k_save(s),
            request = k_request(s), after = ckv_buf_init(ckv_alloc_libc);
    ckv_store *other = k_load(&before);
    ckv_store_watch(s, true);
    const bool waits = ckv_store_stats_of(s).n_waiting > 0;
    ckv_store_report report;
    if (k_take(s, CKV_MESSAGE_DIFF, shop_bytes(&diff), &report) != CKV_OK) {
        k_equal(k_save(s), before);
    } else {
        if (!waits) {
            CKV_MUST(ckv_request_after(shop_bytes(&request), shop_bytes(&diff), &after, NULL) ==
                     CKV_OK);
            k_equal(k_request(s), after);
            after = ckv_buf_init(ckv_alloc_libc);
        }
        if (report.refused.len == 0) {
            take_apart(other, in.payloads[0]);
            k_equal(k_save(s), k_save(other));
            ckv_store_report again;
            ckv_buf once = k_save(s);
            CKV_MUST(k_take(s, CKV_MESSAGE_DIFF, shop_bytes(&diff), &again) == CKV_OK);
            CKV_ASSERT(again.n_put == 0 && again.n_superseded == 0 && again.applied.len == 0);
            k_equal(k_save(s), once);
            ckv_store_report_fini(&again);
        }
        ckv_buf_fini(&before);
    }
    ckv_store_report_fini(&report);
    ckv_store_free(other);
    ckv_buf_fini(&diff);
    ckv_buf_fini(&request);
    ckv_buf_fini(&after);
    k_world_free(&w);
    return 0;
}
