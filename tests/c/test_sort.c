/* Sorting against the definition: in order, stable, nothing lost. */
#include "t.h"

#include "ds/sort.h"

static bool tens_before(void *ctx, uint32_t a, uint32_t b)
{
    ++*(uint64_t *)ctx;
    return a / 10 < b / 10;
}

static void fill(ckv_u32s *v, size_t n, uint32_t below)
{
    v->len = 0;
    for (size_t i = 0; i < n; i++) T_EQ(ckv_u32s_push(v, (uint32_t)t_below(below)), CKV_OK);
}

static void it_sorts_and_is_stable(void)
{
    ckv_u32s v = {.a = ckv_alloc_libc}, was = {.a = ckv_alloc_libc};
    for (uint64_t seed = 1; seed < 200; seed++) {
        t_seed(seed);
        uint64_t n_compared = 0;
        const size_t n = t_below(150);
        fill(&v, n, 1 + (uint32_t)t_below(300));
        was.len = 0;
        for (size_t i = 0; i < n; i++) T_EQ(ckv_u32s_push(&was, v.ptr[i]), CKV_OK);
        T_EQ(ckv_sort(&v, tens_before, &n_compared), CKV_OK);
        T_EQ(v.len, n);
        T_CHECK(n_compared <= n * 8);
        size_t at = 0;
        for (uint32_t ten = 0; ten < 31; ten++) { /* a naive stable sort: one pass for each class */
            for (size_t i = 0; i < n; i++) {
                if (was.ptr[i] / 10 == ten) T_EQ(v.ptr[at++], was.ptr[i]);
            }
        }
        T_EQ(at, n);
    }
    ckv_u32s_fini(&v);
    ckv_u32s_fini(&was);
}

static ckv_status scenario(ckv_alloc a)
{
    ckv_u32s v = {.a = a};
    uint64_t n_compared = 0;
    ckv_status s = CKV_OK;
    for (uint32_t i = 0; i < 40 && s == CKV_OK; i++) s = ckv_u32s_push(&v, 400 - 10 * i);
    if (s == CKV_OK) s = ckv_sort(&v, tens_before, &n_compared);
    T_CHECK(s != CKV_OK || v.ptr[0] == 10);
    ckv_u32s_fini(&v);
    return s;
}

static void survives_every_failure(void) { T_CHECK(t_oom(scenario) >= 2); }

int main(void)
{
    T_RUN(it_sorts_and_is_stable);
    T_RUN(survives_every_failure);
    return t_done();
}
