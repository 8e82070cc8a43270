/* content.h -- what the bodies of a document mean, when they are not those of JSON documents.
 *
 * A ckv_doc that was made with a content is a hash graph and nothing else: lanes, changes, signatures, heads, what waits, sessions, proofs. What stands in the
 * bodies, where they are kept and what they do is the content's affair: a datastore (datastore/) has such a document for each of its DAGs.
 *
 *     remote change -> admit: ancestors, lanes ... -> content.read: is the body well formed?  -> graph -> content.take: here is change number n
 *     at the end of an import, of a write: content.settle, the last step that may fail: make all that was taken durable
 *
 *     I1  the log of such a document stays empty; its changes have no items, and its operations are counted by the content
 *     I2  take is called for every change, in order of numbers, and for local ones as for others
 *     I3  forget(n) takes back the changes from n on, and all attaches since the last settle
 *     I4  a body of no operations is a byte 0 and its time, zigzag, in every content: knots are made of it
 */
#ifndef CKV_DOC_CONTENT_H
#define CKV_DOC_CONTENT_H

#include "base/buf.h"
#include "crypto/sign.h"
#include "doc/doc.h"
#include "log/body.h"

/* A change as the content gets it. All borrowed. */
typedef struct ckv_taken {
    uint32_t change; /* its number */
    const uint8_t *header;
    size_t header_bytes;
    const uint8_t *
        body; /* NULL: left out by whoever sent it (claimed dead). An inline body is given here, too. */
    uint32_t body_bytes, n_ops;
    const char *void_reason; /* NULL: not void; static, as `read` gave it */
    bool is_local;           /* made by ckv_doc_write */
} ckv_taken;

typedef struct ckv_body_info { /* what a header says of a body that may not be here */
    uint32_t n_ops, body_len;
    ckv_id32 hash; /* if body_len > CKV_INLINE_BODY_BYTES */
} ckv_body_info;

typedef enum ckv_body_state {
    CKV_BODY_HERE,    /* also one that stands in its header */
    CKV_BODY_DROPPED, /* compacted by ourselves: it is known to be dead */
    CKV_BODY_CLAIMED, /* came without; somebody says that it is dead */
} ckv_body_state;

typedef struct ckv_content {
    void *ctx;
    uint32_t type; /* of headers */
    /* Looks at a body from outside, n_ops as its header says. CKV_OK, CKV_EVOID (with *why), CKV_ELATER, CKV_ENOMEM. *head: time and message, borrowed from the body. */
    ckv_status (*read)(void *ctx, const uint8_t *body, size_t n_bytes, uint32_t n_ops,
                       ckv_body_head *head, const char **why);
    /* May this author write so many bytes now? A local limit: what it refuses is refused, and can be admitted later. NULL: always. */
    bool (*admits)(void *ctx, const ckv_id32 *author, size_t n_bytes);
    /* The last step of letting a change in: it is in the graph when this returns CKV_OK. May fail, and then has done nothing. */
    ckv_status (*take)(void *ctx, const ckv_taken *taken);
    void (*forget)(void *ctx, uint32_t n_changes);
    /* A body that was left out came after all; it has the hash. Whatever `read` said of it: a void one has void_reason. *wanted false: it is here already.
     * Its change may have been taken by the same import. One for a later version is not attached: the document keeps it aside, and it stays absent here. */
    ckv_status (*attach)(void *ctx, const ckv_taken *taken, bool *wanted);
    /* Signatures and covers (ckv_doc_signature_at, ckv_doc_covers_since) stand by now. May fail: then forget follows. */
    ckv_status (*settle)(void *ctx);
    /* Appends the body of a change to out. CKV_ENOENT: left out; info tells of it all the same. out NULL: only info. CKV_ECORRUPT: what is kept is damaged. */
    ckv_status (*body)(void *ctx, uint32_t change, ckv_body_info *info, ckv_buf *out);
    /* Where the body of a change stands. Cheap: asked for all changes. */
    ckv_body_state (*body_state)(void *ctx, uint32_t change);
    uint64_t (*absent_version)(
        void *ctx); /* another one whenever the set of bodies that are not here may be another */
    /* Does a body that is here still matter? */
    ckv_status (*is_live)(void *ctx, uint32_t change, bool *live);
} ckv_content;

/* As ckv_doc_new; what ctx points to must outlive it, the table is copied. content NULL: a JSON document. */
CKV_NODISCARD ckv_status ckv_doc_new_with(ckv_doc **out, const ckv_env *env,
                                          const ckv_identity *identity, const ckv_id32 *doc_id,
                                          const ckv_content *content);
/* Closes one change with this body (knots first, if need be), and settles. CKV_ELIMIT: over 16 MiB. On an error the document is as before. sign: at once. */
CKV_NODISCARD ckv_status ckv_doc_write(ckv_doc *doc, const uint8_t *body, size_t n_bytes,
                                       uint32_t n_ops, const ckv_body_head *head, bool sign,
                                       uint32_t *change);
/* Takes back the changes from number n_changes on, all of which ckv_doc_write made in a row just now, and the lane that was opened for them: calls forget. */
void ckv_doc_take_back(ckv_doc *doc, uint32_t n_changes);
/* The number and seq that the own lane's next change has (without knots), the lane's number or CKV_NO_CHANGE if it is to be opened first. */
void ckv_doc_next_own(const ckv_doc *doc, uint32_t *lane, uint32_t *seq);
/* Opens the own lane if there is none. What is kept by number knows no lane without a change: whoever opens it writes next. */
CKV_NODISCARD ckv_status ckv_doc_open_lane(ckv_doc *doc);

/* A change from the own record, in order of numbers: enters the graph without `read`, `take` or `settle`. CKV_ECORRUPT: it does not follow from what is here. verify: its
 * signature, if it has one, must hold (CKV_ESIGN). */
typedef struct ckv_restored {
    const ckv_id32 *author;
    const uint8_t *nonce; /* 16 */
    const uint8_t *header;
    size_t header_bytes;
    const ckv_signature *signature; /* NULL: none */
    const char *void_reason;        /* NULL: not void; static */
    int64_t time;
    const char *message; /* NULL: none */
    size_t message_bytes;
} ckv_restored;
CKV_NODISCARD ckv_status ckv_doc_restore(ckv_doc *doc, const ckv_restored *r, bool verify,
                                         uint32_t *change, ckv_id32 *id);

/* Of changes that are here, for whoever keeps them: */
typedef struct ckv_standing {
    uint32_t lane, branch, seq;
    uint64_t clock;
} ckv_standing;
ckv_standing ckv_doc_standing(const ckv_doc *doc, uint32_t change);
/* < 0 if operation (a, ia) comes before (b, ib) in the total order (clock, id, index). */
int ckv_doc_order(const ckv_doc *doc, uint32_t a, uint32_t ia, uint32_t b, uint32_t ib);
/* Is change a in the past of change b, or b itself? O(1) on honest histories. Not const: it keeps what it found. */
CKV_NODISCARD ckv_status ckv_doc_is_past(ckv_doc *doc, uint32_t a, uint32_t b, bool *out);
/* The changes before these, which ascend: what is gathered is asked for until the next question about pasts. */
CKV_NODISCARD ckv_status ckv_doc_gather_pasts(ckv_doc *doc, const uint32_t *changes, size_t n);
bool ckv_doc_is_gathered(const ckv_doc *doc, uint32_t change);
/* All changes below this number are in the past of b: the quick way to know. */
uint32_t ckv_doc_all_below(const ckv_doc *doc, uint32_t b);
const ckv_id32 *ckv_doc_id_of(const ckv_doc *doc, uint32_t change);
/* The changes that it names, by number: prev, CKV_NO_CHANGE if it is the first of its lane, and parents, borrowed, ascending by id. */
void ckv_doc_links(const ckv_doc *doc, uint32_t change, uint32_t *prev, const uint32_t **parents,
                   uint32_t *n_parents);
/* The lane by its number; NULL beyond the last. */
typedef struct ckv_lane_info {
    const ckv_id32 *id, *author;
    const uint8_t *nonce;
} ckv_lane_info;
bool ckv_doc_lane(const ckv_doc *doc, uint32_t lane, ckv_lane_info *out);
/* The signature that stands at this very change, NULL if none does. */
const ckv_signature *ckv_doc_signature_at(const ckv_doc *doc, uint32_t change);

/* ---- signatures that nobody needs, for whoever keeps old changes with fewer bytes
 *
 * The next signature of the lane covers all that come before it. So of CKV_SPARE_CHANGES in a row the last one is enough: a bundle can still be cut, and a run stays far
 * below what a reader takes under one signature. Lanes that forked keep all, so that proofs stay short. */
#define CKV_SPARE_CHANGES 16u
typedef bool ckv_doc_may(void *ctx, uint32_t change);
/* Calls `goes` for each change whose signature can go. Both it and the next one that is signed are among those that `may`. */
void ckv_doc_spare_signatures(const ckv_doc *doc, ckv_doc_may *may,
                              void (*goes)(void *ctx, uint32_t change), void *ctx);
/* Forgets the signatures that stand at the changes for which `gone` holds. */
void ckv_doc_drop_signatures(ckv_doc *doc, ckv_doc_may *gone, void *ctx);

/* ---- bodies that somebody says are dead, and somebody else that they are not */

bool ckv_doc_has_content(const ckv_doc *doc);
/* Is the body here, and does it matter? */
CKV_NODISCARD ckv_status ckv_doc_body_matters(ckv_doc *doc, uint32_t change, bool *out);
/* Ids of changes that both have, whose body was left out here while it is there and matters. */
CKV_NODISCARD ckv_status ckv_doc_bodies_wanted(ckv_doc *doc, ckv_doc *peer,
                                               ckv_buf *out /* of ckv_id32 */);
/* A bundle of the bodies of the first of these changes (numbers), of about max_bytes (0: all): for somebody who has the changes, so nothing proves them. Those whose body is not
 * here are skipped. *n_done: how many it speaks of; at least one. */
CKV_NODISCARD ckv_status ckv_doc_export_bodies(ckv_doc *doc, const uint32_t *changes, size_t n,
                                               size_t max_bytes, ckv_buf *out, size_t *n_done);

/* ---- headers that lead from a change that is here to a signed one that is not: its only proof */

typedef struct ckv_cover_info {
    uint32_t change, n;     /* the last one that is here; headers behind it */
    const uint8_t *headers; /* borrowed: n blobs */
    size_t n_bytes;
    const ckv_signature *signature; /* on the last header */
} ckv_cover_info;
/* Grows with every cover: keep those since the mark of before. */
size_t ckv_doc_cover_mark(const ckv_doc *doc);
CKV_NODISCARD ckv_status ckv_doc_covers_since(const ckv_doc *doc, size_t mark,
                                              ckv_buf *out /* of ckv_cover_info */);
/* From the own record, behind its change. CKV_ECORRUPT: it does not parse. */
CKV_NODISCARD ckv_status ckv_doc_restore_cover(ckv_doc *doc, const ckv_cover_info *cover);

#endif
