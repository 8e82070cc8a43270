/* A change that only a later version can read, and that somebody calls dead by leaving its body out: whatever comes first, it is in the graph of whoever heard
 * that, its body is kept and passed on, and the version that can read it does. */
#include "toy_content.h"

#include "sync/session.h"

enum { BEFORE, WHOLE, BARE, BEHIND, N_BUNDLES }; /* an ancestor; with its body; without; a child */

/* a, who can read it, has all; each of its changes as a bundle. */
static void tell(toy *a, ckv_buf out[N_BUNDLES])
{
    static const uint32_t of[N_BUNDLES] = {[WHOLE] = 1, [BARE] = 1, [BEHIND] = 2};
    T_EQ(toy_new(a, ckv_alloc_libc, 0), CKV_OK);
    a->reads_later = true;
    for (uint32_t i = 0; i < 3; i++) T_EQ(toy_write(a, i == 1 ? 2 : 0, 1, 100, true), CKV_OK);
    for (int k = 0; k < N_BUNDLES; k++) {
        bool found;
        toy_change *c = &a->changes.ptr[of[k]];
        uint8_t *const body = c->body;
        if (k == BARE) c->body = NULL;
        out[k] = ckv_buf_init(ckv_alloc_libc);
        T_EQ(ckv_doc_export_these(a->doc, ckv_doc_id_of(a->doc, of[k]), 1, &out[k], &found),
             CKV_OK);
        T_CHECK(found);
        c->body = body;
    }
}

static void let_go(toy *a, ckv_buf bundles[N_BUNDLES])
{
    for (int k = 0; k < N_BUNDLES; k++) ckv_buf_fini(&bundles[k]);
    toy_free(a);
}

static ckv_status take(toy *to, const ckv_buf *bundle, ckv_report *report)
{
    ckv_err err;
    return ckv_doc_apply(to->doc, bundle->ptr, bundle->len, report, &err);
}

static uint64_t later(toy *t)
{
    ckv_stats stats;
    T_EQ(ckv_doc_stats(t->doc, &stats), CKV_OK);
    return stats.later;
}

static void every_order_ends_alike(void)
{
    toy a;
    ckv_buf bundles[N_BUNDLES];
    ckv_report report;
    ckv_report_init(&report, ckv_alloc_libc);
    tell(&a, bundles);
    int n_orders = 0;
    for (int order = 0; order < 256; order++) {
        int at[N_BUNDLES], seen = 0;
        for (int k = 0; k < N_BUNDLES; k++) seen |= 1 << (at[k] = order >> 2 * k & 3);
        if (seen != 15) continue;
        n_orders++;
        toy b;
        uint64_t n_applied = 0;
        T_EQ(toy_new(&b, ckv_alloc_libc, 1), CKV_OK);
        for (int k = 0; k < N_BUNDLES; k++) {
            T_EQ(take(&b, &bundles[at[k]], &report), CKV_OK);
            T_EQ(report.refused.len, 0);
            n_applied += report.applied.len / 32;
            toy_check(&b);
        }
        T_EQ(n_applied, 3);
        T_EQ(later(&b), 1);
        T_CHECK(!b.changes.ptr[1].body);
        toy_same(&b, &a);
        for (int k = 0; k < N_BUNDLES; k++) { /* nothing of it is news */
            T_EQ(take(&b, &bundles[k], &report), CKV_OK);
            T_EQ(report.known, 1);
        }
        toy_free(&b);
    }
    T_EQ(n_orders, 24);
    ckv_report_fini(&report);
    let_go(&a, bundles);
}

static void without_a_claim_it_waits(void)
{
    toy a, b;
    ckv_buf bundles[N_BUNDLES];
    ckv_report report;
    ckv_report_init(&report, ckv_alloc_libc);
    tell(&a, bundles);
    T_EQ(toy_new(&b, ckv_alloc_libc, 1), CKV_OK);
    for (int k = 0; k < N_BUNDLES; k++)
        if (k != BARE) T_EQ(take(&b, &bundles[k], &report), CKV_OK);
    T_EQ(b.changes.len, 1);
    T_EQ(later(&b), 1);
    ckv_report_fini(&report);
    toy_free(&b);
    let_go(&a, bundles);
}

static void talk(toy *x, toy *y)
{
    ckv_session *ends[2];
    bool said = true;
    T_EQ(ckv_session_new(&ends[0], x->doc, 0), CKV_OK);
    T_EQ(ckv_session_new(&ends[1], y->doc, 0), CKV_OK);
    for (int rounds = 0; said; rounds++) {
        T_CHECK(rounds < 64);
        said = false;
        for (int k = 0; k < 2; k++) {
            ckv_buf message = ckv_buf_init(ckv_alloc_libc);
            ckv_report report;
            ckv_err err;
            ckv_report_init(&report, ckv_alloc_libc);
            T_EQ(ckv_session_send(ends[k], &message), CKV_OK);
            if (message.len)
                T_EQ(ckv_session_take(ends[1 - k], message.ptr, message.len, &report, &err),
                     CKV_OK);
            said |= message.len > 0;
            ckv_report_fini(&report);
            ckv_buf_fini(&message);
        }
    }
    for (int k = 0; k < 2; k++) {
        T_CHECK(ckv_session_done(ends[k]));
        ckv_session_free(ends[k]);
    }
}

/* One that nobody who can read it is left to tell of: a relay called it dead, and the old versions hand its body on all the same. */
static void a_claim_does_not_take_the_body_away(void)
{
    toy a, old, older, young;
    ckv_buf bundles[N_BUNDLES], all = ckv_buf_init(ckv_alloc_libc);
    ckv_report report;
    ckv_report_init(&report, ckv_alloc_libc);
    tell(&a, bundles);
    T_EQ(toy_new(&old, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(toy_new(&older, ckv_alloc_libc, 2), CKV_OK);
    T_EQ(toy_new(&young, ckv_alloc_libc, 3), CKV_OK);
    young.reads_later = true;
    for (int k = 0; k < N_BUNDLES; k++) T_EQ(take(&old, &bundles[k], &report), CKV_OK);
    talk(&old, &older);
    T_EQ(later(&older), 1);
    toy_same(&old, &older);
    talk(&older, &young);
    toy_same(&young, &a);
    T_CHECK(young.changes.ptr[1].body != NULL);
    T_EQ(later(&young), 0);
    /* The same replica, when it can read it. */
    T_EQ(ckv_doc_export(older.doc, NULL, 0, NULL, 0, &all), CKV_OK);
    older.reads_later = true;
    T_EQ(take(&older, &all, &report), CKV_OK);
    T_EQ(report.applied.len, 32);
    T_CHECK(older.changes.ptr[1].body != NULL);
    T_EQ(later(&older), 0);
    ckv_buf_fini(&all);
    ckv_report_fini(&report);
    toy_free(&old);
    toy_free(&older);
    toy_free(&young);
    let_go(&a, bundles);
}

/* Bodies that come alone, as an answer to who asked for them, are signed by their changes. */
static void a_body_without_its_signature_is_kept_under_that_of_its_change(void)
{
    toy a, b;
    ckv_buf bundles[N_BUNDLES], bodies = ckv_buf_init(ckv_alloc_libc);
    ckv_report report;
    size_t n_done;
    const uint32_t change = 1;
    ckv_report_init(&report, ckv_alloc_libc);
    tell(&a, bundles);
    T_EQ(toy_new(&b, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(take(&b, &bundles[BEFORE], &report), CKV_OK);
    T_EQ(take(&b, &bundles[BARE], &report), CKV_OK);
    T_EQ(ckv_doc_export_bodies(a.doc, &change, 1, 0, &bodies, &n_done), CKV_OK);
    T_EQ(take(&b, &bodies, &report), CKV_OK);
    T_EQ(report.waiting.len, 32);
    T_EQ(later(&b), 1);
    T_EQ(take(&b, &bodies, &report), CKV_OK);
    T_EQ(report.known, 1);
    toy_check(&b);
    ckv_buf_fini(&bodies);
    ckv_report_fini(&report);
    toy_free(&b);
    let_go(&a, bundles);
}

/* Where there is no room for a body it comes again, and the graph is the same. */
static void a_body_that_has_no_room_is_absent(void)
{
    toy a, b;
    ckv_buf bundles[N_BUNDLES];
    ckv_report report;
    ckv_report_init(&report, ckv_alloc_libc);
    tell(&a, bundles);
    T_EQ(toy_new(&b, ckv_alloc_libc, 1), CKV_OK);
    for (int k = 0; k < N_BUNDLES; k++)
        if (k != WHOLE) T_EQ(take(&b, &bundles[k], &report), CKV_OK);
    ckv_doc_limit_waiting(b.doc, 1);
    T_EQ(take(&b, &bundles[WHOLE], &report), CKV_OK);
    T_EQ(report.refused.len, sizeof(ckv_refusal));
    T_EQ(later(&b), 0);
    toy_same(&a, &b);
    toy_free(&b);
    /* Nor is there for one that waits, when somebody calls it dead. */
    T_EQ(toy_new(&b, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(take(&b, &bundles[WHOLE], &report), CKV_OK);
    T_EQ(report.waiting.len, 32);
    ckv_doc_limit_waiting(b.doc, 1);
    T_EQ(take(&b, &bundles[BARE], &report), CKV_OK);
    T_EQ(report.refused.len, sizeof(ckv_refusal));
    ckv_report_fini(&report);
    toy_free(&b);
    let_go(&a, bundles);
}

/* An import that fails has heard nothing, of a claim neither. */
static ckv_status hear(ckv_alloc alloc, const int order[3])
{
    toy a, b;
    ckv_buf bundles[N_BUNDLES];
    ckv_report report;
    ckv_report_init(&report, alloc);
    tell(&a, bundles);
    ckv_status s = toy_new(&b, alloc, 1);
    if (s == CKV_OK) {
        for (int i = 0; i < 3 && s == CKV_OK; i++) {
            s = take(&b, &bundles[order[i]], &report);
            toy_check(&b);
        }
        if (s == CKV_OK) T_EQ(b.changes.len, 2);
        if (s == CKV_OK) T_EQ(later(&b), 1);
        toy_free(&b);
    }
    ckv_report_fini(&report);
    let_go(&a, bundles);
    return s;
}

static ckv_status while_it_waits(ckv_alloc a)
{
    return hear(a, (const int[]){WHOLE, BARE, BEFORE});
}

static ckv_status before_its_body(ckv_alloc a)
{
    return hear(a, (const int[]){BEFORE, BARE, WHOLE});
}

/* One bundle brings a change that waits, and one that does not. */
static ckv_status beside_another(ckv_alloc alloc)
{
    toy a, b, c;
    ckv_buf bundles[N_BUNDLES], both = ckv_buf_init(ckv_alloc_libc);
    ckv_report report;
    bool found;
    ckv_report_init(&report, alloc);
    tell(&a, bundles);
    T_EQ(toy_new(&c, ckv_alloc_libc, 2), CKV_OK);
    T_EQ(toy_write(&c, 0, 1, 10, true), CKV_OK);
    T_EQ(toy_send(&c, &a, ckv_alloc_libc), CKV_OK);
    const ckv_id32 ids[] = {*ckv_doc_id_of(a.doc, 1), *ckv_doc_id_of(c.doc, 0)};
    T_EQ(ckv_doc_export_these(a.doc, ids, 2, &both, &found), CKV_OK);
    ckv_status s = toy_new(&b, alloc, 1);
    if (s == CKV_OK) {
        s = take(&b, &both, &report);
        if (s == CKV_OK) T_CHECK(report.applied.len == 32 && report.waiting.len == 32);
        toy_check(&b);
        toy_free(&b);
    }
    ckv_report_fini(&report);
    ckv_buf_fini(&both);
    let_go(&a, bundles);
    toy_free(&c);
    return s;
}

static void every_allocation_fails_once(void)
{
    T_CHECK(t_oom(while_it_waits) > 20);
    T_CHECK(t_oom(before_its_body) > 20);
    T_CHECK(t_oom(beside_another) > 20);
}

int main(void)
{
    T_RUN(every_order_ends_alike);
    T_RUN(without_a_claim_it_waits);
    T_RUN(a_claim_does_not_take_the_body_away);
    T_RUN(a_body_without_its_signature_is_kept_under_that_of_its_change);
    T_RUN(a_body_that_has_no_room_is_absent);
    T_RUN(every_allocation_fails_once);
    return t_done();
}
