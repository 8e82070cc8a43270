#include "log/oplog.h"

ckv_oplog ckv_oplog_init(ckv_alloc a)
{
    return (ckv_oplog){
        .ops = {.a = a}, .makers = {.a = a}, .chars = ckv_chars_init(a), .values = ckv_buf_init(a)};
}

void ckv_oplog_fini(ckv_oplog *x)
{
    ckv_ops_fini(&x->ops);
    ckv_u32s_fini(&x->makers);
    ckv_chars_fini(&x->chars);
    ckv_buf_fini(&x->values);
}

size_t ckv_oplog_at_lv(const ckv_oplog *x, uint32_t lv)
{
    size_t run = 0;
    CKV_ASSERT(lv < x->n_lv);
    CKV_SEEK(&run, x->ops.len, x->ops.ptr[i].lv, lv);
    return run;
}

size_t ckv_oplog_at_item(const ckv_oplog *x, uint32_t item)
{
    size_t maker = 0;
    CKV_ASSERT(item < x->n_items);
    CKV_SEEK(&maker, x->makers.len, x->ops.ptr[x->makers.ptr[i]].item, item);
    return x->makers.ptr[maker];
}

uint32_t ckv_oplog_right(const ckv_oplog *x, uint32_t item)
{
    return x->ops.ptr[ckv_oplog_at_item(x, item)].b;
}

ckv_status ckv_oplog_reserve(ckv_oplog *x, size_t n_runs)
{
    CKV_TRY(ckv_ops_reserve(&x->ops, n_runs));
    return ckv_u32s_reserve(&x->makers, n_runs);
}

void ckv_oplog_insert(ckv_oplog *x, uint32_t holder, uint32_t n, uint32_t left, uint32_t right)
{
    const ckv_op *last = ckv_ops_last(&x->ops);
    const bool goes_on = last && last->kind == CKV_OP_INSERT && last->holder == holder &&
                         last->b == right &&
                         left == x->n_items - 1; /* the last run made items up to n_items - 1 */
    if (!goes_on) {
        ckv_u32s_put(&x->makers, (uint32_t)x->ops.len);
        ckv_ops_put(&x->ops,
                    (ckv_op){x->n_lv, x->n_items, left, right, CKV_OP_INSERT, holder & 0xfffffff});
    }
    x->n_lv += n;
    x->n_items += n;
}

void ckv_oplog_delete(ckv_oplog *x, uint32_t holder, uint32_t item, uint32_t n, uint32_t since)
{
    ckv_op *last = ckv_ops_last(&x->ops);
    x->n_lv += n;
    if (last && last->kind == CKV_OP_DELETE && last->holder == holder) {
        if (last->item + (x->n_lv - n - last->lv) == item) return;
        if (last->lv >= since && item + n == last->item) {
            last->item = item;
            return;
        }
    }
    ckv_ops_put(&x->ops, (ckv_op){x->n_lv - n, item, CKV_NO_ITEM, CKV_NO_ITEM, CKV_OP_DELETE,
                                  holder & 0xfffffff});
}

void ckv_oplog_set(ckv_oplog *x, uint32_t holder, uint32_t key, uint32_t value_off)
{
    ckv_u32s_put(&x->makers, (uint32_t)x->ops.len);
    ckv_ops_put(&x->ops,
                (ckv_op){x->n_lv++, x->n_items++, key, value_off, CKV_OP_SET, holder & 0xfffffff});
}

void ckv_oplog_unset(ckv_oplog *x, uint32_t holder, uint32_t key)
{
    ckv_ops_put(&x->ops,
                (ckv_op){x->n_lv++, CKV_NO_ITEM, key, 0, CKV_OP_UNSET, holder & 0xfffffff});
}

void ckv_oplog_truncate(ckv_oplog *x, uint32_t n_lv, uint32_t n_items)
{
    while (x->ops.len && x->ops.ptr[x->ops.len - 1].lv >= n_lv) {
        const ckv_op *last = &x->ops.ptr[--x->ops.len];
        if (last->kind == CKV_OP_SET) x->values.len = last->b;
        if (x->makers.len && x->makers.ptr[x->makers.len - 1] == x->ops.len) x->makers.len--;
    }
    x->n_lv = n_lv;
    x->n_items = n_items;
}

ckv_value ckv_oplog_value(const ckv_oplog *x, uint32_t value_off)
{
    ckv_rd r = ckv_rd_init(x->values.ptr + value_off, x->values.len - value_off);
    ckv_value v = {.tag = CKV_TAG_NONE};
    ckv_value_read(&r, &v);
    CKV_ASSERT(r.status == CKV_OK);
    return v;
}

size_t ckv_oplog_value_bytes(const ckv_oplog *x, uint32_t value_off)
{
    ckv_rd r = ckv_rd_init(x->values.ptr + value_off, x->values.len - value_off);
    size_t n;
    ckv_rd_varint(&r);
    ckv_rd_blob(&r, &n);
    return (size_t)(r.p - (x->values.ptr + value_off));
}

bool ckv_oplog_check(const ckv_oplog *x, const char **why)
{
    uint32_t items = 0, makers = 0;
    *why = "oplog I1";
    for (size_t i = 0; i < x->ops.len; i++) {
        const ckv_op *op = &x->ops.ptr[i];
        if (i == 0 ? op->lv != 0 : op->lv <= op[-1].lv) return false;
        if (op->kind != CKV_OP_INSERT && op->kind != CKV_OP_SET) continue;
        if (op->item != items) return false;
        items += ckv_oplog_len(x, i);
        *why = "oplog I2";
        if (makers >= x->makers.len || x->makers.ptr[makers++] != i) return false;
        *why = "oplog I1";
    }
    return items == x->n_items && makers == x->makers.len;
}
