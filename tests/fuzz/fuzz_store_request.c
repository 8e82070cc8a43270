/* Requests. A store is made that has what the request says: its own request is the same bytes. What it lacks reaches it all at once, in small
 * diffs, and by a session: the same store each time; and the request that is kept for it says what it has after each of them. */
#include "stock.h"
#include "sync/store_session.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n_bytes, size_t max, unsigned seed)
{
    return k_mutate(data, n_bytes, max, seed, "Q");
}

static void in_pieces(ckv_store *s, const ckv_store *from, size_t max_bytes)
{
    bool more = true;
    ckv_buf request = k_request(s);
    for (size_t n = 0; more; n++) {
        CKV_ASSERT(n < 10000);
        ckv_buf diff = k_diff(from, &request, max_bytes, &more),
                after = ckv_buf_init(ckv_alloc_libc);
        CKV_ASSERT(!more || !ckv_message_is_empty(shop_bytes(&diff))); /* it gets on */
        CKV_MUST(k_take(s, CKV_MESSAGE_DIFF, shop_bytes(&diff), NULL) == CKV_OK);
        CKV_MUST(ckv_request_after(shop_bytes(&request), shop_bytes(&diff), &after, NULL) ==
                 CKV_OK);
        ckv_buf_fini(&diff);
        ckv_buf_fini(&request);
        request = after;
        ckv_buf now = k_request(s);
        T_BYTES(now.ptr, now.len, request.ptr, request.len);
        ckv_buf_fini(&now);
    }
    ckv_buf_fini(&request);
}

static void by_session(ckv_store *s, ckv_store *from)
{
    ckv_store_session *ends[2];
    CKV_MUST(ckv_store_session_new(&ends[0], s) == CKV_OK);
    CKV_MUST(ckv_store_session_new(&ends[1], from) == CKV_OK);
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_alloc_libc);
    for (size_t quiet = 0, n = 0; quiet < 2; n++) {
        CKV_ASSERT(n < 100);
        ckv_buf m = ckv_buf_init(ckv_alloc_libc);
        CKV_MUST(ckv_store_session_send(ends[n & 1], &m) == CKV_OK);
        quiet = m.len ? 0 : quiet + 1;
        if (m.len)
            CKV_MUST(ckv_store_session_take(ends[!(n & 1)], shop_bytes(&m), CKV_NO_DRIFT, &report,
                                            NULL) == CKV_OK);
        ckv_buf_fini(&m);
    }
    CKV_ASSERT(ckv_store_session_done(ends[0]) && ckv_store_session_done(ends[1]));
    ckv_store_report_fini(&report);
    for (size_t i = 0; i < 2; i++) ckv_store_session_free(ends[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const k_input in = k_read(data, n_bytes);
    if (in.n == 0) return 0;
    ckv_err err = {CKV_OK, 0, NULL};
    ckv_buf request = k_seal(CKV_MESSAGE_REQUEST, in.payloads[0]),
            told = ckv_buf_init(ckv_alloc_libc);
    const ckv_status status = ckv_request_check(shop_bytes(&request), &err);
    CKV_ASSERT(status == CKV_OK || (status == CKV_ECORRUPT && err.code == status && err.text));
    if (status == CKV_OK && k_tell_all(in.payloads[0], &told)) {
        k_world w = k_world_new(in.world);
        ckv_buf all = k_seal(CKV_MESSAGE_DIFF, shop_bytes(&told));
        ckv_store *s[3];
        for (size_t i = 0; i < 3; i++) {
            CKV_MUST(shop_new(&s[i], ckv_alloc_libc, "d") == CKV_OK);
            CKV_MUST(k_take(s[i], CKV_MESSAGE_DIFF, shop_bytes(&all), NULL) == CKV_OK);
        }
        ckv_buf said = k_request(s[0]);
        T_BYTES(said.ptr, said.len, request.ptr, request.len);
        in_pieces(s[0], w.s[0], 0);
        in_pieces(s[1], w.s[0], 1 + in.world);
        k_equal(k_save(s[0]), k_save(s[1]));
        const bool waits = (ckv_store_stats_of(w.s[0]).n_waiting > 0);
        by_session(s[2], w.s[0]);
        shop_check(s[2]);
        shop_check(w.s[0]);
        k_equal(k_request(s[2]), k_request(w.s[0]));
        if (!waits) k_equal(k_request(s[0]), k_request(s[2])); /* else it released something */
        for (size_t i = 0; i < 3; i++) ckv_store_free(s[i]);
        ckv_buf_fini(&said);
        ckv_buf_fini(&all);
        k_world_free(&w);
    }
    ckv_buf_fini(&told);
    ckv_buf_fini(&request);
    return 0;
}
