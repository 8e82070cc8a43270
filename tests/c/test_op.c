/* Ops: one put or remove as a message, which waits until it fits. */
#include "shop.h"

static void open_two(ckv_store **a, ckv_store **b)
{
    T_EQ(shop_open(a, ckv_alloc_libc, "a"), CKV_OK);
    T_EQ(shop_open(b, ckv_alloc_libc, "b"), CKV_OK);
}

/* Is this the one incarnation that a report names as waiting? Empty: none is. */
static void check_waiting(const ckv_store_report *r, const char *name)
{
    ckv_buf want = ckv_buf_init(ckv_alloc_libc);
    if (*name) shop_say_id(&want, name);
    T_BYTES(r->waiting.ptr, r->waiting.len, want.ptr, want.len);
    ckv_buf_fini(&want);
}

static void give_and_check(ckv_store *s, ckv_buf m, uint64_t n_put, uint64_t n_dead,
                           const char *waiting)
{
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_alloc_libc);
    T_EQ(shop_take(s, shop_bytes(&m), &report), CKV_OK);
    T_EQ(report.n_put, n_put);
    T_EQ(report.n_superseded, n_dead);
    check_waiting(&report, waiting);
    ckv_store_report_fini(&report);
    ckv_buf_fini(&m);
}

static void an_op_does_what_its_author_did(void)
{
    ckv_store *a, *b;
    open_two(&a, &b);
    give_and_check(b, shop_put_op(a, "x", 1), 1, 0, "");
    give_and_check(b, shop_put_op(a, "x", 2), 1, 1, "");
    give_and_check(b, shop_put_op(a, "y", 3), 1, 0, "");
    give_and_check(b, shop_remove_op(a, "x"), 0, 1, "");
    T_EQ(shop_get(b, "x"), -1);
    T_EQ(shop_get(b, "y"), 3);
    shop_agree(a, b);
    ckv_store_free(a);
    ckv_store_free(b);
}

static void it_waits_for_its_authors_bookmark(void)
{
    ckv_store *a, *b;
    open_two(&a, &b);
    ckv_buf first = shop_put_op(a, "x", 1), second = shop_put_op(a, "y", 2),
            third = shop_remove_op(a, "x"), again = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_bytes(&again, second.ptr, second.len);
    give_and_check(b, third, 0, 0, "a");
    give_and_check(b, second, 0, 0, "a");
    give_and_check(b, again, 0, 0, "a");
    T_EQ(ckv_store_stats_of(b).n_waiting, 2);
    T_CHECK(ckv_store_clock(b) == ckv_store_clock(a)); /* it has heard of it */
    T_EQ(ckv_store_len(b, false), 0);
    give_and_check(b, first, 2, 1, "");
    T_EQ(ckv_store_stats_of(b).n_waiting, 0);
    T_EQ(ckv_store_stats_of(b).waiting_bytes, 0);
    shop_agree(a, b);
    ckv_store_free(a);
    ckv_store_free(b);
}

static void it_waits_for_what_it_supersedes(void)
{
    ckv_store *a, *b, *c, *d;
    open_two(&a, &b);
    T_EQ(shop_open(&c, ckv_alloc_libc, "c"), CKV_OK);
    T_EQ(shop_open(&d, ckv_alloc_libc, "d"), CKV_OK);
    ckv_buf of_a = shop_put_op(a, "x", 1), of_b = shop_put_op(b, "x", 2);
    T_EQ(shop_pull(c, a, ckv_alloc_libc), CKV_OK);
    T_EQ(shop_pull(c, b, ckv_alloc_libc), CKV_OK);
    give_and_check(d, shop_put_op(c, "x", 3), 0, 0, "c"); /* counts against its author */
    give_and_check(d, of_a, 1, 0, "");                    /* it goes on waiting for b's */
    T_EQ(ckv_store_stats_of(d).n_waiting, 1);
    T_EQ(shop_get(d, "x"), 1);
    give_and_check(d, of_b, 2, 2, "");
    T_EQ(shop_get(d, "x"), 3);
    T_EQ(ckv_store_stats_of(d).n_values, 1);
    shop_agree(c, d);
    ckv_store_free(a);
    ckv_store_free(b);
    ckv_store_free(c);
    ckv_store_free(d);
}

/* Three write and take each other's ops late, twice or never in order; in the end everybody got each op. */
static void any_order_comes_to_the_same(void)
{
    enum { N = 3, N_OPS = 60 };
    static const char *const names[N] = {"a", "b", "c"};
    for (uint64_t seed = 1; seed <= 60; seed++) {
        ckv_store *s[N];
        ckv_buf ops[N_OPS];
        size_t n_ops = 0;
        t_seed(seed);
        for (size_t i = 0; i < N; i++) T_EQ(shop_open(&s[i], ckv_alloc_libc, names[i]), CKV_OK);
        for (int step = 0; step < 120; step++) {
            ckv_store *at = s[t_below(N)];
            const char key[] = {(char)('a' + t_below(4)), 0};
            shop_ms += t_below(2);
            if (t_one_in(2) && n_ops < N_OPS) {
                if (t_one_in(3) && shop_get(at, key) >= 0)
                    ops[n_ops++] = shop_remove_op(at, key);
                else
                    ops[n_ops++] = shop_put_op(at, key, (int64_t)t_below(100));
            } else if (n_ops) {
                ckv_buf copy = ckv_buf_init(ckv_alloc_libc);
                const size_t i = t_below(n_ops);
                ckv_buf_bytes(&copy, ops[i].ptr, ops[i].len);
                shop_give(at, copy);
            }
        }
        for (size_t i = 0; i < N; i++) { /* all at once, the last one first */
            ckv_bytes all[N_OPS];
            ckv_store_report report;
            for (size_t k = 0; k < n_ops; k++) all[n_ops - 1 - k] = shop_bytes(&ops[k]);
            ckv_store_report_init(&report, ckv_alloc_libc);
            T_EQ(ckv_store_take_ops(s[i], all, n_ops, CKV_NO_DRIFT, &report, NULL), CKV_OK);
            T_EQ(report.waiting.len, 0);
            T_EQ(ckv_store_stats_of(s[i]).n_waiting, 0);
            ckv_store_report_fini(&report);
            shop_check(s[i]);
            shop_agree(s[i], s[0]);
        }
        for (size_t i = 0; i < n_ops; i++) ckv_buf_fini(&ops[i]);
        for (size_t i = 0; i < N; i++) ckv_store_free(s[i]);
    }
}

static void one_bad_op_refuses_all(void)
{
    ckv_store *a, *b;
    open_two(&a, &b);
    ckv_buf fine = shop_put_op(a, "x", 1), late = shop_put_op(a, "y", 2);
    ckv_store_report report;
    ckv_err err;
    ckv_store_report_init(&report, ckv_alloc_libc);
    ckv_bytes ops[2] = {shop_bytes(&fine), {late.ptr, late.len - 1}};
    ckv_buf before = shop_save(b);
    T_EQ(ckv_store_take_ops(b, ops, 2, CKV_NO_DRIFT, &report, &err), CKV_ECORRUPT);
    ops[1] = shop_bytes(&late);
    T_EQ(ckv_store_take_ops(b, ops, 2, ckv_store_clock(a) - 1, &report, &err), CKV_EDRIFT);
    T_EQ(err.code, CKV_EDRIFT);
    shop_equal(shop_save(b), before);
    T_EQ(ckv_store_take_ops(b, ops, 2, ckv_store_clock(a), &report, &err), CKV_OK);
    shop_agree(a, b);
    ckv_store_report_fini(&report);
    ckv_buf_fini(&fine);
    ckv_buf_fini(&late);
    ckv_store_free(a);
    ckv_store_free(b);
}

/* Somebody sends a thousand ops whose first one is lost, and one more. */
static void more_than_a_share_is_refused(void)
{
    ckv_store *a, *b;
    open_two(&a, &b);
    T_EQ(shop_put(a, "lost", 0), CKV_OK);
    for (int i = 0; i < (int)CKV_MAX_HELD; i++)
        give_and_check(b, shop_put_op(a, "x", i), 0, 0, "a");
    ckv_buf last = shop_put_op(a, "x", -1);
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_alloc_libc);
    T_EQ(shop_take(b, shop_bytes(&last), &report), CKV_OK);
    T_EQ(report.waiting.len, 0);
    T_EQ(report.refused.len, sizeof(ckv_left_out));
    ckv_left_out out;
    memcpy(&out, report.refused.ptr, sizeof out);
    const ckv_bytes id = shop_id("a");
    T_BYTES(out.peer, out.n_bytes, id.ptr, id.n_bytes);
    T_CHECK(out.is_limit && out.reason);
    T_EQ(ckv_store_stats_of(b).n_waiting, CKV_MAX_HELD);
    ckv_store_report_fini(&report);
    ckv_buf_fini(&last);
    T_EQ(shop_pull(b, a, ckv_alloc_libc), CKV_OK);
    T_EQ(ckv_store_stats_of(b).n_waiting, 0);
    shop_agree(a, b);
    ckv_store_free(a);
    ckv_store_free(b);
}

/* ---- what no author writes. Each is one field of a good one that is wrong */

typedef struct form {
    uint64_t flag, prev, gap;
    const char *author, *key, *value; /* value NULL: an int */
    const char *peers[2], *dead[2];   /* NULL: no such part */
} form;

static const form good = {.flag = 1,
                          .prev = 4,
                          .gap = 2,
                          .author = "b",
                          .key = "k",
                          .peers = {"a", "b"},
                          .dead = {"3-5 7-8", "2-5"}};

static ckv_status try_form(const form *f)
{
    ckv_buf m = ckv_buf_init(ckv_alloc_libc);
    const size_t begin = ckv_message_begin(&m, CKV_MESSAGE_OP);
    ckv_buf_varint(&m, f->flag);
    shop_say_id(&m, f->author);
    ckv_buf_varint(&m, f->prev);
    if (f->flag == 1 && f->value) {
        ckv_buf_varint(&m, f->gap);
        ckv_buf_varint(&m, strlen(f->key) << 1);
        ckv_buf_bytes(&m, f->key, strlen(f->key));
        ckv_buf_bytes(&m, f->value, 2);
    } else if (f->flag == 1) {
        shop_say_row(&m, f->gap, f->key, 1);
    }
    for (size_t i = 0; i < 2; i++) {
        if (!f->peers[i]) continue;
        shop_say_id(&m, f->peers[i]);
        shop_say_set(&m, f->dead[i]);
    }
    ckv_message_end(&m, begin);
    ckv_store *s;
    T_EQ(shop_open(&s, ckv_alloc_libc, "z"), CKV_OK);
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_alloc_libc);
    const ckv_status status = shop_take(s, shop_bytes(&m), &report);
    if (status == CKV_OK) T_EQ(ckv_store_stats_of(s).n_waiting, 1);
    ckv_store_report_fini(&report);
    ckv_store_free(s);
    ckv_buf_fini(&m);
    return status;
}

#define WITH(want, ...)                                                                            \
    do {                                                                                           \
        form f = good;                                                                             \
        __VA_ARGS__;                                                                               \
        T_EQ(try_form(&f), want);                                                                  \
    } while (0)

static void a_wrong_field_refuses_it(void)
{
    static char key[CKV_MAX_KEY + 2];
    memset(key, 'x', sizeof key - 1);
    T_EQ(try_form(&good), CKV_OK);
    WITH(CKV_OK, f.flag = 0);
    WITH(CKV_ECORRUPT, f.flag = 2);
    WITH(CKV_ECORRUPT, f.flag = 0, f.peers[0] = f.peers[1] = NULL); /* a remove of nothing */
    WITH(CKV_OK, f.peers[0] = f.peers[1] = NULL);
    WITH(CKV_ECORRUPT, f.prev = CKV_HLC_END);
    WITH(CKV_ECORRUPT, f.gap = CKV_HLC_END - 5);
    WITH(CKV_OK, f.gap = CKV_HLC_END - 6);
    WITH(CKV_ECORRUPT, f.gap = UINT64_MAX);
    WITH(CKV_ECORRUPT, f.key = "\xff");
    WITH(CKV_ELIMIT, f.key = key);
    WITH(CKV_ECORRUPT, f.value = "\x07"); /* no such tag: a blob of 0 bytes */
    WITH(CKV_ECORRUPT, f.dead[0] = "");
    WITH(CKV_ECORRUPT, f.dead[0] = "0-1");
    WITH(CKV_ECORRUPT, f.dead[1] = "2-6"); /* its own, beyond what it had */
    WITH(CKV_OK, f.author = "ab", f.dead[1] = "2-6");
    WITH(CKV_ECORRUPT, f.peers[1] = "a");
    WITH(CKV_ECORRUPT, f.peers[0] = "bb");
    WITH(CKV_OK, f.peers[1] = "a/00000000"); /* begins like the one before it */
    WITH(CKV_ECORRUPT, f.peers[0] = "a/00000000", f.peers[1] = "a");
}

static void a_cut_or_damaged_op_is_none(void)
{
    ckv_store *a, *b;
    open_two(&a, &b);
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_alloc_libc);
    ckv_buf op = shop_put_op(a, "k", 1);
    for (size_t n = 0; n < op.len; n++) {
        const ckv_bytes cut = {op.ptr, n};
        T_EQ(ckv_store_take_ops(b, &cut, 1, CKV_NO_DRIFT, &report, NULL), CKV_ECORRUPT);
        op.ptr[n] ^= 1;
        const ckv_bytes damaged = shop_bytes(&op);
        T_EQ(ckv_store_take_ops(b, &damaged, 1, CKV_NO_DRIFT, &report, NULL), CKV_ECORRUPT);
        op.ptr[n] ^= 1;
        if (n < 10) continue;
        ckv_buf sealed = ckv_buf_init(ckv_alloc_libc); /* cut, and a checksum that fits */
        ckv_buf_bytes(&sealed, op.ptr, n - 8);
        ckv_message_end(&sealed, 0);
        const ckv_bytes resealed = shop_bytes(&sealed);
        T_EQ(ckv_store_take_ops(b, &resealed, 1, CKV_NO_DRIFT, &report, NULL), CKV_ECORRUPT);
        ckv_buf_fini(&sealed);
    }
    ckv_store_report_fini(&report);
    ckv_buf_fini(&op);
    ckv_store_free(a);
    ckv_store_free(b);
}

static void an_author_without_a_name_to_go_by_is_none(void)
{
    static const char *const ids[] = {"abc", "no slash here", ""};
    for (size_t i = 0; i < 3; i++) {
        ckv_buf m = ckv_buf_init(ckv_alloc_libc);
        const size_t begin = ckv_message_begin(&m, CKV_MESSAGE_OP);
        ckv_buf_u8(&m, 1);
        ckv_buf_blob(&m, ids[i], strlen(ids[i]));
        ckv_buf_varint(&m, 0);
        shop_say_row(&m, 0, "k", 1);
        ckv_message_end(&m, begin);
        ckv_store *s;
        ckv_store_report report;
        ckv_store_report_init(&report, ckv_alloc_libc);
        T_EQ(shop_open(&s, ckv_alloc_libc, "z"), CKV_OK);
        T_EQ(shop_take(s, shop_bytes(&m), &report), CKV_ECORRUPT);
        ckv_store_report_fini(&report);
        ckv_store_free(s);
        ckv_buf_fini(&m);
    }
}

/* ---- memory: what failed can be taken once more */

static ckv_buf script[12];

static ckv_status take_all(ckv_alloc a)
{
    ckv_store *s = NULL;
    ckv_store_report report;
    ckv_store_report_init(&report, a);
    ckv_status status = shop_open(&s, a, "z");
    for (size_t i = 0; i < 12 && status == CKV_OK; i++) {
        const ckv_bytes m = shop_bytes(&script[11 - i]);
        status = ckv_store_take_ops(s, &m, 1, CKV_NO_DRIFT, &report, NULL);
        shop_check(s);
    }
    if (status == CKV_OK) {
        T_EQ(ckv_store_stats_of(s).n_waiting, 0);
        T_EQ(ckv_store_len(s, false), 2);
    }
    ckv_store_report_fini(&report);
    ckv_store_free(s);
    return status;
}

static void memory_may_fail_anywhere(void)
{
    static const char *const keys[] = {"x", "y", "z"};
    ckv_store *a, *b, *c;
    open_two(&a, &b);
    T_EQ(shop_open(&c, ckv_alloc_libc, "c"), CKV_OK);
    for (size_t i = 0; i < 9; i++) script[i] = shop_put_op(a, keys[i % 3], (int64_t)i);
    T_EQ(shop_pull(b, a, ckv_alloc_libc), CKV_OK);
    T_EQ(shop_pull(c, a, ckv_alloc_libc), CKV_OK);
    script[9] = shop_put_op(b, "x", 1);
    script[10] = shop_remove_op(b, "y");
    script[11] = shop_put_op(c, "x", 1); /* of somebody unheard of, it waits for a */
    T_CHECK(t_oom(take_all) > 50);
    for (size_t i = 0; i < 12; i++) ckv_buf_fini(&script[i]);
    ckv_store_free(a);
    ckv_store_free(b);
    ckv_store_free(c);
}

int main(void)
{
    T_RUN(an_op_does_what_its_author_did);
    T_RUN(it_waits_for_its_authors_bookmark);
    T_RUN(it_waits_for_what_it_supersedes);
    T_RUN(any_order_comes_to_the_same);
    T_RUN(one_bad_op_refuses_all);
    T_RUN(more_than_a_share_is_refused);
    T_RUN(a_wrong_field_refuses_it);
    T_RUN(a_cut_or_damaged_op_is_none);
    T_RUN(an_author_without_a_name_to_go_by_is_none);
    T_RUN(memory_may_fail_anywhere);
    return t_done();
}
