/* admit.h -- one remote change, authentic already: may it enter, and what does it do? docs/format.md, rules of header and body.
 *
 * This is the door behind which everything is trusted. The verdict depends on the change and its causal past alone.
 */
#ifndef CKV_DOC_ADMIT_H
#define CKV_DOC_ADMIT_H

#include "doc/doc.h"
#include "doc/exchange.h"
#include "doc/state.h"

#define CKV_MAX_TIPS 1024u

typedef struct ckv_candidate {
    const ckv_id32 *id, *lane, *author;
    const uint8_t *nonce; /* 16 bytes */
    ckv_header header;
    const uint8_t *body; /* body_len bytes; NULL: left out, of a document with content */
    bool claimed;        /* somebody left it out, here or in another bundle */
    const uint8_t *raw;  /* the header as it came; NULL: from columns */
    size_t raw_bytes;
    const ckv_signature *signature; /* NULL: covered by a later one */
    uint32_t lane_no, prev;         /* hints: numbers, or CKV_NONE if they must be looked up */
} ckv_candidate;

typedef enum ckv_verdict {
    CKV_APPLIED,
    CKV_VOIDED,
    CKV_WAITING, /* for `missing` */
    CKV_LATER,
    CKV_REFUSED,
} ckv_verdict;

typedef struct ckv_judgement {
    ckv_verdict verdict;
    ckv_id32 missing;
    ckv_refusal_kind kind;
    const char *reason;
    bool too_fast; /* refused for the author's rate: not again in this import, whoever needs it */
    bool
        aside; /* applied as if its body had been left out, since only a later version can read that */
    uint32_t change, lane_no; /* of an applied or void one */
} ckv_judgement;

/* On an error status nothing of this change is left, but the journal may hold what came before. The journal must be on. */
CKV_NODISCARD ckv_status ckv_admit(ckv_doc *doc, const ckv_candidate *c, ckv_judgement *out);

#endif
