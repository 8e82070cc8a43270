/* Key files. An input is a byte of flags, a password (length, bytes) and a file, whose magic and checksum are made right. One with a password
 * is sealed here, cheaply, and then mutated: what the flags say of the file's bytes is XORed over it. No file that was changed loads, none is
 * let ask for more than 16 passes or 1 GiB, and what would take long is not tried.
 */
#include <sodium.h>

#include "base/check.h"
#include "base/hash64.h"
#include "crypto/digest.h"
#include "crypto/keyring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#define PLAIN    44u
#define SEALED   108u
#define KIB      8u
#define TOO_SLOW 64u /* passes times KiB */

static void checksum(ckv_buf *file)
{
    file->len -= 8;
    ckv_buf_u64le(file, ckv_hash64(file->ptr, file->len));
}

/* As ckv_identity_save seals, in a single pass. */
static void seal(ckv_buf *out, const uint8_t seed[32], const uint8_t *password, size_t n)
{
    const uint8_t salt[16] = {1}, nonce[24] = {2};
    uint8_t key[32], boxed[48];
    CKV_MUST(crypto_pwhash(key, 32, (const char *)password, n, salt, 1, KIB * 1024,
                           crypto_pwhash_ALG_ARGON2ID13) == 0);
    crypto_secretbox_easy(boxed, seed, 32, nonce, key);
    ckv_buf_bytes(out, "CKI\2", 4);
    ckv_buf_bytes(out, salt, sizeof salt);
    ckv_buf_u32le(out, 1);
    ckv_buf_u32le(out, KIB);
    ckv_buf_bytes(out, nonce, sizeof nonce);
    ckv_buf_bytes(out, boxed, sizeof boxed);
    ckv_buf_u64le(out, 0);
}

/* Is the answer to be had soon? */
static bool is_quick(const ckv_buf *file)
{
    if (file->len != SEALED) return true;
    ckv_rd r = ckv_rd_init(file->ptr + 20, 8);
    const uint64_t ops = ckv_rd_u32le(&r), kib = ckv_rd_u32le(&r);
    return ops < 1 || ops > 16 || kib < 8 || kib > 1u << 20 || ops * kib <= TOO_SLOW;
}

static void load(const ckv_buf *file, const char *password, size_t n, const uint8_t *seed)
{
    ckv_identity got, made;
    ckv_err err = {CKV_OK, 0, NULL};
    if (!is_quick(file)) return;
    const ckv_status s = ckv_identity_load(&got, file->ptr, file->len, password, n, &err);
    if (s == CKV_OK) {
        CKV_ASSERT(seed);
        ckv_identity_from_seed(&made, seed);
        CKV_ASSERT(memcmp(&got, &made, sizeof got) == 0);
    } else {
        CKV_ASSERT((s == CKV_ECORRUPT || s == CKV_ESIGN || s == CKV_ELIMIT) && err.code == s &&
                   err.text);
    }
}

/* A good file loads under its password and no other; one byte of it changed, it does not. */
static void sealed(const uint8_t *password, size_t n, ckv_rd *rest)
{
    uint8_t seed[32] = {0};
    ckv_buf file = ckv_buf_init(ckv_alloc_libc);
    for (size_t i = 0; i < sizeof seed; i++) seed[i] = ckv_rd_u8(rest);
    seal(&file, seed, password, n);
    checksum(&file);
    load(&file, (const char *)password, n, seed);
    load(&file, NULL, 0, NULL);
    load(&file, "", 0, n ? NULL : seed);
    ckv_buf good = file;
    file = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_bytes(&file, good.ptr, good.len);
    while (ckv_rd_left(rest) > 1) {
        const uint8_t at = ckv_rd_u8(rest), by = ckv_rd_u8(rest);
        if (at < file.len - 8) file.ptr[at] ^= by;
    }
    checksum(&file);
    const bool changed = memcmp(file.ptr, good.ptr, good.len) != 0;
    load(&file, (const char *)password, n, changed ? NULL : seed);
    ckv_buf_fini(&good);
    ckv_buf_fini(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    CKV_MUST(ckv_crypto_init());
    ckv_rd r = ckv_rd_init(data, n_bytes);
    const uint8_t flags = ckv_rd_u8(&r);
    const size_t n = ckv_rd_u8(&r) % 32;
    const uint8_t *password = ckv_rd_bytes(&r, n);
    if (r.status != CKV_OK) return 0;
    if (!password) password = (const uint8_t *)"";
    if (flags & 1) {
        sealed(password, n, &r);
        return 0;
    }
    const char *with = flags & 2 ? (const char *)password : NULL;
    ckv_buf file = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_bytes(&file, r.p, ckv_rd_left(&r));
    if (file.len >= 12 && flags & 4) {
        memcpy(file.ptr, "CKI", 3);
        checksum(&file);
    }
    const bool plain = file.len == PLAIN && memcmp(file.ptr, "CKI\1", 4) == 0 && !with;
    load(&file, with, with ? n : 0, plain ? file.ptr + 4 : NULL);
    ckv_buf_fini(&file);
    return 0;
}
