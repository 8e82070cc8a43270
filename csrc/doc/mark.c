#include "doc/mark.h"

#include "base/utf8.h"
#include "doc/apply.h"
#include "doc/plain_out.h"
#include "doc/text.h"
#include "doc/walk.h"
#include "ds/sort.h"

/* ---- typing beside marks */

/* Peritext: what is typed where text was deleted goes behind those of the deleted characters that a mark ends behind, so that it is not marked. */
ckv_gap ckv_text_gap(const ckv_doc *doc, uint32_t text, uint32_t pos)
{
    const ckv_seq *s = &ckv_tree_at(&doc->tree, text)->seq;
    const ckv_gap gap = ckv_seq_gap(&doc->space, s, pos);
    if (ckv_tree_at(&doc->tree, text)->marked == CKV_NONE) return gap;
    ckv_gap best = gap;
    if (!ckv_gap_is_start(gap) && gap.off < ckv_space_span(&doc->space, gap.leaf, gap.slot)->len)
        return gap; /* what follows is visible */
    uint32_t leaf, slot;
    for (ckv_gap at = gap; ckv_seq_next(&doc->space, s, at, &leaf, &slot);) {
        const ckv_span *sp = ckv_space_span(&doc->space, leaf, slot);
        if (ckv_span_visible(&doc->space, sp)) break;
        for (uint32_t i = 0; i < sp->len; i++) {
            if (ckv_marks_end_behind(&doc->marks, sp->item + i))
                best = (ckv_gap){leaf, slot, i + 1};
        }
        at = (ckv_gap){leaf, slot, sp->len};
    }
    return best;
}

ckv_status ckv_text_mark(ckv_doc *doc, uint32_t text, size_t start, size_t end, unsigned expand,
                         const char *name, size_t name_bytes, const ckv_value *value)
{
    ckv_mark_op mark = {.name_bytes = (uint32_t)name_bytes, .value_off = CKV_NO_VALUE};
    CKV_TRY(ckv_edit_begin(doc, text, 1, name_bytes + 64 + (value ? ckv_value_size(value) : 0)));
    ckv_seq *s = &ckv_tree_at(&doc->tree, text)->seq;
    if (start >= end || end > s->visible) return CKV_ERANGE;
    if (name_bytes == 0 || (value && !ckv_tag_is_scalar(value->tag))) return CKV_EVALUE;
    if (name_bytes > doc->limits.key_bytes) return CKV_ELIMIT;
    /* An end that does not grow holds on to the marked character, one that does to the next visible one. */
    uint32_t from, to = CKV_NO_ITEM, skip;
    if (expand & CKV_EXPAND_BEFORE) {
        ckv_seq_around(&doc->space, s, ckv_seq_gap(&doc->space, s, (uint32_t)start), &from, &skip);
        if (from != CKV_NO_ITEM) mark.sides |= CKV_MARK_START_BEHIND;
    } else {
        ckv_seq_around(&doc->space, s, ckv_seq_gap(&doc->space, s, (uint32_t)start + 1), &from,
                       &skip);
    }
    if (!(expand & CKV_EXPAND_AFTER)) {
        ckv_seq_around(&doc->space, s, ckv_seq_gap(&doc->space, s, (uint32_t)end), &to, &skip);
        mark.sides |= CKV_MARK_END_BEHIND;
    } else if (end < s->visible) {
        ckv_seq_around(&doc->space, s, ckv_seq_gap(&doc->space, s, (uint32_t)end + 1), &to, &skip);
    }
    CKV_TRY(ckv_oplog_keep(&doc->log, name, name_bytes, &mark.name_off));
    ckv_status status = CKV_OK;
    if (value) status = ckv_oplog_keep_value(&doc->log, value, &mark.value_off);
    if (status == CKV_OK) status = ckv_apply_mark(doc, text, from, to, mark);
    if (status != CKV_OK) {
        ckv_oplog_unkeep(&doc->log, mark.name_off);
        return status;
    }
    doc->open_bytes += name_bytes + 64 + (value ? ckv_value_size(value) : 0);
    return CKV_OK;
}

/* ---- stretches */

bool ckv_values_equal(const ckv_oplog *log, uint32_t value_off, uint32_t other_off)
{
    if (value_off == other_off) return true;
    if (value_off == CKV_NO_VALUE || other_off == CKV_NO_VALUE) return false;
    const size_t n = ckv_oplog_value_bytes(log, value_off);
    return n == ckv_oplog_value_bytes(log, other_off) &&
           memcmp(log->values.ptr + value_off, log->values.ptr + other_off, n) == 0;
}

typedef struct mark_at { /* a mark that counts at the version */
    uint32_t name, lv, value_off, start, end;
} mark_at;
CKV_VEC(marks_at, mark_at);

typedef struct gathering {
    ckv_doc *doc;
    const ckv_past *at;
    marks_at marks;
    ckv_u32s order, bounds, next, painted;
    ckv_u32s anchors; /* 2 * mark, + 1 for its end */
} gathering;

static const ckv_op *op_of(const gathering *g, const mark_at *m)
{
    return &g->doc->log.ops.ptr[ckv_oplog_at_lv(&g->doc->log, m->lv)];
}

static ckv_status collect(gathering *g, uint32_t text)
{
    ckv_doc *doc = g->doc;
    for (uint32_t i = ckv_tree_at(&doc->tree, text)->marked; i != CKV_NONE;
         i = doc->marks.v.ptr[i].before) {
        const ckv_mark_entry *e = &doc->marks.v.ptr[i];
        bool in = true;
        if (g->at) {
            in = e->lv < doc->graph.ids.n_lv &&
                 ckv_past_has(g->at, &doc->graph, ckv_ids_change_of_lv(&doc->graph.ids, e->lv));
        }
        if (!in || ckv_doc_hidden(doc, g->at, ckv_del_of(&doc->space.deletes, e->item))) continue;
        const ckv_mark_op *m = ckv_oplog_mark_of(&doc->log, e->item);
        CKV_TRY(marks_at_push(&g->marks, (mark_at){e->name, e->lv, m->value_off, 0, UINT32_MAX}));
    }
    return CKV_OK;
}

static uint32_t anchor_item(const gathering *g, uint32_t anchor)
{
    const ckv_op *op = op_of(g, &g->marks.ptr[anchor / 2]);
    return anchor & 1 ? op->b : op->a;
}

static bool anchor_before(void *ctx, uint32_t a, uint32_t b)
{
    const gathering *g = ctx;
    const ckv_space *x = &g->doc->space;
    ckv_gap ga, gb;
    const uint32_t ia = anchor_item(g, a), ib = anchor_item(g, b);
    if (ia == ib) return false;
    CKV_MUST(ckv_space_locate(x, ia, &ga) && ckv_space_locate(x, ib, &gb));
    return ckv_seq_compare(x, ga, gb) < 0;
}

/* Visible positions of the places, in one walk over the text at the version. */
static ckv_status find_positions(gathering *g, uint32_t text)
{
    ckv_doc *doc = g->doc;
    for (uint32_t i = 0; i < 2 * g->marks.len; i++) {
        if (anchor_item(g, i) != CKV_NO_ITEM) CKV_TRY(ckv_u32s_push(&g->anchors, i));
    }
    if (g->at) CKV_TRY(ckv_sort(&g->anchors, anchor_before, g));
    ckv_walk w;
    CKV_TRY(ckv_walk_begin(&w, doc, g->at, text, 0, SIZE_MAX));
    uint32_t item = 0, n = 0, pos = 0;
    bool more = g->at != NULL && ckv_walk_next(&w, &item, &n);
    for (size_t k = 0; k < g->anchors.len; k++) {
        const uint32_t a = g->anchors.ptr[k], x = anchor_item(g, a);
        mark_at *m = &g->marks.ptr[a / 2];
        const uint32_t sides = ckv_oplog_mark_of(&doc->log, op_of(g, m)->item)->sides;
        const bool behind = (sides & (a & 1 ? CKV_MARK_END_BEHIND : CKV_MARK_START_BEHIND)) != 0;
        ckv_gap gap;
        uint32_t before; /* visible characters before the item */
        bool visible;
        CKV_MUST(ckv_space_locate(&doc->space, x, &gap));
        if (!g->at) {
            visible =
                ckv_span_visible(&doc->space, ckv_space_span(&doc->space, gap.leaf, gap.slot));
            before = ckv_seq_pos(&doc->space, gap) - visible;
        } else {
            for (;;) { /* up to the piece that holds the item or stands behind it */
                ckv_gap last;
                if (!more || (x >= item && x < item + n)) break;
                CKV_MUST(ckv_space_locate(&doc->space, item + n - 1, &last));
                if (ckv_seq_compare(&doc->space, last, gap) > 0) break;
                pos += n;
                more = ckv_walk_next(&w, &item, &n);
            }
            visible = more && x >= item && x < item + n;
            before = pos + (visible ? x - item : 0);
        }
        *(a & 1 ? &m->end : &m->start) = before + (behind && visible);
    }
    return CKV_OK;
}

static bool mark_first(void *ctx, uint32_t a, uint32_t b) /* by name, the greatest first */
{
    const gathering *g = ctx;
    const mark_at *x = &g->marks.ptr[a], *y = &g->marks.ptr[b];
    if (x->name != y->name) return ckv_keys_order(&g->doc->tree.keys, x->name, y->name) < 0;
    return ckv_lv_before(&g->doc->graph, y->lv, x->lv);
}

static bool number_before(void *ctx, uint32_t a, uint32_t b)
{
    (void)ctx;
    return a < b;
}

static size_t index_of(const ckv_u32s *sorted, uint32_t x)
{
    size_t lo = 0, hi = sorted->len;
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        if (sorted->ptr[mid] < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static uint32_t unpainted(ckv_u32s *next, uint32_t i)
{
    while (next->ptr[i] != i) i = next->ptr[i] = next->ptr[next->ptr[i]];
    return i;
}

/* The marks order[a .. b), of one name, greatest first: each paints what those before it left. */
static ckv_status paint(gathering *g, size_t a, size_t b, ckv_stretches *out)
{
    ckv_u32s *bounds = &g->bounds, *next = &g->next, *painted = &g->painted;
    bounds->len = next->len = painted->len = 0;
    for (size_t i = a; i < b; i++) {
        const mark_at *m = &g->marks.ptr[g->order.ptr[i]];
        CKV_TRY(ckv_u32s_push(bounds, m->start));
        CKV_TRY(ckv_u32s_push(bounds, m->end));
    }
    CKV_TRY(ckv_sort(bounds, number_before, NULL));
    for (uint32_t i = 0; i < bounds->len; i++) {
        CKV_TRY(ckv_u32s_push(next, i));
        CKV_TRY(ckv_u32s_push(painted, CKV_NO_VALUE));
    }
    for (size_t i = a; i < b; i++) {
        const mark_at *m = &g->marks.ptr[g->order.ptr[i]];
        const uint32_t end = (uint32_t)index_of(bounds, m->end);
        for (uint32_t k = unpainted(next, (uint32_t)index_of(bounds, m->start)); k < end;
             k = unpainted(next, k)) {
            painted->ptr[k] = m->value_off;
            next->ptr[k] = k + 1;
        }
    }
    const uint32_t name = g->marks.ptr[g->order.ptr[a]].name;
    for (size_t k = 0; k + 1 < bounds->len; k++) {
        const uint32_t value = painted->ptr[k], start = bounds->ptr[k], end = bounds->ptr[k + 1];
        if (value == CKV_NO_VALUE || start == end) continue;
        ckv_stretch *last = ckv_stretches_last(out);
        if (last && last->name == name && last->end == start &&
            ckv_values_equal(&g->doc->log, last->value_off, value)) {
            last->end = end;
            continue;
        }
        CKV_TRY(ckv_stretches_push(out, (ckv_stretch){start, end, name, value}));
    }
    return CKV_OK;
}

typedef struct by_start {
    const ckv_stretches *v;
} by_start;

static bool stretch_before(void *ctx, uint32_t a, uint32_t b)
{
    const by_start *x = ctx;
    return x->v->ptr[a].start < x->v->ptr[b].start; /* stable: names stay in order */
}

static ckv_status sort_stretches(ckv_alloc alloc, ckv_stretches *v)
{
    ckv_u32s order = {.a = alloc};
    ckv_stretches sorted = {.a = alloc};
    ckv_status s = ckv_stretches_reserve(&sorted, v->len);
    for (uint32_t i = 0; i < v->len && s == CKV_OK; i++) s = ckv_u32s_push(&order, i);
    if (s == CKV_OK) s = ckv_sort(&order, stretch_before, &(by_start){v});
    for (size_t i = 0; i < v->len && s == CKV_OK; i++)
        ckv_stretches_put(&sorted, v->ptr[order.ptr[i]]);
    ckv_u32s_fini(&order);
    if (s == CKV_OK) {
        ckv_stretches_fini(v);
        *v = sorted;
    } else {
        ckv_stretches_fini(&sorted);
    }
    return s;
}

ckv_status ckv_text_stretches(ckv_doc *doc, const ckv_past *at, uint32_t text, ckv_stretches *out)
{
    const ckv_alloc a = doc->env.alloc;
    if (ckv_tree_at(&doc->tree, text)->marked == CKV_NONE) return CKV_OK;
    CKV_TRY(ckv_doc_flush(doc));
    gathering g = {doc, at, {.a = a}, {.a = a}, {.a = a}, {.a = a}, {.a = a}, {.a = a}};
    ckv_status s = collect(&g, text);
    if (s == CKV_OK) s = find_positions(&g, text);
    uint32_t len = 0;
    if (s == CKV_OK && !at) len = ckv_tree_at(&doc->tree, text)->seq.visible;
    if (s == CKV_OK && at) {
        ckv_walk w;
        s = ckv_walk_begin(&w, doc, at, text, 0, SIZE_MAX);
        for (uint32_t item, n; s == CKV_OK && ckv_walk_next(&w, &item, &n);) len += n;
    }
    for (uint32_t i = 0; i < g.marks.len && s == CKV_OK; i++) {
        mark_at *m = &g.marks.ptr[i];
        if (m->end > len) m->end = len;
        if (m->start < m->end) s = ckv_u32s_push(&g.order, i);
    }
    if (s == CKV_OK) s = ckv_sort(&g.order, mark_first, &g);
    for (size_t i = 0, k; i < g.order.len && s == CKV_OK; i = k) {
        for (k = i; k < g.order.len &&
                    g.marks.ptr[g.order.ptr[k]].name == g.marks.ptr[g.order.ptr[i]].name;)
            k++;
        s = paint(&g, i, k, out);
    }
    if (s == CKV_OK) s = sort_stretches(a, out);
    marks_at_fini(&g.marks);
    ckv_u32s_fini(&g.order);
    ckv_u32s_fini(&g.bounds);
    ckv_u32s_fini(&g.next);
    ckv_u32s_fini(&g.painted);
    ckv_u32s_fini(&g.anchors);
    return s;
}

/* ---- spans: the text in stretches of equal marks */

static ckv_status put_span(ckv_plain_out *w, ckv_doc *doc, const uint32_t *chars, size_t n,
                           const ckv_stretches *v, const ckv_u32s *active, ckv_buf *out)
{
    size_t n_bytes = 0;
    for (size_t i = 0; i < n; i++)
        n_bytes += 1u + (chars[i] > 0x7f) + (chars[i] > 0x7ff) + (chars[i] > 0xffff);
    ckv_buf_u8(out, CKV_TAG_LIST);
    ckv_buf_varint(out, 2);
    ckv_buf_u8(out, CKV_TAG_STR);
    ckv_buf_varint(out, n_bytes);
    for (size_t i = 0; i < n; i++) ckv_utf8_put(out, chars[i]);
    ckv_buf_u8(out, CKV_TAG_MAP);
    ckv_buf_varint(out, active->len);
    for (size_t i = 0; i < active->len; i++) {
        const ckv_stretch *s = &v->ptr[active->ptr[i]];
        const ckv_value value = ckv_oplog_value(&doc->log, s->value_off);
        CKV_TRY(ckv_plain_out_key(w, s->name));
        CKV_TRY(ckv_plain_out_value(w, &value));
    }
    return out->status;
}

typedef struct naming {
    const ckv_doc *doc;
    const ckv_stretches *v;
} naming;

static bool name_before(void *ctx, uint32_t a, uint32_t b)
{
    const naming *x = ctx;
    return ckv_keys_order(&x->doc->tree.keys, x->v->ptr[a].name, x->v->ptr[b].name) < 0;
}

/* Cuts the text wherever a stretch begins or ends; those over the piece at hand are `active`, by name. */
static ckv_status put_spans(ckv_plain_out *w, ckv_doc *doc, const uint32_t *chars, uint32_t len,
                            const ckv_stretches *v, ckv_u32s *active, ckv_buf *out, uint64_t *n)
{
    naming x = {doc, v};
    size_t next = 0;
    for (uint32_t at = 0; at < len;) {
        size_t kept = 0;
        uint32_t end = len;
        for (size_t i = 0; i < active->len; i++) {
            if (v->ptr[active->ptr[i]].end > at) active->ptr[kept++] = active->ptr[i];
        }
        active->len = kept;
        while (next < v->len && v->ptr[next].start == at)
            CKV_TRY(ckv_u32s_push(active, (uint32_t)next++));
        CKV_TRY(ckv_sort(active, name_before, &x));
        if (next < v->len && v->ptr[next].start < end) end = v->ptr[next].start;
        for (size_t i = 0; i < active->len; i++) {
            if (v->ptr[active->ptr[i]].end < end) end = v->ptr[active->ptr[i]].end;
        }
        CKV_TRY(put_span(w, doc, chars + at, end - at, v, active, out));
        ++*n;
        at = end;
    }
    return CKV_OK;
}

ckv_status ckv_text_spans(ckv_doc *doc, const ckv_view *at, uint32_t text, ckv_buf *out)
{
    const ckv_alloc a = doc->env.alloc;
    ckv_buf chars = ckv_buf_init(a), body = ckv_buf_init(a);
    ckv_stretches v = {.a = a};
    ckv_u32s active = {.a = a};
    ckv_plain_out *w = NULL;
    uint64_t n = 0;
    ckv_status s = ckv_text_chars(doc, at, text, &chars);
    if (s == CKV_OK) s = ckv_text_stretches(doc, ckv_view_past(at), text, &v);
    if (s == CKV_OK) s = ckv_plain_out_new(&w, doc, &body);
    if (s == CKV_OK && chars.len)
        s = put_spans(w, doc, (const uint32_t *)(const void *)chars.ptr, (uint32_t)(chars.len / 4),
                      &v, &active, &body, &n);
    if (s == CKV_OK) {
        ckv_buf_u8(out, CKV_TAG_LIST);
        ckv_buf_varint(out, n);
        ckv_buf_bytes(out, body.ptr, body.len);
        s = out->status;
    }
    ckv_plain_out_free(w);
    ckv_stretches_fini(&v);
    ckv_u32s_fini(&active);
    ckv_buf_fini(&chars);
    ckv_buf_fini(&body);
    return s;
}
