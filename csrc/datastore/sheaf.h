/* sheaf.h -- the headers of many changes whose bodies are gone, in columns: what one row of table `sheaf` says. docs/format.md, "Sheaf".
 *
 *     number  lane  prev  parents  n_ops  body_len  time ...      hash       signature
 *     40      0     39             1      120       +0            a3 4f ...
 *     41      0     40    12       1      120       +812          77 01 ...
 *     57      2     33             4      30        +5     ...    (the body)  9e c2 ...
 *
 * Changes name each other by number, so a header without its ids is its body's hash and some bytes; the reader, who has the graph, makes it whole again (sheaves.c). What was
 * lost or bent on the way is noticed twice: the row has a checksum, and a digest of the ids that must come out.
 *
 *     I1  numbers ascend; prev and parents are smaller than the number of their change
 *     I2  a body of up to 48 bytes stands here, a longer one has its hash here, and only the latter are dropped or claimed
 *     cost: 36 bytes a change on disk where one author wrote alone, 56 in memory while one is read
 */
#ifndef CKV_DATASTORE_SHEAF_H
#define CKV_DATASTORE_SHEAF_H

#include "base/buf.h"
#include "base/id32.h"
#include "crypto/sign.h"
#include "doc/content.h"
#include "ds/vec.h"

#define CKV_SHEAF_CHANGES 2048u
#define CKV_SHEAF_FULL    (256u << 10) /* bytes: then the next one begins */
#define CKV_SHEAF_BYTES   (17u << 20)  /* of columns; one change may bring a message of 16 MiB */

typedef struct ckv_sheaf_item {
    uint32_t number, lane;
    uint32_t prev; /* CKV_NO_CHANGE: none */
    uint32_t n_ops, body_len;
    ckv_body_state state;
    bool is_signed, has_message;
    uint32_t parents, n_parents;     /* in ckv_sheaf.parents, ascending by id */
    uint32_t message, message_bytes; /* in ckv_sheaf.bytes, as are: */
    uint32_t tail;                   /* the body, or its hash */
    uint32_t signature;
    int64_t time;
} ckv_sheaf_item;
CKV_VEC(ckv_sheaf_items, ckv_sheaf_item);

typedef struct ckv_sheaf {
    ckv_sheaf_items items;
    ckv_u32s parents; /* numbers */
    ckv_buf bytes;
    ckv_id32 ids; /* the digest of what its changes are called */
} ckv_sheaf;

ckv_sheaf ckv_sheaf_init(ckv_alloc a);
void ckv_sheaf_fini(ckv_sheaf *s);
void ckv_sheaf_clear(ckv_sheaf *s); /* keeps the memory */

/* A change, behind all that are there. The numbers of bytes and parents are those of `item`, its places do not matter. signature NULL: none. */
CKV_NODISCARD ckv_status ckv_sheaf_put(ckv_sheaf *s, const ckv_sheaf_item *item,
                                       const uint32_t *parents, const void *message,
                                       const uint8_t *tail, const ckv_signature *signature);
/* The one of `from`, which is another sheaf. */
CKV_NODISCARD ckv_status ckv_sheaf_copy(ckv_sheaf *s, const ckv_sheaf *from,
                                        const ckv_sheaf_item *item);
bool ckv_sheaf_is_full(const ckv_sheaf *s);
/* NULL: not in it. */
const ckv_sheaf_item *ckv_sheaf_find(const ckv_sheaf *s, uint32_t number);
static inline uint32_t ckv_sheaf_tail_bytes(uint32_t body_len)
{
    return body_len <= 48 ? body_len : 32;
}

/* Appends what a row says of at least one change. */
CKV_NODISCARD ckv_status ckv_sheaf_write(const ckv_sheaf *s, ckv_buf *out);
/* first: the number of the first change, by the row's id. CKV_ECORRUPT: not what was written; *s is empty then, as after any error. */
CKV_NODISCARD ckv_status ckv_sheaf_read(ckv_sheaf *s, uint32_t first, const uint8_t *data,
                                        size_t n_bytes);

#endif
