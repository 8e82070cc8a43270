/* header.h -- the header of a change: what is hashed and signed. docs/format.md, "Header of a change". The body is opaque here. */
#ifndef CKV_DAG_HEADER_H
#define CKV_DAG_HEADER_H

#include "base/buf.h"
#include "base/id32.h"
#include "graph/graph.h"

#define CKV_HEADER_VERSION    1
#define CKV_TYPE_DOC          1
#define CKV_TYPE_DATASTORE    2
#define CKV_MAX_SEQ           (UINT32_MAX - 1)
#define CKV_INLINE_BODY_BYTES 48u
#define CKV_RUN_CHANGES       1024u        /* under one signature, with its own */
#define CKV_RUN_BYTES         (256u << 10) /* bodies under one signature, without its own */
#define CKV_HEADER_MAX_BYTES  (64 + 33 * 34 + 48)

typedef struct ckv_header {
    uint32_t type; /* what the body means; 0, on writing: CKV_TYPE_DOC */
    uint32_t seq, n_ops, body_len;
    bool has_prev;
    ckv_id32 prev;
    uint32_t n_parents;
    const ckv_id32 *parents;   /* ascending; on reading into the input */
    const uint8_t *body;       /* when body_len <= 48 */
    const ckv_id32 *body_hash; /* otherwise */
} ckv_header;

/* Writes at most CKV_HEADER_MAX_BYTES; returns how many. */
size_t ckv_header_write(uint8_t *out, const ckv_header *h);
/* False, with the reason in *why: *decodes tells whether the fields are there all the same and only break a rule. */
bool ckv_header_read(ckv_header *h, const uint8_t *bytes, size_t n_bytes, bool *decodes,
                     const char **why);

#endif
