/* The index of span starts in lockstep with an array. */
#include "t.h"

#include "ds/lvindex.h"

static uint32_t slow_find(const uint32_t *place, uint32_t item, uint32_t *start)
{
    for (uint32_t i = item + 1; i-- > 0;) {
        if (place[i] != CKV_HMAP_NONE) {
            *start = i;
            return place[i];
        }
    }
    return CKV_HMAP_NONE;
}

static void lockstep(uint32_t n, int n_steps, uint32_t near)
{
    uint32_t *place = malloc(n * sizeof *place);
    T_CHECK(place);
    memset(place, 0xff, n * sizeof *place);
    ckv_lvindex x = ckv_lvindex_init(ckv_alloc_libc, (uint32_t)t_rand());
    for (int step = 0; step < n_steps; step++) {
        const uint32_t item = (uint32_t)(t_one_in(2) ? t_below(n) : t_below(near));
        const uint64_t what = t_below(4);
        if (what < 2) {
            T_EQ(ckv_lvindex_reserve(&x, t_one_in(2) ? n : item + 1, 1), CKV_OK);
            place[item] = (uint32_t)t_below(1000);
            ckv_lvindex_set(&x, item, place[item]);
        } else if (what == 2 && place[item] != CKV_HMAP_NONE) {
            ckv_lvindex_remove(&x, item);
            place[item] = CKV_HMAP_NONE;
        }
        const uint32_t asked = (uint32_t)t_below(n);
        uint32_t start = 0, slow_start = 0;
        const uint32_t found = ckv_lvindex_find(&x, asked, &start),
                       slow = slow_find(place, asked, &slow_start);
        T_EQ(found, slow);
        if (found != CKV_HMAP_NONE) T_EQ(start, slow_start);
        const char *why = NULL;
        if (step % 64 == 0) T_VALID(ckv_lvindex_check(&x, &why), why);
    }
    const char *why = NULL;
    T_VALID(ckv_lvindex_check(&x, &why), why);
    ckv_lvindex_fini(&x);
    free(place);
}

static void runs_in_lockstep_with_an_array(void)
{
    for (uint64_t seed = 1; seed < 6; seed++) {
        t_seed(seed);
        lockstep(64, 2000, 4);
        lockstep(65, 2000, 65);
        lockstep(5000, 5000, 300);
        lockstep(300000, 300, 100);
    }
}

static void an_empty_index_answers(void)
{
    ckv_lvindex x = ckv_lvindex_init(ckv_alloc_libc, 1);
    uint32_t start;
    T_EQ(ckv_lvindex_find(&x, 0, &start), CKV_HMAP_NONE);
    T_EQ(ckv_lvindex_find(&x, UINT32_MAX, &start), CKV_HMAP_NONE);
    ckv_lvindex_fini(&x);
}

static ckv_status fill(ckv_alloc a)
{
    ckv_lvindex x = ckv_lvindex_init(a, 1);
    ckv_status s = CKV_OK;
    const char *why = NULL;
    for (uint32_t i = 0; i < 100 && s == CKV_OK; i++) {
        s = ckv_lvindex_reserve(&x, i * 100 + 1, 1);
        if (s == CKV_OK) ckv_lvindex_set(&x, i * 100, i);
        if (i) {
            uint32_t start = 0;
            T_EQ(ckv_lvindex_find(&x, i * 100 - 1, &start), i - 1);
            T_EQ(start, i * 100 - 100);
        }
    }
    if (x.words[0]) T_VALID(ckv_lvindex_check(&x, &why), why);
    ckv_lvindex_fini(&x);
    return s;
}

static void survives_every_failure(void) { T_CHECK(t_oom(fill) >= 10); }

int main(void)
{
    T_RUN(runs_in_lockstep_with_an_array);
    T_RUN(an_empty_index_answers);
    T_RUN(survives_every_failure);
    return t_done();
}
