#include "doc/view.h"

#include "doc/state.h"

struct ckv_view {
    ckv_doc *doc;  /* borrowed */
    ckv_past past; /* the version */
};

ckv_status ckv_view_new(ckv_view **out, ckv_doc *doc, const ckv_id32 *heads, size_t n_heads)
{
    ckv_view *v = ckv_resize(doc->env.alloc, NULL, 0, sizeof *v);
    if (!v) return CKV_ENOMEM;
    *v = (ckv_view){doc, ckv_past_init(doc->env.alloc)};
    const ckv_status s = ckv_doc_version(doc, heads, n_heads, true, &v->past);
    if (s != CKV_OK) {
        ckv_view_free(v);
        return s;
    }
    *out = v;
    return CKV_OK;
}

void ckv_view_free(ckv_view *v)
{
    if (!v) return;
    const ckv_alloc a = v->doc->env.alloc;
    ckv_past_fini(&v->past);
    ckv_release(a, v, sizeof *v);
}

/* ---- maps */

static int by_key(const void *x, const void *y)
{
    const ckv_entry *a = x, *b = y;
    const size_t n = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
    const int c = memcmp(a->key, b->key, n);
    return c ? c : a->key_bytes < b->key_bytes ? -1 : a->key_bytes > b->key_bytes;
}

ckv_status ckv_view_map(const ckv_view *v, uint32_t map, ckv_buf *out)
{
    ckv_doc *doc = v->doc;
    const size_t start = out->len;
    for (uint32_t i = 0; i < doc->maps.slots.len; i++) {
        const ckv_slot *s = &doc->maps.slots.ptr[i];
        uint32_t lv;
        if (s->map != map) continue;
        CKV_TRY(ckv_maps_shown_at(&doc->maps, &doc->graph, &v->past, &doc->scratch, i, &lv));
        if (lv == CKV_NONE) continue;
        const ckv_op *op = &doc->log.ops.ptr[ckv_oplog_at_lv(&doc->log, lv)];
        ckv_entry e = {.key = ckv_maps_key(&doc->maps, s),
                       .key_bytes = s->key_bytes,
                       .value = ckv_oplog_value(&doc->log, op->b)};
        if (e.value.tag == CKV_TAG_TEXT)
            e.value.container = ckv_maps_container_of(&doc->maps, op->item);
        ckv_buf_bytes(out, &e, sizeof e);
    }
    if (out->status == CKV_OK && out->len > start)
        qsort(out->ptr + start, (out->len - start) / sizeof(ckv_entry), sizeof(ckv_entry), by_key);
    return out->status;
}

/* ---- text */

/* Whether a span's deletes leave its items visible at a version. */
static bool undeleted(const ckv_doc *doc, const ckv_past *past, uint32_t del)
{
    while (del) {
        const uint32_t c = ckv_del_next(&doc->space, &del);
        if (c < ckv_ids_n(&doc->graph.ids) && ckv_past_has(past, &doc->graph, c)) return false;
    }
    return true;
}

/* How many items from `item` on, at most n, are alike in being in the version or not: *in tells which. */
static uint32_t alike(const ckv_doc *doc, const ckv_past *past, uint32_t item, uint32_t n, bool *in)
{
    const ckv_graph *g = &doc->graph;
    if (item >= g->ids.n_items) { /* of the open change */
        *in = false;
        return n;
    }
    if (past->allin_item > item) {
        *in = true;
        return past->allin_item - item < n ? past->allin_item - item : n;
    }
    const uint32_t c = ckv_ids_change_of_item(&g->ids, item), segment = ckv_graph_segment_of(g, c);
    const uint32_t out =
        ckv_past_in_segment(past, g, segment); /* changes of the segment below `out` are in */
    const uint32_t end =
        segment + 1 < g->segments.len ? g->segments.ptr[segment + 1].start : ckv_ids_n(&g->ids);
    *in = c < out;
    const uint32_t stop = ckv_ids_item(&g->ids, *in ? out : end) - item;
    return stop < n ? stop : n;
}

typedef struct walk {
    const ckv_doc *doc;
    uint32_t leaf, slot, off;
} walk;

static bool next_span(walk *w, const ckv_span **span)
{
    for (;;) {
        if (w->leaf == CKV_NONE) return false;
        const ckv_leaf *l = &w->doc->space.leaves.ptr[w->leaf];
        if (w->slot < l->n) {
            *span = &l->s[w->slot++];
            return true;
        }
        w->leaf = l->next;
        w->slot = 0;
    }
}

static ckv_status put_chars(const ckv_doc *doc, uint32_t item, uint32_t n, ckv_buf *out)
{
    if (!ckv_buf_reserve(out, (size_t)n * 4)) return out->status;
    ckv_chars_read(&doc->log.chars, item, n, out->ptr + out->len, 4);
    out->len += (size_t)n * 4;
    return CKV_OK;
}

ckv_status ckv_view_text(const ckv_view *v, uint32_t text, ckv_buf *out)
{
    const ckv_doc *doc = v->doc;
    walk w = {doc, doc->maps.containers.ptr[text].seq.first_leaf, 0, 0};
    for (const ckv_span *s; next_span(&w, &s);) {
        if (!undeleted(doc, &v->past, s->del)) continue;
        for (uint32_t at = 0; at < s->len;) {
            bool in;
            const uint32_t n = alike(doc, &v->past, s->item + at, s->len - at, &in);
            if (in) CKV_TRY(put_chars(doc, s->item + at, n, out));
            at += n;
        }
    }
    return out->status;
}

/* Appends a stretch to the patches, joined with the last one where it goes on. */
static ckv_status put_patch(const ckv_doc *doc, ckv_buf *patches, ckv_buf *chars, size_t pos,
                            bool insert, uint32_t item, uint32_t n)
{
    const size_t off = chars->len / 4;
    CKV_TRY(put_chars(doc, item, n, chars));
    if (patches->len) {
        ckv_text_patch last;
        memcpy(&last, patches->ptr + patches->len - sizeof last, sizeof last);
        const bool goes_on = last.insert == insert && last.off + last.n == off &&
                             (insert ? last.pos + last.n == pos : last.pos == pos);
        if (goes_on) {
            last.n += n;
            memcpy(patches->ptr + patches->len - sizeof last, &last, sizeof last);
            return CKV_OK;
        }
    }
    const ckv_text_patch p = {pos, insert, off, n};
    ckv_buf_bytes(patches, &p, sizeof p);
    return patches->status;
}

ckv_status ckv_text_diff(const ckv_view *a, const ckv_view *b, uint32_t text, ckv_buf *patches,
                         ckv_buf *chars)
{
    const ckv_doc *doc = a->doc;
    walk w = {doc, doc->maps.containers.ptr[text].seq.first_leaf, 0, 0};
    size_t pos = 0;
    for (const ckv_span *s; next_span(&w, &s);) {
        const bool alive_a = undeleted(doc, &a->past, s->del),
                   alive_b = undeleted(doc, &b->past, s->del);
        for (uint32_t at = 0; at < s->len;) {
            bool in_a, in_b;
            uint32_t n = alike(doc, &a->past, s->item + at, s->len - at, &in_a);
            n = alike(doc, &b->past, s->item + at, n, &in_b);
            const bool old = in_a && alive_a, new = in_b &&alive_b;
            if (old != new) CKV_TRY(put_patch(doc, patches, chars, pos, new, s->item + at, n));
            if (new) pos += n;
            at += n;
        }
    }
    return CKV_OK;
}
