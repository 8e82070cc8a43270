#include "datastore/op.h"

#include "base/check.h"
#include "base/utf8.h"
#include "log/nested.h"

#define FLAG_MESSAGE 1u

/* ---- totals: zigzag of 97 bits, as a varint */

__extension__ typedef unsigned __int128 u128;

void ckv_kv_write_total(ckv_buf *out, ckv_i128 total)
{
    u128 v = total < 0 ? ~((u128)total << 1) : (u128)total << 1;
    for (; v > 0x7f; v >>= 7) ckv_buf_u8(out, (uint8_t)(v | 0x80));
    ckv_buf_u8(out, (uint8_t)v);
}

ckv_i128 ckv_kv_read_total(ckv_rd *r)
{
    u128 v = 0;
    for (unsigned shift = 0;; shift += 7) {
        const uint8_t b = ckv_rd_u8(r);
        if (r->status != CKV_OK) return 0;
        if (shift > 91 || (b == 0 && shift)) return (ckv_i128)ckv_rd_fail(r, CKV_ECORRUPT);
        v |= (u128)(b & 0x7f) << shift;
        if (b < 0x80) break;
    }
    const ckv_i128 total = (ckv_i128)(v >> 1) ^ -(ckv_i128)(v & 1);
    if (total >= CKV_MAX_TOTAL || total <= -CKV_MAX_TOTAL)
        return (ckv_i128)ckv_rd_fail(r, CKV_ECORRUPT);
    return total;
}

/* ---- out */

void ckv_kv_write_head(ckv_buf *out, const ckv_body_head *head)
{
    ckv_buf_varint(out, head->message ? FLAG_MESSAGE : 0);
    ckv_buf_zigzag(out, head->time);
    if (head->message) ckv_buf_blob(out, head->message, head->message_bytes);
}

void ckv_kv_write_name(ckv_buf *out, const ckv_id32 *id, uint32_t index)
{
    ckv_buf_bytes(out, id, 32);
    ckv_buf_varint(out, index);
}

static size_t total_size(ckv_i128 total)
{
    u128 v = total < 0 ? ~((u128)total << 1) : (u128)total << 1;
    size_t n = 1;
    for (; v > 0x7f; v >>= 7) n++;
    return n;
}

void ckv_kv_write_op(ckv_buf *out, const ckv_kv_op *op)
{
    const uint64_t head = (uint64_t)op->key.n_bytes << 1 | op->key.is_bytes;
    size_t n = ckv_varint_size(head) + op->key.n_bytes;
    switch (op->kind) {
    case CKV_KV_PUT:
        n += ckv_varint_size(op->n_names) + op->names.n_bytes + op->value.n_bytes;
        break;
    case CKV_KV_DELETE: n += ckv_varint_size(op->n_names) + op->names.n_bytes; break;
    case CKV_KV_COUNT: n += total_size(op->total); break;
    case CKV_KV_PART: n += 32 + ckv_varint_size(op->part_index) + total_size(op->total); break;
    }
    if (!ckv_buf_reserve(out, n + 24)) return;
    ckv_buf_varint(out, op->kind);
    ckv_buf_varint(out, n);
    ckv_buf_varint(out, head);
    ckv_buf_bytes(out, op->key.ptr, op->key.n_bytes);
    if (op->kind == CKV_KV_PUT || op->kind == CKV_KV_DELETE) {
        ckv_buf_varint(out, op->n_names);
        ckv_buf_bytes(out, op->names.ptr, op->names.n_bytes);
    }
    if (op->kind == CKV_KV_PART) {
        ckv_buf_bytes(out, op->part_of, 32);
        ckv_buf_varint(out, op->part_index);
    }
    if (op->kind == CKV_KV_COUNT || op->kind == CKV_KV_PART) ckv_kv_write_total(out, op->total);
    if (op->kind == CKV_KV_PUT) ckv_buf_bytes(out, op->value.ptr, op->value.n_bytes);
}

/* ---- in */

static ckv_status wrong(const char **why, const char *text)
{
    *why = text;
    return CKV_EVOID;
}

ckv_status ckv_kv_body_open(ckv_kv_body *b, const uint8_t *bytes, size_t n_bytes, const char **why)
{
    *b = (ckv_kv_body){.ops = ckv_rd_init(bytes, n_bytes), .bytes = bytes};
    const uint64_t flags = ckv_rd_varint(&b->ops);
    if (b->ops.status == CKV_OK && flags & ~(uint64_t)FLAG_MESSAGE) return CKV_ELATER;
    b->head.time = ckv_rd_zigzag(&b->ops);
    if (flags & FLAG_MESSAGE) {
        size_t n_chars;
        uint32_t max_char;
        b->head.message = (const char *)ckv_rd_blob(&b->ops, &b->head.message_bytes);
        if (b->ops.status == CKV_OK && !ckv_utf8_valid((const uint8_t *)b->head.message,
                                                       b->head.message_bytes, &n_chars, &max_char))
            return wrong(why, "body: the message is not UTF-8");
    }
    return b->ops.status == CKV_OK ? CKV_OK : wrong(why, "body: head");
}

/* A key at the front of a payload. */
static bool read_key(ckv_rd *r, ckv_store_key *key)
{
    const uint64_t head = ckv_rd_upto(r, CKV_MAX_KEY << 1 | 1);
    key->is_bytes = head & 1;
    key->n_bytes = (uint32_t)(head >> 1);
    key->ptr = ckv_rd_bytes(r, key->n_bytes);
    return r->status == CKV_OK;
}

static void read_op(ckv_rd *r, ckv_kv_op *op)
{
    if (!read_key(r, &op->key)) return;
    if (op->kind == CKV_KV_PUT || op->kind == CKV_KV_DELETE) {
        op->n_names = (uint32_t)ckv_rd_upto(r, CKV_MAX_NAMES);
        op->names.ptr = r->p;
        for (uint32_t i = 0; i < op->n_names && r->status == CKV_OK; i++) {
            (void)ckv_rd_bytes(r, 32);
            (void)ckv_rd_upto(r, CKV_MAX_OPS);
        }
        op->names.n_bytes = r->status == CKV_OK ? (size_t)(r->p - op->names.ptr) : 0;
    }
    if (op->kind == CKV_KV_PART) {
        op->part_of = ckv_rd_bytes(r, 32);
        op->part_index = (uint32_t)ckv_rd_upto(r, CKV_MAX_OPS);
    }
    if (op->kind == CKV_KV_COUNT || op->kind == CKV_KV_PART) op->total = ckv_kv_read_total(r);
    if (op->kind == CKV_KV_PUT) {
        op->value = (ckv_value_bytes){r->p, ckv_rd_left(r)};
        r->p = r->end;
    }
}

bool ckv_kv_body_next(ckv_kv_body *b, ckv_kv_op *op)
{
    if (b->ops.p == b->ops.end) return false;
    size_t n;
    *op = (ckv_kv_op){.kind = (ckv_kv_kind)ckv_rd_varint(&b->ops)};
    const uint8_t *payload = ckv_rd_blob(&b->ops, &n);
    if (!payload) return false;
    ckv_rd r = ckv_rd_init(payload, n);
    read_op(&r, op);
    return r.status == CKV_OK;
}

bool ckv_kv_next_name(ckv_value_bytes *names, const uint8_t **id, uint32_t *index)
{
    if (names->n_bytes == 0) return false;
    ckv_rd r = ckv_rd_init(names->ptr, names->n_bytes);
    *id = ckv_rd_bytes(&r, 32);
    *index = (uint32_t)ckv_rd_upto(&r, CKV_MAX_OPS);
    *names = (ckv_value_bytes){r.p, ckv_rd_left(&r)};
    return r.status == CKV_OK;
}

static bool names_ascend(ckv_value_bytes names)
{
    const uint8_t *id, *last = NULL;
    uint32_t index, last_index = 0;
    for (; ckv_kv_next_name(&names, &id, &index); last = id, last_index = index) {
        const int order = last ? memcmp(last, id, 32) : -1;
        if (order > 0 || (order == 0 && last_index >= index)) return false;
    }
    return true;
}

static ckv_status check_op(ckv_rd *r, ckv_kv_op *op, ckv_alloc a, bool *later, const char **why)
{
    size_t n_chars;
    uint32_t max_char;
    read_op(r, op);
    if (r->status != CKV_OK || r->p != r->end) return wrong(why, "body: an operation");
    if (!op->key.is_bytes && !ckv_utf8_valid(op->key.ptr, op->key.n_bytes, &n_chars, &max_char))
        return wrong(why, "body: a key that is not UTF-8");
    if (!names_ascend(op->names)) return wrong(why, "body: names of other DAGs out of order");
    if (op->kind == CKV_KV_PUT) {
        ckv_rd value = ckv_rd_init(op->value.ptr, op->value.n_bytes);
        const bool valid = ckv_nested_valid(&value, a, CKV_MAX_STORED_VALUE);
        if (value.status == CKV_ENOMEM) return CKV_ENOMEM;
        if (!valid && ckv_nested_is_later(op->value.ptr, op->value.n_bytes))
            *later = true;
        else if (!valid || value.p != value.end)
            return wrong(why, "body: a value");
    }
    return CKV_OK;
}

/* Everything is looked at before it is judged: a body with something of a later version in it is later, whatever else may be wrong with it, as long as its framing holds. */
ckv_status ckv_kv_body_check(const uint8_t *bytes, size_t n_bytes, uint32_t n_ops, ckv_alloc a,
                             ckv_body_head *head, const char **why)
{
    ckv_kv_body b;
    *head = (ckv_body_head){0};
    CKV_TRY(ckv_kv_body_open(&b, bytes, n_bytes, why));
    *head = b.head;
    bool later = false;
    ckv_status bad = CKV_OK;
    uint64_t n = 0;
    for (; b.ops.p < b.ops.end; n++) {
        const uint64_t kind = ckv_rd_varint(&b.ops);
        size_t n_payload;
        const uint8_t *payload = ckv_rd_blob(&b.ops, &n_payload);
        if (!payload) return wrong(why, "body: framing of operations");
        if (kind < CKV_KV_PUT || kind > CKV_KV_PART) {
            later = true;
            continue;
        }
        const char *wrong_here = NULL;
        ckv_kv_op op = {.kind = (ckv_kv_kind)kind};
        ckv_rd r = ckv_rd_init(payload, n_payload);
        const ckv_status s = check_op(&r, &op, a, &later, &wrong_here);
        if (s == CKV_ENOMEM) return s;
        if (s != CKV_OK && bad == CKV_OK) {
            bad = s;
            *why = wrong_here;
        }
    }
    if (later) return CKV_ELATER;
    if (bad != CKV_OK) return bad;
    return n == n_ops ? CKV_OK : wrong(why, "n_ops is not that of the body");
}
