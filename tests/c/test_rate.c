/* A bucket for each author: what flows out, what does not fit, and that full ones take no memory. */
#include "t.h"

#include "datastore/rate.h"

static ckv_id32 author(uint32_t n)
{
    ckv_id32 id = {{0}};
    memcpy(id.b + 8, &n, sizeof n);
    memcpy(id.b + 4, &(uint32_t){n % 7}, 4); /* fingerprints collide */
    return id;
}

static void it_flows(void)
{
    ckv_rate r = ckv_rate_init(ckv_alloc_libc, 5);
    const ckv_id32 a = author(1), b = author(8);
    T_CHECK(ckv_rate_take(&r, &a, UINT64_MAX)); /* no limit */
    ckv_rate_limit(&r, 1000, 5000);
    r.now = 10000;
    for (int i = 0; i < 5; i++) T_CHECK(ckv_rate_take(&r, &a, 1000));
    T_CHECK(!ckv_rate_take(&r, &a, 1));
    T_CHECK(ckv_rate_take(&r, &b, 1)); /* each its own */
    r.now += 500;
    T_CHECK(!ckv_rate_take(&r, &a, 501) && ckv_rate_take(&r, &a, 500));
    r.now -= 5000; /* a clock that goes back gives nothing, and takes nothing */
    T_CHECK(!ckv_rate_take(&r, &a, 1));
    r.now += 1000000;
    T_CHECK(ckv_rate_take(&r, &a, 1 << 30)); /* into a full bucket anything fits once */
    T_CHECK(!ckv_rate_take(&r, &a, 1));
    ckv_rate_fini(&r);
}

static void full_buckets_are_forgotten(void)
{
    ckv_rate r = ckv_rate_init(ckv_alloc_libc, 5);
    ckv_rate_limit(&r, 1000, 5000);
    for (uint32_t n = 0; n < 100000; n++) {
        const ckv_id32 a = author(n);
        r.now = n * 100;
        T_CHECK(ckv_rate_take(&r, &a, 1000));
        T_CHECK(r.buckets.len <= 4096);
    }
    const ckv_id32 last = author(99999);
    T_CHECK(ckv_rate_take(&r, &last, 4000) && !ckv_rate_take(&r, &last, 1));
    ckv_rate_fini(&r);
}

int main(void)
{
    T_RUN(it_flows);
    T_RUN(full_buckets_are_forgotten);
    return t_done();
}
