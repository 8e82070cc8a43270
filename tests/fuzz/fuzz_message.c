/* The frame of a session's message, its checksum made right. What is read is written back as the same bytes, but for parts of a later version. */
#include "base/check.h"
#include "base/hash64.h"
#include "sync/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    ckv_msg m;
    ckv_err err;
    if (n_bytes < 4) return 0;
    ckv_buf mended = ckv_buf_init(ckv_alloc_libc), again = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_bytes(&mended, data, n_bytes - 4);
    ckv_buf_u32le(&mended, (uint32_t)ckv_hash64(mended.ptr, mended.len));
    const ckv_status s = ckv_msg_read(&m, mended.ptr, mended.len, &err);
    if (s == CKV_OK) {
        bool any = false;
        ckv_msg_begin(&again, m.more, m.number, m.heard, &m.hello);
        const size_t n_head = again.len;
        for (uint32_t tag = 0; tag < CKV_N_PARTS; tag++) {
            if (!m.has[tag]) continue;
            any = true;
            ckv_buf_varint(&again, tag);
            ckv_buf_blob(&again, m.parts[tag].p, ckv_rd_left(&m.parts[tag]));
        }
        ckv_msg_end(&again, 0);
        CKV_ASSERT(m.number && (!any || !m.empty) && again.len <= mended.len &&
                   memcmp(again.ptr, mended.ptr, any ? again.len - 4 : n_head) == 0);
        CKV_ASSERT(again.len == mended.len || !m.empty); /* what is missing is of a later version */
    } else {
        CKV_ASSERT(s == CKV_ECORRUPT && err.code == s && err.text);
    }
    ckv_buf_fini(&mended);
    ckv_buf_fini(&again);
    return 0;
}
