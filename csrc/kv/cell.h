/* cell.h -- one value of one key, as some incarnation put it: the dot, the key and the value in one piece of memory.
 *
 *     key "k" -> [ dot (900, b) "new" ] -> [ dot (880, a) "concurrent" ] -> NULL
 *
 * The cells of a key hang on one chain, the greatest dot first: that one is shown, the others are hidden.
 */
#ifndef CKV_KV_CELL_H
#define CKV_KV_CELL_H

#include <stddef.h>

#include "base/alloc.h"
#include "kv/key.h"

typedef struct ckv_cell {
    struct ckv_cell *next; /* owned: the next smaller dot of the key */
    uint64_t hlc;          /* of the dot */
    uint32_t peer;         /* of the dot: a number in the store's table */
    uint32_t value_bytes;
    uint16_t key_bytes;
    uint8_t is_bytes; /* the key: bytes, else str */
    uint8_t state;    /* store.c's */
    uint8_t bytes[];  /* the key, then the value (log/nested.h) */
} ckv_cell;

static inline ckv_store_key ckv_cell_key(const ckv_cell *c)
{
    return (ckv_store_key){c->bytes, c->key_bytes, c->is_bytes};
}
static inline const uint8_t *ckv_cell_value(const ckv_cell *c) { return c->bytes + c->key_bytes; }
static inline size_t ckv_cell_size(const ckv_cell *c)
{
    return offsetof(ckv_cell, bytes) + c->key_bytes + c->value_bytes;
}

#endif
