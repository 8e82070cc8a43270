/* The cache of blocks in lockstep with a list by last use. */
#include "t.h"

#include "datastore/cache.h"

#define SLOTS 60
#define MOST  4000u

typedef struct twin {
    uint32_t by_use[SLOTS]; /* the newest first */
    size_t sizes[SLOTS], n, n_bytes;
} twin;

static void take_out(twin *t, size_t at)
{
    t->n_bytes -= t->sizes[t->by_use[at]];
    memmove(t->by_use + at, t->by_use + at + 1, (t->n - at - 1) * sizeof *t->by_use);
    t->n--;
}

static void put_first(twin *t, uint32_t i)
{
    memmove(t->by_use + 1, t->by_use, t->n * sizeof *t->by_use);
    t->by_use[0] = i;
    t->n++;
    t->n_bytes += t->sizes[i];
}

static size_t place_of(const twin *t, uint32_t i)
{
    size_t at = 0;
    while (at < t->n && t->by_use[at] != i) at++;
    return at;
}

static void cache_keeps_what_was_used_last(void)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        t_seed(seed);
        t_faulty faulty;
        ckv_cache c = ckv_cache_init(t_watch(&faulty), MOST);
        uint32_t slots[SLOTS] = {0};
        uint8_t bytes[MOST];
        twin t = {.n = 0};
        const char *why = NULL;
        for (int k = 0; k < 4000; k++) {
            const uint32_t i = (uint32_t)t_below(SLOTS);
            const size_t at = place_of(&t, i);
            T_EQ(slots[i] != 0, at < t.n);
            if (t_one_in(12)) {
                ckv_cache_drop(&c, &slots[i]);
                if (at < t.n) take_out(&t, at);
            } else if (slots[i]) {
                const ckv_entry_bytes found = ckv_cache_get(&c, slots[i]);
                T_EQ(found.n_bytes, t.sizes[i]);
                T_CHECK(found.ptr[0] == i && found.ptr[found.n_bytes - 1] == i);
                take_out(&t, at);
                put_first(&t, i);
            } else {
                t.sizes[i] = 1 + t_below(t_one_in(10) ? MOST : 400);
                memset(bytes, (int)i, t.sizes[i]);
                ckv_cache_put(&c, &slots[i], (ckv_entry_bytes){bytes, t.sizes[i]});
                if (t.sizes[i] > MOST / 8) { /* it would push out too much */
                    T_EQ(slots[i], 0);
                } else {
                    while (t.n_bytes + t.sizes[i] > MOST) take_out(&t, t.n - 1);
                    put_first(&t, i);
                }
            }
            T_VALID(ckv_cache_check(&c, &why), why);
            T_EQ(c.n_bytes, t.n_bytes);
        }
        ckv_cache_fini(&c);
        for (size_t i = 0; i < SLOTS; i++) T_EQ(slots[i], 0);
        T_EQ(faulty.live_bytes, 0);
    }
}

/* Without memory nothing is kept, and that is all. */
static void cache_does_without_memory(void)
{
    for (int64_t n = 0; n < 4; n++) {
        t_faulty faulty;
        const ckv_alloc a = t_watch(&faulty);
        faulty.until_fail = n;
        faulty.stay_broken = true;
        ckv_cache c = ckv_cache_init(a, MOST);
        uint32_t slots[20] = {0};
        const char *why = NULL;
        size_t n_kept = 0;
        for (size_t i = 0; i < 20; i++) {
            ckv_cache_put(&c, &slots[i], (ckv_entry_bytes){(const uint8_t *)"block", 5});
            T_VALID(ckv_cache_check(&c, &why), why);
            n_kept += slots[i] != 0;
        }
        T_CHECK(n_kept <= (size_t)n);
        ckv_cache_fini(&c);
        T_EQ(faulty.live_bytes, 0);
    }
}

static void check_names_what_is_broken(void)
{
    ckv_cache c = ckv_cache_init(ckv_alloc_libc, MOST);
    uint32_t slots[3] = {0};
    const char *why = NULL;
    for (size_t i = 0; i < 3; i++)
        ckv_cache_put(&c, &slots[i], (ckv_entry_bytes){(const uint8_t *)"block", 5});
    ckv_cache_drop(&c, &slots[2]);
    T_VALID(ckv_cache_check(&c, &why), why);
#define BREAKS(place, value, word)                                                                 \
    do {                                                                                           \
        const __typeof__(place) was_ = (place);                                                    \
        (place) = (value);                                                                         \
        T_CHECK(!ckv_cache_check(&c, &why) && strstr(why, word));                                  \
        (place) = was_;                                                                            \
        T_VALID(ckv_cache_check(&c, &why), why);                                                   \
    } while (0)
    BREAKS(slots[0], 3, "I1");
    BREAKS(c.n_bytes, 11, "I2");
    BREAKS(c.cells.ptr[0].before, 2, "I1");
    BREAKS(c.cells.ptr[1].after, 2, "I1");
    BREAKS(c.cells.ptr[2].before, 1, "I1");
    BREAKS(c.free_cell, 0, "free");
    BREAKS(c.free_cell, 1, "free");
    ckv_cache_fini(&c);
}

int main(void)
{
    T_RUN(cache_keeps_what_was_used_last);
    T_RUN(cache_does_without_memory);
    T_RUN(check_names_what_is_broken);
    return t_done();
}
