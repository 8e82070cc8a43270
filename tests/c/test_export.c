/* Bundles on their way out: stretches of history, what both have, changes of liars and of later versions, every allocation failing once. */
#include "by_hand.h"

static ckv_status write_n(ckv_doc *doc, uint32_t n, bool in_text)
{
    const ckv_value text = {.tag = CKV_TAG_TEXT};
    uint32_t made;
    for (uint32_t i = 0; i < n; i++) {
        const ckv_value v = {.tag = CKV_TAG_INT, .i64 = i};
        if (in_text && i == 0) CKV_TRY(ckv_map_set(doc, CKV_ROOT, "t", 1, &text, &made));
        CKV_TRY(ckv_map_set(doc, CKV_ROOT, "k", 1, &v, &made));
        CKV_TRY(s_commit(doc));
    }
    return CKV_OK;
}

static ckv_doc *open_doc(uint8_t who, uint32_t n)
{
    ckv_doc *doc;
    T_EQ(s_new(&doc, ckv_alloc_libc, who), CKV_OK);
    T_EQ(write_n(doc, n, true), CKV_OK);
    return doc;
}

/* What the heads of two replicas have in common ends each branch. */
static void what_both_have_need_not_be_sent(void)
{
    ckv_doc *a = open_doc(1, 10), *b = open_doc(2, 3), *none;
    ckv_buf common = ckv_buf_init(ckv_alloc_libc), bundle = ckv_buf_init(ckv_alloc_libc);
    T_EQ(s_new(&none, ckv_alloc_libc, 3), CKV_OK);
    T_EQ(ckv_doc_common(a, none, &common), CKV_OK);
    T_EQ(common.len, 0);
    T_EQ(s_send(a, b, ckv_alloc_libc), CKV_OK);
    T_EQ(s_send(b, a, ckv_alloc_libc), CKV_OK);
    T_EQ(write_n(a, 7, false), CKV_OK);
    T_EQ(ckv_doc_common(a, b, &common), CKV_OK);
    T_EQ(common.len, 64); /* the last of a's that b has, and the last of b's */
    T_EQ(ckv_doc_export(a, (const ckv_id32 *)(const void *)common.ptr, 2, NULL, 0, &bundle),
         CKV_OK);
    h_report r = h_send_bytes(b, &bundle);
    T_EQ(r.s, CKV_OK);
    T_EQ(r.of.known, 0);
    T_EQ(r.of.applied.len, 32 * 7);
    h_done(&r);
    ckv_buf_fini(&common);
    ckv_buf_fini(&bundle);
    ckv_doc_free(a);
    ckv_doc_free(b);
    ckv_doc_free(none);
}

/* From `since` to `until`, both by id; what is unknown in `since` is left out, in `until` it is an error. */
static void a_stretch_of_history_is_what_was_asked_for(void)
{
    ckv_doc *a = open_doc(1, 10), *b;
    const ckv_id32 stranger = {{1}};
    ckv_id32 from[2] = {*ckv_ids_at(&a->graph.ids, 2), stranger},
             to[2] = {*ckv_ids_at(&a->graph.ids, 6), stranger};
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc), numbers = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_doc_export(a, NULL, 0, to, 2, &bundle), CKV_ENOENT);
    T_EQ(ckv_doc_select(a, NULL, 0, to, 2, &numbers), CKV_ENOENT);
    T_EQ(ckv_doc_select(a, from, 2, to, 1, &numbers), CKV_OK);
    T_EQ(numbers.len, 4 * sizeof(uint32_t)); /* 3 to 6 */
    ckv_buf_clear(&numbers);
    T_EQ(ckv_doc_select(a, NULL, 0, NULL, 0, &numbers), CKV_OK);
    T_EQ(numbers.len, 10 * sizeof(uint32_t));
    T_EQ(s_new(&b, ckv_alloc_libc, 2), CKV_OK);
    for (int part = 0; part < 2; part++) {
        ckv_buf_clear(&bundle);
        T_EQ(ckv_doc_export(a, part ? from : NULL, part ? 2 : 0, part ? to : from, 1, &bundle),
             CKV_OK);
        h_report r = h_send_bytes(b, &bundle);
        T_EQ(r.s, CKV_OK);
        T_EQ(r.of.applied.len, 32 * (part ? 4 : 3));
        h_done(&r);
    }
    ckv_buf_fini(&bundle);
    ckv_buf_fini(&numbers);
    ckv_doc_free(a);
    ckv_doc_free(b);
}

/* Of another's lane only a part is asked for: headers behind it lead to the signature that its author made. */
static void anothers_signature_is_passed_on_from_where_it_is(void)
{
    ckv_doc *a = open_doc(1, 10), *b, *c;
    T_EQ(s_new(&b, ckv_alloc_libc, 2), CKV_OK);
    T_EQ(s_new(&c, ckv_alloc_libc, 3), CKV_OK);
    T_EQ(s_send(a, b, ckv_alloc_libc), CKV_OK);
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    const ckv_id32 until = *ckv_ids_at(&b->graph.ids, 4);
    T_EQ(ckv_doc_export(b, NULL, 0, &until, 1, &bundle), CKV_OK);
    h_report r = h_send_bytes(c, &bundle);
    T_EQ(r.s, CKV_OK);
    T_EQ(r.of.applied.len, 32 * 5);
    T_EQ(r.of.refused.len, 0);
    h_done(&r);
    T_EQ(c->covers.len, 1);
    ckv_buf_clear(&bundle); /* and on, as it was kept */
    T_EQ(ckv_doc_export(c, NULL, 0, NULL, 0, &bundle), CKV_OK);
    ckv_doc *d;
    T_EQ(s_new(&d, ckv_alloc_libc, 4), CKV_OK);
    r = h_send_bytes(d, &bundle);
    T_EQ(r.of.applied.len, 32 * 5);
    h_done(&r);
    ckv_buf_fini(&bundle);
    ckv_doc_free(a);
    ckv_doc_free(b);
    ckv_doc_free(c);
    ckv_doc_free(d);
}

/* Only what nobody but a later version can read goes along beside the changes; unsigned letters stay. */
static void what_is_for_later_goes_along(void)
{
    ckv_doc *a = open_doc(1, 2), *b;
    h_lane lanes[4];
    h_change c[4];
    const ckv_id32 nobody = {{1}};
    h_bundle bundle = h_bundle_to(a);
    for (uint32_t i = 0; i < 4; i++) {
        lanes[i] = h_lane_of(a, i);
        c[i] = h_first(&lanes[i]);
        if (i < 3) {
            ckv_buf_bytes(&c[i].body, "\4\0", 2);
            for (int k = 0; i && k < 60; k++) ckv_buf_u8(&c[i].body, 0); /* inline, or not */
            c[i].begun = true;
        } else {
            h_parent(&c[i], &nobody);
        }
        if (i != 2) h_tell_one(&bundle, &c[i]);
    }
    h_change more = h_after(&c[2]), *const both[] = {&c[2],
                                                     &more}; /* signed by the next one only */
    h_tell(&bundle, H_OPENING, both, 2);
    h_report r = h_send(a, &bundle);
    for (size_t i = 0; i < 4; i++) H_SAID(&r, &c[i], "waiting");
    h_done(&r);
    T_EQ(a->inbox.n_later, 3);
    T_EQ(s_new(&b, ckv_alloc_libc, 2), CKV_OK);
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_doc_export(a, NULL, 0, NULL, 0, &out), CKV_OK);
    r = h_send_bytes(b, &out);
    T_EQ(r.s, CKV_OK);
    H_SAID(&r, &c[0], "waiting");
    H_SAID(&r, &c[1], "waiting");
    T_EQ(b->inbox.n_later, 2);
    h_done(&r);
    ckv_buf_fini(&out);
    for (size_t i = 0; i < 4; i++) h_free(&c[i]);
    h_free(&more);
    ckv_doc_free(a);
    ckv_doc_free(b);
}

/* ---- every allocation */

static ckv_buf crowd; /* a bundle */

/* Many lanes with many parents, each with a change: chains, openings, parents outside, signatures all grow. */
static ckv_status export_crowd(ckv_alloc a)
{
    ckv_doc *doc;
    ckv_buf out = ckv_buf_init(a), common = ckv_buf_init(a);
    CKV_TRY(s_new(&doc, a, 99));
    h_report r = h_send_bytes(doc, &crowd);
    ckv_status s = r.s;
    h_done(&r);
    if (s == CKV_OK) s = write_n(doc, 20, true);
    const uint32_t n = ckv_doc_n_changes(doc);
    for (uint32_t part = 0; part < 3 && s == CKV_OK;
         part++) { /* all, from the middle on, up to it */
        const ckv_id32 middle = *ckv_ids_at(&doc->graph.ids, n / 2);
        ckv_buf_clear(&out);
        s = ckv_doc_export(doc, &middle, part == 1, part == 2 ? &middle : NULL, part == 2, &out);
        ckv_buf_clear(&out);
        if (s == CKV_OK)
            s = ckv_doc_select(doc, &middle, part == 1, part == 2 ? &middle : NULL, part == 2,
                               &out);
    }
    if (s == CKV_OK) s = ckv_doc_common(doc, doc, &common);
    ckv_buf_fini(&out);
    ckv_buf_fini(&common);
    ckv_doc_free(doc);
    return s;
}

static void an_export_survives_every_failure(void)
{
    enum { LANES = 20 };
    ckv_doc *source;
    T_EQ(s_new(&source, ckv_alloc_libc, 1), CKV_OK);
    h_lane lanes[LANES];
    h_change first[LANES], second[LANES];
    h_bundle b = h_bundle_to(source);
    for (uint32_t i = 0; i < LANES; i++) {
        lanes[i] = h_lane_of(source, i);
        first[i] = h_first(&lanes[i]);
        h_set(&first[i], H_NONE, "t", H_TEXT);
        h_insert(&first[i], H_NONE, H_NONE, h_own(1), "text");
        h_tell_one(&b, &first[i]);
    }
    for (uint32_t i = 0; i < LANES; i++) {
        second[i] = h_after(&first[i]);
        for (uint32_t k = 0; k < i && k < 8; k++) h_parent(&second[i], &first[k].id);
        if (i % 3) h_delete(&second[i], h_own(2), 1);
        if (i % 4 == 0) h_mark(&second[i], 0, h_own(3), H_NONE, H_NONE); /* travels raw */
        if (i % 7 == 0) h_delete(&second[i], h_own(90), 1);              /* void */
        h_tell_one(&b, &second[i]);
    }
    crowd = ckv_buf_init(ckv_alloc_libc);
    h_pack(&b, &crowd);
    h_report r = h_send_bytes(source, &crowd);
    T_EQ(r.s, CKV_OK);
    T_EQ(r.of.refused.len, 0);
    T_EQ(r.of.voided.len, 32 * 3);
    h_done(&r);
    T_CHECK(h_oom(export_crowd) > 100);
    for (uint32_t i = 0; i < LANES; i++) h_free(&first[i]), h_free(&second[i]);
    ckv_buf_fini(&crowd);
    ckv_doc_free(source);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(what_both_have_need_not_be_sent);
    T_RUN(a_stretch_of_history_is_what_was_asked_for);
    T_RUN(anothers_signature_is_passed_on_from_where_it_is);
    T_RUN(what_is_for_later_goes_along);
    T_RUN(an_export_survives_every_failure);
    return t_done();
}
