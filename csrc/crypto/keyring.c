#include "crypto/keyring.h"

#include "crypto/digest.h"
#include "crypto/sign.h"

#include <sodium.h>

#include "base/hash64.h"

#define MAGIC       "CKI"
#define OPS         crypto_pwhash_argon2id_OPSLIMIT_MODERATE
#define MEM_KIB     (64u << 10)
#define MAX_OPS     16
#define MAX_MEM_KIB (1u << 20)

void ckv_identity_from_seed(ckv_identity *out, const uint8_t seed[32])
{
    crypto_sign_seed_keypair(out->public_key.b, out->secret_key, seed);
    ckv_key_vouch(&out->public_key);
}

void ckv_identity_random(ckv_identity *out)
{
    crypto_sign_keypair(out->public_key.b, out->secret_key);
    ckv_key_vouch(&out->public_key);
}

void ckv_wipe(void *secret, size_t n_bytes) { sodium_memzero(secret, n_bytes); }
void ckv_identity_wipe(ckv_identity *identity) { ckv_wipe(identity, sizeof *identity); }

void ckv_identity_file_key(const ckv_identity *identity, ckv_id32 *out)
{
    ckv_digest(out, "crdtkv-file-v1", identity->secret_key, 32);
}

static ckv_status stretch(uint8_t key[32], const char *password, size_t n, const uint8_t salt[16],
                          uint32_t ops, uint32_t mem_kib)
{
    return crypto_pwhash(key, 32, password, n, salt, ops, (size_t)mem_kib * 1024,
                         crypto_pwhash_ALG_ARGON2ID13) == 0
               ? CKV_OK
               : CKV_ENOMEM;
}

ckv_status ckv_identity_save(const ckv_identity *identity, const char *password,
                             size_t password_bytes, ckv_buf *out)
{
    const size_t start = out->len;
    ckv_buf_bytes(out, MAGIC, 3);
    ckv_buf_u8(out, password ? 2 : 1);
    if (!password) {
        ckv_buf_bytes(out, identity->secret_key, 32);
    } else {
        uint8_t salt[16], nonce[24], key[32], boxed[48];
        randombytes_buf(salt, sizeof salt);
        randombytes_buf(nonce, sizeof nonce);
        CKV_TRY(stretch(key, password, password_bytes, salt, OPS, MEM_KIB));
        crypto_secretbox_easy(boxed, identity->secret_key, 32, nonce, key);
        sodium_memzero(key, sizeof key);
        ckv_buf_bytes(out, salt, sizeof salt);
        ckv_buf_u32le(out, OPS);
        ckv_buf_u32le(out, MEM_KIB);
        ckv_buf_bytes(out, nonce, sizeof nonce);
        ckv_buf_bytes(out, boxed, sizeof boxed);
    }
    if (out->status == CKV_OK) ckv_buf_u64le(out, ckv_hash64(out->ptr + start, out->len - start));
    return out->status;
}

static ckv_status fail(ckv_err *err, ckv_status s, const char *text)
{
    *err = (ckv_err){s, 0, text};
    return s;
}

ckv_status ckv_identity_load(ckv_identity *out, const uint8_t *data, size_t n_bytes,
                             const char *password, size_t password_bytes, ckv_err *err)
{
    ckv_rd r = ckv_rd_init(data, n_bytes);
    const uint8_t *magic = ckv_rd_bytes(&r, 4);
    if (!magic || memcmp(magic, MAGIC, 3) != 0) return fail(err, CKV_ECORRUPT, "not a key file");
    if (magic[3] != 1 && magic[3] != 2)
        return fail(err, CKV_ECORRUPT, "a key file of an unknown version");
    if (n_bytes != (magic[3] == 1 ? 4 + 32 + 8 : 4 + 16 + 8 + 24 + 48 + 8))
        return fail(err, CKV_ECORRUPT, "a key file of the wrong length");
    ckv_rd tail = ckv_rd_init(data + n_bytes - 8, 8);
    if (ckv_rd_u64le(&tail) != ckv_hash64(data, n_bytes - 8))
        return fail(err, CKV_ECORRUPT, "a damaged key file");
    if (magic[3] == 1) {
        if (password) return fail(err, CKV_ESIGN, "the key file has no password");
        ckv_identity_from_seed(out, ckv_rd_bytes(&r, 32));
        return CKV_OK;
    }
    if (!password) return fail(err, CKV_ESIGN, "the key file needs a password");
    const uint8_t *salt = ckv_rd_bytes(&r, 16);
    const uint32_t ops = ckv_rd_u32le(&r), mem = ckv_rd_u32le(&r);
    const uint8_t *nonce = ckv_rd_bytes(&r, 24), *boxed = ckv_rd_bytes(&r, 48);
    if (ops < 1 || ops > MAX_OPS || mem < 8 || mem > MAX_MEM_KIB)
        return fail(err, CKV_ELIMIT, "the key file asks for too much work");
    uint8_t key[32], seed[32];
    CKV_TRY(stretch(key, password, password_bytes, salt, ops, mem));
    const int bad = crypto_secretbox_open_easy(seed, boxed, 48, nonce, key);
    sodium_memzero(key, sizeof key);
    if (bad) return fail(err, CKV_ESIGN, "wrong password");
    ckv_identity_from_seed(out, seed);
    sodium_memzero(seed, sizeof seed);
    return CKV_OK;
}
