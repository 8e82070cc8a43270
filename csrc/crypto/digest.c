#include "crypto/digest.h"

#include "base/check.h"

#include <sodium.h>

bool ckv_crypto_init(void) { return sodium_init() >= 0; }

#define PERSON crypto_generichash_blake2b_PERSONALBYTES

static void personalise(uint8_t p[PERSON], const char *person)
{
    const size_t n = strlen(person);
    CKV_ASSERT(n <= PERSON);
    memset(p, 0, PERSON);
    memcpy(p, person, n);
}

void ckv_digest(ckv_id32 *out, const char *person, const void *data, size_t n_bytes)
{
    static const uint8_t no_salt[crypto_generichash_blake2b_SALTBYTES];
    uint8_t p[PERSON];
    personalise(p, person);
    crypto_generichash_blake2b_salt_personal(out->b, 32, data, n_bytes, NULL, 0, no_salt, p);
}

void ckv_digest_change(ckv_id32 *out, const ckv_id32 *lane, const void *header, size_t n_bytes)
{
    crypto_generichash_blake2b_salt_personal(out->b, 32, header, n_bytes, NULL, 0, lane->b,
                                             lane->b + 16);
}

void ckv_seal(uint8_t out[CKV_SEAL_BYTES], const ckv_id32 *key, const char *person, uint64_t head,
              const void *data, size_t n_bytes)
{
    static const uint8_t no_salt[crypto_generichash_blake2b_SALTBYTES];
    uint8_t p[PERSON], h[8];
    personalise(p, person);
    memset(out, 0, CKV_SEAL_BYTES);
    if (!key) return;
    for (int i = 0; i < 8; i++) h[i] = (uint8_t)(head >> 8 * i);
    crypto_generichash_blake2b_state s;
    crypto_generichash_blake2b_init_salt_personal(&s, key->b, sizeof key->b, CKV_SEAL_BYTES,
                                                  no_salt, p);
    crypto_generichash_blake2b_update(&s, h, sizeof h);
    crypto_generichash_blake2b_update(&s, data, n_bytes);
    crypto_generichash_blake2b_final(&s, out, CKV_SEAL_BYTES);
}

uint64_t ckv_siphash(const uint8_t key[16], const void *data, size_t n_bytes)
{
    uint8_t out[crypto_shorthash_BYTES];
    uint64_t v;
    crypto_shorthash(out, data, n_bytes, key);
    memcpy(&v, out, sizeof v);
    return v;
}

void ckv_random_bytes(void *ctx, uint8_t *out, size_t n_bytes)
{
    (void)ctx;
    randombytes_buf(out, n_bytes);
}

void ckv_stream_bytes(void *stream, uint8_t *out, size_t n_bytes)
{
    ckv_stream *const s = stream;
    while (n_bytes > 0) {
        uint8_t m[40];
        ckv_id32 block;
        const size_t n = n_bytes < sizeof block ? n_bytes : sizeof block;
        memcpy(m, s->seed, 32);
        for (int i = 0; i < 8; i++) m[32 + i] = (uint8_t)(s->n_blocks >> 8 * i);
        ckv_digest(&block, "crdtkv-stream", m, sizeof m);
        memcpy(out, &block, n);
        s->n_blocks++;
        out += n;
        n_bytes -= n;
    }
}

ckv_id32 ckv_lane_id(const ckv_id32 *doc, const ckv_id32 *author, const uint8_t nonce[16])
{
    uint8_t m[80];
    ckv_id32 id;
    memcpy(m, doc, 32);
    memcpy(m + 32, author, 32);
    memcpy(m + 64, nonce, 16);
    ckv_digest(&id, "crdtkv-lane-v1", m, sizeof m);
    return id;
}

ckv_id32 ckv_founded_doc_id(const ckv_id32 *founder, const uint8_t nonce[16])
{
    uint8_t m[48];
    ckv_id32 id;
    memcpy(m, founder, 32);
    memcpy(m + 32, nonce, 16);
    ckv_digest(&id, "crdtkv-doc-v1", m, sizeof m);
    return id;
}

ckv_id32 ckv_body_hash(const void *body, size_t n_bytes)
{
    ckv_id32 id;
    ckv_digest(&id, "crdtkv-body-v1", body, n_bytes);
    return id;
}
