/* Documents with another content: replicas of a toy write, exchange, leave bodies out, get them back; what fails leaves no trace. */
#include "toy_content.h"

#include "base/hash64.h"
#include "dag/bundle.h"

static void replicas_agree(void)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        toy t[3];
        t_seed(seed);
        for (uint8_t i = 0; i < 3; i++) T_EQ(toy_new(&t[i], ckv_alloc_libc, i), CKV_OK);
        for (int step = 0; step < 60; step++) {
            const size_t i = t_below(3), k = (i + 1 + t_below(2)) % 3;
            if (t_one_in(3))
                T_EQ(toy_send(&t[i], &t[k], ckv_alloc_libc), CKV_OK);
            else if (t_one_in(8))
                toy_compact(&t[i]);
            else
                T_EQ(toy_write(&t[i], t_one_in(9), (uint8_t)t_below(TOY_KEYS), t_below(200),
                               t_one_in(2)),
                     CKV_OK);
            toy_check(&t[i]);
            toy_check(&t[k]);
        }
        for (int i = 0; i < 6; i++)
            T_EQ(toy_send(&t[i % 3], &t[(i + 1 + i / 3) % 3], ckv_alloc_libc), CKV_OK);
        for (int i = 0; i < 3; i++) T_EQ(toy_send(&t[i], &t[(i + 1) % 3], ckv_alloc_libc), CKV_OK);
        toy_same(&t[0], &t[1]);
        toy_same(&t[1], &t[2]);
        for (int i = 0; i < 3; i++) toy_free(&t[i]);
    }
}

static void knots_join_many_heads(void)
{
    toy one, t;
    T_EQ(toy_new(&one, ckv_alloc_libc, 0), CKV_OK);
    for (uint8_t i = 1; i <= 100; i++) {
        T_EQ(toy_new(&t, ckv_alloc_libc, i), CKV_OK);
        T_EQ(toy_write(&t, 0, i % TOY_KEYS, 60, true), CKV_OK);
        T_EQ(toy_send(&t, &one, ckv_alloc_libc), CKV_OK);
        toy_free(&t);
    }
    uint32_t lane, seq;
    ckv_doc_next_own(one.doc, &lane, &seq);
    T_CHECK(lane == CKV_NO_CHANGE && seq == 0);
    T_EQ(ckv_doc_open_lane(one.doc), CKV_OK);
    ckv_doc_next_own(one.doc, &lane, &seq);
    T_CHECK(lane == 100 && seq == 0);
    T_EQ(toy_write(&one, 0, 0, 60, true), CKV_OK);
    T_EQ(one.changes.len, 104); /* three knots of 32, and the change with the four that are left */
    T_EQ(one.changes.ptr[101].n_ops, 0);
    size_t n;
    ckv_doc_heads(one.doc, &n);
    T_EQ(n, 1);
    ckv_doc_next_own(one.doc, &lane, &seq);
    T_EQ(seq, 4);
    T_EQ(toy_new(&t, ckv_alloc_libc, 101), CKV_OK);
    T_EQ(toy_send(&one, &t, ckv_alloc_libc), CKV_OK);
    toy_same(&one, &t);
    T_CHECK(!t.changes.ptr[101].void_reason);
    toy_free(&t);
    toy_free(&one);
}

/* A record of everything, read back, is the same document. */
static void restore(toy *from, toy *to, bool verify)
{
    for (uint32_t c = 0; c < from->changes.len; c++) {
        const toy_change *x = &from->changes.ptr[c];
        ckv_change_info info;
        ckv_lane_info lane;
        ckv_id32 id;
        uint32_t change;
        const ckv_standing at = ckv_doc_standing(from->doc, c);
        ckv_doc_change(from->doc, c, &info);
        T_CHECK(ckv_doc_lane(from->doc, at.lane, &lane));
        const ckv_restored r = {.author = lane.author,
                                .nonce = lane.nonce,
                                .header = x->header,
                                .header_bytes = x->header_bytes,
                                .signature = ckv_doc_signature_at(from->doc, c),
                                .void_reason = x->void_reason,
                                .time = info.time};
        T_EQ(ckv_doc_restore(to->doc, &r, verify, &change, &id), CKV_OK);
        T_EQ(change, c);
        T_BYTES(&id, 32, info.id, 32);
        const ckv_taken taken = {.change = c,
                                 .header = x->header,
                                 .header_bytes = x->header_bytes,
                                 .body = x->body,
                                 .body_bytes = x->body_bytes,
                                 .n_ops = x->n_ops,
                                 .void_reason = x->void_reason};
        toy_change kept = *x;
        kept.body = NULL;
        if (x->body) T_EQ(toy_copy(to, &taken, &kept.body), CKV_OK);
        T_EQ(toy_changes_push(&to->changes, kept), CKV_OK);
    }
}

static void what_was_kept_comes_back(void)
{
    toy t[3], back;
    t_seed(7);
    for (uint8_t i = 0; i < 3; i++) T_EQ(toy_new(&t[i], ckv_alloc_libc, i), CKV_OK);
    for (int step = 0; step < 300; step++) {
        const size_t i = t_below(3), k = (i + 1 + t_below(2)) % 3;
        if (t_one_in(4))
            T_EQ(toy_send(&t[i], &t[k], ckv_alloc_libc), CKV_OK);
        else
            T_EQ(toy_write(&t[i], t_one_in(9), (uint8_t)t_below(TOY_KEYS), t_below(200),
                           t_one_in(2)),
                 CKV_OK);
    }
    toy_compact(&t[0]);
    for (int verify = 0; verify < 2; verify++) {
        T_EQ(toy_new(&back, ckv_alloc_libc, 0), CKV_OK);
        restore(&t[0], &back, verify);
        toy_check(&back);
        toy_same(&t[0], &back);
        size_t n, m;
        const uint32_t *heads = ckv_doc_heads(t[0].doc, &n), *again = ckv_doc_heads(back.doc, &m);
        T_BYTES(heads, n * sizeof *heads, again, m * sizeof *again);
        for (uint32_t c = 0; c < back.changes.len; c++) {
            ckv_change_info x, y;
            ckv_doc_change(t[0].doc, c, &x);
            ckv_doc_change(back.doc, c, &y);
            T_EQ(x.n_ops, y.n_ops);
            T_EQ(x.time, y.time);
            T_CHECK(y.void_reason == t[0].changes.ptr[c].void_reason && x.is_signed == y.is_signed);
        }
        T_EQ(toy_write(&back, 0, 0, 100, true), CKV_OK); /* in a new lane */
        T_EQ(toy_send(&back, &t[1], ckv_alloc_libc), CKV_OK);
        T_EQ(toy_send(&t[1], &back, ckv_alloc_libc), CKV_OK);
        toy_same(&t[1], &back);
        toy_free(&back);
    }
    for (int i = 0; i < 3; i++) toy_free(&t[i]);
}

static void a_record_that_lies_is_refused(void)
{
    toy t, back;
    T_EQ(toy_new(&t, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_new(&back, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_write(&t, 0, 0, 100, true), CKV_OK);
    T_EQ(toy_write(&t, 0, 0, 100, true), CKV_OK);
    ckv_lane_info lane;
    T_CHECK(ckv_doc_lane(t.doc, 0, &lane) && !ckv_doc_lane(t.doc, 1, &lane));
    ckv_restored r = {.author = lane.author, .nonce = lane.nonce};
    ckv_id32 id;
    uint32_t change;
    r.header = t.changes.ptr[1].header;
    r.header_bytes = t.changes.ptr[1].header_bytes;
    T_EQ(ckv_doc_restore(back.doc, &r, false, &change, &id), CKV_ECORRUPT); /* without the first */
    r.header = t.changes.ptr[0].header;
    r.header_bytes = t.changes.ptr[0].header_bytes - 1;
    T_EQ(ckv_doc_restore(back.doc, &r, false, &change, &id), CKV_ECORRUPT);
    r.header_bytes++;
    r.signature = ckv_doc_signature_at(t.doc, 1);
    T_EQ(ckv_doc_restore(back.doc, &r, true, &change, &id), CKV_ESIGN);
    T_EQ(ckv_doc_n_changes(back.doc), 0);
    T_CHECK(!ckv_doc_lane(back.doc, 0, &lane)); /* nothing was opened */
    s_check(back.doc);
    toy_free(&back);
    toy_free(&t);
}

/* Who came before whom, against the long way. */
static void pasts_are_true(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        toy t[4];
        t_seed(seed);
        for (uint8_t i = 0; i < 4; i++) T_EQ(toy_new(&t[i], ckv_alloc_libc, i), CKV_OK);
        for (int step = 0; step < 80; step++) {
            const size_t i = t_below(4), k = (i + 1 + t_below(3)) % 4;
            if (t_one_in(3))
                T_EQ(toy_send(&t[i], &t[k], ckv_alloc_libc), CKV_OK);
            else
                T_EQ(toy_write(&t[i], 0, 0, 3, true), CKV_OK);
        }
        ckv_doc *doc = t[0].doc;
        const uint32_t n = ckv_doc_n_changes(doc);
        for (uint32_t b = 0; b < n; b++) {
            ckv_past past = ckv_past_init(ckv_alloc_libc);
            T_EQ(ckv_doc_version(doc, ckv_doc_id_of(doc, b), 1, true, &past), CKV_OK);
            for (uint32_t a = 0; a < n; a++) {
                bool is;
                T_EQ(ckv_doc_is_past(doc, a, b, &is), CKV_OK);
                T_EQ(is, ckv_past_has(&past, &doc->graph, a));
                if (a < ckv_doc_all_below(doc, b)) T_CHECK(is);
                const int order = ckv_doc_order(doc, a, 0, b, 0);
                if (is && a != b) T_CHECK(order < 0);
                if (order > 0)
                    T_CHECK(ckv_doc_standing(doc, a).clock >= ckv_doc_standing(doc, b).clock);
            }
            ckv_past_fini(&past);
        }
        for (int i = 0; i < 4; i++) toy_free(&t[i]);
    }
}

/* ---- bodies that are left out */

static size_t count(const ckv_buf *ids) { return ids->len / 32; }

static void a_body_that_was_left_out_comes_later(void)
{
    toy a, b, c;
    ckv_report report;
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(toy_new(&a, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_new(&b, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(toy_new(&c, ckv_alloc_libc, 2), CKV_OK);
    T_EQ(toy_write(&a, 0, 1, 100, true), CKV_OK);
    T_EQ(toy_write(&a, 1, 1, 100, true), CKV_OK); /* void */
    T_EQ(toy_write(&a, 2, 1, 100, true), CKV_OK); /* for a later version */
    T_EQ(toy_write(&a, 0, 1, 10, true), CKV_OK);  /* inline */
    b.reads_later = true;
    T_EQ(toy_apply(&a, &b, ckv_alloc_libc, &report), CKV_OK);
    T_EQ(count(&report.applied), 3);
    T_EQ(count(&report.voided), 1);
    for (uint32_t i = 0; i < 3; i++) {
        toy_drop_body(&b, i);
        b.changes.ptr[i].void_reason = NULL;
    }
    T_EQ(toy_apply(&b, &c, ckv_alloc_libc, &report), CKV_OK); /* no verdict on what is not there */
    T_EQ(count(&report.applied), 4);
    T_EQ(c.n_settles, 1);
    toy_same(&b, &c);
    /* What is wanted, and nothing else. */
    ckv_buf ids = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_doc_bodies_wanted(c.doc, a.doc, &ids), CKV_OK);
    T_EQ(count(&ids), 1); /* the void one; the others were overwritten */
    T_BYTES(ids.ptr, 32, ckv_doc_id_of(a.doc, 1), 32);
    ckv_buf_fini(&ids);
    /* All of it again, with bodies. */
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    ckv_err err;
    T_EQ(ckv_doc_export(a.doc, NULL, 0, NULL, 0, &bundle), CKV_OK);
    c.fails = true;
    T_EQ(ckv_doc_apply(c.doc, bundle.ptr, bundle.len, &report, &err), CKV_EDISK);
    T_CHECK(!c.changes.ptr[0].body && !c.changes.ptr[1].body);
    c.fails = false;
    c.cannot_read = true;
    T_EQ(ckv_doc_apply(c.doc, bundle.ptr, bundle.len, &report, &err), CKV_EDISK);
    c.cannot_read = false;
    c.wants_none = true;
    T_EQ(ckv_doc_apply(c.doc, bundle.ptr, bundle.len, &report, &err), CKV_OK);
    T_EQ(report.known, 3);
    T_CHECK(!c.changes.ptr[0].body);
    c.wants_none = false;
    T_EQ(ckv_doc_apply(c.doc, bundle.ptr, bundle.len, &report, &err), CKV_OK);
    T_EQ(count(&report.applied), 1);
    T_EQ(count(&report.voided), 1);
    T_EQ(report.refused.len, sizeof(ckv_refusal)); /* the one for a later version */
    T_EQ(report.known, 1);
    T_CHECK(c.changes.ptr[0].body && c.changes.ptr[1].void_reason && !c.changes.ptr[2].body);
    ckv_change_info x, y;
    ckv_doc_change(c.doc, 1, &x);
    T_CHECK(x.void_reason == c.changes.ptr[1].void_reason && x.time == 0);
    ckv_doc_change(a.doc, 0, &x);
    ckv_doc_change(c.doc, 0, &y);
    T_CHECK(!y.void_reason && y.time == x.time && y.time);
    ckv_doc_change(c.doc, 2, &y);
    T_CHECK(!y.void_reason && y.time == 0);
    c.reads_later = true;
    T_EQ(ckv_doc_apply(c.doc, bundle.ptr, bundle.len, &report, &err), CKV_OK);
    T_EQ(count(&report.applied), 1);
    T_EQ(report.known, 3);
    toy_check(&c);
    toy_same(&a, &c);
    for (uint32_t i = 0; i < 4; i++) {
        ckv_doc_change(a.doc, i, &x);
        ckv_doc_change(c.doc, i, &y);
        T_EQ(y.time, i == 1 ? 0 : x.time);
    }
    ckv_buf_fini(&bundle);
    ckv_report_fini(&report);
    toy_free(&a);
    toy_free(&b);
    toy_free(&c);
}

/* One change, in a bundle of its own. */
static void export_one(toy *from, uint32_t c, ckv_buf *out)
{
    bool found;
    T_EQ(ckv_doc_export_these(from->doc, ckv_doc_id_of(from->doc, c), 1, out, &found), CKV_OK);
    T_CHECK(found);
}

static void apply(toy *to, const ckv_buf *bundle, ckv_report *report)
{
    ckv_err err;
    T_EQ(ckv_doc_apply(to->doc, bundle->ptr, bundle->len, report, &err), CKV_OK);
    toy_check(to);
}

/* Children first, some without their bodies; some of these come again while they wait. */
static void changes_wait_without_bodies(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        toy a, b, c;
        ckv_report report;
        t_seed(seed);
        ckv_report_init(&report, ckv_alloc_libc);
        T_EQ(toy_new(&a, ckv_alloc_libc, 0), CKV_OK);
        T_EQ(toy_new(&b, ckv_alloc_libc, 1), CKV_OK);
        T_EQ(toy_new(&c, ckv_alloc_libc, 2), CKV_OK);
        for (uint32_t i = 0; i < 30; i++) {
            toy *t = t_one_in(2) ? &a : &c;
            T_EQ(toy_write(t, t_one_in(5), (uint8_t)i, t_below(100), t_one_in(2)), CKV_OK);
            if (t_one_in(2)) T_EQ(toy_send(t, t == &a ? &c : &a, ckv_alloc_libc), CKV_OK);
        }
        T_EQ(toy_send(&c, &a, ckv_alloc_libc), CKV_OK);
        uint32_t n_late = 0;
        for (uint32_t i = (uint32_t)a.changes.len; i-- > 0;) {
            ckv_buf whole = ckv_buf_init(ckv_alloc_libc), bare = ckv_buf_init(ckv_alloc_libc);
            toy_change *x = &a.changes.ptr[i];
            uint8_t *const body = x->body;
            export_one(&a, i, &whole);
            if (x->body_bytes > CKV_INLINE_BODY_BYTES) x->body = NULL;
            export_one(&a, i, &bare);
            x->body = body;
            if (t_one_in(3)) {
                apply(&b, &bare, &report);
                if (x->body_bytes > CKV_INLINE_BODY_BYTES && t_one_in(2)) n_late++;
                T_EQ(report.refused.len, 0);
                if (n_late % 2) apply(&b, &whole, &report);
            } else {
                apply(&b, &whole, &report);
                apply(&b, &bare, &report); /* nothing new */
                T_CHECK(i == 0 || report.known == 1);
            }
            ckv_buf_fini(&whole);
            ckv_buf_fini(&bare);
        }
        T_EQ(b.changes.len, a.changes.len);
        toy_check(&b);
        ckv_buf ids = ckv_buf_init(ckv_alloc_libc);
        T_EQ(ckv_doc_waiting(b.doc, &ids), CKV_OK);
        T_EQ(ids.len, 0);
        ckv_buf_fini(&ids);
        ckv_report_fini(&report);
        toy_free(&a);
        toy_free(&b);
        toy_free(&c);
    }
}

static void a_body_comes_while_its_change_waits(void)
{
    toy a, b;
    ckv_report report;
    ckv_buf bare = ckv_buf_init(ckv_alloc_libc), whole = ckv_buf_init(ckv_alloc_libc),
            first = ckv_buf_init(ckv_alloc_libc);
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(toy_new(&a, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_new(&b, ckv_alloc_libc, 1), CKV_OK);
    for (int i = 0; i < 2; i++) T_EQ(toy_write(&a, 0, 1, 100, true), CKV_OK);
    export_one(&a, 0, &first);
    export_one(&a, 1, &whole);
    toy_drop_body(&a, 1);
    export_one(&a, 1, &bare);
    apply(&b, &bare, &report);
    T_EQ(count(&report.waiting), 1);
    apply(&b, &bare, &report);
    T_EQ(report.known, 1);
    apply(&b, &whole, &report); /* takes the place of the one without */
    T_EQ(count(&report.waiting), 1);
    apply(&b, &bare, &report);
    T_EQ(report.known, 1);
    apply(&b, &whole, &report);
    T_EQ(report.known, 1);
    b.fails = true;
    ckv_err err;
    T_EQ(ckv_doc_apply(b.doc, first.ptr, first.len, &report, &err), CKV_EDISK);
    b.fails = false;
    apply(&b, &first, &report);
    T_EQ(count(&report.applied), 2);
    T_CHECK(b.changes.ptr[1].body != NULL);
    ckv_buf_fini(&bare);
    ckv_buf_fini(&whole);
    ckv_buf_fini(&first);
    ckv_report_fini(&report);
    toy_free(&a);
    toy_free(&b);
}

/* A change whose signature stands on one that cannot be read here: what proves it is kept, told of, and comes back from the record. */
static void covers_are_kept(void)
{
    toy a, b, back, c;
    T_EQ(toy_new(&a, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_new(&b, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(toy_new(&back, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(toy_new(&c, ckv_alloc_libc, 2), CKV_OK);
    a.reads_later = true;
    T_EQ(toy_write(&a, 0, 1, 100, false), CKV_OK);
    T_EQ(toy_write(&a, 2, 1, 100, false), CKV_OK);
    T_EQ(toy_write(&a, 0, 1, 100, true), CKV_OK);
    const size_t mark = ckv_doc_cover_mark(b.doc);
    ckv_buf covers = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_doc_covers_since(b.doc, mark, &covers), CKV_OK);
    T_EQ(covers.len, 0);
    b.fails = true;
    T_EQ(toy_send(&a, &b, ckv_alloc_libc), CKV_EDISK);
    T_EQ(ckv_doc_cover_mark(b.doc), mark);
    b.fails = false;
    T_EQ(toy_send(&a, &b, ckv_alloc_libc), CKV_OK);
    T_EQ(b.changes.len, 1);
    T_CHECK(ckv_doc_cover_mark(b.doc) > mark && !ckv_doc_signature_at(b.doc, 0));
    T_EQ(ckv_doc_covers_since(b.doc, mark, &covers), CKV_OK);
    T_EQ(covers.len, sizeof(ckv_cover_info));
    ckv_cover_info cover;
    memcpy(&cover, covers.ptr, sizeof cover);
    T_CHECK(cover.change == 0 && cover.n == 2);
    restore(&b, &back, true);
    ckv_cover_info bad = cover;
    bad.change = 1;
    T_EQ(ckv_doc_restore_cover(back.doc, &bad), CKV_ECORRUPT);
    bad = cover;
    bad.n_bytes--;
    T_EQ(ckv_doc_restore_cover(back.doc, &bad), CKV_ECORRUPT);
    T_EQ(ckv_doc_restore_cover(back.doc, &cover), CKV_OK);
    T_EQ(toy_send(&back, &c, ckv_alloc_libc), CKV_OK);
    T_EQ(c.changes.len, 1);
    toy_same(&back, &c);
    ckv_buf_fini(&covers);
    toy_free(&a);
    toy_free(&b);
    toy_free(&back);
    toy_free(&c);
}

/* A thousand changes of 120 KB are many bundles, none much greater than asked for. */
static void large_bodies_are_many_bundles(void)
{
    toy a, b;
    T_EQ(toy_new(&a, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_new(&b, ckv_alloc_libc, 1), CKV_OK);
    for (uint32_t i = 0; i < 200; i++) T_EQ(toy_write(&a, 0, 1, 120000, false), CKV_OK);
    ckv_peer peer = ckv_peer_init(a.doc);
    uint32_t n = 0;
    for (; ckv_peer_lacks(&peer, a.doc); n++) {
        ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
        ckv_report report;
        ckv_report_init(&report, ckv_alloc_libc);
        T_EQ(ckv_peer_bundle(&peer, a.doc, 1u << 20, &bundle), CKV_OK);
        apply(&b, &bundle, &report);
        T_CHECK(count(&report.applied) <= 18);
        ckv_report_fini(&report);
        ckv_buf_fini(&bundle);
    }
    T_CHECK(n >= 12);
    ckv_peer_fini(&peer, a.doc);
    toy_same(&a, &b);
    toy_free(&a);
    toy_free(&b);
}

/* A bundle of these bytes as sections, not packed. */
static void frame(toy *t, const ckv_buf *payload, ckv_buf *out)
{
    ckv_buf_clear(out);
    ckv_buf_bytes(out, "CKB\1", 4);
    ckv_buf_bytes(out, ckv_doc_id(t->doc), 32);
    ckv_buf_u8(out, 0); /* no founder */
    ckv_buf_u8(out, 0); /* not packed */
    ckv_buf_blob(out, payload->ptr, payload->len);
    ckv_buf_u64le(out, ckv_hash64(out->ptr, out->len));
}

/* Bytes of a bundle are changed at random, under a checksum that is right: nothing that is not signed comes in, and no body that has not its hash. */
static void damaged_bundles_bring_nothing(void)
{
    toy a, b;
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc), payload = ckv_buf_init(ckv_alloc_libc),
            bad = ckv_buf_init(ckv_alloc_libc), damaged = ckv_buf_init(ckv_alloc_libc);
    ckv_err err;
    ckv_report report;
    uint32_t n_whole = 0, n_bare = 0, n_malformed = 0;
    t_seed(11);
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(toy_new(&a, ckv_alloc_libc, 0), CKV_OK);
    for (uint8_t i = 0; i < 6; i++) T_EQ(toy_write(&a, i == 4, i, 30u * i, i % 2), CKV_OK);
    toy_drop_body(&a, 3);
    T_EQ(ckv_doc_export(a.doc, NULL, 0, NULL, 0, &bundle), CKV_OK);
    ckv_bundle opened = {.payload = ckv_buf_init(ckv_alloc_libc)};
    T_EQ(ckv_bundle_open(&opened, ckv_alloc_libc, bundle.ptr, bundle.len, &err), CKV_OK);
    for (uint32_t tag = 1; tag < CKV_N_SECTIONS; tag++) {
        const ckv_rd *r = &opened.sections[tag];
        if (ckv_rd_left(r) == 0) continue;
        ckv_buf_varint(&payload, tag);
        ckv_buf_blob(&payload, r->p, ckv_rd_left(r));
    }
    ckv_bundle_fini(&opened);
    for (int round = 0; round < 4000; round++) {
        T_EQ(toy_new(&b, ckv_alloc_libc, 1), CKV_OK);
        if (round % 2) { /* somebody who has the changes and not the bodies */
            for (uint32_t i = 0; i < 6; i++) {
                uint8_t *const body = a.changes.ptr[i].body;
                if (a.changes.ptr[i].body_bytes > CKV_INLINE_BODY_BYTES) {
                    a.changes.ptr[i].body = NULL;
                    n_bare++;
                }
                ckv_buf_clear(&bad);
                export_one(&a, i, &bad);
                a.changes.ptr[i].body = body;
                T_EQ(ckv_doc_apply(b.doc, bad.ptr, bad.len, &report, &err), CKV_OK);
            }
            T_EQ(b.changes.len, 6);
        }
        ckv_buf_clear(&damaged);
        ckv_buf_bytes(&damaged, payload.ptr, payload.len);
        for (uint64_t n = t_below(4); n; n--)
            damaged.ptr[t_below(damaged.len)] = (uint8_t)(t_one_in(2) ? t_below(4) : t_rand());
        frame(&b, &damaged, &bad);
        const ckv_status s = ckv_doc_apply(b.doc, bad.ptr, bad.len, &report, &err);
        T_CHECK(s == CKV_OK || s == CKV_ECORRUPT);
        n_malformed += s == CKV_ECORRUPT;
        toy_check(&b);
        for (uint32_t i = 0; i < b.changes.len; i++) {
            uint32_t k;
            const toy_change *x = &b.changes.ptr[i];
            T_EQ(ckv_doc_find(a.doc, ckv_doc_id_of(b.doc, i), &k), CKV_OK);
            const toy_change *y = &a.changes.ptr[k];
            T_BYTES(x->header, x->header_bytes, y->header, y->header_bytes);
            if (!x->body) continue;
            T_CHECK(y->body != NULL);
            T_BYTES(x->body, x->body_bytes, y->body, y->body_bytes);
            n_whole++;
        }
        toy_free(&b);
    }
    T_CHECK(n_whole > 4000 && n_bare > 4000 && n_malformed > 100);
    ckv_report_fini(&report);
    ckv_buf_fini(&bundle);
    ckv_buf_fini(&payload);
    ckv_buf_fini(&bad);
    ckv_buf_fini(&damaged);
    toy_free(&a);
}

/* What belongs to another kind of document is refused. */
static void kinds_are_not_mixed(void)
{
    toy a;
    ckv_doc *doc;
    const ckv_env env = {.alloc = ckv_alloc_libc};
    ckv_identity who;
    ckv_report report;
    ckv_err err;
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    const uint8_t seed[32] = {9};
    ckv_report_init(&report, ckv_alloc_libc);
    ckv_identity_from_seed(&who, seed);
    T_EQ(toy_new(&a, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(ckv_doc_new(&doc, &env, &who, ckv_doc_id(a.doc)), CKV_OK);
    T_EQ(toy_write(&a, 0, 1, 100, true), CKV_OK);
    T_EQ(ckv_doc_export(a.doc, NULL, 0, NULL, 0, &bundle), CKV_OK);
    T_EQ(ckv_doc_apply(doc, bundle.ptr, bundle.len, &report, &err), CKV_OK);
    T_EQ(report.refused.len, sizeof(ckv_refusal)); /* the type of its header */
    toy_drop_body(&a, 0);
    ckv_buf_clear(&bundle);
    T_EQ(ckv_doc_export(a.doc, NULL, 0, NULL, 0, &bundle), CKV_OK);
    T_EQ(ckv_doc_apply(doc, bundle.ptr, bundle.len, &report, &err), CKV_ECORRUPT);
    const ckv_value one = {.tag = CKV_TAG_INT, .i64 = 1};
    uint32_t made;
    T_EQ(ckv_map_set(doc, CKV_ROOT, "k", 1, &one, &made), CKV_OK);
    T_EQ(s_commit(doc), CKV_OK);
    ckv_buf_clear(&bundle);
    T_EQ(ckv_doc_export(doc, NULL, 0, NULL, 0, &bundle), CKV_OK);
    T_EQ(ckv_doc_apply(a.doc, bundle.ptr, bundle.len, &report, &err), CKV_ECORRUPT); /* columns */
    T_EQ(ckv_doc_n_changes(a.doc), 1);
    ckv_buf_fini(&bundle);
    ckv_report_fini(&report);
    ckv_doc_free(doc);
    toy_free(&a);
}

/* Bodies come back in any order: times and messages are those of who never lost them. */
static void late_bodies_say_what_they_say(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        toy a, b;
        t_seed(seed);
        T_EQ(toy_new(&a, ckv_alloc_libc, 0), CKV_OK);
        T_EQ(toy_new(&b, ckv_alloc_libc, 1), CKV_OK);
        for (uint32_t i = 0; i < 60; i++)
            T_EQ(toy_write(&a, t_one_in(3) ? 3 : t_one_in(5), (uint8_t)i, t_below(100), true),
                 CKV_OK);
        bool denied[60];
        toy_change kept[60];
        for (uint32_t i = 0; i < 60; i++) {
            denied[i] = a.changes.ptr[i].body_bytes > CKV_INLINE_BODY_BYTES && !t_one_in(4);
            kept[i] = a.changes.ptr[i];
            if (denied[i]) a.changes.ptr[i].body = NULL;
        }
        T_EQ(toy_send(&a, &b, ckv_alloc_libc), CKV_OK);
        for (uint32_t i = 0; i < 60; i++) a.changes.ptr[i].body = kept[i].body;
        for (bool left = true; left;) {
            uint32_t some[60];
            size_t n = 0, n_done;
            left = false;
            for (uint32_t i = 0; i < 60; i++) {
                if (denied[i] && t_one_in(3)) some[n++] = i, denied[i] = false;
                left |= denied[i];
            }
            ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
            ckv_report report;
            ckv_err err;
            ckv_report_init(&report, ckv_alloc_libc);
            T_EQ(ckv_doc_export_bodies(a.doc, some, n, 0, &bundle, &n_done), CKV_OK);
            T_EQ(n_done, n);
            T_EQ(ckv_doc_apply(b.doc, bundle.ptr, bundle.len, &report, &err), CKV_OK);
            T_EQ(count(&report.applied) + count(&report.voided), n);
            T_EQ(ckv_doc_apply(b.doc, bundle.ptr, bundle.len, &report, &err), CKV_OK);
            T_EQ(report.known, n);
            ckv_report_fini(&report);
            ckv_buf_fini(&bundle);
        }
        toy_check(&b);
        toy_same(&a, &b);
        T_EQ(toy_write(&b, 3, 0, 9, true), CKV_OK);
        for (uint32_t i = 0; i < 60; i++) {
            ckv_change_info x, y;
            ckv_doc_change(a.doc, i, &x);
            ckv_doc_change(b.doc, i, &y);
            T_CHECK((y.void_reason != NULL) == (b.changes.ptr[i].void_reason != NULL));
            T_EQ(y.time, y.void_reason ? 0 : x.time);
            T_BYTES(y.message, y.message_bytes, x.message, x.message_bytes);
        }
        toy_free(&a);
        toy_free(&b);
    }
}

/* ---- what fails */

static ckv_status story(ckv_alloc a)
{
    toy t[2] = {0};
    ckv_status s = toy_new(&t[0], a, 0);
    if (s == CKV_OK) s = toy_new(&t[1], a, 1);
    for (uint8_t i = 0; i < 4 && s == CKV_OK; i++) {
        s = toy_write(&t[i % 2], i == 1, i, 40 + 20u * i, i > 1);
        if (s == CKV_OK && i != 2) s = toy_send(&t[i % 2], &t[1 - i % 2], a);
    }
    for (uint32_t i = 0; s == CKV_OK && i < t[1].changes.len; i++) {
        if (t[1].changes.ptr[i].body_bytes > CKV_INLINE_BODY_BYTES) toy_drop_body(&t[1], i);
    }
    ckv_buf bundle = ckv_buf_init(a);
    ckv_report report;
    ckv_err err;
    ckv_report_init(&report, a);
    if (s == CKV_OK) s = toy_send(&t[1], &t[0], a);
    if (s == CKV_OK) s = ckv_doc_export(t[0].doc, NULL, 0, NULL, 0, &bundle);
    if (s == CKV_OK) s = ckv_doc_apply(t[1].doc, bundle.ptr, bundle.len, &report, &err);
    for (int i = 0; i < 2; i++) {
        if (t[i].doc) toy_check(&t[i]);
    }
    ckv_report_fini(&report);
    ckv_buf_fini(&bundle);
    for (int i = 0; i < 2; i++) toy_free(&t[i]);
    return s;
}

static void every_allocation_fails_once(void) { T_CHECK(t_oom(story) > 100); }

static void a_settle_that_fails_leaves_nothing(void)
{
    toy a, b;
    ckv_id32 before, after;
    T_EQ(toy_new(&a, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_new(&b, ckv_alloc_libc, 1), CKV_OK);
    a.fails = true;
    T_EQ(toy_write(&a, 0, 0, 100, true), CKV_EDISK);
    uint32_t lane, seq;
    ckv_doc_next_own(a.doc, &lane, &seq);
    T_EQ(lane, CKV_NO_CHANGE); /* nor the lane */
    a.fails = false;
    for (uint8_t i = 0; i < 5; i++) T_EQ(toy_write(&a, 0, i, 100, i == 2), CKV_OK);
    T_EQ(ckv_doc_root(a.doc, &before), CKV_OK);
    a.fails = true;
    T_EQ(toy_write(&a, 0, 0, 100, true), CKV_EDISK);
    T_EQ(ckv_doc_root(a.doc, &after), CKV_OK);
    T_BYTES(&before, 32, &after, 32);
    toy_check(&a);
    a.fails = false;
    b.fails = true;
    T_EQ(toy_send(&a, &b, ckv_alloc_libc), CKV_EDISK);
    T_EQ(b.changes.len, 0);
    toy_check(&b);
    b.fails = false;
    T_EQ(toy_send(&a, &b, ckv_alloc_libc), CKV_OK);
    T_EQ(toy_write(&a, 0, 0, 100, false), CKV_OK); /* on with the same lane */
    T_EQ(toy_send(&a, &b, ckv_alloc_libc), CKV_OK);
    toy_same(&a, &b);
    T_EQ(ckv_doc_standing(b.doc, 5).seq, 5);
    toy_free(&a);
    toy_free(&b);
}

static void what_a_content_refuses(void)
{
    toy a, b;
    ckv_report report;
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(toy_new(&a, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_new(&b, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(toy_write(&a, 0, 1, 100, true), CKV_OK);
    b.cannot_read = true; /* its disk, say */
    T_EQ(toy_apply(&a, &b, ckv_alloc_libc, &report), CKV_EDISK);
    T_EQ(b.changes.len, 0);
    b.cannot_read = false;
    b.most = 50;
    T_EQ(toy_apply(&a, &b, ckv_alloc_libc, &report), CKV_OK);
    T_EQ(report.refused.len, sizeof(ckv_refusal));
    T_EQ(b.changes.len, 0);
    /* Also if somebody builds on it, which then waits: it comes again when there is room. */
    ckv_buf one = ckv_buf_init(ckv_alloc_libc);
    T_EQ(toy_write(&a, 0, 1, 100, true), CKV_OK);
    export_one(&a, 1, &one);
    b.most = 0;
    apply(&b, &one, &report);
    T_EQ(count(&report.waiting), 1);
    b.most = 50;
    ckv_buf_clear(&one);
    export_one(&a, 0, &one);
    apply(&b, &one, &report);
    T_EQ(count(&report.applied), 0);
    T_EQ(report.refused.len, sizeof(ckv_refusal));
    b.most = 0;
    apply(&b, &one, &report);
    T_EQ(count(&report.applied), 2);
    ckv_buf_fini(&one);
    ckv_report_fini(&report);
    toy_free(&a);
    toy_free(&b);
}

/* What the content keeps is damaged: found when it is asked for, and not passed on. */
static void damage_is_not_passed_on(void)
{
    toy t;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(toy_new(&t, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_write(&t, 0, 1, 100, true), CKV_OK);
    T_EQ(toy_write(&t, 0, 1, 3, true), CKV_OK); /* inline */
    toy_change *x = t.changes.ptr;
    x[0].body[50] ^= 1;
    T_EQ(ckv_doc_export(t.doc, NULL, 0, NULL, 0, &out), CKV_ECORRUPT);
    x[0].body[50] ^= 1;
    x[0].body_bytes--; /* shorter than its header says */
    T_EQ(ckv_doc_export(t.doc, NULL, 0, NULL, 0, &out), CKV_ECORRUPT);
    x[0].body_bytes++;
    uint8_t *const body = x[1].body;
    x[1].body = NULL; /* an inline one is never away */
    T_EQ(ckv_doc_export(t.doc, NULL, 0, NULL, 0, &out), CKV_ECORRUPT);
    x[1].body = body;
    T_EQ(ckv_doc_export(t.doc, NULL, 0, NULL, 0, &out), CKV_OK);
    ckv_buf_fini(&out);
    toy_free(&t);
}

static void what_is_too_much_to_write(void)
{
    toy t;
    uint32_t change;
    const ckv_body_head head = {.time = 5};
    uint8_t *body = calloc(1, CKV_MAX_BODY_BYTES + 1);
    T_CHECK(body);
    T_EQ(toy_new(&t, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(ckv_doc_write(t.doc, body, CKV_MAX_BODY_BYTES + 1, 1, &head, true, &change), CKV_ELIMIT);
    T_EQ(ckv_doc_write(t.doc, body, 10, CKV_MAX_OPS + 1, &head, true, &change), CKV_ELIMIT);
    T_EQ(t.changes.len, 0);
    T_EQ(ckv_doc_write(t.doc, body, CKV_MAX_BODY_BYTES, 1, &head, true, &change), CKV_OK);
    T_EQ(ckv_doc_write(t.doc, NULL, 0, 0, &head, true, &change), CKV_OK); /* void, but a change */
    T_CHECK(t.changes.ptr[1].void_reason != NULL);
    toy_check(&t);
    toy_free(&t);
    free(body);
}

/* Lanes that forked, and ancestors that are no heads any more, come back from a record too. */
static void forks_come_back(void)
{
    toy t, twin, other, back;
    ckv_lane_info lane;
    T_EQ(toy_new(&t, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_new(&twin, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_new(&other, ckv_alloc_libc, 1), CKV_OK);
    for (uint8_t i = 0; i < 4; i++) T_EQ(toy_write(&t, 0, i, 60, true), CKV_OK);
    T_EQ(toy_send(&t, &twin, ckv_alloc_libc), CKV_OK);
    T_EQ(toy_send(&t, &other, ckv_alloc_libc), CKV_OK);
    T_CHECK(ckv_doc_lane(t.doc, 0, &lane));
    T_EQ(ckv_doc_go_on_with_lane(twin.doc, lane.id), CKV_OK);
    for (uint8_t i = 0; i < 3; i++) {
        T_EQ(toy_write(&t, 0, i, 70, true), CKV_OK);
        T_EQ(toy_write(&twin, 0, i, 80, true), CKV_OK);
        T_EQ(toy_write(&other, 0, i, 90, true), CKV_OK);
    }
    T_EQ(toy_send(&twin, &t, ckv_alloc_libc), CKV_OK);
    T_EQ(toy_send(&other, &t, ckv_alloc_libc), CKV_OK);
    T_EQ(toy_write(&t, 0, 1, 60, true), CKV_OK); /* in a lane of its own again */
    T_EQ(toy_new(&back, ckv_alloc_libc, 2), CKV_OK);
    restore(&t, &back, true);
    toy_check(&back);
    toy_same(&t, &back);
    toy_free(&t);
    toy_free(&twin);
    toy_free(&other);
    toy_free(&back);
}

static toy *kept; /* a record for the next one */

static ckv_status restore_story(ckv_alloc a)
{
    toy back;
    ckv_status s = toy_new(&back, a, 2);
    for (uint32_t c = 0; c < kept->changes.len && s == CKV_OK; c++) {
        const toy_change *x = &kept->changes.ptr[c];
        ckv_lane_info lane;
        ckv_id32 id;
        uint32_t change;
        T_CHECK(ckv_doc_lane(kept->doc, ckv_doc_standing(kept->doc, c).lane, &lane));
        const ckv_restored r = {.author = lane.author,
                                .nonce = lane.nonce,
                                .header = x->header,
                                .header_bytes = x->header_bytes,
                                .signature = ckv_doc_signature_at(kept->doc, c),
                                .message = "m",
                                .message_bytes = 1};
        s = ckv_doc_restore(back.doc, &r, false, &change, &id);
        if (s != CKV_OK) {
            T_EQ(ckv_doc_n_changes(back.doc), c);
            s_check(back.doc);
        }
    }
    toy_free(&back);
    return s;
}

static void restoring_fails_at_every_allocation(void)
{
    toy t, other;
    T_EQ(toy_new(&t, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_new(&other, ckv_alloc_libc, 1), CKV_OK);
    for (uint8_t i = 0; i < 3; i++) {
        T_EQ(toy_write(&t, 0, i, 60, true), CKV_OK);
        T_EQ(toy_write(&other, 0, i, 60, true), CKV_OK);
        if (i == 1) T_EQ(toy_send(&other, &t, ckv_alloc_libc), CKV_OK);
    }
    T_EQ(toy_send(&other, &t, ckv_alloc_libc), CKV_OK);
    kept = &t;
    T_CHECK(t_oom(restore_story) > 10);
    toy_free(&t);
    toy_free(&other);
}

static void writes_are_taken_back(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        toy t[3];
        t_seed(seed);
        for (uint8_t i = 0; i < 3; i++) T_EQ(toy_new(&t[i], ckv_alloc_libc, i), CKV_OK);
        for (int step = 0; step < 40; step++) {
            const size_t i = t_below(3), k = (i + 1 + t_below(2)) % 3;
            ckv_id32 before, after;
            size_t n_before, n_after;
            const uint32_t n = (uint32_t)t[i].changes.len;
            uint32_t heads[8];
            const uint32_t *h = ckv_doc_heads(t[i].doc, &n_before);
            if (n_before) memcpy(heads, h, n_before * sizeof *h);
            T_EQ(ckv_doc_root(t[i].doc, &before), CKV_OK);
            for (uint64_t m = t_below(3); m; m--)
                T_EQ(toy_write(&t[i], t_one_in(3) ? 3 : 0, 1, 100, t_one_in(2)), CKV_OK);
            ckv_doc_take_back(t[i].doc, n);
            toy_check(&t[i]);
            T_EQ(t[i].changes.len, n);
            T_EQ(ckv_doc_root(t[i].doc, &after), CKV_OK);
            T_BYTES(&before, 32, &after, 32);
            h = ckv_doc_heads(t[i].doc, &n_after);
            T_BYTES(heads, n_before * sizeof *h, h, n_after * sizeof *h);
            T_EQ(toy_write(&t[i], t_one_in(3) ? 3 : 0, 1, 100, t_one_in(2)), CKV_OK);
            if (t_one_in(2)) T_EQ(toy_send(&t[i], &t[k], ckv_alloc_libc), CKV_OK);
        }
        for (int i = 0; i < 3; i++) toy_free(&t[i]);
    }
}

int main(void)
{
    T_RUN(replicas_agree);
    T_RUN(knots_join_many_heads);
    T_RUN(what_was_kept_comes_back);
    T_RUN(a_record_that_lies_is_refused);
    T_RUN(pasts_are_true);
    T_RUN(a_body_that_was_left_out_comes_later);
    T_RUN(changes_wait_without_bodies);
    T_RUN(a_body_comes_while_its_change_waits);
    T_RUN(covers_are_kept);
    T_RUN(large_bodies_are_many_bundles);
    T_RUN(damaged_bundles_bring_nothing);
    T_RUN(kinds_are_not_mixed);
    T_RUN(late_bodies_say_what_they_say);
    T_RUN(every_allocation_fails_once);
    T_RUN(a_settle_that_fails_leaves_nothing);
    T_RUN(what_a_content_refuses);
    T_RUN(damage_is_not_passed_on);
    T_RUN(what_is_too_much_to_write);
    T_RUN(forks_come_back);
    T_RUN(restoring_fails_at_every_allocation);
    T_RUN(writes_are_taken_back);
    return t_done();
}
