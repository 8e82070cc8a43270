/* counter.h -- increments, each with the total behind it in order of arrival, so that now is O(1) and a version costs what came after it.
 *
 *     I1  total of an entry = total of the one before + its own amount
 */
#ifndef CKV_TYPES_COUNTER_H
#define CKV_TYPES_COUNTER_H

#include "graph/graph.h"
#include "types/journal.h"

__extension__ typedef __int128 ckv_total;

typedef struct ckv_count {
    ckv_total total;
    uint32_t lv, before;
} ckv_count;
CKV_VEC(ckv_counts, ckv_count);

static inline ckv_total ckv_counts_total(const ckv_counts *x, uint32_t last)
{
    return last == CKV_NONE ? 0 : x->ptr[last].total;
}
/* Room was reserved. Returns the newest entry. */
static inline uint32_t ckv_counts_add(ckv_counts *x, uint32_t last, uint32_t lv, int64_t amount)
{
    ckv_counts_put(x, (ckv_count){ckv_counts_total(x, last) + amount, lv, last});
    return (uint32_t)(x->len - 1);
}
/* At a version: from the newest back, until everything is in it. */
static inline ckv_total ckv_counts_total_at(const ckv_counts *x, uint32_t last, const ckv_past *at,
                                            const ckv_graph *g)
{
    ckv_total sum = 0;
    for (uint32_t i = last; i != CKV_NONE; i = x->ptr[i].before) {
        if (x->ptr[i].lv >= g->ids.n_lv) continue;
        const uint32_t c = ckv_ids_change_of_lv(&g->ids, x->ptr[i].lv);
        if (at->all || c < at->allin) return sum + x->ptr[i].total;
        if (ckv_past_has(at, g, c)) sum += x->ptr[i].total - ckv_counts_total(x, x->ptr[i].before);
    }
    return sum;
}

#endif
