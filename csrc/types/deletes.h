/* deletes.h -- who deleted something, and who took that back. History forgets nothing: all deletes of an item are kept, not the first only.
 *
 *     del = 0                    nobody
 *     del = change + 1           this change
 *     del = CKV_DEL_MANY | i     a chain: entries[i], what it says, and the rest behind it
 *
 * Spans of a sequence carry their del themselves; items that stand in no sequence (values of registers, marks) have it in by_item.
 *
 *     I1  open of an entry: deletes of its chain, itself included, that no restore of the chain takes back
 *     cost: O(1) now, and at a version that holds the whole chain; else O(chain), with many restores O(chain x log restores)
 */
#ifndef CKV_TYPES_DELETES_H
#define CKV_TYPES_DELETES_H

#include "ds/hmap.h"
#include "graph/graph.h"

#define CKV_DEL_MANY 0x80000000u
#define CKV_DEL_AWAY                                                                               \
    0x40000000u /* of a slot in a list: its element shows elsewhere (types/moves) */
#define CKV_DEL_NUMBER 0x3fffffffu

typedef struct ckv_deleted {
    uint32_t rest, change;
    uint32_t of; /* CKV_NONE: `change` deleted; else `change` took back what `of` did */
    uint32_t open;
    uint32_t newest; /* the greatest change of its chain, itself included */
} ckv_deleted;
CKV_VEC(ckv_deleteds, ckv_deleted);

typedef struct ckv_deletes {
    ckv_deleteds entries;
    ckv_hmap by_item;
    ckv_u32s
        restored; /* scratch of asking, for which a const one does: nobody asks without the document's lock */
} ckv_deletes;

ckv_deletes ckv_deletes_init(ckv_alloc a, uint32_t secret);
void ckv_deletes_fini(ckv_deletes *x);
CKV_NODISCARD ckv_status ckv_deletes_reserve(ckv_deletes *x, size_t n);

/* Is it hidden now? */
static inline bool ckv_del_hides(const ckv_deletes *x, uint32_t del)
{
    if (CKV_LIKELY(del == 0)) return false;
    if (del & CKV_DEL_AWAY) return true;
    return !(del & CKV_DEL_MANY) || x->entries.ptr[del & CKV_DEL_NUMBER].open != 0;
}
/* How many deletes stand that nothing took back. */
static inline uint32_t ckv_del_open(const ckv_deletes *x, uint32_t del)
{
    del &= ~CKV_DEL_AWAY;
    return del & CKV_DEL_MANY ? x->entries.ptr[del & CKV_DEL_NUMBER].open : del != 0;
}
/* Is it deleted in a version? `own` (or CKV_NONE) counts as in it. AWAY is not looked at. */
bool ckv_del_hides_at(const ckv_deletes *x, uint32_t del, const ckv_past *at, const ckv_graph *g,
                      uint32_t own);
/* One step of the chain, newest first: while (ckv_del_next(x, &del, &step)) ... */
typedef struct ckv_del_step {
    uint32_t change, of;
} ckv_del_step;
bool ckv_del_next(const ckv_deletes *x, uint32_t *del, ckv_del_step *out);
/* Did `change` delete it? Has somebody in the version (or `own`) taken that back? */
bool ckv_del_by(const ckv_deletes *x, uint32_t del, uint32_t change);
bool ckv_del_restored_at(const ckv_deletes *x, uint32_t del, uint32_t change, const ckv_past *at,
                         const ckv_graph *g, uint32_t own);
bool ckv_del_restored(const ckv_deletes *x, uint32_t del, uint32_t change); /* now */

/* The same with one more delete, or with one taken back. Room for one entry was reserved. AWAY stays. */
uint32_t ckv_del_add(ckv_deletes *x, uint32_t del, uint32_t change);
uint32_t ckv_del_restore(ckv_deletes *x, uint32_t del, uint32_t of, uint32_t change);

/* Of an item that stands in no sequence. */
static inline uint32_t ckv_del_of(const ckv_deletes *x, uint32_t item)
{
    const uint32_t del = x->by_item.n ? ckv_hmap_get(&x->by_item, item) : CKV_HMAP_NONE;
    return del == CKV_HMAP_NONE ? 0 : del;
}
void ckv_del_set(ckv_deletes *x, uint32_t item, uint32_t del); /* room was reserved */
bool ckv_deletes_check(const ckv_deletes *x, const char **why);

#endif
