/* held.h -- messages that came before what they build on: ops and op sets, kept as they came and tried again when a bookmark gets there.
 *
 *     in order of hlc | needs (a, 17) | op ...      "when a's bookmark reaches 17"
 *
 * Each counts against an incarnation's share: CKV_MAX_HELD messages and CKV_MAX_HELD_BYTES. Beyond that the greatest hlc goes first: it would
 * be the last to fit anyway. Losing one is harmless, the next pull brings what it said.
 */
#ifndef CKV_KV_HELD_H
#define CKV_KV_HELD_H

#include "ds/vec.h"

/* Whoever's share it is: */
#define CKV_MAX_HELD_ALL_BYTES (UINT64_C(64) << 20)
#define CKV_MAX_HELD_ALL       (1u << 15) /* messages: each one is looked at when a bookmark moves */

typedef struct ckv_need { /* what a message waits for */
    uint32_t peer;        /* an incarnation; CKV_NOBODY: nothing, it was done */
    uint64_t until;       /* its bookmark must get there */
} ckv_need;

typedef struct ckv_held_message {
    uint8_t *bytes; /* owned */
    size_t n_bytes;
    uint64_t hlc;   /* the greatest it brings; of a remove the bookmark before it */
    uint64_t until; /* what it waits for: this bookmark ... */
    uint32_t needs; /* ... of this incarnation */
    uint32_t share; /* of this incarnation */
} ckv_held_message;
CKV_VEC(ckv_held_vec, ckv_held_message);

typedef struct ckv_share {
    size_t n;
    uint64_t n_bytes;
} ckv_share;
CKV_VEC(ckv_shares, ckv_share);

typedef struct ckv_held {
    ckv_held_vec all;  /* ascending hlc */
    ckv_shares shares; /* of incarnation 0, 1, 2 ..; those behind have nothing */
    uint64_t n_bytes;
} ckv_held;

ckv_held ckv_held_init(ckv_alloc a);
void ckv_held_fini(ckv_held *h);
/* The one with this hlc and these bytes, NULL: it is not here. */
const ckv_held_message *ckv_held_find(const ckv_held *h, const ckv_held_message *m);
/* Keeps a copy, unless it is here already. *out: the share of which a message had to go for it, maybe this very one; else UINT32_MAX. */
CKV_NODISCARD ckv_status ckv_held_keep(ckv_held *h, const ckv_held_message *m, uint32_t *out);
/* After some were done, or in part: lets go of those that need UINT32_MAX, nobody any more, and puts the others in order again. */
void ckv_held_tidy(ckv_held *h);
bool ckv_held_check(const ckv_held *h, const char **why);

#endif
