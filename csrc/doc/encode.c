#include "doc/encode.h"

#include <stdlib.h>

/* Codes of table entries before the table is sorted. */
#define UNSORTED 0x40000000u

uint32_t ckv_chain_items_on(const ckv_graph *g, uint32_t branch, uint32_t change)
{
    const ckv_branch *b = ckv_lanes_branch(&g->lanes, branch);
    return b->tip == change
               ? b->off_end
               : ckv_lanes_off_before(&g->lanes, branch, ckv_ids_item(&g->ids, change + 1));
}

uint32_t ckv_chain_items(const ckv_graph *g, uint32_t change)
{
    return ckv_chain_items_on(g, ckv_graph_stand(g, change).branch, change);
}

void ckv_namer_init(ckv_namer *n, ckv_doc *doc)
{
    const ckv_alloc a = doc->env.alloc;
    *n = (ckv_namer){.doc = doc,
                     .past = &doc->scratch,
                     .lanes = ckv_buf_init(a),
                     .changes = ckv_buf_init(a),
                     .deletes = {.a = a},
                     .text = ckv_buf_init(a)};
}

void ckv_namer_fini(ckv_namer *n)
{
    ckv_buf_fini(&n->lanes);
    ckv_buf_fini(&n->changes);
    ckv_canon_ops_fini(&n->deletes);
    ckv_buf_fini(&n->text);
}

/* How many parents may name items. */
static uint32_t n_naming(const ckv_namer *n)
{
    return n->n_parents < CKV_MAX_PARENTS ? n->n_parents : CKV_MAX_PARENTS;
}

void ckv_namer_of(ckv_namer *n, uint32_t lane, uint32_t prev, const uint32_t *parents,
                  uint32_t n_parents, uint32_t item0)
{
    uint32_t seq;
    n->lane = lane;
    n->prev = prev;
    n->own_branch = CKV_NONE;
    n->own_off = 0;
    n->item0 = item0;
    n->parents = parents;
    n->n_parents = n_parents;
    n->past_ready = n->sorted = false;
    ckv_buf_clear(&n->lanes);
    ckv_buf_clear(&n->changes);
    if (prev != CKV_NONE) {
        n->own_branch = ckv_graph_branch(&n->doc->graph, prev, &seq);
        n->own_off = ckv_chain_items_on(&n->doc->graph, n->own_branch, prev);
    }
    for (uint32_t i = 0; i < n_naming(n); i++)
        n->parent_branch[i] =
            parents[i] == CKV_NONE ? CKV_NONE : ckv_graph_branch(&n->doc->graph, parents[i], &seq);
}

void ckv_namer_next(ckv_namer *n, uint32_t branch, uint32_t prev, uint32_t n_items, uint32_t item0)
{
    n->prev = prev;
    n->own_branch = branch;
    n->own_off += n_items;
    n->item0 = item0;
    n->n_parents = 0;
    n->past_ready = n->sorted = false;
    ckv_buf_clear(&n->lanes);
    ckv_buf_clear(&n->changes);
}

static ckv_status past_ready(ckv_namer *n)
{
    if (n->past_ready) return CKV_OK;
    ckv_past_reset(n->past);
    if (n->prev != CKV_NONE) CKV_TRY(ckv_past_add(n->past, &n->doc->graph, n->prev));
    for (uint32_t i = 0; i < n_naming(n); i++) {
        if (n->parents[i] != CKV_NONE)
            CKV_TRY(ckv_past_add(n->past, &n->doc->graph, n->parents[i]));
    }
    ckv_past_close(n->past, &n->doc->graph);
    n->past_ready = true;
    return CKV_OK;
}

/* The place of an id in a table that is sorted, or in one that grows. */
static ckv_status table_entry(ckv_namer *n, ckv_buf *t, const ckv_id32 *id, uint32_t *i)
{
    if (n->sorted) {
        const uint8_t *p = bsearch(id, t->ptr, t->len / 32, 32, ckv_id32_order);
        *i = (uint32_t)((size_t)(p - t->ptr) / 32);
        return CKV_OK;
    }
    *i = UNSORTED;
    ckv_buf_bytes(t, id, 32);
    return t->status;
}

ckv_status ckv_name_item(ckv_namer *n, uint32_t item, uint32_t made, ckv_ref *ref)
{
    const ckv_graph *g = &n->doc->graph;
    if (item == CKV_NO_ITEM) {
        *ref = (ckv_ref){CKV_REF_NONE, 0};
        return CKV_OK;
    }
    if (item >= n->item0) {
        *ref = (ckv_ref){CKV_REF_OWN, n->item0 + made - item};
        return CKV_OK;
    }
    uint32_t off;
    const uint32_t branch = ckv_lanes_place(&g->lanes, item, g->ids.n_items, &off, NULL);
    const ckv_lane *lane = ckv_lanes_of_branch(&g->lanes, branch);
    const uint32_t lane_no = ckv_lanes_branch(&g->lanes, branch)->lane;
    const bool alone = lane->n_branches == 1;
    if (lane_no == n->lane && off < n->own_off &&
        (alone || ckv_lanes_item(&g->lanes, n->own_branch, off) == item)) {
        *ref = (ckv_ref){CKV_REF_OWN, n->own_off + made - off};
        return CKV_OK;
    }
    for (uint32_t i = 0; i < n_naming(n); i++) {
        if (n->parent_branch[i] == CKV_NONE ||
            ckv_lanes_branch(&g->lanes, n->parent_branch[i])->lane != lane_no)
            continue;
        if (off >= ckv_chain_items(g, n->parents[i])) continue;
        if (!alone && ckv_lanes_item(&g->lanes, n->parent_branch[i], off) != item) continue;
        *ref = (ckv_ref){CKV_REF_PARENT + i, off};
        return CKV_OK;
    }
    bool forked = false;
    uint32_t at;
    if (!alone) {
        CKV_TRY(past_ready(n));
        ckv_past_lane(n->past, g, lane_no, &forked);
        if (!forked) /* forged: the lane's item with this offset is another one there */
            forked = !ckv_past_has_item(n->past, g, item);
    }
    if (!forked) {
        CKV_TRY(table_entry(n, &n->lanes, &lane->id, &at));
        *ref = (ckv_ref){CKV_REF_PARENT + n->n_parents + at, off};
        return CKV_OK;
    }
    const uint32_t c = ckv_ids_change_of_item(&g->ids, item);
    CKV_TRY(table_entry(n, &n->changes, ckv_ids_at(&g->ids, c), &at));
    *ref = (ckv_ref){CKV_REF_PARENT + n->n_parents + (uint32_t)(n->lanes.len / 32) + at,
                     item - ckv_ids_item(&g->ids, c)};
    return CKV_OK;
}

/* ---- the operations of a change */

void ckv_canon_init(ckv_canon *c, ckv_namer *names, uint32_t lv0, uint32_t lv1)
{
    *c = (ckv_canon){.names = names, .lv = lv0, .lv1 = lv1};
    names->deletes.len = 0;
    if (lv0 == lv1) return;
    const ckv_oplog *log =
        &names->doc
             ->log; /* changes are mostly asked for in order: the run is where the last one ended */
    for (c->run = names->run_hint; c->run < log->ops.len && c->run < names->run_hint + 2;
         c->run++) {
        if (log->ops.ptr[c->run].lv <= lv0 &&
            lv0 < log->ops.ptr[c->run].lv + ckv_oplog_len(log, c->run))
            return;
    }
    c->run = ckv_oplog_at_lv(log, lv0);
}

uint32_t ckv_container_item(const ckv_doc *doc, uint32_t container, const ckv_past *past,
                            uint32_t own_item, uint32_t lv)
{
    const ckv_u32s *makers = ckv_tree_makers(&doc->tree, container);
    if (!makers) return ckv_tree_at(&doc->tree, container)->item;
    uint32_t best = CKV_NO_ITEM, best_lv = CKV_NONE;
    for (size_t i = 0; i < makers->len; i++) {
        const uint32_t item = makers->ptr[i];
        const uint32_t made = ckv_oplog_lv_of(&doc->log, item);
        if (item >= own_item ? made >= lv : !ckv_past_has_item(past, &doc->graph, item)) continue;
        if (best == CKV_NO_ITEM || ckv_lv_before(&doc->graph, made, best_lv))
            best = item, best_lv = made;
    }
    return best;
}

static ckv_status name_container(ckv_namer *n, uint32_t container, uint32_t lv, uint32_t *item)
{
    const bool several = ckv_tree_makers(&n->doc->tree, container) != NULL;
    if (several) CKV_TRY(past_ready(n));
    *item = ckv_container_item(n->doc, container, n->past, n->item0, lv);
    if (several && *item == CKV_NO_ITEM) /* forged: no maker is in this past */
        *item = ckv_tree_makers(&n->doc->tree, container)->ptr[0];
    return CKV_OK;
}

/* How many items from this one on surely have the same name: up to where the chain that `ref` names ends, and in a lane that forked up to
 * the end of the change, since what follows here may stand on another branch. */
static uint32_t reach(const ckv_namer *n, ckv_ref ref, uint32_t item, uint32_t branch, uint32_t off)
{
    const ckv_graph *g = &n->doc->graph;
    uint32_t most = UINT32_MAX;
    if (ref.code == CKV_REF_OWN)
        most = n->own_off - off;
    else if (ref.code < CKV_REF_PARENT + n->n_parents)
        most = ckv_chain_items(g, n->parents[ref.code - CKV_REF_PARENT]) - off;
    if (ckv_lanes_of_branch(&g->lanes, branch)->n_branches == 1) return most;
    const uint32_t end = ckv_ids_item(&g->ids, ckv_ids_change_of_item(&g->ids, item) + 1);
    return end - item < most ? end - item : most;
}

/* Cuts the first piece of one chain from a DELETE or RESTORE of [item, item + left), as {target, n, item, branch, off}. */
static ckv_status first_piece(const ckv_canon *c, uint32_t item, uint32_t left, ckv_canon_op *op)
{
    const ckv_graph *g = &c->names->doc->graph;
    uint32_t len = left;
    *op = (ckv_canon_op){.item = item, .branch = CKV_NONE};
    if (item < c->names->item0) {
        op->branch = ckv_lanes_place(&g->lanes, item, g->ids.n_items, &op->off, &len);
        if (len > c->names->item0 - item) len = c->names->item0 - item;
    }
    CKV_TRY(ckv_name_item(c->names, item, c->made, &op->target));
    if (op->branch != CKV_NONE) {
        const uint32_t most = reach(c->names, op->target, item, op->branch, op->off);
        if (len > most) len = most;
    }
    op->n = len < left ? len : left;
    return CKV_OK;
}

/* Joins b to a when they touch on one chain under one code. */
static bool join_deletes(ckv_canon_op *a, const ckv_canon_op *b)
{
    if (a->target.code != b->target.code || a->of != b->of) return false;
    if (a->kind == CKV_OP_RESTORE && !(a->reg && b->reg)) return false;
    const bool own = a->target.code == CKV_REF_OWN; /* distances count backwards */
    const int64_t sa = own ? -(int64_t)a->target.value : a->target.value,
                  sb = own ? -(int64_t)b->target.value : b->target.value;
    if (a->target.code >= UNSORTED) { /* which entry, is not known yet: same place then */
        if (a->branch != b->branch || a->off + a->n != b->off) {
            if (a->branch != b->branch || b->off + b->n != a->off) return false;
        }
    }
    if (sa + a->n == sb) {
        a->n += b->n;
        return true;
    }
    if (sb + b->n == sa) {
        a->target = b->target;
        a->item = b->item;
        a->off = b->off;
        a->branch = b->branch;
        a->n += b->n;
        return true;
    }
    return false;
}

/* Gathers the DELETEs, or the RESTOREs, that stand in a row from c->lv on: pieces of one chain each, joined until nothing touches its neighbour. */
static ckv_status gather_deletes(ckv_canon *c)
{
    const ckv_oplog *log = &c->names->doc->log;
    ckv_canon_ops *v = &c->names->deletes;
    const uint32_t kind = log->ops.ptr[c->run].kind;
    v->len = c->next_delete = 0;
    for (; c->lv < c->lv1 && log->ops.ptr[c->run].kind == kind; c->run++) {
        const ckv_op *o = &log->ops.ptr[c->run];
        const uint32_t end = o->lv + ckv_oplog_len(log, c->run), to = end < c->lv1 ? end : c->lv1;
        uint32_t item = o->item + (c->lv - o->lv);
        for (uint32_t left = to - c->lv; left;) {
            ckv_canon_op piece;
            CKV_TRY(first_piece(c, item, left, &piece));
            piece.kind = (ckv_op_kind)kind;
            if (kind == CKV_OP_RESTORE) piece.of = o->a, piece.reg = o->holder;
            item += piece.n;
            left -= piece.n;
            CKV_TRY(ckv_canon_ops_push(v, piece));
            while (v->len > 1 && join_deletes(&v->ptr[v->len - 2], &v->ptr[v->len - 1])) v->len--;
        }
        c->lv = to;
        c->names->run_hint = c->run;
    }
    return CKV_OK;
}

/* One that is no DELETE or RESTORE: run o from c->lv on. */
static ckv_status plain_op(ckv_canon *c, const ckv_op *o, ckv_canon_op *op)
{
    const ckv_oplog *log = &c->names->doc->log;
    const uint32_t end = o->lv + ckv_oplog_len(log, c->run), to = end < c->lv1 ? end : c->lv1,
                   k = c->lv - o->lv;
    *op = (ckv_canon_op){.kind = (ckv_op_kind)o->kind,
                         .n = to - c->lv,
                         .item = o->item,
                         .left = CKV_NO_ITEM,
                         .right = CKV_NO_ITEM,
                         .holder = CKV_NO_ITEM,
                         .value_off = o->b};
    switch ((ckv_op_kind)o->kind) {
    case CKV_OP_INSERT:
    case CKV_OP_ELEMENTS:
        op->item = o->item + k;
        op->left = k ? op->item - 1 : o->a;
        op->right = o->b;
        if (op->left == CKV_NO_ITEM && op->right == CKV_NO_ITEM)
            CKV_TRY(name_container(c->names, o->holder, c->lv, &op->holder));
        if (o->kind == CKV_OP_ELEMENTS) op->value_off = ckv_oplog_value_of(log, op->item);
        break;
    case CKV_OP_SET:
    case CKV_OP_UNSET:
    case CKV_OP_ADD:
    case CKV_OP_DISCARD:
        op->reg = o->a;
        CKV_TRY(name_container(c->names, o->holder, c->lv, &op->left));
        break;
    case CKV_OP_ASSIGN: op->left = o->a; break;
    case CKV_OP_MOVE:
        op->left = o->a;
        op->right = o->b;
        op->holder = log->moved.ptr[o->holder];
        break;
    case CKV_OP_COUNT:
        op->amount = ckv_oplog_amount(o);
        CKV_TRY(name_container(c->names, o->holder, c->lv, &op->left));
        break;
    case CKV_OP_MARK:
        op->left = o->a;
        op->right = o->b;
        if (op->left == CKV_NO_ITEM && op->right == CKV_NO_ITEM)
            CKV_TRY(name_container(c->names, o->holder, c->lv, &op->holder));
        break;
    case CKV_OP_DELETE:
    case CKV_OP_RESTORE: break; /* gathered */
    }
    c->lv = to;
    c->names->run_hint = c->run++;
    if (ckv_op_makes_items(op->kind)) c->made += op->n;
    return CKV_OK;
}

bool ckv_canon_next(ckv_canon *c, ckv_canon_op *op, ckv_status *status)
{
    const ckv_oplog *log = &c->names->doc->log;
    *status = CKV_OK;
    if (c->next_delete == c->names->deletes.len) {
        if (c->lv == c->lv1) return false;
        const ckv_op *o = &log->ops.ptr[c->run];
        if (o->kind != CKV_OP_DELETE && o->kind != CKV_OP_RESTORE) {
            *status = plain_op(c, o, op);
            return *status == CKV_OK;
        }
        *status = gather_deletes(c);
        if (*status != CKV_OK) return false;
    }
    *op = c->names->deletes.ptr[c->next_delete++];
    return true;
}

/* ---- bodies */

/* The bytes of n encoded values in a row. */
size_t ckv_values_bytes(const ckv_oplog *log, uint32_t value_off, uint32_t n)
{
    size_t bytes = 0;
    while (n--) bytes += ckv_oplog_value_bytes(log, value_off + (uint32_t)bytes);
    return bytes;
}

/* What an operation has besides references. */
static void put_content(const ckv_doc *doc, const ckv_canon_op *o, ckv_body_op *op)
{
    const ckv_oplog *log = &doc->log;
    if (o->kind == CKV_OP_SET || o->kind == CKV_OP_UNSET) {
        const uint32_t key = doc->tree.registers.regs.ptr[o->reg].key;
        op->bytes = ckv_keys_bytes(&doc->tree.keys, key);
        op->n_bytes = ckv_keys_len(&doc->tree.keys, key);
    }
    uint32_t value_off = o->value_off, n_values = o->n;
    switch ((unsigned)o->kind) {
    case CKV_OP_SET:
    case CKV_OP_ASSIGN:
    case CKV_OP_ADD:
    case CKV_OP_DISCARD:
    case CKV_OP_ELEMENTS: break;
    case CKV_OP_MARK: {
        const ckv_mark_op *mark = ckv_oplog_mark_of(log, o->item);
        op->sides = mark->sides;
        op->bytes = log->values.ptr + mark->name_off;
        op->n_bytes = mark->name_bytes;
        value_off = mark->value_off;
        n_values = value_off != CKV_NO_VALUE;
        break;
    }
    default: return;
    }
    if (!n_values) return;
    op->value_bytes = log->values.ptr + value_off;
    op->n_value_bytes = ckv_values_bytes(log, value_off, n_values);
}

static ckv_status put_ops(ckv_namer *n, uint32_t lv0, uint32_t lv1, ckv_buf *out, ckv_buf *text)
{
    ckv_canon c;
    ckv_canon_op o;
    ckv_status s;
    const ckv_doc *doc = n->doc;
    ckv_canon_init(&c, n, lv0, lv1);
    while (ckv_canon_next(&c, &o, &s)) {
        ckv_body_op op = {.kind = o.kind, .n = o.n};
        const uint32_t before = ckv_op_makes_items(o.kind) ? c.made - o.n : c.made;
        if (o.kind == CKV_OP_DELETE || o.kind == CKV_OP_RESTORE) {
            op.left = o.target;
            if (o.kind == CKV_OP_RESTORE)
                CKV_TRY(table_entry(n, &n->changes, ckv_ids_at(&doc->graph.ids, o.of), &op.change));
        } else {
            CKV_TRY(ckv_name_item(n, o.left, before, &op.left));
            CKV_TRY(ckv_name_item(n, o.right, before, &op.right));
            CKV_TRY(ckv_name_item(n, o.holder, before, &op.holder));
        }
        if (o.kind == CKV_OP_INSERT) {
            ckv_buf_clear(text);
            ckv_chars_utf8(&doc->log.chars, o.item, o.n, text);
            if (text->status != CKV_OK) return text->status;
            op.bytes = text->ptr;
            op.n_bytes = text->len;
        }
        op.amount = o.amount;
        put_content(doc, &o, &op);
        ckv_body_put(out, &op);
    }
    return s != CKV_OK ? s : out->status;
}

ckv_status ckv_encode_body(ckv_namer *n, uint32_t lv0, uint32_t lv1, const ckv_body_head *head,
                           ckv_buf *out)
{
    const size_t start = out->len;
    ckv_body_begin(out, head);
    ckv_status s = put_ops(n, lv0, lv1, out, &n->text);
    if (s == CKV_OK && n->lanes.len + n->changes.len) { /* once more, now that the table is known */
        n->lanes.len = 32 * ckv_id32_sort_unique(n->lanes.ptr, n->lanes.len / 32);
        n->changes.len = 32 * ckv_id32_sort_unique(n->changes.ptr, n->changes.len / 32);
        n->sorted = true;
        ckv_body_head with = *head;
        with.lanes = (const ckv_id32 *)(const void *)n->lanes.ptr;
        with.changes = (const ckv_id32 *)(const void *)n->changes.ptr;
        with.n_lanes = (uint32_t)(n->lanes.len / 32);
        with.n_changes = (uint32_t)(n->changes.len / 32);
        out->len = start;
        ckv_body_begin(out, &with);
        s = put_ops(n, lv0, lv1, out, &n->text);
    }
    return s;
}
