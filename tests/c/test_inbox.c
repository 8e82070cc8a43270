/* What waits, in lockstep with a list: who is evicted, what comes back, and a flood that stays fast and small. */
#include "t.h"

#include <time.h>

#include "dag/inbox.h"

static ckv_id32 id_of(uint64_t kind, uint64_t n)
{
    ckv_id32 id = {{0}};
    const uint64_t mixed[4] = {n * 0x9e3779b97f4a7c15u, kind, n, kind ^ n};
    memcpy(&id, mixed, 32);
    return id;
}

static ckv_letter letter(uint64_t n, uint64_t lane, uint32_t seq, uint64_t missing,
                         uint32_t body_bytes, bool later)
{
    return (ckv_letter){.id = id_of(1, n),
                        .lane = id_of(2, lane),
                        .missing = later ? (ckv_id32){{0}} : id_of(3, missing),
                        .seq = seq,
                        .header_bytes = 4,
                        .body_bytes = body_bytes,
                        .later = later};
}

static uint8_t body[1 << 16];

static bool add(ckv_inbox *x, const ckv_letter *l)
{
    bool kept = false;
    T_EQ(ckv_inbox_add(x, l, (const uint8_t *)"head", body, &kept), CKV_OK);
    return kept;
}

static void check(const ckv_inbox *x)
{
    const char *why = NULL;
    T_VALID(ckv_inbox_check(x, &why), why);
}

/* ---- the twin: all letters that are here, in a list; a copy of it is the state to come back to */

#define MOST 400

typedef struct slow_letter {
    uint64_t n, lane, missing;
    uint32_t seq, bytes;
    bool later;
} slow_letter;

typedef struct slow_inbox {
    slow_letter l[MOST];
    size_t n;
} slow_inbox;

static slow_inbox slow, slow_before;

static void check_against_twin(const ckv_inbox *x)
{
    size_t n_later = 0;
    for (size_t i = 0; i < slow.n; i++) {
        const ckv_id32 id = id_of(1, slow.l[i].n), missing = id_of(3, slow.l[i].missing);
        const uint32_t at = ckv_inbox_find(x, &id);
        T_CHECK(at != CKV_HMAP_NONE);
        const ckv_letter *l = &x->letters.ptr[at];
        T_CHECK(l->seq == slow.l[i].seq && l->body_bytes == slow.l[i].bytes &&
                l->later == slow.l[i].later);
        T_BYTES(l->bytes, 4, "head", 4);
        n_later += l->later;
        if (l->later) continue;
        size_t walk = SIZE_MAX, n_walk = 0, n_slow = 0;
        bool found = false;
        for (uint32_t w; (w = ckv_inbox_waiter(x, &missing, &walk)) != CKV_HMAP_NONE; n_walk++)
            found |= w == at;
        for (size_t k = 0; k < slow.n; k++)
            n_slow += !slow.l[k].later && slow.l[k].missing == slow.l[i].missing;
        T_CHECK(found && n_walk == n_slow);
    }
    T_EQ(x->n_later, n_later);
    T_EQ(x->n_waiting, slow.n - n_later);
}

static size_t slow_find(uint64_t n)
{
    size_t i = 0;
    while (i < slow.n && slow.l[i].n != n) i++;
    return i;
}

static void lockstep(int n_steps)
{
    ckv_inbox x = ckv_inbox_init(ckv_alloc_libc, t_rand());
    uint64_t next = 0;
    slow.n = 0;
    slow_before = slow;
    for (int step = 0; step < n_steps; step++) {
        const uint64_t what = t_below(20);
        if (what < 11 && slow.n < MOST) {
            const slow_letter s = {
                next++,     t_below(5), t_below(12), (uint32_t)t_below(40), (uint32_t)t_below(100),
                t_one_in(8)};
            const ckv_letter l = letter(s.n, s.lane, s.seq, s.missing, s.bytes, s.later);
            T_CHECK(add(&x, &l));
            slow.l[slow.n++] = s;
        } else if (what < 15 && slow.n) {
            const size_t i = t_below(slow.n);
            const ckv_id32 id = id_of(1, slow.l[i].n);
            ckv_inbox_release(&x, ckv_inbox_find(&x, &id));
            slow.l[i] = slow.l[--slow.n];
        } else if (what < 17 && slow.n) {
            const size_t i = t_below(slow.n);
            if (slow.l[i].later) continue;
            const ckv_id32 id = id_of(1, slow.l[i].n);
            slow.l[i].missing = t_below(12);
            const ckv_id32 missing = id_of(3, slow.l[i].missing);
            ckv_inbox_await(&x, ckv_inbox_find(&x, &id), &missing);
        } else if (what == 17) {
            ckv_inbox_settle(&x);
            slow_before = slow;
        } else if (what == 18) {
            ckv_inbox_revert(&x);
            for (size_t i = 0; i < slow_before.n;
                 i++) { /* what a letter awaits is not taken back: it missed that, too */
                const size_t now = slow_find(slow_before.l[i].n);
                const ckv_id32 id = id_of(1, slow_before.l[i].n);
                if (now < slow.n)
                    slow_before.l[i].missing = slow.l[now].missing;
                else if (!slow_before.l[i].later) {
                    const ckv_id32 missing = x.letters.ptr[ckv_inbox_find(&x, &id)].missing;
                    while (memcmp(&missing, &(ckv_id32){{0}}, 32) &&
                           slow_before.l[i].missing < 12) {
                        const ckv_id32 guess = id_of(3, slow_before.l[i].missing);
                        if (ckv_id32_eq(&guess, &missing)) break;
                        slow_before.l[i].missing = (slow_before.l[i].missing + 1) % 12;
                    }
                }
            }
            slow = slow_before;
        }
        check(&x);
        check_against_twin(&x);
    }
    ckv_inbox_fini(&x);
}

static void runs_in_lockstep_with_a_list(void)
{
    for (uint64_t seed = 1; seed < 6; seed++) {
        t_seed(seed);
        lockstep(1500);
    }
}

/* ---- eviction */

static void the_greatest_seq_of_the_largest_lane_goes(void)
{
    ckv_inbox x = ckv_inbox_init(ckv_alloc_libc, 1);
    ckv_letter l = letter(0, 0, 0, 0, 100, false);
    T_CHECK(add(&x, &l));
    const size_t each = x.bytes;
    for (uint64_t n = 1; n < 6; n++) { /* lane 0: seq 0; lane 1: 9, 8, 7, 6, 5 */
        l = letter(n, 1, (uint32_t)(10 - n), n, 100, false);
        T_CHECK(add(&x, &l));
    }
    x.limit = 6 * each;
    ckv_inbox_settle(&x);
    l = letter(6, 0, 1, 0, 100, false);
    T_CHECK(add(&x, &l));
    T_EQ(x.evicted, 1);
    const ckv_id32 gone = id_of(1, 1);
    T_EQ(ckv_inbox_find(&x, &gone), CKV_HMAP_NONE);
    l = letter(7, 1, 20, 0, 100,
               false); /* its own lane is the largest, and nothing in it is greater */
    T_CHECK(!add(&x, &l));
    T_EQ(x.evicted, 2);
    check(&x);
    ckv_inbox_revert(&x);
    check(&x);
    T_CHECK(ckv_inbox_find(&x, &gone) != CKV_HMAP_NONE);
    T_EQ(x.n_waiting, 6);
    ckv_inbox_fini(&x);
}

static void a_lane_has_its_own_limit(void)
{
    ckv_inbox x = ckv_inbox_init(ckv_alloc_libc, 1);
    ckv_letter l = letter(0, 0, 0, 0, 100, false);
    T_CHECK(add(&x, &l));
    x.lane_limit = 3 * x.bytes;
    for (uint64_t n = 1; n < 10; n++) {
        l = letter(n, 0, (uint32_t)n, 0, 100, n & 1);
        T_CHECK(add(&x, &l) == (n < 3));
        check(&x);
    }
    l = letter(10, 1, 3, 0, 100, false);
    T_CHECK(add(&x, &l));
    T_EQ(x.evicted, 7);
    T_EQ(x.n_waiting + x.n_later, 4);
    l = letter(
        11, 0, 0, 0, 60000,
        false); /* larger than the limit, and first in its lane: all others go, then it goes */
    T_CHECK(!add(&x, &l));
    check(&x);
    ckv_inbox_fini(&x);
}

/* A newcomer that pushes others out, and then everything comes back. */
static void a_failed_apply_leaves_no_trace(void)
{
    for (uint64_t seed = 1; seed < 30; seed++) {
        t_seed(seed);
        ckv_inbox x = ckv_inbox_init(ckv_alloc_libc, t_rand());
        x.limit = 60000;
        x.lane_limit = 20000;
        uint64_t n = 0;
        for (; n < 300; n++) {
            const ckv_letter l = letter(n, t_below(6), (uint32_t)t_below(50), t_below(9),
                                        (uint32_t)t_below(900), false);
            add(&x, &l);
            if (t_one_in(3)) ckv_inbox_settle(&x);
        }
        ckv_inbox_settle(&x);
        const size_t bytes = x.bytes, n_waiting = x.n_waiting;
        uint64_t here = 0;
        for (size_t i = 0; i < x.letters.len; i++)
            here += x.letters.ptr[i].state == 1
                        ? x.letters.ptr[i].id.b[1] * 3u + x.letters.ptr[i].seq
                        : 0;
        for (; n < 500; n++) {
            const ckv_letter l = letter(n, t_below(6), (uint32_t)t_below(50), t_below(9),
                                        (uint32_t)t_below(900), false);
            add(&x, &l);
            T_CHECK(x.bytes <= x.limit);
            check(&x);
        }
        ckv_inbox_revert(&x);
        check(&x);
        uint64_t again = 0;
        for (size_t i = 0; i < x.letters.len; i++)
            again += x.letters.ptr[i].state == 1
                         ? x.letters.ptr[i].id.b[1] * 3u + x.letters.ptr[i].seq
                         : 0;
        T_CHECK(bytes == x.bytes && n_waiting == x.n_waiting && here == again);
        ckv_inbox_fini(&x);
    }
}

/* A million changes that nobody will ever complete: of one lane, of a thousand, each of its own; missing the same, or each its own. */
static void flood(uint64_t n_lanes, uint64_t n_missing, bool in_one_apply)
{
    t_faulty f;
    ckv_inbox x = ckv_inbox_init(t_watch(&f), 0x123456789abcdef);
    const clock_t start = clock();
    for (uint64_t n = 0; n < 1000000; n++) {
        const ckv_letter l =
            letter(n, n % n_lanes, (uint32_t)(n / n_lanes), n % n_missing, 40, false);
        add(&x, &l);
        if (!in_one_apply) ckv_inbox_settle(&x);
    }
    ckv_inbox_settle(&x);
    check(&x);
    T_CHECK(x.bytes <= x.limit);
    T_CHECK(f.peak_bytes <= CKV_INBOX_BYTES);
    T_CHECK((double)(clock() - start) / CLOCKS_PER_SEC <
            30); /* 0.5 s each; the old way took hours */
    ckv_inbox_fini(&x);
    T_EQ(f.live_bytes, 0);
}

static void a_million_dangling_changes_stay_fast_and_small(void)
{
    flood(1, 1000000, true);
    flood(1000, 1, true);
    flood(1000000, 1000000, false);
    flood(17, 3, false);
}

static ckv_status scenario(ckv_alloc a)
{
    ckv_inbox x = ckv_inbox_init(a, 5);
    ckv_status s = CKV_OK;
    x.limit = 20000;
    for (uint64_t n = 0; n < 60 && s == CKV_OK; n++) {
        const ckv_letter l =
            letter(n, n % 3, (uint32_t)n, n % 7, (uint32_t)(n * 13 % 90), n % 5 == 0);
        bool kept;
        s = ckv_inbox_add(&x, &l, (const uint8_t *)"head", body, &kept);
        check(&x);
        if (n == 30) ckv_inbox_settle(&x);
    }
    ckv_inbox_revert(&x);
    check(&x);
    ckv_inbox_fini(&x);
    return s;
}

static void survives_every_failure(void) { T_CHECK(t_oom(scenario) >= 40); }

int main(void)
{
    T_RUN(runs_in_lockstep_with_a_list);
    T_RUN(the_greatest_seq_of_the_largest_lane_goes);
    T_RUN(a_lane_has_its_own_limit);
    T_RUN(a_failed_apply_leaves_no_trace);
    T_RUN(a_million_dangling_changes_stay_fast_and_small);
    T_RUN(survives_every_failure);
    return t_done();
}
