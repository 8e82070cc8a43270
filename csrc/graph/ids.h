/* ids.h -- changes, operations and items by number, and changes by id.
 *
 * Inside the process everything is numbered in order of arrival: changes (c), single operations (lv) and items (what can be
 * referred to: code points, sets of keys). A change covers [lv(c), lv(c+1)) and [item(c), item(c+1)).
 *
 *     ids      32 bytes a change
 *     pieces   runs of changes of equal size: {change, lv, item, d_lv, d_item}; typing is one piece a run of keystrokes
 *     by_id    id -> change, built when first asked for
 *
 *     I1  pieces ascend in change and lv; they cover all changes without a gap
 *     I2  d_lv >= d_item; a piece of one change has that change's sizes
 *     cost: O(log pieces); O(1) for the newest
 */
#ifndef CKV_GRAPH_IDS_H
#define CKV_GRAPH_IDS_H

#include "base/id32.h"
#include "ds/hmap.h"
#include "ds/vec.h"

#define CKV_NONE UINT32_MAX

typedef struct ckv_piece {
    uint32_t change, lv, item, d_lv, d_item;
} ckv_piece;

CKV_VEC(ckv_id32s, ckv_id32);
CKV_VEC(ckv_pieces, ckv_piece);

typedef struct ckv_ids {
    ckv_id32s ids;
    ckv_pieces pieces;
    ckv_hmap by_id;
    uint32_t n_indexed;
    uint32_t n_lv, n_items;
    uint64_t secret;
} ckv_ids;

ckv_ids ckv_ids_init(ckv_alloc a, uint64_t secret);
void ckv_ids_fini(ckv_ids *x);

static inline uint32_t ckv_ids_n(const ckv_ids *x) { return (uint32_t)x->ids.len; }
static inline const ckv_id32 *ckv_ids_at(const ckv_ids *x, uint32_t change)
{
    return &x->ids.ptr[change];
}
uint32_t ckv_ids_lv(const ckv_ids *x, uint32_t change); /* first lv of a change; of n: the total */
uint32_t ckv_ids_item(const ckv_ids *x, uint32_t change); /* likewise */
uint32_t ckv_ids_change_of_item(const ckv_ids *x, uint32_t item);
uint32_t ckv_ids_change_of_lv(const ckv_ids *x, uint32_t lv);
/* Where a change begins and how much it makes. *piece: where the last answer stood, 0 to begin; asking in order costs O(1). */
typedef struct ckv_extent {
    uint32_t lv, item, n_ops, n_items;
} ckv_extent;
ckv_extent ckv_ids_extent(const ckv_ids *x, uint32_t change, size_t *piece);
/* CKV_ENOENT. May build the index, hence not const. */
CKV_NODISCARD ckv_status ckv_ids_find(ckv_ids *x, const ckv_id32 *id, uint32_t *change);

CKV_NODISCARD ckv_status ckv_ids_reserve(ckv_ids *x); /* room for one change */
void ckv_ids_push(ckv_ids *x, const ckv_id32 *id, uint32_t n_ops, uint32_t n_items);
void ckv_ids_pop(ckv_ids *x); /* takes the newest back */

/* A 32-bit fingerprint of an id that only this process knows. */
static inline uint32_t ckv_fingerprint(uint64_t secret, const ckv_id32 *id)
{
    uint64_t a, b;
    memcpy(&a, id->b, 8);
    memcpy(&b, id->b + 8, 8);
    return (uint32_t)((a * (secret | 1) ^ b) * (secret | 1) >> 32);
}

bool ckv_ids_check(const ckv_ids *x, const char **why);

#endif
