/* gauge.h -- an allocator that knows how much memory was in use at most, as the machine sees it: a block that grows in place is there once.
 *
 *     gauge g = {0};
 *     ckv_alloc a = {gauge_fn, &g};
 */
#ifndef CKV_TEST_GAUGE_H
#define CKV_TEST_GAUGE_H

#include <stdlib.h>

typedef struct gauge {
    size_t live, peak;
} gauge;

static void *gauge_fn(void *ctx, void *old, size_t old_size, size_t new_size)
{
    gauge *g = ctx;
    g->live += new_size - old_size;
    if (g->live > g->peak) g->peak = g->live;
    if (new_size) return realloc(old, new_size);
    free(old);
    return NULL;
}

#endif
