/* The body of a datastore's change, behind a byte that says how many operations its header has. What is accepted is written again as the same bytes; what is judged is judged alike
 * again, and never by more bytes than there are.
 */
#include "base/check.h"
#include "datastore/op.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void write_again(const uint8_t *bytes, size_t n_bytes, uint32_t n_ops)
{
    ckv_kv_body body;
    ckv_kv_op op;
    const char *why;
    uint32_t n = 0;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    CKV_MUST(ckv_kv_body_open(&body, bytes, n_bytes, &why) == CKV_OK);
    ckv_kv_write_head(&out, &body.head);
    for (; ckv_kv_body_next(&body, &op); n++) {
        const uint8_t *id;
        uint32_t index, n_names = 0;
        for (ckv_value_bytes names = op.names; ckv_kv_next_name(&names, &id, &index);) n_names++;
        CKV_ASSERT(n_names == op.n_names && op.key.n_bytes <= CKV_MAX_KEY);
        ckv_kv_write_op(&out, &op);
    }
    CKV_ASSERT(n == n_ops && out.status == CKV_OK);
    CKV_ASSERT(out.len == n_bytes && memcmp(out.ptr, bytes, n_bytes) == 0);
    ckv_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes == 0) return 0;
    ckv_body_head head;
    const char *why = NULL;
    const uint32_t n_ops = data[0];
    const ckv_status s =
        ckv_kv_body_check(data + 1, n_bytes - 1, n_ops, ckv_alloc_libc, &head, &why);
    CKV_ASSERT(s == CKV_OK || s == CKV_ELATER || (s == CKV_EVOID && why));
    if (s == CKV_OK) write_again(data + 1, n_bytes - 1, n_ops);
    CKV_ASSERT(s == ckv_kv_body_check(data + 1, n_bytes - 1, n_ops, ckv_alloc_libc, &head, &why));
    return 0;
}
