/* body.h -- the canonical bytes of a change's operations, read and written one operation at a time. docs/format.md, "Body".
 *
 * Below this file a reference is {code, value} as it stands in the bytes: what it names, only the graph can tell. Everything
 * that can be judged without the graph is judged here: framing, UTF-8, runs that should have been one.
 */
#ifndef CKV_LOG_BODY_H
#define CKV_LOG_BODY_H

#include "base/id32.h"
#include "log/value.h"

#define CKV_MAX_BODY_BYTES (1u << 24)
#define CKV_MAX_OPS        (1u << 24)
#define CKV_MAX_KEY_BYTES  4096u

typedef enum ckv_op_kind {
    CKV_OP_INSERT = 1,
    CKV_OP_DELETE = 2,
    CKV_OP_SET = 3,
    CKV_OP_UNSET = 4,
    CKV_OP_ELEMENTS = 5,
    CKV_OP_ASSIGN = 6,
    CKV_OP_MOVE = 7,
    CKV_OP_ADD = 8,
    CKV_OP_DISCARD = 9,
    CKV_OP_COUNT = 10,
    CKV_OP_MARK = 11,
    CKV_OP_RESTORE = 12,
} ckv_op_kind;
#define CKV_OP_LAST CKV_OP_RESTORE

/* Whether each single operation of this kind makes an item. */
static inline bool ckv_op_makes_items(ckv_op_kind kind)
{
    switch (kind) {
    case CKV_OP_INSERT:
    case CKV_OP_SET:
    case CKV_OP_ELEMENTS:
    case CKV_OP_ASSIGN:
    case CKV_OP_MOVE:
    case CKV_OP_ADD:
    case CKV_OP_MARK: return true;
    case CKV_OP_DELETE:
    case CKV_OP_UNSET:
    case CKV_OP_DISCARD:
    case CKV_OP_COUNT:
    case CKV_OP_RESTORE: return false;
    }
    return false;
}

#define CKV_MARK_START_BEHIND 1u /* sides of a MARK */
#define CKV_MARK_END_BEHIND   2u

#define CKV_REF_NONE   0u
#define CKV_REF_OWN    1u /* value: distance back from the next own item */
#define CKV_REF_PARENT 2u /* + i; value: offset */

typedef struct ckv_ref {
    uint32_t code, value;
} ckv_ref;

typedef struct ckv_body_op {
    ckv_op_kind kind;
    uint32_t n; /* single operations */
    ckv_ref
        left; /* INSERT, ELEMENTS, MOVE; DELETE, RESTORE: the first item; SET, UNSET: the map; ASSIGN: the element; ADD, DISCARD: the set; COUNT: the
                       counter; MARK: the start */
    ckv_ref right; /* INSERT, ELEMENTS, MOVE; MARK: the end */
    ckv_ref
        holder; /* INSERT, ELEMENTS, MARK without left and right: the text or list; MOVE: the element */
    const uint8_t *bytes; /* INSERT: text; SET, UNSET: key; MARK: name */
    size_t n_bytes;
    uint32_t max_char; /* INSERT: the greatest code point, at least 127 */
    uint32_t sides;    /* MARK */
    uint32_t change;   /* RESTORE: index among the changes of the table */
    bool
        touches; /* RESTORE, on reading: the range of the one right before it, of the same change */
    int64_t amount;  /* COUNT */
    ckv_value value; /* SET, ASSIGN, ADD, DISCARD, MARK, on reading */
    const uint8_t *
        value_bytes; /* SET, ASSIGN, ADD, DISCARD, MARK: the encoded value; MARK: NULL for none. ELEMENTS: n of them in a row */
    size_t n_value_bytes;
} ckv_body_op;

typedef struct ckv_body {
    int64_t time;
    const uint8_t *message; /* NULL: none */
    size_t message_bytes;
    const uint8_t *lanes, *changes; /* 32 bytes each */
    uint32_t n_lanes, n_changes;
    uint32_t n_parents;
    uint32_t n_ops, n_items; /* of the operations read so far */
    ckv_rd rd;
    ckv_status status; /* why next() ended: CKV_OK, CKV_EVOID */
    const char *why;
    ckv_op_kind last_kind; /* 0: none yet */
    uint32_t last_code;
    uint64_t last_start, last_end; /* DELETE: its range, own chain shifted by SHIFT */
    ckv_ref last_right;
} ckv_body;

/* CKV_OK, CKV_EVOID (*why in b->why) or CKV_ELATER. */
CKV_NODISCARD ckv_status ckv_body_open(ckv_body *b, const uint8_t *bytes, size_t n_bytes,
                                       uint32_t n_parents);
/* False at the end: b->status says which. */
bool ckv_body_next(ckv_body *b, ckv_body_op *op);

typedef struct ckv_body_head {
    int64_t time;
    const char *message; /* NULL: none */
    size_t message_bytes;
    const ckv_id32 *lanes, *changes; /* the table, sorted */
    uint32_t n_lanes, n_changes;
} ckv_body_head;

void ckv_body_begin(ckv_buf *out, const ckv_body_head *head);
void ckv_body_put(ckv_buf *out, const ckv_body_op *op);

#endif
