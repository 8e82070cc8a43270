/* bench_store.c -- a key-value store inside C, without Python: keys of 16 bytes, values of 100.
 *
 *     bench_store [CASE] [--once] [--runs N] [--n N] [--tsv]
 *
 * Without CASE all of them, each as the median of N runs (default 5) over n entries (default 1,000,000), in nanoseconds of CPU time of
 * this thread. Every run checks what came out. --once runs one case once; its measured part stands in functions named measured_*:
 *
 *     valgrind --tool=callgrind --toggle-collect='measured_*' build/c/bench/bench_store scrambled --n 100000 --once
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kv/exchange.h"
#include "log/value.h"

#define NOINLINE __attribute__((noinline, noclone))

#define KEY    16u
#define VALUE  102u /* as a value of 100 bytes is written: a tag and a length before it */
#define BEHIND 1000u
#define NOW    UINT64_C(1700000000000)

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_store: %s\n", what);
    exit(1);
}

#define MUST(e)                                                                                    \
    do {                                                                                           \
        const ckv_status s_ = (e);                                                                 \
        if (s_ != CKV_OK) {                                                                        \
            fprintf(stderr, "bench_store: line %d: %s: status %d\n", __LINE__, #e, s_);            \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#define TIMED(what)                                                                                \
    ({                                                                                             \
        const int64_t began_ = now();                                                              \
        what;                                                                                      \
        now() - began_;                                                                            \
    })

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* ---- entries, made before anything is measured */

static size_t n_entries = 1000000;
static uint8_t *ascending, *scrambled, *values; /* n_entries + BEHIND of each, side by side */
static size_t *order;                           /* of n_entries, shuffled */

static uint64_t state = 1;
static uint64_t draw(void) /* splitmix64 */
{
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void make_entries(void)
{
    const size_t n = n_entries + BEHIND;
    ascending = calloc(n, KEY);
    scrambled = malloc(n * KEY);
    values = malloc(n * VALUE);
    order = malloc(n_entries * sizeof *order);
    if (!ascending || !scrambled || !values || !order) die("no memory");
    for (size_t i = 0; i < n; i++) {
        for (unsigned k = 0; k < 8; k++) ascending[i * KEY + 15 - k] = (uint8_t)(i >> (8 * k));
        for (unsigned k = 0; k < KEY; k += 8)
            memcpy(scrambled + i * KEY + k, &(uint64_t){draw()}, 8);
        uint8_t *v = values + i * VALUE;
        for (unsigned k = 0; k < VALUE; k++) v[k] = (uint8_t)draw();
        v[0] = CKV_TAG_BYTES, v[1] = VALUE - 2;
    }
    for (size_t i = 0; i < n_entries; i++) order[i] = i;
    for (size_t i = n_entries; i > 1; i--) {
        const size_t k = draw() % i, other = order[k];
        order[k] = order[i - 1], order[i - 1] = other;
    }
}

static ckv_store_key key_of(const uint8_t *keys, size_t i)
{
    return (ckv_store_key){keys + i * KEY, KEY, true};
}

static ckv_bytes value_of(size_t i) { return (ckv_bytes){values + i * VALUE, VALUE}; }

static ckv_store_key name_of(const char *name)
{
    return (ckv_store_key){(const uint8_t *)name, (uint32_t)strlen(name), false};
}

static ckv_store *empty(const char *name)
{
    const ckv_env env = {.alloc = ckv_alloc_libc};
    ckv_store *s;
    MUST(ckv_store_new(&s, &env, name_of(name)));
    return s;
}

/* ---- what is measured */

static NOINLINE void measured_inserts(ckv_store *s, const uint8_t *keys, size_t from, size_t to)
{
    MUST(ckv_txn_begin(s));
    for (size_t i = from; i < to; i++) MUST(ckv_txn_put(s, key_of(keys, i), value_of(i)));
    MUST(ckv_txn_commit(s, NOW, NULL));
}

static NOINLINE void measured_puts(ckv_store *s, const uint8_t *keys)
{
    for (size_t i = 0; i < n_entries; i++)
        MUST(ckv_store_put(s, key_of(keys, i), value_of(i), NOW + i / 1000, NULL));
}

/* Other values for the same keys, in another order. */
static NOINLINE void measured_overwrites(ckv_store *s)
{
    for (size_t i = 0; i < n_entries; i++)
        MUST(ckv_store_put(s, key_of(scrambled, order[i]), value_of(i), NOW + i / 1000, NULL));
}

static NOINLINE void measured_removes(ckv_store *s)
{
    for (size_t i = 0; i < n_entries; i++)
        MUST(ckv_store_remove(s, key_of(scrambled, order[i]), NULL));
}

/* A byte of each value, added up. */
static NOINLINE uint64_t measured_gets(const ckv_store *s)
{
    ckv_item item;
    uint64_t sum = 0;
    for (size_t i = 0; i < n_entries; i++) {
        if (!ckv_store_get(s, false, key_of(scrambled, order[i]), &item)) die("a key that is gone");
        sum += item.value.ptr[2];
    }
    return sum;
}

static NOINLINE size_t measured_scan(const ckv_store *s)
{
    ckv_scan *scan;
    ckv_item item;
    size_t n = 0;
    MUST(ckv_scan_new(&scan, s, false, &(ckv_range){0}, false));
    while (ckv_scan_next(scan, &item) == CKV_OK) n += item.value.n_bytes == VALUE;
    ckv_scan_free(scan);
    return n;
}

static NOINLINE void measured_request(const ckv_store *s, ckv_buf *out)
{
    MUST(ckv_store_request(s, out));
}

static NOINLINE void measured_diff(const ckv_store *s, const ckv_buf *request, ckv_buf *out)
{
    bool more;
    ckv_err err;
    MUST(ckv_store_diff(s, (ckv_bytes){request->ptr, request->len}, 0, out, &more, &err));
}

static NOINLINE void measured_integrate(ckv_store *s, const ckv_buf *diff)
{
    ckv_store_report report;
    ckv_err err;
    ckv_store_report_init(&report, ckv_alloc_libc);
    MUST(ckv_store_integrate(s, (ckv_bytes){diff->ptr, diff->len}, CKV_NO_DRIFT, &report, &err));
    if (report.refused.len) die("an honest diff is refused");
    ckv_store_report_fini(&report);
}

static NOINLINE void measured_save(const ckv_store *s, ckv_buf *out)
{
    MUST(ckv_store_save(s, out));
}

static NOINLINE ckv_store *measured_load(const ckv_buf *save)
{
    ckv_store *s;
    ckv_err err;
    const ckv_env env = {.alloc = ckv_alloc_libc};
    const ckv_store_key ben = name_of("ben");
    MUST(ckv_store_load(&s, &env, (ckv_bytes){save->ptr, save->len}, &ben, &err));
    return s;
}

/* ---- cases: each does its part once and returns its nanoseconds */

static void check_len(const ckv_store *s, size_t n)
{
    if (ckv_store_len(s, false) != n) die("the wrong number of keys");
}

static ckv_store *filled(void)
{
    ckv_store *s = empty("ada");
    measured_inserts(s, scrambled, 0, n_entries);
    return s;
}

static int64_t inserts_of(const uint8_t *keys)
{
    ckv_store *s = empty("ada");
    const int64_t ns = TIMED(measured_inserts(s, keys, 0, n_entries));
    check_len(s, n_entries);
    ckv_store_free(s);
    return ns;
}

static int64_t run_ascending(void) { return inserts_of(ascending); }
static int64_t run_scrambled(void) { return inserts_of(scrambled); }

static int64_t run_puts(void)
{
    ckv_store *s = empty("ada");
    const int64_t ns = TIMED(measured_puts(s, scrambled));
    check_len(s, n_entries);
    ckv_store_free(s);
    return ns;
}

static int64_t run_overwrites(void)
{
    ckv_store *s = filled();
    const int64_t ns = TIMED(measured_overwrites(s));
    check_len(s, n_entries);
    ckv_store_free(s);
    return ns;
}

static int64_t run_removes(void)
{
    ckv_store *s = filled();
    const int64_t ns = TIMED(measured_removes(s));
    check_len(s, 0);
    ckv_store_free(s);
    return ns;
}

static int64_t run_gets(void)
{
    ckv_store *s = filled();
    uint64_t sum = 0;
    const int64_t ns = TIMED(sum = measured_gets(s));
    for (size_t i = 0; i < n_entries; i++) sum -= values[i * VALUE + 2];
    if (sum) die("the wrong values");
    ckv_store_free(s);
    return ns;
}

static int64_t run_scan(void)
{
    ckv_store *s = filled();
    size_t n = 0;
    const int64_t ns = TIMED(n = measured_scan(s));
    if (n != n_entries) die("a scan that is too short");
    ckv_store_free(s);
    return ns;
}

/* Request, diff and integrate; `known`: of how many entries the asking replica lacks only BEHIND, 0: it is fresh. */
static int64_t pull_of(size_t known)
{
    ckv_store *ada = filled(), *ben;
    if (known) {
        ckv_buf save = ckv_buf_init(ckv_alloc_libc);
        measured_save(ada, &save);
        ben = measured_load(&save);
        ckv_buf_fini(&save);
        measured_inserts(ada, scrambled, n_entries, n_entries + BEHIND);
    } else {
        ben = empty("ben");
    }
    ckv_buf request = ckv_buf_init(ckv_alloc_libc), diff = ckv_buf_init(ckv_alloc_libc);
    const int64_t ns = TIMED((measured_request(ben, &request), measured_diff(ada, &request, &diff),
                              measured_integrate(ben, &diff)));
    check_len(ben, known ? n_entries + BEHIND : n_entries);
    ckv_buf_fini(&request);
    ckv_buf_fini(&diff);
    ckv_store_free(ada);
    ckv_store_free(ben);
    return ns;
}

static int64_t run_pull(void) { return pull_of(0); }
static int64_t run_behind(void) { return pull_of(n_entries); }

static int64_t disk_of(bool load)
{
    ckv_store *s = filled(), *copy = NULL;
    ckv_buf save = ckv_buf_init(ckv_alloc_libc);
    const int64_t saved = TIMED(measured_save(s, &save));
    const int64_t loaded = TIMED(copy = measured_load(&save));
    check_len(copy, n_entries);
    ckv_buf_fini(&save);
    ckv_store_free(s);
    ckv_store_free(copy);
    return load ? loaded : saved;
}

static int64_t run_save(void) { return disk_of(false); }
static int64_t run_load(void) { return disk_of(true); }

static const struct bench {
    const char *name, *what;
    int64_t (*run)(void);
    size_t n; /* how many operations it does; 0: n_entries */
} benches[] = {
    {"ascending", "inserts in a transaction, ascending keys", run_ascending, 0},
    {"scrambled", "inserts in a transaction, scrambled keys", run_scrambled, 0},
    {"puts", "puts outside of a transaction, scrambled", run_puts, 0},
    {"overwrites", "puts over what is there, in another order", run_overwrites, 0},
    {"removes", "removes, in another order", run_removes, 0},
    {"gets", "gets, in another order", run_gets, 0},
    {"scan", "a scan of all in key order", run_scan, 0},
    {"pull", "all to a fresh replica: request, diff, integrate", run_pull, 0},
    {"behind", "1,000 more to one that has the rest", run_behind, BEHIND},
    {"save", "save", run_save, 0},
    {"load", "load", run_load, 0},
};

static bool tsv; /* name, what, median ns of all, operations: for benchmarks/store.py */

static void report(const struct bench *b, size_t runs)
{
    int64_t ns[101];
    for (size_t i = 0; i < runs; i++) ns[i] = b->run();
    qsort(ns, runs, sizeof *ns, by_size);
    const size_t n = b->n ? b->n : n_entries;
    const double typical = (double)ns[runs / 2], least = (double)ns[0];
    if (tsv)
        printf("%s\t%s\t%.0f\t%zu\n", b->name, b->what, typical, n);
    else
        printf("%-11s %-50s %9.1f ms %9.1f min %8.1f ns each\n", b->name, b->what, typical / 1e6,
               least / 1e6, typical / (double)n);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *only = NULL;
    size_t runs = 5;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--once"))
            runs = 1;
        else if (!strcmp(argv[i], "--runs") && i + 1 < argc)
            runs = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--n") && i + 1 < argc)
            n_entries = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--tsv"))
            tsv = true;
        else if (argv[i][0] != '-')
            only = argv[i];
        else
            die("usage: bench_store [CASE] [--once] [--runs N] [--n N] [--tsv]");
    }
    if (runs < 1 || runs > 101 || !n_entries) die("--runs takes 1 to 101, --n at least 1");
    make_entries();
    bool found = false;
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++)
        if (!only || !strcmp(only, benches[i].name)) found = true, report(benches + i, runs);
    if (!found) die("no such case");
    return 0;
}
