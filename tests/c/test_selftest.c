/* A libsodium that takes keys of mixed order, as builds before 2025-12-30 do (CVE-2025-69277), and one whose arithmetic is wrong, too:
 * the first is made up for, with the second nothing starts. crypto/sign.c and replica/crdtkv.c stand here once more, on top of these.
 */
#include "t.h"

#include <sodium.h>

#include "crypto/digest.h"

static bool takes_all, agrees_with_all; /* is_valid_point, and the multiple by which we check it */

static int a_valid_point(const unsigned char *p)
{
    return takes_all ? 1 : crypto_core_ed25519_is_valid_point(p);
}

static int a_multiple(unsigned char *q, const unsigned char *n, const unsigned char *p)
{
    if (!agrees_with_all) return crypto_scalarmult_ed25519_noclamp(q, n, p);
    memcpy(q, p, 32);
    q[31] ^= 0x80; /* -p, which is what a point of prime order gives */
    return 0;
}

#define crypto_core_ed25519_is_valid_point a_valid_point
#define crypto_scalarmult_ed25519_noclamp  a_multiple
#define ckv_sign_bytes                     bad_sign_bytes
#define ckv_sign_change                    bad_sign_change
#define ckv_verify_bytes                   bad_verify_bytes
#define ckv_verify_change                  bad_verify_change
#define ckv_key_vouch                      bad_key_vouch
#define ckv_key_is_valid                   bad_key_is_valid
#define ckv_sign_selftest                  bad_sign_selftest
#define ckv_init                           bad_init
#include "crypto/sign.c"
#include "replica/crdtkv.c"

static ckv_id32 hex(const char *text)
{
    ckv_id32 id;
    for (size_t i = 0; i < 32; i++) {
        const char two[3] = {text[2 * i], text[2 * i + 1], 0};
        id.b[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return id;
}

/* The public key of seed 0, and a point of order 8 added to it once to seven times: what the equation without the cofactor takes in some
 * cases and the one with it in all. */
static const char *const mixed[] = {
    "6a04fa7acf0934cb8ab34fbcb40c7f58b109fbee389d186d8e22f705e87de8be",
    "7f55eb298ff43cb8c9bfcc9ee53b35ddf4fe9193bed1ac12464ad39d3aad982c",
    "06903bfea2a1ddc586e78a189513f47ac6ae27e4e7803a1c2fb94c94b18f3958",
    "b295d84331495bd29d5c572fd590f28c9acdea88e21dbc59c53fb75e74a625d6",
    "83fb058530f6cb34754cb0434bf380a74ef60411c762e79271dd08fa17821741",
    "6eaa14d6700bc347364033611ac4ca220b016e6c412e53edb9b52c62c55267d3",
    "e76fc4015d5e223a791875e76aec0b853951d81b187fc5e3d046b36b4e70c6a7",
};

static void refuses_mixed_order(void)
{
    T_CHECK(bad_init());
    for (size_t i = 0; i < sizeof mixed / sizeof *mixed; i++) {
        const ckv_id32 key = hex(mixed[i]);
        T_CHECK(!bad_key_is_valid(&key));
    }
    for (uint8_t n = 0; n < 20; n++) {
        ckv_identity honest;
        const uint8_t seed[32] = {n};
        ckv_identity_from_seed(&honest, seed);
        T_CHECK(bad_key_is_valid(&honest.public_key));
    }
}

static void a_library_as_it_is_refuses_mixed_order(void) { refuses_mixed_order(); }

static void a_library_that_takes_mixed_order_is_made_up_for(void)
{
    takes_all = true;
    refuses_mixed_order();
}

static void with_wrong_arithmetic_nothing_starts(void)
{
    takes_all = agrees_with_all = true;
    T_CHECK(!bad_init());
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(a_library_as_it_is_refuses_mixed_order);
    T_RUN(a_library_that_takes_mixed_order_is_made_up_for);
    T_RUN(with_wrong_arithmetic_nothing_starts);
    return t_done();
}
