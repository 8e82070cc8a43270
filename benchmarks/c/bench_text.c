/* bench_text.c -- text inside C, without Python: editing traces replayed, exported, loaded, merged, received live.
 *
 *     bench_text [CASE] [--once] [--runs N] [--traces DIR] [--tsv]
 *
 * Without CASE all of them, each as the median of N runs (default 11) in nanoseconds of CPU time of this thread. DIR (default
 * build/traces) holds what benchmarks/flat.py wrote. A case checks its result in every run: texts against the trace, roots
 * against each other.
 *
 * --once runs one case once, with everything before its measured part left out of callgrind's count:
 *
 *     valgrind --tool=callgrind --toggle-collect='measured_*' build/c/bench/bench_text replay --once
 *
 * The measured part of every case stands in functions named measured_*; nothing else does.
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/sign.h"
#include "replica/crdtkv.h"

#define NOINLINE __attribute__((noinline, noclone))

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_text: %s\n", what);
    exit(1);
}

#define MUST(e)                                                                                    \
    do {                                                                                           \
        const ckv_status s_ = (e);                                                                 \
        if (s_ != CKV_OK) {                                                                        \
            fprintf(stderr, "bench_text: line %d: %s: status %d\n", __LINE__, #e, s_);             \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t median(int64_t *values, size_t n)
{
    qsort(values, n, sizeof *values, by_size);
    return values[n / 2];
}

/* ---- memory that is counted */

static size_t live_bytes, peak_bytes;

static void *counting(void *ctx, void *old, size_t old_size, size_t new_size)
{
    void *p = ckv_alloc_libc.fn(ctx, old, old_size, new_size);
    if (p || !new_size) live_bytes += new_size - old_size;
    if (live_bytes > peak_bytes) peak_bytes = live_bytes;
    return p;
}

static const ckv_env plain_env = {.alloc = {counting, NULL}};

/* ---- traces */

typedef struct txn {
    uint32_t agent, n_parents, n_patches;
} txn;

typedef struct patch {
    uint32_t pos, n_del, n_ins;
} patch;

typedef struct trace { /* everything points into `file` */
    uint8_t *file;     /* owned */
    uint32_t made_up, n_txns, n_parents, n_patches, n_chars, n_agents, n_start, n_end;
    const txn *txns;
    const uint32_t *parents;
    const patch *patches;
    const uint32_t *start, *inserted, *end; /* code points */
} trace;

static const char *trace_dir = "build/traces";

static bool trace_open(trace *t, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.flat", trace_dir, name);
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    if (fseek(f, 0, SEEK_END)) die("a trace that cannot be read");
    const size_t n = (size_t)ftell(f);
    rewind(f);
    t->file = malloc(n + 1);
    if (!t->file || n < 40 || fread(t->file, 1, n, f) != n || memcmp(t->file, "ckvtrace", 8) != 0)
        die("no flat trace");
    fclose(f);
    memcpy(&t->made_up, t->file + 8, 32);
    t->txns = (const void *)(t->file + 40);
    t->parents = (const void *)(t->txns + t->n_txns);
    t->patches = (const void *)(t->parents + t->n_parents);
    t->start = (const void *)(t->patches + t->n_patches);
    t->inserted = t->start + t->n_start;
    t->end = t->start + (t->n_chars - t->n_end);
    if ((const uint8_t *)(t->start + t->n_chars) != t->file + n) die("a trace that is cut off");
    return true;
}

static void trace_close(trace *t) { free(t->file); }

/* ---- documents */

static void identity_of(ckv_identity *out, uint8_t seed)
{
    uint8_t bytes[32];
    memset(bytes, seed, sizeof bytes);
    ckv_identity_from_seed(out, bytes);
}

static uint32_t text_of(const ckv_doc *doc)
{
    ckv_value v;
    MUST(ckv_map_get(doc, CKV_ROOT, "text", 4, &v));
    return v.container;
}

static void commit(ckv_doc *doc)
{
    uint32_t change;
    MUST(ckv_doc_commit(doc, 1600000000000, NULL, 0, &change));
}

/* A document with a text that holds the start of the trace, closed. */
static ckv_doc *doc_with_text(const trace *t, uint32_t *text)
{
    ckv_identity me;
    identity_of(&me, 1);
    ckv_doc *doc;
    MUST(ckv_doc_new(&doc, &plain_env, &me, NULL));
    const ckv_value empty = {.tag = CKV_TAG_TEXT};
    MUST(ckv_map_set(doc, CKV_ROOT, "text", 4, &empty, text));
    if (t->n_start) MUST(ckv_text_insert(doc, *text, 0, t->start, 4, t->n_start));
    commit(doc);
    return doc;
}

static void apply_patches(ckv_doc *doc, uint32_t text, const patch *p, size_t n,
                          const uint32_t **chars)
{
    for (const patch *end = p + n; p < end; p++) {
        if (p->n_del) MUST(ckv_text_delete(doc, text, p->pos, p->n_del));
        const uint8_t typed = (uint8_t) * *chars; /* Python keeps ASCII in one byte a character */
        if (p->n_ins == 1 && **chars < 0x80)
            MUST(ckv_text_insert(doc, text, p->pos, &typed, 1, 1));
        else if (p->n_ins)
            MUST(ckv_text_insert(doc, text, p->pos, *chars, 4, p->n_ins));
        *chars += p->n_ins;
    }
}

/* The text is that of the trace; of a concurrent one, it is as long. */
static void check_text(ckv_doc *doc, const trace *t)
{
    const uint32_t text = text_of(doc);
    const size_t n = ckv_text_len(doc, text);
    if (n != t->n_end) die("a text of the wrong length");
    if (t->n_agents > 1) return; /* where two typed at one place, several orders are right */
    uint32_t *chars = malloc(4 * n + 4);
    MUST(ckv_text_read(doc, text, 0, n, chars, 4));
    if (memcmp(chars, t->end, 4 * n) != 0) die("the wrong text");
    free(chars);
}

static void check_root(ckv_doc *a, ckv_doc *b)
{
    ckv_id32 x, y;
    MUST(ckv_doc_root(a, &x));
    MUST(ckv_doc_root(b, &y));
    if (!ckv_id32_eq(&x, &y)) die("two roots");
}

/* ---- what is done: the parts that are measured, and those that also prepare */

static NOINLINE void replay(ckv_doc *doc, uint32_t text, const trace *t)
{
    const uint32_t *chars = t->inserted;
    apply_patches(doc, text, t->patches, t->n_patches, &chars);
}

static NOINLINE void replay_keys(ckv_doc *doc, uint32_t text, const trace *t)
{
    const uint32_t *chars = t->inserted;
    const patch *p = t->patches;
    for (uint32_t i = 0; i < t->n_txns; i++) {
        apply_patches(doc, text, p, t->txns[i].n_patches, &chars);
        commit(doc);
        p += t->txns[i].n_patches;
    }
}

/* Not a jump into the callee: callgrind must see the return. */
#define RETURN __asm__ volatile("")

static NOINLINE void measured_replay(ckv_doc *doc, uint32_t text, const trace *t)
{
    replay(doc, text, t);
    RETURN;
}

static NOINLINE void measured_replay_keys(ckv_doc *doc, uint32_t text, const trace *t)
{
    replay_keys(doc, text, t);
    RETURN;
}

static NOINLINE void measured_commit(ckv_doc *doc)
{
    commit(doc);
    RETURN;
}

static NOINLINE void measured_export(ckv_doc *doc, ckv_buf *out)
{
    MUST(ckv_doc_export(doc, NULL, 0, NULL, 0, out));
}

static void take(ckv_doc *doc, const ckv_buf *bundle)
{
    ckv_report report;
    ckv_err err;
    ckv_report_init(&report, plain_env.alloc);
    MUST(ckv_doc_apply(doc, bundle->ptr, bundle->len, &report, &err));
    if (report.refused.len) die(((const ckv_refusal *)(const void *)report.refused.ptr)->reason);
    if (report.waiting.len) die("a bundle that waits");
    if (report.voided.len) die("a bundle that is void");
    ckv_report_fini(&report);
}

/* From bytes to a document and its text. The text is of one byte a character when it is ASCII. */
static NOINLINE ckv_doc *measured_load(const ckv_buf *bundle, const ckv_identity *me, uint8_t **out,
                                       size_t *n_bytes)
{
    ckv_id32 id;
    ckv_err err;
    ckv_doc *doc;
    MUST(ckv_bundle_doc_id(bundle->ptr, bundle->len, &id, &err));
    MUST(ckv_doc_new(&doc, &plain_env, me, &id));
    take(doc, bundle);
    const uint32_t text = text_of(doc);
    const size_t n = ckv_text_len(doc, text);
    uint32_t max = 0;
    MUST(ckv_text_max_char(doc, text, 0, n, &max));
    const unsigned width = max < 0x100 ? 1 : max < 0x10000 ? 2 : 4;
    *n_bytes = n * width;
    *out = malloc(*n_bytes + 1);
    MUST(ckv_text_read(doc, text, 0, n, *out, width));
    return doc;
}

static NOINLINE void measured_live(ckv_doc *doc, const ckv_buf *bundles, size_t n)
{
    for (size_t i = 0; i < n; i++) take(doc, bundles + i);
}

typedef struct signed_id {
    ckv_signature signature;
    ckv_id32 doc, lane, id;
    uint32_t seq;
} signed_id;

static NOINLINE void measured_verify(const signed_id *s, const ckv_id32 *author, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!ckv_verify_change(&s[i].signature, author, &s[i].doc, &s[i].lane, s[i].seq, &s[i].id))
            die("a signature");
}

/* What `docs[from]` has up to its transaction `until` and `docs[to]` has not. `last[a * n + b]`: the newest transaction of b that
 * the replica of a has, CKV_NO_CHANGE if none. So both ends of the known are named, as a session would do it. */
static void pass(ckv_doc **docs, const ckv_id32 *heads, uint32_t *last, uint32_t n, uint32_t from,
                 uint32_t to, uint32_t until, ckv_buf *bundle)
{
    ckv_id32 since[2];
    size_t n_since = 0;
    const uint32_t has = last[to * n + from], back = last[from * n + to];
    if (has != CKV_NO_CHANGE) since[n_since++] = heads[has];
    if (back != CKV_NO_CHANGE) since[n_since++] = heads[back];
    ckv_buf_clear(bundle);
    MUST(ckv_doc_export(docs[from], since, n_since, heads + until, 1, bundle));
    take(docs[to], bundle);
    if (has == CKV_NO_CHANGE || has < until) last[to * n + from] = until;
}

static NOINLINE void forks(ckv_doc **docs, ckv_id32 *heads, uint32_t *last, const trace *t)
{
    ckv_buf bundle = ckv_buf_init(plain_env.alloc);
    const uint32_t *chars = t->inserted, *parent = t->parents;
    const patch *p = t->patches;
    ckv_change_info info;
    for (uint32_t i = 0; i < t->n_txns; i++) {
        const txn *x = t->txns + i;
        ckv_doc *doc = docs[x->agent];
        for (uint32_t k = 0; k < x->n_parents; k++, parent++) {
            const uint32_t from = t->txns[*parent].agent;
            if (from != x->agent)
                pass(docs, heads, last, t->n_agents, from, x->agent, *parent, &bundle);
        }
        apply_patches(doc, text_of(doc), p, x->n_patches, &chars);
        p += x->n_patches;
        uint32_t change;
        MUST(ckv_doc_commit(doc, 1600000000000, NULL, 0, &change));
        if (change == CKV_NO_CHANGE) die("a transaction that does nothing");
        ckv_doc_change(doc, change, &info);
        heads[i] = *info.id;
        last[x->agent * t->n_agents + x->agent] = i;
    }
    ckv_buf_fini(&bundle);
}

static NOINLINE void measured_forks(ckv_doc **docs, ckv_id32 *heads, uint32_t *last, const trace *t)
{
    forks(docs, heads, last, t);
    RETURN;
}

/* ---- cases: each does its part once, returns the nanoseconds of it, and may say a second figure */

typedef struct figure {
    int64_t ns;
    size_t bytes; /* of the bundle, or of memory; 0: none */
    size_t n;     /* how many operations the ns are of; 0: say the whole */
} figure;

/* Runs `what`, gives its nanoseconds. */
#define TIMED(what)                                                                                \
    ({                                                                                             \
        const int64_t began_ = now();                                                              \
        what;                                                                                      \
        now() - began_;                                                                            \
    })

static figure run_replay(const trace *t)
{
    uint32_t text;
    const size_t before = live_bytes;
    ckv_doc *doc = doc_with_text(t, &text);
    figure f = {.ns = TIMED(measured_replay(doc, text, t))};
    f.bytes = live_bytes - before;
    check_text(doc, t);
    ckv_doc_free(doc);
    return f;
}

static figure run_commit(const trace *t)
{
    uint32_t text;
    const size_t before = live_bytes;
    ckv_doc *doc = doc_with_text(t, &text);
    replay(doc, text, t);
    figure f = {.ns = TIMED(measured_commit(doc))};
    f.bytes = live_bytes - before;
    ckv_doc_free(doc);
    return f;
}

static figure run_replay_keys(const trace *t)
{
    uint32_t text;
    const size_t before = live_bytes;
    ckv_doc *doc = doc_with_text(t, &text);
    figure f = {.ns = TIMED(measured_replay_keys(doc, text, t))};
    f.bytes = live_bytes - before;
    check_text(doc, t);
    ckv_doc_free(doc);
    return f;
}

/* The bundle is made once and kept: making it is not what later runs measure. */
static ckv_doc *typed(const trace *t, bool keys)
{
    uint32_t text;
    ckv_doc *doc = doc_with_text(t, &text);
    if (keys)
        replay_keys(doc, text, t);
    else
        replay(doc, text, t), commit(doc);
    return doc;
}

static figure export_of(const trace *t, bool keys)
{
    ckv_doc *doc = typed(t, keys);
    ckv_buf bundle = ckv_buf_init(plain_env.alloc);
    figure f = {.ns = TIMED(measured_export(doc, &bundle))};
    f.bytes = bundle.len;
    ckv_buf_fini(&bundle);
    ckv_doc_free(doc);
    return f;
}

static figure run_export(const trace *t) { return export_of(t, false); }
static figure run_export_keys(const trace *t) { return export_of(t, true); }

/* The same document again, signed already. */
static figure run_export_again(const trace *t)
{
    ckv_doc *doc = typed(t, true);
    ckv_buf bundle = ckv_buf_init(plain_env.alloc);
    MUST(ckv_doc_export(doc, NULL, 0, NULL, 0, &bundle));
    ckv_buf_clear(&bundle);
    figure f = {.ns = TIMED(measured_export(doc, &bundle))};
    f.bytes = bundle.len;
    ckv_buf_fini(&bundle);
    ckv_doc_free(doc);
    return f;
}

static figure load_of(const trace *t, ckv_doc *source, const ckv_buf *bundle)
{
    ckv_identity me;
    identity_of(&me, 7);
    uint8_t *chars = NULL;
    size_t n_bytes = 0;
    ckv_doc *doc = NULL;
    const size_t before = live_bytes;
    figure f = {.ns = TIMED(doc = measured_load(bundle, &me, &chars, &n_bytes))};
    f.bytes = live_bytes - before;
    check_text(doc, t);
    check_root(doc, source);
    free(chars);
    ckv_doc_free(doc);
    return f;
}

static figure load_typed(const trace *t, bool keys)
{
    static const trace *kept_of[2];
    static ckv_doc *kept[2];
    static ckv_buf bundle[2];
    if (kept_of[keys] != t) {
        if (kept[keys]) ckv_doc_free(kept[keys]), ckv_buf_fini(&bundle[keys]);
        kept_of[keys] = t;
        kept[keys] = typed(t, keys);
        bundle[keys] = ckv_buf_init(plain_env.alloc);
        MUST(ckv_doc_export(kept[keys], NULL, 0, NULL, 0, &bundle[keys]));
    }
    return load_of(t, kept[keys], &bundle[keys]);
}

static figure run_load(const trace *t) { return load_typed(t, false); }
static figure run_load_keys(const trace *t) { return load_typed(t, true); }

/* Real forks and merges: a replica for each agent, bundles between them; in the end all have all. */
static figure forks_of(const trace *t, ckv_doc **out, bool measured)
{
    uint32_t text;
    ckv_doc *origin = doc_with_text(t, &text), **docs = calloc(t->n_agents, sizeof(ckv_doc *));
    ckv_id32 *heads = calloc(t->n_txns, sizeof *heads);
    uint32_t *last = malloc(sizeof(uint32_t) * t->n_agents * t->n_agents);
    for (uint32_t a = 0; a < t->n_agents * t->n_agents; a++) last[a] = CKV_NO_CHANGE;
    ckv_buf bundle = ckv_buf_init(plain_env.alloc);
    MUST(ckv_doc_export(origin, NULL, 0, NULL, 0, &bundle));
    for (uint32_t a = 0; a < t->n_agents; a++) {
        ckv_identity who;
        identity_of(&who, (uint8_t)(100 + a));
        MUST(ckv_doc_new(&docs[a], &plain_env, &who, ckv_doc_id(origin)));
        take(docs[a], &bundle);
    }
    const figure f = {.ns = TIMED((measured ? measured_forks : forks)(docs, heads, last, t))};
    for (uint32_t a = 1; a < t->n_agents; a++) {
        ckv_buf_clear(&bundle);
        MUST(ckv_doc_export(docs[a], NULL, 0, NULL, 0, &bundle));
        take(docs[0], &bundle);
    }
    for (uint32_t a = 1; a < t->n_agents; a++) {
        ckv_buf_clear(&bundle);
        MUST(ckv_doc_export(docs[0], NULL, 0, NULL, 0, &bundle));
        take(docs[a], &bundle);
        check_root(docs[0], docs[a]);
        check_text(docs[a], t);
        ckv_doc_free(docs[a]);
    }
    *out = docs[0];
    ckv_buf_fini(&bundle);
    ckv_doc_free(origin);
    free(docs);
    free(heads);
    free(last);
    return f;
}

static figure run_forks(const trace *t)
{
    ckv_doc *doc;
    const figure f = forks_of(t, &doc, true);
    ckv_doc_free(doc);
    return f;
}

static figure run_merge(const trace *t)
{
    static const trace *kept_of;
    static ckv_doc *kept;
    static ckv_buf bundle;
    if (kept_of != t) {
        ckv_doc *doc;
        if (kept) ckv_doc_free(kept), ckv_buf_fini(&bundle);
        kept_of = t;
        forks_of(t, &doc, false);
        bundle = ckv_buf_init(plain_env.alloc);
        MUST(ckv_doc_export(doc, NULL, 0, NULL, 0, &bundle));
        kept = doc;
    }
    return load_of(t, kept, &bundle);
}

/* One person types N_LIVE characters into the finished paper, each a signed bundle that another applies. */
#define N_LIVE 2048

static ckv_identity typist;
static ckv_buf live_bundles[N_LIVE];
static signed_id live_signatures[N_LIVE];
static ckv_buf live_past;
static size_t live_n_bytes;

static void prepare_live(const trace *t)
{
    if (live_n_bytes) return;
    identity_of(&typist, 1);
    ckv_doc *doc = typed(t, false);
    const uint32_t text = text_of(doc);
    live_past = ckv_buf_init(plain_env.alloc);
    MUST(ckv_doc_export(doc, NULL, 0, NULL, 0, &live_past));
    const size_t at = ckv_text_len(doc, text) / 2;
    for (size_t i = 0; i < N_LIVE; i++) {
        size_t n;
        ckv_change_info info;
        ckv_doc_change(doc, ckv_doc_heads(doc, &n)[0], &info);
        const ckv_id32 before = *info.id;
        MUST(ckv_text_insert(doc, text, at + i, &(uint8_t){'x'}, 1, 1));
        commit(doc);
        live_bundles[i] = ckv_buf_init(plain_env.alloc);
        MUST(ckv_doc_export(doc, &before, 1, NULL, 0, &live_bundles[i]));
        live_n_bytes += live_bundles[i].len;
        ckv_doc_change(doc, ckv_doc_heads(doc, &n)[0], &info);
        signed_id *s = live_signatures + i;
        *s = (signed_id){
            .doc = *ckv_doc_id(doc), .lane = *info.lane, .id = *info.id, .seq = info.seq};
        ckv_sign_change(&s->signature, &typist, &s->doc, &s->lane, s->seq, &s->id);
    }
    ckv_doc_free(doc);
}

static ckv_doc *receiver(void)
{
    ckv_identity me;
    ckv_id32 id;
    ckv_err err;
    ckv_doc *doc;
    identity_of(&me, 7);
    MUST(ckv_bundle_doc_id(live_past.ptr, live_past.len, &id, &err));
    MUST(ckv_doc_new(&doc, &plain_env, &me, &id));
    take(doc, &live_past);
    return doc;
}

static figure run_live(const trace *t)
{
    prepare_live(t);
    ckv_doc *doc = receiver();
    const figure f = {TIMED(measured_live(doc, live_bundles, N_LIVE)), live_n_bytes / N_LIVE,
                      N_LIVE};
    if (ckv_text_len(doc, text_of(doc)) != t->n_end + N_LIVE)
        die("live: a text of the wrong length");
    ckv_doc_free(doc);
    return f;
}

/* Short stretches of receiving and of verifying alone take turns, so that a slow moment hits both; the median difference. */
static figure run_live_unsigned(const trace *t)
{
    enum { STRETCH = 16 };
    int64_t differences[N_LIVE / STRETCH];
    prepare_live(t);
    ckv_doc *doc = receiver();
    for (size_t i = 0; i < N_LIVE; i += STRETCH) {
        const int64_t verify =
            TIMED(measured_verify(live_signatures + i, &typist.public_key, STRETCH));
        differences[i / STRETCH] = TIMED(measured_live(doc, live_bundles + i, STRETCH)) - verify;
    }
    ckv_doc_free(doc);
    return (figure){median(differences, N_LIVE / STRETCH), live_n_bytes / N_LIVE, STRETCH};
}

static figure run_verify(const trace *t)
{
    prepare_live(t);
    return (figure){TIMED(measured_verify(live_signatures, &typist.public_key, N_LIVE)), 0, N_LIVE};
}

static const struct bench {
    const char *name, *trace, *what, *bytes;
    figure (*run)(const trace *);
} benches[] = {
    {"replay", "automerge-paper", "a call per keystroke, one open change", "memory", run_replay},
    {"commit", "automerge-paper", "closing that change: encode and hash", "memory", run_commit},
    {"replay_keys", "automerge-paper", "a hashed change per keystroke", "memory", run_replay_keys},
    {"export", "automerge-paper", "export, one change, signed", "bundle", run_export},
    {"export_keys", "automerge-paper", "export, a change per keystroke, signed", "bundle",
     run_export_keys},
    {"export_again", "automerge-paper", "the same, signed already", "bundle", run_export_again},
    {"load", "automerge-paper", "load, one change, verified, to the text", "memory", run_load},
    {"load_keys", "automerge-paper", "load, a change per keystroke, verified", "memory",
     run_load_keys},
    {"load_svelte", "sveltecomponent", "load, one change, verified, to the text", "memory",
     run_load},
    {"forks", "friendsforever", "real forks and merges", "", run_forks},
    {"merge", "friendsforever", "merged from bytes, verified, to the text", "memory", run_merge},
    {"merge_keys", "friendsforever-keys", "the same, a change per keystroke", "memory", run_merge},
    {"live", "automerge-paper", "a received keystroke, all of it", "bundle", run_live},
    {"live_unsigned", "automerge-paper", "a received keystroke, its signature apart", "bundle",
     run_live_unsigned},
    {"verify", "automerge-paper", "a signature alone", "", run_verify},
};

static bool
    tsv; /* name, trace, what, median ns, least ns, bytes, of what, made up: for benchmarks/tables.py */

static void report(const struct bench *b, const trace *t, size_t runs)
{
    int64_t ns[1001];
    figure f = {0};
    for (size_t i = 0; i < runs; i++) {
        f = b->run(t);
        ns[i] = f.ns;
    }
    const int64_t typical = median(ns, runs);
    const double per = f.n ? (double)f.n : 1;
    if (tsv) {
        printf("%s\t%s\t%s\t%.0f\t%.0f\t%zu\t%s\t%u\n", b->name, b->trace, b->what,
               (double)typical / per, (double)ns[0] / per, f.bytes, b->bytes, t->made_up);
        return;
    }
    printf("%-14s %-20s %-42s %13.0f ns %13.0f min", b->name, b->trace, b->what,
           (double)typical / per, (double)ns[0] / per);
    if (f.bytes) printf(" %11zu bytes of %s", f.bytes, b->bytes);
    printf("%s\n", t->made_up ? " (made-up trace)" : "");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *only = NULL;
    size_t runs = 11;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--once"))
            runs = 1;
        else if (!strcmp(argv[i], "--runs") && i + 1 < argc)
            runs = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--traces") && i + 1 < argc)
            trace_dir = argv[++i];
        else if (!strcmp(argv[i], "--tsv"))
            tsv = true;
        else if (argv[i][0] != '-')
            only = argv[i];
        else
            die("usage: bench_text [CASE] [--once] [--runs N] [--traces DIR] [--tsv]");
    }
    if (runs < 1 || runs > 1001) die("--runs takes 1 to 1001");
    if (!ckv_init()) die("libsodium does not work");
    static trace
        traces[sizeof benches / sizeof *benches]; /* one for each name, opened at its first use */
    bool found = false;
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) {
        const struct bench *b = benches + i;
        if (only && strcmp(only, b->name) != 0) continue;
        found = true;
        size_t at = 0;
        while (strcmp(benches[at].trace, b->trace) != 0) at++;
        if (!traces[at].file && !trace_open(&traces[at], b->trace)) {
            fprintf(stderr, "%-14s %-16s skipped: not in %s (benchmarks/flat.py fills it)\n",
                    b->name, b->trace, trace_dir);
            continue;
        }
        report(b, &traces[at], runs);
    }
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) trace_close(&traces[i]);
    if (!found) die("no such case");
    return 0;
}
