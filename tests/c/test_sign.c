/* Signatures that must not hold: malleable ones, keys of small or mixed order, anything about anything else. */
#include "t.h"

#include "crypto/digest.h"
#include "crypto/sign.h"

static ckv_identity who(uint8_t n)
{
    uint8_t seed[32] = {n};
    ckv_identity i;
    ckv_identity_from_seed(&i, seed);
    return i;
}

static const ckv_id32 DOC = {{1}}, LANE = {{2}}, ID = {{3}};

static void the_library_refuses_mixed_order(void) { T_CHECK(ckv_sign_selftest()); }

static void a_signature_is_about_one_change(void)
{
    const ckv_identity a = who(1), b = who(2);
    const ckv_id32 other = {{9}};
    ckv_signature s;
    ckv_sign_change(&s, &a, &DOC, &LANE, 7, &ID);
    T_CHECK(ckv_verify_change(&s, &a.public_key, &DOC, &LANE, 7, &ID));
    T_CHECK(!ckv_verify_change(&s, &b.public_key, &DOC, &LANE, 7, &ID));
    T_CHECK(!ckv_verify_change(&s, &a.public_key, &other, &LANE, 7, &ID));
    T_CHECK(!ckv_verify_change(&s, &a.public_key, &DOC, &other, 7, &ID));
    T_CHECK(!ckv_verify_change(&s, &a.public_key, &DOC, &LANE, 8, &ID));
    T_CHECK(!ckv_verify_change(&s, &a.public_key, &DOC, &LANE, 7 | 1u << 24, &ID));
    T_CHECK(!ckv_verify_change(&s, &a.public_key, &DOC, &LANE, 7, &other));
    for (size_t bit = 0; bit < 8 * sizeof s; bit++) {
        s.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        T_CHECK(!ckv_verify_change(&s, &a.public_key, &DOC, &LANE, 7, &ID));
        s.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* S + L verifies by the equation alone. */
static void the_malleable_twin_does_not_hold(void)
{
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                      0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                      0,    0,    0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0x10};
    const ckv_identity a = who(1);
    ckv_signature s;
    ckv_sign_change(&s, &a, &DOC, &LANE, 7, &ID);
    for (int times = 1; times < 8; times++) {
        unsigned carry = 0;
        for (int i = 0; i < 32; i++) {
            carry += s.b[32 + i] + order[i];
            s.b[32 + i] = (uint8_t)carry;
            carry >>= 8;
        }
        T_CHECK(!ckv_verify_change(&s, &a.public_key, &DOC, &LANE, 7, &ID));
    }
}

static void keys_of_small_order_open_nothing(void)
{
    /* the eight points of small order, and encodings of them that are not canonical */
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        ckv_id32 key;
        ckv_signature s = {
            {1}}; /* R = identity, S = 0: holds for a key of small order by the bare equation */
        for (size_t k = 0; k < 32; k++) {
            const char two[3] = {points[i][2 * k], points[i][2 * k + 1], 0};
            key.b[k] = (uint8_t)strtoul(two, NULL, 16);
        }
        T_CHECK(!ckv_key_is_valid(&key));
        T_CHECK(!ckv_verify_change(&s, &key, &DOC, &LANE, 0, &ID));
    }
}

static void honest_keys_are_valid(void)
{
    for (unsigned n = 0; n < 50; n++) {
        const ckv_identity a = who((uint8_t)n);
        T_CHECK(ckv_key_is_valid(&a.public_key));
    }
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(the_library_refuses_mixed_order);
    T_RUN(a_signature_is_about_one_change);
    T_RUN(the_malleable_twin_does_not_hold);
    T_RUN(keys_of_small_order_open_nothing);
    T_RUN(honest_keys_are_valid);
    return t_done();
}
