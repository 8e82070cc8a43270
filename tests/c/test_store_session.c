/* Two stores in step: any state, any size, edits on both ends, wires that lose and repeat, memory that fails. */
#include "shop.h"

#include "base/check.h"
#include "sync/store_session.h"

typedef struct pair {
    ckv_store *s[2];
    ckv_store_session *end[2];
    size_t n_messages, n_bytes, n_longest;
    ckv_alloc a;
} pair;

static ckv_status open_pair(pair *p)
{
    for (size_t i = 0; i < 2; i++) CKV_TRY(ckv_store_session_new(&p->end[i], p->s[i]));
    return CKV_OK;
}

static void free_pair(pair *p)
{
    for (size_t i = 0; i < 2; i++) {
        ckv_store_session_free(p->end[i]);
        ckv_store_free(p->s[i]);
    }
}

/* Carries one message from an end to the other one. *moved: there was one. */
static ckv_status carry(pair *p, size_t from, bool *moved)
{
    ckv_buf m = ckv_buf_init(p->a);
    ckv_store_report report;
    ckv_store_report_init(&report, p->a);
    ckv_status s = ckv_store_session_send(p->end[from], &m);
    *moved = s == CKV_OK && m.len > 0;
    if (*moved) {
        p->n_messages++;
        p->n_bytes += m.len;
        if (m.len > p->n_longest) p->n_longest = m.len;
        s = ckv_store_session_take(p->end[1 - from], shop_bytes(&m), CKV_NO_DRIFT, &report, NULL);
    }
    ckv_store_report_fini(&report);
    ckv_buf_fini(&m);
    return s;
}

/* In turns until both are silent. */
static ckv_status talk(pair *p)
{
    for (bool any = true; any;) {
        any = false;
        for (size_t from = 0; from < 2; from++) {
            bool moved = true;
            while (moved) {
                CKV_TRY(carry(p, from, &moved));
                any = any || moved;
            }
        }
    }
    return CKV_OK;
}

static void check_equal(const pair *p)
{
    ckv_buf a = ckv_buf_init(ckv_alloc_libc), b = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_store_request(p->s[0], &a), CKV_OK);
    T_EQ(ckv_store_request(p->s[1], &b), CKV_OK);
    T_BYTES(a.ptr, a.len, b.ptr, b.len);
    T_EQ(ckv_store_len(p->s[0], false), ckv_store_len(p->s[1], false));
    ckv_buf_fini(&a);
    ckv_buf_fini(&b);
    for (size_t i = 0; i < 2; i++) {
        shop_check(p->s[i]);
        T_CHECK(ckv_store_session_done(p->end[i]));
    }
}

static void scribble(ckv_store *s, size_t n)
{
    char key[16];
    for (; n > 0; n--) {
        snprintf(key, sizeof key, "k%d", (int)t_below(40));
        if (t_one_in(4))
            T_CHECK(ckv_store_remove(s, shop_key(key), NULL) <= 0);
        else
            T_EQ(shop_put(s, key, (int64_t)t_below(1000)), CKV_OK);
        shop_ms += t_below(2);
    }
}

static void equal_stores_need_one_short_message_each(void)
{
    pair p = {.a = ckv_alloc_libc};
    t_seed(1);
    T_EQ(shop_new(&p.s[0], p.a, "ada"), CKV_OK);
    T_EQ(shop_new(&p.s[1], p.a, "ben"), CKV_OK);
    scribble(p.s[0], 100);
    T_EQ(shop_pull(p.s[1], p.s[0], p.a), CKV_OK);
    T_EQ(open_pair(&p), CKV_OK);
    T_EQ(talk(&p), CKV_OK);
    check_equal(&p);
    T_EQ(p.n_messages, 2);
    T_CHECK(p.n_longest <= 64);
    free_pair(&p);
}

static void they_stay_in_step(void)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        pair p = {.a = ckv_alloc_libc};
        t_seed(seed);
        T_EQ(shop_new(&p.s[0], p.a, "ada"), CKV_OK);
        T_EQ(shop_new(&p.s[1], p.a, "ben"), CKV_OK);
        for (size_t i = 0; i < 2; i++) scribble(p.s[i], t_below(60));
        T_EQ(open_pair(&p), CKV_OK);
        for (size_t n = 0; n < 30; n++) { /* edits while they talk */
            bool moved;
            if (t_one_in(3)) scribble(p.s[t_below(2)], 1 + t_below(5));
            T_EQ(carry(&p, t_below(2), &moved), CKV_OK);
        }
        T_EQ(talk(&p), CKV_OK);
        check_equal(&p);
        const size_t n = p.n_messages;
        T_EQ(talk(&p), CKV_OK);
        T_EQ(p.n_messages, n);
        T_EQ(shop_put(p.s[0], "late", 1), CKV_OK);
        T_CHECK(!ckv_store_session_done(p.end[0]));
        T_EQ(talk(&p), CKV_OK);
        T_EQ(p.n_messages, n + 2); /* the news and that they were heard */
        T_EQ(shop_get(p.s[1], "late"), 1);
        check_equal(&p);
        free_pair(&p);
    }
}

static void much_travels_in_pieces(void)
{
    pair p = {.a = ckv_alloc_libc};
    t_seed(2);
    T_EQ(shop_new(&p.s[0], p.a, "ada"), CKV_OK);
    T_EQ(shop_new(&p.s[1], p.a, "ben"), CKV_OK);
    static uint8_t big[CKV_MAX_VALUE];
    ckv_buf value = ckv_buf_init(p.a);
    for (size_t i = 0; i < sizeof big; i++) big[i] = (uint8_t)t_rand();
    for (int i = 0; i < 6; i++) {
        char key[16];
        ckv_buf_clear(&value);
        ckv_value_write(&value, &(ckv_value){.tag = CKV_TAG_BYTES,
                                             .ptr = big,
                                             .n_bytes = sizeof big - 8 - (size_t)i * 100000});
        snprintf(key, sizeof key, "big%d", i);
        T_EQ(ckv_store_put(p.s[i % 2], shop_key(key), shop_bytes(&value), ++shop_ms, NULL), CKV_OK);
    }
    ckv_buf_fini(&value);
    for (int i = 0; i < 20000; i++) { /* every second dot dies */
        char key[16];
        snprintf(key, sizeof key, "s%d", i);
        T_EQ(shop_put(p.s[0], key, i), CKV_OK);
        T_EQ(shop_put(p.s[0], "over", i), CKV_OK);
    }
    T_EQ(open_pair(&p), CKV_OK);
    T_EQ(talk(&p), CKV_OK);
    check_equal(&p);
    T_CHECK(p.n_messages > 7);
    T_CHECK(p.n_longest <= (1u << 20) + 4096);
    free_pair(&p);
}

static void a_lost_or_repeated_message_ends_it(void)
{
    for (int repeat = 0; repeat < 2; repeat++) {
        pair p = {.a = ckv_alloc_libc};
        T_EQ(shop_new(&p.s[0], p.a, "ada"), CKV_OK);
        T_EQ(shop_new(&p.s[1], p.a, "ben"), CKV_OK);
        T_EQ(shop_put(p.s[0], "a", 1), CKV_OK);
        T_EQ(open_pair(&p), CKV_OK);
        ckv_buf m = ckv_buf_init(p.a);
        ckv_store_report report;
        ckv_store_report_init(&report, p.a);
        T_EQ(ckv_store_session_send(p.end[0], &m), CKV_OK);
        T_EQ(ckv_store_session_take(p.end[1], shop_bytes(&m), CKV_NO_DRIFT, &report, NULL), CKV_OK);
        bool moved;
        if (!repeat) {
            T_EQ(carry(&p, 1, &moved), CKV_OK);
            ckv_buf_clear(&m);
            T_EQ(ckv_store_session_send(p.end[0], &m), CKV_OK); /* is lost */
            T_EQ(shop_put(p.s[0], "b", 2), CKV_OK);
            ckv_buf_clear(&m);
            T_EQ(ckv_store_session_send(p.end[0], &m), CKV_OK);
            T_CHECK(m.len > 0);
        }
        T_EQ(ckv_store_session_take(p.end[1], shop_bytes(&m), CKV_NO_DRIFT, &report, NULL),
             CKV_ESYNC);
        T_CHECK(ckv_store_session_is_over(p.end[1]) && !ckv_store_session_done(p.end[1]));
        ckv_buf_clear(&m);
        T_EQ(ckv_store_session_send(p.end[1], &m), CKV_OK);
        T_EQ(m.len, 0);
        T_EQ(ckv_store_session_take(p.end[1], shop_bytes(&m), CKV_NO_DRIFT, &report, NULL),
             CKV_ESYNC);
        ckv_store_report_fini(&report);
        ckv_buf_fini(&m);
        free_pair(&p);
    }
}

/* Found by fuzzing: what came released an op that waited, and the other end was not told. */
static void what_waited_is_told_too(void)
{
    pair p = {.a = ckv_alloc_libc};
    ckv_store *c;
    T_EQ(shop_open(&p.s[0], p.a, "a"), CKV_OK);
    T_EQ(shop_open(&p.s[1], p.a, "b"), CKV_OK);
    T_EQ(shop_open(&c, p.a, "c"), CKV_OK);
    T_EQ(shop_put(c, "first", 1), CKV_OK);
    T_EQ(shop_pull(p.s[1], c, p.a), CKV_OK);
    shop_give(p.s[0], shop_put_op(c, "second", 2)); /* waits for the first */
    T_EQ(open_pair(&p), CKV_OK);
    T_EQ(talk(&p), CKV_OK);
    check_equal(&p);
    T_EQ(shop_get(p.s[1], "second"), 2);
    ckv_store_free(c);
    free_pair(&p);
}

/* ---- by hand */

typedef struct form {
    uint64_t flags, number, heard;
    size_t n_digest;
    uint8_t kind, last; /* kind 0: no piece */
    size_t n_piece;
} form;

static ckv_buf write_form(const form *f, const uint8_t *piece)
{
    static const uint8_t digest[16] = {1};
    ckv_buf m = ckv_buf_init(ckv_alloc_libc);
    const size_t begin = ckv_message_begin(&m, 'T');
    ckv_buf_varint(&m, f->flags);
    ckv_buf_varint(&m, f->number);
    ckv_buf_varint(&m, f->heard);
    ckv_buf_bytes(&m, digest, f->n_digest);
    if (f->kind) {
        ckv_buf_u8(&m, f->kind);
        ckv_buf_u8(&m, f->last);
        ckv_buf_blob(&m, piece, f->n_piece);
    }
    ckv_message_end(&m, begin);
    return m;
}

/* What the last of some messages comes to; the ones before it are taken. */
static ckv_status try_forms(const form *f, size_t n, const ckv_buf *piece)
{
    pair p = {.a = ckv_alloc_libc};
    ckv_status s = CKV_OK;
    ckv_buf said = ckv_buf_init(p.a);
    T_EQ(shop_open(&p.s[0], p.a, "a"), CKV_OK);
    T_EQ(shop_open(&p.s[1], p.a, "b"), CKV_OK);
    T_EQ(open_pair(&p), CKV_OK);
    T_EQ(ckv_store_session_send(p.end[0], &said), CKV_OK);
    for (size_t i = 0; i < n; i++) {
        ckv_store_report report;
        ckv_err err = {CKV_OK, 0, NULL};
        ckv_store_report_init(&report, p.a);
        ckv_buf m = write_form(&f[i], piece->ptr);
        T_EQ(s, CKV_OK);
        s = ckv_store_session_take(p.end[0], shop_bytes(&m), CKV_NO_DRIFT, &report, &err);
        T_CHECK(s == CKV_OK || (err.code == s && err.text));
        T_EQ(ckv_store_session_is_over(p.end[0]), s != CKV_OK);
        ckv_store_report_fini(&report);
        ckv_buf_fini(&m);
    }
    shop_check(p.s[0]);
    ckv_buf_fini(&said);
    free_pair(&p);
    return s;
}

static void what_does_not_fit_ends_it(void)
{
    enum { REQUEST = 1, DIFF = 2 };
    ckv_buf request = ckv_buf_init(ckv_alloc_libc), diff = ckv_buf_init(ckv_alloc_libc);
    ckv_message_end(&request, ckv_message_begin(&request, CKV_MESSAGE_REQUEST));
    ckv_message_end(&diff, ckv_message_begin(&diff, CKV_MESSAGE_DIFF));
    const form hello = {0, 1, 0, 16, 0, 0, 0};
    const struct {
        form f;
        ckv_status want;
    } second[] = {
        {{0, 2, 1, 0, REQUEST, 1, 10}, CKV_OK},
        {{1, 2, 0, 0, 0, 0, 0}, CKV_OK},
        {{2, 2, 1, 0, 0, 0, 0}, CKV_ECORRUPT},
        {{0, 1, 1, 16, 0, 0, 0}, CKV_ESYNC},    /* repeated */
        {{0, 3, 1, 0, 0, 0, 0}, CKV_ESYNC},     /* one is missing */
        {{0, 2, 2, 0, 0, 0, 0}, CKV_ESYNC},     /* it heard what was never said */
        {{0, 2, 1, 0, 3, 1, 10}, CKV_ECORRUPT}, /* no such piece */
        {{0, 2, 1, 0, REQUEST, 2, 10}, CKV_ECORRUPT},
        {{0, 2, 1, 0, REQUEST, 1, 0}, CKV_ECORRUPT}, /* empty */
        {{0, 2, 1, 3, 0, 0, 0}, CKV_ECORRUPT},       /* half a piece: 1 0 0 */
        {{0, 2, 1, 0, REQUEST, 1, 9}, CKV_ECORRUPT}, /* half a request */
        {{0, 2, 1, 0, DIFF, 1, 10}, CKV_ECORRUPT},   /* a request that says it is a diff */
    };
    T_EQ(try_forms(&hello, 1, &request), CKV_OK);
    for (size_t i = 0; i < sizeof second / sizeof *second; i++)
        T_EQ(try_forms((form[]){hello, second[i].f}, 2, &request), second[i].want);
    form f[] = {hello, {0, 2, 1, 0, REQUEST, 0, 5}, {0, 3, 0, 0, 0, 0, 0}};
    T_EQ(try_forms(f, 2, &request), CKV_OK);
    T_EQ(try_forms(f, 3, &request), CKV_ESYNC); /* it heard less than before */
    f[2] = (form){0, 3, 1, 0, DIFF, 1, 10};
    T_EQ(try_forms(f, 3, &diff), CKV_ESYNC); /* between two pieces of a request */
    f[1].last = 1, f[1].n_piece = 10;
    T_EQ(try_forms(f, 2, &request), CKV_OK);
    f[2] = (form){0, 3, 1, 0, REQUEST, 1, 10};
    T_EQ(try_forms(f, 3, &request), CKV_ESYNC); /* one is enough */
    form none = hello;
    none.n_digest = 15;
    T_EQ(try_forms(&none, 1, &request), CKV_ECORRUPT);
    f[1] = (form){0, 2, 1, 1, 0, 0, 0}; /* a piece that ends behind its kind */
    T_EQ(try_forms(f, 2, &request), CKV_ECORRUPT);
    f[1] = (form){0, 2, 1, 0, DIFF, 1, 10}; /* a diff may come before the request */
    T_EQ(try_forms(f, 2, &diff), CKV_OK);
    ckv_store *s;
    ckv_store_session *end;
    T_EQ(shop_open(&s, ckv_alloc_libc, "a"), CKV_OK);
    T_EQ(ckv_store_session_new(&end, s), CKV_OK);
    T_EQ(ckv_store_session_take(end, shop_bytes(&diff), CKV_NO_DRIFT, NULL, NULL), CKV_ECORRUPT);
    ckv_store_session_free(end);
    ckv_store_session_free(NULL);
    ckv_store_free(s);
    ckv_buf_fini(&request);
    ckv_buf_fini(&diff);
}

static void patience_has_an_end(void)
{
    form f[CKV_STORE_SESSION_PATIENCE + 1] = {{0, 1, 0, 16, 0, 0, 0}};
    const ckv_buf none = ckv_buf_init(ckv_alloc_libc);
    for (uint64_t i = 1; i <= CKV_STORE_SESSION_PATIENCE; i++)
        f[i] = (form){1, i + 1, 0, 0, 0, 0, 0};
    T_EQ(try_forms(f, CKV_STORE_SESSION_PATIENCE, &none), CKV_OK);
    T_EQ(try_forms(f, CKV_STORE_SESSION_PATIENCE + 1, &none), CKV_ESYNC);
}

static void nobody_sends_more_than_may_be(void)
{
    ckv_buf much = ckv_buf_init(ckv_alloc_libc);
    CKV_MUST(ckv_buf_reserve(&much, 2u << 20));
    memset(much.ptr, 0, 2u << 20);
    form f[6] = {{0, 1, 0, 16, 0, 0, 0}};
    for (uint64_t i = 1; i < 6; i++) f[i] = (form){1, i + 1, 0, 0, 2, 0, 1000000};
    T_EQ(try_forms(f, 5, &much), CKV_OK);
    T_EQ(try_forms(f, 6, &much), CKV_ESYNC); /* the diff gets too long */
    f[1].n_piece = 1100000;
    T_EQ(try_forms(f, 2, &much), CKV_ESYNC); /* so is the message */
    ckv_buf_fini(&much);
}

static ckv_status short_talk(ckv_alloc a)
{
    pair p = {.a = a};
    t_seed(3);
    ckv_status s = shop_new(&p.s[0], a, "ada");
    if (s == CKV_OK) s = shop_new(&p.s[1], a, "ben");
    for (int i = 0; i < 12 && s == CKV_OK; i++) {
        const char key[] = {(char)('a' + i % 5), 0};
        s = shop_put(p.s[i % 2], key, i);
    }
    if (s == CKV_OK) s = open_pair(&p);
    if (s == CKV_OK) s = talk(&p);
    if (s == CKV_OK) s = shop_put(p.s[1], "late", 1);
    if (s == CKV_OK) s = talk(&p);
    free_pair(&p);
    return s;
}

/* Equal from the start, until one of them writes. */
static ckv_status equal_talk(ckv_alloc a)
{
    pair p = {.a = a};
    ckv_status s = shop_open(&p.s[0], a, "a");
    if (s == CKV_OK) s = shop_open(&p.s[1], a, "b");
    if (s == CKV_OK) s = shop_put(p.s[0], "k", 1);
    if (s == CKV_OK) s = shop_pull(p.s[1], p.s[0], a);
    if (s == CKV_OK) s = open_pair(&p);
    if (s == CKV_OK) s = talk(&p);
    if (s == CKV_OK) s = shop_put(p.s[0], "k", 2);
    if (s == CKV_OK) s = talk(&p);
    if (s == CKV_OK) check_equal(&p);
    free_pair(&p);
    return s;
}

static void memory_may_fail_anywhere(void)
{
    T_CHECK(t_oom(short_talk) > 50);
    T_CHECK(t_oom(equal_talk) > 20);
}

/* What a diff sets free here was of somebody else: the other end must hear of it. */
static void what_waited_is_passed_on(void)
{
    pair p = {.a = ckv_alloc_libc};
    ckv_store *c;
    ckv_buf ops[2] = {ckv_buf_init(ckv_alloc_libc), ckv_buf_init(ckv_alloc_libc)};
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_alloc_libc);
    T_EQ(shop_new(&p.s[0], p.a, "a"), CKV_OK);
    T_EQ(shop_new(&p.s[1], p.a, "b"), CKV_OK);
    T_EQ(shop_new(&c, p.a, "c"), CKV_OK);
    T_EQ(ckv_store_put(c, shop_key("x"), shop_int(1), shop_ms, &ops[0]), CKV_OK);
    T_EQ(ckv_store_put(c, shop_key("y"), shop_int(2), shop_ms, &ops[1]), CKV_OK);
    T_EQ(shop_put(p.s[0], "k", 1), CKV_OK);
    T_EQ(open_pair(&p), CKV_OK);
    T_EQ(talk(&p), CKV_OK);
    for (size_t i = 0; i < 2; i++) { /* the second one waits at the first end */
        const ckv_bytes op = shop_bytes(&ops[1 - i]);
        T_EQ(ckv_store_take_ops(p.s[i], &op, 1, CKV_NO_DRIFT, &report, NULL), CKV_OK);
    }
    T_EQ(talk(&p), CKV_OK);
    T_EQ(shop_get(p.s[1], "y"), 2);
    check_equal(&p);
    ckv_store_report_fini(&report);
    for (size_t i = 0; i < 2; i++) ckv_buf_fini(&ops[i]);
    ckv_store_free(c);
    free_pair(&p);
}

int main(void)
{
    T_RUN(equal_stores_need_one_short_message_each);
    T_RUN(they_stay_in_step);
    T_RUN(much_travels_in_pieces);
    T_RUN(a_lost_or_repeated_message_ends_it);
    T_RUN(what_waited_is_told_too);
    T_RUN(what_does_not_fit_ends_it);
    T_RUN(patience_has_an_end);
    T_RUN(nobody_sends_more_than_may_be);
    T_RUN(memory_may_fail_anywhere);
    T_RUN(what_waited_is_passed_on);
    return t_done();
}
