/* What own writes superseded: true facts, never of what the next op set tells anyway, and never many more runs than live dots. */
#include "t.h"

#include "kv/killed.h"

typedef struct scene {
    t_faulty f;
    ckv_incarnation p;
    uint64_t n; /* dots 1..n were put */
} scene;

/* Dots 1..n are alive, (from, to] are mine. */
static void begin(scene *s, uint64_t n, uint64_t mine_from, uint64_t mine_to)
{
    const ckv_alloc a = t_watch(&s->f);
    s->n = n;
    s->p = (ckv_incarnation){.bookmark = n,
                             .live = ckv_dots_init(a),
                             .killed = {.a = a},
                             .mine_from = mine_from,
                             .mine_to = mine_to};
    T_EQ(ckv_dots_reserve(&s->p.live, n), CKV_OK);
    for (uint64_t hlc = 1; hlc <= n; hlc++) ckv_dots_append(&s->p.live, hlc, NULL);
}

static void end(scene *s)
{
    ckv_killed_forget(&s->p);
    ckv_dots_fini(&s->p.live);
    T_EQ(s->f.live_bytes, 0);
}

static bool is_mine(const scene *s, uint64_t hlc)
{
    return hlc > s->p.mine_from && hlc <= s->p.mine_to;
}

static bool is_live(const scene *s, uint64_t hlc)
{
    uint64_t at;
    ckv_cell *cell;
    ckv_dot_walk w = ckv_dots_from(&s->p.live, hlc);
    return ckv_dot_walk_next(&w, &at, &cell) && at == hlc;
}

/* As the store does. */
static void kill(scene *s, uint64_t hlc)
{
    T_EQ(ckv_killed_reserve(&s->p, 1), CKV_OK);
    ckv_dots_remove(&s->p.live, hlc);
    if (!is_mine(s, hlc)) ckv_killed_note(&s->p, hlc);
}

/* Nothing alive and nothing of mine is in it, and whatever was noted is. */
static void check(const scene *s, const bool *noted)
{
    for (uint64_t hlc = 1; hlc <= s->n; hlc++) {
        bool has = false;
        for (size_t i = 0; i < s->p.killed.len; i++)
            has |= s->p.killed.ptr[i].start <= hlc && hlc < s->p.killed.ptr[i].end;
        T_CHECK(!has || (!is_live(s, hlc) && !is_mine(s, hlc)));
        T_CHECK(has || !noted[hlc]);
    }
}

static void it_tells_what_died_and_nothing_else(void)
{
    enum { N = 600 };
    for (uint64_t seed = 1; seed <= 40; seed++) {
        scene s;
        bool noted[N + 1] = {false};
        t_seed(seed);
        const uint64_t from = t_below(N), to = from + t_below(N - from + 1);
        begin(&s, N, from, t_one_in(4) ? from : to);
        const uint64_t step = 1 + t_below(3), deaths = t_below(2 * N);
        for (uint64_t n = 0; n < deaths; n++) {
            const uint64_t hlc = 1 + t_below(N) / step * step;
            if (hlc > N || !is_live(&s, hlc)) continue;
            kill(&s, hlc);
            noted[hlc] = !is_mine(&s, hlc);
            if (t_one_in(50)) check(&s, noted);
        }
        ckv_killed_tidy(&s.p);
        check(&s, noted);
        const char *why;
        T_VALID(ckv_runs_check(&s.p.killed, &why), why);
        end(&s);
    }
}

/* A queue: each entry is put, then taken by somebody else. Nobody ever asks for an op set. */
static void it_does_not_grow_where_nobody_asks(void)
{
    scene s;
    begin(&s, 0, 0, 0);
    size_t most = 0;
    for (uint64_t hlc = 1; hlc <= 100000; hlc += 2) { /* every second dot is alive for a while */
        T_EQ(ckv_dots_reserve(&s.p.live, 1), CKV_OK);
        ckv_dots_append(&s.p.live, hlc, NULL);
        s.p.bookmark = hlc;
        if (hlc > 20) kill(&s, hlc - 20);
        if (s.p.killed.len > most) most = s.p.killed.len;
    }
    T_CHECK(most <= 200);
    end(&s);
}

static void live_dots_between_keep_runs_apart(void)
{
    enum { N = 1000 };
    scene s;
    bool noted[N + 1] = {false};
    begin(&s, N, 0, 0);
    for (uint64_t hlc = 2; hlc <= N; hlc += 2) {
        kill(&s, hlc);
        noted[hlc] = true;
    }
    ckv_killed_tidy(&s.p);
    check(&s, noted);
    T_EQ(s.p.killed.len, N / 2);
    end(&s);
}

static void neighbours_are_one_run(void)
{
    scene s;
    begin(&s, 10, 0, 0);
    static const uint64_t order[] = {7, 3, 4, 9, 8, 5};
    for (size_t i = 0; i < 6; i++) kill(&s, order[i]);
    ckv_killed_tidy(&s.p);
    T_EQ(s.p.killed.len, 2);
    T_EQ(s.p.killed.ptr[0].start, 3);
    T_EQ(s.p.killed.ptr[0].end, 6);
    T_EQ(s.p.killed.ptr[1].start, 7);
    T_EQ(s.p.killed.ptr[1].end, 10);
    ckv_killed_forget(&s.p);
    ckv_killed_tidy(&s.p); /* of nothing */
    T_EQ(s.p.killed.len, 0);
    end(&s);
}

int main(void)
{
    T_RUN(it_tells_what_died_and_nothing_else);
    T_RUN(it_does_not_grow_where_nobody_asks);
    T_RUN(live_dots_between_keep_runs_apart);
    T_RUN(neighbours_are_one_run);
    return t_done();
}
