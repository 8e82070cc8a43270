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
    for (uint32_t i = 0; i < n_parents; i++)
        n->parent_branch[i] = ckv_graph_branch(&n->doc->graph, parents[i], &seq);
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
    for (uint32_t i = 0; i < n->n_parents; i++)
        CKV_TRY(ckv_past_add(n->past, &n->doc->graph, n->parents[i]));
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
    for (uint32_t i = 0; i < n->n_parents; i++) {
        if (ckv_lanes_branch(&g->lanes, n->parent_branch[i])->lane != lane_no) continue;
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

/* Cuts the first piece of one chain from a DELETE of [item, item + left), as {target, n, item, branch, off}. */
static ckv_status first_piece(const ckv_canon *c, uint32_t item, uint32_t left, ckv_canon_op *op)
{
    const ckv_graph *g = &c->names->doc->graph;
    uint32_t len = left;
    *op = (ckv_canon_op){.kind = CKV_OP_DELETE, .item = item, .branch = CKV_NONE};
    if (item < c->names->item0) {
        op->branch = ckv_lanes_place(&g->lanes, item, g->ids.n_items, &op->off, &len);
        if (len > c->names->item0 - item) len = c->names->item0 - item;
    }
    CKV_TRY(ckv_name_item(c->names, item, c->made, &op->target));
    if (op->target.code >= CKV_REF_PARENT + c->names->n_parents && op->branch != CKV_NONE) {
        /* a table of changes names items inside one change */
        const uint32_t change = ckv_ids_change_of_item(&g->ids, item),
                       end = ckv_ids_item(&g->ids, change + 1);
        const ckv_lane *lane = ckv_lanes_of_branch(&g->lanes, op->branch);
        if (lane->n_branches > 1 && len > end - item) len = end - item;
    }
    op->n = len < left ? len : left;
    return CKV_OK;
}

/* Joins b to a when they touch on one chain under one code. */
static bool join_deletes(ckv_canon_op *a, const ckv_canon_op *b)
{
    if (a->target.code != b->target.code) return false;
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

/* Gathers the DELETEs that stand in a row from c->lv on: pieces of one chain each, joined until nothing touches its neighbour. */
static ckv_status gather_deletes(ckv_canon *c)
{
    const ckv_oplog *log = &c->names->doc->log;
    ckv_canon_ops *v = &c->names->deletes;
    v->len = c->next_delete = 0;
    for (; c->lv < c->lv1 && log->ops.ptr[c->run].kind == CKV_OP_DELETE; c->run++) {
        const ckv_op *o = &log->ops.ptr[c->run];
        const uint32_t end = o->lv + ckv_oplog_len(log, c->run), to = end < c->lv1 ? end : c->lv1;
        uint32_t item = o->item + (c->lv - o->lv);
        for (uint32_t left = to - c->lv; left;) {
            ckv_canon_op piece;
            CKV_TRY(first_piece(c, item, left, &piece));
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

bool ckv_canon_next(ckv_canon *c, ckv_canon_op *op, ckv_status *status)
{
    const ckv_oplog *log = &c->names->doc->log;
    *status = CKV_OK;
    if (c->next_delete == c->names->deletes.len) {
        if (c->lv == c->lv1) return false;
        const ckv_op *o = &log->ops.ptr[c->run];
        if (o->kind != CKV_OP_DELETE) {
            const uint32_t end = o->lv + ckv_oplog_len(log, c->run),
                           to = end < c->lv1 ? end : c->lv1, k = c->lv - o->lv;
            const ckv_container *holder = &c->names->doc->maps.containers.ptr[o->holder];
            *op = (ckv_canon_op){.kind = (ckv_op_kind)o->kind,
                                 .n = to - c->lv,
                                 .item = o->item,
                                 .left = holder->item,
                                 .right = CKV_NO_ITEM,
                                 .holder = CKV_NO_ITEM,
                                 .key = o->a,
                                 .value_off = o->b};
            if (o->kind == CKV_OP_INSERT) {
                op->item = o->item + k;
                op->left = k ? op->item - 1 : o->a;
                op->right = o->b;
                if (op->left == CKV_NO_ITEM && op->right == CKV_NO_ITEM) op->holder = holder->item;
            }
            c->lv = to;
            c->names->run_hint = c->run++;
            if (o->kind != CKV_OP_UNSET) c->made += op->n;
            return true;
        }
        *status = gather_deletes(c);
        if (*status != CKV_OK) return false;
    }
    *op = c->names->deletes.ptr[c->next_delete++];
    return true;
}

/* ---- bodies */

static ckv_status put_ops(ckv_namer *n, uint32_t lv0, uint32_t lv1, ckv_buf *out, ckv_buf *text)
{
    ckv_canon c;
    ckv_canon_op o;
    ckv_status s;
    const ckv_doc *doc = n->doc;
    ckv_canon_init(&c, n, lv0, lv1);
    for (uint32_t made = 0; ckv_canon_next(&c, &o, &s); made = c.made) {
        ckv_body_op op = {.kind = o.kind, .n = o.n};
        const uint32_t before =
            o.kind == CKV_OP_INSERT || o.kind == CKV_OP_SET ? c.made - o.n : made;
        switch (o.kind) {
        case CKV_OP_INSERT:
            CKV_TRY(ckv_name_item(n, o.left, before, &op.left));
            CKV_TRY(ckv_name_item(n, o.right, before, &op.right));
            CKV_TRY(ckv_name_item(n, o.holder, before, &op.holder));
            ckv_buf_clear(text);
            ckv_chars_utf8(&doc->log.chars, o.item, o.n, text);
            if (text->status != CKV_OK) return text->status;
            op.bytes = text->ptr;
            op.n_bytes = text->len;
            break;
        case CKV_OP_DELETE: op.left = o.target; break;
        case CKV_OP_SET:
            op.value_bytes = doc->log.values.ptr + o.value_off;
            op.n_value_bytes = ckv_oplog_value_bytes(&doc->log, o.value_off);
            /* fall through */
        case CKV_OP_UNSET:
            CKV_TRY(ckv_name_item(n, o.left, before, &op.left));
            op.bytes = (const uint8_t *)ckv_maps_key(&doc->maps, &doc->maps.slots.ptr[o.key]);
            op.n_bytes = doc->maps.slots.ptr[o.key].key_bytes;
            break;
        }
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
