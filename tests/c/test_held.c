/* Messages that wait: in order, each once, and no more of them than an incarnation's share. */
#include "t.h"

#include "kv/exchange.h"
#include "kv/held.h"

static void check(const ckv_held *h)
{
    const char *why;
    T_VALID(ckv_held_check(h, &why), why);
}

static ckv_status keep(ckv_held *h, uint64_t hlc, uint32_t share, const char *text, uint32_t *out)
{
    const ckv_held_message m = {
        .bytes = (uint8_t *)(uintptr_t)text, .n_bytes = strlen(text), .hlc = hlc, .share = share};
    const ckv_status s = ckv_held_keep(h, &m, out);
    check(h);
    return s;
}

static void they_stand_in_order_each_once(void)
{
    t_faulty f;
    ckv_held h = ckv_held_init(t_watch(&f));
    uint32_t gone;
    bool there[20][3] = {{false}};
    size_t n = 0;
    t_seed(1);
    for (int i = 0; i < 300; i++) {
        const uint64_t hlc = 1 + t_below(20), which = t_below(3);
        static const char *const texts[] = {"a", "b", "bb"};
        T_EQ(keep(&h, hlc, (uint32_t)t_below(4), texts[which], &gone), CKV_OK);
        T_EQ(gone, UINT32_MAX);
        n += !there[hlc - 1][which];
        there[hlc - 1][which] = true;
        T_EQ(h.all.len, n);
    }
    T_EQ(n, 60);
    while (h.all.len) {
        const size_t i = t_below(h.all.len), n_left = h.all.len - 1;
        h.all.ptr[i].needs = UINT32_MAX;               /* is done */
        if (i > 0) h.all.ptr[i - 1].hlc += t_below(5); /* was done in part */
        ckv_held_tidy(&h);
        T_EQ(h.all.len, n_left);
        check(&h);
    }
    T_EQ(h.n_bytes, 0);
    ckv_held_fini(&h);
    T_EQ(f.live_bytes, 0);
}

static void equal_hlcs_stay_in_the_order_of_arrival(void)
{
    ckv_held h = ckv_held_init(ckv_alloc_libc);
    uint32_t gone;
    T_EQ(keep(&h, 5, 0, "second", &gone), CKV_OK);
    T_EQ(keep(&h, 4, 0, "first", &gone), CKV_OK);
    T_EQ(keep(&h, 5, 0, "third", &gone), CKV_OK);
    static const char *const want[] = {"first", "second", "third"};
    for (size_t i = 0; i < 3; i++)
        T_BYTES(h.all.ptr[i].bytes, h.all.ptr[i].n_bytes, want[i], strlen(want[i]));
    ckv_held_fini(&h);
}

static void beyond_a_share_the_greatest_hlc_goes(void)
{
    t_faulty f;
    ckv_held h = ckv_held_init(t_watch(&f));
    uint32_t gone;
    T_EQ(keep(&h, 1000000, 8, "somebody else's", &gone), CKV_OK);
    for (uint64_t i = 0; i < CKV_MAX_HELD; i++) {
        T_EQ(keep(&h, 10 + 2 * i, 7, "x", &gone), CKV_OK);
        T_EQ(gone, UINT32_MAX);
    }
    T_EQ(keep(&h, 1, 7, "early", &gone), CKV_OK);
    T_EQ(gone, 7);
    T_EQ(h.all.len, CKV_MAX_HELD + 1);
    T_EQ(h.all.ptr[0].hlc, 1);
    T_EQ(h.all.ptr[CKV_MAX_HELD - 1].hlc, 10 + 2 * (CKV_MAX_HELD - 2)); /* the last one went */
    T_EQ(keep(&h, 999999, 7, "late", &gone), CKV_OK);                   /* goes itself */
    T_EQ(gone, 7);
    T_EQ(h.all.len, CKV_MAX_HELD + 1);
    T_EQ(h.all.ptr[CKV_MAX_HELD].share, 8);
    ckv_held_fini(&h);
    T_EQ(f.live_bytes, 0);
}

static ckv_status keep_much(ckv_held *h, uint64_t hlc, uint32_t share, size_t n, uint32_t *out)
{
    static uint8_t much[CKV_MAX_HELD_BYTES + 1];
    const ckv_held_message m = {.bytes = much, .n_bytes = n, .hlc = hlc, .share = share};
    const ckv_status s = ckv_held_keep(h, &m, out);
    check(h);
    return s;
}

static void bytes_have_a_limit_too(void)
{
    t_faulty f;
    ckv_held h = ckv_held_init(t_watch(&f));
    uint32_t gone;
    for (uint64_t i = 0; i < 4; i++) {
        T_EQ(keep_much(&h, 1 + i, 1, CKV_MAX_HELD_BYTES / 4, &gone), CKV_OK);
        T_EQ(gone, UINT32_MAX);
    }
    T_EQ(keep(&h, 2, 1, "one more byte", &gone), CKV_OK);
    T_EQ(gone, 1);
    T_EQ(h.all.len, 4);
    T_EQ(h.all.ptr[3].hlc, 3);
    T_EQ(keep_much(&h, 1, 2, CKV_MAX_HELD_BYTES + 1, &gone), CKV_OK);
    T_EQ(gone, 2);
    T_EQ(h.all.len, 4);
    ckv_held_fini(&h);
    T_EQ(f.live_bytes, 0);
}

/* Somebody who invents incarnations gets a share for each, but not more than there is for all. */
static void all_together_have_a_limit(void)
{
    ckv_held h = ckv_held_init(ckv_alloc_libc);
    uint32_t gone = UINT32_MAX, n = 0;
    while (gone == UINT32_MAX && n < 100) {
        T_EQ(keep_much(&h, 100 - n, n, CKV_MAX_HELD_BYTES - 1, &gone), CKV_OK);
        n++;
    }
    T_EQ(gone, 0); /* the greatest hlc, whoever's turn it was */
    T_CHECK(h.n_bytes <= CKV_MAX_HELD_ALL_BYTES);
    T_EQ(h.all.len, n - 1);
    ckv_held_fini(&h);
    h = ckv_held_init(ckv_alloc_libc);
    for (uint32_t i = 0; i < CKV_MAX_HELD_ALL; i++) {
        T_EQ(keep(&h, i + 1, i, "a", &gone), CKV_OK);
        T_EQ(gone, UINT32_MAX);
    }
    T_EQ(keep(&h, 1, CKV_MAX_HELD_ALL, "one too many", &gone), CKV_OK);
    T_EQ(gone, CKV_MAX_HELD_ALL - 1);
    T_EQ(h.all.len, CKV_MAX_HELD_ALL);
    ckv_held_fini(&h);
}

static void a_check_sees_what_is_broken(void)
{
    ckv_held h = ckv_held_init(ckv_alloc_libc);
    uint32_t gone;
    const char *why;
    T_EQ(keep(&h, 1, 0, "a", &gone), CKV_OK);
    T_EQ(keep(&h, 2, 0, "b", &gone), CKV_OK);
    h.all.ptr[0].hlc = 3;
    T_CHECK(!ckv_held_check(&h, &why) && strcmp(why, "held: hlcs ascend") == 0);
    h.all.ptr[0].hlc = 1;
    h.n_bytes++;
    T_CHECK(!ckv_held_check(&h, &why) && strcmp(why, "held: n_bytes is wrong") == 0);
    h.n_bytes--;
    ckv_held_fini(&h);
}

static ckv_status some(ckv_alloc a)
{
    ckv_held h = ckv_held_init(a);
    uint32_t gone;
    ckv_status s = CKV_OK;
    for (uint64_t i = 0; i < 20 && s == CKV_OK; i++) {
        const size_t n = h.all.len;
        s = keep(&h, 1 + i * 7 % 20, 0, "x", &gone);
        T_EQ(h.all.len, n + (s == CKV_OK));
    }
    ckv_held_fini(&h);
    return s;
}

static void memory_may_fail_anywhere(void) { T_CHECK(t_oom(some) >= 20); }

int main(void)
{
    T_RUN(they_stand_in_order_each_once);
    T_RUN(equal_hlcs_stay_in_the_order_of_arrival);
    T_RUN(beyond_a_share_the_greatest_hlc_goes);
    T_RUN(bytes_have_a_limit_too);
    T_RUN(all_together_have_a_limit);
    T_RUN(a_check_sees_what_is_broken);
    T_RUN(memory_may_fail_anywhere);
    return t_done();
}
