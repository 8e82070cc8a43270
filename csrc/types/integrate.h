/* integrate.h -- where a remote run goes: FugueMax, by its tree and never by a scan.
 *
 * Weidner, Gentle, Kleppmann: The Art of the Fugue. Minimizing Interleaving in Collaborative Text Editing (2023).
 * The tree is defined for every input, lies included, so no order of arrival can enter; docs/adr/0003-place-by-the-tree.md.
 * Cost: O(log n) for each branch that wrote into the same gap, O(1) beyond finding the place when nothing stands between the origins.
 */
#ifndef CKV_TYPES_INTEGRATE_H
#define CKV_TYPES_INTEGRATE_H

#include "log/oplog.h"
#include "types/seq.h"

/* The change that the run belongs to. */
typedef struct ckv_author_view {
    const ckv_graph *graph;
    const ckv_oplog *oplog; /* for the right origins of siblings */
    const ckv_past *past;
    uint32_t own_item; /* items from here on are this change's own */
    uint64_t clock;
    const ckv_id32 *id; /* NULL: the open change, which comes after everything */
} ckv_author_view;

/* Whether the change could know item i: it is in its causal past or its own. */
static inline bool ckv_author_knows(const ckv_author_view *v, uint32_t item)
{
    return item >= v->own_item || ckv_past_has_item(v->past, v->graph, item);
}

/* Whether an operation that the change makes now comes after the one at lv in the total order. */
bool ckv_author_after(const ckv_author_view *v, uint32_t lv);

/* Places items [item, item + n) behind the left origin, which is the item before the gap `left` (or the start), with this right
 * origin (CKV_NONE: the end). Both are known to the author. CKV_EVOID, *why says which: the right origin is of another
 * sequence, or the place had a child in the author's past (rule 14); nothing changed. Room was reserved. */
CKV_NODISCARD ckv_status ckv_integrate(ckv_space *x, ckv_seq *s, uint32_t item, uint32_t n,
                                       ckv_gap left, uint32_t right, const ckv_author_view *v,
                                       ckv_journal *j, const char **why);

#endif
