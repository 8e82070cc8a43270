/* write.c -- what is written here: the open change, batches, and how edits become changes. */
#include "datastore/state.h"

#include <stdlib.h>

struct ckv_batch {
    ckv_datastore *of; /* borrowed */
    ckv_edits edits;
};

/* ---- from edits to a body */

typedef struct foreign {
    ckv_id32 id;
    uint32_t index;
} foreign;
CKV_VEC(foreigns, foreign);

static int by_id(const void *a, const void *b)
{
    const foreign *x = a, *y = b;
    const int order = ckv_id32_cmp(&x->id, &y->id);
    return order ? order : x->index < y->index ? -1 : x->index > y->index;
}

#define NAME_BYTES 36u /* at most */

/* The values of a key in other DAGs, which a put or delete in this one supersedes: their names, ascending, as many as there is room for. */
static ckv_status names_of(ckv_datastore *d, const ckv_dag *dag, ckv_store_key key, size_t room,
                           ckv_buf *out, uint32_t *n)
{
    ckv_buf_clear(out);
    *n = 0;
    if (d->dags.len == 1) return CKV_OK;
    ckv_buf_clear(&d->entry);
    ckv_status s = ckv_index_get(d->keys, key, &d->entry);
    if (s == CKV_ENOENT) return CKV_OK;
    CKV_TRY(ckv_ds_file(d, s));
    CKV_TRY(ckv_ds_recs(d, (ckv_entry_bytes){d->entry.ptr, d->entry.len}));
    foreigns names = {.a = ckv_ds_alloc(d)};
    for (size_t i = 0; i < d->recs.len && s == CKV_OK; i++) {
        const ckv_rec *r = &d->recs.ptr[i];
        if (r->kind != CKV_REC_PUT || r->dag == dag->number) continue;
        s = foreigns_push(
            &names, (foreign){*ckv_doc_id_of(ckv_ds_dag(d, r->dag)->doc, r->change), r->index});
    }
    if (names.len) qsort(names.ptr, names.len, sizeof *names.ptr, by_id);
    for (; *n < names.len && *n < CKV_MAX_NAMES && s == CKV_OK; ++*n) {
        if (room - out->len < NAME_BYTES) break;
        ckv_kv_write_name(out, &names.ptr[*n].id, names.ptr[*n].index);
        s = out->status;
    }
    foreigns_fini(&names);
    return s;
}

/* The operations of one DAG among the edits; *n how many. Each running total goes on from the lane's last one. */
static ckv_status write_body(ckv_datastore *d, ckv_dag *dag, uint32_t lane, const ckv_edits *edits,
                             bool all, const ckv_body_head *head, ckv_buf *out, uint32_t *n)
{
    enum { EDIT_BYTES = 64 }; /* of an operation without key, value and names, at most */
    ckv_kv_write_head(out, head);
    *n = 0;
    const size_t needed = out->len + ckv_edits_bytes(edits) + EDIT_BYTES * (size_t)edits->edits.len;
    size_t room = needed < CKV_MAX_BODY_BYTES ? CKV_MAX_BODY_BYTES - needed : 0; /* for names */
    for (size_t i = 0; i < edits->edits.len; i++) {
        const ckv_edit *e = &edits->edits.ptr[i];
        if (e->dag != dag->number || (e->replaced && !all)) continue;
        ckv_kv_op op = {.kind = e->kind, .key = ckv_edit_key(edits, e)};
        if (e->kind == CKV_KV_PUT) op.value = ckv_edit_value(edits, e);
        if (e->kind == CKV_KV_COUNT) {
            CKV_TRY(ckv_ds_lane_total(d, dag, lane, op.key, &op.total));
            op.total += e->amount;
            if (op.total >= CKV_MAX_TOTAL || op.total <= -CKV_MAX_TOTAL) return CKV_ERANGE;
        } else if (e->kind == CKV_KV_PART) {
            op.part_of = ckv_edit_value(edits, e).ptr;
            op.part_index = e->part_index;
            op.total = e->amount;
        } else if (!e->replaced) { /* the last one on a key names for all */
            CKV_TRY(names_of(d, dag, op.key, room, &d->joined, &op.n_names));
            op.names = (ckv_value_bytes){d->joined.ptr, d->joined.len};
            room -= d->joined.len;
        }
        ckv_kv_write_op(out, &op);
        ++*n;
    }
    return out->status;
}

/* all: replaced edits, too, each its own operation. */
static bool touches(const ckv_edits *edits, uint32_t dag, bool all)
{
    for (size_t i = 0; i < edits->edits.len; i++)
        if (edits->edits.ptr[i].dag == dag && (all || !edits->edits.ptr[i].replaced)) return true;
    return false;
}

/* One change of one DAG; its rows, if it went well, wait for COMMIT. */
static ckv_status write_dag(ckv_datastore *d, ckv_dag *dag, const ckv_edits *edits, bool all,
                            const ckv_body_head *head, uint32_t *change)
{
    ckv_buf body = ckv_buf_init(ckv_ds_alloc(d));
    uint32_t n, lane, seq;
    ckv_doc_next_own(dag->doc, &lane, &seq); /* CKV_NO_CHANGE: it is opened with the change */
    ckv_status s = write_body(d, dag, lane, edits, all, head, &body, &n);
    if (s == CKV_OK) s = ckv_doc_write(dag->doc, body.ptr, body.len, n, head, true, change);
    ckv_buf_fini(&body);
    return s;
}

/* One change of each DAG that they touch, in one transaction. */
static ckv_status write_all(ckv_datastore *d, const ckv_edits *edits, const ckv_body_head *head,
                            uint32_t *out_dag, uint32_t *out_change)
{
    const uint32_t n_dags = (uint32_t)d->dags.len;
    ckv_u32s before = {.a = ckv_ds_alloc(d)}; /* how many changes each DAG had */
    CKV_TRY(ckv_u32s_reserve(&before, n_dags));
    for (uint32_t i = 0; i < n_dags; i++)
        ckv_u32s_put(&before, ckv_ds_dag(d, i)->doc ? ckv_doc_n_changes(ckv_ds_dag(d, i)->doc) : 0);
    *out_change = CKV_NO_CHANGE;
    *out_dag = 0;
    ckv_status s = ckv_ds_file(d, ckv_file_begin(d->file));
    const bool began = s == CKV_OK;
    d->n_writing++;
    d->opening_was_open = edits == &d->open;
    for (uint32_t i = 0; i < n_dags && s == CKV_OK; i++) {
        ckv_dag *dag = ckv_ds_dag(d, i);
        uint32_t change;
        if (!touches(edits, i, edits == &d->open)) continue;
        s = dag->doc ? write_dag(d, dag, edits, edits == &d->open, head, &change)
                     : ckv_ds_purged(d, dag);
        if (s == CKV_OK && *out_change == CKV_NO_CHANGE) *out_dag = i, *out_change = change;
    }
    d->opening_was_open = false;
    d->n_writing--;
    if (began && s == CKV_OK)
        s = ckv_ds_file(d, ckv_file_commit(d->file));
    else if (began)
        ckv_file_rollback(d->file);
    for (uint32_t i = 0; i < n_dags; i++) {
        ckv_dag *dag = ckv_ds_dag(d, i);
        if (!dag->doc || ckv_doc_n_changes(dag->doc) == before.ptr[i]) continue;
        if (s == CKV_OK)
            ckv_dag_stored(dag);
        else
            ckv_doc_take_back(dag->doc, before.ptr[i]);
    }
    ckv_u32s_fini(&before);
    return s;
}

/* Whether what was to be written is lost with the failure: what the disk refused is dropped, what memory refused may be tried again. */
static bool is_lost(ckv_status s)
{
    return s == CKV_EFULL || s == CKV_EDISK || s == CKV_EFORKED || s == CKV_ELIMIT;
}

static ckv_status write_and_clear(ckv_datastore *d, ckv_edits *edits, const ckv_body_head *head,
                                  uint32_t *dag, uint32_t *change)
{
    CKV_TRY(ckv_ds_absorb(d));
    const ckv_status s = write_all(d, edits, head, dag, change);
    if (s == CKV_OK || is_lost(s)) {
        ckv_edits_clear(edits);
        d->version++;
    }
    CKV_TRY(s);
    return ckv_ds_absorb(d);
}

/* ---- the open change */

bool ckv_datastore_is_open(const ckv_datastore *d) { return ckv_edits_len(&d->open) > 0; }

ckv_status ckv_datastore_commit(ckv_datastore *d, int64_t time_ms, const char *message,
                                size_t message_bytes, uint32_t *dag, uint32_t *change)
{
    const ckv_body_head head = {
        .time = time_ms, .message = message, .message_bytes = message_bytes};
    *change = CKV_NO_CHANGE;
    *dag = 0;
    if (!ckv_datastore_is_open(d)) return ckv_ds_absorb(d);
    return write_and_clear(d, &d->open, &head, dag, change);
}

/* Before an edit: it may need another DAG than the open ones, or find them too many. */
static ckv_status open_for(ckv_datastore *d, uint32_t dag, size_t n_bytes, int64_t time_ms)
{
    uint32_t of, change;
    CKV_TRY(ckv_ds_absorb(d));
    if (!ckv_ds_dag(d, dag)->doc) return ckv_ds_purged(d, ckv_ds_dag(d, dag));
    const bool full = ckv_edits_len(&d->open) >= CKV_OPEN_EDITS ||
                      ckv_edits_bytes(&d->open) + n_bytes > CKV_OPEN_BYTES;
    if (ckv_datastore_is_open(d) && (full || d->open_dag != dag))
        CKV_TRY(ckv_datastore_commit(d, time_ms, NULL, 0, &of, &change));
    d->open_dag = dag;
    return CKV_OK;
}

/* What shows now, before an edit that somebody watches, in d->scratch; and room to tell of it. */
static ckv_status watch_old(ckv_datastore *d, ckv_store_key key, size_t n_new, ckv_value_bytes *old)
{
    *old = (ckv_value_bytes){NULL, 0};
    if (!d->watched) return CKV_OK;
    ckv_value_bytes v = {NULL, 0};
    const ckv_status s = ckv_datastore_get(d, key, &v);
    if (s != CKV_OK && s != CKV_ENOENT) return s;
    ckv_buf_clear(&d->scratch);
    ckv_buf_bytes(&d->scratch, v.ptr, v.n_bytes);
    CKV_TRY(d->scratch.status);
    if (s == CKV_OK) *old = (ckv_value_bytes){d->scratch.ptr, d->scratch.len};
    return ckv_ds_tell_room(d, key.n_bytes + v.n_bytes + n_new);
}

ckv_status ckv_datastore_put(ckv_datastore *d, uint32_t dag, ckv_store_key key,
                             const uint8_t *value, size_t n_bytes, int64_t time_ms)
{
    ckv_value_bytes old;
    CKV_TRY(open_for(d, dag, key.n_bytes + n_bytes, time_ms));
    CKV_TRY(watch_old(d, key, n_bytes, &old));
    CKV_TRY(ckv_edits_put(&d->open, dag, key, value, n_bytes));
    d->version++;
    if (d->watched)
        ckv_ds_tell(d, key, old, (ckv_value_bytes){value, n_bytes}, &d->identity.public_key, true);
    return CKV_OK;
}

ckv_status ckv_datastore_delete(ckv_datastore *d, uint32_t dag, ckv_store_key key, int64_t time_ms)
{
    ckv_value_bytes old;
    CKV_TRY(open_for(d, dag, key.n_bytes, time_ms));
    CKV_TRY(watch_old(d, key, 0, &old));
    CKV_TRY(ckv_edits_delete(&d->open, dag, key));
    d->version++;
    if (d->watched)
        ckv_ds_tell(d, key, old, (ckv_value_bytes){NULL, 0}, &d->identity.public_key, true);
    return CKV_OK;
}

ckv_status ckv_datastore_count(ckv_datastore *d, ckv_store_key name, int64_t amount,
                               int64_t time_ms)
{
    CKV_TRY(open_for(d, 0, name.n_bytes, time_ms));
    CKV_TRY(ckv_edits_count(&d->open, 0, name, amount));
    d->version++;
    return CKV_OK;
}

/* ---- batches */

ckv_status ckv_batch_new(ckv_batch **out, ckv_datastore *d)
{
    ckv_batch *b = ckv_resize(ckv_ds_alloc(d), NULL, 0, sizeof *b);
    if (!b) return CKV_ENOMEM;
    *b = (ckv_batch){d, ckv_edits_init(ckv_ds_alloc(d), d->secret)};
    *out = b;
    return CKV_OK;
}

void ckv_batch_free(ckv_batch *b)
{
    if (!b) return;
    const ckv_alloc a = b->edits.a; /* the datastore may be gone */
    ckv_edits_fini(&b->edits);
    ckv_release(a, b, sizeof *b);
}

ckv_status ckv_batch_put(ckv_batch *b, uint32_t dag, ckv_store_key key, const uint8_t *value,
                         size_t n_bytes)
{
    return ckv_edits_put(&b->edits, dag, key, value, n_bytes);
}

ckv_status ckv_batch_delete(ckv_batch *b, uint32_t dag, ckv_store_key key)
{
    return ckv_edits_delete(&b->edits, dag, key);
}
ckv_status ckv_batch_count(ckv_batch *b, ckv_store_key name, int64_t amount)
{
    return ckv_edits_count(&b->edits, 0, name, amount);
}
ckv_status ckv_ds_batch_part(ckv_batch *b, uint32_t dag, ckv_store_key name, const ckv_id32 *change,
                             uint32_t index, ckv_i128 total)
{
    return ckv_edits_part(&b->edits, dag, name, change, index, total);
}
size_t ckv_batch_bytes(const ckv_batch *b) { return ckv_edits_bytes(&b->edits); }
size_t ckv_batch_len(const ckv_batch *b) { return ckv_edits_len(&b->edits); }
void ckv_batch_clear(ckv_batch *b) { ckv_edits_clear(&b->edits); }

ckv_status ckv_batch_write(ckv_batch *b, int64_t time_ms, const char *message, size_t message_bytes,
                           uint32_t *dag, uint32_t *change)
{
    const ckv_body_head head = {
        .time = time_ms, .message = message, .message_bytes = message_bytes};
    const ckv_body_head plain = {.time = time_ms};
    *dag = 0;
    *change = CKV_NO_CHANGE;
    if (ckv_datastore_is_open(b->of))
        CKV_TRY(write_and_clear(b->of, &b->of->open, &plain, dag, change));
    *change = CKV_NO_CHANGE;
    if (ckv_edits_len(&b->edits) == 0) return CKV_OK;
    return write_and_clear(b->of, &b->edits, &head, dag, change);
}
