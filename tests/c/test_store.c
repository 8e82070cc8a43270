/* Stores by themselves and in pairs: what they hold, what they tell each other, and nothing lost or leaked when memory runs out. */
#include "shop.h"

static ckv_alloc libc_alloc(void) { return ckv_alloc_libc; }

/* ---- one store */

static void puts_supersede_and_removes_leave_nothing(void)
{
    t_faulty f;
    ckv_store *s;
    T_EQ(shop_new(&s, t_watch(&f), "ada"), CKV_OK);
    T_EQ(ckv_store_incarnation(s).n_bytes, 0);
    for (int i = 0; i < 1000; i++) T_EQ(shop_put(s, "k", i), CKV_OK);
    T_EQ(shop_get(s, "k"), 999);
    T_EQ(ckv_store_len(s, false), 1);
    const ckv_store_stats st = ckv_store_stats_of(s);
    T_EQ(st.n_values, 1);
    T_CHECK(st.index_bytes < 4096);
    T_EQ(ckv_store_remove(s, shop_key("k"), NULL), CKV_OK);
    T_EQ(ckv_store_remove(s, shop_key("k"), NULL), CKV_ENOENT);
    T_EQ(ckv_store_stats_of(s).n_values, 0);
    T_EQ(ckv_store_len(s, false), 0);
    shop_check(s);
    ckv_store_free(s);
    T_EQ(f.live_bytes, 0);
}

static void the_clock_only_goes_forward(void)
{
    ckv_store *s;
    T_EQ(shop_new(&s, libc_alloc(), "ada"), CKV_OK);
    T_EQ(ckv_store_next_hlc(s, 0), 1);
    T_EQ(ckv_store_put(s, shop_key("a"), shop_int(1), 7, NULL), CKV_OK);
    T_EQ(ckv_store_clock(s), 7 << 16);
    T_EQ(ckv_store_put(s, shop_key("a"), shop_int(2), 5, NULL), CKV_OK);
    T_EQ(ckv_store_clock(s), (7 << 16) + 1);
    T_EQ(ckv_store_put(s, shop_key("a"), shop_int(3), CKV_MAX_MS, NULL), CKV_OK);
    for (int i = 1; i < 65536; i++)
        T_EQ(ckv_store_put(s, shop_key("a"), shop_int(3), CKV_MAX_MS, NULL), CKV_OK);
    T_EQ(ckv_store_next_hlc(s, CKV_MAX_MS), 0);
    T_EQ(ckv_store_put(s, shop_key("a"), shop_int(4), CKV_MAX_MS, NULL), CKV_ELIMIT);
    T_EQ(shop_get(s, "a"), 3);
    shop_check(s);
    ckv_store_free(s);
}

/* ---- transactions */

static void a_transaction_is_seen_by_nobody_until_it_is_there(void)
{
    t_faulty f;
    ckv_store *s;
    T_EQ(shop_new(&s, t_watch(&f), "ada"), CKV_OK);
    T_EQ(shop_put(s, "a", 1), CKV_OK);
    T_EQ(shop_put(s, "b", 2), CKV_OK);
    T_EQ(ckv_txn_begin(s), CKV_OK);
    T_EQ(ckv_txn_put(s, shop_key("c"), shop_int(3)), CKV_OK);
    T_EQ(ckv_txn_put(s, shop_key("a"), shop_int(4)), CKV_OK);
    T_EQ(ckv_txn_remove(s, shop_key("b")), CKV_OK);
    T_EQ(ckv_txn_put(s, shop_key("d"), shop_int(5)), CKV_OK);
    T_EQ(ckv_txn_remove(s, shop_key("d")), CKV_OK);
    T_EQ(ckv_txn_remove(s, shop_key("d")), CKV_ENOENT);
    shop_check(s);
    ckv_item item;
    T_EQ(shop_get(s, "a"), 1);
    T_EQ(shop_get(s, "b"), 2);
    T_EQ(shop_get(s, "c"), -1);
    T_EQ(ckv_store_len(s, false), 2);
    T_EQ(ckv_store_len(s, true), 2);
    T_CHECK(!ckv_store_get(s, true, shop_key("b"), &item));
    T_CHECK(ckv_store_get(s, true, shop_key("a"), &item) && shop_int_of(item.value) == 4);
    T_EQ(ckv_txn_put(s, shop_key("c"), shop_int(6)), CKV_OK); /* now the last write */
    T_EQ(ckv_txn_commit(s, 2000, NULL), CKV_OK);
    shop_check(s);
    T_EQ(shop_get(s, "a"), 4);
    T_EQ(shop_get(s, "b"), -1);
    T_CHECK(ckv_store_get(s, false, shop_key("a"), &item) && item.hlc == 2000 << 16);
    T_CHECK(ckv_store_get(s, false, shop_key("c"), &item) && item.hlc == (2000 << 16) + 1);
    T_EQ(ckv_txn_begin(s), CKV_OK);
    T_EQ(ckv_txn_put(s, shop_key("x"), shop_int(3)), CKV_OK);
    T_EQ(ckv_txn_put(s, shop_key("a"), shop_int(3)), CKV_OK);
    T_EQ(ckv_txn_remove(s, shop_key("c")), CKV_OK);
    ckv_txn_abort(s);
    shop_check(s);
    T_EQ(shop_get(s, "a"), 4);
    T_EQ(shop_get(s, "c"), 6);
    T_EQ(ckv_store_len(s, false), 2);
    ckv_store_free(s);
    T_EQ(f.live_bytes, 0);
}

/* ---- pairs */

static void the_seed_dropped_a_diff_with_only_deletes(void)
{
    ckv_store *a, *b;
    T_EQ(shop_new(&a, libc_alloc(), "a"), CKV_OK);
    T_EQ(shop_new(&b, libc_alloc(), "b"), CKV_OK);
    T_EQ(shop_put(a, "x", 1), CKV_OK);
    T_EQ(shop_put(a, "y", 2), CKV_OK);
    T_EQ(shop_pull(b, a, libc_alloc()), CKV_OK);
    T_EQ(shop_get(b, "y"), 2);
    T_EQ(ckv_store_remove(a, shop_key("y"), NULL), CKV_OK);
    T_EQ(shop_pull(b, a, libc_alloc()), CKV_OK);
    T_EQ(shop_get(b, "y"), -1);
    T_EQ(shop_get(b, "x"), 1);
    shop_check(b);
    ckv_store_free(a);
    ckv_store_free(b);
}

static void concurrent_puts_stay_until_somebody_saw_both(void)
{
    ckv_store *a, *b;
    T_EQ(shop_new(&a, libc_alloc(), "a"), CKV_OK);
    T_EQ(shop_new(&b, libc_alloc(), "b"), CKV_OK);
    T_EQ(shop_put(a, "x", 1), CKV_OK);
    T_EQ(shop_put(b, "x", 2), CKV_OK);
    T_EQ(shop_pull(a, b, libc_alloc()), CKV_OK);
    T_EQ(shop_pull(b, a, libc_alloc()), CKV_OK);
    T_EQ(shop_get(a, "x"), 2); /* equal hlcs: the greater incarnation */
    T_EQ(shop_get(b, "x"), 2);
    T_EQ(ckv_store_stats_of(a).n_hidden, 1);
    T_EQ(shop_put(a, "x", 3), CKV_OK);
    T_EQ(ckv_store_stats_of(a).n_hidden, 0);
    T_EQ(shop_pull(b, a, libc_alloc()), CKV_OK);
    T_EQ(shop_get(b, "x"), 3);
    T_EQ(ckv_store_stats_of(b).n_hidden, 0);
    shop_check(a);
    shop_check(b);
    ckv_store_free(a);
    ckv_store_free(b);
}

/* Random life of three: pulls, ops in any order, op sets; in the end all are equal. */
enum { N = 3, N_KEYS = 12, N_MAIL = 64 };
static const char *const keys[N_KEYS] = {"a", "b", "c", "d", "e", "f",
                                         "g", "h", "i", "j", "k", "l"};

typedef struct life {
    ckv_store *s[N];
    ckv_buf mail[N_MAIL];
    uint8_t to[N_MAIL], kind[N_MAIL];
    size_t n_mail;
    ckv_alloc a;
} life;

static void post(life *l, size_t from, const ckv_buf *m, uint8_t kind)
{
    for (size_t to = 0; to < N; to++) {
        if (to == from || l->n_mail == N_MAIL || t_one_in(5)) continue;
        l->mail[l->n_mail] = ckv_buf_init(ckv_alloc_libc);
        ckv_buf_bytes(&l->mail[l->n_mail], m->ptr, m->len);
        l->to[l->n_mail] = (uint8_t)to;
        l->kind[l->n_mail++] = kind;
    }
}

static ckv_status deliver(life *l, size_t i)
{
    ckv_store_report report;
    ckv_store_report_init(&report, l->a);
    ckv_store *s = l->s[l->to[i]];
    const ckv_bytes m = shop_bytes(&l->mail[i]);
    const ckv_status st = l->kind[i] == 'O'
                              ? ckv_store_take_ops(s, &m, 1, CKV_NO_DRIFT, &report, NULL)
                              : ckv_store_take_opset(s, m, CKV_NO_DRIFT, &report, NULL);
    ckv_store_report_fini(&report);
    if (st != CKV_OK) return st;
    ckv_buf_fini(&l->mail[i]);
    l->n_mail--;
    l->mail[i] = l->mail[l->n_mail];
    l->to[i] = l->to[l->n_mail];
    l->kind[i] = l->kind[l->n_mail];
    return CKV_OK;
}

static ckv_status edit(life *l, size_t i, bool with_op)
{
    ckv_buf op = ckv_buf_init(l->a);
    const ckv_store_key key = shop_key(keys[t_below(N_KEYS)]);
    ckv_status s;
    if (t_one_in(4)) {
        s = ckv_store_remove(l->s[i], key, with_op ? &op : NULL);
        if (s == CKV_ENOENT) s = CKV_OK;
    } else {
        s = ckv_store_put(l->s[i], key, shop_int((int64_t)t_below(1000)), shop_ms,
                          with_op ? &op : NULL);
    }
    if (s == CKV_OK && op.len) post(l, i, &op, 'O');
    ckv_buf_fini(&op);
    return s;
}

static ckv_status work(life *l, size_t i)
{
    CKV_TRY(ckv_txn_begin(l->s[i]));
    ckv_status s = CKV_OK;
    for (size_t n = t_below(6); n > 0 && s == CKV_OK; n--) {
        const ckv_store_key key = shop_key(keys[t_below(N_KEYS)]);
        if (t_one_in(3))
            s = ckv_txn_remove(l->s[i], key);
        else
            s = ckv_txn_put(l->s[i], key, shop_int((int64_t)t_below(1000)));
        if (s == CKV_ENOENT) s = CKV_OK;
    }
    shop_check(l->s[i]);
    if (s == CKV_OK && !t_one_in(3)) s = ckv_txn_commit(l->s[i], shop_ms, NULL);
    if (ckv_txn_is_open(l->s[i])) ckv_txn_abort(l->s[i]);
    return s;
}

static ckv_status publish(life *l, size_t i)
{
    ckv_buf set = ckv_buf_init(l->a);
    const ckv_status s = ckv_store_opset(l->s[i], &set);
    if (s == CKV_OK) post(l, i, &set, 'S');
    ckv_buf_fini(&set);
    return s;
}

static ckv_status reload(life *l, size_t i)
{
    ckv_buf save = ckv_buf_init(l->a);
    const ckv_env env = {l->a, shop_random, NULL};
    ckv_store *loaded;
    ckv_status s = ckv_store_save(l->s[i], &save);
    if (s == CKV_OK) s = ckv_store_load(&loaded, &env, shop_bytes(&save), NULL, NULL);
    if (s == CKV_OK) {
        ckv_buf again = ckv_buf_init(ckv_alloc_libc);
        s = ckv_store_save(loaded, &again);
        if (s == CKV_OK) T_BYTES(again.ptr, again.len, save.ptr, save.len);
        ckv_buf_fini(&again);
        ckv_store_free(l->s[i]);
        l->s[i] = loaded;
    }
    ckv_buf_fini(&save);
    return s;
}

static ckv_status step(life *l)
{
    const size_t i = t_below(N), j = (i + 1 + t_below(N - 1)) % N;
    switch (t_below(12)) {
    case 0:
    case 1:
    case 2: return edit(l, i, false);
    case 3:
    case 4: return edit(l, i, true);
    case 5: return work(l, i);
    case 6: return publish(l, i);
    case 7: return t_one_in(4) ? reload(l, i) : CKV_OK;
    case 8: return shop_pull(l->s[i], l->s[j], l->a);
    default: return l->n_mail ? deliver(l, t_below(l->n_mail)) : CKV_OK;
    }
}

static ckv_status live(ckv_alloc a, size_t n_steps)
{
    life l = {.a = a};
    static const char *const names[N] = {"ada", "ben", "cyd"};
    ckv_status s = CKV_OK;
    for (size_t i = 0; i < N && s == CKV_OK; i++) s = shop_new(&l.s[i], a, names[i]);
    for (size_t n = 0; n < n_steps && s == CKV_OK; n++) {
        shop_ms += t_below(3);
        s = step(&l);
        for (size_t i = 0; i < N; i++) shop_check(l.s[i]);
    }
    for (size_t round = 0; round < 2; round++)
        for (size_t i = 0; i < N && s == CKV_OK; i++)
            for (size_t j = 0; j < N && s == CKV_OK; j++)
                if (i != j) s = shop_pull(l.s[i], l.s[j], a);
    for (size_t i = 0; i < N; i++) {
        if (s == CKV_OK) {
            shop_check(l.s[i]);
            for (size_t k = 0; k < N_KEYS; k++)
                T_EQ(shop_get(l.s[i], keys[k]), shop_get(l.s[0], keys[k]));
            T_EQ(ckv_store_stats_of(l.s[i]).n_hidden, ckv_store_stats_of(l.s[0]).n_hidden);
        }
    }
    for (size_t i = 0; i < N; i++) ckv_store_free(l.s[i]);
    for (size_t i = 0; i < l.n_mail; i++) ckv_buf_fini(&l.mail[i]);
    return s;
}

static void three_replicas_come_to_agree(void)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        t_faulty f;
        t_seed(seed);
        T_EQ(live(t_watch(&f), 150), CKV_OK);
        T_EQ(f.live_bytes, 0);
    }
}

static uint64_t oom_seed;
static ckv_status short_life(ckv_alloc a)
{
    t_seed(oom_seed);
    return live(a, 60);
}

static void memory_may_fail_anywhere(void)
{
    for (oom_seed = 1; oom_seed <= 3; oom_seed++) T_CHECK(t_oom(short_life) > 100);
}

int main(void)
{
    T_RUN(puts_supersede_and_removes_leave_nothing);
    T_RUN(the_clock_only_goes_forward);
    T_RUN(a_transaction_is_seen_by_nobody_until_it_is_there);
    T_RUN(the_seed_dropped_a_diff_with_only_deletes);
    T_RUN(concurrent_puts_stay_until_somebody_saw_both);
    T_RUN(three_replicas_come_to_agree);
    T_RUN(memory_may_fail_anywhere);
    return t_done();
}
