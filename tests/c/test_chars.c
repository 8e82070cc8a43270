/* Code points by item number, in lockstep with an array. */
#include "t.h"

#include "base/utf8.h"
#include "log/chars.h"

#define N 20000u
static uint32_t twin[N];

static uint32_t random_char(unsigned wide)
{
    if (wide == 0) return (uint32_t)t_below(128);
    if (wide == 1) return (uint32_t)t_below(256);
    return wide == 2 ? 0x4e00 + (uint32_t)t_below(1000) : 0x1f600 + (uint32_t)t_below(100);
}

static void runs_in_lockstep_with_an_array(void)
{
    static uint32_t back[N];
    for (uint64_t seed = 1; seed < 8; seed++) {
        t_seed(seed);
        ckv_chars c = ckv_chars_init(ckv_alloc_libc);
        ckv_buf utf8 = ckv_buf_init(ckv_alloc_libc), again = ckv_buf_init(ckv_alloc_libc);
        uint32_t n = 0;
        while (n < N - 3000) {
            const uint32_t m = 1 + (uint32_t)t_below(t_one_in(9) ? 3000 : 60),
                           max_wide = (uint32_t)t_below(seed < 4 ? seed : 4);
            uint32_t max = 0;
            ckv_buf_clear(&utf8);
            for (uint32_t i = 0; i < m; i++) {
                twin[n + i] = random_char((unsigned)t_below(max_wide + 1));
                if (twin[n + i] > max) max = twin[n + i];
                ckv_utf8_put(&utf8, twin[n + i]);
            }
            T_EQ(ckv_chars_reserve(&c, n, m, max), CKV_OK);
            if (t_one_in(2))
                ckv_chars_write_utf8(&c, n, m, utf8.ptr, utf8.len);
            else
                ckv_chars_write(&c, n, m, twin + n, 4);
            n += m;
            const uint32_t from = (uint32_t)t_below(n), len = (uint32_t)t_below(n - from + 1);
            ckv_chars_read(&c, from, len, back, 4);
            T_BYTES(back, 4 * (size_t)len, twin + from, 4 * (size_t)len);
            ckv_buf_clear(&utf8);
            ckv_buf_clear(&again);
            uint32_t most = 127;
            for (uint32_t i = 0; i < len; i++) {
                ckv_utf8_put(&utf8, twin[from + i]);
                if (twin[from + i] > most) most = twin[from + i];
            }
            ckv_chars_utf8(&c, from, len, &again);
            T_BYTES(again.ptr, again.len, utf8.ptr, utf8.len);
            T_EQ(ckv_chars_max(&c, from, len), most);
        }
        ckv_chars_fini(&c);
        ckv_buf_fini(&utf8);
        ckv_buf_fini(&again);
    }
}

static ckv_status scenario(ckv_alloc a)
{
    ckv_chars c = ckv_chars_init(a);
    ckv_status s = CKV_OK;
    for (uint32_t i = 0; i < 12 && s == CKV_OK; i++) {
        const uint32_t ch = i % 4 == 3 ? 0x1f600 : 'a' + i;
        s = ckv_chars_reserve(&c, i * 3000, 3000, ch);
        if (s == CKV_OK) ckv_chars_write(&c, i * 3000 + 7, 1, &ch, 4);
        if (s != CKV_OK) break;
        uint32_t back;
        ckv_chars_read(&c, i * 3000 + 7, 1, &back, 4);
        T_EQ(back, ch);
    }
    ckv_chars_fini(&c);
    return s;
}

static void survives_every_failure(void) { T_CHECK(t_oom(scenario) >= 8); }

int main(void)
{
    T_RUN(runs_in_lockstep_with_an_array);
    T_RUN(survives_every_failure);
    return t_done();
}
