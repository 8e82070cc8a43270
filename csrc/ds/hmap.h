/* hmap.h -- u32 -> u32 and the search behind "which entry has this fingerprint?".
 *
 * Open addressing, linear probing, at most half full. Keys are spread by a secret odd multiplier, so that nobody outside can
 * choose keys that collide. The map keeps (key, value); the caller of `ckv_hmap_probe` compares what a value stands for.
 *
 *     I1  n * 2 <= cap, cap is 0 or a power of two
 *     I2  every entry is reachable from its home slot without crossing an empty one
 *     cost: O(1) expected for all; growing is O(n), amortised
 */
#ifndef CKV_DS_HMAP_H
#define CKV_DS_HMAP_H

#include "base/alloc.h"

#define CKV_HMAP_NONE UINT32_MAX /* no entry has this value */

typedef struct ckv_hslot {
    uint32_t key, value; /* value CKV_HMAP_NONE: empty */
} ckv_hslot;

typedef struct ckv_hmap {
    ckv_alloc a;
    ckv_hslot *slots; /* owned */
    size_t n, cap;
    uint32_t secret; /* odd */
} ckv_hmap;

static inline ckv_hmap ckv_hmap_init(ckv_alloc a, uint32_t secret)
{
    return (ckv_hmap){.a = a, .secret = secret | 1};
}
void ckv_hmap_fini(ckv_hmap *m);
CKV_NODISCARD ckv_status ckv_hmap_reserve(ckv_hmap *m, size_t n); /* room for n more */

static inline size_t ckv_hmap_home(const ckv_hmap *m, uint32_t key)
{
    const uint64_t h = (uint64_t)(key ^ key >> 15) * (m->secret | (uint64_t)m->secret << 32);
    return (size_t)(h >> 32) & (m->cap - 1);
}

/* The value of key, or CKV_HMAP_NONE. */
static inline uint32_t ckv_hmap_get(const ckv_hmap *m, uint32_t key)
{
    if (m->cap == 0) return CKV_HMAP_NONE;
    for (size_t i = ckv_hmap_home(m, key);; i = (i + 1) & (m->cap - 1)) {
        if (m->slots[i].value == CKV_HMAP_NONE || m->slots[i].key == key) return m->slots[i].value;
    }
}

/* Sets key; room was reserved. */
void ckv_hmap_set(ckv_hmap *m, uint32_t key, uint32_t value);
/* Adds one more entry under key, beside others: for keys that are fingerprints. Room was reserved. */
void ckv_hmap_add(ckv_hmap *m, uint32_t key, uint32_t value);
/* Walks the values under a fingerprint: start with *at = SIZE_MAX; CKV_HMAP_NONE ends it. */
uint32_t ckv_hmap_probe(const ckv_hmap *m, uint32_t key, size_t *at);
/* Removes (key, value); nothing if it is not there. */
void ckv_hmap_remove(ckv_hmap *m, uint32_t key, uint32_t value);
bool ckv_hmap_check(const ckv_hmap *m, const char **why);

#endif
