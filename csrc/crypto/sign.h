/* sign.h -- Ed25519 over changes. A signature covers its change and all of the lane behind it. docs/format.md, "Names". */
#ifndef CKV_CRYPTO_SIGN_H
#define CKV_CRYPTO_SIGN_H

#include "base/id32.h"
#include "crypto/keyring.h"

#define CKV_SIGNATURE_BYTES 64

typedef struct ckv_signature {
    uint8_t b[CKV_SIGNATURE_BYTES];
} ckv_signature;

void ckv_sign_change(ckv_signature *out, const ckv_identity *who, const ckv_id32 *doc,
                     const ckv_id32 *lane, uint32_t seq, const ckv_id32 *id);
/* Over any bytes: for what is no change, under a first few bytes that nothing else has (docs/format.md, "Links"), and for those who test with
 * signatures that no change has. */
void ckv_sign_bytes(uint8_t out[CKV_SIGNATURE_BYTES], const ckv_identity *who, const void *bytes,
                    size_t n_bytes);
/* False also for a key that may open no lane. */
CKV_NODISCARD bool ckv_verify_bytes(const uint8_t signature[CKV_SIGNATURE_BYTES],
                                    const ckv_id32 *author, const void *bytes, size_t n_bytes);
/* False also for the malleable twin of a signature and for keys of small order. */
CKV_NODISCARD bool ckv_verify_change(const ckv_signature *s, const ckv_id32 *author,
                                     const ckv_id32 *doc, const ckv_id32 *lane, uint32_t seq,
                                     const ckv_id32 *id);
/* Whether a key may open a lane: canonical, on the curve, in the prime-order group. */
CKV_NODISCARD bool ckv_key_is_valid(const ckv_id32 *key);
/* The key is good: it was made here, from its secret. */
void ckv_key_vouch(const ckv_id32 *key);
/* Whether keys of mixed order are refused. libsodium builds before 2025-12-30 may take them (CVE-2025-69277): found out here, once, and then
 * checked here too. */
CKV_NODISCARD bool ckv_sign_selftest(void);

#endif
