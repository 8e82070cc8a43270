/* Saves. One that loads is a sound store, and saved again it is the same bytes (or, where messages wait in it that need not, the save of that is).
 * Checksums of the messages in it are made right, too. What was loaded can say all that stores say. */
#include "kv/incarnations.h"
#include "stock.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n_bytes, size_t max, unsigned seed)
{
    return k_mutate(data, n_bytes, max, seed, "V");
}

/* Where the messages begin, as far as it can be told. */
static bool find_messages(ckv_rd *r)
{
    size_t n;
    ckv_rd_u8(r);
    ckv_rd_blob(r, &n);
    ckv_rd_varint(r);
    for (uint64_t parts = ckv_rd_count(r, 12); parts > 0 && r->status == CKV_OK; parts--) {
        ckv_rd_blob(r, &n);
        for (int i = 0; i < 3; i++) ckv_rd_varint(r);
        ckv_runs_in_init(r, 1, CKV_HLC_END);
        ckv_row row = {.hlc = 0};
        for (uint64_t rows = ckv_rd_count(r, 4); rows > 0; rows--)
            if (!ckv_row_read(r, ckv_alloc_libc, row.hlc, &row)) return false;
    }
    return r->status == CKV_OK;
}

static ckv_buf mend(ckv_bytes payload)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_rd r = ckv_rd_init(payload.ptr, payload.n_bytes);
    const bool has = find_messages(&r);
    ckv_buf_bytes(&out, payload.ptr, has ? (size_t)(r.p - payload.ptr) : payload.n_bytes);
    while (has && ckv_rd_left(&r)) {
        size_t n;
        const uint8_t *p = ckv_rd_blob(&r, &n);
        if (n < 10) {
            ckv_buf_blob(&out, p, n);
            continue;
        }
        ckv_buf m = k_seal(p[0], (ckv_bytes){p + 2, n - 10});
        ckv_buf_blob(&out, m.ptr, m.len);
        ckv_buf_fini(&m);
    }
    return out;
}

/* What it says can be taken by others. */
static void speak(ckv_store *s)
{
    ckv_store *fresh;
    CKV_MUST(shop_new(&fresh, ckv_alloc_libc, "e") == CKV_OK);
    ckv_buf set = ckv_buf_init(ckv_alloc_libc), op = set;
    CKV_MUST(shop_pull(fresh, s, ckv_alloc_libc) == CKV_OK);
    k_equal(k_request(fresh), k_request(s));
    const ckv_status status = ckv_store_put(s, shop_key("own"), shop_int(1), 0, &op);
    CKV_ASSERT(status == CKV_OK || status == CKV_ELIMIT || /* the clock is at its end */
               status == CKV_EVALUE);                      /* or it drew what a mutation guessed */
    CKV_MUST(ckv_store_opset(s, &set) == CKV_OK);
    shop_check(s);
    if (status == CKV_OK) CKV_MUST(k_take(fresh, CKV_MESSAGE_OP, shop_bytes(&op), NULL) == CKV_OK);
    k_equal(k_request(fresh), k_request(s));
    CKV_MUST(k_take(fresh, CKV_MESSAGE_OPSET, shop_bytes(&set), NULL) == CKV_OK);
    k_equal(k_request(fresh), k_request(s));
    ckv_buf_fini(&set);
    ckv_buf_fini(&op);
    ckv_store_free(fresh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const k_input in = k_read(data, n_bytes);
    if (in.n == 0) return 0;
    t_state = 1;
    const ckv_env env = {ckv_alloc_libc, shop_random, NULL};
    ckv_err err = {CKV_OK, 0, NULL};
    ckv_buf mended = mend(in.payloads[0]), save = k_seal(CKV_MESSAGE_SAVE, shop_bytes(&mended));
    ckv_store *s;
    const ckv_status status = ckv_store_load(&s, &env, shop_bytes(&save), NULL, &err);
    CKV_ASSERT(status == CKV_OK || ((status == CKV_ECORRUPT || status == CKV_ELIMIT) &&
                                    err.code == status && err.text));
    if (status == CKV_OK) {
        shop_check(s);
        ckv_buf once = k_save(s);
        ckv_rd r = ckv_rd_init(mended.ptr, mended.len);
        if (find_messages(&r) && ckv_rd_left(&r) == 0)
            T_BYTES(once.ptr, once.len, save.ptr, save.len);
        ckv_store *loaded = k_load(&once);
        k_equal(k_save(loaded), once);
        ckv_store_free(loaded);
        speak(s);
        ckv_store_free(s);
    }
    ckv_buf_fini(&mended);
    ckv_buf_fini(&save);
    return 0;
}
