/* shown.h -- what shows at keys that were lately told of, while somebody watches: else each change on a key that a crowd writes would be told by looking at all of them, twice.
 *
 * Sets of four places, by the key's print (place.h). What shows after one more operation follows from what showed before and the operation, but for a few cases: then the place is given up,
 * and who tells looks at the whole entry again.
 *
 *     I1  winner is what the index shows of the key; kind 0: nothing
 *     I2  a short value is in `bytes`, a long one in its body
 *     cost: 1,024 places, with a value of up to 1 KiB each, once something was told
 */
#ifndef CKV_DATASTORE_SHOWN_H
#define CKV_DATASTORE_SHOWN_H

#include "datastore/entry.h"
#include "datastore/place.h"

#define CKV_SHOWN_SETS 256u

typedef struct ckv_kept_shown {
    ckv_print print;
    ckv_rec winner;
    bool has_names; /* some operation on the key names something */
    uint8_t *bytes; /* owned; NULL: none */
    size_t n_bytes;
} ckv_kept_shown;

typedef struct ckv_shown_keys {
    ckv_alloc a;
    uint8_t secret[16];
    ckv_kept_shown *places; /* owned; NULL until something was told */
    uint32_t next;          /* the way that goes next */
} ckv_shown_keys;

ckv_shown_keys ckv_shown_init(ckv_alloc a, const uint8_t secret[16]);
void ckv_shown_clear(ckv_shown_keys *k); /* gives up its memory, too */
/* NULL: not here. Good until the next call. */
ckv_kept_shown *ckv_shown_find(ckv_shown_keys *k, ckv_store_key key);
/* In the place of what is here of that key; if there is memory. winner NULL: nothing shows. */
void ckv_shown_put(ckv_shown_keys *k, ckv_store_key key, const ckv_rec *winner, bool has_names);
void ckv_shown_drop(ckv_shown_keys *k, ckv_kept_shown *kept);

#endif
