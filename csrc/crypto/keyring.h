/* keyring.h -- an identity: an Ed25519 key pair, and the file it is kept in. docs/format.md, "Key file". */
#ifndef CKV_CRYPTO_KEYRING_H
#define CKV_CRYPTO_KEYRING_H

#include "base/buf.h"
#include "base/id32.h"

typedef struct ckv_identity {
    ckv_id32 public_key;
    uint8_t secret_key[64]; /* as libsodium keeps it: seed, then public key */
} ckv_identity;

void ckv_identity_from_seed(ckv_identity *out, const uint8_t seed[32]);
void ckv_identity_random(ckv_identity *out);
void ckv_identity_wipe(ckv_identity *identity);
/* 32 secret bytes that whoever has the key file can compute: what seals a file's derived state. */
void ckv_identity_file_key(const ckv_identity *identity, ckv_id32 *out);
void ckv_wipe(void *secret, size_t n_bytes);

/* The content of a key file. password NULL: not encrypted. CKV_ENOMEM: argon2id found no room. */
CKV_NODISCARD ckv_status ckv_identity_save(const ckv_identity *identity, const char *password,
                                           size_t password_bytes, ckv_buf *out);
/* CKV_ECORRUPT: no key file; CKV_ESIGN: wrong password, or one that is needed and not given, or given and not needed.
 * CKV_ELIMIT: asks for more than 1 GiB or 16 passes. */
CKV_NODISCARD ckv_status ckv_identity_load(ckv_identity *out, const uint8_t *data, size_t n_bytes,
                                           const char *password, size_t password_bytes,
                                           ckv_err *err);

#endif
