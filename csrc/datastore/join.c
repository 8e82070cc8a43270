/* join.c -- what is left of two lists of operations on one key. The whole CRDT is here: an operation supersedes every one on its key in its causal past, within its DAG; names reach
 * into other DAGs; a counter's operations supersede those of their own lane.
 *
 * A stranger may write one key from any number of lanes, so nothing here compares pairs: the pasts of all operations are put together, and what is in them goes. n operations cost
 * O(n log n), whether they were joined before or come in a pile (index.h).
 */
#include "datastore/state.h"
#include "ds/sort.h"

typedef struct judged {
    ckv_rec rec;
    uint32_t lane; /* of a counter's operation */
    bool dead;
} judged;
CKV_VEC(judged_vec, judged);

typedef struct court {
    const ckv_datastore *d;
    judged_vec all;
    ckv_u32s a, b, order; /* numbers in `all`: of each side, ascending, and of both */
    ckv_u32s ops, changes;
} court;

static court court_of(const ckv_datastore *d)
{
    const ckv_alloc a = ckv_ds_alloc(d);
    return (court){.d = d,
                   .all = {.a = a},
                   .a = {.a = a},
                   .b = {.a = a},
                   .order = {.a = a},
                   .ops = {.a = a},
                   .changes = {.a = a}};
}

static void close_court(court *c)
{
    judged_vec_fini(&c->all);
    ckv_u32s_fini(&c->a);
    ckv_u32s_fini(&c->b);
    ckv_u32s_fini(&c->order);
    ckv_u32s_fini(&c->ops);
    ckv_u32s_fini(&c->changes);
}

/* ---- in order */

static bool is_before(void *ctx, uint32_t a, uint32_t b)
{
    const court *c = ctx;
    return ckv_rec_compare(&c->all.ptr[a].rec, &c->all.ptr[b].rec) < 0;
}

/* The records of one side. Only a pile has to be sorted. */
static ckv_status read_side(court *c, ckv_entry_bytes e, ckv_u32s *side)
{
    const ckv_datastore *d = c->d;
    ckv_entry_rd rd = ckv_entry_rd_init(e);
    judged j = {.dead = false};
    bool ascends = true;
    while (ckv_entry_next(&rd, &j.rec)) {
        if (j.rec.dag >= d->dags.len || !ckv_ds_dag(d, j.rec.dag)->doc) continue; /* purged */
        ckv_doc *doc = ckv_ds_dag(d, j.rec.dag)->doc;
        const uint32_t n = ckv_doc_n_changes(doc), i = (uint32_t)c->all.len;
        if (j.rec.change >= n || j.rec.by_change >= n) return CKV_ECORRUPT;
        j.lane = ckv_rec_counts(&j.rec) ? ckv_doc_standing(doc, j.rec.change).lane : 0;
        CKV_TRY(judged_vec_push(&c->all, j));
        ascends &= side->len == 0 || is_before(c, i - 1, i);
        CKV_TRY(ckv_u32s_push(side, i));
    }
    CKV_TRY(rd.r.status);
    return ascends ? CKV_OK : ckv_sort(side, is_before, c);
}

/* Both sides as one, each record once. */
static ckv_status merge_sides(court *c)
{
    CKV_TRY(ckv_u32s_reserve(&c->order, c->all.len + 1));
    for (size_t i = 0, k = 0; i < c->a.len || k < c->b.len;) {
        const bool from_a =
            k == c->b.len || (i < c->a.len && !is_before(c, c->b.ptr[k], c->a.ptr[i]));
        const uint32_t next = from_a ? c->a.ptr[i++] : c->b.ptr[k++];
        const uint32_t *last = ckv_u32s_last(&c->order);
        if (!last || is_before(c, *last, next)) ckv_u32s_put(&c->order, next);
    }
    return CKV_OK;
}

/* ---- judging */

/* Of two operations of one change, y not before x in the order of records: does y supersede x? One with a greater index does. Of records that stand for one operation of a counter: a PART
 * before the operation itself, then the PART that is greatest in the total order. */
static bool restates(const ckv_datastore *d, const ckv_rec *x, const ckv_rec *y)
{
    if (x->index != y->index || x->kind != CKV_REC_PART) return true;
    return ckv_doc_order(ckv_ds_dag(d, y->dag)->doc, y->by_change, y->by_index, x->by_change,
                         x->by_index) > 0;
}

/* Marks what is superseded among operations of one DAG, of a counter also of one lane, in order. */
static ckv_status judge(court *c, const uint32_t *ops, size_t n)
{
    if (n < 2) return CKV_OK;
    judged *best = &c->all.ptr[ops[0]];
    ckv_doc *doc = ckv_ds_dag(c->d, best->rec.dag)->doc;
    bool past = false;
    c->changes.len = 0;
    CKV_TRY(ckv_u32s_push(&c->changes, best->rec.change));
    for (size_t i = 1; i < n; i++) {
        judged *j = &c->all.ptr[ops[i]], *former = best;
        if (former->rec.change != j->rec.change) {
            CKV_TRY(ckv_u32s_push(&c->changes, j->rec.change));
            best = j;
        } else if (restates(c->d, &former->rec, &j->rec)) {
            former->dead = true;
            best = j;
        } else {
            j->dead = true;
        }
    }
    const size_t n_changes = c->changes.len;
    if (n_changes < 2) return CKV_OK;
    if (n_changes == 2)
        CKV_TRY(ckv_doc_is_past(doc, c->changes.ptr[0], c->changes.ptr[1], &past));
    else
        CKV_TRY(ckv_doc_gather_pasts(doc, c->changes.ptr, n_changes));
    for (size_t i = 0; i < n; i++) {
        judged *j = &c->all.ptr[ops[i]];
        j->dead |= n_changes == 2 ? past && j->rec.change == c->changes.ptr[0]
                                  : ckv_doc_is_gathered(doc, j->rec.change);
    }
    return CKV_OK;
}

static bool is_of_one(const court *c, uint32_t a, uint32_t b)
{
    const judged *x = &c->all.ptr[a], *y = &c->all.ptr[b];
    return x->rec.dag == y->rec.dag && x->lane == y->lane;
}

static bool by_lane(void *ctx, uint32_t a, uint32_t b)
{
    const court *c = ctx;
    const judged *x = &c->all.ptr[a], *y = &c->all.ptr[b];
    return x->rec.dag != y->rec.dag ? x->rec.dag < y->rec.dag : x->lane < y->lane;
}

static ckv_status judge_all(court *c)
{
    bool counts = false;
    for (size_t i = 0; i < c->order.len; i++) {
        const ckv_rec *rec = &c->all.ptr[c->order.ptr[i]].rec;
        if (!ckv_rec_is_op(rec)) break; /* they come last */
        CKV_TRY(ckv_u32s_push(&c->ops, c->order.ptr[i]));
        counts |= ckv_rec_counts(rec);
    }
    if (counts) CKV_TRY(ckv_sort(&c->ops, by_lane, c));
    for (size_t i = 0, end; i < c->ops.len; i = end) {
        for (end = i + 1; end < c->ops.len && is_of_one(c, c->ops.ptr[i], c->ops.ptr[end]);) end++;
        CKV_TRY(judge(c, c->ops.ptr + i, end - i));
    }
    return CKV_OK;
}

/* Of names of one DAG for one operation the last is enough. */
static void judge_names(court *c)
{
    judged *best = NULL;
    for (size_t i = c->ops.len; i < c->order.len; i++) {
        judged *j = &c->all.ptr[c->order.ptr[i]];
        if (j->rec.kind == CKV_REC_NAMES) break;
        if (!best || best->rec.dag != j->rec.dag ||
            ckv_rec_target_order(&best->rec, j->rec.target, j->rec.target_index)) {
            best = j;
        } else if (ckv_ds_order(c->d, &best->rec, &j->rec) < 0) {
            best->dead = true;
            best = j;
        } else {
            j->dead = true;
        }
    }
}

/* ---- what is left */

static size_t left_bytes(const court *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->order.len; i++) {
        const judged *j = &c->all.ptr[c->order.ptr[i]];
        if (!j->dead) n += (size_t)(j->rec.end - j->rec.start);
    }
    return n;
}

static ckv_status write_all(const court *c, ckv_buf *out)
{
    for (size_t i = 0; i < c->order.len; i++) {
        const judged *j = &c->all.ptr[c->order.ptr[i]];
        if (!j->dead) ckv_buf_bytes(out, j->rec.start, (size_t)(j->rec.end - j->rec.start));
    }
    return out->status;
}

static bool by_op(void *ctx, uint32_t a, uint32_t b)
{
    const court *c = ctx;
    const ckv_rec *x = &c->all.ptr[a].rec, *y = &c->all.ptr[b].rec;
    if (x->dag != y->dag) return x->dag < y->dag;
    return x->change != y->change ? x->change < y->change : x->index < y->index;
}

/* The same, in few bytes: entry.h. */
static ckv_status write_long(court *c, ckv_buf *out)
{
    c->ops.len = 0; /* from here on what names something */
    for (size_t i = 0; i < c->order.len; i++) {
        const judged *j = &c->all.ptr[c->order.ptr[i]];
        ckv_rec rec = j->rec;
        if (j->dead) continue;
        if (!ckv_rec_is_op(&rec)) {
            CKV_TRY(ckv_u32s_push(&c->ops, c->order.ptr[i]));
            continue;
        }
        if (rec.kind == CKV_REC_PUT && !rec.elsewhere && rec.value.n_bytes > CKV_SHORT_VALUE) {
            rec.elsewhere = true;
            rec.off = CKV_UNPLACED;
        }
        ckv_entry_write(out, &rec);
    }
    CKV_TRY(ckv_sort(&c->ops, by_op, c));
    for (size_t i = 0; i < c->ops.len; i++) {
        if (i && !by_op(c, c->ops.ptr[i - 1], c->ops.ptr[i])) continue;
        ckv_rec rec = c->all.ptr[c->ops.ptr[i]].rec;
        rec.kind = CKV_REC_NAMES;
        ckv_entry_write(out, &rec);
    }
    return out->status;
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
    court c = court_of(d);
    ckv_status s = read_side(&c, a, &c.a);
    if (s == CKV_OK) s = read_side(&c, b, &c.b);
    if (s == CKV_OK) s = merge_sides(&c);
    if (s == CKV_OK) s = judge_all(&c);
    if (s == CKV_OK) judge_names(&c);
    if (s == CKV_OK) s = left_bytes(&c) > CKV_LONG_ENTRY ? write_long(&c, out) : write_all(&c, out);
    close_court(&c);
    return s;
}

/* ---- reading */

/* The operation `index` of a body; false: it has none such. */
static bool find_op(const ckv_buf *body, uint32_t index, ckv_kv_op *op)
{
    ckv_kv_body b;
    const char *why;
    bool found = ckv_kv_body_open(&b, body->ptr, body->len, &why) == CKV_OK;
    for (uint32_t i = 0; found && i <= index; i++) found = ckv_kv_body_next(&b, op);
    return found;
}

ckv_status ckv_ds_value_of_op(ckv_datastore *d, const ckv_rec *rec, ckv_buf *out)
{
    ckv_kv_op op;
    ckv_buf body = ckv_buf_init(ckv_ds_alloc(d));
    ckv_status s = ckv_dag_body(ckv_ds_dag(d, rec->dag), rec->change, &body);
    if (s == CKV_OK && (!find_op(&body, rec->index, &op) || op.kind != CKV_KV_PUT ||
                        op.value.n_bytes != rec->value.n_bytes))
        s = CKV_ENOENT;
    if (s == CKV_OK) {
        ckv_buf_bytes(out, op.value.ptr, op.value.n_bytes);
        s = out->status;
    }
    ckv_buf_fini(&body);
    return s;
}

static const uint8_t *id_of(const ckv_datastore *d, const ckv_rec *rec)
{
    return ckv_doc_id_of(ckv_ds_dag(d, rec->dag)->doc, rec->change)->b;
}

static bool by_id(void *ctx, uint32_t a, uint32_t b)
{
    const ckv_datastore *d = ctx;
    const ckv_rec *x = &d->recs.ptr[a], *y = &d->recs.ptr[b];
    const int order = memcmp(id_of(d, x), id_of(d, y), 32);
    return order ? order < 0 : x->index < y->index;
}

/* Marks what this name names among the puts, which are sorted by id. */
static void mark(ckv_datastore *d, const ckv_u32s *puts, uint32_t dag, const uint8_t *id,
                 uint32_t index)
{
    const ckv_rec name = {.target = id, .target_index = index};
    size_t lo = 0, hi = puts->len;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const ckv_rec *rec = &d->recs.ptr[puts->ptr[mid]];
        if (ckv_rec_target_order(&name, id_of(d, rec), rec->index) > 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == puts->len) return;
    ckv_rec *rec = &d->recs.ptr[puts->ptr[lo]];
    if (rec->dag != dag && ckv_rec_target_order(&name, id_of(d, rec), rec->index) == 0)
        rec->is_named = true;
}

/* Marks what the operations that NAMES stands for name: in order, so each body is read once. */
static ckv_status mark_all(ckv_datastore *d, const ckv_u32s *puts, ckv_buf *body)
{
    const ckv_rec *last = NULL;
    ckv_kv_body b;
    ckv_kv_op op;
    const char *why;
    uint32_t next = 0; /* operation of b */
    for (size_t i = d->n_ops; i < d->recs.len; i++) {
        const ckv_rec *rec = &d->recs.ptr[i];
        if (rec->kind != CKV_REC_NAMES) continue;
        if (!last || last->dag != rec->dag || last->change != rec->change) {
            ckv_dag *dag = ckv_ds_dag(d, rec->dag);
            ckv_buf_clear(body);
            ckv_status s = ckv_dag_body(dag, rec->change, body);
            if (s == CKV_OK) s = ckv_kv_body_open(&b, body->ptr, body->len, &why);
            if (s == CKV_ENOENT || s == CKV_EVOID)
                s = ckv_ds_damaged(d, "change", CKV_ROW(dag, rec->change),
                                   "lacks a body that is needed");
            CKV_TRY(s);
            next = 0;
        }
        last = rec;
        bool more = true;
        for (; more && next <= rec->index; next++) more = ckv_kv_body_next(&b, &op);
        const uint8_t *id;
        uint32_t index;
        while (more && ckv_kv_next_name(&op.names, &id, &index)) mark(d, puts, rec->dag, id, index);
    }
    return CKV_OK;
}

static ckv_status read_names(ckv_datastore *d)
{
    ckv_u32s puts = {.a = ckv_ds_alloc(d)};
    ckv_buf body = ckv_buf_init(ckv_ds_alloc(d));
    ckv_status s = CKV_OK;
    for (uint32_t i = 0; i < d->n_ops && s == CKV_OK; i++)
        if (d->recs.ptr[i].kind == CKV_REC_PUT) s = ckv_u32s_push(&puts, i);
    if (s == CKV_OK) s = ckv_sort(&puts, by_id, d);
    if (s == CKV_OK) s = mark_all(d, &puts, &body);
    ckv_buf_fini(&body);
    ckv_u32s_fini(&puts);
    return s;
}

ckv_status ckv_ds_recs(ckv_datastore *d, ckv_entry_bytes entry)
{
    ckv_entry_rd rd = ckv_entry_rd_init(entry);
    ckv_rec rec = {.kind = CKV_REC_PUT};
    d->recs.len = d->n_ops = 0;
    while (ckv_entry_next(&rd, &rec)) {
        if (rec.dag >= d->dags.len || !ckv_ds_dag(d, rec.dag)->doc) continue;
        if (rec.change >= ckv_doc_n_changes(ckv_ds_dag(d, rec.dag)->doc) ||
            rec.by_change >= ckv_doc_n_changes(ckv_ds_dag(d, rec.dag)->doc))
            return CKV_ECORRUPT;
        CKV_TRY(ckv_rec_vec_push(&d->recs, rec));
        d->n_ops += ckv_rec_is_op(&rec);
    }
    CKV_TRY(rd.r.status);
    const ckv_rec *last = ckv_rec_vec_last(&d->recs);
    return last && last->kind == CKV_REC_NAMES ? read_names(d) : CKV_OK;
}

bool ckv_ds_is_named(const ckv_datastore *d, const ckv_rec *rec)
{
    size_t lo = d->n_ops, hi = d->recs.len; /* names come last, by what they name */
    if (rec->is_named) return true;
    while (hi > lo && d->recs.ptr[hi - 1].kind == CKV_REC_NAMES) hi--;
    if (d->dags.len == 1 || lo == hi) return false; /* names act in other DAGs */
    const size_t end = hi;
    const uint8_t *id = id_of(d, rec);
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (ckv_rec_target_order(&d->recs.ptr[mid], id, rec->index) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < end; lo++) {
        const ckv_rec *n = &d->recs.ptr[lo];
        if (ckv_rec_target_order(n, id, rec->index)) return false;
        if (n->dag != rec->dag) return true;
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
