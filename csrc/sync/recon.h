/* recon.h -- finding the difference of two sets of tips by asking for fingerprints of ranges. docs/format.md, "Comparing".
 *
 * Both ends put their tips in order of a keyed hash of the lane, cut that order into ranges and compare sums of keyed hashes: equal ranges
 * are done with, others are cut again until they are short enough to be listed (Meyer, "Range-based set reconciliation"; the key is of the
 * session, so nobody can prepare tips whose sums agree). Then each end knows of every tip of its own whether the other one has it:
 *
 *     PRINT    here is the sum of my tips in this range        answered by SKIP (equal), PRINTs of parts, or TIPS
 *     TIPS     here are my tips in this range                  answered by HAVE: a bit for each, and own tips of lanes where one was unknown
 *     HAVE     I know these; and I have those                  answered by KNOWN: a bit for each of those
 *
 * A lane in which each end has a tip that the other one does not know has forked, or somebody lies. The opener then searches: for each of its
 * tips there it sends hashes of the changes 2, 3, 5, 9, ... below the lower of both tips (PAST), is told the newest known (FOUND), and once
 * more for quarters of what is left between that and the next. So it errs by a quarter of the difference at most, never by more.
 *
 *     I1  asks are answered in order; each answer is as long as its ask allows, so all ends
 *     I2  when all is answered every tip here is HAD or LACKED by the peer, and ckv_peer knows what it has
 *     I3  what the other end says costs us O(log) for each of its bytes, and no more memory than 2^20 of its tips and questions need
 *     cost: memory 32 bytes a tip; O(log tips) messages, 17 bytes for each range that differs, 19 for each tip listed
 */
#ifndef CKV_SYNC_RECON_H
#define CKV_SYNC_RECON_H

#include "base/buf.h"
#include "doc/peer.h"

#define CKV_RECON_LIST 256u  /* so many tips are listed at once, without fingerprints */
#define CKV_RECON_LEAF 16u   /* and so many in a range that differs */
#define CKV_RECON_TIPS 1024u /* the most that we list, but for those of a single lane */
#define CKV_RECON_MOST                                                                             \
    16384u /* the most that we read, unless we have eight times as many: each is looked up among the tips of its lane */
#define CKV_RECON_PARTS  64u         /* a range is cut into so many, or a few more */
#define CKV_RECON_BUFFER (32u << 20) /* the longest range */
#define CKV_RECON_FOREIGN                                                                          \
    (1u << 20) /* tips of the other end that are not here, besides as many as we have */
#define CKV_RECON_ASKS  (1u << 20) /* questions in all, besides as many as we have tips */
#define CKV_RECON_FORKS 16u        /* a lane with more tips is looked through once and for all, */
#define CKV_RECON_CROWD (1u << 20) /* if it has no more changes */

typedef enum ckv_tip_state { CKV_TIP_OPEN, CKV_TIP_HAD, CKV_TIP_LACKED } ckv_tip_state;

typedef struct ckv_tip { /* one of ours */
    uint64_t lane, id;   /* keyed hashes */
    uint32_t height, branch;
    ckv_tip_state state; /* does the peer have it? */
} ckv_tip;
CKV_VEC(ckv_tips, ckv_tip);

typedef struct ckv_foreign_tip { /* one of theirs that we do not know */
    uint64_t lane, id;
    uint32_t height;
} ckv_foreign_tip;
CKV_VEC(ckv_foreign_tips, ckv_foreign_tip);

typedef struct ckv_place { /* where one of our changes is */
    uint64_t hash;
    uint32_t branch, seq;
} ckv_place;
CKV_VEC(ckv_places, ckv_place);

typedef struct ckv_ask { /* what the peer owes us */
    enum { CKV_ASK_RANGE, CKV_ASK_HAVE, CKV_ASK_KNOWN, CKV_ASK_FOUND, CKV_ASK_PAST } kind;
    uint64_t lo,
        hi; /* RANGE, HAVE: tips whose lane is in [lo, hi), hi 0: no end. FOUND, PAST: seqs, known at lo - 1, unknown at hi */
    uint32_t a,
        b; /* HAVE: our tips [a, b). KNOWN: the entries [a, b) of `listed`. FOUND: our tip a; PAST: their tip a */
    bool refined; /* FOUND, PAST: these are quarters */
} ckv_ask;
CKV_VEC(ckv_asks, ckv_ask);

typedef struct ckv_recon {
    ckv_doc *doc;   /* borrowed */
    ckv_peer *peer; /* borrowed */
    uint8_t key[16];
    bool opens, searched;
    ckv_tips tips;            /* by lane, height, id */
    ckv_u32s listed;          /* tips that were listed in HAVEs */
    ckv_foreign_tips foreign; /* in order of arrival; sorted for the search */
    ckv_asks asks;            /* [asked, len) are open */
    size_t asked;
    uint64_t n_asks;     /* that were made */
    ckv_places crowd;    /* of a lane with many tips, by hash; empty if it has too many changes */
    uint64_t crowd_lane; /* that one; 0: none */
    ckv_buf in, out;     /* ranges on their way: blobs */
    uint32_t hashes;     /* that were sent for the search */
} ckv_recon;

/* Looks at the tips as they are now. opener: this end begins, with what is in `out` then. The document and the peer must outlive it. */
CKV_NODISCARD ckv_status ckv_recon_begin(ckv_recon *r, ckv_doc *doc, ckv_peer *peer,
                                         const uint8_t key[16], bool opener);
void ckv_recon_fini(ckv_recon *r);
/* Reads what the peer says; answers are in `out`. CKV_ESYNC: it does not answer what it was asked. CKV_ELIMIT: it says too much. */
CKV_NODISCARD ckv_status ckv_recon_take(ckv_recon *r, const uint8_t *data, size_t n_bytes,
                                        const char **why);
/* Is all answered? (There may still be something in `out`.) */
bool ckv_recon_done(const ckv_recon *r);
bool ckv_recon_check(const ckv_recon *r, const char **why);

#endif
