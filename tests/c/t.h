/* t.h -- what every C test shares: checks that say where, seeded randomness, an allocator that fails on purpose.
 *
 *     static void map_survives_a_full_table(void) { ... T_CHECK(n == 3); ... }
 *
 *     int main(void)
 *     {
 *         T_RUN(map_survives_a_full_table);
 *         return t_done();
 *     }
 *
 * Out of memory: t_oom runs a scenario with allocation 0, 1, 2, ... failing, until none fails any more. Each time the
 * scenario must return CKV_ENOMEM and leave no byte behind.
 *
 * A random test draws from t_rand after t_seed; CKV_SEED=n in the environment replays one, and a failed check prints it.
 */
#ifndef CKV_TEST_T_H
#define CKV_TEST_T_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

#define T_UNUSED __attribute__((unused))

/* ---- checks */

static const char *t_now T_UNUSED = "main"; /* the test that runs */
static uint64_t t_seed_now T_UNUSED;        /* 0 before the first t_seed */
static int t_n_run T_UNUSED;

static inline _Noreturn void t_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, t_now, what);
    if (t_seed_now) fprintf(stderr, "replay with CKV_SEED=%" PRIu64 "\n", t_seed_now);
    fflush(NULL);
    abort();
}

/* True in every build, whatever NDEBUG says. */
#define T_CHECK(e)                                                                                 \
    do {                                                                                           \
        if (!(e)) t_fail(__FILE__, __LINE__, #e);                                                  \
    } while (0)

/* Two integers; prints both when they differ. */
#define T_EQ(a, b)                                                                                 \
    do {                                                                                           \
        const intmax_t t_a_ = (intmax_t)(a), t_b_ = (intmax_t)(b);                                 \
        if (t_a_ != t_b_) {                                                                        \
            fprintf(stderr, "%" PRIdMAX " != %" PRIdMAX "\n", t_a_, t_b_);                         \
            t_fail(__FILE__, __LINE__, #a " == " #b);                                              \
        }                                                                                          \
    } while (0)

/* Two byte ranges; prints the first place where they differ. */
#define T_BYTES(p, n_p, q, n_q) t_bytes(__FILE__, __LINE__, p, n_p, q, n_q)

static inline void t_bytes(const char *file, int line, const void *p, size_t n_p, const void *q,
                           size_t n_q)
{
    const uint8_t *a = p, *b = q;
    size_t i = 0;
    while (i < n_p && i < n_q && a[i] == b[i]) i++;
    if (i == n_p && i == n_q) return;
    fprintf(stderr, "%zu and %zu bytes, different from byte %zu on\n", n_p, n_q, i);
    t_fail(file, line, "bytes differ");
}

/* ck = a ckv_x_check(x, &why): prints which invariant is broken. */
#define T_VALID(ck, why)                                                                           \
    do {                                                                                           \
        if (!(ck)) t_fail(__FILE__, __LINE__, (why) ? (why) : #ck);                                \
    } while (0)

#define T_RUN(fn)                                                                                  \
    do {                                                                                           \
        t_now = #fn;                                                                               \
        fn();                                                                                      \
        t_n_run++;                                                                                 \
    } while (0)

/* The last line of main. */
static inline int t_done(void)
{
    printf("%d tests ok\n", t_n_run);
    return t_n_run == 0;
}

/* ---- randomness: splitmix64, the same on every machine */

static uint64_t t_state T_UNUSED;

/* Starts a random test; CKV_SEED wins over `fallback`. The loops of a test may call it with 1, 2, 3, ... */
static inline uint64_t t_seed(uint64_t fallback)
{
    const char *word = getenv("CKV_SEED");
    t_seed_now = word ? strtoull(word, NULL, 0) : fallback;
    t_state = t_seed_now;
    return t_seed_now;
}

static inline uint64_t t_rand(void)
{
    uint64_t z = (t_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* In [0, n); n > 0. The bias is of no account to a test. */
static inline uint64_t t_below(uint64_t n) { return t_rand() % n; }

static inline bool t_one_in(uint64_t n) { return t_below(n) == 0; }

/* ---- memory: counts what lives, checks every old_size, moves on every growth, can fail the n-th request */

typedef struct t_faulty {
    int64_t
        until_fail; /* fails the request number until_fail, counted from 0, and that one only; < 0 never */
    bool stay_broken; /* ... or every request from that one on */
    size_t live_bytes;
    size_t n_live;
    size_t peak_bytes;
    uint64_t n_requests; /* allocations and growths */
} t_faulty;

typedef union t_block {
    size_t n_bytes;
    max_align_t align;
} t_block; /* lies before each allocation */

static inline void *t_faulty_fn(void *ctx, void *old, size_t old_size, size_t new_size)
{
    t_faulty *f = ctx;
    t_block *block = old ? (t_block *)old - 1 : NULL;
    if (block && block->n_bytes != old_size) {
        fprintf(stderr, "allocated %zu bytes, given back as %zu\n", block->n_bytes, old_size);
        t_fail(__FILE__, __LINE__, "old_size is wrong");
    }
    if (!block && old_size) t_fail(__FILE__, __LINE__, "old_size without a block");
    void *made = NULL;
    if (new_size) {
        f->n_requests++;
        if (f->until_fail == 0) {
            if (!f->stay_broken) f->until_fail = -1;
            return NULL;
        }
        if (f->until_fail > 0) f->until_fail--;
        t_block *fresh = malloc(sizeof *fresh + new_size);
        if (!fresh) t_fail(__FILE__, __LINE__, "the machine is out of memory");
        fresh->n_bytes = new_size;
        made = fresh + 1;
        memset(made, 0xa5, new_size); /* nobody may count on zeros */
        if (block) memcpy(made, old, old_size < new_size ? old_size : new_size);
        f->live_bytes += new_size;
        f->n_live++;
        if (f->live_bytes > f->peak_bytes) f->peak_bytes = f->live_bytes;
    }
    if (block) {
        memset(old, 0x5a, old_size); /* nor on what was freed */
        f->live_bytes -= old_size;
        f->n_live--;
        free(block);
    }
    return made;
}

/* An allocator that never fails but watches; T_EQ(f.live_bytes, 0) at the end is the leak check. */
static inline ckv_alloc t_watch(t_faulty *f)
{
    *f = (t_faulty){.until_fail = -1};
    return (ckv_alloc){t_faulty_fn, f};
}

/* Fails each allocation of the scenario once, then all from each one on. Returns how many there are. */
static inline uint64_t t_oom(ckv_status (*scenario)(ckv_alloc a))
{
    uint64_t n_failures = 0;
    for (int stay = 0; stay < 2; stay++) {
        for (int64_t n = 0;; n++) {
            t_faulty f = {.until_fail = n, .stay_broken = stay};
            const ckv_status st = scenario((ckv_alloc){t_faulty_fn, &f});
            if (f.live_bytes || f.n_live) {
                fprintf(stderr, "allocation %" PRId64 " failed, %zu bytes were left\n", n,
                        f.live_bytes);
                t_fail(__FILE__, __LINE__, "leak after a failed allocation");
            }
            if (f.n_requests <= (uint64_t)n) { /* nothing failed any more */
                T_EQ(st, CKV_OK);
                break;
            }
            if (st != CKV_ENOMEM) {
                fprintf(stderr, "allocation %" PRId64 " failed, status %d\n", n, (int)st);
                t_fail(__FILE__, __LINE__, "CKV_ENOMEM expected");
            }
            n_failures++;
        }
    }
    return n_failures / 2;
}

#endif
