#include "ds/runs.h"

/* ---- streams */

#define ENDED UINT64_MAX /* both ends of a run that says: no more */

ckv_runs_mix ckv_runs_mix_init(ckv_runs_how how, ckv_runs_stream a, ckv_runs_stream b)
{
    return (ckv_runs_mix){.how = how, .a = a, .b = b};
}

/* Something to look at, or the end. */
static void refill(ckv_runs_stream *s, ckv_run *at)
{
    if (at->start != at->end || at->start == ENDED) return;
    if (s->next(s->ctx, at))
        CKV_ASSERT(at->start < at->end);
    else
        *at = (ckv_run){ENDED, ENDED};
}

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* What is before `to` has been dealt with. */
static void drop(ckv_run *at, uint64_t to)
{
    if (to > at->start) at->start = smaller(to, at->end);
}

/* The next piece of a union may overlap the last one. */
static bool next_piece(ckv_runs_mix *m, ckv_run *out)
{
    for (;;) {
        refill(&m->a, &m->at_a);
        refill(&m->b, &m->at_b);
        ckv_run *a = &m->at_a, *b = &m->at_b;
        const uint64_t end = smaller(a->end, b->end);
        switch (m->how) {
        case CKV_RUNS_UNION: {
            ckv_run *first = a->start <= b->start ? a : b;
            *out = *first;
            if (out->start == ENDED) return false;
            first->start = first->end;
            return true;
        }
        case CKV_RUNS_MINUS:
            if (a->start == ENDED) return false;
            if (a->start < b->start) {
                *out = (ckv_run){a->start, smaller(a->end, b->start)};
                a->start = out->end;
                return true;
            }
            drop(a, b->end);
            if (b->end <= a->start) b->start = b->end;
            break;
        case CKV_RUNS_BOTH:
            if (a->start == ENDED || b->start == ENDED) return false;
            *out = (ckv_run){a->start > b->start ? a->start : b->start, end};
            drop(a, end);
            drop(b, end);
            if (out->start < out->end) return true;
            break;
        }
    }
}

bool ckv_runs_mix_next(ckv_runs_mix *m, ckv_run *out)
{
    ckv_run piece;
    while (next_piece(m, &piece)) {
        const bool first = m->held.start == m->held.end;
        if (!first && piece.start <= m->held.end) {
            if (piece.end > m->held.end) m->held.end = piece.end;
            continue;
        }
        *out = m->held;
        m->held = piece;
        if (!first) return true;
    }
    *out = m->held;
    m->held.start = m->held.end;
    return out->start < out->end;
}

static bool next_of_mix(void *ctx, ckv_run *out) { return ckv_runs_mix_next(ctx, out); }
ckv_runs_stream ckv_runs_mix_stream(ckv_runs_mix *m) { return (ckv_runs_stream){next_of_mix, m}; }

/* ---- in memory */

ckv_status ckv_runs_append(ckv_runs *r, uint64_t start, uint64_t end)
{
    ckv_run *last = ckv_runs_last(r);
    CKV_ASSERT(start < end && (!last || last->end <= start));
    if (last && last->end == start) {
        last->end = end;
        return CKV_OK;
    }
    return ckv_runs_push(r, (ckv_run){start, end});
}

bool ckv_runs_has(const ckv_runs *r, uint64_t value)
{
    size_t lo = 0,
           hi = r->len; /* all before lo end at or before the value, those from hi on do not */
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (r->ptr[mid].end <= value)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < r->len && r->ptr[lo].start <= value;
}

uint64_t ckv_runs_count(const ckv_runs *r)
{
    uint64_t n = 0;
    for (size_t i = 0; i < r->len; i++) n += r->ptr[i].end - r->ptr[i].start;
    return n;
}

ckv_status ckv_runs_collect(ckv_runs *out, ckv_runs_stream s)
{
    ckv_run run;
    ckv_status st = CKV_OK;
    CKV_ASSERT(out->len == 0);
    while (st == CKV_OK && s.next(s.ctx, &run)) st = ckv_runs_append(out, run.start, run.end);
    if (st != CKV_OK) out->len = 0;
    return st;
}

ckv_status ckv_runs_mixed(ckv_runs *out, ckv_runs_how how, const ckv_runs *a, const ckv_runs *b)
{
    ckv_runs_walk x = ckv_runs_walk_init(a), y = ckv_runs_walk_init(b);
    ckv_runs_mix m = ckv_runs_mix_init(how, ckv_runs_walk_stream(&x), ckv_runs_walk_stream(&y));
    return ckv_runs_collect(out, ckv_runs_mix_stream(&m));
}

ckv_runs_walk ckv_runs_walk_init(const ckv_runs *r)
{
    return (ckv_runs_walk){r->ptr, r->len ? r->ptr + r->len : r->ptr};
}

bool ckv_runs_walk_next(ckv_runs_walk *w, ckv_run *out)
{
    if (w->at == w->end) return false;
    *out = *w->at++;
    return true;
}

static bool next_of_walk(void *ctx, ckv_run *out) { return ckv_runs_walk_next(ctx, out); }
ckv_runs_stream ckv_runs_walk_stream(ckv_runs_walk *w)
{
    return (ckv_runs_stream){next_of_walk, w};
}

bool ckv_runs_check(const ckv_runs *r, const char **why)
{
    for (size_t i = 0; i < r->len; i++) {
        *why = "I1: a run is empty";
        if (r->ptr[i].start >= r->ptr[i].end) return false;
        *why = "I1: runs touch or do not ascend";
        if (i && r->ptr[i - 1].end >= r->ptr[i].start) return false;
    }
    *why = NULL;
    return true;
}

/* ---- items
 *
 *     | gap, 0 |                           one number
 *     | gap, 1 | m |                       m + 1 of them
 *     | gap, 1 | 0 | n | n bytes |         a bitmap
 *      \ head /
 *
 * The runs that lie inside one window of 2^16 numbers are all in one bitmap if that is shorter, else all items. So it is decided at the
 * end of each window, and nothing but the window is ever looked at again. */

#define WINDOW(number) ((number) >> 16)
#define ROOM           32u /* bytes: enough for an item that is no bitmap, and 8 more */

typedef struct item {
    uint64_t gap, length; /* length: how many numbers; 0: a bitmap */
    const uint8_t *bits;  /* borrowed */
    uint64_t n_bits;      /* bytes */
} item;

/* 1 for up to 7 bits, ... */
static inline size_t varint_size(uint64_t v)
{
    return (size_t)((63 - __builtin_clzll(v | 1)) * 9 + 73) / 64;
}

static size_t head_size(uint64_t gap) { return gap < 64 ? 1 : 1 + varint_size(gap >> 6); }

static size_t item_size(uint64_t gap, uint64_t length)
{
    return head_size(gap) + (length > 1 ? varint_size(length - 1) : 0);
}

/* What a bitmap takes behind its head. */
static size_t bitmap_size(uint64_t first, uint64_t last)
{
    const size_t n = (size_t)(last - first) / 8 + 1;
    return 1 + varint_size(n) + n;
}

static uint64_t load64(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

static inline void store64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) p[i] = (uint8_t)(v >> (8 * i));
}

/* A varint of 8 bytes at most, of 8 that are there, with hardly a branch: its length; 0: it is longer, or not minimal. */
static inline size_t short_varint(const uint8_t *p, uint64_t *v)
{
    uint64_t w = load64(p);
    const uint64_t ends = ~w & UINT64_C(0x8080808080808080);
    if (CKV_UNLIKELY(ends == 0)) return 0;
    const size_t n = ((size_t)__builtin_ctzll(ends) >> 3) + 1;
    if (CKV_UNLIKELY(p[n - 1] == 0) && n > 1) return 0;
    w &= (ends ^ (ends - 1)) & UINT64_C(0x7f7f7f7f7f7f7f7f); /* then groups of 7, 14, 28 bits */
    w = (w & UINT64_C(0x007f007f007f007f)) | (w & UINT64_C(0x7f007f007f007f00)) >> 1;
    w = (w & UINT64_C(0x00003fff00003fff)) | (w & UINT64_C(0x3fff00003fff0000)) >> 2;
    *v = (w & UINT64_C(0x000000000fffffff)) | (w & UINT64_C(0x0fffffff00000000)) >> 4;
    return n;
}

/* Writes 8 bytes, of which so many count. v < 2^56. */
static inline size_t put_short_varint(uint8_t *p, uint64_t v)
{
    const size_t n = varint_size(v);
    uint64_t w = (v & UINT64_C(0x000000000fffffff)) | (v & UINT64_C(0x00fffffff0000000)) << 4;
    w = (w & UINT64_C(0x00003fff00003fff)) | (w & UINT64_C(0x0fffc0000fffc000)) << 2;
    w = (w & UINT64_C(0x007f007f007f007f)) | (w & UINT64_C(0x3f803f803f803f80)) << 1;
    w |= UINT64_C(0x8080808080808080) & ((UINT64_C(1) << (8 * n - 8)) - 1);
    store64(p, w);
    return n;
}

/* The varint of 2 gap + kind, which may have 65 bits. There is room for 8 bytes and the item. */
static inline size_t put_head(uint8_t *p, uint64_t gap, unsigned kind)
{
    if (CKV_LIKELY(gap >> 55 == 0)) return put_short_varint(p, gap << 1 | kind);
    p[0] = (uint8_t)(0x80 | (gap & 63) << 1 | kind);
    return 1 + ckv_varint_put(p + 1, gap >> 6);
}

static inline bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
    const size_t n = CKV_LIKELY(end - *p >= 8) ? short_varint(*p, v) : 0;
    if (CKV_LIKELY(n)) {
        *p += n;
        return true;
    }
    ckv_rd r = ckv_rd_init(*p, (size_t)(end - *p));
    *v = ckv_rd_varint(&r);
    *p = r.p;
    return r.status == CKV_OK;
}

static inline bool read_head(const uint8_t **p, const uint8_t *end, uint64_t *gap, bool *single)
{
    uint64_t v;
    const size_t n = CKV_LIKELY(end - *p >= 8) ? short_varint(*p, &v) : 0;
    if (CKV_LIKELY(n)) {
        *p += n;
        *gap = v >> 1;
        *single = !(v & 1);
        return true;
    }
    const uint8_t c = *(*p)++;
    *gap = (c & 0x7f) >> 1;
    *single = !(c & 1);
    if (!(c & 0x80)) return true;
    if (!read_varint(p, end, &v) || v == 0 || v >> 58) return false; /* not minimal; beyond u64 */
    *gap |= v << 6;
    return true;
}

/* What is behind a head of kind 1. */
static inline bool read_length(const uint8_t **p, const uint8_t *end, item *it)
{
    uint64_t m;
    if (!read_varint(p, end, &m) || m == UINT64_MAX) return false;
    it->length = m + 1;
    if (m) return true;
    if (!read_varint(p, end, &it->n_bits) || it->n_bits > (uint64_t)(end - *p)) return false;
    it->length = 0;
    it->bits = *p;
    *p += it->n_bits;
    return true;
}

/* The item at *p, which is not the end; no byte of it is outside. It may yet break rules. */
static inline bool read_item(const uint8_t **p, const uint8_t *end, item *it)
{
    bool single;
    if (!read_head(p, end, &it->gap, &single)) return false;
    it->length = 1;
    return single || read_length(p, end, it);
}

/* ---- bits */

static void begin_bits(ckv_runs_in *in, const item *it, uint64_t start)
{
    in->bits = it->bits;
    in->bits_end = it->bits + it->n_bits;
    in->base = start - 64; /* before the first word; modulo 2^64 */
    in->word = 0;
}

static inline void next_word(ckv_runs_in *in)
{
    in->base += 64;
    if (CKV_LIKELY(in->bits_end - in->bits >= 8)) {
        in->word = load64(in->bits);
        in->bits += 8;
    } else {
        in->word = 0;
        for (unsigned i = 0; in->bits < in->bits_end; i += 8)
            in->word |= (uint64_t)*in->bits++ << i;
    }
}

static inline bool next_in_bits(ckv_runs_in *in, ckv_run *out)
{
    while (in->word == 0) {
        if (in->bits == in->bits_end) return false;
        next_word(in);
    }
    out->start = in->base + (unsigned)__builtin_ctzll(in->word);
    in->word += in->word & (0 - in->word); /* carries the lowest run to the bit behind it */
    while (in->word == 0) {                /* it goes to the word's end */
        out->end = in->base + 64;
        if (in->bits == in->bits_end) return true;
        next_word(in);
        if (!(in->word & 1)) return true;
        in->word += 1;
    }
    out->end = in->base + (unsigned)__builtin_ctzll(in->word);
    in->word &= in->word - 1;
    return true;
}

/* ---- out */

ckv_runs_out ckv_runs_out_init(ckv_buf *buf) { return (ckv_runs_out){.buf = buf, .at = buf->len}; }

/* Bits in the order in which they are written, a word at a time: the last store may reach 8 bytes too far. */
typedef struct bit_pen {
    uint8_t *p; /* borrowed */
    uint64_t word;
    size_t n; /* bits of the word that are written, < 64 */
} bit_pen;

static inline void next_of_pen(bit_pen *pen)
{
    store64(pen->p, pen->word);
    pen->p += 8;
    pen->word = 0;
}

static inline void put_zeros(bit_pen *pen, size_t n)
{
    for (pen->n += n; pen->n >= 64; pen->n -= 64) next_of_pen(pen);
}

static inline void put_ones(bit_pen *pen, size_t n)
{
    while (CKV_UNLIKELY(pen->n + n >= 64)) {
        pen->word |= ~UINT64_C(0) << pen->n;
        n -= 64 - pen->n;
        pen->n = 0;
        next_of_pen(pen);
    }
    pen->word |= ((UINT64_C(1) << n) - 1) << pen->n;
    pen->n += n;
}

/* Makes a bitmap of the window's items if it is shorter. */
static void close_window(ckv_runs_out *w)
{
    ckv_buf *buf = w->buf;
    const size_t n_items = buf->len - w->items_at, n_bits = (size_t)(w->pos - 1 - w->first) / 8 + 1;
    if (!w->open || buf->status != CKV_OK) return;
    w->open = false;
    if (n_items <= n_bits || n_items <= bitmap_size(w->first, w->pos - 1)) return;
    if (!ckv_buf_reserve(buf, n_bits + 8)) return;
    const uint8_t *p = buf->ptr + w->items_at;
    uint8_t *out = buf->ptr + w->items_at;
    uint8_t *bits = buf->ptr + buf->len; /* behind the items that are read */
    bit_pen pen = {.p = bits};
    item it = {.length = 1};
    bits[0] = 0; /* is looked at, behind a last item of one byte */
    if (buf->ptr[w->head_at] & 1) CKV_MUST(read_length(&p, bits, &it));
    put_ones(&pen, (size_t)it.length);
    while (p < bits) {
        const size_t m = p[1] & (0u - (p[0] & 1u));
        if (CKV_LIKELY(((p[0] | m) & 0x80) == 0)) { /* nearly all: a byte each, without a branch */
            put_zeros(&pen, p[0] >> 1);
            put_ones(&pen, m + 1);
            p += 1 + (p[0] & 1);
        } else {
            CKV_MUST(read_item(&p, bits, &it));
            put_zeros(&pen, (size_t)it.gap);
            put_ones(&pen, (size_t)it.length);
        }
    }
    store64(pen.p, pen.word);
    buf->ptr[w->head_at] |= 1;
    *out++ = 0;
    out += ckv_varint_put(out, n_bits);
    memcpy(out, bits, n_bits); /* shorter than the items: does not reach them */
    buf->len = (size_t)(out - buf->ptr) + n_bits;
}

static void put_run(ckv_runs_out *w)
{
    const uint64_t start = w->run.start, length = w->run.end - start, gap = start - w->pos;
    const bool inside = WINDOW(start) == WINDOW(w->run.end - 1);
    if (CKV_UNLIKELY(length == 0)) return;
    if (!inside || WINDOW(start) != WINDOW(w->first)) close_window(w);
    if (w->buf->cap - w->buf->len < ROOM && !ckv_buf_reserve(w->buf, ROOM)) return;
    if (inside && !w->open) {
        w->open = true;
        w->first = start;
        w->head_at = w->buf->len;
        w->items_at = 0;
    }
    uint8_t *p = w->buf->ptr + w->buf->len;
    size_t n = put_head(p, gap, length > 1);
    if (w->items_at == 0) w->items_at = w->buf->len + n;
    if (CKV_UNLIKELY(length > 128))
        n += ckv_varint_put(p + n, length - 1);
    else {
        p[n] = (uint8_t)(length - 1);
        n += length > 1;
    }
    w->buf->len += n;
    w->pos = w->run.end;
}

void ckv_runs_out_add(ckv_runs_out *w, uint64_t start, uint64_t end)
{
    CKV_ASSERT(w->run.end <= start && start < end);
    if (w->run.end != start) {
        put_run(w);
        w->run.start = start;
    }
    w->run.end = end;
}

void ckv_runs_out_all(ckv_runs_out *w, ckv_runs_stream s)
{
    ckv_run run;
    while (s.next(s.ctx, &run)) ckv_runs_out_add(w, run.start, run.end);
}

void ckv_runs_out_end(ckv_runs_out *w)
{
    ckv_buf *buf = w->buf;
    put_run(w);
    close_window(w);
    const size_t n_bytes = buf->len - w->at, n_len = ckv_varint_size(n_bytes);
    if (!ckv_buf_reserve(buf, n_len)) return;
    memmove(buf->ptr + w->at + n_len, buf->ptr + w->at, n_bytes);
    buf->len += ckv_varint_put(buf->ptr + w->at, n_bytes);
}

/* ---- in */

/* The runs of one window that came so far. */
typedef struct window {
    uint64_t first, last;
    size_t n_items; /* bytes, without the head of the first */
    bool open, is_bits;
} window;

static bool in_shorter_form(const window *w)
{
    return !w->open || w->is_bits || w->n_items <= bitmap_size(w->first, w->last);
}

/* A bitmap that is in its place: as short as can be, of one window, shorter than items. */
static bool bitmap_is_good(const item *it, uint64_t start, uint64_t max, uint64_t *last)
{
    if (it->n_bits == 0 || !(it->bits[0] & 1)) return false;
    const uint8_t top = it->bits[it->n_bits - 1];
    if (top == 0) return false;
    const uint64_t span = 8 * it->n_bits - 1 - (unsigned)(__builtin_clz(top) - 24);
    if (span > max - start || WINDOW(start) != WINDOW(start + span)) return false;
    *last = start + span;
    ckv_runs_in in;
    ckv_run run;
    begin_bits(&in, it, start);
    const size_t n = bitmap_size(start, *last);
    size_t n_items = 0;
    for (uint64_t pos = start; n_items <= n && next_in_bits(&in, &run); pos = run.end) {
        n_items += item_size(run.start - pos, run.end - run.start);
        if (pos == start) n_items--; /* the head, here of no gap, is in both */
    }
    return n_items > n;
}

bool ckv_runs_valid(const uint8_t *p, size_t n_bytes, uint64_t min, uint64_t max)
{
    const uint8_t *end = n_bytes ? p + n_bytes : p;
    uint64_t pos = 0; /* behind the last number; 0: there was none */
    window w = {.open = false};
    if (max > CKV_RUNS_MAX) max = CKV_RUNS_MAX;
    while (p < end) {
        const uint8_t *at = p;
        item it = {.bits = NULL};
        if (!read_item(&p, end, &it)) return false;
        if (pos > max || it.gap > max - pos || (it.gap == 0 && pos)) return false;
        const uint64_t start = pos + it.gap;
        uint64_t last = start + it.length - 1;
        if (start < min || (it.length && it.length - 1 > max - start)) return false;
        if (it.length == 0 && !bitmap_is_good(&it, start, max, &last)) return false;
        const bool inside = WINDOW(start) == WINDOW(last),
                   same = w.open && WINDOW(start) == WINDOW(w.first);
        if (!inside || !same) {
            if (!in_shorter_form(&w)) return false;
            w = (window){.first = start, .open = inside, .is_bits = it.length == 0};
        } else if (w.is_bits || it.length == 0) {
            return false;
        }
        w.n_items += (size_t)(p - at);
        if (inside && !same) w.n_items -= head_size(it.gap);
        w.last = last;
        pos = last + 1;
    }
    return in_shorter_form(&w);
}

ckv_runs_in ckv_runs_in_init(ckv_rd *r, uint64_t min, uint64_t max)
{
    size_t n_bytes;
    const uint8_t *p = ckv_rd_blob(r, &n_bytes);
    if (n_bytes == 0) return (ckv_runs_in){.pos = 0};
    if (!ckv_runs_valid(p, n_bytes, min, max)) {
        ckv_rd_fail(r, CKV_ECORRUPT);
        return (ckv_runs_in){.pos = 0};
    }
    return (ckv_runs_in){.p = p, .end = p + n_bytes};
}

bool ckv_runs_in_next(ckv_runs_in *in, ckv_run *out)
{
    item it = {.bits = NULL};
    if (in->word || in->bits < in->bits_end) {
        CKV_MUST(next_in_bits(in, out)); /* the last byte is not 0 */
        in->pos = out->end;
        return true;
    }
    if (in->p == in->end) return false;
    CKV_MUST(read_item(&in->p, in->end, &it)); /* it is valid */
    out->start = in->pos + it.gap;
    out->end = out->start + it.length;
    if (it.length == 0) {
        begin_bits(in, &it, out->start);
        CKV_MUST(next_in_bits(in, out));
    }
    in->pos = out->end;
    return true;
}

static bool next_of_in(void *ctx, ckv_run *out) { return ckv_runs_in_next(ctx, out); }
ckv_runs_stream ckv_runs_in_stream(ckv_runs_in *in) { return (ckv_runs_stream){next_of_in, in}; }

void ckv_runs_read(ckv_runs *out, ckv_rd *r, uint64_t min, uint64_t max)
{
    ckv_runs_in in = ckv_runs_in_init(r, min, max);
    const ckv_status s = ckv_runs_collect(out, ckv_runs_in_stream(&in));
    if (s != CKV_OK) ckv_rd_fail(r, s);
}
