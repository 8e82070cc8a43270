/* bare/crypto.c -- stands in for crypto/digest.c and crypto/sign.c where a benchmark asks what hashing and signing cost: ids come from a
 * few bytes at both ends, every signature is good. Never in the extension; `make bft` links it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "crypto/digest.h"
#include "crypto/sign.h"

#define EDGE 64u /* so many bytes at either end tell one from the other */

bool ckv_crypto_init(void) { return true; }

static void name_it(ckv_id32 *out, const void *data, size_t n_bytes)
{
    uint8_t edges[2 * EDGE + 8] = {0};
    const uint8_t *p = data;
    const size_t n = n_bytes < EDGE ? n_bytes : EDGE;
    if (n) memcpy(edges, p, n), memcpy(edges + EDGE, p + n_bytes - n, n);
    memcpy(edges + 2 * EDGE, &n_bytes, sizeof n_bytes);
    uint64_t h = ckv_hash64(edges, sizeof edges);
    for (size_t i = 0; i < sizeof out->b; i += sizeof h, h = h * 0x9e3779b97f4a7c15u + 1)
        memcpy(out->b + i, &h, sizeof h);
}

void ckv_digest(ckv_id32 *out, const char *person, const void *data, size_t n_bytes)
{
    (void)person;
    name_it(out, data, n_bytes);
}

void ckv_seal(uint8_t out[CKV_SEAL_BYTES], const ckv_id32 *key, const char *person, uint64_t head,
              const void *data, size_t n_bytes)
{
    ckv_id32 whole;
    (void)key;
    (void)person;
    (void)head;
    name_it(&whole, data, n_bytes);
    memcpy(out, whole.b, CKV_SEAL_BYTES);
}

void ckv_digest_change(ckv_id32 *out, const ckv_id32 *lane, const void *header, size_t n_bytes)
{
    (void)lane;
    name_it(out, header, n_bytes);
}

uint64_t ckv_siphash(const uint8_t key[16], const void *data, size_t n_bytes)
{
    (void)key;
    return ckv_hash64(data, n_bytes);
}

void ckv_random_bytes(void *ctx, uint8_t *out, size_t n_bytes)
{
    (void)ctx;
    for (size_t i = 0; i < n_bytes; i++) out[i] = (uint8_t)rand();
}

ckv_id32 ckv_lane_id(const ckv_id32 *doc, const ckv_id32 *author, const uint8_t nonce[16])
{
    ckv_id32 id = *author;
    for (size_t i = 0; i < 16; i++) id.b[i] ^= (uint8_t)(nonce[i] ^ doc->b[i]);
    return id;
}

ckv_id32 ckv_founded_doc_id(const ckv_id32 *founder, const uint8_t nonce[16])
{
    return ckv_lane_id(founder, founder, nonce);
}

ckv_id32 ckv_body_hash(const void *body, size_t n_bytes)
{
    ckv_id32 id;
    name_it(&id, body, n_bytes);
    return id;
}

void ckv_sign_change(ckv_signature *out, const ckv_identity *who, const ckv_id32 *doc,
                     const ckv_id32 *lane, uint32_t seq, const ckv_id32 *id)
{
    (void)who, (void)doc, (void)lane, (void)seq;
    memset(out, 0, sizeof *out);
    memcpy(out, id, sizeof *id);
}

void ckv_sign_bytes(uint8_t out[CKV_SIGNATURE_BYTES], const ckv_identity *who, const void *bytes,
                    size_t n_bytes)
{
    (void)who, (void)bytes, (void)n_bytes;
    memset(out, 0, CKV_SIGNATURE_BYTES);
}

bool ckv_verify_change(const ckv_signature *s, const ckv_id32 *author, const ckv_id32 *doc,
                       const ckv_id32 *lane, uint32_t seq, const ckv_id32 *id)
{
    (void)s, (void)author, (void)doc, (void)lane, (void)seq, (void)id;
    return true;
}

bool ckv_key_is_valid(const ckv_id32 *key) { return key != NULL; }
void ckv_key_vouch(const ckv_id32 *key) { (void)key; }
bool ckv_sign_selftest(void) { return true; }
