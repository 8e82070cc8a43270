/* Bytes out and bytes in: varints to their edges, sticky errors, bounds. */
#include "t.h"

#include "base/buf.h"

static const uint64_t EDGES[] = {0,
                                 1,
                                 0x7f,
                                 0x80,
                                 0x3fff,
                                 0x4000,
                                 0x1fffff,
                                 0x200000,
                                 UINT32_MAX,
                                 1ull << 32,
                                 1ull << 55,
                                 1ull << 56,
                                 (1ull << 63) - 1,
                                 1ull << 63,
                                 UINT64_MAX - 1,
                                 UINT64_MAX};

static void check_varint(uint64_t v)
{
    uint8_t p[10];
    const size_t n = ckv_varint_put(p, v);
    T_EQ(n, ckv_varint_size(v));
    ckv_rd r = ckv_rd_init(p, n);
    T_CHECK(ckv_rd_varint(&r) == v && ckv_rd_done(&r));
    for (size_t cut = 0; cut < n; cut++) { /* cut short */
        r = ckv_rd_init(p, cut);
        T_CHECK(ckv_rd_varint(&r) == 0);
        T_EQ(r.status, CKV_ECORRUPT);
    }
    if (n < 10) { /* one byte longer, for the same number */
        uint8_t q[11];
        memcpy(q, p, n);
        q[n - 1] |= 0x80;
        q[n] = 0;
        r = ckv_rd_init(q, n + 1);
        T_CHECK(ckv_rd_varint(&r) == 0 && r.status == CKV_ECORRUPT);
    }
}

static void varints_come_back_and_have_one_form(void)
{
    for (size_t i = 0; i < sizeof EDGES / sizeof *EDGES; i++) check_varint(EDGES[i]);
    t_seed(1);
    for (int i = 0; i < 20000; i++) check_varint(t_rand() >> t_below(64));
}

static void varints_beyond_64_bits_are_refused(void)
{
    uint8_t p[11] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0};
    ckv_rd r = ckv_rd_init(p, 10);
    T_CHECK(ckv_rd_varint(&r) == UINT64_MAX && ckv_rd_done(&r));
    for (unsigned last = 2; last < 256; last++) {
        p[9] = (uint8_t)last;
        r = ckv_rd_init(p, 11);
        T_CHECK(ckv_rd_varint(&r) == 0 && r.status == CKV_ECORRUPT);
    }
}

static void zigzag_folds_and_unfolds(void)
{
    const int64_t edges[] = {0, -1, 1, -2, 2, INT64_MAX, INT64_MIN, INT64_MIN + 1};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        T_EQ(ckv_unzigzag(ckv_zigzag(edges[i])), edges[i]);
    T_CHECK(ckv_zigzag(0) == 0 && ckv_zigzag(-1) == 1 && ckv_zigzag(1) == 2 &&
            ckv_zigzag(INT64_MIN) == UINT64_MAX);
}

static void the_first_error_sticks(void)
{
    const uint8_t p[] = {1, 2, 3, 4};
    ckv_rd r = ckv_rd_init(p, sizeof p);
    T_EQ(ckv_rd_u8(&r), 1);
    T_CHECK(ckv_rd_bytes(&r, 4) == NULL);
    T_EQ(r.status, CKV_ECORRUPT);
    T_EQ(ckv_rd_left(&r), 0);
    ckv_rd_fail(&r, CKV_ELIMIT); /* too late */
    T_EQ(r.status, CKV_ECORRUPT);
    size_t n = 7;
    T_CHECK(ckv_rd_u8(&r) == 0 && ckv_rd_varint(&r) == 0 && ckv_rd_zigzag(&r) == 0 &&
            ckv_rd_u64le(&r) == 0 && ckv_rd_u32le(&r) == 0);
    T_CHECK(ckv_rd_blob(&r, &n) == NULL && n == 0 && ckv_rd_count(&r, 1) == 0 && !ckv_rd_done(&r));
}

static void nothing_is_an_input(void)
{
    ckv_rd r = ckv_rd_init(NULL, 0);
    T_CHECK(ckv_rd_done(&r) && ckv_rd_left(&r) == 0);
    T_CHECK(ckv_rd_varint(&r) == 0 && r.status == CKV_ECORRUPT);
}

static void counts_and_blobs_must_fit_what_is_left(void)
{
    uint8_t p[20] = {0};
    for (uint64_t n = 0; n < 40; n++) {
        for (size_t each = 1; each < 5; each++) {
            p[0] = (uint8_t)n;
            ckv_rd r = ckv_rd_init(p, sizeof p);
            const size_t got = ckv_rd_count(&r, each);
            if (n * each <= 19)
                T_CHECK(got == n && r.status == CKV_OK);
            else
                T_CHECK(got == 0 && r.status == CKV_ECORRUPT);
        }
        size_t len;
        ckv_rd r = ckv_rd_init(p, sizeof p);
        const uint8_t *blob = ckv_rd_blob(&r, &len);
        if (n <= 19)
            T_CHECK(blob == p + 1 && len == n && ckv_rd_left(&r) == 19 - n);
        else
            T_CHECK(!blob && len == 0 && r.status == CKV_ECORRUPT);
    }
    memset(p, 0xff, 9); /* 2^64 - 1, and what would wrap around */
    p[9] = 1;
    size_t len;
    ckv_rd r = ckv_rd_init(p, sizeof p);
    T_CHECK(!ckv_rd_blob(&r, &len) && len == 0);
    r = ckv_rd_init(p, sizeof p);
    T_CHECK(ckv_rd_count(&r, 32) == 0 && r.status == CKV_ECORRUPT);
}

static void upto_stops_at_its_bound(void)
{
    const uint8_t p[] = {100, 101};
    ckv_rd r = ckv_rd_init(p, 2);
    T_EQ(ckv_rd_upto(&r, 100), 100);
    T_EQ(ckv_rd_upto(&r, 100), 0);
    T_EQ(r.status, CKV_ECORRUPT);
}

static ckv_status write_some(ckv_alloc a)
{
    ckv_buf b = ckv_buf_init(a);
    for (uint64_t i = 0; i < 50; i++) {
        ckv_buf_varint(&b, i << 40);
        ckv_buf_u8(&b, 7);
        ckv_buf_u32le(&b, 0x01020304);
        ckv_buf_u64le(&b, i);
        ckv_buf_zigzag(&b, -(int64_t)i);
        ckv_buf_blob(&b, "hello", 5);
    }
    const ckv_status s = b.status;
    if (s == CKV_OK) {
        ckv_rd r = ckv_rd_init(b.ptr, b.len);
        for (uint64_t i = 0; i < 50; i++) {
            size_t n;
            T_CHECK(ckv_rd_varint(&r) == i << 40 && ckv_rd_u8(&r) == 7 &&
                    ckv_rd_u32le(&r) == 0x01020304 && ckv_rd_u64le(&r) == i);
            T_EQ(ckv_rd_zigzag(&r), -(int64_t)i);
            const uint8_t *p = ckv_rd_blob(&r, &n);
            T_BYTES(p, n, "hello", 5);
        }
        T_CHECK(ckv_rd_done(&r));
    } else { /* after the first error nothing is written, until clear */
        const size_t len = b.len;
        ckv_buf_u8(&b, 1);
        ckv_buf_bytes(&b, "x", 1);
        ckv_buf_varint(&b, 1);
        T_EQ(b.len, len);
        ckv_buf_clear(&b);
        T_EQ(b.status, CKV_OK);
    }
    ckv_buf_fini(&b);
    return s;
}

static void a_buffer_survives_every_failure(void) { T_CHECK(t_oom(write_some) >= 4); }

static void too_large_is_a_limit(void)
{
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_u8(&b, 1);
    T_CHECK(!ckv_buf_reserve(&b, SIZE_MAX));
    T_EQ(b.status, CKV_ELIMIT);
    ckv_buf_fini(&b);
}

int main(void)
{
    T_RUN(varints_come_back_and_have_one_form);
    T_RUN(varints_beyond_64_bits_are_refused);
    T_RUN(zigzag_folds_and_unfolds);
    T_RUN(the_first_error_sticks);
    T_RUN(nothing_is_an_input);
    T_RUN(counts_and_blobs_must_fit_what_is_left);
    T_RUN(upto_stops_at_its_bound);
    T_RUN(a_buffer_survives_every_failure);
    T_RUN(too_large_is_a_limit);
    return t_done();
}
