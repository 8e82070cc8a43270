/* txn.c -- the open change: lone edits gather in it until it is closed, hashed and, in time, signed. Blocks set savepoints in it and may roll it back.
 *
 * A change builds on everything that is here: its own lane's tip, and at most 32 other heads. Where there are more, knots, changes
 * without operations, join 32 each before it (docs/adr/0001-identity-is-the-hash.md).
 */
#include "doc/encode.h"
#include "doc/state.h"

bool ckv_doc_is_open(const ckv_doc *doc)
{
    return doc->pending.kind != 0 || doc->log.n_lv != doc->graph.ids.n_lv;
}
size_t ckv_doc_open_bytes(const ckv_doc *doc) { return doc->open_bytes + doc->pending.n; }

static uint32_t own_tip(const ckv_doc *doc)
{
    if (doc->own_lane == CKV_NONE) return CKV_NONE;
    const uint32_t b = ckv_lanes_lane(&doc->graph.lanes, doc->own_lane)->first_branch;
    return b == CKV_NONE ? CKV_NONE : ckv_lanes_branch(&doc->graph.lanes, b)->tip;
}

/* The heads that are not ours, in order of their ids; at most `most`. */
static uint32_t foreign_heads(const ckv_doc *doc, uint32_t out[CKV_MAX_PARENTS])
{
    const uint32_t tip = own_tip(doc);
    uint32_t n = 0;
    for (size_t i = 0; i < doc->graph.heads.len && n < CKV_MAX_PARENTS; i++) {
        if (doc->graph.heads.ptr[i] != tip) out[n++] = doc->graph.heads.ptr[i];
    }
    return n;
}

static size_t knots_needed(const ckv_doc *doc)
{
    const uint32_t tip = own_tip(doc);
    size_t foreign = doc->graph.heads.len;
    for (size_t i = 0; i < doc->graph.heads.len; i++) foreign -= doc->graph.heads.ptr[i] == tip;
    return foreign > CKV_MAX_PARENTS ? (foreign - 1) / CKV_MAX_PARENTS : 0;
}

uint32_t ckv_doc_open_change(const ckv_doc *doc)
{
    return ckv_ids_n(&doc->graph.ids) + (uint32_t)knots_needed(doc);
}

static ckv_status open_lane(ckv_doc *doc)
{
    uint8_t nonce[16];
    if (doc->own_lane != CKV_NONE) return CKV_OK;
    CKV_TRY(ckv_own_lanes_reserve(&doc->own_lanes, 1));
    doc->env.random(doc->env.random_ctx, nonce, sizeof nonce);
    const ckv_id32 id = ckv_lane_id(&doc->id, &doc->identity.public_key, nonce);
    CKV_TRY(
        ckv_lanes_add(&doc->graph.lanes, &id, &doc->identity.public_key, nonce, &doc->own_lane));
    ckv_own_lanes_put(&doc->own_lanes, (ckv_own_lane){doc->own_lane, ckv_ids_n(&doc->graph.ids)});
    return CKV_OK;
}

/* No run under one signature may be longer than 1,024 changes or, but for its last change, 256 KiB of bodies. */
static void sign_in_time(ckv_doc *doc, uint32_t branch, uint32_t seq, const ckv_id32 *id,
                         size_t body_bytes)
{
    if (branch == CKV_NONE) branch = ckv_lanes_lane(&doc->graph.lanes, doc->own_lane)->first_branch;
    ckv_lanes_weigh(&doc->graph.lanes, branch, (uint32_t)body_bytes);
    doc->unsigned_changes++;
    doc->unsigned_bytes += body_bytes;
    if (doc->unsigned_changes < CKV_RUN_CHANGES && doc->unsigned_bytes <= CKV_RUN_BYTES) return;
    ckv_signature s;
    const ckv_id32 *lane = &ckv_lanes_lane(&doc->graph.lanes, doc->own_lane)->id;
    ckv_sign_change(&s, &doc->identity, &doc->id, lane, seq, id);
    CKV_MUST(ckv_lanes_sign(&doc->graph.lanes, branch, seq, &s) == CKV_OK); /* room was made */
    doc->unsigned_changes = 0;
    doc->unsigned_bytes = 0;
}

/* Makes one change of operations [n_lv, lv1) after everything that its parents can name. */
static ckv_status make_change(ckv_doc *doc, uint32_t lv1, const ckv_body_head *head)
{
    ckv_graph *g = &doc->graph;
    uint32_t parents[CKV_MAX_PARENTS];
    const uint32_t n_parents = foreign_heads(doc, parents), prev = own_tip(doc);
    const uint32_t n_ops = lv1 - g->ids.n_lv,
                   n_items = n_ops ? doc->log.n_items - g->ids.n_items : 0;
    const uint32_t branch = ckv_lanes_lane(&g->lanes, doc->own_lane)->first_branch;
    ckv_buf *const body = &doc->body;
    ckv_namer_of(doc->names, doc->own_lane, prev, parents, n_parents, g->ids.n_items);
    ckv_buf_clear(body);
    ckv_status s = ckv_encode_body(doc->names, g->ids.n_lv, lv1, head, body);
    if (s == CKV_OK && body->len > CKV_MAX_BODY_BYTES) s = CKV_ELIMIT;
    if (s == CKV_OK) s = ckv_past_of(&doc->past, g, prev, parents, n_parents);
    if (s == CKV_OK) s = ckv_graph_reserve(g, branch, n_parents, &doc->past);
    if (s == CKV_OK) s = ckv_doc_reserve_notes(doc, head->message_bytes);
    if (s == CKV_OK)
        s = ckv_signed_ats_reserve(branch == CKV_NONE
                                       ? &g->lanes.spare.signatures
                                       : &ckv_lanes_branch(&g->lanes, branch)->signatures,
                                   1);
    if (s == CKV_OK) {
        ckv_id32 parent_ids[CKV_MAX_PARENTS], hash, id;
        uint8_t bytes[CKV_HEADER_MAX_BYTES];
        for (uint32_t i = 0; i < n_parents; i++) parent_ids[i] = *ckv_ids_at(&g->ids, parents[i]);
        ckv_header h = {.n_ops = n_ops,
                        .body_len = (uint32_t)body->len,
                        .has_prev = prev != CKV_NONE,
                        .n_parents = n_parents,
                        .parents = parent_ids};
        if (prev != CKV_NONE) {
            h.prev = *ckv_ids_at(&g->ids, prev);
            h.seq = ckv_lanes_branch(&g->lanes, branch)->n_seq;
        }
        if (body->len <= CKV_INLINE_BODY_BYTES) {
            h.body = body->ptr;
        } else {
            hash = ckv_body_hash(body->ptr, body->len);
            h.body_hash = &hash;
        }
        ckv_digest_change(&id, &ckv_lanes_lane(&g->lanes, doc->own_lane)->id, bytes,
                          ckv_header_write(bytes, &h));
        const uint32_t c = ckv_graph_append(g, doc->own_lane, branch, prev, parents, n_parents,
                                            &doc->past, &id, n_ops, n_items);
        ckv_doc_note(doc, c, head->time, head->message, head->message_bytes);
        doc->root_valid = false;
        sign_in_time(doc, branch, h.seq, &id, body->len);
    }
    if (body->cap > CKV_RUN_BYTES) ckv_buf_fini(body);
    return s;
}

ckv_status ckv_doc_commit(ckv_doc *doc, int64_t time_ms, const char *message, size_t message_bytes,
                          uint32_t *change)
{
    const ckv_body_head plain = {.time = time_ms}, head = {.time = time_ms,
                                                           .message = message,
                                                           .message_bytes = message_bytes};
    *change = CKV_NO_CHANGE;
    if (doc->pending.kind) CKV_TRY(ckv_doc_flush(doc));
    if (doc->log.n_lv == doc->graph.ids.n_lv) return CKV_OK;
    CKV_TRY(open_lane(doc));
    const size_t events = doc->events.len, patches = doc->patches.len;
    const uint32_t told = doc->told;
    CKV_TRY(ckv_doc_tell(doc, ckv_doc_open_change(doc) + 1, true));
    ckv_status s = CKV_OK;
    for (size_t knots = knots_needed(doc); knots && s == CKV_OK; knots--)
        s = make_change(doc, doc->graph.ids.n_lv, &plain);
    if (s == CKV_OK) s = make_change(doc, doc->log.n_lv, &head);
    if (s != CKV_OK) {
        ckv_doc_untell(doc, events, patches, told);
        return s;
    }
    *change = ckv_ids_n(&doc->graph.ids) - 1;
    doc->open_bytes = 0;
    doc->joins_since = doc->log.n_lv;
    return CKV_OK;
}

void ckv_doc_leave_lane(ckv_doc *doc)
{
    doc->own_lane = CKV_NONE;
    doc->unsigned_changes = 0;
    doc->unsigned_bytes = 0;
}

ckv_status ckv_doc_go_on_with_lane(ckv_doc *doc, const ckv_id32 *lane)
{
    const uint32_t l = ckv_lanes_find(&doc->graph.lanes, lane);
    if (l == CKV_NONE || ckv_lanes_lane(&doc->graph.lanes, l)->n_branches > 1 ||
        !ckv_id32_eq(&ckv_lanes_lane(&doc->graph.lanes, l)->author, &doc->identity.public_key))
        return CKV_ENOENT;
    CKV_TRY(ckv_own_lanes_push(&doc->own_lanes, (ckv_own_lane){l, ckv_ids_n(&doc->graph.ids)}));
    ckv_doc_leave_lane(doc);
    doc->own_lane = l;
    return CKV_OK;
}

bool ckv_doc_is_own(const ckv_doc *doc, uint32_t change)
{
    uint32_t seq;
    const uint32_t b = ckv_graph_branch(&doc->graph, change, &seq),
                   lane = ckv_lanes_branch(&doc->graph.lanes, b)->lane;
    for (size_t i = doc->own_lanes.len; i-- > 0;) {
        if (doc->own_lanes.ptr[i].lane == lane) return change >= doc->own_lanes.ptr[i].since;
    }
    return false;
}

/* ---- blocks */

ckv_status ckv_doc_savepoint(ckv_doc *doc, ckv_savepoint *savepoint)
{
    CKV_TRY(ckv_doc_flush(doc));
    CKV_TRY(ckv_floors_reserve(&doc->floors, 1));
    if (doc->journal.on == 0) doc->journal.log.len = 0;
    doc->journal.on++;
    doc->joins_since = doc->log.n_lv;
    *savepoint =
        (ckv_savepoint){doc->journal.log.len, doc->log.n_lv, doc->log.n_items, doc->open_bytes};
    return CKV_OK;
}

void ckv_doc_undo_to(ckv_doc *doc, size_t journal)
{
    while (doc->journal.log.len > journal) {
        const ckv_undo u = doc->journal.log.ptr[--doc->journal.log.len];
        switch (u.kind) {
        case CKV_UNDO_INSERT:
        case CKV_UNDO_HI:
        case CKV_UNDO_LO:
        case CKV_UNDO_DELETE:
            if (u.kind == CKV_UNDO_INSERT) ckv_crowds_undo(&doc->space.crowds, &doc->graph, u.a);
            ckv_seq_undo(&doc->space, &ckv_tree_at(&doc->tree, u.who)->seq, &u);
            doc->tree.epoch++;
            break;
        case CKV_UNDO_REG_ADD:
        case CKV_UNDO_REG_DROP:
        case CKV_UNDO_REG_BACK:
        case CKV_UNDO_CONTAINER:
        case CKV_UNDO_MAKER: ckv_tree_undo(&doc->tree, &u); break;
        case CKV_UNDO_ITEM_DEL: ckv_del_set(&doc->space.deletes, u.who, u.a); break;
        case CKV_UNDO_MOVE: {
            const uint32_t slot = ckv_moves_undo(&doc->moves, &u),
                           was = ckv_hmap_get(&doc->stands_for, slot);
            if (was != CKV_HMAP_NONE) ckv_hmap_remove(&doc->stands_for, slot, was);
            break;
        }
        case CKV_UNDO_COUNT:
            ckv_tree_at(&doc->tree, u.who)->counted = doc->counts.ptr[--doc->counts.len].before;
            break;
        case CKV_UNDO_MARK:
            ckv_tree_at(&doc->tree, u.who)->marked = ckv_marks_undo(&doc->marks);
            break;
        }
    }
}

/* Room was made by every savepoint; a rollback takes that of its own. */
static void note_floor(ckv_doc *doc, uint32_t item)
{
    ckv_floors *v = &doc->floors;
    while (v->len && v->ptr[v->len - 1].item >= item) v->len--;
    ckv_floors_put(v, (ckv_floor){doc->rollbacks++, item});
}

bool ckv_doc_taken_back(const ckv_doc *doc, uint32_t item, uint32_t since)
{
    const ckv_floors *v = &doc->floors;
    size_t lo = 0, hi = v->len; /* the first rollback since then went lowest of those */
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        if (v->ptr[mid].number < since)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < v->len && v->ptr[lo].item <= item;
}

/* What was written down is of no use to anybody when nobody is left who may go back. */
static void leave_journal(ckv_doc *doc)
{
    enum { LITTLE = 4096 };
    if (--doc->journal.on == 0 && doc->journal.log.cap > LITTLE) ckv_undos_fini(&doc->journal.log);
}

void ckv_doc_rollback(ckv_doc *doc, ckv_savepoint savepoint)
{
    doc->pending = (ckv_pending){0};
    if (doc->log.n_items > savepoint.n_items) note_floor(doc, savepoint.n_items);
    ckv_doc_undo_to(doc, savepoint.journal);
    ckv_oplog_truncate(&doc->log, savepoint.n_lv, savepoint.n_items);
    doc->open_bytes = savepoint.open_bytes;
    doc->joins_since = savepoint.n_lv;
    leave_journal(doc);
}

void ckv_doc_release(ckv_doc *doc, ckv_savepoint savepoint)
{
    (void)savepoint;
    leave_journal(doc);
}
