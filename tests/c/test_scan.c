/* Walks over a store, against a sorted list of its keys: all bounds, both ways, in and beside a transaction. */
#include "shop.h"

enum { N_KEYS = 40 };

typedef struct twin {
    ckv_store_key keys[N_KEYS];
    bool shown[N_KEYS], in_txn[N_KEYS];
    uint8_t room[N_KEYS][4];
    size_t n;
} twin;

/* Keys of few bytes of few kinds, str and bytes, each once, in order. */
static void draw_keys(twin *t)
{
    static const uint8_t bytes[] = {0x00, 0x61, 0xfe, 0xff};
    t->n = 0;
    while (t->n < N_KEYS) {
        ckv_store_key key = {t->room[t->n], (uint32_t)t_below(4), true};
        for (uint32_t i = 0; i < key.n_bytes; i++) t->room[t->n][i] = bytes[t_below(4)];
        key.is_bytes = t_one_in(2);
        bool is_there = false;
        for (size_t i = 0; i < t->n; i++) is_there |= ckv_store_key_compare(t->keys[i], key) == 0;
        if (!is_there) t->keys[t->n++] = key;
    }
    for (size_t i = 1; i < t->n; i++)
        for (size_t k = i; k > 0 && ckv_store_key_compare(t->keys[k - 1], t->keys[k]) > 0; k--) {
            const ckv_store_key swap = t->keys[k];
            t->keys[k] = t->keys[k - 1];
            t->keys[k - 1] = swap;
        }
}

static bool is_in(ckv_store_key key, const ckv_range *r)
{
    if (r->start && ckv_store_key_compare(key, *r->start) < 0) return false;
    if (r->stop && ckv_store_key_compare(key, *r->stop) >= 0) return false;
    return !r->prefix ||
           ckv_store_key_has_prefix(key, r->prefix->ptr, (uint32_t)r->prefix->n_bytes);
}

static void compare(const ckv_store *s, const twin *t, const ckv_range *r, bool in_txn,
                    bool reverse)
{
    ckv_scan *scan;
    ckv_item item;
    T_EQ(ckv_scan_new(&scan, s, in_txn, r, reverse), CKV_OK);
    for (size_t n = 0; n < t->n; n++) {
        const size_t i = reverse ? t->n - 1 - n : n;
        if (!(in_txn ? t->in_txn : t->shown)[i] || (r && !is_in(t->keys[i], r))) continue;
        T_EQ(ckv_scan_next(scan, &item), CKV_OK);
        T_EQ(ckv_store_key_compare(item.key, t->keys[i]), 0);
        T_EQ(shop_int_of(item.value), in_txn ? 2 * (int)i : (int)i);
    }
    T_EQ(ckv_scan_next(scan, &item), CKV_ENOENT);
    T_EQ(ckv_scan_next(scan, &item), CKV_ENOENT);
    ckv_scan_free(scan);
}

static void all_bounds(const ckv_store *s, const twin *t, bool in_txn)
{
    for (int n = 0; n < 40; n++) {
        const ckv_store_key start = t->keys[t_below(t->n)], stop = t->keys[t_below(t->n)],
                            like = t->keys[t_below(t->n)];
        const ckv_bytes prefix = {like.ptr, like.n_bytes};
        const ckv_range r = {t_one_in(2) ? &start : NULL, t_one_in(2) ? &stop : NULL,
                             t_one_in(2) ? &prefix : NULL};
        compare(s, t, &r, in_txn, t_one_in(2));
    }
    compare(s, t, NULL, in_txn, false);
    compare(s, t, NULL, in_txn, true);
}

static void a_walk_gives_what_a_sorted_list_has(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        twin t;
        ckv_store *s;
        t_seed(seed);
        draw_keys(&t);
        T_EQ(shop_open(&s, ckv_alloc_libc, "a"), CKV_OK);
        const uint64_t gaps = 1 + t_below(4);
        for (size_t i = 0; i < t.n; i++) {
            t.shown[i] = !t_one_in(gaps);
            if (t.shown[i])
                T_EQ(ckv_store_put(s, t.keys[i], shop_int((int64_t)i), shop_ms, NULL), CKV_OK);
        }
        all_bounds(s, &t, false);
        T_EQ(ckv_txn_begin(s), CKV_OK);
        for (size_t i = 0; i < t.n; i++) {
            t.in_txn[i] = t_one_in(2);
            if (t.in_txn[i])
                T_EQ(ckv_txn_put(s, t.keys[i], shop_int(2 * (int64_t)i)), CKV_OK);
            else if (t.shown[i])
                T_EQ(ckv_txn_remove(s, t.keys[i]), CKV_OK);
        }
        shop_check(s);
        all_bounds(s, &t, false);
        all_bounds(s, &t, true);
        ckv_txn_abort(s);
        all_bounds(s, &t, false);
        ckv_store_free(s);
    }
}

static void values_may_change_under_a_walk_but_not_keys(void)
{
    for (int reverse = 0; reverse < 2; reverse++) {
        ckv_store *s;
        ckv_scan *scan;
        ckv_item item;
        T_EQ(shop_open(&s, ckv_alloc_libc, "a"), CKV_OK);
        for (int i = 0; i < 5; i++)
            T_EQ(shop_put(s, (const char[]){(char)('a' + i), 0}, i), CKV_OK);
        T_EQ(ckv_scan_new(&scan, s, false, NULL, reverse), CKV_OK);
        for (int i = 0; i < 3; i++) {
            T_EQ(shop_put(s, (const char[]){(char)('a' + i), 0}, 10 + i), CKV_OK);
            T_EQ(ckv_scan_next(scan, &item), CKV_OK);
            const int at = reverse ? 4 - i : i;
            T_EQ(shop_int_of(item.value), at <= i ? 10 + at : at);
        }
        T_EQ(shop_put(s, "c2", 1), CKV_OK);
        T_EQ(ckv_scan_next(scan, &item), CKV_ESTALE);
        T_EQ(ckv_store_remove(s, shop_key("c2"), NULL), CKV_OK);
        T_EQ(ckv_scan_next(scan, &item), CKV_ESTALE); /* though all is as it was */
        ckv_scan_free(scan);
        ckv_store_free(s);
    }
}

/* What nobody sees must not disturb: keys come and go in the tree itself. */
static void a_transaction_may_come_and_go_under_a_walk(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        ckv_store *s;
        ckv_scan *scan;
        ckv_item item;
        t_seed(seed);
        const bool reverse = t_one_in(2);
        T_EQ(shop_open(&s, ckv_alloc_libc, "a"), CKV_OK);
        for (int i = 0; i < 20; i++) {
            const char key[] = {(char)('a' + i), 0};
            T_EQ(shop_put(s, key, i), CKV_OK);
        }
        T_EQ(ckv_scan_new(&scan, s, false, NULL, reverse), CKV_OK);
        for (int i = 0; i < 20; i++) {
            if (!ckv_txn_is_open(s)) T_EQ(ckv_txn_begin(s), CKV_OK);
            for (size_t n = t_below(5); n > 0; n--) {
                const char key[] = {(char)('a' + t_below(20)), (char)('a' + t_below(3)), 0};
                T_EQ(ckv_txn_put(s, shop_key(key), shop_int(1)), CKV_OK);
                if (t_one_in(3)) T_EQ(ckv_txn_remove(s, shop_key(key)), CKV_OK);
            }
            if (t_one_in(3)) ckv_txn_abort(s);
            T_EQ(ckv_scan_next(scan, &item), CKV_OK);
            T_EQ(shop_int_of(item.value), reverse ? 19 - i : i);
        }
        T_EQ(ckv_scan_next(scan, &item), CKV_ENOENT);
        if (!ckv_txn_is_open(s)) T_EQ(ckv_txn_begin(s), CKV_OK);
        T_EQ(ckv_txn_put(s, shop_key("zz"), shop_int(1)), CKV_OK);
        T_EQ(ckv_scan_next(scan, &item), CKV_ENOENT); /* it stands at "zz", which goes */
        T_EQ(ckv_txn_remove(s, shop_key("zz")), CKV_OK);
        T_EQ(ckv_txn_put(s, shop_key("zzz"), shop_int(1)), CKV_OK);
        T_EQ(ckv_scan_next(scan, &item), CKV_ENOENT);
        ckv_txn_abort(s);
        T_EQ(ckv_scan_next(scan, &item), CKV_ENOENT);
        ckv_scan_free(scan);
        ckv_store_free(s);
    }
}

static void a_walk_in_a_transaction_ends_with_it(void)
{
    for (int how = 0; how < 4; how++) {
        ckv_store *s;
        ckv_scan *scan;
        ckv_item item;
        T_EQ(shop_open(&s, ckv_alloc_libc, "a"), CKV_OK);
        T_EQ(shop_put(s, "a", 1), CKV_OK);
        T_EQ(ckv_txn_begin(s), CKV_OK);
        T_EQ(ckv_txn_put(s, shop_key("b"), shop_int(2)), CKV_OK);
        T_EQ(ckv_scan_new(&scan, s, true, NULL, false), CKV_OK);
        T_EQ(ckv_scan_next(scan, &item), CKV_OK);
        T_CHECK(item.hlc > 0 && item.peer.n_bytes > 0);
        if (how == 0) T_EQ(ckv_txn_put(s, shop_key("b"), shop_int(3)), CKV_OK);
        if (how == 1) T_EQ(ckv_txn_put(s, shop_key("c"), shop_int(3)), CKV_OK);
        if (how == 2) T_EQ(ckv_txn_commit(s, shop_ms, NULL), CKV_OK);
        if (how == 3) ckv_txn_abort(s);
        T_EQ(ckv_scan_next(scan, &item), how == 0 ? CKV_OK : CKV_ESTALE);
        if (how == 0) {
            T_EQ(shop_int_of(item.value), 3);
            T_CHECK(item.hlc == 0 && item.peer.n_bytes == 0); /* it has no dot yet */
        }
        ckv_scan_free(scan);
        if (ckv_txn_is_open(s)) ckv_txn_abort(s);
        ckv_store_free(s);
    }
}

static ckv_status walk(ckv_alloc a)
{
    ckv_store *s = NULL;
    ckv_scan *scan = NULL;
    const ckv_bytes prefix = {(const uint8_t *)"a", 1};
    const ckv_range r = {.prefix = &prefix};
    ckv_status st = shop_open(&s, a, "a");
    if (st == CKV_OK) st = shop_put(s, "a", 1);
    if (st == CKV_OK) st = ckv_scan_new(&scan, s, false, &r, false);
    ckv_item item;
    if (st == CKV_OK) st = ckv_scan_next(scan, &item);
    ckv_scan_free(scan);
    ckv_store_free(s);
    return st;
}

static void memory_may_fail_anywhere(void) { T_CHECK(t_oom(walk) > 3); }

int main(void)
{
    T_RUN(a_walk_gives_what_a_sorted_list_has);
    T_RUN(values_may_change_under_a_walk_but_not_keys);
    T_RUN(a_transaction_may_come_and_go_under_a_walk);
    T_RUN(a_walk_in_a_transaction_ends_with_it);
    T_RUN(memory_may_fail_anywhere);
    return t_done();
}
