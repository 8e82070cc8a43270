/* lvindex.h -- where does item i stand? From the start of a span to a place (the number of its leaf).
 *
 *     starts   bit i set: a span begins with item i. 64-way summaries above it, so that the nearest start at or before
 *              any item is found in one step a level
 *     places   start -> place
 *
 *     I1  the bits at level 0 are exactly the keys of places
 *     I2  bit w of level k + 1 is set iff word w of level k is not zero
 *     cost: O(log64 n) for all; 1.02 bits an item and 16 bytes a span
 */
#ifndef CKV_DS_LVINDEX_H
#define CKV_DS_LVINDEX_H

#include "ds/hmap.h"

#define CKV_LVINDEX_LEVELS 6 /* 64^6 > 2^32 */

typedef struct ckv_lvindex {
    ckv_hmap places;
    uint64_t *bits[CKV_LVINDEX_LEVELS]; /* owned */
    size_t words[CKV_LVINDEX_LEVELS];
} ckv_lvindex;

ckv_lvindex ckv_lvindex_init(ckv_alloc a, uint32_t secret);
void ckv_lvindex_fini(ckv_lvindex *x);
/* Room for items below `items` and for n more starts. */
CKV_NODISCARD ckv_status ckv_lvindex_reserve(ckv_lvindex *x, uint32_t items, size_t n);
void ckv_lvindex_set(ckv_lvindex *x, uint32_t start,
                     uint32_t place); /* new or moved; room was reserved */
void ckv_lvindex_remove(ckv_lvindex *x, uint32_t start);
/* The nearest start at or before item; its place, or CKV_HMAP_NONE if there is none. */
uint32_t ckv_lvindex_find(const ckv_lvindex *x, uint32_t item, uint32_t *start);
size_t ckv_lvindex_bytes(const ckv_lvindex *x);
bool ckv_lvindex_check(const ckv_lvindex *x, const char **why);

#endif
