/* Proofs of equivocation: one that holds, and everything that must not. */
#include "t.h"

#include "base/hash64.h"
#include "crypto/digest.h"
#include "dag/header.h"
#include "dag/proof.h"

typedef struct liar {
    ckv_identity identity;
    ckv_id32 doc, lane;
    uint8_t nonce[16];
} liar;

static liar who(void)
{
    liar l = {.doc = {{5}}, .nonce = {6}};
    const uint8_t seed[32] = {7};
    ckv_identity_from_seed(&l.identity, seed);
    l.lane = ckv_lane_id(&l.doc, &l.identity.public_key, l.nonce);
    return l;
}

/* What is wrong with the second header of a side. */
typedef enum fault { NONE, NO_PREV, WRONG_SEQ, WRONG_PREV } fault;
static fault second;
static bool lone; /* its first header has no prev */

/* A side of n headers from seq 3 on behind `prev`, told apart by `story`; returns its first id. */
static ckv_id32 tell(ckv_proof_side *side, const liar *l, uint8_t story, uint32_t n, ckv_id32 prev)
{
    ckv_id32 first = {{0}}, id = prev;
    *side = (ckv_proof_side){.headers = ckv_buf_init(ckv_alloc_libc), .n = n};
    for (uint32_t i = 0; i < n; i++) {
        uint8_t p[CKV_HEADER_MAX_BYTES];
        const uint8_t body[2] = {story, (uint8_t)i};
        ckv_header h = {
            .seq = 3 + i, .n_ops = 0, .body_len = 2, .has_prev = true, .prev = id, .body = body};
        if (i == 1 && second == NO_PREV) h.has_prev = false;
        if (i == 1 && second == WRONG_SEQ) h.seq++;
        if (i == 1 && second == WRONG_PREV) h.prev.b[0] ^= 1;
        if (i == 0 && lone) h.has_prev = false;
        const size_t len = ckv_header_write(p, &h);
        ckv_buf_blob(&side->headers, p, len);
        ckv_digest_change(&id, &l->lane, p, len);
        if (i == 0) first = id;
    }
    ckv_sign_change(&side->signature, &l->identity, &l->doc, &l->lane, 3 + n - 1, &id);
    return first;
}

static ckv_status prove(ckv_buf *out, const liar *l, uint8_t a_story, uint8_t b_story,
                        ckv_id32 a_prev, ckv_id32 b_prev, uint32_t seq)
{
    ckv_proof_side a, b;
    const ckv_id32 ia = tell(&a, l, a_story, 1, a_prev), ib = tell(&b, l, b_story, 3, b_prev);
    const bool in_order = ckv_id32_cmp(&ia, &ib) < 0;
    ckv_buf_clear(out);
    const ckv_status s = ckv_proof_write(out, &l->doc, &l->identity.public_key, l->nonce, seq,
                                         in_order ? &a : &b, in_order ? &b : &a);
    ckv_buf_fini(&a.headers);
    ckv_buf_fini(&b.headers);
    return s;
}

static ckv_status read_it(const ckv_buf *p)
{
    ckv_id32 author;
    ckv_err err;
    const ckv_status s = ckv_proof_read(p->ptr, p->len, &author, &err);
    const liar l = who();
    if (s == CKV_OK)
        T_BYTES(&author, 32, &l.identity.public_key, 32);
    else
        T_CHECK(err.code == s && err.text);
    return s;
}

static void a_true_proof_holds(void)
{
    const liar l = who();
    ckv_buf p = ckv_buf_init(ckv_alloc_libc);
    T_EQ(prove(&p, &l, 1, 2, (ckv_id32){{9}}, (ckv_id32){{9}}, 3), CKV_OK);
    T_EQ(read_it(&p), CKV_OK);
    ckv_buf_fini(&p);
}

static void what_proves_nothing_does_not_hold(void)
{
    const liar l = who();
    ckv_buf p = ckv_buf_init(ckv_alloc_libc);
    T_EQ(prove(&p, &l, 1, 2, (ckv_id32){{9}}, (ckv_id32){{8}}, 3),
         CKV_OK); /* behind two different changes */
    T_EQ(read_it(&p), CKV_ESIGN);
    T_EQ(prove(&p, &l, 1, 1, (ckv_id32){{9}}, (ckv_id32){{9}}, 3), CKV_OK); /* one and the same */
    T_EQ(read_it(&p), CKV_ESIGN);
    T_EQ(prove(&p, &l, 1, 2, (ckv_id32){{9}}, (ckv_id32){{9}}, 4), CKV_OK); /* another seq */
    T_EQ(read_it(&p), CKV_ESIGN);
    liar framed = l; /* signed by somebody else */
    const uint8_t seed[32] = {8};
    ckv_identity_from_seed(&framed.identity, seed);
    const ckv_id32 victim = l.identity.public_key;
    framed.identity.public_key = victim;
    T_EQ(prove(&p, &framed, 1, 2, (ckv_id32){{9}}, (ckv_id32){{9}}, 3), CKV_OK);
    T_EQ(read_it(&p), CKV_ESIGN);
    ckv_buf_fini(&p);
}

static void damage_is_refused(void)
{
    const liar l = who();
    ckv_buf p = ckv_buf_init(ckv_alloc_libc);
    T_EQ(prove(&p, &l, 1, 2, (ckv_id32){{9}}, (ckv_id32){{9}}, 3), CKV_OK);
    const size_t n = p.len;
    for (p.len = 0; p.len < n; p.len++) T_EQ(read_it(&p), CKV_ECORRUPT);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        p.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        T_EQ(read_it(&p), CKV_ECORRUPT);
        p.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * (n - 8);
         bit++) { /* with a right checksum: no bit may be changed */
        uint8_t sum[8];
        p.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memcpy(sum, p.ptr + n - 8, 8);
        p.len = n - 8;
        ckv_buf_u64le(&p, ckv_hash64(p.ptr, p.len));
        T_CHECK(read_it(&p) != CKV_OK);
        memcpy(p.ptr + n - 8, sum, 8);
        p.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    T_EQ(read_it(&p), CKV_OK);
    ckv_buf_fini(&p);
}

static void a_broken_chain_proves_nothing(void)
{
    const liar l = who();
    ckv_buf p = ckv_buf_init(ckv_alloc_libc);
    for (second = NONE; second <= WRONG_PREV; second++) {
        T_EQ(prove(&p, &l, 1, 2, (ckv_id32){{9}}, (ckv_id32){{9}}, 3), CKV_OK);
        T_EQ(read_it(&p), second == NONE ? CKV_OK : CKV_ESIGN);
    }
    second = NONE;
    ckv_buf_fini(&p);
}

/* One side begins a lane, the other one goes on: both are of one seq, but do not follow the same change. */
static void a_first_change_is_no_twin_of_a_later_one(void)
{
    const liar l = who();
    unsigned n_in_order = 0;
    for (uint8_t story = 2; story < 18; story++) {
        ckv_proof_side a, b;
        ckv_buf p = ckv_buf_init(ckv_alloc_libc);
        const ckv_id32 ia = tell(&a, &l, 1, 1, (ckv_id32){{9}});
        lone = true;
        const ckv_id32 ib = tell(&b, &l, story, 1, (ckv_id32){{9}});
        lone = false;
        const bool in_order = ckv_id32_cmp(&ia, &ib) < 0;
        n_in_order += in_order;
        T_EQ(ckv_proof_write(&p, &l.doc, &l.identity.public_key, l.nonce, 3, in_order ? &a : &b,
                             in_order ? &b : &a),
             CKV_OK);
        T_EQ(read_it(&p), CKV_ESIGN);
        ckv_buf_fini(&p);
        ckv_buf_fini(&a.headers);
        ckv_buf_fini(&b.headers);
        lone = true; /* but two without are twins */
        T_EQ(prove(&p, &l, 1, story, (ckv_id32){{9}}, (ckv_id32){{9}}, 3), CKV_OK);
        lone = false;
        T_EQ(read_it(&p), CKV_OK);
        ckv_buf_fini(&p);
    }
    T_CHECK(n_in_order > 0 && n_in_order < 16); /* it stood on either side */
}

static ckv_status read_again(ckv_buf *p)
{
    p->len -= 8;
    ckv_buf_u64le(p, ckv_hash64(p->ptr, p->len));
    return read_it(p);
}

static void what_is_too_long_is_no_proof(void)
{
    const liar l = who();
    ckv_buf p = ckv_buf_init(ckv_alloc_libc);
    T_EQ(prove(&p, &l, 1, 2, (ckv_id32){{9}}, (ckv_id32){{9}}, 3), CKV_OK);
    ckv_buf_u8(&p, 0); /* a byte left over */
    T_EQ(read_again(&p), CKV_ECORRUPT);
    while (p.len <= CKV_MAX_PROOF_BYTES) ckv_buf_u8(&p, 0);
    T_EQ(read_again(&p), CKV_ECORRUPT);
    ckv_buf_fini(&p);
}

static void a_key_that_is_no_point_proves_nothing(void)
{
    liar l = who();
    ckv_buf p = ckv_buf_init(ckv_alloc_libc);
    memset(&l.identity.public_key, 2, 32);
    T_CHECK(!ckv_key_is_valid(&l.identity.public_key));
    l.lane = ckv_lane_id(&l.doc, &l.identity.public_key, l.nonce);
    T_EQ(prove(&p, &l, 1, 2, (ckv_id32){{9}}, (ckv_id32){{9}}, 3), CKV_OK);
    T_EQ(read_it(&p), CKV_ESIGN);
    ckv_buf_fini(&p);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(a_true_proof_holds);
    T_RUN(what_proves_nothing_does_not_hold);
    T_RUN(damage_is_refused);
    T_RUN(a_broken_chain_proves_nothing);
    T_RUN(a_first_change_is_no_twin_of_a_later_one);
    T_RUN(what_is_too_long_is_no_proof);
    T_RUN(a_key_that_is_no_point_proves_nothing);
    return t_done();
}
