/* id32.h -- 32 bytes that name something: a change, a lane, a document, a key. Ordered as byte strings. */
#ifndef CKV_BASE_ID32_H
#define CKV_BASE_ID32_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct ckv_id32 {
    uint8_t b[32];
} ckv_id32;

static inline bool ckv_id32_eq(const ckv_id32 *x, const ckv_id32 *y)
{
    return memcmp(x, y, 32) == 0;
}
static inline int ckv_id32_cmp(const ckv_id32 *x, const ckv_id32 *y) { return memcmp(x, y, 32); }

/* Sorts n ids and drops what is there twice; returns how many are left. */
size_t ckv_id32_sort_unique(void *ids, size_t n);

/* For qsort. */
static inline int ckv_id32_order(const void *x, const void *y) { return memcmp(x, y, 32); }

#endif
