/* dots.h -- the live dots of one incarnation in ascending order, each with its cell: the set that tells what was superseded, and the way
 * from a dot to what it put.
 *
 *     chunks  [ 1 2 3 5 | cells ]  [ 9 10 | cells ]  [ 11 12 17 | cells ]
 *
 * Dots only ever come at the end, since a new one is above the bookmark; they go anywhere. A request needs them as runs, a diff as rows
 * above a bookmark, a supersession as cells. One array serves all three, so there is no bitmap beside it (docs/adr).
 *
 *     I1  hlcs ascend; `from` of a chunk is no greater than its first and greater than all before it
 *     I2  a quarter of the slots or more is taken, but for the last chunk
 *     I3  an only chunk may be small, others have room for CKV_DOTS_CHUNK
 *     cost: append O(1); find O(log n); remove O(log n + a chunk); 16 bytes a dot when they come in order
 */
#ifndef CKV_KV_DOTS_H
#define CKV_KV_DOTS_H

#include "kv/cell.h"

#ifdef CKV_DEBUG
#define CKV_DOTS_CHUNK 4u
#define CKV_DOTS_FEW   1u
#else
#define CKV_DOTS_CHUNK 64u
#define CKV_DOTS_FEW   4u /* an only chunk begins with these, and quadruples */
#endif

typedef struct ckv_dot_chunk {
    uint32_t n,
        cap; /* cap is CKV_DOTS_CHUNK, but for an only chunk, which grows: most incarnations have few dots */
    uint64_t hlc[]; /* cap of them, then as many cells, borrowed from the store's tree */
} ckv_dot_chunk;

static inline ckv_cell **ckv_dot_cells(const ckv_dot_chunk *chunk)
{
    return (ckv_cell **)(uintptr_t)(chunk->hlc + chunk->cap);
}

typedef struct ckv_dot_row {
    uint64_t from;
    ckv_dot_chunk *chunk; /* owned */
} ckv_dot_row;

typedef struct ckv_dots {
    ckv_alloc a;
    ckv_dot_row *rows; /* owned: n_rows in use, then n_ready empty chunks */
    size_t n_rows, n_ready, cap;
    size_t n; /* dots */
} ckv_dots;

static inline ckv_dots ckv_dots_init(ckv_alloc a) { return (ckv_dots){.a = a}; }
void ckv_dots_fini(ckv_dots *d); /* not the cells */

/* Room for n appends. */
CKV_NODISCARD ckv_status ckv_dots_reserve(ckv_dots *d, size_t n);
/* hlc is greater than all that are or were here; room was reserved. */
void ckv_dots_append(ckv_dots *d, uint64_t hlc, ckv_cell *cell);
/* NULL: not live. */
ckv_cell *ckv_dots_find(const ckv_dots *d, uint64_t hlc);
void ckv_dots_remove(ckv_dots *d, uint64_t hlc); /* one that is here */

/* A walk in ascending order; good until a dot comes or goes. */
typedef struct ckv_dot_walk {
    const ckv_dots *dots; /* borrowed */
    size_t row;
    uint32_t i;
} ckv_dot_walk;

/* Begins at the first dot >= hlc. */
ckv_dot_walk ckv_dots_from(const ckv_dots *d, uint64_t hlc);
/* False: no more. */
bool ckv_dot_walk_next(ckv_dot_walk *w, uint64_t *hlc, ckv_cell **cell);
/* The rest of the run [*start, *end) that the next dot begins. A full chunk without gaps costs as much as one dot. */
bool ckv_dot_walk_run(ckv_dot_walk *w, uint64_t *start, uint64_t *end);

/* How many dots are >= hlc: O(chunks above it). */
size_t ckv_dots_count_from(const ckv_dots *d, uint64_t hlc);
size_t ckv_dots_bytes(const ckv_dots *d);
bool ckv_dots_check(const ckv_dots *d, const char **why);

#endif
