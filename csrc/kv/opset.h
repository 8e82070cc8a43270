/* opset.h -- what changed between two looks, of one author or merged from many. docs/format.md, "Store".
 *
 *     covered   { 5..9 }       of these dots it tells all
 *     rows        6  8         those that are live
 *     dead      { 2 }          others that are superseded; 5 7 9 are, too
 *
 * Sets of facts about dots, so that merging is union: of what is covered, and of what is dead.
 */
#ifndef CKV_KV_OPSET_H
#define CKV_KV_OPSET_H

#include "kv/intake.h"

typedef struct ckv_opset_part {
    ckv_bytes id;
    ckv_runs_in covered, dead;
    size_t n_rows;
    ckv_rd rows; /* the reader stands at the first */
} ckv_opset_part;

/* Opens an op set and checks all of it; *last: the greatest dot in it. */
CKV_NODISCARD ckv_status ckv_opset_open(ckv_bytes opset, ckv_alloc a, ckv_rd *out, uint64_t *last,
                                        ckv_err *err);
/* The next part of one that was opened. `last_id` is empty at first. */
ckv_opset_part ckv_opset_next(ckv_rd *r, ckv_bytes *last_id);
/* The same, behind its rows; returns the bytes that it takes. */
ckv_bytes ckv_opset_skip(ckv_rd *r, ckv_bytes *last_id, ckv_opset_part *part);
/* Does what fits of each part. */
CKV_NODISCARD ckv_status ckv_opset_apply(ckv_store *s, ckv_rd parts, ckv_store_report *report);
/* What a part waits for that was applied as far as it fits: the smallest bookmark with which there is more to do. */
ckv_need ckv_opset_need(const ckv_store *s, ckv_opset_part part);
/* An op set of one part. */
CKV_NODISCARD ckv_status ckv_opset_one(ckv_buf *out, ckv_bytes part);

#endif
