#include "log/value.h"

#include "base/check.h"
#include "base/utf8.h"

#define NAN_BITS 0x7ff8000000000000u

void ckv_value_write(ckv_buf *out, const ckv_value *v)
{
    ckv_buf_varint(out, v->tag);
    switch (v->tag) {
    case CKV_TAG_NONE:
    case CKV_TAG_FALSE:
    case CKV_TAG_TRUE:
    case CKV_TAG_MAP:
    case CKV_TAG_LIST:
    case CKV_TAG_SET:
    case CKV_TAG_COUNTER:
    case CKV_TAG_TEXT:
    case CKV_TAG_DEFAULT_MAP:
    case CKV_TAG_DEFAULT_LIST:
    case CKV_TAG_DEFAULT_SET:
    case CKV_TAG_DEFAULT_COUNTER:
    case CKV_TAG_DEFAULT_TEXT: ckv_buf_varint(out, 0); return;
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
    case CKV_TAG_MAP:
    case CKV_TAG_LIST:
    case CKV_TAG_SET:
    case CKV_TAG_COUNTER:
    case CKV_TAG_TEXT:
    case CKV_TAG_DEFAULT_MAP:
    case CKV_TAG_DEFAULT_LIST:
    case CKV_TAG_DEFAULT_SET:
    case CKV_TAG_DEFAULT_COUNTER:
    case CKV_TAG_DEFAULT_TEXT: break;
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

/* ---- members of sets */

enum { BELOW, AMONG, ABOVE, NOT_A_NUMBER }; /* where a number stands, seen from the int64s */

#define TWO_63 9223372036854775808.0

static void put_be(ckv_buf *out, uint64_t v)
{
    uint8_t be[8];
    for (size_t i = 0; i < 8; i++) be[i] = (uint8_t)(v >> (56 - 8 * i));
    ckv_buf_bytes(out, be, sizeof be);
}

/* The bits of a float, turned so that they ascend with it. */
static void put_float(ckv_buf *out, double f)
{
    uint64_t bits;
    memcpy(&bits, &f, 8);
    put_be(out, bits >> 63 ? ~bits : bits | 1ull << 63);
}

static void put_int(ckv_buf *out, int64_t i)
{
    ckv_buf_u8(out, AMONG);
    put_be(out, (uint64_t)i ^ 1ull << 63);
}

/* The integer below it, then the float itself unless it is that integer. Exact: a float with a fraction is less than 2^53. */
static void put_number(ckv_buf *out, double f)
{
    if (f != f) {
        ckv_buf_u8(out, NOT_A_NUMBER);
    } else if (f < -TWO_63 || f >= TWO_63) {
        ckv_buf_u8(out, f < 0 ? BELOW : ABOVE);
        put_float(out, f);
    } else {
        int64_t floor = (int64_t)f;
        if ((double)floor > f) floor--;
        put_int(out, floor);
        if ((double)floor != f) put_float(out, f);
    }
}

void ckv_value_member(ckv_buf *out, const ckv_value *v)
{
    CKV_ASSERT(ckv_tag_is_scalar(v->tag));
    if (v->tag == CKV_TAG_NONE) {
        ckv_buf_u8(out, 'N');
    } else if (v->tag < CKV_TAG_STR) {
        ckv_buf_u8(out, 'n');
        if (v->tag == CKV_TAG_FLOAT)
            put_number(out, v->f64);
        else
            put_int(out, v->tag == CKV_TAG_INT ? v->i64 : v->tag == CKV_TAG_TRUE);
    } else {
        ckv_buf_u8(out, v->tag == CKV_TAG_STR ? 's' : 'y');
        ckv_buf_bytes(out, v->ptr, v->n_bytes);
    }
}
