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

/* ---- the twin of evictions: letters of lanes and peers, no two of one seq */

typedef struct waiting {
    uint64_t n, lane;
    uint32_t seq, peer, body_bytes;
} waiting;

typedef struct slow_pool {
    waiting l[MOST];
    size_t n;
    uint64_t evicted;
} slow_pool;

static slow_pool pool, pool_before;

enum { ALL, BY_LANE, BY_PEER };

static bool counts_for(const waiting *w, int what, uint64_t name)
{
    return what == ALL || (what == BY_LANE ? w->lane == name : w->peer == name);
}

static size_t pool_bytes(size_t each, int what, uint64_t name)
{
    size_t sum = 0;
    for (size_t i = 0; i < pool.n; i++)
        sum += counts_for(&pool.l[i], what, name) ? each + pool.l[i].body_bytes : 0;
    return sum;
}

/* The greatest seq of a lane or peer goes. Returns whether it was n. */
static bool pool_evict(int what, uint64_t name, uint64_t n)
{
    size_t worst = SIZE_MAX;
    for (size_t i = 0; i < pool.n; i++) {
        if (counts_for(&pool.l[i], what, name) &&
            (worst == SIZE_MAX || pool.l[i].seq > pool.l[worst].seq))
            worst = i;
    }
    const bool is_it = pool.l[worst].n == n;
    pool.l[worst] = pool.l[--pool.n];
    pool.evicted++;
    return is_it;
}

/* The lane or peer that uses most; of two that use the same, the one with the greater name. */
static uint64_t pool_most(size_t each, int what, uint64_t n_names)
{
    uint64_t most = 0;
    for (uint64_t name = 1; name < n_names; name++) {
        const size_t here = pool_bytes(each, what, name), there = pool_bytes(each, what, most);
        const ckv_id32 a = id_of(2, name), b = id_of(2, most); /* peers stand by number */
        const bool comes_first = what == BY_LANE ? ckv_id32_cmp(&a, &b) > 0 : name > most;
        if (here > there || (here == there && comes_first)) most = name;
    }
    return most;
}

enum { N_LANES = 7, N_PEERS = 4 };

static bool pool_add(const ckv_inbox *x, size_t each, waiting w)
{
    bool kept = true;
    pool.l[pool.n++] = w;
    while (kept && w.peer && pool_bytes(each, BY_PEER, w.peer) > x->books[CKV_BOOK_PEERS].limit)
        kept = !pool_evict(BY_PEER, w.peer, w.n);
    while (kept && pool_bytes(each, BY_LANE, w.lane) > x->books[CKV_BOOK_LANES].limit)
        kept = !pool_evict(BY_LANE, w.lane, w.n);
    while (pool_bytes(each, ALL, 0) > x->limit) {
        const uint64_t peer = pool_most(each, BY_PEER, N_PEERS);
        if (peer ? pool_evict(BY_PEER, peer, w.n)
                 : pool_evict(BY_LANE, pool_most(each, BY_LANE, N_LANES), w.n))
            kept = false;
    }
    return kept;
}

static void same_as_pool(const ckv_inbox *x, size_t each)
{
    check(x);
    T_EQ(x->bytes, pool_bytes(each, ALL, 0));
    T_EQ(x->n_waiting + x->n_later, pool.n);
    for (size_t i = 0; i < pool.n; i++) {
        const ckv_id32 id = id_of(1, pool.l[i].n);
        const uint32_t at = ckv_inbox_find(x, &id);
        T_CHECK(at != CKV_HMAP_NONE && x->letters.ptr[at].peer == pool.l[i].peer);
    }
    size_t peer = 0, lane = 0;
    for (uint64_t name = 0; name < N_LANES; name++) {
        const size_t p = name && name < N_PEERS ? pool_bytes(each, BY_PEER, name) : 0,
                     l = pool_bytes(each, BY_LANE, name);
        peer = p > peer ? p : peer;
        lane = l > lane ? l : lane;
    }
    T_EQ(ckv_inbox_most(x, CKV_BOOK_PEERS), peer);
    T_EQ(ckv_inbox_most(x, CKV_BOOK_LANES), lane);
}

static void evict_in_lockstep(int n_steps)
{
    ckv_inbox x = ckv_inbox_init(ckv_alloc_libc, t_rand());
    ckv_letter l = letter(1 << 20, 0, 0, 0, 0, false);
    T_CHECK(add(&x, &l));
    const size_t each = x.bytes;
    ckv_inbox_revert(&x);
    x.limit = 80 * each;
    x.books[CKV_BOOK_LANES].limit = 25 * each;
    x.books[CKV_BOOK_PEERS].limit = 22 * each;
    pool.n = 0;
    pool_before = pool;
    uint32_t n = 0;
    for (int step = 0; step < n_steps; step++) {
        const uint64_t what = t_below(100);
        if (what < 85) {
            const waiting w = {.n = n,
                               .lane = t_below(N_LANES),
                               .seq = (uint32_t)t_below(1 << 12) << 16 | n,
                               .peer = (uint32_t)t_below(1 + t_below(N_PEERS)),
                               .body_bytes = (uint32_t)t_below(5000)};
            l = letter(w.n, w.lane, w.seq, t_below(9), w.body_bytes, t_one_in(9));
            l.peer = w.peer;
            n++;
            T_EQ(add(&x, &l), pool_add(&x, each, w));
        } else if (what < 90 && pool.n) {
            const size_t i = t_below(pool.n);
            const ckv_id32 id = id_of(1, pool.l[i].n);
            ckv_inbox_release(&x, ckv_inbox_find(&x, &id));
            pool.l[i] = pool.l[--pool.n];
        } else if (what < 96) {
            ckv_inbox_settle(&x);
            if (t_one_in(8)) { /* a session ends */
                const uint32_t peer = 1 + (uint32_t)t_below(N_PEERS - 1);
                ckv_inbox_forget_peer(&x, peer);
                for (size_t i = 0; i < pool.n; i++)
                    pool.l[i].peer = pool.l[i].peer == peer ? 0 : pool.l[i].peer;
            }
            pool_before = pool;
        } else {
            ckv_inbox_revert(&x);
            pool = pool_before;
        }
        same_as_pool(&x, each);
    }
    T_CHECK(x.evicted > 100);
    ckv_inbox_fini(&x);
}

static void evicts_in_lockstep_with_a_list(void)
{
    for (uint64_t seed = 1; seed < 9; seed++) {
        t_seed(seed);
        evict_in_lockstep(1500);
    }
}

/* What one peer sends costs nobody else, whatever lanes it speaks for; letters of `apply` have no such limit. */
static void a_peer_has_its_own_limit(void)
{
    ckv_inbox x = ckv_inbox_init(ckv_alloc_libc, 1);
    uint64_t n = 0;
    ckv_letter l = letter(n++, 0, 7, 0, 100, false);
    l.peer = 1;
    T_CHECK(add(&x, &l));
    const size_t each = x.bytes;
    const ckv_id32 honest = l.id;
    for (; n < 40000; n++) {
        l = letter(n, n % 999, (uint32_t)n, n, 100, n & 1);
        l.peer = 2;
        T_CHECK(add(&x, &l) == (n <= CKV_INBOX_PEER_BYTES / each));
    }
    T_CHECK(x.bytes <= CKV_INBOX_PEER_BYTES + each);
    T_EQ(ckv_inbox_most(&x, CKV_BOOK_PEERS), CKV_INBOX_PEER_BYTES / each * each);
    T_CHECK(ckv_inbox_find(&x, &honest) != CKV_HMAP_NONE);
    ckv_inbox_settle(&x);
    check(&x);
    ckv_inbox_forget_peer(&x, 2);
    ckv_inbox_forget_peer(&x, 3); /* brought nothing */
    check(&x);
    T_EQ(ckv_inbox_most(&x, CKV_BOOK_PEERS), each);
    for (uint64_t stop = n + 10000; n < stop; n++) {
        l = letter(n, n % 999, (uint32_t)n, n, 100, false);
        T_CHECK(add(&x, &l));
    }
    T_CHECK(x.bytes > 2 * (size_t)CKV_INBOX_PEER_BYTES);
    check(&x);
    ckv_inbox_fini(&x);
}

/* Nine peers fill a document with small lanes. Of these the one that uses most pays, not the one honest lane that uses more than any of theirs. */
static void many_lanes_of_one_peer_push_no_honest_lane_out(void)
{
    ckv_inbox x = ckv_inbox_init(ckv_alloc_libc, 1);
    uint64_t n = 0, n_honest = 0;
    for (; n < 3000; n++) {
        const ckv_letter l = letter(n, 0, (uint32_t)n, n, 200, false);
        T_CHECK(add(&x, &l));
    }
    const size_t honest = x.bytes;
    for (; n < 120000; n++) {
        ckv_letter l = letter(n, n, 0, n, 200, false);
        l.peer = 1 + (uint32_t)(n % 9);
        add(&x, &l);
        if (n % 64 == 0) ckv_inbox_settle(&x);
    }
    check(&x);
    for (uint32_t peer = 1; peer < 10; peer++)
        T_CHECK(ckv_inbox_of_peer(&x, peer) > 0 &&
                ckv_inbox_of_peer(&x, peer) <= CKV_INBOX_PEER_BYTES);
    T_EQ(ckv_inbox_of_peer(&x, 10), 0);
    T_CHECK(honest < CKV_INBOX_PEER_BYTES && x.bytes > CKV_INBOX_BYTES - 1000);
    for (size_t i = 0; i < x.letters.len; i++)
        n_honest += x.letters.ptr[i].state == 1 && x.letters.ptr[i].peer == 0;
    T_EQ(n_honest, 3000);
    ckv_inbox_fini(&x);
}

static void a_lane_has_its_own_limit(void)
{
    ckv_inbox x = ckv_inbox_init(ckv_alloc_libc, 1);
    ckv_letter l = letter(0, 0, 0, 0, 100, false);
    T_CHECK(add(&x, &l));
    x.books[CKV_BOOK_LANES].limit = 3 * x.bytes;
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
        x.books[CKV_BOOK_LANES].limit = 20000;
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
    T_CHECK(f.peak_bytes <=
            CKV_INBOX_BYTES / 8 * 9); /* while an array grows, there are two of it */
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
        ckv_letter l = letter(n, n % 3, (uint32_t)n, n % 7, (uint32_t)(n * 13 % 90), n % 5 == 0);
        bool kept;
        l.peer = (uint32_t)(n % 4);
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
    T_RUN(evicts_in_lockstep_with_a_list);
    T_RUN(a_peer_has_its_own_limit);
    T_RUN(many_lanes_of_one_peer_push_no_honest_lane_out);
    T_RUN(a_lane_has_its_own_limit);
    T_RUN(a_failed_apply_leaves_no_trace);
    T_RUN(a_million_dangling_changes_stay_fast_and_small);
    T_RUN(survives_every_failure);
    return t_done();
}
