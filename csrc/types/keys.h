/* keys.h -- the keys of maps, members of sets and names of marks, each kept once and known by a number.
 *
 *     cost: O(bytes) expected; hashed with a secret, since others choose them
 */
#ifndef CKV_TYPES_KEYS_H
#define CKV_TYPES_KEYS_H

#include "base/buf.h"
#include "ds/hmap.h"
#include "ds/vec.h"

typedef struct ckv_key {
    uint32_t off, n_bytes;
    uint64_t prefix; /* the first eight bytes, greatest first: most comparisons end there */
    uint32_t reg;    /* the first register that has it, CKV_HMAP_NONE: most keys have no other */
} ckv_key;
CKV_VEC(ckv_key_vec, ckv_key);

typedef struct ckv_keys {
    ckv_buf bytes;
    ckv_key_vec keys;
    ckv_hmap by_bytes;
    uint8_t secret[16];
} ckv_keys;

ckv_keys ckv_keys_init(ckv_alloc a, const uint8_t secret[16]);
void ckv_keys_fini(ckv_keys *x);
uint32_t ckv_keys_find(const ckv_keys *x, const void *bytes, size_t n_bytes); /* CKV_HMAP_NONE */
CKV_NODISCARD ckv_status ckv_keys_make(ckv_keys *x, const void *bytes, size_t n_bytes,
                                       uint32_t *key);
static inline const uint8_t *ckv_keys_bytes(const ckv_keys *x, uint32_t key)
{
    return x->bytes.ptr + x->keys.ptr[key].off;
}
static inline size_t ckv_keys_len(const ckv_keys *x, uint32_t key)
{
    return x->keys.ptr[key].n_bytes;
}
static inline uint64_t ckv_keys_prefix(const ckv_keys *x, uint32_t key)
{
    return x->keys.ptr[key].prefix;
}
int ckv_keys_order(const ckv_keys *x, uint32_t a, uint32_t b); /* by their bytes */
size_t ckv_keys_size(const ckv_keys *x);

#endif
