#include "doc/admit.h"

#include "doc/encode.h"
#include "doc/judge.h"

static ckv_status refuse(ckv_judgement *out, ckv_refusal_kind kind, const char *reason)
{
    out->verdict = CKV_REFUSED;
    out->kind = kind;
    out->reason = reason;
    return CKV_OK;
}

/* Keeps a void change: in the graph, without effect, its body as it came. */
static ckv_status enter_void(ckv_judge *j, ckv_judgement *out)
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

/* What the content makes of a body. One that was left out is not judged: it may come later. */
static ckv_status read_content(ckv_judge *j)
{
    const ckv_content *x = &j->doc->content;
    ckv_body_head head = {0};
    j->body.time = 0;
    j->body.message = NULL;
    j->body.message_bytes = 0;
    if (!j->c->body) return CKV_OK;
    CKV_TRY(x->read(x->ctx, j->c->body, j->c->header.body_len, j->c->header.n_ops, &head,
                    &j->body.why));
    j->body.time = head.time;
    j->body.message = (const uint8_t *)head.message;
    j->body.message_bytes = head.message ? head.message_bytes : 0;
    return CKV_OK;
}

/* Hands the change over. All else is reserved: nothing can fail behind this. */
static ckv_status give_content(ckv_judge *j, ckv_judgement *out)
{
    ckv_doc *doc = j->doc;
    const ckv_candidate *c = j->c;
    const uint8_t *body = out->aside ? NULL : c->body;
    const ckv_taken t = {.change = ckv_ids_n(&doc->graph.ids),
                         .header = c->raw,
                         .header_bytes = c->raw_bytes,
                         .body = body,
                         .body_bytes = c->header.body_len,
                         .n_ops = c->header.n_ops,
                         .void_reason = j->why};
    CKV_TRY(doc->content.take(doc->content.ctx, &t));
    if (!j->why) return CKV_OK;
    ckv_void_ats_put(&doc->voids,
                     (ckv_void_at){t.change, t.n_ops, doc->void_bodies.len, 0, j->why});
    out->verdict = CKV_VOIDED;
    out->reason = j->why;
    return CKV_OK;
}

/* Performs the operations of a JSON document's change, or keeps it as a void one. */
static ckv_status perform(ckv_judge *j, ckv_status opened, ckv_judgement *out)
{
    ckv_doc *doc = j->doc;
    const size_t journal = doc->journal.log.len;
    ckv_status s = opened;
    j->used = (ckv_buf){0};
    if (s == CKV_OK) {
        j->used = ckv_buf_init(doc->env.alloc);
        const size_t n_table = (size_t)j->body.n_lanes + j->body.n_changes;
        if (n_table && ckv_buf_reserve(&j->used, n_table)) {
            memset(j->used.ptr, 0, n_table);
            j->used.len = n_table;
        }
        s = j->used.status == CKV_OK ? ckv_perform(j) : j->used.status;
        ckv_buf_fini(&j->used);
    }
    if (s == CKV_OK) return CKV_OK;
    ckv_doc_undo_to(doc, journal);
    ckv_oplog_truncate(&doc->log, doc->graph.ids.n_lv, doc->graph.ids.n_items);
    return s == CKV_EVOID ? enter_void(j, out) : s;
}

/* Is the newest change that nobody was told of by the same author? True if there is none. */
static bool same_author(const ckv_doc *doc, const ckv_candidate *c)
{
    uint32_t seq;
    const uint32_t n = ckv_ids_n(&doc->graph.ids);
    if (doc->told >= n) return true;
    const uint32_t branch = ckv_graph_branch(&doc->graph, n - 1, &seq);
    return ckv_id32_eq(&ckv_lanes_of_branch(&doc->graph.lanes, branch)->author, c->author);
}

ckv_status ckv_admit(ckv_doc *doc, const ckv_candidate *c, ckv_judgement *out)
{
    ckv_graph *g = &doc->graph;
    ckv_judge j; /* field by field: clearing all of it would cost as much as judging a keystroke */
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
    const ckv_status opened =
        doc->has_content ? read_content(&j)
                         : ckv_body_open(&j.body, c->body, c->header.body_len, j.n_parents);
    if (opened == CKV_ELATER && !c->claimed) {
        out->verdict = CKV_LATER;
        return CKV_OK;
    }
    out->aside = opened == CKV_ELATER;
    if (doc->has_content && opened != CKV_OK && opened != CKV_EVOID && !out->aside) return opened;
    if (opened == CKV_EVOID) j.why = j.body.why;
    /* Whoever watches is told what one author did before another one's changes come. */
    if (doc->watched && !same_author(doc, c)) CKV_TRY(ckv_doc_tell(doc, ckv_ids_n(&g->ids), false));

    if (j.prev != CKV_NONE && ckv_lanes_branch(&g->lanes, j.prev_branch)->tip == j.prev)
        branch = j.prev_branch;
    if (branch == CKV_NONE && j.lane != CKV_NONE &&
        ckv_lanes_lane(&g->lanes, j.lane)->n_branches >= doc->limits.tips) {
        size_t at = SIZE_MAX;
        if (ckv_inbox_waiter(&doc->inbox, c->id, &at) == CKV_HMAP_NONE)
            return refuse(out, CKV_REFUSED_LIMIT, "the lane has 1,024 tips");
    }
    /* Also what others build on: it comes again when there is time for it, and they with it. */
    if (doc->has_content && doc->content.admits &&
        !doc->content.admits(doc->content.ctx, c->author, c->raw_bytes + c->header.body_len)) {
        out->too_fast = true;
        return refuse(out, CKV_REFUSED_LIMIT, "the author writes faster than is allowed here");
    }
    if (j.lane == CKV_NONE)
        CKV_TRY(ckv_lanes_add(&g->lanes, c->lane, c->author, c->nonce, &j.lane));
    CKV_TRY(ckv_past_of(&doc->past, g, j.prev, j.parents, j.n_parents));
    CKV_TRY(ckv_graph_reserve(g, branch, j.n_parents, &doc->past));
    CKV_TRY(ckv_doc_reserve_notes(doc, j.body.message_bytes));
    if (c->signature)
        CKV_TRY(ckv_signed_ats_reserve(branch == CKV_NONE
                                           ? &g->lanes.spare.signatures
                                           : &ckv_lanes_branch(&g->lanes, branch)->signatures,
                                       1));
    if (j.prev != CKV_NONE) j.own_off = ckv_chain_items_on(g, j.prev_branch, j.prev);

    j.view = (ckv_author_view){.graph = g,
                               .oplog = &doc->log,
                               .past = &doc->past,
                               .own_item = j.item0,
                               .clock = clock + 1,
                               .id = c->id};

    uint32_t n_ops = 0, n_items = 0;
    if (doc->has_content) {
        CKV_TRY(give_content(&j, out));
    } else {
        CKV_TRY(perform(&j, opened, out));
        if (out->verdict == CKV_APPLIED) {
            n_ops = c->header.n_ops;
            n_items = doc->log.n_items - j.item0;
        }
    }
    out->change = ckv_graph_append(g, j.lane, branch, j.prev, j.parents, j.n_parents, &doc->past,
                                   c->id, n_ops, n_items);
    out->lane_no = j.lane;
    branch = ckv_graph_branch(g, out->change, &seq);
    ckv_lanes_weigh(&g->lanes, branch, c->header.body_len);
    ckv_doc_note(doc, out->change, opened == CKV_OK ? j.body.time : 0,
                 opened == CKV_OK ? j.body.message : NULL, j.body.message_bytes);
    doc->root_valid = false;
    if (c->signature)
        CKV_MUST(ckv_lanes_sign(&g->lanes, branch, seq, c->signature) ==
                 CKV_OK); /* room was made */
    return CKV_OK;
}
