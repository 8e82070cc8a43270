/* Compression: there and back, and no bomb. */
#include "t.h"

#include "base/squeeze.h"

static void make_text(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)("etaoin shrdlu"[t_below(13)]);
}

static ckv_status there_and_back(ckv_alloc a)
{
    uint8_t raw[3000];
    t_state = 5;
    make_text(raw, sizeof raw);
    ckv_buf packed = ckv_buf_init(a), out = ckv_buf_init(a);
    ckv_buf_bytes(&packed, "head", 4);
    const bool squeezed = packed.status == CKV_OK && ckv_squeeze(&packed, raw, sizeof raw);
    ckv_status s = packed.status;
    if (s == CKV_OK) {
        T_CHECK(squeezed && packed.len < sizeof raw);
        s = ckv_unsqueeze(&out, packed.ptr + 4, packed.len - 4, sizeof raw);
        if (s == CKV_OK) T_BYTES(out.ptr, out.len, raw, sizeof raw);
    } else {
        T_CHECK(!squeezed && packed.len <= 4);
    }
    ckv_buf_fini(&packed);
    ckv_buf_fini(&out);
    return s;
}

static void comes_back_and_survives_every_failure(void) { T_CHECK(t_oom(there_and_back) >= 2); }

static void random_bytes_stay_as_they_are(void)
{
    uint8_t raw[500];
    t_seed(3);
    for (size_t i = 0; i < sizeof raw; i++) raw[i] = (uint8_t)t_rand();
    ckv_buf packed = ckv_buf_init(ckv_alloc_libc);
    T_CHECK(!ckv_squeeze(&packed, raw, sizeof raw));
    T_CHECK(packed.len == 0 && packed.status == CKV_OK);
    ckv_buf_fini(&packed);
}

/* One frame of 2^24 zeros in 22 bytes: magic, a header with the content size, RLE blocks. */
static size_t bomb(uint8_t *p, unsigned n_blocks)
{
    static const uint8_t head[] = {0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x58};
    size_t n = sizeof head;
    memcpy(p, head, n);
    const uint32_t size = n_blocks << 17;
    for (int i = 0; i < 4; i++) p[n++] = (uint8_t)(size >> (8 * i));
    for (unsigned i = 0; i < n_blocks; i++) {
        const uint32_t block = (1u << 17) << 3 | 1u << 1 | (i + 1 == n_blocks);
        for (int k = 0; k < 3; k++) p[n++] = (uint8_t)(block >> (8 * k));
        p[n++] = 0;
    }
    return n;
}

static void a_bomb_is_refused_before_memory_is_asked_for(void)
{
    uint8_t p[64];
    t_faulty f;
    ckv_buf out = ckv_buf_init(t_watch(&f));
    const size_t n = bomb(p, 8);
    T_EQ(ckv_unsqueeze(&out, p, n, 8u << 17), CKV_ELIMIT);
    T_EQ(ckv_unsqueeze(&out, p, n, UINT64_MAX), CKV_ELIMIT);
    T_EQ(f.n_requests, 0);
    T_EQ(ckv_unsqueeze(&out, p, n, 1000), CKV_ECORRUPT); /* a lie about the size */
    T_CHECK(f.peak_bytes < 4096);
    ckv_buf_fini(&out);
}

static void our_own_writer_makes_no_bombs(void)
{
    static uint8_t zeros[1 << 20];
    ckv_buf packed = ckv_buf_init(ckv_alloc_libc);
    T_CHECK(!ckv_squeeze(&packed, zeros, sizeof zeros));
    T_EQ(packed.len, 0);
    ckv_buf_fini(&packed);
}

static void anything_but_one_whole_frame_is_refused(void)
{
    uint8_t raw[400];
    t_seed(4);
    make_text(raw, sizeof raw);
    ckv_buf packed = ckv_buf_init(ckv_alloc_libc), out = ckv_buf_init(ckv_alloc_libc);
    T_CHECK(ckv_squeeze(&packed, raw, sizeof raw));
    for (size_t n = 0; n < packed.len; n++) {
        uint8_t *exact = malloc(n + 1); /* so that a read past the end is seen */
        T_CHECK(exact);
        memcpy(exact, packed.ptr, n);
        T_CHECK(ckv_unsqueeze(&out, exact, n, sizeof raw) != CKV_OK);
        free(exact);
    }
    T_EQ(ckv_unsqueeze(&out, packed.ptr, packed.len, sizeof raw - 1), CKV_ECORRUPT);
    T_EQ(ckv_unsqueeze(&out, packed.ptr, packed.len, sizeof raw + 1), CKV_ECORRUPT);
    T_EQ(out.len, 0);
    const size_t n = packed.len;
    ckv_buf_u8(&packed, 0);
    T_CHECK(ckv_unsqueeze(&out, packed.ptr, packed.len, sizeof raw) != CKV_OK);
    packed.len = n;
    ckv_buf_bytes(&packed, "", 0);
    T_CHECK(ckv_buf_reserve(&packed, n));
    memcpy(packed.ptr + n, packed.ptr, n); /* two frames */
    T_CHECK(ckv_unsqueeze(&out, packed.ptr, 2 * n, sizeof raw) != CKV_OK);
    for (size_t bit = 0; bit < 8 * n;
         bit++) { /* damaged: refused, or by chance something else of the same length */
        packed.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ckv_buf_clear(&out);
        if (ckv_unsqueeze(&out, packed.ptr, n, sizeof raw) == CKV_OK) T_EQ(out.len, sizeof raw);
        packed.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ckv_buf_fini(&packed);
    ckv_buf_fini(&out);
}

int main(void)
{
    T_RUN(comes_back_and_survives_every_failure);
    T_RUN(random_bytes_stay_as_they_are);
    T_RUN(a_bomb_is_refused_before_memory_is_asked_for);
    T_RUN(our_own_writer_makes_no_bombs);
    T_RUN(anything_but_one_whole_frame_is_refused);
    return t_done();
}
