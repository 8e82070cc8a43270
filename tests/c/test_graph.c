/* Who came before whom: random graphs with forks, against sets of ancestors written out. Also ids and lanes below it. */
#include "t.h"

#include "graph/graph.h"

#define MOST 220

typedef struct slow_change {
    ckv_id32 id;
    uint32_t lane, prev, seq, n_parents, parents[4], n_ops, n_items, item,
        off; /* off: items of its chain before it */
    uint64_t clock;
    bool past[MOST]; /* itself not included */
} slow_change;

static slow_change slow[MOST];
static uint32_t n_slow;

static ckv_id32 random_id(void)
{
    ckv_id32 id;
    for (int i = 0; i < 32; i++) id.b[i] = (uint8_t)t_rand();
    return id;
}

static void join(uint32_t c, uint32_t p)
{
    slow[c].past[p] = true;
    for (uint32_t i = 0; i < p; i++) slow[c].past[i] |= slow[p].past[i];
    if (slow[p].clock >= slow[c].clock) slow[c].clock = slow[p].clock + 1;
}

/* The set of some changes and all behind them, as bools. */
static void slow_set(bool *in, const uint32_t *tips, size_t n)
{
    memset(in, 0, MOST);
    for (size_t i = 0; i < n; i++) {
        in[tips[i]] = true;
        for (uint32_t k = 0; k < tips[i]; k++) in[k] |= slow[tips[i]].past[k];
    }
}

/* Makes a change at random: behind a tip of its lane, or a liar anywhere; with parents that somebody could have seen. */
static void draw(uint32_t n_lanes, bool liars)
{
    slow_change *s = &slow[n_slow];
    memset(s, 0, sizeof *s);
    s->id = random_id();
    s->lane = (uint32_t)t_below(n_lanes);
    s->prev = CKV_NONE;
    s->clock = 1;
    uint32_t own[MOST], n_own = 0;
    for (uint32_t i = 0; i < n_slow; i++) {
        if (slow[i].lane == s->lane) own[n_own++] = i;
    }
    if (n_own) {
        if (liars && t_one_in(6))
            s->prev = t_one_in(4) ? CKV_NONE : own[t_below(n_own)];
        else
            s->prev = own[n_own - 1];
    }
    if (s->prev != CKV_NONE) {
        join(n_slow, s->prev);
        s->seq = slow[s->prev].seq + 1;
        s->off = slow[s->prev].off + slow[s->prev].n_items;
    }
    for (uint32_t k = 0; k < t_below(4) && n_slow; k++) {
        const uint32_t p = n_slow - 1 - (uint32_t)t_below(n_slow < 20 ? n_slow : 20);
        bool good = slow[p].lane != s->lane;
        for (uint32_t i = 0; i < s->n_parents; i++) good &= s->parents[i] != p;
        if (!good) continue;
        uint32_t i = s->n_parents++;
        for (; i > 0 && ckv_id32_cmp(&slow[s->parents[i - 1]].id, &slow[p].id) > 0; i--)
            s->parents[i] = s->parents[i - 1];
        s->parents[i] = p;
        join(n_slow, p);
    }
    s->n_ops = (uint32_t)t_below(3);
    s->n_items = (uint32_t)t_below(s->n_ops + 1);
    s->item = n_slow ? slow[n_slow - 1].item + slow[n_slow - 1].n_items : 0;
    n_slow++;
}

static ckv_status enter(ckv_graph *g, ckv_past *past, uint32_t c)
{
    const slow_change *s = &slow[c];
    uint32_t branch = CKV_NONE, seq;
    if (s->prev != CKV_NONE) {
        const uint32_t b = ckv_graph_branch(g, s->prev, &seq);
        if (ckv_lanes_branch(&g->lanes, b)->tip == s->prev) branch = b;
    }
    CKV_TRY(ckv_past_of(past, g, s->prev, s->parents, s->n_parents));
    CKV_TRY(ckv_graph_reserve(g, branch, s->n_parents, past));
    T_EQ(ckv_graph_append(g, s->lane, branch, s->prev, s->parents, s->n_parents, past, &s->id,
                          s->n_ops, s->n_items),
         c);
    return CKV_OK;
}

static ckv_status add_lanes(ckv_graph *g, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const ckv_id32 id = {{(uint8_t)i, 7}};
        const uint8_t nonce[16] = {0};
        uint32_t lane;
        CKV_TRY(ckv_lanes_add(&g->lanes, &id, &id, nonce, &lane));
        T_EQ(lane, i);
        T_EQ(ckv_lanes_find(&g->lanes, &id), i);
    }
    return CKV_OK;
}

static void check_set(const ckv_past *p, const ckv_graph *g, const bool *in, uint32_t n_lanes)
{
    for (uint32_t c = 0; c < n_slow; c++) {
        T_EQ(ckv_past_has(p, g, c), in[c]);
        for (uint32_t i = 0; i < slow[c].n_items; i++)
            T_EQ(ckv_past_has_item(p, g, slow[c].item + i), in[c]);
    }
    for (uint32_t i = 0; i < g->segments.len; i++) {
        const uint32_t start = g->segments.ptr[i].start,
                       end = i + 1 < g->segments.len ? g->segments.ptr[i + 1].start : n_slow;
        const uint32_t stop = ckv_past_in_segment(p, g, i);
        T_CHECK(start <= stop && stop <= end);
        for (uint32_t c = start; c < end; c++) T_EQ(c < stop, in[c]);
    }
    for (uint32_t lane = 0; lane < n_lanes; lane++) {
        uint32_t deepest = CKV_NONE, seq;
        bool forked = false, says;
        for (uint32_t c = 0; c < n_slow; c++) {
            if (!in[c] || slow[c].lane != lane) continue;
            for (uint32_t d = 0; d < c; d++)
                forked |= in[d] && slow[d].lane == lane && slow[d].seq == slow[c].seq;
            if (deepest == CKV_NONE || slow[c].seq > slow[deepest].seq) deepest = c;
        }
        const uint32_t branch = ckv_past_lane(p, g, lane, &says);
        T_EQ(says, forked);
        T_EQ(branch == CKV_NONE, deepest == CKV_NONE);
        if (deepest != CKV_NONE && !forked) T_EQ(branch, ckv_graph_branch(g, deepest, &seq));
    }
}

/* One change by all that can be asked of it. */
static void check_change(ckv_graph *g, uint32_t c)
{
    const slow_change *s = &slow[c];
    uint32_t seq, n, found = 0, off;
    const uint32_t branch = ckv_graph_branch(g, c, &seq);
    T_EQ(seq, s->seq);
    T_EQ(ckv_lanes_branch(&g->lanes, branch)->lane, s->lane);
    T_EQ(ckv_graph_clock(g, c), s->clock);
    T_EQ(ckv_graph_prev(g, c), s->prev);
    const uint32_t *parents = ckv_graph_parents(g, c, &n);
    T_EQ(n, s->n_parents);
    for (uint32_t i = 0; i < n; i++) T_EQ(parents[i], s->parents[i]);
    T_EQ(ckv_ids_find(&g->ids, &s->id, &found), CKV_OK);
    T_EQ(found, c);
    T_EQ(ckv_ids_item(&g->ids, c), s->item);
    T_EQ(ckv_ids_lv(&g->ids, c + 1) - ckv_ids_lv(&g->ids, c), s->n_ops);
    if (s->n_ops) T_EQ(ckv_ids_change_of_lv(&g->ids, ckv_ids_lv(&g->ids, c)), c);
    uint32_t up = c; /* its chain, from the branch and one by one */
    for (uint32_t k = s->seq + 1; k-- > 0; up = slow[up].prev) {
        T_EQ(ckv_graph_at(g, branch, k), up);
        T_CHECK(ckv_lanes_on_chain(&g->lanes, branch, ckv_graph_branch(g, up, &seq), k));
        for (uint32_t i = 0; i < slow[up].n_items; i++) {
            T_EQ(ckv_lanes_item(&g->lanes, branch, slow[up].off + i), slow[up].item + i);
            T_EQ(ckv_lanes_place(&g->lanes, slow[up].item + i, g->ids.n_items, &off, NULL),
                 ckv_graph_branch(g, up, &seq));
            T_EQ(off, slow[up].off + i);
            T_EQ(ckv_ids_change_of_item(&g->ids, slow[up].item + i), up);
            uint32_t len;
            T_EQ(ckv_lanes_stretch(&g->lanes, branch, slow[up].off + i, &len),
                 ckv_lanes_item(&g->lanes, branch, slow[up].off + i));
            T_CHECK(len >= 1);
            T_EQ(ckv_lanes_item(&g->lanes, branch, slow[up].off + i + len - 1),
                 slow[up].item + i + len - 1);
        }
    }
    T_EQ(ckv_lanes_off_before(&g->lanes, branch, s->item), s->off);
}

static void check_heads(const ckv_graph *g)
{
    size_t n = 0;
    for (uint32_t c = 0; c < n_slow; c++) {
        bool named = false, listed = false;
        for (uint32_t d = c + 1; d < n_slow; d++) {
            named |= slow[d].prev == c;
            for (uint32_t i = 0; i < slow[d].n_parents; i++) named |= slow[d].parents[i] == c;
        }
        for (size_t h = 0; h < g->heads.len; h++) listed |= g->heads.ptr[h] == c;
        T_EQ(listed, !named);
        n += listed;
    }
    T_EQ(g->heads.len, n);
}

static void check_all(ckv_graph *g, ckv_past *p, ckv_past *q, uint32_t n_lanes)
{
    const char *why = NULL;
    static bool in[MOST], other[MOST];
    T_VALID(ckv_graph_check(g, &why), why);
    check_heads(g);
    for (uint32_t c = 0; c < n_slow; c++) check_change(g, c);
    for (int round = 0; round < 40 && n_slow; round++) {
        uint32_t tips[3], tips2[2] = {(uint32_t)t_below(n_slow), (uint32_t)t_below(n_slow)};
        const size_t n = t_below(4);
        ckv_past_reset(p);
        for (size_t i = 0; i < n; i++) {
            tips[i] = (uint32_t)t_below(n_slow);
            T_EQ(ckv_past_add(p, g, tips[i]), CKV_OK);
        }
        ckv_past_close(p, g);
        slow_set(in, tips, n);
        check_set(p, g, in, n_lanes);
        ckv_past_reset(q);
        T_EQ(ckv_past_add(q, g, tips2[0]), CKV_OK);
        T_EQ(ckv_past_add(q, g, tips2[1]), CKV_OK);
        ckv_past_close(q, g);
        slow_set(other, tips2, 2);
        ckv_bits *minus = ckv_past_minus(p, q, g);
        T_CHECK(minus);
        for (uint32_t c = 0; c < n_slow; c++) T_EQ(ckv_bits_has(minus, c), in[c] && !other[c]);
        ckv_bits_free(minus);
    }
    for (int round = 0; round < 40 && n_slow > 1; round++) { /* the total order */
        const uint32_t a = (uint32_t)t_below(n_slow), b = (uint32_t)t_below(n_slow);
        const int c = ckv_graph_order(g, a, 1, b, 2);
        if (a == b)
            T_CHECK(c < 0);
        else
            T_EQ(c < 0, slow[a].clock != slow[b].clock
                            ? slow[a].clock < slow[b].clock
                            : ckv_id32_cmp(&slow[a].id, &slow[b].id) < 0);
        if (slow[b].past[a]) T_CHECK(c < 0);
    }
}

static void grow_and_shrink(uint32_t n_lanes, bool liars, uint32_t n)
{
    ckv_graph g = ckv_graph_init(ckv_alloc_libc, t_rand());
    ckv_past p = ckv_past_init(ckv_alloc_libc), q = ckv_past_init(ckv_alloc_libc);
    n_slow = 0;
    T_EQ(add_lanes(&g, n_lanes), CKV_OK);
    uint32_t heads[MOST], n_then = 0;
    size_t n_heads = 0;
    while (n_slow < n) {
        draw(n_lanes, liars);
        T_EQ(enter(&g, &p, n_slow - 1), CKV_OK);
        if (!p.all) check_set(&p, &g, slow[n_slow - 1].past, 0);
        if (t_one_in(25)) {
            n_then = n_slow;
            n_heads = g.heads.len;
            if (n_heads) memcpy(heads, g.heads.ptr, n_heads * sizeof *heads);
        } else if (t_one_in(40)) {
            ckv_graph_truncate(&g, n_then, n_lanes, heads, n_heads);
            n_slow = n_then;
            check_all(&g, &p, &q, n_lanes);
        }
    }
    check_all(&g, &p, &q, n_lanes);
    ckv_graph_truncate(&g, 0, 0, NULL, 0);
    const char *why = NULL;
    T_VALID(ckv_graph_check(&g, &why), why);
    T_CHECK(g.heads.len == 0 && g.lanes.lanes.len == 0 && g.lanes.branches.len == 0);
    ckv_past_fini(&p);
    ckv_past_fini(&q);
    ckv_graph_fini(&g);
}

static void honest_graphs_know_their_ancestors(void)
{
    for (uint64_t seed = 1; seed < 8; seed++) {
        t_seed(seed);
        grow_and_shrink(1, false, 20);
        grow_and_shrink(3, false, 150);
        grow_and_shrink(30, false, 200);
    }
}

static void forked_graphs_know_their_ancestors(void)
{
    for (uint64_t seed = 1; seed < 12; seed++) {
        t_seed(seed);
        grow_and_shrink(2, true, 120);
        grow_and_shrink(5, true, 200);
        grow_and_shrink(30, true, 200);
    }
}

static ckv_status scenario(ckv_alloc a)
{
    ckv_graph g = ckv_graph_init(a, 3);
    ckv_past p = ckv_past_init(a);
    const char *why = NULL;
    t_state = 9;
    n_slow = 0;
    ckv_status s = add_lanes(&g, 4);
    while (s == CKV_OK && n_slow < 60) {
        draw(4, true);
        s = enter(&g, &p, n_slow - 1);
        if (s != CKV_OK) n_slow--;
        T_VALID(ckv_graph_check(&g, &why), why);
        T_EQ(ckv_ids_n(&g.ids), n_slow);
    }
    uint32_t found;
    if (s == CKV_OK) s = ckv_ids_find(&g.ids, &slow[5].id, &found);
    ckv_past_fini(&p);
    ckv_graph_fini(&g);
    return s;
}

static void survives_every_failure(void) { T_CHECK(t_oom(scenario) >= 30); }

static void signatures_cover_what_is_behind_them(void)
{
    ckv_graph g = ckv_graph_init(ckv_alloc_libc, 3);
    ckv_past p = ckv_past_init(ckv_alloc_libc);
    t_seed(4);
    n_slow = 0;
    T_EQ(add_lanes(&g, 1), CKV_OK);
    for (uint32_t c = 0; c < 6; c++) {
        draw(1, false);
        slow[c].prev = c == 5 ? 2 : c == 0 ? CKV_NONE : c - 1; /* 0 1 2 3 4, and 5 behind 2 */
        T_EQ(enter(&g, &p, c), CKV_OK);
    }
    uint32_t seq;
    const uint32_t old = ckv_graph_branch(&g, 4, &seq), new = ckv_graph_branch(&g, 5, &seq);
    T_CHECK(old != new);
    const ckv_signature sig = {{1}};
    T_CHECK(!ckv_lanes_covered(&g.lanes, old, 0));
    T_EQ(ckv_lanes_sign(&g.lanes, old, 0, &sig), CKV_OK); /* nothing behind is covered by it */
    T_CHECK(ckv_lanes_covered(&g.lanes, old, 0) && !ckv_lanes_covered(&g.lanes, old, 1));
    T_EQ(ckv_lanes_sign(&g.lanes, new, 3, &sig), CKV_OK);
    T_CHECK(ckv_lanes_covered(&g.lanes, new, 3) && ckv_lanes_covered(&g.lanes, old, 2) &&
            ckv_lanes_covered(&g.lanes, old, 0));
    T_CHECK(!ckv_lanes_covered(&g.lanes, old, 3) && !ckv_lanes_covered(&g.lanes, old, 4));
    T_EQ(ckv_lanes_sign(&g.lanes, old, 4, &sig), CKV_OK);
    T_EQ(ckv_lanes_sign(&g.lanes, old, 1, &sig), CKV_OK);
    T_EQ(ckv_lanes_sign(&g.lanes, old, 4, &sig), CKV_OK); /* again */
    T_EQ(ckv_lanes_branch(&g.lanes, old)->signatures.len, 3);
    T_EQ(ckv_lanes_signature(&g.lanes, old, 1)->seq, 1);
    T_EQ(ckv_lanes_signature(&g.lanes, old, 2)->seq, 4);
    T_CHECK(ckv_lanes_signature(&g.lanes, old, 5) == NULL);
    ckv_past_fini(&p);
    ckv_graph_fini(&g);
}

int main(void)
{
    T_RUN(honest_graphs_know_their_ancestors);
    T_RUN(forked_graphs_know_their_ancestors);
    T_RUN(signatures_cover_what_is_behind_them);
    T_RUN(survives_every_failure);
    return t_done();
}
