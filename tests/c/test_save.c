/* Saves: what was saved loads as the same, with all that waits and all that was not told yet; what no store saves does not load. */
#include "shop.h"

static ckv_status load(ckv_store **out, ckv_alloc a, ckv_bytes save, const char *name)
{
    const ckv_env env = {a, shop_random, NULL};
    ckv_err err = {CKV_OK, 0, NULL};
    const ckv_store_key key = shop_key(name ? name : "");
    *out = NULL;
    const ckv_status s = ckv_store_load(out, &env, save, name ? &key : NULL, &err);
    T_CHECK(s == CKV_OK ? *out != NULL : *out == NULL);
    T_CHECK(s == CKV_OK || s == CKV_ENOMEM || (err.code == s && err.text));
    return s;
}

static ckv_store *reloaded(const ckv_store *s)
{
    ckv_store *out;
    ckv_buf save = shop_save(s);
    T_EQ(load(&out, ckv_alloc_libc, shop_bytes(&save), NULL), CKV_OK);
    shop_check(out);
    shop_equal(shop_save(out), save);
    return out;
}

static void scribble(ckv_store *s, size_t n)
{
    for (; n > 0; n--) {
        const char key[] = {(char)('a' + t_below(9)), 0};
        shop_ms += t_below(2);
        if (t_one_in(4))
            T_CHECK(ckv_store_remove(s, shop_key(key), NULL) <= 0);
        else
            T_EQ(shop_put(s, key, (int64_t)t_below(100)), CKV_OK);
    }
}

static void a_save_loads_as_the_same(void)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        t_seed(seed);
        ckv_store *a, *b;
        T_EQ(shop_open(&a, ckv_alloc_libc, "a"), CKV_OK);
        T_EQ(shop_open(&b, ckv_alloc_libc, "b"), CKV_OK);
        scribble(a, t_below(30));
        scribble(b, t_below(30));
        T_EQ(shop_pull(a, b, ckv_alloc_libc), CKV_OK);
        scribble(a, t_below(10));
        ckv_store *again = reloaded(a);
        shop_agree(a, again);
        T_EQ(ckv_store_clock(a), ckv_store_clock(again));
        T_EQ(ckv_store_incarnation(again).n_bytes, 0); /* a new one comes with the next write */
        T_EQ(shop_put(again, "new", 1), CKV_OK);
        const ckv_bytes old = ckv_store_incarnation(a), now = ckv_store_incarnation(again);
        T_CHECK(old.n_bytes != now.n_bytes || memcmp(old.ptr, now.ptr, old.n_bytes) != 0);
        ckv_store_free(again);
        ckv_store_free(a);
        ckv_store_free(b);
    }
}

static void a_name_may_be_given_anew(void)
{
    ckv_store *a, *b;
    ckv_err err;
    T_EQ(shop_open(&a, ckv_alloc_libc, "a"), CKV_OK);
    T_EQ(shop_put(a, "k", 1), CKV_OK);
    ckv_buf save = shop_save(a);
    T_EQ(load(&b, ckv_alloc_libc, shop_bytes(&save), "other"), CKV_OK);
    T_EQ(ckv_store_name(b).n_bytes, 5);
    const ckv_bytes id = shop_id("a"); /* it wrote before: its dots would come again */
    T_EQ(ckv_store_incarnate(b, id.ptr, id.n_bytes), CKV_EVALUE);
    ckv_store_free(b);
    T_EQ(load(&b, ckv_alloc_libc, shop_bytes(&save), NULL), CKV_OK);
    T_EQ(ckv_store_incarnate(b, id.ptr, id.n_bytes), CKV_EVALUE);
    ckv_store_free(b);
    char name[CKV_MAX_PEER_NAME + 2];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    const ckv_env env = {ckv_alloc_libc, shop_random, NULL};
    const ckv_store_key too_long = shop_key(name);
    T_EQ(ckv_store_load(&b, &env, shop_bytes(&save), &too_long, &err), CKV_ELIMIT);
    ckv_buf_fini(&save);
    ckv_store_free(a);
}

static void what_waits_is_saved(void)
{
    ckv_store *a, *b;
    T_EQ(shop_open(&a, ckv_alloc_libc, "a"), CKV_OK);
    T_EQ(shop_open(&b, ckv_alloc_libc, "b"), CKV_OK);
    T_EQ(shop_put(a, "x", 1), CKV_OK);
    shop_give(b, shop_put_op(a, "y", 2));
    ckv_buf told = shop_opset(a);
    ckv_buf_fini(&told);
    T_EQ(shop_put(a, "z", 3), CKV_OK);
    shop_give(b, shop_opset(a));
    T_EQ(ckv_store_stats_of(b).n_waiting, 2);
    ckv_store *again = reloaded(b);
    T_EQ(ckv_store_stats_of(again).n_waiting, 2);
    T_EQ(shop_pull(again, a, ckv_alloc_libc), CKV_OK);
    T_EQ(ckv_store_stats_of(again).n_waiting, 0);
    shop_agree(again, a);
    ckv_store_free(again);
    ckv_store_free(a);
    ckv_store_free(b);
}

static void what_was_not_told_is_saved(void)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        t_seed(seed);
        ckv_store *a, *b;
        T_EQ(shop_open(&a, ckv_alloc_libc, "a"), CKV_OK);
        T_EQ(shop_open(&b, ckv_alloc_libc, "b"), CKV_OK);
        for (size_t n = 0; n < 6; n++) {
            scribble(a, t_below(6));
            if (t_one_in(3)) shop_give(b, shop_opset(a));
            if (t_one_in(2)) {
                ckv_store *again = reloaded(a);
                ckv_store_free(a);
                a = again;
            }
        }
        shop_give(b, shop_opset(a));
        shop_agree(a, b);
        ckv_store_free(a);
        ckv_store_free(b);
    }
}

/* A copy of a disk goes on beside its original, and supersedes what that put since. */
static void a_copy_supersedes_what_the_original_put_later(void)
{
    ckv_store *a;
    T_EQ(shop_open(&a, ckv_alloc_libc, "a"), CKV_OK);
    T_EQ(shop_put(a, "x", 1), CKV_OK);
    ckv_store *copy = reloaded(a);
    ckv_buf told = shop_opset(copy); /* nothing of the original's is left to tell */
    ckv_buf_fini(&told);
    T_EQ(shop_put(a, "y", 2), CKV_OK);
    T_EQ(shop_pull(copy, a, ckv_alloc_libc), CKV_OK);
    T_EQ(ckv_store_remove(copy, shop_key("x"), NULL), CKV_OK);
    T_EQ(ckv_store_remove(copy, shop_key("y"), NULL), CKV_OK);
    ckv_store *again = reloaded(copy);
    shop_give(a, shop_opset(again));
    T_EQ(ckv_store_len(a, false), 0);
    ckv_store_free(again);
    ckv_store_free(copy);
    ckv_store_free(a);
}

/* ---- what no store saves. Each is one field of a good one that is wrong */

typedef struct form {
    uint64_t is_bytes, clock, n_parts, bookmark, mine_from, n_mine, n_rows, gap;
    const char *name, *id, *killed, *key;
    const char *message; /* NULL: none */
    bool cut;            /* a message is longer than what is left */
} form;

static const form good = {.clock = 20,
                          .n_parts = 1,
                          .bookmark = 10,
                          .mine_from = 4,
                          .n_mine = 2,
                          .n_rows = 1,
                          .gap = 4,
                          .name = "a",
                          .id = "a",
                          .killed = "3-4",
                          .key = "k"};

static ckv_status try_form(const form *f)
{
    ckv_buf m = ckv_buf_init(ckv_alloc_libc);
    const size_t begin = ckv_message_begin(&m, CKV_MESSAGE_SAVE);
    ckv_buf_varint(&m, f->is_bytes);
    ckv_buf_blob(&m, f->name, strlen(f->name));
    ckv_buf_varint(&m, f->clock);
    ckv_buf_varint(&m, f->n_parts);
    shop_say_id(&m, f->id);
    ckv_buf_varint(&m, f->bookmark);
    ckv_buf_varint(&m, f->mine_from);
    ckv_buf_varint(&m, f->n_mine);
    shop_say_set(&m, f->killed);
    ckv_buf_varint(&m, f->n_rows);
    if (f->n_rows) shop_say_row(&m, f->gap, f->key, 1);
    if (f->message) ckv_buf_blob(&m, f->message, strlen(f->message));
    if (f->cut) ckv_buf_varint(&m, 9);
    ckv_message_end(&m, begin);
    ckv_store *s;
    const ckv_status status = load(&s, ckv_alloc_libc, shop_bytes(&m), NULL);
    if (status == CKV_OK) {
        shop_check(s);
        shop_equal(shop_save(s), m);
    } else {
        ckv_buf_fini(&m);
    }
    ckv_store_free(s);
    return status;
}

#define WITH(...)                                                                                  \
    form f = good;                                                                                 \
    __VA_ARGS__;                                                                                   \
    status = try_form(&f)

static void a_wrong_field_refuses_all(void)
{
    ckv_status status;
    static char name[CKV_MAX_PEER_NAME + 2], key[CKV_MAX_KEY + 2];
    memset(name, 'x', sizeof name - 1);
    memset(key, 'x', sizeof key - 1);
    T_EQ(try_form(&good), CKV_OK);
    {
        WITH(f.is_bytes = 1);
        T_EQ(status, CKV_OK);
    }
    {
        WITH(f.is_bytes = 2);
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.name = name);
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.name = "\xff");
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.name = "\xff", f.is_bytes = 1);
        T_EQ(status, CKV_OK);
    }
    {
        WITH(f.clock = CKV_HLC_END);
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.clock = 9);
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.clock = 10);
        T_EQ(status, CKV_OK);
    }
    {
        WITH(f.n_parts = 2);
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.n_parts = UINT64_MAX);
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.bookmark = 0, f.n_rows = 0, f.mine_from = f.n_mine = 0, f.killed = "");
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.bookmark = CKV_HLC_END, f.clock = CKV_HLC_END - 1);
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.mine_from = 11);
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.n_mine = 7);
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.n_mine = 6);
        T_EQ(status, CKV_OK);
    }
    {
        WITH(f.killed = "3-6");
        T_EQ(status, CKV_ECORRUPT);
    } /* of mine */
    {
        WITH(f.killed = "6-7");
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.killed = "3-5 7-8");
        T_EQ(status, CKV_OK);
    }
    {
        WITH(f.killed = "3-9", f.n_mine = 0, f.n_rows = 0);
        T_EQ(status, CKV_OK);
    }
    {
        WITH(f.killed = "11-12");
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.killed = "8-10", f.gap = 8);
        T_EQ(status, CKV_ECORRUPT);
    } /* and alive */
    {
        WITH(f.killed = "8-9", f.gap = 8);
        T_EQ(status, CKV_OK);
    }
    {
        WITH(f.n_rows = UINT64_MAX);
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.n_rows = 2);
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.gap = 9);
        T_EQ(status, CKV_OK);
    }
    {
        WITH(f.gap = 10);
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.key = "\xff");
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.key = key);
        T_EQ(status, CKV_ELIMIT);
    }
    {
        WITH(f.message = "");
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.cut = true);
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.message = "Ox");
        T_EQ(status, CKV_ECORRUPT);
    }
    {
        WITH(f.message = "Sx");
        T_EQ(status, CKV_ECORRUPT);
    }
}

static void a_cut_or_damaged_save_is_none(void)
{
    ckv_store *a, *b;
    T_EQ(shop_open(&a, ckv_alloc_libc, "a"), CKV_OK);
    T_EQ(shop_put(a, "k", 1), CKV_OK);
    ckv_buf save = shop_save(a);
    for (size_t n = 0; n < save.len; n++) {
        T_EQ(load(&b, ckv_alloc_libc, (ckv_bytes){save.ptr, n}, NULL), CKV_ECORRUPT);
        save.ptr[n] ^= 1;
        T_EQ(load(&b, ckv_alloc_libc, shop_bytes(&save), NULL), CKV_ECORRUPT);
        save.ptr[n] ^= 1;
    }
    ckv_buf_fini(&save);
    ckv_store_free(a);
}

/* ---- memory */

static ckv_buf kept;

static ckv_status load_and_save(ckv_alloc a)
{
    ckv_store *s;
    ckv_status status = load(&s, a, shop_bytes(&kept), NULL);
    if (status != CKV_OK) return status;
    ckv_buf save = ckv_buf_init(a);
    status = ckv_store_save(s, &save);
    if (status == CKV_OK) T_BYTES(save.ptr, save.len, kept.ptr, kept.len);
    ckv_buf_fini(&save);
    ckv_store_free(s);
    return status;
}

static void memory_may_fail_anywhere(void)
{
    ckv_store *a, *b;
    t_seed(1);
    T_EQ(shop_open(&a, ckv_alloc_libc, "a"), CKV_OK);
    T_EQ(shop_open(&b, ckv_alloc_libc, "b"), CKV_OK);
    scribble(a, 10);
    shop_give(b, shop_opset(a));
    scribble(a, 20);
    shop_give(b, shop_opset(a));
    scribble(b, 20);
    T_EQ(shop_put(a, "x", 1), CKV_OK);
    shop_give(b, shop_put_op(a, "y", 2));
    ckv_buf told = shop_opset(a);
    ckv_buf_fini(&told);
    T_EQ(shop_put(a, "x", 1), CKV_OK);
    shop_give(b, shop_opset(a));
    kept = shop_save(b);
    T_CHECK(t_oom(load_and_save) > 30);
    ckv_buf_fini(&kept);
    ckv_store_free(a);
    ckv_store_free(b);
}

static ckv_status load_alone(ckv_alloc a)
{
    ckv_store *s;
    const ckv_status status = load(&s, a, shop_bytes(&kept), NULL);
    if (status == CKV_OK) {
        shop_check(s);
        T_EQ(ckv_store_stats_of(s).n_waiting, 0);
        T_EQ(ckv_store_len(s, false), 2);
    }
    ckv_store_free(s);
    return status;
}

/* By hand: the second message is the one that the first waits for. */
static void what_need_not_wait_is_done_on_loading(void)
{
    ckv_store *a;
    T_EQ(shop_open(&a, ckv_alloc_libc, "a"), CKV_OK);
    ckv_buf first = shop_put_op(a, "x", 1), second = shop_put_op(a, "y", 2);
    kept = ckv_buf_init(ckv_alloc_libc);
    const size_t begin = ckv_message_begin(&kept, CKV_MESSAGE_SAVE);
    ckv_buf_bytes(&kept, "\0\0", 2);
    ckv_buf_varint(&kept, ckv_store_clock(a));
    ckv_buf_varint(&kept, 0);
    ckv_buf_blob(&kept, second.ptr, second.len);
    ckv_buf_blob(&kept, first.ptr, first.len);
    ckv_message_end(&kept, begin);
    T_CHECK(t_oom(load_alone) > 10);
    ckv_buf_fini(&kept);
    ckv_buf_fini(&first);
    ckv_buf_fini(&second);
    ckv_store_free(a);
}

int main(void)
{
    T_RUN(a_save_loads_as_the_same);
    T_RUN(a_name_may_be_given_anew);
    T_RUN(what_waits_is_saved);
    T_RUN(what_was_not_told_is_saved);
    T_RUN(a_copy_supersedes_what_the_original_put_later);
    T_RUN(a_wrong_field_refuses_all);
    T_RUN(a_cut_or_damaged_save_is_none);
    T_RUN(what_need_not_wait_is_done_on_loading);
    T_RUN(memory_may_fail_anywhere);
    return t_done();
}
