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

static bool tag_is_known(uint64_t tag)
{
    return tag <= CKV_TAG_BYTES || (tag >= CKV_TAG_MAP && tag <= CKV_TAG_TEXT) ||
           (tag >= CKV_TAG_DEFAULT_MAP && tag <= CKV_TAG_DEFAULT_TEXT);
}

/* False: it is none. */
static bool skip_ref(ckv_rd *r)
{
    if (ckv_rd_varint(r) == CKV_REF_NONE) return false;
    ckv_rd_varint(r);
    return true;
}

#define WITH_VALUES                                                                                \
    (1u << CKV_OP_SET | 1u << CKV_OP_ELEMENTS | 1u << CKV_OP_ASSIGN | 1u << CKV_OP_ADD |           \
     1u << CKV_OP_DISCARD | 1u << CKV_OP_MARK)

/* Whether the payload of an operation with values comes apart to its end, and a value in it has an unknown tag. */
static bool has_later_value(uint64_t kind, ckv_rd r)
{
    bool later = false;
    size_t skip;
    if (kind == CKV_OP_MARK) ckv_rd_u8(&r);
    bool named = skip_ref(&r);
    if (kind == CKV_OP_ELEMENTS || kind == CKV_OP_MARK) {
        named |= skip_ref(&r);
        if (!named) skip_ref(&r);
    }
    if (kind == CKV_OP_SET || kind == CKV_OP_MARK) ckv_rd_blob(&r, &skip);
    while (r.p < r.end) {
        later |= !tag_is_known(ckv_rd_varint(&r));
        ckv_rd_blob(&r, &skip);
        if (kind != CKV_OP_ELEMENTS) break;
    }
    return later && ckv_rd_done(&r);
}

/* Whether an operation of a later version stands among the framed ones. */
static bool has_later(ckv_rd r)
{
    bool later = false;
    while (r.p < r.end) {
        const uint64_t kind = ckv_rd_varint(&r);
        size_t n;
        const uint8_t *p = ckv_rd_blob(&r, &n);
        if (!p) return false;
        if (kind < CKV_OP_INSERT || kind > CKV_OP_LAST)
            later = true;
        else if (!later && WITH_VALUES >> kind & 1)
            later = has_later_value(kind, ckv_rd_init(p, n));
    }
    return later; /* what does not parse was found out by the blob */
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

/* One that must name something. */
static ckv_ref read_named(ckv_body *b, ckv_rd *r)
{
    const ckv_ref ref = read_ref(b, r);
    if (ref.code == CKV_REF_NONE) ckv_rd_fail(r, CKV_ECORRUPT);
    return ref;
}

/* Two ends, and if neither names anything, what they stand in. */
static void read_ends(ckv_body *b, ckv_rd *r, ckv_body_op *op)
{
    op->left = read_ref(b, r);
    op->right = read_ref(b, r);
    if (op->left.code == CKV_REF_NONE && op->right.code == CKV_REF_NONE)
        op->holder = read_named(b, r);
}

/* Runs that would be one must be one. Remembers the right origin. */
static bool is_apart(ckv_body *b, const ckv_body_op *op)
{
    const ckv_ref right = op->right.code == CKV_REF_OWN ? (ckv_ref){CKV_REF_OWN, 0} : op->right;
    const bool same_right = right.code == b->last_right.code &&
                            right.value == b->last_right.value &&
                            (right.code != CKV_REF_OWN || absolute(b, op->right) == b->last_start);
    if (b->last_kind == op->kind && op->left.code == CKV_REF_OWN && op->left.value == 1 &&
        same_right)
        return false;
    b->last_right = right;
    b->last_start = absolute(b, op->right);
    return true;
}

static bool read_insert(ckv_body *b, ckv_rd *r, ckv_body_op *op)
{
    size_t n_chars;
    read_ends(b, r, op);
    op->n_bytes = ckv_rd_left(r);
    op->bytes = ckv_rd_bytes(r, op->n_bytes);
    if (r->status != CKV_OK || op->n_bytes == 0 ||
        !ckv_utf8_valid(op->bytes, op->n_bytes, &n_chars, &op->max_char))
        return false;
    op->n = (uint32_t)n_chars;
    return is_apart(b, op);
}

static bool read_elements(ckv_body *b, ckv_rd *r, ckv_body_op *op)
{
    ckv_value v = {.tag = CKV_TAG_NONE};
    read_ends(b, r, op);
    op->n = 0;
    op->value_bytes = r->p;
    op->n_value_bytes = ckv_rd_left(r);
    while (r->p < r->end) {
        ckv_value_read(r, &v);
        if (ckv_tag_is_default(v.tag)) return false;
        op->n++;
    }
    return ckv_rd_done(r) && op->n > 0 && is_apart(b, op);
}

/* DELETE, RESTORE. A DELETE that touches the one before it would be one with that; of a RESTORE only the graph can tell. */
static bool read_range(ckv_body *b, ckv_rd *r, ckv_body_op *op)
{
    op->left = read_named(b, r);
    op->n = (uint32_t)ckv_rd_upto(r, CKV_MAX_OPS);
    if (!ckv_rd_done(r) || op->n == 0) return false;
    const uint64_t start = absolute(b, op->left), end = start + op->n;
    op->touches = b->last_kind == op->kind && b->last_code == op->left.code &&
                  b->last_right.value == op->change &&
                  (b->last_end == start || b->last_start == end);
    if (op->touches && op->kind == CKV_OP_DELETE) return false;
    b->last_code = op->left.code;
    b->last_right.value = op->change; /* a range has no right origin, but may have a change */
    b->last_start = start;
    b->last_end = end;
    return true;
}

/* All that is left is one value, with a tag of at most `last`. */
static bool read_value(ckv_rd *r, ckv_body_op *op, ckv_tag last)
{
    op->value_bytes = r->p;
    op->n_value_bytes = ckv_rd_left(r);
    ckv_value_read(r, &op->value);
    return ckv_rd_done(r) && op->value.tag <= last;
}

static bool read_word(ckv_rd *r, ckv_body_op *op)
{
    size_t n_chars;
    uint32_t max;
    op->bytes = ckv_rd_blob(r, &op->n_bytes);
    return op->bytes && op->n_bytes <= CKV_MAX_KEY_BYTES &&
           ckv_utf8_valid(op->bytes, op->n_bytes, &n_chars, &max);
}

static bool read_mark(ckv_body *b, ckv_rd *r, ckv_body_op *op)
{
    op->sides = ckv_rd_u8(r);
    read_ends(b, r, op);
    if (op->sides > (CKV_MARK_START_BEHIND | CKV_MARK_END_BEHIND) ||
        (op->sides & CKV_MARK_START_BEHIND && op->left.code == CKV_REF_NONE) ||
        (op->sides & CKV_MARK_END_BEHIND && op->right.code == CKV_REF_NONE) || !read_word(r, op) ||
        op->n_bytes == 0)
        return false;
    return ckv_rd_done(r) || read_value(r, op, CKV_TAG_BYTES);
}

bool ckv_body_next(ckv_body *b, ckv_body_op *op)
{
    if (b->status != CKV_OK || b->rd.p == b->rd.end) return false;
    size_t n;
    *op = (ckv_body_op){.kind = (ckv_op_kind)ckv_rd_upto(&b->rd, CKV_OP_LAST), .n = 1};
    const uint8_t *p = ckv_rd_blob(&b->rd, &n);
    ckv_rd in = ckv_rd_init(p, n);
    bool ok = p != NULL;
    if (ok) {
        switch (op->kind) {
        case CKV_OP_INSERT: ok = read_insert(b, &in, op); break;
        case CKV_OP_DELETE: ok = read_range(b, &in, op); break;
        case CKV_OP_SET:
            op->left = read_ref(b, &in);
            ok = read_word(&in, op) && read_value(&in, op, CKV_TAG_DEFAULT_TEXT);
            break;
        case CKV_OP_UNSET:
            op->left = read_ref(b, &in);
            ok = read_word(&in, op) && ckv_rd_done(&in);
            break;
        case CKV_OP_ELEMENTS: ok = read_elements(b, &in, op); break;
        case CKV_OP_ASSIGN:
            op->left = read_named(b, &in);
            ok = read_value(&in, op, CKV_TAG_TEXT);
            break;
        case CKV_OP_MOVE:
            op->holder = read_named(b, &in);
            op->left = read_ref(b, &in);
            op->right = read_ref(b, &in);
            ok = ckv_rd_done(&in);
            break;
        case CKV_OP_ADD:
        case CKV_OP_DISCARD:
            op->left = read_named(b, &in);
            ok = read_value(&in, op, CKV_TAG_BYTES);
            break;
        case CKV_OP_COUNT:
            op->left = read_named(b, &in);
            op->amount = ckv_rd_zigzag(&in);
            ok = ckv_rd_done(&in);
            break;
        case CKV_OP_MARK: ok = read_mark(b, &in, op); break;
        case CKV_OP_RESTORE: {
            const uint64_t change = ckv_rd_varint(&in);
            op->change = (uint32_t)change;
            ok = change < b->n_changes && read_range(b, &in, op);
            break;
        }
        default: ok = false;
        }
    }
    if (!ok || op->n > CKV_MAX_OPS - b->n_ops) {
        broken(b, "body: an operation does not parse, or is not in its one form");
        return false;
    }
    b->last_kind = op->kind;
    b->n_ops += op->n;
    if (ckv_op_makes_items(op->kind)) b->n_items += op->n;
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

static size_t put_ends(uint8_t *p, const ckv_body_op *op)
{
    size_t n = put_ref(p, op->left);
    n += put_ref(p + n, op->right);
    if (op->left.code == CKV_REF_NONE && op->right.code == CKV_REF_NONE)
        n += put_ref(p + n, op->holder);
    return n;
}

void ckv_body_put(ckv_buf *out, const ckv_body_op *op)
{
    uint8_t fixed[64]; /* refs, counts, lengths: at most 31 bytes, for a MARK */
    size_t n = 0, n_bytes = 0, n_value_bytes = 0; /* what stands behind them */
    switch (op->kind) {
    case CKV_OP_INSERT:
        n = put_ends(fixed, op);
        n_bytes = op->n_bytes;
        break;
    case CKV_OP_DELETE:
        n = put_ref(fixed, op->left);
        n += ckv_varint_put(fixed + n, op->n);
        break;
    case CKV_OP_SET: n_value_bytes = op->n_value_bytes; /* fall through */
    case CKV_OP_UNSET:
        n = put_ref(fixed, op->left);
        n_bytes = op->n_bytes;
        n += ckv_varint_put(fixed + n, n_bytes);
        break;
    case CKV_OP_ELEMENTS:
        n = put_ends(fixed, op);
        n_value_bytes = op->n_value_bytes;
        break;
    case CKV_OP_ASSIGN:
    case CKV_OP_ADD:
    case CKV_OP_DISCARD:
        n = put_ref(fixed, op->left);
        n_value_bytes = op->n_value_bytes;
        break;
    case CKV_OP_MOVE:
        n = put_ref(fixed, op->holder);
        n += put_ref(fixed + n, op->left);
        n += put_ref(fixed + n, op->right);
        break;
    case CKV_OP_COUNT:
        n = put_ref(fixed, op->left);
        n += ckv_varint_put(fixed + n, ckv_zigzag(op->amount));
        break;
    case CKV_OP_MARK:
        fixed[0] = (uint8_t)op->sides;
        n = 1 + put_ends(fixed + 1, op);
        n_bytes = op->n_bytes;
        n += ckv_varint_put(fixed + n, n_bytes);
        n_value_bytes = op->value_bytes ? op->n_value_bytes : 0;
        break;
    case CKV_OP_RESTORE:
        n = ckv_varint_put(fixed, op->change);
        n += put_ref(fixed + n, op->left);
        n += ckv_varint_put(fixed + n, op->n);
        break;
    }
    ckv_buf_u8(out, (uint8_t)op->kind);
    ckv_buf_varint(out, n + n_bytes + n_value_bytes);
    ckv_buf_bytes(out, fixed, n);
    ckv_buf_bytes(out, op->bytes, n_bytes);
    ckv_buf_bytes(out, op->value_bytes, n_value_bytes);
}
