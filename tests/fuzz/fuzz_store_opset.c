/* Op sets, up to four. Each has one form: merged alone it is the same bytes. Merging does not mind order, brackets or repetition. One that was
 * taken changes nothing a second time, one that is refused changes nothing at all. */
#include "stock.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n_bytes, size_t max, unsigned seed)
{
    return k_mutate(data, n_bytes, max, seed, "S");
}

static ckv_buf merge(const ckv_bytes *sets, size_t n)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    CKV_MUST(ckv_opset_merge(sets, n, &out, NULL) == CKV_OK);
    return out;
}

static void check_merges(ckv_bytes a, ckv_bytes b, ckv_bytes c)
{
    k_equal(merge((ckv_bytes[]){a, b}, 2), merge((ckv_bytes[]){b, a}, 2));
    ckv_buf ab = merge((ckv_bytes[]){a, b}, 2), bc = merge((ckv_bytes[]){b, c}, 2);
    k_equal(merge((ckv_bytes[]){shop_bytes(&ab), c}, 2),
            merge((ckv_bytes[]){a, shop_bytes(&bc)}, 2));
    k_equal(merge((ckv_bytes[]){shop_bytes(&ab), a}, 2), merge((ckv_bytes[]){b, a, a}, 3));
    ckv_buf_fini(&ab);
    ckv_buf_fini(&bc);
}

/* Takes it twice. */
static void take(ckv_store *s, ckv_bytes set)
{
    ckv_store_report report;
    CKV_MUST(k_take(s, CKV_MESSAGE_OPSET, set, NULL) == CKV_OK);
    ckv_buf once = k_save(s);
    CKV_MUST(k_take(s, CKV_MESSAGE_OPSET, set, &report) == CKV_OK);
    CKV_ASSERT(report.n_put == 0 && report.n_superseded == 0 && report.applied.len == 0);
    ckv_store_report_fini(&report);
    ckv_store *loaded = k_load(&once);
    k_equal(k_save(loaded), k_save(s));
    k_equal(k_save(s), once);
    ckv_store_free(loaded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const k_input in = k_read(data, n_bytes);
    k_world w = k_world_new(in.world);
    ckv_store *s = w.s[0];
    ckv_store_watch(s, true);
    ckv_buf sealed[K_MOST], own = ckv_buf_init(ckv_alloc_libc);
    ckv_bytes sound[K_MOST + 1];
    size_t n = 0;
    CKV_MUST(ckv_store_opset(w.s[2], &own) == CKV_OK);
    sound[n++] = shop_bytes(&own);
    for (size_t i = 0; i < in.n; i++) {
        sealed[i] = k_seal(CKV_MESSAGE_OPSET, in.payloads[i]);
        const ckv_bytes set = shop_bytes(&sealed[i]);
        ckv_buf alone = ckv_buf_init(ckv_alloc_libc), before = k_save(s);
        ckv_err err;
        if (ckv_opset_merge(&set, 1, &alone, &err) == CKV_OK) {
            T_BYTES(alone.ptr, alone.len, set.ptr, set.n_bytes);
            sound[n++] = set;
            ckv_buf_fini(&before);
            take(s, set);
        } else {
            CKV_ASSERT(k_take(s, CKV_MESSAGE_OPSET, set, NULL) == err.code);
            k_equal(k_save(s), before);
        }
        ckv_buf_fini(&alone);
    }
    check_merges(sound[0], sound[n / 2], sound[n - 1]);
    ckv_buf all = merge(sound, n);
    take(s, shop_bytes(&all));
    ckv_buf_fini(&all);
    for (size_t i = 0; i < in.n; i++) ckv_buf_fini(&sealed[i]);
    ckv_buf_fini(&own);
    k_world_free(&w);
    return 0;
}
