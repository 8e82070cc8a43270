/* Pulls: requests and diffs, whole and in small pieces; the request kept for a known peer is the one it would make. */
#include "shop.h"

enum { N = SHOP_N };

static void scribble(ckv_store *s, size_t n)
{
    for (; n > 0; n--) {
        const char key[] = {(char)('a' + t_below(5)), (char)('a' + t_below(5)), 0};
        shop_ms += t_below(2);
        if (t_one_in(4))
            T_CHECK(ckv_store_remove(s, shop_key(key), NULL) <= 0);
        else
            T_EQ(shop_put(s, key, (int64_t)t_below(100)), CKV_OK);
    }
}

static ckv_buf diff_for(const ckv_store *s, const ckv_buf *request, size_t max_bytes, bool *more)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_store_diff(s, shop_bytes(request), max_bytes, &out, more, NULL), CKV_OK);
    return out;
}

static ckv_buf after(const ckv_buf *request, const ckv_buf *diff)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_request_after(shop_bytes(request), shop_bytes(diff), &out, NULL), CKV_OK);
    return out;
}

static ckv_buf copy_of(const ckv_buf *b)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_bytes(&out, b->ptr, b->len);
    return out;
}

static ckv_store *twin_of(const ckv_store *s)
{
    const ckv_env env = {ckv_alloc_libc, shop_random, NULL};
    ckv_store *out;
    ckv_buf save = shop_save(s);
    T_EQ(ckv_store_load(&out, &env, shop_bytes(&save), NULL, NULL), CKV_OK);
    ckv_buf_fini(&save);
    return out;
}

static void small_pieces_come_to_the_same(void)
{
    for (uint64_t seed = 1; seed <= 80; seed++) {
        ckv_store *s[N];
        t_seed(seed);
        shop_open_all(s);
        for (size_t n = 0; n < 8; n++) {
            scribble(s[t_below(N)], t_below(20));
            if (t_one_in(2)) T_EQ(shop_pull(s[t_below(N)], s[t_below(N)], ckv_alloc_libc), CKV_OK);
        }
        ckv_store *twin = twin_of(s[0]);
        T_EQ(shop_pull(twin, s[1], ckv_alloc_libc), CKV_OK);
        const size_t max = 1 + t_below(t_one_in(2) ? 30 : 300);
        ckv_buf request = shop_request(s[0]);
        bool more = true;
        for (size_t n = 0; more; n++) {
            T_CHECK(n < 1000);
            ckv_buf diff = diff_for(s[1], &request, max, &more), kept = after(&request, &diff);
            T_CHECK(!more || !ckv_message_is_empty(shop_bytes(&diff)));
            shop_give(s[0], diff);
            ckv_buf_fini(&request);
            request = kept;
            shop_equal(shop_request(s[0]), copy_of(&request));
        }
        ckv_buf nothing = diff_for(s[1], &request, 0, &more);
        T_CHECK(!more && ckv_message_is_empty(shop_bytes(&nothing)));
        ckv_buf_fini(&nothing);
        ckv_buf_fini(&request);
        shop_agree(s[0], twin);
        ckv_store_free(twin);
        shop_free_all(s);
    }
}

static void a_piece_is_no_longer_than_asked_for(void)
{
    ckv_store *s[N];
    t_seed(1);
    shop_open_all(s);
    for (int i = 0; i < 500; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%03d", i);
        T_EQ(shop_put(s[0], key, i), CKV_OK);
        if (i % 3 == 0) T_EQ(shop_put(s[0], "over", i), CKV_OK);
    }
    T_EQ(shop_pull(s[1], s[0], ckv_alloc_libc), CKV_OK);
    for (int i = 0; i < 500; i += 2) { /* many deaths, far apart, and as many rows */
        char key[16];
        snprintf(key, sizeof key, "k%03d", i);
        T_EQ(shop_put(s[0], key, -i), CKV_OK);
    }
    bool more = true;
    size_t n = 0;
    for (; more; n++) {
        ckv_buf request = shop_request(s[1]), diff = diff_for(s[0], &request, 200, &more);
        T_CHECK(diff.len <= 200 + 40);
        shop_give(s[1], diff);
        ckv_buf_fini(&request);
    }
    T_CHECK(n > 5);
    shop_agree(s[0], s[1]);
    shop_free_all(s);
}

static void a_row_longer_than_that_goes_alone(void)
{
    ckv_store *s[N];
    shop_open_all(s);
    static char key[CKV_MAX_KEY + 1];
    memset(key, 'x', CKV_MAX_KEY);
    T_EQ(shop_put(s[0], "a", 1), CKV_OK);
    T_EQ(shop_put(s[0], key, 2), CKV_OK);
    T_EQ(shop_put(s[0], "b", 3), CKV_OK);
    bool more = true;
    size_t n = 0;
    for (; more; n++) {
        ckv_buf request = shop_request(s[1]), diff = diff_for(s[0], &request, 40, &more);
        shop_give(s[1], diff);
        ckv_buf_fini(&request);
    }
    T_EQ(n, 3);
    shop_agree(s[0], s[1]);
    shop_free_all(s);
}

/* Diffs for one request, taken in some order or twice, late or not at all: none undoes another. */
static void diffs_may_come_in_any_order(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        enum { M = 5 };
        ckv_store *s[N];
        ckv_buf diffs[M];
        t_seed(seed);
        shop_open_all(s);
        scribble(s[1], 10);
        T_EQ(shop_pull(s[0], s[1], ckv_alloc_libc), CKV_OK);
        ckv_buf request = shop_request(s[0]);
        for (size_t i = 0; i < M; i++) {
            scribble(s[1], 8);
            diffs[i] = diff_for(s[1], &request, 0, NULL);
        }
        for (size_t i = 0; i < 2 * M; i++) shop_give(s[0], copy_of(&diffs[t_below(M)]));
        shop_give(s[0], copy_of(&diffs[M - 1]));
        shop_agree(s[0], s[1]);
        for (size_t i = 0; i < M; i++) {
            shop_give(s[0], copy_of(&diffs[i]));
            ckv_buf_fini(&diffs[i]);
        }
        shop_agree(s[0], s[1]);
        ckv_buf_fini(&request);
        shop_free_all(s);
    }
}

/* ---- by hand */

typedef struct form {
    const char *id;
    uint64_t from, n;
    const char *dead;
    uint64_t n_rows, gaps[2];
    const char *key;
} form;

static ckv_buf write_forms(const form *f, size_t n)
{
    ckv_buf m = ckv_buf_init(ckv_alloc_libc);
    const size_t begin = ckv_message_begin(&m, CKV_MESSAGE_DIFF);
    for (; n > 0; n--, f++) {
        shop_say_id(&m, f->id);
        ckv_buf_varint(&m, f->from);
        ckv_buf_varint(&m, f->n);
        shop_say_set(&m, f->dead);
        ckv_buf_varint(&m, f->n_rows);
        for (size_t i = 0; i < f->n_rows && i < 2; i++) shop_say_row(&m, f->gaps[i], f->key, 1);
    }
    ckv_message_end(&m, begin);
    return m;
}

static ckv_status try_forms(const form *f, size_t n)
{
    ckv_buf m = write_forms(f, n), request = ckv_buf_init(ckv_alloc_libc), out = request;
    ckv_store *s;
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_alloc_libc);
    T_EQ(shop_open(&s, ckv_alloc_libc, "z"), CKV_OK);
    T_EQ(ckv_store_request(s, &request), CKV_OK);
    const ckv_status status = shop_take(s, shop_bytes(&m), &report);
    T_EQ(ckv_request_after(shop_bytes(&request), shop_bytes(&m), &out, NULL), status);
    if (status == CKV_OK) shop_equal(shop_request(s), copy_of(&out));
    ckv_store_report_fini(&report);
    ckv_store_free(s);
    ckv_buf_fini(&out);
    ckv_buf_fini(&request);
    ckv_buf_fini(&m);
    return status;
}

static void a_wrong_field_refuses_a_diff(void)
{
    static char key[CKV_MAX_KEY + 2];
    memset(key, 'x', sizeof key - 1);
    const form good = {"a", 0, 5, "", 2, {1, 1}, "k"}, above = {"b", 4, 5, "2-4", 1, {0}, "k"};
    const struct {
        form f;
        ckv_status want;
    } list[] = {
        {good, CKV_OK},
        {above, CKV_OK}, /* left out */
        {{"a", 0, 0, "", 0, {0}, ""}, CKV_ECORRUPT},
        {{"a", 3, 0, "", 0, {0}, ""}, CKV_ECORRUPT},
        {{"a", 3, 0, "1-4", 0, {0}, ""}, CKV_OK},
        {{"a", 3, 0, "1-5", 0, {0}, ""}, CKV_ECORRUPT},
        {{"a", 3, 1, "0-2", 0, {0}, ""}, CKV_ECORRUPT},
        {{"a", CKV_HLC_END, 0, "1-2", 0, {0}, ""}, CKV_ECORRUPT},
        {{"a", 1, CKV_HLC_END - 1, "", 0, {0}, ""}, CKV_ECORRUPT},
        {{"a", 1, CKV_HLC_END - 2, "", 0, {0}, ""}, CKV_OK},
        {{"a", 0, 5, "", 1, {4}, "k"}, CKV_OK},
        {{"a", 0, 5, "", 1, {5}, "k"}, CKV_ECORRUPT},
        {{"a", 0, 5, "", UINT64_MAX, {0, 0}, "k"}, CKV_ECORRUPT},
        {{"a", 0, 5, "", 3, {0, 0}, "k"}, CKV_ECORRUPT},
        {{"a", 0, 5, "", 1, {0}, "\xff"}, CKV_ECORRUPT},
        {{"a", 0, 5, "", 1, {0}, key}, CKV_ELIMIT},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        T_EQ(try_forms(&list[i].f, 1), list[i].want);
    T_EQ(try_forms((form[]){good, above}, 2), CKV_OK);
    T_EQ(try_forms((form[]){above, good}, 2), CKV_ECORRUPT);
    T_EQ(try_forms((form[]){good, good}, 2), CKV_ECORRUPT);
    T_EQ(try_forms(&good, 0), CKV_OK);
}

static void a_part_above_the_bookmark_is_named_and_left_out(void)
{
    static const form forms[] = {{"a", 0, 5, "", 1, {1}, "x"}, {"b", 4, 5, "", 1, {0}, "y"}};
    ckv_store *s;
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_alloc_libc);
    T_EQ(shop_open(&s, ckv_alloc_libc, "z"), CKV_OK);
    ckv_buf m = write_forms(forms, 2);
    T_EQ(shop_take(s, shop_bytes(&m), &report), CKV_OK);
    T_EQ(report.n_put, 1);
    T_EQ(shop_get(s, "x"), 1);
    T_EQ(shop_get(s, "y"), -1);
    ckv_left_out out;
    T_EQ(report.refused.len, sizeof out);
    memcpy(&out, report.refused.ptr, sizeof out);
    const ckv_bytes id = shop_id("b");
    T_BYTES(out.peer, out.n_bytes, id.ptr, id.n_bytes);
    T_CHECK(!out.is_limit && out.reason);
    T_EQ(ckv_store_clock(s), 9); /* it has heard of it */
    ckv_store_report_fini(&report);
    ckv_buf_fini(&m);
    ckv_store_free(s);
}

static ckv_status try_request(const char *id, uint64_t bookmark, const char *live, const char *next)
{
    ckv_buf m = ckv_buf_init(ckv_alloc_libc), out = m, nothing = m;
    const size_t begin = ckv_message_begin(&m, CKV_MESSAGE_REQUEST);
    shop_say_id(&m, id);
    ckv_buf_varint(&m, bookmark);
    shop_say_set(&m, live);
    if (next) {
        shop_say_id(&m, next);
        ckv_buf_varint(&m, 1);
        shop_say_set(&m, "1-2");
    }
    ckv_message_end(&m, begin);
    ckv_store *s;
    ckv_err err = {CKV_OK, 0, NULL};
    T_EQ(shop_open(&s, ckv_alloc_libc, "z"), CKV_OK);
    T_EQ(shop_put(s, "k", 1), CKV_OK);
    const ckv_status status = ckv_request_check(shop_bytes(&m), &err);
    T_EQ(err.code, status);
    T_EQ(ckv_store_diff(s, shop_bytes(&m), 0, &out, NULL, NULL), status);
    if (status != CKV_OK) T_EQ(out.len, 0);
    ckv_message_end(&nothing, ckv_message_begin(&nothing, CKV_MESSAGE_DIFF));
    ckv_buf_clear(&out);
    T_EQ(ckv_request_after(shop_bytes(&m), shop_bytes(&nothing), &out, NULL), status);
    if (status == CKV_OK) T_BYTES(out.ptr, out.len, m.ptr, m.len);
    ckv_store_free(s);
    ckv_buf_fini(&m);
    ckv_buf_fini(&out);
    ckv_buf_fini(&nothing);
    return status;
}

static void a_wrong_field_refuses_a_request(void)
{
    T_EQ(try_request("a", 5, "1-6", NULL), CKV_OK);
    T_EQ(try_request("a", 5, "", "b"), CKV_OK);
    T_EQ(try_request("z", 5, "1-2", NULL), CKV_OK);
    T_EQ(try_request("a", 0, "", NULL), CKV_ECORRUPT);
    T_EQ(try_request("a", 5, "1-7", NULL), CKV_ECORRUPT);
    T_EQ(try_request("a", 5, "0-2", NULL), CKV_ECORRUPT);
    T_EQ(try_request("a", CKV_HLC_END, "", NULL), CKV_ECORRUPT);
    T_EQ(try_request("a", CKV_HLC_END - 1, "", NULL), CKV_OK);
    T_EQ(try_request("a", 5, "1-6", "a"), CKV_ECORRUPT);
    T_EQ(try_request("b", 5, "1-6", "a"), CKV_ECORRUPT);
    T_EQ(try_request("a", 5, "1-6", "aa"), CKV_OK); /* "a/" < "aa" */
    ckv_buf diff = ckv_buf_init(ckv_alloc_libc);
    ckv_message_end(&diff, ckv_message_begin(&diff, CKV_MESSAGE_DIFF));
    T_EQ(ckv_request_check(shop_bytes(&diff), NULL), CKV_ECORRUPT);
    ckv_buf_fini(&diff);
}

static void an_id_may_begin_with_another(void)
{
    ckv_store *s[2];
    static const ckv_store_key key = {(const uint8_t *)"\xff", 1, true}; /* bytes, no UTF-8 */
    T_EQ(shop_open(&s[0], ckv_alloc_libc, "a"), CKV_OK);
    T_EQ(shop_open(&s[1], ckv_alloc_libc, "a/00000000"), CKV_OK);
    for (size_t i = 0; i < 2; i++)
        T_EQ(ckv_store_put(s[i], key, shop_int((int64_t)i), shop_ms, NULL), CKV_OK);
    for (size_t n = 0; n < 4; n++) {
        T_EQ(shop_pull(s[n & 1], s[!(n & 1)], ckv_alloc_libc), CKV_OK);
        shop_check(s[n & 1]);
    }
    shop_agree(s[0], s[1]);
    ckv_buf a = shop_opset(s[0]), b = shop_opset(s[1]), ab = ckv_buf_init(ckv_alloc_libc), ba = ab;
    T_EQ(ckv_opset_merge((ckv_bytes[]){shop_bytes(&a), shop_bytes(&b)}, 2, &ab, NULL), CKV_OK);
    T_EQ(ckv_opset_merge((ckv_bytes[]){shop_bytes(&b), shop_bytes(&a)}, 2, &ba, NULL), CKV_OK);
    shop_equal(ab, ba);
    ckv_buf op = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_store_remove(s[0], key, &op), CKV_OK);
    shop_give(s[1], op);
    T_EQ(ckv_store_len(s[1], false), 0);
    shop_agree(s[0], s[1]);
    ckv_buf_fini(&a);
    ckv_buf_fini(&b);
    for (size_t i = 0; i < 2; i++) ckv_store_free(s[i]);
}

/* A part that does not fit moves nothing on, in the store or in the request that is kept for it. */
static void a_kept_request_leaves_out_what_its_maker_does(void)
{
    ckv_store *s;
    T_EQ(shop_open(&s, ckv_alloc_libc, "z"), CKV_OK);
    shop_give(s, write_forms((form[]){{"a", 0, 2, "", 1, {1}, "x"}}, 1));
    ckv_buf request = shop_request(s),
            above = write_forms((form[]){{"a", 4, 2, "1-3", 1, {1}, "y"}}, 1),
            kept = after(&request, &above), cut = ckv_buf_init(ckv_alloc_libc);
    shop_equal(copy_of(&request), kept);
    ckv_bytes part = {above.ptr, above.len - 1};
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_alloc_libc);
    T_EQ(shop_take(s, part, &report), CKV_ECORRUPT);
    T_EQ(ckv_request_after(shop_bytes(&request), part, &cut, NULL), CKV_ECORRUPT);
    part = (ckv_bytes){request.ptr, request.len - 1};
    T_EQ(ckv_request_after(part, shop_bytes(&above), &cut, NULL), CKV_ECORRUPT);
    shop_give(s, above);
    shop_equal(shop_request(s), request);
    ckv_store_report_fini(&report);
    ckv_buf_fini(&cut);
    ckv_store_free(s);
}

static void a_diff_that_is_too_late_is_refused(void)
{
    ckv_store *s[N];
    ckv_err err;
    ckv_store_report report;
    shop_open_all(s);
    ckv_store_report_init(&report, ckv_alloc_libc);
    T_EQ(shop_put(s[0], "x", 1), CKV_OK);
    ckv_buf request = shop_request(s[1]), diff = diff_for(s[0], &request, 0, NULL),
            before = shop_save(s[1]);
    const uint64_t clock = ckv_store_clock(s[0]);
    T_EQ(ckv_store_integrate(s[1], shop_bytes(&diff), clock - 1, &report, &err), CKV_EDRIFT);
    shop_equal(shop_save(s[1]), before);
    T_EQ(ckv_store_integrate(s[1], shop_bytes(&diff), clock, &report, &err), CKV_OK);
    shop_agree(s[0], s[1]);
    ckv_store_report_fini(&report);
    ckv_buf_fini(&diff);
    ckv_buf_fini(&request);
    shop_free_all(s);
}

static void a_request_is_as_long_as_it_says(void)
{
    ckv_store *s[N];
    shop_open_all(s);
    t_seed(1);
    scribble(s[0], 100);
    uint64_t n;
    ckv_buf request = shop_request(s[0]);
    T_EQ(ckv_store_index_size(s[0], &n), CKV_OK);
    T_EQ(n, request.len);
    ckv_buf_fini(&request);
    shop_free_all(s);
}

/* ---- memory */

static ckv_status pull_in_pieces(ckv_alloc a)
{
    ckv_store *s[2] = {NULL, NULL};
    ckv_store_report report;
    uint64_t n;
    t_seed(3);
    ckv_status st = shop_open(&s[0], a, "a");
    if (st == CKV_OK) st = shop_open(&s[1], a, "b");
    for (int i = 0; i < 10 && st == CKV_OK; i++) st = shop_put(s[i % 2], i % 3 ? "x" : "y", i);
    ckv_buf request = ckv_buf_init(a);
    ckv_store_report_init(&report, a);
    if (st == CKV_OK) st = ckv_store_request(s[0], &request);
    for (bool more = true; more && st == CKV_OK;) {
        ckv_buf diff = ckv_buf_init(a), next = ckv_buf_init(a);
        st = ckv_store_diff(s[1], shop_bytes(&request), 20, &diff, &more, NULL);
        if (st == CKV_OK)
            st = ckv_store_integrate(s[0], shop_bytes(&diff), CKV_NO_DRIFT, &report, NULL);
        if (st == CKV_OK)
            st = ckv_request_after(shop_bytes(&request), shop_bytes(&diff), &next, NULL);
        ckv_buf_fini(&diff);
        ckv_buf_fini(&request);
        request = next;
    }
    if (st == CKV_OK) st = ckv_store_index_size(s[0], &n);
    if (st == CKV_OK) st = shop_pull(s[1], s[0], a);
    for (size_t i = 0; i < 2; i++) {
        if (s[i]) shop_check(s[i]);
        if (st == CKV_OK) shop_agree(s[i], s[0]);
    }
    for (size_t i = 0; i < 2; i++) ckv_store_free(s[i]);
    ckv_store_report_fini(&report);
    ckv_buf_fini(&request);
    return st;
}

static void memory_may_fail_anywhere(void) { T_CHECK(t_oom(pull_in_pieces) > 40); }

int main(void)
{
    T_RUN(small_pieces_come_to_the_same);
    T_RUN(a_piece_is_no_longer_than_asked_for);
    T_RUN(a_row_longer_than_that_goes_alone);
    T_RUN(diffs_may_come_in_any_order);
    T_RUN(a_wrong_field_refuses_a_diff);
    T_RUN(a_part_above_the_bookmark_is_named_and_left_out);
    T_RUN(a_wrong_field_refuses_a_request);
    T_RUN(an_id_may_begin_with_another);
    T_RUN(a_kept_request_leaves_out_what_its_maker_does);
    T_RUN(a_diff_that_is_too_late_is_refused);
    T_RUN(a_request_is_as_long_as_it_says);
    T_RUN(memory_may_fail_anywhere);
    return t_done();
}
