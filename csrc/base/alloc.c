#include "base/alloc.h"

#include <stdlib.h>

static void *libc_fn(void *ctx, void *old, size_t old_size, size_t new_size)
{
    (void)ctx, (void)old_size;
    if (new_size == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, new_size);
}

const ckv_alloc ckv_alloc_libc = {libc_fn, NULL};

ckv_status ckv_grow(ckv_alloc a, void **ptr, size_t *cap, size_t want, size_t item)
{
    if (want <= *cap) return CKV_OK;
    size_t n = *cap ? *cap : 8;
    while (n < want) {
        if (n > SIZE_MAX / 2) return CKV_ELIMIT;
        n *= 2;
    }
    if (n > SIZE_MAX / 2 / item) return CKV_ELIMIT;
    void *p = ckv_resize(a, *ptr, *cap * item, n * item);
    if (!p) return CKV_ENOMEM;
    *ptr = p;
    *cap = n;
    return CKV_OK;
}
