/* A bundle on its way into the document: what signatures cover, what waits and is released, what proves changes whose signed successor is not here. */
#include "by_hand.h"

#include "doc/peer.h"

static ckv_doc *new_doc(void)
{
    ckv_doc *doc;
    T_EQ(s_new(&doc, ckv_alloc_libc, 1), CKV_OK);
    return doc;
}

/* A body that only a later version can read. */
static void make_later(h_change *c)
{
    ckv_buf_bytes(&c->body, "\4\0", 2);
    c->begun = true;
}

/* ---- signatures */

#define LONG_RUN "a run of more than 1,024 changes or 256 KiB under one signature"

/* n empty changes of a lane in columns, signed at the last. */
static h_report send_empty(ckv_doc *doc, const h_lane *l, uint32_t n, h_change *last)
{
    h_bundle b = h_bundle_to(doc);
    static const int columns[] = {CKV_SEC_N_OPS, CKV_SEC_PARENTS, CKV_SEC_TIMES};
    h_add_slice(&b, h_add_column_chain(&b, h_add_lane(&b, l, H_OPENING), 0, 0, NULL, true, n - 1),
                0, n);
    for (size_t i = 0; i < 3; i++) {
        ckv_buf_u8(&b.sections[columns[i]], 0);
        ckv_buf_varint(&b.sections[columns[i]], n);
    }
    *last = h_first(l);
    for (uint32_t i = 1; i < n; i++) {
        h_change next = h_after(last);
        h_free(last);
        *last = next;
    }
    h_add_signature(&b, last);
    return h_send(doc, &b);
}

static void a_run_has_at_most_1024_changes(void)
{
    ckv_doc *doc = new_doc();
    const h_lane l = h_lane_of(doc, 1), other = h_lane_of(doc, 2);
    h_change last;
    h_report r = send_empty(doc, &l, 1025, &last);
    H_SAID_KIND(&r, &last, LONG_RUN, CKV_REFUSED_LIMIT);
    T_EQ(r.of.refused.len, 1025 * sizeof(ckv_refusal));
    h_done(&r);
    h_free(&last);
    r = send_empty(doc, &other, 1024, &last);
    H_SAID(&r, &last, "applied");
    h_done(&r);
    h_free(&last);
    r = send_empty(doc, &other, 1030, &last); /* what is here starts the count anew */
    H_SAID(&r, &last, "applied");
    T_EQ(r.of.known, 1024);
    h_done(&r);
    h_free(&last);
    ckv_doc_free(doc);
}

static void a_run_has_at_most_256_kib(void)
{
    ckv_doc *doc = new_doc();
    for (uint32_t i = 0; i < 2; i++) {
        const h_lane l = h_lane_of(doc, i);
        char *text = malloc(CKV_RUN_BYTES + 1);
        T_CHECK(text);
        memset(text, 'x', CKV_RUN_BYTES);
        text[CKV_RUN_BYTES] = 0;
        h_change big = h_first(&l), next, *const all[] = {&big, &next};
        h_set(&big, H_NONE, "t", H_TEXT);
        h_insert(&big, H_NONE, H_NONE, h_own(1), text);
        next = h_after(&big);
        h_bundle b = h_bundle_to(doc);
        h_tell(&b, H_OPENING, all, i + 1); /* the body of the signed one does not count */
        h_report r = h_send(doc, &b);
        H_SAID(&r, &big, i ? LONG_RUN : "applied");
        h_done(&r);
        h_free(&big);
        h_free(&next);
        free(text);
    }
    ckv_doc_free(doc);
}

static void what_no_signature_covers_is_refused(void)
{
    ckv_doc *doc = new_doc();
    enum { NONE, FIRST, BAD, BAD_AND_GOOD, STRANGER };
    for (uint32_t i = NONE; i <= STRANGER; i++) {
        const h_lane l = h_lane_of(doc, i);
        h_change first = h_first(&l), second = h_after(&first);
        h_bundle b = h_bundle_to(doc);
        const uint32_t lane = h_add_lane(&b, &l, i == STRANGER ? H_ID_ONLY : H_OPENING);
        if (i == BAD_AND_GOOD) {
            ckv_buf_varint(&b.chains, lane);
            ckv_buf_bytes(&b.chains, "\0\2\0\0", 4); /* at the first and the second */
            b.n_chains++;
        } else {
            h_add_chain(&b, lane, i != NONE, 0);
        }
        h_add_slice(&b, 0, 1, 2);
        h_add_raw(&b, &first, H_FITTING);
        h_add_raw(&b, &second, H_FITTING);
        if (i != NONE) h_add_signature(&b, &first);
        if (i == BAD || i == BAD_AND_GOOD) b.sections[CKV_SEC_SIGNATURES].ptr[0] ^= 1;
        if (i == BAD_AND_GOOD) h_add_signature(&b, &second);
        h_report r = h_send(doc, &b);
        static const char *const said[][2] = {
            [NONE] = {"unsigned", "unsigned"},
            [FIRST] = {"applied", "unsigned"},
            [BAD] = {"the signature does not hold", "the signature does not hold"},
            [BAD_AND_GOOD] = {"applied", "applied"},
            [STRANGER] = {"the lane's opening is missing", "the lane's opening is missing"}};
        H_SAID(&r, &first, said[i][0]);
        H_SAID(&r, &second, said[i][1]);
        if (i == BAD) H_SAID_KIND(&r, &first, said[i][0], CKV_REFUSED_SIGNATURE);
        h_done(&r);
        h_free(&first);
        h_free(&second);
    }
    ckv_doc_free(doc);
}

/* An unsigned copy of what is here, waits, or comes signed in the same bundle was known. */
static void a_copy_without_signature_is_known_all_the_same(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1), b = h_lane_of(doc, 2);
    h_change here = h_first(&a), waits = h_first(&b);
    const ckv_id32 nobody = {{1}};
    h_parent(&waits, &nobody);
    h_change *const all[] = {&here, &waits};
    h_bundle bundle;
    for (int round = 0; round < 3; round++) {
        bundle = h_bundle_to(doc);
        for (size_t i = 0; i < 2; i++) {
            const uint32_t lane = h_add_lane(&bundle, all[i]->lane, H_OPENING);
            if (round != 2) { /* signed at first, then not */
                h_add_slice(&bundle, h_add_chain(&bundle, lane, false, 0), 1, 1);
                h_add_raw(&bundle, all[i], H_FITTING);
            }
            if (round == 1) continue;
            h_add_slice(&bundle, h_add_chain(&bundle, lane, true, 0), 1, 1);
            h_add_raw(&bundle, all[i], H_FITTING);
            h_add_signature(&bundle, all[i]);
        }
        h_report r = h_send(doc, &bundle);
        T_EQ(r.of.refused.len, 0);
        T_EQ(r.of.known, 2);
        H_SAID(&r, &here, round ? "" : "applied");
        H_SAID(&r, &waits, round ? "" : "waiting");
        h_done(&r);
    }
    h_free(&here);
    h_free(&waits);
    ckv_doc_free(doc);
}

/* ---- our own lane, in another copy of us */

static ckv_doc *copy_of_us(ckv_alloc a)
{
    ckv_doc *doc;
    s_one_lane_each = true;
    return s_new(&doc, a, 5) == CKV_OK ? doc : NULL;
}

static ckv_status write_one(ckv_doc *doc, int64_t i)
{
    const ckv_value v = {.tag = CKV_TAG_INT, .i64 = i};
    uint32_t made;
    CKV_TRY(ckv_map_set(doc, CKV_ROOT, "k", 1, &v, &made));
    return s_commit(doc);
}

/* A signature on what we wrote and never signed is welcome. */
static ckv_status copies_sign_for_us(ckv_alloc a)
{
    enum { N = 12 };
    ckv_doc *us = copy_of_us(a), *copy = copy_of_us(ckv_alloc_libc);
    ckv_status s = us ? CKV_OK : CKV_ENOMEM;
    for (int i = 0; i < N && s == CKV_OK; i++) s = write_one(us, i);
    for (int i = 0; i < N && s == CKV_OK; i++) {
        ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
        T_EQ(write_one(copy, i), CKV_OK);
        T_EQ(ckv_doc_export(copy, NULL, 0, NULL, 0, &bundle), CKV_OK); /* signs */
        h_report r = h_send_bytes(us, &bundle);
        s = r.s;
        if (s == CKV_OK) {
            T_EQ(r.of.known, i + 1);
            T_CHECK(ckv_lanes_covered(&us->graph.lanes, 0, (uint32_t)i));
        }
        h_done(&r);
        ckv_buf_fini(&bundle);
    }
    ckv_doc_free(us);
    ckv_doc_free(copy);
    s_one_lane_each = false;
    return s;
}

static void a_copy_may_sign_for_us(void) { T_CHECK(t_oom(copies_sign_for_us) > 20); }

/* A commit that fails may leave our lane without a change; what comes from a copy of us fills it. */
static void a_lane_of_ours_may_be_empty(void)
{
    t_faulty f = {.until_fail = -1};
    ckv_doc *us = copy_of_us((ckv_alloc){t_faulty_fn, &f}), *copy = copy_of_us(ckv_alloc_libc);
    const ckv_value v = {.tag = CKV_TAG_TRUE};
    ckv_savepoint savepoint;
    uint32_t made;
    T_EQ(write_one(copy, 1), CKV_OK);
    T_EQ(ckv_doc_savepoint(us, &savepoint), CKV_OK);
    T_EQ(ckv_map_set(us, CKV_ROOT, "a", 1, &v, &made), CKV_OK);
    for (int64_t n = 0; us->own_lane == CKV_NONE; n++) {
        f.until_fail = n;
        T_EQ(s_commit(us), CKV_ENOMEM);
    }
    f.until_fail = -1;
    ckv_doc_rollback(us, savepoint);
    T_EQ(ckv_lanes_lane(&us->graph.lanes, us->own_lane)->n_branches, 0);
    T_EQ(s_send(copy, us, ckv_alloc_libc), CKV_OK);
    s_check(us);
    T_EQ(ckv_doc_n_changes(us), 1);
    T_EQ(write_one(us, 2), CKV_OK); /* goes on behind it */
    T_EQ(ckv_doc_n_changes(us), 2);
    T_EQ(ckv_lanes_lane(&us->graph.lanes, us->own_lane)->n_branches, 1);
    ckv_doc_free(us);
    ckv_doc_free(copy);
    s_one_lane_each = false;
}

/* ---- waiting, released */

static void what_is_released_is_judged(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1), b = h_lane_of(doc, 2), c = h_lane_of(doc, 3),
                 d = h_lane_of(doc, 4), e = h_lane_of(doc, 5);
    ckv_id32 nobody;
    memset(&nobody, 0xff, sizeof nobody);
    h_change base = h_first(&a), stolen = h_first(&b), later = h_first(&c), more = h_first(&d),
             bad = h_first(&e);
    h_close(&base);
    stolen.seq = 1, stolen.has_prev = true, stolen.prev = base.id;
    make_later(&later);
    h_parent(&later, &base.id);
    h_parent(&bad, &base.id);
    h_delete(&bad, h_own(1), 1);
    h_parent(&more, &base.id);
    h_parent(&more, &nobody); /* the greater id, so that it waits for base first */
    h_change *const all[] = {&stolen, &later, &more, &bad};
    h_bundle bundle = h_bundle_to(doc);
    for (size_t i = 0; i < 4; i++) h_tell_one(&bundle, all[i]);
    h_report r = h_send(doc, &bundle);
    for (size_t i = 0; i < 4; i++) H_SAID(&r, all[i], "waiting");
    h_done(&r);
    bundle = h_bundle_to(doc);
    h_tell_one(&bundle, &base);
    r = h_send(doc, &bundle);
    H_SAID(&r, &base, "applied");
    H_SAID(&r, &stolen, "prev is of another lane");
    H_SAID(&r, &later, "waiting");
    H_SAID(&r, &more, "");
    H_SAID(&r, &bad, "void");
    h_done(&r);
    T_EQ(doc->inbox.n_waiting, 1);
    T_EQ(doc->inbox.n_later, 1);
    h_free(&base);
    for (size_t i = 0; i < 4; i++) h_free(all[i]);
    ckv_doc_free(doc);
}

/* In the order of the bundle the child comes first: it waits, is released, and the report says applied. */
static void what_waited_for_the_same_bundle_did_not_wait(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1), b = h_lane_of(doc, 2), c = h_lane_of(doc, 3);
    h_change parent = h_first(&a), child = h_first(&b), orphan = h_first(&c);
    const ckv_id32 nobody = {{1}};
    h_parent(&child, h_close(&parent));
    h_parent(&orphan, &nobody);
    h_change *const all[] = {&child, &orphan, &parent, &child};
    h_bundle bundle = h_bundle_to(doc);
    for (size_t i = 0; i < 4; i++) h_tell_one(&bundle, all[i]); /* the child once more, behind it */
    h_report r = h_send(doc, &bundle);
    H_SAID(&r, &child, "applied");
    H_SAID(&r, &parent, "applied");
    H_SAID(&r, &orphan, "waiting");
    T_EQ(r.of.waiting.len, 32);
    T_EQ(r.of.known, 1);
    h_done(&r);
    for (size_t i = 0; i < 3; i++) h_free(all[i]);
    ckv_doc_free(doc);
}

static void a_full_pool_refuses(void)
{
    ckv_doc *doc = new_doc();
    const h_lane l = h_lane_of(doc, 1);
    const ckv_id32 nobody = {{1}};
    h_change c = h_first(&l);
    h_parent(&c, &nobody);
    doc->inbox.limit = 1;
    h_bundle b = h_bundle_to(doc);
    h_tell_one(&b, &c);
    h_report r = h_send(doc, &b);
    H_SAID_KIND(&r, &c, "the waiting pool is full", CKV_REFUSED_LIMIT);
    h_done(&r);
    h_free(&c);
    ckv_doc_free(doc);
}

/* ---- the founder, blocks */

static void the_founder_is_learned_from_a_bundle(void)
{
    const uint8_t seed[32] = {3};
    ckv_identity who;
    ckv_doc *founded, *joined;
    ckv_identity_from_seed(&who, seed);
    const ckv_env env = {.alloc = ckv_alloc_libc};
    T_EQ(ckv_doc_new(&founded, &env, &who, NULL), CKV_OK);
    T_EQ(ckv_doc_new(&joined, &env, &who, &founded->id), CKV_OK);
    T_CHECK(!joined->has_founder);
    for (int round = 0; round < 2; round++) {
        T_EQ(s_send(founded, joined, ckv_alloc_libc), CKV_OK);
        T_CHECK(joined->has_founder);
        T_BYTES(&joined->founder, 32, &who.public_key, 32);
        T_BYTES(joined->founder_nonce, 16, founded->founder_nonce, 16);
    }
    ckv_doc_free(founded);
    ckv_doc_free(joined);
}

/* A savepoint that is released later, without edits, does not mind. */
static void a_bundle_may_come_between_savepoint_and_release(void)
{
    ckv_doc *doc = new_doc(), *other = new_doc();
    ckv_savepoint savepoint;
    T_EQ(write_one(other, 1), CKV_OK);
    T_EQ(ckv_doc_savepoint(doc, &savepoint), CKV_OK);
    T_EQ(s_send(other, doc, ckv_alloc_libc), CKV_OK);
    ckv_doc_release(doc, savepoint);
    s_check(doc);
    T_EQ(ckv_doc_n_changes(doc), 1);
    ckv_doc_free(doc);
    ckv_doc_free(other);
}

/* ---- covers */

/* A chain that ends with a signed change whose body does not come along: what is before it is accepted. */
static void tell_with_omitted(h_bundle *b, h_change *const *changes, uint32_t n)
{
    const uint32_t lane = h_add_lane(b, changes[0]->lane, H_OPENING);
    h_add_slice(b, h_add_chain(b, lane, true, n - 1), 1, n);
    for (uint32_t i = 0; i < n; i++) h_add_raw(b, changes[i], i == n - 1 ? H_OMITTED : H_FITTING);
    h_add_signature(b, changes[n - 1]);
}

static void what_proves_a_change_is_kept_and_passed_on(void)
{
    ckv_doc *doc = new_doc(), *next = new_doc();
    const h_lane a = h_lane_of(doc, 1), b = h_lane_of(doc, 2);
    h_change x[3], y[2];
    x[0] = h_first(&a);
    for (size_t i = 1; i < 3; i++) x[i] = h_after(&x[i - 1]);
    y[0] = h_first(&b);
    y[1] = h_after(&y[0]);
    h_change *const first[] = {&x[0], &x[1], &x[2]}, *const second[] = {&y[0], &y[1]};
    h_bundle bundle = h_bundle_to(doc);
    h_tell(&bundle, H_OPENING, first, 1); /* branch 0 is there first, and needs no cover yet */
    tell_with_omitted(&bundle, second, 2);
    h_report r = h_send(doc, &bundle);
    H_SAID(&r, &y[0], "applied");
    h_done(&r);
    T_EQ(doc->covers.len, 1);
    for (int round = 0; round < 2; round++) { /* its cover goes before that of branch 1; once */
        bundle = h_bundle_to(doc);
        tell_with_omitted(&bundle, first, 3);
        r = h_send(doc, &bundle);
        H_SAID(&r, &x[1], round ? "" : "applied");
        h_done(&r);
        T_EQ(doc->covers.len, 2);
        T_EQ(doc->covers.ptr[0].branch, 0);
        T_EQ(doc->covers.ptr[1].branch, 1);
    }
    T_EQ(s_send(doc, next, ckv_alloc_libc), CKV_OK);
    T_EQ(ckv_doc_n_changes(next), 3);
    T_EQ(next->covers.len, 2);
    for (size_t i = 0; i < 3; i++) h_free(&x[i]);
    for (size_t i = 0; i < 2; i++) h_free(&y[i]);
    ckv_doc_free(doc);
    ckv_doc_free(next);
}

/* What is not here may break a rule: its header is all that is needed of it. */
static void a_header_that_breaks_a_rule_carries_a_signature(void)
{
    ckv_doc *doc = new_doc();
    const h_lane l = h_lane_of(doc, 1);
    h_change good = h_first(&l), bad = h_after(&good), *const both[] = {&good, &bad};
    for (uint8_t i = 0; i <= CKV_MAX_PARENTS; i++) h_parent(&bad, &(ckv_id32){{i}});
    h_bundle b = h_bundle_to(doc);
    tell_with_omitted(&b, both, 2);
    h_report r = h_send(doc, &b);
    H_SAID(&r, &good, "applied");
    H_SAID(&r, &bad, "");
    h_done(&r);
    h_free(&good);
    h_free(&bad);
    ckv_doc_free(doc);
}

/* ---- limits that are not about one change */

/* A lane of 1,024 tips takes one more when a change behind it in the bundle builds on it, and no other. */
static void a_tip_too_many_is_taken_with_its_child(void)
{
    ckv_doc *doc = new_doc();
    const h_lane liar = h_lane_of(doc, 1), honest = h_lane_of(doc, 2);
    h_bundle b = h_bundle_to(doc);
    const uint32_t lane = h_add_lane(&b, &liar, H_OPENING);
    h_change needed = {0}, idle = {0};
    for (uint32_t i = 0; i < CKV_MAX_TIPS + 2; i++) {
        char key[8];
        snprintf(key, sizeof key, "%u", (unsigned)i);
        h_change c = h_first(&liar);
        h_set(&c, (ckv_ref){CKV_REF_NONE, 0}, key, "\0\0");
        h_add_slice(&b, h_add_chain(&b, lane, true, 0), 1, 1);
        h_add_raw(&b, &c, H_FITTING);
        h_add_signature(&b, &c);
        if (i == CKV_MAX_TIPS)
            needed = c;
        else if (i > CKV_MAX_TIPS)
            idle = c;
        else
            h_free(&c);
    }
    h_change child = h_first(&honest);
    h_parent(&child, &needed.id);
    h_tell_one(&b, &child);
    h_report r = h_send(doc, &b);
    H_SAID(&r, &child, "applied");
    H_SAID(&r, &needed, "applied");
    H_SAID_KIND(&r, &idle, "the lane has 1,024 tips", CKV_REFUSED_LIMIT);
    T_EQ(r.of.refused.len, sizeof(ckv_refusal));
    h_done(&r);
    h_free(&needed);
    h_free(&idle);
    h_free(&child);
    ckv_doc_free(doc);
}

/* Two runs of a chain wait, each under its own signature; one is for later. What is released is covered by what comes with it. */
static ckv_status runs_wait(ckv_alloc a)
{
    ckv_doc *doc = NULL;
    ckv_status s = s_new(&doc, a, 1);
    if (s != CKV_OK) return s;
    const h_lane l = h_lane_of(doc, 1), other = h_lane_of(doc, 2);
    h_change base = h_first(&other), x[4];
    h_close(&base);
    x[0] = h_first(&l);
    h_parent(&x[0], &base.id);
    for (size_t i = 1; i < 4; i++) {
        x[i] = h_after(&x[i - 1]);
        if (i == 2) make_later(&x[i]);
    }
    h_bundle b = h_bundle_to(doc);
    const uint32_t lane = h_add_lane(&b, &l, H_OPENING);
    ckv_buf_varint(&b.chains, lane);
    ckv_buf_bytes(&b.chains, "\0\2\1\1", 4); /* raw, signed at 1 and 3 */
    h_add_slice(&b, b.n_chains++, 1, 4);
    for (size_t i = 0; i < 4; i++) h_add_raw(&b, &x[i], H_FITTING);
    h_add_signature(&b, &x[1]);
    h_add_signature(&b, &x[3]);
    ckv_buf first = ckv_buf_init(ckv_alloc_libc), second = ckv_buf_init(ckv_alloc_libc);
    h_pack(&b, &first);
    b = h_bundle_to(doc);
    h_tell_one(&b, &base);
    h_pack(&b, &second);
    const ckv_buf *const bundles[] = {&first, &second};
    for (size_t i = 0; i < 2 && s == CKV_OK; i++) {
        ckv_report report;
        ckv_err err;
        ckv_report_init(&report, a);
        s = ckv_doc_apply(doc, bundles[i]->ptr, bundles[i]->len, &report, &err);
        ckv_report_fini(&report);
        s_check(doc);
    }
    if (s == CKV_OK) {
        T_EQ(ckv_doc_n_changes(doc), 3);
        T_EQ(doc->inbox.n_later, 1);
        T_EQ(doc->inbox.n_waiting, 1);
        T_EQ(doc->covers.len, 0);
    }
    ckv_buf_fini(&first);
    ckv_buf_fini(&second);
    h_free(&base);
    for (size_t i = 0; i < 4; i++) h_free(&x[i]);
    ckv_doc_free(doc);
    return s;
}

/* What waits under a signature on a change that does not come is covered by its header when it is released. */
static ckv_status a_cover_waits(ckv_alloc a)
{
    ckv_doc *doc = NULL;
    ckv_status s = s_new(&doc, a, 1);
    if (s != CKV_OK) return s;
    const h_lane l = h_lane_of(doc, 1), other = h_lane_of(doc, 2);
    h_change base = h_first(&other), x[2], *const both[] = {&x[0], &x[1]};
    x[0] = h_first(&l);
    h_parent(&x[0], h_close(&base));
    x[1] = h_after(&x[0]);
    ckv_buf bundles[2] = {ckv_buf_init(ckv_alloc_libc), ckv_buf_init(ckv_alloc_libc)};
    h_bundle b = h_bundle_to(doc);
    tell_with_omitted(&b, both, 2);
    h_pack(&b, &bundles[0]);
    b = h_bundle_to(doc);
    h_tell_one(&b, &base);
    h_pack(&b, &bundles[1]);
    for (size_t i = 0; i < 2 && s == CKV_OK; i++) {
        ckv_report report;
        ckv_err err;
        ckv_report_init(&report, a);
        s = ckv_doc_apply(doc, bundles[i].ptr, bundles[i].len, &report, &err);
        ckv_report_fini(&report);
        s_check(doc);
    }
    T_CHECK(s != CKV_OK || (ckv_doc_n_changes(doc) == 2 && doc->covers.len == 1));
    for (size_t i = 0; i < 2; i++) {
        ckv_buf_fini(&bundles[i]);
        h_free(&x[i]);
    }
    h_free(&base);
    ckv_doc_free(doc);
    return s;
}

static void a_cover_waits_with_what_it_proves(void) { T_CHECK(t_oom(a_cover_waits) > 20); }

static void two_runs_wait(void) { T_CHECK(t_oom(runs_wait) > 20); }

/* ---- every allocation: all of the above, bundle after bundle; each is taken in whole or not at all */

enum { STEPS = 6, CROWD = 24 };
static ckv_buf steps[STEPS];

static void pack_steps(void)
{
    ckv_doc *doc = new_doc();
    h_lane lanes[CROWD + 6];
    h_change c[CROWD + 6], forks[3], chain[CROWD], *ptr[CROWD];
    const ckv_id32 nobody = {{1}};
    h_bundle b = h_bundle_to(doc);
    for (uint32_t i = 0; i < CROWD + 6; i++) lanes[i] = h_lane_of(doc, i);
    for (size_t i = 0; i < STEPS; i++) steps[i] = ckv_buf_init(ckv_alloc_libc);

    /* 0: a lane that forks; a change that proves nothing by itself; a void one */
    forks[0] = h_first(&lanes[0]);
    for (int i = 1; i < 3; i++) forks[i] = h_first(&lanes[0]);
    h_set(&forks[1], H_NONE, "a", H_TRUE);
    h_set(&forks[2], H_NONE, "b", H_TRUE);
    for (int i = 0; i < 3; i++) h_tell_one(&b, &forks[i]);
    c[1] = h_first(&lanes[1]);
    c[2] = h_after(&c[1]);
    h_change *const covered[] = {&c[1], &c[2]};
    tell_with_omitted(&b, covered, 2);
    h_pack(&b, &steps[0]);
    h_free(&c[1]);
    h_free(&c[2]);

    /* 1: a long chain whose prevs are known without looking; refused ones; covers; void ones */
    b = h_bundle_to(doc);
    chain[0] = h_first(&lanes[3]);
    for (uint32_t i = 0; i < CROWD; i++) {
        if (i) chain[i] = h_after(&chain[i - 1]);
        h_set(&chain[i], H_NONE, "k", H_TRUE);
        ptr[i] = &chain[i];
    }
    h_tell(&b, H_OPENING, ptr, CROWD);
    for (uint32_t i = 0; i < CROWD; i++) {
        c[i] = h_first(&lanes[i + 6]);
        if (i % 4 == 0) h_delete(&c[i], h_own(1), 1); /* void */
        if (i % 4 == 1) {                             /* refused */
            const uint32_t lane = h_add_lane(&b, c[i].lane, H_OPENING);
            h_add_slice(&b, h_add_chain(&b, lane, false, 0), 1, 1);
            h_add_raw(&b, &c[i], H_FITTING);
        } else if (i % 4 == 2) {
            h_change more = h_after(&c[i]), *const both[] = {&c[i], &more};
            h_set(&more, H_NONE, "a long key, so that covers have some size", H_TRUE);
            tell_with_omitted(&b, both, 2);
            h_free(&more);
        } else {
            h_tell_one(&b, &c[i]);
        }
    }
    h_pack(&b, &steps[1]);

    /* 2: a longer chain, of whose ids nobody asks */
    b = h_bundle_to(doc);
    h_change more[2 * CROWD], *longer[2 * CROWD];
    for (uint32_t i = 0; i < 2 * CROWD; i++) {
        more[i] = i ? h_after(&more[i - 1]) : h_first(&lanes[5]);
        longer[i] = &more[i];
    }
    h_tell(&b, H_OPENING, longer, 2 * CROWD);
    h_pack(&b, &steps[2]);
    for (uint32_t i = 0; i < 2 * CROWD; i++) h_free(&more[i]);

    /* 3: the forked lane again: whether its changes are here must be looked up */
    b = h_bundle_to(doc);
    for (int i = 0; i < 3; i++) h_tell_one(&b, &forks[i]);
    h_pack(&b, &steps[3]);

    /* 4: many that wait for one, and for nobody; one for a later version */
    b = h_bundle_to(doc);
    h_change base = h_first(&lanes[4]);
    h_close(&base);
    for (uint32_t i = 0; i < CROWD; i++) {
        h_free(&c[i]);
        c[i] = h_first(&lanes[i + 6]);
        if (i % 2) h_set(&c[i], H_NONE, "k", H_TRUE);
        c[i].message = "waits";
        h_parent(&c[i], i % 3 ? &base.id : &nobody);
        if (i % 5 == 0) make_later(&c[i]);
        h_tell_one(&b, &c[i]);
    }
    h_pack(&b, &steps[4]);

    /* 5: which comes */
    b = h_bundle_to(doc);
    h_tell_one(&b, &base);
    h_pack(&b, &steps[5]);
    for (uint32_t i = 0; i < CROWD; i++) h_free(&c[i]), h_free(&chain[i]);
    for (int i = 0; i < 3; i++) h_free(&forks[i]);
    h_free(&base);
    ckv_doc_free(doc);
}

static ckv_status take_all(ckv_alloc a)
{
    ckv_doc *doc;
    s_nonces = 0;
    CKV_TRY(s_new(&doc, a, 1));
    ckv_doc_watch(doc, true);
    ckv_status s = CKV_OK;
    ckv_peer peer = ckv_peer_init(doc);
    ckv_buf ids = ckv_buf_init(a);
    for (size_t i = 0; i < STEPS && s == CKV_OK; i++) {
        const uint32_t n = ckv_doc_n_changes(doc);
        const size_t waiting = doc->inbox.n_waiting, covers = doc->covers.len,
                     voids = doc->voids.len;
        h_report r;
        ckv_report_init(&r.of, a);
        s = ckv_peer_apply(&peer, doc, steps[i].ptr, steps[i].len, &r.of, &ids, &r.err);
        if (s != CKV_OK) {
            T_EQ(ckv_doc_n_changes(doc), n);
            T_EQ(doc->inbox.n_waiting, waiting);
            T_EQ(doc->covers.len, covers);
            T_EQ(doc->voids.len, voids);
            T_EQ(r.of.applied.len + r.of.refused.len + r.of.known, 0);
        }
        h_done(&r);
    }
    ckv_peer_fini(&peer, doc);
    ckv_buf_fini(&ids);
    ckv_doc_free(doc);
    return s;
}

static void each_bundle_survives_every_failure(void)
{
    pack_steps();
    T_CHECK(h_oom(take_all) > 200);
    for (size_t i = 0; i < STEPS; i++) ckv_buf_fini(&steps[i]);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(a_run_has_at_most_1024_changes);
    T_RUN(a_run_has_at_most_256_kib);
    T_RUN(what_no_signature_covers_is_refused);
    T_RUN(a_copy_without_signature_is_known_all_the_same);
    T_RUN(a_copy_may_sign_for_us);
    T_RUN(a_lane_of_ours_may_be_empty);
    T_RUN(what_is_released_is_judged);
    T_RUN(what_waited_for_the_same_bundle_did_not_wait);
    T_RUN(a_full_pool_refuses);
    T_RUN(the_founder_is_learned_from_a_bundle);
    T_RUN(a_bundle_may_come_between_savepoint_and_release);
    T_RUN(what_proves_a_change_is_kept_and_passed_on);
    T_RUN(a_header_that_breaks_a_rule_carries_a_signature);
    T_RUN(a_tip_too_many_is_taken_with_its_child);
    T_RUN(two_runs_wait);
    T_RUN(a_cover_waits_with_what_it_proves);
    T_RUN(each_bundle_survives_every_failure);
    return t_done();
}
