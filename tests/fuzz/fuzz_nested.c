/* One nested value and what stands behind it. The slow twin says the same; a value is as long as a reader may let it be, and not a byte longer. */
#include "base/check.h"
#include "nested_twin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    ckv_rd r = ckv_rd_init(data, n_bytes), twin = r;
    const bool good = ckv_nested_valid(&r, ckv_alloc_libc, 1 << 20);
    const ckv_status s = twin_value(&twin, 0);
    CKV_ASSERT(r.status == s && good == (s == CKV_OK));
    if (!good) return 0;
    CKV_ASSERT(r.p == twin.p && r.end == data + n_bytes);
    const size_t n = (size_t)(r.p - data);
    r = ckv_rd_init(data, n);
    CKV_ASSERT(ckv_nested_valid(&r, ckv_alloc_libc, n) && ckv_rd_done(&r));
    r = ckv_rd_init(data, n_bytes);
    CKV_ASSERT(!ckv_nested_valid(&r, ckv_alloc_libc, n - 1) && r.status == CKV_ELIMIT);
    return 0;
}
