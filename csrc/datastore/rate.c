#include "datastore/rate.h"

#define MANY 4096u /* buckets: then those that are full again are swept */

ckv_rate ckv_rate_init(ckv_alloc a, uint32_t secret)
{
    return (ckv_rate){.buckets = {.a = a}, .by_author = ckv_hmap_init(a, secret)};
}

void ckv_rate_fini(ckv_rate *r)
{
    ckv_buckets_fini(&r->buckets);
    ckv_hmap_fini(&r->by_author);
}

static uint32_t print_of(const ckv_id32 *author)
{
    uint32_t print;
    memcpy(&print, author->b + 4, sizeof print);
    return print;
}

void ckv_rate_limit(ckv_rate *r, uint64_t per_second, uint64_t burst)
{
    r->per_second = per_second;
    r->burst = burst;
}

/* What is used of a bucket by now. */
static uint64_t used_now(const ckv_rate *r, const ckv_bucket *b)
{
    const int64_t ms = r->now > b->since ? r->now - b->since : 0;
    if (ms >= 1000000000) return 0;
    __extension__ const unsigned __int128 flown =
        (unsigned __int128)r->per_second * (uint64_t)ms / 1000;
    return flown >= b->used ? 0 : b->used - (uint64_t)flown;
}

static ckv_bucket *find(ckv_rate *r, const ckv_id32 *author)
{
    size_t at = SIZE_MAX;
    for (uint32_t i; (i = ckv_hmap_probe(&r->by_author, print_of(author), &at)) != CKV_HMAP_NONE;)
        if (ckv_id32_eq(&r->buckets.ptr[i].author, author)) return &r->buckets.ptr[i];
    return NULL;
}

/* Buckets that are full need no memory. */
static void sweep(ckv_rate *r)
{
    for (size_t i = 0; i < r->buckets.len;) {
        ckv_bucket *b = &r->buckets.ptr[i];
        const uint32_t last = (uint32_t)r->buckets.len - 1;
        if (used_now(r, b) > 0) {
            i++;
            continue;
        }
        ckv_hmap_remove(&r->by_author, print_of(&b->author), (uint32_t)i);
        if (i != last) {
            ckv_hmap_remove(&r->by_author, print_of(&r->buckets.ptr[last].author), last);
            *b = r->buckets.ptr[last];
            ckv_hmap_add(&r->by_author, print_of(&b->author), (uint32_t)i);
        }
        r->buckets.len--;
    }
}

bool ckv_rate_take(ckv_rate *r, const ckv_id32 *author, uint64_t n_bytes)
{
    if (r->per_second == 0) return true;
    ckv_bucket *b = find(r, author);
    if (!b) {
        if (r->buckets.len >= MANY) sweep(r);
        if (ckv_buckets_reserve(&r->buckets, 1) != CKV_OK ||
            ckv_hmap_reserve(&r->by_author, 1) != CKV_OK)
            return true;
        ckv_hmap_add(&r->by_author, print_of(author), (uint32_t)r->buckets.len);
        ckv_buckets_put(&r->buckets, (ckv_bucket){.author = *author, .since = r->now});
        b = &r->buckets.ptr[r->buckets.len - 1];
    }
    const uint64_t used = used_now(r, b);
    if (used > 0 && (n_bytes > r->burst || used > r->burst - n_bytes)) return false;
    b->used = used + n_bytes;
    b->since = r->now;
    return true;
}
