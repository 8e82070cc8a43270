/* Ops, up to four in one call. All are sound or nothing happens. Those that were taken change nothing a second time; what waits is kept, saved
 * and loaded, and where everything else is pulled nothing waits for it. */
#include "stock.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n_bytes, size_t max, unsigned seed)
{
    return k_mutate(data, n_bytes, max, seed, "O");
}

static ckv_status take(ckv_store *s, const ckv_bytes *ops, size_t n, ckv_store_report *report)
{
    ckv_err err = {CKV_OK, 0, NULL};
    ckv_store_report_init(report, ckv_alloc_libc);
    const ckv_status status = ckv_store_take_ops(s, ops, n, CKV_NO_DRIFT, report, &err);
    CKV_ASSERT(status == CKV_OK || ((status == CKV_ECORRUPT || status == CKV_ELIMIT) &&
                                    err.code == status && err.text));
    shop_check(s);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const k_input in = k_read(data, n_bytes);
    k_world w = k_world_new(in.world);
    ckv_store *s = w.s[0];
    ckv_buf sealed[K_MOST], before = k_save(s);
    ckv_bytes ops[K_MOST];
    for (size_t i = 0; i < in.n; i++) {
        sealed[i] = k_seal(CKV_MESSAGE_OP, in.payloads[i]);
        ops[i] = shop_bytes(&sealed[i]);
    }
    ckv_store_watch(s, true);
    const uint64_t n_waiting = ckv_store_stats_of(s).n_waiting;
    ckv_store_report report, again;
    if (take(s, ops, in.n, &report) != CKV_OK) {
        k_equal(k_save(s), before);
    } else {
        CKV_ASSERT(ckv_store_stats_of(s).n_waiting <= n_waiting + in.n);
        ckv_buf once = k_save(s);
        ckv_store *loaded = k_load(&once);
        k_equal(k_save(loaded), once);
        once = k_save(s);
        CKV_MUST(take(s, ops, in.n, &again) == CKV_OK);
        CKV_ASSERT(again.n_put == 0 && again.n_superseded == 0 && again.applied.len == 0);
        k_equal(k_save(s), once);
        ckv_store_report_fini(&again);
        for (size_t i = 1; i < K_STORES; i++) {
            CKV_MUST(shop_pull(s, w.s[i], ckv_alloc_libc) == CKV_OK);
            CKV_MUST(shop_pull(loaded, w.s[i], ckv_alloc_libc) == CKV_OK);
        }
        shop_check(s);
        shop_check(loaded);
        k_equal(k_save(s), k_save(loaded));
        ckv_store_free(loaded);
        ckv_buf_fini(&before);
    }
    ckv_store_report_fini(&report);
    for (size_t i = 0; i < in.n; i++) ckv_buf_fini(&sealed[i]);
    k_world_free(&w);
    return 0;
}
