/* msg.h -- the frame of a session's message: who counts, what was heard, parts, checksum. docs/format.md, "Messages". */
#ifndef CKV_SYNC_MSG_H
#define CKV_SYNC_MSG_H

#include "base/buf.h"
#include "base/id32.h"

#define CKV_MSG_MAX_BYTES ((1u << 20) + 4096)
#define CKV_MSG_MORE      1u /* the sender is not finished: do not believe that all is said */

typedef enum ckv_part {
    CKV_PART_COMPARE = 1, /* ranges, sync/recon */
    CKV_PART_LATER = 2,   /* hashes of changes for a later version */
    CKV_PART_BUNDLE = 3,  /* a piece of a bundle */
    CKV_PART_LIVE = 4,    /* a few changes, doc/live */
    CKV_PART_WANT = 5,    /* ids of ancestors that did not come */
    CKV_PART_ABSENT = 6,  /* changes that came without body, doc/absent */
    CKV_N_PARTS = 7,
} ckv_part;

typedef struct ckv_hello { /* how each end begins */
    ckv_id32 root;
    uint8_t later[16]; /* digest of what the root does not tell of */
    uint8_t salt[8];
} ckv_hello;

typedef struct ckv_msg {
    uint64_t number,
        heard; /* of this one, from 1; of the last one of the other end that was taken in */
    bool more;
    ckv_hello hello;              /* iff number is 1 */
    ckv_rd parts[CKV_N_PARTS];    /* borrowed from the input */
    bool has[CKV_N_PARTS], empty; /* empty: no parts */
} ckv_msg;

/* Writes the head; parts follow by ckv_buf_varint(tag) and ckv_buf_blob, tags ascending. */
void ckv_msg_begin(ckv_buf *out, bool more, uint64_t number, uint64_t heard,
                   const ckv_hello *hello);
/* Closes a message that began at `start`. */
void ckv_msg_end(ckv_buf *out, size_t start);
/* CKV_ECORRUPT: no message. */
CKV_NODISCARD ckv_status ckv_msg_read(ckv_msg *m, const uint8_t *data, size_t n_bytes,
                                      ckv_err *err);

#endif
