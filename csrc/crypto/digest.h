/* digest.h -- BLAKE2b-256, SipHash and randomness. With sign and keyring the only door to libsodium.
 *
 * Types of hashes are kept apart by personalisation: no header can pass for a body. docs/format.md, "Names".
 */
#ifndef CKV_CRYPTO_DIGEST_H
#define CKV_CRYPTO_DIGEST_H

#include "base/id32.h"

#include <stddef.h>

bool ckv_crypto_init(
    void); /* must succeed once before anything else here; see sign.h for the self-test */

/* H(person, data); person is ASCII of at most 16 bytes. */
void ckv_digest(ckv_id32 *out, const char *person, const void *data, size_t n_bytes);
/* The id of a change: its header, salted and personalised by its lane. One compression up to 128 bytes. */
void ckv_digest_change(ckv_id32 *out, const ckv_id32 *lane, const void *header, size_t n_bytes);
/* What only owners of the key could have written over `head` and the data behind it. key NULL: zeros, which nobody believes. */
#define CKV_SEAL_BYTES 16u
void ckv_seal(uint8_t out[CKV_SEAL_BYTES], const ckv_id32 *key, const char *person, uint64_t head,
              const void *data, size_t n_bytes);
/* For hash tables whose keys a stranger chooses. */
uint64_t ckv_siphash(const uint8_t key[16], const void *data, size_t n_bytes);
void ckv_random_bytes(void *ctx, uint8_t *out, size_t n_bytes); /* the system's; ctx is ignored */

/* Bytes that look random and follow from a seed, the same everywhere: block k is H("crdtkv-stream", seed, k).
 * For simulations, which replay. Nothing secret may come from it. */
typedef struct ckv_stream {
    uint8_t seed[32];
    uint64_t n_blocks; /* drawn so far */
} ckv_stream;
void ckv_stream_bytes(void *stream, uint8_t *out, size_t n_bytes);

ckv_id32 ckv_lane_id(const ckv_id32 *doc, const ckv_id32 *author, const uint8_t nonce[16]);
ckv_id32 ckv_founded_doc_id(const ckv_id32 *founder, const uint8_t nonce[16]);
ckv_id32 ckv_body_hash(const void *body, size_t n_bytes);

#endif
