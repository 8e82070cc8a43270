/* bench_index.c -- the index of a datastore alone, in a file on disk: filling it in order of arrival, opening it, reading it.
 *
 *     bench_index [KEYS] [DIRECTORY]     1,000,000 and /tmp; --quick: 100,000
 *
 * Keys are 16 bytes in scrambled order, entries 110 bytes. They come in batches of 1,000, each in a transaction of its own (without rows); memory is flushed at 16 MiB, with
 * all merges that follow, under CKV_SYNC_NORMAL. Reading is from the page cache of the system. Seconds are of the wall; in brackets, of this thread.
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "crypto/digest.h"
#include "datastore/index.h"

#define ENTRY 110u
#define BATCH 1000u
#define FLUSH ((size_t)16 << 20)

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

typedef struct watch {
    double wall, thread;
} watch;

static watch begin(void) { return (watch){now(CLOCK_MONOTONIC), now(CLOCK_THREAD_CPUTIME_ID)}; }

static double end(watch w, const char *what, uint64_t n)
{
    const double wall = now(CLOCK_MONOTONIC) - w.wall,
                 thread = now(CLOCK_THREAD_CPUTIME_ID) - w.thread;
    printf("%-44s %8.3f s (%.3f)  %8.3f us each\n", what, wall, thread, wall * 1e6 / (double)n);
    return wall;
}

static uint64_t draw(uint64_t i) /* splitmix64 */
{
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static ckv_store_key key_of(uint8_t b[16], uint64_t i)
{
    const uint64_t x = draw(i), y = draw(~i);
    memcpy(b, &x, 8);
    memcpy(b + 8, &y, 8);
    return (ckv_store_key){b, 16, true};
}

/* The greater one: as for registers. */
static ckv_status join(void *ctx, ckv_entry_bytes a, ckv_entry_bytes b, ckv_buf *out)
{
    (void)ctx;
    const size_t n = a.n_bytes < b.n_bytes ? a.n_bytes : b.n_bytes;
    const ckv_entry_bytes most = memcmp(a.ptr, b.ptr, n) >= 0 ? a : b;
    ckv_buf_bytes(out, most.ptr, most.n_bytes);
    return out->status;
}

static ckv_file *open_file(const char *path)
{
    ckv_file *f;
    char why[256];
    int64_t pid;
    const ckv_file_options o = {.path = path, .mode = CKV_FILE_WRITE, .sync = CKV_SYNC_NORMAL};
    CKV_MUST(ckv_file_open(&f, ckv_alloc_libc, &o, why, &pid) == CKV_OK);
    return f;
}

static ckv_index *open_index(ckv_file *f)
{
    ckv_index *x;
    bool sound;
    CKV_MUST(ckv_index_open(&x, ckv_alloc_libc, f, 1, 0, join, NULL, &sound) == CKV_OK && sound);
    return x;
}

static double flush(ckv_file *f, ckv_index *x)
{
    const double before = now(CLOCK_MONOTONIC);
    CKV_MUST(ckv_file_begin(f) == CKV_OK);
    CKV_MUST(ckv_index_flush(x) == CKV_OK);
    CKV_MUST(ckv_file_commit(f) == CKV_OK);
    ckv_index_flushed(x);
    return now(CLOCK_MONOTONIC) - before;
}

/* MB that this process gave to the system to write, 0 where nobody counts. */
static double written(void)
{
    char line[80];
    unsigned long long n = 0;
    FILE *io = fopen("/proc/self/io", "r");
    while (io && fgets(line, sizeof line, io))
        if (sscanf(line, "wchar: %llu", &n) == 1) break;
    if (io) fclose(io);
    return (double)n / 1e6;
}

static void fill(ckv_file *f, ckv_index *x, uint64_t n)
{
    uint8_t bytes[16], entry[ENTRY];
    double flushing = 0;
    const watch w = begin();
    for (uint64_t i = 0; i < n; i++) {
        for (size_t k = 0; k + 8 <= ENTRY; k += 8) {
            const uint64_t r = draw(i * 16 + k);
            memcpy(entry + k, &r, 8);
        }
        CKV_MUST(ckv_index_add(x, key_of(bytes, i), (ckv_entry_bytes){entry, ENTRY}) == CKV_OK);
        if (i % BATCH == BATCH - 1 && ckv_index_memory(x) >= FLUSH) flushing += flush(f, x);
    }
    flushing += flush(f, x);
    end(w, "fill", n);
    printf("%-44s %8.3f s, %.0f MB written\n", "  of it, flushing and merging", flushing,
           written());
}

static void read_some(ckv_index *x, uint64_t n_keys, uint64_t n, bool is_there, const char *what)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    uint8_t bytes[16];
    const watch w = begin();
    for (uint64_t k = 0; k < n; k++) {
        const uint64_t i = draw(k) % n_keys;
        ckv_buf_clear(&out);
        const ckv_status s = ckv_index_get(x, key_of(bytes, is_there ? i : ~i / 2), &out);
        CKV_ASSERT(is_there ? s == CKV_OK && out.len == ENTRY : s == CKV_ENOENT);
    }
    end(w, what, n);
    ckv_buf_fini(&out);
}

static void walk(ckv_index *x, uint64_t n, bool reverse, const char *what)
{
    ckv_index_scan *s;
    ckv_store_key key;
    ckv_entry_bytes entry;
    const uint8_t middle[] = {0x40};
    const ckv_store_key from = {middle, 1, true};
    const watch w = begin();
    CKV_MUST(ckv_index_scan_new(&s, x, reverse ? NULL : &from, reverse ? &from : NULL, reverse) ==
             CKV_OK);
    uint64_t i = 0;
    while (i < n && ckv_index_scan_next(s, &key, &entry) == CKV_OK) i++;
    end(w, what, i);
    ckv_index_scan_free(s);
}

static double peak(void) /* MB of memory */
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1e3;
}

int main(int argc, char **argv)
{
    const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    const uint64_t n = quick ? 100000 : argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    char path[512];
    snprintf(path, sizeof path, "%s/bench_index-%d.db", argc > 2 ? argv[2] : "/tmp", (int)getpid());
    CKV_MUST(n > 0 && ckv_crypto_init());
    ckv_file *f = open_file(path);
    ckv_index *x = open_index(f);
    ckv_index_stats s;
    uint64_t bytes;
    fill(f, x, n);
    ckv_index_figures(x, &s);
    printf(
        "%llu runs, %llu blocks; directories and filters %.1f MB; process so far %.0f MB at most\n",
        (unsigned long long)s.runs, (unsigned long long)s.blocks, (double)s.directory_bytes / 1e6,
        peak());
    watch w = begin();
    ckv_index_free(x);
    CKV_MUST(ckv_file_shrink(f, 0) == CKV_OK);
    CKV_MUST(ckv_file_bytes(f, &bytes) == CKV_OK);
    ckv_file_close(f);
    end(w, "shrink and close", 1);
    printf("%.1f MB of keys and entries, file %.1f MB, %.3f times\n", (double)n * 126 / 1e6,
           (double)bytes / 1e6, (double)bytes / ((double)n * 126));
    f = open_file(path);
    w = begin();
    x = open_index(f);
    end(w, "open the index", 1);
    walk(x, n / 10, false, "walk over a tenth, first time");
    walk(x, n / 10, false, "walk over a tenth");
    walk(x, n / 10, true, "walk over a tenth, backwards");
    read_some(x, n, n / 5, true, "get");
    read_some(x, n, n / 5, true, "get, blocks checked already");
    read_some(x, n, n / 5, false, "get what is not there");
    w = begin();
    CKV_MUST(ckv_file_begin(f) == CKV_OK);
    CKV_MUST(ckv_index_rewrite(x, NULL, NULL) == CKV_OK);
    CKV_MUST(ckv_file_commit(f) == CKV_OK);
    ckv_index_flushed(x);
    end(w, "rewrite as one run", n);
    printf("%.0f MB written\n", written());
    read_some(x, n, n / 5, true, "get");
    walk(x, n / 10, false, "walk over a tenth");
    printf("process %.0f MB at most\n", peak());
    ckv_index_free(x);
    ckv_file_close(f);
    remove(path);
    return 0;
}
