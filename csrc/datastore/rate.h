/* rate.h -- how fast each author may write here: a bucket of bytes for each, which fills at a steady rate. A local limit: what it refuses is refused, reported, and can be admitted later.
 *
 *     cost: O(1) expected; 48 bytes an author that was heard of while its bucket is not full
 */
#ifndef CKV_DATASTORE_RATE_H
#define CKV_DATASTORE_RATE_H

#include "base/id32.h"
#include "ds/hmap.h"
#include "ds/vec.h"

typedef struct ckv_bucket {
    ckv_id32 author;
    uint64_t used; /* bytes, at `since` */
    int64_t since; /* ms */
} ckv_bucket;
CKV_VEC(ckv_buckets, ckv_bucket);

typedef struct ckv_rate {
    uint64_t per_second, burst; /* bytes; per_second 0: no limit */
    int64_t now;                /* ms, as the caller last said */
    ckv_buckets buckets;
    ckv_hmap by_author;
} ckv_rate;

ckv_rate ckv_rate_init(ckv_alloc a, uint32_t secret);
void ckv_rate_fini(ckv_rate *r);
void ckv_rate_limit(ckv_rate *r, uint64_t per_second, uint64_t burst);
/* May this author write so many bytes now? Then they are used. One change always fits into a full bucket. Out of memory: yes. */
bool ckv_rate_take(ckv_rate *r, const ckv_id32 *author, uint64_t n_bytes);

#endif
