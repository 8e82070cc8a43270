/* message.h -- what all messages of stores have in common: the frame, and rows. docs/format.md, "Store".
 *
 *     kind(u8) version(u8) payload checksum(u64le)
 *
 * Out: begin, payload, end. In: open gives a reader of the payload. What it gives is checked as it is read, and then believed.
 */
#ifndef CKV_KV_MESSAGE_H
#define CKV_KV_MESSAGE_H

#include "kv/cell.h"
#include "kv/incarnations.h"

#define CKV_MESSAGE_REQUEST 'Q'
#define CKV_MESSAGE_DIFF    'D'
#define CKV_MESSAGE_OP      'O'
#define CKV_MESSAGE_OPSET   'S'
#define CKV_MESSAGE_SAVE    'V'
#define CKV_MESSAGE_VERSION 1u

/* Returns where it begins in `out`. */
size_t ckv_message_begin(ckv_buf *out, uint8_t kind);
void ckv_message_end(ckv_buf *out, size_t begin);
/* CKV_ECORRUPT, with words in err: another kind or version, or a checksum that does not fit. */
CKV_NODISCARD ckv_status ckv_message_open(ckv_bytes message, uint8_t kind, ckv_rd *out,
                                          ckv_err *err);
static inline bool ckv_message_is_empty(ckv_bytes message) { return message.n_bytes == 10; }
/* What went wrong where, when the reader of a payload has stopped. */
CKV_NODISCARD ckv_status ckv_message_fail(ckv_bytes message, const ckv_rd *r, ckv_status status,
                                          const char *text, ckv_err *err);

/* ---- incarnations, in ascending order within a message */

/* An id; `last` (empty at first) is the one before it, and becomes this one. */
ckv_bytes ckv_message_id(ckv_rd *r, ckv_bytes *last);

/* ---- rows: a put as it travels, its hlc counted from the one before */

typedef struct ckv_row {
    uint64_t hlc;
    ckv_store_key key; /* as `value`, borrowed from the message */
    ckv_bytes value;
} ckv_row;

void ckv_row_write(ckv_buf *out, uint64_t before, uint64_t hlc, const ckv_cell *cell);
/* Bytes that it takes. */
size_t ckv_row_size(uint64_t before, uint64_t hlc, const ckv_cell *cell);
/* Reads one and checks all of it. False: r->status says why. */
bool ckv_row_read(ckv_rd *r, ckv_alloc a, uint64_t before, ckv_row *out);
/* Reads one that was checked before. */
ckv_row ckv_row_believe(ckv_rd *r, uint64_t before);

#endif
