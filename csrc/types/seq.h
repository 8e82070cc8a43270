/* seq.h -- a sequence as a B-tree of spans in document order, deleted items included.
 *
 *     node   [vis 9 | 4]            widths, and the least depth, hi and lo below each child
 *            /        \
 *     leaf  (3..7)(12..15 del)  (8..11)          spans: runs of items
 *
 * Items stand in the FugueMax tree (types/integrate). A span is a chain in it: each item is the right child of the one before. It keeps
 * the depth of its first item and
 *     hi   the topmost depth whose subtree begins at the span's first item,  INF: none
 *     lo   the topmost depth whose subtree ends at the span's last item,     INF: none
 * so that the first and last item of any subtree are found by a search for the nearest hi or lo that is small enough.
 * How: docs/adr/0003-place-by-the-tree.md. All sequences of a document share one store of leaves and nodes.
 *
 *     I1  node widths are the sums of what is below; leaves are linked in order; all at one depth
 *     I2  a node's minima are right, or its dirty bit is set, and then also those on the path above
 *     I3  the index knows the leaf of each span's first item
 *     I4  inside a span: left.lo == INF and right.hi == own depth wherever it could be cut
 *     cost: O(log n) for all, plus what is returned
 */
#ifndef CKV_TYPES_SEQ_H
#define CKV_TYPES_SEQ_H

#include "ds/lvindex.h"
#include "graph/graph.h"
#include "types/crowd.h"
#include "types/deletes.h"
#include "types/journal.h"

#ifdef CKV_DEBUG
#define CKV_FAN 4 /* six inserts split a leaf */
#else
#define CKV_FAN 32
#endif

#define CKV_INF UINT32_MAX

typedef struct ckv_span {
    uint32_t item, len, depth, hi, lo;
    uint32_t del; /* types/deletes.h; 0: visible */
} ckv_span;

typedef struct ckv_leaf {
    uint32_t parent, next, prev; /* CKV_NONE */
    uint32_t seq, n;
    ckv_span s[CKV_FAN];
} ckv_leaf;

typedef enum ckv_least { CKV_LEAST_DEPTH, CKV_LEAST_HI, CKV_LEAST_LO } ckv_least;

typedef struct ckv_node {
    uint32_t parent, n;
    uint32_t dirty; /* bit k: the minima of child k are to be found again */
    bool over_leaves;
    uint32_t child[CKV_FAN], vis[CKV_FAN], total[CKV_FAN];
    uint32_t least[3][CKV_FAN];
} ckv_node;

CKV_VEC(ckv_leaves, ckv_leaf);
CKV_VEC(ckv_nodes, ckv_node);

/* Shared by all sequences of a document. */
typedef struct ckv_space {
    ckv_leaves leaves;
    ckv_nodes nodes;
    ckv_deletes deletes;
    ckv_lvindex index;
    ckv_crowds crowds; /* types/integrate */
    uint32_t n_spans;
} ckv_space;

typedef struct ckv_seq {
    uint32_t number;       /* the container's */
    uint32_t root, height; /* height 0: root is a leaf; CKV_NONE: nothing was ever in it */
    uint32_t first_leaf;   /* CKV_NONE likewise */
    uint32_t visible, total;
    uint32_t start_lo;
} ckv_seq;

/* Behind the first `off` items of a span, off >= 1; leaf CKV_NONE: at the start. */
typedef struct ckv_gap {
    uint32_t leaf, slot, off;
} ckv_gap;

static const ckv_gap CKV_GAP_START = {CKV_NONE, 0, 0};
static inline bool ckv_gap_is_start(ckv_gap g) { return g.leaf == CKV_NONE; }

ckv_space ckv_space_init(ckv_alloc a, uint64_t secret);
void ckv_space_fini(ckv_space *x);
void ckv_seq_init(ckv_seq *s, uint32_t number);
/* Room for n_ops operations, each of which cuts at most two spans and adds one; items stay below `items`. */
CKV_NODISCARD ckv_status ckv_space_reserve(ckv_space *x, uint32_t items, size_t n_ops);

static inline ckv_span *ckv_space_span(const ckv_space *x, uint32_t leaf, uint32_t slot)
{
    return &x->leaves.ptr[leaf].s[slot];
}
static inline bool ckv_span_visible(const ckv_space *x, const ckv_span *s)
{
    return !ckv_del_hides(&x->deletes, s->del);
}

/* ---- where */
/* The gap behind the first `pos` visible items; pos <= visible. */
ckv_gap ckv_seq_gap(const ckv_space *x, const ckv_seq *s, uint32_t pos);
/* The gap right behind an item. False: no sequence holds it. The leaf tells which one. */
bool ckv_space_locate(const ckv_space *x, uint32_t item, ckv_gap *gap);
/* The span that follows a gap that stands at the end of its span, or at the start. False: the end. */
bool ckv_seq_next(const ckv_space *x, const ckv_seq *s, ckv_gap gap, uint32_t *leaf,
                  uint32_t *slot);
/* The items on both sides, deleted ones included; CKV_NONE: start, end. */
void ckv_seq_around(const ckv_space *x, const ckv_seq *s, ckv_gap gap, uint32_t *left,
                    uint32_t *right);
/* Visible items before a gap. */
uint32_t ckv_seq_pos(const ckv_space *x, ckv_gap gap);
/* < 0 if gap a stands before gap b in one sequence. */
int ckv_seq_compare(const ckv_space *x, ckv_gap a, ckv_gap b);
/* The nearest span from (leaf, slot) on, forwards or backwards, whose depth, hi or lo is <= d. False: none. */
bool ckv_seq_search(ckv_space *x, uint32_t *leaf, uint32_t *slot, bool forward, ckv_least what,
                    uint32_t d);

/* ---- change; room was reserved */
/* Cuts behind the gap, so that it stands at the end of its span. Gaps into later spans move. */
void ckv_seq_cut(ckv_space *x, ckv_seq *s, ckv_gap *gap);
/* Puts a visible span right behind a gap that stands at the end of its span (or at the start). */
void ckv_seq_put(ckv_space *x, ckv_seq *s, ckv_gap gap, ckv_span span);
/* Sets hi of a span, or lo, noting the old one. */
void ckv_seq_set_hi(ckv_space *x, ckv_seq *s, uint32_t leaf, uint32_t slot, uint32_t hi,
                    ckv_journal *j);
void ckv_seq_set_lo(ckv_space *x, ckv_seq *s, ckv_gap at, uint32_t lo,
                    ckv_journal *j); /* at the start: start_lo */
/* Places items [item, item + n) between two that are neighbours: behind `gap`, before what follows. Nothing can stand beside them. */
void ckv_seq_insert(ckv_space *x, ckv_seq *s, ckv_gap gap, uint32_t item, uint32_t n,
                    ckv_journal *j);
/* Deletes at most n items, beginning with the one before `gap` and all in its span; returns how many. */
uint32_t ckv_seq_delete(ckv_space *x, ckv_seq *s, ckv_gap gap, uint32_t n, uint32_t change,
                        ckv_journal *j);
/* The same way, `change` takes back that `of` deleted them. */
uint32_t ckv_seq_restore(ckv_space *x, ckv_seq *s, ckv_gap gap, uint32_t n, uint32_t of,
                         uint32_t change, ckv_journal *j);
/* Marks the one item before `gap`, a slot of a list, as one that its element does or does not show at. */
void ckv_seq_away(ckv_space *x, ckv_seq *s, ckv_gap gap, bool away, ckv_journal *j);
void ckv_seq_undo(ckv_space *x, ckv_seq *s, const ckv_undo *u);

size_t ckv_space_bytes(const ckv_space *x);
bool ckv_seq_check(ckv_space *x, const ckv_seq *s, const char **why);

#endif
