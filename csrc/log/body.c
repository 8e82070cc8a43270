#include "log/body.h"

#include "base/utf8.h"

#define FLAG_MESSAGE 1u
#define FLAG_TABLE   2u
/* Own items stand at SHIFT + items made in this body - distance, so that all of them are positive. */
#define SHIFT (1ull << 40)

/* ---- reading */

static ckv_status broken(ckv_body *b, const char *why)
{
    b->why = why;
    b->status = CKV_EVOID;
    return CKV_EVOID;
}

/* A list of ids; *ascend becomes false if they do not. */
static const uint8_t *id_list(ckv_rd *r, uint32_t *n, bool *ascend)
{
    const size_t count = ckv_rd_count(r, 32);
    const uint8_t *p = ckv_rd_bytes(r, count * 32);
    *n = p ? (uint32_t)count : 0;
    for (size_t i = 1; p && i < count; i++) {
        if (memcmp(p + 32 * (i - 1), p + 32 * i, 32) >= 0) *ascend = false;
    }
    return p;
}

/* Whether an operation of a later version stands among the framed ones. */
static bool has_later(ckv_rd r)
{
    bool later = false;
    while (r.status == CKV_OK && r.p < r.end) {
        const uint64_t kind = ckv_rd_varint(&r);
        size_t n;
        const uint8_t *p = ckv_rd_blob(&r, &n);
        if (!p) return false;
        if (kind < CKV_OP_INSERT || kind > CKV_OP_UNSET) later = true;
        if (kind != CKV_OP_SET) continue;
        ckv_rd in = ckv_rd_init(p, n);
        size_t skip;
        if (ckv_rd_varint(&in) != CKV_REF_NONE) ckv_rd_varint(&in);
        ckv_rd_blob(&in, &skip);
        const uint64_t tag = ckv_rd_varint(&in);
        ckv_rd_blob(&in, &skip);
        if (ckv_rd_done(&in) && tag > CKV_TAG_BYTES && tag != CKV_TAG_TEXT) later = true;
    }
    return later && r.status == CKV_OK;
}

ckv_status ckv_body_open(ckv_body *b, const uint8_t *bytes, size_t n_bytes, uint32_t n_parents)
{
    *b = (ckv_body){.rd = ckv_rd_init(bytes, n_bytes), .n_parents = n_parents};
    ckv_rd *r = &b->rd;
    const uint64_t flags = ckv_rd_varint(r);
    size_t n_chars;
    uint32_t max;
    bool message_valid = true, table_valid = true;
    if (r->status != CKV_OK) return broken(b, "body: flags do not parse");
    if (flags & ~(uint64_t)(FLAG_MESSAGE | FLAG_TABLE)) return b->status = CKV_ELATER;
    b->time = ckv_rd_zigzag(r);
    if (flags & FLAG_MESSAGE) {
        b->message = ckv_rd_blob(r, &b->message_bytes);
        message_valid = b->message && ckv_utf8_valid(b->message, b->message_bytes, &n_chars, &max);
    }
    if (flags & FLAG_TABLE) {
        b->lanes = id_list(r, &b->n_lanes, &table_valid);
        b->changes = id_list(r, &b->n_changes, &table_valid);
        if (b->n_lanes + b->n_changes == 0) table_valid = false;
    }
    if (r->status != CKV_OK) return broken(b, "body: head does not parse");
    if (has_later(*r)) return b->status = CKV_ELATER; /* whatever else may be wrong */
    if (!message_valid) return broken(b, "body: message is not UTF-8");
    return table_valid ? CKV_OK : broken(b, "body: the table is empty or does not ascend");
}

static ckv_ref read_ref(ckv_body *b, ckv_rd *r)
{
    ckv_ref ref;
    ref.code =
        (uint32_t)ckv_rd_upto(r, (uint64_t)CKV_REF_OWN + b->n_parents + b->n_lanes + b->n_changes);
    ref.value = ref.code == CKV_REF_NONE ? 0 : (uint32_t)ckv_rd_upto(r, UINT32_MAX - 1);
    if (ref.code == CKV_REF_OWN && ref.value == 0) ckv_rd_fail(r, CKV_ECORRUPT);
    return ref;
}

static uint64_t absolute(const ckv_body *b, ckv_ref ref)
{
    return ref.code == CKV_REF_OWN ? SHIFT + b->n_items - ref.value : ref.value;
}

static bool read_insert(ckv_body *b, ckv_rd *r, ckv_body_op *op)
{
    size_t n_chars;
    op->left = read_ref(b, r);
    op->right = read_ref(b, r);
    if (op->left.code == CKV_REF_NONE && op->right.code == CKV_REF_NONE) {
        op->holder = read_ref(b, r);
        if (op->holder.code == CKV_REF_NONE) ckv_rd_fail(r, CKV_ECORRUPT);
    }
    op->n_bytes = ckv_rd_left(r);
    op->bytes = ckv_rd_bytes(r, op->n_bytes);
    if (r->status != CKV_OK || op->n_bytes == 0 ||
        !ckv_utf8_valid(op->bytes, op->n_bytes, &n_chars, &op->max_char))
        return false;
    op->n = (uint32_t)n_chars;
    /* Runs that would be one must be one. */
    const ckv_ref right = op->right.code == CKV_REF_OWN ? (ckv_ref){CKV_REF_OWN, 0} : op->right;
    const bool same_right = right.code == b->last_right.code &&
                            right.value == b->last_right.value &&
                            (right.code != CKV_REF_OWN || absolute(b, op->right) == b->last_start);
    if (b->last_kind == CKV_OP_INSERT && op->left.code == CKV_REF_OWN && op->left.value == 1 &&
        same_right)
        return false;
    b->last_right = right;
    b->last_start = absolute(b, op->right);
    return true;
}

static bool read_delete(ckv_body *b, ckv_rd *r, ckv_body_op *op)
{
    op->left = read_ref(b, r);
    op->n = (uint32_t)ckv_rd_upto(r, CKV_MAX_OPS);
    if (!ckv_rd_done(r) || op->n == 0 || op->left.code == CKV_REF_NONE) return false;
    const uint64_t start = absolute(b, op->left), end = start + op->n;
    if (b->last_kind == CKV_OP_DELETE && b->last_code == op->left.code &&
        (b->last_end == start || b->last_start == end))
        return false;
    b->last_code = op->left.code;
    b->last_start = start;
    b->last_end = end;
    return true;
}

static bool read_key(ckv_body *b, ckv_rd *r, ckv_body_op *op)
{
    size_t n_chars;
    uint32_t max;
    op->n = 1;
    op->left = read_ref(b, r);
    op->bytes = ckv_rd_blob(r, &op->n_bytes);
    if (op->kind == CKV_OP_SET) {
        op->value_bytes = r->p;
        ckv_value_read(r, &op->value);
        op->n_value_bytes = (size_t)(r->p - op->value_bytes);
    }
    return ckv_rd_done(r) && op->n_bytes <= CKV_MAX_KEY_BYTES &&
           ckv_utf8_valid(op->bytes, op->n_bytes, &n_chars, &max);
}

bool ckv_body_next(ckv_body *b, ckv_body_op *op)
{
    if (b->status != CKV_OK || b->rd.p == b->rd.end) return false;
    size_t n;
    *op = (ckv_body_op){.kind = (ckv_op_kind)ckv_rd_upto(&b->rd, CKV_OP_UNSET)};
    const uint8_t *p = ckv_rd_blob(&b->rd, &n);
    ckv_rd in = ckv_rd_init(p, n);
    bool ok = p != NULL;
    if (ok) {
        switch (op->kind) {
        case CKV_OP_INSERT: ok = read_insert(b, &in, op); break;
        case CKV_OP_DELETE: ok = read_delete(b, &in, op); break;
        case CKV_OP_SET:
        case CKV_OP_UNSET: ok = read_key(b, &in, op); break;
        default: ok = false;
        }
    }
    if (!ok || op->n > CKV_MAX_OPS - b->n_ops) {
        broken(b, "body: an operation does not parse, or is not in its one form");
        return false;
    }
    b->last_kind = op->kind;
    b->n_ops += op->n;
    if (op->kind == CKV_OP_INSERT || op->kind == CKV_OP_SET) b->n_items += op->n;
    return true;
}

/* ---- writing */

void ckv_body_begin(ckv_buf *out, const ckv_body_head *head)
{
    const bool table = head->n_lanes + head->n_changes != 0;
    ckv_buf_varint(out, (head->message ? FLAG_MESSAGE : 0u) | (table ? FLAG_TABLE : 0u));
    ckv_buf_zigzag(out, head->time);
    if (head->message) ckv_buf_blob(out, head->message, head->message_bytes);
    if (!table) return;
    ckv_buf_varint(out, head->n_lanes);
    ckv_buf_bytes(out, head->lanes, 32 * (size_t)head->n_lanes);
    ckv_buf_varint(out, head->n_changes);
    ckv_buf_bytes(out, head->changes, 32 * (size_t)head->n_changes);
}

static size_t put_ref(uint8_t *p, ckv_ref ref)
{
    size_t n = ckv_varint_put(p, ref.code);
    if (ref.code != CKV_REF_NONE) n += ckv_varint_put(p + n, ref.value);
    return n;
}

void ckv_body_put(ckv_buf *out, const ckv_body_op *op)
{
    uint8_t fixed[64]; /* refs and counts: at most six varints */
    size_t n = 0;
    switch (op->kind) {
    case CKV_OP_INSERT:
        n = put_ref(fixed, op->left);
        n += put_ref(fixed + n, op->right);
        if (op->left.code == CKV_REF_NONE && op->right.code == CKV_REF_NONE)
            n += put_ref(fixed + n, op->holder);
        ckv_buf_u8(out, (uint8_t)op->kind);
        ckv_buf_varint(out, n + op->n_bytes);
        ckv_buf_bytes(out, fixed, n);
        ckv_buf_bytes(out, op->bytes, op->n_bytes);
        return;
    case CKV_OP_DELETE:
        n = put_ref(fixed, op->left);
        n += ckv_varint_put(fixed + n, op->n);
        ckv_buf_u8(out, (uint8_t)op->kind);
        ckv_buf_varint(out, n);
        ckv_buf_bytes(out, fixed, n);
        return;
    case CKV_OP_SET:
    case CKV_OP_UNSET:
        n = put_ref(fixed, op->left);
        n += ckv_varint_put(fixed + n, op->n_bytes);
        ckv_buf_u8(out, (uint8_t)op->kind);
        ckv_buf_varint(out, n + op->n_bytes + op->n_value_bytes);
        ckv_buf_bytes(out, fixed, n);
        ckv_buf_bytes(out, op->bytes, op->n_bytes);
        ckv_buf_bytes(out, op->value_bytes, op->n_value_bytes);
        return;
    }
}
