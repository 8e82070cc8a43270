/* content.c -- what whoever keeps a document with content asks of it, and how it comes back from his record. docs/adr/0018-content.md. */
#include "doc/content.h"

#include "doc/admit.h"
#include "doc/peer.h"
#include "doc/state.h"

/* ---- back from the record */

/* The lane of this author and nonce; opens it if need be. The one of the change before is tried first: a hash costs as much as all the rest. */
static ckv_status restore_lane(ckv_doc *doc, const ckv_restored *r, uint32_t *lane)
{
    ckv_lanes *lanes = &doc->graph.lanes;
    *lane = doc->restored_lane;
    if (*lane != CKV_NONE) {
        const ckv_lane *l = ckv_lanes_lane(lanes, *lane);
        if (ckv_id32_eq(&l->author, r->author) && memcmp(l->nonce, r->nonce, 16) == 0)
            return CKV_OK;
    }
    const ckv_id32 id = ckv_lane_id(&doc->id, r->author, r->nonce);
    *lane = ckv_lanes_find(lanes, &id);
    if (*lane == CKV_NONE) CKV_TRY(ckv_lanes_add(lanes, &id, r->author, r->nonce, lane));
    doc->restored_lane = *lane;
    return CKV_OK;
}

/* A change by its id: a head, mostly, and then the index of all ids need not be built. */
static ckv_status find_ancestor(ckv_doc *doc, const ckv_id32 *id, uint32_t *change)
{
    const ckv_graph *g = &doc->graph;
    size_t lo = 0, hi = g->heads.len;
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        const int order = ckv_id32_cmp(ckv_ids_at(&g->ids, g->heads.ptr[mid]), id);
        if (order == 0) {
            *change = g->heads.ptr[mid];
            return CKV_OK;
        }
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    const ckv_status s = ckv_ids_find(&doc->graph.ids, id, change);
    return s == CKV_ENOENT ? CKV_ECORRUPT : s;
}

/* Finds what a header names, by the rules of doc/admit. *branch: CKV_NONE for a new one. */
static ckv_status restore_ancestors(ckv_doc *doc, const ckv_header *h, uint32_t lane,
                                    uint32_t *prev, uint32_t *branch,
                                    uint32_t parents[CKV_MAX_PARENTS])
{
    const ckv_lanes *lanes = &doc->graph.lanes;
    const uint32_t first = ckv_lanes_lane(lanes, lane)->first_branch;
    *prev = *branch = CKV_NONE;
    if (h->has_prev) {
        const uint32_t tip = first == CKV_NONE ? CKV_NONE : ckv_lanes_branch(lanes, first)->tip;
        if (tip != CKV_NONE && ckv_id32_eq(ckv_ids_at(&doc->graph.ids, tip), &h->prev))
            *prev = tip;
        else
            CKV_TRY(find_ancestor(doc, &h->prev, prev));
        uint32_t seq;
        const uint32_t on = ckv_graph_branch(&doc->graph, *prev, &seq);
        if (ckv_lanes_branch(lanes, on)->lane != lane || seq + 1 != h->seq) return CKV_ECORRUPT;
        if (ckv_lanes_branch(lanes, on)->tip == *prev) *branch = on;
    }
    for (uint32_t i = 0; i < h->n_parents; i++) {
        ckv_id32 id;
        uint32_t seq;
        memcpy(&id, &h->parents[i], 32);
        CKV_TRY(find_ancestor(doc, &id, &parents[i]));
        const uint32_t on = ckv_graph_branch(&doc->graph, parents[i], &seq);
        if (ckv_lanes_branch(lanes, on)->lane == lane) return CKV_ECORRUPT;
    }
    return CKV_OK;
}

/* Undoes restore_lane, if it opened one that is still empty. */
static ckv_status close_lane(ckv_doc *doc, uint32_t n_lanes, ckv_status s)
{
    ckv_lanes_drop(&doc->graph.lanes, n_lanes);
    if (doc->restored_lane != CKV_NONE && doc->restored_lane >= n_lanes)
        doc->restored_lane = CKV_NONE;
    return s;
}

static ckv_status restore_in_lane(ckv_doc *doc, const ckv_restored *r, const ckv_header *h,
                                  uint32_t lane, bool verify, uint32_t *change, ckv_id32 *id)
{
    ckv_graph *g = &doc->graph;
    uint32_t prev, branch, parents[CKV_MAX_PARENTS], seq;
    CKV_TRY(restore_ancestors(doc, h, lane, &prev, &branch, parents));
    ckv_digest_change(id, &ckv_lanes_lane(&g->lanes, lane)->id, r->header, r->header_bytes);
    if (verify && r->signature) {
        doc->n_verified++;
        if (!ckv_verify_change(r->signature, r->author, &doc->id,
                               &ckv_lanes_lane(&g->lanes, lane)->id, h->seq, id))
            return CKV_ESIGN;
    }
    CKV_TRY(ckv_past_of(&doc->past, g, prev, parents, h->n_parents));
    CKV_TRY(ckv_graph_reserve(g, branch, h->n_parents, &doc->past));
    CKV_TRY(ckv_doc_reserve_notes(doc, r->message_bytes));
    if (r->signature)
        CKV_TRY(ckv_signed_ats_reserve(branch == CKV_NONE
                                           ? &g->lanes.spare.signatures
                                           : &ckv_lanes_branch(&g->lanes, branch)->signatures,
                                       1));
    *change = ckv_graph_append(g, lane, branch, prev, parents, h->n_parents, &doc->past, id, 0, 0);
    branch = ckv_graph_branch(g, *change, &seq);
    ckv_lanes_weigh(&g->lanes, branch, h->body_len);
    ckv_doc_note(doc, *change, r->time, r->message, r->message ? r->message_bytes : 0);
    if (r->void_reason)
        ckv_void_ats_put(&doc->voids,
                         (ckv_void_at){*change, h->n_ops, doc->void_bodies.len, 0, r->void_reason});
    if (r->signature) CKV_MUST(ckv_lanes_sign(&g->lanes, branch, seq, r->signature) == CKV_OK);
    doc->root_valid = false;
    return CKV_OK;
}

ckv_status ckv_doc_restore(ckv_doc *doc, const ckv_restored *r, bool verify, uint32_t *change,
                           ckv_id32 *id)
{
    ckv_header h;
    bool decodes;
    const char *why;
    uint32_t lane;
    const uint32_t n_lanes = (uint32_t)doc->graph.lanes.lanes.len;
    CKV_ASSERT(doc->has_content);
    if (!ckv_header_read(&h, r->header, r->header_bytes, &decodes, &why) ||
        h.type != doc->content.type)
        return CKV_ECORRUPT;
    CKV_TRY(restore_lane(doc, r, &lane));
    const ckv_status s = restore_in_lane(doc, r, &h, lane, verify, change, id);
    return s == CKV_OK ? CKV_OK : close_lane(doc, n_lanes, s);
}

/* ---- standing */

ckv_standing ckv_doc_standing(const ckv_doc *doc, uint32_t change)
{
    const ckv_stand at = ckv_graph_stand(&doc->graph, change);
    return (ckv_standing){.lane = ckv_lanes_branch(&doc->graph.lanes, at.branch)->lane,
                          .branch = at.branch,
                          .seq = at.seq,
                          .clock = at.clock};
}

int ckv_doc_order(const ckv_doc *doc, uint32_t a, uint32_t ia, uint32_t b, uint32_t ib)
{
    return ckv_graph_order(&doc->graph, a, ia, b, ib);
}

uint32_t ckv_doc_all_below(const ckv_doc *doc, uint32_t b)
{
    const ckv_graph *g = &doc->graph;
    const ckv_segment *s = &g->segments.ptr[ckv_graph_segment_of(g, b)];
    return s->allin == s->start ? b : s->allin; /* what follows in a segment is one chain */
}

ckv_status ckv_doc_is_past(ckv_doc *doc, uint32_t a, uint32_t b, bool *out)
{
    const ckv_graph *g = &doc->graph;
    *out = a == b;
    if (a >= b) return CKV_OK; /* ancestors have smaller numbers */
    const ckv_segment *s = &g->segments.ptr[ckv_graph_segment_of(g, b)];
    *out = a < s->allin || a >= s->start;
    if (*out) return CKV_OK;
    if (doc->asked_of != b) {
        doc->asked_of = CKV_NONE;
        ckv_past_reset(&doc->asked);
        CKV_TRY(ckv_past_add(&doc->asked, g, b));
        ckv_past_close(&doc->asked, g);
        doc->asked_of = b;
    }
    *out = ckv_past_has(&doc->asked, g, a);
    return CKV_OK;
}

ckv_status ckv_doc_gather_pasts(ckv_doc *doc, const uint32_t *changes, size_t n)
{
    const ckv_graph *g = &doc->graph;
    ckv_past *past = &doc->asked;
    doc->asked_of = CKV_NONE;
    ckv_past_reset(past);
    for (size_t i = n; i-- > 0;) { /* the newest has most of it in its past */
        const ckv_segment *s = &g->segments.ptr[ckv_graph_segment_of(g, changes[i])];
        const uint32_t prev = ckv_graph_prev(g, changes[i]);
        uint32_t n_parents;
        const uint32_t *parents = ckv_graph_parents(g, changes[i], &n_parents);
        if (s->allin > past->allin) past->allin = s->allin;
        if (prev != CKV_NONE) CKV_TRY(ckv_past_add(past, g, prev));
        for (uint32_t k = 0; k < n_parents; k++) CKV_TRY(ckv_past_add(past, g, parents[k]));
    }
    ckv_past_close(past, g);
    return CKV_OK;
}

bool ckv_doc_is_gathered(const ckv_doc *doc, uint32_t change)
{
    return ckv_past_has(&doc->asked, &doc->graph, change);
}

const ckv_id32 *ckv_doc_id_of(const ckv_doc *doc, uint32_t change)
{
    return ckv_ids_at(&doc->graph.ids, change);
}

void ckv_doc_links(const ckv_doc *doc, uint32_t change, uint32_t *prev, const uint32_t **parents,
                   uint32_t *n_parents)
{
    const uint32_t back = ckv_graph_prev(&doc->graph, change);
    *prev = back == CKV_NONE ? CKV_NO_CHANGE : back;
    *parents = ckv_graph_parents(&doc->graph, change, n_parents);
}

bool ckv_doc_lane(const ckv_doc *doc, uint32_t lane, ckv_lane_info *out)
{
    if (lane >= doc->graph.lanes.lanes.len) return false;
    const ckv_lane *l = ckv_lanes_lane(&doc->graph.lanes, lane);
    *out = (ckv_lane_info){&l->id, &l->author, l->nonce};
    return true;
}

const ckv_signature *ckv_doc_signature_at(const ckv_doc *doc, uint32_t change)
{
    uint32_t seq;
    const uint32_t branch = ckv_graph_branch(&doc->graph, change, &seq);
    const ckv_signed_at *at = ckv_lanes_signature(&doc->graph.lanes, branch, seq);
    return at && at->seq == seq ? &at->signature : NULL;
}

/* ---- fewer signatures */

/* What a reader takes under one signature, with room for what he counts and we do not. */
#define SPARE_RUN   (CKV_RUN_CHANGES / 2)
#define SPARE_BYTES (CKV_RUN_BYTES / 2)

static void spare_branch(const ckv_graph *g, uint32_t branch, ckv_doc_may *may,
                         void (*goes)(void *ctx, uint32_t change), void *ctx)
{
    const ckv_signed_ats *all = &ckv_lanes_branch(&g->lanes, branch)->signatures;
    uint32_t from = 0;  /* the first change behind the last signature that stays */
    uint64_t bytes = 0; /* of bodies before it, at most */
    for (size_t i = 0; i < all->len; i++) {
        const ckv_signed_at *s = &all->ptr[i], *next = s + 1;
        if (i + 1 < all->len && s->seq / CKV_SPARE_CHANGES == next->seq / CKV_SPARE_CHANGES &&
            next->seq - from < SPARE_RUN && next->before != UINT64_MAX &&
            next->before - bytes <= SPARE_BYTES && may(ctx, ckv_graph_at(g, branch, s->seq)) &&
            may(ctx, ckv_graph_at(g, branch, next->seq))) {
            goes(ctx, ckv_graph_at(g, branch, s->seq));
            continue;
        }
        from = s->seq + 1;
        if (s->after != UINT64_MAX) bytes = s->after;
    }
}

void ckv_doc_spare_signatures(const ckv_doc *doc, ckv_doc_may *may,
                              void (*goes)(void *ctx, uint32_t change), void *ctx)
{
    const ckv_graph *g = &doc->graph;
    for (uint32_t b = 0; b < g->lanes.branches.len; b++)
        if (ckv_lanes_of_branch(&g->lanes, b)->n_branches == 1) spare_branch(g, b, may, goes, ctx);
}

void ckv_doc_drop_signatures(ckv_doc *doc, ckv_doc_may *gone, void *ctx)
{
    const ckv_graph *g = &doc->graph;
    for (uint32_t b = 0; b < g->lanes.branches.len; b++) {
        ckv_signed_ats *all = &ckv_lanes_branch(&g->lanes, b)->signatures;
        size_t kept = 0;
        for (size_t i = 0; i < all->len; i++)
            if (!gone(ctx, ckv_graph_at(g, b, all->ptr[i].seq))) all->ptr[kept++] = all->ptr[i];
        all->len = kept;
    }
}

/* ---- bodies */

bool ckv_doc_has_content(const ckv_doc *doc) { return doc->has_content; }

ckv_status ckv_doc_body_matters(ckv_doc *doc, uint32_t change, bool *out)
{
    const ckv_content *x = &doc->content;
    *out = false;
    if (x->body_state(x->ctx, change) != CKV_BODY_HERE) return CKV_OK;
    return x->is_live(x->ctx, change, out);
}

ckv_status ckv_doc_bodies_wanted(ckv_doc *doc, ckv_doc *peer, ckv_buf *out)
{
    const ckv_content *ours = &doc->content;
    for (uint32_t c = 0; c < ckv_ids_n(&doc->graph.ids); c++) {
        if (ours->body_state(ours->ctx, c) != CKV_BODY_CLAIMED) continue;
        uint32_t k;
        bool live = false;
        const ckv_status s = ckv_ids_find(&peer->graph.ids, ckv_ids_at(&doc->graph.ids, c), &k);
        if (s == CKV_ENOENT) continue;
        CKV_TRY(s);
        CKV_TRY(ckv_doc_body_matters(peer, k, &live));
        if (live) ckv_buf_bytes(out, ckv_ids_at(&doc->graph.ids, c), 32);
    }
    return out->status;
}

/* ---- covers */

size_t ckv_doc_cover_mark(const ckv_doc *doc) { return doc->cover_headers.len; }

ckv_status ckv_doc_covers_since(const ckv_doc *doc, size_t mark, ckv_buf *out)
{
    if (mark == doc->cover_headers.len) return CKV_OK;
    for (size_t i = 0; i < doc->covers.len; i++) {
        const ckv_cover *c = &doc->covers.ptr[i];
        if (c->off < mark) continue;
        const ckv_cover_info info = {.change = ckv_graph_at(&doc->graph, c->branch, c->seq),
                                     .n = c->n,
                                     .headers = doc->cover_headers.ptr + c->off,
                                     .n_bytes = c->n_bytes,
                                     .signature = &c->signature};
        ckv_buf_bytes(out, &info, sizeof info);
    }
    return out->status;
}

ckv_status ckv_doc_restore_cover(ckv_doc *doc, const ckv_cover_info *cover)
{
    if (cover->change >= ckv_ids_n(&doc->graph.ids)) return CKV_ECORRUPT;
    ckv_rd r = ckv_rd_init(cover->headers, cover->n_bytes);
    for (uint32_t i = 0; i < cover->n && r.status == CKV_OK; i++) {
        size_t n;
        ckv_rd_blob(&r, &n);
    }
    if (!ckv_rd_done(&r) || cover->n == 0) return CKV_ECORRUPT;
    return ckv_doc_add_cover(doc, cover->change, cover->n, cover->headers, cover->n_bytes,
                             cover->signature);
}
