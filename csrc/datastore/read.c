/* read.c -- what is there: of one key, and of all in a range. The open change shows above the indexes: its author has seen everything. */
#include "base/check.h"
#include "datastore/state.h"
#include "log/nested.h"

/* ---- one key */

ckv_status ckv_ds_value(ckv_datastore *d, const ckv_rec *rec, ckv_value_bytes *out)
{
    *out = rec->value;
    if (!rec->elsewhere) return CKV_OK;
    ckv_dag *dag = ckv_ds_dag(d, rec->dag);
    ckv_buf_clear(&d->value);
    if (!ckv_buf_reserve(&d->value, rec->value.n_bytes + 1)) {
        d->value.status = CKV_OK;
        return CKV_ENOMEM;
    }
    if (rec->off == CKV_UNPLACED) {
        const ckv_status s = ckv_ds_value_of_op(d, rec, &d->value);
        out->ptr = d->value.ptr;
        return s == CKV_ENOENT ? ckv_ds_damaged(d, "change", CKV_ROW(dag, rec->change),
                                                "lacks a body that is needed")
                               : s;
    }
    for (size_t i = d->staged.len; i-- > 0;) { /* not in the file yet */
        const ckv_staged *s = &d->staged.ptr[i];
        if (s->dag != rec->dag || s->change != rec->change || !s->has_body) continue;
        if (rec->off > s->body_bytes || rec->value.n_bytes > s->body_bytes - rec->off)
            return ckv_ds_damaged(d, "change", CKV_ROW(dag, rec->change),
                                  "is shorter than the index says");
        memcpy(d->value.ptr, s->bytes + s->header_bytes + rec->off, rec->value.n_bytes);
        out->ptr = d->value.ptr;
        return CKV_OK;
    }
    const ckv_status s = ckv_file_read_blob(d->file, "change", "body", CKV_ROW(dag, rec->change),
                                            rec->off, d->value.ptr, rec->value.n_bytes);
    if (s == CKV_ENOENT || s == CKV_ERANGE)
        return ckv_ds_damaged(d, "change", CKV_ROW(dag, rec->change),
                              "lacks a body that is needed");
    CKV_TRY(ckv_ds_file(d, s));
    out->ptr = d->value.ptr;
    ckv_rd r =
        ckv_rd_init(d->value.ptr,
                    rec->value.n_bytes); /* a body that was altered is not read as something else */
    if (!ckv_nested_valid(&r, ckv_ds_alloc(d), CKV_MAX_STORED_VALUE))
        return r.status == CKV_ENOMEM
                   ? CKV_ENOMEM
                   : ckv_ds_damaged(d, "change", CKV_ROW(dag, rec->change), "has a damaged value");
    return CKV_OK;
}

/* The entry of a key into d->entry and d->recs. */
static ckv_status load(ckv_datastore *d, ckv_store_key key)
{
    ckv_buf_clear(&d->entry);
    d->recs.len = 0;
    const ckv_status s = ckv_index_get(d->keys, key, &d->entry);
    if (s == CKV_ENOENT) return s;
    CKV_TRY(ckv_ds_file(d, s));
    return ckv_ds_recs(d, (ckv_entry_bytes){d->entry.ptr, d->entry.len});
}

ckv_status ckv_ds_shown(ckv_datastore *d, ckv_store_key key, ckv_value_bytes *out)
{
    CKV_TRY(load(d, key));
    const ckv_rec *best = ckv_ds_winner(d);
    return best ? ckv_ds_value(d, best, out) : CKV_ENOENT;
}

ckv_status ckv_datastore_get(ckv_datastore *d, ckv_store_key key, ckv_value_bytes *value)
{
    const ckv_edit *open = ckv_edits_find(&d->open, key, false);
    if (open) {
        if (open->kind == CKV_KV_DELETE) return CKV_ENOENT;
        *value = ckv_edit_value(&d->open, open);
        return CKV_OK;
    }
    CKV_TRY(ckv_ds_absorb(d));
    return ckv_ds_shown(d, key, value);
}

/* ---- conflicts and history: copies, in d->shown_bytes */

static ckv_status show(ckv_datastore *d, uint32_t dag, uint32_t change, uint32_t index, bool is_put,
                       ckv_value_bytes value)
{
    CKV_TRY(ckv_shown_ops_reserve(&d->shown, 1));
    const size_t at = d->shown_bytes.len; /* an offset for now: the bytes may move */
    ckv_buf_bytes(&d->shown_bytes, value.ptr, value.n_bytes);
    CKV_TRY(d->shown_bytes.status);
    ckv_shown_ops_put(
        &d->shown,
        (ckv_shown_op){dag, change, index, is_put, {(const uint8_t *)at, value.n_bytes}});
    return CKV_OK;
}

/* Newest first: open ones, then by descending order. */
static void finish(ckv_datastore *d, size_t n_open, const ckv_shown_ops **ops)
{
    ckv_shown_op *v = d->shown.ptr;
    for (size_t i = 0; i < d->shown.len; i++)
        v[i].value.ptr = v[i].is_put ? d->shown_bytes.ptr + (size_t)v[i].value.ptr : NULL;
    for (size_t gap = d->shown.len / 2; gap > 0;
         gap /= 2) { /* Shell's sort: no memory, and nobody has many */
        for (size_t i = n_open + gap; i < d->shown.len; i++) {
            const ckv_shown_op x = v[i];
            const ckv_rec rx = {.dag = x.dag, .change = x.change, .index = x.index};
            size_t k = i;
            for (; k >= n_open + gap; k -= gap) {
                const ckv_rec ry = {
                    .dag = v[k - gap].dag, .change = v[k - gap].change, .index = v[k - gap].index};
                if (ckv_ds_order(d, &ry, &rx) >= 0) break;
                v[k] = v[k - gap];
            }
            v[k] = x;
        }
    }
    *ops = &d->shown;
}

static void start(ckv_datastore *d)
{
    d->shown.len = 0;
    ckv_buf_clear(&d->shown_bytes);
}

ckv_status ckv_datastore_conflicts(ckv_datastore *d, ckv_store_key key, const ckv_shown_ops **ops)
{
    start(d);
    const ckv_edit *open = ckv_edits_find(&d->open, key, false);
    if (open) {
        if (open->kind == CKV_KV_PUT)
            CKV_TRY(show(d, open->dag, CKV_NO_CHANGE, 0, true, ckv_edit_value(&d->open, open)));
        finish(d, d->shown.len, ops);
        return CKV_OK;
    }
    CKV_TRY(ckv_ds_absorb(d));
    const ckv_status s = load(d, key);
    if (s != CKV_OK && s != CKV_ENOENT) return s;
    for (size_t i = 0; i < d->recs.len; i++) {
        const ckv_rec *r = &d->recs.ptr[i];
        ckv_value_bytes value;
        if (r->kind != CKV_REC_PUT || ckv_ds_is_named(d, r)) continue;
        CKV_TRY(ckv_ds_value(d, r, &value));
        CKV_TRY(show(d, r->dag, r->change, r->index, true, value));
    }
    finish(d, 0, ops);
    return CKV_OK;
}

ckv_status ckv_datastore_history(ckv_datastore *d, ckv_store_key key, const ckv_shown_ops **ops)
{
    start(d);
    const ckv_edit *open = ckv_edits_find(&d->open, key, false);
    while (open) {
        CKV_TRY(show(d, open->dag, CKV_NO_CHANGE, (uint32_t)(open - d->open.edits.ptr),
                     open->kind == CKV_KV_PUT, ckv_edit_value(&d->open, open)));
        open = open->before == CKV_HMAP_NONE ? NULL : &d->open.edits.ptr[open->before];
    }
    const size_t n_open = d->shown.len;
    CKV_TRY(ckv_ds_absorb(d));
    ckv_buf bytes = ckv_buf_init(ckv_ds_alloc(d));
    ckv_status s = CKV_OK;
    for (uint32_t i = 0; i < d->dags.len && s == CKV_OK; i++) {
        ckv_dag *dag = ckv_ds_dag(d, i);
        for (uint32_t c = 0; c < dag->notes.len && s == CKV_OK; c++) {
            ckv_kv_body b;
            ckv_kv_op op;
            const char *why;
            if (dag->notes.ptr[c].flags & (CKV_NOTE_STATE | CKV_NOTE_VOID)) continue;
            ckv_buf_clear(&bytes);
            s = ckv_dag_body(dag, c, &bytes);
            if (s == CKV_OK) s = ckv_kv_body_open(&b, bytes.ptr, bytes.len, &why);
            for (uint32_t k = 0; s == CKV_OK && ckv_kv_body_next(&b, &op); k++) {
                if ((op.kind == CKV_KV_PUT || op.kind == CKV_KV_DELETE) &&
                    ckv_store_key_compare(op.key, key) == 0)
                    s = show(d, i, c, k, op.kind == CKV_KV_PUT, op.value);
            }
        }
    }
    ckv_buf_fini(&bytes);
    CKV_TRY(s);
    finish(d, n_open, ops);
    return CKV_OK;
}

/* ---- ranges */

struct ckv_query {
    ckv_datastore *of; /* borrowed */
    ckv_index_scan *scan;
    bool is_count, reverse, has_lo, has_hi;
    ckv_store_key lo, hi;        /* in `room` */
    uint64_t version;            /* of the datastore, when the scan was set */
    bool has_stored, stored_end; /* what the index gives next */
    ckv_store_key stored_key;
    ckv_entry_bytes stored;
    bool has_last;
    ckv_store_key last; /* in last_bytes */
    uint8_t last_bytes[CKV_MAX_KEY];
    ckv_buf bytes; /* the total of a counter */
    size_t n_room;
    uint8_t room[];
};

static ckv_status query_new(ckv_query **out, ckv_datastore *d, const ckv_store_key *lo,
                            const ckv_store_key *hi, bool reverse, bool is_count)
{
    CKV_TRY(ckv_ds_absorb(d));
    const size_t n_lo = lo ? lo->n_bytes : 0, n_hi = hi ? hi->n_bytes : 0;
    ckv_query *q = ckv_resize(ckv_ds_alloc(d), NULL, 0, sizeof *q + n_lo + n_hi);
    if (!q) return CKV_ENOMEM;
    *q = (ckv_query){.of = d,
                     .is_count = is_count,
                     .reverse = reverse,
                     .has_lo = lo != NULL,
                     .has_hi = hi != NULL,
                     .version = d->version,
                     .bytes = ckv_buf_init(ckv_ds_alloc(d)),
                     .n_room = n_lo + n_hi};
    if (lo)
        q->lo = (ckv_store_key){memcpy(q->room, n_lo ? lo->ptr : q->room, n_lo), lo->n_bytes,
                                lo->is_bytes};
    if (hi)
        q->hi = (ckv_store_key){memcpy(q->room + n_lo, n_hi ? hi->ptr : q->room + n_lo, n_hi),
                                hi->n_bytes, hi->is_bytes};
    const ckv_status s =
        ckv_index_scan_new(&q->scan, is_count ? d->counters : d->keys, lo, hi, reverse);
    if (s != CKV_OK) {
        ckv_release(ckv_ds_alloc(d), q, sizeof *q + q->n_room);
        return ckv_ds_file(d, s);
    }
    *out = q;
    return CKV_OK;
}

ckv_status ckv_query_new(ckv_query **out, ckv_datastore *d, const ckv_store_key *lo,
                         const ckv_store_key *hi, bool reverse)
{
    return query_new(out, d, lo, hi, reverse, false);
}

ckv_status ckv_counters_new(ckv_query **out, ckv_datastore *d, const ckv_store_key *lo,
                            const ckv_store_key *hi, bool reverse)
{
    return query_new(out, d, lo, hi, reverse, true);
}

void ckv_query_free(ckv_query *q)
{
    if (!q) return;
    const ckv_alloc a = q->bytes.a;
    ckv_index_scan_free(q->scan);
    ckv_buf_fini(&q->bytes);
    ckv_release(a, q, sizeof *q + q->n_room);
}

/* The next key of the open change behind the last one, NULL: none. */
static ckv_status next_open(ckv_query *q, const ckv_edit **out)
{
    ckv_edits *open = &q->of->open;
    *out = NULL;
    if (ckv_edits_len(open) == 0) return CKV_OK;
    CKV_TRY(ckv_edits_sort(open));
    const ckv_store_key *from = q->has_last  ? &q->last
                                : q->reverse ? (q->has_hi ? &q->hi : NULL)
                                             : (q->has_lo ? &q->lo : NULL);
    const uint32_t i = q->reverse ? ckv_edits_before(open, from, true, q->is_count)
                                  : ckv_edits_from(open, from, q->has_last, q->is_count);
    if (i == CKV_HMAP_NONE) return CKV_OK;
    const ckv_store_key key = ckv_edit_key(open, &open->edits.ptr[i]);
    if (q->reverse ? q->has_lo && ckv_store_key_compare(key, q->lo) < 0
                   : q->has_hi && ckv_store_key_compare(key, q->hi) >= 0)
        return CKV_OK;
    *out = &open->edits.ptr[i];
    return CKV_OK;
}

/* What came into the index since lies between the last key and what the scan gave ahead: it goes back to the last key. */
static ckv_status look_again(ckv_query *q)
{
    ckv_datastore *d = q->of;
    ckv_index_scan *scan;
    const ckv_store_key *lo = q->has_lo ? &q->lo : NULL, *hi = q->has_hi ? &q->hi : NULL;
    if (q->has_last && q->reverse) hi = &q->last;
    if (q->has_last && !q->reverse) lo = &q->last;
    CKV_TRY(ckv_ds_file(
        d, ckv_index_scan_new(&scan, q->is_count ? d->counters : d->keys, lo, hi, q->reverse)));
    ckv_index_scan_free(q->scan);
    q->scan = scan;
    q->has_stored = q->stored_end = false;
    q->version = d->version;
    return CKV_OK;
}

static void remember(ckv_query *q, ckv_store_key key)
{
    if (key.n_bytes) memmove(q->last_bytes, key.ptr, key.n_bytes);
    q->last = (ckv_store_key){q->last_bytes, key.n_bytes, key.is_bytes};
    q->has_last = true;
}

static ckv_status total_of(ckv_query *q, const ckv_edit *open, bool stored, ckv_value_bytes *value)
{
    ckv_datastore *d = q->of;
    ckv_i128 total = 0;
    d->recs.len = 0;
    if (stored) CKV_TRY(ckv_ds_recs(d, q->stored));
    CKV_TRY(ckv_ds_sum(d, &total));
    if (open) total += open->amount;
    ckv_buf_clear(&q->bytes);
    ckv_buf_bytes(&q->bytes, &total, sizeof total);
    *value = (ckv_value_bytes){q->bytes.ptr, q->bytes.len};
    return q->bytes.status;
}

ckv_status ckv_query_next(ckv_query *q, ckv_store_key *key, ckv_value_bytes *value)
{
    ckv_datastore *d = q->of;
    CKV_TRY(ckv_ds_absorb(d));
    if (q->version != d->version) CKV_TRY(look_again(q));
    for (;;) {
        const ckv_edit *open;
        CKV_TRY(next_open(q, &open));
        while (!q->has_stored && !q->stored_end) {
            const ckv_status s = ckv_index_scan_next(q->scan, &q->stored_key, &q->stored);
            if (s == CKV_ENOENT) {
                q->stored_end = true;
            } else {
                CKV_TRY(ckv_ds_file(d, s));
                q->has_stored = !q->has_last || ckv_store_key_compare(q->stored_key, q->last) != 0;
            }
        }
        if (!open && !q->has_stored) return CKV_ENOENT;
        int order = 0;
        if (!open)
            order = 1;
        else if (!q->has_stored)
            order = -1;
        else
            order = ckv_store_key_compare(ckv_edit_key(&d->open, open), q->stored_key) *
                    (q->reverse ? -1 : 1);
        const bool stored = order >= 0;
        if (order > 0) open = NULL;
        remember(q, open ? ckv_edit_key(&d->open, open) : q->stored_key);
        *key = q->last;
        if (stored) q->has_stored = false;
        if (q->is_count) return total_of(q, open, stored, value);
        if (open) {
            if (open->kind == CKV_KV_DELETE) continue;
            *value = ckv_edit_value(&d->open, open);
            return CKV_OK;
        }
        CKV_TRY(ckv_ds_recs(d, q->stored));
        const ckv_rec *best = ckv_ds_winner(d);
        if (best) return ckv_ds_value(d, best, value);
    }
}

ckv_status ckv_datastore_len(ckv_datastore *d, uint64_t *n)
{
    ckv_query *q;
    ckv_store_key key;
    ckv_value_bytes value;
    *n = 0;
    CKV_TRY(ckv_query_new(&q, d, NULL, NULL, false));
    ckv_status s;
    while ((s = ckv_query_next(q, &key, &value)) == CKV_OK) ++*n;
    ckv_query_free(q);
    return s == CKV_ENOENT ? CKV_OK : s;
}
