/* 64 KiB that claim to be much more: what each costs until it is found out, in memory and time (-v prints it). The signatures are none, so
 * nobody answers for them. What is signed is content, and may cost what content costs.
 */
#include "gauge.h"
#include "t.h"

#include <time.h>
#include <zstd.h>

#include "base/hash64.h"
#include "base/squeeze.h"
#include "crypto/digest.h"
#include "crypto/sign.h"
#include "dag/bundle.h"
#include "doc/doc.h"
#include "doc/exchange.h"
#include "doc/state.h"

#define BOMB_BYTES ((size_t)64 << 10)
/* What is unpacked is there twice at most, as bodies; and an array that doubles has room for as much again (of which the machine knows nothing until it is used). */
#define MOST_BYTES ((size_t)13 << 20)
#define MOST_MS    20

/* ---- a bomb: sections, and padding that does not pack */

typedef struct bomb {
    ckv_id32 doc;
    ckv_buf sec[CKV_N_SECTIONS];
} bomb;

static ckv_id32 key_of(uint8_t n)
{
    uint8_t seed[32] = {n};
    ckv_identity i;
    ckv_identity_from_seed(&i, seed);
    return i.public_key;
}

static bomb begin(void)
{
    bomb b = {.doc = {{0x2a}}};
    for (size_t i = 0; i < CKV_N_SECTIONS; i++) b.sec[i] = ckv_buf_init(ckv_alloc_libc);
    return b;
}

/* n lanes of one key, the first ones opened. */
static void put_lanes(bomb *b, uint32_t n, uint32_t n_open)
{
    const ckv_id32 key = key_of(7);
    ckv_buf *s = &b->sec[CKV_SEC_LANES];
    ckv_buf_varint(s, n);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t rest[32] = {0};
        if (n < 9000) memcpy(rest, &i, 4); /* more of them only pack if they are alike */
        ckv_buf_u8(s, i < n_open);
        if (i < n_open) ckv_buf_bytes(s, &key, 32);
        ckv_buf_bytes(s, rest, i < n_open ? 16 : 32);
    }
}

/* n chains of one lane each or all of one, at seq 0, with n_sigs false signatures at every `every` changes. */
static void put_chains(bomb *b, uint32_t n, bool one_lane, uint32_t n_sigs, uint32_t every)
{
    static const ckv_id32 nothing; /* a signature of something else: it takes all its time */
    const uint8_t seed[32] = {7};
    ckv_identity who;
    ckv_signature false_one;
    ckv_buf *s = &b->sec[CKV_SEC_CHAINS];
    ckv_identity_from_seed(&who, seed);
    ckv_sign_change(&false_one, &who, &nothing, &nothing, 0, &nothing);
    ckv_buf_varint(s, n);
    for (uint32_t i = 0; i < n; i++) {
        ckv_buf_varint(s, one_lane ? 0 : i);
        ckv_buf_u8(s, 1);
        ckv_buf_varint(s, 0);
        ckv_buf_varint(s, 0);
        ckv_buf_varint(s, n_sigs);
        for (uint32_t k = 0; k < n_sigs; k++) {
            ckv_buf_varint(s, every - 1);
            ckv_buf_bytes(&b->sec[CKV_SEC_SIGNATURES], false_one.b, 64);
        }
    }
}

static void put_slice(bomb *b, uint32_t chain, uint32_t n)
{
    ckv_buf_varint(&b->sec[CKV_SEC_SLICES], chain);
    ckv_buf_u8(&b->sec[CKV_SEC_SLICES], 0);
    ckv_buf_varint(&b->sec[CKV_SEC_SLICES], n);
}

static void put_repeated(bomb *b, unsigned sec, uint64_t value, uint64_t times)
{
    ckv_buf_varint(&b->sec[sec], value);
    ckv_buf_varint(&b->sec[sec], times);
}

/* n changes of n_ops each, without parents, all of one time. */
static void put_counts(bomb *b, uint32_t n, uint32_t n_ops, uint32_t n_parents)
{
    put_repeated(b, CKV_SEC_N_OPS, n_ops, n);
    put_repeated(b, CKV_SEC_PARENTS, n_parents, n);
    put_repeated(b, CKV_SEC_TIMES, 0, n);
}

static size_t payload_bytes(const bomb *b)
{
    size_t n = 0;
    for (size_t i = 1; i < CKV_N_SECTIONS; i++) n += b->sec[i].len + 6;
    return n;
}

/* Writes it out with so many bytes that do not pack, under a tag of a later version, that it has 64 KiB and the ratio of a good one. */
static void write_bundle(const bomb *b, ckv_buf *out)
{
    size_t n_pad = BOMB_BYTES;
    ckv_buf payload = ckv_buf_init(ckv_alloc_libc), packed = ckv_buf_init(ckv_alloc_libc);
    do {
        ckv_buf_clear(&payload);
        ckv_buf_clear(&packed);
        T_CHECK(n_pad + BOMB_BYTES > out->len + 256);
        n_pad -= out->len > BOMB_BYTES ? out->len - BOMB_BYTES : 64;
        ckv_buf_clear(out);
        for (uint32_t tag = 1; tag < CKV_N_SECTIONS; tag++) {
            if (b->sec[tag].len == 0) continue;
            ckv_buf_varint(&payload, tag);
            ckv_buf_blob(&payload, b->sec[tag].ptr, b->sec[tag].len);
        }
        ckv_buf_varint(&payload, CKV_N_SECTIONS + 100);
        ckv_buf_varint(&payload, n_pad);
        t_seed(1);
        for (size_t i = 0; i < n_pad; i++) ckv_buf_u8(&payload, (uint8_t)t_rand());
        T_CHECK(ckv_buf_reserve(&packed, ZSTD_compressBound(payload.len)));
        packed.len = ZSTD_compress(packed.ptr, packed.cap, payload.ptr, payload.len, 15);
        T_CHECK(payload.len / CKV_SQUEEZE_RATIO <= packed.len);
        ckv_buf_bytes(out, "CKB\1", 4);
        ckv_buf_bytes(out, &b->doc, 32);
        ckv_buf_bytes(out, "\0\1", 2);
        ckv_buf_varint(out, payload.len);
        ckv_buf_bytes(out, packed.ptr, packed.len);
        ckv_buf_u64le(out, ckv_hash64(out->ptr, out->len));
    } while (out->len > BOMB_BYTES);
    ckv_buf_fini(&payload);
    ckv_buf_fini(&packed);
}

static bool loud;

static void explode(bomb *b, const char *name)
{
    gauge g = {0, 0};
    const uint8_t seed[32] = {9};
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_identity who;
    const ckv_env env = {.alloc = {gauge_fn, &g}};
    ckv_doc *doc;
    ckv_report report;
    ckv_err err = {0};
    write_bundle(b, &out);
    ckv_identity_from_seed(&who, seed);
    T_EQ(ckv_doc_new(&doc, &env, &who, &b->doc), CKV_OK);
    ckv_report_init(&report, env.alloc);
    const size_t before = g.live;
    g.peak = g.live;
    const clock_t start = clock();
    const ckv_status s = ckv_doc_apply(doc, out.ptr, out.len, &report, &err);
    const double ms = (double)(clock() - start) * 1000 / CLOCKS_PER_SEC;
    if (loud)
        printf("%-12s %6zu bytes, %9zu unpacked, %6.1f MiB, %6.1f ms, %s\n", name, out.len,
               payload_bytes(b), (double)(g.peak - before) / (1 << 20), ms,
               s == CKV_OK ? "refused" : err.text);
    T_CHECK(s == CKV_OK || s == CKV_ECORRUPT);
    T_CHECK(g.peak - before <= MOST_BYTES);
/* To count branches, or to watch threads, takes its time; some of it is optimised away here, and not everybody's machine is idle. */
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_THREAD__)
    T_CHECK(ms < MOST_MS * 20);
#endif
    ckv_report_fini(&report);
    T_EQ(ckv_doc_n_changes(doc), 0);
    ckv_doc_free(doc);
    ckv_buf_fini(&out);
    for (size_t i = 0; i < CKV_N_SECTIONS; i++) ckv_buf_fini(&b->sec[i]);
    T_EQ(g.live, 0);
}

#define FULL ((uint32_t)(61 * BOMB_BYTES)) /* bytes of payload */

/* Runs of changes without operations under signatures that are all the same. */
static void claimed_changes(void)
{
    bomb b = begin();
    const uint32_t n = FULL / 66;
    put_lanes(&b, 1, 1);
    put_chains(&b, 1, true, n, 1024);
    put_slice(&b, 0, n * 1024);
    put_counts(&b, n * 1024, 0, 0);
    explode(&b, "changes");
}

/* As many signatures as 64 KiB can have. */
static void claimed_changes_few(void)
{
    bomb b = begin();
    const uint32_t n = 1200;
    put_lanes(&b, 1, 1);
    put_chains(&b, 1, true, n, 1024);
    put_slice(&b, 0, n * 1024);
    put_counts(&b, n * 1024, 0, 0);
    explode(&b, "changes/few");
}

/* Many chains, all of them begun before the first one ends. */
static void claimed_chains_open(void)
{
    bomb b = begin();
    const uint32_t n = 1200;
    put_lanes(&b, n, n);
    put_chains(&b, n, false, 1, 1024);
    for (uint32_t i = 0; i < n; i++) put_slice(&b, i, 1023);
    for (uint32_t i = 0; i < n; i++) put_slice(&b, i, 1);
    put_counts(&b, n * 1024, 0, 0);
    explode(&b, "open chains");
}

/* A run that is signed as it should be, many times over: as if each copy were one more that somebody answers for. */
static void copies_of_a_good_run(void)
{
    bomb b = begin();
    const uint32_t n = 400;
    const uint8_t seed[32] = {7}, nonce[16] = {0};
    ckv_identity who;
    ckv_signature good;
    ckv_id32 id = {{0}};
    ckv_identity_from_seed(&who, seed);
    const ckv_id32 lane = ckv_lane_id(&b.doc, &who.public_key, nonce);
    for (uint32_t seq = 0; seq < 1024; seq++) {
        uint8_t bytes[CKV_HEADER_MAX_BYTES];
        const ckv_header h = {.seq = seq,
                              .has_prev = seq > 0,
                              .prev = id,
                              .body_len = 2,
                              .body = (const uint8_t *)"\0\0"};
        ckv_digest_change(&id, &lane, bytes, ckv_header_write(bytes, &h));
    }
    ckv_sign_change(&good, &who, &b.doc, &lane, 1023, &id);
    put_lanes(&b, 1, 1);
    put_chains(&b, n, true, 1, 1024);
    for (uint32_t i = 0; i < n; i++) {
        put_slice(&b, i, 1024);
        memcpy(b.sec[CKV_SEC_SIGNATURES].ptr + 64 * i, good.b, 64);
    }
    put_counts(&b, n * 1024, 0, 0);
    explode(&b, "copies");
}

static void false_signatures(void)
{
    bomb b = begin();
    const uint32_t n = 1200;
    put_lanes(&b, n, n);
    put_chains(&b, n, false, 1, 1);
    for (uint32_t i = 0; i < n; i++) put_slice(&b, i, 1);
    put_counts(&b, n, 0, 0);
    explode(&b, "signatures");
}

static void claimed_chains(void)
{
    bomb b = begin();
    put_lanes(&b, 1, 1);
    put_chains(&b, FULL / 6, true, 0, 0);
    explode(&b, "chains");
}

static void claimed_lanes(void)
{
    bomb b = begin();
    put_lanes(&b, FULL / 33, 0);
    explode(&b, "lanes");
    b = begin();
    put_lanes(&b, FULL / 49, FULL / 49);
    explode(&b, "openings");
    b = begin();
    put_lanes(&b, 4000, 4000);
    explode(&b, "openings/few");
}

static void claimed_outsiders(void)
{
    bomb b = begin();
    const uint32_t n = FULL / 33;
    put_lanes(&b, 1, 1);
    ckv_buf_varint(&b.sec[CKV_SEC_OUTSIDE], n);
    for (uint32_t i = 0; i < 33 * n; i++) ckv_buf_u8(&b.sec[CKV_SEC_OUTSIDE], 0);
    explode(&b, "outside");
}

/* Each change names 32 others. */
static void claimed_parents(void)
{
    bomb b = begin();
    const uint32_t n = 31240;
    put_lanes(&b, 40, 40);
    put_chains(&b, 40, false, 25, 31);
    for (uint32_t i = 0; i < 40; i++) put_slice(&b, i, n / 40);
    put_counts(&b, 100, 0, 0);
    b.sec[CKV_SEC_N_OPS].len = b.sec[CKV_SEC_TIMES].len = b.sec[CKV_SEC_PARENTS].len = 0;
    put_repeated(&b, CKV_SEC_N_OPS, 0, n);
    put_repeated(&b, CKV_SEC_TIMES, 0, n);
    put_repeated(&b, CKV_SEC_PARENTS, 0, 32);
    put_repeated(&b, CKV_SEC_PARENTS, 32, n - 32);
    for (uint32_t i = 32; i < n; i++) {
        for (uint32_t k = 1; k <= 32; k++) ckv_buf_varint(&b.sec[CKV_SEC_PARENTS], k << 1 | 1);
    }
    explode(&b, "parents");
}

/* One change whose operations name items of many lanes. */
static void claimed_names(uint32_t n_lanes, uint32_t n, uint32_t n_changes, const char *what)
{
    bomb b = begin();
    put_lanes(&b, n_lanes, 1);
    put_chains(&b, 1, true, 1, n_changes);
    put_slice(&b, 0, n_changes);
    put_counts(&b, n_changes, n / n_changes, 0);
    for (uint32_t i = 0; i < n; i++) {
        ckv_buf_u8(&b.sec[CKV_SEC_KINDS], 2 | 2 << 3); /* DELETE, of another lane */
        ckv_buf_varint(&b.sec[CKV_SEC_KINDS + 1], 1);
        ckv_buf_varint(&b.sec[CKV_SEC_KINDS + 2], 1 + i % (n_lanes - 1));
        ckv_buf_zigzag(&b.sec[CKV_SEC_KINDS + 5], 9); /* two on */
    }
    explode(&b, what);
}

static void claimed_text(uint32_t n_changes, const char *what)
{
    bomb b = begin();
    const uint32_t n = FULL / n_changes * n_changes - 20 * n_changes;
    put_lanes(&b, 2, 1);
    put_chains(&b, 1, true, 1, n_changes);
    put_slice(&b, 0, n_changes);
    put_counts(&b, n_changes, n / n_changes, 0);
    ckv_buf_u8(&b.sec[CKV_SEC_KINDS], 1);
    ckv_buf_varint(&b.sec[CKV_SEC_KINDS + 1], n);
    ckv_buf_varint(&b.sec[CKV_SEC_KINDS + 6], 2);
    ckv_buf_zigzag(&b.sec[CKV_SEC_KINDS + 6], 0);
    for (uint32_t i = 0; i < n; i++) ckv_buf_u8(&b.sec[CKV_SEC_KINDS + 7], 'a');
    explode(&b, what);
}

static void claimed_operations(void)
{
    claimed_names(100, FULL / 5, 1, "a table");
    claimed_names(4000, FULL / 5, 1, "a big table");
    claimed_names(100, FULL / 5, 1000, "tables");
}

static void claimed_texts(void)
{
    claimed_text(1, "a text");
    claimed_text(1000, "texts");
}

int main(int argc, char **argv)
{
    loud = argc > 1 && strcmp(argv[1], "-v") == 0;
    T_CHECK(ckv_crypto_init());
    T_RUN(claimed_changes);
    T_RUN(claimed_changes_few);
    T_RUN(claimed_chains_open);
    T_RUN(copies_of_a_good_run);
    T_RUN(false_signatures);
    T_RUN(claimed_chains);
    T_RUN(claimed_lanes);
    T_RUN(claimed_outsiders);
    T_RUN(claimed_parents);
    T_RUN(claimed_operations);
    T_RUN(claimed_texts);
    return t_done();
}
