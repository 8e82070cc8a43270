/* merge.c -- op sets into one: the union of what they cover and of what is dead. Associative, commutative, idempotent, to the byte. */
#include <stdlib.h>

#include "kv/exchange.h"
#include "kv/opset.h"

typedef struct raw_row { /* as it lies in a message, without its gap */
    uint64_t hlc;
    const uint8_t *ptr;
    size_t n_bytes;
} raw_row;
CKV_VEC(raw_rows, raw_row);
CKV_VEC(opset_parts, ckv_opset_part);

static int compare(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b)
{
    const int order = memcmp(a, b, n_a < n_b ? n_a : n_b);
    return order ? order : n_a < n_b ? -1 : n_a > n_b;
}

static int by_id(const void *a, const void *b)
{
    const ckv_bytes p = ((const ckv_opset_part *)a)->id, q = ((const ckv_opset_part *)b)->id;
    return compare(p.ptr, p.n_bytes, q.ptr, q.n_bytes);
}

/* Two stores that made different rows under one dot have broken their word; the order of the bytes keeps the merge commutative. */
static int by_dot(const void *a, const void *b)
{
    const raw_row *p = a, *q = b;
    if (p->hlc != q->hlc) return p->hlc < q->hlc ? -1 : 1;
    return compare(p->ptr, p->n_bytes, q->ptr, q->n_bytes);
}

/* a = a or b; b is empty then. */
static ckv_status join(ckv_runs *a, ckv_runs *b)
{
    ckv_runs both = {.a = a->a};
    const ckv_status status = ckv_runs_mixed(&both, CKV_RUNS_UNION, a, b);
    ckv_runs_fini(b);
    ckv_runs_fini(status == CKV_OK ? a : &both);
    if (status == CKV_OK) *a = both;
    return status;
}

/* A union of many: a stack of sets, each of more runs than the next one, so that no run is copied more often than the logarithm of their number. */
#define DEEP 64
typedef struct pile {
    ckv_runs sets[DEEP];
    size_t n;
} pile;

/* The last two become one. */
static ckv_status fold(pile *p)
{
    p->n--;
    return join(&p->sets[p->n - 1], &p->sets[p->n]);
}

/* *more is empty then. */
static ckv_status pile_up(pile *p, ckv_runs *more)
{
    p->sets[p->n++] = *more;
    *more = (ckv_runs){.a = more->a};
    while (p->n > 1 && p->sets[p->n - 2].len / 2 <= p->sets[p->n - 1].len) CKV_TRY(fold(p));
    return CKV_OK;
}

static ckv_status fold_all(pile *p)
{
    while (p->n > 1) CKV_TRY(fold(p));
    return CKV_OK;
}

static void pile_fini(pile *p)
{
    for (size_t i = 0; i < p->n; i++) ckv_runs_fini(&p->sets[i]);
}

typedef struct merged { /* one incarnation */
    pile covered, dead; /* at least one set in each, when all are folded */
    raw_rows rows;
} merged;

static merged merged_init(ckv_alloc a) { return (merged){.rows = {.a = a}}; }

static void merged_fini(merged *m)
{
    pile_fini(&m->covered);
    pile_fini(&m->dead);
    raw_rows_fini(&m->rows);
}

/* Dots that a part covers without a row; its rows are those from `first` on. */
static ckv_status silent(ckv_runs *out, const ckv_opset_part *p, const raw_rows *rows, size_t first)
{
    ckv_runs live = {.a = out->a};
    ckv_status status = CKV_OK;
    for (size_t i = first; i < rows->len && status == CKV_OK; i++)
        status = ckv_runs_append(&live, rows->ptr[i].hlc, rows->ptr[i].hlc + 1);
    if (status == CKV_OK) {
        ckv_runs_in covered = p->covered;
        ckv_runs_walk walk = ckv_runs_walk_init(&live);
        ckv_runs_mix mix = ckv_runs_mix_init(CKV_RUNS_MINUS, ckv_runs_in_stream(&covered),
                                             ckv_runs_walk_stream(&walk));
        status = ckv_runs_collect(out, ckv_runs_mix_stream(&mix));
    }
    ckv_runs_fini(&live);
    return status;
}

static ckv_status add(merged *m, const ckv_opset_part *p)
{
    const ckv_alloc a = m->rows.a;
    CKV_TRY(raw_rows_reserve(&m->rows, p->n_rows));
    const size_t first = m->rows.len;
    ckv_rd r = p->rows;
    uint64_t before = 0;
    for (size_t i = 0; i < p->n_rows; i++) {
        const ckv_row row = ckv_row_believe(&r, before);
        const uint8_t *head = row.key.ptr - ckv_varint_size((uint64_t)row.key.n_bytes << 1);
        raw_rows_put(&m->rows, (raw_row){row.hlc, head, (size_t)(r.p - head)});
        before = row.hlc;
    }
    ckv_runs more = {.a = a};
    ckv_runs_in covered = p->covered, dead = p->dead;
    ckv_status status = ckv_runs_collect(&more, ckv_runs_in_stream(&covered));
    if (status == CKV_OK) status = pile_up(&m->covered, &more);
    if (status == CKV_OK) status = ckv_runs_collect(&more, ckv_runs_in_stream(&dead));
    if (status == CKV_OK) status = pile_up(&m->dead, &more);
    if (status == CKV_OK) status = silent(&more, p, &m->rows, first);
    if (status == CKV_OK) status = pile_up(&m->dead, &more);
    ckv_runs_fini(&more);
    return status;
}

static ckv_status write(ckv_buf *out, ckv_bytes id, merged *m)
{
    CKV_TRY(fold_all(&m->covered));
    CKV_TRY(fold_all(&m->dead));
    const ckv_runs *all_covered = &m->covered.sets[0], *all_dead = &m->dead.sets[0];
    if (m->rows.len) qsort(m->rows.ptr, m->rows.len, sizeof *m->rows.ptr, by_dot);
    size_t n = 0;
    for (size_t i = 0; i < m->rows.len; i++) {
        const raw_row row = m->rows.ptr[i];
        if ((n == 0 || m->rows.ptr[n - 1].hlc != row.hlc) && !ckv_runs_has(all_dead, row.hlc))
            m->rows.ptr[n++] = row;
    }
    ckv_buf_blob(out, id.ptr, id.n_bytes);
    ckv_runs_walk covered = ckv_runs_walk_init(all_covered), dead = ckv_runs_walk_init(all_dead);
    ckv_runs_out w = ckv_runs_out_init(out);
    ckv_runs_out_all(&w, ckv_runs_walk_stream(&covered));
    ckv_runs_out_end(&w);
    covered = ckv_runs_walk_init(all_covered);
    ckv_runs_mix mix = ckv_runs_mix_init(CKV_RUNS_MINUS, ckv_runs_walk_stream(&dead),
                                         ckv_runs_walk_stream(&covered));
    w = ckv_runs_out_init(out);
    ckv_runs_out_all(&w, ckv_runs_mix_stream(&mix));
    ckv_runs_out_end(&w);
    ckv_buf_varint(out, n);
    uint64_t before = 0;
    for (size_t i = 0; i < n; before = m->rows.ptr[i++].hlc) {
        ckv_buf_varint(out, m->rows.ptr[i].hlc - before - 1);
        ckv_buf_bytes(out, m->rows.ptr[i].ptr, m->rows.ptr[i].n_bytes);
    }
    return CKV_OK;
}

static ckv_status read_all(opset_parts *parts, const ckv_bytes *opsets, size_t n, ckv_err *err)
{
    for (size_t i = 0; i < n; i++) {
        ckv_rd r;
        uint64_t last;
        CKV_TRY(ckv_opset_open(opsets[i], parts->a, &r, &last, err));
        ckv_bytes last_id = {NULL, 0};
        while (ckv_rd_left(&r)) {
            const ckv_opset_part p = ckv_opset_next(&r, &last_id);
            CKV_TRY(opset_parts_push(parts, p));
            for (size_t k = 0; k < p.n_rows; k++) ckv_row_believe(&r, 0);
        }
    }
    return CKV_OK;
}

ckv_status ckv_opset_merge(const ckv_bytes *opsets, size_t n, ckv_buf *out, ckv_err *err)
{
    opset_parts parts = {.a = out->a};
    ckv_status status = read_all(&parts, opsets, n, err);
    if (status == CKV_OK && parts.len) qsort(parts.ptr, parts.len, sizeof *parts.ptr, by_id);
    const size_t begin = ckv_message_begin(out, CKV_MESSAGE_OPSET);
    for (size_t i = 0; i < parts.len && status == CKV_OK;) {
        const ckv_bytes id = parts.ptr[i].id;
        merged m = merged_init(out->a);
        do status = add(&m, &parts.ptr[i]);
        while (status == CKV_OK && ++i < parts.len && by_id(&parts.ptr[i - 1], &parts.ptr[i]) == 0);
        if (status == CKV_OK) status = write(out, id, &m);
        merged_fini(&m);
    }
    opset_parts_fini(&parts);
    ckv_message_end(out, begin);
    return status == CKV_OK ? out->status : status;
}
