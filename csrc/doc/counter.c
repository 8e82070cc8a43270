#include "doc/counter.h"

#include "doc/apply.h"

ckv_status ckv_counter_add(ckv_doc *doc, uint32_t counter, int64_t amount)
{
    CKV_TRY(ckv_edit_begin(doc, counter, 1, 24));
    /* Right behind another increment of this change the two are one. */
    ckv_op *last = ckv_ops_last(&doc->log.ops);
    const ckv_container *c = ckv_tree_at(&doc->tree, counter);
    int64_t sum;
    if (last && last->kind == CKV_OP_COUNT && last->holder == counter &&
        last->lv >= ckv_edit_since(doc) &&
        !__builtin_add_overflow(ckv_oplog_amount(last), amount, &sum)) {
        doc->counts.ptr[c->counted].total += amount;
        last->a = (uint32_t)(uint64_t)sum;
        last->b = (uint32_t)((uint64_t)sum >> 32);
        return CKV_OK;
    }
    CKV_TRY(ckv_apply_count(doc, counter, amount));
    doc->open_bytes += 24;
    return CKV_OK;
}

ckv_status ckv_counter_total(ckv_doc *doc, const ckv_view *at, uint32_t counter, ckv_i128 *out)
{
    const uint32_t last = ckv_tree_at(&doc->tree, counter)->counted;
    const ckv_past *past = ckv_view_past(at);
    *out = past ? ckv_counts_total_at(&doc->counts, last, past, &doc->graph)
                : ckv_counts_total(&doc->counts, last);
    return CKV_OK;
}
