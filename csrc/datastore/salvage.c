/* salvage.c -- what is left of a datastore whose rows are damaged. What is lost is named, and comes back from whoever has it: of a change the body alone, or everything from it on. */
#include <stdio.h>

#include "datastore/state.h"

static ckv_status note_loss(ckv_datastore *d)
{
    d->said = false;
    ckv_buf_bytes(&d->lost, d->why, strlen(d->why));
    ckv_buf_u8(&d->lost, '\n');
    return d->lost.status;
}

static ckv_status run(ckv_datastore *d, const char *sql, int64_t a, int64_t b)
{
    ckv_stmt *q;
    CKV_TRY(ckv_ds_file(d, ckv_stmt_new(&q, d->file, sql)));
    ckv_stmt_bind_int(q, 1, a);
    ckv_stmt_bind_int(q, 2, b);
    const ckv_status s = ckv_ds_file(d, ckv_stmt_run(q));
    ckv_stmt_free(q);
    return s;
}

static ckv_status finish(ckv_datastore *d, ckv_status s)
{
    if (s == CKV_OK) return ckv_ds_file(d, ckv_file_commit(d->file));
    ckv_file_rollback(d->file);
    return s;
}

/* The rows from the first one that cannot be believed on: what builds on it cannot stand without it. */
ckv_status ckv_ds_drop_rest(ckv_datastore *d, ckv_dag *dag)
{
    const uint32_t first = dag->sound;
    const int64_t from = CKV_ROW(dag, first), to = (dag->row + 1) << 32;
    CKV_TRY(note_loss(d));
    if (first < dag->notes.len) { /* some of it is in the graph: once more, without */
        ckv_dag_stop(dag);
        CKV_TRY(ckv_dag_start(dag));
    }
    CKV_TRY(ckv_ds_file(d, ckv_file_begin(d->file)));
    ckv_status s = run(d, "DELETE FROM change WHERE id >= ? AND id < ?", from, to);
    if (s == CKV_OK) s = ckv_dag_cut_sheaves(dag, first);
    if (s == CKV_OK) s = run(d, "DELETE FROM cover WHERE id >= ? AND id < ?", from - 1, to);
    if (s == CKV_OK)
        s = run(d, "UPDATE dag SET indexed = ?2, root = NULL WHERE id = ?1", dag->row, 0);
    return finish(d, s);
}

/* Bodies that do not have their hash, or are none, as if they had never come. *any: were there such? */
ckv_status ckv_ds_drop_bodies(ckv_datastore *d, ckv_dag *dag, bool *any)
{
    ckv_buf body = ckv_buf_init(ckv_ds_alloc(d));
    ckv_status s = CKV_OK;
    for (uint32_t c = 0; c < dag->notes.len && s == CKV_OK; c++) {
        ckv_note *note = &dag->notes.ptr[c];
        if (note->flags & (CKV_NOTE_STATE | CKV_NOTE_INLINE)) continue;
        ckv_buf_clear(&body);
        s = ckv_dag_body(dag, c, &body);
        if (s == CKV_OK && !(note->flags & CKV_NOTE_VOID)) {
            s = ckv_dag_is_body(dag, body.ptr, body.len, note->n_ops);
            if (s == CKV_ECORRUPT)
                s = ckv_ds_damaged(d, "change", CKV_ROW(dag, c), "has a body that is none");
        }
        if (s != CKV_ECORRUPT) continue;
        s = note_loss(d);
        if (s == CKV_OK) s = ckv_ds_file(d, ckv_file_begin(d->file));
        if (s == CKV_OK)
            s = finish(d, run(d, "UPDATE change SET state = ?2, body = NULL WHERE id = ?1",
                              CKV_ROW(dag, c), 4));
        if (s == CKV_OK)
            note->flags = (note->flags & ~(CKV_NOTE_STATE | CKV_NOTE_LATE | CKV_NOTE_VOID)) |
                          CKV_BODY_CLAIMED;
        dag->absent++;
        *any = true;
    }
    ckv_buf_fini(&body);
    return s;
}

/* What was dropped may have been superseded by what is lost: it is asked for again, as after a purge. */
ckv_status ckv_ds_doubt(ckv_datastore *d)
{
    CKV_TRY(ckv_ds_file(d, ckv_file_begin(d->file)));
    ckv_status s = CKV_OK;
    for (uint32_t i = 0; i < d->dags.len && s == CKV_OK; i++) s = ckv_dag_claim(ckv_ds_dag(d, i));
    CKV_TRY(finish(d, s));
    for (uint32_t i = 0; i < d->dags.len; i++) ckv_dag_claimed(ckv_ds_dag(d, i));
    return CKV_OK;
}
