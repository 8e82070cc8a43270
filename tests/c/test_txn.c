/* Transactions against a list that is copied at the beginning: what readers see, what the transaction sees, what comes of it. */
#include "shop.h"

enum { N_KEYS = 8 };

typedef struct twin {
    int64_t shown[N_KEYS], in_txn[N_KEYS]; /* -1: absent */
} twin;

static ckv_store_key key_of(size_t i)
{
    static char room[N_KEYS][2];
    room[i][0] = (char)('a' + i);
    return shop_key(room[i]);
}

static void compare(const ckv_store *s, const twin *t)
{
    size_t n[2] = {0, 0};
    for (size_t i = 0; i < N_KEYS; i++) {
        ckv_item item;
        for (int in_txn = 0; in_txn <= ckv_txn_is_open(s); in_txn++) {
            const int64_t want = in_txn ? t->in_txn[i] : t->shown[i];
            T_EQ(ckv_store_get(s, in_txn, key_of(i), &item) ? shop_int_of(item.value) : -1, want);
            n[in_txn] += want >= 0;
        }
        const void *at = NULL; /* all values are those that readers see */
        T_EQ(ckv_store_each(s, key_of(i), &at, &item), t->shown[i] >= 0);
    }
    T_EQ(ckv_store_len(s, false), n[0]);
    if (ckv_txn_is_open(s)) T_EQ(ckv_store_len(s, true), n[1]);
    shop_check(s);
}

static void write_one(ckv_store *s, twin *t)
{
    const size_t i = t_below(N_KEYS);
    if (t_one_in(3)) {
        T_EQ(ckv_txn_remove(s, key_of(i)), t->in_txn[i] < 0 ? CKV_ENOENT : CKV_OK);
        t->in_txn[i] = -1;
    } else {
        t->in_txn[i] = (int64_t)t_below(1000);
        T_EQ(ckv_txn_put(s, key_of(i), shop_int(t->in_txn[i])), CKV_OK);
    }
}

static void readers_see_all_of_it_or_nothing(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        ckv_store *s;
        twin t;
        t_seed(seed);
        memset(&t, 0xff, sizeof t);
        T_EQ(shop_open(&s, ckv_alloc_libc, "a"), CKV_OK);
        for (int n = 0; n < 12; n++) {
            T_EQ(ckv_txn_begin(s), CKV_OK);
            for (size_t k = t_below(t_one_in(4) ? 300 : 8); k > 0; k--) {
                write_one(s, &t);
                if (t_one_in(8)) compare(s, &t);
            }
            compare(s, &t);
            if (t_one_in(3)) {
                ckv_txn_abort(s);
                memcpy(t.in_txn, t.shown, sizeof t.shown);
            } else {
                T_EQ(ckv_txn_commit(s, ++shop_ms, NULL), CKV_OK);
                memcpy(t.shown, t.in_txn, sizeof t.shown);
            }
            T_CHECK(!ckv_txn_is_open(s));
            compare(s, &t);
        }
        ckv_store_free(s);
    }
}

/* The log does not grow with what was written over. */
static void a_key_written_often_is_in_the_log_once(void)
{
    t_faulty f;
    ckv_store *s;
    T_EQ(shop_open(&s, t_watch(&f), "a"), CKV_OK);
    T_EQ(ckv_txn_begin(s), CKV_OK);
    for (int i = 0; i < 20000; i++) {
        T_EQ(ckv_txn_put(s, shop_key(i % 2 ? "x" : "y"), shop_int(i)), CKV_OK);
        if (i % 100 == 0) shop_check(s);
    }
    T_CHECK(f.live_bytes < 16 * 1024);
    ckv_buf ops = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_txn_commit(s, shop_ms, &ops), CKV_OK);
    ckv_rd r = ckv_rd_init(ops.ptr, ops.len);
    size_t n_ops = 0;
    for (size_t n; ckv_rd_left(&r); n_ops++) ckv_rd_blob(&r, &n);
    T_EQ(n_ops, 2);
    T_EQ(shop_get(s, "x"), 19999);
    T_EQ(ckv_store_stats_of(s).n_values, 2);
    ckv_buf_fini(&ops);
    ckv_store_free(s);
    T_EQ(f.live_bytes, 0);
}

/* Its ops bring another store to the same, also where values of others are superseded. */
static void its_ops_tell_all_of_it(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        ckv_store *a, *b;
        t_seed(seed);
        T_EQ(shop_open(&a, ckv_alloc_libc, "a"), CKV_OK);
        T_EQ(shop_open(&b, ckv_alloc_libc, "b"), CKV_OK);
        for (int n = 0; n < 6; n++) {
            T_EQ(ckv_store_put(b, key_of(t_below(N_KEYS)), shop_int(n), shop_ms, NULL), CKV_OK);
            T_EQ(ckv_store_put(a, key_of(t_below(N_KEYS)), shop_int(n), shop_ms, NULL), CKV_OK);
        }
        T_EQ(shop_pull(a, b, ckv_alloc_libc), CKV_OK);
        T_EQ(shop_pull(b, a, ckv_alloc_libc), CKV_OK);
        ckv_buf ops = ckv_buf_init(ckv_alloc_libc);
        twin t;
        for (size_t i = 0; i < N_KEYS; i++) t.in_txn[i] = shop_get(a, (const char *)key_of(i).ptr);
        T_EQ(ckv_txn_begin(a), CKV_OK);
        for (size_t k = t_below(12); k > 0; k--) write_one(a, &t);
        T_EQ(ckv_txn_commit(a, shop_ms, &ops), CKV_OK);
        ckv_rd r = ckv_rd_init(ops.ptr, ops.len);
        while (ckv_rd_left(&r)) {
            ckv_buf one = ckv_buf_init(ckv_alloc_libc);
            size_t n;
            const uint8_t *p = ckv_rd_blob(&r, &n);
            ckv_buf_bytes(&one, p, n);
            shop_give(b, one);
        }
        T_EQ(ckv_store_stats_of(b).n_waiting, 0);
        shop_agree(a, b);
        ckv_buf_fini(&ops);
        ckv_store_free(a);
        ckv_store_free(b);
    }
}

static void dots_are_in_the_order_of_last_writes(void)
{
    ckv_store *s;
    T_EQ(shop_open(&s, ckv_alloc_libc, "a"), CKV_OK);
    T_EQ(ckv_txn_begin(s), CKV_OK);
    static const size_t order[] = {3, 1, 2, 3, 0};
    for (size_t i = 0; i < 5; i++) T_EQ(ckv_txn_put(s, key_of(order[i]), shop_int(1)), CKV_OK);
    T_EQ(ckv_txn_commit(s, 5000, NULL), CKV_OK);
    for (uint64_t i = 0; i < 4; i++) {
        ckv_item item;
        T_CHECK(ckv_store_get(s, false, key_of(order[1 + i]), &item));
        T_EQ(item.hlc, (UINT64_C(5000) << 16) + i);
    }
    ckv_store_free(s);
}

static void limits_and_the_end_of_time(void)
{
    ckv_store *s;
    static uint8_t big[CKV_MAX_VALUE + 1];
    T_EQ(shop_open(&s, ckv_alloc_libc, "a"), CKV_OK);
    T_EQ(ckv_txn_begin(s), CKV_OK);
    T_EQ(ckv_txn_put(s, (ckv_store_key){big, CKV_MAX_KEY + 1, true}, shop_int(1)), CKV_ELIMIT);
    T_EQ(ckv_txn_put(s, shop_key("k"), (ckv_bytes){big, sizeof big}), CKV_ELIMIT);
    T_EQ(ckv_txn_remove(s, shop_key("k")), CKV_ENOENT);
    T_EQ(ckv_txn_commit(s, 0, NULL), CKV_OK); /* of nothing */
    T_EQ(ckv_store_clock(s), 0);
    T_EQ(ckv_store_put(s, (ckv_store_key){big, CKV_MAX_KEY + 1, true}, shop_int(1), 0, NULL),
         CKV_ELIMIT);
    T_EQ(ckv_store_put(s, shop_key("k"), (ckv_bytes){big, sizeof big}, 0, NULL), CKV_ELIMIT);
    T_EQ(ckv_txn_begin(s), CKV_OK);
    for (int i = 0; i < 65536; i++) /* as many as the last millisecond has */
        T_EQ(ckv_txn_put(s, shop_key((char[]){(char)(1 + i / 256 % 127), (char)(1 + i % 127), 0}),
                         shop_int(i)),
             CKV_OK);
    T_EQ(ckv_txn_put(s, shop_key("one"), shop_int(1)), CKV_OK);
    shop_check(s);
    T_EQ(ckv_txn_commit(s, CKV_MAX_MS, NULL), CKV_OK);
    const uint64_t n_left = 65536 - ckv_store_len(s, false);
    T_EQ(ckv_txn_begin(s), CKV_OK);
    for (uint64_t i = 0; i <= n_left; i++) {
        char key[16];
        snprintf(key, sizeof key, "n%u", (unsigned)i);
        T_EQ(ckv_txn_put(s, shop_key(key), shop_int(1)), CKV_OK);
    }
    T_EQ(ckv_txn_commit(s, CKV_MAX_MS, NULL), CKV_ELIMIT); /* one too many */
    T_CHECK(ckv_txn_is_open(s));
    T_EQ(ckv_txn_remove(s, shop_key("n0")), CKV_OK);
    T_EQ(ckv_txn_commit(s, CKV_MAX_MS, NULL), CKV_OK);
    T_EQ(ckv_store_next_hlc(s, CKV_MAX_MS), 0);
    T_EQ(ckv_txn_begin(s), CKV_OK);
    T_EQ(ckv_txn_put(s, shop_key("n0"), shop_int(1)), CKV_OK);
    T_EQ(ckv_txn_commit(s, CKV_MAX_MS, NULL), CKV_ELIMIT);
    T_EQ(ckv_txn_remove(s, shop_key("n0")), CKV_OK);
    T_EQ(ckv_txn_remove(s, shop_key("one")), CKV_OK);
    T_EQ(ckv_txn_commit(s, CKV_MAX_MS, NULL), CKV_OK); /* a remove needs no dot */
    shop_check(s);
    ckv_store_free(s);
}

/* ---- memory: a write or a commit that failed did nothing */

static ckv_status work(ckv_alloc a)
{
    ckv_store *s = NULL, *b = NULL;
    ckv_buf ops = ckv_buf_init(a);
    ckv_status st = shop_open(&s, a, "a");
    if (st == CKV_OK) st = shop_open(&b, a, "b");
    for (int i = 0; i < 4 && st == CKV_OK; i++) st = shop_put(i % 2 ? s : b, "x", i);
    if (st == CKV_OK) st = shop_put(b, "y", 1);
    if (st == CKV_OK) st = shop_pull(s, b, a);
    if (st == CKV_OK) {
        ckv_store_watch(s, true);
        st = ckv_txn_begin(s);
    }
    for (int i = 0; i < 8 && st == CKV_OK; i++) {
        const size_t n = ckv_store_len(s, true);
        st = ckv_txn_put(s, key_of((size_t)i % 3), shop_int(i));
        if (st != CKV_OK) T_EQ(ckv_store_len(s, true), n);
        shop_check(s);
    }
    if (st == CKV_OK) st = ckv_txn_remove(s, shop_key("x"));
    if (st == CKV_OK) st = ckv_txn_put(s, shop_key("y"), shop_int(7));
    if (st == CKV_OK) {
        ckv_buf before = shop_save(s);
        const size_t n_news = ckv_store_news(s)->len;
        st = ckv_txn_commit(s, shop_ms, &ops);
        shop_check(s);
        if (st != CKV_OK) {
            T_CHECK(ckv_txn_is_open(s) && ops.len == 0 && ckv_store_news(s)->len == n_news);
            shop_equal(shop_save(s), before);
            T_CHECK(ckv_txn_commit(s, shop_ms, NULL) <= 0); /* once more */
        } else {
            ckv_buf_fini(&before);
        }
        shop_check(s);
        if (ckv_txn_is_open(s)) ckv_txn_abort(s);
    }
    ckv_buf_fini(&ops);
    ckv_store_free(s);
    ckv_store_free(b);
    return st;
}

static void memory_may_fail_anywhere(void) { T_CHECK(t_oom(work) > 40); }

int main(void)
{
    T_RUN(readers_see_all_of_it_or_nothing);
    T_RUN(a_key_written_often_is_in_the_log_once);
    T_RUN(its_ops_tell_all_of_it);
    T_RUN(dots_are_in_the_order_of_last_writes);
    T_RUN(limits_and_the_end_of_time);
    T_RUN(memory_may_fail_anywhere);
    return t_done();
}
