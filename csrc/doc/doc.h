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

/* ---- life */

/* doc_id NULL: a new document, whose id is derived from the identity and a random nonce. */
CKV_NODISCARD ckv_status ckv_doc_new(ckv_doc **out, const ckv_env *env,
                                     const ckv_identity *identity, const ckv_id32 *doc_id);
void ckv_doc_free(ckv_doc *doc);
const ckv_id32 *ckv_doc_id(const ckv_doc *doc);

/* ---- containers and values */

typedef enum ckv_kind { CKV_KIND_MAP = 16, CKV_KIND_TEXT = 20 } ckv_kind;

ckv_kind ckv_doc_kind(const ckv_doc *doc, uint32_t container);
bool ckv_doc_is_live(const ckv_doc *doc,
                     uint32_t container); /* false: deleted, overwritten or rolled back */

/* ckv_value (log/value.h) is {tag, i64 | f64 | ptr,n_bytes | container}. Read ones point into the document and live until its next change. */
CKV_NODISCARD ckv_status ckv_map_get(const ckv_doc *doc, uint32_t map, const char *key,
                                     size_t key_bytes, ckv_value *out); /* CKV_ENOENT */
/* A value with a container's tag makes one; its number is then in *made. CKV_ELIMIT: key over 4 KiB, open change full. */
CKV_NODISCARD ckv_status ckv_map_set(ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes,
                                     const ckv_value *value, uint32_t *made);
CKV_NODISCARD ckv_status ckv_map_unset(ckv_doc *doc, uint32_t map, const char *key,
                                       size_t key_bytes);
size_t ckv_map_len(const ckv_doc *doc, uint32_t map);
/* The i-th entry in order of the keys' bytes. Sorts on the first call after a change of keys. */
CKV_NODISCARD ckv_status ckv_map_at(ckv_doc *doc, uint32_t map, size_t i, const char **key,
                                    size_t *key_bytes, ckv_value *value);

/* ---- changes */

bool ckv_doc_is_open(const ckv_doc *doc); /* are there edits that no change holds yet? */
size_t ckv_doc_open_bytes(
    const ckv_doc *doc); /* about the size of the open body; lone edits close at 1 MiB */
/* Closes the open change. *change: its number, CKV_NO_CHANGE if there was nothing to close. message NULL: none. */
CKV_NODISCARD ckv_status ckv_doc_commit(ckv_doc *doc, int64_t time_ms, const char *message,
                                        size_t message_bytes, uint32_t *change);

/* Blocks: mark, edit, then either go on or go back. Only the innermost mark may be rolled back, marks nest like brackets. */
typedef struct ckv_mark { /* opaque */
    size_t journal;
    uint32_t n_lv, n_items;
    size_t open_bytes;
} ckv_mark;
CKV_NODISCARD ckv_status ckv_doc_mark(ckv_doc *doc, ckv_mark *mark);
void ckv_doc_rollback(ckv_doc *doc, ckv_mark mark); /* ends the mark */
void ckv_doc_unmark(ckv_doc *doc, ckv_mark mark);   /* keeps the edits */

typedef struct ckv_change_info {
    const ckv_id32 *id, *author, *lane, *prev; /* prev: NULL for seq 0 */
    uint32_t seq, n_ops, n_parents;
    uint32_t parents[32]; /* change numbers, in order of their ids */
    int64_t time;
    const char *message; /* NULL: none */
    size_t message_bytes;
    const char *void_reason; /* NULL: not void */
    bool is_signed;          /* covered by a signature that is here */
} ckv_change_info;

/* The next change opens a new lane. For a process that was forked: parent and child must not go on with the same one. */
void ckv_doc_leave_lane(ckv_doc *doc);
/* The next change goes on with a lane that is here already. That is lying, unless nobody else does: for tests and demonstrations.
 * CKV_ENOENT: no such lane, or not of this document's identity. */
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

typedef struct ckv_stats {
    uint64_t changes, ops, items, lanes, heads, voids, waiting, later, waiting_bytes, evicted,
        equivocations, verified, memory, spans, signatures;
} ckv_stats;
CKV_NODISCARD ckv_status ckv_doc_stats(ckv_doc *doc, ckv_stats *out);

#endif
