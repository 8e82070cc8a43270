/* Valid bundles with one to three bytes changed, and the checksum made right: what is taken is what was signed, or nothing.
 *
 *     test_mutate [n]        so many mutations; CKV_SEED=s starts elsewhere. `make mutate N=1000000`
 *
 * The bundles are those of tests/golden. Most mutations go into the unpacked form, each section as often as any other, so that they reach
 * the columns; the others into the packed one. Each goes to a replica that has a part of the history. Then the document must hold together,
 * what came in must be changes of the original, and a replica that got the same changes untouched must be equal.
 */
#include "t.h"

#include <time.h>

#include "base/hash64.h"
#include "crypto/digest.h"
#include "dag/bundle.h"
#include "doc/doc.h"
#include "doc/exchange.h"
#include "doc/plain.h"
#include "doc/state.h"

#define HEAD    37 /* magic, version, document, no founder */
#define N_BASES 4

typedef struct section {
    size_t off, n;
} section;

typedef struct original {
    char name[64];
    ckv_buf packed, payload;
    section sections[CKV_N_SECTIONS];
    size_t n_sections;
    ckv_doc *full;
    ckv_buf bases[N_BASES]; /* bundles of parts of the history; the first is empty */
} original;

enum { MALFORMED, NOTHING, A_PART, ALL, N_OUTCOMES };

static uint64_t outcomes[N_OUTCOMES];

/* ---- documents */

static ckv_doc *new_doc(void)
{
    const ckv_env env = {.alloc = ckv_alloc_libc};
    const uint8_t seed[32] = {9};
    ckv_identity who;
    ckv_id32 id;
    ckv_doc *doc = NULL;
    memset(&id, 0x2a, sizeof id);
    ckv_identity_from_seed(&who, seed);
    T_EQ(ckv_doc_new(&doc, &env, &who, &id), CKV_OK);
    return doc;
}

static ckv_status apply(ckv_doc *doc, const ckv_buf *bundle, ckv_report *report)
{
    ckv_err err;
    return ckv_doc_apply(doc, bundle->ptr, bundle->len, report, &err);
}

static ckv_doc *doc_with(const ckv_buf *bundle, ckv_report *report)
{
    ckv_doc *doc = new_doc();
    if (bundle->len) T_EQ(apply(doc, bundle, report), CKV_OK);
    return doc;
}

static void same_content(ckv_doc *a, ckv_doc *b)
{
    ckv_id32 root_a, root_b;
    ckv_buf plain_a = ckv_buf_init(ckv_alloc_libc), plain_b = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_doc_root(a, &root_a), CKV_OK);
    T_EQ(ckv_doc_root(b, &root_b), CKV_OK);
    T_BYTES(&root_a, 32, &root_b, 32);
    T_EQ(ckv_plain_write(a, NULL, CKV_ROOT, &plain_a), CKV_OK);
    T_EQ(ckv_plain_write(b, NULL, CKV_ROOT, &plain_b), CKV_OK);
    T_BYTES(plain_a.ptr, plain_a.len, plain_b.ptr, plain_b.len);
    ckv_buf_fini(&plain_a);
    ckv_buf_fini(&plain_b);
}

/* A part of the history: what `doc` holds up to its heads. */
static void put_heads(ckv_doc *doc, ckv_buf *out)
{
    size_t n;
    const uint32_t *heads = ckv_doc_heads(doc, &n);
    for (size_t i = 0; i < n; i++) {
        ckv_change_info info;
        ckv_doc_change(doc, heads[i], &info);
        ckv_buf_bytes(out, info.id, 32);
    }
}

static void export_until(ckv_doc *full, const ckv_buf *ids, ckv_buf *out)
{
    T_EQ(
        ckv_doc_export(full, NULL, 0, (const ckv_id32 *)(const void *)ids->ptr, ids->len / 32, out),
        CKV_OK);
}

/* ---- originals */

static void read_golden(original *o, const char *name)
{
    char path[128];
    ckv_report report;
    ckv_err err;
    ckv_bundle bundle;
    snprintf(o->name, sizeof o->name, "%s", name);
    snprintf(path, sizeof path, "tests/golden/%s.ckb", name);
    FILE *file = fopen(path, "rb");
    if (!file) t_fail(__FILE__, __LINE__, "run me from the root of the repository");
    o->packed = o->payload = ckv_buf_init(ckv_alloc_libc);
    for (int c; (c = getc(file)) != EOF;) ckv_buf_u8(&o->packed, (uint8_t)c);
    fclose(file);
    ckv_report_init(&report, ckv_alloc_libc);
    o->full = doc_with(&o->packed, &report);
    T_EQ(ckv_bundle_open(&bundle, ckv_alloc_libc, o->packed.ptr, o->packed.len, &err), CKV_OK);
    for (uint32_t tag = 1; tag < CKV_N_SECTIONS; tag++) {
        const ckv_rd *s = &bundle.sections[tag];
        if (s->p == s->end) continue;
        ckv_buf_varint(&o->payload, tag);
        ckv_buf_varint(&o->payload, ckv_rd_left(s));
        o->sections[o->n_sections++] = (section){o->payload.len, ckv_rd_left(s)};
        ckv_buf_bytes(&o->payload, s->p, ckv_rd_left(s));
    }
    ckv_bundle_fini(&bundle);
    for (int k = 0; k < N_BASES; k++) {
        ckv_buf ids = ckv_buf_init(ckv_alloc_libc);
        o->bases[k] = ckv_buf_init(ckv_alloc_libc);
        if (k) {
            ckv_change_info info;
            ckv_doc_change(o->full, (uint32_t)t_below(ckv_doc_n_changes(o->full)), &info);
            ckv_buf_bytes(&ids, info.id, 32);
            export_until(o->full, &ids, &o->bases[k]);
        }
        ckv_buf_fini(&ids);
    }
    ckv_report_fini(&report);
}

static void forget(original *o)
{
    ckv_doc_free(o->full);
    ckv_buf_fini(&o->packed);
    ckv_buf_fini(&o->payload);
    for (int k = 0; k < N_BASES; k++) ckv_buf_fini(&o->bases[k]);
}

/* ---- mutations */

static void change_byte(uint8_t *p)
{
    switch (t_below(4)) {
    case 0: *p = (uint8_t)t_rand(); break;
    case 1: *p = (uint8_t)(*p + 1 - 2 * t_below(2)); break;
    case 2: *p = (uint8_t)t_below(4); break;
    default: *p ^= (uint8_t)(1u << t_below(8)); break;
    }
}

static void mutate(const original *o, ckv_buf *payload, ckv_buf *out)
{
    const bool packed = t_one_in(8);
    const uint64_t times = 1 + t_below(3);
    ckv_buf_clear(out);
    if (packed) {
        ckv_buf_bytes(out, o->packed.ptr, o->packed.len - 8);
        for (uint64_t k = 0; k < times; k++)
            change_byte(out->ptr + HEAD + t_below(out->len - HEAD));
    } else {
        ckv_buf_clear(payload);
        ckv_buf_bytes(payload, o->payload.ptr, o->payload.len);
        for (uint64_t k = 0; k < times; k++) {
            const section *s = &o->sections[t_below(o->n_sections)];
            const size_t at = t_one_in(16) ? t_below(payload->len) : s->off + t_below(s->n);
            change_byte(payload->ptr + at);
        }
        ckv_buf_bytes(out, o->packed.ptr, HEAD);
        ckv_buf_u8(out, 0);
        ckv_buf_varint(out, payload->len);
        ckv_buf_bytes(out, payload->ptr, payload->len);
    }
    ckv_buf_u64le(out, ckv_hash64(out->ptr, out->len));
}

/* Ids of changes of the original, all of them. */
static void are_known(const original *o, const ckv_buf *ids)
{
    for (size_t i = 0; i < ids->len; i += 32) {
        ckv_id32 id;
        uint32_t change;
        memcpy(&id, ids->ptr + i, 32);
        T_EQ(ckv_doc_find(o->full, &id, &change), CKV_OK);
    }
}

/* Whoever has the same changes, untouched, shows the same. */
static void judge(const original *o, ckv_doc *doc)
{
    if (ckv_doc_n_changes(doc) == 0) return;
    if (ckv_doc_n_changes(doc) == ckv_doc_n_changes(o->full)) {
        same_content(doc, o->full);
        return;
    }
    ckv_report report;
    ckv_buf ids = ckv_buf_init(ckv_alloc_libc), bundle = ckv_buf_init(ckv_alloc_libc);
    ckv_report_init(&report, ckv_alloc_libc);
    put_heads(doc, &ids);
    export_until(o->full, &ids, &bundle);
    ckv_doc *twin = doc_with(&bundle, &report);
    same_content(doc, twin);
    ckv_doc_free(twin);
    ckv_report_fini(&report);
    ckv_buf_fini(&ids);
    ckv_buf_fini(&bundle);
}

/* n mutations of one original, for a replica that has one of the parts. A replica that took nothing in is used again. */
static void run(const original *o, const ckv_buf *base, uint64_t n)
{
    ckv_report report;
    ckv_buf payload = ckv_buf_init(ckv_alloc_libc), bundle = ckv_buf_init(ckv_alloc_libc);
    ckv_report_init(&report, ckv_alloc_libc);
    ckv_doc *doc = doc_with(base, &report);
    const uint32_t before = ckv_doc_n_changes(doc);
    for (; n; n--) {
        const char *why = NULL;
        mutate(o, &payload, &bundle);
        const ckv_status s = apply(doc, &bundle, &report);
        T_CHECK(s == CKV_OK || s == CKV_ECORRUPT);
        if (s != CKV_OK) T_EQ(ckv_doc_n_changes(doc), before);
        T_VALID(ckv_doc_check(doc, &why), why);
        are_known(o, &report.applied);
        are_known(o, &report.voided);
        are_known(o, &report.waiting);
        const uint32_t now = ckv_doc_n_changes(doc);
        outcomes[s != CKV_OK                         ? MALFORMED
                 : now == before                     ? NOTHING
                 : now == ckv_doc_n_changes(o->full) ? ALL
                                                     : A_PART]++;
        if (now == before && doc->inbox.n_waiting + doc->inbox.n_later == 0) continue;
        judge(o, doc);
        ckv_doc_free(doc);
        doc = doc_with(base, &report);
    }
    if (before) judge(o, doc);
    ckv_doc_free(doc);
    ckv_report_fini(&report);
    ckv_buf_fini(&payload);
    ckv_buf_fini(&bundle);
}

static uint64_t n_mutations = 4000;

static void mutated_bundles_bring_in_nothing_else(void)
{
    static const char *const names[] = {"typing", "unicode", "values",     "lanes",
                                        "fork",   "voids",   "containers", "lists",
                                        "marks",  "raw",     "restores",   "everything"};
    enum { N = sizeof names / sizeof *names };
    const clock_t start = clock();
    const uint64_t seed = t_seed(1), each = n_mutations / (N * N_BASES) + 1;
    for (size_t i = 0; i < N; i++) {
        original o = {.n_sections = 0};
        read_golden(&o, names[i]);
        for (int k = 0; k < N_BASES; k++) run(&o, &o.bases[k], each);
        forget(&o);
    }
    T_CHECK(outcomes[MALFORMED] && outcomes[NOTHING] && outcomes[A_PART] && outcomes[ALL]);
    if (n_mutations > 4000)
        printf("%" PRIu64 " mutations from seed %" PRIu64 " in %.0f s: %" PRIu64
               " malformed, %" PRIu64 " refused, %" PRIu64 " taken in part, %" PRIu64
               " in whole; 0 crashes, 0 other states\n",
               each * N * N_BASES, seed, (double)(clock() - start) / CLOCKS_PER_SEC,
               outcomes[MALFORMED], outcomes[NOTHING], outcomes[A_PART], outcomes[ALL]);
}

int main(int argc, char **argv)
{
    T_CHECK(ckv_crypto_init());
    if (argc > 1) n_mutations = strtoull(argv[1], NULL, 0);
    T_RUN(mutated_bundles_bring_in_nothing_else);
    return t_done();
}
