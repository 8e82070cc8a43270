/* runs.h -- sets of u64 as runs: in memory, as streams, and as they travel. docs/format.md, "Set of numbers".
 *
 *     { 3 4 5 9 }  =  [3, 6) [9, 10)  =  blob( 07 02 06 )      a gap of 3 and a run of 2 + 1; a gap of 3 and one number
 *
 * On the wire a run is one item, or many short ones are one bitmap where that is shorter: never much longer than a roaring bitmap of the
 * same set with its runs optimised. Each set has exactly one form. Nothing is expanded: what a few bytes claim costs a few bytes.
 *
 *     I1  runs ascend, none is empty, no two touch
 *     I2  numbers are <= CKV_RUNS_MAX, so that an end always fits
 *     cost: O(runs) but for ckv_runs_has; a byte from outside is at most 4 runs
 */
#ifndef CKV_DS_RUNS_H
#define CKV_DS_RUNS_H

#include "base/buf.h"
#include "ds/vec.h"

#define CKV_RUNS_MAX (UINT64_MAX - 1)

typedef struct ckv_run {
    uint64_t start, end; /* [start, end) */
} ckv_run;
CKV_VEC(ckv_runs, ckv_run);

/* ---- streams: give runs in ascending order, then false; runs of one stream may touch, but not overlap */

typedef struct ckv_runs_stream {
    bool (*next)(void *ctx, ckv_run *out);
    void *ctx; /* borrowed, moved on by next */
} ckv_runs_stream;

typedef enum ckv_runs_how {
    CKV_RUNS_UNION, /* in a or b */
    CKV_RUNS_MINUS, /* in a, not in b */
    CKV_RUNS_BOTH,  /* in a and b */
} ckv_runs_how;

/* Two streams as one, whose runs do not touch. Holds no memory. */
typedef struct ckv_runs_mix {
    ckv_runs_how how;
    ckv_runs_stream a, b;
    /* What is left of the run at hand. Empty: ask for the next; empty at the end of u64: there is none. */
    ckv_run at_a, at_b;
    ckv_run held; /* comes next, once it is known where it ends; empty: none */
} ckv_runs_mix;

ckv_runs_mix ckv_runs_mix_init(ckv_runs_how how, ckv_runs_stream a, ckv_runs_stream b);
bool ckv_runs_mix_next(ckv_runs_mix *m, ckv_run *out);
ckv_runs_stream ckv_runs_mix_stream(ckv_runs_mix *m); /* borrows m */

/* ---- in memory */

/* Appends [start, end), which begins at or behind the end of the last run; touching ones become one. */
CKV_NODISCARD ckv_status ckv_runs_append(ckv_runs *r, uint64_t start, uint64_t end);
bool ckv_runs_has(const ckv_runs *r, uint64_t value); /* O(log n) */
uint64_t ckv_runs_count(const ckv_runs *r);           /* numbers, not runs */
/* *out, empty before: all that a stream gives; a and b together as `how` says. After an error it is empty again. */
CKV_NODISCARD ckv_status ckv_runs_collect(ckv_runs *out, ckv_runs_stream s);
CKV_NODISCARD ckv_status ckv_runs_mixed(ckv_runs *out, ckv_runs_how how, const ckv_runs *a,
                                        const ckv_runs *b);
bool ckv_runs_check(const ckv_runs *r, const char **why);

/* The runs of a set in memory as a stream. */
typedef struct ckv_runs_walk {
    const ckv_run *at, *end; /* borrowed */
} ckv_runs_walk;

ckv_runs_walk ckv_runs_walk_init(const ckv_runs *r);
bool ckv_runs_walk_next(ckv_runs_walk *w, ckv_run *out);
ckv_runs_stream ckv_runs_walk_stream(ckv_runs_walk *w); /* borrows w */

/* ---- out: fed with runs in ascending order, which may touch; writes one blob */

typedef struct ckv_runs_out {
    ckv_buf *buf;    /* borrowed, to nobody else before the end; errors are in its status */
    size_t at;       /* where the set begins */
    uint64_t first;  /* if a window is open: its first number, */
    size_t head_at;  /* where its first item begins, */
    size_t items_at; /* and where this goes on behind its head */
    bool open;
    uint64_t pos; /* behind the last number written */
    ckv_run run;  /* not written yet, may grow; empty: none */
} ckv_runs_out;

ckv_runs_out ckv_runs_out_init(ckv_buf *buf);
void ckv_runs_out_add(ckv_runs_out *w, uint64_t start, uint64_t end);
void ckv_runs_out_all(ckv_runs_out *w, ckv_runs_stream s);
void ckv_runs_out_end(ckv_runs_out *w);

/* ---- in: a blob from outside, checked as a whole, then read run by run. Holds no memory; a copy of it begins where it stands */

typedef struct ckv_runs_in {
    const uint8_t *p, *end;         /* borrowed: items to come */
    const uint8_t *bits, *bits_end; /* borrowed: bytes of a bitmap to come */
    uint64_t word, base;            /* its bits at hand, and the number that bit 0 stands for */
    uint64_t pos;                   /* behind the last number given */
} ckv_runs_in;

/* The next blob of r: a set in its one form, of numbers in [min, max]; else r has CKV_ECORRUPT, and the set is empty. */
ckv_runs_in ckv_runs_in_init(ckv_rd *r, uint64_t min, uint64_t max);
bool ckv_runs_in_next(ckv_runs_in *in, ckv_run *out);
ckv_runs_stream ckv_runs_in_stream(ckv_runs_in *in); /* borrows in */
/* The same into memory. *out, empty before, stays so after an error; CKV_ENOMEM is in r, too. */
void ckv_runs_read(ckv_runs *out, ckv_rd *r, uint64_t min, uint64_t max);
/* Is that the content of a set, in its one form, of numbers in [min, max]? */
bool ckv_runs_valid(const uint8_t *p, size_t n_bytes, uint64_t min, uint64_t max);

#endif
