/* lanes.h -- lanes, the branches they fork into, and where their items are.
 *
 * A lane is one writer incarnation; honest ones are a single chain. Each fork of a liar opens one more branch, so that
 * (branch, seq) names a change, always. Which child went on in the old branch is a matter of arrival and never enters an order.
 *
 *     branch 3 (lane 1)   seq 0 1 2 3 4 5        parent none
 *     branch 7 (lane 1)             3' 4'        parent 3, seq0 = 3: its chain is 0 1 2 of branch 3, then its own
 *
 * The items of a chain are numbered by offset. `runs` say which item numbers they have here: {item, branch, off}, ascending in
 * item; each branch lists its runs.
 *
 *     I1  runs ascend and cover all items; in a branch they ascend in off without a gap, from off0 to off_end
 *     I2  a branch's parent has a smaller number, seq0 <= the parent's n_seq
 *     cost: O(log runs)
 */
#ifndef CKV_GRAPH_LANES_H
#define CKV_GRAPH_LANES_H

#include "crypto/sign.h"
#include "ds/hmap.h"
#include "ds/vec.h"
#include "graph/ids.h"

/* `before` and `after`: bytes of all bodies of the branch up to this change, without and with its own. UINT64_MAX: not known, which only
 * costs a signature more in a bundle. */
typedef struct ckv_signed_at {
    uint32_t seq;
    uint64_t before, after;
    ckv_signature signature;
} ckv_signed_at;
CKV_VEC(ckv_signed_ats, ckv_signed_at);

typedef struct ckv_branch {
    uint32_t lane, parent; /* CKV_NONE: begins the lane */
    uint32_t seq0, n_seq;  /* own changes are [seq0, n_seq) */
    uint32_t off0, off_end;
    uint32_t tip;              /* change; CKV_NONE never, a branch is not empty */
    uint32_t next;             /* of the same lane, or CKV_NONE */
    ckv_u32s segments;         /* indexes into ckv_graph.segments */
    ckv_u32s runs;             /* indexes into ckv_lanes.runs */
    ckv_signed_ats signatures; /* ascending in seq */
    uint64_t body_bytes;       /* of its changes, at least */
    uint32_t tip_bytes;        /* of its last one */
} ckv_branch;

typedef struct ckv_lane {
    ckv_id32 id, author;
    uint8_t nonce[16];
    uint32_t first_branch, last_branch; /* CKV_NONE: no change of it is here */
    uint32_t n_branches;                /* as many as the lane has tips */
} ckv_lane;

typedef struct ckv_item_run {
    uint32_t item, branch, off;
} ckv_item_run;

CKV_VEC(ckv_branches, ckv_branch);
CKV_VEC(ckv_lane_vec, ckv_lane);
CKV_VEC(ckv_item_runs, ckv_item_run);

typedef struct ckv_lanes {
    ckv_lane_vec lanes;
    ckv_branches branches;
    ckv_item_runs runs;
    ckv_hmap by_id;
    uint64_t secret;
    ckv_branch spare; /* memory for the next branch, so that making one cannot fail */
} ckv_lanes;

ckv_lanes ckv_lanes_init(ckv_alloc a, uint64_t secret);
void ckv_lanes_fini(ckv_lanes *x);

static inline ckv_lane *ckv_lanes_lane(const ckv_lanes *x, uint32_t lane)
{
    return &x->lanes.ptr[lane];
}
static inline ckv_branch *ckv_lanes_branch(const ckv_lanes *x, uint32_t branch)
{
    return &x->branches.ptr[branch];
}
static inline const ckv_lane *ckv_lanes_of_branch(const ckv_lanes *x, uint32_t branch)
{
    return &x->lanes.ptr[x->branches.ptr[branch].lane];
}

uint32_t ckv_lanes_find(const ckv_lanes *x, const ckv_id32 *id); /* CKV_NONE */
CKV_NODISCARD ckv_status ckv_lanes_add(ckv_lanes *x, const ckv_id32 *id, const ckv_id32 *author,
                                       const uint8_t nonce[16], uint32_t *lane);

/* The item with this offset on the chain that ends in `branch`; CKV_NONE beyond its end. */
uint32_t ckv_lanes_item(const ckv_lanes *x, uint32_t branch, uint32_t off);
/* The same for an offset that is on the chain; *len: how many items from there on have consecutive numbers. */
uint32_t ckv_lanes_stretch(const ckv_lanes *x, uint32_t branch, uint32_t off, uint32_t *len);
/* How many items the chain that ends in `branch` had made before item number `item` came: an offset. */
uint32_t ckv_lanes_off_before(const ckv_lanes *x, uint32_t branch, uint32_t item);
/* The branch that made an item, and its offset. *len (may be NULL): how many follow in one run. */
uint32_t ckv_lanes_place(const ckv_lanes *x, uint32_t item, uint32_t n_items, uint32_t *off,
                         uint32_t *len);
/* Whether the chain that ends in `branch` passes through (of, seq). */
bool ckv_lanes_on_chain(const ckv_lanes *x, uint32_t branch, uint32_t of, uint32_t seq);

/* Room for one change on `branch`, or on a new one (CKV_NONE). */
CKV_NODISCARD ckv_status ckv_lanes_reserve(ckv_lanes *x, uint32_t branch);
CKV_NODISCARD ckv_status ckv_lanes_sign(ckv_lanes *x, uint32_t branch, uint32_t seq,
                                        const ckv_signature *s);
/* The first signature at or after seq on this very branch, or NULL. */
const ckv_signed_at *ckv_lanes_signature(const ckv_lanes *x, uint32_t branch, uint32_t seq);
/* Whether a signature that is here covers the change at (branch, seq): at or after it on the branch, or on one that leaves it later. */
bool ckv_lanes_covered(const ckv_lanes *x, uint32_t branch, uint32_t seq);
/* Makes a branch of `lane` that leaves `parent` (or none) with its next change at seq0. Room was reserved. */
uint32_t ckv_lanes_fork(ckv_lanes *x, uint32_t lane, uint32_t parent, uint32_t seq0, uint32_t off0);
/* Notes n_items new items (from number `item` on) of the branch's next change. Room was reserved. */
void ckv_lanes_append(ckv_lanes *x, uint32_t branch, uint32_t change, uint32_t item,
                      uint32_t n_items);
/* Takes back the newest change of a branch, which had made n_items items from `item` on; prev: the one before it. */
void ckv_lanes_pop(ckv_lanes *x, uint32_t branch, uint32_t prev, uint32_t item, uint32_t n_items);
/* Forgets lanes from n_lanes on; they have no changes. */
void ckv_lanes_drop(ckv_lanes *x, uint32_t n_lanes);
/* Notes the size of the body of a branch's newest change. */
static inline void ckv_lanes_weigh(ckv_lanes *x, uint32_t branch, uint32_t body_bytes)
{
    x->branches.ptr[branch].body_bytes += body_bytes;
    x->branches.ptr[branch].tip_bytes = body_bytes;
}
bool ckv_lanes_check(const ckv_lanes *x, uint32_t n_items, const char **why);

#endif
