#include "sync/msg.h"

#include "base/hash64.h"

#define KIND 0x50u /* 'P', with flags in the low bits */

void ckv_msg_begin(ckv_buf *out, bool more, uint64_t number, uint64_t heard, const ckv_hello *hello)
{
    ckv_buf_u8(out, (uint8_t)(KIND | (more ? CKV_MSG_MORE : 0u)));
    ckv_buf_varint(out, number);
    ckv_buf_varint(out, heard);
    if (number != 1) return;
    ckv_buf_bytes(out, &hello->root, sizeof hello->root);
    ckv_buf_bytes(out, hello->later, sizeof hello->later);
    ckv_buf_bytes(out, hello->salt, sizeof hello->salt);
}

static uint32_t check_of(const uint8_t *data, size_t n_bytes)
{
    return (uint32_t)ckv_hash64(data, n_bytes);
}

void ckv_msg_end(ckv_buf *out, size_t start)
{
    if (out->status == CKV_OK) ckv_buf_u32le(out, check_of(out->ptr + start, out->len - start));
}

static ckv_status fail(ckv_err *err, size_t offset, const char *text)
{
    *err = (ckv_err){CKV_ECORRUPT, offset, text};
    return CKV_ECORRUPT;
}

ckv_status ckv_msg_read(ckv_msg *m, const uint8_t *data, size_t n_bytes, ckv_err *err)
{
    *m = (ckv_msg){.empty = true};
    if (n_bytes < 7 || (data[0] & ~CKV_MSG_MORE) != KIND)
        return fail(err, 0, "not a message of a session of this version");
    ckv_rd tail = ckv_rd_init(data + n_bytes - 4, 4), r = ckv_rd_init(data + 1, n_bytes - 5);
    if (ckv_rd_u32le(&tail) != check_of(data, n_bytes - 4))
        return fail(err, n_bytes - 4, "message: checksum does not match");
    m->more = (data[0] & CKV_MSG_MORE) != 0;
    m->number = ckv_rd_varint(&r);
    m->heard = ckv_rd_varint(&r);
    if (m->number == 1) {
        const uint8_t *hello = ckv_rd_bytes(&r, 56);
        if (hello) {
            memcpy(&m->hello.root, hello, 32);
            memcpy(m->hello.later, hello + 32, 16);
            memcpy(m->hello.salt, hello + 48, 8);
        }
    }
    uint64_t last = 0;
    while (r.status == CKV_OK && r.p < r.end) {
        const uint64_t tag = ckv_rd_varint(&r);
        size_t n;
        const uint8_t *part = ckv_rd_blob(&r, &n);
        if (tag <= last) ckv_rd_fail(&r, CKV_ECORRUPT);
        if (r.status != CKV_OK) break;
        last = tag;
        m->empty = false;
        if (tag >= CKV_N_PARTS) continue; /* of a later version */
        m->parts[tag] = ckv_rd_init(part, n);
        m->has[tag] = true;
    }
    return ckv_rd_done(&r) && m->number ? CKV_OK
                                        : fail(err, (size_t)(r.p - data), "message: parts");
}
