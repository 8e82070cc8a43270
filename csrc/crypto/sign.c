#include "crypto/sign.h"

#include <sodium.h>
#include <stdatomic.h>

#define DOMAIN        "crdtkv-sig-v1"
#define MESSAGE_BYTES (13 + 32 + 32 + 4 + 32)

static void message(uint8_t m[MESSAGE_BYTES], const ckv_id32 *doc, const ckv_id32 *lane,
                    uint32_t seq, const ckv_id32 *id)
{
    memcpy(m, DOMAIN, 13);
    memcpy(m + 13, doc, 32);
    memcpy(m + 45, lane, 32);
    for (int i = 0; i < 4; i++) m[77 + i] = (uint8_t)(seq >> (8 * i));
    memcpy(m + 81, id, 32);
}

void ckv_sign_change(ckv_signature *out, const ckv_identity *who, const ckv_id32 *doc,
                     const ckv_id32 *lane, uint32_t seq, const ckv_id32 *id)
{
    uint8_t m[MESSAGE_BYTES];
    message(m, doc, lane, seq, id);
    crypto_sign_detached(out->b, NULL, m, sizeof m, who->secret_key);
}

void ckv_sign_bytes(uint8_t out[CKV_SIGNATURE_BYTES], const ckv_identity *who, const void *bytes,
                    size_t n_bytes)
{
    crypto_sign_detached(out, NULL, bytes, n_bytes, who->secret_key);
}

bool ckv_verify_change(const ckv_signature *s, const ckv_id32 *author, const ckv_id32 *doc,
                       const ckv_id32 *lane, uint32_t seq, const ckv_id32 *id)
{
    uint8_t m[MESSAGE_BYTES];
    message(m, doc, lane, seq, id);
    return crypto_sign_verify_detached(s->b, m, sizeof m, author->b) == 0;
}

/* The double of y = -1, x = 0, the point of order 2, written out: A + T2 negates both coordinates of A. libsodium has no call that
 * adds torsion, so besides its own check we ask for [L]A = identity by the inverse: [L - 1]A + A = 0, that is [L - 1]A == -A. */
static bool in_prime_group(const uint8_t a[32])
{
    static const uint8_t l_minus_1[32] = {0xec, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                          0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                          0,    0,    0,    0,    0,    0,    0,    0,
                                          0,    0,    0,    0,    0,    0,    0,    0x10};
    uint8_t q[32];
    if (crypto_scalarmult_ed25519_noclamp(q, l_minus_1, a) != 0) return false;
    q[31] ^= 0x80; /* negate: flip the sign of x */
    return sodium_memcmp(q, a, 32) == 0;
}

/* The self-test found that libsodium's own check refuses mixed order, so that ours, another 60 us a key, need not be made. */
static atomic_bool library_suffices;

/* Keys that this thread knows to be good: each check costs 40 us, and one author has many lanes. Whoever makes others forget costs them that time only. */
#define N_KNOWN 256u
static _Thread_local ckv_id32 known[N_KNOWN]; /* all zero: none, since that is no valid key */

static ckv_id32 *known_at(const ckv_id32 *key) { return &known[key->b[0] % N_KNOWN]; }

void ckv_key_vouch(const ckv_id32 *key) { *known_at(key) = *key; }

bool ckv_key_is_valid(const ckv_id32 *key)
{
    static const ckv_id32 none;
    if (!ckv_id32_eq(key, &none) && ckv_id32_eq(key, known_at(key))) return true;
    const bool valid = crypto_core_ed25519_is_valid_point(key->b) == 1 &&
                       (library_suffices || in_prime_group(key->b));
    if (valid) ckv_key_vouch(key);
    return valid;
}

bool ckv_verify_bytes(const uint8_t signature[CKV_SIGNATURE_BYTES], const ckv_id32 *author,
                      const void *bytes, size_t n_bytes)
{
    return ckv_key_is_valid(author) &&
           crypto_sign_verify_detached(signature, bytes, n_bytes, author->b) == 0;
}

bool ckv_sign_selftest(void)
{
    /* A = the public key of seed 0, T2 = (0, -1): A + T2 = (-x, -y), which is of mixed order. */
    ckv_identity zero;
    const uint8_t seed[32] = {0};
    ckv_identity_from_seed(&zero, seed);
    if (crypto_core_ed25519_is_valid_point(zero.public_key.b) != 1 ||
        !in_prime_group(zero.public_key.b))
        return false;
    static const uint8_t p[32] = {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
    ckv_id32 mixed;
    int borrow = 0;
    for (int i = 0; i < 32; i++) { /* y -> p - y */
        const int y = zero.public_key.b[i] & (i == 31 ? 0x7f : 0xff);
        int d = p[i] - y - borrow;
        borrow = d < 0;
        mixed.b[i] = (uint8_t)(d & 0xff);
    }
    mixed.b[31] =
        (uint8_t)((mixed.b[31] & 0x7f) | ((zero.public_key.b[31] & 0x80) ^ 0x80)); /* x -> -x */
    library_suffices = crypto_core_ed25519_is_valid_point(mixed.b) == 0;
    return !in_prime_group(mixed.b);
}
