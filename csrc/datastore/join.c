/* join.c -- what is left of two lists of operations on one key. The whole CRDT is here: an operation supersedes every one on its key in its causal past, within its DAG; names reach
 * into other DAGs; a counter's operations supersede those of their own lane.
 */
#include "datastore/state.h"
#include "ds/sort.h"

typedef struct judged {
    ckv_rec rec;
    bool dead;
} judged;
CKV_VEC(judged_vec, judged);

/* Of two records that stand for one operation of a counter: a PART before the operation itself, then the PART that is greatest in the total order. */
static bool restates(const ckv_datastore *d, const ckv_rec *x, const ckv_rec *y)
{
    if (x->kind != CKV_REC_PART) return false;
    if (y->kind != CKV_REC_PART) return true;
    return ckv_doc_order(ckv_ds_dag(d, x->dag)->doc, x->by_change, x->by_index, y->by_change,
                         y->by_index) > 0;
}

/* Does x supersede y? */
static ckv_status supersedes(const ckv_datastore *d, const ckv_rec *x, const ckv_rec *y, bool *out)
{
    *out = false;
    if (x->dag != y->dag || x->kind == CKV_REC_NAME || y->kind == CKV_REC_NAME) return CKV_OK;
    ckv_dag *dag = ckv_ds_dag(d, x->dag);
    if (x->change < y->change) return CKV_OK; /* numbers ascend from cause to effect */
    if (x->kind == CKV_REC_COUNT || x->kind == CKV_REC_PART) {
        const ckv_standing a = ckv_doc_standing(dag->doc, x->change),
                           b = ckv_doc_standing(dag->doc, y->change);
        if (a.lane != b.lane) return CKV_OK;
    }
    if (x->change == y->change) {
        *out = x->index != y->index ? x->index > y->index : restates(d, x, y);
        return CKV_OK;
    }
    if (y->change < ckv_doc_all_below(dag->doc, x->change)) {
        *out = true;
        return CKV_OK;
    }
    return ckv_doc_is_past(dag->doc, y->change, x->change, out);
}

static ckv_status read_all(const ckv_datastore *d, ckv_entry_bytes e, judged_vec *out)
{
    ckv_entry_rd rd = ckv_entry_rd_init(e);
    judged j = {.dead = false};
    while (ckv_entry_next(&rd, &j.rec)) {
        if (j.rec.dag >= d->dags.len || !ckv_ds_dag(d, j.rec.dag)->doc) continue; /* purged */
        if (j.rec.change >= ckv_doc_n_changes(ckv_ds_dag(d, j.rec.dag)->doc) ||
            j.rec.by_change >= ckv_doc_n_changes(ckv_ds_dag(d, j.rec.dag)->doc))
            return CKV_ECORRUPT;
        CKV_TRY(judged_vec_push(out, j));
    }
    return rd.r.status;
}

/* The operations among them; names neither supersede anything of their own DAG nor are superseded, and there may be very many. */
static ckv_status operations(const judged_vec *of, ckv_u32s *out)
{
    for (size_t i = 0; i < of->len; i++)
        if (of->ptr[i].rec.kind != CKV_REC_NAME) CKV_TRY(ckv_u32s_push(out, (uint32_t)i));
    return CKV_OK;
}

/* Marks in each list what the other supersedes. */
static ckv_status cross(const ckv_datastore *d, judged_vec *x, judged_vec *y)
{
    ckv_u32s a = {.a = x->a}, b = {.a = x->a};
    ckv_status s = operations(x, &a);
    if (s == CKV_OK) s = operations(y, &b);
    for (size_t i = 0; i < a.len && s == CKV_OK; i++) {
        judged *p = &x->ptr[a.ptr[i]];
        for (size_t k = 0; k < b.len && s == CKV_OK; k++) {
            judged *q = &y->ptr[b.ptr[k]];
            if (!q->dead) s = supersedes(d, &p->rec, &q->rec, &q->dead);
            if (s == CKV_OK && !p->dead) s = supersedes(d, &q->rec, &p->rec, &p->dead);
        }
    }
    ckv_u32s_fini(&a);
    ckv_u32s_fini(&b);
    return s;
}

/* One operation that has seen everything there is: nearly always. */
static bool covers_all(const ckv_datastore *d, ckv_entry_bytes later, ckv_entry_bytes former)
{
    ckv_entry_rd a = ckv_entry_rd_init(later), b = ckv_entry_rd_init(former);
    ckv_rec x, y;
    if (!ckv_entry_next(&a, &x) || a.r.p != a.r.end || x.kind > CKV_REC_DELETE ||
        x.dag >= d->dags.len)
        return false;
    const ckv_dag *dag = ckv_ds_dag(d, x.dag);
    if (!dag->doc || x.change >= ckv_doc_n_changes(dag->doc)) return false;
    const uint32_t below = ckv_doc_all_below(dag->doc, x.change);
    while (ckv_entry_next(&b, &y)) {
        if (y.dag != x.dag || y.kind > CKV_REC_DELETE) return false;
        if (y.change == x.change ? y.index >= x.index : y.change >= below) return false;
    }
    return b.r.status == CKV_OK;
}

ckv_status ckv_ds_join(void *ctx, ckv_entry_bytes a, ckv_entry_bytes b, ckv_buf *out)
{
    const ckv_datastore *d = ctx;
    if (covers_all(d, b, a)) {
        ckv_buf_bytes(out, b.ptr, b.n_bytes);
        return out->status;
    }
    if (covers_all(d, a, b)) {
        ckv_buf_bytes(out, a.ptr, a.n_bytes);
        return out->status;
    }
    judged_vec x = {.a = ckv_ds_alloc(d)}, y = {.a = ckv_ds_alloc(d)};
    ckv_status s = read_all(d, a, &x);
    if (s == CKV_OK) s = read_all(d, b, &y);
    if (s == CKV_OK) s = cross(d, &x, &y);
    for (size_t i = 0, k = 0; s == CKV_OK && (i < x.len || k < y.len);) {
        const int order = i == x.len   ? 1
                          : k == y.len ? -1
                                       : ckv_rec_compare(&x.ptr[i].rec, &y.ptr[k].rec);
        const judged *j = order <= 0 ? &x.ptr[i] : &y.ptr[k];
        if (!j->dead) ckv_buf_bytes(out, j->rec.start, (size_t)(j->rec.end - j->rec.start));
        i += order <= 0;
        k += order >= 0;
        s = out->status;
    }
    judged_vec_fini(&x);
    judged_vec_fini(&y);
    return s;
}

/* ---- reading */

enum {
    MANY_PUTS = 16
}; /* to look through all names for each of them takes longer than to sort the names */

static int name_order(const ckv_rec *name, const uint8_t *target, uint32_t index)
{
    const int order = memcmp(name->target, target, 32);
    return order ? order : (name->target_index > index) - (name->target_index < index);
}

static bool name_before(void *ctx, uint32_t a, uint32_t b)
{
    const ckv_datastore *d = ctx;
    const ckv_rec *y = &d->recs.ptr[b];
    return name_order(&d->recs.ptr[a], y->target, y->target_index) < 0;
}

ckv_status ckv_ds_recs(ckv_datastore *d, ckv_entry_bytes entry)
{
    ckv_entry_rd rd = ckv_entry_rd_init(entry);
    ckv_rec rec;
    size_t n_puts = 0, n_names = 0;
    d->recs.len = d->names.len = 0;
    while (ckv_entry_next(&rd, &rec)) {
        if (rec.dag >= d->dags.len || !ckv_ds_dag(d, rec.dag)->doc) continue;
        if (rec.change >= ckv_doc_n_changes(ckv_ds_dag(d, rec.dag)->doc) ||
            rec.by_change >= ckv_doc_n_changes(ckv_ds_dag(d, rec.dag)->doc))
            return CKV_ECORRUPT;
        n_puts += rec.kind == CKV_REC_PUT;
        n_names += rec.kind == CKV_REC_NAME;
        CKV_TRY(ckv_rec_vec_push(&d->recs, rec));
    }
    CKV_TRY(rd.r.status);
    if (n_puts < MANY_PUTS || n_names < MANY_PUTS) return CKV_OK;
    CKV_TRY(ckv_u32s_reserve(&d->names, 2 * n_names)); /* sorting needs as much again */
    for (size_t i = 0; i < d->recs.len; i++)
        if (d->recs.ptr[i].kind == CKV_REC_NAME) ckv_u32s_put(&d->names, (uint32_t)i);
    return ckv_sort(&d->names, name_before, d);
}

/* Among those that are sorted. */
static bool is_listed(const ckv_datastore *d, const ckv_rec *rec, const uint8_t *id)
{
    size_t lo = 0, hi = d->names.len;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (name_order(&d->recs.ptr[d->names.ptr[mid]], id, rec->index) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < d->names.len; lo++) {
        const ckv_rec *n = &d->recs.ptr[d->names.ptr[lo]];
        if (name_order(n, id, rec->index)) return false;
        if (n->dag != rec->dag) return true;
    }
    return false;
}

bool ckv_ds_is_named(const ckv_datastore *d, const ckv_rec *rec)
{
    if (d->dags.len == 1) return false; /* names act in other DAGs */
    const uint8_t *id = ckv_doc_id_of(ckv_ds_dag(d, rec->dag)->doc, rec->change)->b;
    if (d->names.len) return is_listed(d, rec, id);
    for (size_t i = 0; i < d->recs.len; i++) {
        const ckv_rec *n = &d->recs.ptr[i];
        if (n->kind == CKV_REC_NAME && n->dag != rec->dag && name_order(n, id, rec->index) == 0)
            return true;
    }
    return false;
}

int ckv_ds_order(const ckv_datastore *d, const ckv_rec *a, const ckv_rec *b)
{
    const ckv_doc *x = ckv_ds_dag(d, a->dag)->doc, *y = ckv_ds_dag(d, b->dag)->doc;
    if (x == y) return ckv_doc_order(x, a->change, a->index, b->change, b->index);
    const uint64_t ca = ckv_doc_standing(x, a->change).clock,
                   cb = ckv_doc_standing(y, b->change).clock;
    if (ca != cb) return ca < cb ? -1 : 1;
    return ckv_id32_cmp(ckv_doc_id_of(x, a->change), ckv_doc_id_of(y, b->change));
}

const ckv_rec *ckv_ds_winner(const ckv_datastore *d)
{
    const ckv_rec *best = NULL;
    for (size_t i = 0; i < d->recs.len; i++) {
        const ckv_rec *r = &d->recs.ptr[i];
        if (r->kind == CKV_REC_PUT && !ckv_ds_is_named(d, r) &&
            (!best || ckv_ds_order(d, best, r) < 0))
            best = r;
    }
    return best;
}
