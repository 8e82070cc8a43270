#include "datastore/sheaf.h"

#include "base/check.h"
#include "base/hash64.h"
#include "base/squeeze.h"
#include "base/utf8.h"
#include "dag/header.h"

#define FORM      1u
#define CHECK     8u         /* bytes */
#define MAX_COUNT (1u << 24) /* of operations, and of bytes of a body */

/* A change in the column of kinds. */
#define KIND_STATE   3u /* ckv_body_state */
#define KIND_SIGNED  4u
#define KIND_MESSAGE 8u

ckv_sheaf ckv_sheaf_init(ckv_alloc a)
{
    return (ckv_sheaf){.items = {.a = a}, .parents = {.a = a}, .bytes = ckv_buf_init(a)};
}

void ckv_sheaf_fini(ckv_sheaf *s)
{
    ckv_sheaf_items_fini(&s->items);
    ckv_u32s_fini(&s->parents);
    ckv_buf_fini(&s->bytes);
}

void ckv_sheaf_clear(ckv_sheaf *s)
{
    s->items.len = s->parents.len = 0;
    ckv_buf_clear(&s->bytes);
}

/* ---- what is in it */

/* Bytes of a sheaf, about, before they are packed. */
static size_t size_of(const ckv_sheaf *s)
{
    return s->bytes.len + 5 * s->parents.len + 32 * s->items.len;
}

bool ckv_sheaf_is_full(const ckv_sheaf *s)
{
    return s->items.len >= CKV_SHEAF_CHANGES || size_of(s) >= CKV_SHEAF_FULL;
}

const ckv_sheaf_item *ckv_sheaf_find(const ckv_sheaf *s, uint32_t number)
{
    size_t lo = 0, hi = s->items.len;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (s->items.ptr[mid].number == number) return &s->items.ptr[mid];
        if (s->items.ptr[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static uint32_t keep(ckv_sheaf *s, const void *bytes, size_t n)
{
    const size_t at = s->bytes.len;
    if (ckv_buf_reserve(&s->bytes, n + 1)) ckv_buf_bytes(&s->bytes, bytes, n); /* never NULL */
    return (uint32_t)at;
}

ckv_status ckv_sheaf_put(ckv_sheaf *s, const ckv_sheaf_item *item, const uint32_t *parents,
                         const void *message, const uint8_t *tail, const ckv_signature *signature)
{
    ckv_sheaf_item in = *item;
    CKV_ASSERT(s->items.len == 0 || ckv_sheaf_items_last(&s->items)->number < in.number); /* I1 */
    CKV_TRY(ckv_sheaf_items_reserve(&s->items, 1));
    CKV_TRY(ckv_u32s_reserve(&s->parents, in.n_parents + 1)); /* never NULL */
    in.is_signed = signature != NULL;
    in.parents = (uint32_t)s->parents.len;
    in.message = keep(s, message, in.message_bytes);
    in.tail = keep(s, tail, ckv_sheaf_tail_bytes(in.body_len));
    in.signature = keep(s, signature, signature ? sizeof *signature : 0);
    CKV_TRY(s->bytes.status);
    for (uint32_t i = 0; i < in.n_parents; i++) ckv_u32s_put(&s->parents, parents[i]);
    ckv_sheaf_items_put(&s->items, in);
    return CKV_OK;
}

ckv_status ckv_sheaf_copy(ckv_sheaf *s, const ckv_sheaf *from, const ckv_sheaf_item *item)
{
    ckv_signature signature;
    if (item->is_signed) memcpy(&signature, from->bytes.ptr + item->signature, sizeof signature);
    return ckv_sheaf_put(s, item, from->parents.ptr + item->parents,
                         from->bytes.ptr + item->message, from->bytes.ptr + item->tail,
                         item->is_signed ? &signature : NULL);
}

/* ---- writing */

static void write_columns(const ckv_sheaf *s, ckv_buf *out)
{
    const ckv_sheaf_item *items = s->items.ptr;
    const size_t n = s->items.len;
    for (size_t i = 1; i < n; i++) ckv_buf_varint(out, items[i].number - items[i - 1].number - 1);
    for (size_t i = 0; i < n; i++)
        ckv_buf_u8(out,
                   (uint8_t)((unsigned)items[i].state | (items[i].is_signed ? KIND_SIGNED : 0) |
                             (items[i].has_message ? KIND_MESSAGE : 0)));
    for (size_t i = 0; i < n; i++) ckv_buf_varint(out, items[i].lane);
    for (size_t i = 0; i < n; i++)
        ckv_buf_varint(out, items[i].prev == CKV_NO_CHANGE ? 0 : items[i].number - items[i].prev);
    for (size_t i = 0; i < n; i++) {
        ckv_buf_varint(out, items[i].n_parents);
        for (uint32_t k = 0; k < items[i].n_parents; k++)
            ckv_buf_varint(out, items[i].number - s->parents.ptr[items[i].parents + k]);
    }
    for (size_t i = 0; i < n; i++) ckv_buf_varint(out, items[i].n_ops);
    for (size_t i = 0; i < n; i++) ckv_buf_varint(out, items[i].body_len);
    for (size_t i = 0; i < n; i++)
        ckv_buf_zigzag(out,
                       (int64_t)((uint64_t)items[i].time - (i ? (uint64_t)items[i - 1].time : 0)));
    for (size_t i = 0; i < n; i++)
        if (items[i].has_message)
            ckv_buf_blob(out, s->bytes.ptr + items[i].message, items[i].message_bytes);
    for (size_t i = 0; i < n; i++)
        if (items[i].body_len <= CKV_INLINE_BODY_BYTES)
            ckv_buf_bytes(out, s->bytes.ptr + items[i].tail, items[i].body_len);
}

ckv_status ckv_sheaf_write(const ckv_sheaf *s, ckv_buf *out)
{
    const size_t start = out->len;
    ckv_buf columns = ckv_buf_init(out->a), packed = ckv_buf_init(out->a);
    write_columns(s, &columns);
    const bool smaller = columns.status == CKV_OK && ckv_squeeze(&packed, columns.ptr, columns.len);
    ckv_buf_u64le(out, 0);
    ckv_buf_u8(out, FORM);
    ckv_buf_varint(out, s->items.len);
    ckv_buf_bytes(out, &s->ids, sizeof s->ids);
    ckv_buf_varint(out, smaller ? columns.len : 0); /* 0: as they are */
    if (smaller)
        ckv_buf_blob(out, packed.ptr, packed.len);
    else
        ckv_buf_blob(out, columns.ptr, columns.len);
    for (size_t i = 0; i < s->items.len; i++)
        if (s->items.ptr[i].body_len > CKV_INLINE_BODY_BYTES)
            ckv_buf_bytes(out, s->bytes.ptr + s->items.ptr[i].tail, 32);
    for (size_t i = 0; i < s->items.len; i++)
        if (s->items.ptr[i].is_signed)
            ckv_buf_bytes(out, s->bytes.ptr + s->items.ptr[i].signature, CKV_SIGNATURE_BYTES);
    const ckv_status status = columns.status != CKV_OK  ? columns.status
                              : packed.status != CKV_OK ? packed.status
                                                        : out->status;
    ckv_buf_fini(&columns);
    ckv_buf_fini(&packed);
    CKV_TRY(status);
    const uint64_t check = ckv_hash64(out->ptr + start + CHECK, out->len - start - CHECK);
    for (unsigned i = 0; i < CHECK; i++) out->ptr[start + i] = (uint8_t)(check >> 8 * i);
    return CKV_OK;
}

/* ---- reading */

static ckv_status read_parents(ckv_sheaf *s, ckv_sheaf_item *item, ckv_rd *r)
{
    item->n_parents = (uint32_t)ckv_rd_upto(r, CKV_MAX_PARENTS);
    item->parents = (uint32_t)s->parents.len;
    CKV_TRY(ckv_u32s_reserve(&s->parents, item->n_parents + 1)); /* never NULL */
    for (uint32_t k = 0; k < item->n_parents; k++) {
        const uint64_t back = ckv_rd_upto(r, item->number);
        if (back == 0) return CKV_ECORRUPT;
        ckv_u32s_put(&s->parents, item->number - (uint32_t)back);
    }
    return r->status;
}

static ckv_status read_message(ckv_sheaf *s, ckv_sheaf_item *item, ckv_rd *r)
{
    size_t n, n_chars;
    uint32_t max;
    if (!item->has_message) return CKV_OK;
    const uint8_t *text = ckv_rd_blob(r, &n);
    CKV_TRY(r->status);
    if (n && !ckv_utf8_valid(text, n, &n_chars, &max)) return CKV_ECORRUPT;
    item->message_bytes = (uint32_t)n;
    item->message = keep(s, text, n);
    return s->bytes.status;
}

/* Numbers, kinds, lanes and who comes before whom. */
static ckv_status read_graph(ckv_sheaf *s, uint32_t first, ckv_rd *r)
{
    ckv_sheaf_item *items = s->items.ptr;
    const size_t n = s->items.len;
    uint32_t number = first;
    for (size_t i = 0; i < n; i++) {
        if (i) number += 1 + (uint32_t)ckv_rd_upto(r, UINT32_MAX - 2 - number);
        if (number >= UINT32_MAX - 1) return CKV_ECORRUPT;
        items[i] = (ckv_sheaf_item){.number = number};
    }
    for (size_t i = 0; i < n; i++) {
        const unsigned kind = ckv_rd_u8(r), state = kind & KIND_STATE;
        if (kind & ~(KIND_STATE | KIND_SIGNED | KIND_MESSAGE) || state > CKV_BODY_CLAIMED)
            return CKV_ECORRUPT;
        items[i].state = (ckv_body_state)state;
        items[i].is_signed = kind & KIND_SIGNED;
        items[i].has_message = kind & KIND_MESSAGE;
    }
    for (size_t i = 0; i < n; i++) items[i].lane = (uint32_t)ckv_rd_upto(r, UINT32_MAX - 1);
    for (size_t i = 0; i < n; i++) {
        const uint32_t back = (uint32_t)ckv_rd_upto(r, items[i].number);
        items[i].prev = back ? items[i].number - back : CKV_NO_CHANGE;
    }
    for (size_t i = 0; i < n; i++) CKV_TRY(read_parents(s, &items[i], r));
    return r->status;
}

static ckv_status read_columns(ckv_sheaf *s, uint32_t first, ckv_rd *r)
{
    ckv_sheaf_item *items = s->items.ptr;
    const size_t n = s->items.len;
    uint64_t time = 0;
    CKV_TRY(read_graph(s, first, r));
    for (size_t i = 0; i < n; i++) items[i].n_ops = (uint32_t)ckv_rd_upto(r, MAX_COUNT);
    for (size_t i = 0; i < n; i++) items[i].body_len = (uint32_t)ckv_rd_upto(r, MAX_COUNT);
    for (size_t i = 0; i < n; i++) {
        time += (uint64_t)ckv_rd_zigzag(r);
        items[i].time = (int64_t)time;
        if ((items[i].body_len <= CKV_INLINE_BODY_BYTES) != (items[i].state == CKV_BODY_HERE))
            return CKV_ECORRUPT; /* I2 */
    }
    for (size_t i = 0; i < n; i++) CKV_TRY(read_message(s, &items[i], r));
    for (size_t i = 0; i < n; i++) {
        if (items[i].body_len > CKV_INLINE_BODY_BYTES) continue;
        const uint8_t *body = ckv_rd_bytes(r, items[i].body_len);
        CKV_TRY(r->status);
        items[i].tail = keep(s, body, items[i].body_len);
    }
    return ckv_rd_done(r) ? s->bytes.status : CKV_ECORRUPT;
}

static ckv_status read_rest(ckv_sheaf *s, ckv_rd *r)
{
    for (size_t i = 0; i < s->items.len; i++) {
        ckv_sheaf_item *item = &s->items.ptr[i];
        if (item->body_len <= CKV_INLINE_BODY_BYTES) continue;
        const uint8_t *hash = ckv_rd_bytes(r, 32);
        CKV_TRY(r->status);
        item->tail = keep(s, hash, 32);
    }
    for (size_t i = 0; i < s->items.len; i++) {
        ckv_sheaf_item *item = &s->items.ptr[i];
        if (!item->is_signed) continue;
        const uint8_t *signature = ckv_rd_bytes(r, CKV_SIGNATURE_BYTES);
        CKV_TRY(r->status);
        item->signature = keep(s, signature, CKV_SIGNATURE_BYTES);
    }
    return ckv_rd_done(r) ? s->bytes.status : CKV_ECORRUPT;
}

static ckv_status unpack(ckv_buf *out, const uint8_t *packed, size_t n_bytes, uint64_t raw_len)
{
    const ckv_status s = ckv_unsqueeze(out, packed, n_bytes, raw_len);
    return s == CKV_ELIMIT ? CKV_ECORRUPT : s;
}

ckv_status ckv_sheaf_read(ckv_sheaf *s, uint32_t first, const uint8_t *data, size_t n_bytes)
{
    ckv_sheaf_clear(s);
    ckv_rd r = ckv_rd_init(data, n_bytes);
    const uint64_t check = ckv_rd_u64le(&r);
    if (r.status != CKV_OK || ckv_hash64(r.p, ckv_rd_left(&r)) != check || ckv_rd_u8(&r) != FORM)
        return CKV_ECORRUPT;
    const uint64_t n = ckv_rd_upto(&r, CKV_SHEAF_CHANGES);
    const uint8_t *ids = ckv_rd_bytes(&r, sizeof s->ids);
    const uint64_t raw_len = ckv_rd_upto(&r, CKV_SHEAF_BYTES);
    size_t n_packed;
    const uint8_t *packed = ckv_rd_blob(&r, &n_packed);
    if (r.status != CKV_OK || n == 0 || n_packed > CKV_SHEAF_BYTES) return CKV_ECORRUPT;
    memcpy(&s->ids, ids, sizeof s->ids);
    CKV_TRY(ckv_sheaf_items_reserve(&s->items, n));
    s->items.len = n;
    ckv_buf columns = ckv_buf_init(s->bytes.a);
    ckv_status status = raw_len ? unpack(&columns, packed, n_packed, raw_len) : CKV_OK;
    ckv_rd c = raw_len ? ckv_rd_init(columns.ptr, columns.len) : ckv_rd_init(packed, n_packed);
    if (status == CKV_OK) status = read_columns(s, first, &c);
    ckv_buf_fini(&columns);
    if (status == CKV_OK) status = read_rest(s, &r);
    if (status != CKV_OK) ckv_sheaf_clear(s);
    return status;
}
