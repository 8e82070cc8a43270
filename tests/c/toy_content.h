/* toy_content.h -- the smallest content that a document can have, in memory: every change writes one of a few keys.
 *
 *     body := flags(u8: 0 fine, 1 breaks a rule, 2 of a later version, 3 fine, with a message) time(zigzag) [key(u8) anything, the message]
 *
 * A change matters until a later one of the same key has it in its past; then its body may go.
 */
#ifndef CKV_TEST_TOY_CONTENT_H
#define CKV_TEST_TOY_CONTENT_H

#include "story.h"

#include "dag/header.h"
#include "doc/content.h"
#include "doc/peer.h"

#define TOY_KEYS 5u

typedef struct toy_change {
    uint8_t header[CKV_HEADER_MAX_BYTES];
    size_t header_bytes;
    uint8_t *body; /* owned; NULL: not here */
    uint32_t body_bytes, n_ops;
    const char *void_reason;
    bool is_local, is_dropped;
} toy_change;
CKV_VEC(toy_changes, toy_change);

typedef struct toy {
    ckv_doc *doc; /* owned */
    ckv_alloc a;
    toy_changes changes;
    ckv_u32s news; /* attached since the last settle */
    bool reads_later, fails, cannot_read, wants_none;
    size_t most; /* bytes of a change, not 0: greater ones are not admitted */
    uint32_t n_settles;
    uint64_t version;
} toy;

static const char toy_reason[] = "a toy that breaks a rule";

static inline ckv_status toy_read(void *ctx, const uint8_t *body, size_t n_bytes, uint32_t n_ops,
                                  ckv_body_head *head, const char **why)
{
    const toy *t = ctx;
    if (t->cannot_read) return CKV_EDISK;
    ckv_rd r = ckv_rd_init(body, n_bytes);
    const uint8_t flags = ckv_rd_u8(&r);
    head->time = ckv_rd_zigzag(&r);
    *why = toy_reason;
    if (r.status != CKV_OK || flags == 1 || (n_ops != 0) != (r.p < r.end) || n_ops > 1)
        return CKV_EVOID;
    if (flags == 3) {
        head->message = (const char *)r.p;
        head->message_bytes = ckv_rd_left(&r);
    }
    return flags == 2 && !t->reads_later ? CKV_ELATER : CKV_OK;
}

static inline bool toy_admits(void *ctx, const ckv_id32 *author, size_t n_bytes)
{
    const toy *t = ctx;
    return author && (t->most == 0 || n_bytes <= t->most);
}

static inline ckv_status toy_copy(toy *t, const ckv_taken *taken, uint8_t **out)
{
    *out = ckv_resize(t->a, NULL, 0, taken->body_bytes + 1);
    if (!*out) return CKV_ENOMEM;
    if (taken->body_bytes) memcpy(*out, taken->body, taken->body_bytes);
    return CKV_OK;
}

static inline ckv_status toy_take(void *ctx, const ckv_taken *taken)
{
    toy *t = ctx;
    toy_change c = {.header_bytes = taken->header_bytes,
                    .body_bytes = taken->body_bytes,
                    .n_ops = taken->n_ops,
                    .void_reason = taken->void_reason,
                    .is_local = taken->is_local};
    T_EQ(taken->change, t->changes.len);
    T_EQ(taken->change, ckv_doc_n_changes(t->doc));
    memcpy(c.header, taken->header, taken->header_bytes);
    CKV_TRY(toy_changes_reserve(&t->changes, 1));
    if (taken->body) CKV_TRY(toy_copy(t, taken, &c.body));
    if (c.is_local) { /* the document does not ask */
        ckv_body_head head;
        if (toy_read(t, c.body, c.body_bytes, c.n_ops, &head, &c.void_reason) != CKV_EVOID)
            c.void_reason = NULL;
    }
    T_CHECK(taken->body || (taken->body_bytes > CKV_INLINE_BODY_BYTES && !taken->void_reason));
    toy_changes_put(&t->changes, c);
    t->version++;
    return CKV_OK;
}

static inline void toy_drop_body(toy *t, uint32_t change)
{
    toy_change *c = &t->changes.ptr[change];
    ckv_release(t->a, c->body, c->body ? c->body_bytes + 1 : 0);
    c->body = NULL;
    t->version++;
}

static inline void toy_forget(void *ctx, uint32_t n_changes)
{
    toy *t = ctx;
    while (t->changes.len > n_changes) {
        toy_drop_body(t, (uint32_t)t->changes.len - 1);
        t->changes.len--;
    }
    for (; t->news.len; t->news.len--) {
        const uint32_t change = t->news.ptr[t->news.len - 1];
        if (change >= n_changes) continue;
        toy_drop_body(t, change);
        t->changes.ptr[change].void_reason = NULL;
    }
    t->version++;
}

static inline ckv_status toy_attach(void *ctx, const ckv_taken *taken, bool *wanted)
{
    toy *t = ctx;
    toy_change *c = &t->changes.ptr[taken->change];
    *wanted = !c->body && !t->wants_none;
    T_EQ(c->body_bytes, taken->body_bytes);
    T_BYTES(c->header, c->header_bytes, taken->header, taken->header_bytes);
    if (!*wanted) return CKV_OK;
    CKV_TRY(ckv_u32s_reserve(&t->news, 1));
    CKV_TRY(toy_copy(t, taken, &c->body));
    c->void_reason = taken->void_reason;
    ckv_u32s_put(&t->news, taken->change);
    t->version++;
    return CKV_OK;
}

static inline ckv_status toy_settle(void *ctx)
{
    toy *t = ctx;
    T_EQ(t->changes.len, ckv_doc_n_changes(t->doc));
    if (t->fails) return CKV_EDISK;
    t->news.len = 0;
    t->n_settles++;
    return CKV_OK;
}

static inline ckv_status toy_body(void *ctx, uint32_t change, ckv_body_info *info, ckv_buf *out)
{
    const toy *t = ctx;
    const toy_change *c = &t->changes.ptr[change];
    ckv_header h;
    bool decodes;
    const char *why;
    T_CHECK(ckv_header_read(&h, c->header, c->header_bytes, &decodes, &why));
    *info = (ckv_body_info){.n_ops = h.n_ops, .body_len = h.body_len};
    if (h.body_len > CKV_INLINE_BODY_BYTES) memcpy(&info->hash, h.body_hash, 32);
    if (!c->body) return CKV_ENOENT;
    if (out) ckv_buf_bytes(out, c->body, c->body_bytes);
    return CKV_OK;
}

/* The key that a change writes, -1: none that is known. */
static inline int toy_key(const toy *t, uint32_t change)
{
    const toy_change *c = &t->changes.ptr[change];
    if (!c->body || c->n_ops == 0 || c->void_reason) return -1;
    ckv_rd r = ckv_rd_init(c->body, c->body_bytes);
    (void)ckv_rd_u8(&r);
    (void)ckv_rd_zigzag(&r);
    return ckv_rd_u8(&r);
}

static inline ckv_status toy_is_live(void *ctx, uint32_t change, bool *live)
{
    toy *t = ctx;
    const int key = toy_key(t, change);
    *live = t->changes.ptr[change].void_reason != NULL; /* else newcomers could not tell */
    if (key < 0) return CKV_OK;
    for (uint32_t c = change + 1; c < t->changes.len; c++) {
        bool past;
        if (toy_key(t, c) != key) continue;
        CKV_TRY(ckv_doc_is_past(t->doc, change, c, &past));
        if (past) return CKV_OK;
    }
    *live = true;
    return CKV_OK;
}

static inline bool toy_matters(toy *t, uint32_t change)
{
    bool live;
    T_EQ(toy_is_live(t, change, &live), CKV_OK);
    return live;
}

static inline ckv_body_state toy_body_state(void *ctx, uint32_t change)
{
    const toy_change *c = &((toy *)ctx)->changes.ptr[change];
    return c->body ? CKV_BODY_HERE : c->is_dropped ? CKV_BODY_DROPPED : CKV_BODY_CLAIMED;
}

static inline uint64_t toy_version(void *ctx) { return ((toy *)ctx)->version; }

static inline void toy_free(toy *t)
{
    ckv_doc_free(t->doc);
    for (uint32_t i = 0; i < t->changes.len; i++) toy_drop_body(t, i);
    toy_changes_fini(&t->changes);
    ckv_u32s_fini(&t->news);
}

/* t must stay where it is. */
static inline ckv_status toy_new(toy *t, ckv_alloc a, uint8_t who)
{
    const ckv_env env = {.alloc = a, .random = s_count_up, .random_ctx = &s_whos[who]};
    const ckv_content content = {.ctx = t,
                                 .type = CKV_TYPE_DATASTORE,
                                 .read = toy_read,
                                 .admits = who % 2 ? toy_admits : NULL,
                                 .take = toy_take,
                                 .forget = toy_forget,
                                 .attach = toy_attach,
                                 .settle = toy_settle,
                                 .body = toy_body,
                                 .body_state = toy_body_state,
                                 .absent_version = toy_version,
                                 .is_live = toy_is_live};
    uint8_t seed[32] = {who};
    ckv_id32 id;
    ckv_identity identity;
    memset(&id, 0x2b, sizeof id);
    *t = (toy){.a = a, .changes = {.a = a}, .news = {.a = a}};
    ckv_identity_from_seed(&identity, seed);
    return ckv_doc_new_with(&t->doc, &env, &identity, &id, &content);
}

/* One change; flags as above. */
static inline ckv_status toy_write(toy *t, uint8_t flags, uint8_t key, size_t n_bytes, bool sign)
{
    ckv_body_head head = {.time = 1700000000000 + (int64_t)t->changes.len / 3};
    ckv_buf body = ckv_buf_init(t->a);
    uint32_t change;
    ckv_buf_u8(&body, flags);
    ckv_buf_zigzag(&body, head.time);
    const size_t at = body.len;
    ckv_buf_u8(&body, key);
    for (size_t i = 0; i < n_bytes; i++) ckv_buf_u8(&body, (uint8_t)(7 * i + key + t->changes.len));
    ckv_status s = body.status;
    if (flags == 3 && s == CKV_OK) {
        head.message = (const char *)body.ptr + at;
        head.message_bytes = body.len - at;
    }
    if (s == CKV_OK) s = ckv_doc_write(t->doc, body.ptr, body.len, 1, &head, sign, &change);
    ckv_buf_fini(&body);
    return s;
}

/* What does not matter any more goes. Returns how many bodies. */
static inline uint32_t toy_compact(toy *t)
{
    uint32_t n = 0;
    for (uint32_t c = 0; c < t->changes.len; c++) {
        const toy_change *x = &t->changes.ptr[c];
        if (!x->body || x->body_bytes <= CKV_INLINE_BODY_BYTES || x->void_reason ||
            toy_matters(t, c))
            continue;
        toy_drop_body(t, c);
        t->changes.ptr[c].is_dropped = true;
        n++;
    }
    return n;
}

/* Everything that `from` has, into `to`. */
static inline ckv_status toy_apply(toy *from, toy *to, ckv_alloc a, ckv_report *report)
{
    ckv_buf bundle = ckv_buf_init(a), since = ckv_buf_init(a);
    ckv_err err;
    ckv_status s = ckv_doc_common(to->doc, from->doc, &since);
    if (s == CKV_OK)
        s = ckv_doc_export(from->doc, (const ckv_id32 *)(const void *)since.ptr, since.len / 32,
                           NULL, 0, &bundle);
    if (s == CKV_OK) s = ckv_doc_apply(to->doc, bundle.ptr, bundle.len, report, &err);
    ckv_buf_fini(&since);
    ckv_buf_fini(&bundle);
    return s;
}

static inline ckv_status toy_send(toy *from, toy *to, ckv_alloc a)
{
    ckv_report report;
    ckv_report_init(&report, a);
    const ckv_status s = toy_apply(from, to, a, &report);
    ckv_report_fini(&report);
    return s;
}

static inline void toy_check(toy *t)
{
    s_check(t->doc);
    T_EQ(t->changes.len, ckv_doc_n_changes(t->doc));
    T_EQ(t->news.len, 0);
}

/* The same changes, and the same bodies of those that matter. */
static inline void toy_same(toy *x, toy *y)
{
    ckv_id32 rx, ry;
    T_EQ(ckv_doc_root(x->doc, &rx), CKV_OK);
    T_EQ(ckv_doc_root(y->doc, &ry), CKV_OK);
    T_BYTES(&rx, 32, &ry, 32);
    for (uint32_t c = 0; c < x->changes.len; c++) {
        uint32_t k;
        T_EQ(ckv_doc_find(y->doc, ckv_doc_id_of(x->doc, c), &k), CKV_OK);
        const toy_change *a = &x->changes.ptr[c], *b = &y->changes.ptr[k];
        T_BYTES(a->header, a->header_bytes, b->header, b->header_bytes);
        T_EQ(toy_matters(x, c), toy_matters(y, k));
        if (a->body && b->body) T_BYTES(a->body, a->body_bytes, b->body, b->body_bytes);
        if (a->body && b->body) T_CHECK(a->void_reason == b->void_reason);
    }
}

#endif
