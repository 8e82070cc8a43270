#include "log/value.h"

#include "base/utf8.h"

#define NAN_BITS 0x7ff8000000000000u

void ckv_value_write(ckv_buf *out, const ckv_value *v)
{
    ckv_buf_varint(out, v->tag);
    switch (v->tag) {
    case CKV_TAG_NONE:
    case CKV_TAG_FALSE:
    case CKV_TAG_TRUE:
    case CKV_TAG_TEXT: ckv_buf_varint(out, 0); return;
    case CKV_TAG_INT:
        ckv_buf_varint(out, ckv_varint_size(ckv_zigzag(v->i64)));
        ckv_buf_zigzag(out, v->i64);
        return;
    case CKV_TAG_FLOAT: {
        uint64_t bits = NAN_BITS;
        if (v->f64 == v->f64) memcpy(&bits, &v->f64, 8);
        ckv_buf_varint(out, 8);
        ckv_buf_u64le(out, bits);
        return;
    }
    case CKV_TAG_STR:
    case CKV_TAG_BYTES: ckv_buf_blob(out, v->ptr, v->n_bytes); return;
    }
}

void ckv_value_read(ckv_rd *r, ckv_value *out)
{
    const uint64_t tag = ckv_rd_varint(r);
    size_t n, n_chars;
    uint32_t max;
    const uint8_t *p = ckv_rd_blob(r, &n);
    if (r->status != CKV_OK) return;
    ckv_rd in = ckv_rd_init(p, n);
    *out = (ckv_value){.tag = (ckv_tag)tag};
    switch (tag) {
    case CKV_TAG_NONE:
    case CKV_TAG_FALSE:
    case CKV_TAG_TRUE:
    case CKV_TAG_TEXT: break;
    case CKV_TAG_INT: out->i64 = ckv_rd_zigzag(&in); break;
    case CKV_TAG_FLOAT: {
        const uint64_t bits = ckv_rd_u64le(&in);
        memcpy(&out->f64, &bits, 8);
        if (out->f64 != out->f64 && bits != NAN_BITS) ckv_rd_fail(r, CKV_ECORRUPT);
        break;
    }
    case CKV_TAG_STR:
        if (!ckv_utf8_valid(p, n, &n_chars, &max)) ckv_rd_fail(r, CKV_ECORRUPT);
        /* fall through */
    case CKV_TAG_BYTES:
        out->ptr = p;
        out->n_bytes = n;
        return;
    default: ckv_rd_fail(r, CKV_ELATER); return;
    }
    if (!ckv_rd_done(&in)) ckv_rd_fail(r, CKV_ECORRUPT);
}
