#include "types/integrate.h"

/* The depth of the item before a gap. */
static uint32_t depth_at(const ckv_space *x, ckv_gap g)
{
    return ckv_gap_is_start(g) ? 0 : ckv_space_span(x, g.leaf, g.slot)->depth + g.off - 1;
}

static uint32_t item_at(const ckv_space *x, ckv_gap g)
{
    return ckv_space_span(x, g.leaf, g.slot)->item + g.off - 1;
}

/* The gap behind the last item of the subtree of the item before g, which has depth d. Always the end of a span. */
static ckv_gap subtree_end(ckv_space *x, const ckv_seq *s, ckv_gap g, uint32_t d)
{
    uint32_t leaf = g.leaf, slot = g.slot;
    if (ckv_gap_is_start(g)) {
        if (s->start_lo == 0) return g;
        leaf = s->first_leaf, slot = 0;
    }
    CKV_MUST(ckv_seq_search(x, &leaf, &slot, true, CKV_LEAST_LO, d));
    return (ckv_gap){leaf, slot, ckv_space_span(x, leaf, slot)->len};
}

/* The span whose first item begins the subtree of the first item of (leaf, slot), which has depth d. */
static void subtree_begin(ckv_space *x, uint32_t *leaf, uint32_t *slot, uint32_t d)
{
    CKV_MUST(ckv_seq_search(x, leaf, slot, false, CKV_LEAST_HI, d));
}

/* The gap before a span. */
static ckv_gap before_span(const ckv_space *x, uint32_t leaf, uint32_t slot)
{
    while (slot == 0) {
        leaf = x->leaves.ptr[leaf].prev;
        if (leaf == CKV_NONE) return CKV_GAP_START;
        slot = x->leaves.ptr[leaf].n;
    }
    return (ckv_gap){leaf, slot - 1, ckv_space_span(x, leaf, slot - 1)->len};
}

/* Order of the new item and a sibling by id. Siblings are never of the same change. */
static bool id_before(const ckv_author_view *v, uint32_t sibling)
{
    const uint32_t c = ckv_ids_change_of_item(&v->graph->ids, sibling);
    const uint64_t clock = ckv_graph_clock(v->graph, c);
    if (clock != v->clock) return v->clock < clock;
    return ckv_id32_cmp(v->id, ckv_ids_at(&v->graph->ids, c)) < 0;
}

bool ckv_author_after(const ckv_author_view *v, uint32_t lv)
{
    if (!v->id || lv >= v->graph->ids.n_lv) return true;
    const uint32_t c = ckv_ids_change_of_lv(&v->graph->ids, lv);
    const uint64_t clock = ckv_graph_clock(v->graph, c);
    if (clock != v->clock) return v->clock > clock;
    return ckv_id32_cmp(v->id, ckv_ids_at(&v->graph->ids, c)) > 0;
}

/* < 0 if right origin a stands before b; the end is last. */
static int compare_right(const ckv_space *x, uint32_t a, uint32_t b)
{
    ckv_gap ga, gb;
    if (a == b) return 0;
    if (a == CKV_NONE) return 1;
    if (b == CKV_NONE) return -1;
    CKV_MUST(ckv_space_locate(x, a, &ga) && ckv_space_locate(x, b, &gb));
    return ckv_seq_compare(x, ga, gb);
}

/* A new item, and what decides where it goes among its siblings. */
typedef struct newcomer {
    uint32_t item, right;
    bool is_left;
    const ckv_author_view *v;
} newcomer;

static bool goes_before(const ckv_space *x, const newcomer *n, uint32_t sibling)
{
    if (n->is_left) return id_before(n->v, sibling);
    const int c = compare_right(x, n->right, ckv_oplog_right(n->v->oplog, sibling));
    return c > 0 || (c == 0 && id_before(n->v, sibling));
}

/* Where the newcomer goes among the siblings of a crowded place; it is entered there. CKV_EVOID: its author knows one of them. */
static ckv_status join_crowd(ckv_space *x, ckv_crowd *c, const newcomer *n, const ckv_journal *j,
                             uint32_t *before, uint32_t *behind)
{
    bool known;
    CKV_TRY(ckv_crowd_knows(&x->crowds, c, n->v->graph, n->v->past, n->v->own_item, &known));
    if (known) return CKV_EVOID;
    size_t lo = 0, hi = c->siblings.len;
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        if (goes_before(x, n, c->siblings.ptr[mid]))
            hi = mid;
        else
            lo = mid + 1;
    }
    *before = lo ? c->siblings.ptr[lo - 1] : CKV_NONE;
    *behind = lo < c->siblings.len ? c->siblings.ptr[lo] : CKV_NONE;
    return ckv_crowd_add(&x->crowds, c, lo, n->item, j);
}

/* The walk is over: from so many siblings on they are remembered, the newcomer among them. n_before: of them go before it. */
static ckv_status settle_crowd(ckv_space *x, uint32_t place, uint32_t n_all, uint32_t n_before,
                               const newcomer *n, const ckv_journal *j)
{
    if (n_all < CKV_CROWD_MIN) return CKV_OK;
    CKV_TRY(ckv_crowd_make(&x->crowds, place));
    return ckv_crowd_add(&x->crowds, ckv_crowd_at(&x->crowds, place), n_before, n->item, j);
}

/* Walks over the right children of the item before p (depth d - 1), whose subtree ends at `end`: how many, and how many go before the newcomer. */
static ckv_status walk_right(ckv_space *x, ckv_seq *s, ckv_gap p, ckv_gap end, uint32_t d,
                             const newcomer *new, uint32_t *n_all, uint32_t *n_before,
                             uint32_t *prev)
{
    const bool inside = !ckv_gap_is_start(p) && p.off < ckv_space_span(x, p.leaf, p.slot)->len;
    ckv_gap at =
        p; /* behind the subtree of the sibling seen last; its next sibling is the next span of depth <= d */
    bool passed = false;
    x->crowds.walked.len = 0;
    for (;;) {
        ckv_gap g;
        if (*n_all == 0 && inside) {
            g = (ckv_gap){p.leaf, p.slot, p.off + 1};
        } else {
            uint32_t leaf, slot;
            if (ckv_seq_compare(x, at, end) >= 0 || !ckv_seq_next(x, s, at, &leaf, &slot)) break;
            if (!ckv_seq_search(x, &leaf, &slot, true, CKV_LEAST_DEPTH, d)) break;
            g = (ckv_gap){leaf, slot, 1};
            if (ckv_seq_compare(x, g, end) > 0) break;
            CKV_ASSERT(ckv_space_span(x, leaf, slot)->depth == d);
        }
        const uint32_t sibling = item_at(x, g);
        ++*n_all;
        if (ckv_author_knows(new->v, sibling)) return CKV_EVOID;
        CKV_TRY(ckv_u32s_push(&x->crowds.walked, sibling));
        passed = passed || goes_before(x, new, sibling);
        if (!passed) ++*n_before, *prev = sibling;
        at = subtree_end(x, s, g, d);
    }
    return CKV_OK;
}

/* Right child of the item before p (depth d - 1), whose subtree ends at `end`. */
static ckv_status place_right(ckv_space *x, ckv_seq *s, ckv_gap p, ckv_gap end, uint32_t d,
                              uint32_t item, uint32_t n, uint32_t right, const ckv_author_view *v,
                              ckv_journal *j)
{
    uint32_t n_before = 0, n_all = 0, prev = CKV_NONE,
             behind; /* prev: the last sibling before us */
    const newcomer new = {item, right, false, v};
    const uint32_t place =
        ckv_gap_is_start(p) ? ckv_crowd_start(s->number) : ckv_crowd_place(item_at(x, p), false);
    ckv_crowd *crowd = ckv_crowd_at(&x->crowds, place);
    if (crowd) {
        CKV_TRY(join_crowd(x, crowd, &new, j, &prev, &behind));
        n_all = 1;
        n_before = prev != CKV_NONE;
    } else {
        CKV_TRY(walk_right(x, s, p, end, d, &new, &n_all, &n_before, &prev));
        CKV_TRY(settle_crowd(x, place, n_all, n_before, &new, j));
    }
    ckv_gap at;
    ckv_span span = {item, n, d, d, d, 0};
    if (n_before == 0) { /* right behind p */
        if (!ckv_gap_is_start(p)) ckv_seq_cut(x, s, &p);
        if (n_all == 0) {
            span.lo = ckv_gap_is_start(p) ? s->start_lo : ckv_space_span(x, p.leaf, p.slot)->lo;
            ckv_seq_set_lo(x, s, p, CKV_INF, j);
        }
        at = p;
    } else {
        ckv_gap g;
        CKV_MUST(ckv_space_locate(x, prev, &g));
        at = subtree_end(x, s, g, d);
        const uint32_t lo = ckv_space_span(x, at.leaf, at.slot)->lo;
        span.lo = lo < d ? lo : d;
        ckv_seq_set_lo(x, s, at, d, j);
    }
    ckv_journal_put(j, CKV_UNDO_INSERT, s->number, item, n, 0);
    ckv_seq_put(x, s, at, span);
    return CKV_OK;
}

/* Walks over the left children of the item before p. next: the first of them behind the newcomer. */
static ckv_status walk_left(ckv_space *x, ckv_seq *s, ckv_gap p, uint32_t d, const newcomer *new,
                            uint32_t *n_all, uint32_t *n_before, uint32_t *next)
{
    uint32_t leaf = p.leaf, slot = p.slot;
    const uint32_t p_item = item_at(x, p);
    x->crowds.walked.len = 0;
    subtree_begin(x, &leaf, &slot, d - 1);
    for (;;) {
        CKV_MUST(
            ckv_seq_search(x, &leaf, &slot, true, CKV_LEAST_DEPTH, d)); /* p itself at the latest */
        const ckv_gap g = {leaf, slot, 1};
        const uint32_t sibling = item_at(x, g);
        if (sibling == p_item) return CKV_OK;
        CKV_ASSERT(ckv_space_span(x, leaf, slot)->depth == d);
        ++*n_all;
        if (ckv_author_knows(new->v, sibling)) return CKV_EVOID;
        CKV_TRY(ckv_u32s_push(&x->crowds.walked, sibling));
        if (*next == CKV_NONE && goes_before(x, new, sibling)) *next = sibling;
        if (*next == CKV_NONE) ++*n_before;
        CKV_MUST(ckv_seq_next(x, s, subtree_end(x, s, g, d), &leaf, &slot));
    }
}

/* Left child of the item before p (depth d - 1). */
static ckv_status place_left(ckv_space *x, ckv_seq *s, ckv_gap p, uint32_t d, uint32_t item,
                             uint32_t n, const ckv_author_view *v, ckv_journal *j)
{
    uint32_t n_all = 0, n_before = 0, prev, next = CKV_NONE;
    const newcomer new = {item, CKV_NONE, true, v};
    const uint32_t place = ckv_crowd_place(item_at(x, p), true);
    ckv_crowd *crowd = ckv_crowd_at(&x->crowds, place);
    if (crowd) {
        CKV_TRY(join_crowd(x, crowd, &new, j, &prev, &next));
        n_all = 1;
    } else if (p.off == 1) { /* only the first item of a span can have left children */
        CKV_TRY(walk_left(x, s, p, d, &new, &n_all, &n_before, &next));
        CKV_TRY(settle_crowd(x, place, n_all, n_before, &new, j));
    }
    ckv_span span = {item, n, d, d, d, 0};
    ckv_gap at;
    if (next == CKV_NONE) { /* right before p */
        p.off--;            /* the gap before it */
        if (p.off == 0) {
            at = before_span(x, p.leaf, p.slot);
        } else {
            ckv_seq_cut(x, s, &p);
            at = p;
        }
        if (n_all == 0) {
            uint32_t leaf = 0, slot = 0;
            CKV_MUST(ckv_seq_next(x, s, at, &leaf, &slot));
            span.hi = ckv_space_span(x, leaf, slot)->hi;
            ckv_seq_set_hi(x, s, leaf, slot, CKV_INF, j);
        }
    } else {
        ckv_gap g;
        CKV_MUST(ckv_space_locate(x, next, &g));
        uint32_t leaf = g.leaf, slot = g.slot;
        subtree_begin(x, &leaf, &slot, d);
        const uint32_t hi = ckv_space_span(x, leaf, slot)->hi;
        span.hi = hi < d ? hi : d;
        ckv_seq_set_hi(x, s, leaf, slot, d, j);
        at = before_span(x, leaf, slot);
    }
    ckv_journal_put(j, CKV_UNDO_INSERT, s->number, item, n, 0);
    ckv_seq_put(x, s, at, span);
    return CKV_OK;
}

ckv_status ckv_integrate(ckv_space *x, ckv_seq *s, uint32_t item, uint32_t n, ckv_gap left,
                         uint32_t right, const ckv_author_view *v, ckv_journal *j, const char **why)
{
    uint32_t left_item, follows;
    ckv_seq_around(x, s, left, &left_item, &follows);
    if (follows == right) { /* nothing stands between the origins, so nothing can be a sibling */
        ckv_seq_insert(x, s, left, item, n, j);
        return CKV_OK;
    }
    ckv_gap r = CKV_GAP_START;
    *why = "rule 14: an insert's origins are in two sequences";
    if (right != CKV_NONE &&
        (!ckv_space_locate(x, right, &r) || x->leaves.ptr[r.leaf].seq != s->number))
        return CKV_EVOID;
    *why = "rule 14: an insert's place had a child in its causal past";
    const uint32_t d = depth_at(x, left);
    const ckv_gap end = subtree_end(x, s, left, d);
    const bool below =
        right != CKV_NONE && ckv_seq_compare(x, left, r) < 0 && ckv_seq_compare(x, r, end) <= 0;
    if (below) return place_left(x, s, r, depth_at(x, r) + 1, item, n, v, j);
    return place_right(x, s, left, end, d + 1, item, n, right, v, j);
}
