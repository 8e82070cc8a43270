/* alloc.h -- the allocator travels inside the structure that owns memory.
 *
 * One function does it all, Lua style: new_size 0 frees, old NULL allocates; NULL means that nothing changed.
 */
#ifndef CKV_BASE_ALLOC_H
#define CKV_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct ckv_alloc {
    void *(*fn)(void *ctx, void *old, size_t old_size, size_t new_size);
    void *ctx;
} ckv_alloc;

extern const ckv_alloc ckv_alloc_libc;

static inline void *ckv_resize(ckv_alloc a, void *old, size_t old_size, size_t new_size)
{
    return a.fn(a.ctx, old, old_size, new_size);
}

static inline void ckv_release(ckv_alloc a, void *old, size_t size)
{
    if (old) a.fn(a.ctx, old, size, 0);
}

/* Grows *ptr, an array of *cap items of `item` bytes, so that `want` fit. Doubles. */
CKV_NODISCARD ckv_status ckv_grow(ckv_alloc a, void **ptr, size_t *cap, size_t want, size_t item);

#endif
