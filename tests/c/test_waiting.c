/* What waits moves to another replica: that one misses the same, and ends the same, whatever comes. */
#include "toy_content.h"

/* One stretch of what `from` has, cut anywhere: what stands between two signatures may lose its beginning. */
static void give_some(toy *from, toy *to, ckv_report *report)
{
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    ckv_err err;
    const uint32_t n = (uint32_t)from->changes.len, a = (uint32_t)t_below(n),
                   b = a + (uint32_t)t_below(n - a);
    ckv_id32 since = *ckv_doc_id_of(from->doc, a), until = *ckv_doc_id_of(from->doc, b);
    T_EQ(ckv_doc_export(from->doc, &since, 1, &until, 1, &bundle), CKV_OK);
    T_EQ(ckv_doc_apply(to->doc, bundle.ptr, bundle.len, report, &err), CKV_OK);
    ckv_buf_fini(&bundle);
}

/* The same stretch, or another one, without some of its bodies. */
static void give_bare(toy *from, toy *to, ckv_report *report)
{
    uint8_t **bodies = calloc(from->changes.len, sizeof *bodies);
    T_CHECK(bodies != NULL);
    for (size_t c = 0; c < from->changes.len; c++) {
        toy_change *x = &from->changes.ptr[c];
        if (x->body_bytes <= CKV_INLINE_BODY_BYTES || !t_one_in(2)) continue;
        bodies[c] = x->body;
        x->body = NULL;
    }
    give_some(from, to, report);
    for (size_t c = 0; c < from->changes.len; c++)
        if (bodies[c]) from->changes.ptr[c].body = bodies[c];
    free(bodies);
}

/* A replica that has what this one has. */
static ckv_status move(toy *from, toy *to, ckv_alloc a, ckv_report *report)
{
    ckv_buf bundle = ckv_buf_init(a);
    ckv_err err;
    size_t n;
    ckv_status s = toy_apply(from, to, a, report);
    if (s == CKV_OK) s = ckv_doc_export_waiting(from->doc, &bundle, &n);
    if (s == CKV_OK && n) s = ckv_doc_apply(to->doc, bundle.ptr, bundle.len, report, &err);
    ckv_buf_fini(&bundle);
    return s;
}

static void same_ids(toy *x, toy *y, ckv_status (*ids)(ckv_doc *doc, ckv_buf *out))
{
    ckv_buf a = ckv_buf_init(ckv_alloc_libc), b = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ids(x->doc, &a), CKV_OK);
    T_EQ(ids(y->doc, &b), CKV_OK);
    T_BYTES(a.ptr, a.len, b.ptr, b.len);
    ckv_buf_fini(&a);
    ckv_buf_fini(&b);
}

static ckv_stats stats_of(toy *t)
{
    ckv_stats stats;
    T_EQ(ckv_doc_stats(t->doc, &stats), CKV_OK);
    return stats;
}

static void the_heir_waits_for_the_same(void)
{
    uint64_t n_waiting = 0, n_later = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        toy a, c, before, heir;
        ckv_report report;
        t_seed(seed);
        ckv_report_init(&report, ckv_alloc_libc);
        T_EQ(toy_new(&a, ckv_alloc_libc, 0), CKV_OK);
        T_EQ(toy_new(&c, ckv_alloc_libc, 2), CKV_OK);
        T_EQ(toy_new(&before, ckv_alloc_libc, 1), CKV_OK);
        T_EQ(toy_new(&heir, ckv_alloc_libc, 3), CKV_OK);
        a.reads_later = c.reads_later = true;
        for (uint32_t i = 0; i < 40; i++) {
            toy *t = t_one_in(2) ? &a : &c;
            const uint8_t flags = t_one_in(6) ? 2 : t_one_in(8) ? 1 : 0;
            T_EQ(toy_write(t, flags, (uint8_t)i, t_below(100), t_one_in(4)), CKV_OK);
            if (t_one_in(4)) T_EQ(toy_send(t, t == &a ? &c : &a, ckv_alloc_libc), CKV_OK);
        }
        T_EQ(toy_send(&c, &a, ckv_alloc_libc), CKV_OK);
        for (int i = 0; i < 6; i++) (t_one_in(2) ? give_bare : give_some)(&a, &before, &report);
        T_EQ(move(&before, &heir, ckv_alloc_libc, &report), CKV_OK);
        toy_check(&heir);
        same_ids(&before, &heir, ckv_doc_waiting);
        same_ids(&before, &heir, ckv_doc_missing);
        T_EQ(stats_of(&heir).waiting, stats_of(&before).waiting);
        T_CHECK(stats_of(&heir).later <= stats_of(&before).later);
        n_waiting += stats_of(&heir).waiting;
        n_later += stats_of(&heir).later;
        for (int i = 0; i < 4; i++) { /* whatever comes, it comes to both */
            const uint64_t at = t_rand();
            for (int k = 0; k < 2; k++) {
                t_seed(at);
                (i % 2 ? give_bare : give_some)(&a, k ? &heir : &before, &report);
            }
            toy_same(&before, &heir);
            same_ids(&before, &heir, ckv_doc_waiting);
        }
        ckv_report_fini(&report);
        toy_free(&a);
        toy_free(&c);
        toy_free(&before);
        toy_free(&heir);
    }
    T_CHECK(n_waiting > 500 && n_later > 10);
}

/* A run under one signature is one chain, not one for each of its changes. */
static void a_run_stays_one_chain(void)
{
    toy a, before;
    ckv_report report;
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc), all = ckv_buf_init(ckv_alloc_libc);
    ckv_err err;
    size_t n;
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(toy_new(&a, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_new(&before, ckv_alloc_libc, 1), CKV_OK);
    for (uint32_t i = 0; i < 1000; i++) T_EQ(toy_write(&a, 0, 1, 10, i == 0 || i == 999), CKV_OK);
    const ckv_id32 first = *ckv_doc_id_of(a.doc, 0);
    T_EQ(ckv_doc_export(a.doc, &first, 1, NULL, 0, &all), CKV_OK);
    T_EQ(ckv_doc_apply(before.doc, all.ptr, all.len, &report, &err), CKV_OK);
    T_EQ(report.waiting.len, 999 * 32);
    T_EQ(ckv_doc_export_waiting(before.doc, &bundle, &n), CKV_OK);
    T_EQ(n, 999);
    T_CHECK(bundle.len < 2 * all.len);
    ckv_buf_fini(&bundle);
    ckv_buf_fini(&all);
    ckv_report_fini(&report);
    toy_free(&a);
    toy_free(&before);
}

static void nothing_waits(void)
{
    toy a;
    size_t n = 1;
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    T_EQ(toy_new(&a, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_write(&a, 0, 1, 10, true), CKV_OK);
    T_EQ(ckv_doc_export_waiting(a.doc, &bundle, &n), CKV_OK);
    T_CHECK(n == 0 && bundle.len == 0);
    toy_free(&a);
}

static ckv_status move_story(ckv_alloc alloc)
{
    toy a, before, heir;
    ckv_report report;
    t_seed(3);
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(toy_new(&a, ckv_alloc_libc, 0), CKV_OK);
    for (uint32_t i = 0; i < 9; i++) T_EQ(toy_write(&a, 0, 1, 100, i % 4 == 3), CKV_OK);
    ckv_status s = toy_new(&before, alloc, 1);
    if (s == CKV_OK) {
        ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
        ckv_err err;
        const ckv_id32 first = *ckv_doc_id_of(a.doc, 0);
        T_EQ(ckv_doc_export(a.doc, &first, 1, NULL, 0, &bundle), CKV_OK);
        s = ckv_doc_apply(before.doc, bundle.ptr, bundle.len, &report, &err);
        ckv_buf_fini(&bundle);
        if (s == CKV_OK) {
            s = toy_new(&heir, alloc, 3);
            if (s == CKV_OK) {
                s = move(&before, &heir, alloc, &report);
                if (s == CKV_OK) same_ids(&before, &heir, ckv_doc_waiting);
                toy_free(&heir);
            }
        }
        toy_free(&before);
    }
    ckv_report_fini(&report);
    toy_free(&a);
    return s;
}

static void every_allocation_fails_once(void) { T_CHECK(t_oom(move_story) > 20); }

int main(void)
{
    T_RUN(the_heir_waits_for_the_same);
    T_RUN(a_run_stays_one_chain);
    T_RUN(nothing_waits);
    T_RUN(every_allocation_fails_once);
    return t_done();
}
