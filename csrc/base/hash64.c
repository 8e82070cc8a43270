#include "base/hash64.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t ckv_hash64(const void *data, size_t n_bytes) { return XXH3_64bits(data, n_bytes); }
