/* op.h -- one put or remove as a message of its own. docs/format.md, "Store".
 *
 * It says what its author's bookmark was before and which dots it supersedes; it fits where the bookmark has come that far and those dots were
 * seen (op_in.h). Anywhere else it waits (held.h).
 */
#ifndef CKV_KV_OP_H
#define CKV_KV_OP_H

#include "kv/message.h"
#include "kv/state.h"

/* A message: the put of `cell`, or a remove if that is NULL, of the chain that it supersedes; hlc is of no account to a remove. */
CKV_NODISCARD ckv_status ckv_op_write(const ckv_store *s, ckv_buf *out, const ckv_cell *cell,
                                      uint64_t prev, uint64_t hlc, const ckv_cell *chain);

typedef struct ckv_op {
    bool is_put;
    ckv_bytes author;
    uint64_t prev;
    ckv_row row;   /* of a put */
    ckv_rd dead;   /* (peer, set)*, checked */
    uint64_t last; /* the greatest dot it speaks of */
} ckv_op;

CKV_NODISCARD ckv_status ckv_op_read(ckv_bytes message, ckv_alloc a, ckv_op *out, ckv_err *err);

#endif
