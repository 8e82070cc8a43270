/* filter.h -- which keys a run may have: a Bloom filter, ten bits a key, all bits of one key in one line of the processor's cache.
 *
 * The hash is keyed by a salt that no stranger knows: nobody can choose keys that crowd a line. What it says "no" to is not there; of what is not there it says "perhaps" to one in eighty.
 * Its size may be halved afterwards, when there turned out to be fewer keys.
 */
#ifndef CKV_DATASTORE_FILTER_H
#define CKV_DATASTORE_FILTER_H

#include "base/alloc.h"
#include "kv/key.h"

#define CKV_FILTER_LINE 64u /* bytes */

typedef struct ckv_filter {
    uint8_t *lines; /* owned */
    uint32_t n_lines;
} ckv_filter;

uint64_t ckv_filter_hash(const uint8_t salt[16], ckv_store_key key);

/* Of zeros, for up to so many keys. */
CKV_NODISCARD ckv_status ckv_filter_new(ckv_filter *out, ckv_alloc a, uint64_t n_keys);
void ckv_filter_free(ckv_filter *f, ckv_alloc a);
void ckv_filter_add(ckv_filter *f, uint64_t hash);
bool ckv_filter_may_have(const ckv_filter *f, uint64_t hash);
/* Makes it as small as so many keys need. After CKV_ENOMEM it is good for nothing but ckv_filter_free. */
CKV_NODISCARD ckv_status ckv_filter_fold(ckv_filter *f, ckv_alloc a, uint64_t n_keys);

#endif
