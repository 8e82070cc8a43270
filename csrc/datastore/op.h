/* op.h -- operations of a datastore as they stand in the body of a change. docs/format.md, "Body of a datastore's change".
 *
 *     body := flags time message? (kind blob(payload))*        1 PUT key names value   2 DELETE key names   3 COUNT name total   4 PART name change index total
 *
 * Whether a body is well formed follows from its bytes alone, so every replica judges it alike. What came through ckv_kv_body_check is read without doubt afterwards.
 */
#ifndef CKV_DATASTORE_OP_H
#define CKV_DATASTORE_OP_H

#include "base/buf.h"
#include "datastore/datastore.h"
#include "log/body.h"

#define CKV_MAX_NAMES 1024u
#define CKV_MAX_TOTAL ((ckv_i128)1 << 96) /* totals are below, in size */

typedef enum ckv_kv_kind {
    CKV_KV_PUT = 1,
    CKV_KV_DELETE = 2,
    CKV_KV_COUNT = 3,
    CKV_KV_PART = 4,
} ckv_kv_kind;

static inline bool ckv_kv_is_count(ckv_kv_kind kind)
{
    return kind == CKV_KV_COUNT || kind == CKV_KV_PART;
}

typedef struct ckv_kv_op {
    ckv_kv_kind kind;
    ckv_store_key key; /* borrowed, as everything here */
    uint32_t
        n_names; /* PUT, DELETE: values of other DAGs that it supersedes; read them with ckv_kv_names */
    ckv_value_bytes names;  /* without their number */
    ckv_value_bytes value;  /* PUT: nested */
    ckv_i128 total;         /* COUNT, PART */
    const uint8_t *part_of; /* PART: the id of the change whose operation it restates, and */
    uint32_t part_index;
} ckv_kv_op;

typedef struct ckv_kv_body {
    ckv_body_head head;
    ckv_rd ops;
    const uint8_t *bytes; /* the whole */
} ckv_kv_body;

/* ---- in */

/* Head and operations. CKV_EVOID, CKV_ELATER, with *why. */
CKV_NODISCARD ckv_status ckv_kv_body_open(ckv_kv_body *b, const uint8_t *bytes, size_t n_bytes,
                                          const char **why);
/* The next operation of a body that was checked; false at its end. */
bool ckv_kv_body_next(ckv_kv_body *b, ckv_kv_op *op);
/* All of it, as it came from outside. */
CKV_NODISCARD ckv_status ckv_kv_body_check(const uint8_t *bytes, size_t n_bytes, uint32_t n_ops,
                                           ckv_alloc a, ckv_body_head *head, const char **why);
/* Takes one name off the front: the change's id, borrowed, and the index of the operation in it. */
bool ckv_kv_next_name(ckv_value_bytes *names, const uint8_t **id, uint32_t *index);

/* ---- out */

void ckv_kv_write_head(ckv_buf *out, const ckv_body_head *head);
void ckv_kv_write_op(ckv_buf *out, const ckv_kv_op *op);
void ckv_kv_write_name(ckv_buf *out, const ckv_id32 *id, uint32_t index);
void ckv_kv_write_total(ckv_buf *out, ckv_i128 total);
ckv_i128 ckv_kv_read_total(ckv_rd *r); /* CKV_ECORRUPT: not minimal, or beyond CKV_MAX_TOTAL */

#endif
