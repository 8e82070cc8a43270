/* The open change under any header, and a bundle in pieces; with every allocation failing once. */
#include "by_hand.h"

#include "doc/forge.h"
#include "doc/rebuild.h"

/* ---- what several replicas wrote */

static uint32_t text_of(ckv_doc *doc)
{
    ckv_value v;
    T_EQ(ckv_map_get(doc, CKV_ROOT, "t", 1, &v), CKV_OK);
    return v.container;
}

static ckv_status open_edit(ckv_doc *doc)
{
    CKV_TRY(ckv_text_insert(doc, text_of(doc), 2, "open", 1, 4));
    CKV_TRY(ckv_text_delete(doc, text_of(doc), 0, 3));
    return ckv_text_insert(doc, text_of(doc), 1, "pending", 1, 7);
}

/* Two heads of others, and an open change that names what both wrote. */
static ckv_status set_up(ckv_doc *docs[3], ckv_alloc a)
{
    const ckv_value text = {.tag = CKV_TAG_TEXT};
    uint32_t t;
    for (uint8_t i = 0; i < 3; i++) CKV_TRY(s_new(&docs[i], a, i));
    CKV_TRY(ckv_map_set(docs[0], CKV_ROOT, "t", 1, &text, &t));
    CKV_TRY(ckv_text_insert(docs[0], t, 0, "hello", 1, 5));
    CKV_TRY(s_commit(docs[0]));
    for (uint32_t i = 1; i < 3; i++) {
        CKV_TRY(s_send(docs[0], docs[i], a));
        CKV_TRY(ckv_text_insert(docs[i], text_of(docs[i]), 1, i == 1 ? "ONE" : "TWO", 1, 3));
        CKV_TRY(s_commit(docs[i]));
    }
    for (uint32_t i = 1; i < 3; i++) CKV_TRY(s_send(docs[i], docs[0], a));
    return CKV_OK;
}

static void tear_down(ckv_doc *docs[3])
{
    for (uint32_t i = 0; i < 3; i++) {
        s_check(docs[i]);
        ckv_doc_free(docs[i]);
    }
}

/* ---- bodies */

static ckv_status write_bodies(ckv_doc *docs[3], ckv_buf *body, ckv_buf *real)
{
    enum { MANY = 40 };
    ckv_doc *doc = docs[0];
    ckv_id32 parents[MANY] = {{{0}}}, prev;
    uint8_t header[CKV_HEADER_MAX_BYTES];
    ckv_change_info info;
    uint32_t n_ops, change;
    size_t n, n_header;
    const uint32_t *heads = ckv_doc_heads(doc, &n);
    T_EQ(n, 2);
    for (size_t i = 0; i < n; i++) parents[i] = *ckv_ids_at(&doc->graph.ids, heads[i]);
    ckv_doc_change(doc, 0, &info);
    prev = *info.id;
    CKV_TRY(open_edit(doc));

    /* forged: more parents than there may be, unknown ones, a prev from nowhere */
    CKV_TRY(ckv_forge_body(doc, NULL, (const uint8_t *)parents, MANY, 7, &n_ops, body));
    CKV_TRY(ckv_forge_body(doc, &parents[MANY - 1], NULL, 0, 7, &n_ops, body));
    T_EQ(n_ops, 4 + 3 + 7);

    /* honest: it is the body that the change gets */
    ckv_buf_clear(body);
    CKV_TRY(ckv_forge_body(doc, &prev, (const uint8_t *)parents, 2, 7, &n_ops, body));
    T_EQ(ckv_forge_n_ops(body->ptr, body->len, 2), n_ops);
    T_EQ(ckv_forge_n_ops(body->ptr, body->len / 2, 2) < n_ops, 1);
    CKV_TRY(ckv_doc_commit(doc, 7, NULL, 0, &change));
    CKV_TRY(ckv_rebuild_change(doc, change, header, &n_header, real));
    T_BYTES(body->ptr, body->len, real->ptr, real->len);
    return CKV_OK;
}

static ckv_status tell_bodies(ckv_alloc a)
{
    ckv_doc *docs[3] = {NULL};
    ckv_buf body = ckv_buf_init(a), real = ckv_buf_init(a);
    ckv_status s = set_up(docs, a);
    if (s == CKV_OK) s = write_bodies(docs, &body, &real);
    ckv_buf_fini(&body);
    ckv_buf_fini(&real);
    tear_down(docs);
    return s;
}

static void a_body_names_things_under_any_header(void) { T_CHECK(t_oom(tell_bodies) > 20); }

/* ---- bundles */

static ckv_status take_apart(ckv_doc *docs[3], ckv_buf *bundle, ckv_buf *parts, ckv_buf *bytes)
{
    ckv_doc *doc = docs[0];
    ckv_err err;
    size_t signatures = 0;
    CKV_TRY(open_edit(doc));
    CKV_TRY(s_commit(doc));
    CKV_TRY(ckv_doc_export(doc, NULL, 0, NULL, 0, bundle));
    CKV_TRY(ckv_forge_take_apart(docs[1], bundle->ptr, bundle->len, parts, bytes, &err));
    T_EQ(parts->len, ckv_doc_n_changes(doc) * sizeof(ckv_part));
    for (size_t i = 0; i < parts->len; i += sizeof(ckv_part)) {
        ckv_part p;
        ckv_id32 id, author;
        uint8_t nonce[16];
        uint32_t change;
        memcpy(&p, parts->ptr + i, sizeof p);
        ckv_digest_change(&id, &p.lane, bytes->ptr + p.header, p.header_bytes);
        T_CHECK(ckv_id32_eq(&id, &p.id));
        T_EQ(ckv_doc_find(doc, &id, &change), CKV_OK);
        T_EQ(ckv_forge_opening(doc, &p.lane, &author, nonce), CKV_OK);
        T_CHECK(p.has_opening && ckv_id32_eq(&author, &p.author));
        T_CHECK((p.form == 1) == (p.body_bytes > 48));
        signatures += p.has_signature;
    }
    T_EQ(signatures, 3);
    const ckv_id32 nobody = {{0}};
    ckv_id32 author;
    uint8_t nonce[16];
    T_EQ(ckv_forge_opening(doc, &nobody, &author, nonce), CKV_ENOENT);
    T_EQ(ckv_forge_take_apart(doc, bundle->ptr, bundle->len - 1, parts, bytes, &err), CKV_ECORRUPT);
    return CKV_OK;
}

static ckv_status tell_bundles(ckv_alloc a)
{
    ckv_doc *docs[3] = {NULL};
    ckv_buf bundle = ckv_buf_init(a), parts = ckv_buf_init(a), bytes = ckv_buf_init(a);
    ckv_status s = set_up(docs, a);
    if (s == CKV_OK) s = take_apart(docs, &bundle, &parts, &bytes);
    ckv_buf_fini(&bundle);
    ckv_buf_fini(&parts);
    ckv_buf_fini(&bytes);
    tear_down(docs);
    return s;
}

static void a_bundle_comes_apart(void) { T_CHECK(t_oom(tell_bundles) > 20); }

/* Forms of raw changes that a document does not take: to be looked at, a body may be left out; there is no fourth one. */
static void a_body_that_was_left_out_is_looked_at(void)
{
    ckv_doc *doc;
    T_EQ(s_new(&doc, ckv_alloc_libc, 1), CKV_OK);
    const h_lane l = h_lane_of(doc, 2);
    h_change c = h_first(&l);
    h_set(&c, H_NONE, "a key that is too long for a body that stands in its header", H_TRUE);
    T_CHECK(h_close(&c) && c.body.len > CKV_INLINE_BODY_BYTES);
    for (uint8_t form = 3; form < 5; form++) {
        ckv_buf bundle = ckv_buf_init(ckv_alloc_libc), parts = bundle, bytes = bundle;
        ckv_err err;
        h_bundle b = h_bundle_to(doc);
        h_add_slice(&b, h_add_chain(&b, h_add_lane(&b, &l, H_OPENING), true, 0), 1, 1);
        ckv_buf_blob(&b.sections[CKV_SEC_RAW], c.header, c.n_header);
        ckv_buf_u8(&b.sections[CKV_SEC_RAW], form);
        h_add_signature(&b, &c);
        h_pack(&b, &bundle);
        h_report r = h_send_bytes(doc, &bundle);
        T_EQ(r.s, CKV_ECORRUPT);
        T_EQ(strcmp(r.err.text, "bundle: raw changes"), 0);
        h_done(&r);
        T_EQ(ckv_forge_take_apart(doc, bundle.ptr, bundle.len, &parts, &bytes, &err),
             form == 3 ? CKV_OK : CKV_ECORRUPT);
        T_EQ(parts.len, form == 3 ? sizeof(ckv_part) : 0);
        if (parts.len) {
            ckv_part p;
            memcpy(&p, parts.ptr, sizeof p);
            T_CHECK(p.form == 3 && p.body_bytes == 0 && ckv_id32_eq(&p.id, &c.id));
        }
        ckv_buf_fini(&bundle);
        ckv_buf_fini(&parts);
        ckv_buf_fini(&bytes);
    }
    h_free(&c);
    ckv_doc_free(doc);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(a_body_names_things_under_any_header);
    T_RUN(a_bundle_comes_apart);
    T_RUN(a_body_that_was_left_out_is_looked_at);
    return t_done();
}
