/* upkeep.c -- dropping what is dead, making derived state anew, and looking whether all is well. */
#include <stdio.h>

#include "base/check.h"
#include "datastore/state.h"

/* ---- what lives */

/* Of the change: how many bytes of its body still matter. */
CKV_VEC(sizes, uint32_t);

/* One walk over the indexes: what in them keeps which bodies alive, and how much of an index is superseded. */
typedef struct survey {
    ckv_datastore *d;
    sizes *live;     /* of each DAG, by change */
    uint64_t open;   /* bodies that could go, and of which nothing was seen yet */
    uint64_t small;  /* those in headers that could be packed */
    bool is_whole;   /* all of both was walked: what was not seen is dead */
    bool has_air[2]; /* of keys, of counters: writing it anew pays */
} survey;

static bool may_drop(const ckv_note *note)
{
    return !(note->flags & (CKV_NOTE_STATE | CKV_NOTE_VOID | CKV_NOTE_INLINE));
}

/* Does it stand in its header, in a row of its own? */
static bool is_small(const ckv_note *note)
{
    return (note->flags & (CKV_NOTE_STATE | CKV_NOTE_VOID | CKV_NOTE_INLINE | CKV_NOTE_PACKED)) ==
           CKV_NOTE_INLINE;
}

static void alive(survey *v, const ckv_rec *rec, size_t n_bytes)
{
    const uint32_t body = ckv_rec_body(rec);
    const ckv_note *note = &ckv_ds_dag(v->d, rec->dag)->notes.ptr[body];
    uint32_t *n = &v->live[rec->dag].ptr[body];
    if (*n == 0) {
        v->open -= may_drop(note);
        v->small -= is_small(note);
    }
    *n = *n + n_bytes + 1 > UINT32_MAX / 2 ? UINT32_MAX / 2 : *n + (uint32_t)n_bytes + 1;
}

/* Is this operation among d->recs, which are in order? */
static bool stands(const ckv_datastore *d, uint32_t dag, uint32_t change, uint32_t index)
{
    size_t lo = 0, hi = d->recs.len;
    const ckv_rec first = {.dag = dag, .change = change, .index = index};
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (ckv_rec_compare(&d->recs.ptr[mid], &first) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == d->recs.len) return false;
    const ckv_rec *r = &d->recs.ptr[lo];
    return ckv_rec_is_op(r) && r->dag == dag && r->change == change && r->index == index;
}

typedef struct target { /* the change that was asked for last: many names in a row may be of one */
    uint32_t dag, change;
    bool dead;
} target;

/* Is the change, whose body is not here, known to be superseded by something on the key of d->recs? */
static ckv_status is_dead(ckv_datastore *d, uint32_t dag, uint32_t change, target *last)
{
    if (last->dag == dag && last->change == change) return CKV_OK;
    *last = (target){dag, change, false};
    for (size_t k = 0; k < d->recs.len && !last->dead; k++) {
        const ckv_rec *r = &d->recs.ptr[k];
        if (!ckv_rec_is_op(r) || r->dag != dag || r->change == change) continue;
        CKV_TRY(ckv_doc_is_past(ckv_ds_dag(d, dag)->doc, change, r->change, &last->dead));
    }
    return CKV_OK;
}

/* Can what a NAME in d->recs names never be alive again, nor come to be known? */
static ckv_status is_spent(ckv_datastore *d, const ckv_rec *name, target *last, bool *spent)
{
    ckv_id32 id;
    memcpy(&id, name->target, 32);
    *spent = false;
    for (uint32_t i = 0; i < d->dags.len; i++) {
        const ckv_dag *dag = ckv_ds_dag(d, i);
        uint32_t change;
        if (!dag->doc) continue;
        const ckv_status s = ckv_doc_find(dag->doc, &id, &change);
        if (s == CKV_ENOENT) continue;
        CKV_TRY(s);
        *spent = i == name->dag; /* its own DAG: names do not act there */
        if (*spent || stands(d, i, change, name->target_index)) return CKV_OK;
        *spent = (dag->notes.ptr[change].flags & CKV_NOTE_STATE) != CKV_BODY_CLAIMED;
        if (*spent) return CKV_OK;
        CKV_TRY(is_dead(d, i, change, last));
        *spent = last->dead;
        return CKV_OK;
    }
    return CKV_OK; /* not here: it may come */
}

/* What stays of an entry; and, if there is a survey, which changes it keeps alive. */
static ckv_status prune_entry(ckv_datastore *d, survey *v, ckv_store_key key, ckv_entry_bytes entry,
                              ckv_buf *out)
{
    target last = {.dag = UINT32_MAX};
    CKV_TRY(ckv_ds_recs(d, entry));
    for (size_t i = 0; i < d->recs.len; i++) {
        const ckv_rec *rec = &d->recs.ptr[i];
        bool spent = false;
        if (rec->kind == CKV_REC_NAME) CKV_TRY(is_spent(d, rec, &last, &spent));
        if (spent) continue;
        if (v)
            alive(v, rec,
                  key.n_bytes + (rec->kind == CKV_REC_PUT     ? rec->value.n_bytes
                                 : rec->kind == CKV_REC_COUNT ? 8
                                                              : 40));
        ckv_buf_bytes(out, rec->start, (size_t)(rec->end - rec->start));
    }
    return out->status;
}

static ckv_status prune(void *ctx, ckv_store_key key, ckv_entry_bytes entry, ckv_buf *out)
{
    return prune_entry(ctx, NULL, key, entry, out);
}

static void survey_fini(survey *v)
{
    for (uint32_t i = 0; v->live && i < v->d->dags.len; i++) sizes_fini(&v->live[i]);
    ckv_release(ckv_ds_alloc(v->d), v->live, v->d->dags.len * sizeof *v->live);
    v->live = NULL;
}

static ckv_status survey_init(survey *v, ckv_datastore *d)
{
    *v = (survey){.d = d};
    v->live = ckv_resize(ckv_ds_alloc(d), NULL, 0, d->dags.len * sizeof *v->live);
    if (!v->live) return CKV_ENOMEM;
    for (uint32_t i = 0; i < d->dags.len; i++) v->live[i] = (sizes){.a = ckv_ds_alloc(d)};
    for (uint32_t i = 0; i < d->dags.len; i++) {
        const size_t n = ckv_ds_dag(d, i)->notes.len;
        const ckv_status s = sizes_reserve(&v->live[i], n);
        if (s != CKV_OK) {
            survey_fini(v);
            return s;
        }
        if (n) memset(v->live[i].ptr, 0, n * sizeof *v->live[i].ptr);
        v->live[i].len = n;
        for (size_t c = 0; c < n; c++) {
            v->open += may_drop(&ckv_ds_dag(d, i)->notes.ptr[c]);
            v->small += is_small(&ckv_ds_dag(d, i)->notes.ptr[c]);
        }
    }
    return CKV_OK;
}

static uint64_t bytes_of_bodies(const ckv_datastore *d)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < d->dags.len; i++) {
        const ckv_notes *notes = &ckv_ds_dag(d, i)->notes;
        for (size_t c = 0; c < notes->len; c++)
            if ((notes->ptr[c].flags & CKV_NOTE_STATE) == CKV_BODY_HERE)
                n += notes->ptr[c].body_len;
    }
    return n;
}

/* ---- compaction */

/* Was it written here, in a change that is mostly dead? */
static bool is_worth(const survey *v, const ckv_rec *rec)
{
    const ckv_datastore *d = v->d;
    const ckv_dag *dag = ckv_ds_dag(d, rec->dag);
    const uint32_t change = ckv_rec_body(rec);
    ckv_lane_info lane;
    if (change >= v->live[rec->dag].len) return false; /* it was just written */
    const ckv_note *note = &dag->notes.ptr[change];
    return may_drop(note) && v->live[rec->dag].ptr[change] < note->body_len / 2 &&
           ckv_doc_lane(dag->doc, ckv_doc_standing(dag->doc, change).lane, &lane) &&
           ckv_id32_eq(lane.author, &d->identity.public_key);
}

/* Counters: own parts, of lanes that nobody goes on with. */
static ckv_status say_parts_again(const survey *v, ckv_batch *batch, ckv_store_key name)
{
    ckv_datastore *d = v->d;
    for (size_t i = 0; i < d->recs.len; i++) {
        const ckv_rec *rec = &d->recs.ptr[i];
        const ckv_dag *dag = ckv_ds_dag(d, rec->dag);
        uint32_t lane, seq;
        if (!ckv_rec_is_op(rec) || !is_worth(v, rec)) continue;
        ckv_doc_next_own(dag->doc, &lane, &seq);
        if (ckv_doc_standing(dag->doc, rec->change).lane == lane) continue;
        CKV_TRY(ckv_ds_batch_part(batch, rec->dag, name, ckv_doc_id_of(dag->doc, rec->change),
                                  rec->index, rec->total));
    }
    return CKV_OK;
}

/* Keys: an own value that is all there is. */
static ckv_status put_value_again(const survey *v, ckv_batch *batch, ckv_store_key key)
{
    ckv_datastore *d = v->d;
    ckv_value_bytes value;
    if (d->recs.len != 1 || d->recs.ptr[0].kind != CKV_REC_PUT || !is_worth(v, &d->recs.ptr[0]))
        return CKV_OK;
    const ckv_rec rec = d->recs.ptr[0];
    CKV_TRY(ckv_ds_value(d, &rec, &value));
    return ckv_batch_put(batch, rec.dag, key, value.ptr, value.n_bytes);
}

/* Says again what the batch is for, over the whole of an index. */
static ckv_status walk(const survey *v, ckv_batch *batch, bool counters, int64_t time_ms)
{
    enum { AT_ONCE = 4 << 20 };
    ckv_datastore *d = v->d;
    ckv_index_scan *scan;
    ckv_store_key key;
    ckv_entry_bytes entry;
    uint32_t dag, change;
    CKV_TRY(ckv_index_scan_new(&scan, counters ? d->counters : d->keys, NULL, NULL, false));
    ckv_status s;
    while ((s = ckv_index_scan_next(scan, &key, &entry)) == CKV_OK) {
        s = ckv_ds_recs(d, entry);
        if (s == CKV_OK)
            s = counters ? say_parts_again(v, batch, key) : put_value_again(v, batch, key);
        if (s == CKV_OK && ckv_batch_bytes(batch) >= AT_ONCE)
            s = ckv_batch_write(batch, time_ms, NULL, 0, &dag, &change);
        if (s != CKV_OK) break;
    }
    ckv_index_scan_free(scan);
    return s == CKV_ENOENT ? CKV_OK : s;
}

/* Changes that are not worth a sheaf. */
#ifdef CKV_DEBUG
#define FEW 4u
#else
#define FEW 64u
#endif
#define SAMPLE 4096u /* keys that tell how much air there is */

/* Is there nothing more to learn? Then every body that could go has something that stands. */
static bool is_settled(const survey *v, bool to_end)
{
    return !to_end && v->open == 0 && v->small < FEW;
}

/* Over one index, or as much of it as matters. */
static ckv_status look_at(survey *v, bool counters, bool to_end, bool *ended)
{
    ckv_datastore *d = v->d;
    ckv_index_scan *scan;
    ckv_store_key key;
    ckv_entry_bytes entry;
    uint64_t keys = 0, kept = 0;
    bool spent = false;
    ckv_buf left = ckv_buf_init(ckv_ds_alloc(d));
    CKV_TRY(ckv_index_scan_new(&scan, counters ? d->counters : d->keys, NULL, NULL, false));
    ckv_status s = CKV_OK;
    while (keys < SAMPLE || !is_settled(v, to_end)) {
        s = ckv_index_scan_next(scan, &key, &entry);
        if (s != CKV_OK) break;
        ckv_buf_clear(&left);
        s = prune_entry(d, v, key, entry, &left);
        if (s != CKV_OK) break;
        keys++;
        kept += left.len > 0;
        spent |= left.len != entry.n_bytes;
    }
    *ended = s == CKV_ENOENT;
    const uint64_t rows = ckv_index_scan_rows(scan);
    v->has_air[counters] = spent || (rows > kept && (rows - kept) > rows / 4);
    ckv_index_scan_free(scan);
    ckv_buf_fini(&left);
    return s == CKV_ENOENT ? CKV_OK : s;
}

/* Of both indexes. to_end: how much of each body matters, too. */
static ckv_status look(survey *v, bool to_end)
{
    bool ended[2];
    for (int counters = 0; counters < 2; counters++)
        CKV_TRY(look_at(v, counters, to_end, &ended[counters]));
    v->is_whole = ended[0] && ended[1];
    return CKV_OK;
}

/* Says again what stands in own changes that are mostly dead: then those can go. */
static ckv_status say_again(ckv_datastore *d, int64_t time_ms)
{
    survey v;
    ckv_batch *batch = NULL;
    uint32_t dag, change;
    CKV_TRY(survey_init(&v, d));
    ckv_status s = ckv_batch_new(&batch, d);
    if (s == CKV_OK) s = look(&v, true);
    for (int counters = 0; counters < 2 && s == CKV_OK; counters++)
        s = walk(&v, batch, counters, time_ms);
    if (s == CKV_OK) s = ckv_batch_write(batch, time_ms, NULL, 0, &dag, &change);
    ckv_batch_free(batch);
    survey_fini(&v);
    return ckv_ds_file(d, s);
}

/* What a walk says of a change. */
static bool is_dropped(const survey *v, uint32_t dag, uint32_t change)
{
    return v->is_whole && !v->d->compliance && v->live[dag].ptr[change] == 0 &&
           may_drop(&ckv_ds_dag(v->d, dag)->notes.ptr[change]);
}

static bool is_going(const survey *v, uint32_t dag, uint32_t change)
{
    const ckv_note *note = &ckv_ds_dag(v->d, dag)->notes.ptr[change];
    if (is_dropped(v, dag, change)) return true;
    if (note->flags & (CKV_NOTE_PACKED | CKV_NOTE_VOID)) return false;
    if (note->flags & CKV_NOTE_STATE) return true;
    return v->is_whole && v->live[dag].ptr[change] == 0 && is_small(note);
}

typedef struct plan {
    uint64_t dropped; /* bodies */
    bool packs;       /* what goes is marked, and goes into sheaves; else it stays in rows */
} plan;

static void unmark(ckv_datastore *d)
{
    for (uint32_t i = 0; i < d->dags.len; i++) ckv_dag_unmark(ckv_ds_dag(d, i));
}

static plan make_plan(const survey *v)
{
    ckv_datastore *d = v->d;
    uint64_t going = 0;
    plan p = {.dropped = 0};
    for (uint32_t i = 0; i < d->dags.len; i++) {
        ckv_dag *dag = ckv_ds_dag(d, i);
        for (uint32_t c = 0; c < dag->notes.len; c++) {
            ckv_note *note = &dag->notes.ptr[c];
            if (d->compliance || !is_going(v, i, c)) continue;
            p.dropped += is_dropped(v, i, c);
            p.packs |= (note->flags & CKV_NOTE_PACKED) != 0; /* its sheaf must learn of it */
            note->flags |= CKV_NOTE_GOING;
            going++;
        }
    }
    p.packs |= going >= FEW;
    if (!p.packs) unmark(d);
    return p;
}

/* Of a few: their rows stay, without body. */
static ckv_status drop_bodies(const survey *v)
{
    ckv_datastore *d = v->d;
    for (uint32_t i = 0; i < d->dags.len; i++) {
        const ckv_dag *dag = ckv_ds_dag(d, i);
        for (uint32_t c = 0; c < dag->notes.len; c++) {
            if (!is_dropped(v, i, c)) continue;
            ckv_stmt_bind_int(d->sql.drop, 1, CKV_ROW(dag, c));
            CKV_TRY(ckv_ds_file(d, ckv_stmt_run(d->sql.drop)));
        }
    }
    return CKV_OK;
}

static ckv_status write_index(ckv_datastore *d, ckv_index *x, bool has_air)
{
    return ckv_ds_file(d, has_air ? ckv_index_rewrite(x, prune, d) : ckv_index_flush(x));
}

/* All that is to be done, inside a transaction. */
static ckv_status carry_out(const survey *v, const plan *p)
{
    ckv_datastore *d = v->d;
    CKV_TRY(ckv_ds_stand_for(d));
    CKV_TRY(write_index(d, d->keys, v->has_air[0]));
    CKV_TRY(write_index(d, d->counters, v->has_air[1]));
    for (uint32_t i = 0; i < d->dags.len && p->packs; i++)
        if (ckv_ds_dag(d, i)->doc) CKV_TRY(ckv_dag_pack(ckv_ds_dag(d, i)));
    if (!p->packs) CKV_TRY(drop_bodies(v));
    return ckv_ds_note_indexed(d);
}

/* It was committed: what memory knows of it. */
static void note_done(const survey *v, const plan *p)
{
    ckv_datastore *d = v->d;
    for (uint32_t i = 0; i < d->dags.len; i++) {
        ckv_dag *dag = ckv_ds_dag(d, i);
        for (uint32_t c = 0; c < dag->notes.len; c++)
            if (is_dropped(v, i, c)) dag->notes.ptr[c].flags |= CKV_BODY_DROPPED | CKV_NOTE_DEAD;
        if (p->dropped) dag->absent++;
        if (p->packs && dag->doc) ckv_dag_packed(dag);
    }
    ckv_ds_indexed(d);
    d->version++;
}

static ckv_status tidy(const survey *v, uint64_t *dropped)
{
    ckv_datastore *d = v->d;
    const plan p = make_plan(v);
    if (!p.packs && !p.dropped && !v->has_air[0] && !v->has_air[1]) return CKV_OK;
    ckv_status s = ckv_ds_file(d, ckv_file_begin(d->file));
    if (s == CKV_OK) {
        s = carry_out(v, &p);
        if (s == CKV_OK)
            s = ckv_ds_file(d, ckv_file_commit(d->file));
        else
            ckv_file_rollback(d->file);
        if (s != CKV_OK) {
            ckv_index_unflushed(d->keys);
            ckv_index_unflushed(d->counters);
        }
    }
    if (s != CKV_OK) {
        unmark(d);
        return s;
    }
    note_done(v, &p);
    *dropped = p.dropped;
    return CKV_OK;
}

ckv_status ckv_datastore_compact(ckv_datastore *d, bool rewrite, int64_t time_ms,
                                 ckv_compaction *out)
{
    survey v;
    CKV_TRY(ckv_ds_absorb(d));
    *out = (ckv_compaction){.bytes_before = bytes_of_bodies(d)};
    if (rewrite && !d->compliance) CKV_TRY(say_again(d, time_ms));
    if (d->compacted != d->version + 1) { /* something has happened since the last one */
        CKV_TRY(survey_init(&v, d));
        ckv_status s = look(&v, false);
        if (s == CKV_OK) s = tidy(&v, &out->dropped);
        survey_fini(&v);
        CKV_TRY(s);
        d->compacted = d->version + 1;
    }
    out->bytes_after = bytes_of_bodies(d);
    return CKV_OK;
}

/* ---- repair */

/* No runs, and a file that says so. */
static ckv_status clear_indexes(ckv_datastore *d)
{
    CKV_TRY(ckv_ds_file(d, ckv_file_begin(d->file)));
    ckv_status s = ckv_ds_file(d, ckv_index_clear(d->keys));
    if (s == CKV_OK) s = ckv_ds_file(d, ckv_index_clear(d->counters));
    for (uint32_t i = 0; i < d->dags.len && s == CKV_OK; i++) {
        ckv_stmt_bind_int(d->sql.indexed, 1, 0);
        ckv_stmt_bind_blob(d->sql.indexed, 2, NULL, 0);
        ckv_stmt_bind_int(d->sql.indexed, 3, ckv_ds_dag(d, i)->row);
        s = ckv_ds_file(d, ckv_stmt_run(d->sql.indexed));
    }
    if (s == CKV_OK)
        s = ckv_ds_file(d, ckv_file_commit(d->file));
    else
        ckv_file_rollback(d->file);
    if (s != CKV_OK) {
        ckv_index_unflushed(d->keys);
        ckv_index_unflushed(d->counters);
        return s;
    }
    ckv_index_flushed(d->keys);
    ckv_index_flushed(d->counters);
    return CKV_OK;
}

/* Everything once more from the record, into memory and, as far as the file takes it, into runs. */
static ckv_status fill_indexes(ckv_datastore *d)
{
    const bool watched = d->watched;
    ckv_status s = CKV_OK;
    d->repairing = true;
    d->watched = false; /* nothing happens that anybody should hear of */
    for (uint32_t i = 0; i < d->dags.len && s == CKV_OK; i++) {
        ckv_dag *dag = ckv_ds_dag(d, i);
        dag->n_indexed = dag->n_absorbed = 0;
        if (dag->doc) s = ckv_dag_stage_from(dag, 0);
    }
    if (s == CKV_OK) s = ckv_ds_absorb(d);
    if (s == CKV_OK) d->unsound = false;
    d->watched = watched;
    d->repairing = false;
    d->version++;
    return s;
}

/* One that was cut short, by memory or the disk: what it has done already is only done again. */
ckv_status ckv_ds_resume_repair(ckv_datastore *d) { return fill_indexes(d); }

ckv_status ckv_datastore_repair(ckv_datastore *d)
{
    const bool read_only = ckv_file_is_read_only(d->file);
    if (d->unloaded) CKV_TRY(ckv_ds_absorb(d));
    if (!d->unsound) { /* what has come is told of first; if it cannot be, that is no reason not to repair */
        if (ckv_ds_absorb(d) == CKV_ENOMEM) return CKV_ENOMEM;
        if (!read_only) CKV_TRY(clear_indexes(d)); /* a reader fills what it has, in memory */
        d->unsound = true;                         /* they lack something, until the end */
    }
    CKV_TRY(fill_indexes(d));
    return read_only ? CKV_OK : ckv_datastore_flush(d);
}

/* ---- check */

typedef struct saying {
    void (*say)(void *ctx, const char *line);
    void *ctx;
} saying;

static void tell(const saying *t, const char *dag, uint32_t change, const char *what)
{
    char line[256];
    (void)snprintf(line, sizeof line, "dag %.64s, change %u: %s", dag, change, what);
    t->say(t->ctx, line);
}

/* Headers, hashes of bodies, signatures. *damaged: something cannot be read. */
static ckv_status check_dag(ckv_datastore *d, ckv_dag *dag, const saying *t, bool *damaged)
{
    ckv_buf body = ckv_buf_init(ckv_ds_alloc(d));
    ckv_status s = CKV_OK;
    for (uint32_t c = 0; c < dag->notes.len && s == CKV_OK; c++) {
        ckv_change_info info;
        ckv_lane_info lane;
        ckv_doc_change(dag->doc, c, &info);
        const ckv_standing at = ckv_doc_standing(dag->doc, c);
        const ckv_signature *signature = ckv_doc_signature_at(dag->doc, c);
        const ckv_id32 id = ckv_dag_doc_id(d, dag->name, dag->name_bytes);
        if (signature && ckv_doc_lane(dag->doc, at.lane, &lane) &&
            !ckv_verify_change(signature, lane.author, &id, lane.id, at.seq, info.id))
            tell(t, dag->name, c, "its signature does not hold");
        if (!info.is_signed) tell(t, dag->name, c, "no signature covers it");
        ckv_buf_clear(&body);
        s = ckv_dag_body(dag, c, &body);
        if (s == CKV_ENOENT) { /* its header is here, whatever became of the body */
            ckv_body_info left;
            s = dag->content.body(dag, c, &left, NULL);
            if (s == CKV_ENOENT) s = CKV_OK;
            if (s == CKV_OK) continue;
        }
        if (s == CKV_ECORRUPT) {
            t->say(t->ctx, d->why);
            d->said = false;
            *damaged = true;
            s = CKV_OK;
            continue;
        }
        ckv_body_head head;
        const char *why = NULL;
        if (s != CKV_OK) continue;
        const ckv_status judged = ckv_kv_body_check(body.ptr, body.len, dag->notes.ptr[c].n_ops,
                                                    ckv_ds_alloc(d), &head, &why);
        if (judged == CKV_ENOMEM)
            s = judged;
        else if ((judged == CKV_EVOID) != ((dag->notes.ptr[c].flags & CKV_NOTE_VOID) != 0))
            tell(t, dag->name, c, "is kept with the wrong verdict");
    }
    ckv_buf_fini(&body);
    return s;
}

/* The next key of which something stays. */
static ckv_status next_pruned(ckv_datastore *d, ckv_index_scan *scan, ckv_store_key *key,
                              ckv_buf *out)
{
    ckv_entry_bytes entry;
    do {
        CKV_TRY(ckv_index_scan_next(scan, key, &entry));
        ckv_buf_clear(out);
        CKV_TRY(prune_entry(d, NULL, *key, entry, out));
    } while (out->len == 0);
    return CKV_OK;
}

/* Two indexes side by side, key by key. */
static ckv_status compare(ckv_datastore *d, ckv_index *a, ckv_index *b, const saying *t)
{
    ckv_index_scan *x = NULL, *y = NULL;
    ckv_buf ex = ckv_buf_init(ckv_ds_alloc(d)), ey = ckv_buf_init(ckv_ds_alloc(d));
    ckv_status s = ckv_index_scan_new(&x, a, NULL, NULL, false);
    if (s == CKV_OK) s = ckv_index_scan_new(&y, b, NULL, NULL, false);
    for (uint64_t n = 0; s == CKV_OK; n++) {
        ckv_store_key kx, ky;
        const ckv_status sx = next_pruned(d, x, &kx, &ex), sy = next_pruned(d, y, &ky, &ey);
        if (sx == CKV_ENOENT && sy == CKV_ENOENT) break;
        if (sx != CKV_OK && sx != CKV_ENOENT) s = sx;
        if (sy != CKV_OK && sy != CKV_ENOENT) s = sy;
        if (s != CKV_OK) break;
        if (sx == sy && ckv_store_key_compare(kx, ky) == 0 &&
            ckv_entry_alike((ckv_entry_bytes){ex.ptr, ex.len}, (ckv_entry_bytes){ey.ptr, ey.len}))
            continue;
        char line[128];
        (void)snprintf(line, sizeof line,
                       "the index does not say what the record says, from its entry %llu on: "
                       "repair() makes it anew",
                       (unsigned long long)n);
        t->say(t->ctx, line);
        break;
    }
    ckv_index_scan_free(x);
    ckv_index_scan_free(y);
    ckv_buf_fini(&ex);
    ckv_buf_fini(&ey);
    return s;
}

/* Everything once more, beside: an index in a file in memory, from the record. */
static ckv_status check_index(ckv_datastore *d, const saying *t)
{
    const ckv_file_options memory = {.mode = CKV_FILE_WRITE, .sync = CKV_SYNC_NORMAL};
    char why[256];
    ckv_file *file = NULL;
    ckv_index *keys = NULL,
              *counters = NULL, *const own_keys = d->keys, *const own_counters = d->counters;
    bool sound;
    ckv_status s = ckv_file_open(&file, ckv_ds_alloc(d), &memory, why, NULL);
    if (s == CKV_OK) s = ckv_index_open(&keys, ckv_ds_alloc(d), file, 1, 0, ckv_ds_join, d, &sound);
    if (s == CKV_OK)
        s = ckv_index_open(&counters, ckv_ds_alloc(d), file, 1, 1, ckv_ds_join, d, &sound);
    ckv_buf body = ckv_buf_init(ckv_ds_alloc(d)), entry = ckv_buf_init(ckv_ds_alloc(d));
    for (uint32_t i = 0; i < d->dags.len && s == CKV_OK; i++) {
        ckv_dag *dag = ckv_ds_dag(d, i);
        for (uint32_t c = 0; c < dag->notes.len && s == CKV_OK; c++) {
            ckv_kv_body b;
            ckv_kv_op op;
            const char *reason;
            if (dag->notes.ptr[c].flags & (CKV_NOTE_STATE | CKV_NOTE_VOID)) continue;
            ckv_buf_clear(&body);
            s = ckv_dag_body(dag, c, &body);
            if (s == CKV_OK) s = ckv_kv_body_open(&b, body.ptr, body.len, &reason);
            for (uint32_t k = 0; s == CKV_OK && ckv_kv_body_next(&b, &op); k++) {
                ckv_buf_clear(&entry);
                s = ckv_ds_write_recs(d, &entry, i, c, k, &op,
                                      op.value.n_bytes ? (size_t)(op.value.ptr - body.ptr) : 0);
                if (s == CKV_OK && entry.len == 0) continue;
                if (s == CKV_OK)
                    s = ckv_index_add(ckv_kv_is_count(op.kind) ? counters : keys, op.key,
                                      (ckv_entry_bytes){entry.ptr, entry.len});
            }
            if (s == CKV_OK &&
                ckv_index_memory(keys) + ckv_index_memory(counters) >= CKV_LAG_BYTES) {
                s = ckv_file_begin(file);
                if (s == CKV_OK) s = ckv_index_flush(keys);
                if (s == CKV_OK) s = ckv_index_flush(counters);
                if (s == CKV_OK) s = ckv_file_commit(file);
                if (s == CKV_OK) ckv_index_flushed(keys), ckv_index_flushed(counters);
            }
        }
    }
    if (s == CKV_OK) s = compare(d, own_keys, keys, t);
    if (s == CKV_OK) s = compare(d, own_counters, counters, t);
    ckv_buf_fini(&body);
    ckv_buf_fini(&entry);
    ckv_index_free(keys);
    ckv_index_free(counters);
    if (file) ckv_file_close(file);
    return s;
}

ckv_status ckv_datastore_check(ckv_datastore *d, void (*say)(void *ctx, const char *line),
                               void *ctx)
{
    const saying t = {say, ctx};
    const char *why;
    int64_t block = 0;
    bool damaged = false;
    CKV_TRY(ckv_ds_absorb(d));
    for (uint32_t i = 0; i < d->dags.len; i++)
        if (ckv_ds_dag(d, i)->doc) {
            CKV_TRY(check_dag(d, ckv_ds_dag(d, i), &t, &damaged));
            CKV_TRY(ckv_dag_check_sheaves(ckv_ds_dag(d, i), say, ctx));
        }
    ckv_index *const indexes[] = {d->keys, d->counters};
    for (int i = 0; i < 2; i++) {
        char line[256];
        if (ckv_index_check(indexes[i], &why, &block)) continue;
        (void)snprintf(line, sizeof line, "table block, row %lld: %.128s", (long long)block, why);
        say(ctx, line);
        damaged = true;
    }
    return damaged ? CKV_OK : check_index(d, &t); /* of what cannot be read no index is made */
}

ckv_status ckv_datastore_figures(ckv_datastore *d, ckv_datastore_stats *out)
{
    ckv_index_stats keys, counters;
    CKV_TRY(ckv_ds_absorb(d));
    ckv_index_figures(d->keys, &keys);
    ckv_index_figures(d->counters, &counters);
    *out = (ckv_datastore_stats){.open_edits = ckv_edits_len(&d->open),
                                 .index_runs = keys.runs + counters.runs,
                                 .index_bytes = keys.disk_bytes + counters.disk_bytes,
                                 .memory = keys.memory_bytes + counters.memory_bytes +
                                           keys.cache_bytes + counters.cache_bytes};
    for (uint32_t i = 0; i < d->dags.len; i++) {
        const ckv_dag *dag = ckv_ds_dag(d, i);
        ckv_stats of_doc;
        if (!dag->doc) continue;
        CKV_TRY(ckv_doc_stats(dag->doc, &of_doc));
        out->dags++;
        out->changes += dag->notes.len;
        out->later += of_doc.later;
        out->memory += of_doc.memory + dag->notes.cap * sizeof *dag->notes.ptr;
        for (size_t c = 0; c < dag->notes.len; c++) {
            const ckv_note *note = &dag->notes.ptr[c];
            const bool here = (note->flags & CKV_NOTE_STATE) == CKV_BODY_HERE;
            out->ops += note->n_ops;
            out->bodies += here;
            out->body_bytes += here ? note->body_len : 0;
            out->left_out += !here;
        }
    }
    return CKV_OK;
}
