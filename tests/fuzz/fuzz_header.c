/* A header that is read is written back as the same bytes. */
#include <stdlib.h>

#include "base/check.h"
#include "dag/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    ckv_header h;
    bool decodes;
    const char *why = NULL;
    const bool good = ckv_header_read(&h, data, n_bytes, &decodes, &why);
    CKV_ASSERT(decodes || !good);
    if (!good) {
        CKV_ASSERT(why != NULL);
        return 0;
    }
    uint8_t out[CKV_HEADER_MAX_BYTES];
    const size_t n = ckv_header_write(out, &h);
    CKV_ASSERT(n == n_bytes && memcmp(out, data, n) == 0);
    return 0;
}
