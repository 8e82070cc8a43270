/* peer.h -- what one peer has of the changes that are here, and what to send it next.
 *
 * A peer's set of changes is closed: with a change it has all ancestors. So one number for each branch says it all, and nothing is
 * asked twice:
 *
 *     branch   0  1  2            it has the first n[branch] changes, by seq, of the chain that ends in the branch
 *     n        7  0  3            and every change numbered below `next`
 *
 *     I1  every change numbered below `next` is had
 *     cost: 4 bytes a branch; moving `next` over what the peer has costs O(segments) in all
 */
#ifndef CKV_DOC_PEER_H
#define CKV_DOC_PEER_H

#include "crypto/digest.h"
#include "doc/exchange.h"
#include "ds/vec.h"

typedef struct ckv_peer {
    ckv_u32s n; /* by branch; beyond its end: 0 */
    uint32_t next;
    uint32_t number; /* whose letters in the waiting pool are its own; not 0 */
} ckv_peer;

ckv_peer ckv_peer_init(ckv_doc *doc);
void ckv_peer_fini(ckv_peer *p,
                   ckv_doc *doc); /* what it left waiting is nobody's in particular then */
/* It has the change at seq of the chain that ends in `branch`, and so all of the lane behind it. */
CKV_NODISCARD ckv_status ckv_peer_raise(ckv_peer *p, const ckv_doc *doc, uint32_t branch,
                                        uint32_t seq);
/* It has all changes numbered below n_changes. */
CKV_NODISCARD ckv_status ckv_peer_raise_all(ckv_peer *p, const ckv_doc *doc, uint32_t n_changes);
CKV_NODISCARD ckv_status ckv_peer_raise_change(ckv_peer *p, const ckv_doc *doc, uint32_t change);
bool ckv_peer_has(const ckv_peer *p, const ckv_doc *doc, uint32_t change);
/* Is there a closed change that it lacks? */
bool ckv_peer_lacks(ckv_peer *p, const ckv_doc *doc);
/* The first change from c on that it lacks, CKV_NO_CHANGE if there is none. */
uint32_t ckv_peer_next(const ckv_peer *p, const ckv_doc *doc, uint32_t c);

/* A bundle of what it lacks, in order, of about max_bytes before packing, or of one change that is greater; then it has that. */
CKV_NODISCARD ckv_status ckv_peer_bundle(ckv_peer *p, ckv_doc *doc, size_t max_bytes, ckv_buf *out);

/* Takes in a bundle that it sent: ckv_doc_apply, and notes that it has these. ids (may be NULL): of all changes in the bundle, whatever
 * became of them. */
CKV_NODISCARD ckv_status ckv_peer_apply(ckv_peer *p, ckv_doc *doc, const uint8_t *data,
                                        size_t n_bytes, ckv_report *report, ckv_buf *ids,
                                        ckv_err *err);

/* Bytes of what it brought and what waits. */
uint64_t ckv_peer_waiting(const ckv_peer *p, const ckv_doc *doc);
/* Bytes of all that waits, whoever brought it; and how many there may be, from the next one on. */
uint64_t ckv_doc_waiting_bytes(const ckv_doc *doc);
void ckv_doc_limit_waiting(ckv_doc *doc, uint64_t n_bytes);
/* Ids that its waiting changes miss, at most `most` of them. */
CKV_NODISCARD ckv_status ckv_peer_missing(const ckv_peer *p, const ckv_doc *doc, size_t most,
                                          ckv_buf *out /* of ckv_id32 */);
/* A bundle of those of these changes that are here. *found: is there any? */
CKV_NODISCARD ckv_status ckv_doc_export_these(ckv_doc *doc, const ckv_id32 *ids, size_t n,
                                              ckv_buf *out, bool *found);

/* ---- the tips of a document, for comparison */

uint32_t ckv_doc_n_branches(const ckv_doc *doc); /* each ends in a tip */
typedef struct ckv_tip_info {
    const ckv_id32 *lane, *id;
    uint32_t height; /* changes of the chain that ends there */
} ckv_tip_info;
ckv_tip_info ckv_doc_tip(const ckv_doc *doc, uint32_t branch);
/* The change at seq of this very branch, NULL if it has none there. */
const ckv_id32 *ckv_doc_on_branch(const ckv_doc *doc, uint32_t branch, uint32_t seq);
/* The change at seq of the chain that ends in `branch`, and the branch that it is on; seq is below the height. */
const ckv_id32 *ckv_doc_on_chain(const ckv_doc *doc, uint32_t branch, uint32_t seq, uint32_t *on);

/* ---- changes that only a later version can read: kept, and passed on */

/* Ids of those that can be passed on, sorted. */
CKV_NODISCARD ckv_status ckv_doc_later(ckv_doc *doc, ckv_buf *out /* of ckv_id32 */);
bool ckv_doc_is_later(const ckv_doc *doc, const ckv_id32 *id); /* one of them? */
uint64_t ckv_doc_later_version(
    const ckv_doc *doc); /* another one whenever the set may be another */
/* A bundle of those of them that are not in `known` (sorted). *n: how many. */
CKV_NODISCARD ckv_status ckv_doc_export_later(ckv_doc *doc, const ckv_id32 *known, size_t n_known,
                                              ckv_buf *out, size_t *n);

void ckv_doc_random(ckv_doc *doc, uint8_t *out, size_t n_bytes); /* from its environment */

#endif
