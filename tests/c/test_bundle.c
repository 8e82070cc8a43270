/* The frame of a bundle: sections there and back, damage, bombs, every failure. */
#include "t.h"

#include "base/hash64.h"
#include "crypto/digest.h"
#include "dag/bundle.h"

static ckv_bundle_head founded(void)
{
    ckv_bundle_head h = {.has_founder = true, .founder = {{7}}, .nonce = {1, 2, 3}};
    h.doc = ckv_founded_doc_id(&h.founder, h.nonce);
    return h;
}

static ckv_status write_one(ckv_alloc a, ckv_buf *out, size_t n_bytes)
{
    const ckv_bundle_head head = founded();
    ckv_buf sections[CKV_N_SECTIONS];
    for (size_t i = 0; i < CKV_N_SECTIONS; i++) sections[i] = ckv_buf_init(a);
    t_state = 3;
    for (size_t i = 0; i < n_bytes; i++) ckv_buf_u8(&sections[CKV_SEC_RAW], (uint8_t)t_below(5));
    ckv_buf_bytes(&sections[CKV_SEC_LANES], "lanes", 5);
    ckv_buf_bytes(&sections[CKV_SEC_MAPS], "maps", 4);
    const ckv_status s = ckv_bundle_write(out, &head, sections);
    for (size_t i = 0; i < CKV_N_SECTIONS; i++) ckv_buf_fini(&sections[i]);
    return s;
}

static ckv_status there_and_back(ckv_alloc a)
{
    ckv_bundle b;
    ckv_err err;
    ckv_buf file = ckv_buf_init(a);
    ckv_status s = write_one(a, &file, 3000);
    if (s == CKV_OK) {
        s = ckv_bundle_open(&b, a, file.ptr, file.len, &err);
        if (s == CKV_OK) {
            const ckv_bundle_head head = founded();
            T_BYTES(&b.head.doc, 32, &head.doc, 32);
            T_CHECK(b.head.has_founder && memcmp(b.head.nonce, head.nonce, 16) == 0);
            T_BYTES(b.sections[CKV_SEC_LANES].p, ckv_rd_left(&b.sections[CKV_SEC_LANES]), "lanes",
                    5);
            T_BYTES(b.sections[CKV_SEC_MAPS].p, ckv_rd_left(&b.sections[CKV_SEC_MAPS]), "maps", 4);
            T_EQ(ckv_rd_left(&b.sections[CKV_SEC_RAW]), 3000);
        }
        ckv_bundle_fini(&b);
    }
    ckv_buf_fini(&file);
    return s;
}

static void comes_back_and_survives_every_failure(void) { T_CHECK(t_oom(there_and_back) >= 4); }

static void mend(ckv_buf *b)
{
    b->len -= 8;
    ckv_buf_u64le(b, ckv_hash64(b->ptr, b->len));
}

static ckv_status open_it(const uint8_t *p, size_t n)
{
    ckv_bundle b;
    ckv_err err = {CKV_OK, 0, NULL};
    const ckv_status s = ckv_bundle_open(&b, ckv_alloc_libc, p, n, &err);
    if (s != CKV_OK) T_CHECK(err.text && err.offset <= n + 64 * n);
    ckv_bundle_fini(&b);
    return s;
}

static void damage_is_refused(void)
{
    ckv_buf file = ckv_buf_init(ckv_alloc_libc);
    T_EQ(write_one(ckv_alloc_libc, &file, 600), CKV_OK);
    for (size_t n = 0; n < file.len; n++) {
        uint8_t *exact = malloc(n + 1);
        T_CHECK(exact);
        memcpy(exact, file.ptr, n);
        T_EQ(open_it(exact, n), CKV_ECORRUPT);
        free(exact);
    }
    for (size_t bit = 0; bit < 8 * file.len; bit++) {
        file.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        T_EQ(open_it(file.ptr, file.len), CKV_ECORRUPT);
        file.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ckv_buf_u8(&file, 0);
    T_EQ(open_it(file.ptr, file.len), CKV_ECORRUPT);
    ckv_buf_fini(&file);
}

/* A payload of these bytes, unpacked, under a right checksum. */
static ckv_status open_payload(const char *payload, size_t n)
{
    ckv_buf file = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_bytes(&file, "CKB\1", 4);
    for (int i = 0; i < 32; i++) ckv_buf_u8(&file, 1);
    ckv_buf_bytes(&file, "\0\0", 2);
    ckv_buf_blob(&file, payload, n);
    ckv_buf_u64le(&file, 0);
    mend(&file);
    const ckv_status s = open_it(file.ptr, file.len);
    ckv_buf_fini(&file);
    return s;
}

static void sections_ascend_and_unknown_ones_are_skipped(void)
{
    T_EQ(open_payload("", 0), CKV_OK);
    T_EQ(open_payload("\1\1x\2\1y", 6), CKV_OK);
    T_EQ(open_payload("\1\1x\x50\1y", 6), CKV_OK);
    T_EQ(open_payload("\2\1x\1\1y", 6), CKV_ECORRUPT);
    T_EQ(open_payload("\1\1x\1\1y", 6), CKV_ECORRUPT);
    T_EQ(open_payload("\1\3x", 3), CKV_ECORRUPT);
    T_EQ(open_payload("\1", 1), CKV_ECORRUPT);
    T_EQ(open_payload("\x81\0", 2), CKV_ECORRUPT);
}

static void a_claim_beyond_the_ratio_asks_for_no_memory(void)
{
    t_faulty f;
    ckv_bundle b;
    ckv_err err;
    ckv_buf file = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_bytes(&file, "CKB\1", 4);
    for (int i = 0; i < 32; i++) ckv_buf_u8(&file, 1);
    ckv_buf_bytes(&file, "\0\1", 2);
    ckv_buf_varint(&file, 1ull << 40);
    ckv_buf_bytes(&file, "\x28\xb5\x2f\xfd", 4);
    ckv_buf_u64le(&file, 0);
    mend(&file);
    T_EQ(ckv_bundle_open(&b, t_watch(&f), file.ptr, file.len, &err), CKV_ECORRUPT);
    T_EQ(f.n_requests, 0);
    ckv_bundle_fini(&b);
    ckv_buf_fini(&file);
}

static void a_founder_cut_short_is_refused(void)
{
    for (size_t n = 2; n <= 48;
         n++) { /* of 48 bytes; at least two, or the bundle is cut short as a whole */
        const ckv_bundle_head head = founded();
        ckv_buf file = ckv_buf_init(ckv_alloc_libc);
        ckv_buf_bytes(&file, "CKB\1", 4);
        ckv_buf_bytes(&file, &head.doc, 32);
        ckv_buf_u8(&file, 1);
        ckv_buf_bytes(&file, &head.founder, n < 32 ? n : 32);
        if (n > 32) ckv_buf_bytes(&file, head.nonce, n - 32);
        if (n == 48) ckv_buf_bytes(&file, "\0\0", 2);
        ckv_buf_u64le(&file, 0);
        mend(&file);
        T_EQ(open_it(file.ptr, file.len), n == 48 ? CKV_OK : CKV_ECORRUPT);
        ckv_buf_fini(&file);
    }
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(comes_back_and_survives_every_failure);
    T_RUN(damage_is_refused);
    T_RUN(sections_ascend_and_unknown_ones_are_skipped);
    T_RUN(a_founder_cut_short_is_refused);
    T_RUN(a_claim_beyond_the_ratio_asks_for_no_memory);
    return t_done();
}
