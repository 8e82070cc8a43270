/* crdtkv.h -- the whole library for those above it: the only header that py/ includes.
 *
 * A ckv_doc is one replica of one document. It is not locked; whoever shares it between threads locks it.
 * Lone edits gather in the open change. Everything that looks from outside (heads, root, export, apply, views, blame)
 * wants it closed: call ckv_doc_commit first. ckv_doc_is_open tells. Positions are code points.
 * Ids are 32 bytes. Changes are also known by a local number (uint32_t, dense, in order of arrival; parents come first);
 * containers by a local number, the root map being CKV_ROOT; neither leaves the process, neither is ever reused.
 */
#ifndef CKV_REPLICA_CRDTKV_H
#define CKV_REPLICA_CRDTKV_H

#include "base/buf.h"
#include "base/env.h"
#include "base/id32.h"
#include "base/status.h"
#include "crypto/keyring.h"
#include "log/value.h"

typedef struct ckv_doc ckv_doc;
typedef struct ckv_view ckv_view; /* a version of the past, for reading */

#define CKV_ROOT 0u
#define CKV_NO_CHANGE UINT32_MAX

/* Must be called once before anything else. False: libsodium does not work, or accepts a mixed-order key. */
bool ckv_init(void);

/* ---- life */

/* doc_id NULL: a new document, whose id is derived from the identity and a random nonce. */
CKV_NODISCARD ckv_status ckv_doc_new(ckv_doc **out, const ckv_env *env, const ckv_identity *identity,
                                     const ckv_id32 *doc_id);
void ckv_doc_free(ckv_doc *doc);
const ckv_id32 *ckv_doc_id(const ckv_doc *doc);

/* The document id that a bundle is of; CKV_ECORRUPT if it is no bundle. */
CKV_NODISCARD ckv_status ckv_bundle_doc_id(const uint8_t *data, size_t n_bytes, ckv_id32 *out, ckv_err *err);

/* ---- containers and values */

typedef enum ckv_kind { CKV_KIND_MAP = 16, CKV_KIND_TEXT = 20 } ckv_kind;

ckv_kind ckv_doc_kind(const ckv_doc *doc, uint32_t container);
bool ckv_doc_is_live(const ckv_doc *doc, uint32_t container); /* false: deleted, overwritten or rolled back */

/* ckv_value (log/value.h) is {tag, i64 | f64 | ptr,n_bytes | container}. Read ones point into the document and live until its next change. */
CKV_NODISCARD ckv_status ckv_map_get(const ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes,
                                     ckv_value *out); /* CKV_ENOENT */
/* A value with a container's tag makes one; its number is then in *made. CKV_ELIMIT: key over 4 KiB, open change full. */
CKV_NODISCARD ckv_status ckv_map_set(ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes,
                                     const ckv_value *value, uint32_t *made);
CKV_NODISCARD ckv_status ckv_map_unset(ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes);
size_t ckv_map_len(const ckv_doc *doc, uint32_t map);
/* The i-th entry in order of the keys' bytes. Sorts on the first call after a change of keys. */
CKV_NODISCARD ckv_status ckv_map_at(ckv_doc *doc, uint32_t map, size_t i, const char **key, size_t *key_bytes,
                                    ckv_value *value);

/* ---- text */

size_t ckv_text_len(const ckv_doc *doc, uint32_t text);
/* n code points of `width` bytes each (1, 2 or 4, as in PyUnicode). CKV_ERANGE, CKV_EVALUE: surrogate, CKV_ESTALE, CKV_ELIMIT: the open change is full. */
CKV_NODISCARD ckv_status ckv_text_insert(ckv_doc *doc, uint32_t text, size_t pos, const void *chars,
                                         unsigned width, size_t n);
CKV_NODISCARD ckv_status ckv_text_delete(ckv_doc *doc, uint32_t text, size_t pos, size_t n);
/* The greatest code point in [start, start + n): exact when above 127, else an upper bound of 127. */
CKV_NODISCARD ckv_status ckv_text_max_char(ckv_doc *doc, uint32_t text, size_t start, size_t n, uint32_t *out);
/* Writes n code points of `width` bytes each to out; all must fit. */
CKV_NODISCARD ckv_status ckv_text_read(ckv_doc *doc, uint32_t text, size_t start, size_t n, void *out,
                                       unsigned width);

/* Who wrote what: maximal runs [start, end) of one change, appended to out. Wants the change closed. */
typedef struct ckv_blame_run {
    size_t start, end;
    uint32_t change;
} ckv_blame_run;
CKV_NODISCARD ckv_status ckv_text_blame(ckv_doc *doc, uint32_t text, ckv_buf *out /* of ckv_blame_run */);

/* ---- changes */

bool ckv_doc_is_open(const ckv_doc *doc);       /* are there edits that no change holds yet? */
size_t ckv_doc_open_bytes(const ckv_doc *doc);  /* about the size of the open body; lone edits close at 1 MiB */
/* Closes the open change. *change: its number, CKV_NO_CHANGE if there was nothing to close. message NULL: none. */
CKV_NODISCARD ckv_status ckv_doc_commit(ckv_doc *doc, int64_t time_ms, const char *message, size_t message_bytes,
                                        uint32_t *change);

/* Blocks: mark, edit, then either go on or go back. Only the innermost mark may be rolled back, marks nest like brackets. */
typedef struct ckv_mark {
    size_t journal;
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

uint32_t ckv_doc_n_changes(const ckv_doc *doc);
void ckv_doc_change(const ckv_doc *doc, uint32_t change, ckv_change_info *out);
CKV_NODISCARD ckv_status ckv_doc_find(ckv_doc *doc, const ckv_id32 *id, uint32_t *change); /* CKV_ENOENT */

/* Sorted by id; valid until the next change. */
const uint32_t *ckv_doc_heads(const ckv_doc *doc, size_t *n);
CKV_NODISCARD ckv_status ckv_doc_root(ckv_doc *doc, ckv_id32 *out);
/* Numbers of the changes that `until` holds (NULL: all) and `since` does not, ascending. Unknown ids in `since` are ignored, in `until` CKV_ENOENT. */
CKV_NODISCARD ckv_status ckv_doc_select(ckv_doc *doc, const ckv_id32 *since, size_t n_since, const ckv_id32 *until,
                                        size_t n_until, ckv_buf *out /* of uint32_t */);

/* ---- exchange */

/* A bundle of what `until` (NULL: all) holds and `since` lacks. Signs what is not covered yet. */
CKV_NODISCARD ckv_status ckv_doc_export(ckv_doc *doc, const ckv_id32 *since, size_t n_since, const ckv_id32 *until,
                                        size_t n_until, ckv_buf *out);

typedef enum ckv_refusal_kind { /* which exception class stands for it */
    CKV_REFUSED_DECODE,
    CKV_REFUSED_SIGNATURE,
    CKV_REFUSED_LIMIT,
    CKV_REFUSED_OTHER,
} ckv_refusal_kind;

typedef struct ckv_refusal {
    ckv_id32 id;
    bool has_id;
    ckv_refusal_kind kind;
    const char *reason; /* static */
} ckv_refusal;

typedef struct ckv_report {
    ckv_buf applied, voided, waiting; /* of ckv_id32 */
    ckv_buf refused;                  /* of ckv_refusal */
    uint64_t known;
} ckv_report;

void ckv_report_init(ckv_report *report, ckv_alloc a);
void ckv_report_fini(ckv_report *report);
/* What would ckv_doc_apply say to the bundle as a whole: CKV_OK or CKV_ECORRUPT? Looks, changes nothing, and may be asked
 * while a change is open: apply must parse before the caller closes that one. */
CKV_NODISCARD ckv_status ckv_bundle_check(const ckv_doc *doc, const uint8_t *data, size_t n_bytes, ckv_err *err);
/* Takes a bundle in. CKV_ECORRUPT: no bundle of this document. On any error document and report are as before. */
CKV_NODISCARD ckv_status ckv_doc_apply(ckv_doc *doc, const uint8_t *data, size_t n_bytes, ckv_report *report,
                                       ckv_err *err);

CKV_NODISCARD ckv_status ckv_doc_waiting(const ckv_doc *doc, ckv_buf *out /* of ckv_id32, sorted */);
CKV_NODISCARD ckv_status ckv_doc_missing(const ckv_doc *doc, ckv_buf *out /* of ckv_id32, sorted */);

typedef struct ckv_equivocation {
    ckv_id32 author, lane, a, b;
    uint32_t seq;
} ckv_equivocation;
CKV_NODISCARD ckv_status ckv_doc_equivocations(ckv_doc *doc, ckv_buf *out /* of ckv_equivocation, sorted */);
CKV_NODISCARD ckv_status ckv_doc_proof(ckv_doc *doc, const ckv_equivocation *e, ckv_buf *out);
/* CKV_ECORRUPT: no proof. CKV_ESIGN: one that does not hold. */
CKV_NODISCARD ckv_status ckv_proof_verify(const uint8_t *data, size_t n_bytes, ckv_id32 *author, ckv_err *err);

typedef struct ckv_stats {
    uint64_t changes, ops, items, lanes, heads, voids, waiting, later, waiting_bytes, evicted, equivocations, verified,
        memory, spans, signatures;
} ckv_stats;
CKV_NODISCARD ckv_status ckv_doc_stats(ckv_doc *doc, ckv_stats *out);

/* ---- the past */

/* CKV_ENOENT: an id is not here. The view names the document and must be freed before it; it stays valid while the document grows. */
CKV_NODISCARD ckv_status ckv_view_new(ckv_view **out, ckv_doc *doc, const ckv_id32 *heads, size_t n_heads);
void ckv_view_free(ckv_view *view);
/* Entries of a map in order of the keys' bytes. */
typedef struct ckv_entry {
    const char *key;
    size_t key_bytes;
    ckv_value value;
} ckv_entry;
CKV_NODISCARD ckv_status ckv_view_map(const ckv_view *view, uint32_t map, ckv_buf *out /* of ckv_entry */);
CKV_NODISCARD ckv_status ckv_view_text(const ckv_view *view, uint32_t text, ckv_buf *out /* of uint32_t, code points */);

/* What turns view a of a text into view b: in order of application, positions in the text as changed so far. */
typedef struct ckv_text_patch {
    size_t pos;
    bool insert;       /* else remove */
    size_t off, n;     /* the code points: [off, off + n) of `chars` */
} ckv_text_patch;
CKV_NODISCARD ckv_status ckv_text_diff(const ckv_view *a, const ckv_view *b, uint32_t text,
                                       ckv_buf *patches /* of ckv_text_patch */, ckv_buf *chars /* of uint32_t */);

#endif
