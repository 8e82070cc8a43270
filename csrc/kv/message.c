#include "kv/message.h"

#include "base/check.h"
#include "base/hash64.h"
#include "base/utf8.h"
#include "log/nested.h"

/* ---- the frame */

size_t ckv_message_begin(ckv_buf *out, uint8_t kind)
{
    const size_t begin = out->len;
    ckv_buf_u8(out, kind);
    ckv_buf_u8(out, CKV_MESSAGE_VERSION);
    return begin;
}

void ckv_message_end(ckv_buf *out, size_t begin)
{
    if (out->status == CKV_OK) ckv_buf_u64le(out, ckv_hash64(out->ptr + begin, out->len - begin));
}

static ckv_status refuse(ckv_err *err, ckv_status status, size_t offset, const char *text)
{
    if (err) *err = (ckv_err){status, offset, text};
    return status;
}

ckv_status ckv_message_open(ckv_bytes message, uint8_t kind, ckv_rd *out, ckv_err *err)
{
    const uint8_t *p = message.ptr;
    const size_t n = message.n_bytes;
    if (n < 10) return refuse(err, CKV_ECORRUPT, n, "a message has ten bytes at least");
    if (p[0] != kind) return refuse(err, CKV_ECORRUPT, 0, "not a message of this kind");
    if (p[1] != CKV_MESSAGE_VERSION)
        return refuse(err, CKV_ECORRUPT, 1, "a message of another version");
    ckv_rd tail = ckv_rd_init(p + n - 8, 8);
    if (ckv_rd_u64le(&tail) != ckv_hash64(p, n - 8))
        return refuse(err, CKV_ECORRUPT, n - 8, "the checksum does not fit");
    *out = ckv_rd_init(p + 2, n - 10);
    return CKV_OK;
}

ckv_status ckv_message_fail(ckv_bytes message, const ckv_rd *r, ckv_status status, const char *text,
                            ckv_err *err)
{
    return refuse(err, status, (size_t)(r->p - message.ptr), text);
}

/* ---- incarnations */

ckv_bytes ckv_message_id(ckv_rd *r, ckv_bytes *last)
{
    size_t n;
    const uint8_t *p = ckv_rd_blob(r, &n);
    if (!p || !ckv_incarnation_is_id(p, n)) {
        ckv_rd_fail(r, CKV_ECORRUPT);
        return (ckv_bytes){NULL, 0};
    }
    const size_t n_last = last->n_bytes;
    if (n_last) {
        const int order = memcmp(last->ptr, p, n_last < n ? n_last : n);
        if (order > 0 || (order == 0 && n_last >= n)) ckv_rd_fail(r, CKV_ECORRUPT);
    }
    *last = (ckv_bytes){p, n};
    return *last;
}

/* ---- rows */

void ckv_row_write(ckv_buf *out, uint64_t before, uint64_t hlc, const ckv_cell *cell)
{
    ckv_buf_varint(out, hlc - before - 1);
    ckv_buf_varint(out, (uint64_t)cell->key_bytes << 1 | cell->is_bytes);
    ckv_buf_bytes(out, cell->bytes, (size_t)cell->key_bytes + cell->value_bytes);
}

size_t ckv_row_size(uint64_t before, uint64_t hlc, const ckv_cell *cell)
{
    return ckv_varint_size(hlc - before - 1) + ckv_varint_size((uint64_t)cell->key_bytes << 1) +
           cell->key_bytes + cell->value_bytes;
}

bool ckv_row_read(ckv_rd *r, ckv_alloc a, uint64_t before, ckv_row *out)
{
    const uint64_t gap = ckv_rd_varint(r);
    if (gap >= CKV_HLC_END - 1 - before) return ckv_rd_fail(r, CKV_ECORRUPT);
    const uint64_t head = ckv_rd_varint(r);
    if (head >> 1 > CKV_MAX_KEY) return ckv_rd_fail(r, CKV_ELIMIT);
    const uint32_t n = (uint32_t)(head >> 1);
    const uint8_t *key = ckv_rd_bytes(r, n), *value = r->p;
    if (r->status != CKV_OK) return false;
    size_t n_chars;
    uint32_t max;
    if (!(head & 1) && !ckv_utf8_valid(key, n, &n_chars, &max)) return ckv_rd_fail(r, CKV_ECORRUPT);
    if (!ckv_nested_valid(r, a, CKV_MAX_VALUE)) return false;
    *out = (ckv_row){.hlc = before + 1 + gap,
                     .key = {key, n, head & 1},
                     .value = {value, (size_t)(r->p - value)}};
    return true;
}

ckv_row ckv_row_believe(ckv_rd *r, uint64_t before)
{
    ckv_row row = {.hlc = before + 1 + ckv_rd_varint(r)};
    const uint64_t head = ckv_rd_varint(r);
    row.key.n_bytes = (uint32_t)(head >> 1);
    row.key.is_bytes = head & 1;
    row.key.ptr = ckv_rd_bytes(r, row.key.n_bytes);
    row.value.ptr = r->p;
    ckv_rd_varint(r); /* the tag */
    size_t n;
    ckv_rd_blob(r, &n);
    row.value.n_bytes = (size_t)(r->p - row.value.ptr);
    CKV_ASSERT(r->status == CKV_OK);
    return row;
}
