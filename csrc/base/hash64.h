/* hash64.h -- XXH3, behind its only door: checksums against accidents. Not for keys that a stranger chooses. */
#ifndef CKV_BASE_HASH64_H
#define CKV_BASE_HASH64_H

#include <stddef.h>
#include <stdint.h>

uint64_t ckv_hash64(const void *data, size_t n_bytes);

#endif
