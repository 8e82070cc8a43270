/* Sets of u32 in lockstep with an array of bools. */
#include "t.h"

#include "ds/bits.h"

#define N 70000u

static bool a_twin[N], b_twin[N];

static bool walk(uint32_t value, void *ctx)
{
    uint64_t *state = ctx; /* next expected, then how many are left */
    while (state[0] < N && !a_twin[state[0]]) state[0]++;
    T_EQ(state[0], value);
    state[0]++;
    return --state[1] != 0;
}

static void fill(ckv_bits *bits, bool *twin)
{
    memset(twin, 0, N);
    for (int i = 0; i < 30; i++) {
        const uint32_t start = (uint32_t)t_below(N),
                       len = (uint32_t)t_below(t_one_in(2) ? 20 : 20000);
        const uint32_t end = start + len < N ? start + len : N;
        ckv_bits_add(bits, start, end);
        for (uint32_t k = start; k < end; k++) twin[k] = true;
    }
    ckv_bits_add(bits, 5, 5); /* nothing */
    ckv_bits_add(bits, 9, 3);
}

static void runs_in_lockstep_with_bools(void)
{
    for (uint64_t seed = 1; seed < 4; seed++) {
        t_seed(seed);
        ckv_bits *a = ckv_bits_new(), *b = ckv_bits_new();
        T_CHECK(a && b && ckv_bits_count(a) == 0);
        fill(a, a_twin);
        fill(b, b_twin);
        ckv_bits_minus(a, b);
        uint64_t n = 0;
        for (uint32_t i = 0; i < N; i++) {
            a_twin[i] = a_twin[i] && !b_twin[i];
            n += a_twin[i];
            T_CHECK(ckv_bits_has(a, i) == a_twin[i] && ckv_bits_has(b, i) == b_twin[i]);
        }
        T_EQ(ckv_bits_count(a), n);
        uint64_t all[2] = {0, UINT64_MAX}, some[2] = {0, 10};
        ckv_bits_each(a, walk, all);
        T_EQ(UINT64_MAX - all[1], n);
        ckv_bits_each(a, walk, some);
        T_EQ(some[1], 0);
        ckv_bits_free(a);
        ckv_bits_free(b);
    }
}

static void the_last_value_is_a_value(void)
{
    ckv_bits *a = ckv_bits_new();
    T_CHECK(a);
    ckv_bits_add(a, UINT32_MAX - 2, UINT32_MAX);
    T_EQ(ckv_bits_count(a), 2);
    T_CHECK(ckv_bits_has(a, UINT32_MAX - 1) && !ckv_bits_has(a, UINT32_MAX));
    ckv_bits_free(a);
    ckv_bits_free(NULL);
    T_CHECK(ckv_bits_version()[0]);
}

int main(void)
{
    T_RUN(runs_in_lockstep_with_bools);
    T_RUN(the_last_value_is_a_value);
    return t_done();
}
