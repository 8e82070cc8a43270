/* entry.h -- what the index keeps of one key: the operations on it that nothing supersedes, packed.
 *
 *     [PUT dag 0 change 7 #3 "value"] [DELETE dag 2 change 1 #0] [NAME dag 0 change 7 #3 -> 91c0.. #4]
 *
 * A PART stands for the counter's operation (dag, change, index) that it restates; `by` are its own change and index.
 * A record is an operation, or a NAME: the operation (dag, change, index) supersedes the one with that id and index, of another DAG. Names outlive their operation.
 * Long values stay in the body that brought them; the record says where. An entry that comes to more than CKV_LONG_ENTRY keeps next to nothing but who wrote: values stay in bodies, and
 * instead of the names of an operation there is NAMES: they stand in its body. So it takes some 40 bytes for each operation, whatever a liar writes into them, and 2^30 are never reached.
 *
 *     I1  operations ascend in (dag, change, index, kind, by), each once; behind them NAME in (target, dag), of a DAG's names for one operation the last in the total order only; behind them NAMES in (dag, change, index)
 *     I2  no operation supersedes another one of its own DAG, as far as those who joined them knew (join.c)
 */
#ifndef CKV_DATASTORE_ENTRY_H
#define CKV_DATASTORE_ENTRY_H

#include "datastore/index.h"
#include "datastore/op.h"

#define CKV_INLINE_VALUE 1024u /* longer values stay in the body */
#ifdef CKV_DEBUG
#define CKV_LONG_ENTRY ((size_t)64 << 10) /* so that tests have long ones */
#else
#define CKV_LONG_ENTRY ((size_t)32 << 20)
#endif
#define CKV_SHORT_VALUE 16u /* stays in a long entry, too */
#define CKV_UNPLACED                                                                               \
    CKV_MAX_BODY_BYTES /* `off` of a value that is looked for by its operation's index */
#define CKV_OPEN_CHANGE UINT32_MAX /* of an operation whose change is open */

typedef enum ckv_rec_kind {
    CKV_REC_PUT = 1,
    CKV_REC_DELETE = 2,
    CKV_REC_COUNT = 3,
    CKV_REC_NAME = 4,
    CKV_REC_PART = 5,
    CKV_REC_NAMES = 6,
} ckv_rec_kind;

typedef struct ckv_rec {
    ckv_rec_kind kind;
    uint32_t dag, change, index;
    bool elsewhere; /* PUT: the value is n_bytes of the body from off on, and ptr is NULL */
    uint32_t off;
    ckv_value_bytes value; /* PUT */
    ckv_i128 total;        /* COUNT */
    const uint8_t *target; /* NAME: 32 bytes, and */
    uint32_t target_index;
    uint32_t by_change, by_index; /* PART */
    bool is_named;                /* PUT, as read: by what NAMES stands for */
    const uint8_t *start, *end;   /* when read: its bytes */
} ckv_rec;

/* The change in whose body it stands. */
static inline uint32_t ckv_rec_body(const ckv_rec *rec)
{
    return rec->kind == CKV_REC_PART ? rec->by_change : rec->change;
}
/* An operation, or what one names? */
static inline bool ckv_rec_is_op(const ckv_rec *rec)
{
    return rec->kind != CKV_REC_NAME && rec->kind != CKV_REC_NAMES;
}
/* Is it of a counter? */
static inline bool ckv_rec_counts(const ckv_rec *rec)
{
    return rec->kind == CKV_REC_COUNT || rec->kind == CKV_REC_PART;
}

typedef struct ckv_entry_rd {
    ckv_rd r;
} ckv_entry_rd;

static inline ckv_entry_rd ckv_entry_rd_init(ckv_entry_bytes e)
{
    return (ckv_entry_rd){ckv_rd_init(e.ptr, e.n_bytes)};
}
/* False at the end, or when the bytes are none of ours: r.status is CKV_ECORRUPT then. */
bool ckv_entry_next(ckv_entry_rd *e, ckv_rec *rec);
void ckv_entry_write(ckv_buf *out, const ckv_rec *rec);
/* The order of records. */
int ckv_rec_compare(const ckv_rec *a, const ckv_rec *b);
/* Do two entries say the same of the same operations? Of short ones all must be equal; of long ones one may keep here what the other leaves in bodies. */
bool ckv_entry_alike(ckv_entry_bytes a, ckv_entry_bytes b);
/* That of a NAME's target, and an operation. */
int ckv_rec_target_order(const ckv_rec *name, const uint8_t *id, uint32_t index);

#endif
