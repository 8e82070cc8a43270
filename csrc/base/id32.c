#include "base/id32.h"

#include <stdlib.h>

size_t ckv_id32_sort_unique(void *ids, size_t n)
{
    uint8_t *p = ids;
    size_t kept = 0;
    if (n) qsort(p, n, 32, ckv_id32_order);
    for (size_t i = 0; i < n; i++) {
        if (kept && memcmp(p + 32 * (kept - 1), p + 32 * i, 32) == 0) continue;
        memmove(p + 32 * kept++, p + 32 * i, 32);
    }
    return kept;
}
