/* Values in a row. What is read is written back as the same bytes, and a Set knows two scalars as one member exactly if they are equal, and has
 * its numbers in order.
 */
#include <float.h>

#include "base/buf.h"
#include "base/check.h"
#include "log/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static bool is_number(const ckv_value *v) { return v->tag != CKV_TAG_NONE && v->tag < CKV_TAG_STR; }

/* Exact where a long double has the 63 bits of an int64. */
static long double number(const ckv_value *v)
{
    return v->tag == CKV_TAG_FLOAT ? (long double)v->f64
           : v->tag == CKV_TAG_INT ? (long double)v->i64
                                   : (long double)(v->tag == CKV_TAG_TRUE);
}

static int sign(long double x) { return x < 0 ? -1 : x > 0; }

static int order_of_bytes(const ckv_buf *a, const ckv_buf *b)
{
    const int c = memcmp(a->ptr, b->ptr, a->len < b->len ? a->len : b->len);
    return c ? sign(c) : sign((long double)a->len - (long double)b->len);
}

static void compare(const ckv_value *a, const ckv_value *b)
{
    ckv_buf x = ckv_buf_init(ckv_alloc_libc), y = ckv_buf_init(ckv_alloc_libc);
    ckv_value_member(&x, a);
    ckv_value_member(&y, b);
    const int order = order_of_bytes(&x, &y);
    if (is_number(a) != is_number(b)) {
        CKV_ASSERT(order != 0);
    } else if (is_number(a)) {
        const long double p = number(a), q = number(b);
        if (p != p || q != q)
            CKV_ASSERT((order == 0) == (p != p && q != q)); /* one NaN */
        else if (LDBL_MANT_DIG >= 64)
            CKV_ASSERT(order == (p > q) - (p < q));
    } else if (a->tag == CKV_TAG_NONE || a->tag != b->tag) {
        CKV_ASSERT((order == 0) == (a->tag == b->tag));
    } else {
        const bool equal = a->n_bytes == b->n_bytes &&
                           (a->n_bytes == 0 || memcmp(a->ptr, b->ptr, a->n_bytes) == 0);
        CKV_ASSERT((order == 0) == equal);
    }
    ckv_buf_fini(&x);
    ckv_buf_fini(&y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    ckv_rd r = ckv_rd_init(data, n_bytes);
    ckv_value last = {.tag = CKV_TAG_NONE};
    while (ckv_rd_left(&r)) {
        const uint8_t *start = r.p;
        ckv_value v;
        ckv_buf again = ckv_buf_init(ckv_alloc_libc);
        ckv_value_read(&r, &v);
        if (r.status != CKV_OK) {
            CKV_ASSERT(r.status == CKV_ECORRUPT || r.status == CKV_ELATER);
            break;
        }
        ckv_value_write(&again, &v);
        CKV_ASSERT(again.len == (size_t)(r.p - start) && memcmp(again.ptr, start, again.len) == 0);
        ckv_buf_fini(&again);
        if (!ckv_tag_is_scalar(v.tag)) continue;
        compare(&v, &v);
        compare(&last, &v);
        compare(&v, &last);
        last = v;
    }
    return 0;
}
