/* bench_keytree.c -- the ordered map of a store alone: nanoseconds of CPU time of this thread and bytes of memory, both for one key.
 *
 *     bench_keytree [KEYS] [RUNS]        1,000,000 and 5; the medians
 *
 * The cells have values of 100 bytes and are made beforehand, in the order in which they go in; that is not measured, nor are their
 * bytes counted. Every key is looked for once, in an order of its own. What is found is checked in each run.
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kv/keytree.h"

#define MOST_RUNS 99
#define KEY       32 /* bytes for a key, at most */

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_keytree: %s\n", what);
    exit(1);
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint64_t draw(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- keys: the i-th, ascending in i but for the random ones */

static size_t decimal(char *out, uint32_t i) { return (size_t)snprintf(out, KEY, "%016u", i); }
static size_t user(char *out, uint32_t i) { return (size_t)snprintf(out, KEY, "user:%08u", i); }

static size_t path(char *out, uint32_t i)
{
    return (size_t)snprintf(out, KEY, "home/%02u/notes/%03u/%05u.txt", i % 31, i / 31 % 997,
                            i / 31);
}

static size_t random_bytes(char *out, uint32_t i)
{
    uint64_t state = i;
    const uint64_t a = draw(&state), b = draw(&state);
    memcpy(out, &a, 8);
    memcpy(out + 8, &b, 8);
    return 16;
}

static size_t uuid(char *out, uint32_t i)
{
    uint64_t state = i;
    const uint64_t a = draw(&state), b = draw(&state);
    return (size_t)snprintf(out, KEY, "%08x-%04x-%012llx", (unsigned)(a >> 32),
                            (unsigned)(a & 0xffff), (unsigned long long)(b >> 16));
}

typedef enum order { SCRAMBLED, ASCENDING, DESCENDING } order;

typedef struct workload {
    const char *name;
    size_t (*key)(char *, uint32_t);
    order order;
} workload;

static const workload workloads[] = {
    {"16 random bytes", random_bytes, SCRAMBLED},
    {"%016u ascending", decimal, ASCENDING},
    {"%016u descending", decimal, DESCENDING},
    {"%016u scrambled", decimal, SCRAMBLED},
    {"user:%08u scrambled", user, SCRAMBLED},
    {"uuid", uuid, SCRAMBLED},
    {"home/%02u/notes/... scrambled", path, SCRAMBLED},
    {"home/%02u/... 31 runs ascending", path, ASCENDING},
};

static void shuffle(uint32_t *out, uint32_t n, uint64_t seed)
{
    for (uint32_t i = 0; i < n; i++) out[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        const uint32_t k = (uint32_t)(draw(&seed) % i), other = out[k];
        out[k] = out[i - 1];
        out[i - 1] = other;
    }
}

/* ---- measuring */

typedef struct
    probe { /* a key to look for, beside each other in the order in which they are looked for */
    const ckv_cell *cell; /* what must be found */
    ckv_store_key key;
    char bytes[KEY];
} probe;

enum { REACH, FIND, SCAN, REMOVE, BYTES, N_FIGURES };

static void run(const workload *w, uint32_t n, double out[N_FIGURES])
{
    ckv_cell **cells = malloc(n * sizeof *cells);
    probe *probes = malloc(n * sizeof *probes);
    uint32_t *come = malloc(n * sizeof *come), *go = malloc(n * sizeof *go);
    if (!cells || !probes || !come || !go) die("out of memory");
    shuffle(come, n, 1);
    shuffle(go, n, 2);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t number = w->order == SCRAMBLED   ? come[i]
                                : w->order == ASCENDING ? i
                                                        : n - 1 - i;
        char key[KEY];
        const size_t n_bytes = w->key(key, number);
        cells[i] = calloc(1, sizeof(ckv_cell) + n_bytes + 100);
        if (!cells[i]) die("out of memory");
        cells[i]->key_bytes = (uint16_t)n_bytes;
        cells[i]->value_bytes = 100;
        memcpy(cells[i]->bytes, key, n_bytes);
    }
    for (uint32_t i = 0; i < n; i++) {
        ckv_cell *c = cells[go[i]];
        probes[i] = (probe){.cell = c, .key = {(uint8_t *)probes[i].bytes, c->key_bytes, false}};
        memcpy(probes[i].bytes, c->bytes, c->key_bytes);
    }

    ckv_keytree t = ckv_keytree_init(ckv_alloc_libc);
    int64_t began = now();
    for (uint32_t i = 0; i < n; i++) {
        ckv_cell **slot;
        bool is_new;
        if (ckv_keytree_reach(&t, ckv_cell_key(cells[i]), &slot, &is_new) != CKV_OK || !is_new)
            die("a key that does not go in");
        *slot = cells[i];
    }
    out[REACH] = (double)(now() - began) / n;
    out[BYTES] = (double)t.n_bytes / n;

    began = now();
    for (uint32_t i = 0; i < n; i++) {
        ckv_cell **slot = ckv_keytree_find(&t, probes[i].key);
        if (!slot || *slot != probes[i].cell) die("a key that is not found");
    }
    out[FIND] = (double)(now() - began) / n;

    uint64_t sum = 0, seen = 0;
    began = now();
    for (ckv_keyplace p = ckv_keytree_from(&t, NULL); !ckv_keyplace_is_end(p);
         p = ckv_keyplace_next(p)) {
        sum += (*ckv_keyplace_slot(p))->value_bytes; /* each cell is looked at */
        seen++;
    }
    out[SCAN] = (double)(now() - began) / n;
    if (seen != n || sum != 100 * (uint64_t)n) die("a scan that is not whole");

    const char *why;
    if (!ckv_keytree_check(&t, &why)) die(why);
    began = now();
    for (uint32_t i = 0; i < n; i++) ckv_keytree_remove(&t, probes[i].key);
    out[REMOVE] = (double)(now() - began) / n;
    if (t.n_bytes) die("bytes that are left");
    ckv_keytree_fini(&t);
    for (uint32_t i = 0; i < n; i++) free(cells[i]);
    free(cells);
    free(probes);
    free(come);
    free(go);
}

int main(int argc, char **argv)
{
    const uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 1000000;
    const int runs = argc > 2 ? atoi(argv[2]) : 5;
    if (n == 0 || runs < 1 || runs > MOST_RUNS) die("bench_keytree [KEYS] [RUNS]");
    printf("%u keys, each        reach   find   scan remove  bytes\n", n);
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) {
        double figures[N_FIGURES][MOST_RUNS], one[N_FIGURES];
        for (int r = 0; r < runs; r++) {
            run(&workloads[i], n, one);
            for (int f = 0; f < N_FIGURES; f++) figures[f][r] = one[f];
        }
        printf("%-32s", workloads[i].name);
        for (int f = 0; f < N_FIGURES; f++) {
            qsort(figures[f], (size_t)runs, sizeof(double), by_size);
            printf(" %6.1f", figures[f][runs / 2]);
        }
        printf("\n");
    }
    return 0;
}
