#include "doc/admit.h"

#include "doc/encode.h"

/* The change that is being judged, and how it names things. */
typedef struct judge {
    ckv_doc *doc;
    const ckv_candidate *c;
    uint32_t lane, prev, prev_branch, own_off, item0;
    uint32_t parents[CKV_MAX_PARENTS], parent_branch[CKV_MAX_PARENTS],
        parent_items[CKV_MAX_PARENTS];
    uint32_t n_parents;
    ckv_body body;
    ckv_buf used; /* one byte for each entry of the table */
    ckv_author_view view;
    const char *why;
} judge;

static ckv_status wrong(judge *j, const char *why)
{
    j->why = why;
    return CKV_EVOID;
}

/* ---- from names to items */

static bool on_parent_chain(const judge *j, uint32_t i, uint32_t lane, uint32_t off, uint32_t item)
{
    const ckv_lanes *lanes = &j->doc->graph.lanes;
    return ckv_lanes_branch(lanes, j->parent_branch[i])->lane == lane && off < j->parent_items[i] &&
           ckv_lanes_item(lanes, j->parent_branch[i], off) == item;
}

static bool on_own_chain(const judge *j, uint32_t lane, uint32_t off, uint32_t item)
{
    return lane == j->lane && off < j->own_off &&
           ckv_lanes_item(&j->doc->graph.lanes, j->prev_branch, off) == item;
}

/* Items of the chain of `branch` that the past holds. */
static uint32_t items_in_past(const judge *j, uint32_t branch)
{
    const ckv_graph *g = &j->doc->graph;
    if (j->view.past->all) return ckv_lanes_branch(&g->lanes, branch)->off_end;
    uint32_t lo = ckv_lanes_branch(&g->lanes, branch)->seq0,
             hi = ckv_lanes_branch(&g->lanes, branch)->n_seq;
    while (lo < hi) { /* the first of its changes that is not in */
        const uint32_t mid = lo + (hi - lo) / 2;
        if (ckv_past_has(j->view.past, g, ckv_graph_at(g, branch, mid)))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo == ckv_lanes_branch(&g->lanes, branch)->seq0
               ? 0
               : ckv_chain_items(g, ckv_graph_at(g, branch, lo - 1));
}

/* A stretch of items by name: *item is the first, *len of them have consecutive numbers, at most n. `made` own items stand before. */
static ckv_status resolve(judge *j, ckv_ref ref, uint32_t skip, uint32_t n, uint32_t made,
                          uint32_t *item, uint32_t *len)
{
    const ckv_graph *g = &j->doc->graph;
    const ckv_lanes *lanes = &g->lanes;
    uint32_t off = 0, end = 0, branch = CKV_NONE;
    if (ref.code == CKV_REF_OWN) {
        const uint64_t next = (uint64_t)j->own_off + made;
        if (ref.value > next) return wrong(j, "rule 14: names an item before the lane's first");
        const uint64_t at = next - ref.value + skip;
        if (at + n > next) return wrong(j, "rule 14: names an item that comes later");
        if (at >= j->own_off) {
            *item = j->item0 + (uint32_t)(at - j->own_off);
            *len = n;
            return CKV_OK;
        }
        off = (uint32_t)at;
        branch = j->prev_branch;
        end = j->own_off;
    } else if (ref.code < CKV_REF_PARENT + j->n_parents) {
        const uint32_t i = ref.code - CKV_REF_PARENT;
        if (ref.value >= UINT32_MAX - skip) return wrong(j, "rule 14: offset out of range");
        off = ref.value + skip;
        branch = j->parent_branch[i];
        end = j->parent_items[i];
        if (off >= end) return wrong(j, "rule 14: names an item outside the causal past");
        for (uint32_t k = 0; k < i && skip == 0; k++) {
            *item = ckv_lanes_item(lanes, branch, off);
            if (on_parent_chain(j, k, ckv_lanes_branch(lanes, branch)->lane, off, *item))
                return wrong(j, "body: an item is not named by its one name");
        }
    } else {
        const uint32_t t = ref.code - CKV_REF_PARENT - j->n_parents;
        bool forked;
        uint32_t lane, deepest;
        j->used.ptr[t] = 1;
        if (t < j->body.n_lanes) {
            ckv_id32 id;
            memcpy(&id, j->body.lanes + 32 * (size_t)t, 32);
            lane = ckv_lanes_find(lanes, &id);
            deepest = lane == CKV_NONE ? CKV_NONE : ckv_past_lane(j->view.past, g, lane, &forked);
            if (deepest == CKV_NONE)
                return wrong(j, "rule 14: names a lane outside the causal past");
            if (forked) return wrong(j, "body: names a forked lane, not the change");
            if (ref.value >= UINT32_MAX - skip) return wrong(j, "rule 14: offset out of range");
            off = ref.value + skip;
            branch = deepest;
            end = items_in_past(j, branch);
            if (off >= end) return wrong(j, "rule 14: names an item outside the causal past");
            *item = ckv_lanes_item(lanes, branch, off);
        } else {
            ckv_id32 id;
            uint32_t change;
            memcpy(&id, j->body.changes + 32 * (size_t)(t - j->body.n_lanes), 32);
            const ckv_status s = ckv_ids_find(&j->doc->graph.ids, &id, &change);
            if (s == CKV_ENOENT || (s == CKV_OK && !ckv_past_has(j->view.past, g, change)))
                return wrong(j, "rule 14: names a change outside the causal past");
            CKV_TRY(s);
            const uint32_t first = ckv_ids_item(&g->ids, change),
                           n_items = ckv_ids_item(&g->ids, change + 1) - first;
            if (ref.value >= n_items || skip >= n_items - ref.value ||
                n > n_items - ref.value - skip)
                return wrong(j, "rule 14: names an item that its change did not make");
            *item = first + ref.value + skip;
            *len = n;
            branch = ckv_lanes_place(lanes, *item, g->ids.n_items, &off, NULL);
            lane = ckv_lanes_branch(lanes, branch)->lane;
            ckv_past_lane(j->view.past, g, lane, &forked);
            if (!forked) return wrong(j, "body: names a change, not its lane");
        }
        if (skip == 0) {
            if (on_own_chain(j, lane, off, *item))
                return wrong(j, "body: an item is not named by its one name");
            for (uint32_t k = 0; k < j->n_parents; k++) {
                if (on_parent_chain(j, k, lane, off, *item))
                    return wrong(j, "body: an item is not named by its one name");
            }
        }
        if (t >= j->body.n_lanes) return CKV_OK;
    }
    if (ref.code != CKV_REF_OWN && n > end - off)
        return wrong(j, "rule 14: names an item outside the causal past");
    *item = ckv_lanes_stretch(lanes, branch, off, len);
    if (*len > end - off) *len = end - off;
    if (*len > n) *len = n;
    return CKV_OK;
}

static ckv_status resolve_one(judge *j, ckv_ref ref, uint32_t made, uint32_t *item)
{
    uint32_t len;
    *item = CKV_NO_ITEM;
    return ref.code == CKV_REF_NONE ? CKV_OK : resolve(j, ref, 0, 1, made, item, &len);
}

/* The text that holds an item, CKV_NONE if none does. */
static uint32_t text_of(const judge *j, uint32_t item)
{
    ckv_gap gap;
    return ckv_space_locate(&j->doc->space, item, &gap) ? j->doc->space.leaves.ptr[gap.leaf].seq
                                                        : CKV_NONE;
}

/* ---- operations */

static ckv_status apply_insert(judge *j, const ckv_body_op *op, uint32_t made)
{
    ckv_doc *doc = j->doc;
    uint32_t left, right, holder, text = CKV_NONE;
    ckv_gap gap = CKV_GAP_START;
    CKV_TRY(resolve_one(j, op->left, made, &left));
    CKV_TRY(resolve_one(j, op->right, made, &right));
    CKV_TRY(resolve_one(j, op->holder, made, &holder));
    if (left != CKV_NO_ITEM) {
        if (ckv_space_locate(&doc->space, left, &gap)) text = doc->space.leaves.ptr[gap.leaf].seq;
    } else if (right != CKV_NO_ITEM) {
        text = text_of(j, right);
    } else {
        text = ckv_maps_container_of(&doc->maps, holder);
    }
    if (text == CKV_NONE || doc->maps.containers.ptr[text].tag != CKV_KIND_TEXT)
        return wrong(j, "rule 14: an insert's place is in no text");
    if (doc->log.n_items + (uint64_t)op->n >= UINT32_MAX / 4) return CKV_ELIMIT;
    CKV_TRY(ckv_chars_reserve(&doc->log.chars, doc->log.n_items, op->n, op->max_char));
    CKV_TRY(ckv_space_reserve(&doc->space, doc->log.n_items + op->n, 1));
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    CKV_TRY(ckv_journal_reserve(&doc->journal, 3));
    const uint32_t item = doc->log.n_items;
    CKV_TRY(ckv_integrate(&doc->space, &doc->maps.containers.ptr[text].seq, item, op->n, gap, right,
                          &j->view, &doc->journal, &j->why));
    ckv_chars_write_utf8(&doc->log.chars, item, op->n, op->bytes, op->n_bytes);
    ckv_oplog_insert(&doc->log, text, op->n, left, right);
    return CKV_OK;
}

static ckv_status apply_delete(judge *j, const ckv_body_op *op, uint32_t made)
{
    ckv_doc *doc = j->doc;
    const uint32_t change = ckv_ids_n(&doc->graph.ids);
    for (uint32_t done = 0; done < op->n;) {
        uint32_t item, len;
        CKV_TRY(resolve(j, op->left, done, op->n - done, made, &item, &len));
        done += len;
        while (len) {
            ckv_gap gap;
            if (!ckv_space_locate(&doc->space, item, &gap))
                return wrong(j, "rule 14: a delete names what is no character");
            const uint32_t text = doc->space.leaves.ptr[gap.leaf]
                                      .seq; /* a range may pass from one text into another */
            for (uint32_t del = ckv_space_span(&doc->space, gap.leaf, gap.slot)->del; del;) {
                const uint32_t by = ckv_del_next(&doc->space, &del);
                if (by >= change || ckv_past_has(j->view.past, &doc->graph, by))
                    return wrong(j, "rule 14: a delete names what was deleted in its causal past");
            }
            CKV_TRY(ckv_space_reserve(&doc->space, doc->log.n_items, 1));
            CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
            CKV_TRY(ckv_journal_reserve(&doc->journal, 1));
            ckv_seq *s = &doc->maps.containers.ptr[text].seq;
            const uint32_t n = ckv_seq_delete(&doc->space, s, gap, len, change, &doc->journal);
            ckv_oplog_delete(
                &doc->log, text, item, n,
                UINT32_MAX); /* in the order in which they are signed: pieces of one chain ascend */
            item += n;
            len -= n;
        }
    }
    return CKV_OK;
}

static ckv_status apply_key(judge *j, const ckv_body_op *op, uint32_t made)
{
    ckv_doc *doc = j->doc;
    uint32_t map_item, map = CKV_ROOT, slot;
    CKV_TRY(resolve_one(j, op->left, made, &map_item));
    if (map_item != CKV_NO_ITEM) map = ckv_maps_container_of(&doc->maps, map_item);
    if (map == CKV_NONE || doc->maps.containers.ptr[map].tag != CKV_KIND_MAP)
        return wrong(j, "rule 14: a key is set on what is no map");
    CKV_TRY(ckv_maps_slot_make(&doc->maps, map, op->bytes, op->n_bytes, &slot));
    CKV_TRY(ckv_maps_reserve(&doc->maps, slot));
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    CKV_TRY(ckv_journal_reserve(&doc->journal, doc->maps.slots.ptr[slot].live.len + 2));
    CKV_TRY(ckv_leaves_reserve(&doc->space.leaves, 1));
    const uint32_t lv = doc->log.n_lv, item = doc->log.n_items;
    if (op->kind == CKV_OP_UNSET) {
        ckv_oplog_unset(&doc->log, map, slot);
        ckv_maps_apply(&doc->maps, slot, lv, false, &j->view, &doc->journal);
        return CKV_OK;
    }
    const size_t value_off = doc->log.values.len;
    if (value_off + op->n_value_bytes > UINT32_MAX) return CKV_ELIMIT;
    ckv_buf_bytes(&doc->log.values, op->value_bytes, op->n_value_bytes);
    if (doc->log.values.status != CKV_OK) {
        const ckv_status s = doc->log.values.status;
        doc->log.values.status = CKV_OK;
        return s;
    }
    ckv_oplog_set(&doc->log, map, slot, (uint32_t)value_off);
    ckv_maps_apply(&doc->maps, slot, lv, true, &j->view, &doc->journal);
    if (op->value.tag == CKV_TAG_TEXT) {
        const uint32_t text =
            ckv_maps_new_container(&doc->maps, CKV_KIND_TEXT, item, lv, slot, &doc->journal);
        ckv_seq seq;
        CKV_MUST(ckv_seq_init(&seq, &doc->space, text) == CKV_OK);
        doc->maps.containers.ptr[text].seq = seq;
    }
    return CKV_OK;
}

/* All operations. CKV_EVOID leaves the first of them in the journal. */
static ckv_status apply_body(judge *j)
{
    ckv_body *b = &j->body;
    ckv_body_op op;
    for (uint32_t made = 0; ckv_body_next(b, &op); made = b->n_items) {
        switch (op.kind) {
        case CKV_OP_INSERT: CKV_TRY(apply_insert(j, &op, made)); break;
        case CKV_OP_DELETE: CKV_TRY(apply_delete(j, &op, made)); break;
        case CKV_OP_SET:
        case CKV_OP_UNSET: CKV_TRY(apply_key(j, &op, made)); break;
        }
    }
    if (b->status != CKV_OK) return wrong(j, b->why);
    if (b->n_ops != j->c->header.n_ops) return wrong(j, "n_ops is not that of the body");
    for (size_t i = 0; i < j->used.len; i++) {
        if (!j->used.ptr[i]) return wrong(j, "body: an entry of the table is not used");
    }
    return CKV_OK;
}

/* ---- the change */

static ckv_status refuse(ckv_judgement *out, ckv_refusal_kind kind, const char *reason)
{
    out->verdict = CKV_REFUSED;
    out->kind = kind;
    out->reason = reason;
    return CKV_OK;
}

/* Keeps a void change: in the graph, without effect, its body as it came. */
static ckv_status enter_void(judge *j, ckv_judgement *out)
{
    ckv_doc *doc = j->doc;
    const size_t off = doc->void_bodies.len;
    if (ckv_buf_reserve(&doc->void_bodies, 1))
        ckv_buf_bytes(&doc->void_bodies, j->c->body, j->c->header.body_len); /* never NULL */
    if (doc->void_bodies.status != CKV_OK) {
        const ckv_status s = doc->void_bodies.status;
        doc->void_bodies.status = CKV_OK;
        return s;
    }
    ckv_void_ats_put(&doc->voids, (ckv_void_at){ckv_ids_n(&doc->graph.ids), j->c->header.n_ops, off,
                                                j->c->header.body_len, j->why});
    out->verdict = CKV_VOIDED;
    out->reason = j->why;
    return CKV_OK;
}

ckv_status ckv_admit(ckv_doc *doc, const ckv_candidate *c, ckv_judgement *out)
{
    ckv_graph *g = &doc->graph;
    judge j; /* field by field: clearing all of it would cost as much as judging a keystroke */
    j.doc = doc;
    j.c = c;
    j.lane = c->lane_no;
    j.prev = c->prev;
    j.prev_branch = CKV_NONE;
    j.n_parents = c->header.n_parents;
    j.item0 = g->ids.n_items;
    j.own_off = 0;
    j.why = NULL;
    bool missing = false;
    uint32_t seq, branch = CKV_NONE;
    uint64_t clock = 0; /* the greatest of the ancestors */
    *out = (ckv_judgement){.verdict = CKV_APPLIED};
    if (j.lane == CKV_NONE) j.lane = ckv_lanes_find(&g->lanes, c->lane);

    /* Ancestors: here, and of the right lanes. */
    if (c->header.has_prev) {
        ckv_status s = CKV_OK;
        if (j.prev == CKV_NONE) s = ckv_ids_find(&g->ids, &c->header.prev, &j.prev);
        if (s == CKV_ENOENT) {
            missing = true;
            out->missing = c->header.prev;
        } else {
            CKV_TRY(s);
            const ckv_stand at = ckv_graph_stand(g, j.prev);
            j.prev_branch = at.branch;
            clock = at.clock;
            if (ckv_lanes_branch(&g->lanes, j.prev_branch)->lane != j.lane)
                return refuse(out, CKV_REFUSED_OTHER, "prev is of another lane");
            if (at.seq + 1 != c->header.seq)
                return refuse(out, CKV_REFUSED_OTHER, "seq is not that of prev and one");
        }
    }
    for (uint32_t i = 0; i < j.n_parents; i++) {
        ckv_id32 id;
        memcpy(&id, &c->header.parents[i], 32);
        const ckv_status s = ckv_ids_find(&g->ids, &id, &j.parents[i]);
        if (s == CKV_ENOENT) {
            if (!missing) out->missing = id;
            missing = true;
            continue;
        }
        CKV_TRY(s);
        const ckv_stand at = ckv_graph_stand(g, j.parents[i]);
        if (at.clock > clock) clock = at.clock;
        j.parent_branch[i] = at.branch;
        j.parent_items[i] = ckv_chain_items_on(g, at.branch, j.parents[i]);
        if (ckv_lanes_branch(&g->lanes, j.parent_branch[i])->lane == j.lane)
            return refuse(out, CKV_REFUSED_OTHER, "a parent is of the own lane");
    }
    if (missing) {
        out->verdict = CKV_WAITING;
        return CKV_OK;
    }

    /* A later version's body is kept aside; one that does not decode is void. */
    const ckv_status opened = ckv_body_open(&j.body, c->body, c->header.body_len, j.n_parents);
    if (opened == CKV_ELATER) {
        out->verdict = CKV_LATER;
        return CKV_OK;
    }
    if (opened != CKV_OK) j.why = j.body.why;

    if (j.prev != CKV_NONE && ckv_lanes_branch(&g->lanes, j.prev_branch)->tip == j.prev)
        branch = j.prev_branch;
    if (branch == CKV_NONE && j.lane != CKV_NONE &&
        ckv_lanes_lane(&g->lanes, j.lane)->n_branches >= CKV_MAX_TIPS) {
        size_t at = SIZE_MAX;
        if (ckv_inbox_waiter(&doc->inbox, c->id, &at) == CKV_HMAP_NONE)
            return refuse(out, CKV_REFUSED_LIMIT, "the lane has 1,024 tips");
    }
    if (j.lane == CKV_NONE)
        CKV_TRY(ckv_lanes_add(&g->lanes, c->lane, c->author, c->nonce, &j.lane));
    CKV_TRY(ckv_past_of(&doc->past, g, j.prev, j.parents, j.n_parents));
    CKV_TRY(ckv_graph_reserve(g, branch, j.n_parents, &doc->past));
    CKV_TRY(ckv_doc_reserve_notes(doc, j.body.message_bytes));
    if (j.prev != CKV_NONE) j.own_off = ckv_chain_items_on(g, j.prev_branch, j.prev);

    j.view = (ckv_author_view){.graph = g,
                               .oplog = &doc->log,
                               .past = &doc->past,
                               .own_item = j.item0,
                               .clock = clock + 1,
                               .id = c->id};

    const size_t journal = doc->journal.log.len;
    ckv_status s = opened;
    j.used = (ckv_buf){0};
    if (s == CKV_OK) {
        j.used = ckv_buf_init(doc->env.alloc);
        const size_t n_table = (size_t)j.body.n_lanes + j.body.n_changes;
        if (n_table && ckv_buf_reserve(&j.used, n_table)) {
            memset(j.used.ptr, 0, n_table);
            j.used.len = n_table;
        }
        s = j.used.status == CKV_OK ? apply_body(&j) : j.used.status;
        ckv_buf_fini(&j.used);
    }
    uint32_t n_ops = c->header.n_ops, n_items = doc->log.n_items - j.item0;
    if (s != CKV_OK) {
        ckv_doc_undo_to(doc, journal);
        ckv_oplog_truncate(&doc->log, g->ids.n_lv, g->ids.n_items);
        n_ops = n_items = 0;
        if (s != CKV_EVOID) return s;
        CKV_TRY(enter_void(&j, out));
    }
    out->change = ckv_graph_append(g, j.lane, branch, j.prev, j.parents, j.n_parents, &doc->past,
                                   c->id, n_ops, n_items);
    out->lane_no = j.lane;
    branch = ckv_graph_branch(g, out->change, &seq);
    ckv_lanes_weigh(&g->lanes, branch, c->header.body_len);
    ckv_doc_note(doc, out->change, opened == CKV_OK ? j.body.time : 0,
                 opened == CKV_OK ? j.body.message : NULL, j.body.message_bytes);
    doc->root_valid = false;
    return c->signature ? ckv_lanes_sign(&g->lanes, branch, seq, c->signature)
                        : CKV_OK; /* a failure takes the whole apply back */
}
