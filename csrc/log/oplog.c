#include "log/oplog.h"

ckv_oplog ckv_oplog_init(ckv_alloc a)
{
    return (ckv_oplog){.ops = {.a = a},
                       .makers = {.a = a},
                       .chars = ckv_chars_init(a),
                       .values = ckv_buf_init(a),
                       .elements = {.a = a},
                       .value_at = {.a = a},
                       .moved = {.a = a},
                       .marks = {.a = a}};
}

void ckv_oplog_fini(ckv_oplog *x)
{
    ckv_ops_fini(&x->ops);
    ckv_u32s_fini(&x->makers);
    ckv_chars_fini(&x->chars);
    ckv_buf_fini(&x->values);
    ckv_elements_runs_fini(&x->elements);
    ckv_u32s_fini(&x->value_at);
    ckv_u32s_fini(&x->moved);
    ckv_mark_ops_fini(&x->marks);
}

size_t ckv_oplog_at_lv(const ckv_oplog *x, uint32_t lv)
{
    size_t run = 0;
    CKV_ASSERT(lv < x->n_lv);
    CKV_SEEK(&run, x->ops.len, x->ops.ptr[i].lv, lv);
    return run;
}

size_t ckv_oplog_at_item(const ckv_oplog *x, uint32_t item)
{
    size_t maker = 0;
    CKV_ASSERT(item < x->n_items);
    CKV_SEEK(&maker, x->makers.len, x->ops.ptr[x->makers.ptr[i]].item, item);
    return x->makers.ptr[maker];
}

uint32_t ckv_oplog_right(const ckv_oplog *x, uint32_t item)
{
    return x->ops.ptr[ckv_oplog_at_item(x, item)].b;
}

#define MAX_MOVES (1u << 28) /* their numbers stand in `holder` */

ckv_status ckv_oplog_reserve(ckv_oplog *x, size_t n_runs)
{
    if (n_runs > MAX_MOVES - x->moved.len) return CKV_ELIMIT;
    CKV_TRY(ckv_ops_reserve(&x->ops, n_runs));
    CKV_TRY(ckv_elements_runs_reserve(&x->elements, n_runs));
    CKV_TRY(ckv_u32s_reserve(&x->moved, n_runs));
    CKV_TRY(ckv_mark_ops_reserve(&x->marks, n_runs));
    return ckv_u32s_reserve(&x->makers, n_runs);
}

static void put(ckv_oplog *x, ckv_op_kind kind, uint32_t item, uint32_t holder, uint32_t a,
                uint32_t b)
{
    ckv_ops_put(&x->ops, (ckv_op){x->n_lv, item, a, b, kind & 15, holder & 0xfffffff});
}

static void put_maker(ckv_oplog *x, ckv_op_kind kind, uint32_t holder, uint32_t a, uint32_t b)
{
    ckv_u32s_put(&x->makers, (uint32_t)x->ops.len);
    put(x, kind, x->n_items, holder, a, b);
}

/* Operations that run on: INSERT, ELEMENTS. Whether they begin a run. */
static bool put_run(ckv_oplog *x, ckv_op_kind kind, uint32_t holder, uint32_t n, uint32_t left,
                    uint32_t right)
{
    const ckv_op *last = ckv_ops_last(&x->ops);
    const bool goes_on = last && last->kind == kind && last->holder == holder && last->b == right &&
                         left == x->n_items - 1; /* the last run made items up to n_items - 1 */
    if (!goes_on) put_maker(x, kind, holder, left, right);
    x->n_lv += n;
    x->n_items += n;
    return !goes_on;
}

/* Operations that name ranges: DELETE, RESTORE. */
static void put_range(ckv_oplog *x, ckv_op_kind kind, uint32_t holder, uint32_t a, uint32_t item,
                      uint32_t n, uint32_t since)
{
    ckv_op *last = ckv_ops_last(&x->ops);
    const bool same = last && last->kind == kind && last->holder == holder && last->a == a;
    if (same && last->item + (x->n_lv - last->lv) == item) {
        /* upwards */
    } else if (same && last->lv >= since && item + n == last->item) {
        last->item = item;
    } else {
        put(x, kind, item, holder, a, CKV_NO_ITEM);
    }
    x->n_lv += n;
}

void ckv_oplog_insert(ckv_oplog *x, uint32_t holder, uint32_t n, uint32_t left, uint32_t right)
{
    put_run(x, CKV_OP_INSERT, holder, n, left, right);
}

void ckv_oplog_elements(ckv_oplog *x, uint32_t holder, uint32_t n, uint32_t left, uint32_t right,
                        uint32_t value_off)
{
    const ckv_elements run = {x->n_items, (uint32_t)x->value_at.len};
    if (put_run(x, CKV_OP_ELEMENTS, holder, n, left, right))
        ckv_elements_runs_put(&x->elements, run);
    for (uint32_t i = 0; i < n; i++) {
        ckv_u32s_put(&x->value_at, value_off);
        value_off += (uint32_t)ckv_oplog_value_bytes(x, value_off);
    }
}

void ckv_oplog_delete(ckv_oplog *x, uint32_t holder, uint32_t item, uint32_t n, uint32_t since)
{
    put_range(x, CKV_OP_DELETE, holder, CKV_NO_ITEM, item, n, since);
}

void ckv_oplog_restore(ckv_oplog *x, uint32_t item, uint32_t n, uint32_t change, bool named,
                       uint32_t since)
{
    if (named) {
        put_range(x, CKV_OP_RESTORE, 1, change, item, n, since);
        return;
    }
    put(x, CKV_OP_RESTORE, item, 0, change, CKV_NO_ITEM);
    x->n_lv += n;
}

void ckv_oplog_set(ckv_oplog *x, uint32_t holder, uint32_t key, uint32_t value_off)
{
    put_maker(x, CKV_OP_SET, holder, key, value_off);
    x->n_lv++, x->n_items++;
}

void ckv_oplog_unset(ckv_oplog *x, uint32_t holder, uint32_t key)
{
    put(x, CKV_OP_UNSET, CKV_NO_ITEM, holder, key, 0);
    x->n_lv++;
}

void ckv_oplog_assign(ckv_oplog *x, uint32_t holder, uint32_t element, uint32_t value_off)
{
    put_maker(x, CKV_OP_ASSIGN, holder, element, value_off);
    x->n_lv++, x->n_items++;
}

void ckv_oplog_move(ckv_oplog *x, uint32_t element, uint32_t left, uint32_t right)
{
    put_maker(x, CKV_OP_MOVE, (uint32_t)x->moved.len, left, right);
    ckv_u32s_put(&x->moved, element);
    x->n_lv++, x->n_items++;
}

void ckv_oplog_member(ckv_oplog *x, uint32_t holder, bool add, uint32_t slot, uint32_t value_off)
{
    if (add)
        put_maker(x, CKV_OP_ADD, holder, slot, value_off);
    else
        put(x, CKV_OP_DISCARD, CKV_NO_ITEM, holder, slot, value_off);
    x->n_lv++;
    x->n_items += add;
}

void ckv_oplog_count(ckv_oplog *x, uint32_t holder, int64_t amount)
{
    put(x, CKV_OP_COUNT, CKV_NO_ITEM, holder, (uint32_t)amount, (uint32_t)((uint64_t)amount >> 32));
    x->n_lv++;
}

void ckv_oplog_mark(ckv_oplog *x, uint32_t holder, uint32_t start, uint32_t end, ckv_mark_op mark)
{
    mark.item = x->n_items;
    put_maker(x, CKV_OP_MARK, holder, start, end);
    ckv_mark_ops_put(&x->marks, mark);
    x->n_lv++, x->n_items++;
}

/* Where what a mark keeps in `values` begins: its name is written before its value, or behind it. */
static uint32_t kept_by(const ckv_mark_op *m)
{
    return m->name_off < m->value_off ? m->name_off : m->value_off;
}

/* Forgets what the last run left beside the list of operations, from its single operation k on. */
static void drop(ckv_oplog *x, const ckv_op *last, uint32_t k)
{
    switch ((ckv_op_kind)last->kind) {
    case CKV_OP_SET:
    case CKV_OP_ASSIGN:
    case CKV_OP_ADD:
    case CKV_OP_DISCARD: x->values.len = last->b; return;
    case CKV_OP_ELEMENTS:
        x->value_at.len = ckv_elements_runs_last(&x->elements)->at + k;
        x->values.len = x->value_at.ptr[x->value_at.len];
        if (k == 0) x->elements.len--;
        return;
    case CKV_OP_MOVE: x->moved.len--; return;
    case CKV_OP_MARK: x->values.len = kept_by(&x->marks.ptr[--x->marks.len]); return;
    case CKV_OP_INSERT:
    case CKV_OP_DELETE:
    case CKV_OP_UNSET:
    case CKV_OP_COUNT:
    case CKV_OP_RESTORE: return;
    }
}

void ckv_oplog_truncate(ckv_oplog *x, uint32_t n_lv, uint32_t n_items)
{
    while (x->ops.len && x->ops.ptr[x->ops.len - 1].lv >= n_lv) {
        drop(x, &x->ops.ptr[--x->ops.len], 0);
        if (x->makers.len && x->makers.ptr[x->makers.len - 1] == x->ops.len) x->makers.len--;
    }
    const ckv_op *last = ckv_ops_last(&x->ops);
    if (last && last->kind == CKV_OP_ELEMENTS) {
        const uint32_t k = n_lv - last->lv;
        if (ckv_elements_runs_last(&x->elements)->at + k < x->value_at.len) drop(x, last, k);
    }
    x->n_lv = n_lv;
    x->n_items = n_items;
}

/* Room in `values`. No offset in it is CKV_NO_VALUE. */
static ckv_status room(ckv_oplog *x, size_t n)
{
    if (n >= UINT32_MAX - x->values.len) return CKV_ELIMIT;
    if (ckv_buf_reserve(&x->values, n)) return CKV_OK;
    const ckv_status s = x->values.status;
    x->values.status = CKV_OK;
    return s;
}

ckv_status ckv_oplog_keep(ckv_oplog *x, const void *bytes, size_t n, uint32_t *off)
{
    CKV_TRY(room(x, n));
    *off = (uint32_t)x->values.len;
    ckv_buf_bytes(&x->values, bytes, n);
    return CKV_OK;
}

ckv_status ckv_oplog_keep_value(ckv_oplog *x, const ckv_value *v, uint32_t *off)
{
    const bool sized = v->tag == CKV_TAG_STR || v->tag == CKV_TAG_BYTES;
    if (sized && v->n_bytes > UINT32_MAX) return CKV_ELIMIT;
    CKV_TRY(room(x, 32 + (sized ? v->n_bytes : 0))); /* tag and length or number: three varints */
    *off = (uint32_t)x->values.len;
    ckv_value_write(&x->values, v);
    return CKV_OK;
}

uint32_t ckv_oplog_value_of(const ckv_oplog *x, uint32_t item)
{
    const ckv_op *op = &x->ops.ptr[ckv_oplog_at_item(x, item)];
    if (op->kind != CKV_OP_ELEMENTS) {
        CKV_ASSERT(op->kind == CKV_OP_SET || op->kind == CKV_OP_ASSIGN || op->kind == CKV_OP_ADD);
        return op->b;
    }
    return *ckv_oplog_values_of(x, item);
}

const uint32_t *ckv_oplog_values_of(const ckv_oplog *x, uint32_t element)
{
    size_t run = 0;
    CKV_SEEK(&run, x->elements.len, x->elements.ptr[i].item, element);
    return &x->value_at.ptr[x->elements.ptr[run].at + (element - x->elements.ptr[run].item)];
}

const ckv_mark_op *ckv_oplog_mark_of(const ckv_oplog *x, uint32_t item)
{
    size_t mark = 0;
    CKV_SEEK(&mark, x->marks.len, x->marks.ptr[i].item, item);
    CKV_ASSERT(x->marks.ptr[mark].item == item);
    return &x->marks.ptr[mark];
}

uint32_t ckv_oplog_lv_of(const ckv_oplog *x, uint32_t item)
{
    const ckv_op *op = &x->ops.ptr[ckv_oplog_at_item(x, item)];
    return op->lv + (item - op->item);
}

ckv_value ckv_oplog_value(const ckv_oplog *x, uint32_t value_off)
{
    ckv_rd r = ckv_rd_init(x->values.ptr + value_off, x->values.len - value_off);
    ckv_value v = {.tag = CKV_TAG_NONE};
    ckv_value_read(&r, &v);
    CKV_ASSERT(r.status == CKV_OK);
    return v;
}

size_t ckv_oplog_value_bytes(const ckv_oplog *x, uint32_t value_off)
{
    ckv_rd r = ckv_rd_init(x->values.ptr + value_off, x->values.len - value_off);
    size_t n;
    ckv_rd_varint(&r);
    ckv_rd_blob(&r, &n);
    return (size_t)(r.p - (x->values.ptr + value_off));
}

/* How much of the lists beside the operations was seen, and of `values`. */
typedef struct beside {
    size_t elements, value_at, moved, marks, kept;
} beside;

/* Truncation rests on it that what operations keep in `values` ascends with them. */
static bool check_kept(const ckv_oplog *x, uint32_t off, size_t n_bytes, size_t *kept)
{
    if (off < *kept || n_bytes == 0 || off + n_bytes > x->values.len) return false;
    *kept = off + n_bytes;
    return true;
}

static bool check_value(const ckv_oplog *x, uint32_t off, size_t *kept)
{
    ckv_value v;
    if (off >= x->values.len) return false;
    ckv_rd r = ckv_rd_init(x->values.ptr + off, x->values.len - off);
    ckv_value_read(&r, &v);
    return r.status == CKV_OK && check_kept(x, off, ckv_oplog_value_bytes(x, off), kept);
}

static bool check_mark(const ckv_oplog *x, const ckv_mark_op *m, size_t *kept)
{
    if (m->value_off == CKV_NO_VALUE) return check_kept(x, m->name_off, m->name_bytes, kept);
    if (m->value_off < m->name_off)
        return check_value(x, m->value_off, kept) &&
               check_kept(x, m->name_off, m->name_bytes, kept);
    return check_kept(x, m->name_off, m->name_bytes, kept) && check_value(x, m->value_off, kept);
}

static bool check_beside(const ckv_oplog *x, size_t i, beside *seen)
{
    const ckv_op *op = &x->ops.ptr[i];
    uint32_t n = ckv_oplog_len(x, i);
    switch ((ckv_op_kind)op->kind) {
    case CKV_OP_INSERT:
    case CKV_OP_DELETE:
    case CKV_OP_RESTORE: return n > 0;
    case CKV_OP_UNSET:
    case CKV_OP_COUNT: return n == 1;
    case CKV_OP_SET:
    case CKV_OP_ASSIGN:
    case CKV_OP_ADD:
    case CKV_OP_DISCARD: return n == 1 && check_value(x, op->b, &seen->kept);
    case CKV_OP_ELEMENTS: {
        if (seen->elements == x->elements.len) return false;
        const ckv_elements e = x->elements.ptr[seen->elements++];
        if (e.item != op->item || e.at != seen->value_at || n > x->value_at.len - e.at)
            return false;
        for (; n; n--) {
            if (!check_value(x, x->value_at.ptr[seen->value_at++], &seen->kept)) return false;
        }
        return true;
    }
    case CKV_OP_MOVE: return n == 1 && op->holder == seen->moved++ && seen->moved <= x->moved.len;
    case CKV_OP_MARK: {
        if (n != 1 || seen->marks == x->marks.len) return false;
        const ckv_mark_op *m = &x->marks.ptr[seen->marks++];
        return m->item == op->item && check_mark(x, m, &seen->kept);
    }
    }
    return false;
}

bool ckv_oplog_check(const ckv_oplog *x, const char **why)
{
    uint32_t items = 0, makers = 0;
    beside seen = {0};
    for (size_t i = 0; i < x->ops.len; i++) {
        const ckv_op *op = &x->ops.ptr[i];
        *why = "oplog I1";
        if (i == 0 ? op->lv != 0 : op->lv <= op[-1].lv) return false;
        *why = "oplog I3";
        if (!check_beside(x, i, &seen)) return false;
        if (!ckv_op_makes_items((ckv_op_kind)op->kind)) continue;
        *why = "oplog I1";
        if (op->item != items) return false;
        items += ckv_oplog_len(x, i);
        *why = "oplog I2";
        if (makers >= x->makers.len || x->makers.ptr[makers++] != i) return false;
    }
    *why = "oplog I3";
    if (seen.elements != x->elements.len || seen.value_at != x->value_at.len ||
        seen.moved != x->moved.len || seen.marks != x->marks.len)
        return false;
    *why = "oplog I1";
    return items == x->n_items && makers == x->makers.len;
}
