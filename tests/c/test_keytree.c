/* The ordered map in lockstep with a sorted array. */
#include "t.h"

#include "kv/keytree.h"

#define MOST 600

typedef struct twin {
    ckv_cell *at[MOST]; /* owned, ascending */
    uint32_t n;
} twin;

typedef struct any_key { /* a key with memory of its own */
    uint8_t bytes[CKV_MAX_KEY];
    ckv_store_key key;
} any_key;

static ckv_cell *new_cell(ckv_store_key key)
{
    ckv_cell *c = calloc(1, sizeof *c + key.n_bytes);
    T_CHECK(c);
    c->key_bytes = (uint16_t)key.n_bytes;
    c->is_bytes = key.is_bytes;
    if (key.n_bytes) memcpy(c->bytes, key.ptr, key.n_bytes);
    return c;
}

/* ---- keys of all shapes */

static void set_key(any_key *k, const void *bytes, size_t n, bool is_bytes)
{
    if (n) memmove(k->bytes, bytes, n);
    k->key = (ckv_store_key){n ? k->bytes : NULL, (uint32_t)n, is_bytes};
}

/* One that is like a key that is there: of the other type, longer, shorter. */
static void near_key(any_key *k, const twin *w)
{
    const ckv_store_key old = ckv_cell_key(w->at[t_below(w->n)]);
    set_key(k, old.ptr, old.n_bytes, old.is_bytes);
    switch (t_below(4)) {
    case 0: k->key.is_bytes = !old.is_bytes; break;
    case 1:
        if (old.n_bytes < CKV_MAX_KEY) k->bytes[old.n_bytes] = t_one_in(2) ? 0 : 0xff;
        set_key(k, k->bytes, old.n_bytes + (old.n_bytes < CKV_MAX_KEY), old.is_bytes);
        break;
    case 2: set_key(k, k->bytes, t_below(old.n_bytes + 1), old.is_bytes); break;
    default: break;
    }
}

static void draw_key(any_key *k, const twin *w)
{
    char text[64];
    uint8_t raw[16];
    if (w->n && t_one_in(3)) {
        near_key(k, w);
        return;
    }
    switch (t_below(5)) {
    case 0:
        snprintf(text, sizeof text, "user:%06u", (unsigned)t_below(2000));
        set_key(k, text, strlen(text), false);
        return;
    case 1: { /* few of them, zeros inside, the empty one, both types */
        const size_t n = t_below(5);
        for (size_t i = 0; i < n; i++) raw[i] = (uint8_t)t_below(3);
        set_key(k, raw, n, t_one_in(2));
        return;
    }
    case 2:
        for (size_t i = 0; i < sizeof raw; i++) raw[i] = (uint8_t)t_rand();
        set_key(k, raw, sizeof raw, true);
        return;
    case 3: { /* long, equal far into them */
        static const uint16_t cuts[] = {0, 7, 8, 100, 2000, 4090, CKV_MAX_KEY - 1};
        memset(k->bytes, 'x', CKV_MAX_KEY);
        k->bytes[cuts[t_below(7)]] = (uint8_t)('w' + t_below(3));
        set_key(k, k->bytes, t_one_in(3) ? 4000 + t_below(97) : CKV_MAX_KEY, t_one_in(4));
        return;
    }
    default:
        snprintf(text, sizeof text, "home/%c/notes/%u/%u", (int)('a' + t_below(3)),
                 (unsigned)t_below(4), (unsigned)t_below(50));
        set_key(k, text, strlen(text), false);
    }
}

/* ---- the twin */

static uint32_t twin_from(const twin *w, ckv_store_key key)
{
    uint32_t i = 0;
    while (i < w->n && ckv_store_key_compare(ckv_cell_key(w->at[i]), key) < 0) i++;
    return i;
}

static bool twin_has(const twin *w, uint32_t i, ckv_store_key key)
{
    return i < w->n && ckv_store_key_compare(ckv_cell_key(w->at[i]), key) == 0;
}

static void is_place(const twin *w, ckv_keyplace p, uint32_t i)
{
    T_EQ(ckv_keyplace_is_end(p), i >= w->n); /* before the first, too */
    if (i < w->n) T_CHECK(*ckv_keyplace_slot(p) == w->at[i]);
}

/* All of it, forwards and backwards. */
static void is_whole(const ckv_keytree *t, const twin *w)
{
    const char *why = NULL;
    T_VALID(ckv_keytree_check(t, &why), why);
    T_EQ(t->n, w->n);
    ckv_keyplace p = ckv_keytree_from(t, NULL);
    for (uint32_t i = 0; i < w->n; i++, p = ckv_keyplace_next(p)) is_place(w, p, i);
    T_CHECK(ckv_keyplace_is_end(p));
    p = ckv_keytree_before(t, NULL);
    for (uint32_t i = w->n; i-- > 0; p = ckv_keyplace_prev(p)) is_place(w, p, i);
    T_CHECK(ckv_keyplace_is_end(p));
}

static void put(ckv_keytree *t, twin *w, ckv_store_key key)
{
    const uint32_t i = twin_from(w, key);
    const bool is_there = twin_has(w, i, key);
    const uint64_t shape = t->shape;
    ckv_cell **slot;
    bool is_new;
    if (!is_there && w->n == MOST) return;
    T_EQ(ckv_keytree_reach(t, key, &slot, &is_new), CKV_OK);
    T_EQ(is_new, !is_there);
    T_EQ(t->shape > shape, is_new);
    ckv_cell *c = new_cell(key);
    if (is_new) {
        T_CHECK(*slot == NULL);
        memmove(w->at + i + 1, w->at + i, (w->n - i) * sizeof *w->at);
        w->n++;
    } else { /* another cell of the same key; the tree keeps nothing of the old one */
        T_CHECK(*slot == w->at[i]);
        free(w->at[i]);
    }
    *slot = w->at[i] = c;
}

static void take_out(ckv_keytree *t, twin *w, uint32_t i)
{
    const uint64_t shape = t->shape;
    any_key k;
    const ckv_store_key key = ckv_cell_key(w->at[i]);
    set_key(&k, key.ptr, key.n_bytes, key.is_bytes);
    if (t_one_in(2)) { /* its cell is gone before */
        *ckv_keytree_find(t, k.key) = NULL;
        free(w->at[i]);
        ckv_keytree_remove(t, k.key);
    } else {
        ckv_keytree_remove(t, k.key);
        free(w->at[i]);
    }
    w->n--;
    memmove(w->at + i, w->at + i + 1, (w->n - i) * sizeof *w->at);
    T_CHECK(t->shape > shape);
    T_CHECK(!ckv_keytree_find(t, k.key));
}

static void look(const ckv_keytree *t, const twin *w, ckv_store_key key)
{
    const uint32_t i = twin_from(w, key);
    ckv_cell **slot = ckv_keytree_find(t, key);
    T_EQ(slot != NULL, twin_has(w, i, key));
    if (slot) T_CHECK(*slot == w->at[i]);
    const ckv_keyplace p = ckv_keytree_from(t, &key), q = ckv_keytree_before(t, &key);
    is_place(w, p, i);
    is_place(w, q, i - 1);
    if (i < w->n) {
        is_place(w, ckv_keyplace_next(p), i + 1);
        is_place(w, ckv_keyplace_prev(p), i - 1);
    }
}

static void lockstep(int n_rounds)
{
    t_faulty f;
    ckv_keytree t = ckv_keytree_init(t_watch(&f));
    static twin w;
    static any_key k;
    w.n = 0;
    uint64_t shrinks = 0;
    for (int round = 0; round < n_rounds; round++) {
        if (t_one_in(200)) shrinks = t_below(2); /* up and down between nothing and a lot */
        draw_key(&k, &w);
        if (w.n && t_below(10) < (shrinks ? 8 : 3))
            take_out(&t, &w, (uint32_t)t_below(w.n));
        else
            put(&t, &w, k.key);
        draw_key(&k, &w);
        look(&t, &w, k.key);
        if (w.n) look(&t, &w, ckv_cell_key(w.at[t_below(w.n)]));
        T_EQ(t.n_bytes, f.live_bytes);
        if (w.n < 40 || t_one_in(16)) is_whole(&t, &w);
    }
    is_whole(&t, &w);
    while (w.n > 100) take_out(&t, &w, (uint32_t)t_below(w.n));
    is_whole(&t, &w);
    ckv_keytree_fini(&t);
    T_EQ(f.live_bytes, 0);
    while (w.n) free(w.at[--w.n]);
}

static void runs_in_lockstep_with_an_array(void)
{
    for (uint64_t seed = 1; seed < 9; seed++) {
        t_seed(seed);
        lockstep(4000);
    }
}

/* ---- many keys */

#define MANY 20000

static ckv_cell *many[MANY];

static ckv_store_key numbered(uint8_t out[4], uint32_t i)
{
    for (int b = 0; b < 4; b++) out[b] = (uint8_t)(i >> (24 - 8 * b));
    return (ckv_store_key){out, 4, true};
}

static void put_many(ckv_keytree *t, uint32_t by)
{
    uint8_t b[4];
    for (uint32_t k = 0, i = 0; k < MANY; k++, i = (i + by) % MANY) {
        ckv_cell **slot;
        bool is_new;
        T_EQ(ckv_keytree_reach(t, numbered(b, i), &slot, &is_new), CKV_OK);
        T_CHECK(is_new);
        *slot = many[i];
    }
}

static void make_many(void)
{
    uint8_t b[4];
    for (uint32_t i = 0; i < MANY; i++) many[i] = new_cell(numbered(b, i));
}

static void free_many(void)
{
    for (uint32_t i = 0; i < MANY; i++) free(many[i]);
}

static void ascending_keys_leave_no_holes(void)
{
    make_many();
    ckv_keytree up = ckv_keytree_init(ckv_alloc_libc), mixed = ckv_keytree_init(ckv_alloc_libc),
                down = ckv_keytree_init(ckv_alloc_libc);
    const char *why = NULL;
    put_many(&up, 1);
    put_many(&mixed, 7919);
    put_many(&down, MANY - 1);
    T_VALID(ckv_keytree_check(&up, &why), why);
    T_VALID(ckv_keytree_check(&mixed, &why), why);
    T_VALID(ckv_keytree_check(&down, &why), why);
    T_CHECK(up.n_bytes * 5 < mixed.n_bytes * 4);
    ckv_keytree_fini(&up);
    ckv_keytree_fini(&mixed);
    ckv_keytree_fini(&down);
    free_many();
}

/* Every 20th stays; and all of one range go, which leaves no empty nodes. */
static void what_is_removed_leaves_no_holes(void)
{
    make_many();
    ckv_keytree t = ckv_keytree_init(ckv_alloc_libc);
    const char *why = NULL;
    uint8_t b[4];
    put_many(&t, 7919);
    const size_t full = t.n_bytes;
    const uint32_t height = t.height;
    for (uint32_t k = 0, i = 0; k < MANY; k++, i = (i + 6007) % MANY) {
        if (i % 20) ckv_keytree_remove(&t, numbered(b, i));
        if (k % 997 == 0) T_VALID(ckv_keytree_check(&t, &why), why);
    }
    T_EQ(t.n, MANY / 20);
    T_VALID(ckv_keytree_check(&t, &why), why);
    T_CHECK(t.n_bytes < full / 20 * 2);
    T_CHECK(t.height < height);
    for (uint32_t i = 0; i < MANY; i += 20) ckv_keytree_remove(&t, numbered(b, i));
    T_EQ(t.n_bytes, 0);
    T_CHECK(ckv_keyplace_is_end(ckv_keytree_from(&t, NULL)));
    put_many(&t, 1);
    for (uint32_t i = MANY; i-- > 100;) ckv_keytree_remove(&t, numbered(b, i));
    T_VALID(ckv_keytree_check(&t, &why), why);
    T_CHECK(t.n_bytes < full / 100);
    ckv_keytree_fini(&t);
    free_many();
}

/* Separators are as short as they can be, however long the keys. */
static void separators_are_short(void)
{
    static uint8_t b[CKV_MAX_KEY];
    ckv_keytree t = ckv_keytree_init(ckv_alloc_libc);
    ckv_cell *cells[200];
    for (uint32_t i = 0; i < 200; i++) {
        ckv_cell **slot;
        bool is_new;
        b[0] = (uint8_t)i;
        cells[i] = new_cell((ckv_store_key){b, sizeof b, true});
        T_EQ(ckv_keytree_reach(&t, ckv_cell_key(cells[i]), &slot, &is_new), CKV_OK);
        *slot = cells[i];
    }
    T_CHECK(t.n_bytes < CKV_MAX_KEY * 4);
    ckv_keytree_fini(&t);
    for (uint32_t i = 0; i < 200; i++) free(cells[i]);
}

/* ---- check() and failures */

static void check_finds_what_is_broken(void)
{
    make_many();
    ckv_keytree t = ckv_keytree_init(ckv_alloc_libc);
    const char *why = NULL;
    uint8_t b[4];
    put_many(&t, 7919);
    for (uint32_t i = 0; i < MANY; i += 499) {
        ckv_cell **slot = ckv_keytree_find(&t, numbered(b, i));
        *slot = many[(i + 1) % MANY]; /* a cell of another key */
        T_CHECK(!ckv_keytree_check(&t, &why));
        *slot = NULL;
        T_CHECK(!ckv_keytree_check(&t, &why) && strstr(why, "without a cell"));
        *slot = many[i];
    }
    t.n++;
    T_CHECK(!ckv_keytree_check(&t, &why) && strstr(why, "number"));
    t.n--, t.n_bytes++;
    T_CHECK(!ckv_keytree_check(&t, &why) && strstr(why, "bytes"));
    t.n_bytes--;
    T_VALID(ckv_keytree_check(&t, &why), why);
    ckv_keytree_fini(&t);
    free_many();
}

static ckv_status scenario(ckv_alloc a)
{
    const t_faulty *f = a.ctx;
    ckv_keytree t = ckv_keytree_init(a);
    ckv_status st = CKV_OK;
    const char *why = NULL;
    uint8_t b[4];
    uint32_t n = 0;
    for (; n < 400; n++) {
        ckv_cell **slot;
        bool is_new;
        const uint32_t i = n < 200 ? n : n * 101 % 5000; /* at the right edge, then anywhere */
        const size_t n_bytes = t.n_bytes;
        const uint64_t shape = t.shape;
        if (n >= 200 && ckv_keytree_find(&t, numbered(b, i))) continue;
        const size_t n_keys = t.n;
        st = ckv_keytree_reach(&t, numbered(b, i), &slot, &is_new);
        if (st != CKV_OK) { /* nothing happened */
            T_CHECK(t.n == n_keys && t.n_bytes == n_bytes && t.shape == shape);
            T_CHECK(!ckv_keytree_find(&t, numbered(b, i)));
            T_VALID(ckv_keytree_check(&t, &why), why);
            break;
        }
        *slot = many[i];
        T_EQ(t.n_bytes, f->live_bytes);
    }
    while (t.n > 10) { /* without memory, too */
        ckv_keyplace p = ckv_keytree_from(&t, NULL);
        for (size_t k = t.n / 2; k > 0; k--) p = ckv_keyplace_next(p);
        ckv_keytree_remove(&t, ckv_cell_key(*ckv_keyplace_slot(p)));
        if (t.n % 16 == 0) T_VALID(ckv_keytree_check(&t, &why), why);
    }
    ckv_keytree_fini(&t);
    return st;
}

static void survives_every_failure(void)
{
    make_many();
    T_CHECK(t_oom(scenario) >= 10);
    free_many();
}

int main(void)
{
    T_RUN(runs_in_lockstep_with_an_array);
    T_RUN(ascending_keys_leave_no_holes);
    T_RUN(what_is_removed_leaves_no_holes);
    T_RUN(separators_are_short);
    T_RUN(check_finds_what_is_broken);
    T_RUN(survives_every_failure);
    return t_done();
}
