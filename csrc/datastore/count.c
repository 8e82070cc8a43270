/* count.c -- counters: every lane has its own running total, which nobody else can write; the value is their sum. */
#include "datastore/state.h"

#include <stdlib.h>

/* What the index has of a counter, into d->recs. */
static ckv_status load(ckv_datastore *d, ckv_store_key name)
{
    ckv_buf_clear(&d->entry);
    d->recs.len = 0;
    const ckv_status s = ckv_index_get(d->counters, name, &d->entry);
    if (s == CKV_ENOENT) return CKV_OK;
    CKV_TRY(ckv_ds_file(d, s));
    return ckv_ds_recs(d, (ckv_entry_bytes){d->entry.ptr, d->entry.len});
}

typedef struct lane_total {
    uint32_t dag, lane;
    const ckv_rec *rec;
} lane_total;
CKV_VEC(lane_totals, lane_total);

static int by_lane(const void *a, const void *b)
{
    const lane_total *x = a, *y = b;
    if (x->dag != y->dag) return x->dag < y->dag ? -1 : 1;
    return x->lane < y->lane ? -1 : x->lane > y->lane;
}

/* One for each lane. */
static ckv_status totals(const ckv_datastore *d, lane_totals *out)
{
    CKV_TRY(lane_totals_reserve(out, d->recs.len + 1));
    for (size_t i = 0; i < d->recs.len; i++) {
        const ckv_rec *r = &d->recs.ptr[i];
        if (ckv_rec_counts(r))
            lane_totals_put(
                out, (lane_total){r->dag,
                                  ckv_doc_standing(ckv_ds_dag(d, r->dag)->doc, r->change).lane, r});
    }
    if (out->len) qsort(out->ptr, out->len, sizeof *out->ptr, by_lane);
    size_t n = 0;
    for (size_t i = 0; i < out->len; i++) {
        if (n && by_lane(&out->ptr[n - 1], &out->ptr[i]) == 0) {
            if (ckv_ds_order(d, out->ptr[n - 1].rec, out->ptr[i].rec) < 0)
                out->ptr[n - 1] = out->ptr[i];
        } else {
            out->ptr[n++] = out->ptr[i];
        }
    }
    out->len = n;
    return CKV_OK;
}

/* The part of a lane, of what is in d->recs. */
static ckv_i128 part_of(const ckv_datastore *d, const ckv_dag *dag, uint32_t lane)
{
    const ckv_rec *best = NULL;
    for (size_t i = 0; i < d->recs.len; i++) {
        const ckv_rec *r = &d->recs.ptr[i];
        if (!ckv_rec_counts(r) || r->dag != dag->number ||
            ckv_doc_standing(dag->doc, r->change).lane != lane)
            continue;
        if (!best || ckv_ds_order(d, best, r) < 0) best = r;
    }
    return best ? best->total : 0;
}

/* What the index says of a counter, from memory if it was asked for lately. dag: with the part of a lane in it; NULL: the sum is enough. */
static ckv_status look_up(ckv_datastore *d, ckv_store_key name, const ckv_dag *dag, uint32_t lane,
                          ckv_kept_total *out)
{
    const uint64_t laying = ckv_index_laying(d->counters);
    const ckv_kept_total *kept = ckv_totals_find(&d->totals, name, laying);
    if (kept && (!dag || (kept->dag == dag->number && kept->lane == lane))) {
        *out = *kept;
        return CKV_OK;
    }
    *out = (ckv_kept_total){.dag = UINT32_MAX, .lane = UINT32_MAX};
    CKV_TRY(load(d, name)); /* the index lies as before: reading does not lay it anew */
    out->laying = laying;
    CKV_TRY(ckv_ds_sum(d, &out->total));
    if (dag) {
        out->dag = dag->number;
        out->lane = lane;
        out->own = part_of(d, dag, lane);
    }
    ckv_totals_put(&d->totals, name, *out);
    return CKV_OK;
}

ckv_status ckv_ds_lane_total(ckv_datastore *d, ckv_dag *dag, uint32_t lane, ckv_store_key name,
                             ckv_i128 *total)
{
    ckv_kept_total found;
    CKV_TRY(look_up(d, name, dag, lane, &found));
    *total = found.own;
    return CKV_OK;
}

ckv_status ckv_datastore_total(ckv_datastore *d, ckv_store_key name, ckv_i128 *total)
{
    ckv_kept_total found;
    *total = 0;
    CKV_TRY(ckv_ds_absorb(d));
    CKV_TRY(look_up(d, name, NULL, 0, &found));
    const ckv_edit *open = ckv_edits_find(&d->open, name, true);
    *total = found.total + (open ? open->amount : 0);
    return CKV_OK;
}

/* An own count goes on from all that its lane had: the sum grows by as much as the lane. Anything else is summed anew when somebody asks. */
void ckv_ds_counted(ckv_datastore *d, const ckv_dag *dag, uint32_t change, bool is_local,
                    const ckv_kv_op *op)
{
    ckv_kept_total *kept = ckv_totals_find(&d->totals, op->key, ckv_index_laying(d->counters));
    if (!kept) return;
    if (!is_local || op->kind != CKV_KV_COUNT || kept->dag != dag->number ||
        kept->lane != ckv_doc_standing(dag->doc, change).lane) {
        ckv_totals_drop(&d->totals, op->key);
        return;
    }
    kept->total += op->total - kept->own;
    kept->own = op->total;
}

ckv_status ckv_ds_sum(ckv_datastore *d, ckv_i128 *total)
{
    *total = 0;
    if (d->recs.len == 1) {
        if (ckv_rec_counts(&d->recs.ptr[0])) *total = d->recs.ptr[0].total;
        return CKV_OK;
    }
    lane_totals all = {.a = ckv_ds_alloc(d)};
    const ckv_status s = totals(d, &all);
    for (size_t i = 0; i < all.len && s == CKV_OK; i++) *total += all.ptr[i].rec->total;
    lane_totals_fini(&all);
    return s;
}

static int by_author(const void *a, const void *b)
{
    return ckv_id32_cmp(&((const ckv_part_total *)a)->author, &((const ckv_part_total *)b)->author);
}

ckv_status ckv_datastore_by_author(ckv_datastore *d, ckv_store_key name, ckv_buf *out)
{
    CKV_TRY(ckv_ds_absorb(d));
    CKV_TRY(load(d, name));
    lane_totals all = {.a = ckv_ds_alloc(d)};
    ckv_status s = totals(d, &all);
    const ckv_edit *open = ckv_edits_find(&d->open, name, true);
    const size_t start = out->len;
    for (size_t i = 0; i < all.len + (open != NULL) && s == CKV_OK; i++) {
        ckv_part_total part = {.author = d->identity.public_key, .total = open ? open->amount : 0};
        if (i < all.len) {
            ckv_lane_info lane;
            if (!ckv_doc_lane(ckv_ds_dag(d, all.ptr[i].dag)->doc, all.ptr[i].lane, &lane)) continue;
            part.author = *lane.author;
            part.total = all.ptr[i].rec->total;
        }
        ckv_buf_bytes(out, &part, sizeof part);
        s = out->status;
    }
    lane_totals_fini(&all);
    CKV_TRY(s);
    size_t n = (out->len - start) / sizeof(ckv_part_total), kept = 0;
    ckv_part_total *parts =
        ckv_resize(ckv_ds_alloc(d), NULL, 0, (n + 1) * sizeof *parts); /* aligned */
    if (!parts) return CKV_ENOMEM;
    if (n) memcpy(parts, out->ptr + start, n * sizeof *parts);
    qsort(parts, n, sizeof *parts, by_author);
    for (size_t i = 0; i < n; i++) {
        if (kept && by_author(&parts[kept - 1], &parts[i]) == 0)
            parts[kept - 1].total += parts[i].total;
        else
            parts[kept++] = parts[i];
    }
    out->len = start;
    ckv_buf_bytes(out, parts, kept * sizeof *parts);
    ckv_release(ckv_ds_alloc(d), parts, (n + 1) * sizeof *parts);
    return out->status;
}
