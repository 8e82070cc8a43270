/* The door: may a change enter at all? Ancestors of the right lanes, room for one more tip, a body that is kept although it is void. */
#include "by_hand.h"

#include "doc/forge.h"

static ckv_doc *new_doc(void)
{
    ckv_doc *doc;
    T_EQ(s_new(&doc, ckv_alloc_libc, 1), CKV_OK);
    return doc;
}

static int by_id(const void *a, const void *b)
{
    return ckv_id32_cmp(&((const h_change *)a)->id, &((const h_change *)b)->id);
}

static void ancestors_are_of_the_right_lanes(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1), b = h_lane_of(doc, 2);
    h_change first = h_first(&a), second = h_after(&first), other = h_first(&b);
    H_APPLIED(doc, &first);
    H_APPLIED(doc, &second);
    H_APPLIED(doc, &other);
    h_change stolen = h_first(&b), late = h_after(&second), early = h_after(&second),
             cousin = h_after(&first);
    stolen.seq = 1, stolen.has_prev = true, stolen.prev = first.id;
    H_REFUSED(doc, &stolen, "prev is of another lane");
    late.seq++;
    H_REFUSED(doc, &late, "seq is not that of prev and one");
    early.seq--;
    H_REFUSED(doc, &early, "seq is not that of prev and one");
    h_parent(&cousin, &second.id);
    H_REFUSED(doc, &cousin, "a parent is of the own lane");
    h_change *const all[] = {&first, &second, &other, &stolen, &late, &early, &cousin};
    for (size_t i = 0; i < 7; i++) h_free(all[i]);
    ckv_doc_free(doc);
}

/* Whoever waits for a change makes it welcome even then. */
static void a_lane_has_at_most_1024_tips(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1), b = h_lane_of(doc, 2);
    h_change c;
    for (uint32_t i = 0; i <= CKV_MAX_TIPS; i++) {
        char story[8];
        (void)snprintf(story, sizeof story, "%u", i);
        c = h_first(&a);
        c.message = story;
        if (i < CKV_MAX_TIPS) {
            ckv_judgement j;
            T_EQ(h_try(doc, &c, &j), CKV_OK);
            T_EQ(j.verdict, CKV_APPLIED);
        } else {
            H_REFUSED(doc, &c, "the lane has 1,024 tips");
            T_EQ(ckv_doc_n_changes(doc), CKV_MAX_TIPS);
        }
        if (i < CKV_MAX_TIPS) h_free(&c);
    }
    h_change child = h_first(&b);
    h_parent(&child, &c.id);
    h_bundle bundle = h_bundle_to(doc);
    h_tell_one(&bundle, &child);
    h_report r = h_send(doc, &bundle);
    H_SAID(&r, &child, "waiting");
    h_done(&r);
    H_APPLIED(doc, &c);
    h_change more = h_first(&a); /* a liar's own copy has no such limit */
    more.message = "one more";
    H_REFUSED(doc, &more, "the lane has 1,024 tips");
    ckv_forge_lift_limits(doc);
    H_APPLIED(doc, &more);
    h_free(&more);
    h_free(&child);
    h_free(&c);
    ckv_doc_free(doc);
}

/* Who builds on more than 32 tips beyond the limit, each of which is only asked for when the one after it is here, is let in when they come again. */
static void tips_that_are_needed_come_in_32_rounds(void)
{
    enum { MANY = CKV_MAX_PARENTS + 1 };
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1), b = h_lane_of(doc, 2);
    h_change tips[MANY], crowd, on[2] = {h_first(&b)};
    char stories[CKV_MAX_TIPS + MANY][16];
    for (uint32_t i = 0; i < CKV_MAX_TIPS + MANY; i++) {
        (void)snprintf(stories[i], sizeof stories[i], "%u", i);
        h_change *const c = i < CKV_MAX_TIPS ? &crowd : &tips[i - CKV_MAX_TIPS];
        *c = h_first(&a);
        c->message = stories[i];
        h_close(c);
        if (i >= CKV_MAX_TIPS) continue;
        T_EQ(h_judge(doc, c).verdict, CKV_APPLIED);
        h_free(c);
    }
    qsort(tips, MANY, sizeof *tips, by_id);
    for (uint32_t i = 0; i < CKV_MAX_PARENTS; i++) h_parent(&on[0], &tips[i].id);
    on[1] = h_after(&on[0]);
    h_parent(&on[1], &tips[MANY - 1].id);
    for (int again = 0; again < 2; again++) {
        h_bundle bundle = h_bundle_to(doc);
        const uint32_t lane = h_add_lane(&bundle, &a, H_OPENING);
        for (uint32_t i = MANY; i-- > 0;) { /* against the order in which they are missed */
            h_add_slice(&bundle, h_add_chain(&bundle, lane, true, 0), 1, 1);
            h_add_raw(&bundle, &tips[i], H_FITTING);
            h_add_signature(&bundle, &tips[i]);
        }
        h_tell(&bundle, H_OPENING, (h_change *const[]){&on[0], &on[1]}, 2);
        h_report r = h_send(doc, &bundle);
        T_EQ(r.s, CKV_OK);
        H_SAID(&r, &on[0], again ? "" : "applied");
        H_SAID(&r, &on[1], again ? "applied" : "waiting");
        H_SAID(&r, &tips[0], again ? "" : "applied");
        H_SAID(&r, &tips[MANY - 1], again ? "applied" : "the lane has 1,024 tips");
        h_done(&r);
    }
    for (uint32_t i = 0; i < MANY; i++) h_free(&tips[i]);
    for (uint32_t i = 0; i < 2; i++) h_free(&on[i]);
    ckv_doc_free(doc);
}

/* The same with two tips and a small memory: all of a bundle comes in, or nothing. */
static ckv_status take_needed_tips(ckv_alloc a)
{
    enum { MANY = 8 };
    ckv_doc *doc;
    CKV_TRY(s_new(&doc, a, 1));
    doc->limits.tips = 2;
    const h_lane l = h_lane_of(doc, 1), who = h_lane_of(doc, 2);
    h_change tips[MANY], child = h_first(&who);
    char stories[MANY][16];
    ckv_status s = CKV_OK;
    for (uint32_t i = 0; i < MANY; i++) {
        ckv_judgement j;
        (void)snprintf(stories[i], sizeof stories[i], "%u", i);
        tips[i] = h_first(&l);
        tips[i].message = stories[i];
        h_close(&tips[i]);
        if (i < 2 && s == CKV_OK) s = h_try(doc, &tips[i], &j);
        if (i >= 2) h_parent(&child, &tips[i].id);
    }
    if (s == CKV_OK) {
        h_bundle bundle = h_bundle_to(doc);
        for (uint32_t i = 2; i < MANY; i++) h_tell_one(&bundle, &tips[i]);
        h_tell_one(&bundle, &child);
        h_report r = h_send(doc, &bundle);
        s = r.s;
        T_EQ(ckv_doc_n_changes(doc), s == CKV_OK ? MANY + 1 : 2);
        h_done(&r);
    }
    for (uint32_t i = 0; i < MANY; i++) h_free(&tips[i]);
    h_free(&child);
    ckv_doc_free(doc);
    return s;
}

static void needed_tips_survive_every_failure(void) { T_CHECK(t_oom(take_needed_tips) > 20); }

/* Bodies that break a rule, of many sizes: they are kept as they came. */
static ckv_status keep_void_bodies(ckv_alloc a)
{
    ckv_doc *doc;
    CKV_TRY(s_new(&doc, a, 1));
    ckv_status s = CKV_OK;
    for (uint32_t i = 0; i < 8 && s == CKV_OK; i++) {
        ckv_judgement j;
        const h_lane l = h_lane_of(doc, i);
        h_change c = h_first(&l);
        for (uint32_t k = 0; k < 4u << i; k++) h_set(&c, H_NONE, "key", H_TRUE);
        h_delete(&c, h_own((4u << i) + 1), 1); /* no such item */
        const uint32_t n = ckv_doc_n_changes(doc);
        s = h_try(doc, &c, &j);
        T_EQ(ckv_doc_n_changes(doc), n + (s == CKV_OK));
        if (s == CKV_OK) T_EQ(j.verdict, CKV_VOIDED);
        h_free(&c);
    }
    ckv_doc_free(doc);
    return s;
}

static void void_bodies_survive_every_failure(void) { T_CHECK(t_oom(keep_void_bodies) > 20); }

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(ancestors_are_of_the_right_lanes);
    T_RUN(a_lane_has_at_most_1024_tips);
    T_RUN(tips_that_are_needed_come_in_32_rounds);
    T_RUN(needed_tips_survive_every_failure);
    T_RUN(void_bodies_survive_every_failure);
    return t_done();
}
