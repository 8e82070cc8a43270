#include "doc/list.h"

#include "doc/apply.h"
#include "doc/walk.h"

static ckv_seq *seq_of(const ckv_doc *doc, uint32_t list)
{
    return &ckv_tree_at(&doc->tree, list)->seq;
}

size_t ckv_list_len(const ckv_doc *doc, uint32_t list) { return seq_of(doc, list)->visible; }

/* The slot and the element at a visible position. */
static uint32_t slot_at(const ckv_doc *doc, uint32_t list, size_t pos)
{
    const ckv_gap gap = ckv_seq_gap(&doc->space, seq_of(doc, list), (uint32_t)pos + 1);
    return ckv_space_span(&doc->space, gap.leaf, gap.slot)->item + gap.off - 1;
}

/* ---- reading */

ckv_status ckv_list_get(ckv_doc *doc, uint32_t list, size_t pos, ckv_value *out)
{
    uint32_t lv;
    if (pos >= ckv_list_len(doc, list)) return CKV_ERANGE;
    const uint32_t element = ckv_doc_element_of(doc, slot_at(doc, list, pos));
    CKV_TRY(ckv_doc_shown_element(doc, NULL, list, element, &lv));
    *out = lv == CKV_NONE ? (ckv_value){.tag = CKV_TAG_NONE} /* every value was deleted */
                          : ckv_doc_value_at(doc, lv);
    return CKV_OK;
}

ckv_status ckv_list_conflicts(ckv_doc *doc, const ckv_view *at, uint32_t list, size_t pos,
                              ckv_buf *out)
{
    uint32_t slot, n, reg;
    ckv_walk p;
    CKV_TRY(ckv_walk_begin(&p, doc, ckv_view_past(at), list, pos, 1));
    if (!ckv_walk_next(&p, &slot, &n)) return CKV_ERANGE;
    CKV_TRY(ckv_tree_register(&doc->tree, &doc->log, list, ckv_doc_element_of(doc, slot), &reg));
    return ckv_doc_conflicts(doc, ckv_view_past(at), reg, out);
}

ckv_status ckv_list_values(ckv_doc *doc, const ckv_view *at, uint32_t list, size_t start, size_t n,
                           ckv_buf *out)
{
    const ckv_past *past = ckv_view_past(at);
    const bool plain = ckv_tree_at(&doc->tree, list)->first_reg == CKV_NONE;
    ckv_walk p;
    CKV_TRY(ckv_walk_begin(&p, doc, past, list, start, n));
    for (uint32_t slot, m; ckv_walk_next(&p, &slot, &m);) {
        for (uint32_t i = slot; i < slot + m; i++) {
            const uint32_t element = ckv_doc_element_of(doc, i);
            ckv_value v = {.tag = CKV_TAG_NONE};
            if (plain) {
                v = ckv_doc_value_of(doc, element);
            } else {
                uint32_t lv;
                CKV_TRY(ckv_doc_shown_element(doc, past, list, element, &lv));
                if (lv != CKV_NONE) v = ckv_doc_value_at(doc, lv);
            }
            ckv_buf_bytes(out, &v, sizeof v);
        }
    }
    return out->status;
}

/* ---- editing */

ckv_status ckv_list_insert(ckv_doc *doc, uint32_t list, size_t pos, const ckv_value *values,
                           size_t n, uint32_t *made)
{
    uint32_t value_off, n_made, left, right;
    size_t n_bytes = 24;
    if (pos > ckv_list_len(doc, list)) return CKV_ERANGE;
    if (n > CKV_MAX_OPS) return CKV_ELIMIT;
    for (size_t i = 0; i < n; i++) n_bytes += ckv_value_size(&values[i]);
    CKV_TRY(ckv_edit_begin(doc, list, n, n_bytes));
    if (n == 0) return CKV_OK;
    CKV_TRY(ckv_edit_keep(doc, list, values, n, &value_off, &n_made));
    const ckv_status s = ckv_apply_reserve_elements(doc, (uint32_t)n, n_made);
    if (s != CKV_OK) {
        ckv_oplog_unkeep(&doc->log, value_off);
        return s;
    }
    ckv_seq *seq = seq_of(doc, list);
    const ckv_gap gap = ckv_seq_gap(&doc->space, seq, (uint32_t)pos);
    ckv_seq_around(&doc->space, seq, gap, &left, &right);
    ckv_seq_insert(&doc->space, seq, gap, doc->log.n_items, (uint32_t)n, &doc->journal);
    ckv_apply_elements(doc, list, (uint32_t)n, left, right, value_off, made);
    doc->open_bytes += n_bytes;
    return CKV_OK;
}

ckv_status ckv_list_set(ckv_doc *doc, uint32_t list, size_t pos, const ckv_value *value,
                        uint32_t *made)
{
    uint32_t reg, value_off, n_made;
    if (pos >= ckv_list_len(doc, list)) return CKV_ERANGE;
    const size_t n_bytes = ckv_value_size(value) + 24;
    CKV_TRY(ckv_edit_begin(doc, list, 1, n_bytes));
    const uint32_t element = ckv_doc_element_of(doc, slot_at(doc, list, pos));
    CKV_TRY(ckv_tree_register(&doc->tree, &doc->log, list, element, &reg));
    CKV_TRY(ckv_edit_keep(doc, list, value, 1, &value_off, &n_made));
    const ckv_author_view v = ckv_doc_own_view(doc);
    const ckv_status s = ckv_apply_write(doc, &v, CKV_OP_ASSIGN, reg, value_off, value->tag, made);
    if (s != CKV_OK) {
        ckv_oplog_unkeep(&doc->log, value_off);
        return s;
    }
    doc->open_bytes += n_bytes;
    return CKV_OK;
}

static ckv_status delete_range(ckv_doc *doc, uint32_t list, size_t pos, size_t n)
{
    const uint32_t change = ckv_doc_open_change(doc), since = ckv_edit_since(doc);
    while (n) {
        uint32_t done;
        const ckv_gap gap = ckv_seq_gap(&doc->space, seq_of(doc, list), (uint32_t)pos + 1);
        const ckv_span *s = ckv_space_span(&doc->space, gap.leaf, gap.slot);
        const uint32_t slot = s->item + gap.off - 1, in_span = s->len - (gap.off - 1),
                       element = ckv_doc_element_of(doc, slot);
        const uint32_t most = element != slot ? 1 : in_span < n ? in_span : (uint32_t)n;
        CKV_TRY(ckv_apply_delete(doc, change, element, most, since, &done));
        n -= done;
        doc->open_bytes += 16;
    }
    return CKV_OK;
}

ckv_status ckv_list_delete(ckv_doc *doc, uint32_t list, size_t pos, size_t n)
{
    const size_t len = ckv_list_len(doc, list);
    ckv_savepoint savepoint;
    if (pos > len || n > len - pos) return CKV_ERANGE;
    CKV_TRY(ckv_edit_begin(doc, list, n, 24));
    if (n == 0) return CKV_OK;
    if (n == 1 && doc->moves.v.len == 0)
        return delete_range(doc, list, pos, n); /* one step, or none */
    CKV_TRY(ckv_doc_savepoint(doc, &savepoint));
    const ckv_status s = delete_range(doc, list, pos, n);
    if (s == CKV_OK)
        ckv_doc_release(doc, savepoint);
    else
        ckv_doc_rollback(doc, savepoint);
    return s;
}

ckv_status ckv_list_move(ckv_doc *doc, uint32_t list, size_t from, size_t to)
{
    uint32_t left, right;
    const size_t len = ckv_list_len(doc, list);
    if (from >= len || to >= len) return CKV_ERANGE;
    CKV_TRY(ckv_edit_begin(doc, list, 1, 32));
    if (from == to) return CKV_OK;
    CKV_TRY(ckv_apply_reserve_move(doc));
    ckv_seq *seq = seq_of(doc, list);
    const uint32_t element = ckv_doc_element_of(doc, slot_at(doc, list, from));
    const ckv_gap gap = ckv_seq_gap(&doc->space, seq, (uint32_t)(to > from ? to + 1 : to));
    ckv_seq_around(&doc->space, seq, gap, &left, &right);
    ckv_seq_insert(&doc->space, seq, gap, doc->log.n_items, 1, &doc->journal);
    const ckv_author_view v = ckv_doc_own_view(doc);
    ckv_apply_move(doc, &v, element, left, right);
    doc->open_bytes += 32;
    return CKV_OK;
}
