/* What a document says of liars and of what is missing: who forked a lane, a proof of it that stands alone, who waits for what. */
#include "by_hand.h"

static ckv_doc *new_doc(void)
{
    ckv_doc *doc;
    T_EQ(s_new(&doc, ckv_alloc_libc, 1), CKV_OK);
    return doc;
}

static h_change story(const h_lane *l, h_change *before, const char *key)
{
    h_change c = before ? h_after(before) : h_first(l);
    h_set(&c, H_NONE, key, H_TRUE);
    return c;
}

/* Each of them signed and applied. */
static void send_each(ckv_doc *doc, h_change *const *changes, size_t n)
{
    h_bundle b = h_bundle_to(doc);
    for (size_t i = 0; i < n; i++) h_tell_one(&b, changes[i]);
    h_report r = h_send(doc, &b);
    for (size_t i = 0; i < n; i++) H_SAID(&r, changes[i], "applied");
    h_done(&r);
}

static size_t equivocations(ckv_doc *doc, ckv_equivocation *out, size_t most)
{
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_doc_equivocations(doc, &b), CKV_OK);
    const size_t n = b.len / sizeof *out;
    T_CHECK(n <= most);
    if (n) memcpy(out, b.ptr, b.len);
    ckv_buf_fini(&b);
    return n;
}

static void proof_holds(ckv_doc *doc, const ckv_equivocation *e)
{
    ckv_buf proof = ckv_buf_init(ckv_alloc_libc);
    ckv_id32 author;
    ckv_err err;
    T_EQ(ckv_doc_proof(doc, e, &proof), CKV_OK);
    T_EQ(ckv_proof_verify(proof.ptr, proof.len, &author, &err), CKV_OK);
    T_CHECK(ckv_id32_eq(&author, &e->author));
    ckv_buf_fini(&proof);
}

/* Two lanes fork at their start and behind a change; on one prong twice more. Each place is told of once, with its two smallest ids. */
static void each_place_where_a_lane_forks_is_told_of(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1), b = h_lane_of(doc, 2), honest = h_lane_of(doc, 3);
    h_change c[12];
    c[0] = story(&a, NULL, "a");
    c[1] = story(&a, NULL, "b");
    c[2] = story(&a, NULL, "c"); /* three at the start */
    c[3] = story(&a, &c[0], "d");
    c[4] = story(&a, &c[0], "e"); /* two behind the first, and two behind the second: one seq */
    c[5] = story(&a, &c[1], "f");
    c[6] = story(&a, &c[1], "g");
    c[7] = story(&b, NULL, "a");
    c[8] = story(&b, &c[7], "b");
    c[9] = story(&b, &c[7], "c");
    c[10] = story(&b, &c[8], "d");
    c[11] = story(&honest, NULL, "a");
    h_change *all[12];
    for (size_t i = 0; i < 12; i++) all[i] = &c[i];
    send_each(doc, all, 12);
    ckv_equivocation e[4];
    T_EQ(equivocations(doc, e, 4), 3);
    size_t of_a = 0;
    for (size_t i = 0; i < 3; i++) {
        T_CHECK(ckv_id32_cmp(&e[i].a, &e[i].b) < 0);
        if (i) T_CHECK(ckv_id32_cmp(&e[i - 1].lane, &e[i].lane) <= 0);
        proof_holds(doc, &e[i]);
        const bool is_a = ckv_id32_eq(&e[i].lane, &a.id);
        T_CHECK(is_a || ckv_id32_eq(&e[i].lane, &b.id));
        if (!is_a) T_EQ(e[i].seq, 1);
        if (is_a) T_EQ(e[i].seq, of_a++);
    }
    T_EQ(of_a, 2);
    for (size_t i = 0; i < 12; i++) h_free(&c[i]);
    ckv_doc_free(doc);
}

/* The signature that proves a prong may stand on another one that leaves it later, or be kept as a cover. */
static void a_proof_takes_the_shortest_way_to_a_signature(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1);
    h_change left = story(&a, NULL, "a"), right = story(&a, NULL, "b"),
             more = story(&a, &left, "c"), other = story(&a, &left, "d"),
             last = story(&a, &other, "e");
    h_bundle b = h_bundle_to(doc);
    h_change *const first[] = {&left, &more}, *const second[] = {&left, &other, &last};
    h_tell(&b, H_OPENING, first, 2); /* left is signed by more, and by last on the other prong */
    h_tell(&b, H_OPENING, second, 3);
    const uint32_t lane = h_add_lane(&b, &a, H_OPENING); /* right by a change that is not here */
    h_change gone = story(&a, &right, "f");
    h_add_slice(&b, h_add_chain(&b, lane, true, 1), 1, 2);
    h_add_raw(&b, &right, H_FITTING);
    h_add_raw(&b, &gone, H_OMITTED);
    h_add_signature(&b, &gone);
    h_report r = h_send(doc, &b);
    H_SAID(&r, &right, "applied");
    H_SAID(&r, &last, "applied");
    h_done(&r);
    T_EQ(doc->covers.len, 1);
    ckv_equivocation e[2];
    T_EQ(equivocations(doc, e, 2), 2);
    for (size_t i = 0; i < 2; i++) proof_holds(doc, &e[i]);
    h_change *const all[] = {&left, &right, &more, &other, &last, &gone};
    for (size_t i = 0; i < 6; i++) h_free(all[i]);
    ckv_doc_free(doc);
}

static void what_is_not_signed_or_not_here_has_no_proof(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1);
    h_change left = story(&a, NULL, "a"), right = story(&a, NULL, "b");
    ckv_buf proof = ckv_buf_init(ckv_alloc_libc);
    H_APPLIED(doc, &left); /* straight through the door: no signature is here */
    H_APPLIED(doc, &right);
    ckv_equivocation e;
    T_EQ(equivocations(doc, &e, 1), 1);
    T_EQ(ckv_doc_proof(doc, &e, &proof), CKV_ENOENT);
    ckv_equivocation unknown = e;
    unknown.a.b[0] ^= 1;
    T_EQ(ckv_doc_proof(doc, &unknown, &proof), CKV_ENOENT);
    unknown = e;
    unknown.lane.b[0] ^= 1;
    T_EQ(ckv_doc_proof(doc, &unknown, &proof), CKV_ENOENT);
    T_EQ(proof.len, 0);
    ckv_buf_fini(&proof);
    h_free(&left);
    h_free(&right);
    ckv_doc_free(doc);
}

/* ---- waiting, missing */

static size_t count_ids(ckv_status (*list)(ckv_doc *, ckv_buf *), ckv_doc *doc, const ckv_id32 *has)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(list(doc, &out), CKV_OK);
    if (has) T_CHECK(h_lists(&out, has));
    const size_t n = out.len / 32;
    ckv_buf_fini(&out);
    return n;
}

static void who_waits_and_for_what(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1), b = h_lane_of(doc, 2), c = h_lane_of(doc, 3);
    h_change here = story(&a, NULL, "a"), gone = story(&a, &here, "b"),
             next = story(&a, &gone, "c"), child = h_first(&b), later = h_first(&c);
    H_APPLIED(doc, &here);
    h_parent(&child, h_close(&next)); /* which waits itself, and is not missing */
    h_parent(&child, h_close(&here));
    ckv_buf_bytes(&later.body, "\4\0", 2);
    later.begun = true;
    h_bundle bundle = h_bundle_to(doc);
    h_tell_one(&bundle, &next);
    h_tell_one(&bundle, &child);
    h_tell_one(&bundle, &later);
    h_report r = h_send(doc, &bundle);
    H_SAID(&r, &next, "waiting");
    h_done(&r);
    T_EQ(count_ids(ckv_doc_waiting, doc, &child.id), 2);
    T_EQ(count_ids(ckv_doc_missing, doc, &gone.id), 1);
    const h_lane d = h_lane_of(doc, 4);
    h_change after_later = h_first(&d);
    h_parent(&after_later, &later.id);
    bundle = h_bundle_to(doc);
    h_tell_one(&bundle, &after_later);
    r = h_send(doc, &bundle);
    H_SAID(&r, &after_later, "waiting");
    h_done(&r);
    T_EQ(count_ids(ckv_doc_missing, doc, &later.id), 2);
    bundle = h_bundle_to(doc);
    h_tell_one(&bundle, &gone);
    r = h_send(doc, &bundle);
    h_done(&r);
    T_EQ(count_ids(ckv_doc_waiting, doc, &after_later.id),
         1); /* places of the others are free now */
    T_EQ(count_ids(ckv_doc_missing, doc, NULL), 1);
    h_change *const all[] = {&here, &gone, &next, &child, &later, &after_later};
    for (size_t i = 0; i < 6; i++) h_free(all[i]);
    ckv_doc_free(doc);
}

/* ---- every allocation */

static ckv_buf liars; /* a bundle of forks, of something that waits and of something for later */

static ckv_status tell_and_prove(ckv_alloc a)
{
    ckv_doc *doc;
    CKV_TRY(s_new(&doc, a, 1));
    h_report r = h_send_bytes(doc, &liars);
    ckv_buf out = ckv_buf_init(a), list = ckv_buf_init(a);
    ckv_status s = r.s;
    h_done(&r);
    if (s == CKV_OK) s = ckv_doc_waiting(doc, &out);
    if (s == CKV_OK) s = ckv_doc_missing(doc, &out);
    if (s == CKV_OK) s = ckv_doc_equivocations(doc, &list);
    for (size_t i = 0; s == CKV_OK && i < list.len; i += sizeof(ckv_equivocation)) {
        ckv_equivocation e;
        memcpy(&e, list.ptr + i, sizeof e);
        s = ckv_doc_proof(doc, &e, &out);
    }
    ckv_buf_clear(&out);
    if (s == CKV_OK) s = ckv_doc_export(doc, NULL, 0, NULL, 0, &out);
    ckv_buf_fini(&out);
    ckv_buf_fini(&list);
    ckv_doc_free(doc);
    return s;
}

static void evidence_survives_every_failure(void)
{
    enum { LIARS = 6 };
    ckv_doc *doc = new_doc();
    h_bundle b = h_bundle_to(doc);
    liars = ckv_buf_init(ckv_alloc_libc);
    const ckv_id32 nobody = {{1}};
    for (uint32_t i = 0; i < LIARS; i++) {
        const h_lane l = h_lane_of(doc, i);
        h_change base = story(&l, NULL, "a"), left = story(&l, &base, "b"),
                 right = story(&l, &base, "c"),
                 more = story(&l, &right, "a longer key than others"), late = story(&l, &more, "d");
        h_change *const prongs[] = {&base, &right, &more};
        if (i % 2) h_parent(&late, &nobody);
        if (i == 0) {
            ckv_buf_clear(&late.body);
            ckv_buf_bytes(&late.body, "\4\0", 2);
        }
        h_tell_one(&b, &base);
        h_tell_one(&b, &left);
        h_tell(&b, H_OPENING, prongs, 3);
        h_tell_one(&b, &late);
        h_change *const all[] = {&base, &left, &right, &more, &late};
        for (size_t k = 0; k < 5; k++) h_free(all[k]);
    }
    h_pack(&b, &liars);
    T_CHECK(h_oom(tell_and_prove) > 100);
    ckv_buf_fini(&liars);
    ckv_doc_free(doc);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(each_place_where_a_lane_forks_is_told_of);
    T_RUN(a_proof_takes_the_shortest_way_to_a_signature);
    T_RUN(what_is_not_signed_or_not_here_has_no_proof);
    T_RUN(who_waits_and_for_what);
    T_RUN(evidence_survives_every_failure);
    return t_done();
}
