#include "doc/walk.h"

#include "doc/apply.h"

uint32_t ckv_items_alike(const ckv_doc *doc, const ckv_past *at, uint32_t item, uint32_t n,
                         bool *in)
{
    const ckv_graph *g = &doc->graph;
    if (!at || at->all) {
        *in = true;
        return n;
    }
    if (item >= g->ids.n_items) { /* of the open change */
        *in = false;
        return n;
    }
    if (at->allin_item > item) {
        *in = true;
        return at->allin_item - item < n ? at->allin_item - item : n;
    }
    if (at->prefix) {
        *in = false;
        return n;
    }
    const uint32_t c = ckv_ids_change_of_item(&g->ids, item), segment = ckv_graph_segment_of(g, c);
    const uint32_t out =
        ckv_past_in_segment(at, g, segment); /* changes of the segment below `out` are in */
    const uint32_t end =
        segment + 1 < g->segments.len ? g->segments.ptr[segment + 1].start : ckv_ids_n(&g->ids);
    *in = c < out;
    const uint32_t stop = ckv_ids_item(&g->ids, *in ? out : end) - item;
    return stop < n ? stop : n;
}

bool ckv_item_shows(const ckv_doc *doc, const ckv_past *at, uint32_t item, uint32_t del, bool moves,
                    ckv_moves_round round)
{
    if (!at && !moves) return !ckv_del_hides(&doc->space.deletes, del);
    if (moves) {
        const uint32_t element = ckv_doc_element_of(doc, item);
        const uint32_t slot = at ? ckv_moves_slot_in(&doc->moves, round, &doc->graph, at, element)
                                 : ckv_moves_slot(&doc->moves, element);
        if (slot != item) return false;
        if (element != item) {
            ckv_gap gap;
            CKV_MUST(ckv_space_locate(&doc->space, element, &gap));
            del = ckv_space_span(&doc->space, gap.leaf, gap.slot)->del;
        }
    }
    return !ckv_doc_hidden(doc, at, del);
}

ckv_status ckv_walk_begin(ckv_walk *p, ckv_doc *doc, const ckv_past *at, uint32_t container,
                          size_t start, size_t n)
{
    CKV_TRY(ckv_doc_flush(doc));
    const ckv_seq *s = &ckv_tree_at(&doc->tree, container)->seq;
    *p = (ckv_walk){.doc = doc, .at = at, .leaf = s->first_leaf, .left = n};
    p->moves = at && ckv_has_moves(doc, container);
    if (p->moves) p->round = ckv_moves_begin(&doc->moves, 0);
    if (at) {
        p->skip = start;
        return CKV_OK;
    }
    if (start > s->visible) start = s->visible;
    if (n > s->visible - start) p->left = s->visible - start;
    const ckv_gap g = ckv_seq_gap(&doc->space, s, (uint32_t)start);
    if (!ckv_gap_is_start(g)) p->leaf = g.leaf, p->slot = g.slot, p->off = g.off;
    return CKV_OK;
}

/* A stretch [item, item + *n) of one span, *n at most what is left of it: cut to where it is alike in showing. */
static bool shows(const ckv_walk *p, const ckv_span *s, uint32_t item, uint32_t *n)
{
    bool in;
    if (!p->at) return true; /* the span shows */
    *n = ckv_items_alike(p->doc, p->at, item, *n, &in);
    if (!in) return false;
    if (p->moves) *n = 1;
    return ckv_item_shows(p->doc, p->at, item, s->del, p->moves, p->round);
}

bool ckv_walk_next(ckv_walk *p, uint32_t *item, uint32_t *n)
{
    while (p->left && p->leaf != CKV_NONE) {
        const ckv_leaf *l = &p->doc->space.leaves.ptr[p->leaf];
        if (p->slot >= l->n) {
            p->leaf = l->next;
            p->slot = p->off = 0;
            continue;
        }
        const ckv_span *s = &l->s[p->slot];
        if (p->off == s->len || (!p->at && !ckv_span_visible(&p->doc->space, s))) {
            p->slot++;
            p->off = 0;
            continue;
        }
        *item = s->item + p->off;
        *n = s->len - p->off;
        const bool visible = shows(p, s, *item, n);
        p->off += *n;
        if (!visible) continue;
        if (p->skip >= *n) {
            p->skip -= *n;
            continue;
        }
        *item += (uint32_t)p->skip;
        *n -= (uint32_t)p->skip;
        p->skip = 0;
        if (*n > p->left) *n = (uint32_t)p->left;
        p->left -= *n;
        return true;
    }
    return false;
}
