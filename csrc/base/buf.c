#include "base/buf.h"

ckv_buf ckv_buf_init(ckv_alloc a) { return (ckv_buf){.a = a}; }

void ckv_buf_fini(ckv_buf *b)
{
    ckv_release(b->a, b->ptr, b->cap);
    *b = (ckv_buf){.a = b->a};
}

void ckv_buf_clear(ckv_buf *b)
{
    b->len = 0;
    b->status = CKV_OK;
}

bool ckv_buf_reserve(ckv_buf *b, size_t n)
{
    if (b->status != CKV_OK) return false;
    if (b->cap - b->len >= n) return true;
    if (n > SIZE_MAX / 4 - b->len) {
        b->status = CKV_ELIMIT;
        return false;
    }
    const size_t want = b->len + n < 64 ? 64 : b->len + n;
    void *p = b->ptr;
    b->status = ckv_grow(b->a, &p, &b->cap, want, 1);
    b->ptr = p;
    return b->status == CKV_OK;
}

void ckv_buf_blob(ckv_buf *b, const void *p, size_t n)
{
    ckv_buf_varint(b, n);
    ckv_buf_bytes(b, p, n);
}

static void put_le(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

void ckv_buf_u64le(ckv_buf *b, uint64_t v)
{
    uint8_t le[8];
    put_le(le, v, sizeof le);
    ckv_buf_bytes(b, le, sizeof le);
}

void ckv_buf_u32le(ckv_buf *b, uint32_t v)
{
    uint8_t le[4];
    put_le(le, v, sizeof le);
    ckv_buf_bytes(b, le, sizeof le);
}

uint64_t ckv_rd_fail(ckv_rd *r, ckv_status s)
{
    if (r->status == CKV_OK) {
        r->status = s;
        r->end = r->p; /* the reader stands at its end, and p still tells where it stopped */
    }
    return 0;
}

uint64_t ckv_rd_varint_slow(ckv_rd *r)
{
    uint64_t v = 0;
    const uint8_t *p = r->p;
    for (unsigned shift = 0;; shift += 7) { /* at most to 63: there c is 0 or 1, which ends it */
        if (p == r->end) return ckv_rd_fail(r, CKV_ECORRUPT);
        const uint8_t c = *p++;
        if (shift == 63 && c > 1) return ckv_rd_fail(r, CKV_ECORRUPT); /* beyond 2^64 */
        if (shift && c == 0) return ckv_rd_fail(r, CKV_ECORRUPT);      /* not minimal */
        v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) {
            r->p = p;
            return v;
        }
    }
}

const uint8_t *ckv_rd_bytes(ckv_rd *r, size_t n)
{
    if (r->status != CKV_OK || ckv_rd_left(r) < n) {
        ckv_rd_fail(r, CKV_ECORRUPT);
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += n;
    return p;
}

uint8_t ckv_rd_u8(ckv_rd *r)
{
    const uint8_t *p = ckv_rd_bytes(r, 1);
    return p ? *p : 0;
}

uint64_t ckv_rd_u64le(ckv_rd *r)
{
    const uint8_t *p = ckv_rd_bytes(r, 8);
    return p ? get_le(p, 8) : 0;
}

uint32_t ckv_rd_u32le(ckv_rd *r)
{
    const uint8_t *p = ckv_rd_bytes(r, 4);
    return p ? (uint32_t)get_le(p, 4) : 0;
}

const uint8_t *ckv_rd_blob(ckv_rd *r, size_t *n)
{
    const uint64_t len = ckv_rd_varint(r);
    *n = 0;
    if (r->status != CKV_OK || len > ckv_rd_left(r)) {
        ckv_rd_fail(r, CKV_ECORRUPT);
        return NULL;
    }
    *n = (size_t)len;
    return ckv_rd_bytes(r, (size_t)len);
}

size_t ckv_rd_count(ckv_rd *r, size_t min_bytes)
{
    const uint64_t n = ckv_rd_varint(r);
    if (n > ckv_rd_left(r) / min_bytes) return (size_t)ckv_rd_fail(r, CKV_ECORRUPT);
    return (size_t)n;
}

uint64_t ckv_rd_upto(ckv_rd *r, uint64_t max)
{
    const uint64_t v = ckv_rd_varint(r);
    return v > max ? ckv_rd_fail(r, CKV_ECORRUPT) : v;
}
