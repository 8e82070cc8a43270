/* Live dots of one incarnation, in lockstep with a sorted array. */
#include "t.h"

#include "kv/dots.h"

enum { MOST = 400 };

/* Nobody looks into a cell here: any address that is its own will do. */
static ckv_cell *cell_of(uint64_t hlc)
{
    static max_align_t room[1 << 12];
    return (ckv_cell *)(void *)&room[hlc % (1 << 12)];
}

typedef struct twin {
    uint64_t hlc[MOST];
    size_t n;
} twin;

static size_t place_of(const twin *t, uint64_t hlc)
{
    size_t i = 0;
    while (i < t->n && t->hlc[i] < hlc) i++;
    return i;
}

static void check(const ckv_dots *d)
{
    const char *why;
    T_VALID(ckv_dots_check(d, &why), why);
}

/* Walks and counts from a dot, there or not. */
static void compare_from(const ckv_dots *d, const twin *t, uint64_t from)
{
    size_t i = place_of(t, from);
    T_EQ(ckv_dots_count_from(d, from), t->n - i);
    ckv_dot_walk walk = ckv_dots_from(d, from), runs = walk;
    uint64_t hlc, start, end;
    for (ckv_cell *cell; ckv_dot_walk_next(&walk, &hlc, &cell); i++) {
        T_CHECK(i < t->n && t->hlc[i] == hlc && cell == cell_of(hlc));
    }
    T_EQ(i, t->n);
    for (i = place_of(t, from); ckv_dot_walk_run(&runs, &start, &end);) {
        T_CHECK(start < end);
        for (; start < end; start++, i++) T_CHECK(i < t->n && t->hlc[i] == start);
        T_CHECK(i == t->n || t->hlc[i] > end); /* or it would have gone on */
    }
    T_EQ(i, t->n);
}

static void it_does_what_a_sorted_array_does(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        t_faulty f;
        ckv_dots d = ckv_dots_init(t_watch(&f));
        T_CHECK(!ckv_dots_find(&d, 1));
        twin t = {.n = 0};
        uint64_t next = 1;
        t_seed(seed);
        const uint64_t gaps = 1 + t_below(4), deaths = 2 + t_below(4);
        for (int step = 0; step < 400; step++) {
            if (t.n < MOST && !t_one_in(deaths)) {
                next += t_one_in(gaps) ? t_below(5) : 0;
                T_EQ(ckv_dots_reserve(&d, 1), CKV_OK);
                ckv_dots_append(&d, next, cell_of(next));
                t.hlc[t.n++] = next++;
            } else if (t.n > 0) {
                const size_t i = t_below(t.n);
                T_CHECK(ckv_dots_find(&d, t.hlc[i]) == cell_of(t.hlc[i]));
                ckv_dots_remove(&d, t.hlc[i]);
                T_CHECK(!ckv_dots_find(&d, t.hlc[i]));
                memmove(t.hlc + i, t.hlc + i + 1, (--t.n - i) * sizeof *t.hlc);
            }
            check(&d);
            T_EQ(d.n, t.n);
            compare_from(&d, &t, t_below(next + 2));
        }
        compare_from(&d, &t, 0);
        compare_from(&d, &t, UINT64_MAX);
        ckv_dots_fini(&d);
        T_EQ(f.live_bytes, 0);
    }
}

static void an_overwritten_key_takes_no_memory(void)
{
    ckv_dots d = ckv_dots_init(ckv_alloc_libc);
    for (uint64_t hlc = 1; hlc <= 100000; hlc++) {
        T_EQ(ckv_dots_reserve(&d, 1), CKV_OK);
        if (hlc > 1) ckv_dots_remove(&d, hlc - 1);
        ckv_dots_append(&d, hlc, cell_of(hlc));
    }
    check(&d);
    T_CHECK(ckv_dots_bytes(&d) <= 16 * (sizeof(ckv_dot_chunk) + 16 * CKV_DOTS_CHUNK));
    ckv_dots_fini(&d);
}

static void what_dies_gives_its_memory_back(void)
{
    t_faulty f;
    ckv_dots d = ckv_dots_init(t_watch(&f));
    T_EQ(ckv_dots_reserve(&d, 10000), CKV_OK);
    for (uint64_t hlc = 1; hlc <= 10000; hlc++) ckv_dots_append(&d, hlc, cell_of(hlc));
    const size_t full = ckv_dots_bytes(&d);
    T_EQ(full, f.live_bytes);
    for (uint64_t hlc = 1; hlc <= 10000; hlc++) {
        if (hlc % 100) ckv_dots_remove(&d, hlc);
        T_EQ(ckv_dots_bytes(&d), f.live_bytes);
    }
    check(&d);
    T_EQ(d.n, 100);
    T_CHECK((d.n_rows + d.n_ready) * CKV_DOTS_CHUNK <= 8 * d.n);
    ckv_dots_fini(&d);
    T_EQ(f.live_bytes, 0);
}

/* A commit reserves for all its puts, then supersedes and appends in turns: packing must not take what was reserved. */
static void room_that_was_reserved_stays(void)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        t_faulty f;
        ckv_dots d = ckv_dots_init(t_watch(&f));
        t_seed(seed);
        const uint64_t n_old = 1 + t_below(60), n_new = 1 + t_below(60);
        T_EQ(ckv_dots_reserve(&d, n_old), CKV_OK);
        for (uint64_t hlc = 1; hlc <= n_old; hlc++) ckv_dots_append(&d, hlc, cell_of(hlc));
        T_EQ(ckv_dots_reserve(&d, n_new), CKV_OK);
        f.until_fail = 0; /* from here on no memory */
        f.stay_broken = true;
        uint64_t dead = 0, made = 0;
        while (made < n_new || dead < n_old) {
            if (dead < n_old && (made == n_new || t_one_in(2)))
                ckv_dots_remove(&d, ++dead);
            else
                ckv_dots_append(&d, n_old + made + 1, cell_of(n_old + made + 1)), made++;
            check(&d);
        }
        T_EQ(d.n, n_new);
        ckv_dots_fini(&d);
        T_EQ(f.live_bytes, 0);
    }
}

static void a_check_sees_what_is_broken(void)
{
    ckv_dots d = ckv_dots_init(ckv_alloc_libc);
    T_EQ(ckv_dots_reserve(&d, 3 * CKV_DOTS_CHUNK), CKV_OK);
    for (uint64_t hlc = 1; hlc <= 3 * CKV_DOTS_CHUNK; hlc++) ckv_dots_append(&d, hlc, cell_of(hlc));
    const char *why;
    uint64_t *x = &d.rows[1].chunk->hlc[1];
    ++*x;
    T_CHECK(!ckv_dots_check(&d, &why) && strcmp(why, "I1: hlcs ascend") == 0);
    --*x;
    d.rows[1].from--;
    T_CHECK(!ckv_dots_check(&d, &why) && strcmp(why, "I1: from is too small") == 0);
    d.rows[1].from += 2;
    T_CHECK(!ckv_dots_check(&d, &why) && strcmp(why, "I1: hlcs ascend") == 0);
    d.rows[1].from--;
    d.n++;
    T_CHECK(!ckv_dots_check(&d, &why) && strcmp(why, "n is wrong") == 0);
    d.n--;
    uint32_t n[2];
    for (size_t i = 0; i < 2; i++) n[i] = d.rows[i].chunk->n, d.rows[i].chunk->n = 0;
    d.n -= n[0] + n[1];
    d.rows[2].chunk->n = 1;
    d.n -= CKV_DOTS_CHUNK - 1;
    T_CHECK(!ckv_dots_check(&d, &why) && strcmp(why, "I2: too many holes") == 0);
    d.rows[2].chunk->n = CKV_DOTS_CHUNK;
    for (size_t i = 0; i < 2; i++) d.rows[i].chunk->n = n[i];
    d.n = 3 * CKV_DOTS_CHUNK;
    d.rows[2].chunk->n = CKV_DOTS_CHUNK + 1;
    T_CHECK(!ckv_dots_check(&d, &why) && strcmp(why, "a chunk holds too much") == 0);
    d.rows[2].chunk->n = CKV_DOTS_CHUNK;
    check(&d);
    ckv_dots_fini(&d);
}

static ckv_status grow(ckv_alloc a)
{
    ckv_dots d = ckv_dots_init(a);
    ckv_status s = CKV_OK;
    for (uint64_t hlc = 1; hlc <= 60 && s == CKV_OK; hlc++) {
        s = ckv_dots_reserve(&d, 1 + hlc % 9);
        if (s == CKV_OK) ckv_dots_append(&d, hlc, cell_of(hlc));
        check(&d);
    }
    ckv_dots_fini(&d);
    return s;
}

static void memory_may_fail_anywhere(void) { T_CHECK(t_oom(grow) > 10); }

int main(void)
{
    T_RUN(it_does_what_a_sorted_array_does);
    T_RUN(an_overwritten_key_takes_no_memory);
    T_RUN(what_dies_gives_its_memory_back);
    T_RUN(room_that_was_reserved_stays);
    T_RUN(a_check_sees_what_is_broken);
    T_RUN(memory_may_fail_anywhere);
    return t_done();
}
