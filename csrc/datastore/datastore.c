#include "datastore/state.h"

#include <stdio.h>

#include "base/check.h"
#include "crypto/digest.h"
#include "doc/peer.h"

/* ---- what went wrong */

ckv_status ckv_ds_damaged(ckv_datastore *d, const char *table, int64_t row, const char *what)
{
    (void)snprintf(d->why, sizeof d->why, "table %s, row %lld %s", table, (long long)row, what);
    d->said = true;
    return CKV_ECORRUPT;
}

ckv_status ckv_ds_purged(ckv_datastore *d, const ckv_dag *dag)
{
    size_t n = dag->name_bytes < 80 ? dag->name_bytes : 80;
    while (n < dag->name_bytes && n && ((uint8_t)dag->name[n] & 0xc0) == 0x80)
        n--; /* whole characters */
    const char *more = n < dag->name_bytes ? "..." : "";
    (void)snprintf(d->why, sizeof d->why,
                   "the DAG '%.*s%s' was purged; admit('%.*s%s') lets it in again", (int)n,
                   dag->name, more, (int)n, dag->name, more);
    return CKV_ESTALE;
}

ckv_status ckv_ds_file(ckv_datastore *d, ckv_status s)
{
    if (s == CKV_ECORRUPT && !d->said) {
        int64_t row = d->keys ? ckv_index_damaged(d->keys) : 0;
        if (!row && d->counters) row = ckv_index_damaged(d->counters);
        if (row)
            return ckv_ds_damaged(d, "block", row, "does not have the digest that its run says");
    }
    if (s == CKV_EDISK || s == CKV_EFULL || s == CKV_ELOCKED || s == CKV_EFORKED ||
        (s == CKV_ECORRUPT && !d->said))
        (void)snprintf(d->why, sizeof d->why, "%s", ckv_file_error(d->file));
    return s;
}

const char *ckv_datastore_error(ckv_datastore *d)
{
    d->said = false;
    return d->why;
}

/* ---- statements */

static ckv_status prepare(ckv_datastore *d)
{
    const struct {
        ckv_stmt **at;
        const char *sql;
    } all[] = {
        {&d->sql.body, "SELECT body FROM change WHERE id = ?"},
        {&d->sql.header, "SELECT header FROM change WHERE id = ?"},
        {&d->sql.add_change, "INSERT INTO change(id, lane, state, time, message, header, "
                             "signature, body) VALUES(?, ?, ?, ?, ?, ?, ?, ?)"},
        {&d->sql.add_lane, /* damage may have taken all changes of a lane, and left its row */
         "INSERT OR REPLACE INTO lane(id, author, nonce) VALUES(?, ?, ?)"},
        {&d->sql.attach, /* one that is packed has no row yet */
         "INSERT INTO change(id, lane, state, time, message, header, signature, body) "
         "VALUES(?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET state = excluded.state, "
         "time = excluded.time, message = excluded.message, body = excluded.body"},
        {&d->sql.drop, "UPDATE change SET state = 1, body = NULL WHERE id = ?"},
        {&d->sql.indexed, "UPDATE dag SET indexed = ?, root = ? WHERE id = ?"},
        {&d->sql.settle_late, "UPDATE change SET state = 0 WHERE id = ? AND state = 3"},
        {&d->sql.drop_later,
         "DELETE FROM record WHERE object = ? AND kind = 6 AND substr(data, 1, 8) = ?"},
        {&d->sql.add_cover,
         "INSERT OR REPLACE INTO cover(id, n, headers, signature) VALUES(?, ?, ?, ?)"},
        {&d->sql.add_later, "INSERT INTO record(object, kind, data) VALUES(?, 6, ?)"},
        {&d->sql.sheaf, "SELECT id, last, n, data FROM sheaf WHERE id <= ? AND id >= ? "
                        "ORDER BY id DESC LIMIT 1"},
        {&d->sql.add_sheaf, "INSERT INTO sheaf(id, last, n, data) VALUES(?, ?, ?, ?)"},
        {&d->sql.drop_sheaf, "DELETE FROM sheaf WHERE id = ?"},
        {&d->sql.row, "SELECT lane, time, message, header FROM change WHERE id = ?"},
        {&d->sql.claim, "UPDATE change SET state = 4 WHERE id = ? AND state = 1"},
        {&d->sql.unrow, "DELETE FROM change WHERE id = ?"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        CKV_TRY(ckv_ds_file(d, ckv_stmt_new(all[i].at, d->file, all[i].sql)));
    return CKV_OK;
}

static void finalize(ckv_datastore *d)
{
    ckv_stmt *const all[] = {
        d->sql.body,      d->sql.header,  d->sql.add_change,  d->sql.add_lane,   d->sql.attach,
        d->sql.drop,      d->sql.indexed, d->sql.settle_late, d->sql.drop_later, d->sql.add_later,
        d->sql.add_cover, d->sql.sheaf,   d->sql.add_sheaf,   d->sql.drop_sheaf, d->sql.row,
        d->sql.unrow,     d->sql.claim};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) ckv_stmt_free(all[i]);
    d->sql = (ckv_datastore_sql){0};
}

/* One statement that is not needed often, with up to three numbers. */
static ckv_status run(ckv_datastore *d, const char *sql, int n, int64_t a, int64_t b, int64_t c)
{
    ckv_stmt *q;
    CKV_TRY(ckv_ds_file(d, ckv_stmt_new(&q, d->file, sql)));
    const int64_t values[] = {a, b, c};
    for (int i = 0; i < n; i++) ckv_stmt_bind_int(q, i + 1, values[i]);
    const ckv_status s = ckv_ds_file(d, ckv_stmt_run(q));
    ckv_stmt_free(q);
    return s;
}

/* ---- DAGs */

/* A new row and, unless it is to be purged, a document. */
static ckv_status make_dag(ckv_datastore *d, const char *name, size_t n_bytes, uint32_t *number)
{
    ckv_dag *dag;
    ckv_stmt *add = NULL, *last = NULL;
    CKV_TRY(ckv_dags_reserve(&d->dags, 1));
    CKV_TRY(ckv_dag_new(d, 0, name, n_bytes, false, &dag));
    ckv_status s = ckv_ds_file(
        d, ckv_stmt_new(
               &add, d->file,
               "INSERT INTO dag(object, name, state, indexed, root) VALUES(?, ?, 0, 0, NULL)"));
    if (s == CKV_OK)
        s = ckv_ds_file(
            d, ckv_stmt_new(&last, d->file, "SELECT id FROM dag WHERE object = ? AND name = ?"));
    if (s == CKV_OK) s = ckv_ds_file(d, ckv_file_begin(d->file));
    const bool began = s == CKV_OK;
    if (s == CKV_OK) {
        ckv_stmt_bind_int(add, 1, d->object);
        ckv_stmt_bind_text(add, 2, name, n_bytes);
        s = ckv_ds_file(d, ckv_stmt_run(add));
    }
    if (s == CKV_OK) {
        ckv_stmt_bind_int(last, 1, d->object);
        ckv_stmt_bind_text(last, 2, name, n_bytes);
        s = ckv_ds_file(d, ckv_stmt_step(last));
        dag->row = ckv_stmt_int(last, 0);
        ckv_stmt_reset(last);
    }
    if (s == CKV_OK) s = ckv_dag_start(dag);
    if (s == CKV_OK)
        s = ckv_ds_file(d, ckv_file_commit(d->file));
    else if (began)
        ckv_file_rollback(d->file);
    ckv_stmt_free(add);
    ckv_stmt_free(last);
    if (s != CKV_OK) {
        ckv_dag_free(dag);
        return s;
    }
    *number = dag->number;
    ckv_dags_put(&d->dags, dag);
    return CKV_OK;
}

uint32_t ckv_datastore_n_dags(const ckv_datastore *d) { return (uint32_t)d->dags.len; }

ckv_dag_info ckv_datastore_dag(const ckv_datastore *d, uint32_t number)
{
    const ckv_dag *dag = ckv_ds_dag(d, number);
    return (ckv_dag_info){number, dag->name, dag->name_bytes, dag->purged, dag->life, dag->doc};
}

ckv_status ckv_datastore_find_dag(ckv_datastore *d, const char *name, size_t n_bytes, bool make,
                                  uint32_t *number)
{
    for (uint32_t i = 0; i < d->dags.len; i++) {
        const ckv_dag *dag = ckv_ds_dag(d, i);
        if (dag->name_bytes != n_bytes || (n_bytes && memcmp(dag->name, name, n_bytes) != 0))
            continue;
        *number = i;
        return dag->purged ? ckv_ds_purged(d, dag) : CKV_OK;
    }
    if (!make) return CKV_ENOENT;
    if (d->dags.len >= CKV_MAX_DAGS || n_bytes > CKV_MAX_DAG_NAME) return CKV_ELIMIT;
    return make_dag(d, name, n_bytes, number);
}

/* What this entry shows without the DAG, and what it showed. */
static ckv_status tell_without(ckv_datastore *d, const ckv_dag *dag, ckv_store_key key,
                               ckv_entry_bytes entry)
{
    ckv_entry_rd rd = ckv_entry_rd_init(entry);
    ckv_rec rec;
    ckv_value_bytes old = {NULL, 0}, now = {NULL, 0};
    bool touched = false;
    ckv_buf_clear(&d->joined);
    while (ckv_entry_next(&rd, &rec)) {
        touched |= rec.dag == dag->number;
        if (rec.dag != dag->number)
            ckv_buf_bytes(&d->joined, rec.start, (size_t)(rec.end - rec.start));
    }
    CKV_TRY(rd.r.status);
    CKV_TRY(d->joined.status);
    if (!touched) return CKV_OK;
    CKV_TRY(ckv_ds_recs(d, entry));
    const ckv_rec *best = ckv_ds_winner(d);
    ckv_buf_clear(&d->scratch);
    if (best) {
        CKV_TRY(ckv_ds_value(d, best, &old));
        ckv_buf_bytes(&d->scratch, old.ptr, old.n_bytes); /* d->value may be needed again */
        CKV_TRY(d->scratch.status);
        old.ptr = d->scratch.ptr;
    }
    CKV_TRY(ckv_ds_recs(d, (ckv_entry_bytes){d->joined.ptr, d->joined.len}));
    best = ckv_ds_winner(d);
    if (best) CKV_TRY(ckv_ds_value(d, best, &now));
    CKV_TRY(ckv_ds_tell_room(d, key.n_bytes + old.n_bytes + now.n_bytes));
    ckv_ds_tell(d, key, old, now, &d->identity.public_key, true);
    return CKV_OK;
}

/* Who watches is told what the keys show without this DAG. */
static ckv_status tell_of_purge(ckv_datastore *d, const ckv_dag *dag)
{
    ckv_index_scan *scan;
    ckv_store_key key;
    ckv_entry_bytes entry;
    if (!d->watched) return CKV_OK;
    CKV_TRY(ckv_ds_file(d, ckv_index_scan_new(&scan, d->keys, NULL, NULL, false)));
    ckv_status s = CKV_OK, next;
    while (s == CKV_OK && (next = ckv_index_scan_next(scan, &key, &entry)) != CKV_ENOENT)
        s = next == CKV_OK ? tell_without(d, dag, key, entry) : next;
    ckv_index_scan_free(scan);
    return ckv_ds_file(d, s);
}

/* The rows of a DAG's changes, inside a transaction. */
static ckv_status delete_rows(ckv_datastore *d, const ckv_dag *dag)
{
    const int64_t from = dag->row << 32, to = (dag->row + 1) << 32;
    CKV_TRY(run(d, "DELETE FROM change WHERE id >= ? AND id < ?", 2, from, to, 0));
    CKV_TRY(run(d, "DELETE FROM sheaf WHERE id >= ? AND id < ?", 2, from, to, 0));
    CKV_TRY(run(d, "DELETE FROM lane WHERE id >= ? AND id < ?", 2, from, to, 0));
    CKV_TRY(run(d, "DELETE FROM cover WHERE id >= ? AND id < ?", 2, from, to, 0));
    ckv_buf row = ckv_buf_init(ckv_ds_alloc(d));
    ckv_buf_u64le(&row, (uint64_t)dag->row);
    CKV_TRY(row.status);
    ckv_stmt_bind_int(d->sql.drop_later, 1, d->object);
    ckv_stmt_bind_blob(d->sql.drop_later, 2, row.ptr, row.len);
    const ckv_status s = ckv_ds_file(d, ckv_stmt_run(d->sql.drop_later));
    ckv_buf_fini(&row);
    return s;
}

/* Ends a transaction in which the indexes were rewritten. */
static ckv_status finish(ckv_datastore *d, ckv_status s)
{
    if (s == CKV_OK)
        s = ckv_ds_file(d, ckv_file_commit(d->file));
    else
        ckv_file_rollback(d->file);
    if (s != CKV_OK) {
        ckv_index_unflushed(d->keys);
        ckv_index_unflushed(d->counters);
    }
    return s;
}

/* Names of what is dead in this DAG are not in the indexes, and bodies that had nothing else to say were dropped (upkeep.c). That it was dead is forgotten with it, and it may
 * come back in part: so the indexes are made anew from the record, and what was dropped is only claimed to be dead, and asked for. */
ckv_status ckv_datastore_purge(ckv_datastore *d, uint32_t number, uint64_t *n)
{
    ckv_dag *dag = ckv_ds_dag(d, number);
    *n = 0;
    if (dag->purged) return ckv_ds_purged(d, dag);
    CKV_TRY(ckv_ds_absorb(d));
    const size_t n_events = d->events.len;
    CKV_TRY(ckv_ds_file(d, ckv_file_begin(d->file)));
    ckv_status s = tell_of_purge(d, dag);
    if (s == CKV_OK) s = ckv_ds_file(d, ckv_index_clear(d->keys));
    if (s == CKV_OK) s = ckv_ds_file(d, ckv_index_clear(d->counters));
    if (s == CKV_OK) s = delete_rows(d, dag);
    if (s == CKV_OK) s = run(d, "UPDATE dag SET state = 1 WHERE id = ?", 1, dag->row, 0, 0);
    if (s == CKV_OK)
        s = run(d, "UPDATE dag SET indexed = 0, root = NULL WHERE object = ?", 1, d->object, 0, 0);
    for (uint32_t i = 0; i < d->dags.len && s == CKV_OK; i++)
        if (i != number) s = ckv_dag_claim(ckv_ds_dag(d, i));
    s = finish(d, s);
    if (s != CKV_OK) d->events.len = n_events;
    CKV_TRY(s);
    ckv_index_flushed(d->keys);
    ckv_index_flushed(d->counters);
    *n = dag->notes.len;
    ckv_dag_stop(dag);
    dag->purged = true;
    for (uint32_t i = 0; i < d->dags.len; i++) ckv_dag_claimed(ckv_ds_dag(d, i));
    if (d->open_dag == number && ckv_datastore_is_open(d)) ckv_edits_clear(&d->open);
    d->unsound = true;
    const ckv_status filled = ckv_ds_resume_repair(d);
    (void)filled; /* it is purged: whoever looks next fills them, or hears why he cannot */
    return CKV_OK;
}

ckv_status ckv_datastore_admit(ckv_datastore *d, uint32_t number)
{
    ckv_dag *dag = ckv_ds_dag(d, number);
    if (!dag->purged) return CKV_OK;
    CKV_TRY(ckv_ds_file(d, ckv_file_begin(d->file)));
    ckv_status s = run(d, "UPDATE dag SET state = 0 WHERE id = ?", 1, dag->row, 0, 0);
    if (s == CKV_OK) s = ckv_dag_start(dag);
    if (s == CKV_OK)
        s = ckv_ds_file(d, ckv_file_commit(d->file));
    else
        ckv_file_rollback(d->file);
    if (s != CKV_OK) {
        ckv_dag_stop(dag);
    } else {
        dag->purged = false;
        dag->life++; /* there is something to ask for */
        d->n_admitted++;
    }
    return s;
}

uint64_t ckv_datastore_n_admitted(const ckv_datastore *d) { return d->n_admitted; }

ckv_status ckv_datastore_erase(ckv_datastore *d)
{
    CKV_TRY(ckv_ds_file(d, ckv_file_begin(d->file)));
    ckv_status s = ckv_ds_file(d, ckv_index_clear(d->keys));
    if (s == CKV_OK) s = ckv_ds_file(d, ckv_index_clear(d->counters));
    for (uint32_t i = 0; i < d->dags.len && s == CKV_OK; i++) s = delete_rows(d, ckv_ds_dag(d, i));
    if (s == CKV_OK) s = run(d, "DELETE FROM dag WHERE object = ?", 1, d->object, 0, 0);
    CKV_TRY(finish(d, s));
    ckv_index_flushed(d->keys);
    ckv_index_flushed(d->counters);
    return CKV_OK;
}

/* ---- life */

static void unload(ckv_datastore *d)
{
    for (uint32_t i = 0; i < d->dags.len; i++) ckv_dag_stop(ckv_ds_dag(d, i));
    ckv_index_free(d->keys);
    ckv_index_free(d->counters);
    d->keys = d->counters = NULL;
}

static ckv_status read_dags(ckv_datastore *d)
{
    ckv_stmt *q;
    CKV_TRY(ckv_ds_file(
        d, ckv_stmt_new(&q, d->file,
                        "SELECT id, name, state, indexed FROM dag WHERE object = ? ORDER BY id")));
    ckv_stmt_bind_int(q, 1, d->object);
    ckv_status s;
    uint32_t n = 0;
    while ((s = ckv_stmt_step(q)) == CKV_OK) {
        size_t n_bytes;
        ckv_dag *dag;
        const uint8_t *name = ckv_stmt_blob(q, 1, &n_bytes);
        const int64_t row = ckv_stmt_int(q, 0), state = ckv_stmt_int(q, 2),
                      indexed = ckv_stmt_int(q, 3);
        if (row <= 0 || row >= INT32_MAX || !name || n_bytes > CKV_MAX_DAG_NAME || state < 0 ||
            state > 1 || indexed < 0 || indexed >= UINT32_MAX || d->dags.len > CKV_MAX_DAGS) {
            s = ckv_ds_damaged(d, "dag", row, "is damaged");
            break;
        }
        if (n < d->dags.len) { /* read again */
            dag = ckv_ds_dag(d, n);
        } else {
            if ((s = ckv_dags_reserve(&d->dags, 1)) != CKV_OK) break;
            if ((s = ckv_dag_new(d, row, (const char *)name, n_bytes, state == 1, &dag)) != CKV_OK)
                break;
            ckv_dags_put(&d->dags, dag);
        }
        dag->purged = state == 1;
        dag->n_indexed = dag->n_absorbed = (uint32_t)indexed;
        n++;
    }
    ckv_stmt_free(q);
    return s == CKV_ENOENT ? CKV_OK : ckv_ds_file(d, s);
}

/* Its root now, if the runs stand for one. */
static ckv_status know_root(ckv_datastore *d, ckv_dag *dag)
{
    ckv_stmt *q;
    memset(&dag->root, 0, sizeof dag->root);
    CKV_TRY(ckv_ds_file(d, ckv_stmt_new(&q, d->file, "SELECT root FROM dag WHERE id = ?")));
    ckv_stmt_bind_int(q, 1, dag->row);
    ckv_status s = ckv_ds_file(d, ckv_stmt_step(q));
    size_t n = 0;
    if (s == CKV_OK && ckv_stmt_blob(q, 0, &n)) s = ckv_doc_root(dag->doc, &dag->root);
    ckv_stmt_free(q);
    return s;
}

/* Do both indexes stand for what was loaded? */
static ckv_status are_ours(ckv_datastore *d, bool *ours)
{
    ckv_id32 stamp;
    bool any = false;
    for (uint32_t i = 0; i < d->dags.len; i++) any |= ckv_ds_dag(d, i)->n_absorbed > 0;
    CKV_TRY(ckv_ds_stamp(d, &stamp));
    ckv_index *const indexes[] = {d->keys, d->counters};
    *ours = true;
    for (int i = 0; i < 2; i++) {
        const ckv_entry_bytes said = ckv_index_stands_for(indexes[i]);
        const bool same =
            said.n_bytes == sizeof stamp && memcmp(said.ptr, &stamp, sizeof stamp) == 0;
        *ours &= same || (!any && said.n_bytes == 0);
    }
    return CKV_OK;
}

/* One row of what only a later version can read: this version may be that one. */
static ckv_status take_later(ckv_datastore *d, int64_t id, const ckv_buf *data, ckv_report *report)
{
    ckv_rd r = ckv_rd_init(data->ptr, data->len);
    ckv_err err;
    ckv_status s = CKV_OK;
    const int64_t row = (int64_t)ckv_rd_u64le(&r);
    for (uint32_t i = 0; i < d->dags.len && s == CKV_OK; i++) {
        ckv_dag *dag = ckv_ds_dag(d, i);
        if (dag->row != row || !dag->doc) continue;
        dag->later_stored = CKV_READING_LATER;
        s = ckv_doc_apply(dag->doc, r.p, ckv_rd_left(&r), report, &err);
        dag->later_stored = ckv_doc_later_version(dag->doc);
    }
    return s == CKV_ECORRUPT ? ckv_ds_damaged(d, "record", id, "is damaged") : s;
}

static ckv_status read_later(ckv_datastore *d)
{
    int64_t id = 0;
    ckv_report report;
    ckv_buf data = ckv_buf_init(ckv_ds_alloc(d));
    ckv_report_init(&report, ckv_ds_alloc(d));
    ckv_status s;
    do { /* row by row: taking one in may write */
        ckv_stmt *q;
        s = ckv_ds_file(d, ckv_stmt_new(&q, d->file,
                                        "SELECT id, data FROM record WHERE object = ? AND kind = 6 "
                                        "AND id > ? ORDER BY id LIMIT 1"));
        if (s != CKV_OK) break;
        ckv_stmt_bind_int(q, 1, d->object);
        ckv_stmt_bind_int(q, 2, id);
        s = ckv_stmt_step(q);
        if (s == CKV_OK) {
            size_t n;
            const uint8_t *bytes = ckv_stmt_blob(q, 1, &n);
            id = ckv_stmt_int(q, 0);
            ckv_buf_clear(&data);
            ckv_buf_bytes(&data, bytes, n);
            s = data.status;
        }
        ckv_stmt_free(q);
        if (s == CKV_OK) s = take_later(d, id, &data, &report);
    } while (s == CKV_OK);
    ckv_buf_fini(&data);
    ckv_report_fini(&report);
    return s == CKV_ENOENT ? CKV_OK : ckv_ds_file(d, s);
}

#define SALVAGES 3 /* of a DAG; one, unless sheaves overlap */

/* The file into memory: graphs, then what the runs lack. */
static ckv_status load(ckv_datastore *d, bool verify)
{
    bool sound_keys, sound_counters, sound = true;
    CKV_TRY(read_dags(d));
    if (d->dags.len == 0) {
        uint32_t number;
        if (ckv_file_is_read_only(d->file))
            return ckv_ds_damaged(d, "dag", 0, "of the datastore is missing");
        CKV_TRY(make_dag(d, "default", 7, &number));
    }
    CKV_TRY(ckv_ds_file(d, ckv_index_open(&d->keys, ckv_ds_alloc(d), d->file, d->object, 0,
                                          ckv_ds_join, d, &sound_keys)));
    CKV_TRY(ckv_ds_file(d, ckv_index_open(&d->counters, ckv_ds_alloc(d), d->file, d->object, 1,
                                          ckv_ds_join, d, &sound_counters)));
    for (uint32_t i = 0; i < d->dags.len; i++) {
        ckv_dag *dag = ckv_ds_dag(d, i);
        const uint32_t indexed = dag->n_indexed;
        if (dag->purged) continue;
        if (!dag->doc) CKV_TRY(ckv_dag_start(dag));
        ckv_status s = ckv_dag_load(dag, indexed, verify);
        if (s == CKV_OK && dag->notes.len < indexed)
            s = ckv_ds_damaged(d, "change", CKV_ROW(dag, (uint32_t)dag->notes.len),
                               "is missing, as is all behind it");
        if (s == CKV_OK) s = know_root(d, dag);
        if (s == CKV_OK) s = ckv_dag_load(dag, UINT32_MAX, verify);
        for (int tries = 0; tries < SALVAGES && s == CKV_ECORRUPT && d->salvage; tries++) {
            sound = false;
            CKV_TRY(ckv_ds_drop_rest(d, dag));
            s = ckv_dag_load(dag, UINT32_MAX, verify);
        }
        CKV_TRY(s);
        bool any = false;
        if (d->salvage) CKV_TRY(ckv_ds_drop_bodies(d, dag, &any));
        sound &= !any;
    }
    if (!sound) CKV_TRY(ckv_ds_doubt(d));
    CKV_TRY(read_later(d));
    bool ours;
    CKV_TRY(are_ours(d, &ours));
    if (!ours && sound && sound_keys && sound_counters && !verify) {
        /* Sealed by us over changes that are not these: then some were altered, and signatures say which. */
        unload(d);
        return load(d, true);
    }
    sound &= ours;
    if (!sound || !sound_keys || !sound_counters) return ckv_datastore_repair(d);
    for (uint32_t i = 0; i < d->dags.len; i++)
        if (ckv_ds_dag(d, i)->doc)
            CKV_TRY(ckv_dag_stage_from(ckv_ds_dag(d, i), ckv_ds_dag(d, i)->n_indexed));
    return ckv_ds_absorb(d);
}

/* Who it is: by its row in `object`, or made now. */
static ckv_status settle_id(ckv_datastore *d, const ckv_id32 *id)
{
    ckv_stmt *q;
    size_t n;
    CKV_TRY(ckv_ds_file(d, ckv_stmt_new(&q, d->file, "SELECT uid FROM object WHERE id = ?")));
    ckv_stmt_bind_int(q, 1, d->object);
    ckv_status s = ckv_stmt_step(q);
    if (s == CKV_OK) {
        const uint8_t *uid = ckv_stmt_blob(q, 0, &n);
        if (!uid || n != 32)
            s = ckv_ds_damaged(d, "object", d->object, "has a damaged id");
        else
            memcpy(&d->id, uid, 32);
        if (s == CKV_OK && id && !ckv_id32_eq(id, &d->id)) s = CKV_EVALUE;
    }
    ckv_stmt_free(q);
    if (s != CKV_ENOENT) return ckv_ds_file(d, s);
    uint8_t nonce[16];
    d->env.random(d->env.random_ctx, nonce, sizeof nonce);
    d->id = id ? *id : ckv_founded_doc_id(&d->identity.public_key, nonce);
    CKV_TRY(ckv_ds_file(d, ckv_file_begin(d->file)));
    s = ckv_ds_file(
        d, ckv_stmt_new(&q, d->file,
                        "INSERT INTO object(id, name, kind, uid) VALUES(?, '', 'datastore', ?)"));
    if (s == CKV_OK) {
        ckv_stmt_bind_int(q, 1, d->object);
        ckv_stmt_bind_blob(q, 2, &d->id, 32);
        s = ckv_ds_file(d, ckv_stmt_run(q));
        ckv_stmt_free(q);
    }
    if (s == CKV_OK) return ckv_ds_file(d, ckv_file_commit(d->file));
    ckv_file_rollback(d->file);
    return s;
}

ckv_status ckv_datastore_open(ckv_datastore **out, const ckv_datastore_options *options,
                              char why[256])
{
    ckv_env env = *options->env;
    if (!env.random) env.random = ckv_random_bytes;
    ckv_datastore *d = ckv_resize(env.alloc, NULL, 0, sizeof *d);
    why[0] = 0;
    if (!d) return CKV_ENOMEM;
    *d = (ckv_datastore){.env = env,
                         .identity = *options->identity,
                         .file = options->file,
                         .owns_file = options->file == NULL,
                         .compliance = options->compliance,
                         .salvage = options->salvage,
                         .lost = ckv_buf_init(env.alloc),
                         .object = options->file ? options->object : 1,
                         .dags = {.a = env.alloc},
                         .staged = {.a = env.alloc},
                         .events = {.a = env.alloc},
                         .event_bytes = ckv_buf_init(env.alloc),
                         .entry = ckv_buf_init(env.alloc),
                         .value = ckv_buf_init(env.alloc),
                         .scratch = ckv_buf_init(env.alloc),
                         .joined = ckv_buf_init(env.alloc),
                         .recs = {.a = env.alloc},
                         .shown = {.a = env.alloc},
                         .shown_bytes = ckv_buf_init(env.alloc),
                         .sheaf = ckv_sheaf_init(env.alloc)};
    ckv_random_bytes(NULL, d->secret, sizeof d->secret);
    d->open = ckv_edits_init(env.alloc, d->secret);
    uint32_t secret;
    memcpy(&secret, d->secret + 4, sizeof secret);
    d->rate = ckv_rate_init(env.alloc, secret);
    d->totals = ckv_totals_init(env.alloc, d->secret);
    d->shown_keys = ckv_shown_init(env.alloc, d->secret);
    d->told = ckv_hmap_init(env.alloc, secret);
    ckv_status s = CKV_OK;
    if (d->owns_file) {
        const ckv_file_options memory = {.mode = CKV_FILE_WRITE, .sync = CKV_SYNC_NORMAL};
        s = ckv_file_open(&d->file, env.alloc, &memory, why, NULL);
    }
    if (s == CKV_OK) s = prepare(d);
    if (s == CKV_OK) s = settle_id(d, options->id);
    if (s == CKV_OK) s = load(d, options->verify);
    if (s != CKV_OK) {
        if (d->why[0]) memcpy(why, d->why, sizeof d->why);
        ckv_datastore_free(d);
        return s;
    }
    *out = d;
    return CKV_OK;
}

void ckv_datastore_free(ckv_datastore *d)
{
    if (!d) return;
    const ckv_alloc a = d->env.alloc;
    for (uint32_t i = 0; i < d->dags.len; i++) ckv_dag_free(ckv_ds_dag(d, i));
    ckv_dags_fini(&d->dags);
    ckv_index_free(d->keys);
    ckv_index_free(d->counters);
    finalize(d);
    if (d->owns_file && d->file) ckv_file_close(d->file);
    ckv_staged_vec_fini(&d->staged);
    ckv_edits_fini(&d->open);
    ckv_rate_fini(&d->rate);
    ckv_totals_fini(&d->totals);
    ckv_shown_clear(&d->shown_keys);
    ckv_hmap_fini(&d->told);
    ckv_held_events_fini(&d->events);
    ckv_buf_fini(&d->event_bytes);
    ckv_buf_fini(&d->entry);
    ckv_buf_fini(&d->value);
    ckv_buf_fini(&d->scratch);
    ckv_buf_fini(&d->joined);
    ckv_rec_vec_fini(&d->recs);
    ckv_shown_ops_fini(&d->shown);
    ckv_buf_fini(&d->shown_bytes);
    ckv_buf_fini(&d->lost);
    ckv_sheaf_fini(&d->sheaf);
    ckv_identity_wipe(&d->identity);
    ckv_release(a, d, sizeof *d);
}

const ckv_id32 *ckv_datastore_id(const ckv_datastore *d) { return &d->id; }
ckv_value_bytes ckv_datastore_lost(const ckv_datastore *d)
{
    return (ckv_value_bytes){d->lost.ptr, d->lost.len};
}
ckv_alloc ckv_datastore_allocator(const ckv_datastore *d) { return d->env.alloc; }

void ckv_datastore_leave_lanes(ckv_datastore *d)
{
    for (uint32_t i = 0; i < d->dags.len; i++)
        if (ckv_ds_dag(d, i)->doc) ckv_doc_leave_lane(ckv_ds_dag(d, i)->doc);
}

void ckv_datastore_seed(ckv_datastore *d, const uint8_t seed[32])
{
    d->is_seeded = true;
    memcpy(d->seed, seed, sizeof d->seed);
    for (uint32_t i = 0; i < d->dags.len; i++)
        if (ckv_ds_dag(d, i)->doc) ckv_ds_seed(d, ckv_ds_dag(d, i)->doc);
}

void ckv_datastore_limit(ckv_datastore *d, uint64_t per_second, uint64_t burst)
{
    ckv_rate_limit(&d->rate, per_second, burst);
}
void ckv_datastore_tick(ckv_datastore *d, int64_t now_ms) { d->rate.now = now_ms; }
void ckv_datastore_only(ckv_datastore *d, const ckv_value_bytes *prefix) { d->only = prefix; }

ckv_status ckv_datastore_refresh(ckv_datastore *d)
{
    unload(d);
    d->why[0] = 0;
    d->unloaded = false; /* while it is loaded */
    const ckv_status s = load(d, false);
    d->unloaded = s != CKV_OK;
    return s;
}
