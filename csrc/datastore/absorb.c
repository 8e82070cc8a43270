/* absorb.c -- from changes that are stored to the indexes: what was put, deleted and counted, and who is told of it. */
#include "crypto/digest.h"
#include "datastore/state.h"

/* ---- events */

static uint32_t print_of(const ckv_datastore *d, ckv_store_key key)
{
    return (uint32_t)ckv_siphash(d->secret, key.n_bytes ? key.ptr : d->secret, key.n_bytes) ^
           key.is_bytes;
}

static ckv_store_key key_of(const ckv_datastore *d, const ckv_held_event *e)
{
    return (ckv_store_key){d->event_bytes.ptr + e->key_at, e->key_bytes, e->is_bytes};
}

/* The newest event of this key, CKV_HMAP_NONE: none. */
static uint32_t event_of(const ckv_datastore *d, ckv_store_key key)
{
    size_t at = SIZE_MAX;
    for (uint32_t i; (i = ckv_hmap_probe(&d->told, print_of(d, key), &at)) != CKV_HMAP_NONE;) {
        if (i < d->events.len && ckv_store_key_compare(key_of(d, &d->events.ptr[i]), key) == 0)
            return i;
    }
    return CKV_HMAP_NONE;
}

ckv_status ckv_ds_tell_room(ckv_datastore *d, size_t n_bytes)
{
    CKV_TRY(ckv_held_events_reserve(&d->events, 1));
    CKV_TRY(ckv_hmap_reserve(&d->told, 1));
    if (ckv_buf_reserve(&d->event_bytes, n_bytes + 1)) return CKV_OK;
    d->event_bytes.status = CKV_OK;
    return CKV_ENOMEM;
}

static bool is_same(ckv_value_bytes a, ckv_value_bytes b)
{
    if (!a.ptr || !b.ptr) return !a.ptr && !b.ptr;
    return a.n_bytes == b.n_bytes && memcmp(a.ptr, b.ptr, a.n_bytes) == 0;
}

static ckv_value_bytes old_of(const ckv_datastore *d, const ckv_held_event *e)
{
    return (ckv_value_bytes){e->has_old ? d->event_bytes.ptr + e->old_at : NULL, e->old_bytes};
}

static ckv_value_bytes new_of(const ckv_datastore *d, const ckv_held_event *e)
{
    return (ckv_value_bytes){e->has_new ? d->event_bytes.ptr + e->new_at : NULL, e->new_bytes};
}

/* Where a value stands among the bytes: a long one may come and go with every change, so it is kept once. */
static size_t place(ckv_datastore *d, ckv_value_bytes v, uint32_t before)
{
    if (before != CKV_HMAP_NONE) {
        const ckv_held_event *e = &d->events.ptr[before];
        if (is_same(v, old_of(d, e))) return e->old_at;
        if (is_same(v, new_of(d, e))) return e->new_at;
    }
    const size_t at = d->event_bytes.len;
    ckv_buf_bytes(&d->event_bytes, v.ptr, v.n_bytes);
    return at;
}

/* With room for key and old value: an event that has nothing to say yet. */
static void begin_event(ckv_datastore *d, ckv_store_key key, ckv_value_bytes old,
                        const ckv_id32 *author, bool is_local)
{
    const uint32_t before = event_of(d, key), print = print_of(d, key);
    ckv_held_event e = {.before = before,
                        .key_bytes = key.n_bytes,
                        .is_bytes = key.is_bytes,
                        .old_bytes = (uint32_t)old.n_bytes,
                        .new_bytes = (uint32_t)old.n_bytes,
                        .has_old = old.ptr != NULL,
                        .has_new = old.ptr != NULL,
                        .is_void = true,
                        .is_local = is_local,
                        .author = *author};
    if (before != CKV_HMAP_NONE) {
        e.key_at = d->events.ptr[before].key_at;
        ckv_hmap_remove(&d->told, print, before);
    } else {
        e.key_at = d->event_bytes.len;
        ckv_buf_bytes(&d->event_bytes, key.ptr, key.n_bytes);
    }
    e.old_at = e.new_at = place(d, old, before);
    ckv_hmap_add(&d->told, print, (uint32_t)d->events.len);
    ckv_held_events_put(&d->events, e);
}

/* With room for the new value. */
static void end_event(ckv_datastore *d, size_t i, ckv_value_bytes now)
{
    ckv_held_event *e = &d->events.ptr[i];
    e->is_void = is_same(old_of(d, e), now);
    if (e->is_void) return;
    e->new_at = place(d, now, e->before);
    e->new_bytes = (uint32_t)now.n_bytes;
    e->has_new = now.ptr != NULL;
}

void ckv_ds_tell(ckv_datastore *d, ckv_store_key key, ckv_value_bytes old, ckv_value_bytes now,
                 const ckv_id32 *author, bool is_local)
{
    if (is_same(old, now)) return;
    begin_event(d, key, old, author, is_local);
    end_event(d, d->events.len - 1, now);
}

void ckv_datastore_watch(ckv_datastore *d, bool on)
{
    d->watched = on;
    if (!on) ckv_shown_clear(&d->shown_keys);
}

bool ckv_datastore_has_events(const ckv_datastore *d) { return d->n_taken < d->events.len; }

ckv_status ckv_datastore_next_event(ckv_datastore *d, ckv_kv_event *out)
{
    if (d->n_taken == d->events.len) {
        d->n_taken = d->events.len = 0;
        ckv_buf_clear(&d->event_bytes);
        ckv_hmap_fini(&d->told);
        d->told = ckv_hmap_init(ckv_ds_alloc(d), d->told.secret);
        return CKV_ENOENT;
    }
    while (d->events.ptr[d->n_taken].is_void)
        if (++d->n_taken == d->events.len) return ckv_datastore_next_event(d, out);
    const ckv_held_event *e = &d->events.ptr[d->n_taken++];
    *out = (ckv_kv_event){.key = key_of(d, e),
                          .old = old_of(d, e),
                          .new_ = new_of(d, e),
                          .author = e->author,
                          .is_local = e->is_local};
    return CKV_OK;
}

/* ---- one change */

/* The number of the change that a PART restates an operation of; CKV_NO_CHANGE: it has no effect. */
static ckv_status restated(const ckv_dag *dag, uint32_t change, const ckv_kv_op *op, uint32_t *out)
{
    ckv_id32 id;
    uint32_t of;
    bool past;
    ckv_lane_info a, b;
    memcpy(&id, op->part_of, sizeof id);
    *out = CKV_NO_CHANGE;
    const ckv_status s = ckv_doc_find(dag->doc, &id, &of);
    if (s == CKV_ENOENT) return CKV_OK;
    CKV_TRY(s);
    const uint32_t lane = ckv_doc_standing(dag->doc, change).lane,
                   other = ckv_doc_standing(dag->doc, of).lane;
    CKV_TRY(ckv_doc_is_past(dag->doc, of, change, &past));
    if (past && lane != other && ckv_doc_lane(dag->doc, lane, &a) &&
        ckv_doc_lane(dag->doc, other, &b) && ckv_id32_eq(a.author, b.author))
        *out = of;
    return CKV_OK;
}

ckv_status ckv_ds_write_recs(ckv_datastore *d, ckv_buf *out, uint32_t dag, uint32_t change,
                             uint32_t index, const ckv_kv_op *op, size_t value_at)
{
    ckv_rec rec = {
        .dag = dag, .change = change, .index = index, .value = op->value, .total = op->total};
    switch (op->kind) {
    case CKV_KV_PUT:
        rec.kind = CKV_REC_PUT;
        if (op->value.n_bytes > CKV_INLINE_VALUE) {
            rec.elsewhere = true;
            rec.off = (uint32_t)value_at;
        }
        break;
    case CKV_KV_DELETE: rec.kind = CKV_REC_DELETE; break;
    case CKV_KV_COUNT: rec.kind = CKV_REC_COUNT; break;
    case CKV_KV_PART:
        rec.kind = CKV_REC_PART;
        rec.by_change = change;
        rec.by_index = index;
        rec.index = op->part_index;
        CKV_TRY(restated(ckv_ds_dag(d, dag), change, op, &rec.change));
        if (rec.change == CKV_NO_CHANGE) return CKV_OK;
        break;
    }
    ckv_entry_write(out, &rec);
    ckv_value_bytes names = op->names;
    ckv_rec name = {.kind = CKV_REC_NAME, .dag = dag, .change = change, .index = index};
    while (ckv_kv_next_name(&names, &name.target, &name.target_index)) ckv_entry_write(out, &name);
    return out->status;
}

/* What shows of a key, until the next call; ptr NULL: nothing. */
static ckv_status look(ckv_datastore *d, ckv_store_key key, ckv_value_bytes *out)
{
    const ckv_kept_shown *kept = ckv_shown_find(&d->shown_keys, key);
    *out = (ckv_value_bytes){NULL, 0};
    if (kept) return kept->winner.kind ? ckv_ds_value(d, &kept->winner, out) : CKV_OK;
    const ckv_status s = ckv_ds_shown(d, key, out);
    if (s != CKV_OK && s != CKV_ENOENT) return s;
    ckv_shown_put(&d->shown_keys, key, ckv_ds_winner(d), d->recs.len > d->n_ops);
    return CKV_OK;
}

/* Does an operation supersede what shows? */
static ckv_status beats(const ckv_datastore *d, const ckv_rec *rec, const ckv_kv_op *op,
                        const ckv_rec *shown, bool *out)
{
    const ckv_dag *dag = ckv_ds_dag(d, shown->dag);
    ckv_value_bytes names = op->names;
    const uint8_t *id;
    uint32_t index;
    *out = false;
    if (rec->dag == shown->dag && rec->change == shown->change) {
        *out = rec->index > shown->index;
    } else if (rec->dag == shown->dag) {
        return ckv_doc_is_past(dag->doc, shown->change, rec->change, out);
    } else {
        while (!*out && ckv_kv_next_name(&names, &id, &index))
            *out = index == shown->index &&
                   memcmp(id, ckv_doc_id_of(dag->doc, shown->change)->b, 32) == 0;
    }
    return CKV_OK;
}

/* What is kept of a key goes along with one more operation on it, which came in its turn: nothing that is here has it in its past. */
static void follow(ckv_datastore *d, const ckv_staged *s, const ckv_kv_op *op, uint32_t index,
                   size_t value_at)
{
    ckv_kept_shown *kept = ckv_shown_find(&d->shown_keys, op->key);
    if (!kept) return;
    ckv_rec rec = {.kind = CKV_REC_PUT,
                   .dag = s->dag,
                   .change = s->change,
                   .index = index,
                   .value = op->value,
                   .off = (uint32_t)value_at,
                   .elsewhere = op->value.n_bytes > CKV_INLINE_VALUE};
    bool is_beaten = false, sure = !s->attached;
    kept->has_names |= op->n_names > 0;
    if (sure && kept->winner.kind)
        sure = beats(d, &rec, op, &kept->winner, &is_beaten) == CKV_OK && !is_beaten;
    if (!sure) { /* it came late, or what was behind may show now */
        ckv_shown_drop(&d->shown_keys, kept);
    } else if (op->kind == CKV_KV_PUT &&
               (!kept->winner.kind || ckv_ds_order(d, &kept->winner, &rec) < 0)) {
        if (kept->has_names && d->dags.len > 1)
            ckv_shown_drop(&d->shown_keys, kept); /* it may be named by something */
        else
            ckv_shown_put(&d->shown_keys, op->key, &rec, kept->has_names);
    }
}

/* Before the first operation of a change on a key: what shows. first: the number of the change's first event. */
static ckv_status begin_telling(ckv_datastore *d, const ckv_staged *s, ckv_store_key key,
                                size_t first)
{
    const uint32_t i = event_of(d, key);
    ckv_value_bytes old;
    ckv_change_info info;
    if (i != CKV_HMAP_NONE && i >= first) return CKV_OK;
    CKV_TRY(look(d, key, &old));
    CKV_TRY(ckv_ds_tell_room(d, key.n_bytes + old.n_bytes));
    ckv_doc_change(ckv_ds_dag(d, s->dag)->doc, s->change, &info);
    begin_event(d, key, old, info.author, s->is_local);
    return CKV_OK;
}

/* After the last operation: what shows now, once for each key however many operations were on it. */
static ckv_status end_telling(ckv_datastore *d, size_t first)
{
    ckv_value_bytes now;
    for (size_t i = first; i < d->events.len; i++) {
        CKV_TRY(look(d, key_of(d, &d->events.ptr[i]), &now));
        CKV_TRY(ckv_ds_tell_room(d, now.n_bytes));
        end_event(d, i, now);
    }
    return CKV_OK;
}

static ckv_status add(ckv_datastore *d, const ckv_staged *s, const ckv_kv_op *op, uint32_t index,
                      size_t first)
{
    const bool is_count = ckv_kv_is_count(op->kind);
    if (d->watched && !is_count && !s->was_open) CKV_TRY(begin_telling(d, s, op->key, first));
    const size_t value_at =
        op->value.n_bytes ? (size_t)(op->value.ptr - (s->bytes + s->header_bytes)) : 0;
    ckv_buf_clear(&d->joined);
    CKV_TRY(ckv_ds_write_recs(d, &d->joined, s->dag, s->change, index, op, value_at));
    if (d->joined.len == 0) return CKV_OK;
    CKV_TRY(ckv_ds_file(d, ckv_index_add(is_count ? d->counters : d->keys, op->key,
                                         (ckv_entry_bytes){d->joined.ptr, d->joined.len})));
    if (is_count)
        ckv_ds_counted(d, ckv_ds_dag(d, s->dag), s->change, s->is_local, op);
    else
        follow(d, s, op, index, value_at);
    return CKV_OK;
}

static ckv_status absorb_one(ckv_datastore *d, ckv_staged *s)
{
    ckv_kv_body b;
    ckv_kv_op op;
    const char *why;
    if (!s->has_body || s->is_void) return CKV_OK;
    const size_t first = d->events.len;
    CKV_TRY(ckv_kv_body_open(&b, s->bytes + s->header_bytes, s->body_bytes, &why));
    ckv_status status = CKV_OK;
    for (uint32_t i = 0; status == CKV_OK && ckv_kv_body_next(&b, &op); i++) {
        if (i < s->absorbed) continue; /* before memory ran out */
        status = add(d, s, &op, i, first);
        if (status == CKV_OK) s->absorbed = i + 1;
    }
    const ckv_status told = end_telling(d, first); /* of the part that came in, too */
    return status == CKV_OK ? told : status;
}

ckv_status ckv_ds_absorb(ckv_datastore *d)
{
    if (d->unloaded) return ckv_datastore_refresh(d);
    if (d->unsound && !d->repairing) CKV_TRY(ckv_ds_resume_repair(d));
    if (d->staged.len == 0) return CKV_OK;
    size_t done = 0;
    ckv_status s = CKV_OK;
    while (done < d->staged.len && s == CKV_OK) {
        ckv_staged *x = &d->staged.ptr[done];
        if (!x->stored) break;
        s = absorb_one(d, x);
        if (s != CKV_OK) break;
        ckv_dag *dag = ckv_ds_dag(d, x->dag);
        if (x->change >= dag->n_absorbed) dag->n_absorbed = x->change + 1;
        const size_t n = x->header_bytes + x->body_bytes;
        d->staged_bytes -= n;
        ckv_release(ckv_ds_alloc(d), x->bytes, n + 1);
        x->bytes =
            NULL; /* from here on its body is in the file, for whoever tells of the next one */
        x->header_bytes = x->body_bytes = 0;
        x->has_body = false;
        done++;
    }
    memmove(d->staged.ptr, d->staged.ptr + done, (d->staged.len - done) * sizeof *d->staged.ptr);
    d->staged.len -= done;
    if (done) d->version++;
    CKV_TRY(s);
    if (ckv_index_memory(d->keys) + ckv_index_memory(d->counters) < CKV_LAG_BYTES ||
        ckv_file_is_read_only(d->file))
        return CKV_OK;
    s = ckv_ds_flush(d);
    return s == CKV_EFULL || s == CKV_EDISK ? CKV_OK
                                            : s; /* it can be done later: nothing is lost */
}

bool ckv_datastore_is_behind(const ckv_datastore *d)
{
    return d->staged.len > 0 || d->unsound || d->unloaded;
}

ckv_status ckv_datastore_absorb(ckv_datastore *d) { return ckv_ds_absorb(d); }

/* ---- into runs */

/* What the runs stand for: of each DAG that they know something of, how much, and its root then. */
ckv_status ckv_ds_stamp(const ckv_datastore *d, ckv_id32 *out)
{
    ckv_buf m = ckv_buf_init(ckv_ds_alloc(d));
    for (uint32_t i = 0; i < d->dags.len; i++) {
        const ckv_dag *dag = ckv_ds_dag(d, i);
        if (dag->n_absorbed == 0) continue;
        ckv_buf_u64le(&m, (uint64_t)dag->row);
        ckv_buf_u32le(&m, dag->n_absorbed);
        ckv_buf_bytes(&m, &dag->root, sizeof dag->root);
    }
    const ckv_status s = m.status;
    if (s == CKV_OK) ckv_digest(out, "crdtkv-index-v1", m.ptr, m.len);
    ckv_buf_fini(&m);
    return s;
}

ckv_status ckv_ds_stand_for(ckv_datastore *d)
{
    ckv_id32 stamp;
    for (uint32_t i = 0; i < d->dags.len; i++) {
        ckv_dag *dag = ckv_ds_dag(d, i);
        memset(&dag->root, 0, sizeof dag->root); /* of less than all there is no root to be had */
        if (dag->doc && dag->n_absorbed == dag->notes.len)
            CKV_TRY(ckv_doc_root(dag->doc, &dag->root));
    }
    CKV_TRY(ckv_ds_stamp(d, &stamp));
    ckv_index_stand_for(d->keys, &stamp, sizeof stamp);
    ckv_index_stand_for(d->counters, &stamp, sizeof stamp);
    return CKV_OK;
}

ckv_status ckv_ds_note_indexed(ckv_datastore *d)
{
    for (uint32_t i = 0; i < d->dags.len; i++) {
        ckv_dag *dag = ckv_ds_dag(d, i);
        static const ckv_id32 none;
        ckv_stmt_bind_int(d->sql.indexed, 1, dag->n_absorbed);
        ckv_stmt_bind_blob(d->sql.indexed, 2, ckv_id32_eq(&dag->root, &none) ? NULL : &dag->root,
                           32);
        ckv_stmt_bind_int(d->sql.indexed, 3, dag->row);
        CKV_TRY(ckv_ds_file(d, ckv_stmt_run(d->sql.indexed)));
        for (uint32_t c = 0; c < dag->notes.len && dag->n_late; c++) {
            if (!(dag->notes.ptr[c].flags & CKV_NOTE_LATE)) continue;
            ckv_stmt_bind_int(d->sql.settle_late, 1, CKV_ROW(dag, c));
            CKV_TRY(ckv_ds_file(d, ckv_stmt_run(d->sql.settle_late)));
        }
    }
    return CKV_OK;
}

void ckv_ds_indexed(ckv_datastore *d)
{
    for (uint32_t i = 0; i < d->dags.len; i++) {
        ckv_dag *dag = ckv_ds_dag(d, i);
        dag->n_indexed = dag->n_absorbed;
        for (uint32_t c = 0; c < dag->notes.len && dag->n_late; c++)
            dag->notes.ptr[c].flags &= ~CKV_NOTE_LATE;
        dag->n_late = 0;
    }
    ckv_index_flushed(d->keys);
    ckv_index_flushed(d->counters);
}

/* All that is absorbed, in one transaction. */
ckv_status ckv_ds_flush(ckv_datastore *d)
{
    CKV_TRY(ckv_ds_file(d, ckv_file_begin(d->file)));
    ckv_status s = ckv_ds_stand_for(d);
    if (s == CKV_OK) s = ckv_ds_file(d, ckv_index_flush(d->keys));
    if (s == CKV_OK) s = ckv_ds_file(d, ckv_index_flush(d->counters));
    if (s == CKV_OK) s = ckv_ds_note_indexed(d);
    if (s == CKV_OK)
        s = ckv_ds_file(d, ckv_file_commit(d->file));
    else
        ckv_file_rollback(d->file);
    if (s == CKV_OK) {
        ckv_ds_indexed(d);
    } else {
        ckv_index_unflushed(d->keys);
        ckv_index_unflushed(d->counters);
    }
    return s;
}

ckv_status ckv_datastore_flush(ckv_datastore *d)
{
    CKV_TRY(ckv_ds_absorb(d));
    bool lag = false;
    for (uint32_t i = 0; i < d->dags.len; i++)
        lag |=
            ckv_ds_dag(d, i)->n_indexed != ckv_ds_dag(d, i)->n_absorbed || ckv_ds_dag(d, i)->n_late;
    return lag ? ckv_ds_flush(d) : CKV_OK;
}
