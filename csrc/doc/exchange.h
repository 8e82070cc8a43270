/* exchange.h -- bundles out and in, what waits, and proofs of lying. docs/format.md. */
#ifndef CKV_DOC_EXCHANGE_H
#define CKV_DOC_EXCHANGE_H

#include "doc/doc.h"

/* The document id that a bundle is of; CKV_ECORRUPT if it is no bundle. */
CKV_NODISCARD ckv_status ckv_bundle_doc_id(const uint8_t *data, size_t n_bytes, ckv_id32 *out,
                                           ckv_err *err);

/* A bundle of what `until` (NULL: all) holds and `since` lacks. Signs what is not covered yet. */
CKV_NODISCARD ckv_status ckv_doc_export(ckv_doc *doc, const ckv_id32 *since, size_t n_since,
                                        const ckv_id32 *until, size_t n_until, ckv_buf *out);

/* What both have: for each branch of doc the last change that peer has too, appended to out. For export(since) to that peer. */
CKV_NODISCARD ckv_status ckv_doc_common(ckv_doc *doc, ckv_doc *peer,
                                        ckv_buf *out /* of ckv_id32 */);

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
CKV_NODISCARD ckv_status ckv_bundle_check(ckv_doc *doc, const uint8_t *data, size_t n_bytes,
                                          ckv_err *err);
/* Takes a bundle in. CKV_ECORRUPT: no bundle of this document. On any error document and report are as before. */
CKV_NODISCARD ckv_status ckv_doc_apply(ckv_doc *doc, const uint8_t *data, size_t n_bytes,
                                       ckv_report *report, ckv_err *err);

CKV_NODISCARD ckv_status ckv_doc_waiting(ckv_doc *doc, ckv_buf *out /* of ckv_id32, sorted */);
CKV_NODISCARD ckv_status ckv_doc_missing(ckv_doc *doc, ckv_buf *out /* of ckv_id32, sorted */);
/* A bundle of all that waits, for an ancestor or a later version, if anything does. *n: how many changes. */
CKV_NODISCARD ckv_status ckv_doc_export_waiting(ckv_doc *doc, ckv_buf *out, size_t *n);

/* What a header that waits says of its change. */
typedef struct ckv_letter_info {
    ckv_id32 id, lane, author, prev;
    uint32_t seq, n_parents;
    bool has_prev, later; /* later: waits for a newer version of this program */
    ckv_id32 parents[32];
} ckv_letter_info;
/* Of those that wait, at most `most`, in no order. */
CKV_NODISCARD ckv_status ckv_doc_letters(ckv_doc *doc, size_t most,
                                         ckv_buf *out /* of ckv_letter_info */);

/* Is there another change of its lane with the same prev? Looks at the branches of the lane. */
bool ckv_doc_has_twin(const ckv_doc *doc, uint32_t change);

typedef struct ckv_equivocation {
    ckv_id32 author, lane, a, b;
    uint32_t seq;
} ckv_equivocation;
CKV_NODISCARD ckv_status ckv_doc_equivocations(ckv_doc *doc,
                                               ckv_buf *out /* of ckv_equivocation, sorted */);
CKV_NODISCARD ckv_status ckv_doc_proof(ckv_doc *doc, const ckv_equivocation *e, ckv_buf *out);
/* CKV_ECORRUPT: no proof. CKV_ESIGN: one that does not hold. */
CKV_NODISCARD ckv_status ckv_proof_verify(const uint8_t *data, size_t n_bytes, ckv_id32 *author,
                                          ckv_err *err);

#endif
