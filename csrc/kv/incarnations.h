/* incarnations.h -- who wrote: the table of all incarnations that a store has heard of, each with its live dots and its bookmark.
 *
 *     number   0          1           2            in order of arrival; cells and walks speak in numbers, which never change
 *     order    1 2 0                               the numbers in order of the ids' bytes, as messages want them
 *
 *     I1  `order` ascends strictly; an id is name, "/" and 8 bytes
 *     I2  a bookmark is 0 (nothing seen: such a one is in no message) or below CKV_HLC_END
 *     I3  live dots are in [1, bookmark]; mine_from <= mine_to <= bookmark
 */
#ifndef CKV_KV_INCARNATIONS_H
#define CKV_KV_INCARNATIONS_H

#include "ds/runs.h"
#include "kv/dots.h"
#include "kv/store.h"

#define CKV_NOBODY UINT32_MAX
#define CKV_HLC_END                                                                                \
    (((UINT64_C(1) << 48) - 1) << 16) /* from here on all 48 bits of the time are set: no dot */

typedef struct ckv_incarnation {
    uint8_t *id; /* owned */
    size_t id_bytes;
    uint64_t bookmark;
    ckv_dots live;
    uint64_t mine_from,
        mine_to; /* dots in (from, to] this replica put, and no opset has told them yet */
    ckv_runs
        killed; /* what own writes superseded since the last opset, but for those; see killed.h */
    size_t n_tidy;    /* so many runs of it are in order */
    size_t n_killed;  /* scratch, 0 between calls */
    uint64_t told_in; /* report.c's: the last call that said that something of it waits */
} ckv_incarnation;
CKV_VEC(ckv_incarnation_vec, ckv_incarnation);

typedef struct ckv_incarnations {
    ckv_incarnation_vec all;
    ckv_u32s order;
} ckv_incarnations;

ckv_incarnations ckv_incarnations_init(ckv_alloc a);
void ckv_incarnations_fini(ckv_incarnations *t);

/* Whether an id could be one: at least CKV_INCARNATION bytes, "/" before the last 8, a name of at most CKV_MAX_PEER_NAME. */
bool ckv_incarnation_is_id(const uint8_t *id, size_t n_bytes);
/* CKV_NOBODY: unheard of. */
uint32_t ckv_incarnations_find(const ckv_incarnations *t, const uint8_t *id, size_t n_bytes);
/* The number of an id, a new one if need be. */
CKV_NODISCARD ckv_status ckv_incarnations_reach(ckv_incarnations *t, const uint8_t *id,
                                                size_t n_bytes, uint32_t *number);
/* < 0, 0, > 0: by the bytes of the ids. */
int ckv_incarnations_compare(const ckv_incarnations *t, uint32_t a, uint32_t b);
static inline ckv_bytes ckv_incarnation_id(const ckv_incarnation *p)
{
    return (ckv_bytes){p->id, p->id_bytes};
}
bool ckv_incarnations_check(const ckv_incarnations *t, const char **why);

#endif
