#include "doc/diff.h"

#include "doc/apply.h"
#include "doc/walk.h"
#include "ds/sort.h"

/* ---- pieces: what shows at one version and not at the other */

typedef struct finding {
    ckv_differ *d;
    bool moves;
    ckv_moves_round rounds[2]; /* at a, at b */
    ckv_u32s starts;           /* scratch: items, sorted in order of the document */
} finding;

/* A stretch [item, item + *n) of one span: cut to where it is alike. True if it shows at just one of the versions; *old: at a. */
static bool differs(const finding *f, uint32_t item, uint32_t *n, uint32_t del, bool *old,
                    bool *new)
{
    const ckv_differ *d = f->d;
    bool in_a, in_b;
    *n = ckv_items_alike(d->doc, d->a, item, *n, &in_a);
    *n = ckv_items_alike(d->doc, d->b, item, *n, &in_b);
    if (f->moves) *n = 1;
    *old = in_a && ckv_item_shows(d->doc, d->a, item, del, f->moves, f->rounds[0]);
    *new = in_b &&ckv_item_shows(d->doc, d->b, item, del, f->moves, f->rounds[1]);
    return *old != *new;
}

/* Joins what goes on. */
static ckv_status put_piece(ckv_differ *d, ckv_flip p)
{
    ckv_flip *last = ckv_flips_last(&d->flips);
    if (last && last->old == p.old && last->item + last->n == p.item &&
        p.pos == last->pos + (p.old ? 0 : last->n)) {
        last->n += p.n;
        return CKV_OK;
    }
    return ckv_flips_push(&d->flips, p);
}

/* Much was touched, or neither version is now: one walk over all spans. */
static ckv_status walk_all(finding *f)
{
    const ckv_doc *doc = f->d->doc;
    uint32_t pos = 0;
    for (uint32_t l = ckv_tree_at(&doc->tree, f->d->container)->seq.first_leaf; l != CKV_NONE;
         l = doc->space.leaves.ptr[l].next) {
        const ckv_leaf *leaf = &doc->space.leaves.ptr[l];
        for (uint32_t i = 0; i < leaf->n; i++) {
            const ckv_span *s = &leaf->s[i];
            for (uint32_t at = 0, n; at < s->len; at += n) {
                bool old, new;
                n = s->len - at;
                if (differs(f, s->item + at, &n, s->del, &old, &new))
                    CKV_TRY(put_piece(f->d, (ckv_flip){s->item + at, n, pos, old}));
                if (new) pos += n;
            }
        }
    }
    return CKV_OK;
}

static bool item_before(void *ctx, uint32_t a, uint32_t b)
{
    const ckv_space *x = ctx;
    ckv_gap ga, gb;
    CKV_MUST(ckv_space_locate(x, a, &ga) && ckv_space_locate(x, b, &gb));
    return ckv_seq_compare(x, ga, gb) < 0;
}

/* One of the versions is now: only what was touched, found through the index. */
static ckv_status look_at_touched(finding *f, const ckv_touch *t, size_t n_touches)
{
    ckv_differ *d = f->d;
    const ckv_doc *doc = d->doc;
    const ckv_space *x = &doc->space;
    for (size_t i = 0; i < n_touches; i++) {
        for (uint32_t done = 0; done < t[i].n;) { /* the spans that are there now */
            const uint32_t item = t[i].item + done;
            ckv_gap gap;
            CKV_MUST(ckv_space_locate(x, item, &gap));
            CKV_TRY(ckv_u32s_push(&f->starts, item));
            done += ckv_space_span(x, gap.leaf, gap.slot)->len - (gap.off - 1);
        }
    }
    CKV_TRY(ckv_sort(&f->starts, item_before, (void *)(uintptr_t)x));
    uint32_t ins = 0, rem = 0;
    for (size_t i = 0, k = 0; i < f->starts.len; i++) {
        const uint32_t item = f->starts.ptr[i];
        ckv_gap gap;
        for (size_t lo = k = 0, hi = n_touches;
             lo < hi;) { /* touches ascend: the last that begins at or before the item */
            const size_t mid = (lo + hi) / 2;
            if (t[mid].item <= item)
                lo = mid + 1, k = mid;
            else
                hi = mid;
        }
        CKV_MUST(ckv_space_locate(x, item, &gap));
        const ckv_span *s = ckv_space_span(x, gap.leaf, gap.slot);
        uint32_t len = s->len - (gap.off - 1);
        if (len > t[k].item + t[k].n - item) len = t[k].item + t[k].n - item;
        uint32_t now = ckv_seq_pos(x, gap) - ckv_span_visible(x, s); /* visible before the item */
        for (uint32_t at = 0, n; at < len; at += n) {
            bool old, new;
            n = len - at;
            if (differs(f, item + at, &n, s->del, &old, &new)) {
                const uint32_t pos = d->b ? now + ins - rem : now;
                CKV_TRY(put_piece(d, (ckv_flip){item + at, n, pos, old}));
                if (new) ins += n;
                if (old) rem += n;
            }
            if (d->b ? old : new) now += n;
        }
    }
    return CKV_OK;
}

ckv_status ckv_diff_flips(ckv_differ *d, size_t first, size_t end)
{
    finding f = {
        .d = d, .moves = ckv_has_moves(d->doc, d->container), .starts = {.a = d->doc->env.alloc}};
    const size_t n = end - first;
    for (uint32_t i = 0; i < 2; i++) f.rounds[i] = ckv_moves_begin(&d->doc->moves, i);
    d->flips.len = 0;
    if (n == 0) return CKV_OK;
    const bool few = n <= 16 + d->doc->space.n_spans / 16;
    const ckv_status s =
        few && (!d->a || !d->b) ? look_at_touched(&f, d->touches.ptr + first, n) : walk_all(&f);
    ckv_u32s_fini(&f.starts);
    return s;
}

/* ---- texts */

ckv_status ckv_diff_text(ckv_differ *d)
{
    const ckv_chars *chars = &d->doc->log.chars;
    const ckv_flips *v = &d->flips;
    for (size_t i = 0, k; i < v->len; i = k) {
        const ckv_flip *p = &v->ptr[i];
        uint32_t pos = p->pos;
        size_t n_bytes = 0;
        /* Removals at one place are one, and insertions that follow each other. */
        for (k = i; k < v->len && v->ptr[k].old == p->old && v->ptr[k].pos == pos; k++) {
            n_bytes += ckv_chars_utf8_bytes(chars, v->ptr[k].item, v->ptr[k].n);
            if (!p->old) pos += v->ptr[k].n;
        }
        CKV_TRY(ckv_diff_put(d, p->old ? CKV_PATCH_TEXT_REMOVE : CKV_PATCH_TEXT_INSERT));
        ckv_buf_varint(d->out, p->pos);
        if (!p->old) ckv_buf_u8(d->out, CKV_PATCH_NOTHING);
        ckv_buf_u8(d->out, CKV_TAG_STR);
        ckv_buf_varint(d->out, n_bytes);
        for (size_t m = i; m < k; m++) ckv_chars_utf8(chars, v->ptr[m].item, v->ptr[m].n, d->out);
        if (p->old) ckv_buf_u8(d->out, CKV_PATCH_NOTHING);
    }
    return d->out->status;
}

/* ---- lists */

/* The value of the element of a slot, as it was at a or is at b. */
static ckv_status put_element(ckv_differ *d, uint32_t slot, bool old)
{
    uint32_t lv;
    ckv_value v = {.tag = CKV_TAG_NONE};
    CKV_TRY(ckv_doc_shown_element(d->doc, old ? d->a : d->b, d->container,
                                  ckv_doc_element_of(d->doc, slot), &lv));
    if (lv != CKV_NONE) v = ckv_doc_value_at(d->doc, lv);
    return ckv_diff_value(d, old, &v);
}

static ckv_status put_elements(ckv_differ *d, const ckv_flip *p, size_t n_flips, uint32_t pos)
{
    const bool old = p->old;
    uint64_t n = 0;
    for (size_t i = 0; i < n_flips; i++) n += p[i].n;
    CKV_TRY(ckv_diff_put(d, old ? CKV_PATCH_LIST_REMOVE : CKV_PATCH_LIST_INSERT));
    ckv_buf_varint(d->out, pos);
    if (!old) ckv_buf_u8(d->out, CKV_PATCH_NOTHING);
    ckv_buf_u8(d->out, CKV_TAG_LIST);
    ckv_buf_varint(d->out, n);
    for (size_t i = 0; i < n_flips; i++) {
        for (uint32_t k = 0; k < p[i].n; k++) CKV_TRY(put_element(d, p[i].item + k, old));
    }
    if (old) ckv_buf_u8(d->out, CKV_PATCH_NOTHING);
    return d->out->status;
}

/* Without moves: from left to right, as texts. */
static ckv_status list_in_order(ckv_differ *d)
{
    const ckv_flips *v = &d->flips;
    for (size_t i = 0, k; i < v->len; i = k) {
        uint32_t pos = v->ptr[i].pos;
        for (k = i; k < v->len && v->ptr[k].old == v->ptr[i].old && v->ptr[k].pos == pos; k++) {
            if (!v->ptr[i].old) pos += v->ptr[k].n;
        }
        CKV_TRY(put_elements(d, v->ptr + i, k - i, v->ptr[i].pos));
    }
    return CKV_OK;
}

/* An element that shows at both versions, elsewhere. Ranks are among those that show at both. */
typedef struct shifted {
    uint32_t element;
    uint32_t from, to;         /* ranks, of all */
    uint32_t gap_from, gap_to; /* ranks among those that stay */
    bool stays;
} shifted;
CKV_VEC(shifteds, shifted);

typedef struct shifting {
    ckv_differ *d;
    ckv_flips removed,
        inserted; /* single elements, with pos at the step at which they go or come */
    shifteds v;
    ckv_hmap by_element;
    ckv_u32s by_from, by_to, best, before, tree;
} shifting;

static bool from_before(void *ctx, uint32_t a, uint32_t b)
{
    const shifting *x = ctx;
    return x->v.ptr[a].from < x->v.ptr[b].from;
}

static bool to_before(void *ctx, uint32_t a, uint32_t b)
{
    const shifting *x = ctx;
    return x->v.ptr[a].to < x->v.ptr[b].to;
}

/* Ranks among those that stay. */
static void find_gaps(shifting *x)
{
    uint32_t away = 0;
    for (size_t i = 0; i < x->by_from.len; i++) {
        shifted *s = &x->v.ptr[x->by_from.ptr[i]];
        s->gap_from = s->from - away;
        away += !s->stays;
    }
    away = 0;
    for (size_t i = 0; i < x->by_to.len; i++) {
        shifted *s = &x->v.ptr[x->by_to.ptr[i]];
        s->gap_to = s->to - away;
        away += !s->stays;
    }
}

/* As many as can stay do: those that kept their place among the others, and of them the longest run that kept its order. */
static ckv_status let_stay(shifting *x)
{
    ckv_u32s *best = &x->best,
             *before = &x->before; /* best[k]: last of a run of length k + 1 with the least `to` */
    CKV_TRY(ckv_u32s_reserve(before, x->v.len));
    before->len = x->v.len;
    for (size_t i = 0; i < x->by_from.len; i++) {
        const uint32_t e = x->by_from.ptr[i];
        if (x->v.ptr[e].gap_from != x->v.ptr[e].gap_to) continue;
        size_t lo = 0, hi = best->len;
        while (lo < hi) {
            const size_t mid = (lo + hi) / 2;
            if (x->v.ptr[best->ptr[mid]].to < x->v.ptr[e].to)
                lo = mid + 1;
            else
                hi = mid;
        }
        before->ptr[e] = lo ? best->ptr[lo - 1] : CKV_NONE;
        if (lo == best->len)
            CKV_TRY(ckv_u32s_push(best, e));
        else
            best->ptr[lo] = e;
    }
    for (uint32_t e = best->len ? best->ptr[best->len - 1] : CKV_NONE; e != CKV_NONE;
         e = before->ptr[e])
        x->v.ptr[e].stays = true;
    find_gaps(x);
    return CKV_OK;
}

static void drop_staying(const shifting *x, ckv_u32s *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->len; i++) {
        if (!x->v.ptr[v->ptr[i]].stays) v->ptr[n++] = v->ptr[i];
    }
    v->len = n;
}

/* Counts of those that wait for their move, by rank in by_from (a Fenwick tree). */
static void count_add(ckv_u32s *t, size_t i, uint32_t by)
{
    for (i++; i < t->len; i += i & (~i + 1)) t->ptr[i] += by;
}

static uint32_t count_below(const ckv_u32s *t, size_t i)
{
    uint32_t n = 0;
    for (; i; i -= i & (~i + 1)) n += t->ptr[i];
    return n;
}

/* How many of a list in order stand before a gap, or (with `at`) in it. */
static size_t up_to(const shifting *x, const ckv_u32s *v, bool to, uint32_t gap, bool at)
{
    size_t lo = 0, hi = v->len;
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        const shifted *s = &x->v.ptr[v->ptr[mid]];
        const uint32_t g = to ? s->gap_to : s->gap_from;
        if (g < gap || (at && g == gap))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Moves those that do not stay, one by one in the order of where they go. In a gap those that have arrived stand before those that wait. */
static ckv_status put_moves(shifting *x)
{
    ckv_u32s *t = &x->tree, *rank = &x->best;
    drop_staying(x, &x->by_from);
    drop_staying(x, &x->by_to);
    const size_t n = x->by_to.len;
    CKV_TRY(ckv_u32s_reserve(rank, x->v.len));
    for (size_t i = 0; i <= n; i++) CKV_TRY(ckv_u32s_push(t, 0));
    for (size_t i = 0; i < n; i++) {
        rank->ptr[x->by_from.ptr[i]] = (uint32_t)i;
        count_add(t, i, 1);
    }
    for (size_t i = 0; i < n; i++) {
        const shifted *s = &x->v.ptr[x->by_to.ptr[i]];
        const size_t r = rank->ptr[x->by_to.ptr[i]],
                     arrived = up_to(x, &x->by_to, true, s->gap_from, true);
        count_add(t, r, UINT32_MAX);
        const uint32_t from =
            s->gap_from + (uint32_t)(arrived < i ? arrived : i) + count_below(t, r);
        const uint32_t to = s->gap_to + (uint32_t)i +
                            count_below(t, up_to(x, &x->by_from, false, s->gap_to, false));
        if (from == to) continue;
        CKV_TRY(ckv_diff_put(x->d, CKV_PATCH_LIST_MOVE));
        ckv_buf_varint(x->d->out, from);
        ckv_buf_u8(x->d->out, CKV_PATCH_NOTHING);
        ckv_buf_u8(x->d->out, CKV_TAG_INT);
        ckv_buf_zigzag(x->d->out, to);
    }
    return x->d->out->status;
}

static bool element_shows(const ckv_differ *d, const ckv_past *at, uint32_t element)
{
    bool in;
    ckv_gap gap;
    CKV_MUST(ckv_space_locate(&d->doc->space, element, &gap));
    ckv_items_alike(d->doc, at, element, 1, &in);
    return in &&
           !ckv_doc_hidden(d->doc, at, ckv_space_span(&d->doc->space, gap.leaf, gap.slot)->del);
}

/* Sorts what changed into removed, shifted and inserted. */
static ckv_status sort_out(shifting *x)
{
    const ckv_differ *d = x->d;
    uint32_t ins = 0, rem = 0;
    CKV_TRY(ckv_hmap_reserve(&x->by_element, 1));
    for (int pass = 0; pass < 2; pass++) { /* those that show at a first */
        ins = rem = 0;
        for (size_t i = 0; i < d->flips.len; i++) {
            const ckv_flip *p = &d->flips.ptr[i];
            for (uint32_t k = 0; k < p->n; k++) {
                const uint32_t slot = p->item + k, element = ckv_doc_element_of(d->doc, slot),
                               pos = p->pos + (p->old ? 0 : k);
                const bool both = element_shows(d, p->old ? d->b : d->a, element);
                if (p->old && pass == 0 && !both) {
                    CKV_TRY(ckv_flips_push(
                        &x->removed,
                        (ckv_flip){slot, 1, pos - ins + rem - (uint32_t)x->removed.len, true}));
                } else if (p->old && pass == 0) {
                    CKV_TRY(ckv_hmap_reserve(&x->by_element, 1));
                    ckv_hmap_set(&x->by_element, element, (uint32_t)x->v.len);
                    CKV_TRY(shifteds_push(
                        &x->v, (shifted){.element = element,
                                         .from = pos - ins + rem - (uint32_t)x->removed.len}));
                } else if (!p->old && pass == 1 && !both) {
                    CKV_TRY(ckv_flips_push(&x->inserted, (ckv_flip){slot, 1, pos, false}));
                } else if (!p->old && pass == 1) {
                    const uint32_t e = ckv_hmap_get(&x->by_element, element);
                    CKV_ASSERT(e != CKV_HMAP_NONE);
                    x->v.ptr[e].to = pos - (uint32_t)x->inserted.len;
                }
                rem += p->old;
                ins += !p->old;
            }
        }
    }
    for (uint32_t i = 0; i < x->v.len; i++) {
        CKV_TRY(ckv_u32s_push(&x->by_from, i));
        CKV_TRY(ckv_u32s_push(&x->by_to, i));
    }
    CKV_TRY(ckv_sort(&x->by_from, from_before, x));
    CKV_TRY(ckv_sort(&x->by_to, to_before, x));
    return CKV_OK;
}

/* Elements that go or come at one place, one after the other. */
static ckv_status put_singles(ckv_differ *d, const ckv_flips *v)
{
    for (size_t i = 0, k; i < v->len; i = k) {
        for (k = i + 1; k < v->len && v->ptr[k].pos == v->ptr[i].pos + (v->ptr[i].old ? 0 : k - i);)
            k++;
        CKV_TRY(put_elements(d, v->ptr + i, k - i, v->ptr[i].pos));
    }
    return CKV_OK;
}

/* With moves: first what goes, then what moves, then what comes. */
static ckv_status list_with_moves(ckv_differ *d)
{
    const ckv_alloc a = d->doc->env.alloc;
    shifting x = {.d = d,
                  .removed = {.a = a},
                  .inserted = {.a = a},
                  .v = {.a = a},
                  .by_element = ckv_hmap_init(a, 1),
                  .by_from = {.a = a},
                  .by_to = {.a = a},
                  .best = {.a = a},
                  .before = {.a = a},
                  .tree = {.a = a}};
    ckv_status s = sort_out(&x);
    if (s == CKV_OK) find_gaps(&x);
    if (s == CKV_OK) s = let_stay(&x);
    if (s == CKV_OK) s = put_singles(d, &x.removed);
    if (s == CKV_OK) s = put_moves(&x);
    if (s == CKV_OK) s = put_singles(d, &x.inserted);
    ckv_flips_fini(&x.removed);
    ckv_flips_fini(&x.inserted);
    shifteds_fini(&x.v);
    ckv_hmap_fini(&x.by_element);
    ckv_u32s_fini(&x.by_from);
    ckv_u32s_fini(&x.by_to);
    ckv_u32s_fini(&x.best);
    ckv_u32s_fini(&x.before);
    ckv_u32s_fini(&x.tree);
    return s;
}

static bool something_moved(const ckv_differ *d)
{
    if (!ckv_has_moves(d->doc, d->container)) return false;
    for (size_t i = 0; i < d->flips.len; i++) {
        const ckv_flip *p = &d->flips.ptr[i];
        for (uint32_t k = 0; k < p->n; k++) {
            if (element_shows(d, p->old ? d->b : d->a, ckv_doc_element_of(d->doc, p->item + k)))
                return true;
        }
    }
    return false;
}

static ckv_status list_set(ckv_differ *d, uint32_t element)
{
    ckv_doc *doc = d->doc;
    uint32_t lv[2], pos;
    ckv_value v[2];
    if (!element_shows(d, d->a, element) || !element_shows(d, d->b, element)) return CKV_OK;
    CKV_TRY(ckv_doc_shown_element(doc, d->a, d->container, element, &lv[0]));
    CKV_TRY(ckv_doc_shown_element(doc, d->b, d->container, element, &lv[1]));
    if (lv[0] == lv[1]) return CKV_OK;
    for (int i = 0; i < 2; i++) {
        v[i] = (ckv_value){.tag = CKV_TAG_NONE};
        if (lv[i] != CKV_NONE) v[i] = ckv_doc_value_at(doc, lv[i]);
    }
    if (ckv_same_value(&v[0], &v[1])) return CKV_OK;
    const uint32_t slot = d->b ? ckv_moves_slot_at(&doc->moves, &doc->graph, d->b, element)
                               : ckv_moves_slot(&doc->moves, element);
    CKV_TRY(ckv_diff_position(d, d->b, slot, &pos));
    CKV_TRY(ckv_diff_put(d, CKV_PATCH_LIST_SET));
    ckv_buf_varint(d->out, pos);
    CKV_TRY(ckv_diff_value(d, true, &v[0]));
    return ckv_diff_value(d, false, &v[1]);
}

ckv_status ckv_diff_list(ckv_differ *d, const uint32_t *regs, size_t n_regs)
{
    CKV_TRY(something_moved(d) ? list_with_moves(d) : list_in_order(d));
    for (size_t i = 0; i < n_regs; i++)
        CKV_TRY(list_set(d, d->doc->tree.registers.regs.ptr[regs[i]].key));
    return CKV_OK;
}
