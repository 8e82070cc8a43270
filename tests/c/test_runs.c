/* Sets of numbers in lockstep with an array of bools; their one form; how long it is beside a roaring bitmap; what is not one. */
#include "t.h"

#include "ds/bits.h"
#include "ds/runs.h"

#define N (3u << 16) /* numbers of a twin: three windows */

static bool a_twin[N], b_twin[N];

/* ---- from a twin and back */

static void put(bool *twin, uint64_t start, uint64_t n)
{
    for (uint64_t i = start; i < start + n && i < N; i++) twin[i] = true;
}

/* Near borders of windows, and stretches of every density: both forms, and where one turns into the other. */
static void fill(bool *twin)
{
    memset(twin, 0, N);
    for (uint64_t n = t_below(6); n > 0; n--) {
        const uint64_t span = (uint64_t)1 << t_below(18),
                       every = 1 + t_below(t_one_in(3) ? 300 : 12),
                       longest = 1 + t_below(t_one_in(3) ? 300 : 3);
        uint64_t at = t_one_in(2) ? t_below(N) : (1 + t_below(3)) * 65536 - t_below(40);
        for (const uint64_t end = at + span; at < end; at += 1 + t_below(every))
            put(twin, at, 1 + t_below(longest));
    }
}

static void take(ckv_runs *out, const bool *twin)
{
    out->len = 0;
    for (uint64_t i = 0; i < N; i++)
        if (twin[i]) T_EQ(ckv_runs_append(out, i, i + 1), CKV_OK);
}

static void is_twin(const ckv_runs *r, const bool *twin)
{
    const char *why = NULL;
    uint64_t n = 0;
    T_VALID(ckv_runs_check(r, &why), why);
    for (size_t i = 0, at = 0; i < N; i++) {
        while (at < r->len && r->ptr[at].end <= i) at++;
        T_EQ(at < r->len && r->ptr[at].start <= i, twin[i]);
        n += twin[i];
    }
    T_EQ(ckv_runs_count(r), n);
}

/* A set as it travels. */
static void write_set(ckv_buf *out, const ckv_runs *r)
{
    ckv_runs_walk walk = ckv_runs_walk_init(r);
    ckv_runs_out w = ckv_runs_out_init(out);
    ckv_runs_out_all(&w, ckv_runs_walk_stream(&walk));
    ckv_runs_out_end(&w);
    T_EQ(out->status, CKV_OK);
}

static void same_runs(const ckv_runs *a, const ckv_runs *b)
{
    T_BYTES(a->ptr, a->len * sizeof *a->ptr, b->ptr, b->len * sizeof *b->ptr);
}

/* What is valid is read as runs that are written as the same bytes. Says whether it is. */
static bool stands(const uint8_t *blob, size_t n_bytes)
{
    const char *why = NULL;
    ckv_runs r = {.a = ckv_alloc_libc};
    ckv_rd rd = ckv_rd_init(blob, n_bytes);
    ckv_runs_read(&r, &rd, 0, CKV_RUNS_MAX);
    const bool good = ckv_rd_done(&rd);
    T_VALID(ckv_runs_check(&r, &why), why);
    T_CHECK(rd.status == CKV_OK || r.len == 0);
    if (good) {
        ckv_buf again = ckv_buf_init(ckv_alloc_libc);
        write_set(&again, &r);
        T_BYTES(again.ptr, again.len, blob, n_bytes);
        ckv_buf_fini(&again);
    }
    ckv_runs_fini(&r);
    return good;
}

static void travels_in_lockstep_with_bools(void)
{
    ckv_runs r = {.a = ckv_alloc_libc}, again = {.a = ckv_alloc_libc};
    for (uint64_t seed = 1; seed < 200; seed++) {
        ckv_buf out = ckv_buf_init(ckv_alloc_libc);
        t_seed(seed);
        fill(a_twin);
        take(&r, a_twin);
        is_twin(&r, a_twin);
        ckv_buf_u8(&out, 0xee); /* a set need not be the first that is written */
        write_set(&out, &r);
        ckv_buf_u8(&out, 0xff);
        ckv_rd rd = ckv_rd_init(out.ptr, out.len);
        T_EQ(ckv_rd_u8(&rd), 0xee);
        again.len = 0;
        ckv_runs_read(&again, &rd, 0, CKV_RUNS_MAX);
        T_EQ(ckv_rd_u8(&rd), 0xff);
        T_CHECK(ckv_rd_done(&rd));
        same_runs(&r, &again);
        for (int i = 0; i < 300; i++) {
            const uint64_t at = t_below(N + 9);
            T_EQ(ckv_runs_has(&r, at), at < N && a_twin[at]);
        }
        ckv_buf_fini(&out);
    }
    ckv_runs_fini(&r);
    ckv_runs_fini(&again);
}

/* ---- two sets, from wherever they come */

static bool combined(ckv_runs_how how, bool a, bool b)
{
    switch (how) {
    case CKV_RUNS_UNION: return a || b;
    case CKV_RUNS_MINUS: return a && !b;
    case CKV_RUNS_BOTH: return a && b;
    }
    return false;
}

/* The numbers of a twin, one by one: runs that touch. */
typedef struct one_by_one {
    const bool *twin;
    uint64_t at;
} one_by_one;

static bool next_one(void *ctx, ckv_run *out)
{
    one_by_one *o = ctx;
    while (o->at < N && !o->twin[o->at]) o->at++;
    if (o->at == N) return false;
    *out = (ckv_run){o->at, o->at + 1};
    o->at++;
    return true;
}

static void two_sets_in_lockstep_with_bools(void)
{
    static bool c_twin[N];
    ckv_runs a = {.a = ckv_alloc_libc}, b = a, c = a;
    for (uint64_t seed = 1; seed < 100; seed++) {
        t_seed(seed);
        const ckv_runs_how how = (ckv_runs_how)(seed % 3);
        fill(a_twin);
        fill(b_twin);
        take(&a, a_twin);
        take(&b, b_twin);
        for (size_t i = 0; i < N; i++) c_twin[i] = combined(how, a_twin[i], b_twin[i]);
        c.len = 0;
        T_EQ(ckv_runs_mixed(&c, how, &a, &b), CKV_OK);
        is_twin(&c, c_twin);

        ckv_buf wire = ckv_buf_init(ckv_alloc_libc), told = wire, expected = wire;
        write_set(&wire, &a);
        write_set(&expected, &c);
        ckv_rd rd = ckv_rd_init(wire.ptr, wire.len);
        ckv_runs_in in = ckv_runs_in_init(&rd, 0, CKV_RUNS_MAX);
        one_by_one ones = {.twin = b_twin};
        ckv_runs_mix mix =
            ckv_runs_mix_init(how, ckv_runs_in_stream(&in), (ckv_runs_stream){next_one, &ones});
        ckv_runs_out w = ckv_runs_out_init(&told);
        ckv_runs_out_all(&w, ckv_runs_mix_stream(&mix));
        ckv_runs_out_end(&w);
        T_BYTES(told.ptr, told.len, expected.ptr, expected.len);
        ckv_run none;
        T_CHECK(!ckv_runs_mix_next(&mix, &none) && !ckv_runs_mix_next(&mix, &none));
        ckv_buf_fini(&wire);
        ckv_buf_fini(&told);
        ckv_buf_fini(&expected);
    }
    ckv_runs_fini(&a);
    ckv_runs_fini(&b);
    ckv_runs_fini(&c);
}

static void sets_go_to_the_end_of_u64(void)
{
    ckv_runs a = {.a = ckv_alloc_libc}, b = a, c = a;
    const char *why = NULL;
    T_EQ(ckv_runs_append(&a, 0, UINT64_MAX), CKV_OK);
    T_EQ(ckv_runs_append(&b, 5, 6), CKV_OK);
    T_EQ(ckv_runs_append(&b, UINT64_MAX - 1, UINT64_MAX), CKV_OK);
    T_EQ(ckv_runs_mixed(&c, CKV_RUNS_MINUS, &a, &b), CKV_OK);
    T_CHECK(c.len == 2 && c.ptr[1].start == 6 && c.ptr[1].end == UINT64_MAX - 1);
    T_CHECK(ckv_runs_has(&b, CKV_RUNS_MAX) && !ckv_runs_has(&c, CKV_RUNS_MAX));
    for (int how = 0; how < 3; how++) {
        c.len = 0;
        T_EQ(ckv_runs_mixed(&c, (ckv_runs_how)how, &b, &a), CKV_OK);
        T_EQ(c.len, how == CKV_RUNS_UNION ? 1 : how == CKV_RUNS_MINUS ? 0 : 2);
    }
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    write_set(&out, &a);
    T_CHECK(stands(out.ptr, out.len));
    out.len = 0;
    write_set(&out, &b);
    T_CHECK(stands(out.ptr, out.len));
    ckv_buf_fini(&out);
    a.ptr[0].end = 0;
    T_CHECK(!ckv_runs_check(&a, &why) && why);
    b.ptr[1].start = 6;
    T_CHECK(!ckv_runs_check(&b, &why) && why);
    ckv_runs_fini(&a);
    ckv_runs_fini(&b);
    ckv_runs_fini(&c);
}

/* ---- bytes */

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (unsigned byte; sscanf(hex + 2 * n, "%2x", &byte) == 1; n++) out[n] = (uint8_t)byte;
    return n;
}

/* tests/golden/runs.txt: what the oracle wrote, and what it refuses. */
static void means_what_the_oracle_says(void)
{
    static char line[1 << 14];
    static uint8_t bytes[1 << 12];
    unsigned n_sets = 0, n_refused = 0;
    ckv_runs r = {.a = ckv_alloc_libc}, read = r;
    FILE *file = fopen("tests/golden/runs.txt", "r");
    T_CHECK(file);
    while (fgets(line, sizeof line, file)) {
        char *at = strchr(line, ' ');
        T_CHECK(at && strlen(line) < sizeof line - 1);
        *at++ = 0;
        const size_t n = from_hex(line, bytes);
        T_EQ(stands(bytes, n), *at != 'r');
        if (*at == 'r') {
            n_refused++;
            continue;
        }
        n_sets++;
        r.len = read.len = 0;
        for (uint64_t start, end; sscanf(at, "%" SCNu64 "-%" SCNu64, &start, &end) == 2;) {
            T_EQ(ckv_runs_append(&r, start, end), CKV_OK);
            at += strcspn(at, ",\n") + 1;
        }
        ckv_rd rd = ckv_rd_init(bytes, n);
        ckv_runs_read(&read, &rd, 0, CKV_RUNS_MAX);
        same_runs(&r, &read);
    }
    T_CHECK(n_sets > 200 && n_refused > 200);
    fclose(file);
    ckv_runs_fini(&r);
    ckv_runs_fini(&read);
}

/* Blanks are for the reader. In a piece of memory of its own, so that ASan sees a read past the end. */
static bool stands_in_hex(const char *hex)
{
    char tight[64];
    size_t n = 0;
    for (; *hex; hex++)
        if (*hex != ' ') tight[n++] = *hex;
    tight[n] = 0;
    uint8_t *bytes = malloc(n / 2 + (n == 0));
    T_CHECK(bytes);
    const bool good = stands(bytes, from_hex(tight, bytes));
    free(bytes);
    return good;
}

static void has_one_form(void)
{
    static const char *good[] = {
        "00",                         /* nothing */
        "0a fcffffffffffffffff 03",   /* the greatest number */
        "0b 01 feffffffffffffffff01", /* all of them */
        "05 0002020202",              /* as long as a bitmap would be */
        "05 01 00 02 5505",           /* a bitmap that is shorter */
        "08 d7ff07 00 03 555515",     /* up to the border of its window */
        "0a d7ff07 00 03 555515 0202",
    };
    static const struct {
        const char *hex, *why;
    } bad[] = {
        {"", "no length"},
        {"02 02", "bytes run out"},
        {"01 02 02", "a byte behind it"},
        {"02 8200", "a head that is not minimal"},
        {"02 01ff", "a length that does not end"},
        {"03 01 8100", "a length that is not minimal"},
        {"01 01", "a run without a length"},
        {"02 0200", "runs that touch"},
        {"0a feffffffffffffffff 03", "the number 2^64 - 1"},
        {"0a 808080808080808080 04", "a gap of 2^64"},
        {"0b 80808080808080808080 01", "a head of 11 bytes"},
        {"0b 0a fcffffffffffffffff03", "a gap to beyond 2^64"},
        {"0b 01 ffffffffffffffffff01", "a run of 2^64"},
        {"0b 03 feffffffffffffffff01", "a run with 2^64 - 1 in it"},
        {"02 01 00", "a bitmap without a length"},
        {"03 01 00 00", "a bitmap of nothing"},
        {"05 01 00 07 5555", "a bitmap that is not all there"},
        {"05 01 00 02 5501", "a bitmap that is not shorter"},
        {"04 01 00 01 55", "a bitmap that is longer"},
        {"06 000202020202", "items where a bitmap is shorter"},
        {"07 01 00 04 55551500", "a bitmap with a last byte of 0"},
        {"06 01 00 03 aaaa0a", "a bitmap with a first bit of 0"},
        {"07 01 00 03 555515 02", "an item behind the bitmap of its window"},
        {"07 02 03 00 03 555515", "an item before the bitmap of its window"},
        {"0c 01 00 03 555515 03 00 03 555515", "two bitmaps of one window"},
        {"08 edff07 00 03 555515", "a bitmap across a border"},
        {"0a d7ff07 00 03 555515 0002", "a run that ends at a border and goes on"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!stands_in_hex(good[i])) t_fail(__FILE__, __LINE__, good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (stands_in_hex(bad[i].hex)) t_fail(__FILE__, __LINE__, bad[i].why);
}

/* Whatever is changed in a set, it is none any more, or another one in its own one form. */
static void every_flip_and_truncation(void)
{
    ckv_runs r = {.a = ckv_alloc_libc};
    for (uint64_t seed = 1; seed < 40; seed++) {
        ckv_buf out = ckv_buf_init(ckv_alloc_libc), cut = out;
        t_seed(seed);
        do {
            fill(a_twin);
            memset(a_twin + t_below(2000), 0, N / 2);
            take(&r, a_twin);
            out.len = 0;
            write_set(&out, &r);
        } while (out.len > 700);
        size_t n_bytes;
        ckv_rd rd = ckv_rd_init(out.ptr, out.len);
        const uint8_t *content = ckv_rd_blob(&rd, &n_bytes);
        for (size_t i = 0; i < n_bytes; i++) {
            T_CHECK(!stands(out.ptr, i));
            cut.len = 0;
            ckv_buf_blob(&cut, content, i);
            stands(cut.ptr, cut.len);
        }
        for (size_t i = 0; i < 8 * out.len; i++) {
            out.ptr[i / 8] ^= (uint8_t)(1u << i % 8);
            stands(out.ptr, out.len);
            out.ptr[i / 8] ^= (uint8_t)(1u << i % 8);
        }
        T_CHECK(stands(out.ptr, out.len));
        ckv_buf_fini(&out);
        ckv_buf_fini(&cut);
    }
    ckv_runs_fini(&r);
}

static void every_short_content_and_many_others(void)
{
    static const uint8_t often[] = {0, 1, 2, 3, 4, 5, 0x11, 0x55, 0x7f, 0x80, 0xfd, 0xff};
    uint8_t bytes[24] = {2};
    uint64_t n_good = 0;
    for (unsigned i = 0; i < 65536; i++) {
        bytes[1] = (uint8_t)i;
        bytes[2] = (uint8_t)(i >> 8);
        n_good += stands(bytes, 3);
    }
    T_EQ(n_good, 64 * 63 + 64 * 127 + 64 * 127); /* two numbers; one; a run */
    t_seed(1);
    for (int i = 0; i < 300000; i++) {
        const size_t n = 1 + t_below(sizeof bytes - 1);
        bytes[0] = (uint8_t)(n - 1);
        for (size_t k = 1; k < n; k++)
            bytes[k] = t_one_in(9) ? (uint8_t)t_rand() : often[t_below(sizeof often)];
        stands(bytes, n);
    }
}

static bool stands_within(const ckv_buf *set, uint64_t min, uint64_t max)
{
    ckv_rd rd = ckv_rd_init(set->ptr, set->len);
    ckv_runs_in in = ckv_runs_in_init(&rd, min, max);
    ckv_run run;
    T_CHECK(rd.status == CKV_OK || !ckv_runs_in_next(&in, &run));
    return rd.status == CKV_OK;
}

static void bounds_are_kept(void)
{
    for (uint64_t form = 0; form < 4; form++) { /* a number; a run; a long one; a bitmap */
        ckv_buf out = ckv_buf_init(ckv_alloc_libc);
        ckv_runs_out w = ckv_runs_out_init(&out);
        const uint64_t last = form == 0 ? 70 : form == 1 ? 80 : form == 2 ? 1u << 20 : 100;
        for (uint64_t at = 70; at <= last; at += 2)
            ckv_runs_out_add(&w, at, form == 3 ? at + 1 : last + 1), at += form == 3 ? 0 : last;
        ckv_runs_out_end(&w);
        T_CHECK(stands_within(&out, 70, last) && stands_within(&out, 0, UINT64_MAX));
        T_CHECK(!stands_within(&out, 71, last) && !stands_within(&out, 70, last - 1));
        T_CHECK(!stands_within(&out, 0, 69) && !stands_within(&out, last + 1, UINT64_MAX));
        ckv_buf_fini(&out);
    }
}

static void no_number_comes_behind_the_last_one_that_may(void)
{
    ckv_buf set = ckv_buf_init(ckv_alloc_libc);
    const uint8_t two_numbers[] = {2, 2, 2}; /* { 1 3 } */
    ckv_buf_bytes(&set, two_numbers, sizeof two_numbers);
    T_CHECK(stands_within(&set, 1, 3) && !stands_within(&set, 1, 2) && !stands_within(&set, 1, 1));
    const uint8_t too_great[] = {10, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3};
    set.len = 0;
    ckv_buf_bytes(&set, too_great, sizeof too_great); /* { 2^64 - 1 }, whatever the caller takes */
    T_CHECK(!stands_within(&set, 0, UINT64_MAX));
    ckv_buf_fini(&set);
}

/* ---- sizes */

#define MILLION 1000000u

typedef uint32_t numbers(uint32_t i); /* the i-th, in ascending order */

static uint32_t contiguous(uint32_t i) { return i; }
static uint32_t every_second(uint32_t i) { return 2 * i; }
static uint32_t every_third(uint32_t i) { return 3 * i; }
static uint32_t pairs(uint32_t i) { return 4 * (i / 2) + i % 2; }
static uint32_t long_runs(uint32_t i) { return i + i / 200 * 70; }
static uint32_t a_thousand_each_ms(uint32_t i) { return (i / 1000 << 16) + i % 1000; }
static uint32_t one_each_ms(uint32_t i) { return i << 16; }
static uint32_t seven_each_ms(uint32_t i) { return (i / 7 << 16) + i % 7 * 9300; }
static uint32_t some_each_ms(uint32_t i) { return (i / 500 << 16) + i % 500 * 3; }

static int order(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* About a million of so many. */
static uint32_t draw(uint32_t *out, uint64_t out_of)
{
    uint32_t n = 0;
    if (out_of <= 1u << 24) {
        for (uint32_t i = 0; i < out_of && n < MILLION; i++)
            if (t_below(out_of) < MILLION) out[n++] = i;
        return n;
    }
    for (uint32_t i = 0; i < MILLION; i++) out[i] = (uint32_t)t_below(out_of);
    qsort(out, MILLION, sizeof *out, order);
    for (uint32_t i = 0; i < MILLION; i++)
        if (n == 0 || out[n - 1] != out[i]) out[n++] = out[i];
    return n;
}

static void write_numbers(ckv_buf *out, uint64_t base, const uint32_t *v, uint32_t n)
{
    ckv_runs_out w = ckv_runs_out_init(out);
    for (uint32_t i = 0; i < n; i++) ckv_runs_out_add(&w, base + v[i], base + v[i] + 1);
    ckv_runs_out_end(&w);
    T_EQ(out->status, CKV_OK);
}

/* Is it no longer than 1.2 times a roaring bitmap of the same? */
static void fits_beside_roaring(const char *name, const uint32_t *v, uint32_t n, size_t n_bytes)
{
    ckv_bits *bits = ckv_bits_new();
    for (uint32_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && v[k] == v[k - 1] + 1; k++) continue;
        ckv_bits_add(bits, v[i], v[k - 1] + 1);
    }
    const size_t roaring = ckv_bits_packed_size(bits);
    if (getenv("CKV_SIZES"))
        printf("%-24s %8u %9zu %9zu %6.3f\n", name, n, n_bytes, roaring,
               (double)n_bytes / (double)roaring);
    if (5 * n_bytes > 6 * roaring) t_fail(__FILE__, __LINE__, name);
    ckv_bits_free(bits);
}

/* CKV_SIZES=1 prints a table: numbers, bytes, those of CRoaring, and how they compare. */
static void is_not_much_longer_than_a_roaring_bitmap(void)
{
    static const struct {
        const char *name;
        numbers *nth;
        uint64_t out_of; /* of how many to draw */
        uint32_t n;
    } sets[] = {
        {"contiguous", contiguous, 0, MILLION},
        {"half of 2 M", NULL, 2 * MILLION, 0},
        {"1 M of 2^21", NULL, 1u << 21, 0},
        {"1 M of 2^22", NULL, 1u << 22, 0},
        {"1 M of 2^23", NULL, 1u << 23, 0},
        {"1 M of 2^24", NULL, 1u << 24, 0},
        {"1 M of 2^26", NULL, UINT64_C(1) << 26, 0},
        {"1 M of 2^29", NULL, UINT64_C(1) << 29, 0},
        {"1 M of 2^32", NULL, UINT64_C(1) << 32, 0},
        {"every second", every_second, 0, MILLION},
        {"every third", every_third, 0, MILLION},
        {"two of four", pairs, 0, MILLION},
        {"200 of 270", long_runs, 0, MILLION},
        {"1000 each ms", a_thousand_each_ms, 0, MILLION},
        {"500 of 1500 each ms", some_each_ms, 0, MILLION},
        {"7 each ms", seven_each_ms, 0, 400000},
        {"1 each ms", one_each_ms, 0, 60000},
    };
    uint32_t *v = malloc(MILLION * sizeof *v);
    t_seed(1);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        t_faulty memory;
        ckv_buf out = ckv_buf_init(t_watch(&memory)), far = ckv_buf_init(ckv_alloc_libc);
        uint32_t n = sets[i].n;
        if (!sets[i].nth) n = draw(v, sets[i].out_of);
        for (uint32_t k = 0; sets[i].nth && k < n; k++) v[k] = sets[i].nth(k);
        write_numbers(&out, 0, v, n);
        fits_beside_roaring(sets[i].name, v, n, out.len);
        T_CHECK(i > 0 || out.len < 20);
        T_CHECK(memory.peak_bytes < 4 * (out.len + (1u << 17)));  /* a window's items, and growth */
        write_numbers(&far, UINT64_C(1700000000000) << 16, v, n); /* where hybrid clocks are */
        T_CHECK(far.len <= out.len + 8);
        ckv_rd rd = ckv_rd_init(far.ptr, far.len);
        ckv_runs_in in = ckv_runs_in_init(&rd, 0, CKV_RUNS_MAX);
        uint32_t at = 0;
        for (ckv_run run; ckv_runs_in_next(&in, &run);)
            for (; run.start < run.end; run.start++)
                T_EQ(run.start, (UINT64_C(1700000000000) << 16) + v[at++]);
        T_EQ(at, n);
        ckv_buf_fini(&out);
        ckv_buf_fini(&far);
        T_EQ(memory.live_bytes, 0);
    }
    free(v);
}

/* Small ones, too, of whatever make. */
static void no_small_set_is_much_longer(void)
{
    static uint32_t v[N];
    for (uint64_t seed = 1; seed < 300; seed++) {
        t_seed(seed);
        uint32_t n = 0;
        ckv_buf out = ckv_buf_init(ckv_alloc_libc);
        if (t_one_in(2)) {
            fill(a_twin);
            for (uint32_t i = 0; i < N; i++)
                if (a_twin[i]) v[n++] = i;
        } else {
            const uint64_t below = 2 + ((uint64_t)1 << t_below(32)) / 64;
            for (uint64_t at = t_below(below); at < UINT32_MAX && n < 300; at += 1 + t_below(below))
                v[n++] = (uint32_t)at;
        }
        write_numbers(&out, 0, v, n);
        fits_beside_roaring("a small one", v, n, out.len);
        ckv_buf_fini(&out);
    }
}

/* ---- memory */

static void what_is_claimed_costs_nothing(void)
{
    t_faulty memory;
    ckv_alloc a = t_watch(&memory);
    ckv_runs r = {.a = a};
    static uint8_t bytes[1 << 20];
    T_CHECK(ckv_runs_valid(NULL, 0, 0, 0));
    const uint8_t all[] = {11, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
    ckv_rd rd = ckv_rd_init(all, sizeof all);
    ckv_runs_read(&r, &rd, 0, CKV_RUNS_MAX);
    T_CHECK(ckv_rd_done(&rd) && r.len == 1 && ckv_runs_count(&r) == UINT64_MAX);
    T_CHECK(memory.peak_bytes <= 256);
    r.len = 0;
    size_t n = 0, n_windows = 0; /* as many runs as bytes can make */
    for (; n + 8200 < sizeof bytes; n_windows++) {
        const uint8_t head[] = {n_windows ? 3 : 1, 0, 0x80, 0x40};
        memcpy(bytes + n, head, sizeof head);
        memset(bytes + n + sizeof head, 0x55, 8192);
        n += sizeof head + 8192;
    }
    T_CHECK(ckv_runs_valid(bytes, n, 0, CKV_RUNS_MAX));
    ckv_buf blob = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_blob(&blob, bytes, n);
    rd = ckv_rd_init(blob.ptr, blob.len);
    ckv_runs_read(&r, &rd, 0, CKV_RUNS_MAX);
    T_CHECK(ckv_rd_done(&rd) && r.len == n_windows * 32768 && r.len <= 4 * n);
    ckv_buf_fini(&blob);
    ckv_runs_fini(&r);
    T_EQ(memory.live_bytes, 0);
}

static ckv_status scenario(ckv_alloc a)
{
    ckv_runs x = {.a = a}, y = {.a = a}, both = {.a = a};
    ckv_buf out = ckv_buf_init(a);
    ckv_status s = CKV_OK;
    for (uint64_t i = 0; i < 400 && s == CKV_OK; i++) {
        s = ckv_runs_append(&x, 2 * i, 2 * i + 1);
        if (s == CKV_OK && i % 20 == 0) s = ckv_runs_append(&y, 300 * i, 300 * i + 90);
    }
    if (s == CKV_OK) s = ckv_runs_mixed(&both, CKV_RUNS_UNION, &x, &y);
    T_CHECK(s == CKV_OK || both.len == 0);
    if (s == CKV_OK) {
        ckv_runs_walk walk = ckv_runs_walk_init(&both);
        ckv_runs_out w = ckv_runs_out_init(&out);
        ckv_runs_out_all(&w, ckv_runs_walk_stream(&walk));
        ckv_runs_out_end(&w);
        s = out.status;
    }
    if (s == CKV_OK) {
        ckv_rd rd = ckv_rd_init(out.ptr, out.len);
        y.len = 0;
        ckv_runs_fini(&x);
        ckv_runs_read(&x, &rd, 0, CKV_RUNS_MAX);
        s = rd.status;
        if (s == CKV_OK) same_runs(&x, &both);
        T_CHECK(s == CKV_OK || x.len == 0);
    }
    ckv_buf_fini(&out);
    ckv_runs_fini(&x);
    ckv_runs_fini(&y);
    ckv_runs_fini(&both);
    return s;
}

/* Bitmaps of every size: for some there is no room behind their items. */
static ckv_status many_sizes(ckv_alloc a)
{
    ckv_status s = CKV_OK;
    for (uint64_t n = 6; n < 200 && s == CKV_OK; n += 7) {
        ckv_buf out = ckv_buf_init(a);
        ckv_runs_out w = ckv_runs_out_init(&out);
        for (uint64_t i = 0; i < n; i++) ckv_runs_out_add(&w, 2 * i, 2 * i + 1);
        ckv_runs_out_end(&w);
        s = out.status;
        if (s == CKV_OK) T_CHECK(out.len == n / 4 + (n % 4 > 0) + 4 && stands(out.ptr, out.len));
        ckv_buf_fini(&out);
    }
    return s;
}

static void survives_every_failure(void)
{
    T_CHECK(t_oom(scenario) >= 15);
    T_CHECK(t_oom(many_sizes) >= 30);
}

int main(void)
{
    T_RUN(travels_in_lockstep_with_bools);
    T_RUN(two_sets_in_lockstep_with_bools);
    T_RUN(sets_go_to_the_end_of_u64);
    T_RUN(means_what_the_oracle_says);
    T_RUN(has_one_form);
    T_RUN(every_flip_and_truncation);
    T_RUN(every_short_content_and_many_others);
    T_RUN(bounds_are_kept);
    T_RUN(no_number_comes_behind_the_last_one_that_may);
    T_RUN(is_not_much_longer_than_a_roaring_bitmap);
    T_RUN(no_small_set_is_much_longer);
    T_RUN(what_is_claimed_costs_nothing);
    T_RUN(survives_every_failure);
    return t_done();
}
