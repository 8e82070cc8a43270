#include "types/seq.h"

static ckv_leaf *leaf_at(const ckv_space *x, uint32_t i) { return &x->leaves.ptr[i]; }
static ckv_node *node_at(const ckv_space *x, uint32_t i) { return &x->nodes.ptr[i]; }

ckv_space ckv_space_init(ckv_alloc a, uint64_t secret)
{
    return (ckv_space){.leaves = {.a = a},
                       .nodes = {.a = a},
                       .deletes = ckv_deletes_init(a, (uint32_t)(secret >> 8)),
                       .index = ckv_lvindex_init(a, (uint32_t)(secret >> 16)),
                       .crowds = ckv_crowds_init(a, (uint32_t)secret)};
}

void ckv_space_fini(ckv_space *x)
{
    ckv_leaves_fini(&x->leaves);
    ckv_nodes_fini(&x->nodes);
    ckv_deletes_fini(&x->deletes);
    ckv_lvindex_fini(&x->index);
    ckv_crowds_fini(&x->crowds);
}

void ckv_seq_init(ckv_seq *s, uint32_t number)
{
    *s = (ckv_seq){.number = number, .root = CKV_NONE, .first_leaf = CKV_NONE, .start_lo = 0};
}

/* Most sequences that somebody could make stay empty: the first leaf comes with the first span. */
static void first_leaf(ckv_space *x, ckv_seq *s)
{
    s->root = s->first_leaf = (uint32_t)x->leaves.len;
    ckv_leaves_put(
        &x->leaves,
        (ckv_leaf){.parent = CKV_NONE, .next = CKV_NONE, .prev = CKV_NONE, .seq = s->number});
}

ckv_status ckv_space_reserve(ckv_space *x, uint32_t items, size_t n_ops)
{
    /* An operation adds at most three spans, each of which may split a leaf and, height being below 16, a path of nodes. */
    CKV_TRY(ckv_leaves_reserve(&x->leaves, 3 * n_ops));
    CKV_TRY(ckv_nodes_reserve(&x->nodes, 3 * 16 + 3 * n_ops));
    CKV_TRY(ckv_deletes_reserve(&x->deletes, n_ops));
    return ckv_lvindex_reserve(&x->index, items, 3 * n_ops);
}

/* ---- widths and minima */

static uint32_t child_slot(const ckv_node *n, uint32_t child)
{
    uint32_t k = 0;
    while (n->child[k] != child) k++;
    return k;
}

/* Adds to the widths above a leaf and marks the minima. */
static void bubble(ckv_space *x, ckv_seq *s, uint32_t leaf, uint32_t vis, uint32_t total)
{
    uint32_t child = leaf;
    for (uint32_t p = leaf_at(x, leaf)->parent; p != CKV_NONE;
         child = p, p = node_at(x, p)->parent) {
        ckv_node *n = node_at(x, p);
        const uint32_t k = child_slot(n, child);
        n->vis[k] += vis; /* modulo 2^32, so that adding may take away */
        n->total[k] += total;
        n->dirty |= 1u << k;
    }
    s->visible += vis;
    s->total += total;
}

static void mark(ckv_space *x, uint32_t leaf)
{
    uint32_t child = leaf;
    for (uint32_t p = leaf_at(x, leaf)->parent; p != CKV_NONE;
         child = p, p = node_at(x, p)->parent) {
        ckv_node *n = node_at(x, p);
        const uint32_t bit = 1u << child_slot(n, child);
        if (n->dirty & bit) return; /* I2 */
        n->dirty |= bit;
    }
}

static uint32_t field(const ckv_span *s, ckv_least what)
{
    switch (what) {
    case CKV_LEAST_DEPTH: return s->depth;
    case CKV_LEAST_HI: return s->hi;
    case CKV_LEAST_LO: return s->lo;
    }
    return CKV_INF;
}

static void leaf_minima(const ckv_leaf *l, uint32_t m[3])
{
    m[0] = m[1] = m[2] = CKV_INF;
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->s[i].depth < m[0]) m[0] = l->s[i].depth;
        if (l->s[i].hi < m[1]) m[1] = l->s[i].hi;
        if (l->s[i].lo < m[2]) m[2] = l->s[i].lo;
    }
}

/* Makes the minima of child k right. Recursion is as deep as the tree. */
static void clean(ckv_space *x, ckv_node *n, uint32_t k)
{
    if (!(n->dirty & 1u << k)) return;
    uint32_t m[3] = {CKV_INF, CKV_INF, CKV_INF};
    if (n->over_leaves) {
        leaf_minima(leaf_at(x, n->child[k]), m);
    } else {
        ckv_node *c = node_at(x, n->child[k]);
        for (uint32_t i = 0; i < c->n; i++) {
            clean(x, c, i);
            for (int f = 0; f < 3; f++) {
                if (c->least[f][i] < m[f]) m[f] = c->least[f][i];
            }
        }
    }
    for (int f = 0; f < 3; f++) n->least[f][k] = m[f];
    n->dirty &= ~(1u << k);
}

/* ---- splitting */

static void leaf_widths(const ckv_space *x, const ckv_leaf *l, uint32_t *vis, uint32_t *total)
{
    *vis = *total = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        *total += l->s[i].len;
        if (ckv_span_visible(x, &l->s[i])) *vis += l->s[i].len;
    }
}

static void node_widths(const ckv_node *n, uint32_t *vis, uint32_t *total)
{
    *vis = *total = 0;
    for (uint32_t i = 0; i < n->n; i++) *vis += n->vis[i], *total += n->total[i];
}

static void set_parent(ckv_space *x, const ckv_node *n, uint32_t child, uint32_t parent)
{
    if (n->over_leaves)
        leaf_at(x, child)->parent = parent;
    else
        node_at(x, child)->parent = parent;
}

static void move_children(ckv_node *to, uint32_t at, const ckv_node *from, uint32_t k, uint32_t n)
{
    memmove(to->child + at, from->child + k, n * sizeof(uint32_t));
    memmove(to->vis + at, from->vis + k, n * sizeof(uint32_t));
    memmove(to->total + at, from->total + k, n * sizeof(uint32_t));
    for (int f = 0; f < 3; f++)
        memmove(to->least[f] + at, from->least[f] + k, n * sizeof(uint32_t));
}

static void grow_root(ckv_space *x, ckv_seq *s, uint32_t vis, uint32_t total)
{
    const uint32_t root = (uint32_t)x->nodes.len;
    ckv_node n = {.parent = CKV_NONE, .n = 1, .dirty = 1, .over_leaves = s->height == 0};
    n.child[0] = s->root;
    n.vis[0] = vis;
    n.total[0] = total;
    ckv_nodes_put(&x->nodes, n);
    set_parent(x, &n, s->root, root);
    s->root = root;
    s->height++;
}

/* Enters `added` right behind `child` under node p; the widths of both are given. */
static void add_child(ckv_space *x, ckv_seq *s, uint32_t p, uint32_t child, uint32_t vis,
                      uint32_t total, uint32_t added, uint32_t added_vis, uint32_t added_total)
{
    ckv_node *n = node_at(x, p);
    uint32_t k = child_slot(n, child);
    if (n->n == CKV_FAN) {
        uint32_t v, t, av, at;
        node_widths(n, &v, &t);
        if (n->parent == CKV_NONE) grow_root(x, s, v, t);
        n = node_at(x, p);
        const uint32_t q = (uint32_t)x->nodes.len, half = CKV_FAN / 2;
        ckv_nodes_put(&x->nodes, (ckv_node){.parent = n->parent,
                                            .n = CKV_FAN - half,
                                            .dirty = n->dirty >> half,
                                            .over_leaves = n->over_leaves});
        ckv_node *m = node_at(x, q);
        move_children(m, 0, n, half, CKV_FAN - half);
        n->n = half;
        n->dirty &= (1u << half) - 1;
        for (uint32_t i = 0; i < m->n; i++) set_parent(x, m, m->child[i], q);
        node_widths(n, &v, &t);
        node_widths(m, &av, &at);
        add_child(x, s, n->parent, p, v, t, q, av, at);
        if (k >= half) k -= half, p = q;
        n = node_at(x, p);
    }
    n->vis[k] = vis;
    n->total[k] = total;
    move_children(n, k + 2, n, k + 1, n->n - k - 1);
    const uint32_t low = n->dirty & ((2u << k) - 1), high = n->dirty & ~((2u << k) - 1);
    n->dirty = low | high << 1 | 3u << k;
    n->child[k + 1] = added;
    n->vis[k + 1] = added_vis;
    n->total[k + 1] = added_total;
    n->n++;
    set_parent(x, n, added, p);
    /* I2: the bits above */
    uint32_t c = p;
    for (uint32_t up = n->parent; up != CKV_NONE; c = up, up = node_at(x, up)->parent) {
        node_at(x, up)->dirty |= 1u << child_slot(node_at(x, up), c);
    }
}

/* Splits a full leaf; (leaf, slot), a place to put a span, is moved along. */
static void split_leaf(ckv_space *x, ckv_seq *s, uint32_t *leaf, uint32_t *slot)
{
    const uint32_t a = *leaf, b = (uint32_t)x->leaves.len;
    ckv_leaf *l = leaf_at(x, a);
    uint32_t v, t, bv, bt;
    leaf_widths(x, l, &v, &t);
    if (l->parent == CKV_NONE) grow_root(x, s, v, t);
    /* Appending at the end of the text leaves full leaves behind. */
    const uint32_t half = l->next == CKV_NONE && *slot == CKV_FAN ? CKV_FAN - 1 : CKV_FAN / 2;
    ckv_leaves_put(
        &x->leaves,
        (ckv_leaf){
            .parent = CKV_NONE, .next = l->next, .prev = a, .seq = l->seq, .n = CKV_FAN - half});
    ckv_leaf *m = leaf_at(x, b);
    memcpy(m->s, l->s + half, (CKV_FAN - half) * sizeof(ckv_span));
    l->n = half;
    if (l->next != CKV_NONE) leaf_at(x, l->next)->prev = b;
    l->next = b;
    for (uint32_t i = 0; i < m->n; i++) ckv_lvindex_set(&x->index, m->s[i].item, b);
    leaf_widths(x, l, &v, &t);
    leaf_widths(x, m, &bv, &bt);
    add_child(x, s, l->parent, a, v, t, b, bv, bt);
    if (*slot > half) *leaf = b, *slot -= half;
}

/* Makes a hole at (leaf, slot) for one span. */
static void make_hole(ckv_space *x, ckv_seq *s, uint32_t *leaf, uint32_t *slot)
{
    if (leaf_at(x, *leaf)->n == CKV_FAN) split_leaf(x, s, leaf, slot);
    ckv_leaf *l = leaf_at(x, *leaf);
    memmove(l->s + *slot + 1, l->s + *slot, (l->n - *slot) * sizeof(ckv_span));
    l->n++;
    x->n_spans++;
}

/* ---- where */

ckv_gap ckv_seq_gap(const ckv_space *x, const ckv_seq *s, uint32_t pos)
{
    if (pos == 0) return CKV_GAP_START;
    CKV_ASSERT(pos <= s->visible);
    uint32_t at = s->root, left = pos; /* the left-th visible item from here */
    for (uint32_t h = s->height; h > 0; h--) {
        const ckv_node *n = node_at(x, at);
        uint32_t k = 0;
        while (left > n->vis[k]) left -= n->vis[k++];
        at = n->child[k];
    }
    const ckv_leaf *l = leaf_at(x, at);
    for (uint32_t i = 0;; i++) {
        CKV_ASSERT(i < l->n);
        if (!ckv_span_visible(x, &l->s[i])) continue;
        if (left <= l->s[i].len) return (ckv_gap){at, i, left};
        left -= l->s[i].len;
    }
}

bool ckv_space_locate(const ckv_space *x, uint32_t item, ckv_gap *gap)
{
    uint32_t start;
    const uint32_t leaf = ckv_lvindex_find(&x->index, item, &start);
    if (leaf == CKV_HMAP_NONE) return false;
    const ckv_leaf *l = leaf_at(x, leaf);
    uint32_t k = 0;
    while (l->s[k].item != start) k++;
    if (item - start >= l->s[k].len) return false;
    *gap = (ckv_gap){leaf, k, item - start + 1};
    return true;
}

bool ckv_seq_next(const ckv_space *x, const ckv_seq *s, ckv_gap gap, uint32_t *leaf, uint32_t *slot)
{
    uint32_t l = ckv_gap_is_start(gap) ? s->first_leaf : gap.leaf;
    uint32_t k = ckv_gap_is_start(gap) ? 0 : gap.slot + 1;
    if (l == CKV_NONE) return false;
    while (k >= leaf_at(x, l)->n) {
        l = leaf_at(x, l)->next;
        if (l == CKV_NONE) return false;
        k = 0;
    }
    *leaf = l;
    *slot = k;
    return true;
}

void ckv_seq_around(const ckv_space *x, const ckv_seq *s, ckv_gap gap, uint32_t *left,
                    uint32_t *right)
{
    uint32_t leaf, slot;
    *left = *right = CKV_NONE;
    if (!ckv_gap_is_start(gap)) {
        const ckv_span *sp = ckv_space_span(x, gap.leaf, gap.slot);
        *left = sp->item + gap.off - 1;
        if (gap.off < sp->len) {
            *right = *left + 1;
            return;
        }
    }
    if (ckv_seq_next(x, s, gap, &leaf, &slot)) *right = ckv_space_span(x, leaf, slot)->item;
}

uint32_t ckv_seq_pos(const ckv_space *x, ckv_gap gap)
{
    if (ckv_gap_is_start(gap)) return 0;
    const ckv_leaf *l = leaf_at(x, gap.leaf);
    uint32_t pos = ckv_span_visible(x, &l->s[gap.slot]) ? gap.off : 0;
    for (uint32_t i = 0; i < gap.slot; i++) pos += ckv_span_visible(x, &l->s[i]) ? l->s[i].len : 0;
    uint32_t child = gap.leaf;
    for (uint32_t p = l->parent; p != CKV_NONE; child = p, p = node_at(x, p)->parent) {
        const ckv_node *n = node_at(x, p);
        for (uint32_t k = 0; n->child[k] != child; k++) pos += n->vis[k];
    }
    return pos;
}

int ckv_seq_compare(const ckv_space *x, ckv_gap a, ckv_gap b)
{
    if (a.leaf == b.leaf) {
        if (a.slot != b.slot) return a.slot < b.slot ? -1 : 1;
        return a.off < b.off ? -1 : a.off > b.off;
    }
    if (ckv_gap_is_start(a)) return -1;
    if (ckv_gap_is_start(b)) return 1;
    uint32_t ca = a.leaf, cb = b.leaf, pa = leaf_at(x, ca)->parent, pb = leaf_at(x, cb)->parent;
    while (pa != pb) {
        ca = pa, pa = node_at(x, ca)->parent;
        cb = pb, pb = node_at(x, cb)->parent;
    }
    const ckv_node *n = node_at(x, pa);
    return child_slot(n, ca) < child_slot(n, cb) ? -1 : 1;
}

/* The first or last span below a child whose minimum says that there is one. */
static void descend(ckv_space *x, uint32_t at, bool is_leaf, bool forward, ckv_least what,
                    uint32_t d, uint32_t *leaf, uint32_t *slot)
{
    while (!is_leaf) {
        ckv_node *n = node_at(x, at);
        uint32_t k = forward ? 0 : n->n - 1;
        for (;; k = forward ? k + 1 : k - 1) {
            CKV_ASSERT(k < n->n);
            clean(x, n, k);
            if (n->least[what][k] <= d) break;
        }
        is_leaf = n->over_leaves;
        at = n->child[k];
    }
    const ckv_leaf *l = leaf_at(x, at);
    uint32_t k = forward ? 0 : l->n - 1;
    while (field(&l->s[k], what) > d) k = forward ? k + 1 : k - 1;
    *leaf = at;
    *slot = k;
}

bool ckv_seq_search(ckv_space *x, uint32_t *leaf, uint32_t *slot, bool forward, ckv_least what,
                    uint32_t d)
{
    const ckv_leaf *l = leaf_at(x, *leaf);
    for (uint32_t k = *slot; k < l->n;
         k = forward ? k + 1 : k - 1) { /* backwards ends by wrapping around */
        if (field(&l->s[k], what) <= d) {
            *slot = k;
            return true;
        }
    }
    uint32_t child = *leaf;
    for (uint32_t p = l->parent; p != CKV_NONE; child = p, p = node_at(x, p)->parent) {
        ckv_node *n = node_at(x, p);
        uint32_t k = child_slot(n, child);
        for (k = forward ? k + 1 : k - 1; k < n->n; k = forward ? k + 1 : k - 1) {
            clean(x, n, k);
            if (n->least[what][k] > d) continue;
            descend(x, n->child[k], n->over_leaves, forward, what, d, leaf, slot);
            return true;
        }
    }
    return false;
}

/* ---- change */

void ckv_seq_cut(ckv_space *x, ckv_seq *s, ckv_gap *gap)
{
    if (ckv_gap_is_start(*gap)) return;
    const ckv_span old = *ckv_space_span(x, gap->leaf, gap->slot);
    if (gap->off == old.len) return;
    uint32_t leaf = gap->leaf, slot = gap->slot + 1;
    make_hole(x, s, &leaf, &slot);
    /* The hole is never the first of its leaf: a split leaves at least the cut span before it. */
    ckv_span *left = ckv_space_span(x, leaf, slot - 1), *right = left + 1;
    *right = (ckv_span){old.item + gap->off,
                        old.len - gap->off,
                        old.depth + gap->off,
                        old.depth + gap->off,
                        old.lo,
                        old.del};
    left->len = gap->off;
    left->lo = CKV_INF;
    ckv_lvindex_set(&x->index, right->item, leaf);
    mark(x, leaf);
    *gap = (ckv_gap){leaf, slot - 1, left->len};
}

void ckv_seq_put(ckv_space *x, ckv_seq *s, ckv_gap gap, ckv_span span)
{
    if (s->first_leaf == CKV_NONE) first_leaf(x, s);
    uint32_t leaf = ckv_gap_is_start(gap) ? s->first_leaf : gap.leaf;
    uint32_t slot = ckv_gap_is_start(gap) ? 0 : gap.slot + 1;
    make_hole(x, s, &leaf, &slot);
    *ckv_space_span(x, leaf, slot) = span;
    ckv_lvindex_set(&x->index, span.item, leaf);
    bubble(x, s, leaf, span.len, span.len);
}

void ckv_seq_set_hi(ckv_space *x, ckv_seq *s, uint32_t leaf, uint32_t slot, uint32_t hi,
                    ckv_journal *j)
{
    ckv_span *sp = ckv_space_span(x, leaf, slot);
    ckv_journal_put(j, CKV_UNDO_HI, s->number, sp->item, sp->hi, 0);
    sp->hi = hi;
    mark(x, leaf);
}

void ckv_seq_set_lo(ckv_space *x, ckv_seq *s, ckv_gap at, uint32_t lo, ckv_journal *j)
{
    if (ckv_gap_is_start(at)) {
        ckv_journal_put(j, CKV_UNDO_LO, s->number, CKV_NONE, s->start_lo, 0);
        s->start_lo = lo;
        return;
    }
    ckv_span *sp = ckv_space_span(x, at.leaf, at.slot);
    ckv_journal_put(j, CKV_UNDO_LO, s->number, sp->item + sp->len - 1, sp->lo, 0);
    sp->lo = lo;
    mark(x, at.leaf);
}

void ckv_seq_insert(ckv_space *x, ckv_seq *s, ckv_gap gap, uint32_t item, uint32_t n,
                    ckv_journal *j)
{
    uint32_t leaf, slot, end_depth = 0, end_lo = s->start_lo;
    if (!ckv_gap_is_start(gap)) {
        ckv_seq_cut(x, s, &gap);
        ckv_span *l = ckv_space_span(x, gap.leaf, gap.slot);
        end_depth = l->depth + l->len - 1;
        end_lo = l->lo;
    }
    if (ckv_seq_next(x, s, gap, &leaf, &slot) && end_lo > end_depth) {
        /* What follows is below the left origin, on its right: left child of the right origin. */
        const ckv_span *r = ckv_space_span(x, leaf, slot);
        const ckv_span span = {item, n, r->depth + 1, r->hi, r->depth + 1, 0};
        ckv_seq_set_hi(x, s, leaf, slot, CKV_INF, j);
        ckv_journal_put(j, CKV_UNDO_INSERT, s->number, item, n, 0);
        ckv_seq_put(x, s, gap, span);
        return;
    }
    /* Right child of the left origin; its subtree ended there, now it ends with us. */
    if (!ckv_gap_is_start(gap)) {
        ckv_span *l = ckv_space_span(x, gap.leaf, gap.slot);
        if (l->item + l->len == item && l->del == 0) {
            ckv_journal_put(j, CKV_UNDO_LO, s->number, item - 1, end_lo,
                            0); /* undone after the cut at item */
            ckv_journal_put(j, CKV_UNDO_INSERT, s->number, item, n, 0);
            l->len += n;
            bubble(x, s, gap.leaf, n, n);
            return;
        }
    }
    ckv_seq_set_lo(x, s, gap, CKV_INF, j);
    ckv_journal_put(j, CKV_UNDO_INSERT, s->number, item, n, 0);
    ckv_seq_put(x, s, gap, (ckv_span){item, n, end_depth + 1, end_depth + 1, end_lo, 0});
}

/* Cuts so that a span begins with the item before `gap` and has at most n items. */
static ckv_gap cut_out(ckv_space *x, ckv_seq *s, ckv_gap gap, uint32_t n)
{
    uint32_t leaf = gap.leaf, slot = gap.slot;
    if (gap.off > 1) {
        gap.off--;
        ckv_seq_cut(x, s, &gap);
        CKV_MUST(ckv_seq_next(x, s, gap, &leaf, &slot));
    }
    if (ckv_space_span(x, leaf, slot)->len > n) {
        ckv_gap end = {leaf, slot, n};
        ckv_seq_cut(x, s, &end);
        leaf = end.leaf, slot = end.slot;
    }
    return (ckv_gap){leaf, slot, ckv_space_span(x, leaf, slot)->len};
}

static uint32_t set_del(ckv_space *x, ckv_seq *s, ckv_gap gap, uint32_t del, ckv_journal *j)
{
    ckv_span *sp = ckv_space_span(x, gap.leaf, gap.slot);
    const bool was = ckv_span_visible(x, sp), is = !ckv_del_hides(&x->deletes, del);
    ckv_journal_put(j, CKV_UNDO_DELETE, s->number, sp->item, sp->len, sp->del);
    sp->del = del;
    if (was != is) bubble(x, s, gap.leaf, is ? sp->len : 0u - sp->len, 0);
    return sp->len;
}

uint32_t ckv_seq_delete(ckv_space *x, ckv_seq *s, ckv_gap gap, uint32_t n, uint32_t change,
                        ckv_journal *j)
{
    gap = cut_out(x, s, gap, n);
    const uint32_t del = ckv_space_span(x, gap.leaf, gap.slot)->del;
    return set_del(x, s, gap, ckv_del_add(&x->deletes, del, change), j);
}

uint32_t ckv_seq_restore(ckv_space *x, ckv_seq *s, ckv_gap gap, uint32_t n, uint32_t of,
                         uint32_t change, ckv_journal *j)
{
    gap = cut_out(x, s, gap, n);
    const uint32_t del = ckv_space_span(x, gap.leaf, gap.slot)->del;
    return set_del(x, s, gap, ckv_del_restore(&x->deletes, del, of, change), j);
}

void ckv_seq_away(ckv_space *x, ckv_seq *s, ckv_gap gap, bool away, ckv_journal *j)
{
    gap = cut_out(x, s, gap, 1);
    const uint32_t del = ckv_space_span(x, gap.leaf, gap.slot)->del & ~CKV_DEL_AWAY;
    set_del(x, s, gap, away ? del | CKV_DEL_AWAY : del, j);
}

/* ---- undoing, backwards: everything later is gone already */

static void remove_span(ckv_space *x, ckv_seq *s, uint32_t leaf, uint32_t slot)
{
    ckv_leaf *l = leaf_at(x, leaf);
    const ckv_span sp = l->s[slot];
    ckv_lvindex_remove(&x->index, sp.item);
    memmove(l->s + slot, l->s + slot + 1, (l->n - slot - 1) * sizeof(ckv_span));
    l->n--;
    x->n_spans--;
    bubble(x, s, leaf, ckv_span_visible(x, &sp) ? 0u - sp.len : 0, 0u - sp.len);
}

void ckv_seq_undo(ckv_space *x, ckv_seq *s, const ckv_undo *u)
{
    ckv_gap gap = CKV_GAP_START;
    switch ((unsigned)u->kind) {
    case CKV_UNDO_INSERT:
        for (uint32_t item = u->a; item < u->a + u->b;) {
            CKV_MUST(ckv_space_locate(x, item, &gap));
            ckv_span *sp = ckv_space_span(x, gap.leaf, gap.slot);
            const uint32_t n = sp->len - (gap.off - 1);
            if (gap.off == 1) {
                remove_span(x, s, gap.leaf, gap.slot);
            } else { /* it joined the span before; its lo comes back with the entry before this one */
                sp->len -= n;
                bubble(x, s, gap.leaf, 0u - n, 0u - n);
            }
            item += n;
        }
        return;
    case CKV_UNDO_HI:
        CKV_MUST(ckv_space_locate(x, u->a, &gap));
        ckv_space_span(x, gap.leaf, gap.slot)->hi = u->b;
        mark(x, gap.leaf);
        return;
    case CKV_UNDO_LO:
        if (u->a == CKV_NONE) {
            s->start_lo = u->b;
            return;
        }
        CKV_MUST(ckv_space_locate(x, u->a, &gap));
        ckv_space_span(x, gap.leaf, gap.slot)->lo = u->b;
        mark(x, gap.leaf);
        return;
    case CKV_UNDO_DELETE:
        for (uint32_t item = u->a; item < u->a + u->b;) {
            CKV_MUST(ckv_space_locate(x, item, &gap));
            ckv_span *sp = ckv_space_span(x, gap.leaf, gap.slot);
            const bool was = ckv_span_visible(x, sp), is = !ckv_del_hides(&x->deletes, u->c);
            sp->del = u->c;
            if (was != is) bubble(x, s, gap.leaf, is ? sp->len : 0u - sp->len, 0);
            item += sp->len;
        }
        return;
    default: return; /* not a sequence's */
    }
}

size_t ckv_space_bytes(const ckv_space *x)
{
    return x->leaves.cap * sizeof(ckv_leaf) + x->nodes.cap * sizeof(ckv_node) +
           x->deletes.entries.cap * sizeof(ckv_deleted) +
           x->deletes.by_item.cap * sizeof(ckv_hslot) + ckv_lvindex_bytes(&x->index) +
           ckv_crowds_bytes(&x->crowds);
}

/* ---- check */

/* Walks a subtree; counts its leaves' widths against what the parent says. */
static bool check_below(ckv_space *x, uint32_t at, uint32_t height, uint32_t parent, uint32_t *vis,
                        uint32_t *total, uint32_t least[3], const char **why)
{
    if (height == 0) {
        const ckv_leaf *l = leaf_at(x, at);
        *why = "seq I1: parent of a leaf";
        if (l->parent != parent) return false;
        leaf_widths(x, l, vis, total);
        leaf_minima(l, least);
        *why = "seq I3";
        for (uint32_t i = 0; i < l->n; i++) {
            uint32_t start;
            if (ckv_lvindex_find(&x->index, l->s[i].item, &start) != at || start != l->s[i].item ||
                l->s[i].len == 0)
                return false;
        }
        return true;
    }
    ckv_node *n = node_at(x, at);
    *why = "seq I1: parent of a node";
    if (n->parent != parent || n->over_leaves != (height == 1)) return false;
    *vis = *total = 0;
    least[0] = least[1] = least[2] = CKV_INF;
    for (uint32_t k = 0; k < n->n; k++) {
        uint32_t v, t, m[3];
        if (!check_below(x, n->child[k], height - 1, at, &v, &t, m, why)) return false;
        *why = "seq I1: widths";
        if (v != n->vis[k] || t != n->total[k]) return false;
        *why = "seq I2";
        for (int f = 0; f < 3; f++) {
            if (!(n->dirty & 1u << k) && n->least[f][k] != m[f]) return false;
            if (m[f] < least[f]) least[f] = m[f];
        }
        if (height > 1 && node_at(x, n->child[k])->dirty && !(n->dirty & 1u << k)) return false;
        *vis += v;
        *total += t;
    }
    return true;
}

bool ckv_seq_check(ckv_space *x, const ckv_seq *s, const char **why)
{
    uint32_t vis = 0, total = 0, m[3];
    if (s->root != CKV_NONE && !check_below(x, s->root, s->height, CKV_NONE, &vis, &total, m, why))
        return false;
    *why = "seq I1: widths of the whole";
    if (vis != s->visible || total != s->total) return false;
    *why = "seq I1: links";
    uint32_t prev = CKV_NONE, seen = 0;
    for (uint32_t l = s->first_leaf; l != CKV_NONE; prev = l, l = leaf_at(x, l)->next) {
        if (leaf_at(x, l)->prev != prev || leaf_at(x, l)->seq != s->number) return false;
        for (uint32_t i = 0; i < leaf_at(x, l)->n; i++) seen += leaf_at(x, l)->s[i].len;
    }
    return seen == total;
}
