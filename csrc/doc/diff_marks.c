#include "doc/diff.h"
#include "doc/mark.h"

typedef struct
    segment { /* characters [b, b + n) of version b; a: where they stood at a, UINT32_MAX if they did not */
    uint32_t b, a, n;
} segment;
CKV_VEC(segments, segment);

typedef struct renamed { /* a name whose value differs */
    uint32_t name, old, new;
} renamed;
CKV_VEC(renameds, renamed);

typedef struct sweep { /* the stretches over one character after the other */
    ckv_stretches v;
    size_t next;      /* the first that was not reached */
    ckv_u32s active;  /* indexes of those over the character at hand, ascending */
    ckv_hmap by_name; /* name -> index of its active stretch */
} sweep;

typedef struct marking {
    ckv_differ *d;
    sweep old, new;
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

/* Goes on to the character `at`; *n: at most so far everything stays. */
static ckv_status sweep_to(sweep *w, uint32_t at, uint32_t *n)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->active.len; i++) {
        const uint32_t k = w->active.ptr[i];
        if (w->v.ptr[k].end > at)
            w->active.ptr[kept++] = k;
        else
            ckv_hmap_remove(&w->by_name, w->v.ptr[k].name, k);
    }
    w->active.len = kept;
    for (; w->next < w->v.len && w->v.ptr[w->next].start <= at; w->next++) {
        const ckv_stretch *x = &w->v.ptr[w->next];
        if (x->end <= at) continue;
        CKV_TRY(ckv_hmap_reserve(&w->by_name, 1));
        CKV_TRY(ckv_u32s_push(&w->active, (uint32_t)w->next));
        ckv_hmap_set(&w->by_name, x->name, (uint32_t)w->next);
    }
    if (w->next < w->v.len && w->v.ptr[w->next].start - at < *n) *n = w->v.ptr[w->next].start - at;
    for (size_t i = 0; i < w->active.len; i++) {
        const uint32_t left = w->v.ptr[w->active.ptr[i]].end - at;
        if (left < *n) *n = left;
    }
    return CKV_OK;
}

/* The value of a name at the character at hand. */
static uint32_t value_of(const sweep *w, uint32_t name)
{
    const uint32_t i = ckv_hmap_get(&w->by_name, name);
    return i == CKV_HMAP_NONE ? CKV_NO_VALUE : w->v.ptr[i].value_off;
}

/* The names at hand: those over the character at a, if it was there, then those that are over it at b only. */
static ckv_status differ_here(marking *m, bool was_there)
{
    const ckv_oplog *log = &m->d->doc->log;
    m->now.len = 0;
    for (size_t i = 0; was_there && i < m->old.active.len; i++) {
        const ckv_stretch *x = &m->old.v.ptr[m->old.active.ptr[i]];
        const uint32_t new = value_of(&m->new, x->name);
        if (!ckv_values_equal(log, x->value_off, new))
            CKV_TRY(renameds_push(&m->now, (renamed){x->name, x->value_off, new}));
    }
    for (size_t i = 0; i < m->new.active.len; i++) {
        const ckv_stretch *x = &m->new.v.ptr[m->new.active.ptr[i]];
        if (was_there && value_of(&m->old, x->name) != CKV_NO_VALUE)
            continue; /* seen among the old ones */
        CKV_TRY(renameds_push(&m->now, (renamed){x->name, CKV_NO_VALUE, x->value_off}));
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
        CKV_TRY(sweep_to(&m->new, b, &n));
        if (a != UINT32_MAX) CKV_TRY(sweep_to(&m->old, a, &n));
        CKV_TRY(differ_here(m, a != UINT32_MAX));
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
    marking m = {.d = d,
                 .old = {.v = {.a = a}, .active = {.a = a}, .by_name = ckv_hmap_init(a, 1)},
                 .new = {.v = {.a = a}, .active = {.a = a}, .by_name = ckv_hmap_init(a, 1)},
                 .segments = {.a = a},
                 .now = {.a = a},
                 .last = {.a = a}};
    uint32_t len = 0;
    ckv_status s = ckv_text_stretches(d->doc, d->a, d->container, &m.old.v);
    if (s == CKV_OK) s = ckv_text_stretches(d->doc, d->b, d->container, &m.new.v);
    uint32_t inserted = 0; /* behind the last stretch and the last piece nothing can differ */
    for (size_t i = 0; i < d->flips.len; i++) {
        const ckv_flip *p = &d->flips.ptr[i];
        if (!p->old) inserted += p->n;
        if (p->pos + p->n > len) len = p->pos + p->n;
    }
    for (size_t i = 0; i < m.new.v.len; i++)
        len = m.new.v.ptr[i].end > len ? m.new.v.ptr[i].end : len;
    for (size_t i = 0; i < m.old.v.len; i++) {
        const uint32_t end = m.old.v.ptr[i].end + inserted;
        len = end > len ? end : len;
    }
    if (s == CKV_OK && m.old.v.len + m.new.v.len) s = cut(&m, len);
    for (size_t i = 0; i < m.segments.len && s == CKV_OK; i++) s = compare(&m, &m.segments.ptr[i]);
    if (s == CKV_OK) s = put_last(&m);
    sweep *const both[2] = {&m.old, &m.new};
    for (int i = 0; i < 2; i++) {
        ckv_stretches_fini(&both[i]->v);
        ckv_u32s_fini(&both[i]->active);
        ckv_hmap_fini(&both[i]->by_name);
    }
    segments_fini(&m.segments);
    renameds_fini(&m.now);
    renameds_fini(&m.last);
    return s;
}
