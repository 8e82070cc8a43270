/* crowd.h -- places where many wrote at once: the children that they have, in order, so that one more needs a search and not a walk.
 *
 *     place    (parent item, side) in the FugueMax tree; from CKV_CROWD_MIN children on it has a crowd
 *
 * A crowd is a memory of what the tree says, never more: it may be forgotten at any time, and is made again by the next walk.
 * Siblings are concurrent, so a branch has at most one of them, unless it lies (then both are void). That answers "does the author know one?" without asking each.
 *
 *     I1  siblings stand in the order of the tree; log has the same ones in order of arrival; by_branch those of log[0, n_resolved)
 *     cost: O(log siblings) comparisons to find a place, O(branches in the author's past beyond allin) to find out what the author knows
 */
#ifndef CKV_TYPES_CROWD_H
#define CKV_TYPES_CROWD_H

#include "ds/hmap.h"
#include "graph/graph.h"
#include "types/journal.h"

#ifdef CKV_DEBUG
#define CKV_CROWD_MIN 3u
#else
#define CKV_CROWD_MIN 16u
#endif

/* The place beside an item; right of the start of a sequence. */
static inline uint32_t ckv_crowd_place(uint32_t item, bool left) { return item * 2 + left; }
static inline uint32_t ckv_crowd_start(uint32_t sequence) { return 0x80000000u | sequence; }

typedef struct ckv_crowd {
    uint32_t place, min_item;
    ckv_u32s siblings, log; /* owned */
    size_t n_resolved;
    ckv_hmap by_branch; /* owned; branch -> its first sibling */
} ckv_crowd;
CKV_VEC(ckv_crowd_vec, ckv_crowd);

typedef struct ckv_crowded { /* what came into a crowd since the journal began */
    uint32_t crowd, item;
} ckv_crowded;
CKV_VEC(ckv_crowded_vec, ckv_crowded);

typedef struct ckv_crowds {
    ckv_alloc a;
    ckv_crowd_vec v;
    ckv_hmap by_place;
    ckv_crowded_vec arrived;
    ckv_u32s walked; /* scratch: siblings of a walk */
} ckv_crowds;

ckv_crowds ckv_crowds_init(ckv_alloc a, uint32_t secret);
void ckv_crowds_fini(ckv_crowds *x);
/* NULL: none. */
ckv_crowd *ckv_crowd_at(const ckv_crowds *x, uint32_t place);
/* Remembers the siblings that a walk found (x->walked, in order) for a place. */
CKV_NODISCARD ckv_status ckv_crowd_make(ckv_crowds *x, uint32_t place);
/* Does the past hold one of the siblings, or are they own items, from own_item on? */
CKV_NODISCARD ckv_status ckv_crowd_knows(ckv_crowds *x, ckv_crowd *c, const ckv_graph *g,
                                         const ckv_past *past, uint32_t own_item, bool *out);
/* One more sibling as the index-th. */
CKV_NODISCARD ckv_status ckv_crowd_add(ckv_crowds *x, ckv_crowd *c, size_t index, uint32_t item,
                                       const ckv_journal *j);
/* An insert of items from `item` on is taken back. */
void ckv_crowds_undo(ckv_crowds *x, const ckv_graph *g, uint32_t item);
void ckv_crowds_forget(ckv_crowds *x);
size_t ckv_crowds_bytes(const ckv_crowds *x);

#endif
