#include "graph/graph.h"

ckv_graph ckv_graph_init(ckv_alloc a, uint64_t secret)
{
    return (ckv_graph){.ids = ckv_ids_init(a, secret),
                       .lanes = ckv_lanes_init(a, secret),
                       .segments = {.a = a},
                       .parents = {.a = a},
                       .entries = {.a = a},
                       .heads = {.a = a}};
}

void ckv_graph_fini(ckv_graph *g)
{
    ckv_ids_fini(&g->ids);
    ckv_lanes_fini(&g->lanes);
    ckv_segments_fini(&g->segments);
    ckv_u32s_fini(&g->parents);
    ckv_past_entries_fini(&g->entries);
    ckv_u32s_fini(&g->heads);
}

/* ---- one change */

uint32_t ckv_graph_segment_of(const ckv_graph *g, uint32_t change)
{
    size_t segment = 0;
    CKV_SEEK(&segment, g->segments.len, g->segments.ptr[i].start, change);
    return (uint32_t)segment;
}

static uint32_t segment_end(const ckv_graph *g, uint32_t i)
{
    return i + 1 < g->segments.len ? g->segments.ptr[i + 1].start : ckv_ids_n(&g->ids);
}

uint32_t ckv_graph_branch(const ckv_graph *g, uint32_t change, uint32_t *seq)
{
    const ckv_segment *s = &g->segments.ptr[ckv_graph_segment_of(g, change)];
    *seq = s->seq0 + (change - s->start);
    return s->branch;
}

uint32_t ckv_graph_at(const ckv_graph *g, uint32_t branch, uint32_t seq)
{
    const ckv_branch *b = ckv_lanes_branch(&g->lanes, branch);
    while (seq < b->seq0) b = ckv_lanes_branch(&g->lanes, b->parent);
    CKV_ASSERT(seq < b->n_seq);
    size_t at = 0;
    CKV_SEEK(&at, b->segments.len, g->segments.ptr[b->segments.ptr[i]].seq0, seq);
    const ckv_segment *s = &g->segments.ptr[b->segments.ptr[at]];
    return s->start + (seq - s->seq0);
}

uint64_t ckv_graph_clock(const ckv_graph *g, uint32_t change)
{
    const ckv_segment *s = &g->segments.ptr[ckv_graph_segment_of(g, change)];
    return s->clock0 + (change - s->start);
}

uint32_t ckv_graph_prev(const ckv_graph *g, uint32_t change)
{
    const ckv_segment *s = &g->segments.ptr[ckv_graph_segment_of(g, change)];
    return change > s->start ? change - 1 : s->prev;
}

const uint32_t *ckv_graph_parents(const ckv_graph *g, uint32_t change, uint32_t *n)
{
    const ckv_segment *s = &g->segments.ptr[ckv_graph_segment_of(g, change)];
    *n = change == s->start ? s->n_parents : 0;
    return g->parents.ptr + s->parents;
}

int ckv_graph_order(const ckv_graph *g, uint32_t a, uint32_t ia, uint32_t b, uint32_t ib)
{
    if (a == b) return ia < ib ? -1 : ia > ib;
    const uint64_t ca = ckv_graph_clock(g, a), cb = ckv_graph_clock(g, b);
    if (ca != cb) return ca < cb ? -1 : 1;
    return ckv_id32_cmp(ckv_ids_at(&g->ids, a), ckv_ids_at(&g->ids, b));
}

/* ---- growth */

ckv_status ckv_graph_reserve(ckv_graph *g, uint32_t branch, uint32_t n_parents,
                             const ckv_past *past)
{
    CKV_TRY(ckv_ids_reserve(&g->ids));
    CKV_TRY(ckv_lanes_reserve(&g->lanes, branch));
    CKV_TRY(ckv_segments_reserve(&g->segments, 1));
    CKV_TRY(ckv_u32s_reserve(&g->parents, n_parents + 1)); /* + 1: never NULL */
    CKV_TRY(ckv_past_entries_reserve(&g->entries, past->touched.len));
    return ckv_u32s_reserve(&g->heads, 1);
}

static void drop_head(ckv_graph *g, uint32_t change)
{
    for (size_t i = 0; i < g->heads.len; i++) {
        if (g->heads.ptr[i] != change) continue;
        memmove(g->heads.ptr + i, g->heads.ptr + i + 1, (g->heads.len - i - 1) * sizeof(uint32_t));
        g->heads.len--;
        return;
    }
}

static void add_head(ckv_graph *g, uint32_t change)
{
    size_t i = g->heads.len++;
    const ckv_id32 *id = ckv_ids_at(&g->ids, change);
    for (; i > 0 && ckv_id32_cmp(ckv_ids_at(&g->ids, g->heads.ptr[i - 1]), id) > 0; i--) {
        g->heads.ptr[i] = g->heads.ptr[i - 1];
    }
    g->heads.ptr[i] = change;
}

/* Keeps the entries of every so many segments of a branch: as many segments as entries, so that a segment costs O(1) memory. */
static bool worth_keeping(const ckv_graph *g, const ckv_branch *b, size_t n_entries)
{
    if (n_entries <= 4) return true;
    const size_t limit = n_entries / 4 < 32 ? n_entries / 4 : 32;
    for (size_t k = 1; k <= limit && k <= b->segments.len; k++) {
        if (g->segments.ptr[b->segments.ptr[b->segments.len - k]].entries != CKV_NONE)
            return k == limit;
    }
    return true;
}

uint32_t ckv_graph_append(ckv_graph *g, uint32_t lane, uint32_t branch, uint32_t prev,
                          const uint32_t *parents, uint32_t n_parents, const ckv_past *past,
                          const ckv_id32 *id, uint32_t n_ops, uint32_t n_items)
{
    const uint32_t c = ckv_ids_n(&g->ids);
    const ckv_segment *last = ckv_segments_last(&g->segments);
    const bool goes_on =
        last && n_parents == 0 && branch != CKV_NONE && prev == c - 1 && last->branch == branch;
    if (branch == CKV_NONE) {
        uint32_t parent = CKV_NONE, seq0 = 0, off0 = 0;
        if (prev != CKV_NONE) {
            parent = ckv_graph_branch(g, prev, &seq0);
            seq0++;
            off0 = ckv_lanes_off_before(&g->lanes, parent, ckv_ids_item(&g->ids, prev + 1));
        }
        branch = ckv_lanes_fork(&g->lanes, lane, parent, seq0, off0);
    }
    ckv_branch *b = ckv_lanes_branch(&g->lanes, branch);
    if (!goes_on) {
        uint64_t clock = prev == CKV_NONE ? 0 : ckv_graph_clock(g, prev);
        for (uint32_t i = 0; i < n_parents; i++) {
            const uint64_t k = ckv_graph_clock(g, parents[i]);
            if (k > clock) clock = k;
        }
        ckv_segment s = {.start = c,
                         .branch = branch,
                         .seq0 = b->n_seq,
                         .prev = prev,
                         .parents = (uint32_t)g->parents.len,
                         .n_parents = n_parents,
                         .allin = past->all ? c : past->allin,
                         .entries = (uint32_t)g->entries.len,
                         .clock0 = clock + 1};
        for (uint32_t i = 0; i < n_parents; i++) ckv_u32s_put(&g->parents, parents[i]);
        if (!past->all) {
            for (size_t i = 0; i < past->touched.len; i++) {
                const uint32_t t = past->touched.ptr[i];
                const ckv_branch *o = ckv_lanes_branch(&g->lanes, t);
                if (o->tip != CKV_NONE && o->tip < past->allin) continue; /* covered by allin */
                ckv_past_entries_put(&g->entries, (ckv_past_entry){t, past->n[t]});
            }
            s.n_entries = (uint32_t)g->entries.len - s.entries;
            if (!worth_keeping(g, b, s.n_entries)) {
                g->entries.len = s.entries;
                s.entries = CKV_NONE;
                s.n_entries = 0;
            }
        }
        ckv_u32s_put(&b->segments, (uint32_t)g->segments.len);
        ckv_segments_put(&g->segments, s);
    }
    ckv_lanes_append(&g->lanes, branch, c, g->ids.n_items, n_items);
    ckv_ids_push(&g->ids, id, n_ops, n_items);
    if (prev != CKV_NONE) drop_head(g, prev);
    for (uint32_t i = 0; i < n_parents; i++) drop_head(g, parents[i]);
    add_head(g, c);
    return c;
}

void ckv_graph_truncate(ckv_graph *g, uint32_t n_changes, uint32_t n_lanes, const uint32_t *heads,
                        size_t n_heads)
{
    while (ckv_ids_n(&g->ids) > n_changes) {
        const uint32_t c = ckv_ids_n(&g->ids) - 1;
        const ckv_segment s = *ckv_segments_last(&g->segments);
        ckv_branch *b = ckv_lanes_branch(&g->lanes, s.branch);
        const uint32_t n_items = ckv_ids_item(&g->ids, c + 1) - ckv_ids_item(&g->ids, c);
        const uint32_t prev = ckv_graph_prev(g, c);
        if (s.start == c) {
            g->segments.len--;
            b->segments.len--;
            g->parents.len = s.parents;
            if (s.entries != CKV_NONE) g->entries.len = s.entries;
        }
        ckv_ids_pop(&g->ids);
        ckv_lanes_pop(&g->lanes, s.branch, prev, g->ids.n_items, n_items);
    }
    ckv_lanes_drop(&g->lanes, n_lanes);
    if (n_heads && heads != g->heads.ptr) memcpy(g->heads.ptr, heads, n_heads * sizeof *heads);
    g->heads.len = n_heads;
}

/* ---- pasts */

ckv_past ckv_past_init(ckv_alloc a)
{
    return (ckv_past){.a = a, .touched = {.a = a}, .todo = {.a = a}};
}

void ckv_past_fini(ckv_past *p)
{
    ckv_release(p->a, p->n, p->cap * sizeof *p->n);
    ckv_u32s_fini(&p->touched);
    ckv_u32s_fini(&p->todo);
    *p = ckv_past_init(p->a);
}

void ckv_past_reset(ckv_past *p)
{
    for (size_t i = 0; i < p->touched.len; i++) p->n[p->touched.ptr[i]] = 0;
    p->touched.len = p->todo.len = 0;
    p->all = p->prefix = false;
    p->allin = p->allin_item = 0;
}

static void raise_to(ckv_past *p, uint32_t branch, uint32_t n)
{
    if (p->n[branch] == 0) ckv_u32s_put(&p->touched, branch); /* room for every branch was made */
    if (p->n[branch] < n) p->n[branch] = n;
}

static ckv_status room(ckv_past *p, const ckv_graph *g)
{
    const size_t n = g->lanes.branches.len;
    if (p->cap >= n && p->touched.cap >= n) return CKV_OK;
    const size_t old = p->cap;
    void *ptr = p->n;
    CKV_TRY(ckv_grow(p->a, &ptr, &p->cap, n, sizeof *p->n));
    p->n = ptr;
    memset(p->n + old, 0, (p->cap - old) * sizeof *p->n);
    return ckv_u32s_reserve(&p->touched, n - p->touched.len);
}

ckv_status ckv_past_add(ckv_past *p, const ckv_graph *g, uint32_t change)
{
    CKV_TRY(room(p, g));
    CKV_TRY(ckv_u32s_push(&p->todo, change));
    while (p->todo.len) {
        const uint32_t c = p->todo.ptr[--p->todo.len];
        if (c < p->allin) continue;
        const ckv_segment *s = &g->segments.ptr[ckv_graph_segment_of(g, c)];
        const uint32_t seq = s->seq0 + (c - s->start);
        const uint32_t before = p->n[s->branch]; /* in already, with all behind */
        if (before > seq) continue;
        raise_to(p, s->branch, seq + 1);
        for (;;) { /* back along the branch, to a segment that has its entries */
            if (s->allin > p->allin) p->allin = s->allin;
            if (s->entries != CKV_NONE) {
                for (uint32_t i = 0; i < s->n_entries; i++) {
                    const ckv_past_entry *e = &g->entries.ptr[s->entries + i];
                    raise_to(p, e->branch, e->n);
                }
                break;
            }
            CKV_TRY(ckv_u32s_reserve(&p->todo, s->n_parents + 1));
            for (uint32_t i = 0; i < s->n_parents; i++)
                ckv_u32s_put(&p->todo, g->parents.ptr[s->parents + i]);
            if (s->prev == CKV_NONE || s->seq0 <= before) break;
            const ckv_segment *const former = &g->segments.ptr[ckv_graph_segment_of(g, s->prev)];
            if (former->branch != s->branch) {
                ckv_u32s_put(&p->todo, s->prev);
                break;
            }
            s = former;
        }
    }
    return CKV_OK;
}

void ckv_past_close(ckv_past *p, const ckv_graph *g)
{
    const uint32_t n = ckv_ids_n(&g->ids);
    while (p->allin < n) {
        const uint32_t i = ckv_graph_segment_of(g, p->allin);
        const ckv_segment *s = &g->segments.ptr[i];
        const uint32_t k = ckv_past_branch(p, s->branch),
                       in = k > s->seq0 ? s->start + (k - s->seq0) : s->start;
        const uint32_t end = segment_end(g, i);
        if (in <= p->allin) break;
        p->allin = in < end ? in : end;
        if (in < end) break;
    }
    p->allin_item = ckv_ids_item(&g->ids, p->allin);
}

bool ckv_past_is_prefix(const ckv_past *p, const ckv_graph *g)
{
    if (p->all) return false;
    for (size_t i = 0; i < p->touched.len; i++) {
        const uint32_t branch = p->touched.ptr[i];
        if (ckv_graph_at(g, branch, p->n[branch] - 1) >= p->allin) return false;
    }
    return true;
}

ckv_status ckv_past_of(ckv_past *p, const ckv_graph *g, uint32_t prev, const uint32_t *parents,
                       uint32_t n_parents)
{
    ckv_past_reset(p);
    /* All heads are named, or prev is the only one: everything is in the past, and nothing can be concurrent. */
    if (g->heads.len <= n_parents + (prev != CKV_NONE)) {
        size_t named = 0;
        for (size_t h = 0; h < g->heads.len; h++) {
            bool found = g->heads.ptr[h] == prev;
            for (uint32_t i = 0; i < n_parents && !found; i++)
                found = g->heads.ptr[h] == parents[i];
            named += found;
        }
        if (named == g->heads.len) {
            p->all = true;
            p->allin = ckv_ids_n(&g->ids);
            p->allin_item = g->ids.n_items;
            return CKV_OK;
        }
    }
    CKV_TRY(room(p, g));
    if (prev != CKV_NONE) CKV_TRY(ckv_past_add(p, g, prev));
    for (uint32_t i = 0; i < n_parents; i++) CKV_TRY(ckv_past_add(p, g, parents[i]));
    ckv_past_close(p, g);
    return CKV_OK;
}

bool ckv_past_has_slow(const ckv_past *p, const ckv_graph *g, uint32_t change)
{
    if (change >= ckv_ids_n(&g->ids)) return true; /* the change that is being made */
    uint32_t seq;
    const uint32_t b = ckv_graph_branch(g, change, &seq);
    return change < p->allin || ckv_past_branch(p, b) > seq;
}

uint32_t ckv_past_in_segment(const ckv_past *p, const ckv_graph *g, uint32_t segment)
{
    const ckv_segment *s = &g->segments.ptr[segment];
    const uint32_t end = segment_end(g, segment);
    if (p->all || end <= p->allin) return end;
    uint32_t in = s->start;
    const uint32_t n = ckv_past_branch(p, s->branch);
    if (n > s->seq0) in = s->start + (n - s->seq0);
    if (in < p->allin) in = p->allin;
    return in < end ? in : end;
}

/* How many changes of the chain that ends in branch are in, counting from seq 0. The first own one is. */
static uint32_t reach(const ckv_past *p, const ckv_graph *g, uint32_t branch)
{
    const ckv_branch *b = ckv_lanes_branch(&g->lanes, branch);
    uint32_t lo = ckv_past_branch(p, branch), hi = b->n_seq;
    if (p->all || b->tip < p->allin) return hi;
    if (lo <= b->seq0) lo = b->seq0 + 1;
    while (lo < hi) { /* allin may reach further than the entry */
        const uint32_t mid = lo + (hi - lo) / 2;
        if (ckv_graph_at(g, branch, mid) < p->allin)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

uint32_t ckv_past_lane(const ckv_past *p, const ckv_graph *g, uint32_t lane, bool *forked)
{
    uint32_t deepest = CKV_NONE, depth = 0;
    *forked = false;
    for (uint32_t b = ckv_lanes_lane(&g->lanes, lane)->first_branch; b != CKV_NONE;
         b = ckv_lanes_branch(&g->lanes, b)->next) {
        const ckv_branch *br = ckv_lanes_branch(&g->lanes, b);
        if (!ckv_past_has(p, g, ckv_graph_at(g, b, br->seq0))) continue;
        const uint32_t n = reach(p, g, b);
        if (deepest == CKV_NONE) {
            deepest = b, depth = n;
        } else if (ckv_lanes_on_chain(&g->lanes, b, deepest, depth - 1)) {
            deepest = b, depth = n; /* the former branch ends where this one leaves it */
        } else {
            *forked = true;
        }
    }
    return deepest;
}

static bool is_one_of(const ckv_id32 *id, const ckv_id32 *ids, size_t n)
{
    while (n && !ckv_id32_eq(id, &ids[n - 1])) n--;
    return n > 0;
}

ckv_status ckv_past_without(ckv_past *p, const ckv_graph *g, const ckv_id32 *authors, size_t n)
{
    CKV_TRY(room(p, g));
    for (uint32_t b = 0; b < g->lanes.branches.len; b++) {
        const ckv_branch *br = ckv_lanes_branch(&g->lanes, b);
        uint32_t in = 0; /* each branch by its own number from now on, none by allin */
        if (!is_one_of(&ckv_lanes_of_branch(&g->lanes, b)->author, authors, n) &&
            ckv_past_has(p, g, ckv_graph_at(g, b, br->seq0)))
            in = reach(p, g, b);
        p->n[b] = in;
    }
    p->all = p->prefix = false;
    p->allin = p->allin_item = 0;
    return CKV_OK;
}

ckv_bits *ckv_past_minus(const ckv_past *a, const ckv_past *b, const ckv_graph *g)
{
    ckv_bits *bits = ckv_bits_new();
    if (!bits) return NULL;
    for (uint32_t i = 0; i < g->segments.len; i++) {
        const uint32_t in = a ? ckv_past_in_segment(a, g, i) : segment_end(g, i);
        const uint32_t out = b ? ckv_past_in_segment(b, g, i) : g->segments.ptr[i].start;
        ckv_bits_add(bits, out, in);
    }
    return bits;
}

bool ckv_graph_check(const ckv_graph *g, const char **why)
{
    if (!ckv_ids_check(&g->ids, why) || !ckv_lanes_check(&g->lanes, g->ids.n_items, why))
        return false;
    *why = "graph I1";
    const uint32_t n = ckv_ids_n(&g->ids);
    if ((n == 0) != (g->segments.len == 0)) return false;
    for (uint32_t i = 0; i < g->segments.len; i++) {
        const ckv_segment *s = &g->segments.ptr[i];
        *why = "graph I1";
        if ((i == 0 && s->start != 0) || segment_end(g, i) <= s->start) return false;
        if (ckv_graph_at(g, s->branch, s->seq0) != s->start) return false;
        *why = "graph I2";
        uint64_t clock = 0;
        if (s->prev != CKV_NONE) {
            if (s->prev >= s->start) return false;
            clock = ckv_graph_clock(g, s->prev);
        }
        for (uint32_t k = 0; k < s->n_parents; k++) {
            const uint32_t p = g->parents.ptr[s->parents + k];
            if (p >= s->start) return false;
            if (ckv_graph_clock(g, p) > clock) clock = ckv_graph_clock(g, p);
        }
        if (s->clock0 != clock + 1) return false;
    }
    *why = "graph I3";
    for (size_t h = 0; h < g->heads.len; h++) {
        if (h && ckv_id32_cmp(ckv_ids_at(&g->ids, g->heads.ptr[h - 1]),
                              ckv_ids_at(&g->ids, g->heads.ptr[h])) >= 0)
            return false;
        for (uint32_t i = 0; i < g->segments.len; i++) {
            const ckv_segment *s = &g->segments.ptr[i];
            if (s->prev == g->heads.ptr[h]) return false;
            if (g->heads.ptr[h] >= s->start && g->heads.ptr[h] + 1 < segment_end(g, i))
                return false;
            for (uint32_t k = 0; k < s->n_parents; k++) {
                if (g->parents.ptr[s->parents + k] == g->heads.ptr[h]) return false;
            }
        }
    }
    return true;
}
