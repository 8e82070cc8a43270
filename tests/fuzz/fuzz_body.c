/* A body that is read to its end is written back as the same bytes. The first byte says how many parents there are. */
#include "base/check.h"
#include "base/utf8.h"
#include "log/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* Ids as the writer wants them: in memory of their own, for they stand at any address in the input. */
static void put_ids(ckv_buf *out, const uint8_t *ids, uint32_t n)
{
    ckv_buf_bytes(out, ids, 32 * (size_t)n);
}

/* As many as the operation says, each written in one way only. */
static void check_values(const ckv_body_op *op)
{
    ckv_buf again = ckv_buf_init(ckv_alloc_libc), member = ckv_buf_init(ckv_alloc_libc);
    ckv_rd r = ckv_rd_init(op->value_bytes, op->n_value_bytes);
    for (uint32_t i = 0; i < op->n; i++) {
        ckv_value v;
        ckv_value_read(&r, &v);
        CKV_ASSERT(r.status == CKV_OK);
        CKV_ASSERT(op->kind == CKV_OP_SET || !ckv_tag_is_default(v.tag));
        ckv_value_write(&again, &v);
        if (ckv_tag_is_scalar(v.tag)) ckv_value_member(&member, &v);
    }
    CKV_ASSERT(ckv_rd_done(&r) && again.len == op->n_value_bytes &&
               memcmp(again.ptr, op->value_bytes, again.len) == 0);
    ckv_buf_fini(&again);
    ckv_buf_fini(&member);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes == 0) return 0;
    const uint32_t n_parents = data[0] % 33;
    ckv_body b;
    ckv_body_op op;
    if (ckv_body_open(&b, data + 1, n_bytes - 1, n_parents) != CKV_OK) return 0;
    ckv_buf lanes = ckv_buf_init(ckv_alloc_libc), changes = ckv_buf_init(ckv_alloc_libc),
            out = ckv_buf_init(ckv_alloc_libc);
    put_ids(&lanes, b.lanes, b.n_lanes);
    put_ids(&changes, b.changes, b.n_changes);
    const ckv_body_head head = {.time = b.time,
                                .message = (const char *)b.message,
                                .message_bytes = b.message_bytes,
                                .lanes = (const ckv_id32 *)(const void *)lanes.ptr,
                                .changes = (const ckv_id32 *)(const void *)changes.ptr,
                                .n_lanes = b.n_lanes,
                                .n_changes = b.n_changes};
    ckv_body_begin(&out, &head);
    uint64_t n_ops = 0;
    while (ckv_body_next(&b, &op)) {
        n_ops += op.n;
        CKV_ASSERT(op.n > 0 && n_ops == b.n_ops && n_ops <= CKV_MAX_OPS);
        if (op.kind == CKV_OP_INSERT) {
            size_t n_chars;
            uint32_t max;
            CKV_ASSERT(ckv_utf8_valid(op.bytes, op.n_bytes, &n_chars, &max) && n_chars == op.n &&
                       max == op.max_char);
        }
        if (op.value_bytes) check_values(&op);
        ckv_body_put(&out, &op);
    }
    CKV_ASSERT(b.n_items <= b.n_ops);
    if (b.status == CKV_OK)
        CKV_ASSERT(out.len == n_bytes - 1 && memcmp(out.ptr, data + 1, out.len) == 0);
    else
        CKV_ASSERT(b.status == CKV_EVOID && b.why);
    ckv_buf_fini(&lanes);
    ckv_buf_fini(&changes);
    ckv_buf_fini(&out);
    return 0;
}
