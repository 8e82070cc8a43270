/* cache.h -- blocks in memory, up to so many bytes; those that nobody asked for lately go first.
 *
 * Whoever owns a block keeps a *slot* for it, 0 or the number of a cell + 1, which the cache writes when the block comes or goes.
 *
 *     I1  every cell is in the ring, by last use; its slot names it
 *     I2  n_bytes is that of all blocks
 *     cost: O(1); one cell of 40 bytes a block
 */
#ifndef CKV_DATASTORE_CACHE_H
#define CKV_DATASTORE_CACHE_H

#include "datastore/block.h"

typedef struct ckv_cached {
    uint8_t *ptr; /* owned; NULL: a free cell */
    size_t n_bytes;
    uint32_t *slot;         /* borrowed from the owner of the block */
    uint32_t before, after; /* in the ring; of a free cell `after` is the next free one */
} ckv_cached;
CKV_VEC(ckv_cached_cells, ckv_cached);

typedef struct ckv_cache {
    ckv_cached_cells cells; /* number 0 is the ring's: behind it the newest, before it the oldest */
    uint32_t free_cell;     /* 0: none */
    size_t n_bytes, most_bytes;
    uint64_t hits, misses;
} ckv_cache;

ckv_cache ckv_cache_init(ckv_alloc a, size_t most_bytes);
void ckv_cache_fini(ckv_cache *c);
/* The block of a slot that is not 0. Good until the next put. */
ckv_entry_bytes ckv_cache_get(ckv_cache *c, uint32_t slot);
/* Keeps a copy, if there is memory for it; not a block of more than an eighth of all. */
void ckv_cache_put(ckv_cache *c, uint32_t *slot, ckv_entry_bytes block);
/* Gives up the block of a slot, if there is one. */
void ckv_cache_drop(ckv_cache *c, uint32_t *slot);
bool ckv_cache_check(const ckv_cache *c, const char **why);

#endif
