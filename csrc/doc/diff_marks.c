#include "doc/diff.h"
#include "doc/mark.h"

typedef struct segment { /* characters [b, b + n) of version b; a: where they stood at a, UINT32_MAX if they did not */
    uint32_t b, a, n;
} segment;
CKV_VEC(segments, segment);

typedef struct renamed { /* a name whose value differs */
    uint32_t name, old, new;
} renamed;
CKV_VEC(renameds, renamed);

typedef struct marking {
    ckv_differ *d;
    ckv_stretches old, new;
    segments segments;
    renameds now, last; /* what differs here, and in [start, end), which is not written yet */
    uint32_t start, end;
} marking;

static ckv_status cut(marking *m, uint32_t len)
{
    uint32_t a = 0, b = 0;
    const ckv_flips *p = &m->d->flips;
    for (size_t i = 0; i <= p->len; i++) {
        const uint32_t pos = i < p->len ? p->ptr[i].pos : len;
        if (pos > b) CKV_TRY(segments_push(&m->segments, (segment){b, a, pos - b}));
        a += pos - b;
        b = pos;
        if (i == p->len) break;
        if (p->ptr[i].old) {
            a += p->ptr[i].n;
        } else {
            CKV_TRY(segments_push(&m->segments, (segment){b, UINT32_MAX, p->ptr[i].n}));
            b += p->ptr[i].n;
        }
    }
    return CKV_OK;
}

/* The value of a name at a character; *until: up to there it stays. */
static uint32_t value_at(const ckv_stretches *v, uint32_t name, uint32_t at)
{
    for (size_t i = 0; i < v->len && v->ptr[i].start <= at; i++) {
        if (v->ptr[i].name == name && at < v->ptr[i].end) return v->ptr[i].value_off;
    }
    return CKV_NO_VALUE;
}

static void next_bound(const ckv_stretches *v, uint32_t at, uint32_t *n)
{
    for (size_t i = 0; i < v->len; i++) {
        const uint32_t x[2] = {v->ptr[i].start, v->ptr[i].end};
        for (int k = 0; k < 2; k++) {
            if (x[k] > at && x[k] - at < *n) *n = x[k] - at;
        }
    }
}

static ckv_status differ_by(marking *m, const ckv_stretches *v, uint32_t at, uint32_t a, uint32_t b)
{
    const ckv_oplog *log = &m->d->doc->log;
    for (size_t i = 0; i < v->len && v->ptr[i].start <= at; i++) {
        if (at >= v->ptr[i].end) continue;
        const uint32_t name = v->ptr[i].name,
                       old = a == UINT32_MAX ? CKV_NO_VALUE : value_at(&m->old, name, a),
                       new = value_at(&m->new, name, b);
        if (v == &m->new && old != CKV_NO_VALUE) continue; /* seen among the old ones */
        if (!ckv_values_equal(log, old, new))
            CKV_TRY(renameds_push(&m->now, (renamed){name, old, new}));
    }
    return CKV_OK;
}

static bool same_names(const marking *m)
{
    const ckv_oplog *log = &m->d->doc->log;
    if (m->now.len != m->last.len) return false;
    for (size_t i = 0; i < m->now.len; i++) {
        const renamed *x = &m->now.ptr[i], *y = &m->last.ptr[i];
        if (x->name != y->name || !ckv_values_equal(log, x->old, y->old) ||
            !ckv_values_equal(log, x->new, y->new))
            return false;
    }
    return true;
}

static ckv_status put_names(marking *m, bool old)
{
    const ckv_oplog *log = &m->d->doc->log;
    uint64_t n = 0;
    for (size_t i = 0; i < m->last.len; i++)
        n += (old ? m->last.ptr[i].old : m->last.ptr[i].new) != CKV_NO_VALUE;
    ckv_buf_u8(m->d->out, CKV_TAG_MAP);
    ckv_buf_varint(m->d->out, n);
    for (size_t i = 0; i < m->last.len; i++) {
        const uint32_t off = old ? m->last.ptr[i].old : m->last.ptr[i].new;
        if (off == CKV_NO_VALUE) continue;
        const ckv_value v = ckv_oplog_value(log, off);
        CKV_TRY(ckv_plain_out_key(m->d->plain, m->last.ptr[i].name));
        CKV_TRY(ckv_plain_out_value(m->d->plain, &v));
    }
    return m->d->out->status;
}

static ckv_status put_last(marking *m)
{
    if (m->last.len == 0) return CKV_OK;
    CKV_TRY(ckv_diff_put(m->d, CKV_PATCH_TEXT_MARK));
    ckv_buf_varint(m->d->out, m->start);
    ckv_buf_varint(m->d->out, m->end);
    CKV_TRY(put_names(m, true));
    return put_names(m, false);
}

static ckv_status compare(marking *m, const segment *s)
{
    for (uint32_t done = 0; done < s->n;) {
        uint32_t n = s->n - done;
        const uint32_t b = s->b + done, a = s->a == UINT32_MAX ? UINT32_MAX : s->a + done;
        next_bound(&m->new, b, &n);
        if (a != UINT32_MAX) next_bound(&m->old, a, &n);
        m->now.len = 0;
        if (a != UINT32_MAX) CKV_TRY(differ_by(m, &m->old, a, a, b));
        CKV_TRY(differ_by(m, &m->new, b, a, b));
        if (m->last.len && m->end == b && same_names(m)) {
            m->end += n;
        } else {
            CKV_TRY(put_last(m));
            const renameds swap = m->last;
            m->last = m->now;
            m->now = swap;
            m->start = b;
            m->end = b + n;
        }
        done += n;
    }
    return CKV_OK;
}

ckv_status ckv_diff_marks(ckv_differ *d)
{
    const ckv_alloc a = d->doc->env.alloc;
    marking m = {d, {.a = a}, {.a = a}, {.a = a}, {.a = a}, {.a = a}, 0, 0};
    uint32_t len = 0;
    ckv_status s = ckv_text_stretches(d->doc, d->a, d->container, &m.old);
    if (s == CKV_OK) s = ckv_text_stretches(d->doc, d->b, d->container, &m.new);
    uint32_t inserted = 0; /* behind the last stretch and the last piece nothing can differ */
    for (size_t i = 0; i < d->flips.len; i++) {
        const ckv_flip *p = &d->flips.ptr[i];
        if (!p->old) inserted += p->n;
        if (p->pos + p->n > len) len = p->pos + p->n;
    }
    for (size_t i = 0; i < m.new.len; i++) len = m.new.ptr[i].end > len ? m.new.ptr[i].end : len;
    for (size_t i = 0; i < m.old.len; i++) {
        const uint32_t end = m.old.ptr[i].end + inserted;
        len = end > len ? end : len;
    }
    if (s == CKV_OK && m.old.len + m.new.len) s = cut(&m, len);
    for (size_t i = 0; i < m.segments.len && s == CKV_OK; i++) s = compare(&m, &m.segments.ptr[i]);
    if (s == CKV_OK) s = put_last(&m);
    ckv_stretches_fini(&m.old);
    ckv_stretches_fini(&m.new);
    segments_fini(&m.segments);
    renameds_fini(&m.now);
    renameds_fini(&m.last);
    return s;
}
