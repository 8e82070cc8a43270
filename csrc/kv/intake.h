/* intake.h -- taking in what others say, all or nothing: cells are made and hung first, which may fail; then dots, bookmarks and deaths, which cannot.
 *
 *     begin .. (row | bookmark | dead)* .. commit or abort
 *
 * Rows of an incarnation come in ascending order, all above its bookmark. Between begin and the end nobody else may look at the store.
 */
#ifndef CKV_KV_INTAKE_H
#define CKV_KV_INTAKE_H

#include "kv/exchange.h"
#include "kv/message.h"
#include "kv/state.h"

typedef struct ckv_moved {
    uint32_t peer;
    uint64_t to;
} ckv_moved;
CKV_VEC(ckv_moved_vec, ckv_moved);

typedef struct ckv_intake {
    ckv_store *store; /* borrowed */
    ckv_cells
        fresh; /* on their chains already, without their dots; those of an incarnation together */
    ckv_cells dying; /* live ones, marked */
    ckv_moved_vec moved;
    size_t n_of_peer; /* fresh cells of the last one's incarnation */
    size_t n_new;     /* keys that only fresh cells have */
    bool is_tangled;  /* a chain is not in order */
    ckv_buf notes;    /* keys that may change, and what they showed before */
} ckv_intake;

ckv_intake ckv_intake_begin(ckv_store *s);
CKV_NODISCARD ckv_status ckv_intake_row(ckv_intake *in, uint32_t peer, const ckv_row *row);
/* The bookmark becomes `to`, if it is not further. */
CKV_NODISCARD ckv_status ckv_intake_bookmark(ckv_intake *in, uint32_t peer, uint64_t to);
/* Somebody tells all about the dots of a run: those with a row are alive, others dead. It begins at most one above *bookmark, which is the
 * peer's with what is staged, and moves on. Reads the rows of the run: *n_rows are left, the last one read was of *before. */
CKV_NODISCARD ckv_status ckv_intake_run(ckv_intake *in, uint32_t peer, uint64_t *bookmark,
                                        ckv_run run, ckv_rd *rows, size_t *n_rows,
                                        uint64_t *before);
/* Live dots in [start, end) die; rows of this intake are not among them. */
CKV_NODISCARD ckv_status ckv_intake_dead(ckv_intake *in, uint32_t peer, uint64_t start,
                                         uint64_t end);
/* Does it; on failure it did nothing, as abort. */
CKV_NODISCARD ckv_status ckv_intake_commit(ckv_intake *in, ckv_store_report *report);
void ckv_intake_abort(ckv_intake *in);

#endif
