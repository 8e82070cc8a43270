/* undo.c -- inverse operations, chosen by what is there at the time: nothing is inserted again, so blame, cursors, marks and what is inside containers
 * stay. Changes are taken back from the newest to the oldest, each as a whole:
 *
 *     what it inserted, and values it wrote that are there still    -> DELETE
 *     what it deleted, and values it replaced                       -> RESTORE of exactly its deletes (somebody else's stand)
 *     moves                                                         -> a MOVE beside the slot before
 *     counts                                                        -> the sum, negated
 */
#include "doc/undo.h"

#include "doc/apply.h"

typedef struct undoing {
    ckv_doc *doc;
    const uint32_t *scope;
    size_t n_scope;
    uint32_t change; /* that is taken back */
    bool did;
    ckv_hmap regs;   /* on which it wrote or erased: once is enough */
    ckv_u32s values; /* scratch */
    ckv_past before; /* what it knew */
} undoing;

/* What happened in a container that cannot be reached has no effect to take back. */
static bool in_scope(const undoing *u, uint32_t container)
{
    ckv_doc *doc = u->doc;
    if (!ckv_tree_is_live(&doc->tree, &doc->space, &doc->log, container)) return false;
    if (u->n_scope == 0) return true;
    for (uint32_t c = container;; c = ckv_tree_at(&u->doc->tree, c)->holder) {
        for (size_t i = 0; i < u->n_scope; i++) {
            if (u->scope[i] == c) return true;
        }
        if (c == CKV_ROOT) return false;
    }
}

static ckv_status room(undoing *u, size_t n)
{
    return u->doc->log.n_lv - u->doc->graph.ids.n_lv + n > CKV_MAX_OPS ||
                   u->doc->open_bytes > CKV_MAX_BODY_BYTES
               ? CKV_ELIMIT
               : CKV_OK;
}

static ckv_status delete(undoing *u, uint32_t item, uint32_t n)
{
    ckv_doc *doc = u->doc;
    while (n) {
        uint32_t done;
        CKV_TRY(room(u, n));
        CKV_TRY(
            ckv_apply_delete(doc, ckv_doc_open_change(doc), item, n, ckv_edit_since(doc), &done));
        doc->open_bytes += 24;
        u->did = true;
        item += done;
        n -= done;
    }
    return CKV_OK;
}

static ckv_status restore(undoing *u, uint32_t item, uint32_t n)
{
    ckv_doc *doc = u->doc;
    while (n) {
        uint32_t done;
        CKV_TRY(room(u, n));
        const ckv_author_view v = ckv_doc_own_view(doc);
        CKV_TRY(ckv_apply_restore(doc, &v, ckv_doc_open_change(doc), u->change, item, n,
                                  ckv_edit_since(doc), &done));
        doc->open_bytes += 64;
        u->did = true;
        item += done;
        n -= done;
    }
    return CKV_OK;
}

/* ---- sequences */

/* Items that the change inserted and that nobody deleted. */
static ckv_status take_out(undoing *u, uint32_t item, uint32_t n)
{
    ckv_doc *doc = u->doc;
    while (n) {
        ckv_gap gap;
        CKV_MUST(ckv_space_locate(&doc->space, item, &gap));
        const ckv_span *s = ckv_space_span(&doc->space, gap.leaf, gap.slot);
        const uint32_t left = s->len - (gap.off - 1), m = left < n ? left : n;
        if (ckv_del_open(&doc->space.deletes, s->del) == 0) CKV_TRY(delete (u, item, m));
        item += m;
        n -= m;
    }
    return CKV_OK;
}

/* Items that the change deleted, of whatever kind. */
static ckv_status put_back(undoing *u, uint32_t item, uint32_t n)
{
    ckv_doc *doc = u->doc;
    const ckv_deletes *deletes = &doc->space.deletes;
    while (n) {
        const ckv_op *op = &doc->log.ops.ptr[ckv_oplog_at_item(&doc->log, item)];
        uint32_t m = 1, del = ckv_del_of(deletes, item);
        if (op->kind == CKV_OP_INSERT || op->kind == CKV_OP_ELEMENTS) {
            ckv_gap gap;
            CKV_MUST(ckv_space_locate(&doc->space, item, &gap));
            const ckv_span *s = ckv_space_span(&doc->space, gap.leaf, gap.slot);
            m = s->len - (gap.off - 1);
            if (m > n) m = n;
            del = s->del;
        }
        /* op->holder: of the item, not of whoever named it */
        if (in_scope(u, op->holder) && ckv_del_by(deletes, del, u->change) &&
            !ckv_del_restored(deletes, del, u->change))
            CKV_TRY(restore(u, item, m));
        item += m;
        n -= m;
    }
    return CKV_OK;
}

/* The element shows at the slot that the change gave it, or at one that undoing made in its place: it goes back beside the slot that it had before. */
static ckv_status move_back(undoing *u, uint32_t slot, uint32_t element)
{
    ckv_doc *doc = u->doc;
    uint32_t left, right;
    uint32_t shown = ckv_moves_slot(&doc->moves, element);
    for (uint32_t stands_for; shown != slot; shown = stands_for) {
        stands_for = ckv_hmap_get(&doc->stands_for, shown);
        if (stands_for == CKV_HMAP_NONE) return CKV_OK;
    }
    const uint32_t old = ckv_moves_slot_at(&doc->moves, &doc->graph, &u->before, element);
    ckv_gap gap;
    CKV_MUST(ckv_space_locate(&doc->space, element, &gap));
    if (ckv_del_open(&doc->space.deletes, ckv_space_span(&doc->space, gap.leaf, gap.slot)->del))
        return CKV_OK;
    CKV_TRY(room(u, 1));
    CKV_TRY(ckv_apply_reserve_move(doc));
    CKV_TRY(ckv_hmap_reserve(&doc->stands_for, 1));
    CKV_MUST(ckv_space_locate(&doc->space, old, &gap));
    ckv_seq *seq = &ckv_tree_at(&doc->tree, doc->space.leaves.ptr[gap.leaf].seq)->seq;
    ckv_seq_around(&doc->space, seq, gap, &left, &right);
    ckv_seq_insert(&doc->space, seq, gap, doc->log.n_items, 1, &doc->journal);
    const ckv_author_view v = ckv_doc_own_view(doc);
    ckv_hmap_set(&doc->stands_for, doc->log.n_items, old);
    ckv_apply_move(doc, &v, element, left, right);
    doc->open_bytes += 32;
    u->did = true;
    return CKV_OK;
}

/* ---- registers */

/* The item of an operation that writes a value. */
static uint32_t item_at(const ckv_doc *doc, uint32_t lv)
{
    const ckv_op *op = &doc->log.ops.ptr[ckv_oplog_at_lv(&doc->log, lv)];
    return op->item + (lv - op->lv);
}

/* What the change left on a register goes, what it replaced comes back. */
static ckv_status undo_register(undoing *u, uint32_t reg)
{
    ckv_doc *doc = u->doc;
    const ckv_ids *ids = &doc->graph.ids;
    const uint32_t lv0 = ckv_ids_lv(ids, u->change), lv1 = ckv_ids_lv(ids, u->change + 1);
    size_t n;
    const uint32_t *live = ckv_register_values(&doc->tree.registers, reg, &n);
    uint32_t mine = CKV_NONE;
    for (size_t i = 0; i < n; i++) {
        if (live[i] >= lv0 && live[i] < lv1) mine = live[i];
    }
    /* The newest operation of the change on it: a value that is gone, or an erasure under a value of somebody else, is nothing to take back. */
    uint32_t last = doc->tree.registers.regs.ptr[reg].last;
    while (last != CKV_NONE && doc->tree.registers.ops.ptr[last].lv2 / 2 >= lv1)
        last = doc->tree.registers.ops.ptr[last].before;
    const bool wrote = last != CKV_NONE && doc->tree.registers.ops.ptr[last].lv2 & 1;
    if (wrote ? mine == CKV_NONE : n != 0) return CKV_OK;
    if (mine != CKV_NONE) {
        const uint32_t item = item_at(doc, mine);
        if (doc->log.ops.ptr[ckv_oplog_at_item(&doc->log, item)].kind == CKV_OP_ELEMENTS)
            return CKV_OK; /* the element itself goes */
        CKV_TRY(delete (u, item, 1));
    }
    u->values.len = 0;
    CKV_TRY(ckv_doc_values(doc, &u->before, reg, &u->values));
    for (size_t i = 0; i < u->values.len; i++) {
        const uint32_t item = item_at(doc, u->values.ptr[i]);
        if (!ckv_del_restored(&doc->space.deletes, ckv_del_of(&doc->space.deletes, item),
                              u->change))
            CKV_TRY(restore(u, item, 1));
    }
    return CKV_OK;
}

/* ---- one change */

static ckv_status undo_op(undoing *u, const ckv_op *op, uint32_t k, uint32_t n)
{
    ckv_doc *doc = u->doc;
    switch ((ckv_op_kind)op->kind) {
    case CKV_OP_INSERT:
    case CKV_OP_ELEMENTS: return in_scope(u, op->holder) ? take_out(u, op->item + k, n) : CKV_OK;
    case CKV_OP_DELETE: return put_back(u, op->item + k, n);
    case CKV_OP_SET:
    case CKV_OP_UNSET:
    case CKV_OP_ADD:
    case CKV_OP_DISCARD:
    case CKV_OP_ASSIGN: {
        const uint32_t reg = ckv_doc_register_of(doc, op);
        if (!in_scope(u, op->holder) || ckv_hmap_get(&u->regs, reg) != CKV_HMAP_NONE) return CKV_OK;
        CKV_TRY(ckv_hmap_reserve(&u->regs, 1));
        ckv_hmap_set(&u->regs, reg, 1);
        return undo_register(u, reg);
    }
    case CKV_OP_MOVE: {
        const uint32_t element = doc->log.moved.ptr[op->holder];
        const uint32_t list = doc->log.ops.ptr[ckv_oplog_at_item(&doc->log, element)].holder;
        return in_scope(u, list) ? move_back(u, op->item, element) : CKV_OK;
    }
    case CKV_OP_COUNT: {
        const int64_t amount = ckv_oplog_amount(op);
        if (!in_scope(u, op->holder) || amount == 0 || amount == INT64_MIN) return CKV_OK;
        CKV_TRY(room(u, 1));
        CKV_TRY(ckv_apply_count(doc, op->holder, -amount));
        doc->open_bytes += 24;
        u->did = true;
        return CKV_OK;
    }
    case CKV_OP_MARK:
        if (!in_scope(u, op->holder) ||
            ckv_del_hides(&doc->space.deletes, ckv_del_of(&doc->space.deletes, op->item)))
            return CKV_OK;
        return delete (u, op->item, 1);
    case CKV_OP_RESTORE: /* what it brought back goes again */
        for (uint32_t item = op->item + k, end = item + n; item < end; item++) {
            const ckv_op made = doc->log.ops.ptr[ckv_oplog_at_item(&doc->log, item)];
            if (!in_scope(u, made.holder)) continue;
            if (made.kind == CKV_OP_INSERT || made.kind == CKV_OP_ELEMENTS) {
                ckv_gap gap;
                CKV_MUST(ckv_space_locate(&doc->space, item, &gap));
                const uint32_t del = ckv_space_span(&doc->space, gap.leaf, gap.slot)->del;
                if (ckv_del_by(&doc->space.deletes, del, op->a)) CKV_TRY(take_out(u, item, 1));
            } else if (made.kind == CKV_OP_MARK) {
                if (!ckv_del_hides(&doc->space.deletes, ckv_del_of(&doc->space.deletes, item)))
                    CKV_TRY(delete (u, item, 1));
            } else if (ckv_register_has(&doc->tree.registers, ckv_doc_register_of(doc, &made),
                                        made.lv)) {
                CKV_TRY(delete (u, item, 1));
            }
        }
        return CKV_OK;
    }
    return CKV_OK;
}

static ckv_status undo_change(undoing *u, uint32_t change)
{
    ckv_doc *doc = u->doc;
    const ckv_graph *g = &doc->graph;
    const uint32_t lv0 = ckv_ids_lv(&g->ids, change);
    uint32_t n_parents;
    u->change = change;
    ckv_hmap_fini(&u->regs);
    const uint32_t *parents = ckv_graph_parents(g, change, &n_parents);
    CKV_TRY(ckv_past_of(&u->before, g, ckv_graph_prev(g, change), parents, n_parents));
    u->before.all = false;
    for (uint32_t end = ckv_ids_lv(&g->ids, change + 1); end > lv0;) {
        const size_t run = ckv_oplog_at_lv(&doc->log, end - 1);
        const ckv_op op = doc->log.ops.ptr[run]; /* a copy: the log grows */
        const uint32_t from = op.lv > lv0 ? op.lv : lv0;
        CKV_TRY(undo_op(u, &op, from - op.lv, end - from));
        end = from;
    }
    return CKV_OK;
}

ckv_status ckv_doc_undo(ckv_doc *doc, const uint32_t *changes, size_t n, const uint32_t *scope,
                        size_t n_scope, bool *did)
{
    const ckv_alloc a = doc->env.alloc;
    undoing u = {.doc = doc,
                 .scope = scope,
                 .n_scope = n_scope,
                 .regs = ckv_hmap_init(a, 1),
                 .values = {.a = a},
                 .before = ckv_past_init(a)};
    ckv_savepoint savepoint;
    CKV_TRY(ckv_doc_savepoint(doc, &savepoint));
    ckv_status s = CKV_OK;
    for (size_t i = n; i-- > 0 && s == CKV_OK;) s = undo_change(&u, changes[i]);
    if (s == CKV_OK)
        ckv_doc_release(doc, savepoint);
    else
        ckv_doc_rollback(doc, savepoint);
    *did = s == CKV_OK && u.did;
    ckv_hmap_fini(&u.regs);
    ckv_u32s_fini(&u.values);
    ckv_past_fini(&u.before);
    return s;
}
