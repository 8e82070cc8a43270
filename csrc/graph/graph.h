/* graph.h -- time: who came before whom. Changes, their parents and clocks, and the question "is x in the past of c?".
 *
 * Segments are maximal runs of consecutive change numbers on one branch without a new foreign parent:
 *
 *     start  branch  seq0  clock0  prev  parents   allin  entries
 *     0      0       0     1       -     -         0      -            ada types 0..4
 *     5      1       0     1       -     -         0      -            bob, at the same time, 5..6
 *     7      0       5     6       4     6         7      -            ada again, having seen all
 *
 * The past of a segment (without itself) is {allin, entries}: every change below `allin`, and for each branch in entries its
 * changes with seq < n. Who writes after seeing all has allin == start and no entries, so honest histories cost nothing. Entries
 * are kept for some segments and found again for the others by walking back to kept ones.
 *
 *     I1  segments ascend in start and cover all changes; each is listed by its branch
 *     I2  prev and parents of a segment are smaller than its start; clock0 = 1 + their greatest clock
 *     I3  heads: changes that no other names, sorted by id
 *     cost: O(log segments) a lookup; a past costs its entries plus the segments up to kept ones
 */
#ifndef CKV_GRAPH_GRAPH_H
#define CKV_GRAPH_GRAPH_H

#include "ds/bits.h"
#include "graph/ids.h"
#include "graph/lanes.h"

#define CKV_MAX_PARENTS 32u

typedef struct ckv_segment {
    uint32_t start, branch, seq0, prev; /* prev: CKV_NONE for a lane's first change */
    uint32_t parents, n_parents;        /* in ckv_graph.parents, ascending by id */
    uint32_t allin;
    uint32_t entries, n_entries; /* in ckv_graph.entries; CKV_NONE: not kept */
    uint64_t clock0;
} ckv_segment;

typedef struct ckv_past_entry {
    uint32_t branch, n; /* changes of the branch with seq < n */
} ckv_past_entry;

CKV_VEC(ckv_segments, ckv_segment);
CKV_VEC(ckv_past_entries, ckv_past_entry);

typedef struct ckv_graph {
    ckv_ids ids;
    ckv_lanes lanes;
    ckv_segments segments;
    ckv_u32s parents;
    ckv_past_entries entries;
    ckv_u32s heads;
} ckv_graph;

/* A set of changes closed under ancestors. Reusable: reset, add, close, ask. */
typedef struct ckv_past {
    ckv_alloc a;
    bool all;       /* everything that is here */
    bool prefix;    /* exactly the changes below allin; only said of versions that are kept */
    uint32_t allin; /* every change below */
    uint32_t allin_item;
    uint32_t *n; /* owned; per branch: its changes with seq < n are in */
    size_t cap;
    ckv_u32s touched; /* branches with n != 0 */
    ckv_u32s todo;
} ckv_past;

ckv_graph ckv_graph_init(ckv_alloc a, uint64_t secret);
void ckv_graph_fini(ckv_graph *g);

/* ---- one change */
uint32_t ckv_graph_segment_of(const ckv_graph *g, uint32_t change); /* index */
uint32_t ckv_graph_branch(const ckv_graph *g, uint32_t change, uint32_t *seq);
/* All of it in one look. */
typedef struct ckv_stand {
    uint32_t branch, seq;
    uint64_t clock;
} ckv_stand;
static inline ckv_stand ckv_graph_stand(const ckv_graph *g, uint32_t change)
{
    const ckv_segment *s = &g->segments.ptr[ckv_graph_segment_of(g, change)];
    const uint32_t k = change - s->start;
    return (ckv_stand){s->branch, s->seq0 + k, s->clock0 + k};
}
uint32_t ckv_graph_at(const ckv_graph *g, uint32_t branch,
                      uint32_t seq); /* the change, also on the chain behind the branch */
uint64_t ckv_graph_clock(const ckv_graph *g, uint32_t change);
uint32_t ckv_graph_prev(const ckv_graph *g, uint32_t change); /* CKV_NONE */
/* Foreign parents, ascending by id; *n of them. */
const uint32_t *ckv_graph_parents(const ckv_graph *g, uint32_t change, uint32_t *n);
/* < 0 if op (a, ia) comes before (b, ib) in the total order (clock, id, index). */
int ckv_graph_order(const ckv_graph *g, uint32_t a, uint32_t ia, uint32_t b, uint32_t ib);

/* ---- growth */
/* Everything below may fail and changes nothing: room for one change after prev (CKV_NONE) and parents. branch: CKV_NONE for a new one. */
CKV_NODISCARD ckv_status ckv_graph_reserve(ckv_graph *g, uint32_t branch, uint32_t n_parents,
                                           const ckv_past *past);
/* Cannot fail after reserve. `past`: that of the new change. Returns its number. branch CKV_NONE: a new branch of `lane`. */
uint32_t ckv_graph_append(ckv_graph *g, uint32_t lane, uint32_t branch, uint32_t prev,
                          const uint32_t *parents, uint32_t n_parents, const ckv_past *past,
                          const ckv_id32 *id, uint32_t n_ops, uint32_t n_items);

/* Takes back the newest changes (and lanes), down to n_changes and n_lanes; heads: those of then, which fit. */
void ckv_graph_truncate(ckv_graph *g, uint32_t n_changes, uint32_t n_lanes, const uint32_t *heads,
                        size_t n_heads);

/* ---- pasts */
ckv_past ckv_past_init(ckv_alloc a);
void ckv_past_fini(ckv_past *p);
void ckv_past_reset(ckv_past *p);
/* Adds a change and all behind it. After CKV_ENOMEM only reset is allowed. */
CKV_NODISCARD ckv_status ckv_past_add(ckv_past *p, const ckv_graph *g, uint32_t change);
/* Ends the adding: moves allin as far as it goes. */
void ckv_past_close(ckv_past *p, const ckv_graph *g);
/* The past of a change with these prev and parents; takes the short way when they are all heads. */
CKV_NODISCARD ckv_status ckv_past_of(ckv_past *p, const ckv_graph *g, uint32_t prev,
                                     const uint32_t *parents, uint32_t n_parents);
bool ckv_past_has_slow(const ckv_past *p, const ckv_graph *g, uint32_t change);
/* Does it hold nothing but what is below allin? For one that is closed. */
bool ckv_past_is_prefix(const ckv_past *p, const ckv_graph *g);

static inline bool ckv_past_has(const ckv_past *p, const ckv_graph *g, uint32_t change)
{
    return p->all || change < p->allin || (!p->prefix && ckv_past_has_slow(p, g, change));
}

static inline bool ckv_past_has_item(const ckv_past *p, const ckv_graph *g, uint32_t item)
{
    return p->all || item < p->allin_item ||
           ckv_past_has_slow(p, g, ckv_ids_change_of_item(&g->ids, item));
}

/* How many changes of the branch, counted from seq 0, are in. */
static inline uint32_t ckv_past_branch(const ckv_past *p, uint32_t branch)
{
    return branch < p->cap ? p->n[branch] : 0;
}
/* The changes of segment i that are in: [start, the answer). */
uint32_t ckv_past_in_segment(const ckv_past *p, const ckv_graph *g, uint32_t segment);
/* The branch that the past holds of a lane, the deepest one; CKV_NONE if none. *forked: it holds two changes of one seq. */
uint32_t ckv_past_lane(const ckv_past *p, const ckv_graph *g, uint32_t lane, bool *forked);
/* Takes the changes of these authors out again. What is left is no longer closed under ancestors: only for looking at. */
CKV_NODISCARD ckv_status ckv_past_without(ckv_past *p, const ckv_graph *g, const ckv_id32 *authors,
                                          size_t n);
/* The changes of `a` (NULL: all) that are not in `b` (NULL: none). NULL: out of memory. */
ckv_bits *ckv_past_minus(const ckv_past *a, const ckv_past *b, const ckv_graph *g);

bool ckv_graph_check(const ckv_graph *g, const char **why);

#endif
