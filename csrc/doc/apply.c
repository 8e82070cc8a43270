#include "doc/apply.h"

ckv_author_view ckv_doc_own_view(ckv_doc *doc)
{
    doc->past.all = true;
    return (ckv_author_view){.graph = &doc->graph,
                             .oplog = &doc->log,
                             .past = &doc->past,
                             .own_item = doc->graph.ids.n_items};
}

uint32_t ckv_doc_register_of(const ckv_doc *doc, const ckv_op *op)
{
    return op->kind == CKV_OP_ASSIGN ? ckv_register_find(&doc->tree.registers, op->holder, op->a)
                                     : op->a;
}

ckv_value ckv_doc_value_read(const ckv_doc *doc, uint32_t item, uint32_t value_off)
{
    ckv_value v = ckv_oplog_value(&doc->log, value_off);
    if (ckv_tag_is_scalar(v.tag)) return v;
    v.tag = ckv_tag_kind(v.tag);
    v.container = ckv_tree_of(&doc->tree, item);
    return v;
}

ckv_value ckv_doc_value_at(const ckv_doc *doc, uint32_t lv)
{
    const ckv_op *op = &doc->log.ops.ptr[ckv_oplog_at_lv(&doc->log, lv)];
    const uint32_t item = op->item + (lv - op->lv);
    return ckv_doc_value_read(
        doc, item, op->kind == CKV_OP_ELEMENTS ? ckv_oplog_value_of(&doc->log, item) : op->b);
}

ckv_value ckv_doc_value_of(const ckv_doc *doc, uint32_t item)
{
    return ckv_doc_value_read(doc, item, ckv_oplog_value_of(&doc->log, item));
}

ckv_value ckv_doc_value_in(const ckv_doc *doc, uint32_t run)
{
    const ckv_op *op = &doc->log.ops.ptr[run];
    return ckv_doc_value_read(doc, op->item, op->b);
}

uint32_t ckv_doc_element_of(const ckv_doc *doc, uint32_t slot)
{
    if (doc->moves.slots.len == 0) return slot;
    const ckv_op *op = &doc->log.ops.ptr[ckv_oplog_at_item(&doc->log, slot)];
    return op->kind == CKV_OP_MOVE ? doc->log.moved.ptr[op->holder] : slot;
}

/* ---- registers */

ckv_status ckv_apply_write(ckv_doc *doc, const ckv_author_view *v, ckv_op_kind kind, uint32_t reg,
                           uint32_t value_off, ckv_tag tag, uint32_t *made)
{
    const uint32_t holder = doc->tree.registers.regs.ptr[reg].holder,
                   key = doc->tree.registers.regs.ptr[reg].key;
    const uint32_t lv = doc->log.n_lv, item = doc->log.n_items;
    CKV_TRY(ckv_register_know(&doc->tree.registers, reg, v, &doc->space.deletes, &doc->scratch));
    CKV_TRY(ckv_register_reserve(&doc->tree.registers, reg, &doc->journal));
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    *made = CKV_NONE;
    if (!ckv_tag_is_scalar(tag)) {
        size_t n;
        ckv_register_values(&doc->tree.registers, reg, &n);
        CKV_TRY(ckv_journal_reserve(&doc->journal, n + 3));
        CKV_TRY(ckv_tree_reserve(&doc->tree, &doc->journal, 1));
        if (ckv_tag_is_default(tag)) {
            /* The last step that can fail; what it makes has no item in the log yet, so nobody can ask for it. */
            CKV_TRY(ckv_tree_default(&doc->tree, tag, item, holder, reg, v, &doc->journal, made));
        } else {
            *made = ckv_tree_make(&doc->tree, tag, item, holder, reg,
                                  kind == CKV_OP_ASSIGN ? key : CKV_NO_ITEM, &doc->journal);
        }
    }
    switch ((unsigned)kind) {
    case CKV_OP_SET: ckv_oplog_set(&doc->log, holder, reg, value_off); break;
    case CKV_OP_ADD: ckv_oplog_member(&doc->log, holder, true, reg, value_off); break;
    default: ckv_oplog_assign(&doc->log, holder, key, value_off); break;
    }
    ckv_tree_apply(&doc->tree, reg, lv, true, &doc->log, &doc->journal);
    return CKV_OK;
}

ckv_status ckv_apply_erase(ckv_doc *doc, const ckv_author_view *v, ckv_op_kind kind, uint32_t reg,
                           uint32_t value_off)
{
    const uint32_t holder = doc->tree.registers.regs.ptr[reg].holder, lv = doc->log.n_lv;
    CKV_TRY(ckv_register_know(&doc->tree.registers, reg, v, &doc->space.deletes, &doc->scratch));
    CKV_TRY(ckv_register_reserve(&doc->tree.registers, reg, &doc->journal));
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    if (kind == CKV_OP_UNSET)
        ckv_oplog_unset(&doc->log, holder, reg);
    else
        ckv_oplog_member(&doc->log, holder, false, reg, value_off);
    ckv_tree_apply(&doc->tree, reg, lv, false, &doc->log, &doc->journal);
    return CKV_OK;
}

/* ---- lists */

ckv_status ckv_apply_reserve_elements(ckv_doc *doc, uint32_t n, uint32_t n_made)
{
    if (doc->log.n_items + (uint64_t)n >= CKV_MAX_ITEMS) return CKV_ELIMIT;
    CKV_TRY(ckv_space_reserve(&doc->space, doc->log.n_items + n, 1));
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    CKV_TRY(ckv_u32s_reserve(&doc->log.value_at, n));
    if (n_made) CKV_TRY(ckv_tree_reserve(&doc->tree, &doc->journal, n_made));
    return ckv_journal_reserve(&doc->journal, n_made + 3);
}

void ckv_apply_elements(ckv_doc *doc, uint32_t list, uint32_t n, uint32_t left, uint32_t right,
                        uint32_t value_off, uint32_t *made)
{
    const uint32_t item = doc->log.n_items, lv = doc->log.n_lv;
    ckv_oplog_elements(&doc->log, list, n, left, right, value_off);
    ckv_rd r = ckv_rd_init(doc->log.values.ptr + value_off, doc->log.values.len - value_off);
    for (uint32_t i = 0; i < n; i++) {
        size_t skip;
        const ckv_tag tag = (ckv_tag)ckv_rd_varint(&r);
        ckv_rd_blob(&r, &skip);
        uint32_t c = CKV_NONE;
        if (!ckv_tag_is_scalar(tag))
            c = ckv_tree_make(&doc->tree, tag, item + i, list, CKV_NONE, item + i, &doc->journal);
        if (made) made[i] = c;
        if (item + i < doc->tree.registers.elements)
            ckv_register_begin_again(&doc->tree.registers, list, item + i, lv + i);
    }
}

ckv_status ckv_apply_reserve_move(ckv_doc *doc)
{
    if (doc->log.n_items + (uint64_t)1 >= UINT32_MAX / 4 || doc->log.moved.len >= 1u << 28)
        return CKV_ELIMIT;
    CKV_TRY(ckv_space_reserve(&doc->space, doc->log.n_items + 1, 3));
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    CKV_TRY(ckv_u32s_reserve(&doc->log.moved, 1));
    CKV_TRY(ckv_journal_reserve(&doc->journal, 8));
    return ckv_moves_reserve(&doc->moves, &doc->journal);
}

static void away(ckv_doc *doc, uint32_t slot, bool is_away)
{
    ckv_gap gap;
    CKV_MUST(ckv_space_locate(&doc->space, slot, &gap));
    const uint32_t del = ckv_space_span(&doc->space, gap.leaf, gap.slot)->del;
    if (((del & CKV_DEL_AWAY) != 0) == is_away) return;
    ckv_seq *s = &ckv_tree_at(&doc->tree, doc->space.leaves.ptr[gap.leaf].seq)->seq;
    ckv_seq_away(&doc->space, s, gap, is_away, &doc->journal);
}

static bool is_deleted(const ckv_doc *doc, uint32_t item)
{
    ckv_gap gap;
    CKV_MUST(ckv_space_locate(&doc->space, item, &gap));
    return ckv_del_open(&doc->space.deletes,
                        ckv_space_span(&doc->space, gap.leaf, gap.slot)->del) != 0;
}

void ckv_apply_move(ckv_doc *doc, const ckv_author_view *v, uint32_t element, uint32_t left,
                    uint32_t right)
{
    const uint32_t slot = doc->log.n_items, lv = doc->log.n_lv,
                   old = ckv_moves_slot(&doc->moves, element);
    ckv_oplog_move(&doc->log, element, left, right);
    if (ckv_moves_add(&doc->moves, element, slot, lv, v, &doc->journal)) {
        away(doc, old, true);
        if (is_deleted(doc, element)) away(doc, slot, true);
    } else {
        away(doc, slot, true);
    }
}

/* ---- counters, marks */

ckv_status ckv_apply_count(ckv_doc *doc, uint32_t counter, int64_t amount)
{
    ckv_container *c = ckv_tree_at(&doc->tree, counter);
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    CKV_TRY(ckv_counts_reserve(&doc->counts, 1));
    CKV_TRY(ckv_journal_reserve(&doc->journal, 1));
    c->counted = ckv_counts_add(&doc->counts, c->counted, doc->log.n_lv, amount);
    ckv_oplog_count(&doc->log, counter, amount);
    ckv_journal_put(&doc->journal, CKV_UNDO_COUNT, counter, 0, 0, 0);
    return CKV_OK;
}

ckv_status ckv_apply_mark(ckv_doc *doc, uint32_t text, uint32_t start, uint32_t end,
                          ckv_mark_op mark)
{
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    CKV_TRY(ckv_marks_reserve(&doc->marks, &doc->journal));
    uint32_t name;
    CKV_TRY(ckv_keys_make(&doc->tree.keys, doc->log.values.ptr + mark.name_off, mark.name_bytes,
                          &name));
    const ckv_mark_entry entry = {.item = doc->log.n_items,
                                  .lv = doc->log.n_lv,
                                  .name = name,
                                  .end = mark.sides & CKV_MARK_END_BEHIND ? end : CKV_NONE};
    ckv_marks_add(&doc->marks, text, &ckv_tree_at(&doc->tree, text)->marked, entry, &doc->journal);
    ckv_oplog_mark(&doc->log, text, start, end, mark);
    return CKV_OK;
}

/* ---- deletes and restores */

/* Elements [item, item + n) went or came: those that show elsewhere do so there. */
static ckv_status slots_follow(ckv_doc *doc, uint32_t item, uint32_t n)
{
    doc->tree.epoch++;
    if (doc->moves.v.len == 0) return CKV_OK;
    for (uint32_t i = item; i < item + n; i++) {
        const uint32_t slot = ckv_moves_slot(&doc->moves, i);
        if (slot == i) continue;
        CKV_TRY(ckv_space_reserve(&doc->space, doc->log.n_items, 1));
        CKV_TRY(ckv_journal_reserve(&doc->journal, 1));
        away(doc, slot, is_deleted(doc, i));
    }
    return CKV_OK;
}

static ckv_status reserve_item(ckv_doc *doc)
{
    CKV_TRY(ckv_space_reserve(&doc->space, doc->log.n_items, 1));
    CKV_TRY(ckv_hmap_reserve(&doc->space.deletes.by_item, 1));
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    return ckv_journal_reserve(&doc->journal, 2);
}

static void set_item_del(ckv_doc *doc, uint32_t item, uint32_t del)
{
    ckv_journal_put(&doc->journal, CKV_UNDO_ITEM_DEL, item, ckv_del_of(&doc->space.deletes, item),
                    0, 0);
    ckv_del_set(&doc->space.deletes, item, del);
}

ckv_status ckv_apply_delete(ckv_doc *doc, uint32_t change, uint32_t item, uint32_t n,
                            uint32_t since, uint32_t *done)
{
    const size_t run = ckv_oplog_at_item(&doc->log, item);
    const ckv_op op = doc->log.ops.ptr[run];
    ckv_gap gap;
    CKV_TRY(reserve_item(doc));
    if (op.kind == CKV_OP_INSERT || op.kind == CKV_OP_ELEMENTS) {
        const uint32_t left = ckv_oplog_len(&doc->log, run) - (item - op.item);
        CKV_MUST(ckv_space_locate(&doc->space, item, &gap));
        *done = ckv_seq_delete(&doc->space, &ckv_tree_at(&doc->tree, op.holder)->seq, gap,
                               n < left ? n : left, change, &doc->journal);
        if (op.kind == CKV_OP_ELEMENTS) CKV_TRY(slots_follow(doc, item, *done));
    } else {
        *done = 1;
        const uint32_t del = ckv_del_of(&doc->space.deletes, item);
        set_item_del(doc, item, ckv_del_add(&doc->space.deletes, del, change));
        if (op.kind != CKV_OP_MARK)
            ckv_tree_drop(&doc->tree, ckv_doc_register_of(doc, &op), op.lv, &doc->journal);
    }
    ckv_oplog_delete(&doc->log, op.holder, item, *done, since);
    return CKV_OK;
}

/* A value may be back: it is if nothing else replaces or deletes it. Elements' first values are not deleted by a DELETE. */
static ckv_status value_back(ckv_doc *doc, const ckv_author_view *v, uint32_t reg, uint32_t lv,
                             uint32_t item, bool is_element)
{
    bool replaced;
    const uint32_t del = ckv_del_of(&doc->space.deletes, item);
    if (!is_element && ckv_del_hides(&doc->space.deletes, del)) return CKV_OK;
    CKV_TRY(ckv_register_replaced(&doc->tree.registers, &doc->graph, &doc->space.deletes, del,
                                  v->past, &doc->scratch, reg, lv, &replaced));
    if (!replaced) {
        CKV_TRY(ckv_register_reserve(&doc->tree.registers, reg, &doc->journal));
        ckv_tree_back(&doc->tree, reg, lv, &doc->journal);
    }
    return CKV_OK;
}

ckv_status ckv_apply_restore(ckv_doc *doc, const ckv_author_view *v, uint32_t change, uint32_t of,
                             uint32_t item, uint32_t n, uint32_t since, uint32_t *done)
{
    const size_t run = ckv_oplog_at_item(&doc->log, item);
    const ckv_op op = doc->log.ops.ptr[run];
    ckv_deletes *deletes = &doc->space.deletes;
    CKV_TRY(reserve_item(doc));
    *done = 1;
    bool named;
    if (op.kind == CKV_OP_INSERT || op.kind == CKV_OP_ELEMENTS) {
        const uint32_t left = ckv_oplog_len(&doc->log, run) - (item - op.item);
        ckv_gap gap;
        CKV_MUST(ckv_space_locate(&doc->space, item, &gap));
        named = ckv_del_by(deletes, ckv_space_span(&doc->space, gap.leaf, gap.slot)->del, of);
        if (named) {
            *done = ckv_seq_restore(&doc->space, &ckv_tree_at(&doc->tree, op.holder)->seq, gap,
                                    n < left ? n : left, of, change, &doc->journal);
            if (op.kind == CKV_OP_ELEMENTS) CKV_TRY(slots_follow(doc, item, *done));
        }
        for (uint32_t i = item; op.kind == CKV_OP_ELEMENTS && i < item + *done; i++) {
            const uint32_t reg = ckv_register_find(&doc->tree.registers, op.holder, i);
            if (reg == CKV_NONE) continue;
            CKV_TRY(reserve_item(doc));
            set_item_del(doc, i, ckv_del_restore(deletes, ckv_del_of(deletes, i), of, change));
            CKV_TRY(value_back(doc, v, reg, op.lv + (i - op.item), i, true));
        }
    } else {
        named = ckv_del_by(deletes, ckv_del_of(deletes, item), of);
        set_item_del(doc, item, ckv_del_restore(deletes, ckv_del_of(deletes, item), of, change));
        if (op.kind != CKV_OP_MARK)
            CKV_TRY(value_back(doc, v, ckv_doc_register_of(doc, &op), op.lv, item, false));
    }
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    ckv_oplog_restore(&doc->log, item, *done, of, named, since);
    return CKV_OK;
}
