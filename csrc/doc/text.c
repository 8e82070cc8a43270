#include "doc/text.h"

#include "doc/apply.h"
#include "doc/walk.h"

static ckv_seq *seq_of(const ckv_doc *doc, uint32_t text)
{
    return &ckv_tree_at(&doc->tree, text)->seq;
}

/* ---- what is pending */

static ckv_status flush_insert(ckv_doc *doc)
{
    const ckv_pending p = doc->pending;
    ckv_seq *s = seq_of(doc, p.text);
    uint32_t left, right;
    CKV_TRY(ckv_space_reserve(&doc->space, doc->log.n_items + p.n, 1));
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    CKV_TRY(ckv_journal_reserve(&doc->journal, 2));
    const ckv_gap gap = ckv_text_gap(doc, p.text, p.pos);
    ckv_seq_around(&doc->space, s, gap, &left, &right);
    const uint32_t item = doc->log.n_items;
    ckv_oplog_insert(&doc->log, p.text, p.n, left, right);
    ckv_seq_insert(&doc->space, s, gap, item, p.n, &doc->journal);
    return CKV_OK;
}

static ckv_status flush_delete(ckv_doc *doc)
{
    ckv_pending *p = &doc->pending;
    ckv_seq *s = seq_of(doc, p->text);
    const uint32_t change = ckv_doc_open_change(doc);
    const uint32_t since = ckv_edit_since(doc);
    while (p->n) { /* what is done is taken off p->n: a failure leaves the rest pending */
        CKV_TRY(ckv_space_reserve(&doc->space, doc->log.n_items, 1));
        CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
        CKV_TRY(ckv_journal_reserve(&doc->journal, 1));
        const ckv_gap gap =
            ckv_seq_gap(&doc->space, s, p->pos + 1); /* behind the first visible item to go */
        const uint32_t item = ckv_space_span(&doc->space, gap.leaf, gap.slot)->item + gap.off - 1;
        const uint32_t n = ckv_seq_delete(&doc->space, s, gap, p->n, change, &doc->journal);
        ckv_oplog_delete(&doc->log, p->text, item, n, since);
        p->n -= n;
    }
    return CKV_OK;
}

ckv_status ckv_doc_flush(ckv_doc *doc)
{
    if (doc->pending.kind == 0) return CKV_OK;
    if (doc->pending.kind == CKV_OP_INSERT) {
        CKV_TRY(flush_insert(doc));
    } else {
        CKV_TRY(flush_delete(doc));
    }
    doc->open_bytes += 24 + doc->pending.n;
    doc->pending = (ckv_pending){0};
    return CKV_OK;
}

/* ---- editing */

size_t ckv_text_len(const ckv_doc *doc, uint32_t text)
{
    const ckv_pending *p = &doc->pending;
    const size_t n = seq_of(doc, text)->visible;
    if (p->kind == 0 || p->text != text) return n;
    return p->kind == CKV_OP_INSERT ? n + p->n : n - p->n;
}

/* The greatest code point, or UINT32_MAX if there is a surrogate. */
static uint32_t max_char(const void *chars, unsigned width, size_t n)
{
    uint32_t max = 127;
    for (size_t i = 0; i < n; i++) {
        const uint32_t c = width == 1   ? ((const uint8_t *)chars)[i]
                           : width == 2 ? ((const uint16_t *)chars)[i]
                                        : ((const uint32_t *)chars)[i];
        if ((c & 0xfffff800u) == 0xd800) return UINT32_MAX;
        if (c > max) max = c;
    }
    return max;
}

/* How many more one-byte characters the page of the next item takes, if limits are far. */
static uint32_t room_for_typing(const ckv_doc *doc)
{
    const uint32_t item = doc->log.n_items + doc->pending.n, page = item / CKV_CHARS_PAGE;
    const bool far =
        doc->open_bytes + doc->pending.n + 2 * CKV_CHARS_PAGE < doc->limits.body_bytes &&
        doc->log.n_lv - doc->graph.ids.n_lv + doc->pending.n + 2 * CKV_CHARS_PAGE < CKV_MAX_OPS;
    if (!far || page >= doc->log.chars.pages.len || doc->log.chars.pages.ptr[page].width != 1)
        return 0;
    return CKV_CHARS_PAGE - item % CKV_CHARS_PAGE;
}

ckv_status ckv_text_insert(ckv_doc *doc, uint32_t text, size_t pos, const void *chars,
                           unsigned width, size_t n)
{
    ckv_pending *p = &doc->pending;
    /* Typing: one ASCII character right behind the last one, into a page that is there. Nothing else can have changed in between. */
    if (n == 1 && width == 1 && p->room && p->kind == CKV_OP_INSERT && p->text == text &&
        pos == (size_t)p->pos + p->n) {
        const uint8_t c = *(const uint8_t *)chars;
        const uint32_t item = doc->log.n_items + p->n;
        if (c < 0x80) {
            ((uint8_t *)doc->log.chars.pages.ptr[item / CKV_CHARS_PAGE]
                 .ptr)[item % CKV_CHARS_PAGE] = c;
            p->n++;
            p->room--;
            return CKV_OK;
        }
    }
    if (pos > ckv_text_len(doc, text)) return CKV_ERANGE;
    if (n == 0) return CKV_OK;
    const uint32_t max = max_char(chars, width, n);
    if (max == UINT32_MAX) return CKV_EVALUE;
    const bool goes_on =
        p->kind == CKV_OP_INSERT && p->text == text && pos == (size_t)p->pos + p->n;
    if (!goes_on) {
        CKV_TRY(ckv_doc_flush(doc));
        if (!ckv_tree_is_live(&doc->tree, &doc->space, &doc->log, text)) return CKV_ESTALE;
    }
    const size_t n_bytes = n * (max < 128 ? 1u : max < 0x800 ? 2u : max < 0x10000 ? 3u : 4u);
    if (doc->open_bytes + p->n + n_bytes + 64 > doc->limits.body_bytes) return CKV_ELIMIT;
    if (doc->log.n_lv - doc->graph.ids.n_lv + p->n + n > CKV_MAX_OPS ||
        doc->log.n_items + p->n + n >= UINT32_MAX / 4)
        return CKV_ELIMIT;
    CKV_TRY(ckv_chars_reserve(&doc->log.chars, doc->log.n_items + p->n, (uint32_t)n, max));
    ckv_chars_write(&doc->log.chars, doc->log.n_items + p->n, (uint32_t)n, chars, width);
    if (!goes_on) *p = (ckv_pending){CKV_OP_INSERT, text, (uint32_t)pos, 0, 0};
    p->n += (uint32_t)n;
    p->room = room_for_typing(doc);
    doc->open_bytes += n_bytes - n; /* the rest is counted with p->n */
    return CKV_OK;
}

ckv_status ckv_text_delete(ckv_doc *doc, uint32_t text, size_t pos, size_t n)
{
    ckv_pending *p = &doc->pending;
    const size_t len = ckv_text_len(doc, text);
    if (pos > len || n > len - pos) return CKV_ERANGE;
    if (n == 0) return CKV_OK;
    const bool same = p->kind == CKV_OP_DELETE && p->text == text &&
                      doc->log.n_lv - doc->graph.ids.n_lv + p->n + n <= CKV_MAX_OPS;
    if (same && pos == p->pos) {
        p->n += (uint32_t)n;
        return CKV_OK;
    }
    if (same && pos + n == p->pos) {
        p->pos = (uint32_t)pos;
        p->n += (uint32_t)n;
        return CKV_OK;
    }
    CKV_TRY(ckv_doc_flush(doc));
    if (!ckv_tree_is_live(&doc->tree, &doc->space, &doc->log, text)) return CKV_ESTALE;
    if (doc->log.n_lv - doc->graph.ids.n_lv + n > CKV_MAX_OPS) return CKV_ELIMIT;
    *p = (ckv_pending){CKV_OP_DELETE, text, (uint32_t)pos, (uint32_t)n, 0};
    return CKV_OK;
}

/* ---- reading */

static ckv_status check_range(ckv_doc *doc, uint32_t text, size_t start, size_t n)
{
    CKV_TRY(ckv_doc_flush(doc));
    const size_t len = ckv_text_len(doc, text);
    return start > len || n > len - start ? CKV_ERANGE : CKV_OK;
}

ckv_status ckv_text_max_char(ckv_doc *doc, uint32_t text, size_t start, size_t n, uint32_t *out)
{
    CKV_TRY(check_range(doc, text, start, n));
    *out = doc->log.chars.max_char;
    if (*out < 128) return CKV_OK; /* nothing but ASCII was ever written */
    ckv_walk p;
    CKV_TRY(ckv_walk_begin(&p, doc, NULL, text, start, n));
    *out = 127;
    for (uint32_t item, m; ckv_walk_next(&p, &item, &m);) {
        const uint32_t max = ckv_chars_max(&doc->log.chars, item, m);
        if (max > *out) *out = max;
    }
    return CKV_OK;
}

ckv_status ckv_text_read(ckv_doc *doc, uint32_t text, size_t start, size_t n, void *out,
                         unsigned width)
{
    CKV_TRY(check_range(doc, text, start, n));
    ckv_walk p;
    CKV_TRY(ckv_walk_begin(&p, doc, NULL, text, start, n));
    size_t done = 0;
    for (uint32_t item, m; ckv_walk_next(&p, &item, &m); done += m) {
        ckv_chars_read(&doc->log.chars, item, m, (uint8_t *)out + done * width, width);
    }
    return CKV_OK;
}

ckv_status ckv_text_chars(ckv_doc *doc, const ckv_view *at, uint32_t text, ckv_buf *out)
{
    ckv_walk p;
    CKV_TRY(ckv_walk_begin(&p, doc, ckv_view_past(at), text, 0, SIZE_MAX));
    for (uint32_t item, n; ckv_walk_next(&p, &item, &n);) {
        if (!ckv_buf_reserve(out, (size_t)n * 4)) return out->status;
        ckv_chars_read(&doc->log.chars, item, n, out->ptr + out->len, 4);
        out->len += (size_t)n * 4;
    }
    return CKV_OK;
}

ckv_status ckv_text_blame(ckv_doc *doc, const ckv_view *at, uint32_t text, ckv_buf *out)
{
    return ckv_text_runs(doc, at, text, SIZE_MAX, out);
}

ckv_status ckv_text_runs(ckv_doc *doc, const ckv_view *at, uint32_t text, size_t n_chars,
                         ckv_buf *out)
{
    const ckv_ids *ids = &doc->graph.ids;
    ckv_walk p;
    CKV_TRY(ckv_walk_begin(&p, doc, ckv_view_past(at), text, 0, n_chars));
    size_t pos = 0;
    ckv_blame_run run = {0, 0, CKV_NO_CHANGE};
    for (uint32_t item, n; ckv_walk_next(&p, &item, &n);) {
        while (n) {
            const bool open = item >= ids->n_items;
            const uint32_t c = open ? CKV_NO_CHANGE : ckv_ids_change_of_item(ids, item);
            const uint32_t end = open ? item + n : ckv_ids_item(ids, c + 1);
            const uint32_t m = end - item < n ? end - item : n;
            if (c != run.change) {
                if (run.end > run.start) ckv_buf_bytes(out, &run, sizeof run);
                run = (ckv_blame_run){pos, pos, c};
            }
            run.end = pos += m;
            item += m, n -= m;
        }
    }
    if (run.end > run.start) ckv_buf_bytes(out, &run, sizeof run);
    return out->status;
}
