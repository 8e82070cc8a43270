#include "types/keys.h"

#include "crypto/digest.h"

ckv_keys ckv_keys_init(ckv_alloc a, const uint8_t secret[16])
{
    uint32_t s;
    memcpy(&s, secret, 4);
    ckv_keys x = {.bytes = ckv_buf_init(a), .keys = {.a = a}, .by_bytes = ckv_hmap_init(a, s)};
    memcpy(x.secret, secret, 16);
    return x;
}

void ckv_keys_fini(ckv_keys *x)
{
    ckv_buf_fini(&x->bytes);
    ckv_key_vec_fini(&x->keys);
    ckv_hmap_fini(&x->by_bytes);
}

static uint32_t find(const ckv_keys *x, uint32_t fingerprint, const void *bytes, size_t n_bytes)
{
    size_t at = SIZE_MAX;
    for (uint32_t i; (i = ckv_hmap_probe(&x->by_bytes, fingerprint, &at)) != CKV_HMAP_NONE;) {
        if (ckv_keys_len(x, i) == n_bytes && memcmp(ckv_keys_bytes(x, i), bytes, n_bytes) == 0)
            return i;
    }
    return CKV_HMAP_NONE;
}

uint32_t ckv_keys_find(const ckv_keys *x, const void *bytes, size_t n_bytes)
{
    return find(x, (uint32_t)ckv_siphash(x->secret, bytes, n_bytes), bytes, n_bytes);
}

ckv_status ckv_keys_make(ckv_keys *x, const void *bytes, size_t n_bytes, uint32_t *key)
{
    const uint32_t fingerprint = (uint32_t)ckv_siphash(x->secret, bytes, n_bytes);
    *key = find(x, fingerprint, bytes, n_bytes);
    if (*key != CKV_HMAP_NONE) return CKV_OK;
    if (x->bytes.len + n_bytes >= UINT32_MAX) return CKV_ELIMIT;
    CKV_TRY(ckv_hmap_reserve(&x->by_bytes, 1));
    CKV_TRY(ckv_key_vec_reserve(&x->keys, 1));
    if (!ckv_buf_reserve(&x->bytes, n_bytes + 1)) { /* + 1: never NULL */
        const ckv_status s = x->bytes.status;
        x->bytes.status = CKV_OK;
        return s;
    }
    *key = (uint32_t)x->keys.len;
    uint64_t prefix = 0;
    for (size_t i = 0; i < 8; i++)
        prefix = prefix << 8 | (i < n_bytes ? ((const uint8_t *)bytes)[i] : 0);
    ckv_key_vec_put(&x->keys,
                    (ckv_key){(uint32_t)x->bytes.len, (uint32_t)n_bytes, prefix, CKV_HMAP_NONE});
    ckv_buf_bytes(&x->bytes, bytes, n_bytes);
    ckv_hmap_add(&x->by_bytes, fingerprint, *key);
    return CKV_OK;
}

int ckv_keys_order(const ckv_keys *x, uint32_t a, uint32_t b)
{
    if (ckv_keys_prefix(x, a) != ckv_keys_prefix(x, b))
        return ckv_keys_prefix(x, a) < ckv_keys_prefix(x, b) ? -1 : 1;
    const size_t na = ckv_keys_len(x, a), nb = ckv_keys_len(x, b);
    const int c = memcmp(ckv_keys_bytes(x, a), ckv_keys_bytes(x, b), na < nb ? na : nb);
    return c ? c : na < nb ? -1 : na > nb;
}

size_t ckv_keys_size(const ckv_keys *x)
{
    return x->bytes.cap + x->keys.cap * sizeof(ckv_key) + x->by_bytes.cap * sizeof(ckv_hslot);
}
