/* place.h -- where something is kept by the name of a key: a hash of 128 bits under the datastore's secret, so that nobody outside can make two names meet. */
#ifndef CKV_DATASTORE_PLACE_H
#define CKV_DATASTORE_PLACE_H

#include "crypto/digest.h"
#include "kv/key.h"

#define CKV_WAYS 4u /* places that a name may be kept in */

typedef struct ckv_print {
    uint64_t h[2]; /* both 0: of nothing */
} ckv_print;

static inline bool ckv_print_is(ckv_print a, ckv_print b)
{
    return a.h[0] == b.h[0] && a.h[1] == b.h[1];
}
static inline bool ckv_print_is_none(ckv_print a) { return !a.h[0] && !a.h[1]; }

static inline ckv_print ckv_print_of(const uint8_t secret[16], ckv_store_key key)
{
    ckv_print p;
    uint8_t own[16];
    memcpy(own, secret, sizeof own);
    for (int i = 0; i < 2; i++) {
        own[15] ^= (uint8_t)(1 + 2 * i + key.is_bytes);
        p.h[i] = ckv_siphash(own, key.n_bytes ? key.ptr : own, key.n_bytes);
    }
    p.h[1] |= ckv_print_is_none(p);
    return p;
}

#endif
