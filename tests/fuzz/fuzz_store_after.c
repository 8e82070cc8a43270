/* A request kept for a known peer, moved on by a diff, both from outside: either is refused, or the answer is what a store that has what the
 * request says asks for after it took the diff in. */
#include "stock.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n_bytes, size_t max, unsigned seed)
{
    return k_mutate(data, n_bytes, max, seed, "QD");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const k_input in = k_read(data, n_bytes);
    if (in.n < 2) return 0;
    ckv_buf request = k_seal(CKV_MESSAGE_REQUEST, in.payloads[0]),
            diff = k_seal(CKV_MESSAGE_DIFF, in.payloads[1]), after = ckv_buf_init(ckv_alloc_libc),
            told = after;
    ckv_err err = {CKV_OK, 0, NULL};
    const ckv_status sound = ckv_request_check(shop_bytes(&request), NULL),
                     status =
                         ckv_request_after(shop_bytes(&request), shop_bytes(&diff), &after, &err);
    CKV_ASSERT(status == CKV_OK || ((status == CKV_ECORRUPT || status == CKV_ELIMIT) &&
                                    err.code == status && err.text));
    if (status == CKV_OK) {
        CKV_ASSERT(sound == CKV_OK);
        CKV_MUST(ckv_request_check(shop_bytes(&after), NULL) == CKV_OK);
    }
    if (sound == CKV_OK && k_tell_all(in.payloads[0], &told)) {
        ckv_store *s;
        ckv_buf all = k_seal(CKV_MESSAGE_DIFF, shop_bytes(&told));
        CKV_MUST(shop_new(&s, ckv_alloc_libc, "d") == CKV_OK);
        CKV_MUST(k_take(s, CKV_MESSAGE_DIFF, shop_bytes(&all), NULL) == CKV_OK);
        CKV_ASSERT(k_take(s, CKV_MESSAGE_DIFF, shop_bytes(&diff), NULL) == status);
        ckv_buf now = k_request(s);
        if (status == CKV_OK)
            T_BYTES(now.ptr, now.len, after.ptr, after.len);
        else
            T_BYTES(now.ptr, now.len, request.ptr, request.len);
        ckv_buf_fini(&now);
        ckv_buf_fini(&all);
        ckv_store_free(s);
    }
    ckv_buf_fini(&told);
    ckv_buf_fini(&after);
    ckv_buf_fini(&request);
    ckv_buf_fini(&diff);
    return 0;
}
