/* doc.h -- one replica of one document: its life, its containers, its changes.
 *
 * A ckv_doc is not locked; whoever shares it between threads locks it. Lone edits gather in the open change. Everything that looks from
 * outside (heads, root, export, apply, views, blame) wants it closed: call ckv_doc_commit first; ckv_doc_is_open tells.
 * Changes are known by a local number (dense, in order of arrival, parents first), containers by another, the root map being CKV_ROOT;
 * neither leaves the process, neither is ever reused.
 */
#ifndef CKV_DOC_DOC_H
#define CKV_DOC_DOC_H

#include "base/buf.h"
#include "base/env.h"
#include "base/id32.h"
#include "crypto/keyring.h"
#include "log/value.h"

typedef struct ckv_doc ckv_doc;

#define CKV_ROOT      0u
#define CKV_NO_CHANGE UINT32_MAX
#define CKV_MAX_ITEMS (UINT32_MAX / 4) /* of a document: 2^30 less one */

/* ---- life */

/* doc_id NULL: a new document, whose id is derived from the identity and a random nonce. */
CKV_NODISCARD ckv_status ckv_doc_new(ckv_doc **out, const ckv_env *env,
                                     const ckv_identity *identity, const ckv_id32 *doc_id);
void ckv_doc_free(ckv_doc *doc);
const ckv_id32 *ckv_doc_id(const ckv_doc *doc);

/* ---- containers and values */

typedef enum ckv_kind {
    CKV_KIND_MAP = CKV_TAG_MAP,
    CKV_KIND_LIST = CKV_TAG_LIST,
    CKV_KIND_SET = CKV_TAG_SET,
    CKV_KIND_COUNTER = CKV_TAG_COUNTER,
    CKV_KIND_TEXT = CKV_TAG_TEXT,
} ckv_kind;
#define CKV_MAX_DEPTH  256u
#define CKV_MOST_DEPTH 1024u /* of what is not yet a change, in a forger's copy: doc/forge.h */

/* What edits here are held to, and lanes. */
typedef struct ckv_limits {
    uint32_t depth;               /* of containers */
    uint32_t tips;                /* of a lane */
    size_t key_bytes, body_bytes; /* of a key or the name of a mark; of the open change */
} ckv_limits;
const ckv_limits *ckv_doc_limits(const ckv_doc *doc);

/* ckv_value (log/value.h) is {tag, i64 | f64 | ptr,n_bytes | container}. Read ones have the tag of a kind or scalar, point into the document and live
 * until its next change. Edits are in doc/map.h, list.h, set.h, counter.h, text.h and plain.h. */
uint32_t ckv_doc_n_containers(const ckv_doc *doc); /* their numbers are below */
ckv_kind ckv_doc_kind(const ckv_doc *doc, uint32_t container);
uint32_t ckv_doc_depth(const ckv_doc *doc, uint32_t container); /* the root: 0 */
/* Can it be reached from the root, as a shown value or as one in conflict? False: deleted, overwritten or rolled back, or something around it is. */
bool ckv_doc_is_live(ckv_doc *doc, uint32_t container);
bool ckv_doc_is_gone(const ckv_doc *doc,
                     uint32_t container); /* its making was rolled back: it never comes again */

/* Where a live container stands now: from the root down. CKV_ESTALE. */
typedef struct ckv_step {
    const char *key; /* NULL: an index */
    size_t key_bytes, index;
} ckv_step;
CKV_NODISCARD ckv_status ckv_doc_path(ckv_doc *doc, uint32_t container,
                                      ckv_buf *out /* of ckv_step */);

/* ---- changes */

bool ckv_doc_is_open(const ckv_doc *doc);      /* are there edits that no change holds yet? */
uint64_t ckv_doc_open_ops(const ckv_doc *doc); /* how many operations they are */
size_t ckv_doc_open_bytes(
    const ckv_doc *doc); /* about the size of the open body; lone edits close at 1 MiB */
/* Closes the open change. *change: its number, CKV_NO_CHANGE if there was nothing to close. message NULL: none. */
CKV_NODISCARD ckv_status ckv_doc_commit(ckv_doc *doc, int64_t time_ms, const char *message,
                                        size_t message_bytes, uint32_t *change);

/* Blocks: a savepoint, edits, then either release it or roll back to it. Only the innermost may be rolled back, savepoints nest like brackets. */
typedef struct ckv_savepoint { /* opaque */
    size_t journal;
    uint32_t n_lv, n_items;
    size_t open_bytes;
} ckv_savepoint;
CKV_NODISCARD ckv_status ckv_doc_savepoint(ckv_doc *doc, ckv_savepoint *savepoint);
void ckv_doc_rollback(ckv_doc *doc, ckv_savepoint savepoint); /* ends it */
void ckv_doc_release(ckv_doc *doc, ckv_savepoint savepoint);  /* keeps the edits */

typedef struct ckv_change_info {
    const ckv_id32 *id, *author, *lane, *prev; /* prev: NULL for seq 0 */
    uint32_t seq, n_ops, n_parents;
    uint32_t parents[32]; /* change numbers, in order of their ids */
    int64_t time;
    const char *message; /* NULL: none */
    size_t message_bytes;
    const char *void_reason; /* NULL: not void */
    bool is_signed;          /* covered by a signature that is here */
    bool is_local;           /* made by this very object */
} ckv_change_info;

/* The next change opens a new lane. For a process that was forked: parent and child must not go on with the same one. */
void ckv_doc_leave_lane(ckv_doc *doc);
/* What is drawn from now on, the nonces of lanes, follows from a seed. For simulations, which replay: two replicas of one identity
 * with one seed would open the same lane. */
void ckv_doc_seed(ckv_doc *doc, const uint8_t seed[32]);
/* The next change goes on with a lane that is here already. That is lying, unless nobody else does: for tests and demonstrations.
 * CKV_ENOENT: no such lane, one that forked, or not of this document's identity. */
CKV_NODISCARD ckv_status ckv_doc_go_on_with_lane(ckv_doc *doc, const ckv_id32 *lane);

uint32_t ckv_doc_n_changes(const ckv_doc *doc);
void ckv_doc_change(const ckv_doc *doc, uint32_t change, ckv_change_info *out);
CKV_NODISCARD ckv_status ckv_doc_find(ckv_doc *doc, const ckv_id32 *id,
                                      uint32_t *change); /* CKV_ENOENT */

/* Sorted by id; valid until the next change. */
const uint32_t *ckv_doc_heads(const ckv_doc *doc, size_t *n);
CKV_NODISCARD ckv_status ckv_doc_root(ckv_doc *doc, ckv_id32 *out);
/* Numbers of the changes that `until` holds (NULL: all) and `since` does not, ascending. Unknown ids in `since` are ignored, in `until` CKV_ENOENT. */
CKV_NODISCARD ckv_status ckv_doc_select(ckv_doc *doc, const ckv_id32 *since, size_t n_since,
                                        const ckv_id32 *until, size_t n_until,
                                        ckv_buf *out /* of uint32_t */);

/* Counts, sizes in bytes, and beside what is bounded its bound. */
typedef struct ckv_stats {
    uint64_t changes, ops, items, items_limit, lanes, branches, heads, voids, void_bytes;
    uint64_t waiting, later; /* changes */
    uint64_t waiting_bytes, waiting_limit;
    uint64_t lane_waiting, lane_waiting_limit; /* bytes of the lane that uses most */
    uint64_t peer_waiting, peer_waiting_limit; /* of the peer that does */
    uint64_t evicted, refused;                 /* since this object was made */
    uint64_t open_ops;                         /* that no change holds yet */
    uint64_t tips, tips_limit;                 /* of the lane that has most */
    uint64_t equivocations, verified, signatures, memory, spans;
} ckv_stats;
CKV_NODISCARD ckv_status ckv_doc_stats(ckv_doc *doc, ckv_stats *out);

#endif
