/* txn.c -- the open change: lone edits gather in it until it is closed, hashed and, in time, signed. Blocks set savepoints in it and may roll it back.
 *
 * A change builds on everything that is here: its own lane's tip, and at most 32 other heads. Where there are more, knots, changes
 * without operations, join 32 each before it (docs/adr/0001-identity-is-the-hash.md).
 */
#include "doc/encode.h"
#include "doc/keep.h"
#include "doc/snapshot.h"

bool ckv_doc_is_open(const ckv_doc *doc)
{
    return doc->pending.kind != 0 || doc->log.n_lv != doc->graph.ids.n_lv;
}

uint64_t ckv_doc_open_ops(const ckv_doc *doc)
{
    return doc->log.n_lv - doc->graph.ids.n_lv + doc->pending.n;
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

ckv_status ckv_doc_open_lane(ckv_doc *doc)
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

/* No run under one signature may be longer than 1,024 changes or, but for its last change, 256 KiB of bodies. at_once: it ends here. */
static void sign_in_time(ckv_doc *doc, uint32_t branch, uint32_t seq, const ckv_id32 *id,
                         size_t body_bytes, bool at_once)
{
    if (branch == CKV_NONE) branch = ckv_lanes_lane(&doc->graph.lanes, doc->own_lane)->first_branch;
    ckv_lanes_weigh(&doc->graph.lanes, branch, (uint32_t)body_bytes);
    doc->unsigned_changes++;
    doc->unsigned_bytes += body_bytes;
    if (!at_once && doc->unsigned_changes < CKV_RUN_CHANGES && doc->unsigned_bytes <= CKV_RUN_BYTES)
        return;
    ckv_signature s;
    const ckv_id32 *lane = &ckv_lanes_lane(&doc->graph.lanes, doc->own_lane)->id;
    ckv_sign_change(&s, &doc->identity, &doc->id, lane, seq, id);
    CKV_MUST(ckv_lanes_sign(&doc->graph.lanes, branch, seq, &s) == CKV_OK); /* room was made */
    doc->unsigned_changes = 0;
    doc->unsigned_bytes = 0;
}

/* A change after everything that its parents can name: what goes into it. */
typedef struct made {
    uint32_t parents[CKV_MAX_PARENTS];
    uint32_t n_parents, prev, branch;
    uint32_t n_ops, n_items; /* in the log */
    uint32_t counted;        /* operations, as its header says */
    const uint8_t *body;     /* not NULL */
    size_t body_bytes;
    const ckv_body_head *head;
    bool sign;
} made;

static made begin_change(const ckv_doc *doc, const ckv_body_head *head)
{
    made m = {.prev = own_tip(doc), .head = head};
    m.n_parents = foreign_heads(doc, m.parents);
    m.branch = ckv_lanes_lane(&doc->graph.lanes, doc->own_lane)->first_branch;
    return m;
}

/* Everything that can fail, but for the content. */
static ckv_status reserve_change(ckv_doc *doc, const made *m)
{
    ckv_graph *g = &doc->graph;
    if (m->body_bytes > CKV_MAX_BODY_BYTES) return CKV_ELIMIT;
    CKV_TRY(ckv_past_of(&doc->past, g, m->prev, m->parents, m->n_parents));
    CKV_TRY(ckv_graph_reserve(g, m->branch, m->n_parents, &doc->past));
    CKV_TRY(ckv_doc_reserve_notes(doc, m->head->message_bytes));
    return ckv_signed_ats_reserve(m->branch == CKV_NONE
                                      ? &g->lanes.spare.signatures
                                      : &ckv_lanes_branch(&g->lanes, m->branch)->signatures,
                                  1);
}

/* Its header and id, and into the graph with it. */
static ckv_status append_change(ckv_doc *doc, const made *m)
{
    ckv_graph *g = &doc->graph;
    ckv_id32 parent_ids[CKV_MAX_PARENTS], hash, id;
    uint8_t bytes[CKV_HEADER_MAX_BYTES];
    CKV_TRY(reserve_change(doc, m));
    for (uint32_t i = 0; i < m->n_parents; i++) parent_ids[i] = *ckv_ids_at(&g->ids, m->parents[i]);
    ckv_header h = {.type = ckv_doc_type(doc),
                    .n_ops = m->counted,
                    .body_len = (uint32_t)m->body_bytes,
                    .has_prev = m->prev != CKV_NONE,
                    .n_parents = m->n_parents,
                    .parents = parent_ids};
    if (m->prev != CKV_NONE) {
        h.prev = *ckv_ids_at(&g->ids, m->prev);
        h.seq = ckv_lanes_branch(&g->lanes, m->branch)->n_seq;
    }
    if (m->body_bytes <= CKV_INLINE_BODY_BYTES) {
        h.body = m->body;
    } else {
        hash = ckv_body_hash(m->body, m->body_bytes);
        h.body_hash = &hash;
    }
    const size_t n_header = ckv_header_write(bytes, &h);
    ckv_digest_change(&id, &ckv_lanes_lane(&g->lanes, doc->own_lane)->id, bytes, n_header);
    if (doc->has_content) {
        const ckv_taken t = {.change = ckv_ids_n(&g->ids),
                             .header = bytes,
                             .header_bytes = n_header,
                             .body = m->body,
                             .body_bytes = h.body_len,
                             .n_ops = h.n_ops,
                             .is_local = true};
        CKV_TRY(doc->content.take(doc->content.ctx, &t)); /* the last step that can fail */
    }
    const uint32_t c = ckv_graph_append(g, doc->own_lane, m->branch, m->prev, m->parents,
                                        m->n_parents, &doc->past, &id, m->n_ops, m->n_items);
    ckv_doc_note(doc, c, m->head->time, m->head->message, m->head->message_bytes);
    doc->root_valid = false;
    sign_in_time(doc, m->branch, h.seq, &id, m->body_bytes, m->sign);
    return CKV_OK;
}

/* Makes one change of operations [n_lv, lv1). */
static ckv_status make_change(ckv_doc *doc, uint32_t lv1, const ckv_body_head *head)
{
    const ckv_graph *g = &doc->graph;
    ckv_buf *const body = &doc->body;
    made m = begin_change(doc, head);
    m.counted = m.n_ops = lv1 - g->ids.n_lv;
    m.n_items = m.n_ops ? doc->log.n_items - g->ids.n_items : 0;
    ckv_namer_of(doc->names, doc->own_lane, m.prev, m.parents, m.n_parents, g->ids.n_items);
    ckv_buf_clear(body);
    ckv_status s = ckv_encode_body(doc->names, g->ids.n_lv, lv1, head, body);
    m.body = body->ptr;
    m.body_bytes = body->len;
    if (s == CKV_OK) s = append_change(doc, &m);
    if (body->cap > CKV_RUN_BYTES) ckv_buf_fini(body);
    return s;
}

/* ---- documents with content */

/* A change without operations, which all contents read: no flags, a time. */
static ckv_status make_knot(ckv_doc *doc, const ckv_body_head *head)
{
    uint8_t body[16] = {0};
    made m = begin_change(doc, head);
    m.body = body;
    m.body_bytes = 1 + ckv_varint_put(body + 1, ckv_zigzag(head->time));
    return append_change(doc, &m);
}

ckv_status ckv_doc_write(ckv_doc *doc, const uint8_t *body, size_t n_bytes, uint32_t n_ops,
                         const ckv_body_head *head, bool sign, uint32_t *change)
{
    const ckv_body_head plain = {.time = head->time};
    const uint32_t lane = doc->own_lane, unsigned_changes = doc->unsigned_changes;
    const size_t unsigned_bytes = doc->unsigned_bytes, n_own = doc->own_lanes.len;
    ckv_snapshot at = {.heads = {.a = doc->env.alloc}};
    *change = CKV_NO_CHANGE;
    if (n_bytes > CKV_MAX_BODY_BYTES || n_ops > CKV_MAX_OPS) return CKV_ELIMIT;
    ckv_status s = ckv_snapshot_take(&at, doc);
    if (s == CKV_OK) {
        s = ckv_doc_open_lane(doc);
        for (size_t knots = knots_needed(doc); knots && s == CKV_OK; knots--)
            s = make_knot(doc, &plain);
        if (s == CKV_OK) {
            made m = begin_change(doc, head);
            m.counted = n_ops;
            m.body = body ? body : (const uint8_t *)"";
            m.body_bytes = n_bytes;
            m.sign = sign;
            s = append_change(doc, &m);
        }
        if (s == CKV_OK) s = ckv_doc_settle(doc);
        if (s == CKV_OK) {
            *change = ckv_ids_n(&doc->graph.ids) - 1;
        } else {
            ckv_snapshot_back(doc, &at);
            doc->own_lane = lane;
            doc->own_lanes.len = n_own;
            doc->unsigned_changes = unsigned_changes;
            doc->unsigned_bytes = unsigned_bytes;
        }
    }
    ckv_snapshot_fini(&at);
    return s;
}

/* Was the own tip before change number n, made here, a head? Its parents were, all of them. */
static bool was_head(const ckv_graph *g, uint32_t tip, uint32_t n)
{
    for (uint32_t i = ckv_graph_segment_of(g, tip); i < g->segments.len; i++) {
        const ckv_segment *s = &g->segments.ptr[i];
        if (s->start >= n) break;
        for (uint32_t k = 0; k < s->n_parents; k++) {
            if (g->parents.ptr[s->parents + k] == tip) return false;
        }
    }
    return true;
}

/* There is room: there were as many once. */
static void put_head(ckv_graph *g, uint32_t change)
{
    size_t i = g->heads.len;
    const ckv_id32 *id = ckv_ids_at(&g->ids, change);
    ckv_u32s_put(&g->heads, change);
    for (; i > 0 && ckv_id32_cmp(ckv_ids_at(&g->ids, g->heads.ptr[i - 1]), id) > 0; i--)
        g->heads.ptr[i] = g->heads.ptr[i - 1];
    g->heads.ptr[i] = change;
}

/* How many lanes are left without the changes from n_changes on. One that was opened for them must not stay without any: whoever keeps lanes by number finds them by their first change. */
static uint32_t lanes_before(const ckv_graph *g, uint32_t n_changes)
{
    uint32_t n = (uint32_t)g->lanes.lanes.len;
    for (; n > 0; n--) {
        const uint32_t b = ckv_lanes_lane(&g->lanes, n - 1)->first_branch;
        if (b != CKV_NONE && ckv_graph_at(g, b, ckv_lanes_branch(&g->lanes, b)->seq0) < n_changes)
            break;
    }
    return n;
}

void ckv_doc_take_back(ckv_doc *doc, uint32_t n_changes)
{
    ckv_graph *g = &doc->graph;
    const uint32_t n = ckv_ids_n(&g->ids);
    if (n_changes >= n) return;
    size_t kept = 0;
    for (size_t i = 0; i < g->heads.len; i++) {
        if (g->heads.ptr[i] < n_changes) g->heads.ptr[kept++] = g->heads.ptr[i];
    }
    g->heads.len = kept;
    for (uint32_t c = n_changes; c < n; c++) {
        uint32_t n_parents;
        const uint32_t *parents = ckv_graph_parents(g, c, &n_parents);
        for (uint32_t i = 0; i < n_parents; i++) put_head(g, parents[i]);
    }
    const uint32_t prev = ckv_graph_prev(g, n_changes);
    if (prev != CKV_NONE && was_head(g, prev, n_changes)) put_head(g, prev);
    ckv_snapshot at = {.n_changes = n_changes,
                       .n_lanes = lanes_before(g, n_changes),
                       .journal = doc->journal.log.len,
                       .message_bytes = doc->message_bytes.len,
                       .void_bytes = doc->void_bodies.len,
                       .cover_bytes = doc->cover_headers.len,
                       .events = doc->events.len,
                       .patches = doc->patches.len,
                       .told = doc->told,
                       .heads = g->heads};
    for (size_t i = doc->messages.len; i && doc->messages.ptr[i - 1].change >= n_changes; i--)
        at.message_bytes = doc->messages.ptr[i - 1].off;
    ckv_snapshot_back(doc, &at);
    while (doc->own_lanes.len && ckv_own_lanes_last(&doc->own_lanes)->lane >= at.n_lanes)
        doc->own_lanes.len--;
    if (doc->own_lane != CKV_NONE && doc->own_lane >= at.n_lanes) doc->own_lane = CKV_NONE;
    doc->unsigned_changes = 0;
    doc->unsigned_bytes = 0;
    if (doc->own_lane == CKV_NONE) return;
    /* What its lane has is signed up to where it was. */
    const uint32_t b = ckv_lanes_lane(&g->lanes, doc->own_lane)->first_branch;
    ckv_branch *br = ckv_lanes_branch(&g->lanes, b);
    const ckv_signed_at *last = ckv_signed_ats_last(&br->signatures);
    doc->unsigned_changes = br->n_seq - (last ? last->seq + 1 : br->seq0);
    if (doc->unsigned_changes)
        doc->unsigned_bytes =
            br->body_bytes - (last && last->after != UINT64_MAX ? last->after : 0);
}

void ckv_doc_next_own(const ckv_doc *doc, uint32_t *lane, uint32_t *seq)
{
    const uint32_t tip = own_tip(doc);
    *lane = doc->own_lane;
    *seq = 0;
    if (tip == CKV_NONE) return;
    ckv_graph_branch(&doc->graph, tip, seq);
    ++*seq;
}

/* Knots, and the change of all that is open. On failure some may stand in the graph. */
static ckv_status make_all(ckv_doc *doc, const ckv_body_head *head)
{
    const ckv_body_head plain = {.time = head->time};
    for (size_t knots = knots_needed(doc); knots; knots--)
        CKV_TRY(make_change(doc, doc->graph.ids.n_lv, &plain));
    return make_change(doc, doc->log.n_lv, head);
}

static void drop_open(ckv_doc *doc, const ckv_snapshot *at);

/* The same for a document that lives in a file: there before it is here. What fails is dropped. */
static ckv_status make_durable(ckv_doc *doc, const ckv_body_head *head)
{
    const uint32_t n_unsigned = doc->unsigned_changes, n = ckv_ids_n(&doc->graph.ids);
    const size_t n_bytes = doc->unsigned_bytes;
    ckv_snapshot at;
    CKV_TRY(ckv_floors_reserve(&doc->floors, 1));
    ckv_status s = ckv_snapshot_take(&at, doc);
    at.journal = 0;
    if (s == CKV_OK) s = ckv_doc_open_lane(doc);
    if (s == CKV_OK) s = make_all(doc, head);
    if (s == CKV_OK) s = ckv_keep_changes(doc);
    if (s == CKV_OK) {
        ckv_keep_settle(doc);
    } else if (ckv_ids_n(&doc->graph.ids) > n) {
        drop_open(doc, &at);
        doc->unsigned_changes = n_unsigned;
        doc->unsigned_bytes = n_bytes;
    }
    ckv_snapshot_fini(&at);
    return s;
}

ckv_status ckv_doc_commit(ckv_doc *doc, int64_t time_ms, const char *message, size_t message_bytes,
                          uint32_t *change)
{
    const ckv_body_head head = {
        .time = time_ms, .message = message, .message_bytes = message_bytes};
    *change = CKV_NO_CHANGE;
    if (doc->pending.kind) CKV_TRY(ckv_doc_flush(doc));
    if (doc->log.n_lv == doc->graph.ids.n_lv) return CKV_OK;
    const size_t events = doc->events.len, patches = doc->patches.len;
    const uint32_t told = doc->told;
    ckv_status s = CKV_OK;
    if (!doc->keep) CKV_TRY(ckv_doc_open_lane(doc));
    CKV_TRY(ckv_doc_tell(doc, ckv_doc_open_change(doc) + 1, true));
    s = doc->keep ? make_durable(doc, &head) : make_all(doc, &head);
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

/* A change could not be kept: it and its edits were never made. Room for a floor was reserved. */
static void drop_open(ckv_doc *doc, const ckv_snapshot *at)
{
    const uint32_t item = ckv_ids_item(&doc->graph.ids, at->n_changes);
    if (doc->log.n_items > item) note_floor(doc, item);
    ckv_snapshot_back(doc, at);
    while (doc->own_lanes.len && doc->own_lanes.ptr[doc->own_lanes.len - 1].lane >= at->n_lanes)
        doc->own_lanes.len--;
    if (doc->own_lane != CKV_NONE && doc->own_lane >= at->n_lanes) doc->own_lane = CKV_NONE;
    doc->open_bytes = 0;
    doc->joins_since = doc->log.n_lv;
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
