/* Taking in what others say, all or nothing: wherever memory fails, the store is what it was, to the byte; who watches hears of each change. */
#include "shop.h"

/* ---- a mirror: what somebody knows who only ever heard the news */

enum { N_KEYS = 6 };

typedef struct mirror {
    int64_t values[N_KEYS]; /* of the keys "a", "b", ...; -1: absent */
} mirror;

static int64_t told_value(ckv_rd *r)
{
    size_t n;
    if (!ckv_rd_u8(r)) return -1;
    const uint8_t *p = ckv_rd_blob(r, &n);
    return shop_int_of((ckv_bytes){p, n});
}

static void listen(mirror *m, ckv_store *s)
{
    const ckv_buf *news = ckv_store_news(s);
    ckv_rd r = ckv_rd_init(news->ptr, news->len);
    while (ckv_rd_left(&r)) {
        size_t n, n_peer;
        T_EQ(ckv_rd_u8(&r), 0);
        const uint8_t *key = ckv_rd_blob(&r, &n);
        T_CHECK(n == 1 && key[0] >= 'a' && key[0] < 'a' + N_KEYS);
        int64_t *value = &m->values[key[0] - 'a'];
        const int64_t old = told_value(&r), now = told_value(&r);
        const uint8_t *peer = ckv_rd_blob(&r, &n_peer);
        const bool is_local = ckv_rd_u8(&r);
        T_EQ(r.status, CKV_OK);
        T_EQ(old, *value);
        T_CHECK(now != old);
        *value = now;
        const ckv_bytes own = ckv_store_incarnation(s);
        if (is_local)
            T_BYTES(peer, n_peer, own.ptr, own.n_bytes);
        else
            T_EQ(n_peer == 0, now < 0);
    }
    ckv_store_clear_news(s);
}

static void compare(const mirror *m, const ckv_store *s)
{
    for (size_t i = 0; i < N_KEYS; i++)
        T_EQ(m->values[i], shop_get(s, (const char[]){(char)('a' + i), 0}));
}

/* ---- three write; messages of all kinds go about */

enum { N = 3, N_MAIL = 24 };

typedef struct world {
    ckv_store *s[N];
    ckv_buf mail[N_MAIL];
    size_t n_mail;
} world;

static world world_new(void)
{
    static const char *const names[N] = {"a", "b", "c"};
    world w = {.n_mail = 0};
    for (size_t i = 0; i < N; i++) T_EQ(shop_open(&w.s[i], ckv_alloc_libc, names[i]), CKV_OK);
    return w;
}

static void world_free(world *w)
{
    for (size_t i = 0; i < N; i++) ckv_store_free(w->s[i]);
    for (size_t i = 0; i < w->n_mail; i++) ckv_buf_fini(&w->mail[i]);
}

static void post(world *w, ckv_buf m)
{
    if (w->n_mail == N_MAIL || m.len == 0)
        ckv_buf_fini(&m);
    else
        w->mail[w->n_mail++] = m;
}

static ckv_buf diff_between(const ckv_store *asker, const ckv_store *from)
{
    ckv_buf request = shop_request(asker), out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_store_diff(from, shop_bytes(&request), 0, &out, NULL, NULL), CKV_OK);
    ckv_buf_fini(&request);
    return out;
}

static ckv_buf copy_of(const ckv_buf *b)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_bytes(&out, b->ptr, b->len);
    return out;
}

static void step(world *w)
{
    const size_t i = t_below(N), j = t_below(N);
    const char key[] = {(char)('a' + t_below(N_KEYS)), 0};
    ckv_buf op = ckv_buf_init(ckv_alloc_libc);
    shop_ms += t_below(2);
    switch (t_below(6)) {
    case 0:
    case 1:
        T_EQ(ckv_store_put(w->s[i], shop_key(key), shop_int((int64_t)t_below(3)), shop_ms, &op),
             CKV_OK);
        break;
    case 2: T_CHECK(ckv_store_remove(w->s[i], shop_key(key), &op) <= 0); break;
    case 3: op = shop_opset(w->s[i]); break;
    case 4: op = diff_between(w->s[i], w->s[j]); break;
    default:
        if (w->n_mail) shop_give(w->s[i], copy_of(&w->mail[t_below(w->n_mail)]));
    }
    post(w, op);
}

static void who_watches_hears_of_each_change(void)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        t_seed(seed);
        world w = world_new();
        mirror m[N];
        memset(m, 0xff, sizeof m);
        for (size_t i = 0; i < N; i++) ckv_store_watch(w.s[i], true);
        for (int n = 0; n < 150; n++) {
            step(&w);
            for (size_t i = 0; i < N; i++) {
                listen(&m[i], w.s[i]);
                compare(&m[i], w.s[i]);
            }
        }
        world_free(&w);
    }
}

/* Each key that shows another dot is named, and no other one. */
static void the_report_names_what_changed(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        t_seed(seed);
        world w = world_new();
        for (int n = 0; n < 60; n++) step(&w);
        for (size_t n = 0; n < w.n_mail; n++) {
            ckv_store *s = w.s[t_below(N)];
            uint64_t before[N_KEYS], named = 0;
            ckv_item item;
            for (size_t i = 0; i < N_KEYS; i++) {
                const char key[] = {(char)('a' + i), 0};
                before[i] = ckv_store_get(s, false, shop_key(key), &item) ? item.hlc : 0;
            }
            const bool waits = (ckv_store_stats_of(s).n_waiting > 0);
            ckv_store_report report;
            ckv_store_report_init(&report, ckv_alloc_libc);
            T_EQ(shop_take(s, shop_bytes(&w.mail[n]), &report), CKV_OK);
            ckv_rd r = ckv_rd_init(report.applied.ptr, report.applied.len);
            while (ckv_rd_left(&r)) {
                size_t n_key;
                T_EQ(ckv_rd_u8(&r), 0);
                named |= UINT64_C(1) << (*ckv_rd_blob(&r, &n_key) - 'a');
            }
            for (size_t i = 0; i < N_KEYS && !waits; i++) {
                const char key[] = {(char)('a' + i), 0};
                const uint64_t now = ckv_store_get(s, false, shop_key(key), &item) ? item.hlc : 0;
                if (now != before[i])
                    T_CHECK(named >> i & 1);
                else
                    T_CHECK(!(named >> i & 1));
            }
            ckv_store_report_fini(&report);
        }
        world_free(&w);
    }
}

/* ---- memory. The message is the last one, the store one that took the others */

static ckv_buf base, message;
static bool is_watched;

static ckv_status take_one(ckv_alloc a)
{
    const ckv_env env = {a, shop_random, NULL};
    ckv_store *s;
    CKV_TRY(ckv_store_load(&s, &env, shop_bytes(&base), NULL, NULL));
    ckv_store_watch(s, is_watched);
    ckv_store_report report;
    ckv_store_report_init(&report, a);
    const ckv_status status =
        ckv_store_integrate(s, shop_bytes(&message), CKV_NO_DRIFT, &report, NULL);
    shop_check(s);
    if (status != CKV_OK) {
        shop_equal(shop_save(s), copy_of(&base));
        T_EQ(ckv_store_news(s)->len, 0);
        T_EQ(report.applied.len, 0);
        T_EQ(report.n_put + report.n_superseded, 0);
        /* And once more, now that there is memory again. */
        const ckv_status again =
            ckv_store_integrate(s, shop_bytes(&message), CKV_NO_DRIFT, &report, NULL);
        T_CHECK(again == CKV_OK || again == CKV_ENOMEM);
        shop_check(s);
    }
    ckv_store_report_fini(&report);
    ckv_store_free(s);
    return status;
}

static void what_failed_did_nothing(void)
{
    uint64_t n_failures = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        t_seed(seed);
        world w = world_new();
        for (int n = 0; n < 40; n++) step(&w);
        for (size_t i = 0; i < N; i++)
            T_EQ(shop_pull(w.s[i], w.s[(i + 1) % N], ckv_alloc_libc), CKV_OK);
        if (!(ckv_store_stats_of(w.s[2]).n_waiting >
              0)) { /* that is done after the diff, and may fail later */
            for (int n = 0; n < 10; n++) {
                const char key[] = {(char)('a' + t_below(N_KEYS)), 0};
                T_EQ(shop_put(w.s[1], key, (int64_t)t_below(5)), CKV_OK);
            }
            T_CHECK(ckv_store_remove(w.s[1], shop_key("c"), NULL) <= 0);
            message = diff_between(w.s[2], w.s[1]);
            base = shop_save(w.s[2]);
            for (int watched = 0; watched < 2; watched++) {
                is_watched = watched;
                n_failures += t_oom(take_one);
            }
            ckv_buf_fini(&base);
            ckv_buf_fini(&message);
        }
        world_free(&w);
    }
    T_CHECK(n_failures > 300);
}

int main(void)
{
    T_RUN(who_watches_hears_of_each_change);
    T_RUN(the_report_names_what_changed);
    T_RUN(what_failed_did_nothing);
    return t_done();
}
