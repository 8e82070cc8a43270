/* proof.h -- evidence that an author told two stories. docs/format.md, "Proof of equivocation". Needs no document. */
#ifndef CKV_DAG_PROOF_H
#define CKV_DAG_PROOF_H

#include "base/buf.h"
#include "crypto/sign.h"

#define CKV_MAX_PROOF_BYTES (2u << 20)

/* One side: a path of headers from the fork to a signed change. */
typedef struct ckv_proof_side {
    ckv_buf headers; /* each a length and its bytes */
    uint32_t n;
    ckv_signature signature;
} ckv_proof_side;

/* Appends a proof; a is the side whose first id is smaller. */
CKV_NODISCARD ckv_status ckv_proof_write(ckv_buf *out, const ckv_id32 *doc, const ckv_id32 *author,
                                         const uint8_t nonce[16], uint32_t seq,
                                         const ckv_proof_side *a, const ckv_proof_side *b);
/* Who lied. CKV_ECORRUPT: no proof; CKV_ESIGN: one that does not hold. */
CKV_NODISCARD ckv_status ckv_proof_read(const uint8_t *data, size_t n_bytes, ckv_id32 *author,
                                        ckv_err *err);

#endif
