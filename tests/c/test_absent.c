/* Bodies that did not come: sessions find those that matter, and nothing else; equal replicas see it at once. */
#include "toy_content.h"

#include "doc/absent.h"
#include "ds/runs.h"
#include "sync/msg.h"
#include "sync/session.h"

typedef struct end {
    toy *t;
    ckv_session *session;
    size_t room, n_messages, n_bytes, n_applied;
} end;

static ckv_status open_end(end *e, toy *t)
{
    *e = (end){.t = t, .room = CKV_SESSION_ROOM};
    return ckv_session_new(&e->session, t->doc, 0);
}

static ckv_status speak(end *from, end *to, ckv_alloc a, bool *said)
{
    ckv_status s = CKV_OK;
    *said = false;
    for (bool more = true; more && s == CKV_OK;) {
        ckv_buf message = ckv_buf_init(a);
        ckv_report report;
        ckv_err err = {0};
        ckv_report_init(&report, a);
        s = ckv_session_send_within(from->session, from->room, &message);
        more = message.len > 0;
        if (s == CKV_OK && more) {
            from->n_messages++;
            from->n_bytes += message.len;
            T_CHECK(message.len <= CKV_MSG_MAX_BYTES);
            s = ckv_session_take(to->session, message.ptr, message.len, &report, &err);
            if (s != CKV_OK && s != CKV_ENOMEM) fprintf(stderr, "%s\n", err.text);
            to->n_applied += (report.applied.len + report.voided.len) / 32;
            *said = true;
        }
        ckv_report_fini(&report);
        ckv_buf_fini(&message);
    }
    return s;
}

static ckv_status talk(end *x, end *y, ckv_alloc a)
{
    bool said = true, answered = true;
    for (int rounds = 0; said || answered; rounds++) {
        T_CHECK(rounds < 64);
        CKV_TRY(speak(x, y, a, &said));
        CKV_TRY(speak(y, x, a, &answered));
    }
    return CKV_OK;
}

/* What x and y sent is left in a and b. */
static void meet(toy *x, toy *y, size_t room, end *a, end *b)
{
    const char *why;
    T_EQ(open_end(a, x), CKV_OK);
    T_EQ(open_end(b, y), CKV_OK);
    a->room = room;
    T_EQ(talk(a, b, ckv_alloc_libc), CKV_OK);
    T_CHECK(ckv_session_done(a->session) && ckv_session_done(b->session));
    T_VALID(ckv_session_check(a->session, &why), why);
    ckv_session_free(a->session);
    ckv_session_free(b->session);
    toy_check(x);
    toy_check(y);
}

/* Both have every body that matters to one of them. */
static void same_where_it_matters(toy *x, toy *y)
{
    toy_same(x, y);
    for (uint32_t c = 0; c < x->changes.len; c++) {
        uint32_t k;
        T_EQ(ckv_doc_find(y->doc, ckv_doc_id_of(x->doc, c), &k), CKV_OK);
        if (toy_matters(x, c)) T_CHECK(x->changes.ptr[c].body && y->changes.ptr[k].body);
    }
}

/* Somebody who says that everything is dead. */
static void deny(toy *t)
{
    for (uint32_t c = 0; c < t->changes.len; c++) {
        toy_change *x = &t->changes.ptr[c];
        if (x->body_bytes <= CKV_INLINE_BODY_BYTES) continue;
        toy_drop_body(t, c);
        x->void_reason = NULL;
    }
}

static void replicas_agree(void)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        toy t[3];
        end a, b;
        t_seed(seed);
        for (uint8_t i = 0; i < 3; i++) T_EQ(toy_new(&t[i], ckv_alloc_libc, i), CKV_OK);
        for (int step = 0; step < 60; step++) {
            const size_t i = t_below(3), k = (i + 1 + t_below(2)) % 3;
            if (t_one_in(4))
                meet(&t[i], &t[k], t_one_in(2) ? CKV_SESSION_ROOM : 200 + t_below(500), &a, &b);
            else if (t_one_in(8))
                toy_compact(&t[i]);
            else
                T_EQ(toy_write(&t[i], t_one_in(9), (uint8_t)t_below(TOY_KEYS), t_below(200),
                               t_one_in(2)),
                     CKV_OK);
        }
        for (int i = 0; i < 4; i++) meet(&t[i % 3], &t[(i + 1) % 3], CKV_SESSION_ROOM, &a, &b);
        for (int i = 0; i < 3; i++) same_where_it_matters(&t[i], &t[(i + 1) % 3]);
        for (int i = 0; i < 3; i++) toy_free(&t[i]);
    }
}

/* Two and a half thousand changes, most of them overwritten. */
static void fill(toy *t, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        T_EQ(toy_write(t, 0, (uint8_t)(i % TOY_KEYS), 100, i % 100 == 99), CKV_OK);
}

static void equal_replicas_say_one_message(void)
{
    toy t[3];
    end a, b;
    for (uint8_t i = 0; i < 3; i++) T_EQ(toy_new(&t[i], ckv_alloc_libc, i), CKV_OK);
    fill(&t[0], 400);
    meet(&t[0], &t[1], CKV_SESSION_ROOM, &a, &b);
    T_EQ(b.n_applied, 400);
    meet(&t[0], &t[1], CKV_SESSION_ROOM, &a, &b);
    T_CHECK(a.n_messages == 1 && b.n_messages == 1 && a.n_bytes <= 63 && b.n_bytes <= 63);
    T_CHECK(toy_compact(&t[0]) == 395);
    T_CHECK(toy_compact(&t[1]) == 395);
    meet(&t[0], &t[1], CKV_SESSION_ROOM, &a, &b);
    T_CHECK(a.n_messages == 1 && b.n_messages == 1 && a.n_bytes <= 63 && b.n_bytes <= 63);
    meet(&t[0], &t[2], CKV_SESSION_ROOM, &a, &b); /* a newcomer: five bodies, and headers */
    T_EQ(b.n_applied, 400);
    meet(&t[0], &t[2], CKV_SESSION_ROOM, &a, &b);
    T_CHECK(a.n_messages == 1 && b.n_messages == 1 && a.n_bytes <= 63 && b.n_bytes <= 63);
    same_where_it_matters(&t[0], &t[2]);
    for (int i = 0; i < 3; i++) toy_free(&t[i]);
}

/* One side compacted, the other one not: they do not agree on what is absent, ever, and finish all the same. */
static void one_compacts_the_other_does_not(void)
{
    toy t[2];
    end a, b;
    for (uint8_t i = 0; i < 2; i++) T_EQ(toy_new(&t[i], ckv_alloc_libc, i), CKV_OK);
    fill(&t[0], 100);
    meet(&t[0], &t[1], CKV_SESSION_ROOM, &a, &b);
    toy_compact(&t[0]);
    meet(&t[0], &t[1], CKV_SESSION_ROOM, &a, &b);
    T_CHECK(a.n_bytes + b.n_bytes < 200);
    T_EQ(a.n_applied + b.n_applied, 0);
    for (int i = 0; i < 2; i++) toy_free(&t[i]);
}

static void a_liar_hides_what_matters(void)
{
    for (size_t room = 100; room <= CKV_SESSION_ROOM; room *= 64) {
        toy honest, liar, victim;
        end a, b;
        T_EQ(toy_new(&honest, ckv_alloc_libc, 0), CKV_OK);
        T_EQ(toy_new(&liar, ckv_alloc_libc, 1), CKV_OK);
        T_EQ(toy_new(&victim, ckv_alloc_libc, 2), CKV_OK);
        fill(&honest, 300);
        T_EQ(toy_write(&honest, 1, 0, 100, true), CKV_OK); /* a void one */
        meet(&honest, &liar, CKV_SESSION_ROOM, &a, &b);
        deny(&liar);
        meet(&liar, &victim, CKV_SESSION_ROOM, &a, &b);
        T_EQ(b.n_applied, 301);
        T_CHECK(!victim.changes.ptr[299].body && !victim.changes.ptr[300].void_reason);
        meet(&victim, &honest, room, &a, &b);
        T_EQ(a.n_applied, 6); /* five keys, and what is void; all the others are dead */
        T_CHECK(victim.changes.ptr[300].void_reason);
        same_where_it_matters(&honest, &victim);
        meet(&liar, &victim, CKV_SESSION_ROOM, &a, &b); /* and the liar is told the truth */
        T_EQ(a.n_applied, 6);
        toy_free(&honest);
        toy_free(&liar);
        toy_free(&victim);
    }
}

/* Much to fetch: in bundles, within the limits of a session. */
static void many_bodies_are_fetched(void)
{
    toy honest, liar;
    end a, b;
    T_EQ(toy_new(&honest, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_new(&liar, ckv_alloc_libc, 1), CKV_OK);
    for (uint32_t i = 0; i < 250; i++)
        T_EQ(toy_write(&honest, 0, (uint8_t)i, 20000, i % 50 == 49), CKV_OK);
    meet(&honest, &liar, CKV_SESSION_ROOM, &a, &b);
    deny(&liar);
    meet(&liar, &honest, CKV_SESSION_ROOM, &a, &b);
    T_EQ(a.n_applied, 250);
    T_CHECK(b.n_messages >= 5);
    same_where_it_matters(&honest, &liar);
    toy_free(&honest);
    toy_free(&liar);
}

/* A twin with the same key goes on with the lane: who has which branch first must not show. */
static void forks_have_one_digest(void)
{
    toy t[4];
    end a, b;
    for (uint8_t i = 0; i < 4; i++) T_EQ(toy_new(&t[i], ckv_alloc_libc, i == 1 ? 0 : i), CKV_OK);
    fill(&t[0], 5);
    T_EQ(toy_send(&t[0], &t[1], ckv_alloc_libc), CKV_OK);
    ckv_lane_info lane;
    T_CHECK(ckv_doc_lane(t[0].doc, 0, &lane));
    T_EQ(ckv_doc_go_on_with_lane(t[1].doc, lane.id), CKV_OK);
    T_EQ(toy_write(&t[1], 0, 2, 150, true), CKV_OK); /* the other story */
    fill(&t[0], 5);
    fill(&t[1], 7);
    T_EQ(toy_send(&t[0], &t[2], ckv_alloc_libc), CKV_OK);
    T_EQ(toy_send(&t[1], &t[2], ckv_alloc_libc), CKV_OK);
    T_EQ(toy_send(&t[1], &t[3], ckv_alloc_libc), CKV_OK);
    T_EQ(toy_send(&t[0], &t[3], ckv_alloc_libc), CKV_OK);
    T_CHECK(toy_compact(&t[2]) > 3);
    T_CHECK(toy_compact(&t[3]) > 3);
    ckv_id32 x, y;
    bool any;
    T_EQ(ckv_absent_digest(t[2].doc, &x, &any), CKV_OK);
    T_CHECK(any);
    T_EQ(ckv_absent_digest(t[3].doc, &y, &any), CKV_OK);
    T_BYTES(&x, 32, &y, 32);
    meet(&t[2], &t[3], CKV_SESSION_ROOM, &a, &b);
    T_CHECK(a.n_messages == 1 && b.n_messages == 1);
    /* The lie is proved by headers, bodies or not. */
    ckv_buf lies = ckv_buf_init(ckv_alloc_libc), proof = ckv_buf_init(ckv_alloc_libc);
    ckv_equivocation lie;
    ckv_id32 author;
    ckv_err err;
    T_EQ(ckv_doc_equivocations(t[2].doc, &lies), CKV_OK);
    T_EQ(lies.len, sizeof lie);
    memcpy(&lie, lies.ptr, sizeof lie);
    T_EQ(ckv_doc_proof(t[2].doc, &lie, &proof), CKV_OK);
    T_EQ(ckv_proof_verify(proof.ptr, proof.len, &author, &err), CKV_OK);
    T_BYTES(&author, 32, lane.author, 32);
    ckv_buf_fini(&lies);
    ckv_buf_fini(&proof);
    deny(&t[3]);
    t[3].changes.ptr[9].is_dropped = false;
    T_EQ(ckv_absent_digest(t[3].doc, &y, &any), CKV_OK);
    T_CHECK(!ckv_id32_eq(&x, &y));
    for (uint32_t c = 0; c < t[3].changes.len; c++) t[3].changes.ptr[c].is_dropped = false;
    meet(&t[2], &t[3], CKV_SESSION_ROOM, &a, &b);
    same_where_it_matters(&t[2], &t[3]);
    for (int i = 0; i < 4; i++) toy_free(&t[i]);
}

/* ---- questions */

static void questions_come_in_pieces(void)
{
    toy t, all;
    T_EQ(toy_new(&t, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_new(&all, ckv_alloc_libc, 1), CKV_OK);
    t_seed(3);
    fill(&t, 3000);
    T_EQ(toy_send(&t, &all, ckv_alloc_libc), CKV_OK);
    size_t n = 0;
    for (uint32_t c = 0; c < 3000; c++) {
        if (t_one_in(2)) continue;
        toy_drop_body(&t, c);
        n += c < 2500;
    }
    for (size_t room = CKV_ABSENT_ENTRY_BYTES; room < 4000; room += room / 2) {
        ckv_absent_walk walk = {.below = 2500};
        uint64_t credit = 2500;
        ckv_u32s asked = {.a = ckv_alloc_libc};
        for (bool more = true; more;) {
            ckv_buf question = ckv_buf_init(ckv_alloc_libc);
            T_EQ(ckv_absent_ask(t.doc, &walk, room, &question, &more), CKV_OK);
            T_CHECK(question.len <= room && (question.len || !more));
            T_EQ(ckv_absent_read(all.doc, ckv_rd_init(question.ptr, question.len), &credit, &asked),
                 CKV_OK);
            ckv_buf_fini(&question);
        }
        T_EQ(asked.len, n);
        T_EQ(credit, 2500 - n);
        for (size_t i = 0; i < n; i++) T_CHECK(!t.changes.ptr[asked.ptr[i]].body);
        ckv_u32s_fini(&asked);
    }
    toy_free(&t);
    toy_free(&all);
}

static ckv_status read_question(toy *t, const ckv_buf *q, uint64_t credit, size_t *n)
{
    ckv_u32s asked = {.a = ckv_alloc_libc};
    const ckv_status s = ckv_absent_read(t->doc, ckv_rd_init(q->ptr, q->len), &credit, &asked);
    *n = asked.len;
    ckv_u32s_fini(&asked);
    return s;
}

static void questions_of_liars_are_bounded(void)
{
    toy t;
    size_t n;
    ckv_buf q = ckv_buf_init(ckv_alloc_libc);
    T_EQ(toy_new(&t, ckv_alloc_libc, 0), CKV_OK);
    fill(&t, 100);
    ckv_buf_bytes(&q, ckv_doc_id_of(t.doc, 99), 32);
    const size_t at = q.len;
    ckv_runs runs = {.a = ckv_alloc_libc};
    T_EQ(ckv_runs_append(&runs, 0, 100), CKV_OK);
    ckv_runs_walk walk = ckv_runs_walk_init(&runs);
    ckv_runs_out w = ckv_runs_out_init(&q);
    ckv_runs_out_all(&w, ckv_runs_walk_stream(&walk));
    ckv_runs_out_end(&w);
    ckv_runs_fini(&runs);
    T_EQ(read_question(&t, &q, 100, &n), CKV_OK);
    T_EQ(n, 100);
    T_EQ(read_question(&t, &q, 99, &n), CKV_ELIMIT);
    memcpy(q.ptr, ckv_doc_id_of(t.doc, 98), 32); /* a seq beyond the change that is named */
    T_EQ(read_question(&t, &q, 100, &n), CKV_ECORRUPT);
    memset(q.ptr, 7, 32); /* of a change that is not here */
    T_EQ(read_question(&t, &q, 100, &n), CKV_OK);
    T_EQ(n, 0);
    q.len = at - 1;
    T_EQ(read_question(&t, &q, 100, &n), CKV_ECORRUPT);
    ckv_buf_fini(&q);
    toy_free(&t);
}

/* Whatever bytes a question has, it names changes that are here, or is none. */
static void questions_are_damaged(void)
{
    toy t, lacks;
    uint32_t n_good = 0, n_bad = 0;
    t_seed(5);
    T_EQ(toy_new(&t, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(toy_new(&lacks, ckv_alloc_libc, 1), CKV_OK);
    fill(&t, 300);
    T_EQ(toy_send(&t, &lacks, ckv_alloc_libc), CKV_OK);
    for (uint32_t c = 0; c < 300; c++) {
        if (t_one_in(3)) toy_drop_body(&lacks, c);
    }
    ckv_buf q = ckv_buf_init(ckv_alloc_libc), bad = ckv_buf_init(ckv_alloc_libc);
    ckv_absent_walk walk = {.below = 300};
    bool more;
    T_EQ(ckv_absent_ask(lacks.doc, &walk, 4000, &q, &more), CKV_OK);
    for (int round = 0; round < 20000; round++) {
        ckv_buf_clear(&bad);
        ckv_buf_bytes(&bad, q.ptr, t_one_in(4) ? t_below(q.len) : q.len);
        for (uint64_t n = t_below(4); n && bad.len; n--)
            bad.ptr[t_below(bad.len)] = (uint8_t)t_rand();
        ckv_u32s asked = {.a = ckv_alloc_libc};
        uint64_t credit = 300;
        const ckv_status s = ckv_absent_read(t.doc, ckv_rd_init(bad.ptr, bad.len), &credit, &asked);
        T_CHECK(s == CKV_OK || s == CKV_ECORRUPT || s == CKV_ELIMIT);
        n_good += s == CKV_OK;
        n_bad += s != CKV_OK;
        T_CHECK(asked.len <= 300);
        for (size_t i = 0; i < asked.len; i++) T_CHECK(asked.ptr[i] < 300);
        ckv_u32s_fini(&asked);
    }
    T_CHECK(n_good > 1000 && n_bad > 1000);
    ckv_buf_fini(&q);
    ckv_buf_fini(&bad);
    toy_free(&t);
    toy_free(&lacks);
}

/* The same question again and again ends the session. */
static void who_asks_without_end_is_left(void)
{
    toy t[2];
    end a;
    ckv_status s = CKV_OK;
    ckv_report report;
    ckv_err err = {0};
    ckv_buf question = ckv_buf_init(ckv_alloc_libc), first = ckv_buf_init(ckv_alloc_libc);
    ckv_report_init(&report, ckv_alloc_libc);
    for (uint8_t i = 0; i < 2; i++) T_EQ(toy_new(&t[i], ckv_alloc_libc, i), CKV_OK);
    fill(&t[0], 50);
    T_EQ(toy_send(&t[0], &t[1], ckv_alloc_libc), CKV_OK);
    deny(&t[1]);
    bool more;
    ckv_absent_walk walk = {.below = 50};
    T_EQ(ckv_absent_ask(t[1].doc, &walk, 1000, &question, &more), CKV_OK);
    T_EQ(open_end(&a, &t[0]), CKV_OK);
    T_EQ(ckv_session_send(a.session, &first), CKV_OK);
    ckv_hello hello = {.later = {1}, .salt = {1}};
    T_EQ(ckv_doc_root(t[0].doc, &hello.root), CKV_OK);
    uint64_t n_messages = 0;
    while (s == CKV_OK && n_messages < 5000) {
        ckv_buf message = ckv_buf_init(ckv_alloc_libc);
        ckv_msg_begin(&message, true, ++n_messages, 1, &hello);
        ckv_buf_varint(&message, CKV_PART_ABSENT);
        ckv_buf many = ckv_buf_init(ckv_alloc_libc);
        while (many.len < 5000) ckv_buf_bytes(&many, question.ptr, question.len);
        ckv_buf_blob(&message, many.ptr, many.len);
        ckv_msg_end(&message, 0);
        s = ckv_session_take(a.session, message.ptr, message.len, &report, &err);
        ckv_buf_fini(&many);
        ckv_buf_fini(&message);
    }
    T_EQ(s, CKV_ESYNC);
    T_CHECK(strstr(err.text, "without end") && n_messages < 50);
    ckv_session_free(a.session);
    ckv_report_fini(&report);
    ckv_buf_fini(&question);
    ckv_buf_fini(&first);
    for (int i = 0; i < 2; i++) toy_free(&t[i]);
}

static ckv_status story(ckv_alloc a)
{
    toy t[2] = {0};
    end x = {0}, y = {0};
    ckv_status s = toy_new(&t[0], a, 0);
    if (s == CKV_OK) s = toy_new(&t[1], a, 1);
    for (uint8_t i = 0; i < 6 && s == CKV_OK; i++) s = toy_write(&t[0], 0, i % 4, 60, i == 3);
    if (s == CKV_OK) s = toy_send(&t[0], &t[1], a);
    if (s == CKV_OK) deny(&t[1]);
    if (s == CKV_OK) s = toy_write(&t[1], 0, 9, 60, true);
    if (s == CKV_OK) s = open_end(&x, &t[0]);
    if (s == CKV_OK) s = open_end(&y, &t[1]);
    if (s == CKV_OK) s = talk(&x, &y, a);
    if (s == CKV_OK) T_EQ(x.n_applied + y.n_applied, 5); /* four bodies and a change */
    ckv_session_free(x.session);
    ckv_session_free(y.session);
    for (int i = 0; i < 2; i++) {
        if (t[i].doc) toy_check(&t[i]);
        toy_free(&t[i]);
    }
    return s;
}

static void every_allocation_fails_once(void) { T_CHECK(t_oom(story) > 100); }

int main(void)
{
    T_RUN(replicas_agree);
    T_RUN(equal_replicas_say_one_message);
    T_RUN(one_compacts_the_other_does_not);
    T_RUN(a_liar_hides_what_matters);
    T_RUN(many_bodies_are_fetched);
    T_RUN(forks_have_one_digest);
    T_RUN(questions_come_in_pieces);
    T_RUN(questions_of_liars_are_bounded);
    T_RUN(questions_are_damaged);
    T_RUN(who_asks_without_end_is_left);
    T_RUN(every_allocation_fails_once);
    return t_done();
}
