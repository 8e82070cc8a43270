#include "datastore/edits.h"

#include "base/check.h"
#include "crypto/digest.h"
#include "ds/sort.h"

ckv_edits ckv_edits_init(ckv_alloc a, const uint8_t secret[16])
{
    ckv_edits e = {.a = a, .edits = {.a = a}, .bytes = ckv_buf_init(a), .sorted = {.a = a}};
    uint32_t s;
    memcpy(e.secret, secret, 16);
    memcpy(&s, secret, sizeof s);
    e.latest = ckv_hmap_init(a, s);
    return e;
}

void ckv_edits_fini(ckv_edits *e)
{
    ckv_edit_vec_fini(&e->edits);
    ckv_buf_fini(&e->bytes);
    ckv_hmap_fini(&e->latest);
    ckv_u32s_fini(&e->sorted);
}

void ckv_edits_clear(ckv_edits *e)
{
    const uint64_t version = e->version;
    const ckv_edits fresh = ckv_edits_init(e->a, e->secret);
    ckv_edits_fini(e);
    *e = fresh;
    e->version = version + 1;
}

static uint32_t print_of(const ckv_edits *e, ckv_store_key key, bool is_count)
{
    uint8_t k[16];
    memcpy(k, e->secret, 16);
    k[0] ^= (uint8_t)(key.is_bytes << 1 | is_count);
    return (uint32_t)ckv_siphash(k, key.n_bytes ? key.ptr : k, key.n_bytes);
}

static uint32_t find(const ckv_edits *e, ckv_store_key key, bool is_count, uint32_t print)
{
    size_t at = SIZE_MAX;
    for (uint32_t i; (i = ckv_hmap_probe(&e->latest, print, &at)) != CKV_HMAP_NONE;) {
        const ckv_edit *x = &e->edits.ptr[i];
        if ((x->kind == CKV_KV_COUNT) == is_count && !x->replaced &&
            ckv_store_key_compare(ckv_edit_key(e, x), key) == 0)
            return i;
    }
    return CKV_HMAP_NONE;
}

const ckv_edit *ckv_edits_find(const ckv_edits *e, ckv_store_key key, bool is_count)
{
    if (e->edits.len == 0) return NULL;
    const uint32_t i = find(e, key, is_count, print_of(e, key, is_count));
    return i == CKV_HMAP_NONE ? NULL : &e->edits.ptr[i];
}

/* The key and the value may not lie in our own bytes. */
static ckv_status add(ckv_edits *e, ckv_edit x, ckv_store_key key, const uint8_t *value)
{
    const bool is_count = x.kind == CKV_KV_COUNT, is_part = x.kind == CKV_KV_PART;
    const uint32_t print = print_of(e, key, is_count),
                   last = is_part ? CKV_HMAP_NONE : find(e, key, is_count, print);
    if (is_count && last != CKV_HMAP_NONE) {
        e->edits.ptr[last].amount += x.amount;
        e->version++;
        return CKV_OK;
    }
    CKV_TRY(ckv_edit_vec_reserve(&e->edits, 1));
    CKV_TRY(ckv_hmap_reserve(&e->latest, 1));
    if (!ckv_buf_reserve(&e->bytes, key.n_bytes + x.value_bytes + 1)) {
        e->bytes.status = CKV_OK;
        return CKV_ENOMEM;
    }
    x.key_at = e->bytes.len;
    x.key_bytes = key.n_bytes;
    x.is_bytes = key.is_bytes;
    ckv_buf_bytes(&e->bytes, key.ptr, key.n_bytes);
    x.value_at = e->bytes.len;
    ckv_buf_bytes(&e->bytes, value, x.value_bytes);
    x.before = last;
    if (last != CKV_HMAP_NONE) {
        e->edits.ptr[last].replaced = true;
        ckv_hmap_remove(&e->latest, print, last);
    }
    if (!is_part) ckv_hmap_add(&e->latest, print, (uint32_t)e->edits.len);
    ckv_edit_vec_put(&e->edits, x);
    e->is_sorted = false;
    e->version++;
    return CKV_OK;
}

ckv_status ckv_edits_put(ckv_edits *e, uint32_t dag, ckv_store_key key, const uint8_t *value,
                         size_t n_bytes)
{
    return add(e, (ckv_edit){.kind = CKV_KV_PUT, .dag = dag, .value_bytes = n_bytes}, key, value);
}

ckv_status ckv_edits_delete(ckv_edits *e, uint32_t dag, ckv_store_key key)
{
    return add(e, (ckv_edit){.kind = CKV_KV_DELETE, .dag = dag}, key, NULL);
}

ckv_status ckv_edits_count(ckv_edits *e, uint32_t dag, ckv_store_key name, ckv_i128 amount)
{
    return add(e, (ckv_edit){.kind = CKV_KV_COUNT, .dag = dag, .amount = amount}, name, NULL);
}

ckv_status ckv_edits_part(ckv_edits *e, uint32_t dag, ckv_store_key name, const ckv_id32 *change,
                          uint32_t index, ckv_i128 total)
{
    return add(e,
               (ckv_edit){.kind = CKV_KV_PART,
                          .dag = dag,
                          .value_bytes = sizeof *change,
                          .amount = total,
                          .part_index = index},
               name, change->b);
}

/* ---- in order */

static bool less(void *ctx, uint32_t a, uint32_t b)
{
    const ckv_edits *e = ctx;
    const ckv_edit *x = &e->edits.ptr[a], *y = &e->edits.ptr[b];
    const bool cx = x->kind == CKV_KV_COUNT, cy = y->kind == CKV_KV_COUNT;
    if (cx != cy) return cy;
    return ckv_store_key_compare(ckv_edit_key(e, x), ckv_edit_key(e, y)) < 0;
}

ckv_status ckv_edits_sort(ckv_edits *e)
{
    if (e->is_sorted) return CKV_OK;
    e->sorted.len = 0;
    CKV_TRY(ckv_u32s_reserve(&e->sorted, 2 * e->edits.len + 1)); /* sorting needs as much again */
    for (uint32_t i = 0; i < e->edits.len; i++)
        if (!e->edits.ptr[i].replaced && e->edits.ptr[i].kind != CKV_KV_PART)
            ckv_u32s_put(&e->sorted, i);
    CKV_MUST(ckv_sort(&e->sorted, less, e) == CKV_OK);
    e->is_sorted = true;
    return CKV_OK;
}

/* The place in `sorted` of the first edit that is not below (key, is_count); behind it, too, if `behind`. */
static size_t place(const ckv_edits *e, const ckv_store_key *key, bool behind, bool is_count)
{
    size_t lo = 0, hi = e->sorted.len;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const ckv_edit *x = &e->edits.ptr[e->sorted.ptr[mid]];
        const bool c = x->kind == CKV_KV_COUNT;
        int order = c == is_count ? 0 : c ? 1 : -1;
        if (order == 0)
            order = key ? ckv_store_key_compare(ckv_edit_key(e, x), *key) : behind ? -1 : 1;
        if (order < 0 || (order == 0 && behind))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static uint32_t at(const ckv_edits *e, size_t i, bool is_count)
{
    if (i >= e->sorted.len) return CKV_HMAP_NONE;
    const uint32_t x = e->sorted.ptr[i];
    return (e->edits.ptr[x].kind == CKV_KV_COUNT) == is_count ? x : CKV_HMAP_NONE;
}

uint32_t ckv_edits_from(const ckv_edits *e, const ckv_store_key *key, bool beyond, bool is_count)
{
    return at(e, place(e, key, key && beyond, is_count), is_count);
}

uint32_t ckv_edits_before(const ckv_edits *e, const ckv_store_key *key, bool beyond, bool is_count)
{
    const size_t i = place(e, key, !key || !beyond, is_count);
    return i == 0 ? CKV_HMAP_NONE : at(e, i - 1, is_count);
}
