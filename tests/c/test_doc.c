/* Documents: edit, commit, send, apply, go back. Each story is told again with every allocation failing once. */
#include "t.h"

#include "doc/doc.h"
#include "doc/exchange.h"
#include "doc/map.h"
#include "doc/patch.h"
#include "doc/state.h"
#include "doc/text.h"
#include "doc/view.h"

static uint64_t
    nonces; /* randomness of documents: counted, so that a story is the same each time */

static void count_up(void *ctx, uint8_t *out, size_t n)
{
    (void)ctx;
    memset(out, 0, n);
    nonces++;
    memcpy(out, &nonces, n < 8 ? n : 8);
}

static ckv_status new_doc(ckv_doc **doc, ckv_alloc a, uint8_t who)
{
    const ckv_env env = {.alloc = a, .random = count_up};
    uint8_t seed[32] = {0};
    ckv_id32 id;
    ckv_identity identity;
    seed[0] = who;
    memset(&id, 0x2a, sizeof id);
    ckv_identity_from_seed(&identity, seed);
    *doc = NULL;
    return ckv_doc_new(doc, &env, &identity, &id);
}

static void check(ckv_doc *doc)
{
    const char *why = NULL;
    if (doc) T_VALID(ckv_doc_check(doc, &why), why);
}

/* ---- a step: an edit that either happens or leaves the document as it was */

static ckv_status commit(ckv_doc *doc)
{
    uint32_t change;
    return ckv_doc_commit(doc, 1234567890123, "why", 3, &change);
}

static ckv_status make_text(ckv_doc *doc, const char *key, uint32_t *text)
{
    const ckv_value v = {.tag = CKV_TAG_TEXT};
    return ckv_map_set(doc, CKV_ROOT, key, strlen(key), &v, text);
}

static ckv_status type(ckv_doc *doc, uint32_t text, size_t pos, const char *words)
{
    return ckv_text_insert(doc, text, pos, words, 1, strlen(words));
}

/* The text under a key; false: none. */
static bool text_under(ckv_doc *doc, const char *key, uint32_t *text)
{
    ckv_value v;
    if (ckv_map_get(doc, CKV_ROOT, key, strlen(key), &v) != CKV_OK || v.tag != CKV_TAG_TEXT)
        return false;
    *text = v.container;
    return true;
}

/* What a document shows, as bytes, made without its allocator. */
static size_t show(ckv_doc *doc, uint8_t *out, size_t cap)
{
    size_t n = 0;
    const char *const keys[] = {"t", "u", "k", "l"};
    for (size_t i = 0; i < 4; i++) {
        ckv_value v;
        out[n++] = (uint8_t)('0' + i);
        if (ckv_map_get(doc, CKV_ROOT, keys[i], 1, &v) != CKV_OK) continue;
        out[n++] = (uint8_t)v.tag;
        if (v.tag == CKV_TAG_INT) memcpy(out + n, &v.i64, 8), n += 8;
        if (v.tag == CKV_TAG_STR) memcpy(out + n, v.ptr, v.n_bytes), n += v.n_bytes;
        if (v.tag != CKV_TAG_TEXT) continue;
        const size_t len = ckv_text_len(doc, v.container);
        T_CHECK(len * 4 + n + 8 < cap);
        n = (n + 3) / 4 * 4;
        if (doc->pending.kind) continue; /* reading would flush */
        T_EQ(ckv_text_read(doc, v.container, 0, len, out + n, 4), CKV_OK);
        n += 4 * len;
    }
    return n;
}

#define SHOWN 16384
typedef struct picture {
    _Alignas(8) uint8_t bytes[SHOWN];
    size_t n;
    uint32_t n_changes;
    ckv_id32 heads[8];
    size_t n_heads;
    bool is_open;
} picture;

static void take_picture(ckv_doc *doc, picture *p)
{
    memset(p, 0, sizeof *p);
    p->n = show(doc, p->bytes, SHOWN);
    p->n_changes = ckv_doc_n_changes(doc);
    const uint32_t *heads = ckv_doc_heads(doc, &p->n_heads);
    for (size_t i = 0; i < p->n_heads && i < 8; i++)
        p->heads[i] = *ckv_ids_at(&doc->graph.ids, heads[i]);
    p->is_open = ckv_doc_is_open(doc);
}

static void same_picture(ckv_doc *doc, const picture *p)
{
    picture now;
    take_picture(doc, &now);
    T_EQ(now.n_changes, p->n_changes);
    T_EQ(now.is_open, p->is_open);
    T_BYTES(now.heads, sizeof now.heads, p->heads, sizeof p->heads);
    T_BYTES(now.bytes, now.n, p->bytes, p->n);
}

static ckv_status apply(ckv_doc *doc, const ckv_buf *bundle, ckv_report *report)
{
    static picture before;
    ckv_err err;
    take_picture(doc, &before);
    const size_t waiting = doc->inbox.n_waiting, bytes = doc->inbox.bytes;
    const ckv_status s = ckv_doc_apply(doc, bundle->ptr, bundle->len, report, &err);
    check(doc);
    if (s != CKV_OK) { /* no trace */
        same_picture(doc, &before);
        T_CHECK(report->applied.len == 0 && report->waiting.len == 0 && report->refused.len == 0 &&
                report->voided.len == 0);
        T_CHECK(doc->inbox.n_waiting == waiting && doc->inbox.bytes == bytes);
    }
    return s;
}

/* What `from` has and `to` lacks. */
static ckv_status send(ckv_doc *from, ckv_doc *to, ckv_alloc a)
{
    ckv_buf bundle = ckv_buf_init(a), since = ckv_buf_init(a);
    ckv_report report;
    ckv_report_init(&report, a);
    size_t n;
    const uint32_t *heads = ckv_doc_heads(to, &n);
    for (size_t i = 0; i < n; i++) ckv_buf_bytes(&since, ckv_ids_at(&to->graph.ids, heads[i]), 32);
    ckv_status s = since.status;
    if (s == CKV_OK)
        s = ckv_doc_export(from, (const ckv_id32 *)(const void *)since.ptr, n, NULL, 0, &bundle);
    check(from);
    if (s == CKV_OK) s = apply(to, &bundle, &report);
    if (s == CKV_OK) T_CHECK(report.refused.len == 0 && report.waiting.len == 0);
    ckv_report_fini(&report);
    ckv_buf_fini(&bundle);
    ckv_buf_fini(&since);
    return s;
}

CKV_NODISCARD static ckv_status same_root(ckv_doc *a, ckv_doc *b)
{
    ckv_id32 ra, rb;
    static picture pa, pb;
    CKV_TRY(ckv_doc_root(a, &ra));
    CKV_TRY(ckv_doc_root(b, &rb));
    T_BYTES(&ra, 32, &rb, 32);
    take_picture(a, &pa);
    take_picture(b, &pb);
    T_BYTES(pa.bytes, pa.n, pb.bytes, pb.n);
    return CKV_OK;
}

/* ---- stories */

static ckv_status edit_and_commit(ckv_doc *doc)
{
    uint32_t t = 0;
    const ckv_value five = {.tag = CKV_TAG_INT, .i64 = 5};
    uint32_t none;
    CKV_TRY(make_text(doc, "t", &t));
    CKV_TRY(type(doc, t, 0, "hello world"));
    CKV_TRY(type(doc, t, 5, ","));
    CKV_TRY(commit(doc));
    CKV_TRY(ckv_text_delete(doc, t, 0, 1));
    CKV_TRY(type(doc, t, 0, "J"));
    const uint32_t wide[] = {0x1f642, 0x65e5, 0xe9};
    CKV_TRY(ckv_text_insert(doc, t, 3, wide, 4, 3));
    CKV_TRY(ckv_map_set(doc, CKV_ROOT, "k", 1, &five, &none));
    CKV_TRY(commit(doc));
    for (size_t i = 0; i < 30; i++) CKV_TRY(type(doc, t, i / 2, "x"));
    CKV_TRY(ckv_text_delete(doc, t, 3, 20));
    CKV_TRY(ckv_map_unset(doc, CKV_ROOT, "k", 1));
    return commit(doc);
}

static ckv_status tell_editing(ckv_alloc a)
{
    ckv_doc *doc;
    ckv_status s = new_doc(&doc, a, 1);
    if (s == CKV_OK) s = edit_and_commit(doc);
    check(doc);
    if (s == CKV_OK) {
        uint32_t t = 0;
        T_CHECK(text_under(doc, "t", &t));
        T_EQ(ckv_text_len(doc, t), 12 + 3 + 30 - 20);
        T_EQ(ckv_doc_n_changes(doc), 3);
        s = ckv_doc_root(doc, &(ckv_id32){{0}});
    }
    ckv_doc_free(doc);
    return s;
}

static ckv_status two_write(ckv_doc *a, ckv_doc *b, ckv_alloc alloc)
{
    uint32_t t;
    CKV_TRY(edit_and_commit(a));
    CKV_TRY(send(a, b, alloc));
    for (int round = 0; round < 3; round++) {
        if (!text_under(a, "t", &t)) t_fail(__FILE__, __LINE__, "no text");
        CKV_TRY(type(a, t, 4, "from a"));
        CKV_TRY(ckv_text_delete(a, t, 1, 2));
        CKV_TRY(commit(a));
        if (!text_under(b, "t", &t)) t_fail(__FILE__, __LINE__, "no text");
        CKV_TRY(type(b, t, 4, "by b"));
        CKV_TRY(ckv_text_delete(b, t, 0, 4));
        const ckv_value v = {.tag = CKV_TAG_STR, .ptr = (const uint8_t *)"value", .n_bytes = 5};
        uint32_t none;
        CKV_TRY(ckv_map_set(b, CKV_ROOT, "l", 1, &v, &none));
        CKV_TRY(commit(b));
        CKV_TRY(send(a, b, alloc));
        CKV_TRY(send(b, a, alloc));
        CKV_TRY(same_root(a, b));
    }
    return CKV_OK;
}

static ckv_status tell_exchange(ckv_alloc alloc)
{
    ckv_doc *a = NULL, *b = NULL;
    ckv_status s = new_doc(&a, alloc, 1);
    if (s == CKV_OK) s = new_doc(&b, alloc, 2);
    if (s == CKV_OK) s = two_write(a, b, alloc);
    check(a);
    check(b);
    ckv_doc_free(a);
    ckv_doc_free(b);
    return s;
}

/* One author, whose process was copied: two changes of one lane at one seq. */
static ckv_status liars_fork(ckv_doc *a, ckv_doc *twin, ckv_doc *c, ckv_alloc alloc)
{
    uint32_t t;
    nonces = 100;
    CKV_TRY(make_text(a, "t", &t));
    CKV_TRY(type(a, t, 0, "abc"));
    CKV_TRY(commit(a));
    nonces = 100;
    CKV_TRY(make_text(twin, "t", &t));
    CKV_TRY(type(twin, t, 0, "abc"));
    CKV_TRY(commit(twin));
    CKV_TRY(type(a, t, 1, "one"));
    CKV_TRY(commit(a));
    CKV_TRY(type(twin, t, 1, "two"));
    CKV_TRY(commit(twin));
    CKV_TRY(ckv_text_delete(twin, t, 0, 2));
    CKV_TRY(commit(twin));
    CKV_TRY(send(a, c, alloc));
    CKV_TRY(send(twin, c, alloc));
    if (!text_under(c, "t", &t)) t_fail(__FILE__, __LINE__, "no text");
    CKV_TRY(ckv_text_delete(c, t, 1, 3));
    CKV_TRY(type(c, t, 1, "after both"));
    CKV_TRY(commit(c));
    CKV_TRY(send(c, a, alloc));
    CKV_TRY(same_root(a, c));
    ckv_buf found = ckv_buf_init(alloc), proof = ckv_buf_init(alloc);
    ckv_status s = ckv_doc_equivocations(c, &found);
    if (s == CKV_OK) {
        ckv_equivocation e;
        ckv_id32 author;
        ckv_err err;
        T_EQ(found.len, sizeof e);
        memcpy(&e, found.ptr, sizeof e);
        T_EQ(e.seq, 1);
        s = ckv_doc_proof(c, &e, &proof);
        if (s == CKV_OK) {
            T_EQ(ckv_proof_verify(proof.ptr, proof.len, &author, &err), CKV_OK);
            T_BYTES(&author, 32, &a->identity.public_key, 32);
        }
    }
    ckv_buf_fini(&found);
    ckv_buf_fini(&proof);
    return s;
}

static ckv_status tell_fork(ckv_alloc alloc)
{
    ckv_doc *a = NULL, *twin = NULL, *c = NULL;
    ckv_status s = new_doc(&a, alloc, 1);
    if (s == CKV_OK) s = new_doc(&twin, alloc, 1);
    if (s == CKV_OK) s = new_doc(&c, alloc, 3);
    if (s == CKV_OK) s = liars_fork(a, twin, c, alloc);
    check(a);
    check(c);
    ckv_doc_free(a);
    ckv_doc_free(twin);
    ckv_doc_free(c);
    return s;
}

/* Blocks that go back, nested. */
static ckv_status go_back(ckv_doc *doc)
{
    static picture before, inner;
    uint32_t t = 0, u = 0, none;
    const ckv_value five = {.tag = CKV_TAG_INT, .i64 = 5};
    CKV_TRY(edit_and_commit(doc));
    T_CHECK(text_under(doc, "t", &t));
    CKV_TRY(type(doc, t, 2, "open"));
    CKV_TRY(ckv_doc_flush(doc));
    take_picture(doc, &before);
    ckv_savepoint outside, inside;
    CKV_TRY(ckv_doc_savepoint(doc, &outside));
    ckv_status s = type(doc, t, 3, "in a block");
    if (s == CKV_OK) s = ckv_text_delete(doc, t, 1, 6);
    if (s == CKV_OK) s = make_text(doc, "u", &u);
    if (s == CKV_OK) s = type(doc, u, 0, "new");
    if (s == CKV_OK) s = ckv_map_set(doc, CKV_ROOT, "k", 1, &five, &none);
    if (s == CKV_OK) s = ckv_doc_savepoint(doc, &inside);
    if (s == CKV_OK) {
        take_picture(doc, &inner);
        s = ckv_text_delete(doc, t, 0, 5);
        if (s == CKV_OK) s = type(doc, t, 0, "inner");
        if (s == CKV_OK) s = ckv_map_unset(doc, CKV_ROOT, "k", 1);
        if (s == CKV_OK) s = make_text(doc, "t", &u);
        ckv_doc_rollback(doc, inside);
        check(doc);
        same_picture(doc, &inner);
    }
    ckv_doc_rollback(doc, outside);
    check(doc);
    same_picture(doc, &before);
    CKV_TRY(s);
    CKV_TRY(ckv_doc_savepoint(doc, &outside));
    s = type(doc, t, 0, "kept");
    if (s == CKV_OK) s = ckv_doc_flush(doc);
    ckv_doc_release(doc, outside);
    CKV_TRY(s);
    return commit(doc);
}

static ckv_status tell_rollback(ckv_alloc a)
{
    ckv_doc *doc = NULL, *other = NULL;
    ckv_status s = new_doc(&doc, a, 1);
    if (s == CKV_OK) s = new_doc(&other, a, 2);
    if (s == CKV_OK) s = go_back(doc);
    check(doc);
    if (s == CKV_OK) s = send(doc, other, a);
    if (s == CKV_OK) s = same_root(doc, other);
    ckv_doc_free(doc);
    ckv_doc_free(other);
    return s;
}

/* The later half first: it waits, and is released by the earlier. */
static ckv_status wait_and_release(ckv_doc *a, ckv_doc *b, ckv_alloc alloc, ckv_buf *first,
                                   ckv_buf *rest, ckv_report *report)
{
    uint32_t t = 0;
    CKV_TRY(edit_and_commit(a));
    CKV_TRY(ckv_doc_export(a, NULL, 0, NULL, 0, first));
    size_t n;
    const uint32_t *heads = ckv_doc_heads(a, &n);
    const ckv_id32 since = *ckv_ids_at(&a->graph.ids, heads[0]);
    T_CHECK(text_under(a, "t", &t));
    for (int i = 0; i < 4; i++) {
        CKV_TRY(type(a, t, (size_t)i, "later"));
        CKV_TRY(commit(a));
    }
    CKV_TRY(ckv_doc_export(a, &since, 1, NULL, 0, rest));
    CKV_TRY(apply(b, rest, report));
    T_EQ(report->waiting.len, 4 * 32);
    T_EQ(ckv_doc_n_changes(b), 0);
    ckv_buf missing = ckv_buf_init(alloc);
    const ckv_status s = ckv_doc_missing(b, &missing);
    if (s == CKV_OK) T_BYTES(missing.ptr, missing.len, &since, 32);
    ckv_buf_fini(&missing);
    CKV_TRY(s);
    CKV_TRY(apply(b, first, report));
    T_EQ(report->applied.len, 7 * 32);
    T_EQ(b->inbox.n_waiting, 0);
    T_EQ(b->inbox.bytes, 0);
    return same_root(a, b);
}

static ckv_status tell_waiting(ckv_alloc alloc)
{
    ckv_doc *a = NULL, *b = NULL;
    ckv_buf first = ckv_buf_init(alloc), rest = ckv_buf_init(alloc);
    ckv_report report;
    ckv_report_init(&report, alloc);
    ckv_status s = new_doc(&a, alloc, 1);
    if (s == CKV_OK) s = new_doc(&b, alloc, 2);
    if (s == CKV_OK) s = wait_and_release(a, b, alloc, &first, &rest, &report);
    check(a);
    check(b);
    ckv_report_fini(&report);
    ckv_buf_fini(&first);
    ckv_buf_fini(&rest);
    ckv_doc_free(a);
    ckv_doc_free(b);
    return s;
}

/* More heads than a change can name: knots before it. */
static ckv_status tie_knots(ckv_doc **docs, size_t n, ckv_doc *all, ckv_alloc alloc)
{
    uint32_t t = 0;
    CKV_TRY(make_text(all, "t", &t));
    CKV_TRY(type(all, t, 0, "0123456789"));
    CKV_TRY(commit(all));
    for (size_t i = 0; i < n; i++) {
        CKV_TRY(new_doc(&docs[i], alloc, (uint8_t)(10 + i)));
        CKV_TRY(send(all, docs[i], alloc));
    }
    for (size_t i = 0; i < n; i++) {
        T_CHECK(text_under(docs[i], "t", &t));
        CKV_TRY(type(docs[i], t, i % 10, "x"));
        CKV_TRY(commit(docs[i]));
    }
    for (size_t i = 0; i < n; i++) CKV_TRY(send(docs[i], all, alloc));
    T_EQ(all->graph.heads.len, n);
    T_CHECK(text_under(all, "t", &t));
    CKV_TRY(ckv_text_delete(all, t, 2, 20));
    CKV_TRY(commit(all));
    T_EQ(all->graph.heads.len, 1);
    CKV_TRY(send(all, docs[0], alloc));
    return same_root(all, docs[0]);
}

static ckv_status tell_knots(ckv_alloc alloc)
{
    ckv_doc *docs[40] = {NULL}, *all = NULL;
    ckv_status s = new_doc(&all, alloc, 1);
    if (s == CKV_OK) s = tie_knots(docs, 40, all, alloc);
    check(all);
    check(docs[0]);
    for (size_t i = 0; i < 40; i++) ckv_doc_free(docs[i]);
    ckv_doc_free(all);
    return s;
}

/* Views of the past and what is between them. */
static ckv_status look_back(ckv_doc *doc, ckv_alloc a, ckv_view **then, ckv_view **now,
                            ckv_buf *out, ckv_buf *patches)
{
    uint32_t t = 0;
    CKV_TRY(make_text(doc, "t", &t));
    CKV_TRY(type(doc, t, 0, "abcdef"));
    CKV_TRY(commit(doc));
    (void)a;
    size_t n;
    const ckv_id32 old = *ckv_ids_at(&doc->graph.ids, ckv_doc_heads(doc, &n)[0]);
    CKV_TRY(ckv_text_delete(doc, t, 1, 2));
    CKV_TRY(type(doc, t, 0, "xyz"));
    CKV_TRY(commit(doc));
    const ckv_id32 new = *ckv_ids_at(&doc->graph.ids, ckv_doc_heads(doc, &n)[0]);
    CKV_TRY(ckv_view_new(then, doc, &old, 1, NULL, 0));
    CKV_TRY(ckv_view_new(now, doc, &new, 1, NULL, 0));
    CKV_TRY(ckv_text_chars(doc, *then, t, out));
    T_EQ(out->len, 6 * 4);
    CKV_TRY(ckv_text_chars(doc, *now, t, out));
    T_EQ(out->len, (6 + 7) * 4);
    ckv_buf_clear(out);
    CKV_TRY(ckv_map_entries(doc, *now, CKV_ROOT, out));
    T_EQ(out->len, sizeof(ckv_entry));
    ckv_buf_clear(out);
    CKV_TRY(ckv_doc_diff(doc, *then, *now, patches));
    T_CHECK(patches->len > 0);
    return ckv_text_blame(doc, NULL, t, out);
}

static ckv_status tell_views(ckv_alloc a)
{
    ckv_doc *doc;
    ckv_view *then = NULL, *now = NULL;
    ckv_buf out = ckv_buf_init(a), patches = ckv_buf_init(a);
    ckv_status s = new_doc(&doc, a, 1);
    if (s == CKV_OK) s = look_back(doc, a, &then, &now, &out, &patches);
    check(doc);
    ckv_view_free(then);
    ckv_view_free(now);
    ckv_buf_fini(&out);
    ckv_buf_fini(&patches);
    ckv_doc_free(doc);
    return s;
}

static void editing_survives_every_failure(void) { T_CHECK(t_oom(tell_editing) > 20); }
static void exchange_survives_every_failure(void) { T_CHECK(t_oom(tell_exchange) > 100); }
static void a_fork_survives_every_failure(void) { T_CHECK(t_oom(tell_fork) > 100); }
static void rollback_survives_every_failure(void) { T_CHECK(t_oom(tell_rollback) > 50); }
static void waiting_survives_every_failure(void) { T_CHECK(t_oom(tell_waiting) > 100); }
static void views_survive_every_failure(void) { T_CHECK(t_oom(tell_views) > 20); }

static void knots_tie_more_heads_than_parents(void)
{
    t_faulty f;
    T_EQ(tell_knots(t_watch(&f)), CKV_OK);
    T_EQ(f.live_bytes, 0);
    for (int64_t n = 0; n < (int64_t)f.n_requests;
         n += 997) { /* some of them: there are too many */
        t_faulty g = {.until_fail = n};
        T_EQ(tell_knots((ckv_alloc){t_faulty_fn, &g}), CKV_ENOMEM);
        T_EQ(g.live_bytes, 0);
    }
}

/* ---- what must fail does */

static void positions_and_surrogates_are_checked(void)
{
    ckv_doc *doc;
    uint32_t t = 0;
    const uint16_t lone[] = {0x41, 0xd800};
    T_EQ(new_doc(&doc, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(make_text(doc, "t", &t), CKV_OK);
    T_EQ(type(doc, t, 0, "abc"), CKV_OK);
    T_EQ(type(doc, t, 4, "x"), CKV_ERANGE);
    T_EQ(ckv_text_delete(doc, t, 3, 1), CKV_ERANGE);
    T_EQ(ckv_text_delete(doc, t, 0, SIZE_MAX), CKV_ERANGE);
    T_EQ(ckv_text_delete(doc, t, SIZE_MAX, 1), CKV_ERANGE);
    T_EQ(ckv_text_insert(doc, t, 0, lone, 2, 2), CKV_EVALUE);
    T_EQ(ckv_text_len(doc, t), 3);
    T_EQ(ckv_map_unset(doc, CKV_ROOT, "t", 1), CKV_OK);
    T_EQ(type(doc, t, 0, "x"), CKV_ESTALE);
    T_EQ(ckv_map_unset(doc, CKV_ROOT, "t", 1), CKV_ENOENT);
    check(doc);
    ckv_doc_free(doc);
}

static void a_bundle_is_refused_or_taken_whole(void)
{
    ckv_doc *a, *b;
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    ckv_report report;
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(new_doc(&a, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(edit_and_commit(a), CKV_OK);
    T_EQ(ckv_doc_export(a, NULL, 0, NULL, 0, &bundle), CKV_OK);
    T_EQ(new_doc(&b, ckv_alloc_libc, 2), CKV_OK);
    ckv_err err;
    for (size_t n = 0; n < bundle.len; n++)
        T_EQ(ckv_doc_apply(b, bundle.ptr, n, &report, &err), CKV_ECORRUPT);
    for (size_t bit = 0; bit < 8 * bundle.len; bit++) {
        bundle.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        T_EQ(ckv_doc_apply(b, bundle.ptr, bundle.len, &report, &err), CKV_ECORRUPT);
        bundle.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    T_EQ(ckv_doc_n_changes(b), 0);
    T_EQ(ckv_doc_apply(b, bundle.ptr, bundle.len, &report, &err), CKV_OK);
    T_EQ(same_root(a, b), CKV_OK);
    check(b);
    ckv_report_fini(&report);
    ckv_buf_fini(&bundle);
    ckv_doc_free(a);
    ckv_doc_free(b);
}

/* Random editors who exchange at random, against each other. */
static void random_editors_agree(void)
{
    for (uint64_t seed = 1; seed < 8; seed++) {
        t_seed(seed);
        ckv_doc *docs[4];
        uint32_t t = 0, none;
        for (size_t i = 0; i < 4; i++)
            T_EQ(new_doc(&docs[i], ckv_alloc_libc, (uint8_t)(i + 1)), CKV_OK);
        T_EQ(make_text(docs[0], "t", &t), CKV_OK);
        T_EQ(commit(docs[0]), CKV_OK);
        for (size_t i = 1; i < 4; i++) T_EQ(send(docs[0], docs[i], ckv_alloc_libc), CKV_OK);
        for (int step = 0; step < 250; step++) {
            ckv_doc *doc = docs[t_below(4)];
            T_CHECK(text_under(doc, "t", &t));
            const size_t len = ckv_text_len(doc, t), at = t_below(len + 1);
            ckv_savepoint savepoint;
            const bool block = t_one_in(8);
            if (block) T_EQ(ckv_doc_savepoint(doc, &savepoint), CKV_OK);
            if (t_one_in(3))
                T_EQ(ckv_text_delete(doc, t, at, t_below((len - at < 9 ? len - at : 9) + 1)),
                     CKV_OK);
            else
                T_EQ(type(doc, t, at, "lorem ipsum" + t_below(11)), CKV_OK);
            if (t_one_in(10)) {
                const ckv_value v = {.tag = CKV_TAG_INT, .i64 = (int64_t)t_rand()};
                T_EQ(ckv_map_set(doc, CKV_ROOT, t_one_in(2) ? "k" : "l", 1, &v, &none), CKV_OK);
            }
            if (block && t_one_in(2))
                ckv_doc_rollback(doc, savepoint);
            else if (block)
                ckv_doc_release(doc, savepoint);
            check(doc);
            if (t_one_in(3)) T_EQ(commit(doc), CKV_OK);
            if (t_one_in(6)) {
                ckv_doc *other = docs[t_below(4)];
                T_EQ(commit(doc), CKV_OK);
                T_EQ(commit(other), CKV_OK);
                if (other != doc) T_EQ(send(doc, other, ckv_alloc_libc), CKV_OK);
            }
        }
        for (size_t i = 0; i < 4; i++) T_EQ(commit(docs[i]), CKV_OK);
        for (size_t i = 0; i < 8; i++)
            T_EQ(send(docs[i % 4], docs[(i + 1) % 4], ckv_alloc_libc), CKV_OK);
        for (size_t i = 1; i < 4; i++) T_EQ(same_root(docs[0], docs[i]), CKV_OK);
        for (size_t i = 0; i < 4; i++) ckv_doc_free(docs[i]);
    }
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(positions_and_surrogates_are_checked);
    T_RUN(a_bundle_is_refused_or_taken_whole);
    T_RUN(random_editors_agree);
    T_RUN(editing_survives_every_failure);
    T_RUN(rollback_survives_every_failure);
    T_RUN(waiting_survives_every_failure);
    T_RUN(views_survive_every_failure);
    T_RUN(a_fork_survives_every_failure);
    T_RUN(exchange_survives_every_failure);
    T_RUN(knots_tie_more_heads_than_parents);
    return t_done();
}
