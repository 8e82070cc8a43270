/* bench_bft.c -- a history of big changes is loaded: with hashes and signatures, or, linked with bare/crypto.c, without. `make bft`
 * runs both and divides.
 *
 *     bench_bft [RUNS]      prints the CPU time of each of RUNS (default 21) loads, in ns
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "doc/state.h"
#include "replica/crdtkv.h"

#define CHANGES 200u
#define PASTE   1000u /* characters; 66 pastes make a change of about 64 KiB */

static void must(ckv_status s)
{
    if (s == CKV_OK) return;
    fprintf(stderr, "bench_bft: status %d\n", (int)s);
    exit(1);
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint64_t state = 1;
static uint64_t draw(uint64_t n) /* splitmix64 */
{
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % n;
}

/* Changes of 64 KiB and more: typing and pastes in a text, and keys with values. */
static void write_history(ckv_doc *doc)
{
    static const ckv_value text = {.tag = CKV_TAG_TEXT};
    char paste[PASTE];
    uint32_t t, change, made;
    must(ckv_map_set(doc, CKV_ROOT, "t", 1, &text, &t));
    for (uint32_t c = 0; c < CHANGES; c++) {
        for (uint32_t i = 0; ckv_doc_open_bytes(doc) < (64u << 10); i++) {
            const size_t len = ckv_text_len(doc, t);
            size_t at = draw(len + 1);
            for (size_t k = 0; k < PASTE; k++) paste[k] = (char)('a' + draw(26));
            if (i % 8 == 0) must(ckv_text_insert(doc, t, at, paste, 1, PASTE));
            for (uint32_t k = 0; k < 40; k++) must(ckv_text_insert(doc, t, at++, paste + k, 1, 1));
            if (len > 100) must(ckv_text_delete(doc, t, draw(len - 50), 20));
            const ckv_value v = {.tag = CKV_TAG_STR, .ptr = (const uint8_t *)paste, .n_bytes = 100};
            must(ckv_map_set(doc, CKV_ROOT, paste, 4, &v, &made));
        }
        must(ckv_doc_commit(doc, 1700000000000 + (int64_t)c, NULL, 0, &change));
    }
}

static int64_t load(const ckv_env *env, const ckv_identity *who, const ckv_id32 *id,
                    const ckv_buf *bundle)
{
    ckv_doc *doc;
    ckv_report report;
    ckv_err err;
    ckv_report_init(&report, env->alloc);
    const int64_t began = now();
    must(ckv_doc_new(&doc, env, who, id));
    must(ckv_doc_apply(doc, bundle->ptr, bundle->len, &report, &err));
    const int64_t took = now() - began;
    if (report.applied.len != 32 * CHANGES) exit(1);
    ckv_report_fini(&report);
    ckv_doc_free(doc);
    return took;
}

int main(int argc, char **argv)
{
    const int runs = argc > 1 ? atoi(argv[1]) : 21;
    const ckv_env env = {.alloc = ckv_alloc_libc};
    const uint8_t seed[32] = {7};
    ckv_identity who;
    ckv_doc *doc;
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    if (!ckv_init()) return 1;
    ckv_identity_from_seed(&who, seed);
    must(ckv_doc_new(&doc, &env, &who, NULL));
    write_history(doc);
    must(ckv_doc_export(doc, NULL, 0, NULL, 0, &bundle));
    for (int i = 0; i < runs; i++)
        printf("%lld\n", (long long)load(&env, &who, ckv_doc_id(doc), &bundle));
    ckv_buf_fini(&bundle);
    ckv_doc_free(doc);
    return 0;
}
