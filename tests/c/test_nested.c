/* Values of stores: as they are written, cut short, one bit off, beside a slow twin; as deep, as long and with as many keys as can be. */
#include "t.h"

#include "nested_twin.h"

/* A copy of what is tested, which counts the keys that it compares. */
static uint64_t n_compared;
static int counting_memcmp(const void *a, const void *b, size_t n)
{
    n_compared++;
    return memcmp(a, b, n);
}
#define memcmp              counting_memcmp
#define ckv_nested_valid    counted_valid
#define ckv_nested_is_later counted_is_later
#include "log/nested.c"
#undef memcmp
#undef ckv_nested_valid
#undef ckv_nested_is_later

#define MIB ((size_t)1 << 20)

static ckv_status status_of(const void *p, size_t n)
{
    ckv_rd r = ckv_rd_init(p, n);
    T_CHECK(ckv_nested_valid(&r, ckv_alloc_libc, MIB) == (r.status == CKV_OK));
    T_CHECK(r.status != CKV_OK || r.p == (const uint8_t *)p + n);
    return r.status;
}

/* ---- by hand */

#define LITERAL(s) s, sizeof s - 1

static void what_the_page_says_is_a_value(void)
{
    static const struct {
        const char *p;
        size_t n;
    } good[] = {
        {LITERAL("\0\0")},
        {LITERAL("\1\0")},
        {LITERAL("\2\0")},
        {LITERAL("\3\1\0")},
        {LITERAL("\3\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\1")},
        {LITERAL("\4\x08\0\0\0\0\0\0\0\x80")},
        {LITERAL("\4\x08\0\0\0\0\0\0\xf8\x7f")},
        {LITERAL("\4\x08\0\0\0\0\0\0\xf0\xff")},
        {LITERAL("\5\0")},
        {LITERAL("\5\2\xc3\xa9")},
        {LITERAL("\6\2\xff\xfe")},
        {LITERAL("\x20\0")},
        {LITERAL("\x21\0")},
        {LITERAL("\x20\4\x20\0\x21\0")},
        {LITERAL("\x21\7\0\0\0\1a\0\0")}, /* an empty key */
        {LITERAL("\x21\x0c\1a\x20\2\0\0\2aa\6\1x")},
        {LITERAL("\x20\x0c\x21\4\1a\0\0\x21\4\1a\2\0")},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        T_EQ(status_of(good[i].p, good[i].n), CKV_OK);
}

static void what_it_does_not_say_is_none(void)
{
    static const struct {
        const char *p;
        size_t n;
    } bad[] = {
        {LITERAL("")},
        {LITERAL("\0")},
        {LITERAL("\0\1\0")},                     /* None with content */
        {LITERAL("\2\1\0")},                     /* True with content */
        {LITERAL("\x80\0\0")},                   /* a tag that is not minimal */
        {LITERAL("\5\x80\0")},                   /* a length that is not */
        {LITERAL("\3\0")},                       /* an int of no bytes */
        {LITERAL("\3\2\x80\0")},                 /* one that is not minimal */
        {LITERAL("\3\2\0\0")},                   /* one with a byte behind it */
        {LITERAL("\4\7\0\0\0\0\0\0\0")},         /* half a float */
        {LITERAL("\4\x08\1\0\0\0\0\0\xf8\x7f")}, /* another NaN */
        {LITERAL("\4\x08\0\0\0\0\0\0\xf8\xff")}, /* another NaN */
        {LITERAL("\5\1\xff")},                   /* no UTF-8 */
        {LITERAL("\5\3\xed\xa0\x80")},           /* a surrogate */
        {LITERAL("\7\0")},                       /* tags of nobody */
        {LITERAL("\x10\0")},                     /* a container by name */
        {LITERAL("\x18\0")},                     /* a default one */
        {LITERAL("\x1f\0")},
        {LITERAL("\x22\0")},
        {LITERAL("\x7f\0")},
        {LITERAL("\xa0\1\0")},
        {LITERAL("\x20\1\0")}, /* half a member */
        {LITERAL("\x20\3\0\0\0")},
        {LITERAL("\x20\2\5\1x")},            /* a member longer than its list */
        {LITERAL("\x20\2\x10\0")},           /* a member of no known kind */
        {LITERAL("\x21\1\0")},               /* a key without a value */
        {LITERAL("\x21\4\1\xff\0\0")},       /* a key that is no UTF-8 */
        {LITERAL("\x21\4\1a\6\1")},          /* a value longer than its dict */
        {LITERAL("\x21\x08\1a\0\0\1a\2\0")}, /* a key twice */
        {LITERAL("\x21\x06\0\0\0\0\0\0")},   /* the empty key twice */
        {LITERAL("\x20\x0a\x21\x08\1a\0\0\1a\2\0")},
        {LITERAL("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\1")}, /* longer than all there is */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        T_EQ(status_of(bad[i].p, bad[i].n), CKV_ECORRUPT);
}

static void one_value_is_read_and_the_next_stays(void)
{
    static const char two[] = "\x20\2\0\0\x21\4\1a\0\0\3";
    ckv_rd r = ckv_rd_init((const uint8_t *)two, sizeof two - 1);
    T_CHECK(ckv_nested_valid(&r, ckv_alloc_libc, MIB) && ckv_rd_left(&r) == 7);
    T_CHECK(ckv_nested_valid(&r, ckv_alloc_libc, MIB) && ckv_rd_left(&r) == 1);
    T_CHECK(!ckv_nested_valid(&r, ckv_alloc_libc, MIB) && r.status == CKV_ECORRUPT);
    T_CHECK(ckv_rd_left(&r) == 0);
}

/* ---- at random */

static void put_key(ckv_buf *out, uint64_t k)
{
    char digits[24];
    const int n = snprintf(digits, sizeof digits, k % 3 ? "k%" PRIu64 : "\xc3\xa9%" PRIu64, k);
    ckv_buf_blob(out, digits, k ? (size_t)n : 0);
}

/* One in many dicts has a key twice. */
static void put_random(ckv_buf *out, unsigned depth)
{
    static const uint8_t some[] = "some words \xc3\xa9\xf0\x9f\x99\x82";
    const uint64_t kind = t_below(depth < 5 ? 10 : 7);
    if (kind < 7) {
        ckv_value v = {.tag = (ckv_tag)kind};
        if (kind == CKV_TAG_INT) v.i64 = (int64_t)t_rand() >> t_below(64);
        if (kind == CKV_TAG_FLOAT) v.f64 = (double)t_below(9) / 4;
        if (kind >= CKV_TAG_STR) v.ptr = some, v.n_bytes = t_one_in(2) ? sizeof some - 1 : 4;
        ckv_value_write(out, &v);
        return;
    }
    ckv_buf in = ckv_buf_init(ckv_alloc_libc);
    const uint64_t n = t_one_in(4) ? t_below(40) : t_below(5), first = t_below(4);
    for (uint64_t i = 0; i < n; i++) {
        if (kind > 7) put_key(&in, t_one_in(300) ? first : first + i * 7 % 41);
        put_random(&in, depth + 1);
    }
    ckv_buf_varint(out, kind > 7 ? CKV_TAG_NESTED_DICT : CKV_TAG_NESTED_LIST);
    ckv_buf_blob(out, in.ptr, in.len);
    ckv_buf_fini(&in);
}

static void twins_agree(const uint8_t *p, size_t n, size_t seen[3])
{
    ckv_rd r = ckv_rd_init(p, n), twin = r;
    const bool good = ckv_nested_valid(&r, ckv_alloc_libc, MIB);
    const ckv_status s = twin_value(&twin, 0);
    T_EQ(r.status, s);
    T_CHECK(!good || r.p == twin.p);
    seen[good ? 0 : s == CKV_ELIMIT ? 2 : 1]++;
}

static void random_values_and_what_becomes_of_them(void)
{
    size_t whole[3] = {0}, broken[3] = {0};
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        t_seed(seed);
        ckv_buf b = ckv_buf_init(ckv_alloc_libc);
        put_random(&b, 0);
        twins_agree(b.ptr, b.len, whole);
        for (int i = 0; i < 30 && b.len; i++) {
            const size_t at = t_below(b.len);
            const uint8_t was = b.ptr[at];
            b.ptr[at] = (uint8_t)(t_one_in(2) ? was ^ 1u << t_below(8) : t_below(40));
            twins_agree(b.ptr, b.len, broken);
            if (t_one_in(2)) b.ptr[at] = was;
        }
        ckv_buf_fini(&b);
    }
    T_CHECK(whole[0] > 2500 && whole[1] > 20); /* with a key twice */
    T_CHECK(broken[0] > 5000 && broken[1] > 20000);
}

static void every_cut_and_every_flip(void)
{
    ckv_buf b = ckv_buf_init(ckv_alloc_libc), in = ckv_buf_init(ckv_alloc_libc);
    t_seed(5);
    for (uint64_t i = 0; i < 20; i++) {
        put_key(&in, i);
        put_random(&in, 4);
    }
    ckv_buf_varint(&b, CKV_TAG_NESTED_DICT);
    ckv_buf_blob(&b, in.ptr, in.len);
    T_EQ(status_of(b.ptr, b.len), CKV_OK);
    for (size_t n = 0; n < b.len; n++) T_EQ(status_of(b.ptr, n), CKV_ECORRUPT);
    size_t seen[3] = {0};
    for (size_t bit = 0; bit < 8 * b.len; bit++) {
        b.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        twins_agree(b.ptr, b.len, seen);
        b.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    T_CHECK(seen[0] > 500 && seen[1] > 500); /* other letters, and what is no value */
    ckv_buf_fini(&b);
    ckv_buf_fini(&in);
}

/* ---- limits */

/* None in n containers, written from the inside; the value is the last *n_bytes of `room`. */
static const uint8_t *nest(uint8_t *room, size_t size, size_t n, size_t *n_bytes)
{
    size_t at = size - 2;
    room[at] = room[at + 1] = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t head[16];
        size_t n_head = 0;
        const bool is_dict = i % 2;
        head[n_head++] = is_dict ? CKV_TAG_NESTED_DICT : CKV_TAG_NESTED_LIST;
        n_head += ckv_varint_put(head + 1, size - at + (is_dict ? 2 : 0));
        if (is_dict) head[n_head++] = 1, head[n_head++] = 'k';
        at -= n_head;
        memcpy(room + at, head, n_head);
    }
    *n_bytes = size - at;
    return room + at;
}

static void sixty_four_containers_and_no_more(void)
{
    static uint8_t room[MIB];
    size_t n;
    const uint8_t *p = nest(room, sizeof room, 64, &n);
    T_EQ(status_of(p, n), CKV_OK);
    p = nest(room, sizeof room, 65, &n);
    T_EQ(status_of(p, n), CKV_ELIMIT);
    p = nest(room, sizeof room, 150000, &n);
    T_CHECK(n > 700000);
    T_EQ(status_of(p, n), CKV_ELIMIT);
}

static void a_value_is_as_long_as_it_may_be(void)
{
    static uint8_t room[300];
    for (unsigned tag = CKV_TAG_BYTES; tag < CKV_TAG_NESTED_DICT;
         tag += CKV_TAG_NESTED_LIST - CKV_TAG_BYTES) { /* bytes, and a list of Nones */
        room[0] = (uint8_t)tag;
        ckv_varint_put(room + 1, 200);
        ckv_rd r = ckv_rd_init(room, sizeof room);
        T_CHECK(ckv_nested_valid(&r, ckv_alloc_libc, 203) && r.p == room + 203);
        r = ckv_rd_init(room, sizeof room);
        T_CHECK(!ckv_nested_valid(&r, ckv_alloc_libc, 202) && r.status == CKV_ELIMIT);
        r = ckv_rd_init(room, 202);
        T_CHECK(!ckv_nested_valid(&r, ckv_alloc_libc, 202) && r.status == CKV_ECORRUPT);
    }
}

/* n keys of `width` digits, in no order, the k-th of them once more. */
static void big_dict(ckv_buf *out, uint32_t n, int width, uint32_t again)
{
    ckv_buf in = ckv_buf_init(ckv_alloc_libc);
    for (uint32_t i = 0; i <= n; i++) {
        char digits[16];
        snprintf(digits, sizeof digits, "%0*u", width,
                 (unsigned)((uint64_t)(i < n ? i : again) * 7919 % n));
        if (i == n && again == n) break;
        ckv_buf_blob(&in, digits, strlen(digits));
        ckv_buf_varint(&in, 0);
        ckv_buf_varint(&in, 0);
    }
    ckv_buf_clear(out);
    ckv_buf_varint(out, CKV_TAG_NESTED_DICT);
    ckv_buf_blob(out, in.ptr, in.len);
    T_CHECK(out->status == CKV_OK && in.status == CKV_OK);
    ckv_buf_fini(&in);
}

static void a_key_twice_in_dicts_of_any_size(void)
{
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    for (uint32_t n = 1; n < 60; n++) {
        big_dict(&b, n, 1 + (int)n % 3, n);
        T_EQ(status_of(b.ptr, b.len), CKV_OK);
        for (uint32_t k = 0; k < n; k++) {
            big_dict(&b, n, 1 + (int)n % 3, k);
            T_EQ(status_of(b.ptr, b.len), CKV_ECORRUPT);
        }
    }
    ckv_buf_fini(&b);
}

static void a_hundred_thousand_keys_are_compared_seventeen_times_each(void)
{
    const uint32_t n = 100000;
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    for (uint32_t again = n - 1; again <= n; again++) { /* one twice, and none */
        t_faulty f;
        big_dict(&b, n, 6, again);
        ckv_rd r = ckv_rd_init(b.ptr, b.len);
        n_compared = 0;
        T_EQ(counted_valid(&r, t_watch(&f), MIB), again == n);
        T_EQ(r.status, again == n ? CKV_OK : CKV_ECORRUPT);
        T_CHECK(n_compared > n && n_compared < 18 * n);
        T_EQ(f.live_bytes, 0);
        T_CHECK(f.peak_bytes <= 32 * n);
    }
    ckv_buf_fini(&b);
}

static void few_keys_take_no_memory(void)
{
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    for (uint32_t n = 16; n <= 17; n++) {
        t_faulty f;
        big_dict(&b, n, 2, n);
        ckv_rd r = ckv_rd_init(b.ptr, b.len);
        T_CHECK(ckv_nested_valid(&r, t_watch(&f), MIB));
        T_EQ(f.n_requests > 0, n > 16);
    }
    ckv_buf_fini(&b);
}

static ckv_status two_big_dicts(ckv_alloc a)
{
    ckv_buf b = ckv_buf_init(ckv_alloc_libc), in = ckv_buf_init(ckv_alloc_libc);
    big_dict(&b, 40, 2, 40);
    ckv_buf_bytes(&in, b.ptr, b.len);
    ckv_buf_bytes(&in, b.ptr, b.len);
    ckv_buf_clear(&b);
    ckv_buf_varint(&b, CKV_TAG_NESTED_LIST);
    ckv_buf_blob(&b, in.ptr, in.len);
    ckv_rd r = ckv_rd_init(b.ptr, b.len);
    (void)ckv_nested_valid(&r, a, MIB);
    ckv_buf_fini(&b);
    ckv_buf_fini(&in);
    return r.status;
}

static void no_memory_is_no_verdict(void) { T_EQ(t_oom(two_big_dicts), 2); }

static bool is_later(const char *p, size_t n)
{
    T_CHECK(!(status_of(p, n) == CKV_OK && ckv_nested_is_later((const uint8_t *)p, n)));
    return ckv_nested_is_later((const uint8_t *)p, n);
}

static void what_a_later_version_wrote_is_told_from_nonsense(void)
{
    T_CHECK(is_later(LITERAL("\x07\x01x")));                    /* an unknown tag */
    T_CHECK(is_later(LITERAL("\x20\x05\x03\x01\x02\x40\x00"))); /* in a list */
    T_CHECK(is_later(LITERAL("\x21\x05\x01k\x40\x01x")));       /* in a dict */
    T_CHECK(is_later(LITERAL("\x80\x01\x00")));                 /* a long one */
    T_CHECK(!is_later(LITERAL("\x03\x01\x02")));                /* one of ours */
    T_CHECK(!is_later(LITERAL("\x07\x02x")));                   /* too short */
    T_CHECK(!is_later(LITERAL("\x07\x01xy")));                  /* something behind it */
    T_CHECK(!is_later(LITERAL("\x20\x02\x07\x01")));            /* it does not come apart */
    T_CHECK(!is_later(NULL, 0));
}

int main(void)
{
    T_RUN(what_the_page_says_is_a_value);
    T_RUN(what_it_does_not_say_is_none);
    T_RUN(one_value_is_read_and_the_next_stays);
    T_RUN(random_values_and_what_becomes_of_them);
    T_RUN(every_cut_and_every_flip);
    T_RUN(sixty_four_containers_and_no_more);
    T_RUN(a_value_is_as_long_as_it_may_be);
    T_RUN(a_key_twice_in_dicts_of_any_size);
    T_RUN(a_hundred_thousand_keys_are_compared_seventeen_times_each);
    T_RUN(few_keys_take_no_memory);
    T_RUN(no_memory_is_no_verdict);
    T_RUN(what_a_later_version_wrote_is_told_from_nonsense);
    return t_done();
}
