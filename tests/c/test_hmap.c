/* The hash map in lockstep with a list of pairs. */
#include "t.h"

#include "ds/hmap.h"

#define MOST 300

typedef struct pair {
    uint32_t key, value;
} pair;

typedef struct slow_map {
    pair p[MOST];
    size_t n;
} slow_map;

static void check(const ckv_hmap *m, const slow_map *slow)
{
    const char *why = NULL;
    T_VALID(ckv_hmap_check(m, &why), why);
    T_EQ(m->n, slow->n);
}

/* The values under a key, by probing, are those of the list. */
static void check_key(const ckv_hmap *m, const slow_map *slow, uint32_t key)
{
    size_t at = SIZE_MAX, n = 0, n_slow = 0;
    uint64_t sum = 0, sum_slow = 0;
    for (uint32_t v; (v = ckv_hmap_probe(m, key, &at)) != CKV_HMAP_NONE; n++)
        sum += (uint64_t)v * v;
    for (size_t i = 0; i < slow->n; i++) {
        if (slow->p[i].key == key)
            n_slow++, sum_slow += (uint64_t)slow->p[i].value * slow->p[i].value;
    }
    T_CHECK(n == n_slow && sum == sum_slow);
    T_CHECK((ckv_hmap_get(m, key) == CKV_HMAP_NONE) == (n == 0));
}

static void lockstep(uint32_t n_keys, bool many)
{
    static slow_map slow;
    ckv_hmap m = ckv_hmap_init(ckv_alloc_libc, (uint32_t)t_rand());
    slow.n = 0;
    for (int step = 0; step < 4000; step++) {
        const uint32_t key = (uint32_t)t_below(n_keys) * 65536, value = (uint32_t)t_below(1000);
        size_t i = 0;
        while (i < slow.n && (slow.p[i].key != key || (many && slow.p[i].value != value))) i++;
        const uint64_t what = t_below(10);
        if (what < 5 && slow.n < MOST) {
            T_EQ(ckv_hmap_reserve(&m, 1), CKV_OK);
            if (many) {
                ckv_hmap_add(&m, key, value);
                slow.p[slow.n++] = (pair){key, value};
            } else {
                ckv_hmap_set(&m, key, value);
                slow.p[i] = (pair){key, value};
                if (i == slow.n) slow.n++;
            }
        } else if (what < 9) {
            const uint32_t gone = many ? value : i < slow.n ? slow.p[i].value : 7;
            ckv_hmap_remove(&m, key, gone);
            if (i < slow.n && slow.p[i].value == gone) slow.p[i] = slow.p[--slow.n];
        }
        check_key(&m, &slow, key);
        check(&m, &slow);
    }
    for (uint32_t k = 0; k < n_keys; k++) check_key(&m, &slow, k * 65536);
    ckv_hmap_fini(&m);
}

static void runs_in_lockstep_with_a_list(void)
{
    for (uint64_t seed = 1; seed < 6; seed++) {
        t_seed(seed);
        lockstep(8, false);
        lockstep(250, false);
        lockstep(4, true);
        lockstep(100, true);
    }
}

static void an_empty_map_answers(void)
{
    ckv_hmap m = ckv_hmap_init(ckv_alloc_libc, 0);
    size_t at = SIZE_MAX;
    const char *why;
    T_CHECK(ckv_hmap_get(&m, 1) == CKV_HMAP_NONE && ckv_hmap_probe(&m, 1, &at) == CKV_HMAP_NONE);
    ckv_hmap_remove(&m, 1, 1);
    T_VALID(ckv_hmap_check(&m, &why), why);
    ckv_hmap_fini(&m);
}

static void extreme_keys_are_keys(void)
{
    ckv_hmap m = ckv_hmap_init(ckv_alloc_libc, 9);
    T_EQ(ckv_hmap_reserve(&m, 2), CKV_OK);
    ckv_hmap_set(&m, UINT32_MAX, 0);
    ckv_hmap_set(&m, 0, UINT32_MAX - 1);
    T_EQ(ckv_hmap_get(&m, UINT32_MAX), 0);
    T_EQ(ckv_hmap_get(&m, 0), UINT32_MAX - 1);
    ckv_hmap_fini(&m);
}

static ckv_status fill(ckv_alloc a)
{
    ckv_hmap m = ckv_hmap_init(a, 77);
    ckv_status s = CKV_OK;
    for (uint32_t i = 0; i < 200 && s == CKV_OK; i++) {
        s = ckv_hmap_reserve(&m, 1);
        if (s == CKV_OK) ckv_hmap_set(&m, i, i);
        const uint32_t n = s == CKV_OK ? i + 1 : i;
        for (uint32_t k = 0; k < n; k++) T_EQ(ckv_hmap_get(&m, k), k);
    }
    ckv_hmap_fini(&m);
    return s;
}

static void survives_every_failure(void) { T_CHECK(t_oom(fill) >= 5); }

int main(void)
{
    T_RUN(runs_in_lockstep_with_a_list);
    T_RUN(an_empty_map_answers);
    T_RUN(extreme_keys_are_keys);
    T_RUN(survives_every_failure);
    return t_done();
}
