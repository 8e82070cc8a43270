/* UTF-8 against the table of the Unicode standard (3-7): every sequence of up to four bytes that matters, and every code point. */
#include "t.h"

#include "base/utf8.h"

/* The twin: decodes by the definition, then asks whether that was allowed. Length of the first code point, 0: malformed. */
static size_t slow_first(const uint8_t *p, size_t n, uint32_t *c)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (n == 0) return 0;
    const size_t len = p[0] < 0x80             ? 1
                       : (p[0] & 0xe0) == 0xc0 ? 2
                       : (p[0] & 0xf0) == 0xe0 ? 3
                       : (p[0] & 0xf8) == 0xf0 ? 4
                                               : 0;
    if (len == 0 || len > n) return 0;
    *c = len == 1 ? p[0] : p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        *c = *c << 6 | (p[i] & 0x3f);
    }
    return *c < least[len] || *c > 0x10ffff || (*c >= 0xd800 && *c < 0xe000) ? 0 : len;
}

static void check(const uint8_t *p, size_t n)
{
    size_t n_chars = 0, fast_chars = 0;
    uint32_t max = 127, fast_max = 0, c;
    bool good = true;
    for (size_t i = 0, len; i < n && good; i += len, n_chars++) {
        len = slow_first(p + i, n - i, &c);
        good = len != 0;
        if (good && c > max) max = c;
    }
    T_CHECK(ckv_utf8_valid(p, n, &fast_chars, &fast_max) == good);
    if (!good) return;
    T_CHECK(fast_chars == n_chars && fast_max == max);
    T_EQ(ckv_utf8_span(p, n, n_chars), n);
    T_CHECK(ckv_utf8_span(p, n, n_chars + 1) == SIZE_MAX);
}

static void all_short_sequences(void)
{
    /* of every kind of byte its edges; the first two bytes are exhaustive */
    static const uint8_t tail[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
                                   0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xff};
    uint8_t p[4] = {0};
    check(p, 0);
    for (unsigned a = 0; a < 256; a++) {
        p[0] = (uint8_t)a;
        check(p, 1);
        for (unsigned b = 0; b < 256; b++) {
            p[1] = (uint8_t)b;
            check(p, 2);
            for (size_t x = 0; x < sizeof tail; x++) {
                p[2] = tail[x];
                check(p, 3);
                for (size_t y = 0; y < sizeof tail; y++) {
                    p[3] = tail[y];
                    check(p, 4);
                }
            }
        }
    }
}

static void every_code_point_comes_back(void)
{
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        if (c >= 0xd800 && c < 0xe000) continue;
        ckv_buf_clear(&b);
        ckv_utf8_put(&b, c);
        uint32_t slow = 0;
        T_EQ(slow_first(b.ptr, b.len, &slow), b.len);
        T_EQ(slow, c);
        const uint8_t *p = b.ptr;
        T_EQ(ckv_utf8_next(&p), c);
        T_CHECK(p == b.ptr + b.len);
    }
    ckv_buf_fini(&b);
}

static void errors_are_found_anywhere_in_long_texts(void)
{
    uint8_t p[64];
    static const char *const pieces[] = {"a", "\xc3\xa9", "\xe6\x97\xa5", "\xf0\x9f\x99\x82",
                                         "plain ascii of some length"};
    t_seed(2);
    for (int round = 0; round < 20000; round++) {
        size_t n = 0;
        for (;;) {
            const char *piece = pieces[t_below(5)];
            if (n + strlen(piece) > sizeof p) break;
            memcpy(p + n, piece, strlen(piece));
            n += strlen(piece);
        }
        check(p, n);
        p[t_below(n)] = (uint8_t)t_rand();
        check(p, n - t_below(4));
    }
}

int main(void)
{
    T_RUN(all_short_sequences);
    T_RUN(every_code_point_comes_back);
    T_RUN(errors_are_found_anywhere_in_long_texts);
    return t_done();
}
