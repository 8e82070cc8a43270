#include "ds/sort.h"

#include <string.h>

ckv_status ckv_sort(ckv_u32s *v, ckv_before *before, void *ctx)
{
    const size_t n = v->len;
    if (n < 2) return CKV_OK;
    CKV_TRY(ckv_u32s_reserve(v, n));
    uint32_t *from = v->ptr, *to = v->ptr + n;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t i = 0; i < n; i += 2 * width) {
            const size_t mid = i + width < n ? i + width : n,
                         end = i + 2 * width < n ? i + 2 * width : n;
            size_t a = i, b = mid;
            for (size_t k = i; k < end; k++) {
                const bool second = a >= mid || (b < end && before(ctx, from[b], from[a]));
                to[k] = second ? from[b++] : from[a++];
            }
        }
        uint32_t *swap = from;
        from = to, to = swap;
    }
    if (from != v->ptr) memcpy(v->ptr, from, n * sizeof *from);
    return CKV_OK;
}
