/* ckv_grow, and the vectors that rest on it. */
#include "t.h"

#include "ds/vec.h"

static void grow_doubles_and_never_shrinks(void)
{
    t_faulty f;
    const ckv_alloc a = t_watch(&f);
    void *p = NULL;
    size_t cap = 0;
    T_EQ(ckv_grow(a, &p, &cap, 1, 4), CKV_OK);
    T_EQ(cap, 8);
    T_EQ(ckv_grow(a, &p, &cap, 3, 4), CKV_OK);
    T_EQ(cap, 8);
    T_EQ(ckv_grow(a, &p, &cap, 9, 4), CKV_OK);
    T_EQ(cap, 16);
    T_EQ(ckv_grow(a, &p, &cap, 100, 4), CKV_OK);
    T_EQ(cap, 128);
    T_EQ(f.live_bytes, 512);
    ckv_release(a, p, cap * 4);
    T_EQ(f.live_bytes, 0);
}

static void grow_refuses_what_overflows(void)
{
    t_faulty f;
    const ckv_alloc a = t_watch(&f);
    void *p = NULL;
    size_t cap = 0;
    T_EQ(ckv_grow(a, &p, &cap, SIZE_MAX, 1), CKV_ELIMIT);
    T_EQ(ckv_grow(a, &p, &cap, SIZE_MAX / 2, 16), CKV_ELIMIT);
    T_EQ(ckv_grow(a, &p, &cap, SIZE_MAX / 32, 64), CKV_ELIMIT);
    T_CHECK(p == NULL && cap == 0);
    T_EQ(f.n_requests, 0);
}

static void failed_growth_keeps_the_content(void)
{
    t_faulty f;
    ckv_u32s v = {.a = t_watch(&f)};
    for (uint32_t i = 0; i < 8; i++) T_EQ(ckv_u32s_push(&v, i), CKV_OK);
    f.until_fail = 0;
    T_EQ(ckv_u32s_push(&v, 8), CKV_ENOMEM);
    T_EQ(v.len, 8);
    for (uint32_t i = 0; i < 8; i++) T_EQ(v.ptr[i], i);
    T_EQ(ckv_u32s_push(&v, 8), CKV_OK);
    T_EQ(*ckv_u32s_last(&v), 8);
    T_EQ(ckv_u32s_reserve(&v, SIZE_MAX), CKV_ELIMIT);
    T_EQ(ckv_u32s_reserve(&v, SIZE_MAX / 3), CKV_ELIMIT);
    T_EQ(v.len, 9);
    ckv_u32s_fini(&v);
    T_CHECK(ckv_u32s_last(&v) == NULL);
    ckv_u32s_fini(&v); /* harmless */
    T_EQ(f.live_bytes, 0);
}

static void releasing_null_is_harmless(void)
{
    ckv_release(ckv_alloc_libc, NULL, 0);
    void *p = ckv_resize(ckv_alloc_libc, NULL, 0, 10);
    T_CHECK(p);
    p = ckv_resize(ckv_alloc_libc, p, 10, 1000);
    T_CHECK(p);
    ckv_release(ckv_alloc_libc, p, 1000);
}

int main(void)
{
    T_RUN(grow_doubles_and_never_shrinks);
    T_RUN(grow_refuses_what_overflows);
    T_RUN(failed_growth_keeps_the_content);
    T_RUN(releasing_null_is_harmless);
    return t_done();
}
