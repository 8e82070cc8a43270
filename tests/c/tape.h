/* tape.h -- a liar's document: a DAG of a datastore whose bodies are whatever he likes, kept as they are, and said to be dead whenever he likes. */
#ifndef CKV_TEST_TAPE_H
#define CKV_TEST_TAPE_H

#include "story.h"

#include "dag/header.h"
#include "doc/content.h"
#include "ds/vec.h"

typedef struct tape_change {
    uint8_t header[CKV_HEADER_MAX_BYTES];
    size_t header_bytes;
    uint8_t *body; /* owned */
    uint32_t body_bytes;
    bool left_out;
} tape_change;
CKV_VEC(tape_changes, tape_change);

typedef struct tape {
    ckv_doc *doc; /* owned */
    tape_changes changes;
    uint64_t version;
} tape;

static inline ckv_status tape_read(void *ctx, const uint8_t *body, size_t n_bytes, uint32_t n_ops,
                                   ckv_body_head *head, const char **why)
{
    (void)ctx, (void)body, (void)n_bytes, (void)n_ops;
    *head = (ckv_body_head){0};
    *why = NULL;
    return CKV_OK;
}

static inline ckv_status tape_take(void *ctx, const ckv_taken *t)
{
    tape *x = ctx;
    tape_change c = {.header_bytes = t->header_bytes,
                     .body = malloc(t->body_bytes + 1),
                     .body_bytes = t->body_bytes,
                     .left_out = !t->body};
    memcpy(c.header, t->header, t->header_bytes);
    if (t->body && t->body_bytes) memcpy(c.body, t->body, t->body_bytes);
    CKV_MUST(tape_changes_push(&x->changes, c) == CKV_OK);
    return CKV_OK;
}

static inline void tape_forget(void *ctx, uint32_t n_changes)
{
    tape *x = ctx;
    while (x->changes.len > n_changes) free(x->changes.ptr[--x->changes.len].body);
}

static inline ckv_status tape_attach(void *ctx, const ckv_taken *t, bool *wanted)
{
    (void)ctx, (void)t;
    *wanted = false;
    return CKV_OK;
}

static inline ckv_status tape_settle(void *ctx)
{
    (void)ctx;
    return CKV_OK;
}

static inline ckv_status tape_body(void *ctx, uint32_t change, ckv_body_info *info, ckv_buf *out)
{
    const tape_change *c = &((const tape *)ctx)->changes.ptr[change];
    ckv_header h;
    bool decodes;
    const char *why;
    CKV_MUST(ckv_header_read(&h, c->header, c->header_bytes, &decodes, &why));
    if (info) {
        *info = (ckv_body_info){.n_ops = h.n_ops, .body_len = h.body_len};
        if (h.body_len > CKV_INLINE_BODY_BYTES) info->hash = *h.body_hash;
    }
    if (c->left_out) return CKV_ENOENT;
    if (out) ckv_buf_bytes(out, c->body, c->body_bytes);
    return CKV_OK;
}

static inline ckv_body_state tape_state(void *ctx, uint32_t change)
{
    return ((const tape *)ctx)->changes.ptr[change].left_out ? CKV_BODY_DROPPED : CKV_BODY_HERE;
}

static inline uint64_t tape_version(void *ctx) { return ((const tape *)ctx)->version; }

static inline ckv_status tape_is_live(void *ctx, uint32_t change, bool *live)
{
    (void)ctx, (void)change;
    *live = true;
    return CKV_OK;
}

static inline void tape_open(tape *x, uint8_t who, const ckv_id32 *doc_id)
{
    const ckv_env env = {.alloc = ckv_alloc_libc, .random = s_count_up, .random_ctx = &s_whos[who]};
    const ckv_content content = {.ctx = x,
                                 .type = 2,
                                 .read = tape_read,
                                 .take = tape_take,
                                 .forget = tape_forget,
                                 .attach = tape_attach,
                                 .settle = tape_settle,
                                 .body = tape_body,
                                 .body_state = tape_state,
                                 .absent_version = tape_version,
                                 .is_live = tape_is_live};
    uint8_t seed[32] = {who};
    ckv_identity identity;
    ckv_identity_from_seed(&identity, seed);
    *x = (tape){.changes = {.a = ckv_alloc_libc}};
    T_EQ(ckv_doc_new_with(&x->doc, &env, &identity, doc_id, &content), CKV_OK);
}

static inline void tape_close(tape *x)
{
    ckv_doc_free(x->doc);
    tape_forget(x, 0);
    tape_changes_fini(&x->changes);
}

/* One change with these bytes. */
static inline ckv_id32 tape_write(tape *x, const ckv_buf *body, uint32_t n_ops)
{
    const ckv_body_head head = {0};
    uint32_t change;
    T_EQ(body->status, CKV_OK);
    T_EQ(ckv_doc_write(x->doc, body->ptr, body->len, n_ops, &head, true, &change), CKV_OK);
    return *ckv_doc_id_of(x->doc, change);
}

static inline void tape_leave_out(tape *x, uint32_t change)
{
    x->changes.ptr[change].left_out = true;
    x->version++;
}

#endif
