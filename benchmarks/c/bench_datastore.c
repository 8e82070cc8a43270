/* bench_datastore.c -- a datastore in a file inside C, without Python: keys of 16 bytes in scrambled order, values of 100, every batch durable.
 *
 *     bench_datastore [--n N] [--batch N] [--path FILE] [--ascending]
 *
 * Wall time, since the disk is part of it. Prints puts a second, gets, a walk, the time to open, bytes a key, memory.
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crypto/digest.h"
#include "datastore/datastore.h"
#include "log/value.h"

#define MUST(e)                                                                                    \
    do {                                                                                           \
        const ckv_status s_ = (e);                                                                 \
        if (s_ != CKV_OK) {                                                                        \
            fprintf(stderr, "bench_datastore: line %d: %s: status %d %s\n", __LINE__, #e, s_,      \
                    why);                                                                          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static char why[256];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void key_of(uint8_t out[16], uint64_t i, bool ascending)
{
    uint64_t x = i, y = i;
    if (!ascending) { /* splitmix64: scrambled, each once */
        x += UINT64_C(0x9e3779b97f4a7c15);
        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        x ^= x >> 31;
    }
    for (int k = 0; k < 8; k++)
        out[k] = (uint8_t)(x >> (56 - 8 * k)), out[8 + k] = (uint8_t)(y >> (56 - 8 * k));
}

static ckv_datastore *open_at(const char *path, ckv_file **file)
{
    static const uint8_t seed[32] = {7};
    static const ckv_id32 id = {{9}}, key = {{4}};
    ckv_identity identity;
    const ckv_env env = {ckv_alloc_libc, NULL, NULL};
    const ckv_file_options options = {.path = path, .sync = CKV_SYNC_FULL};
    ckv_datastore *d;
    ckv_identity_from_seed(&identity, seed);
    MUST(ckv_file_open(file, ckv_alloc_libc, &options, why, NULL));
    ckv_file_set_key(*file, &key);
    const ckv_datastore_options o = {
        .env = &env, .identity = &identity, .file = *file, .object = 1, .id = &id};
    MUST(ckv_datastore_open(&d, &o, why));
    return d;
}

int main(int argc, char **argv)
{
    uint64_t n = 1000000, batch = 1000;
    const char *path = "bench_datastore.db";
    bool ascending = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--n"))
            n = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--batch"))
            batch = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--path"))
            path = argv[++i];
        else if (!strcmp(argv[i], "--ascending"))
            ascending = true;
        else
            return 2;
    }
    uint8_t value[128] = {CKV_TAG_BYTES, 100}, key[16];
    const ckv_store_key k = {key, 16, true};
    ckv_file *file;
    ckv_batch *b;
    uint32_t dag, change;
    if (!ckv_crypto_init()) return 1;
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* a long run may be watched */
    unlink(path);
    ckv_datastore *d = open_at(path, &file);
    MUST(ckv_batch_new(&b, d));
    double t = now();
    for (uint64_t i = 0; i < n; i++) {
        key_of(key, i, ascending);
        for (int w = 0; w < 12; w++)
            memcpy(value + 2 + 8 * w,
                   &(uint64_t){(i + 1) * (uint64_t)(2 * w + 1) * UINT64_C(0x9e3779b97f4a7c15)}, 8);
        MUST(ckv_batch_put(b, 0, k, value, 102));
        if (ckv_batch_len(b) == batch) MUST(ckv_batch_write(b, 1, NULL, 0, &dag, &change));
    }
    MUST(ckv_batch_write(b, 1, NULL, 0, &dag, &change));
    t = now() - t;
    printf("put        %10.0f keys/s   %.3f s\n", (double)n / t, t);
    ckv_batch_free(b);
    t = now();
    MUST(ckv_datastore_flush(d));
    printf("flush      %10.3f s\n", now() - t);
    const uint64_t gets = n < 200000 ? n : 200000;
    ckv_value_bytes v;
    t = now();
    for (uint64_t i = 0; i < gets; i++) {
        key_of(key, i * UINT64_C(7919) % n, ascending);
        MUST(ckv_datastore_get(d, k, &v));
    }
    t = now() - t;
    printf("get        %10.0f keys/s   %.2f us\n", (double)gets / t, t / (double)gets * 1e6);
    ckv_query *q;
    ckv_store_key at;
    uint64_t seen = 0;
    t = now();
    MUST(ckv_query_new(&q, d, NULL, NULL, false));
    while (seen < 100000 && ckv_query_next(q, &at, &v) == CKV_OK) seen++;
    ckv_query_free(q);
    t = now() - t;
    printf("walk       %10.0f keys/s   %.1f ms for %llu\n", (double)seen / t, t * 1e3,
           (unsigned long long)seen);
    t = now();
    ckv_datastore_free(d);
    MUST(ckv_file_shrink(file, 0));
    ckv_file_close(file);
    printf("close      %10.3f s\n", now() - t);
    struct stat st;
    if (stat(path, &st) == 0)
        printf("disk       %10.1f bytes a key, %.2f of key and value\n",
               (double)st.st_size / (double)n, (double)st.st_size / (double)n / 116);
    t = now();
    d = open_at(path, &file);
    printf("open       %10.2f ms\n", (now() - t) * 1e3);
    t = now();
    uint64_t len;
    MUST(ckv_datastore_len(d, &len));
    printf("count      %10.1f ms, %llu\n", (now() - t) * 1e3, (unsigned long long)len);
    ckv_compaction c;
    t = now();
    MUST(ckv_datastore_compact(d, false, 1, &c));
    printf("compact    %10.3f s, %llu bodies dropped\n", now() - t, (unsigned long long)c.dropped);
    ckv_datastore_free(d);
    ckv_file_close(file);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("memory     %10.1f MB at most\n", (double)use.ru_maxrss / 1024);
    return len == n ? 0 : 1;
}
