/* Key files: there and back, damaged, with the wrong password, asking for too much. */
#include "t.h"

#include "base/hash64.h"
#include "crypto/digest.h"
#include "crypto/keyring.h"

static ckv_identity who(void)
{
    const uint8_t seed[32] = {42};
    ckv_identity i;
    ckv_identity_from_seed(&i, seed);
    return i;
}

static void mend(ckv_buf *b)
{
    b->len -= 8;
    ckv_buf_u64le(b, ckv_hash64(b->ptr, b->len));
}

static void a_plain_file_comes_back(void)
{
    const ckv_identity a = who();
    ckv_identity b;
    ckv_err err;
    ckv_buf file = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_identity_save(&a, NULL, 0, &file), CKV_OK);
    T_EQ(ckv_identity_load(&b, file.ptr, file.len, NULL, 0, &err), CKV_OK);
    T_BYTES(&a, sizeof a, &b, sizeof b);
    T_EQ(ckv_identity_load(&b, file.ptr, file.len, "x", 1, &err), CKV_ESIGN);
    for (size_t n = 0; n < file.len; n++)
        T_EQ(ckv_identity_load(&b, file.ptr, n, NULL, 0, &err), CKV_ECORRUPT);
    for (size_t bit = 0; bit < 8 * file.len; bit++) {
        file.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        T_EQ(ckv_identity_load(&b, file.ptr, file.len, NULL, 0, &err), CKV_ECORRUPT);
        T_CHECK(err.text);
        file.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ckv_buf_fini(&file);
}

static void a_password_is_needed_and_must_be_right(void)
{
    const ckv_identity a = who();
    ckv_identity b;
    ckv_err err;
    ckv_buf file = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_identity_save(&a, "secret", 6, &file), CKV_OK);
    T_EQ(ckv_identity_load(&b, file.ptr, file.len, "secret", 6, &err), CKV_OK);
    T_BYTES(&a, sizeof a, &b, sizeof b);
    T_EQ(ckv_identity_load(&b, file.ptr, file.len, "Secret", 6, &err), CKV_ESIGN);
    T_EQ(ckv_identity_load(&b, file.ptr, file.len, NULL, 0, &err), CKV_ESIGN);
    for (size_t i = 0; i + 32 <= file.len; i++)
        T_CHECK(memcmp(file.ptr + i, a.secret_key, 32) != 0);
    for (size_t n = 0; n < file.len; n++)
        T_EQ(ckv_identity_load(&b, file.ptr, n, "secret", 6, &err), CKV_ECORRUPT);
    file.ptr[20] = 17; /* passes */
    mend(&file);
    T_EQ(ckv_identity_load(&b, file.ptr, file.len, "secret", 6, &err), CKV_ELIMIT);
    file.ptr[20] = 3;
    file.ptr[27] = 0xff; /* memory */
    mend(&file);
    T_EQ(ckv_identity_load(&b, file.ptr, file.len, "secret", 6, &err), CKV_ELIMIT);
    ckv_buf_fini(&file);
}

static ckv_status scenario(ckv_alloc a)
{
    const ckv_identity me = who();
    ckv_buf file = ckv_buf_init(a);
    const ckv_status s = ckv_identity_save(&me, NULL, 0, &file);
    ckv_buf_fini(&file);
    return s;
}

static void survives_every_failure(void) { T_CHECK(t_oom(scenario) >= 1); }

static void wiping_leaves_nothing(void)
{
    ckv_identity a = who();
    const ckv_identity zero = {0};
    ckv_identity_wipe(&a);
    T_BYTES(&a, sizeof a, &zero, sizeof zero);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(a_plain_file_comes_back);
    T_RUN(a_password_is_needed_and_must_be_right);
    T_RUN(survives_every_failure);
    T_RUN(wiping_leaves_nothing);
    return t_done();
}
