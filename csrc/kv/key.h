/* key.h -- keys and their order: by bytes, a str before bytes where these are equal. docs/format.md, "Store". */
#ifndef CKV_KV_KEY_H
#define CKV_KV_KEY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define CKV_MAX_KEY 4096u

typedef struct ckv_store_key {
    const uint8_t *ptr; /* borrowed; may be NULL if n_bytes is 0 */
    uint32_t n_bytes;
    bool is_bytes; /* else str, as UTF-8 */
} ckv_store_key;

/* < 0, 0, > 0 */
static inline int ckv_store_key_compare(ckv_store_key a, ckv_store_key b)
{
    const uint32_t n = a.n_bytes < b.n_bytes ? a.n_bytes : b.n_bytes;
    const int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
    if (order) return order;
    if (a.n_bytes != b.n_bytes) return a.n_bytes < b.n_bytes ? -1 : 1;
    return (int)a.is_bytes - (int)b.is_bytes;
}

static inline bool ckv_store_key_has_prefix(ckv_store_key key, const uint8_t *prefix,
                                            uint32_t n_bytes)
{
    return key.n_bytes >= n_bytes && (n_bytes == 0 || memcmp(key.ptr, prefix, n_bytes) == 0);
}

#endif
