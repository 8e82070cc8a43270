/* Whatever it is given, the reader of proofs answers; magic and checksum are mended, so that mutations get past them. */
#include <stdlib.h>

#include "base/check.h"
#include "base/hash64.h"
#include "dag/proof.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    ckv_id32 author;
    ckv_err err = {CKV_OK, 0, NULL};
    ckv_status s = ckv_proof_read(data, n_bytes, &author, &err);
    CKV_ASSERT(s == CKV_OK || ((s == CKV_ECORRUPT || s == CKV_ESIGN) && err.code == s && err.text));
    if (n_bytes < 12) return 0;
    ckv_buf mended = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_bytes(&mended, "CKP\1", 4);
    ckv_buf_bytes(&mended, data + 4, n_bytes - 12);
    ckv_buf_u64le(&mended, ckv_hash64(mended.ptr, mended.len));
    s = ckv_proof_read(mended.ptr, mended.len, &author, &err);
    CKV_ASSERT(s == CKV_OK || s == CKV_ECORRUPT || s == CKV_ESIGN);
    ckv_buf_fini(&mended);
    return 0;
}
