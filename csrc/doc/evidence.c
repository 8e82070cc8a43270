/* evidence.c -- what waits and for what, who told two stories, and the proof of it. */
#include "dag/proof.h"
#include "doc/encode.h"
#include "doc/exchange.h"
#include "doc/rebuild.h"

#include <stdlib.h>

ckv_status ckv_doc_waiting(ckv_doc *doc, ckv_buf *out)
{
    const ckv_inbox *x = &doc->inbox;
    for (size_t i = 0; i < x->letters.len; i++) {
        if (x->letters.ptr[i].state == 1 && !x->letters.ptr[i].later)
            ckv_buf_bytes(out, &x->letters.ptr[i].id, 32);
    }
    if (out->status == CKV_OK) out->len = 32 * ckv_id32_sort_unique(out->ptr, out->len / 32);
    return out->status;
}

static void note_missing(ckv_doc *doc, const ckv_id32 *id, ckv_buf *out)
{
    uint32_t c;
    const uint32_t letter = ckv_inbox_find(&doc->inbox, id);
    if (letter != CKV_HMAP_NONE && !doc->inbox.letters.ptr[letter].later) return;
    if (ckv_ids_find(&doc->graph.ids, id, &c) != CKV_OK) ckv_buf_bytes(out, id, 32);
}

ckv_status ckv_doc_missing(ckv_doc *doc, ckv_buf *out)
{
    const ckv_inbox *x = &doc->inbox;
    for (size_t i = 0; i < x->letters.len; i++) {
        const ckv_letter *l = &x->letters.ptr[i];
        ckv_header h;
        const char *why;
        bool decodes;
        if (l->state != 1 || l->later ||
            !ckv_header_read(&h, l->bytes, l->header_bytes, &decodes, &why))
            continue;
        if (h.has_prev) note_missing(doc, &h.prev, out);
        for (uint32_t k = 0; k < h.n_parents; k++) {
            ckv_id32 id;
            memcpy(&id, &h.parents[k], 32);
            note_missing(doc, &id, out);
        }
    }
    if (out->status == CKV_OK) out->len = 32 * ckv_id32_sort_unique(out->ptr, out->len / 32);
    return out->status;
}

ckv_status ckv_doc_letters(ckv_doc *doc, size_t most, ckv_buf *out)
{
    const ckv_inbox *x = &doc->inbox;
    for (size_t i = 0; i < x->letters.len && most > 0; i++) {
        const ckv_letter *l = &x->letters.ptr[i];
        ckv_letter_info info = {.id = l->id, .lane = l->lane, .author = l->author};
        ckv_header h;
        const char *why;
        bool decodes;
        if (l->state != 1) continue;
        info.seq = l->seq;
        info.later = l->later;
        if (ckv_header_read(&h, l->bytes, l->header_bytes, &decodes, &why)) {
            info.has_prev = h.has_prev;
            if (h.has_prev) info.prev = h.prev;
            info.n_parents = h.n_parents;
            for (uint32_t k = 0; k < h.n_parents; k++)
                memcpy(&info.parents[k], &h.parents[k], sizeof info.parents[k]);
        }
        ckv_buf_bytes(out, &info, sizeof info);
        most--;
    }
    return out->status;
}

/* ---- equivocation */

bool ckv_doc_has_twin(const ckv_doc *doc, uint32_t change)
{
    const ckv_graph *g = &doc->graph;
    uint32_t seq;
    const uint32_t branch = ckv_graph_branch(g, change, &seq), prev = ckv_graph_prev(g, change);
    const ckv_lane *l = ckv_lanes_of_branch(&g->lanes, branch);
    if (l->n_branches < 2) return false;
    for (uint32_t b = l->first_branch; b != CKV_NONE; b = ckv_lanes_branch(&g->lanes, b)->next) {
        const ckv_branch *br = ckv_lanes_branch(&g->lanes, b);
        if (br->seq0 != seq) continue;
        const uint32_t first = ckv_graph_at(g, b, seq);
        if (first != change) {
            if (ckv_graph_prev(g, first) == prev) return true;
        } else if (br->parent != CKV_NONE && seq < ckv_lanes_branch(&g->lanes, br->parent)->n_seq) {
            return true; /* the branch that it left went on */
        }
    }
    return false;
}

/* A change that has siblings: the first of a branch that forks, or the one it forks from. */
typedef struct sibling {
    uint32_t lane, seq, prev, change;
} sibling;

typedef struct fork_order {
    sibling s;
    ckv_id32 id;
} fork_order;
CKV_VEC(fork_orders, fork_order);

/* By lane, seq, then group (prev), then id. */
static int by_group(const void *x, const void *y)
{
    const fork_order *a = x, *b = y;
    if (a->s.lane != b->s.lane) return a->s.lane < b->s.lane ? -1 : 1;
    if (a->s.seq != b->s.seq) return a->s.seq < b->s.seq ? -1 : 1;
    if (a->s.prev != b->s.prev) return a->s.prev < b->s.prev ? -1 : 1;
    return ckv_id32_cmp(&a->id, &b->id);
}

static int by_lane_id(const void *x, const void *y)
{
    const ckv_equivocation *a = x, *b = y;
    const int c = ckv_id32_cmp(&a->lane, &b->lane);
    return c ? c : a->seq < b->seq ? -1 : a->seq > b->seq;
}

static ckv_status add_sibling(fork_orders *v, const ckv_graph *g, uint32_t lane, uint32_t change)
{
    fork_order f = {.s = {.lane = lane, .prev = ckv_graph_prev(g, change), .change = change},
                    .id = *ckv_ids_at(&g->ids, change)};
    ckv_graph_branch(g, change, &f.s.seq);
    return fork_orders_push(v, f);
}

static ckv_status collect_siblings(const ckv_doc *doc, fork_orders *v)
{
    const ckv_graph *g = &doc->graph;
    for (uint32_t lane = 0; lane < g->lanes.lanes.len; lane++) {
        const ckv_lane *l = ckv_lanes_lane(&g->lanes, lane);
        if (l->n_branches < 2) continue;
        for (uint32_t b = l->first_branch; b != CKV_NONE;
             b = ckv_lanes_branch(&g->lanes, b)->next) {
            const ckv_branch *br = ckv_lanes_branch(&g->lanes, b);
            CKV_TRY(add_sibling(v, g, lane, ckv_graph_at(g, b, br->seq0)));
            if (br->parent != CKV_NONE &&
                br->seq0 < ckv_lanes_branch(&g->lanes, br->parent)->n_seq) {
                CKV_TRY(add_sibling(v, g, lane, ckv_graph_at(g, br->parent, br->seq0)));
            }
        }
    }
    if (v->len) qsort(v->ptr, v->len, sizeof *v->ptr, by_group);
    return CKV_OK;
}

ckv_status ckv_doc_equivocations(ckv_doc *doc, ckv_buf *out)
{
    fork_orders v = {.a = doc->env.alloc};
    const size_t start = out->len;
    ckv_status s = collect_siblings(doc, &v);
    for (size_t i = 0; s == CKV_OK && i < v.len;) { /* one (lane, seq) after the other */
        size_t end = i;
        const fork_order *a = NULL, *b = NULL;
        while (end < v.len && v.ptr[end].s.lane == v.ptr[i].s.lane &&
               v.ptr[end].s.seq == v.ptr[i].s.seq) {
            size_t k = end + 1; /* one group of siblings; the same change may be listed twice */
            const fork_order *first = &v.ptr[end], *second = NULL;
            while (k < v.len && v.ptr[k].s.lane == first->s.lane &&
                   v.ptr[k].s.seq == first->s.seq && v.ptr[k].s.prev == first->s.prev) {
                if (!second && v.ptr[k].s.change != first->s.change) second = &v.ptr[k];
                k++;
            }
            if (second && (!a || ckv_id32_cmp(&first->id, &a->id) < 0)) a = first, b = second;
            end = k;
        }
        if (a) {
            const ckv_lane *l = ckv_lanes_lane(&doc->graph.lanes, a->s.lane);
            const ckv_equivocation e = {
                .author = l->author, .lane = l->id, .a = a->id, .b = b->id, .seq = a->s.seq};
            ckv_buf_bytes(out, &e, sizeof e);
        }
        i = end;
    }
    fork_orders_fini(&v);
    if (s == CKV_OK && out->status == CKV_OK && out->len > start)
        qsort(out->ptr + start, (out->len - start) / sizeof(ckv_equivocation),
              sizeof(ckv_equivocation), by_lane_id);
    return s == CKV_OK ? out->status : s;
}

/* The shortest way from a change to a signature at or after it: branch and seq of the signature. */
static const ckv_signed_at *nearest(const ckv_doc *doc, uint32_t branch, uint32_t seq, uint32_t *on)
{
    const ckv_lanes *lanes = &doc->graph.lanes;
    const ckv_signed_at *best = ckv_lanes_signature(lanes, branch, seq);
    *on = branch;
    for (uint32_t b = ckv_lanes_of_branch(lanes, branch)->first_branch; b != CKV_NONE;
         b = ckv_lanes_branch(lanes, b)->next) {
        if (b == branch || !ckv_lanes_on_chain(lanes, b, branch, seq)) continue;
        const ckv_signed_at *s = ckv_lanes_signature(lanes, b, seq);
        if (s && (!best || s->seq < best->seq)) best = s, *on = b;
    }
    return best;
}

static ckv_status make_side(ckv_doc *doc, const ckv_id32 *id, ckv_proof_side *side)
{
    uint32_t change, seq, on;
    CKV_TRY(ckv_ids_find(&doc->graph.ids, id, &change));
    const uint32_t branch = ckv_graph_branch(&doc->graph, change, &seq);
    const ckv_signed_at *at = nearest(doc, branch, seq, &on);
    const ckv_cover *cover = at ? NULL : ckv_doc_cover(doc, branch, seq);
    if (!at && !cover) return CKV_ENOENT; /* an own lane, not published yet: no evidence */
    const uint32_t last = at ? at->seq : cover->seq;
    side->signature = at ? at->signature : cover->signature;
    ckv_buf body = ckv_buf_init(doc->env.alloc);
    ckv_status s = CKV_OK;
    for (; seq <= last && s == CKV_OK; seq++) {
        uint8_t header[CKV_HEADER_MAX_BYTES];
        size_t n;
        s = ckv_rebuild_header(doc, ckv_graph_at(&doc->graph, on, seq), header, &n, &body);
        if (s == CKV_OK) ckv_buf_blob(&side->headers, header, n), side->n++;
    }
    if (s == CKV_OK && cover) {
        ckv_buf_bytes(&side->headers, doc->cover_headers.ptr + cover->off, cover->n_bytes);
        side->n += cover->n;
    }
    ckv_buf_fini(&body);
    return s == CKV_OK ? side->headers.status : s;
}

ckv_status ckv_doc_proof(ckv_doc *doc, const ckv_equivocation *e, ckv_buf *out)
{
    ckv_proof_side a = {.headers = ckv_buf_init(doc->env.alloc)},
                   b = {.headers = ckv_buf_init(doc->env.alloc)};
    const uint32_t lane = ckv_lanes_find(&doc->graph.lanes, &e->lane);
    if (lane == CKV_NONE) return CKV_ENOENT;
    ckv_status s = make_side(doc, &e->a, &a);
    if (s == CKV_OK) s = make_side(doc, &e->b, &b);
    if (s == CKV_OK)
        s = ckv_proof_write(out, &doc->id, &e->author,
                            ckv_lanes_lane(&doc->graph.lanes, lane)->nonce, e->seq, &a, &b);
    ckv_buf_fini(&a.headers);
    ckv_buf_fini(&b.headers);
    return s;
}

ckv_status ckv_proof_verify(const uint8_t *data, size_t n_bytes, ckv_id32 *author, ckv_err *err)
{
    return ckv_proof_read(data, n_bytes, author, err);
}
