#include "kv/held.h"

#include <string.h>

#include "kv/exchange.h"

ckv_held ckv_held_init(ckv_alloc a) { return (ckv_held){.all = {.a = a}, .shares = {.a = a}}; }

void ckv_held_fini(ckv_held *h)
{
    for (size_t i = 0; i < h->all.len; i++)
        ckv_release(h->all.a, h->all.ptr[i].bytes, h->all.ptr[i].n_bytes);
    ckv_held_vec_fini(&h->all);
    ckv_shares_fini(&h->shares);
    h->n_bytes = 0;
}

/* The first that has a hlc >= this one. */
static size_t place_of(const ckv_held *h, uint64_t hlc)
{
    size_t lo = 0, hi = h->all.len;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (h->all.ptr[mid].hlc < hlc)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const ckv_held_message *ckv_held_find(const ckv_held *h, const ckv_held_message *m)
{
    for (size_t i = place_of(h, m->hlc); i < h->all.len && h->all.ptr[i].hlc == m->hlc; i++) {
        const ckv_held_message *x = &h->all.ptr[i];
        if (x->n_bytes == m->n_bytes && memcmp(x->bytes, m->bytes, m->n_bytes) == 0) return x;
    }
    return NULL;
}

/* The last message of a share that is over its limits, or of all if they are; SIZE_MAX: none is. */
static size_t one_too_many(const ckv_held *h, uint32_t share)
{
    const ckv_share its = h->shares.ptr[share];
    size_t i = h->all.len - 1;
    if (its.n > CKV_MAX_HELD || its.n_bytes > CKV_MAX_HELD_BYTES) {
        while (h->all.ptr[i].share != share) i--;
        return i;
    }
    const bool is_full = h->n_bytes > CKV_MAX_HELD_ALL_BYTES || h->all.len > CKV_MAX_HELD_ALL;
    return is_full ? i : SIZE_MAX;
}

static void release(ckv_held *h, const ckv_held_message *m)
{
    h->n_bytes -= m->n_bytes;
    h->shares.ptr[m->share].n--;
    h->shares.ptr[m->share].n_bytes -= m->n_bytes;
    ckv_release(h->all.a, m->bytes, m->n_bytes);
}

void ckv_held_tidy(ckv_held *h)
{
    size_t n = 0;
    for (size_t i = 0; i < h->all.len; i++) {
        const ckv_held_message m = h->all.ptr[i];
        if (m.needs == UINT32_MAX) {
            release(h, &m);
            continue;
        }
        size_t to = n++;
        for (; to > 0 && h->all.ptr[to - 1].hlc > m.hlc; to--) h->all.ptr[to] = h->all.ptr[to - 1];
        h->all.ptr[to] = m;
    }
    h->all.len = n;
}

ckv_status ckv_held_keep(ckv_held *h, const ckv_held_message *m, uint32_t *out)
{
    *out = UINT32_MAX;
    if (ckv_held_find(h, m)) return CKV_OK;
    CKV_TRY(ckv_held_vec_reserve(&h->all, 1));
    if (m->share >= h->shares.len)
        CKV_TRY(ckv_shares_reserve(&h->shares, m->share - h->shares.len + 1));
    ckv_held_message copy = *m;
    copy.bytes = ckv_resize(h->all.a, NULL, 0, m->n_bytes);
    if (!copy.bytes) return CKV_ENOMEM;
    memcpy(copy.bytes, m->bytes, m->n_bytes);
    ckv_held_message *slot = h->all.ptr + place_of(h, m->hlc + 1); /* behind its equals */
    memmove(slot + 1, slot, (size_t)(h->all.ptr + h->all.len - slot) * sizeof *slot);
    *slot = copy;
    h->all.len++;
    h->n_bytes += copy.n_bytes;
    while (h->shares.len <= m->share) ckv_shares_put(&h->shares, (ckv_share){0, 0});
    h->shares.ptr[m->share].n++;
    h->shares.ptr[m->share].n_bytes += copy.n_bytes;
    for (size_t i; (i = one_too_many(h, m->share)) != SIZE_MAX;) {
        ckv_held_message *gone = &h->all.ptr[i];
        *out = gone->share;
        release(h, gone);
        memmove(gone, gone + 1, (--h->all.len - i) * sizeof *gone);
    }
    return CKV_OK;
}

bool ckv_held_check(const ckv_held *h, const char **why)
{
    *why = NULL;
    uint64_t n_bytes = 0;
    for (size_t i = 0; i < h->all.len; i++) {
        n_bytes += h->all.ptr[i].n_bytes;
        if (h->all.ptr[i].share >= h->shares.len) *why = "held: a message of no share";
        if (i > 0 && h->all.ptr[i - 1].hlc > h->all.ptr[i].hlc) *why = "held: hlcs ascend";
    }
    size_t n_shared = 0;
    uint64_t bytes_shared = 0;
    for (size_t i = 0; i < h->shares.len; i++) {
        n_shared += h->shares.ptr[i].n;
        bytes_shared += h->shares.ptr[i].n_bytes;
    }
    if (n_bytes != h->n_bytes || bytes_shared != n_bytes) *why = "held: n_bytes is wrong";
    if (n_shared != h->all.len) *why = "held: shares are wrong";
    return !*why;
}
