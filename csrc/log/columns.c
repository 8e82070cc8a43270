#include "log/columns.h"

#include <stdlib.h>

#include "base/utf8.h"

enum { KINDS, COUNTS, LANES, LEFT, RIGHT, TARGETS, HOLDERS, TEXT, MAPS };
enum { CLASS_NONE, CLASS_OWN, CLASS_OTHER };

#define CODE_OTHER 0u /* ASSIGN, ADD, DISCARD, COUNT: MAPS says which */

/* Operations whose code in the column of kinds is not their kind. */
static bool is_other(ckv_op_kind kind)
{
    return kind == CKV_OP_ASSIGN || kind == CKV_OP_ADD || kind == CKV_OP_DISCARD ||
           kind == CKV_OP_COUNT;
}

/* Operations that have a left and a right origin. */
static bool has_place(ckv_op_kind kind)
{
    return kind == CKV_OP_INSERT || kind == CKV_OP_ELEMENTS || kind == CKV_OP_MOVE;
}

static ckv_status make_cur(ckv_i64s *cur, size_t n_lanes)
{
    CKV_TRY(ckv_i64s_reserve(cur, n_lanes + 1));
    while (cur->len <= n_lanes) ckv_i64s_put(cur, (ckv_i64s_item){.v = 0});
    return CKV_OK;
}

static bool same_spot(ckv_spot a, ckv_spot b)
{
    return a.lane == b.lane && (a.lane == CKV_NO_LANE || a.off == b.off);
}

/* ---- writing */

ckv_status ckv_columns_out_init(ckv_columns_out *c, ckv_alloc a, ckv_buf *columns, size_t n_lanes)
{
    *c = (ckv_columns_out){.col = columns, .cur = {.a = a}};
    return make_cur(&c->cur, n_lanes);
}

void ckv_columns_out_fini(ckv_columns_out *c) { ckv_i64s_fini(&c->cur); }

static unsigned class_of(const ckv_columns_out *c, ckv_spot s)
{
    return s.lane == CKV_NO_LANE ? CLASS_NONE : s.lane == c->own ? CLASS_OWN : CLASS_OTHER;
}

static void put_spot(ckv_columns_out *c, unsigned column, ckv_spot s, int64_t base)
{
    if (s.lane == CKV_NO_LANE) return;
    if (s.lane != c->own) ckv_buf_varint(&c->col[LANES], s.lane);
    ckv_buf_zigzag(&c->col[column], s.off - base);
}

static void put_holder(ckv_columns_out *c, ckv_spot s, int64_t base)
{
    ckv_buf_varint(&c->col[HOLDERS], s.lane == c->own ? 0 : 1 + (uint64_t)s.lane);
    ckv_buf_zigzag(&c->col[HOLDERS], s.off - base);
}

/* Writes the open run down. */
static void flush(ckv_columns_out *c)
{
    ckv_column_op *r = &c->run;
    ckv_i64s_item *cur = c->cur.ptr;
    if (r->n == 0) return;
    const unsigned a = class_of(c, r->left), b = class_of(c, r->right),
                   code = is_other(r->kind) ? CODE_OTHER : r->kind;
    ckv_buf_u8(&c->col[KINDS], (uint8_t)(code | a << 3 | b << 5 | (unsigned)c->rev << 7));
    ckv_buf_varint(&c->col[COUNTS], r->n);
    if (has_place(r->kind)) {
        put_spot(c, LEFT, r->left, a ? cur[r->left.lane].v : 0);
        if (b)
            put_spot(c, RIGHT, r->right,
                     a && r->left.lane == r->right.lane ? r->left.off : cur[r->right.lane].v);
        if (r->kind == CKV_OP_MOVE || (!a && !b)) put_holder(c, r->holder, cur[r->holder.lane].v);
    } else if (r->kind == CKV_OP_DELETE) {
        put_spot(c, TARGETS, (ckv_spot){r->left.lane, r->left.off + r->n - 1}, cur[r->left.lane].v);
        cur[r->left.lane].v = r->left.off - 1;
    } else if (a) {
        put_spot(c, TARGETS, r->left, cur[r->left.lane].v);
    }
    if (ckv_op_makes_items(r->kind)) cur[c->own].v = c->own_end - 1;
    r->n = 0;
}

/* Whether op goes on where the open run ended; if so it is joined. */
static bool join(ckv_columns_out *c, uint32_t own, int64_t own_off, const ckv_column_op *op,
                 bool first)
{
    ckv_column_op *r = &c->run;
    if (r->n == 0 || r->kind != op->kind || c->own != own || UINT32_MAX - r->n < op->n)
        return false;
    if (op->kind == CKV_OP_INSERT || op->kind == CKV_OP_ELEMENTS) {
        if (c->own_end != own_off || op->left.lane != own || op->left.off != own_off - 1 ||
            !same_spot(r->right, op->right))
            return false;
        c->own_end += op->n;
    } else if (op->kind == CKV_OP_DELETE) {
        if (r->left.lane != op->left.lane || !first) return false;
        if (!c->rev && r->left.off + r->n == op->left.off) {
            /* upwards */
        } else if (op->n == 1 && (c->rev || r->n == 1) && op->left.off + 1 == r->left.off) {
            c->rev = true;
            r->left.off--;
        } else {
            return false;
        }
    } else {
        return false;
    }
    r->n += op->n;
    return true;
}

void ckv_columns_put(ckv_columns_out *c, uint32_t own, int64_t own_off, const ckv_column_op *op,
                     bool first)
{
    CKV_ASSERT(op->kind < CKV_OP_MARK);
    if (!join(c, own, own_off, op, first)) {
        flush(c);
        c->run = *op;
        c->own = own;
        c->own_end = own_off + (ckv_op_makes_items(op->kind) ? op->n : 0);
        c->rev = false;
    }
    if (op->kind == CKV_OP_INSERT) ckv_buf_bytes(&c->col[TEXT], op->bytes, op->n_bytes);
    if (op->kind == CKV_OP_SET || op->kind == CKV_OP_UNSET)
        ckv_buf_blob(&c->col[MAPS], op->bytes, op->n_bytes);
    if (is_other(op->kind)) ckv_buf_u8(&c->col[MAPS], (uint8_t)op->kind);
    if (op->kind == CKV_OP_COUNT)
        ckv_buf_zigzag(&c->col[MAPS], op->amount);
    else
        ckv_buf_bytes(&c->col[MAPS], op->value, op->value_bytes);
}

void ckv_columns_end_slice(ckv_columns_out *c) { flush(c); }

/* ---- reading */

ckv_status ckv_columns_in_init(ckv_columns_in *c, ckv_alloc a, const ckv_rd *columns,
                               size_t n_lanes)
{
    size_t n_chars;
    uint32_t max;
    *c = (ckv_columns_in){.cur = {.a = a}, .table = ckv_buf_init(a)};
    memcpy(c->col, columns, sizeof c->col);
    const ckv_rd *text = &c->col[TEXT];
    if (ckv_rd_left(text) && !ckv_utf8_valid(text->p, ckv_rd_left(text), &n_chars, &max))
        return CKV_ECORRUPT;
    c->ascii = !ckv_rd_left(text) || n_chars == ckv_rd_left(text);
    return make_cur(&c->cur, n_lanes);
}

void ckv_columns_in_fini(ckv_columns_in *c)
{
    ckv_i64s_fini(&c->cur);
    ckv_buf_fini(&c->table);
}

size_t ckv_columns_left(const ckv_columns_in *c)
{
    size_t n = 0;
    for (size_t i = 0; i < CKV_N_COLUMNS; i++) n += ckv_rd_left(&c->col[i]);
    return n;
}

bool ckv_columns_slice_done(const ckv_columns_in *c) { return c->left_in_run == 0; }

bool ckv_columns_done(const ckv_columns_in *c)
{
    for (size_t i = 0; i < CKV_N_COLUMNS; i++) {
        if (c->col[i].status != CKV_OK || c->col[i].p != c->col[i].end) return false;
    }
    return c->left_in_run == 0;
}

#define MAX_OFF (INT64_C(1) << 33)

static bool get_lane(ckv_columns_in *c, unsigned class, uint32_t own, ckv_spot *s)
{
    *s = (ckv_spot){CKV_NO_LANE, 0};
    if (class == CLASS_OWN) s->lane = own;
    if (class != CLASS_OTHER) return class <= CLASS_OWN;
    const uint64_t lane = ckv_rd_varint(&c->col[LANES]);
    if (lane + 1 >= c->cur.len || lane == own) return false;
    s->lane = (uint32_t)lane;
    return true;
}

static bool get_off(ckv_rd *r, int64_t base, int64_t *off)
{
    const int64_t d = ckv_rd_zigzag(r);
    if (r->status != CKV_OK || d < -MAX_OFF || d > MAX_OFF) return false;
    *off = base + d;
    return *off >= -1 && *off < MAX_OFF;
}

static bool get_holder(ckv_columns_in *c, uint32_t own, ckv_spot *s)
{
    const uint64_t lane = ckv_rd_varint(&c->col[HOLDERS]);
    if (lane > c->cur.len - 1 || (lane && lane - 1 == own)) return false;
    s->lane = lane ? (uint32_t)lane - 1 : own;
    return get_off(&c->col[HOLDERS], c->cur.ptr[s->lane].v, &s->off);
}

/* Passes by n values, whatever their tags. */
static bool get_values(ckv_columns_in *c, uint32_t n, ckv_column_op *op)
{
    ckv_rd *maps = &c->col[MAPS];
    size_t skip;
    op->value = maps->p;
    for (; n && maps->status == CKV_OK; n--) {
        ckv_rd_varint(maps);
        ckv_rd_blob(maps, &skip);
    }
    op->value_bytes = (size_t)(maps->p - op->value);
    return maps->status == CKV_OK;
}

static bool get_key(ckv_columns_in *c, ckv_column_op *op)
{
    size_t n_chars;
    uint32_t max;
    op->bytes = ckv_rd_blob(&c->col[MAPS], &op->n_bytes);
    return op->bytes && ckv_utf8_valid(op->bytes, op->n_bytes, &n_chars, &max);
}

/* Reads the next run. */
static bool next_run(ckv_columns_in *c, uint32_t own)
{
    ckv_column_op *r = &c->run;
    ckv_i64s_item *cur = c->cur.ptr;
    const uint8_t k = ckv_rd_u8(&c->col[KINDS]);
    const uint64_t n = ckv_rd_upto(&c->col[COUNTS], UINT32_MAX - 1);
    const unsigned code = k & 7, a = k >> 3 & 3, b = k >> 5 & 3;
    if (c->col[KINDS].status != CKV_OK || c->col[COUNTS].status != CKV_OK || n == 0) return false;
    *r =
        (ckv_column_op){.kind = (ckv_op_kind)(code == CODE_OTHER ? ckv_rd_u8(&c->col[MAPS]) : code),
                        .n = (uint32_t)n,
                        .holder = {CKV_NO_LANE, 0}};
    c->rev = k >> 7;
    c->left_in_run = r->n;
    if (is_other(r->kind) != (code == CODE_OTHER)) return false;
    if (!get_lane(c, a, own, &r->left) || !get_lane(c, b, own, &r->right)) return false;
    if ((c->rev && r->kind != CKV_OP_DELETE) || (b && !has_place(r->kind))) return false;
    if (has_place(r->kind)) {
        if (a && !get_off(&c->col[LEFT], cur[r->left.lane].v, &r->left.off)) return false;
        if (b && !get_off(&c->col[RIGHT],
                          a && r->left.lane == r->right.lane ? r->left.off : cur[r->right.lane].v,
                          &r->right.off))
            return false;
        if (r->kind == CKV_OP_MOVE) return r->n == 1 && get_holder(c, own, &r->holder);
        return a || b || get_holder(c, own, &r->holder);
    }
    if (r->kind == CKV_OP_DELETE) {
        int64_t last;
        if (!a || !get_off(&c->col[TARGETS], cur[r->left.lane].v, &last) ||
            last + 1 < (int64_t)r->n)
            return false;
        r->left.off = last + 1 - r->n;
        cur[r->left.lane].v = r->left.off - 1;
        return true;
    }
    if (r->n != 1 || (a && !get_off(&c->col[TARGETS], cur[r->left.lane].v, &r->left.off)))
        return false;
    if (code == CODE_OTHER && !a) return false;
    if (r->kind == CKV_OP_COUNT) {
        r->amount = ckv_rd_zigzag(&c->col[MAPS]);
        return c->col[MAPS].status == CKV_OK;
    }
    if (code != CODE_OTHER && !get_key(c, r)) return false;
    return r->kind == CKV_OP_UNSET || get_values(c, 1, r);
}

/* Cuts the next operation of at most `most` from the open run. */
static bool cut(ckv_columns_in *c, uint32_t most, uint32_t own, int64_t *own_off, ckv_column_op *op)
{
    ckv_column_op *r = &c->run;
    const uint32_t done = r->n - c->left_in_run, n = c->left_in_run < most ? c->left_in_run : most;
    *op = *r;
    op->n = n;
    c->left_in_run -= n;
    if (done && has_place(r->kind)) {
        op->left = (ckv_spot){own, *own_off - 1};
        op->holder.lane = CKV_NO_LANE;
    }
    if (r->kind == CKV_OP_INSERT) {
        ckv_rd *text = &c->col[TEXT];
        op->n_bytes = c->ascii ? n : ckv_utf8_span(text->p, ckv_rd_left(text), n);
        op->bytes = ckv_rd_bytes(text, op->n_bytes);
        if (!op->bytes) return false;
    } else if (r->kind == CKV_OP_ELEMENTS) {
        if (!get_values(c, n, op)) return false;
    } else if (r->kind == CKV_OP_DELETE) {
        op->left.off = c->rev ? r->left.off + c->left_in_run : r->left.off + done;
    }
    return true;
}

static uint32_t parent_with_lane(const ckv_column_change *change, uint32_t lane)
{
    uint32_t i = 0;
    while (i < change->n_parents && change->parents[i] != lane) i++;
    return i;
}

/* Whether a lane must be named in the table. */
static bool needs_table(const ckv_column_change *change, ckv_spot s)
{
    return s.lane != CKV_NO_LANE && s.lane != change->own &&
           parent_with_lane(change, s.lane) == change->n_parents;
}

/* Where an id stands in a sorted table, or would: a table that lacks one makes another body, which nobody signed. */
static uint32_t place_in(const ckv_buf *table, const ckv_id32 *id)
{
    uint32_t lo = 0, hi = (uint32_t)(table->len / 32);
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (memcmp(table->ptr + 32 * (size_t)mid, id, 32) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool name(ckv_columns_in *c, const ckv_column_change *change, const ckv_id32 *lanes,
                 ckv_spot s, int64_t own_off, ckv_ref *ref)
{
    *ref = (ckv_ref){CKV_REF_NONE, 0};
    if (s.lane == CKV_NO_LANE) return true;
    if (s.lane == change->own) {
        const int64_t distance = own_off - s.off;
        *ref = (ckv_ref){CKV_REF_OWN, (uint32_t)distance};
        return distance >= 1 && distance < (int64_t)UINT32_MAX && s.off >= 0;
    }
    if (s.off < 0 || s.off >= (int64_t)UINT32_MAX) return false;
    const uint32_t i = parent_with_lane(change, s.lane);
    ref->value = (uint32_t)s.off;
    ref->code = CKV_REF_PARENT + i;
    if (i < change->n_parents) return true;
    ckv_i64s_item *const in = &c->cur.ptr[s.lane];
    if (in->named != c->n_tables) {
        in->named = c->n_tables;
        in->index = place_in(&c->table, &lanes[s.lane]);
    }
    ref->code += in->index;
    return true;
}

/* Appends an operation, its references named. off: the own lane's next item. */
static bool put_op(ckv_columns_in *c, const ckv_column_change *change, const ckv_id32 *lanes,
                   const ckv_column_op *o, int64_t off, ckv_buf *out)
{
    ckv_body_op op = {.kind = o->kind,
                      .n = o->n,
                      .bytes = o->bytes,
                      .n_bytes = o->n_bytes,
                      .amount = o->amount,
                      .value_bytes = o->value,
                      .n_value_bytes = o->value_bytes};
    if (!name(c, change, lanes, o->left, off, &op.left) ||
        !name(c, change, lanes, o->right, off, &op.right) ||
        !name(c, change, lanes, o->holder, off, &op.holder))
        return false;
    ckv_body_put(out, &op);
    return true;
}

/* The next operation, at most `left` single ones. off: the own lane's next item, moved on. */
static bool next_op(ckv_columns_in *c, const ckv_column_change *change, uint32_t left, int64_t *off,
                    ckv_column_op *op)
{
    if (c->left_in_run == 0) {
        if (!next_run(c, change->own)) return false;
        const ckv_column_op *r = &c->run;
        if (r->kind == CKV_OP_DELETE && r->left.lane == change->own && r->left.off + r->n > *off)
            return false; /* not made yet */
    }
    if (!cut(c, left, change->own, off, op)) return false;
    if (ckv_op_makes_items(op->kind)) {
        *off += op->n;
        if (c->left_in_run == 0) c->cur.ptr[change->own].v = *off - 1;
    }
    return true;
}

/* A lane of the bundle that goes into the table, once, unless it is the own or a parent's. */
static void note_lane(ckv_columns_in *c, const ckv_column_change *change, const ckv_id32 *lanes,
                      uint32_t lane)
{
    if (c->cur.ptr[lane].table == c->n_tables) return;
    c->cur.ptr[lane].table = c->n_tables;
    if (needs_table(change, (ckv_spot){lane, 0})) ckv_buf_bytes(&c->table, &lanes[lane], 32);
}

/* Collects the table: the lanes of op, which was just cut, and of the `left` single operations behind it, whose kinds and lanes are looked at
 * ahead. Whether all is well with them is found out when they are read. */
static void make_table(ckv_columns_in *c, const ckv_column_change *change, const ckv_id32 *lanes,
                       const ckv_column_op *op, uint32_t left)
{
    ckv_rd kinds = c->col[KINDS], counts = c->col[COUNTS], others = c->col[LANES],
           holders = c->col[HOLDERS];
    const ckv_spot spots[3] = {op->left, op->right, op->holder};
    c->n_tables++;
    for (int i = 0; i < 3; i++) {
        if (spots[i].lane != CKV_NO_LANE) note_lane(c, change, lanes, spots[i].lane);
    }
    left -= c->left_in_run < left ? c->left_in_run : left; /* the same lanes again */
    while (left) {
        const uint8_t k = ckv_rd_u8(&kinds);
        const uint64_t n = ckv_rd_upto(&counts, UINT32_MAX - 1);
        const unsigned class[2] = {k >> 3 & 3, k >> 5 & 3};
        const ckv_op_kind kind = (ckv_op_kind)(k & 7);
        if (kinds.status != CKV_OK || n == 0) return;
        for (int i = 0; i < 2; i++) {
            if (class[i] != CLASS_OTHER) continue;
            const uint64_t lane = ckv_rd_varint(&others);
            if (others.status != CKV_OK || lane + 1 >= c->cur.len) return;
            note_lane(c, change, lanes, (uint32_t)lane);
        }
        if (kind == CKV_OP_MOVE || (has_place(kind) && !class[0] && !class[1])) {
            const uint64_t lane = ckv_rd_varint(&holders);
            ckv_rd_varint(&holders);
            if (holders.status != CKV_OK || lane > c->cur.len - 1) return;
            if (lane) note_lane(c, change, lanes, (uint32_t)lane - 1);
        }
        left -= n < left ? (uint32_t)n : left;
    }
}

/* Puts a head with a table in the place of the one at [start, ops) without, before the operations that stand there. */
static ckv_status put_table(ckv_columns_in *c, const ckv_body_head *plain, size_t start, size_t ops,
                            ckv_buf *out)
{
    ckv_body_head head = *plain;
    c->table.len = 32 * ckv_id32_sort_unique(c->table.ptr, c->table.len / 32);
    head.lanes = (const ckv_id32 *)(const void *)c->table.ptr;
    head.n_lanes = (uint32_t)(c->table.len / 32);
    const size_t old_end = out->len;
    ckv_body_begin(out, &head); /* behind everything, to be turned to the front */
    if (out->status != CKV_OK) return out->status;
    const size_t n_head = out->len - old_end, n_ops = old_end - ops;
    if (!ckv_buf_reserve(out, n_head)) return out->status;
    memcpy(out->ptr + out->len, out->ptr + old_end, n_head);
    memmove(out->ptr + start + n_head, out->ptr + ops, n_ops);
    memcpy(out->ptr + start, out->ptr + out->len, n_head);
    out->len = start + n_head + n_ops;
    return CKV_OK;
}

ckv_status ckv_columns_body(ckv_columns_in *c, const ckv_column_change *change,
                            const ckv_id32 *lanes, ckv_buf *out)
{
    int64_t off = *change->own_off;
    const size_t start = out->len;
    ckv_buf_clear(&c->table);
    ckv_body_begin(out, &change->head);
    const size_t ops = out->len;
    for (uint32_t left = change->n_ops; left;) {
        ckv_column_op op;
        const int64_t before = off;
        if (!next_op(c, change, left, &off, &op)) return CKV_ECORRUPT;
        left -= op.n;
        if (c->table.len == 0 && (needs_table(change, op.left) || needs_table(change, op.right) ||
                                  needs_table(change, op.holder))) {
            make_table(c, change, lanes, &op, left);
            if (c->table.status != CKV_OK) return c->table.status;
            CKV_TRY(put_table(c, &change->head, start, ops, out));
        }
        if (!put_op(c, change, lanes, &op, before, out)) return CKV_ECORRUPT;
    }
    *change->own_off = off;
    return out->status;
}
