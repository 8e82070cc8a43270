/* buf.h -- bytes out (ckv_buf, with a sticky status) and bytes in (ckv_rd, bounded).
 *
 * Both keep their first error: write or read a whole record, look at `status` once.
 * Integers travel as minimal LEB128 varints, signed ones folded (zigzag). docs/format.md, "Notation".
 */
#ifndef CKV_BASE_BUF_H
#define CKV_BASE_BUF_H

#include <string.h>

#include "base/alloc.h"

typedef struct ckv_buf {
    ckv_alloc a;
    uint8_t *ptr; /* owned */
    size_t len, cap;
    ckv_status status;
} ckv_buf;

ckv_buf ckv_buf_init(ckv_alloc a);
void ckv_buf_fini(ckv_buf *b);
void ckv_buf_clear(ckv_buf *b); /* forget the content, keep the memory */
/* Room for n more bytes. False, with `status` set: no memory. */
bool ckv_buf_reserve(ckv_buf *b, size_t n);
void ckv_buf_blob(ckv_buf *b, const void *p, size_t n); /* length, then the bytes */
void ckv_buf_u64le(ckv_buf *b, uint64_t v);
void ckv_buf_u32le(ckv_buf *b, uint32_t v);

static inline uint64_t ckv_zigzag(int64_t v) { return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63); }
static inline int64_t ckv_unzigzag(uint64_t v) { return (int64_t)(v >> 1) ^ -(int64_t)(v & 1); }

/* Writes v at p, at most 10 bytes; returns how many. */
static inline size_t ckv_varint_put(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    while (v > 0x7f) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

static inline size_t ckv_varint_size(uint64_t v)
{
    size_t n = 1;
    while (v > 0x7f) v >>= 7, n++;
    return n;
}

static inline void ckv_buf_u8(ckv_buf *b, uint8_t v)
{
    if (b->len < b->cap || ckv_buf_reserve(b, 1)) b->ptr[b->len++] = v;
}

static inline void ckv_buf_bytes(ckv_buf *b, const void *p, size_t n)
{
    if (n == 0 || (b->cap - b->len < n && !ckv_buf_reserve(b, n))) return;
    memcpy(b->ptr + b->len, p, n);
    b->len += n;
}

static inline void ckv_buf_varint(ckv_buf *b, uint64_t v)
{
    if (b->cap - b->len >= 10 || ckv_buf_reserve(b, 10))
        b->len += ckv_varint_put(b->ptr + b->len, v);
}

static inline void ckv_buf_zigzag(ckv_buf *b, int64_t v) { ckv_buf_varint(b, ckv_zigzag(v)); }

/* After the first error every read gives 0 or NULL and the reader stands at its end. */
typedef struct ckv_rd {
    const uint8_t *p, *end;
    ckv_status status;
} ckv_rd;

static inline ckv_rd ckv_rd_init(const uint8_t *p, size_t n)
{
    return (ckv_rd){p, n ? p + n : p, CKV_OK};
} /* p may be NULL */
static inline size_t ckv_rd_left(const ckv_rd *r) { return (size_t)(r->end - r->p); }
/* All read, nothing wrong. */
static inline bool ckv_rd_done(const ckv_rd *r) { return r->status == CKV_OK && r->p == r->end; }

uint64_t ckv_rd_fail(ckv_rd *r, ckv_status s); /* returns 0 */
uint64_t ckv_rd_varint_slow(ckv_rd *r);
const uint8_t *ckv_rd_bytes(ckv_rd *r, size_t n); /* borrowed from the input; NULL on error */
uint8_t ckv_rd_u8(ckv_rd *r);
uint64_t ckv_rd_u64le(ckv_rd *r);
uint32_t ckv_rd_u32le(ckv_rd *r);
/* A length and that many bytes; *n is 0 on error. */
const uint8_t *ckv_rd_blob(ckv_rd *r, size_t *n);
/* A number of items of at least `min_bytes` each: it must fit what is left. */
size_t ckv_rd_count(ckv_rd *r, size_t min_bytes);
/* A varint of at most `max`. */
uint64_t ckv_rd_upto(ckv_rd *r, uint64_t max);

static inline uint64_t ckv_rd_varint(ckv_rd *r)
{
    if (r->p < r->end && *r->p < 0x80) return *r->p++;
    return ckv_rd_varint_slow(r);
}

static inline int64_t ckv_rd_zigzag(ckv_rd *r) { return ckv_unzigzag(ckv_rd_varint(r)); }

#endif
