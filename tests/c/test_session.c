/* Sessions between replicas: every story ends with both ends done and equal; every allocation fails once; every message is damaged. */
#include "story.h"

#include "base/hash64.h"
#include "sync/msg.h"
#include "sync/recon.h"
#include "sync/session.h"

/* One end and what it heard. */
typedef struct end {
    ckv_doc *doc;
    ckv_session *session;
} end;

static ckv_status open_end(end *e, ckv_doc *doc)
{
    e->doc = doc;
    e->session = NULL;
    return ckv_session_new(&e->session, doc, 0);
}

static void close_end(end *e) { ckv_session_free(e->session); }

static void valid(const end *e)
{
    const char *why = NULL;
    s_check(e->doc);
    T_VALID(ckv_session_check(e->session, &why), why);
}

/* All that one end has to say, into the other one. *n: how many messages. */
static ckv_status speak(end *from, end *to, ckv_alloc a, size_t *n, size_t *n_bytes)
{
    ckv_status s = CKV_OK;
    for (*n = 0; s == CKV_OK;) {
        ckv_buf message = ckv_buf_init(a);
        ckv_report report;
        ckv_err err;
        ckv_report_init(&report, a);
        s = ckv_session_send(from->session, &message);
        const size_t len = message.len;
        T_CHECK(s != CKV_OK || len <= CKV_MSG_MAX_BYTES);
        if (s == CKV_OK && len) {
            s = ckv_session_take(to->session, message.ptr, len, &report, &err);
            if (s != CKV_OK && s != CKV_ENOMEM) fprintf(stderr, "%s\n", err.text);
            ++*n;
            *n_bytes += len;
        }
        ckv_report_fini(&report);
        ckv_buf_fini(&message);
        if (len == 0) break;
    }
    return s;
}

static ckv_status talk(end *x, end *y, ckv_alloc a, size_t *rounds, size_t *n_bytes)
{
    size_t n = 1, m = 1;
    *rounds = *n_bytes = 0;
    while (n || m) {
        CKV_TRY(speak(x, y, a, &n, n_bytes));
        CKV_TRY(speak(y, x, a, &m, n_bytes));
        *rounds += n || m;
        T_CHECK(*rounds < 64);
    }
    return CKV_OK;
}

static void same_root(ckv_doc *x, ckv_doc *y)
{
    ckv_id32 rx, ry;
    T_EQ(ckv_doc_root(x, &rx), CKV_OK);
    T_EQ(ckv_doc_root(y, &ry), CKV_OK);
    T_BYTES(&rx, 32, &ry, 32);
}

static void meet(ckv_doc *x, ckv_doc *y, size_t *rounds, size_t *n_bytes)
{
    end a, b;
    T_EQ(s_commit(x), CKV_OK);
    T_EQ(s_commit(y), CKV_OK);
    T_EQ(open_end(&a, x), CKV_OK);
    T_EQ(open_end(&b, y), CKV_OK);
    T_EQ(talk(&a, &b, ckv_alloc_libc, rounds, n_bytes), CKV_OK);
    T_CHECK(ckv_session_done(a.session) && ckv_session_done(b.session));
    T_CHECK(ckv_session_settled(a.session) && ckv_session_settled(b.session));
    same_root(x, y);
    valid(&a);
    valid(&b);
    close_end(&a);
    close_end(&b);
}

static ckv_status edit(ckv_doc *doc, uint32_t n)
{
    for (; n; n--) {
        CKV_TRY(s_edit(doc));
        CKV_TRY(s_commit(doc));
    }
    return CKV_OK;
}

/* A replica with the same key that goes on with one of its lanes. */
static void lie(ckv_doc *doc, uint8_t who, uint32_t depth)
{
    ckv_doc *twin;
    const uint32_t n = ckv_doc_n_changes(doc);
    ckv_change_info info;
    T_EQ(s_commit(doc), CKV_OK);
    if (n == 0) return;
    T_EQ(s_new(&twin, ckv_alloc_libc, who), CKV_OK);
    T_EQ(s_send(doc, twin, ckv_alloc_libc), CKV_OK);
    ckv_doc_change(doc, (uint32_t)t_below(n), &info);
    if (ckv_doc_go_on_with_lane(twin, info.lane) == CKV_OK) {
        T_EQ(edit(twin, depth), CKV_OK);
        T_EQ(edit(doc, 1), CKV_OK);
        T_EQ(s_send(twin, doc, ckv_alloc_libc), CKV_OK);
    }
    ckv_doc_free(twin);
}

/* ---- stories */

static void random_replicas_agree(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        ckv_doc *docs[4];
        t_seed(seed);
        for (uint8_t i = 0; i < 4; i++) T_EQ(s_new(&docs[i], ckv_alloc_libc, i), CKV_OK);
        for (int step = 0; step < 30; step++) {
            const uint8_t i = (uint8_t)t_below(4), k = (uint8_t)((i + 1 + t_below(3)) % 4);
            size_t rounds, n_bytes;
            if (t_one_in(3))
                meet(docs[i], docs[k], &rounds, &n_bytes);
            else if (t_one_in(6))
                lie(docs[i], i, 1 + (uint32_t)t_below(20));
            else
                T_EQ(edit(docs[i], 1 + (uint32_t)t_below(12)), CKV_OK);
        }
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < 4; i++) {
                size_t rounds, n_bytes;
                meet(docs[i], docs[(i + 1) % 4], &rounds, &n_bytes);
            }
        }
        for (int i = 1; i < 4; i++) same_root(docs[0], docs[i]);
        for (int i = 0; i < 4; i++) ckv_doc_free(docs[i]);
    }
}

/* Sessions of a ring stay open while everybody edits: what comes from one side goes out on the other, and never back. */
static void a_ring_stays_in_step(void)
{
    enum { N = 3 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        ckv_doc *docs[N];
        end ends[N][2]; /* to the next, and to the one before */
        t_seed(seed);
        for (uint8_t i = 0; i < N; i++) {
            T_EQ(s_new(&docs[i], ckv_alloc_libc, i), CKV_OK);
            T_EQ(edit(docs[i], (uint32_t)t_below(5)), CKV_OK);
            for (int k = 0; k < 2; k++) T_EQ(open_end(&ends[i][k], docs[i]), CKV_OK);
        }
        for (int step = 0; step < 120; step++) {
            size_t n = 0, n_bytes = 0;
            const int i = (int)t_below(N);
            if (step < 80 && t_one_in(2)) T_EQ(edit(docs[i], 1 + (uint32_t)t_below(3)), CKV_OK);
            if (t_one_in(2))
                T_EQ(speak(&ends[i][0], &ends[(i + 1) % N][1], ckv_alloc_libc, &n, &n_bytes),
                     CKV_OK);
            else
                T_EQ(speak(&ends[i][1], &ends[(i + N - 1) % N][0], ckv_alloc_libc, &n, &n_bytes),
                     CKV_OK);
            valid(&ends[i][0]);
        }
        for (size_t busy = 1; busy;) {
            busy = 0;
            for (int i = 0; i < N; i++) {
                size_t n, n_bytes = 0;
                T_EQ(speak(&ends[i][0], &ends[(i + 1) % N][1], ckv_alloc_libc, &n, &n_bytes),
                     CKV_OK);
                busy += n;
                T_EQ(speak(&ends[i][1], &ends[(i + N - 1) % N][0], ckv_alloc_libc, &n, &n_bytes),
                     CKV_OK);
                busy += n;
            }
        }
        for (int i = 0; i < N; i++) {
            same_root(docs[0], docs[i]);
            for (int k = 0; k < 2; k++) {
                valid(&ends[i][k]);
                T_CHECK(ckv_session_done(ends[i][k].session));
                close_end(&ends[i][k]);
            }
        }
        for (int i = 0; i < N; i++) ckv_doc_free(docs[i]);
    }
}

/* ---- bounds */

static void equal_replicas_say_64_bytes_each(void)
{
    ckv_doc *x, *y;
    size_t rounds, n_bytes;
    T_EQ(s_new(&x, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(s_new(&y, ckv_alloc_libc, 2), CKV_OK);
    meet(x, y, &rounds, &n_bytes);
    T_CHECK(rounds == 1 && n_bytes <= 128);
    t_seed(3);
    T_EQ(edit(x, 50), CKV_OK);
    meet(x, y, &rounds, &n_bytes);
    meet(x, y, &rounds, &n_bytes);
    T_CHECK(rounds == 1 && n_bytes <= 128);
    ckv_doc_free(x);
    ckv_doc_free(y);
}

/* Many lanes: one replica opens a new one for each change. */
static void grow_lanes(ckv_doc *doc, uint32_t n)
{
    for (; n; n--) {
        const ckv_value v = {.tag = CKV_TAG_INT, .i64 = n};
        uint32_t made;
        ckv_doc_leave_lane(doc);
        T_EQ(ckv_map_set(doc, CKV_ROOT, "n", 1, &v, &made), CKV_OK);
        T_EQ(s_commit(doc), CKV_OK);
    }
}

static void many_lanes_equal_but_few_cost_little(void)
{
    t_seed(7);
    for (uint32_t n = 10; n <= 3000; n *= 3) {
        ckv_doc *x, *y;
        size_t rounds, n_bytes;
        T_EQ(s_new(&x, ckv_alloc_libc, 1), CKV_OK);
        T_EQ(s_new(&y, ckv_alloc_libc, 2), CKV_OK);
        grow_lanes(x, n);
        meet(x, y, &rounds, &n_bytes);
        grow_lanes(y, 2);
        meet(x, y, &rounds, &n_bytes);
        T_CHECK(rounds <= 6 && (n < 256 || n_bytes < 4096));
        grow_lanes(x, n / 2);
        grow_lanes(y, n / 2);
        meet(x, y, &rounds, &n_bytes);
        T_CHECK(rounds <= 6);
        ckv_doc_free(x);
        ckv_doc_free(y);
    }
}

/* ---- errors */

static ckv_status a_meeting(ckv_alloc a)
{
    ckv_doc *x = NULL, *y = NULL;
    end ends[2] = {{0}, {0}};
    size_t rounds = 0, n_bytes = 0;
    t_seed(11);
    s_nonces = 0;
    ckv_status s = s_new(&x, a, 1);
    if (s == CKV_OK) s = s_new(&y, a, 2);
    if (s == CKV_OK) s = edit(x, 12);
    if (s == CKV_OK) s = s_send(x, y, a);
    if (s == CKV_OK) s = edit(x, 10);
    if (s == CKV_OK) s = edit(y, 3);
    if (s == CKV_OK) s = open_end(&ends[0], x);
    if (s == CKV_OK) s = open_end(&ends[1], y);
    if (s == CKV_OK) s = talk(&ends[0], &ends[1], a, &rounds, &n_bytes);
    for (uint32_t i = 0; i < 3 && s == CKV_OK; i++) { /* live */
        s = edit(i % 2 ? x : y, 1);
        if (s == CKV_OK) s = talk(&ends[0], &ends[1], a, &rounds, &n_bytes);
    }
    ckv_id32 rx = {{0}}, ry = {{0}};
    T_CHECK(s != CKV_OK || ckv_session_done(ends[0].session));
    if (s == CKV_OK) s = ckv_doc_root(x, &rx);
    if (s == CKV_OK) s = ckv_doc_root(y, &ry);
    T_BYTES(&rx, s == CKV_OK ? 32 : 0, &ry, s == CKV_OK ? 32 : 0);
    s_check(x);
    s_check(y);
    for (int i = 0; i < 2; i++) {
        if (!ends[i].session) continue;
        valid(&ends[i]);
        close_end(&ends[i]);
    }
    ckv_doc_free(x);
    ckv_doc_free(y);
    return s;
}

static void no_memory(void) { T_CHECK(t_oom(a_meeting) > 100); }

static uint32_t check_of(const uint8_t *p, size_t n) { return (uint32_t)ckv_hash64(p, n); }

/* Damages one message of a session, with a right checksum, and finishes with another session. */
static void damaged_messages(void)
{
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        ckv_doc *x, *y;
        end a, b;
        size_t rounds, n_bytes;
        t_seed(seed);
        T_EQ(s_new(&x, ckv_alloc_libc, 1), CKV_OK);
        T_EQ(s_new(&y, ckv_alloc_libc, 2), CKV_OK);
        T_EQ(edit(x, 1 + (uint32_t)t_below(9)), CKV_OK);
        if (t_one_in(2)) T_EQ(s_send(x, y, ckv_alloc_libc), CKV_OK);
        if (t_one_in(3)) grow_lanes(y, (uint32_t)t_below(20));
        if (t_one_in(3)) lie(y, 2, 3);
        T_EQ(edit(x, (uint32_t)t_below(4)), CKV_OK);
        T_EQ(open_end(&a, x), CKV_OK);
        T_EQ(open_end(&b, y), CKV_OK);
        const uint64_t bad = t_below(8);
        bool over = false;
        for (uint64_t i = 0; i < 40 && !over; i++) {
            end *from = i % 2 ? &b : &a, *to = i % 2 ? &a : &b;
            ckv_buf m = ckv_buf_init(ckv_alloc_libc);
            ckv_report report;
            ckv_err err;
            ckv_report_init(&report, ckv_alloc_libc);
            T_EQ(ckv_session_send(from->session, &m), CKV_OK);
            if (m.len && i == bad) {
                for (uint64_t k = 1 + t_below(3); k; k--)
                    m.ptr[t_below(m.len - 4)] ^= (uint8_t)(1u << t_below(8));
                const uint32_t check = check_of(m.ptr, m.len - 4);
                m.len -= 4;
                ckv_buf_u32le(&m, check);
            }
            if (m.len) {
                const ckv_status s = ckv_session_take(to->session, m.ptr, m.len, &report, &err);
                T_CHECK(s == CKV_OK || s == CKV_ECORRUPT || s == CKV_ESYNC);
                over = s != CKV_OK;
                T_EQ(ckv_session_is_over(to->session), over);
            }
            valid(&a);
            valid(&b);
            ckv_report_fini(&report);
            ckv_buf_fini(&m);
        }
        close_end(&a);
        close_end(&b);
        meet(x, y, &rounds, &n_bytes);
        ckv_doc_free(x);
        ckv_doc_free(y);
    }
}

static void an_ended_session_says_nothing(void)
{
    ckv_doc *x;
    end a;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_report report;
    ckv_err err;
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(s_new(&x, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(open_end(&a, x), CKV_OK);
    T_EQ(ckv_session_take(a.session, (const uint8_t *)"nonsense", 8, &report, &err), CKV_ECORRUPT);
    T_EQ(ckv_session_take(a.session, (const uint8_t *)"nonsense", 8, &report, &err), CKV_ESYNC);
    T_EQ(ckv_session_send(a.session, &out), CKV_OK);
    T_CHECK(out.len == 0 && !ckv_session_done(a.session));
    close_end(&a);
    ckv_buf_fini(&out);
    ckv_report_fini(&report);
    ckv_doc_free(x);
}

int main(void)
{
    T_RUN(equal_replicas_say_64_bytes_each);
    T_RUN(many_lanes_equal_but_few_cost_little);
    T_RUN(random_replicas_agree);
    T_RUN(a_ring_stays_in_step);
    T_RUN(an_ended_session_says_nothing);
    T_RUN(damaged_messages);
    T_RUN(no_memory);
    return t_done();
}
