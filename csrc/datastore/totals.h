/* totals.h -- totals of counters that were lately asked for: a counter that a thousand authors count on is summed once.
 *
 * Sets of four places, by the name's print (place.h); of a set that is full one goes. What is here is true, or is dropped: whoever changes the index of counters says so, and nothing is believed of another state of its runs.
 *
 *     I1  of an index that was not laid anew since, and of names that were not touched since: total is the sum over lanes, own what the own lane has
 *     cost: 256 KiB, once somebody counts or asks
 */
#ifndef CKV_DATASTORE_TOTALS_H
#define CKV_DATASTORE_TOTALS_H

#include "base/alloc.h"
#include "datastore/op.h"
#include "datastore/place.h"

#define CKV_TOTALS_SETS 1024u

typedef struct ckv_kept_total {
    ckv_print print;
    uint64_t laying; /* of the index when it was put here */
    uint32_t dag, lane;
    ckv_i128 total, own; /* own: of `lane` in `dag` */
} ckv_kept_total;

typedef struct ckv_totals {
    ckv_alloc a;
    uint8_t secret[16];
    ckv_kept_total *places; /* owned; NULL until there is something to keep */
    uint32_t next;          /* the way that goes next */
} ckv_totals;

ckv_totals ckv_totals_init(ckv_alloc a, const uint8_t secret[16]);
void ckv_totals_fini(ckv_totals *t);
void ckv_totals_clear(ckv_totals *t);
/* NULL: not here. Good until the next call. `laying`: of the index of counters. */
ckv_kept_total *ckv_totals_find(ckv_totals *t, ckv_store_key name, uint64_t laying);
/* In the place of what is here of that name; if there is memory. */
void ckv_totals_put(ckv_totals *t, ckv_store_key name, ckv_kept_total total);
void ckv_totals_drop(ckv_totals *t, ckv_store_key name);

#endif
